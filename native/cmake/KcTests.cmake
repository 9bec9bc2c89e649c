# Each tests/native/test_*.c is one executable and one ctest. A test may look inside: it sees the private headers
# as "core/chan.h" and "ipc/pump.h".

enable_testing()
file(GLOB KC_TEST_SOURCES CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/../tests/native/test_*.c")
foreach(source IN LISTS KC_TEST_SOURCES)
  get_filename_component(name "${source}" NAME_WE)
  add_executable("${name}" "${source}")
  target_link_libraries("${name}" PRIVATE kcoro_ipc kcoro_core kc_flags)
  target_compile_options("${name}" PRIVATE -UNDEBUG) # assert() stays on in every build type
  add_test(NAME "${name}" COMMAND "${name}")
  set_tests_properties("${name}" PROPERTIES TIMEOUT 300)
endforeach()
