"""CHAN_OPEN, also of a name that is still to come, and how a peer comes to a handle.

An OPEN that waits is a record in the registry. The MAKE that brings its name only announces it
(`Registry.arrive`); `answer_arrived` answers a bounded number at a time, first come first served,
so that a name that thousands wait for delays nobody else's turn.
"""

from kcoro_ipc import _wire
from kcoro_ipc.broker import SHUTTING_DOWN, Broker
from kcoro_ipc.control.making import check_properties, described
from kcoro_ipc.control.request import LET_GO, Outcome, Request, failure, request_frame
from kcoro_ipc.errors import InvalidArgument, KcoroError, NoSuchChannel, OperationCancelled
from kcoro_ipc.frames import Pair
from kcoro_ipc.names import check_name
from kcoro_ipc.records import Channel, Opening, Peer


def target(broker: Broker, request: Request) -> Channel:
    """The channel that CHAN_ID, or in 1.1 NAME, names; NoSuchChannel, InvalidArgument."""
    name = request.octets(_wire.ATTR_NAME) if request.minor else None
    text = None if name is None else check_name(name)
    return broker.registry.find(request.peer, request.chan_id, text)


def check_not_draining(broker: Broker) -> None:
    if broker.draining:
        raise OperationCancelled(reason=SHUTTING_DOWN)


def grant(broker: Broker, peer: Peer, channel: Channel, rights: int, made: bool) -> int:
    """A maker gets what it asks for whatever the mode, as open(2) does with O_CREAT (what the rules
    say was asked before); a channel that was just made does not survive a refusal."""
    try:
        if not made:
            broker.registry.judge.permit(peer, channel, rights)
        return broker.channels.grant(peer, channel, rights)
    except KcoroError:
        if made:
            broker.channels.destroy(channel, peer, "its maker got no handle")
        raise


def open_channel(broker: Broker, request: Request) -> Outcome:
    check_not_draining(broker)
    flags = request.flags(_wire.FLAG_CHAN_ALL)
    if flags & _wire.FLAG_CHAN_EXCLUSIVE:
        raise InvalidArgument("OPEN takes what exists; exclusive is for MAKE")
    try:
        channel = target(broker, request)
        broker.channels.check_alive(channel)
        rights = _take(broker, request.peer, channel, request.rights(), flags)
    except NoSuchChannel as error:
        return _wait_for_name(broker, request, flags, error)
    return request.done(*described(channel, rights))


def _take(broker: Broker, peer: Peer, channel: Channel, rights: int, flags: int) -> int:
    """The same for who waited and who did not: rights, then properties, then the handle."""
    broker.registry.judge.permit(peer, channel, rights)
    check_properties(flags, channel)
    return broker.channels.grant(peer, channel, rights)


# --- names that are still to come ---


def _wait_for_name(broker: Broker, request: Request, flags: int, absent: NoSuchChannel) -> Outcome:
    """Only a NAME can still come; a CHAN_ID that is unknown stays unknown."""
    timeout_ms, name = request.number(_wire.ATTR_TIMEOUT_MS), request.octets(_wire.ATTR_NAME)
    if timeout_ms == 0 or name is None or request.chan_id is not None:
        raise absent
    deadline_ns = None if timeout_ms < 0 else broker.clock() + timeout_ms * 1_000_000
    peer, text = request.peer, check_name(name)
    opening = Opening(peer.conn, request.req_id, text, request.rights(), flags)
    broker.registry.waiting.wait_for_name(peer, opening, deadline_ns)
    return LET_GO


def answer_arrived(broker: Broker, channel: Channel, opening: Opening) -> None:
    """The name came; who may not see the channel waits on."""
    peer = broker.registry.peers[opening.conn]
    try:
        rights = _take(broker, peer, channel, opening.rights, opening.flags)
    except NoSuchChannel:
        return
    except KcoroError as error:
        finish_opening(broker, opening, error)
        return
    _finish(broker, opening, [(_wire.ATTR_RESULT, _wire.KC_OK), *described(channel, rights)])


def finish_opening(broker: Broker, opening: Opening, error: KcoroError) -> None:
    """An OPEN that waited ends without a channel: time, CANCEL, refusal or shutdown."""
    _finish(broker, opening, failure(error, minor=1))


def _finish(broker: Broker, opening: Opening, pairs: list[Pair]) -> None:
    broker.registry.waiting.end_opening(broker.registry.peers[opening.conn], opening)
    frame = request_frame(_wire.CMD_CHAN_OPEN, opening.req_id, pairs)
    broker.pump.finish(opening.conn, opening.req_id, frame)
