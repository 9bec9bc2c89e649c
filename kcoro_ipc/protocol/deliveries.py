"""What a receive was answered with: elements, or deliveries that are held for the client.

A success without them is no valid answer: ProtocolError, so that a client never fails in a way
that says nothing.
"""

from collections.abc import Sequence
from typing import NamedTuple

from kcoro_ipc import _wire
from kcoro_ipc.errors import ProtocolError
from kcoro_ipc.protocol.replies import Reply


class Delivery(NamedTuple):
    """`attempts`: how often this message had been delivered before."""

    element: bytes
    delivery_id: int
    attempts: int


def elements_of(reply: Reply) -> Sequence[bytes]:
    """At least one."""
    if not reply.elements:
        raise ProtocolError("the daemon answered a receive without an element")
    return reply.elements


def deliveries_of(reply: Reply) -> list[Delivery]:
    """At least one."""
    try:
        found = [
            Delivery(
                item.get(_wire.ATTR_ELEMENT, b""),
                item[_wire.ATTR_DELIVERY_ID],
                item.get(_wire.ATTR_REDELIVERED, 0),
            )
            for item in reply.get(_wire.ATTR_ITEM, [])
        ]
    except KeyError:
        raise ProtocolError("the daemon delivered an element without a DELIVERY_ID") from None
    if not found:
        raise ProtocolError("the daemon answered a receive without a delivery")
    return found
