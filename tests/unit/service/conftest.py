"""`kcoro service` as a call, and a stand-in for systemctl."""

import os
from pathlib import Path

import pytest

from kcoro_ipc.cli.invocation import Invocation
from kcoro_ipc.cli.main import run
from tests.unit.service.placed import Kcoro


@pytest.fixture
def kcoro(capsys: pytest.CaptureFixture[str]) -> Kcoro:
    """One command line: exit code, lines of stdout, stderr."""

    def call(*words: str) -> tuple[int, list[str], str]:
        code = run(["service", *words], Invocation())
        said = capsys.readouterr()
        return code, said.out.splitlines(), said.err

    return call


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in that notes its words in a file and answers what `answer` holds."""
    place = tmp_path / "bin"
    place.mkdir()
    for name in ("systemctl", "systemd-sysusers", "systemd-tmpfiles"):
        (place / name).write_text(
            f'#!/bin/sh\necho "{name} $*" >> {tmp_path}/asked\n'
            f'[ "$1" != --version ] || echo "systemd 255 (255.4)"\n'
            f"cat {tmp_path}/answer 2>/dev/null\n"
            f"[ ! -e {tmp_path}/fails ] || {{ cat {tmp_path}/fails >&2; exit 1; }}\n"
        )
        (place / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path
