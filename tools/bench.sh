#!/bin/sh
# Benchmarks: a plain install of the project in build/bench-venv (what a user runs: no editable finder on the path of
# an import), then `python -m bench`, which gets its peers itself and skips by name what cannot be had.
#   make bench ARGS="--help"
set -eu
cd "$(dirname "$0")/.."
tools/setup.sh bench
echo "bench: installing kcoro-ipc into build/bench-venv"
venv=$PWD/build/bench-venv
tools/plain_venv.sh "$venv"
# bench/ is imported from the tree, kcoro_ipc from the install: the tree comes last, and no process puts its working
# directory first.
echo "$PWD" >"$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("platlib"))')/tree.pth"
export PYTHONSAFEPATH=1
exec "$venv/bin/python" -m bench "$@"
