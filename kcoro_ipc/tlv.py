"""The wire: commands, attributes, flags, limits and the grammar of a frame, in construct.

This is the one definition. `_wire.py`, the C constants (kc_wire.h) and the tables of
docs/PROTOCOL.md are generated from it by tools/gen_wire.py; the C reader (native/ipc/frame.c)
is held equal to it by tests. It knows no connection, no channel and no meaning of a request:
missing attributes, texts that are not UTF-8 and counts out of range are the business of
whoever answers the request. It is longer than its neighbours because tables and grammar
belong together.

Invariants:
- `parse_frame` returns a frame or raises ProtocolError, for any bytes whatever.
- `build_frame(*parse_frame(data))` is the canonical form: known attributes in the order of
  arrival, shortest lengths, no critical bits.
- numbers are added at the end of a table and never used again.

The grammar is interpreted, never `.compile()`d: compiled construct code accepts a value
shorter than its declared length. A GreedyRange swallows errors, so Terminated follows it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from construct import (
    Computed,
    Construct,
    ConstructError,
    FocusedSeq,
    GreedyBytes,
    GreedyRange,
    IfThenElse,
    Int16ub,
    Int32sb,
    Int32ub,
    Int64ub,
    Optional,
    Prefixed,
    Rebuild,
    Struct,
    Terminated,
    this,
)

from kcoro_ipc.errors import FrameTooLong, InvalidArgument, MessageTooLong, ProtocolError

ABI_MAJOR = 1
ABI_MINOR = 1

# --- commands ---------------------------------------------------------------------------


class Command(NamedTuple):
    number: int
    minor: int | None  # first minor version that has it; None: the number is reserved
    meaning: str


COMMANDS: dict[str, Command] = {
    "HELLO": Command(1, 0, "versions; the first frame of a connection"),
    "GET_INFO": Command(2, 0, "what the daemon is"),
    "GET_STATS": Command(3, 0, "the counters of a channel, with WAITERS also who waits"),
    "SET_CONFIG": Command(4, 1, "change mode, owner or group of a channel"),
    "RESET_STATS": Command(5, None, "reserved"),
    "LIST": Command(6, 0, "the channels this peer may see, page by page"),
    "CHAN_MAKE": Command(10, 0, "make a channel, or open it if one of that name agrees"),
    "CHAN_SEND": Command(11, 0, "send one element, or a batch"),
    "CHAN_TRY_SEND": Command(12, 0, "send without waiting; answered as CHAN_SEND"),
    "CHAN_RECV": Command(13, 0, "receive one element, or a batch"),
    "CHAN_TRY_RECV": Command(14, 0, "receive without waiting; answered as CHAN_RECV"),
    "CHAN_CLOSE": Command(15, 0, "no more sends; what was accepted drains"),
    "CHAN_DESTROY": Command(16, 0, "end the channel now; 1.0: close and release, no reply"),
    "ACTOR_START": Command(20, None, "reserved"),
    "ACTOR_STOP": Command(21, None, "reserved"),
    "SELECT_SEND": Command(30, None, "reserved"),
    "SELECT_RECV": Command(31, None, "reserved"),
    "SELECT_REGISTER": Command(32, None, "reserved"),
    "SELECT_CANCEL": Command(33, None, "reserved"),
    "SELECT_NOTIFY": Command(34, None, "reserved"),
    "SELECT_CLAIM": Command(35, None, "reserved"),
    "CHAN_OPEN": Command(36, 1, "a handle by NAME or CHAN_ID; with TIMEOUT_MS waits for the name"),
    "CHAN_RELEASE": Command(37, 1, "give rights of this connection's handle back"),
    "SELECT": Command(38, 1, "exactly one of up to 64 clauses"),
    "CANCEL": Command(39, 1, "cancel the request REQ_ID; never answered itself"),
    "ACK": Command(40, 1, "acknowledge deliveries; answered only if it has a REQ_ID"),
    "NACK": Command(41, 1, "give deliveries back; answered only if it has a REQ_ID"),
    "PING": Command(42, 1, "answered at once"),
    "CHAN_PURGE": Command(43, 1, "drop what waits in a channel"),
    "SUBSCRIBE": Command(44, 1, "counters every INTERVAL_MS until CANCEL"),
    "REGION_ADD": Command(45, 1, "register shared memory: SIZE, and its file with the frame"),
    "REGION_DROP": Command(46, 1, "take a region back; by default only an idle one"),
    "RELEASE": Command(47, 1, "end leases; answered only if it has a REQ_ID"),
    "REGION_MAP": Command(48, 1, "notice: a region that descriptors will name, with its file"),
    "REGION_FREED": Command(49, 1, "notice to a region's owner: what is no longer in use"),
    "REGION_GONE": Command(50, 1, "notice: no descriptor will name this region any more"),
    "METRICS": Command(53, 1, "all counters as OpenMetrics text, page by page"),
    "CONNECTIONS": Command(51, 1, "the connections this peer may see; with VALUE one in detail"),
}

# --- attributes -------------------------------------------------------------------------

U32, I32, U64, TEXT, OPAQUE, NESTED, RESERVED = (
    "u32",
    "i32",
    "u64",
    "text",
    "bytes",
    "nested",
    "reserved",
)
SCALARS: dict[str, Construct] = {U32: Int32ub, I32: Int32sb, U64: Int64ub}


class Attribute(NamedTuple):
    """`repeats`: may stand more than once in a frame; within a nested attribute none may."""

    number: int
    type: str
    meaning: str
    repeats: bool = False


ATTRIBUTES: dict[str, Attribute] = {
    "ABI_MAJOR": Attribute(1, U32, "1"),
    "ABI_MINOR": Attribute(2, U32, "the lower minor of the two is spoken"),
    "CAPS": Attribute(3, U32, "abilities of this side, bits"),
    "ID": Attribute(4, RESERVED, ""),
    "KIND": Attribute(5, I32, "kind of the channel; n > 1: buffered with capacity n"),
    "ELEM_SIZE": Attribute(6, U32, "largest element in bytes; with FIXED_SIZE the exact one"),
    "CAPACITY": Attribute(7, U32, "elements a buffered channel holds"),
    "TIMEOUT_MS": Attribute(8, I32, "0 or missing: try; negative: for ever"),
    "SEND_OPS": Attribute(9, U32, "sends so far"),
    "RECV_OPS": Attribute(10, U32, "receives so far"),
    "WAITERS_S": Attribute(11, RESERVED, ""),
    "WAITERS_R": Attribute(12, RESERVED, ""),
    "DROPS": Attribute(13, RESERVED, ""),
    "LAT_MIN": Attribute(14, RESERVED, ""),
    "LAT_MAX": Attribute(15, RESERVED, ""),
    "LAT_AVG": Attribute(16, RESERVED, ""),
    "FIFO_MAX": Attribute(17, RESERVED, ""),
    "CHAN_ID": Attribute(20, U32, "channel, from 1001"),
    "ELEMENT": Attribute(21, OPAQUE, "the bytes of one message, 0 to elem_size", repeats=True),
    "RESULT": Attribute(22, I32, "0 or a code"),
    "ACTOR_ID": Attribute(23, RESERVED, ""),
    "MSG_SIZE": Attribute(24, RESERVED, ""),
    "SELECT_MASK": Attribute(25, RESERVED, ""),
    "REQ_ID": Attribute(26, U32, "names a request until its reply; 1.1: never 0"),
    "FLAGS": Attribute(32, U32, "bits by command"),
    "OVERFLOW": Attribute(33, U32, "what a full buffered channel does"),
    "UNDELIVERED": Attribute(34, U32, "where an element goes that reached nobody"),
    "MAX_ATTEMPTS": Attribute(35, U32, "deliveries before the dead letter, 1 to 63; 0: no limit"),
    "MODE": Attribute(36, U32, "permission bits, at most 0777"),
    "MAX_FRAME": Attribute(37, U32, "longest payload in bytes this side accepts"),
    "MAX_ITEMS": Attribute(38, U32, "most elements in a reply, 1 to 1024"),
    "COUNT": Attribute(39, U32, "elements settled, deliveries acknowledged, messages purged"),
    "DROPPED": Attribute(40, U32, "how many of COUNT drop_newest dropped"),
    "REDELIVERED": Attribute(41, U32, "earlier deliveries of this message"),
    "INDEX": Attribute(42, U32, "the clause that won or failed"),
    "INTERVAL_MS": Attribute(43, U32, "time between two events"),
    "TTL_MS": Attribute(44, U32, "how long a message may wait; 0 or missing: as the channel says"),
    "SENDER_UID": Attribute(45, U32, "who sent or waits, as the kernel says"),
    "SENDER_PID": Attribute(46, U32, "who sent or waits, as the kernel said when it connected"),
    "STAT_ID": Attribute(47, U32, "which counter"),
    "DELIVERY_ID": Attribute(48, U64, "ticket of one receive, for ACK and NACK", repeats=True),
    "REGION_ID": Attribute(49, U64, "ticket of a region"),
    "MAX_BYTES": Attribute(50, U64, "limit of waiting bytes; of bytes in a batch"),
    "VALUE": Attribute(51, U64, "value of a counter"),
    "QUOTA_LIMIT": Attribute(52, U64, "the quota that refused: its limit"),
    "QUOTA_USAGE": Attribute(53, U64, "its use now"),
    "SESSION": Attribute(54, U64, "for restart without loss"),
    "OP_SEQ": Attribute(55, U64, "for restart without loss"),
    "WATERMARK": Attribute(56, U64, "for restart without loss"),
    "NAME": Attribute(57, TEXT, "name of a channel"),
    "DEAD_LETTER": Attribute(58, TEXT, "name of the channel for what cannot be delivered"),
    "CLIENT_NAME": Attribute(59, TEXT, "what a client calls itself, for logs"),
    "REASON": Attribute(60, TEXT, "why"),
    "QUOTA_NAME": Attribute(61, TEXT, "the quota that refused"),
    "QUOTA_SETTING": Attribute(62, TEXT, "the setting that raises it"),
    "CURSOR": Attribute(63, OPAQUE, "where LIST goes on; to be sent back unchanged"),
    "ITEM": Attribute(64, NESTED, "one entry of a batch or a list", repeats=True),
    "CLAUSE": Attribute(65, NESTED, "one arm of a select; with ELEMENT a send", repeats=True),
    "STAT": Attribute(66, NESTED, "STAT_ID and VALUE", repeats=True),
    "DESC": Attribute(
        67, OPAQUE, "a range of a region: REGION_ID, offset, length, and one more u64", repeats=True
    ),
    "WAITER_SIDE": Attribute(68, U32, "0 sends, 1 receives"),
    "WAITER_STATUS": Attribute(69, TEXT, "state of the waiter's token"),
    "AGE_NS": Attribute(70, U64, "since it waits"),
    "LEASE_ID": Attribute(71, U64, "ticket of a delivered range, for RELEASE", repeats=True),
    "SIZE": Attribute(72, U64, "bytes of a region"),
    "FILES": Attribute(73, U32, "how many of the frame's files are this clause's"),
    "FILE_TTL_MS": Attribute(74, U32, "how long a message with files may wait; 0: no limit"),
    "TEXT": Attribute(90, OPAQUE, "a page of metrics: whole lines of UTF-8"),
    "EVENTS_SKIPPED": Attribute(91, U32, "events left out before this one"),
    "TAP_OF": Attribute(95, U32, "CHAN_ID of the channel that this one gets copies of"),
    "NUMBERS": Attribute(96, OPAQUE, "u64 each, in the order of a table: counters, connections"),
    "TOKEN": Attribute(97, U64, "ticket of an operation; the clauses of one select share it"),
    "OWNER_UID": Attribute(80, U32, "user that a channel belongs to"),
    "OWNER_GID": Attribute(81, U32, "group that a channel belongs to"),
}

CRITICAL = 0x8000
EXTENDED_LENGTH = 0xFFFF
FILES_MASK = 0x00FF

# --- values -----------------------------------------------------------------------------

ENUMERATIONS: dict[str, dict[str, int]] = {
    "KIND": {"RENDEZVOUS": 0, "BUFFERED": 1, "CONFLATED": -1, "UNLIMITED": -2, "BROADCAST": -3},
    "OVERFLOW": {"SUSPEND": 0, "DROP_NEWEST": 1, "DROP_OLDEST": 2},
    "UNDELIVERED": {"BY_KIND": 0, "REQUEUE": 1, "DROP": 2, "DEAD_LETTER": 3},
    "WAITER": {"SENDS": 0, "RECEIVES": 1},
    "CAP": {"DESCRIPTORS": 1 << 0, "FILES": 1 << 1},
    "FREED": {"LOST": 1 << 0},
    "TAPPED": {"DESCRIPTOR": 1 << 0, "FILES": 1 << 1},
}

# FLAGS by command; CHAN is CHAN_MAKE, CHAN_OPEN and CHAN_RELEASE.
FLAGS: dict[str, dict[str, int]] = {
    "CHAN": {
        "READ": 1 << 0,
        "WRITE": 1 << 1,
        "EPHEMERAL": 1 << 2,
        "CLOSE_ON_LAST_SENDER": 1 << 3,
        "ACK_REQUIRED": 1 << 4,
        "FIXED_SIZE": 1 << 5,
        "EXCLUSIVE": 1 << 6,
    },
    "SEND": {"COMPLETE_ACK": 1 << 0, "FALLBACK_SMALL": 1 << 1, "FALLBACK_CAPACITY": 1 << 2},
    "SENT": {"TAKEN": 1 << 0},  # of the reply to a send with COMPLETE_ACK
    "RECV": {"ACK": 1 << 0, "SENDER": 1 << 1},
    "CLAUSE": {  # the first two of a receiving one, the others of a sending one
        "ACK": 1 << 0,
        "SENDER": 1 << 1,
        "FALLBACK_SMALL": 1 << 2,
        "FALLBACK_CAPACITY": 1 << 3,
    },
    "SELECT": {"BIASED": 1 << 0},
    "STATS": {"WAITERS": 1 << 0, "FILES": 1 << 1, "HOLDERS": 1 << 2, "PACKED": 1 << 3},
    "REGION": {"WAIT": 1 << 0, "REVOKE": 1 << 1},
}

LIMITS: dict[str, int] = {
    "FRAME_BYTES": (16 << 20) + (64 << 10),
    "SEQPACKET_FRAME_BYTES": 128 << 10,
    "ELEMENT_BYTES": 16 << 20,
    "NAME_BYTES": 255,
    "TEXT_BYTES": 255,
    "CURSOR_BYTES": 255,
    "CLAUSES": 64,
    "ITEMS": 1024,
    "ATTEMPTS": 63,
    "CAPACITY": 1 << 20,
    "MODE": 0o777,
    "FILES": 253,
    "MESSAGE_FILES": 16,
    "DESC_BYTES": 32,
    "TAP_HEAD_BYTES": 32,
}

# Numbers from 1; the engine counts in this order.
# fmt: off
STATS: tuple[str, ...] = (
    "total_sends", "total_recvs", "total_bytes_sent", "total_bytes_recv", "first_op_time_ns",
    "last_op_time_ns", "send_eagain", "send_etime", "send_epipe", "recv_eagain", "recv_etime",
    "recv_epipe", "rv_matches", "rv_cancels", "rv_zdesc_matches", "zref_sent", "zref_received",
    "zref_aborted_close", "cancelled_waiters", "cancelled_cancel", "cancelled_timeout",
    "cancelled_dead", "cancelled_destroyed", "matched_waiters", "closed_waiters",
    "finished_waiters", "drops_oldest", "drops_newest", "undelivered", "undelivered_requeued",
    "undelivered_dropped", "undelivered_dead_lettered", "redelivered", "acks", "nacks",
    "unconfirmed", "send_idx", "recv_idx", "depth", "ready", "held", "bytes", "peak_depth",
    "parked_senders", "parked_receivers", "capacity", "elem_size", "kind", "overflow", "state",
    "max_bytes", "handles_read", "handles_write", "cap_flags", "close_reason",
    "zref_fallback_small", "zref_fallback_capacity", "zref_canceled", "descriptors", "files",
    "expired",
)

# What NUMBERS says of a connection, in this order; grown at the end.
CONNECTION_NUMBERS: tuple[str, ...] = (
    "age_ns", "transport", "minor", "frames_in", "frames_out", "bytes_in", "bytes_out", "files_in",
    "queued_bytes", "requests", "parked", "held", "handles", "leases", "regions",
)
# fmt: on

# --- grammar ----------------------------------------------------------------------------

HEADER_BYTES = 8
Header = Struct("cmd" / Int16ub, "flags" / Int16ub, "length" / Int32ub)

LENGTH: tuple[Construct, ...] = (
    Int16ub,
    FocusedSeq(
        "length",
        "short" / Rebuild(Int16ub, lambda context: min(context.length, EXTENDED_LENGTH)),
        "length" / IfThenElse(this.short == EXTENDED_LENGTH, Int32ub, Computed(this.short)),
    ),
)


# The value of a DESC. Its length is judged by whoever serves the frame, as a meaning is.
DescValue = Struct(
    "region" / Int64ub,
    "offset" / Int64ub,
    "length" / Int64ub,
    "fourth" / Optional(Int64ub),  # a lease or flags, by command
    Terminated,
)


# The element of a tap: this, then the message's own bytes, none of a descriptor or of files.
TapHead = Struct(
    "place" / Int64ub,  # send_idx of the source with this message
    "time_ns" / Int64ub,  # CLOCK_MONOTONIC
    "size_bytes" / Int64ub,  # of the whole message; of a descriptor the length of its range
    "file_count" / Int32ub,
    "sort" / Int32ub,  # bits of TAPPED; 0: plain bytes
)


def _attributes(length: Construct) -> Construct:
    one = Struct("type" / Int16ub, "value" / Prefixed(length, GreedyBytes))
    return FocusedSeq("attributes", "attributes" / GreedyRange(one), Terminated)


PAYLOAD: tuple[Construct, ...] = tuple(_attributes(length) for length in LENGTH)

Value = Any  # int, bytes, or for a nested attribute a tuple of (number, value)
Pair = tuple[int, Value]

_BY_NUMBER: dict[int, Attribute] = {
    a.number: a for a in ATTRIBUTES.values() if a.type is not RESERVED
}
ATTRIBUTE_NAMES: dict[int, str] = {a.number: name for name, a in ATTRIBUTES.items()}
COMMAND_NAMES: dict[int, str] = {c.number: name for name, c in COMMANDS.items()}


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame as understood: numbers, not names; `attributes` in the order of arrival."""

    cmd: int
    attributes: tuple[Pair, ...]
    minor: int
    files: int = 0

    def get(self, name: str, default: Value = None) -> Value:
        """The value of attribute `name`, the first one if it stands more than once."""
        return next(iter(self.all(name)), default)

    def all(self, name: str) -> list[Value]:
        number = ATTRIBUTES[name].number
        return [value for key, value in self.attributes if key == number]


