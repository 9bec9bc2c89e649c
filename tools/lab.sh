#!/bin/sh
# Builds the labs and runs them one after the other: tools/lab.sh [LAB...]
set -eu
cd "$(dirname "$0")/.."
PATH=$PWD/.venv/bin:$PATH
mkdir -p build
exec 9>"build/native-default.lock"
flock 9
(cd native && cmake --preset default) >build/lab.log 2>&1 || { cat build/lab.log >&2; exit 1; }
cmake --build build/native-default -j 2 --target labs >>build/lab.log 2>&1 || { cat build/lab.log >&2; exit 1; }
[ $# != 0 ] || set -- lab_waiter_token lab_token_vm lab_token_vm_bench lab_token_vm_mirror
for lab in "$@"; do
    echo "-- $lab"
    "build/native-default/lab/$lab"
done
