"""What CHAN_MAKE asks for: attributes to settings, and whether a channel that exists agrees.

Two dialects. 1.1: KIND 0, CAPACITY 0 and ELEM_SIZE 16 MiB when missing, a buffered channel has 1 to
2**20 places, exactly. 1.0: elements of one fixed size (1..65,535), a buffered channel with CAPACITY
0 gets 1, no names and no policies. In both KIND n > 1 means buffered with n places.
"""

from collections.abc import Callable
from dataclasses import replace

from kcoro_ipc import _wire
from kcoro_ipc.control.request import Request
from kcoro_ipc.errors import ChannelExists, InvalidArgument
from kcoro_ipc.metrics import KINDS
from kcoro_ipc.records import BOTH, Channel, Settings
from kcoro_ipc.registry import check_name

# Properties of a channel among the FLAGS of MAKE; rights and EXCLUSIVE are the request's own.
PROPERTIES = (
    _wire.FLAG_CHAN_EPHEMERAL
    | _wire.FLAG_CHAN_CLOSE_ON_LAST_SENDER
    | _wire.FLAG_CHAN_ACK_REQUIRED
    | _wire.FLAG_CHAN_FIXED_SIZE
)
LEGACY_LARGEST = 0xFFFF  # a 1.0 attribute holds no more


def read_settings(request: Request) -> Settings:
    """InvalidArgument for what no channel can be."""
    settings = _modern(request) if request.minor else _legacy(request)
    kind, capacity = settings.kind, settings.capacity
    buffered = kind == _wire.KIND_BUFFERED
    if kind not in (0, 1, -1, -2):
        raise InvalidArgument(f"KIND {kind} cannot be made; choose 0, 1, -1 or -2")
    if buffered and not 1 <= capacity <= _wire.MAX_CAPACITY:
        raise InvalidArgument(f"CAPACITY is 1 to {_wire.MAX_CAPACITY}, not {capacity}")
    if capacity and not buffered:
        raise InvalidArgument(f"CAPACITY is for buffered channels, this one is {KINDS[kind]}")
    if settings.overflow and not buffered:
        raise InvalidArgument(f"OVERFLOW is for buffered channels, this one is {KINDS[kind]}")
    return settings


def _kind(request: Request) -> tuple[int, int]:
    """KIND and CAPACITY with the alias for n > 1 resolved."""
    kind, capacity = request.number(_wire.ATTR_KIND), request.number(_wire.ATTR_CAPACITY)
    if kind <= 1:
        return kind, capacity
    if capacity not in (0, kind) and request.minor:
        raise InvalidArgument(f"KIND {kind} means {kind} places, CAPACITY says {capacity}")
    return _wire.KIND_BUFFERED, capacity or kind


def _legacy(request: Request) -> Settings:
    kind, capacity = _kind(request)
    size = request.number(_wire.ATTR_ELEM_SIZE)
    if not 1 <= size <= LEGACY_LARGEST:
        raise InvalidArgument(f"ELEM_SIZE is 1 to {LEGACY_LARGEST}, not {size}")
    # The older server ignored CAPACITY where it means nothing, and took 0 for 1.
    capacity = max(capacity, 1) if kind == _wire.KIND_BUFFERED else 0
    flags = _wire.FLAG_CHAN_FIXED_SIZE
    return Settings(kind=kind, capacity=capacity, elem_size=size, flags=flags)


def _modern(request: Request) -> Settings:
    kind, capacity = _kind(request)
    flags = request.flags(_wire.FLAG_CHAN_ALL) & PROPERTIES
    size = request.number(_wire.ATTR_ELEM_SIZE, _wire.MAX_ELEMENT_BYTES)
    if not 1 <= size <= _wire.MAX_ELEMENT_BYTES:
        raise InvalidArgument(f"ELEM_SIZE is 1 to {_wire.MAX_ELEMENT_BYTES}, not {size}")
    if flags & _wire.FLAG_CHAN_FIXED_SIZE and _wire.ATTR_ELEM_SIZE not in request.given:
        raise InvalidArgument("a channel of fixed size needs ELEM_SIZE")
    settings = Settings(kind=kind, capacity=capacity, elem_size=size, flags=flags)
    return _policies(request, settings)


