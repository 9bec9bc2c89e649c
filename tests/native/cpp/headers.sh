#!/bin/sh
# Compiles every header of the C++ face by itself, included twice; then all of them without exceptions.
# headers.sh COMPILER INCLUDE_FOLDER...; the first has the headers.
set -eu
failed=0
passed=0
flags="-std=c++20 -Wall -Wextra -Wconversion -Wshadow -Werror -fsyntax-only"
try() { # what it is, further flags, the source
    # shellcheck disable=SC2086 # flags are words
    if printf '%s\n' "$3" | "$compiler" $flags $2 -x c++ -; then passed=$((passed + 1)); else
        failed=$((failed + 1))
        echo "$1: does not compile"
    fi
}
compiler=$1
folder=$2
shift
for other; do flags="$flags -I$other"; done
for header in "$folder"/kcoro/cpp/*.hpp; do
    name=kcoro/cpp/${header##*/}
    try "$name" "" "#include \"$name\"
#include \"$name\""
done
try "without exceptions" -fno-exceptions '#include "kcoro/cpp/kcoro.hpp"'
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 1 ]
