# How every file of ours is compiled. kc_flags carries what only our sources want (warnings, POSIX and Linux
# interfaces, the planted fault); sanitizers are global, because they must reach each object and each link.

add_library(kc_flags INTERFACE)
target_compile_definitions(kc_flags INTERFACE _GNU_SOURCE)
target_compile_options(kc_flags INTERFACE -Wall -Wextra -Wconversion $<$<BOOL:${KC_WERROR}>:-Werror>)
target_include_directories(kc_flags INTERFACE "${PROJECT_SOURCE_DIR}/include" "${PROJECT_SOURCE_DIR}")
# GCC clears records of a hundred bytes with `rep stos`, whose start-up costs more than the rest of the operation; plain
# stores took the cost of a frame from 110 to 71 ns (bench, P9 through the pump). Clang does so by itself.
include(CheckCCompilerFlag)
check_c_compiler_flag("-mmemset-strategy=unrolled_loop:512:noalign,libcall:-1:noalign" KC_HAS_MEMSET_STRATEGY)
if(KC_HAS_MEMSET_STRATEGY)
  target_compile_options(kc_flags INTERFACE
    "-mmemset-strategy=unrolled_loop:512:noalign,libcall:-1:noalign"
    "-mmemcpy-strategy=unrolled_loop:512:noalign,libcall:-1:noalign")
  add_link_options(
    "-mmemset-strategy=unrolled_loop:512:noalign,libcall:-1:noalign"
    "-mmemcpy-strategy=unrolled_loop:512:noalign,libcall:-1:noalign")
endif()

# The module calls its own public functions directly: nobody is meant to put another in their place.
check_c_compiler_flag("-fno-semantic-interposition" KC_HAS_NO_INTERPOSITION)
if(KC_HAS_NO_INTERPOSITION)
  target_compile_options(kc_flags INTERFACE "-fno-semantic-interposition")
  add_link_options("-fno-semantic-interposition")
endif()

if(NOT KC_SANITIZE STREQUAL "")
  add_compile_options("-fsanitize=${KC_SANITIZE}" -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options("-fsanitize=${KC_SANITIZE}")
endif()

# Link-time optimisation, where the compiler has it: an engine call crosses eight files, and folding them halves its cost.
# Not for a planted fault, which is built to fail; and in the module alone: a library for others must not hold what one
# compiler alone can read, and the many small test programs would spend two minutes in it.
if(SKBUILD AND KC_SANITIZE STREQUAL "" AND KC_MUTANT STREQUAL "")
  include(CheckIPOSupported)
  check_ipo_supported(RESULT KC_IPO LANGUAGES C OUTPUT KC_IPO_WHY)
  # Clang's objects would hold nothing else, and libkcoro.a is for any compiler; gcc's hold machine code as well.
  if(KC_IPO AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
    set(CMAKE_INTERPROCEDURAL_OPTIMIZATION ON)
    add_compile_options(-ffat-lto-objects)
  endif()
endif()
