# The C++ face: headers in include/kcoro/cpp, the interface targets kcoro::cpp and, of an installation, kcoro::cpp_static, and
# its tests. C++ is a language of this
# project for the tests alone: without a C++ compiler there are none.
#
# Each tests/native/cpp/test_*.cpp is one executable and one ctest; in a build without sanitizers the other of g++ and
# clang++, if there is one, makes and runs them too ("_other").
add_library(kcoro_cpp INTERFACE)
add_library(kcoro::cpp ALIAS kcoro_cpp)
# Who links it compiles as C++20; a property, because C++ need not be a language here.
set_target_properties(kcoro_cpp PROPERTIES EXPORT_NAME cpp INTERFACE_COMPILE_FEATURES cxx_std_20)
target_link_libraries(kcoro_cpp INTERFACE "$<BUILD_INTERFACE:kcoro_runtime>" "$<BUILD_INTERFACE:kcoro_core>"
  "$<INSTALL_INTERFACE:kcoro::kcoro>")
target_include_directories(kcoro_cpp INTERFACE "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>")
if(TARGET kcoro_remote) # ipc.hpp
  target_link_libraries(kcoro_cpp INTERFACE "$<BUILD_INTERFACE:kcoro_remote>")
endif()
if(DEFINED KC_CMAKE_DIR) # where the package's targets are installed (KcInstall)
  add_library(kcoro_cpp_static INTERFACE)
  set_target_properties(kcoro_cpp_static PROPERTIES EXPORT_NAME cpp_static INTERFACE_COMPILE_FEATURES cxx_std_20)
  target_link_libraries(kcoro_cpp_static INTERFACE "$<INSTALL_INTERFACE:kcoro::kcoro_static>")
  install(TARGETS kcoro_cpp kcoro_cpp_static EXPORT kcoroTargets)
endif()

# Planted faults are judged by tests of their own language, and fuzzing needs none of these.
if((DEFINED KC_TESTS AND NOT KC_TESTS) OR NOT KC_MUTANT STREQUAL "" OR KC_FUZZ)
  return()
endif()
set(KC_CPP_PACKAGE g++)
if(CMAKE_CROSSCOMPILING AND NOT CMAKE_CXX_COMPILER)
  string(REGEX REPLACE "gcc$" "g++" KC_CPP_CROSS "${CMAKE_C_COMPILER}")
  set(KC_CPP_PACKAGE "g++-${CMAKE_SYSTEM_PROCESSOR}-linux-gnu")
  find_program(KC_CPP_CROSS_COMPILER "${KC_CPP_CROSS}")
  if(KC_CPP_CROSS_COMPILER)
    set(CMAKE_CXX_COMPILER "${KC_CPP_CROSS_COMPILER}")
  endif()
else()
  include(CheckLanguage)
  check_language(CXX)
endif()
if(NOT CMAKE_CXX_COMPILER)
  message("skipped: tests of the C++ face: no C++ compiler: apt-get install ${KC_CPP_PACKAGE}")
  return()
endif()
enable_language(CXX)

set(KC_CPP_TESTS "${PROJECT_SOURCE_DIR}/../tests/native/cpp")
set(KC_CPP_FOLDERS "${PROJECT_SOURCE_DIR}/include")
list(TRANSFORM KC_CPP_FOLDERS PREPEND "-I" OUTPUT_VARIABLE KC_CPP_INCLUDES)
set(KC_CPP_FLAGS -std=c++20 -Wall -Wextra -Wconversion -Wshadow $<$<BOOL:${KC_WERROR}>:-Werror>)
# Clang before 17 cannot emit the checks of indirect calls in a coroutine of C++20.
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 17 AND KC_SANITIZE MATCHES "undefined")
  list(APPEND KC_CPP_FLAGS -fno-sanitize=function)
