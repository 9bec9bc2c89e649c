#!/bin/sh
# Benchmarks: a plain install of the project in build/bench-venv, the peers that can be had, then bench/.
# Arguments go to bench/ (python -m bench --help).
set -eu
cd "$(dirname "$0")/.."
tools/setup.sh bench
.venv/bin/python tools/requirements.py --only bench | while read -r peer; do
    .venv/bin/python -m pip install --quiet --disable-pip-version-check "$peer" 2>/dev/null ||
        echo "skipped: $peer cannot be installed here; its rows are left out" >&2
done
echo "bench: installing kcoro-ipc into build/bench-venv"
tools/plain_venv.sh "$PWD/build/bench-venv"
exec build/bench-venv/bin/python -m bench "$@"
