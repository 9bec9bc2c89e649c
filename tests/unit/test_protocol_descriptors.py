"""Ranges of shared memory in replies: alone, in batches, in deliveries, and what cannot be one."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcoro_ipc import _wire, tlv
from kcoro_ipc.errors import ProtocolError
from kcoro_ipc.protocol.attributes import read_attributes
from kcoro_ipc.protocol.deliveries import bodies_of, deliveries_of
from kcoro_ipc.protocol.descriptors import Descriptor, read_run
from kcoro_ipc.protocol.replies import Reply, ReplyReader

U64 = st.integers(0, 2**64 - 1)
DESCRIPTORS = st.lists(st.builds(Descriptor, U64, U64, U64, U64), min_size=1, max_size=5)


def written(found: Descriptor) -> bytes:
    return b"".join(number.to_bytes(8, "big") for number in found)


def read(*pairs: tuple[str, object]) -> Reply:
    frame = tlv.build_frame("CHAN_RECV", [("REQ_ID", 7), ("RESULT", 0), *pairs], 1)
    (reply,) = ReplyReader().feed(frame)
    return reply


@given(DESCRIPTORS)
def test_ranges_stand_where_elements_would(found: list[Descriptor]) -> None:
    reply = read(*(("DESC", written(one)) for one in found))
    assert reply.elements == ()
    assert bodies_of(reply) == found


@given(DESCRIPTORS)
def test_a_range_in_a_delivery_is_its_body(found: list[Descriptor]) -> None:
    items = [
        [("DESC", written(one)), ("DELIVERY_ID", place), ("REDELIVERED", 2)]
        for place, one in enumerate(found)
    ]
    deliveries = deliveries_of(read(*(("ITEM", item) for item in items)))
    assert deliveries == [(one, place, 2, None) for place, one in enumerate(found)]


def test_deliveries_of_bytes_and_of_ranges_may_stand_in_one_reply() -> None:
    one = Descriptor(1, 2, 3, 4)
    plain = [("ELEMENT", b"a"), ("DELIVERY_ID", 1), ("REDELIVERED", 0)]
    shared = [("DESC", written(one)), ("DELIVERY_ID", 2), ("REDELIVERED", 0)]
    deliveries = deliveries_of(read(("ITEM", plain), ("ITEM", shared)))
    assert [delivery.body for delivery in deliveries] == [b"a", one]


def test_a_select_is_answered_with_a_range_beside_its_index() -> None:
    one = Descriptor(1, 2, 3, 4)
    reply = read(("INDEX", 3), ("DESC", written(one)))
    assert (reply.get(_wire.ATTR_INDEX), bodies_of(reply)) == (3, [one])


@pytest.mark.parametrize("size", [0, 24, 31])
def test_a_range_of_another_length_is_refused(size: int) -> None:
    reply = read(("DESC", bytes(size)))
    with pytest.raises(ProtocolError, match="DESC"):
        bodies_of(reply)


def test_a_success_with_nothing_in_it_is_refused() -> None:
    with pytest.raises(ProtocolError, match="without an element"):
        bodies_of(read())


def general(data: bytes) -> Any:
    try:
        return read_attributes(data, 0, len(data)).get(_wire.ATTR_DESC)
    except ProtocolError as error:
        return type(error)


@given(DESCRIPTORS, st.data())
def test_changed_bytes_are_read_alike_or_left_to_the_general_reader(
    found: list[Descriptor], data: st.DataObject
) -> None:
    frame = tlv.build_frame("CHAN_RECV", [("DESC", written(one)) for one in found], 1)
    changed = bytearray(frame[_wire.HEADER_BYTES :])
    assert read_run(bytes(changed), 0, len(changed)) == list(map(written, found))
    place = data.draw(st.integers(0, len(changed) - 1))
    changed[place] = data.draw(st.integers(0, 255))
    del changed[data.draw(st.integers(0, len(changed))) :]
    run = read_run(bytes(changed), 0, len(changed))
    assert run is None or run == general(bytes(changed))