def parse_frame(data: bytes, minor: int, max_bytes: int = LIMITS["FRAME_BYTES"]) -> Frame:
    """Exactly one frame from `data`, by the rules of ABI 1.`minor`.

    Raises FrameTooLong for a length over `max_bytes` and ProtocolError for everything else
    that is not one whole valid frame.
    """
    header = parse_header(data, minor, max_bytes)
    if len(data) - HEADER_BYTES != header.length:
        raise ProtocolError(
            f"a frame of {header.length} payload bytes has {len(data) - HEADER_BYTES} here"
        )
    files = header.flags & FILES_MASK if minor else 0
    return Frame(header.cmd, parse_payload(data[HEADER_BYTES:], minor), minor, files)


def parse_header(data: bytes, minor: int, max_bytes: int = LIMITS["FRAME_BYTES"]) -> Any:
    """cmd, flags and length from the first 8 bytes; checks flags (1.1), then length."""
    try:
        header = Header.parse(data[:HEADER_BYTES])
    except ConstructError:
        raise ProtocolError(f"a frame begins with 8 header bytes, here are {len(data)}") from None
    if minor and header.flags & ~FILES_MASK:
        raise ProtocolError(f"reserved header flags are set: {header.flags:#06x}")
    if header.length > max_bytes:
        raise FrameTooLong(f"a frame of {header.length} bytes is over the limit of {max_bytes}")
    return header


