"""The older project's frames, byte for byte, against our daemon on both transports.

The bytes were recorded from its server. Ours differs on purpose in three answers: failures echo
REQ_ID, too, if it was sent (its clients never send one, so they see what they always saw); a MAKE
that fails and an unknown command are answered with RESULT instead of silence, as every request
should be.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.parametrize("transport", ["stream", "seqpacket"]),
]

HELLO = "0001000000000010 | 0001000400000001 0002000400000000"

# request -> answer, in the order of the recording; CHAN_ID 1001 throughout
RECORDED = [
    (HELLO, HELLO),
    (
        "000a000000000020 | 0005000400000001 0006000400000004 0007000400000002 001a000400000055",
        "000a000000000010 | 001a000400000055 00140004000003e9",
    ),
    (
        "000b000000000020 | 00140004000003e9 0008000400000000 0015000461626364 001a000400000007",
        "000b000000000010 | 001a000400000007 0016000400000000",
    ),
    (
        "000d000000000018 | 00140004000003e9 0008000400000000 001a000400000008",
        "000d000000000018 | 001a000400000008 0016000400000000 0015000461626364",
    ),
    (
        "000d000000000018 | 00140004000003e9 0008000400000000 001a000400000009",
        "000d000000000010 | 001a000400000009 00160004fffffff5",
    ),
    (
        "000d000000000010 | 00140004000003e9 00080004000000c8",
        "000d000000000008 | 00160004ffffffc2",
    ),
    (
        "000b000000000018 | 0014000400000fff 0008000400000000 0015000461626364",
        "000b000000000008 | 00160004fffffffe",
    ),
    (
        "000b000000000017 | 00140004000003e9 0008000400000000 00150003616263",
        "000b000000000008 | 00160004ffffffea",
    ),
    (
        "000f000000000010 | 00140004000003e9 001a00040000000c",
        "000f000000000010 | 001a00040000000c 0016000400000000",
    ),
    (
        "000b000000000020 | 00140004000003e9 0008000400000000 0015000461626364 001a00040000000d",
        "000b000000000010 | 001a00040000000d 00160004ffffffe0",
    ),
    (
        "000d000000000018 | 00140004000003e9 0008000400000000 001a00040000000e",
        "000d000000000010 | 001a00040000000e 00160004ffffffe0",
    ),
]

# where ours differs on purpose
OURS = [
    (
        "000b000000000020 | 0014000400000fff 0008000400000000 0015000461626364 001a000400000007",
        "000b000000000010 | 001a000400000007 00160004fffffffe",
    ),
    (
        "000b00000000001f | 00140004000003e9 0008000400000000 00150003616263 001a000400000007",
        "000b000000000010 | 001a000400000007 00160004ffffffea",
    ),
    (
        "000a000000000010 | 0005000400000000 0006000400000000",
        "000a000000000008 | 00160004ffffffea",
    ),
    ("0063000000000008 | 001a000400000001", "0063000000000010 | 001a000400000001 00160004ffffffda"),
]


def data(text: str) -> bytes:
    return bytes.fromhex(text.replace("|", ""))


@pytest.fixture
def legacy(start_daemon: Callable[..., Any], connect: Any, transport: str) -> Iterator[Any]:
    yield connect(start_daemon(), transport, minor=None)


def play(wire: Any, script: list[tuple[str, str]]) -> None:
    for request, answer in script:
        wire.send(data(request))
        assert wire.raw().hex() == data(answer).hex(), request


def test_every_recorded_answer_is_the_same_byte_for_byte(legacy: Any) -> None:
    play(legacy, RECORDED)


def test_answers_are_the_same_when_requests_arrive_byte_by_byte(legacy: Any) -> None:
    for request, answer in RECORDED:
        for at in range(len(data(request))):
            legacy.send(data(request)[at : at + 1])
        assert legacy.raw().hex() == data(answer).hex(), request


def test_answers_are_the_same_when_all_requests_arrive_at_once(legacy: Any, transport: str) -> None:
    legacy.send(b"".join(data(request) for request, _ in RECORDED))
    for request, answer in RECORDED:
        assert legacy.raw().hex() == data(answer).hex(), request


def test_answers_that_differ_on_purpose_say_more_not_less(legacy: Any) -> None:
    play(legacy, RECORDED[:2])
    play(legacy, OURS)


def test_a_destroy_has_no_answer_and_closes_the_channel(legacy: Any) -> None:
    play(legacy, RECORDED[:2])
    legacy.send(data("0010000000000008 | 00140004000003e9"))
    play(legacy, [(RECORDED[9][0], RECORDED[9][1])])


def test_a_second_connection_uses_the_channel_at_first_use(
    start_daemon: Callable[..., Any], connect: Any, transport: str
) -> None:
    running = start_daemon()
    maker, user = (connect(running, transport, minor=None) for _ in range(2))
    play(maker, RECORDED[:2])
    play(user, RECORDED[:1] + RECORDED[2:5])


def test_an_answer_over_packets_comes_as_header_and_payload(legacy: Any, transport: str) -> None:
    """The older reader reads 8 bytes first, and the kernel drops the rest of a packet."""
    legacy.send(data(HELLO))
    if transport == "seqpacket":
        assert legacy.packet().hex() == "0001000000000010"
        assert legacy.packet().hex() == data(HELLO)[8:].hex()
    else:
        assert legacy.raw() == data(HELLO)


def test_an_element_of_65535_bytes_goes_through(legacy: Any) -> None:
    element = bytes(range(256)) * 255 + bytes(255)
    play(legacy, RECORDED[:1])
    legacy.send(data("000a000000000008 | 000600040000ffff"))
    assert legacy.raw() == data("000a000000000008 | 00140004000003e9")
    # A rendezvous has nobody yet: make the buffered channel of the recording instead.
    legacy.send(data("000a000000000018 | 0005000400000001 000600040000ffff 0007000400000001"))
    assert legacy.raw() == data("000a000000000008 | 00140004000003ea")
    target = data("00140004000003ea 0008000400000000")
    payload = target + data("0015ffff") + element
    legacy.send(data("000b0000") + len(payload).to_bytes(4) + payload)
    assert legacy.raw() == data("000b000000000008 | 0016000400000000")
    legacy.send(data("000d000000000010") + target)
    answer = legacy.raw()
    assert (answer[:8], len(answer)) == (data("000d00000001000b"), 8 + 65_547)
    assert answer[8:] == data("0016000400000000 0015ffff") + element
