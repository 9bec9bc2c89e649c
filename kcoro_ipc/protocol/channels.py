"""What a channel is asked to be and what the daemon says it is: words here, numbers there."""

import math
from struct import Struct
from typing import Any, Literal, NamedTuple, TypedDict

from kcoro_ipc import _wire
from kcoro_ipc.errors import ChannelExists, InvalidArgument
from kcoro_ipc.protocol.batches import LARGEST_OVERHEAD_BYTES
from kcoro_ipc.protocol.replies import Reply

Kind = Literal["rendezvous", "buffered", "conflated", "unlimited"]
Overflow = Literal["suspend", "drop_newest", "drop_oldest"]
Undelivered = Literal["requeue", "drop", "dead_letter"]
Acknowledging = Literal["optional", "required"]

KINDS: dict[str, int] = {
    "rendezvous": _wire.KIND_RENDEZVOUS,
    "buffered": _wire.KIND_BUFFERED,
    "conflated": _wire.KIND_CONFLATED,
    "unlimited": _wire.KIND_UNLIMITED,
}
OVERFLOWS: dict[str, int] = {
    "suspend": _wire.OVERFLOW_SUSPEND,
    "drop_newest": _wire.OVERFLOW_DROP_NEWEST,
    "drop_oldest": _wire.OVERFLOW_DROP_OLDEST,
}
UNDELIVERED: dict[str, int] = {
    "requeue": _wire.UNDELIVERED_REQUEUE,
    "drop": _wire.UNDELIVERED_DROP,
    "dead_letter": _wire.UNDELIVERED_DEAD_LETTER,
}
ACKNOWLEDGING: dict[str, int] = {"optional": 0, "required": _wire.FLAG_CHAN_ACK_REQUIRED}
KIND_NAMES = {number: name for name, number in KINDS.items()}
OVERFLOW_NAMES = {number: name for name, number in OVERFLOWS.items()}


class ChannelOptions(TypedDict, total=False):
    """What may be asked of a channel when it is made; each is also checked when it exists.

    kind: "rendezvous" (default), "buffered" (with capacity), "conflated", "unlimited".
    capacity: elements a buffered channel holds, 1 to 2**20, exactly.
    elem_size: largest element in bytes (default and limit 16 MiB); fixed_size: the only length.
    overflow: what a full buffered channel does: "suspend" the sender, "drop_newest" (the send
        succeeds and says so) or "drop_oldest".
    undelivered: where a message goes whose receiver died: "requeue", "drop" or "dead_letter".
    ack: "required" refuses receives that will not acknowledge. dead_letter: name of an unlimited
        channel for what cannot be delivered. max_attempts: deliveries before that, 1 to 63.
    max_bytes: waiting bytes before the channel counts as full (default 64 MiB).
    ttl: seconds that a message may wait once it was accepted; for ever unless asked.
    file_ttl: the same of messages with open files, if that is shorter.
    mode: permission bits, 0o600 unless asked. owner, group: numbers of whose it is, the maker's
        unless asked: another owner by root and the admin group only, a group the maker is in.
    ephemeral: destroyed with its last handle. close_on_last_sender: closed when the last handle
        that may send goes. exclusive: fail if it exists at all.
    read, write: the rights this handle is to have; both by default.
    """

    kind: Kind
    capacity: int
    elem_size: int
    fixed_size: bool
    overflow: Overflow
    undelivered: Undelivered
    ack: Acknowledging
    dead_letter: str
    max_attempts: int
    max_bytes: int
    ttl: float
    file_ttl: float
    mode: int
    owner: int
    group: int
    ephemeral: bool
    close_on_last_sender: bool
    exclusive: bool
    read: bool
    write: bool


