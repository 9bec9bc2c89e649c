# Each tests/native/test_*.c is one executable and one ctest. A test may look inside: it sees the private headers
# as "core/chan.h" and "ipc/pump.h".

enable_testing()
# A test that hangs is caught by this. With a planted fault that is a usual end, and nobody waits long for it; a property
# of the test stands before what ctest is asked for on its command line.
set(KC_TEST_SECONDS 300)
if(NOT KC_MUTANT STREQUAL "")
  set(KC_TEST_SECONDS 60) # the longest of them takes 3 s alone
endif()
# An emulator is about ten times slower, more beside other work, and cannot do everything: "name: why not" of each test
# that is not run under it. native.sh prints them.
set(KC_EMULATOR_UNABLE)
if(CMAKE_CROSSCOMPILING_EMULATOR)
  math(EXPR KC_TEST_SECONDS "4 * ${KC_TEST_SECONDS}")
  add_compile_definitions(KC_EMULATED) # tests of many repetitions do fewer
endif()
add_custom_target(engine_tests) # those of the engine alone: quick to build, quick to run
add_custom_target(runtime_tests) # likewise, of coroutines and what runs them
add_custom_target(client_tests) # of the client of a daemon
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
  if(name MATCHES "^test_rt_")
    target_link_libraries("${name}" PRIVATE kcoro_runtime m)
    add_dependencies(runtime_tests "${name}")
  endif()
  if(name MATCHES "^test_(client|remote)_")
    add_dependencies(client_tests "${name}")
  endif()
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

# Memory that was not set shows (glibc): what malloc gives is not zero by chance.
foreach(name test_rt_actor test_rt_actor_once test_rt_cancel test_rt_channel test_rt_channel_races test_rt_defects
        test_rt_task test_rt_parity)
  set_tests_properties("${name}" PROPERTIES ENVIRONMENT "MALLOC_PERTURB_=165")
endforeach()

# Channels of coroutines may be apart or in an engine that others use (kc_hub.h): these tests run a second time with such.
foreach(noun actor_once apart channel channel_races defects parity programs task)
  set(name "test_rt_${noun}_shared")
  add_executable("${name}" "${PROJECT_SOURCE_DIR}/../tests/native/test_rt_${noun}.c")
  target_compile_definitions("${name}" PRIVATE RT_SHARED)
  target_link_libraries("${name}" PRIVATE kcoro_runtime kcoro_core kc_flags m)
  target_compile_options("${name}" PRIVATE -UNDEBUG)
  add_test(NAME "${name}" COMMAND "${name}")
  set_tests_properties("${name}" PROPERTIES TIMEOUT ${KC_TEST_SECONDS} ENVIRONMENT "MALLOC_PERTURB_=165")
  add_dependencies(runtime_tests "${name}")
endforeach()

# Every request for memory, mappings, descriptors and threads goes through kc_scarce.h there.
set(KC_SCARCE malloc calloc realloc aligned_alloc posix_memalign free mmap munmap mprotect epoll_create1 eventfd
  timerfd_create epoll_ctl close pthread_create pthread_join pthread_key_create)
foreach(name test_rt_memory test_rt_memory_parts)
  foreach(call IN LISTS KC_SCARCE)
    target_link_options("${name}" PRIVATE "-Wl,--wrap=${call}")
  endforeach()
endforeach()

# A wait comes in the middle of a close there.
target_link_options(test_rt_closing PRIVATE "-Wl,--wrap=close")
# Somebody else reads there, between a call's begin and its wait.
target_link_options(test_client_awaited PRIVATE "-Wl,--wrap=getpid")
# To look takes time there, and nothing else does.
target_link_options(test_turn_crowd PRIVATE "-Wl,--wrap=kc_turn_clock,--wrap=epoll_wait")
# No round is over because its time is.
target_link_options(test_turn_shares PRIVATE "-Wl,--wrap=kc_turn_clock")
# The kernel refuses a call there.
foreach(name test_rt_old_kernel test_rt_lock_refused)
  target_link_options("${name}" PRIVATE "-Wl,--wrap=syscall")
endforeach()

# What is in a register after a switch only assembly can say.
target_sources(test_rt_arch_registers PRIVATE "${PROJECT_SOURCE_DIR}/../tests/native/arch/holding_${KC_ARCH}.S")

# The scripted scenarios that Kotlin ran too, and what it said.
file(GLOB KC_PARITY_SOURCES CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/../tests/native/parity/*.c")
target_link_options(test_engine_apart PRIVATE "-Wl,--wrap=malloc")
foreach(name test_rt_apart test_rt_apart_shared)
  target_link_options("${name}" PRIVATE "-Wl,--wrap=kc_cancel_add") # what happens just before and after it
endforeach()

foreach(name test_rt_parity test_rt_parity_shared)
  target_sources("${name}" PRIVATE ${KC_PARITY_SOURCES})
  target_compile_definitions("${name}" PRIVATE "KC_PARITY_DIR=\"${PROJECT_SOURCE_DIR}/../tests/parity\"")
endforeach()

target_link_libraries(test_rt_token_vm PRIVATE kcoro_lab)
target_link_libraries(test_rt_mirror PRIVATE kcoro_lab)

# kc_lab_test(LAB EXPECTED ARGUMENTS...): the lab prints what stands in tests/native/lab/EXPECTED.txt, byte by byte.
function(kc_lab_test lab expected)
  set(name "${expected}")
  add_test(NAME "${name}" COMMAND "${CMAKE_COMMAND}"
    "-DCOMMAND=${CMAKE_CROSSCOMPILING_EMULATOR};$<TARGET_FILE:${lab}>;${ARGN}"
    "-DEXPECTED=${PROJECT_SOURCE_DIR}/../tests/native/lab/${expected}.txt"
    -P "${PROJECT_SOURCE_DIR}/cmake/KcLabTest.cmake")
  set_tests_properties("${name}" PROPERTIES TIMEOUT ${KC_TEST_SECONDS})
endfunction()
kc_lab_test(lab_waiter_token lab_waiter_token)
kc_lab_test(lab_token_vm "lab_token_vm_${KC_ARCH}")
kc_lab_test(lab_token_vm_bench "lab_token_vm_bench_${KC_ARCH}" 1000)
kc_lab_test(lab_token_vm_mirror lab_token_vm_mirror)
kc_lab_test(lab_channel_mirror lab_channel_mirror)
kc_lab_test(lab_channel_mirror lab_channel_mirror_narrow 1 500)
kc_lab_test(lab_token_vm_mirror lab_token_vm_mirror_narrow 1 500) # a channel of 1: somebody always waits

if(CMAKE_CROSSCOMPILING_EMULATOR)
  foreach(unable IN LISTS KC_EMULATOR_UNABLE)
    message("skipped: ${unable}")
    string(REGEX REPLACE ":.*" "" name "${unable}")
    set_tests_properties("${name}" PROPERTIES DISABLED ON)
  endforeach()
endif()