def parse_payload(payload: bytes, minor: int) -> tuple[Pair, ...]:
    """The known attributes of a payload; ProtocolError as `parse_frame`."""
    return _typed(_raw(payload, minor), minor, nested=False)


def _raw(payload: bytes, minor: int) -> list[Any]:
    try:
        return list(PAYLOAD[minor].parse(payload))
    except ConstructError:
        raise ProtocolError("an attribute is longer than what holds it") from None


def _typed(raw: Iterable[Any], minor: int, nested: bool) -> tuple[Pair, ...]:
    pairs: list[Pair] = []
    seen: set[int] = set()
    for number, attribute, value in _known(raw, minor):
        if number in seen and (nested or not attribute.repeats):
            if minor:
                raise ProtocolError(f"attribute {ATTRIBUTE_NAMES[number]} stands twice")
            continue
        seen.add(number)
        pairs.append((number, _value(number, attribute, value, minor, nested)))
    return tuple(pairs)


def _known(raw: Iterable[Any], minor: int) -> Iterator[tuple[int, Attribute, bytes]]:
    """What this side understands: unknown types and, in 1.0, misshapen scalars are not seen."""
    for one in raw:
        number = one.type & ~CRITICAL
        attribute = _BY_NUMBER.get(number)
        if attribute is None:
            if one.type & CRITICAL:
                raise ProtocolError(f"attribute {number} is critical and not known here")
            continue
        scalar = SCALARS.get(attribute.type)
        if scalar is not None and len(one.value) != scalar.sizeof():
            if minor:
                name = ATTRIBUTE_NAMES[number]
                raise ProtocolError(f"{name} has {len(one.value)} bytes, not {scalar.sizeof()}")
            continue
        yield number, attribute, one.value


