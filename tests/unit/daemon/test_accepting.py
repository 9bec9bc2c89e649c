"""Who is let in at a listener, who is refused, and what is said of it."""

import errno
import logging
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from kcoro_ipc import _wire, transport
from kcoro_ipc.acceptor import (
    OVER_QUOTA_MOST,
    OWN_DESCRIPTORS,
    PAUSE_NS,
    PER_TURN,
    check_descriptor_limit,
)
from kcoro_ipc.errors import KcoroError
from kcoro_ipc.quotas import Limits
from kcoro_ipc.records import Peer
from kcoro_ipc.reports import Closed
from kcoro_ipc.telling import say_closed
from kcoro_ipc.throttle import LINES_PER_WINDOW
from kcoro_ipc.user_lives import LEGACY_IDLE_NS
from tests.unit.daemon.hall import Hall, lines


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
