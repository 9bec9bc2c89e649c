"""What a receive was answered with: bodies of messages, or deliveries that are held for the client.

A body is bytes, a Descriptor of shared memory, or bytes with open files. A success without one is
no valid answer: ProtocolError, so that a client never fails in a way that says nothing.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from kcoro_ipc import _wire
from kcoro_ipc.errors import ProtocolError
from kcoro_ipc.files import Loose, Sender
from kcoro_ipc.protocol.descriptors import Descriptor, read_descriptor
from kcoro_ipc.protocol.replies import Reply


class WithFiles(NamedTuple):
    """A message with open files; they are closed with it unless somebody takes them."""

    element: bytes
    files: Loose


Body = bytes | Descriptor | WithFiles


class Delivery(NamedTuple):
    """`attempts`: how often this message had been delivered before; `sender` if it was asked."""

    body: Body
    delivery_id: int
    attempts: int
    sender: Sender | None = None


def bodies_of(reply: Reply) -> Sequence[Body]:
    """At least one."""
    bodies: Sequence[Body] = reply.elements
    if not bodies:  # ITEMs only where the sender was asked
        items = reply.get(_wire.ATTR_ITEM, ())
        bodies = [_body(item) for item in items if _sender(item) is not None]
    if not bodies:
        bodies = [read_descriptor(data) for data in reply.get(_wire.ATTR_DESC, ())]
    if not bodies:
        raise ProtocolError("the daemon answered a receive without an element")
    return _with_files(bodies, reply) if reply.file_count else bodies


def sender_of(reply: Reply) -> Sender | None:
    """Of the one message that a plain receive brought, if it was asked."""
    items = reply.get(_wire.ATTR_ITEM, ())
    return _sender(items[0]) if items else None


def _sender(item: dict[int, Any]) -> Sender | None:
    uid, pid = item.get(_wire.ATTR_SENDER_UID), item.get(_wire.ATTR_SENDER_PID)
    return None if uid is None or pid is None else Sender(uid, pid)


def _with_files(bodies: Sequence[Body], reply: Reply) -> Sequence[Body]:
    if len(bodies) != 1 or not isinstance(bodies[0], bytes):
        raise ProtocolError("the daemon sent open files with what is not one message")
    return [WithFiles(bodies[0], reply.files)]


def deliveries_of(reply: Reply) -> list[Delivery]:
    """At least one."""
    try:
        found = [
            Delivery(
                _body(item),
                item[_wire.ATTR_DELIVERY_ID],
                item.get(_wire.ATTR_REDELIVERED, 0),
                _sender(item),
            )
            for item in reply.get(_wire.ATTR_ITEM, [])
        ]
    except KeyError:
        raise ProtocolError("the daemon delivered an element without a DELIVERY_ID") from None
    if not found:
        raise ProtocolError("the daemon answered a receive without a delivery")
    if reply.file_count:
        (body,) = _with_files([delivery.body for delivery in found], reply)
        found[0] = found[0]._replace(body=body)
    return found


def _body(item: dict[int, Any]) -> Body:
    if (data := item.get(_wire.ATTR_DESC)) is not None:
        return read_descriptor(data)
    element: bytes = item.get(_wire.ATTR_ELEMENT, b"")
    return element