def _value(number: int, attribute: Attribute, value: bytes, minor: int, nested: bool) -> Value:
    scalar = SCALARS.get(attribute.type)
    if scalar is not None:
        return scalar.parse(value)
    if attribute.type is not NESTED:
        return value
    if nested:
        raise ProtocolError(f"{ATTRIBUTE_NAMES[number]} is nested inside a nested attribute")
    return _typed(_raw(value, minor), minor, nested=True)


def build_frame(
    cmd: int | str,
    attributes: Iterable[tuple[int | str, Value]],
    minor: int,
    files: int = 0,
) -> bytes:
    """The bytes of one frame; commands and attributes by number or by name.

    Values: int, bytes or str, and a sequence of pairs for a nested attribute. Raises
    InvalidArgument for a value that does not fit its type, MessageTooLong for an attribute
    that cannot be written in this minor version or a frame over the limit.
    """
    number = COMMANDS[cmd].number if isinstance(cmd, str) else cmd
    payload = build_payload(attributes, minor)
    if len(payload) > LIMITS["FRAME_BYTES"]:
        raise MessageTooLong(f"a frame of {len(payload)} bytes is over the limit")
    header = {"cmd": number, "flags": files if minor else 0, "length": len(payload)}
    return bytes(Header.build(header)) + payload


def build_payload(attributes: Iterable[tuple[int | str, Value]], minor: int) -> bytes:
    raw = []
    for key, value in attributes:
        number = ATTRIBUTES[key].number if isinstance(key, str) else key
        raw.append({"type": number, "value": _encoded(number, value, minor)})
    try:
        return bytes(PAYLOAD[minor].build(raw))
    except ConstructError as error:
        raise MessageTooLong(f"an attribute cannot be written in ABI 1.{minor}: {error}") from None


def _encoded(number: int, value: Value, minor: int) -> bytes:
    attribute = _BY_NUMBER.get(number & ~CRITICAL)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, str):
        return value.encode()
    if attribute is not None and attribute.type is NESTED:
        return build_payload(value, minor)
    scalar = SCALARS.get(attribute.type) if attribute is not None else None
    try:
        if scalar is not None:
            return bytes(scalar.build(value))
    except ConstructError:
        pass
    raise InvalidArgument(f"{value!r} is no value for attribute {number}")
