"""The daemon's parts with stand-ins: accepting, draining, and what one turn leaves to the next."""

import errno
import logging
import os
import signal
import socket
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from kcoro_ipc import _wire, control, transport
from kcoro_ipc.acceptor import (
    OVER_QUOTA_MOST,
    OWN_DESCRIPTORS,
    PAUSE_NS,
    PER_TURN,
    Acceptor,
    check_descriptor_limit,
)
from kcoro_ipc.broker import Broker
from kcoro_ipc.daemon import CONTROL_NS, TURN_NS, Daemon, serve
from kcoro_ipc.draining import Drain
from kcoro_ipc.errors import KcoroError
from kcoro_ipc.protocol.address import Address
from kcoro_ipc.quotas import Limits
from kcoro_ipc.records import Channel, Peer, Settings
from kcoro_ipc.registry import Registry
from kcoro_ipc.reports import Closed, Control, Report
from kcoro_ipc.telling import say_closed
from kcoro_ipc.throttle import LINES_PER_WINDOW
from kcoro_ipc.user_lives import LEGACY_IDLE_NS

QUIET = Report(0, 0, 0, 0, 0, 0, 0, 0)
SMALL = Limits(
    connections=8, channels=8, tokens=64, clauses=64, messages=64, accounts=8, bytes=1 << 20
)


class Engine:
    """Accounts and depths as the test sets them."""

    def __init__(self) -> None:
        self.accounts: list[int] = []
        self.depths: dict[int, int] = {}
        self.files = 0

    def account_usage(self, account: int) -> dict[str, int]:
        return {"files": self.files}

    def account_make(self, uid: int, **limits: int) -> int:
        self.accounts.append(len(self.accounts) + 1)
        return self.accounts[-1]

    def account_free(self, account: int) -> None:
        self.accounts.remove(account)

    def chan_stats(self, ticket: int) -> list[int]:
        depth = _wire.STAT_NAMES.index("depth") + 1
        return [self.depths.get(ticket, 0) if number == depth else 0 for number in range(64)]


class Pump:
    """Listeners that were found readable, connections that were added, what the end asked for."""

    def __init__(self) -> None:
        self.ready: deque[int] = deque()
        self.added: list[socket.socket] = []
        self.refuse_add: KcoroError | None = None
        self.paused: list[bool] = []
        self.ended = 0
        self.accounts: list[int] = []  # those of the engine
        self.refused: list[tuple[int, list[int]]] = []  # whose socket was closed, and they then

    def listen(self, fd: int) -> None:
        pass

    def unlisten(self, fd: int) -> None:
        pass

    def accept_ready(self) -> int | None:
        return self.ready.popleft() if self.ready else None

    def accept_pause(self, on: bool) -> None:
        self.paused.append(on)

    def add(self, fd: int, transport: int, account: int, pid: int) -> int:
        connected = socket.socket(fileno=fd)
        if self.refuse_add:
            connected.close()
            raise self.refuse_add
        self.added.append(connected)
        return len(self.added)

    def close_socket(self, fd: int, transport: int, account: int) -> None:
        socket.socket(fileno=fd).close()
        self.refused.append((account, list(self.accounts)))

    def drain(self) -> None:
        pass

    def cancel_all(self) -> None:
        self.ended += 1


class Hall:
    """An acceptor with two listeners in a broker of stand-ins and its own clock."""

    def __init__(self, directory: Path, **limits: int) -> None:
        self.engine, self.pump, self.now_ns = Engine(), Pump(), 0
        self.pump.accounts = self.engine.accounts
        stand_ins: Any = (self.engine, self.pump)
        self.registry = Registry(Limits(**limits))
        self.broker = Broker(*stand_ins, self.registry, lambda: self.now_ns)
        addresses = [Address("stream", str(directory / name)) for name in ("a", "b")]
        self.listeners = [transport.listen(address) for address in addresses]
        self.acceptor = Acceptor(self.broker, self.listeners)
        self.clients: list[socket.socket] = []

    def connect(self, count: int, listener: int = 0) -> None:
        for _ in range(count):
            client = socket.socket(socket.AF_UNIX)
            self.clients.append(client)
            client.connect(self.listeners[listener].address.path)

    def accept(self) -> int:
        """A turn in which both listeners were readable; how many connections there are now."""
        self.pump.ready.extend(listener.socket.fileno() for listener in self.listeners)
        self.acceptor.accept()
        return len(self.pump.added)

    def close(self) -> None:
        self.acceptor.close()
        for one in (*self.clients, *self.pump.added):
            one.close()


