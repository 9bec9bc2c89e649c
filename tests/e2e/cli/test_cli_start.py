"""What `kcoro send` and `kcoro recv` load: their start is a promise, so each import is counted."""

import subprocess
from typing import Any

import pytest

HEAVY = {"trio", "construct", "rich", "msgspec", "subprocess", "asyncio", "json.decoder"}
LIST_MODULES = (
    "import atexit, sys\n"
    "atexit.register(lambda: print(*sorted(sys.modules), sep='\\n', file=sys.stderr))\n"
)


def modules(kcoro: Any, tmp_path: Any, *words: str) -> set[str]:
    (tmp_path / "sitecustomize.py").write_text(LIST_MODULES)
    finished = kcoro(*words, PYTHONPATH=str(tmp_path))
    assert finished.returncode == 0, finished.stderr
    return set(finished.stderr.decode().split())


@pytest.mark.parametrize("command", ["send", "recv"])
def test_sending_and_receiving_load_nothing_heavy(kcoro: Any, tmp_path: Any, command: str) -> None:
    name = kcoro.name()
    kcoro("make", name, "--capacity", "2")
    kcoro("send", name, "x")
    loaded = modules(kcoro, tmp_path, command, name, *(["y"] if command == "send" else []))
    assert "kcoro_ipc.blocking" in loaded
    assert loaded & HEAVY == set()
    others = {one for one in loaded if one.startswith("kcoro_ipc.cli.")}
    assert not others & {f"kcoro_ipc.cli.{one}" for one in ("make", "demo", "top", "select")}


def test_help_loads_no_command(kcoro: Any, tmp_path: Any) -> None:
    loaded = modules(kcoro, tmp_path, "-h")
    ours = {one for one in loaded if one.startswith("kcoro_ipc")}
    assert ours <= {"kcoro_ipc", "kcoro_ipc.__main__", "kcoro_ipc.errors", "kcoro_ipc.cli"} | {
        f"kcoro_ipc.cli.{one}" for one in ("main", "brief", "exits", "invocation", "standard")
    }


def test_the_installed_program_is_the_same(kcoro: Any) -> None:
    import sys
    from pathlib import Path

    program = Path(sys.executable).with_name("kcoro")
    if not program.exists():
        pytest.skip("the package is not installed here: there is no kcoro beside the interpreter")
    finished = subprocess.run([program, "ls", "-q"], capture_output=True, env=kcoro.environment())
    assert finished.returncode == 0
