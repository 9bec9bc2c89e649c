"""Signs of life come from turns that returned, and from nothing else. Time is real but short; what
is asserted is order and absence, which no load can change."""

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from kcoro_ipc import _wire, watchdog
from kcoro_ipc.daemon import Daemon
from kcoro_ipc.quotas import Limits
from kcoro_ipc.reports import Report
from kcoro_ipc.structs import ChannelConfig, Operation
from kcoro_ipc.watchdog import Pulse

SMALL = Limits(
    connections=8, channels=8, tokens=64, clauses=64, messages=64, accounts=8, bytes=1 << 20
)
WATCHDOG_NS = 10_000_000
PAUSES_S = 10 * WATCHDOG_NS / 2e9
PATIENCE_S = 60.0
BOTH_WAYS = pytest.mark.parametrize("io_thread", [False, True])


class Watched:
    """A daemon with a pulse; `said` has each datagram with the turns that had returned by then."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.turns = 0
        self.said: list[tuple[str, int]] = []
        self.heard = trio.lowlevel.ParkingLot()
        self.free, self.hangs = threading.Event(), threading.Event()
        self.free.set()
        self._turn = daemon.pump.turn
        daemon.pump.turn = self.turn  # type: ignore[method-assign]

    def turn(self, *args: Any) -> Report:
        if not self.free.is_set():
            self.hangs.set()
        assert self.free.wait(PATIENCE_S)
        report = self._turn(*args)
        self.turns += 1
        return report

    def notify(self, state: str) -> None:
        self.said.append((state, self.turns))
        self.heard.unpark_all()

    async def hear(self, count: int) -> None:
        with trio.fail_after(PATIENCE_S):
            while len(self.said) < count:
                await self.heard.park()


@asynccontextmanager
async def watched(io_thread: bool, watchdog_ns: int | None) -> AsyncIterator[Watched]:
    daemon = Daemon([], SMALL, 0.0)
    one = Watched(daemon)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(daemon.run, io_thread)
            nursery.start_soon(Pulse(daemon, watchdog_ns, one.notify).run)
            yield one
            one.free.set()
            nursery.cancel_scope.cancel()
    finally:
        daemon.free()


@BOTH_WAYS
async def test_each_sign_of_life_follows_a_turn_of_its_own(io_thread: bool) -> None:
    async with watched(io_thread, WATCHDOG_NS) as one:
        await one.hear(6)
    words = [state for state, _ in one.said[:6]]
    assert words == ["STATUS=0 channels, 0 connections, 0 messages/s"] + ["WATCHDOG=1"] * 5
    turns = [turns for _, turns in one.said[1:6]]
    assert turns == sorted(set(turns))


async def test_a_turn_that_hangs_is_no_life_though_trio_goes_round() -> None:
    async with watched(True, WATCHDOG_NS) as one:
        await one.hear(3)
        one.free.clear()
        one.daemon.pump.wake()  # into the turn that hangs
        assert await trio.to_thread.run_sync(one.hangs.wait, PATIENCE_S)
        await trio.testing.wait_all_tasks_blocked()  # what the turn before it had to say is said
        before = len(one.said)
        await trio.sleep(PAUSES_S)
        assert len(one.said) == before
        one.free.set()
        await one.hear(before + 2)


async def test_an_idle_daemon_without_a_watchdog_is_never_woken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watchdog, "STATUS_S", PAUSES_S / 10)
    async with watched(False, None) as one:
        await one.hear(1)
        await trio.testing.wait_all_tasks_blocked(0.05)
        before = one.turns
        await trio.sleep(PAUSES_S)
        assert one.turns == before
    assert [state for state, _ in one.said] == ["STATUS=0 channels, 0 connections, 0 messages/s"]


async def test_the_status_line_counts_and_is_said_again_only_when_it_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watchdog, "STATUS_S", PAUSES_S / 10)
    async with watched(False, None) as one:
        await one.hear(1)
        chan = one.daemon.engine.chan_make(ChannelConfig(kind=_wire.KIND_UNLIMITED))
        for _ in range(1000):
            one.daemon.engine.chan_send(chan, Operation(), b"x")
        one.daemon.broker.registry.channels[7] = None  # type: ignore[assignment]
        one.daemon.broker.registry.peers.update({1: None, 2: None})  # type: ignore[dict-item]
        one.daemon.pump.wake()
        await one.hear(3)  # with the rate, then by itself down to 0
        one.daemon.broker.draining = True
        one.daemon.pump.wake()
        await one.hear(4)
        one.daemon.broker.registry.channels.clear()
        one.daemon.broker.registry.peers.clear()
        said = [state for state, _ in one.said]
    busy = said[1].removeprefix("STATUS=1 channel, 2 connections, ")
    assert int(busy.removesuffix(" messages/s")) > 0
    assert said[2] == "STATUS=1 channel, 2 connections, 0 messages/s"
    assert said[3] == "STATUS=draining: 1 channel, 2 connections, 0 messages/s"
