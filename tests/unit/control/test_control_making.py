"""CHAN_MAKE: kinds, settings, names that exist, quotas."""

from typing import Any

import pytest

from kcoro_ipc import _wire
from kcoro_ipc.errors import QuotaExceeded
from kcoro_ipc.structs import ChannelConfig
from tests.unit.control.house import (
    EPHEMERAL,
    EXCLUSIVE,
    FIXED,
    READ,
    STRANGER,
    WRITE,
    House,
    refused,
)


def test_make_answers_what_the_channel_is_and_grants_both_rights() -> None:
    house = House()
    answer = house.ask(house.peer(), "CHAN_MAKE", NAME="jobs", KIND=1, CAPACITY=64)
    assert answer == {
        "cmd": "CHAN_MAKE",
        "REQ_ID": 5,
        "RESULT": 0,
        "CHAN_ID": 1001,
        "KIND": 1,
        "CAPACITY": 64,
        "ELEM_SIZE": _wire.MAX_ELEMENT_BYTES,
        "OVERFLOW": 0,
        "FLAGS": READ | WRITE,
    }
    assert house.pump.grants == {(1, 1001): READ | WRITE}


def test_make_hands_every_setting_to_the_engine() -> None:
    house = House()
    peer = house.peer()
    house.ask(peer, "CHAN_MAKE", NAME="dead", KIND=-2)
    house.ask(
        peer,
        "CHAN_MAKE",
        NAME="jobs",
        KIND=1,
        CAPACITY=3,
        ELEM_SIZE=100,
        OVERFLOW=2,
        UNDELIVERED=3,
        MAX_ATTEMPTS=63,
        MAX_BYTES=1 << 40,
        DEAD_LETTER="dead",
        FLAGS=FIXED | _wire.FLAG_CHAN_ACK_REQUIRED,
    )
    assert house.engine.made[1] == ChannelConfig(
        kind=1,
        capacity=3,
        overflow=2,
        undelivered=3,
        elem_size=100,
        flags=3,
        max_attempts=63,
        account=500,
        max_bytes=1 << 40,
        user=1002,
        dead_letter=71_001,
    )


@pytest.mark.parametrize(
    ("attributes", "kind", "capacity"),
    [
        ({}, 0, 0),
        ({"KIND": 5}, 1, 5),
        ({"KIND": 5, "CAPACITY": 5}, 1, 5),
        ({"KIND": -1}, -1, 0),
        ({"KIND": -2, "CAPACITY": 0}, -2, 0),
        ({"KIND": 1, "CAPACITY": 1 << 20}, 1, 1 << 20),
    ],
)
def test_kinds_and_capacities_are_exact(
    attributes: dict[str, int], kind: int, capacity: int
) -> None:
    house = House()
    answer = house.ask(house.peer(), "CHAN_MAKE", **attributes)
    assert (answer["KIND"], answer["CAPACITY"]) == (kind, capacity)
    assert house.engine.made[0][:2] == (kind, capacity)


@pytest.mark.parametrize(
    "attributes",
    [
        {"KIND": 1},
        {"KIND": 1, "CAPACITY": 0},
        {"KIND": 1, "CAPACITY": (1 << 20) + 1},
        {"KIND": (1 << 20) + 1},
        {"KIND": 5, "CAPACITY": 6},
        {"KIND": -3},
        {"KIND": -7},
        {"KIND": 0, "CAPACITY": 4},
        {"KIND": -1, "CAPACITY": 4},
        {"KIND": 0, "OVERFLOW": 1},
        {"KIND": -2, "OVERFLOW": 2},
        {"KIND": 1, "CAPACITY": 4, "OVERFLOW": 3},
        {"ELEM_SIZE": 0},
        {"ELEM_SIZE": (16 << 20) + 1},
        {"FLAGS": FIXED},
        {"FLAGS": 1 << 20},
        {"MODE": 0o1000},
        {"UNDELIVERED": 4},
        {"UNDELIVERED": 3},
        {"MAX_ATTEMPTS": 64},
        {"KIND": -1, "FLAGS": _wire.FLAG_CHAN_ACK_REQUIRED},
        {"NAME": ""},
        {"NAME": "a/b"},
        {"NAME": "a\0b"},
        {"NAME": b"\xff"},
    ],
)
def test_what_no_channel_can_be_is_einval_with_a_reason(attributes: dict[str, Any]) -> None:
    house = House()
    answer = house.ask(house.peer(), "CHAN_MAKE", **attributes)
    assert refused(answer, _wire.KC_EINVAL)
    assert answer["REASON"]
    assert house.registry.channels == {}


