"""CHAN_MAKE, RELEASE, CLOSE, DESTROY, PURGE, SET_CONFIG, and the first use by a 1.0 client."""

from kcoro_ipc import _wire, channel_making
from kcoro_ipc.broker import Broker
from kcoro_ipc.control.making import (
    LEGACY_LARGEST,
    check_agrees,
    described,
    read_mode,
    read_owner,
    read_settings,
)
from kcoro_ipc.control.opening import check_not_draining, grant, target
from kcoro_ipc.control.request import LET_GO, RESUBMIT, Outcome, Request
from kcoro_ipc.errors import (
    AccessDenied,
    ChannelExists,
    InvalidArgument,
    KcoroError,
)
from kcoro_ipc.names import check_name
from kcoro_ipc.records import BOTH, MANAGE, READ, WRITE, Channel, Owner

SENDS = {_wire.CMD_CHAN_SEND, _wire.CMD_CHAN_TRY_SEND}


# --- make ---


def make(broker: Broker, request: Request) -> Outcome:
    check_not_draining(broker)
    settings = read_settings(request)
    octets = request.octets(_wire.ATTR_NAME) if request.minor else None
    name = None if octets is None else check_name(octets)
    channel = broker.registry.names.get(name) if name is not None else None
    made = channel is None
    if channel is None or not broker.registry.judge.rights(request.peer, channel):
        # The same answer whether the name is hidden or free.
        broker.registry.judge.permit_making(request.peer, name, request.rights())
    if channel is None:
        usual = Owner(request.peer.uid, request.peer.gid)
        owner = read_owner(request, broker.registry.judge.is_admin(request.peer), usual)
        channel = channel_making.make(
            broker, request.peer, name, settings, not request.minor, owner
        )
    else:
        _check_may_open_again(broker, request, channel)
        check_agrees(request, settings, channel)
    rights = grant(broker, request.peer, channel, request.rights(), made)
    if made:
        broker.registry.waiting.arrive(channel)  # `due` answers them, a bounded number in each turn
    if not request.minor:
        return request.reply([(_wire.ATTR_CHAN_ID, channel.chan_id)])
    return request.done(*described(channel, rights))


def _check_may_open_again(broker: Broker, request: Request, channel: Channel) -> None:
    if request.number(_wire.ATTR_FLAGS) & _wire.FLAG_CHAN_EXCLUSIVE:
        raise ChannelExists("it exists, and FLAGS says exclusive")
    if not broker.registry.judge.rights(request.peer, channel):
        raise AccessDenied("the name is taken by a channel of another user")


# --- the rest ---


def release(broker: Broker, request: Request) -> Outcome:
    """FLAGS names the rights to give back; missing: one of each that the handle has."""
    request.flags(BOTH)
    channel = target(broker, request)
    broker.channels.release(request.peer, channel, request.number(_wire.ATTR_FLAGS) & BOTH)
    return request.done()


def close(broker: Broker, request: Request) -> Outcome:
    channel = _managed(broker, request)
    broker.channels.close(channel, request.peer)
    return request.done()


def destroy(broker: Broker, request: Request) -> Outcome:
    """In 1.0: close and release, and no answer whatever happened."""
    if not request.minor:
        return _legacy_destroy(broker, request)
    channel = _managed(broker, request)
    why = request.text(_wire.ATTR_REASON) or "destroyed by a client"
    broker.channels.destroy(channel, request.peer, why)
    return request.done()


def _legacy_destroy(broker: Broker, request: Request) -> Outcome:
    try:
        channel = _managed(broker, request)
        broker.channels.close(channel, request.peer)
        if channel.chan_id in request.peer.handles:
            broker.channels.release(request.peer, channel, 0)
    except KcoroError:
        pass  # this command has no answer in ABI 1.0
    return LET_GO


def purge(broker: Broker, request: Request) -> Outcome:
    channel = _managed(broker, request)
    return request.done((_wire.ATTR_COUNT, broker.channels.purge(channel, request.peer)))


def configure(broker: Broker, request: Request) -> Outcome:
    """MODE, OWNER_UID and OWNER_GID, those that are given. To manage is not enough: who may change
    the mode may do all."""
    channel = target(broker, request)
    broker.channels.check_alive(channel)
    broker.registry.judge.permit_owning(request.peer, channel)
    is_admin = broker.registry.judge.is_admin(request.peer)
    owner = read_owner(request, is_admin, Owner(channel.uid, channel.gid))
    broker.channels.give(channel, owner, read_mode(request, channel.settings.mode))
    broker.channels.say_given(channel, request.peer)
    return request.done()


def _managed(broker: Broker, request: Request) -> Channel:
    channel = target(broker, request)
    broker.registry.judge.permit(request.peer, channel, MANAGE)
    return channel


def first_use(broker: Broker, request: Request) -> Outcome:
    """A SEND or RECV of a 1.0 connection without a handle: it gets one with what the mode gives."""
    channel = target(broker, request)
    wanted = WRITE if request.cmd in SENDS else READ
    broker.registry.judge.permit(request.peer, channel, wanted)
    if channel.chan_id in request.peer.handles:
        raise AccessDenied
    settings = channel.settings
    fixed = settings.flags & _wire.FLAG_CHAN_FIXED_SIZE
    if not fixed or settings.elem_size > LEGACY_LARGEST:
        raise InvalidArgument("ABI 1.0 needs elements of one size up to 65,535 bytes")
    allowed = broker.registry.judge.rights(request.peer, channel) & BOTH
    broker.channels.grant(request.peer, channel, allowed)
    return RESUBMIT
