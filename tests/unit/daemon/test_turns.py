"""What one turn of the daemon leaves to the next, and which faults end it."""

import logging
import signal
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from kcoro_ipc import _wire, control
from kcoro_ipc.daemon import CONTROL_NS, TURN_NS, Daemon, serve
from kcoro_ipc.quotas import Limits
from kcoro_ipc.reports import Closed, Control, Report

QUIET = Report(0, 0, 0, 0, 0, 0, 0, 0)
SMALL = Limits(
    connections=8, channels=8, tokens=64, clauses=64, messages=64, accounts=8, bytes=1 << 20
)
PIECES = 90
PIECE_NS = 100_000


class Turns:
    """What a turn left: control frames and ended connections; each piece takes PIECE_NS."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, daemon: Daemon) -> None:
        self.now_ns = 0
        self.frames = deque(
            Control(n, _wire.CMD_LIST, 1, 1, True, False, 0, b"") for n in range(PIECES)
        )
        self.ended = deque(Closed(n, 0, 0, 0, 0, 0, 0, 0) for n in range(PIECES))
        self.closed: list[tuple[int, int]] = []
        self.broken: BaseException | None = None
        monkeypatch.setattr(daemon, "pump", self)
        monkeypatch.setattr(daemon.broker, "clock", lambda: self.now_ns)
        monkeypatch.setattr(daemon.broker, "depart", self.work)
        monkeypatch.setattr(control, "serve", self.work)

    def work(self, *_: Any) -> control.Outcome:
        self.now_ns += PIECE_NS
        return control.LET_GO

    def next_control(self) -> Control | None:
        if self.broken is not None:
            raise self.broken
        return self.frames.popleft() if self.frames else None

    def next_closed(self) -> Closed | None:
        return self.ended.popleft() if self.ended else None

    def resume(self, conn: int) -> None:
        if conn == 1:
            raise ZeroDivisionError("planted")

    def close(self, conn: int, code: int) -> None:
        self.closed.append((conn, code))


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    with ExitStack() as stack:
        made = Daemon([], SMALL, 0.0)
        stack.callback(made.free)
        yield made


def test_control_work_is_left_to_the_next_turn_when_its_time_is_up(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        turns = Turns(patch, daemon)
        daemon.handle(QUIET._replace(control=PIECES))
        left = PIECES - CONTROL_NS // PIECE_NS  # before others are looked after again
        assert len(turns.frames) == left
        daemon.handle(QUIET._replace(closed=PIECES, control=left))
        assert len(turns.ended) == PIECES - TURN_NS // PIECE_NS
        assert len(turns.frames) == left - 1  # at least one of each


def test_what_is_due_takes_no_longer_than_control_frames_and_what_is_left_of_the_turn(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        turns = Turns(patch, daemon)
        given: list[int] = []
        patch.setattr(control, "due", lambda _, __, until_ns: given.append(until_ns - turns.now_ns))
        daemon.handle(QUIET)
        daemon.handle(QUIET._replace(closed=PIECES))
        assert given == [CONTROL_NS, 0]


def test_a_fault_in_answering_or_in_fetching_a_control_frame_does_not_end_the_loop(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patch, caplog.at_level(logging.ERROR, "kcoro"):
        turns = Turns(patch, daemon)
        daemon.handle(QUIET._replace(control=PIECES))
        assert turns.closed == [(1, _wire.KC_ECONNRESET)]
        turns.broken = MemoryError("planted too")
        daemon.handle(QUIET._replace(control=PIECES))
    assert "ZeroDivisionError: planted" in caplog.text
    assert "MemoryError: planted too" in caplog.text


async def test_a_fault_in_reloading_does_not_end_the_daemon_and_the_next_one_is_served(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen: list[int] = []

    async def reload(daemon: Daemon) -> None:
        seen.append(len(seen))
        if len(seen) == 1:
            signal.raise_signal(signal.SIGHUP)
            raise ZeroDivisionError("planted")
        await daemon.between_turns(lambda: seen.append(-1))
        daemon.stop(drain=False)

    with caplog.at_level(logging.ERROR, "kcoro"):
        status = await serve(
            [], limits=SMALL, reload=reload, ready=lambda: signal.raise_signal(signal.SIGHUP)
        )
    assert (status, seen) == (0, [0, 1, -1])
    assert "ZeroDivisionError: planted" in caplog.text


async def test_a_fault_that_ends_the_daemon_leaves_its_traceback_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def beside(daemon: Daemon) -> None:
        raise ZeroDivisionError("planted")

    with caplog.at_level(logging.ERROR, "kcoro"), pytest.raises(ExceptionGroup):
        await serve([], limits=SMALL, signals=False, beside=beside)
    (record,) = caplog.records
    assert (record.getMessage(), record.levelno) == ("fault", logging.ERROR)
    assert "in beside" in caplog.text
    assert "ZeroDivisionError: planted" in caplog.text