@pytest.fixture
def hall(socket_dir: Path) -> Iterator[Hall]:
    made = Hall(socket_dir, connections_per_uid=1_000)
    yield made
    made.close()


# --- accepting ---


def test_all_who_wait_at_a_listener_are_accepted_in_one_turn(hall: Hall) -> None:
    hall.connect(20, listener=0)
    hall.connect(10, listener=1)
    assert hall.accept() == 30


def test_one_listener_takes_no_more_than_its_share_of_a_turn(hall: Hall) -> None:
    hall.connect(PER_TURN + 5, listener=0)
    hall.connect(3, listener=1)
    assert hall.accept() == PER_TURN + 3
    assert hall.accept() == PER_TURN + 8


def test_after_the_listeners_closed_a_pause_of_accepting_is_no_deadline(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(self: socket.socket) -> Any:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socket.socket, "accept", none_left)
    hall.accept()
    assert hall.pump.paused == [True]
    assert hall.acceptor.next_deadline_ns() == PAUSE_NS
    hall.acceptor.close()
    assert hall.acceptor.next_deadline_ns() is None


def lines(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, Any]]:
    records = [record for record in caplog.records if record.getMessage() == event]
    return [record.__dict__["fields"] for record in records]


def test_each_user_that_is_refused_at_the_door_is_named_with_quota_and_limit(
    hall: Hall, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("kcoro_ipc.acceptor.OVER_QUOTA_MOST", -1_000)
    callers = iter([1000, 1001, 1000])

    def kernel(connected: socket.socket) -> transport.Credentials:
        uid = next(callers)
        return transport.Credentials(uid + 5, uid, uid, frozenset({uid}), False)

    monkeypatch.setattr("kcoro_ipc.acceptor.credentials", kernel)
    hall.connect(3)
    assert hall.accept() == 0
    said = lines(caplog, "connection refused")
    assert [(one["uid"], one["pid"]) for one in said] == [(1000, 1005), (1001, 1006), (1000, 1005)]
    quota = {"quota": "connections per uid", "limit": 1_000, "usage": 0}
    quota["setting"] = "limits.connections_per_uid"
    assert all(one.items() >= quota.items() for one in said)


def test_a_user_that_is_refused_a_thousand_times_hides_no_other_and_is_counted(
    hall: Hall, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def kernel(connected: socket.socket) -> transport.Credentials:
        uid = 1000 if len(hall.pump.refused) < LINES_PER_WINDOW + 7 else 1001
        return transport.Credentials(1, uid, uid, frozenset({uid}), False)

    monkeypatch.setattr("kcoro_ipc.acceptor.credentials", kernel)
    monkeypatch.setattr("kcoro_ipc.acceptor.OVER_QUOTA_MOST", -1_000)
    while len(hall.pump.refused) < LINES_PER_WINDOW + 8:
        hall.connect(1)
        hall.accept()
    uids = [one["uid"] for one in lines(caplog, "connection refused")]
    assert uids == [1000] * LINES_PER_WINDOW + [1001]
    hall.broker.talk.end()
    assert lines(caplog, "log lines left out") == [{"uid": 1000, "count": 7}]


def test_a_refusal_by_the_kernel_is_told_in_words(
    hall: Hall, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def kernel(connected: socket.socket) -> transport.Credentials:
        raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))

    monkeypatch.setattr("kcoro_ipc.acceptor.credentials", kernel)
    hall.connect(2)
    hall.accept()
    assert lines(caplog, "connection refused") == [{"why": os.strerror(errno.ENOBUFS)}]


@pytest.mark.parametrize("why", ["pump", "quota"])
def test_the_account_of_a_user_whose_only_connection_failed_is_returned(
    hall: Hall, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    if why == "pump":
        hall.pump.refuse_add = KcoroError("no")
    else:
        monkeypatch.setattr("kcoro_ipc.acceptor.OVER_QUOTA_MOST", -1_000)
    hall.connect(1)
    assert hall.accept() == 0
    assert hall.engine.accounts == []
    hall.pump.refuse_add = None
    monkeypatch.setattr("kcoro_ipc.acceptor.OVER_QUOTA_MOST", OVER_QUOTA_MOST)
    hall.connect(1)
    assert hall.accept() == 1
    assert hall.engine.accounts == [1]


def test_what_a_refused_connection_holds_is_charged_before_the_account_of_its_user_is_returned(
    socket_dir: Path,
) -> None:
    hall = Hall(socket_dir, connections=0)
    hall.connect(2)
    assert hall.accept() == 0
    assert hall.pump.refused == [(1, [1])] * 2
    assert hall.engine.accounts == []
    hall.close()


def test_a_user_who_is_gone_keeps_its_account_while_it_pays_for_files(hall: Hall) -> None:
    """Else whoever comes back had a new limit, and new threads that hang."""
    user = hall.broker.user(1000)
    hall.engine.files = 1
    hall.broker.settle(user)
    assert hall.broker.user(1000) is user
    hall.now_ns += LEGACY_IDLE_NS
    assert list(hall.broker.due(1)) == []
    assert hall.engine.accounts == [user.account]
    hall.engine.files = 0
    hall.now_ns += LEGACY_IDLE_NS
    assert list(hall.broker.due(1)) == []
    assert hall.engine.accounts == []


def test_too_few_descriptors_for_the_limits_are_one_warning_with_the_numbers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    limits = Limits(connections=100, regions=20, files=3)
    wanted = 123 + OWN_DESCRIPTORS
    check_descriptor_limit(limits, wanted)
    assert caplog.records == []
    check_descriptor_limit(limits, wanted - 1)
    (record,) = caplog.records
    fields = record.__dict__["fields"]
    numbers = {name: fields[name] for name in ("descriptors", "connections", "regions", "files")}
    expected = {"descriptors": wanted - 1, "connections": 100, "regions": 20, "files": 3}
    assert numbers == expected
    assert f"LimitNOFILE={wanted} " in fields["advice"]


# --- draining ---


def drain_of(hall: Hall, said: list[float]) -> Drain:
    """A drain that has begun, with one peer and two empty channels, of tickets 1 and 2."""
    for ticket in (1, 2):
        hall.registry.add(Channel(ticket, ticket, None, 1000, 1000, Settings()))
    hall.broker.join(Peer(1, hall.broker.user(1000), 1000, frozenset(), 1, 0))
    return Drain(hall.broker, hall.acceptor, 10.0, said.append)


def test_a_channel_that_was_found_empty_and_filled_later_keeps_the_daemon(hall: Hall) -> None:
    drain = drain_of(hall, [])
    hall.engine.depths = {1: 1}
    drain.begin()
    assert not drain.over()
    hall.engine.depths = {2: 1}  # the last message of 1 became a dead letter in 2
    assert not drain.over()
    assert not drain.over()
    hall.engine.depths = {}
    assert drain.over()


@pytest.mark.parametrize("drains", [True, False])
def test_the_service_manager_hears_once_of_the_end_and_how_long_it_may_take(
    hall: Hall, drains: bool
) -> None:
    said: list[float] = []
    drain = drain_of(hall, said)
    assert said == []
    if drains:
        drain.begin()
        assert said == [10.0]
    drain.end()
    drain.end()
    assert said == [10.0 if drains else 0.0]


def test_the_end_of_the_time_to_drain_is_no_deadline_of_the_last_flush(hall: Hall) -> None:
    drain = drain_of(hall, [])
    drain.begin()
    assert drain.next_deadline_ns() == 10_000_000_000
    drain.end()
    assert drain.next_deadline_ns() is None


# --- one turn ---


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


# --- reloading ---


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


# --- what ends it all ---


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


# --- ends of connections ---


def test_the_end_of_a_connection_is_told_with_who_it_was(
    hall: Hall, caplog: pytest.LogCaptureFixture
) -> None:
    peer = Peer(7, hall.broker.user(1000), 1000, frozenset(), 4242, 0, client_name="kcoro send")
    hall.broker.join(peer)
    with caplog.at_level(logging.INFO, "kcoro"):
        say_closed(hall.broker, Closed(7, _wire.KC_ECONNRESET, 3, 0, 0, 0, 0, 0))
    (said,) = lines(caplog, "disconnected")
    who = {"conn": 7, "uid": 1000, "pid": 4242, "client": "kcoro send", "code": "ECONNRESET"}
    assert said.items() >= who.items()
