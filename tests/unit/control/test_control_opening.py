"""CHAN_OPEN: rights, waiting for a name, quotas."""

import logging
from collections import deque
from typing import Any

import pytest

from kcoro_ipc import _wire, control
from tests.unit.control.house import (
    EPHEMERAL,
    EXCLUSIVE,
    FIXED,
    OWNER,
    READ,
    STRANGER,
    WRITE,
    House,
    refused,
)


def test_open_by_name_and_by_number_grant_what_was_asked() -> None:
    house = House()
    house.ask(house.peer(), "CHAN_MAKE", NAME="jobs", KIND=3, ELEM_SIZE=9)
    other = house.peer()
    answer = house.ask(other, "CHAN_OPEN", NAME="jobs", FLAGS=READ)
    assert (answer["KIND"], answer["CAPACITY"], answer["ELEM_SIZE"]) == (1, 3, 9)
    assert answer["FLAGS"] == READ
    assert house.pump.grants[other.conn, 1001] == READ
    assert house.ask(other, "CHAN_OPEN", CHAN_ID=1001, FLAGS=WRITE)["FLAGS"] == READ | WRITE


@pytest.mark.parametrize(
    ("uid", "attributes", "code"),
    [
        (OWNER, {"NAME": "none"}, _wire.KC_ENOENT),
        (OWNER, {"CHAN_ID": 77}, _wire.KC_ENOENT),
        (OWNER, {"CHAN_ID": 77, "TIMEOUT_MS": -1}, _wire.KC_ENOENT),
        (OWNER, {}, _wire.KC_EINVAL),
        (OWNER, {"NAME": "a/b", "TIMEOUT_MS": -1}, _wire.KC_EINVAL),
        (OWNER, {"NAME": "jobs", "FLAGS": EXCLUSIVE}, _wire.KC_EINVAL),
        (OWNER, {"NAME": "jobs", "FLAGS": EPHEMERAL}, _wire.KC_EEXIST),
        (STRANGER, {"NAME": "secret"}, _wire.KC_ENOENT),
        (STRANGER, {"NAME": "jobs"}, _wire.KC_EACCES),
    ],
)
def test_open_refuses(uid: int, attributes: dict[str, Any], code: int) -> None:
    house = House()
    maker = house.peer()
    house.ask(maker, "CHAN_MAKE", NAME="jobs", MODE=0o604)
    house.ask(maker, "CHAN_MAKE", NAME="secret")
    peer = house.peer(uid)
    assert refused(house.ask(peer, "CHAN_OPEN", **attributes), code)
    assert (peer.handles, peer.openings) == ({}, {})


@pytest.mark.parametrize(("uid", "hidden"), [(STRANGER, True), (STRANGER, False)])
def test_a_refusal_of_rights_is_one_line_of_the_log(
    uid: int, hidden: bool, caplog: pytest.LogCaptureFixture
) -> None:
    house = House()
    house.ask(house.peer(), "CHAN_MAKE", NAME="jobs", MODE=0o600 if hidden else 0o604)
    peer = house.peer(uid)
    with caplog.at_level(logging.WARNING, "kcoro"):
        house.ask(peer, "CHAN_OPEN", NAME="jobs")
        house.ask(peer, "CHAN_OPEN", NAME="no such name")
    lines = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.getMessage() for record in lines] == ["refused"]
    said = lines[0].fields  # type: ignore[attr-defined]
    assert (said["uid"], said["name"]) == (STRANGER, "jobs")
    assert said["code"] == ("ENOENT" if hidden else "EACCES")


def test_open_with_a_timeout_waits_for_the_make_that_brings_the_name() -> None:
    house = House()
    waiting, maker = house.peer(), house.peer()
    assert house.ask(waiting, "CHAN_OPEN", NAME="late", TIMEOUT_MS=-1, FLAGS=READ) is None
    house.ask(maker, "CHAN_MAKE", NAME="other")
    assert house.pump.finished == []
    house.ask(maker, "CHAN_MAKE", NAME="late", KIND=2)
    assert house.broker.next_deadline_ns() == 0  # due in this very turn
    control.due(house.broker, 64)
    ((conn, answer),) = house.pump.finished
    assert conn == waiting.conn
    assert (answer["cmd"], answer["REQ_ID"], answer["RESULT"]) == ("CHAN_OPEN", 5, 0)
    assert (answer["CHAN_ID"], answer["KIND"], answer["FLAGS"]) == (1002, 1, READ)
    assert house.pump.grants[waiting.conn, 1002] == READ
    assert house.registry.waiting.openings == {}


