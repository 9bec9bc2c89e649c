"""The units as systemd's own tools judge them, without a running manager."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kcoro_ipc import units
from kcoro_ipc.cli import installation, manager

pytestmark = pytest.mark.e2e

PATIENCE_S = 60.0
MOST_EXPOSURE = 0.7
HOMES = {
    "elsewhere": "ProtectHome=yes",
    "in a home": "ProtectHome=tmpfs\nBindReadOnlyPaths=/usr/share",
}


@pytest.fixture(autouse=True)
def _needs_systemd_analyze() -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed (Debian: systemd)")


def placed(place: Path, user: bool, home: str = "ProtectHome=yes") -> list[Path]:
    values = {"kcoro": installation.command(), "home": home}
    wanted = units.files(place, user, values, version=252)
    for path, text in wanted.items():
        units.place(path, text)
    return [path for path in wanted if path.suffix in (".service", ".socket")]


def verify(*words: str, runtime: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *words],
        env=os.environ | {"XDG_RUNTIME_DIR": str(runtime)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


@pytest.mark.parametrize("user", [False, True], ids=["system", "user"])
def test_verify_finds_nothing_to_say(tmp_path: Path, user: bool) -> None:
    found = placed(tmp_path, user)
    assert len(found) == 4
    done = verify(*(["--user"] if user else []), *map(str, found), runtime=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("user", [False, True], ids=["system", "user"])
def test_verify_would_see_a_planted_fault(tmp_path: Path, user: bool) -> None:
    found = placed(tmp_path, user)
    service = next(path for path in found if path.suffix == ".service")
    service.write_text(service.read_text().replace("WatchdogSec=", "WatchdogSecs="))
    done = verify(*(["--user"] if user else []), *map(str, found), runtime=tmp_path)
    assert done.returncode != 0
    assert "WatchdogSecs" in done.stderr


def test_of_the_drop_in_verify_knows_all_but_what_is_newer_than_itself(tmp_path: Path) -> None:
    """Without a manager of 254 this is all that can be seen of it: 252 says which value is new."""
    values = {"kcoro": installation.command(), "home": "ProtectHome=yes"}
    for path, text in units.files(tmp_path, False, values, version=254).items():
        units.place(path, text)
    done = verify(str(tmp_path / "systemd/system/kcoro.service"), runtime=tmp_path)
    said = [line for line in done.stderr.splitlines() if "254.conf" in line]
    version = manager.version()
    assert version is not None
    if version >= 253:
        assert said == []
    else:
        assert len(said) == 1
        assert "notify-reload" in said[0]


def exposure(service: Path) -> tuple[int, float]:
    """The exit status under our threshold, and the figure."""
    done = subprocess.run(
        [
            *("systemd-analyze", "security", "--offline=true", "--no-pager"),
            *(f"--threshold={MOST_EXPOSURE * 10:.0f}", str(service)),
        ],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    line = next(one for one in done.stdout.splitlines() if "Overall exposure" in one)
    return done.returncode, float(line.split("service: ")[1].split()[0])


@pytest.mark.parametrize("home", HOMES.values(), ids=HOMES)
def test_the_exposure_of_the_service_is_small(tmp_path: Path, home: str) -> None:
    service = next(path for path in placed(tmp_path, False, home) if path.suffix == ".service")
    status, figure = exposure(service)
    assert status == 0
    assert figure <= MOST_EXPOSURE


def test_the_threshold_would_see_a_protection_that_is_gone(tmp_path: Path) -> None:
    service = next(path for path in placed(tmp_path, False) if path.suffix == ".service")
    service.write_text(service.read_text().replace("NoNewPrivileges=yes\n", ""))
    status, figure = exposure(service)
    assert status != 0
    assert figure > MOST_EXPOSURE


def test_credentials_are_not_taken_away_by_a_user_namespace() -> None:
    for name in ("system", "user"):
        text = (units.TEMPLATES / name / "kcoro.service").read_text()
        assert not any(line.startswith("PrivateUsers=") for line in text.splitlines())


@pytest.fixture
def activating(socket_dir: Path) -> Iterator["subprocess.Popen[str]"]:
    if shutil.which("systemd-socket-activate") is None:
        pytest.skip("systemd-socket-activate is not installed (Debian: systemd)")
    process = subprocess.Popen(
        [
            *("systemd-socket-activate", "--fdname=stream", f"--listen={socket_dir}/k.sock"),
            *(sys.executable, "-m", "kcoro_ipc", "serve"),
        ],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.getcwd()},
    )
    with process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("Listening on ")
        yield process
        process.kill()


def test_the_first_connection_starts_it_under_systemd_socket_activate(
    activating: "subprocess.Popen[str]", socket_dir: Path
) -> None:
    path = socket_dir / "k.sock"
    done = subprocess.run(
        [sys.executable, "-m", "kcoro_ipc", "--socket", str(path), "stat", "--json"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["pid"] == activating.pid  # it became the daemon
    activating.terminate()
    assert activating.wait(PATIENCE_S) == 0
    with socket.socket(socket.AF_UNIX) as late, pytest.raises(ConnectionRefusedError):
        late.connect(str(path))  # the path is its maker's: still there
