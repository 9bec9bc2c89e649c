"""CHAN_MAKE, OPEN, RELEASE, CLOSE, DESTROY, PURGE, and a 1.0 client's first use of a channel."""

from kcoro_ipc import _wire
from kcoro_ipc.broker import SHUTTING_DOWN, Broker
from kcoro_ipc.control.making import (
    LEGACY_LARGEST,
    check_agrees,
    check_properties,
    described,
    read_settings,
)
from kcoro_ipc.control.request import LET_GO, RESUBMIT, Outcome, Request, failure, request_frame
from kcoro_ipc.errors import (
    AccessDenied,
    ChannelExists,
    InvalidArgument,
    KcoroError,
    NoSuchChannel,
    OperationCancelled,
)
from kcoro_ipc.frames import Pair
from kcoro_ipc.records import BOTH, MANAGE, READ, WRITE, Channel, Opening, Peer
from kcoro_ipc.registry import check_name

SENDS = {_wire.CMD_CHAN_SEND, _wire.CMD_CHAN_TRY_SEND}


def target(broker: Broker, request: Request) -> Channel:
    """The channel that CHAN_ID, or in 1.1 NAME, names; NoSuchChannel, InvalidArgument."""
    name = request.octets(_wire.ATTR_NAME) if request.minor else None
    text = None if name is None else check_name(name)
    return broker.registry.find(request.peer, request.chan_id, text)


def _check_not_draining(broker: Broker) -> None:
    if broker.draining:
        raise OperationCancelled(reason=SHUTTING_DOWN)


# --- make ---


def make(broker: Broker, request: Request) -> Outcome:
    _check_not_draining(broker)
    settings = read_settings(request)
    octets = request.octets(_wire.ATTR_NAME) if request.minor else None
    name = None if octets is None else check_name(octets)
    channel = broker.registry.names.get(name) if name is not None else None
    made = channel is None
    if channel is None:
        channel = broker.make(request.peer, name, settings, legacy=not request.minor)
    else:
        _check_may_open_again(broker, request, channel)
        check_agrees(request, settings, channel)
    rights = _grant(broker, request.peer, channel, request.rights(), made)
    if made and name is not None:
        _answer_openings(broker, name, channel)
    if not request.minor:
        return request.reply([(_wire.ATTR_CHAN_ID, channel.chan_id)])
    return request.done(*described(channel, rights))


def _check_may_open_again(broker: Broker, request: Request, channel: Channel) -> None:
    if not broker.registry.rights(request.peer, channel):
        raise AccessDenied("the name is taken by a channel of another user")
    if request.number(_wire.ATTR_FLAGS) & _wire.FLAG_CHAN_EXCLUSIVE:
        raise ChannelExists("it exists, and FLAGS says exclusive")


def _grant(broker: Broker, peer: Peer, channel: Channel, rights: int, made: bool) -> int:
    """A maker gets what it asks for whatever the mode, as open(2) does with O_CREAT; a channel that
    was just made does not survive a refusal."""
    try:
        if not made:
            broker.registry.permit(peer, channel, rights)
        return broker.grant(peer, channel, rights)
    except KcoroError:
        if made:
            broker.destroy(channel, "its maker got no handle")
        raise


def _answer_openings(broker: Broker, name: str, channel: Channel) -> None:
    """Those who wait for the name, first come first served; who may not see it waits on."""
    for opening in list(broker.registry.openings.get(name, ())):
        peer = broker.registry.peers[opening.conn]
        try:
            rights = _grant(broker, peer, channel, opening.rights, made=False)
        except NoSuchChannel:
            continue
        except KcoroError as error:
            finish_opening(broker, opening, error)
            continue
        pairs: list[Pair] = [(_wire.ATTR_RESULT, _wire.KC_OK), *described(channel, rights)]
        _finish(broker, opening, pairs)


# --- open ---