def test_one_make_answers_all_who_wait_in_their_order_and_not_those_who_may_not_see() -> None:
    house = House()
    peers = [house.peer(), house.peer(STRANGER), house.peer()]
    for peer in peers:
        house.ask(peer, "CHAN_OPEN", NAME="late", TIMEOUT_MS=1000)
    house.ask(house.peer(), "CHAN_MAKE", NAME="late")
    control.due(house.broker, 64)
    assert [conn for conn, _ in house.pump.finished] == [peers[0].conn, peers[2].conn]
    assert [opening.conn for opening in house.registry.waiting.openings["late"]] == [peers[1].conn]


def test_an_open_that_waited_and_lacks_a_right_is_refused_by_the_make() -> None:
    house = House()
    house.ask(house.peer(STRANGER), "CHAN_OPEN", NAME="late", TIMEOUT_MS=-1)
    house.ask(house.peer(), "CHAN_MAKE", NAME="late", MODE=0o604)
    control.due(house.broker, 64)
    assert house.pump.finished[0][1]["RESULT"] == _wire.KC_EACCES


def test_an_open_that_waited_is_held_to_its_properties_as_a_direct_one() -> None:
    house = House()
    house.ask(house.peer(), "CHAN_OPEN", NAME="late", TIMEOUT_MS=-1, FLAGS=READ | EPHEMERAL)
    house.ask(house.peer(), "CHAN_OPEN", NAME="late", TIMEOUT_MS=-1, FLAGS=READ | FIXED)
    house.ask(house.peer(), "CHAN_MAKE", NAME="late", ELEM_SIZE=4, FLAGS=FIXED)
    control.due(house.broker, 64)
    (refusal, opened) = (answer for _, answer in house.pump.finished)
    assert refused(refusal, _wire.KC_EEXIST)
    assert (opened["RESULT"], opened["FLAGS"]) == (0, READ | FIXED)


def test_a_name_that_many_wait_for_is_answered_in_order_a_bounded_number_per_turn() -> None:
    house = House()
    peers = [house.peer() for _ in range(8)]
    for peer in peers:
        house.ask(peer, "CHAN_OPEN", NAME="late", TIMEOUT_MS=-1)
    house.ask(house.peer(), "CHAN_MAKE", NAME="late")
    told: list[int] = []
    for expected in (3, 6, 7):
        control.due(house.broker, 3)
        told = [conn for conn, _ in house.pump.finished]
        assert len(told) == expected
        if expected == 3:
            house.leave(peers[4])  # who is gone by then is left out
    assert told == [peer.conn for peer in peers if peer is not peers[4]]
    control.due(house.broker, 3)
    assert (house.registry.waiting.openings, house.broker.next_deadline_ns()) == ({}, None)


def test_who_was_not_answered_before_the_channel_went_waits_for_the_next_of_that_name() -> None:
    house = House()
    peers = [house.peer() for _ in range(3)]
    for peer in peers:
        house.ask(peer, "CHAN_OPEN", NAME="late", TIMEOUT_MS=-1)
    maker = house.peer()
    house.ask(maker, "CHAN_MAKE", NAME="late")
    control.due(house.broker, 1)
    house.ask(maker, "CHAN_DESTROY", NAME="late")
    control.due(house.broker, 64)
    assert [conn for conn, _ in house.pump.finished] == [peers[0].conn]
    house.ask(maker, "CHAN_MAKE", NAME="late")
    control.due(house.broker, 64)
    assert [conn for conn, _ in house.pump.finished] == [peer.conn for peer in peers]
    assert [answer["CHAN_ID"] for _, answer in house.pump.finished] == [1001, 1002, 1002]


@pytest.mark.parametrize("code", [_wire.KC_OK, _wire.KC_ETIME])
def test_due_work_stops_when_its_time_is_up_but_not_before_its_first(code: int) -> None:
    house = House()
    for _ in range(4):
        house.ask(house.peer(), "CHAN_OPEN", NAME="late", TIMEOUT_MS=1 if code else -1)
    if code == _wire.KC_OK:
        house.ask(house.peer(), "CHAN_MAKE", NAME="late")
    house.now_ns = 1_000_000
    for answered in (1, 2, 3, 4):
        control.due(house.broker, 64, until_ns=house.now_ns)
        assert len(house.pump.finished) == answered
    assert {answer["RESULT"] for _, answer in house.pump.finished} == {code}


