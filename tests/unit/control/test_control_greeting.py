"""HELLO: versions, limits, quotas, and what comes before it."""

import pytest

from kcoro_ipc import _wire
from kcoro_ipc.pump import SEQPACKET, STREAM
from tests.unit.control.house import (
    House,
)


def test_a_1_0_client_gets_exactly_the_golden_answer() -> None:
    house = House()
    peer = house.connect()
    payload = bytes.fromhex("00010004000000010002000400000000")
    house.feed(peer, _wire.CMD_HELLO, payload, greeted=False)
    assert house.last is not None
    assert house.last.frame.hex() == "0001000000000010" + payload.hex()
    assert house.last.greet == (0, _wire.MAX_FRAME_BYTES, 0)


@pytest.mark.parametrize(
    ("transport", "limit"),
    [(STREAM, _wire.MAX_FRAME_BYTES), (SEQPACKET, _wire.MAX_SEQPACKET_FRAME_BYTES)],
)
@pytest.mark.parametrize("minor", [1, 7])
def test_a_newer_client_gets_our_minor_and_the_frame_limit(
    transport: int, limit: int, minor: int
) -> None:
    house = House()
    answer = house.ask(house.connect(transport=transport), "HELLO", ABI_MAJOR=1, ABI_MINOR=minor)
    assert answer == {"cmd": "HELLO", "ABI_MAJOR": 1, "ABI_MINOR": 1, "CAPS": 3, "MAX_FRAME": limit}
    assert house.last is not None
    assert house.last.greet == (1, limit, 0)


def test_a_client_may_ask_for_shorter_frames() -> None:
    house = House()
    house.ask(house.connect(), "HELLO", ABI_MAJOR=1, ABI_MINOR=1, MAX_FRAME=8192)
    assert house.last is not None
    assert house.last.greet == (1, 8192, 0)


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({"ABI_MAJOR": 2, "ABI_MINOR": 0}, _wire.KC_EPROTONOSUPPORT),
        ({"ABI_MAJOR": 0, "ABI_MINOR": 1}, _wire.KC_EPROTONOSUPPORT),
        ({"ABI_MAJOR": 0, "ABI_MINOR": 0}, _wire.KC_EINVAL),
        ({}, _wire.KC_EINVAL),
        ({"ABI_MAJOR": 1, "ABI_MINOR": 1, "MAX_FRAME": 10}, _wire.KC_EINVAL),
    ],
)
def test_a_hello_that_cannot_be_agreed_is_answered_with_our_numbers_and_the_end(
    attributes: dict[str, int], code: int
) -> None:
    house = House()
    answer = house.ask(house.connect(), "HELLO", **attributes)
    assert (answer["ABI_MAJOR"], answer["ABI_MINOR"], answer["RESULT"]) == (1, 1, code)
    assert house.last is not None
    assert (house.last.end, house.last.greet) == (code, None)


def test_a_connection_over_the_quota_is_told_which_one_in_the_answer_to_hello() -> None:
    house = House(connections_per_uid=1)
    house.peer()
    answer = house.ask(house.connect(), "HELLO", ABI_MAJOR=1, ABI_MINOR=1)
    assert answer["RESULT"] == _wire.KC_EDQUOT
    assert answer["QUOTA_NAME"] == b"connections per uid"
    assert (answer["QUOTA_LIMIT"], answer["QUOTA_USAGE"]) == (1, 2)
    assert answer["QUOTA_SETTING"] == b"limits.connections_per_uid"
    assert house.last is not None
    assert house.last.end == _wire.KC_EDQUOT


@pytest.mark.parametrize(("command", "greeted"), [("CHAN_MAKE", False), ("HELLO", True)])
def test_a_command_before_hello_and_a_second_hello_end_the_connection(
    command: str, greeted: bool
) -> None:
    house = House()
    answer = house.ask(house.connect(), command, greeted=greeted)
    assert answer == {"cmd": command, "RESULT": _wire.KC_EPROTO}
    assert house.last is not None
    assert house.last.end == _wire.KC_EPROTO
