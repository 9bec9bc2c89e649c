# kcoro_ipc._kcoro: cffi in API mode over the public headers, stable ABI of Python 3.11.
# The cdef is the preprocessor's view of kcoro.h with KC_CDEF defined: under it the headers have no #include of the
# system, no inline bodies, no _Static_assert, and constants are enums. -nostdinc makes a slip an error here.

cmake_minimum_required(VERSION 3.26)
find_package(Python 3.11 REQUIRED COMPONENTS Interpreter Development.Module ${SKBUILD_SABI_COMPONENT})
execute_process(
  COMMAND "${Python_EXECUTABLE}" -c "import sysconfig; print(int(bool(sysconfig.get_config_var('Py_GIL_DISABLED'))))"
  OUTPUT_VARIABLE KC_FREE_THREADED OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
if(KC_FREE_THREADED)
  message(FATAL_ERROR "kcoro-ipc does not support free-threaded Python yet: use the ordinary build of Python >= 3.11")
endif()

set(KC_UMBRELLA "${PROJECT_SOURCE_DIR}/include/kcoro/kcoro.h")
file(GLOB KC_PUBLIC_HEADERS CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/include/kcoro/*.h")
set(KC_CDEF "${PROJECT_BINARY_DIR}/kcoro.cdef")
set(KC_PRELUDE "${PROJECT_BINARY_DIR}/kcoro.prelude")
set(KC_MODULE_SOURCE "${PROJECT_BINARY_DIR}/_kcoro.c")
file(CONFIGURE OUTPUT "${KC_PRELUDE}" CONTENT "#include <kcoro/kcoro.h>\n" @ONLY)

add_custom_command(
  OUTPUT "${KC_CDEF}"
  COMMAND "${CMAKE_C_COMPILER}" -E -P -nostdinc -DKC_CDEF -DKC_API= -I "${PROJECT_SOURCE_DIR}/include"
          -x c "${KC_UMBRELLA}" -o "${KC_CDEF}"
  DEPENDS ${KC_PUBLIC_HEADERS}
  COMMENT "cdef from the public headers"
  VERBATIM)
add_custom_command(
  OUTPUT "${KC_MODULE_SOURCE}"
  COMMAND "${Python_EXECUTABLE}" -m cffi.gen_src read-sources kcoro_ipc._kcoro
          "${KC_CDEF}" "${KC_PRELUDE}" "${KC_MODULE_SOURCE}"
  DEPENDS "${KC_CDEF}" "${KC_PRELUDE}"
  COMMENT "cffi module source"
  VERBATIM)

python_add_library(_kcoro MODULE USE_SABI ${SKBUILD_SABI_VERSION} WITH_SOABI "${KC_MODULE_SOURCE}")
target_link_libraries(_kcoro PRIVATE kcoro_ipc kcoro_core)
# A function that is declared and not defined makes this build fail, not the first import of a user.
if(KC_SANITIZE STREQUAL "" AND NOT CMAKE_CROSSCOMPILING)
  add_custom_command(TARGET _kcoro POST_BUILD
    COMMAND "${Python_EXECUTABLE}" "${PROJECT_SOURCE_DIR}/cmake/load_module.py" "$<TARGET_FILE:_kcoro>"
    COMMENT "every declared function is defined"
    VERBATIM)
endif()
install(TARGETS _kcoro LIBRARY DESTINATION kcoro_ipc)