def _policies(request: Request, settings: Settings) -> Settings:
    conflated = settings.kind == _wire.KIND_CONFLATED
    if conflated and settings.flags & _wire.FLAG_CHAN_ACK_REQUIRED:
        raise InvalidArgument("a conflated channel has no acknowledgements")
    dead_letter = request.octets(_wire.ATTR_DEAD_LETTER)
    undelivered = _within(request, _wire.ATTR_UNDELIVERED, 3)
    if undelivered == _wire.UNDELIVERED_DEAD_LETTER and dead_letter is None:
        raise InvalidArgument("UNDELIVERED says dead letter; name one in DEAD_LETTER")
    return replace(
        settings,
        overflow=_within(request, _wire.ATTR_OVERFLOW, 2),
        undelivered=undelivered,
        max_attempts=_within(request, _wire.ATTR_MAX_ATTEMPTS, _wire.MAX_ATTEMPTS),
        max_bytes=request.number(_wire.ATTR_MAX_BYTES),
        ttl_ms=request.number(_wire.ATTR_TTL_MS),
        file_ttl_ms=request.number(_wire.ATTR_FILE_TTL_MS),
        mode=_within(request, _wire.ATTR_MODE, _wire.MAX_MODE, settings.mode),
        dead_letter=None if dead_letter is None else check_name(dead_letter),
    )


def _within(request: Request, number: int, most: int, default: int = 0) -> int:
    value = request.number(number, default)
    if not 0 <= value <= most:
        raise InvalidArgument(f"{_wire.ATTRIBUTE_NAMES[number]} is 0 to {most}, not {value}")
    return value


# What MAKE may name again for a channel that exists, and where its settings keep it.
_COMPARED: dict[int, Callable[[Settings], object]] = {
    _wire.ATTR_KIND: lambda s: s.kind,
    _wire.ATTR_CAPACITY: lambda s: s.capacity,
    _wire.ATTR_ELEM_SIZE: lambda s: s.elem_size,
    _wire.ATTR_OVERFLOW: lambda s: s.overflow,
    _wire.ATTR_UNDELIVERED: lambda s: s.undelivered,
    _wire.ATTR_MAX_ATTEMPTS: lambda s: s.max_attempts,
    _wire.ATTR_MAX_BYTES: lambda s: s.max_bytes,
    _wire.ATTR_TTL_MS: lambda s: s.ttl_ms,
    _wire.ATTR_FILE_TTL_MS: lambda s: s.file_ttl_ms,
    _wire.ATTR_MODE: lambda s: s.mode,
    _wire.ATTR_DEAD_LETTER: lambda s: s.dead_letter,
}


def check_agrees(request: Request, asked: Settings, channel: Channel) -> None:
    """ChannelExists unless every attribute and every property that was given agrees."""
    given = set(request.given)
    if request.number(_wire.ATTR_KIND) > _wire.KIND_BUFFERED:
        given.add(_wire.ATTR_CAPACITY)  # KIND n > 1 names the capacity too
    for number, value_of in _COMPARED.items():
        if number in given and value_of(asked) != value_of(channel.settings):
            raise ChannelExists(
                f"it exists with another {_wire.ATTRIBUTE_NAMES[number]}: "
                f"{value_of(channel.settings)}, not {value_of(asked)}"
            )
    check_properties(asked.flags, channel)


def check_properties(flags: int, channel: Channel) -> None:
    """A property bit that is set must be the channel's; one that is not set claims nothing."""
    missing = flags & PROPERTIES & ~channel.settings.flags
    if missing:
        raise ChannelExists(f"it exists without the properties {missing:#x} of FLAGS")


def described(channel: Channel, rights: int) -> list[tuple[int, int]]:
    """What MAKE and OPEN answer; FLAGS are the channel's properties and the handle's rights."""
    settings = channel.settings
    return [
        (_wire.ATTR_CHAN_ID, channel.chan_id),
        (_wire.ATTR_KIND, settings.kind),
        (_wire.ATTR_CAPACITY, settings.capacity),
        (_wire.ATTR_ELEM_SIZE, settings.elem_size),
        (_wire.ATTR_OVERFLOW, settings.overflow),
        (_wire.ATTR_FLAGS, settings.flags | (rights & BOTH)),
    ]
