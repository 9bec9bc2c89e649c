"""What cannot be served costs a request or a connection, never more."""

import logging

import pytest

from kcoro_ipc import _wire, control
from kcoro_ipc.control import COMMANDS, Command
from kcoro_ipc.errors import OperationCancelled
from tests.unit.control.house import (
    House,
    refused,
)


@pytest.mark.parametrize(
    "payload",
    [
        "",  # no REQ_ID
        "001a000400000000",  # REQ_ID 0
        "001a00040000000500390009616263",  # an attribute longer than its frame
        "001a000400000005001a000400000006",  # REQ_ID twice
        "001a0004000000050005000200ff",  # a scalar of two bytes
        "001a000400000005c0010000",  # an unknown critical attribute
    ],
)
def test_a_malformed_request_is_answered_without_req_id_and_ends_the_connection(
    payload: str,
) -> None:
    house = House()
    answer = house.feed(house.peer(), _wire.CMD_CHAN_MAKE, bytes.fromhex(payload))
    assert answer == {"cmd": "CHAN_MAKE", "RESULT": _wire.KC_EPROTO}
    assert house.last is not None
    assert house.last.end == _wire.KC_EPROTO


@pytest.mark.parametrize("command", ["CHAN_TRY_SEND", "CHAN_TRY_RECV"])
def test_the_last_answer_repeats_the_command_that_came_also_a_try(command: str) -> None:
    house = House()
    assert house.ask(house.connect(), command, greeted=False) == {
        "cmd": command,
        "RESULT": _wire.KC_EPROTO,
    }


@pytest.mark.parametrize(
    ("text", "length"),
    [
        (b"\xff" * 255, 255),
        ("ä".encode() * 128, 254),
        (b"a" + b"\xf0" * 254, 253),
        (b"x" * 60_000, 255),
    ],
)
def test_texts_are_cut_to_255_bytes_after_they_were_mended(text: bytes, length: int) -> None:
    house = House()
    peer = house.connect()
    house.ask(peer, "HELLO", ABI_MAJOR=1, ABI_MINOR=1, CLIENT_NAME=text)
    assert peer.client_name is not None
    assert len(peer.client_name.encode()) == length
    house.ask(peer, "CHAN_MAKE", NAME="jobs")
    house.ask(peer, "CHAN_DESTROY", NAME="jobs", REASON=text)
    assert house.engine.done[0] == (f"destroy: {peer.client_name}", 1001)


def test_a_reason_is_cut_between_two_characters() -> None:
    error = OperationCancelled(reason="x" + 200 * "ä")
    pairs = dict(control.request.failure(error, minor=1))
    assert pairs[_wire.ATTR_REASON] == ("x" + 127 * "ä").encode()


@pytest.mark.parametrize("command", [99, 35, 65_535])
def test_an_unknown_command_is_enosys_and_the_connection_lives(command: int) -> None:
    house = House()
    assert refused(house.ask(house.peer(), command), _wire.KC_ENOSYS)
    assert house.last is not None
    assert house.last.end is None


@pytest.mark.parametrize(
    "command", ["CHAN_OPEN", "CHAN_RELEASE", "CHAN_PURGE", "SUBSCRIBE", "SELECT", "PING"]
)
def test_a_1_0_connection_does_not_know_the_commands_of_1_1(command: str) -> None:
    house = House()
    answer = house.ask(house.peer(minor=0), command, CHAN_ID=1001)
    assert answer == {"cmd": command, "REQ_ID": 5, "RESULT": _wire.KC_ENOSYS}


def test_a_fault_of_ours_costs_the_connection_and_is_logged_with_its_traceback(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setitem(COMMANDS, _wire.CMD_LIST, Command(0, broken))  # type: ignore[arg-type]
    house = House()
    with caplog.at_level(logging.ERROR, "kcoro"):
        answer = house.ask(house.peer(), "LIST")
    assert answer == {"cmd": "LIST", "RESULT": _wire.KC_ECONNRESET}
    assert house.last is not None
    assert house.last.end == _wire.KC_ECONNRESET
    assert "ZeroDivisionError: planted" in caplog.text
    assert house.ask(house.peer(), "GET_INFO")["RESULT"] == 0


def test_a_frame_of_a_connection_that_is_gone_is_let_go() -> None:
    house = House()
    peer = house.peer()
    house.leave(peer)
    assert house.ask(peer, "LIST") is None
