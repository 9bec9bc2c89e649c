"""Frames a client sends, as functions from values to bytes; no state, no sockets.

Every builder takes the request's id first and returns one whole frame of ABI 1.1. The hot ones
(send, receive) write the order that the daemon's reader recognises at once (REQ_ID, CHAN_ID,
TIMEOUT_MS, ELEMENT) with one struct; batches of equally long elements are one `join`.
Timeouts here are the wire's: 0 tries, negative waits for ever, else milliseconds.
"""

from collections.abc import Iterable, Sequence
from struct import Struct
from typing import NamedTuple

from kcoro_ipc import _wire
from kcoro_ipc.errors import InvalidArgument, MessageTooLong
from kcoro_ipc.protocol.attributes import EXTENDED, HEAD, Pairs, head, write_attributes
from kcoro_ipc.protocol.descriptors import Range, range_bytes, range_run

FOREVER_MS = -1
TRY_MS = 0

_REQ_ID = head(_wire.ATTR_REQ_ID)
_CHAN_ID = head(_wire.ATTR_CHAN_ID)
_TIMEOUT_MS = head(_wire.ATTR_TIMEOUT_MS)
_FLAGS = head(_wire.ATTR_FLAGS)
_MAX_ITEMS = head(_wire.ATTR_MAX_ITEMS)
_TTL_MS = head(_wire.ATTR_TTL_MS)
_ELEMENT = head(_wire.ATTR_ELEMENT, 0)
_DELIVERY_ID = head(_wire.ATTR_DELIVERY_ID, 8)
_LEASE_ID = head(_wire.ATTR_LEASE_ID, 8)
CAPS = _wire.CAP_DESCRIPTORS | _wire.CAP_FILES

_FRAME = Struct(">II")  # cmd and files, payload length
_OPERATION = Struct(">IIIIIIIi")  # header, REQ_ID, CHAN_ID, TIMEOUT_MS
_SEND_ONE = Struct(">IIIIIIIiI")  # the same and the head of an ELEMENT
_U32 = Struct(">II")
_CANCEL = Struct(">IIII")
_TICKET = Struct(">IQ")  # a DELIVERY_ID or a LEASE_ID

_SEND = _wire.CMD_CHAN_SEND << 16
_RECEIVE = _wire.CMD_CHAN_RECV << 16
_OPERATION_BYTES = _OPERATION.size - _wire.HEADER_BYTES


class Clause(NamedTuple):
    """One arm of a select: with `element` or `sent` a send, else a receive."""

    chan_id: int
    element: bytes | None = None
    flags: int = 0
    sent: Range | None = None
    file_count: int = 0


def frame(cmd: int, payload: bytes, file_count: int = 0) -> bytes:
    if len(payload) > _wire.MAX_FRAME_BYTES:
        raise MessageTooLong(
            f"a request of {len(payload)} bytes is over {_wire.MAX_FRAME_BYTES}; send it in parts"
        )
    return _FRAME.pack(cmd << 16 | file_count, len(payload)) + payload


def hello(client_name: str | None = None) -> bytes:
    pairs: list[tuple[int, int | str]] = [
        (_wire.ATTR_ABI_MAJOR, _wire.ABI_MAJOR),
        (_wire.ATTR_ABI_MINOR, _wire.ABI_MINOR),
        (_wire.ATTR_CAPS, CAPS),
    ]
    if client_name is not None:
        pairs.append((_wire.ATTR_CLIENT_NAME, client_name))
    return frame(_wire.CMD_HELLO, write_attributes(pairs))


def control(cmd: int, req_id: int, pairs: Pairs = ()) -> bytes:
    """Any of the rare requests."""
    return frame(cmd, write_attributes([(_wire.ATTR_REQ_ID, req_id), *pairs]))


def send(
    req_id: int, chan_id: int, timeout_ms: int, element: bytes, flags: int = 0, ttl_ms: int = 0
) -> bytes:
    length = len(element)
    if flags or ttl_ms or length >= _wire.EXTENDED_LENGTH:
        tail = (_wishes(flags, ttl_ms), element_head(length), element)
        return _send_tail(req_id, chan_id, timeout_ms, tail)
    return (
        _SEND_ONE.pack(
            _SEND,
            _OPERATION_BYTES + 4 + length,
            _REQ_ID,
            req_id,
            _CHAN_ID,
            chan_id,
            _TIMEOUT_MS,
            timeout_ms,
            _ELEMENT | length,
        )
        + element
    )


def send_many(
    req_id: int, chan_id: int, timeout_ms: int, elements: Sequence[bytes], ttl_ms: int = 0
) -> bytes:
    """A batch; its elements are taken in order, as many as fit, until one fails."""
    return _send_tail(req_id, chan_id, timeout_ms, (_wishes(0, ttl_ms), element_run(elements)))


def send_ranges(
    req_id: int,
    chan_id: int,
    timeout_ms: int,
    ranges: Sequence[Range],
    flags: int = 0,
    ttl_ms: int = 0,
) -> bytes:
    """One range of shared memory, or a batch of them."""
    return _send_tail(req_id, chan_id, timeout_ms, (_wishes(flags, ttl_ms), range_run(ranges)))


def send_files(
    req_id: int,
    chan_id: int,
    timeout_ms: int,
    element: bytes,
    file_count: int,
    flags: int = 0,
    ttl_ms: int = 0,
) -> bytes:
    """One element whose files go with the first byte of the frame."""
    tail = (_wishes(flags, ttl_ms), element_head(len(element)), element)
    return _send_tail(req_id, chan_id, timeout_ms, tail, file_count)


