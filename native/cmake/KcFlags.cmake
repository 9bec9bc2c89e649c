# How every file of ours is compiled. kc_flags carries what only our sources want (warnings, POSIX and Linux
# interfaces, the planted fault); sanitizers are global, because they must reach each object and each link.

add_library(kc_flags INTERFACE)
target_compile_definitions(kc_flags INTERFACE _GNU_SOURCE)
target_compile_options(kc_flags INTERFACE -Wall -Wextra -Wconversion $<$<BOOL:${KC_WERROR}>:-Werror>)
target_include_directories(kc_flags INTERFACE "${PROJECT_SOURCE_DIR}/include" "${PROJECT_SOURCE_DIR}")
if(NOT KC_MUTANT STREQUAL "")
  target_compile_definitions(kc_flags INTERFACE "KC_MUTANT=${KC_MUTANT}")
endif()

if(NOT KC_SANITIZE STREQUAL "")
  add_compile_options("-fsanitize=${KC_SANITIZE}" -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options("-fsanitize=${KC_SANITIZE}")
endif()

# Link-time optimisation, where the compiler has it: an engine call crosses eight files, and folding them halves its cost.
# Not under a sanitizer, whose reports should name what was written.
if(KC_SANITIZE STREQUAL "" AND NOT KC_FUZZ)
  include(CheckIPOSupported)
  check_ipo_supported(RESULT KC_IPO LANGUAGES C OUTPUT KC_IPO_WHY)
  if(KC_IPO)
    set(CMAKE_INTERPROCEDURAL_OPTIMIZATION ON)
  endif()
endif()
