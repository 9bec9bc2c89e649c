#!/bin/sh
# Makes .venv and installs every tool of pyproject.toml into it, unless that was done for this very pyproject.toml.
# One builder at a time: the lock is released when this process ends.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
mkdir -p build
exec 9>build/venv.lock
flock 9

wanted=$("$python" -c 'import sys; print(sys.version)'; cat pyproject.toml tools/requirements.py)
stamp=$(printf '%s' "$wanted" | sha256sum | cut -d' ' -f1)
if [ -x .venv/bin/python ] && [ "$(cat .venv/stamp 2>/dev/null)" = "$stamp" ]; then
    exit 0
fi
tools/setup.sh build
if ! [ -x .venv/bin/python ] ||
    [ "$(.venv/bin/python -c 'import sys; print(sys.version)')" != "$("$python" -c 'import sys; print(sys.version)')" ]; then
    echo "venv: making .venv with $("$python" --version)"
    "$python" -m venv --clear .venv
fi
echo "venv: installing the tools named in pyproject.toml"
"$python" tools/requirements.py --project build test lint docs numpy >build/requirements.txt
if ! .venv/bin/python -m pip install --quiet --disable-pip-version-check -r build/requirements.txt 2>build/venv.log; then
    cat build/venv.log >&2
    echo "venv: pip could not install the tools; it needs a package index or a directory of wheels (PIP_INDEX_URL, PIP_FIND_LINKS)" >&2
    exit 1
fi
echo "$stamp" >.venv/stamp
