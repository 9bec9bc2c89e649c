#!/bin/sh
# Configures, builds and tests the native part with one preset: native-test (default), native-asan, native-tsan, or
# native-aarch64: cross-compiled, each test under qemu-user.
set -eu
cd "$(dirname "$0")/.."
case ${1:-native-test} in
native-test) preset=default ;;
native-asan) preset=asan ;;
native-tsan) preset=tsan ;;
native-aarch64) preset=aarch64 ;;
*) echo "native: unknown lane '$1': native-test, native-asan, native-tsan, native-aarch64" >&2 && exit 2 ;;
esac
if [ "$preset" = aarch64 ]; then
    missing=
    command -v aarch64-linux-gnu-gcc >/dev/null 2>&1 || missing="gcc-aarch64-linux-gnu"
    [ -e /usr/aarch64-linux-gnu/include/stdio.h ] || missing="$missing libc6-dev-arm64-cross"
    command -v qemu-aarch64 >/dev/null 2>&1 || missing="$missing qemu-user"
    if [ -n "$missing" ]; then
        echo "skipped: native-aarch64: no cross compiler with C library and emulator: apt-get install $missing"
        echo "0 passed, 0 failed, 1 skipped"
        exit 0
    fi
fi
PATH=$PWD/.venv/bin:$PATH
mkdir -p build
exec 9>"build/native-$preset.lock"
flock 9
echo "native: C tests, preset $preset"
# ThreadSanitizer of gcc 12 and clang 14 cannot live with all the address randomisation that newer kernels use.
launcher=
if [ "$preset" = tsan ] && setarch -R true 2>/dev/null; then launcher="setarch -R"; fi
# qemu-user lets a load pass the store before it, which the architecture does not (test_rt_deque.c): on one processor no
# thread can see that of another.
if [ "$preset" = aarch64 ] && command -v taskset >/dev/null; then
    launcher="taskset -c $(taskset -cp $$ | sed 's/.*: *//; s/[-,].*//')"
fi
cd native
cmake --preset "$preset" >"../build/native-$preset.log" 2>&1 || { cat "../build/native-$preset.log" >&2; exit 1; }
grep '^skipped: ' "../build/native-$preset.log" || true
cmake --build --preset "$preset" -j 2
status=0
# shellcheck disable=SC2086 # a command and its option, or nothing
$launcher ctest --preset "$preset" || status=$?
# What a test could not do here it says; ctest shows that of none that passed.
grep -h '^skipped: ' "../build/native-$preset/Testing/Temporary/LastTest.log" || true
exit $status
