#!/bin/sh
# Configures, builds and tests the native part with one preset: native-test (default), native-asan, native-tsan.
set -eu
cd "$(dirname "$0")/.."
case ${1:-native-test} in
native-test) preset=default ;;
native-asan) preset=asan ;;
native-tsan) preset=tsan ;;
*) echo "native: unknown lane '$1': native-test, native-asan, native-tsan" >&2 && exit 2 ;;
esac
PATH=$PWD/.venv/bin:$PATH
mkdir -p build
exec 9>"build/native-$preset.lock"
flock 9
echo "native: C tests, preset $preset"
# ThreadSanitizer of gcc 12 and clang 14 cannot live with all the address randomisation that newer kernels use.
launcher=
if [ "$preset" = tsan ] && setarch -R true 2>/dev/null; then launcher="setarch -R"; fi
cd native
cmake --preset "$preset" >"../build/native-$preset.log" 2>&1 || { cat "../build/native-$preset.log" >&2; exit 1; }
cmake --build --preset "$preset" -j 2
# shellcheck disable=SC2086 # a command and its option, or nothing
exec $launcher ctest --preset "$preset"
