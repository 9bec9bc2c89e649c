#!/bin/sh
# Installs the project into .venv, editable: Python files are used where they stand, the native part is compiled only
# when a file under native/ or pyproject.toml changed since the last build (by content, not by time), or when a Python
# file came or went: the editable install knows the modules by a list made here, and takes what is not in it for empty.
# One builder at a time: the lock is released when this process ends.
set -eu
cd "$(dirname "$0")/.."
mkdir -p build
exec 9>build/build.lock
flock 9

stamp=$({ cat .venv/stamp; find native man completions pyproject.toml -type f | LC_ALL=C sort | xargs sha256sum; find kcoro_ipc -name '*.py' | LC_ALL=C sort; } |
    sha256sum | cut -d' ' -f1)
if [ "$(cat build/stamp 2>/dev/null)" = "$stamp" ]; then
    exit 0
fi
# CMake's install step compares whole seconds: two builds within one would keep the older library.
[ ! -e build/stamp ] || [ $(($(date +%s) - $(stat -c %Y build/stamp))) -ge 2 ] || sleep 2
rm -f build/stamp
echo "build: compiling native/ and installing kcoro-ipc into .venv (log: build/build.log)"
if ! .venv/bin/python -m pip install --disable-pip-version-check --no-build-isolation --no-deps \
    -Ceditable.mode=redirect -Ceditable.verbose=false -Cbuild-dir='build/{wheel_tag}' -e . >build/build.log 2>&1; then
    cat build/build.log >&2
    echo "build: failed; the compiler's message stands above, the whole log is build/build.log" >&2
    exit 1
fi
echo "$stamp" >build/stamp
