# Each tests/native/test_*.c is one executable and one ctest. A test may look inside: it sees the private headers
# as "core/chan.h" and "ipc/pump.h".

enable_testing()
# A test that hangs is caught by this. With a planted fault that is a usual end, and nobody waits long for it; a property
# of the test stands before what ctest is asked for on its command line.
set(KC_TEST_SECONDS 300)
if(NOT KC_MUTANT STREQUAL "")
  set(KC_TEST_SECONDS 20)
endif()
add_custom_target(engine_tests) # those of the engine alone: quick to build, quick to run
file(GLOB KC_TEST_SOURCES CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/../tests/native/test_*.c")
foreach(source IN LISTS KC_TEST_SOURCES)
  get_filename_component(name "${source}" NAME_WE)
  if(name MATCHES "^test_(client_coroutines|remote_)" AND NOT TARGET kcoro_runtime)
    continue()
  endif()
  add_executable("${name}" "${source}")
  if(name MATCHES "^test_(client_coroutines|remote_)")
    target_link_libraries("${name}" PRIVATE kcoro_remote kc_flags)
  elseif(name MATCHES "^test_client_")
    target_link_libraries("${name}" PRIVATE kcoro_client kc_flags)
  else()
    target_link_libraries("${name}" PRIVATE kcoro_ipc kcoro_core kc_flags)
  endif()
  target_compile_options("${name}" PRIVATE -UNDEBUG) # assert() stays on in every build type
  add_test(NAME "${name}" COMMAND "${name}")
  set_tests_properties("${name}" PROPERTIES TIMEOUT ${KC_TEST_SECONDS})
  if(name MATCHES "^test_engine_")
    add_dependencies(engine_tests "${name}")
  endif()
endforeach()

# Channels do not look inside a message: these tests run a second time with descriptors in place of bytes (kc_world.h).
foreach(noun ack buffered cancel close confirm kinds rendezvous scope select sender ttl)
  set(name "test_engine_${noun}_desc")
  add_executable("${name}" "${PROJECT_SOURCE_DIR}/../tests/native/test_engine_${noun}.c")
  target_compile_definitions("${name}" PRIVATE W_DESCRIPTORS)
  target_link_libraries("${name}" PRIVATE kcoro_ipc kcoro_core kc_flags)
  target_compile_options("${name}" PRIVATE -UNDEBUG)
  add_test(NAME "${name}" COMMAND "${name}")
  set_tests_properties("${name}" PROPERTIES TIMEOUT ${KC_TEST_SECONDS})
  add_dependencies(engine_tests "${name}")
endforeach()