def test_a_name_of_256_bytes_is_too_long() -> None:
    house = House()
    assert refused(house.ask(house.peer(), "CHAN_MAKE", NAME="x" * 256), _wire.KC_ENAMETOOLONG)


def test_make_of_an_existing_name_opens_it_when_everything_given_agrees() -> None:
    house = House()
    first, second = house.peer(), house.peer()
    house.ask(first, "CHAN_MAKE", NAME="jobs", KIND=1, CAPACITY=4, FLAGS=EPHEMERAL | READ)
    for again in (
        {},
        {"KIND": 4},
        {"CAPACITY": 4, "KIND": 1},
        {"FLAGS": EPHEMERAL},
        {"MODE": 0o600},
    ):
        answer = house.ask(second, "CHAN_MAKE", NAME="jobs", **({"KIND": 1, "CAPACITY": 4} | again))
        assert (answer["RESULT"], answer["CHAN_ID"]) == (0, 1001)
    assert len(house.engine.made) == 1


@pytest.mark.parametrize(
    "attributes",
    [
        {"KIND": 0, "CAPACITY": 0},
        {"KIND": 1, "CAPACITY": 5},
        {"KIND": 8},
        {"KIND": 1, "CAPACITY": 4, "OVERFLOW": 1},
        {"KIND": 1, "CAPACITY": 4, "ELEM_SIZE": 7},
        {"KIND": 1, "CAPACITY": 4, "MODE": 0o666},
        {"KIND": 1, "CAPACITY": 4, "FLAGS": EPHEMERAL},
        {"KIND": 1, "CAPACITY": 4, "FLAGS": EXCLUSIVE},
        {"KIND": 1, "CAPACITY": 4, "MAX_BYTES": 9},
    ],
)
def test_make_of_an_existing_name_that_differs_or_is_exclusive_is_eexist(
    attributes: dict[str, int],
) -> None:
    house = House()
    house.ask(house.peer(), "CHAN_MAKE", NAME="jobs", KIND=1, CAPACITY=4)
    other = house.peer()
    assert refused(house.ask(other, "CHAN_MAKE", NAME="jobs", **attributes), _wire.KC_EEXIST)
    assert other.handles == {}


def test_make_of_a_name_that_another_user_hides_is_eacces() -> None:
    house = House()
    house.ask(house.peer(), "CHAN_MAKE", NAME="jobs")
    answer = house.ask(house.peer(STRANGER), "CHAN_MAKE", NAME="jobs")
    assert refused(answer, _wire.KC_EACCES)


def test_an_exclusive_make_is_eexist_also_where_another_user_hides_the_name() -> None:
    house = House()
    house.ask(house.peer(), "CHAN_MAKE", NAME="jobs")
    answer = house.ask(house.peer(STRANGER), "CHAN_MAKE", NAME="jobs", FLAGS=EXCLUSIVE)
    assert refused(answer, _wire.KC_EEXIST)


def test_a_refusal_by_quota_names_quota_limit_usage_and_setting() -> None:
    house = House()
    house.engine.refuse_make = QuotaExceeded(
        quota="channels_per_uid", limit=2, usage=2, setting="limits.channels_per_uid"
    )
    answer = house.ask(house.peer(), "CHAN_MAKE", NAME="jobs")
    assert refused(answer, _wire.KC_EDQUOT)
    assert (answer["QUOTA_NAME"], answer["QUOTA_LIMIT"], answer["QUOTA_USAGE"]) == (
        b"channels_per_uid",
        2,
        2,
    )
    assert house.registry.names == {}


def test_a_channel_whose_maker_gets_no_handle_does_not_stay() -> None:
    house = House()
    house.pump.refuse_grant = _wire.KC_ENOMEM
    answer = house.ask(house.peer(), "CHAN_MAKE", NAME="jobs")
    assert refused(answer, _wire.KC_ENOMEM)
    assert (house.registry.names, house.registry.channels) == ({}, {})
    assert house.engine.done[-1] == ("drop", 1001)


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ({"NAME": "dead", "KIND": 0}, _wire.KC_EINVAL),
        ({"NAME": "elsewhere", "KIND": -2}, _wire.KC_ENOENT),
    ],
)
def test_a_dead_letter_channel_exists_and_is_unlimited(target: dict[str, Any], code: int) -> None:
    house = House()
    peer = house.peer()
    house.ask(peer, "CHAN_MAKE", **target)
    answer = house.ask(peer, "CHAN_MAKE", NAME="jobs", DEAD_LETTER="dead")
    assert refused(answer, code)
    assert b"dead" in answer["REASON"]  # which of the two is the trouble