endif()
file(GLOB KC_CPP_HEADERS CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/include/kcoro/*.h"
     "${PROJECT_SOURCE_DIR}/include/kcoro/cpp/*.hpp")
file(GLOB KC_CPP_SOURCES CONFIGURE_DEPENDS "${KC_CPP_TESTS}/test_*.cpp" "${PROJECT_SOURCE_DIR}/../examples/cpp/*.cpp")

# The tour's code blocks are one program.
set(KC_CPP_TOUR "${PROJECT_BINARY_DIR}/test_cpp_tour.cpp")
if(EXISTS "${PROJECT_SOURCE_DIR}/../docs/CPP.md")
  add_custom_command(OUTPUT "${KC_CPP_TOUR}"
    COMMAND awk -f "${KC_CPP_TESTS}/tour.awk" "${PROJECT_SOURCE_DIR}/../docs/CPP.md" > "${KC_CPP_TOUR}"
    DEPENDS "${KC_CPP_TESTS}/tour.awk" "${PROJECT_SOURCE_DIR}/../docs/CPP.md" VERBATIM)
  list(APPEND KC_CPP_SOURCES "${KC_CPP_TOUR}")
endif()

set(KC_CPP_OTHER)
if(KC_SANITIZE STREQUAL "" AND NOT CMAKE_CROSSCOMPILING)
  if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    find_program(KC_CPP_OTHER_COMPILER g++)
  else()
    find_program(KC_CPP_OTHER_COMPILER clang++)
  endif()
  if(KC_CPP_OTHER_COMPILER)
    set(KC_CPP_OTHER "${KC_CPP_OTHER_COMPILER}")
  endif()
endif()

add_custom_target(cpp_tests)
foreach(source IN LISTS KC_CPP_SOURCES)
  get_filename_component(name "${source}" NAME_WE)
  if(NOT name MATCHES "^test_")
    set(name "test_cpp_example_${name}")
  endif()
  add_executable("${name}" "${source}")
  target_link_libraries("${name}" PRIVATE kcoro::cpp)
  target_compile_options("${name}" PRIVATE ${KC_CPP_FLAGS} -UNDEBUG)
  set(words)
  if(name MATCHES "example_pipeline")
    set(words one two three)
  endif()
  add_test(NAME "${name}" COMMAND "${name}" ${words})
  set_tests_properties("${name}" PROPERTIES TIMEOUT ${KC_TEST_SECONDS})
  add_dependencies(cpp_tests "${name}")
  if(KC_CPP_OTHER)
    set(other "${PROJECT_BINARY_DIR}/other/${name}")
    add_custom_command(OUTPUT "${other}"
      COMMAND "${CMAKE_COMMAND}" -E make_directory "${PROJECT_BINARY_DIR}/other"
      COMMAND "${KC_CPP_OTHER}" ${KC_CPP_FLAGS} -O1 -g ${KC_CPP_INCLUDES} "-I${KC_CPP_TESTS}" "${source}"
              -o "${other}" "$<TARGET_FILE:kcoro_runtime>" "$<TARGET_FILE:kcoro_core>" -pthread
      DEPENDS "${source}" ${KC_CPP_HEADERS} "${KC_CPP_TESTS}/cpp_test.hpp" kcoro_runtime kcoro_core
      COMMENT "${name} with ${KC_CPP_OTHER}" VERBATIM COMMAND_EXPAND_LISTS)
    add_custom_target("${name}_other" ALL DEPENDS "${other}")
    add_test(NAME "${name}_other" COMMAND "${other}" ${words})
    set_tests_properties("${name}_other" PROPERTIES TIMEOUT ${KC_TEST_SECONDS})
    add_dependencies(cpp_tests "${name}_other")
  endif()
endforeach()

foreach(name IN ITEMS test_cpp_example_pipeline test_cpp_example_pipeline_other)
  if(TEST "${name}")
    set_tests_properties("${name}" PROPERTIES PASS_REGULAR_EXPRESSION "^3 words\ne 3\nh 1\nn 1\no 2\nr 1\nt 2\nw 1\n$")
  endif()
endforeach()

# Every header by itself, twice, and all of them without exceptions, with each compiler of this machine: what a header
# includes is the same on all processors.
foreach(compiler IN ITEMS "${CMAKE_CXX_COMPILER}" ${KC_CPP_OTHER})
  if(KC_SANITIZE STREQUAL "" AND NOT CMAKE_CROSSCOMPILING)
    get_filename_component(name "${compiler}" NAME)
    add_test(NAME "test_cpp_headers_${name}"
      COMMAND sh "${KC_CPP_TESTS}/headers.sh" "${compiler}" ${KC_CPP_FOLDERS})
    set_tests_properties("test_cpp_headers_${name}" PROPERTIES TIMEOUT ${KC_TEST_SECONDS})
  endif()
endforeach()
