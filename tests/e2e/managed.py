"""kcoro.service on the booted machine, for tests: stopped and as it was installed for each.

The fixtures are in conftest.py, so that one machine serves all tests of a run.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.e2e import booted
from tests.e2e.booted import Machine

PATIENCE_S = 60.0
DROP_IN = "/run/systemd/system/kcoro.service.d/test.conf"
SOCKETS = ("kcoro.socket", "kcoro-seq.socket", "kcoro-metrics.socket")


@pytest.fixture(scope="session")
def machine() -> Iterator[Machine]:
    lacking = booted.why_not()
    if lacking:
        pytest.skip(lacking)
    with booted.booted() as made:
        made.run("kcoro", "service", "install", "--now", "--force")
        for name in ("kc-alice", "kc-bob"):
            made.run("useradd", "--create-home", "--home-dir", f"/srv/{name}", name)
        made.run("usermod", "--append", "--groups", "kcoro", "kc-alice")
        yield made


@dataclass
class Service:
    """kcoro.service on the machine, as it was installed: stopped, its sockets open."""

    machine: Machine

    def show(self, *names: str, unit: str = "kcoro.service") -> dict[str, str]:
        words = [f"--property={','.join(names)}", unit]
        lines = self.machine.ask("systemctl", "show", *words).splitlines()
        return dict(line.split("=", 1) for line in lines)

    def state(self) -> str:
        return self.show("ActiveState")["ActiveState"]

    def pid(self) -> int:
        """Of the daemon that serves: a client comes, and waits until one does."""
        done = self.machine.run("kcoro", "stat", "--json")
        return int(json.loads(done.stdout)["pid"])

    def change(self, *lines: str) -> None:
        self.machine.write(DROP_IN, "\n".join(["[Service]", *lines, ""]))
        self.machine.run("systemctl", "daemon-reload")

    def log(self) -> str:
        return self.machine.log("--unit=kcoro.service")

    def tells(self, *words: str) -> None:
        """A line of the log has all of them. What wrote it may have ended before it is there."""
        until(
            lambda: any(all(w in line for w in words) for line in self.log().splitlines()),
            f"a line of the log with {' and '.join(words)}",
        )

    def restarts(self) -> int:
        return int(self.show("NRestarts")["NRestarts"])


@pytest.fixture
def service(machine: Machine) -> Iterator[Service]:
    for words in (
        ["stop", "kcoro.service"],
        ["daemon-reload"],
        ["reset-failed"],
        ["start", *SOCKETS],
    ):
        machine.run("systemctl", *words, status=None)
    machine.run("journalctl", "--rotate", "--vacuum-time=1us", status=None)
    try:
        yield Service(machine)
    finally:
        machine.run("rm", "-f", DROP_IN)


def until(check: Callable[[], bool], what: str) -> None:
    """The manager tells nobody: it is asked again and again."""
    deadline = time.monotonic() + PATIENCE_S
    while not check():
        assert time.monotonic() < deadline, f"it never happened: {what}"