def open_channel(broker: Broker, request: Request) -> Outcome:
    _check_not_draining(broker)
    flags, rights = request.flags(_wire.FLAG_CHAN_ALL), request.rights()
    if flags & _wire.FLAG_CHAN_EXCLUSIVE:
        raise InvalidArgument("OPEN takes what exists; exclusive is for MAKE")
    try:
        channel = target(broker, request)
        broker.check_alive(channel)
        broker.registry.permit(request.peer, channel, rights)
    except NoSuchChannel as error:
        return _wait_for_name(broker, request, rights, error)
    check_properties(flags, channel)
    return request.done(*described(channel, broker.grant(request.peer, channel, rights)))


def _wait_for_name(broker: Broker, request: Request, rights: int, absent: NoSuchChannel) -> Outcome:
    """Only a NAME can still come; a CHAN_ID that is unknown stays unknown."""
    timeout_ms, name = request.number(_wire.ATTR_TIMEOUT_MS), request.octets(_wire.ATTR_NAME)
    if timeout_ms == 0 or name is None or request.chan_id is not None:
        raise absent
    deadline_ns = None if timeout_ms < 0 else broker.clock() + timeout_ms * 1_000_000
    opening = Opening(request.peer.conn, request.req_id, check_name(name), rights)
    broker.registry.wait_for_name(request.peer, opening, deadline_ns)
    return LET_GO


def finish_opening(broker: Broker, opening: Opening, error: KcoroError) -> None:
    """An OPEN that waited ends without a channel: time, CANCEL, refusal or shutdown."""
    _finish(broker, opening, failure(error, minor=1))


def _finish(broker: Broker, opening: Opening, pairs: list[Pair]) -> None:
    broker.registry.end_opening(broker.registry.peers[opening.conn], opening)
    frame = request_frame(_wire.CMD_CHAN_OPEN, opening.req_id, pairs)
    broker.pump.finish(opening.conn, opening.req_id, frame)


# --- the rest ---


def release(broker: Broker, request: Request) -> Outcome:
    """FLAGS names the rights to give back; missing: one of each that the handle has."""
    request.flags(BOTH)
    channel = target(broker, request)
    broker.release(request.peer, channel, request.number(_wire.ATTR_FLAGS) & BOTH)
    return request.done()


def close(broker: Broker, request: Request) -> Outcome:
    channel = _managed(broker, request)
    broker.close(channel)
    return request.done()


def destroy(broker: Broker, request: Request) -> Outcome:
    """In 1.0: close and release, and no answer whatever happened."""
    if not request.minor:
        return _legacy_destroy(broker, request)
    channel = _managed(broker, request)
    broker.destroy(channel, request.text(_wire.ATTR_REASON) or "destroyed by a client")
    return request.done()


def _legacy_destroy(broker: Broker, request: Request) -> Outcome:
    try:
        channel = _managed(broker, request)
        broker.close(channel)
        if channel.chan_id in request.peer.handles:
            broker.release(request.peer, channel, 0)
    except KcoroError:
        pass  # this command has no answer in ABI 1.0
    return LET_GO


def purge(broker: Broker, request: Request) -> Outcome:
    channel = _managed(broker, request)
    return request.done((_wire.ATTR_COUNT, broker.purge(channel)))


def _managed(broker: Broker, request: Request) -> Channel:
    channel = target(broker, request)
    broker.registry.permit(request.peer, channel, MANAGE)
    return channel


def first_use(broker: Broker, request: Request) -> Outcome:
    """A SEND or RECV of a 1.0 connection without a handle: it gets one with what the mode gives."""
    channel = target(broker, request)
    wanted = WRITE if request.cmd in SENDS else READ
    broker.registry.permit(request.peer, channel, wanted)
    if channel.chan_id in request.peer.handles:
        raise AccessDenied
    settings = channel.settings
    fixed = settings.flags & _wire.FLAG_CHAN_FIXED_SIZE
    if not fixed or settings.elem_size > LEGACY_LARGEST:
        raise InvalidArgument("ABI 1.0 needs elements of one size up to 65,535 bytes")
    allowed = broker.registry.rights(request.peer, channel) & BOTH
    broker.grant(request.peer, channel, allowed)
    return RESUBMIT