@pytest.mark.parametrize(
    ("limits", "quota", "setting"),
    [
        ({"openings_per_connection": 2}, b"openings per connection", "openings_per_connection"),
        ({"openings_per_uid": 2}, b"openings per uid", "openings_per_uid"),
    ],
)
def test_opens_that_wait_are_a_quota_and_an_end_makes_room(
    limits: dict[str, int], quota: bytes, setting: str
) -> None:
    house = House(**limits)
    peer = house.peer()
    for req_id in (6, 7):
        house.ask(peer, "CHAN_OPEN", NAME="late", TIMEOUT_MS=-1, req_id=req_id)
    answer = house.ask(peer, "CHAN_OPEN", NAME="late", TIMEOUT_MS=-1)
    assert refused(answer, _wire.KC_EDQUOT)
    assert (answer["QUOTA_NAME"], answer["QUOTA_LIMIT"], answer["QUOTA_USAGE"]) == (quota, 2, 2)
    assert answer["QUOTA_SETTING"] == f"limits.{setting}".encode()
    assert house.ask(house.peer(STRANGER), "CHAN_OPEN", NAME="late", TIMEOUT_MS=-1) is None
    control.cancelled(house.broker, peer.conn, 7)
    assert house.ask(peer, "CHAN_OPEN", NAME="late", TIMEOUT_MS=-1) is None
    house.leave(peer)
    assert peer.user.openings == 0


def test_handles_are_a_quota_of_the_connection_and_a_refused_make_leaves_nothing() -> None:
    house = House(handles_per_connection=2)
    peer = house.peer()
    for name in ("a", "b"):
        house.ask(peer, "CHAN_MAKE", NAME=name)
    answer = house.ask(peer, "CHAN_MAKE", NAME="c")
    assert refused(answer, _wire.KC_EDQUOT)
    assert (answer["QUOTA_NAME"], answer["QUOTA_LIMIT"], answer["QUOTA_USAGE"]) == (
        b"handles per connection",
        2,
        2,
    )
    assert answer["QUOTA_SETTING"] == b"limits.handles_per_connection"
    assert sorted(house.registry.names) == ["a", "b"]
    assert house.ask(peer, "CHAN_OPEN", NAME="a")["RESULT"] == 0  # no handle more than before
    house.ask(house.peer(), "CHAN_MAKE", NAME="c")
    assert refused(house.ask(peer, "CHAN_OPEN", NAME="c"), _wire.KC_EDQUOT)


def test_an_open_that_waited_too_long_is_etime_at_its_deadline_and_not_before() -> None:
    house = House()
    house.ask(house.peer(), "CHAN_OPEN", NAME="late", TIMEOUT_MS=200)
    assert house.broker.next_deadline_ns() == 200_000_000
    house.now_ns = 199_999_999
    control.due(house.broker, 64)
    assert house.pump.finished == []
    house.now_ns = 200_000_000
    control.due(house.broker, 64)
    assert house.pump.finished[0][1]["RESULT"] == _wire.KC_ETIME
    assert (house.registry.waiting.openings, house.broker.next_deadline_ns()) == ({}, None)


def test_an_open_that_waits_ends_by_cancel_once() -> None:
    house = House()
    peer = house.peer()
    house.ask(peer, "CHAN_OPEN", NAME="late", TIMEOUT_MS=-1)
    control.cancelled(house.broker, peer.conn, 5)
    control.cancelled(house.broker, peer.conn, 5)
    control.cancelled(house.broker, 4321, 5)
    ((_, answer),) = house.pump.finished
    assert (answer["RESULT"], answer["REASON"]) == (_wire.KC_ECANCELED, b"cancelled")


def test_an_open_that_waits_dies_with_its_connection() -> None:
    house = House()
    peer = house.peer()
    house.ask(peer, "CHAN_OPEN", NAME="late", TIMEOUT_MS=10)
    house.leave(peer)
    house.ask(house.peer(), "CHAN_MAKE", NAME="late")
    assert house.registry.waiting.arrivals == deque()
    house.now_ns = 10**9
    control.due(house.broker, 64)
    assert house.pump.finished == []