def _send_tail(
    req_id: int, chan_id: int, timeout_ms: int, tail: Sequence[bytes], file_count: int = 0
) -> bytes:
    """Long elements are copied once, here."""
    size = _OPERATION_BYTES + sum(map(len, tail))
    start = _OPERATION.pack(
        _SEND | file_count, size, _REQ_ID, req_id, _CHAN_ID, chan_id, _TIMEOUT_MS, timeout_ms
    )
    return b"".join((start, *tail))


def receive(
    req_id: int, chan_id: int, timeout_ms: int, max_items: int = 0, flags: int = 0
) -> bytes:
    """One element, or with `max_items` what is there up to that number."""
    tail = b""
    if flags or max_items:
        tail = _flags(flags) + (_U32.pack(_MAX_ITEMS, max_items) if max_items else b"")
    start = _OPERATION.pack(
        _RECEIVE,
        _OPERATION_BYTES + len(tail),
        _REQ_ID,
        req_id,
        _CHAN_ID,
        chan_id,
        _TIMEOUT_MS,
        timeout_ms,
    )
    return start + tail if tail else start


def select(req_id: int, timeout_ms: int, clauses: Iterable[Clause], flags: int = 0) -> bytes:
    pairs: list[tuple[int, object]] = [
        (_wire.ATTR_REQ_ID, req_id),
        (_wire.ATTR_TIMEOUT_MS, timeout_ms),
    ]
    if flags:
        pairs.append((_wire.ATTR_FLAGS, flags))
    arms = list(clauses)
    if not 1 <= len(arms) <= _wire.MAX_CLAUSES:
        raise InvalidArgument(f"a select has 1 to {_wire.MAX_CLAUSES} clauses, not {len(arms)}")
    pairs += [(_wire.ATTR_CLAUSE, _clause_pairs(clause)) for clause in arms]
    file_count = sum(clause.file_count for clause in arms)
    if file_count > _wire.MAX_FILES:
        raise InvalidArgument(f"a select carries at most {_wire.MAX_FILES} files in all")
    return frame(_wire.CMD_SELECT, write_attributes(pairs), file_count)


def _clause_pairs(clause: Clause) -> list[tuple[int, object]]:
    pairs: list[tuple[int, object]] = [(_wire.ATTR_CHAN_ID, clause.chan_id)]
    if clause.flags:
        pairs.append((_wire.ATTR_FLAGS, clause.flags))
    if clause.element is not None:
        pairs.append((_wire.ATTR_ELEMENT, clause.element))
    if clause.sent is not None:
        pairs.append((_wire.ATTR_DESC, range_bytes(clause.sent)))
    if clause.file_count:
        pairs.append((_wire.ATTR_FILES, clause.file_count))
    return pairs


def cancel(req_id: int) -> bytes:
    """Names its target and has no answer of its own: the target's answer is the answer."""
    return _CANCEL.pack(_wire.CMD_CANCEL << 16, 8, _REQ_ID, req_id)


def ack(req_id: int, delivery_ids: Sequence[int]) -> bytes:
    return _settle(_wire.CMD_ACK, req_id, delivery_ids)


def nack(req_id: int, delivery_ids: Sequence[int]) -> bytes:
    return _settle(_wire.CMD_NACK, req_id, delivery_ids)


def _settle(cmd: int, req_id: int, delivery_ids: Sequence[int]) -> bytes:
    parts = [_U32.pack(_REQ_ID, req_id)]
    parts += [_TICKET.pack(_DELIVERY_ID, delivery) for delivery in delivery_ids]
    return frame(cmd, b"".join(parts))


def release_handle(req_id: int, chan_id: int, rights: int) -> bytes:
    """Gives rights on a channel back."""
    pairs = [(_wire.ATTR_CHAN_ID, chan_id), (_wire.ATTR_FLAGS, rights)]
    return control(_wire.CMD_CHAN_RELEASE, req_id, pairs)


def release(lease_ids: Sequence[int]) -> bytes:
    """Ends leases; not answered."""
    return frame(
        _wire.CMD_RELEASE, b"".join([_TICKET.pack(_LEASE_ID, lease) for lease in lease_ids])
    )


def region_add(req_id: int, size: int) -> bytes:
    """Its file goes with the first byte of the frame."""
    pairs = [(_wire.ATTR_REQ_ID, req_id), (_wire.ATTR_SIZE, size)]
    return frame(_wire.CMD_REGION_ADD, write_attributes(pairs), file_count=1)


def region_drop(req_id: int, region_id: int, flags: int = 0) -> bytes:
    pairs = [(_wire.ATTR_REGION_ID, region_id), (_wire.ATTR_FLAGS, flags)]
    return control(_wire.CMD_REGION_DROP, req_id, pairs)


def element_head(length: int) -> bytes:
    if length < _wire.EXTENDED_LENGTH:
        return HEAD.pack(_ELEMENT | length)
    return EXTENDED.pack(_ELEMENT | _wire.EXTENDED_LENGTH, length)


def element_run(elements: Sequence[bytes]) -> bytes:
    """ELEMENT attributes, one after the other."""
    lengths = set(map(len, elements))
    if len(lengths) == 1:
        start = element_head(lengths.pop())
        return start + start.join(elements)
    heads = {length: element_head(length) for length in lengths}
    return b"".join([part for element in elements for part in (heads[len(element)], element)])


def _flags(flags: int) -> bytes:
    return _U32.pack(_FLAGS, flags) if flags else b""


def _wishes(flags: int, ttl_ms: int) -> bytes:
    return _flags(flags) + (_U32.pack(_TTL_MS, ttl_ms) if ttl_ms else b"")
