"""Control frames of ABI 1.0: implicit handles, fixed sizes, channels that outlive connections."""

import logging

import pytest

from kcoro_ipc import _wire, control
from kcoro_ipc.control import Then
from kcoro_ipc.reports import Control
from kcoro_ipc.throttle import LINES_PER_WINDOW, WINDOW_NS
from kcoro_ipc.user_lives import LEGACY_IDLE_NS
from tests.unit.control.house import (
    EPHEMERAL,
    FIXED,
    OWNER,
    READ,
    STRANGER,
    WRITE,
    House,
    read,
)


@pytest.mark.parametrize(
    ("attributes", "kind", "capacity"),
    [
        ({"KIND": 1, "CAPACITY": 2}, 1, 2),
        ({"KIND": 1}, 1, 1),
        ({"KIND": 0, "CAPACITY": 9}, 0, 0),
        ({"KIND": 5}, 1, 5),
        ({"KIND": 5, "CAPACITY": 3}, 1, 3),
        ({"KIND": -2, "CAPACITY": 64}, -2, 0),
    ],
)
def test_a_1_0_make_is_answered_without_result_and_has_a_fixed_size(
    attributes: dict[str, int], kind: int, capacity: int
) -> None:
    house = House()
    answer = house.ask(house.peer(minor=0), "CHAN_MAKE", ELEM_SIZE=4, **attributes)
    assert answer == {"cmd": "CHAN_MAKE", "REQ_ID": 5, "CHAN_ID": 1001}
    made = house.engine.made[0]
    assert (made.kind, made.capacity, made.elem_size, made.flags) == (kind, capacity, 4, 1)


@pytest.mark.parametrize("size", [None, 0, 65_536])
def test_a_1_0_make_that_fails_is_answered_with_result_alone(size: int | None) -> None:
    house = House()
    given = {} if size is None else {"ELEM_SIZE": size}
    answer = house.ask(house.peer(minor=0), "CHAN_MAKE", **given)
    assert answer == {"cmd": "CHAN_MAKE", "REQ_ID": 5, "RESULT": _wire.KC_EINVAL}


def test_a_1_0_first_use_gets_a_handle_and_is_tried_again() -> None:
    house = House()
    house.ask(house.peer(minor=0), "CHAN_MAKE", ELEM_SIZE=4)
    other = house.peer(minor=0)
    assert house.ask(other, "CHAN_TRY_SEND", CHAN_ID=1001, ungranted=True) is None
    assert house.last is not None
    assert house.last.then is Then.RESUBMIT
    assert house.pump.grants[other.conn, 1001] == READ | WRITE


@pytest.mark.parametrize(
    ("uid", "made_by", "attributes", "code"),
    [
        (OWNER, 0, {"CHAN_ID": 999}, _wire.KC_ENOENT),
        (OWNER, 0, {}, _wire.KC_EINVAL),
        (STRANGER, 0, {"CHAN_ID": 1001}, _wire.KC_ENOENT),
        (OWNER, 1, {"CHAN_ID": 1001}, _wire.KC_EINVAL),  # elements of any size
    ],
)
def test_a_1_0_first_use_is_refused_under_the_plain_command(
    uid: int, made_by: int, attributes: dict[str, int], code: int
) -> None:
    house = House()
    house.ask(house.peer(minor=made_by), "CHAN_MAKE", ELEM_SIZE=4)
    peer = house.peer(uid, minor=0)
    answer = house.ask(peer, "CHAN_TRY_RECV", ungranted=True, **attributes)
    assert answer == {"cmd": "CHAN_RECV", "REQ_ID": 5, "RESULT": code}


def test_a_1_0_first_use_by_a_large_frame_comes_without_its_payload() -> None:
    house = House()
    house.ask(house.peer(minor=0), "CHAN_MAKE", ELEM_SIZE=60_000)
    other = house.peer(minor=0)
    large = Control(other.conn, _wire.CMD_CHAN_SEND, 0, 9, True, True, 1001, b"")
    assert control.serve(house.broker, large).then is Then.RESUBMIT
    unknown = control.serve(house.broker, large._replace(chan_id=4321))
    assert read(unknown.frame, 0) == {"cmd": "CHAN_SEND", "REQ_ID": 9, "RESULT": _wire.KC_ENOENT}


def test_a_1_0_first_use_gets_what_the_mode_gives_and_no_more() -> None:
    house = House()
    house.ask(
        house.peer(), "CHAN_MAKE", NAME="jobs", ELEM_SIZE=4, FLAGS=FIXED, MODE=0o602, req_id=1
    )
    peer = house.peer(STRANGER, minor=0)
    assert house.ask(peer, "CHAN_SEND", CHAN_ID=1001, ungranted=True) is None
    assert house.pump.grants[peer.conn, 1001] == WRITE
    answer = house.ask(peer, "CHAN_RECV", CHAN_ID=1001, ungranted=True)
    assert answer["RESULT"] == _wire.KC_EACCES