_WORDS: dict[str, tuple[int, dict[str, int]]] = {
    "kind": (_wire.ATTR_KIND, KINDS),
    "overflow": (_wire.ATTR_OVERFLOW, OVERFLOWS),
    "undelivered": (_wire.ATTR_UNDELIVERED, UNDELIVERED),
}
_NUMBERS: dict[str, int] = {
    "capacity": _wire.ATTR_CAPACITY,
    "elem_size": _wire.ATTR_ELEM_SIZE,
    "max_attempts": _wire.ATTR_MAX_ATTEMPTS,
    "max_bytes": _wire.ATTR_MAX_BYTES,
    "mode": _wire.ATTR_MODE,
    "owner": _wire.ATTR_OWNER_UID,
    "group": _wire.ATTR_OWNER_GID,
    "dead_letter": _wire.ATTR_DEAD_LETTER,
}
_FLAGS: dict[str, int] = {
    "read": _wire.FLAG_CHAN_READ,
    "write": _wire.FLAG_CHAN_WRITE,
    "ephemeral": _wire.FLAG_CHAN_EPHEMERAL,
    "close_on_last_sender": _wire.FLAG_CHAN_CLOSE_ON_LAST_SENDER,
    "fixed_size": _wire.FLAG_CHAN_FIXED_SIZE,
    "exclusive": _wire.FLAG_CHAN_EXCLUSIVE,
}
_TIMES = {"ttl": _wire.ATTR_TTL_MS, "file_ttl": _wire.ATTR_FILE_TTL_MS}
_DEFAULTS = {"read": True, "write": True}
_NUMBER = Struct(">Q")
RIGHTS = _wire.FLAG_CHAN_READ | _wire.FLAG_CHAN_WRITE


def _word(option: str, value: object, words: dict[str, int]) -> int:
    if not isinstance(value, str) or value not in words:
        raise InvalidArgument(f"{option} cannot be {value!r}; choose one of {', '.join(words)}")
    return words[value]


def ttl_ms_of(ttl: float | None) -> int:
    """TTL_MS of a send; 0: as the channel says."""
    return 0 if ttl is None else milliseconds("ttl", ttl)


def milliseconds(option: str, seconds: float) -> int:
    """Rounded up, but for what a float adds to a decimal number: never early. 49 days at most, what
    a u32 holds."""
    if not 0 < seconds <= 0xFFFFFFFF / 1000:  # also not for nan
        raise InvalidArgument(f"{option} cannot be {seconds!r}; give seconds, more than 0")
    return max(math.ceil(round(seconds * 1000, 6)), 1)


def flags_of(options: ChannelOptions) -> int:
    """FLAGS of MAKE and OPEN."""
    given: dict[str, Any] = {**_DEFAULTS, **options}
    flags = sum(bit for name, bit in _FLAGS.items() if given.get(name))
    if not flags & RIGHTS:
        raise InvalidArgument("a handle needs a right; leave read or write (or both) true")
    return flags | _word("ack", given.get("ack", "optional"), ACKNOWLEDGING)


def target_pair(target: str | int) -> tuple[int, Any]:
    """A channel by name or by number."""
    return (_wire.ATTR_CHAN_ID if isinstance(target, int) else _wire.ATTR_NAME, target)


def make_pairs(name: str | None, options: ChannelOptions) -> list[tuple[int, Any]]:
    """The attributes of CHAN_MAKE; InvalidArgument for an option that does not exist or fit."""
    known = {*_WORDS, *_NUMBERS, *_FLAGS, "ack", *_TIMES}
    if unknown := set(options) - known:
        raise InvalidArgument(
            f"no channel has the option {', '.join(sorted(unknown))}; there are "
            f"{', '.join(sorted(known))}"
        )
    given: dict[str, Any] = dict(options)
    if given.get("capacity"):
        given.setdefault("kind", "buffered")  # as the command and the configuration understand it
    pairs: list[tuple[int, Any]] = [] if name is None else [(_wire.ATTR_NAME, name)]
    for option, (number, words) in _WORDS.items():
        if option in given:
            pairs.append((number, _word(option, given[option], words)))
    pairs += [(number, given[option]) for option, number in _NUMBERS.items() if option in given]
    for option, number in _TIMES.items():
        if option in given:
            pairs.append((number, milliseconds(option, given[option])))
    return [*pairs, (_wire.ATTR_FLAGS, flags_of(options))]


