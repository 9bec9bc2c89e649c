"""Deliveries are read fast or the general way: the verdict is the same."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kcoro_ipc import _wire, tlv
from kcoro_ipc.errors import ProtocolError
from kcoro_ipc.protocol.attributes import read_attributes
from kcoro_ipc.protocol.items import read_items
from kcoro_ipc.protocol.replies import ReplyReader

Delivery = tuple[bytes, int, int]
DELIVERIES = st.lists(
    st.tuples(st.binary(max_size=8), st.integers(0, 2**64 - 1), st.integers(0, 63)),
    min_size=1,
    max_size=6,
)


def frame(deliveries: list[Delivery]) -> bytes:
    items = [
        ("ITEM", [("ELEMENT", data), ("DELIVERY_ID", delivery), ("REDELIVERED", times)])
        for data, delivery, times in deliveries
    ]
    return tlv.build_frame("CHAN_RECV", [("REQ_ID", 5), ("RESULT", 0), *items], 1)


def payload(deliveries: list[Delivery]) -> bytes:
    return frame(deliveries)[_wire.HEADER_BYTES + 16 :]


def general(data: bytes) -> Any:
    try:
        return read_attributes(data, 0, len(data)).get(_wire.ATTR_ITEM)
    except ProtocolError as error:
        return type(error)


@given(DELIVERIES)
def test_deliveries_are_read_as_the_general_reader_reads_them(deliveries: list[Delivery]) -> None:
    data = payload(deliveries)
    found = read_items(data, 0, len(data))
    assert found == general(data)
    assert found == [
        {_wire.ATTR_ELEMENT: data, _wire.ATTR_DELIVERY_ID: delivery, _wire.ATTR_REDELIVERED: times}
        for data, delivery, times in deliveries
    ]


@given(DELIVERIES, st.data())
def test_changed_bytes_are_read_alike_or_left_to_the_general_reader(
    deliveries: list[Delivery], data: st.DataObject
) -> None:
    changed = bytearray(payload(deliveries))
    place = data.draw(st.integers(0, len(changed) - 1))
    changed[place] = data.draw(st.integers(0, 255))
    del changed[data.draw(st.integers(0, len(changed))) :]
    found = read_items(bytes(changed), 0, len(changed))
    assert found is None or found == general(bytes(changed))


def test_items_in_another_order_and_long_elements_go_the_general_way() -> None:
    turned = tlv.build_frame(
        "CHAN_RECV",
        [("REQ_ID", 5), ("RESULT", 0), ("ITEM", [("DELIVERY_ID", 9), ("ELEMENT", b"x")])],
        1,
    )
    long = frame([(b"x" * 0xFFFF, 9, 0)])
    for whole in (turned, long):
        at = _wire.HEADER_BYTES + 16
        assert read_items(whole, at, len(whole)) is None
        (reply,) = ReplyReader().feed(whole)
        assert reply.get(_wire.ATTR_ITEM)[0][_wire.ATTR_DELIVERY_ID] == 9


def test_a_reply_holds_its_deliveries() -> None:
    (reply,) = ReplyReader().feed(frame([(b"a", 1, 0), (b"bc", 2, 3)]))
    assert (reply.req_id, reply.result) == (5, 0)
    assert [item[_wire.ATTR_ELEMENT] for item in reply.get(_wire.ATTR_ITEM)] == [b"a", b"bc"]