def test_a_1_0_destroy_closes_and_releases_without_an_answer() -> None:
    house = House()
    peer = house.peer(minor=0)
    house.ask(peer, "CHAN_MAKE", ELEM_SIZE=4)
    assert house.ask(peer, "CHAN_DESTROY", CHAN_ID=1001) is None
    assert house.ask(peer, "CHAN_DESTROY", CHAN_ID=4321) is None
    assert house.engine.done == [("close", 1001)]
    assert house.pump.grants[peer.conn, 1001] == 0
    assert 1001 in house.registry.channels


def test_channels_of_1_0_clients_outlive_them_until_their_user_was_gone_for_60_s() -> None:
    house = House()
    peer = house.peer(minor=0)
    house.ask(peer, "CHAN_MAKE", ELEM_SIZE=4)
    house.leave(peer)
    assert house.broker.next_deadline_ns() == LEGACY_IDLE_NS
    house.now_ns = LEGACY_IDLE_NS - 1
    control.due(house.broker, 64)
    assert list(house.registry.channels) == [1001]
    house.now_ns = LEGACY_IDLE_NS
    control.due(house.broker, 64)
    assert house.registry.channels == {}
    assert house.engine.done[-1] == ("drop", 1001)
    assert house.engine.freed_accounts == [500]
    assert house.broker.next_deadline_ns() is None


def test_the_account_of_a_user_goes_with_its_last_channel_when_it_is_gone_for_long() -> None:
    house = House()
    peer, other = house.peer(), house.peer(STRANGER)
    house.ask(peer, "CHAN_MAKE", NAME="jobs", MODE=0o607)
    house.leave(peer)
    house.now_ns = LEGACY_IDLE_NS
    control.due(house.broker, 64)
    assert house.engine.freed_accounts == []  # its channel is still charged to it
    house.ask(other, "CHAN_OPEN", NAME="jobs")
    house.ask(other, "CHAN_DESTROY", NAME="jobs")
    assert house.engine.freed_accounts == []  # the handle keeps the record
    house.ask(other, "CHAN_RELEASE", CHAN_ID=1001)
    assert house.engine.freed_accounts == [500]
    house.peer()  # and the user may come back
    house.leave(other)
    house.now_ns = 3 * LEGACY_IDLE_NS
    control.due(house.broker, 64)
    assert house.engine.freed_accounts == [500, 500]


def test_a_user_without_channels_keeps_its_account_for_60_s_after_its_last_connection() -> None:
    house = House()
    peer = house.peer()
    house.ask(peer, "CHAN_MAKE", NAME="jobs", FLAGS=EPHEMERAL)
    house.leave(peer)
    assert house.registry.channels == {}
    assert house.engine.freed_accounts == []
    house.now_ns = LEGACY_IDLE_NS
    control.due(house.broker, 64)
    assert house.engine.freed_accounts == [500]


def test_a_flood_of_refusals_is_counted_in_the_log_and_hides_nobody_elses(
    caplog: pytest.LogCaptureFixture,
) -> None:
    house = House()
    house.ask(house.peer(), "CHAN_MAKE", NAME="jobs")
    stranger, other = house.peer(STRANGER), house.peer(STRANGER + 1)
    with caplog.at_level(logging.WARNING, "kcoro"):
        for _ in range(LINES_PER_WINDOW + 30):
            house.ask(stranger, "CHAN_OPEN", NAME="jobs")
        house.ask(other, "CHAN_OPEN", NAME="jobs")
        assert [record.fields["uid"] for record in caplog.records] == (  # type: ignore[attr-defined]
            [STRANGER] * LINES_PER_WINDOW + [STRANGER + 1]
        )
        assert house.broker.next_deadline_ns() == WINDOW_NS
        house.now_ns = WINDOW_NS
        control.due(house.broker, 64)
    assert caplog.records[-1].getMessage() == "log lines left out"
    assert caplog.records[-1].fields == {"uid": STRANGER, "count": 30}  # type: ignore[attr-defined]
    assert house.broker.next_deadline_ns() is None


def test_a_user_that_comes_back_keeps_its_1_0_channels() -> None:
    house = House()
    peer = house.peer(minor=0)
    house.ask(peer, "CHAN_MAKE", ELEM_SIZE=4)
    house.leave(peer)
    house.peer(minor=0)
    house.now_ns = 10 * LEGACY_IDLE_NS
    control.due(house.broker, 64)
    assert list(house.registry.channels) == [1001]