def rights_pairs(
    target: str | int, mode: int | None, owner: int | None, group: int | None
) -> list[tuple[int, Any]]:
    """The attributes of SET_CONFIG; what is None stays as it is."""
    given = {
        _wire.ATTR_MODE: mode,
        _wire.ATTR_OWNER_UID: owner,
        _wire.ATTR_OWNER_GID: group,
    }
    pairs = [(number, value) for number, value in given.items() if value is not None]
    return [target_pair(target), *pairs]


def open_pairs(
    target: str | int, options: ChannelOptions, timeout_ms: int
) -> list[tuple[int, Any]]:
    """The attributes of CHAN_OPEN, by name or by number."""
    rights = flags_of(options) & RIGHTS
    return [
        target_pair(target),
        (_wire.ATTR_TIMEOUT_MS, timeout_ms),
        (_wire.ATTR_FLAGS, rights),
    ]


class ChannelInfo(NamedTuple):
    """A channel as the daemon describes it. `capacity` counts for buffered channels only; mode,
    owner and group are known from a list alone."""

    name: str | None
    chan_id: int
    kind: str
    capacity: int
    elem_size: int = _wire.MAX_ELEMENT_BYTES
    overflow: str = "suspend"
    flags: int = 0
    mode: int | None = None
    owner: int | None = None
    group: int | None = None

    def longest_element(self, max_frame_bytes: int) -> int:
        """Bytes of the longest element that may be sent over this connection."""
        return min(self.elem_size, max_frame_bytes - LARGEST_OVERHEAD_BYTES)


def read_info(name: str | None, found: Any) -> ChannelInfo:
    """From the attributes of an answer to MAKE or OPEN, or of one entry of a list."""
    kind = found.get(_wire.ATTR_KIND, 0)
    return ChannelInfo(
        name=found.get(_wire.ATTR_NAME, name),
        chan_id=found.get(_wire.ATTR_CHAN_ID, 0),
        kind=KIND_NAMES.get(kind, str(kind)),
        capacity=found.get(_wire.ATTR_CAPACITY, 0),
        elem_size=found.get(_wire.ATTR_ELEM_SIZE, _wire.MAX_ELEMENT_BYTES),
        overflow=OVERFLOW_NAMES.get(found.get(_wire.ATTR_OVERFLOW, 0), "suspend"),
        flags=found.get(_wire.ATTR_FLAGS, 0),
        mode=found.get(_wire.ATTR_MODE),
        owner=found.get(_wire.ATTR_OWNER_UID),
        group=found.get(_wire.ATTR_OWNER_GID),
    )


def check_agrees(info: ChannelInfo, options: ChannelOptions) -> None:
    """ChannelExists if an opened channel is not what was asked for.

    MAKE is checked by the daemon; this is for OPEN, which carries no attributes to compare.
    """
    given: dict[str, Any] = dict(options)
    for option in ("kind", "capacity", "elem_size", "overflow"):
        is_now = getattr(info, option)
        if option in given and given[option] != is_now:
            raise ChannelExists(
                f"channel {info.name or info.chan_id} has {option} {is_now}, not {given[option]}; "
                "open it as it is, or take another name"
            )


def read_page(reply: Reply) -> tuple[list[ChannelInfo], bytes | None]:
    """One page of a list, and the cursor that asks for the next."""
    items = reply.get(_wire.ATTR_ITEM, [])
    return [read_info(None, item) for item in items], reply.get(_wire.ATTR_CURSOR, None)


def read_stats(reply: Reply) -> dict[int, int]:
    """The counters of an answer to GET_STATS by their number."""
    packed = reply.get(_wire.ATTR_NUMBERS, None)
    if packed is not None:
        values = _NUMBER.iter_unpack(packed[: len(packed) // _NUMBER.size * _NUMBER.size])
        return {stat_id: value for stat_id, (value,) in enumerate(values, 1)}
    stats = reply.get(_wire.ATTR_STAT, [])
    return {stat.get(_wire.ATTR_STAT_ID, 0): stat.get(_wire.ATTR_VALUE, 0) for stat in stats}
