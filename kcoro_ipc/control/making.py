"""What CHAN_MAKE asks for: attributes to settings, and whether a channel that exists agrees.

Two dialects. 1.1: KIND 0, CAPACITY 0 and ELEM_SIZE 16 MiB when missing, a buffered channel has 1 to
2**20 places, exactly. 1.0: elements of one fixed size (1..65,535), a buffered channel with CAPACITY
0 gets 1, no names and no policies. In both KIND n > 1 means buffered with n places.
"""

from collections.abc import Callable
from dataclasses import replace

from kcoro_ipc import _wire
from kcoro_ipc.control.request import Request
from kcoro_ipc.errors import AccessDenied, ChannelExists, InvalidArgument
from kcoro_ipc.names import check_name
from kcoro_ipc.records import BOTH, Channel, Owner, Settings
from kcoro_ipc.settings import check_settings

# Properties of a channel among the FLAGS of MAKE; rights and EXCLUSIVE are the request's own.
PROPERTIES = (
    _wire.FLAG_CHAN_EPHEMERAL
    | _wire.FLAG_CHAN_CLOSE_ON_LAST_SENDER
    | _wire.FLAG_CHAN_ACK_REQUIRED
    | _wire.FLAG_CHAN_FIXED_SIZE
)
LEGACY_LARGEST = 0xFFFF  # a 1.0 attribute holds no more
TAP_CAPACITY = 1024
TAP_MODE = 0o400  # nobody sends into it but the engine


def read_settings(request: Request) -> Settings:
    """InvalidArgument for what no channel can be."""
    settings = _modern(request) if request.minor else _legacy(request)
    if settings.tap_of:
        settings = _tap(request, settings)
    check_settings(settings)
    return settings


def _tap(request: Request, settings: Settings) -> Settings:
    """Buffered, never full, without a name: what a tap is whatever else is asked for."""
    refused = {_wire.ATTR_NAME, _wire.ATTR_KIND, _wire.ATTR_OVERFLOW, _wire.ATTR_DEAD_LETTER}
    if named := sorted(_wire.ATTRIBUTE_NAMES[number] for number in refused & request.given):
        raise InvalidArgument(f"a channel with TAP_OF is a tap; leave out {', '.join(named)}")
    properties = settings.flags & ~_wire.FLAG_CHAN_EPHEMERAL
    if settings.elem_size <= _wire.MAX_TAP_HEAD_BYTES or properties:
        raise InvalidArgument(
            f"a tap has elements of more than {_wire.MAX_TAP_HEAD_BYTES} bytes and no properties"
        )
    return replace(
        settings,
        kind=_wire.KIND_BUFFERED,
        capacity=settings.capacity or TAP_CAPACITY,
        overflow=_wire.OVERFLOW_DROP_OLDEST,
        undelivered=_wire.UNDELIVERED_DROP,
        mode=TAP_MODE,
    )


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
    if flags & _wire.FLAG_CHAN_FIXED_SIZE and _wire.ATTR_ELEM_SIZE not in request.given:
        raise InvalidArgument("a channel of fixed size needs ELEM_SIZE")
    settings = Settings(kind=kind, capacity=capacity, elem_size=size, flags=flags)
    return _policies(request, settings)


def _policies(request: Request, settings: Settings) -> Settings:
    dead_letter = request.octets(_wire.ATTR_DEAD_LETTER)
    return replace(
        settings,
        overflow=_within(request, _wire.ATTR_OVERFLOW, 2),
        undelivered=_within(request, _wire.ATTR_UNDELIVERED, 3),
        max_attempts=_within(request, _wire.ATTR_MAX_ATTEMPTS, _wire.MAX_ATTEMPTS),
        max_bytes=request.number(_wire.ATTR_MAX_BYTES),
        ttl_ms=request.number(_wire.ATTR_TTL_MS),
        file_ttl_ms=request.number(_wire.ATTR_FILE_TTL_MS),
        mode=read_mode(request, settings.mode),
        dead_letter=None if dead_letter is None else check_name(dead_letter),
        tap_of=request.number(_wire.ATTR_TAP_OF),
    )


def read_owner(request: Request, is_admin: bool, usual: Owner) -> Owner:
    """Whose the channel will be: `usual`, unless the peer may and does say otherwise."""
    if not request.minor:
        return usual
    owner = Owner(
        request.number(_wire.ATTR_OWNER_UID, usual.uid),
        request.number(_wire.ATTR_OWNER_GID, usual.gid),
    )
    if not is_admin and owner.uid != usual.uid:
        raise AccessDenied("only root and the admin group make others own a channel")
    if not is_admin and owner.gid not in {usual.gid, *request.peer.groups}:
        raise AccessDenied(f"you are not in group {owner.gid}; give one of your groups")
    return owner


def read_mode(request: Request, usual: int) -> int:
    return _within(request, _wire.ATTR_MODE, _wire.MAX_MODE, usual)


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
    for number, value in ((_wire.ATTR_OWNER_UID, channel.uid), (_wire.ATTR_OWNER_GID, channel.gid)):
        if number in given and request.number(number) != value:
            raise _differs(number, value, request.number(number))
    if request.number(_wire.ATTR_KIND) > _wire.KIND_BUFFERED:
        given.add(_wire.ATTR_CAPACITY)  # KIND n > 1 names the capacity too
    for number, value_of in _COMPARED.items():
        if number in given and value_of(asked) != value_of(channel.settings):
            raise _differs(number, value_of(channel.settings), value_of(asked))
    check_properties(asked.flags, channel)


def _differs(number: int, is_now: object, asked: object) -> ChannelExists:
    name = _wire.ATTRIBUTE_NAMES[number]
    if number == _wire.ATTR_MODE:
        is_now, asked = f"{is_now:04o}", f"{asked:04o}"
    return ChannelExists(f"it exists with another {name}: {is_now}, not {asked}")


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
