#!/bin/sh
# Checks that this machine has what the named stages need, and names the Debian package for each thing that is missing.
#   tools/setup.sh [--install] [build] [test] [bench]
# build: required by everything. test, bench: optional parts, skipped by name where a tool is missing (exit status 0).
# --install: install what is missing with apt-get (needs root).
set -eu
python=${PYTHON:-python3}
install=no
required=
optional=

need() { # kind, what is missing, Debian package, what for
    printf 'setup: %s is missing (%s): apt-get install %s\n' "$2" "$4" "$3" >&2
    if [ "$1" = required ]; then required="$required $3"; else optional="$optional $3"; fi
}

have() { command -v "$1" >/dev/null 2>&1; }

check_python() {
    if ! have "$python"; then
        need required "$python" "python3 python3-dev python3-venv" "the language"
        return
    fi
    if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        echo "setup: $("$python" --version) is too old; kcoro-ipc needs 3.11 or later: make PYTHON=/path/to/python3.11 ..." >&2
        exit 1
    fi
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    include=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
    [ -e "$include/Python.h" ] || need required "$include/Python.h" "python$version-dev" "headers for the native module"
    "$python" -c 'import venv, ensurepip' 2>/dev/null || need required "module venv" "python$version-venv" "makes .venv"
}

check_build() {
    check_python
    have cc || need required "a C compiler (cc)" "gcc libc6-dev" "the native part"
    ! have cc || printf '#include <sys/epoll.h>\n' | cc -E -x c - >/dev/null 2>&1 ||
        need required "the C library's headers" libc6-dev "the native part"
    have make || need required make make "the commands"
    have flock || need required flock util-linux "one builder at a time"
}

links_fuzzer() {
    printf 'int LLVMFuzzerTestOneInput(const char *d, long n) { return d && n ? 0 : 0; }' |
        clang -fsanitize=fuzzer,address -x c - -o /dev/null 2>/dev/null
}

check_test() {
    if ! have clang; then
        need optional clang "clang libclang-rt-dev" "fuzz targets"
    elif ! links_fuzzer; then
        need optional "clang's fuzzer runtime" libclang-rt-dev "fuzz targets"
    fi
    have c++ || need optional c++ g++ "tests of the C++ face"
    have aarch64-linux-gnu-gcc || need optional aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu "native tests for aarch64"
    have aarch64-linux-gnu-g++ || need optional aarch64-linux-gnu-g++ g++-aarch64-linux-gnu "the C++ face for aarch64"
    [ -e /usr/aarch64-linux-gnu/include/stdio.h ] ||
        need optional "the C library for aarch64" libc6-dev-arm64-cross "native tests for aarch64"
    have qemu-aarch64 || need optional qemu-aarch64 qemu-user "native tests for aarch64"
    have strace || need optional strace strace "fault injection into system calls"
    have man || need optional man man-db "the manual is found"
    have zsh || need optional zsh zsh "completion in zsh"
    have fish || need optional fish fish "completion in fish"
    have systemd-analyze || need optional systemd-analyze systemd "the units, and the service under a manager"
}

check_bench() { have redis-server || need optional redis-server redis-server "a peer of the benchmarks"; }

install_missing() {
    # shellcheck disable=SC2086 # lists of package names
    [ -n "$required$optional" ] || return 0
    if ! have apt-get; then
        echo "setup: --install knows only apt-get, which is not here; install what is named above by hand" >&2
        return 0
    fi
    apt-get update -q || echo "setup: apt-get update failed; going on with the lists that are here" >&2
    if [ -n "$required" ]; then
        DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $required
    fi
    for package in $optional; do
        DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -q --no-install-recommends "$package" ||
            echo "setup: $package could not be installed; the part that uses it is skipped by name" >&2
    done
    required=
}

for word in "$@"; do
    case $word in
    --install) install=yes ;;
    build | test | bench) "check_$word" ;;
    *) echo "setup: unknown word '$word': use --install, build, test, bench" >&2 && exit 2 ;;
    esac
done
if [ "$install" = yes ]; then install_missing; fi
if [ -n "$required" ]; then
    echo "setup: install what is named above, then run make again" >&2
    exit 1
fi
