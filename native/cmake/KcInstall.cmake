# libkcoro, static and shared, of all parts; what `cmake --install` and the wheel bring for C programs.
#
# The shared one shows KC_API alone and has a version for each name (kcoro.map). Before 1.0 a minor version may change what
# a program was compiled with, so the loader's name has it, as the version file of the package does (decision 0069). The static one holds machine code, not a
# compiler's own form of the program, so that any compiler may link it.
set(KC_HEADERS "${PROJECT_SOURCE_DIR}/include/kcoro")
set(KC_PARTS kcoro_core kcoro_wire kcoro_ipc kcoro_client)
foreach(part kcoro_arch kcoro_runtime kcoro_remote)
  if(TARGET ${part})
    list(APPEND KC_PARTS ${part})
  endif()
endforeach()
set(KC_OBJECTS)
foreach(part IN LISTS KC_PARTS)
  list(APPEND KC_OBJECTS "$<TARGET_OBJECTS:${part}>")
endforeach()
find_package(Threads REQUIRED)
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

add_library(kcoro SHARED ${KC_OBJECTS})
add_library(kcoro_static STATIC ${KC_OBJECTS})
set(KC_MAP "${CMAKE_CURRENT_LIST_DIR}/kcoro.map")
set(KC_SOVERSION "${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}")
set_target_properties(kcoro PROPERTIES LINKER_LANGUAGE C VERSION "${PROJECT_VERSION}" SOVERSION "${KC_SOVERSION}"
  LINK_DEPENDS "${KC_MAP}")
set_target_properties(kcoro_static PROPERTIES LINKER_LANGUAGE C OUTPUT_NAME kcoro)
target_link_options(kcoro PRIVATE "LINKER:--version-script=${KC_MAP}" "LINKER:--no-undefined")
foreach(library kcoro kcoro_static)
  target_link_libraries(${library} PUBLIC Threads::Threads)
  target_include_directories(${library} INTERFACE "$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>")
endforeach()
if(CMAKE_C_COMPILER_ID STREQUAL "GNU" AND CMAKE_INTERPROCEDURAL_OPTIMIZATION)
  add_custom_command(TARGET kcoro_static POST_BUILD
    COMMAND "${CMAKE_OBJCOPY}" --wildcard --remove-section=.gnu.lto_* --remove-section=.gnu.debuglto_*
            --strip-symbol=__gnu_lto_v1 --strip-symbol=__gnu_lto_slim "$<TARGET_FILE:kcoro_static>"
    COMMENT "libkcoro.a for any compiler" VERBATIM)
endif()

if(SKBUILD)
  # A wheel holds no links: one file, by the name that programs ask the loader for.
  install(PROGRAMS "$<TARGET_FILE:kcoro>" DESTINATION kcoro_ipc/lib RENAME "libkcoro.so.${KC_SOVERSION}")
  install(FILES "$<TARGET_FILE:kcoro_static>" DESTINATION kcoro_ipc/lib)
  install(DIRECTORY ${KC_HEADERS} DESTINATION kcoro_ipc/include FILES_MATCHING PATTERN "*.h"
    PATTERN "*.hpp")
  return()
endif()

set(KC_CMAKE_DIR "${CMAKE_INSTALL_LIBDIR}/cmake/kcoro")
set(KC_PC_DIR "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
file(RELATIVE_PATH KC_PC_TO_PREFIX "/prefix/${KC_PC_DIR}" "/prefix")
configure_file("${CMAKE_CURRENT_LIST_DIR}/kcoro.pc.in" "${PROJECT_BINARY_DIR}/kcoro.pc" @ONLY)
configure_package_config_file("${CMAKE_CURRENT_LIST_DIR}/kcoroConfig.cmake.in" "${PROJECT_BINARY_DIR}/kcoroConfig.cmake"
  INSTALL_DESTINATION "${KC_CMAKE_DIR}")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/kcoroConfigVersion.cmake" COMPATIBILITY SameMinorVersion)

install(TARGETS kcoro kcoro_static EXPORT kcoroTargets
  ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}" LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(EXPORT kcoroTargets NAMESPACE kcoro:: DESTINATION "${KC_CMAKE_DIR}")
install(FILES "${PROJECT_BINARY_DIR}/kcoroConfig.cmake" "${PROJECT_BINARY_DIR}/kcoroConfigVersion.cmake"
  DESTINATION "${KC_CMAKE_DIR}")
install(FILES "${PROJECT_BINARY_DIR}/kcoro.pc" DESTINATION "${KC_PC_DIR}")
install(DIRECTORY ${KC_HEADERS} DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
  FILES_MATCHING PATTERN "*.h" PATTERN "*.hpp")
