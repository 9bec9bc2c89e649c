# <kcoro/kcoro.h>: one header for C users, all public headers in the order of KC_PUBLIC_HEADERS.

set(KC_UMBRELLA_LINES "")
set(KC_PRESENT_HEADERS "")
foreach(header IN LISTS KC_PUBLIC_HEADERS)
  if((header MATCHES "pump|turn" AND NOT EXISTS "${PROJECT_SOURCE_DIR}/ipc/turn.c") OR
     (header MATCHES "engine|chan" AND NOT EXISTS "${PROJECT_SOURCE_DIR}/core/engine.c"))
    continue()
  endif()
  if(EXISTS "${PROJECT_SOURCE_DIR}/include/kcoro/${header}")
    list(APPEND KC_PRESENT_HEADERS "${PROJECT_SOURCE_DIR}/include/kcoro/${header}")
    string(APPEND KC_UMBRELLA_LINES "#include <kcoro/${header}>\n")
  endif()
endforeach()
file(CONFIGURE OUTPUT "${PROJECT_BINARY_DIR}/include/kcoro/kcoro.h" CONTENT
"/* Made by CMake from KC_PUBLIC_HEADERS: every public header, in order. */
#ifndef KCORO_KCORO_H
#define KCORO_KCORO_H
${KC_UMBRELLA_LINES}#endif
" @ONLY)
