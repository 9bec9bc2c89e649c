#!/bin/sh
# Makes a second virtual environment in which the project is installed plainly (compiled and copied, not editable),
# and which borrows every other package from .venv. Benchmarks measure it; planted faults are built into it.
#   tools/plain_venv.sh DIRECTORY [pip option...]          e.g. -Ccmake.define.KC_MUTANT=3
# .venv is borrowed by a .pth line: Python does not read the .pth files of a directory added that way, so the editable
# install of .venv does not follow.
set -eu
cd "$(dirname "$0")/.."
directory=$1
shift
mkdir -p "$directory"
exec 9>"$directory.lock"
flock 9
[ -x "$directory/bin/python" ] || .venv/bin/python -m venv --without-pip "$directory"
own=$("$directory/bin/python" -c 'import sysconfig; print(sysconfig.get_path("platlib"))')
.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("platlib"))' >"$own/borrowed.pth"
rm -rf "$own"/kcoro_ipc "$own"/kcoro_ipc-*.dist-info
.venv/bin/python -m pip --python "$directory/bin/python" install --quiet --disable-pip-version-check \
    --no-build-isolation --no-deps --ignore-installed -Cbuild-dir="$directory/build" "$@" . >"$directory/install.log" 2>&1 || {
    cat "$directory/install.log" >&2
    echo "plain_venv: the install into $directory failed; the message stands above" >&2
    exit 1
}
