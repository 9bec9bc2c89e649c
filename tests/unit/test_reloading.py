"""A reload that meets the daemon's end, and one whose file does not come."""

import threading
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from kcoro_ipc import logs, reloading, service
from kcoro_ipc.config_forms import Config
from kcoro_ipc.reloading import Reloader


class Daemon:
    """What a reload needs of one."""

    def __init__(self) -> None:
        self.broker = SimpleNamespace(draining=False)
        self.going = SimpleNamespace(seconds=10.0)
        self.between: list[Any] = []

    async def between_turns(self, function: Any) -> None:
        self.broker.draining = True  # SIGTERM came while the file was read
        function()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []
    monkeypatch.setattr(service, "notify", lambda state, _: said.append(state))
    return said


def reloader() -> Reloader:
    return Reloader("/dev/null", {}, {})


async def test_a_reload_under_way_changes_nothing_once_the_daemon_drains(told: list[str]) -> None:
    daemon, asked = Daemon(), reloader()
    before = asked.config
    asked._read = lambda: Config(drain=99.0)  # type: ignore[method-assign]
    await asked.reload(daemon)  # type: ignore[arg-type]
    assert asked.config is before
    assert daemon.going.seconds == 10.0
    assert [state.split("=")[0] for state in told] == ["RELOADING"]


async def test_a_file_that_does_not_come_does_not_keep_the_daemon(told: list[str]) -> None:
    come, asked = threading.Event(), reloader()
    begun = threading.Event()

    def read() -> Config:
        begun.set()
        come.wait()
        return Config()

    asked._read = read  # type: ignore[method-assign]
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(asked.reload, Daemon())
            await trio.to_thread.run_sync(begun.wait)
            nursery.cancel_scope.cancel()
    finally:
        come.set()
    assert [state.split("=")[0] for state in told] == ["RELOADING"]


async def test_a_fault_in_reading_leaves_the_old_one_and_is_followed_by_ready(
    told: list[str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs.log, "propagate", True)
    daemon, asked = Daemon(), reloader()
    before = asked.config

    def read() -> Config:
        raise TypeError("a fault of ours")

    asked._read = read  # type: ignore[method-assign]
    await asked.reload(daemon)  # type: ignore[arg-type]
    assert asked.config is before
    assert [state.split("=")[0] for state in told] == ["RELOADING", "READY"]
    assert caplog.messages == [
        "fault",
        "configuration not reloaded: the old one stays in force",
    ]


async def test_a_fault_half_way_is_said_and_followed_by_ready(
    told: list[str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs.log, "propagate", True)

    class Serving(Daemon):
        async def between_turns(self, function: Any) -> None:
            function()

    def apply(*_: object) -> Config:
        raise TypeError("a fault of ours")

    monkeypatch.setattr(reloading, "apply", apply)
    asked = reloader()
    before = asked.config
    await asked.reload(Serving())  # type: ignore[arg-type]
    assert asked.config is before
    assert [state.split("=")[0] for state in told] == ["RELOADING", "READY"]
    assert caplog.messages == [
        "fault",
        "configuration reloaded in part: restart to have it whole",
    ]
