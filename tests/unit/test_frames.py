"""frames.py against the definition of the wire: the same pairs, bytes and refusals."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcoro_ipc import _wire, frames, tlv
from kcoro_ipc.errors import MessageTooLong, ProtocolError

SCALAR_RANGES = {"u32": (0, 2**32 - 1), "i32": (-(2**31), 2**31 - 1), "u64": (0, 2**64 - 1)}


def values(kind: str, depth: int) -> st.SearchStrategy[object]:
    if kind in SCALAR_RANGES:
        return st.integers(*SCALAR_RANGES[kind])
    if kind == "nested" and depth == 0:
        return attribute_lists(1)
    return st.binary(max_size=40)


def attribute_lists(depth: int) -> st.SearchStrategy[list[tuple[int, object]]]:
    one = st.sampled_from(sorted(_wire.ATTRIBUTE_TYPES)).flatmap(
        lambda number: st.tuples(st.just(number), values(_wire.ATTRIBUTE_TYPES[number], depth))
    )
    return st.lists(one, max_size=5)


def verdict_of_definition(payload: bytes, minor: int) -> object:
    try:
        return tlv.parse_payload(payload, minor)
    except ProtocolError as error:
        return str(error)


def verdict(payload: bytes, minor: int) -> object:
    try:
        return tuple(frames.parse_payload(payload, minor))
    except ProtocolError as error:
        return str(error)


@given(attribute_lists(0), st.sampled_from([0, 1]))
def test_frames_writes_and_reads_what_the_definition_writes_and_reads(
    attributes: list[tuple[int, object]], minor: int
) -> None:
    written = frames.build_frame(10, attributes, minor)  # type: ignore[arg-type]
    assert written == tlv.build_frame(10, attributes, minor)
    payload = written[_wire.HEADER_BYTES :]
    assert verdict(payload, minor) == verdict_of_definition(payload, minor)


@settings(max_examples=300)
@given(attribute_lists(0), st.sampled_from([0, 1]), st.data())
def test_frames_refuses_a_mutated_payload_in_the_words_of_the_definition(
    attributes: list[tuple[int, object]], minor: int, data: st.DataObject
) -> None:
    payload = bytearray(tlv.build_payload(attributes, minor))
    for _ in range(data.draw(st.integers(1, 4))):
        if payload:
            payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(payload[: data.draw(st.integers(0, len(payload)))])
    assert verdict(cut, minor) == verdict_of_definition(cut, minor)


def test_a_long_element_takes_the_extended_length_in_1_1_and_is_refused_in_1_0() -> None:
    long = bytes(70_000)
    written = frames.build_frame(11, [(_wire.ATTR_ELEMENT, long)], 1)
    assert written[8:16] == struct.pack(">HHI", _wire.ATTR_ELEMENT, 0xFFFF, 70_000)
    assert frames.parse_payload(written[8:], 1) == [(_wire.ATTR_ELEMENT, long)]
    with pytest.raises(MessageTooLong):
        frames.build_frame(11, [(_wire.ATTR_ELEMENT, long)], 0)
