"""Control frames: one function per command, (broker, request) -> outcome. No trio, no waiting.

    request    a frame as its function sees it, forms of answers     greeting  HELLO, GET_INFO
    channels   MAKE, RELEASE, CLOSE, DESTROY, PURGE, SET_CONFIG      making    settings of MAKE
    opening    OPEN, also of names that are still to come
    looking    LIST, GET_STATS        watching   SUBSCRIBE       regions   REGION_ADD, REGION_DROP
    measuring  METRICS                connections  CONNECTIONS   paging    answers in pages

`serve` runs one frame: whatever a client sends ends in exactly one outcome for its own connection.
A fault of ours is logged with its traceback and costs that connection only. `cancelled` and `due`
end requests that were let go.
"""

import logging
from collections.abc import Callable
from typing import NamedTuple

from kcoro_ipc import _wire
from kcoro_ipc.broker import SHUTTING_DOWN, Broker
from kcoro_ipc.control import (
    channels,
    connections,
    greeting,
    looking,
    measuring,
    opening,
    regions,
    watching,
)
from kcoro_ipc.control.refusals import say_refused, who
from kcoro_ipc.control.request import LET_GO, Outcome, Request, Then, last_words
from kcoro_ipc.errors import (
    AccessDenied,
    KcoroError,
    OperationCancelled,
    ProtocolError,
    TimedOut,
    UnknownCommand,
)
from kcoro_ipc.logs import say
from kcoro_ipc.records import Opening, Peer
from kcoro_ipc.reports import Control
from kcoro_ipc.rights import HiddenChannel

__all__ = ["LET_GO", "Outcome", "Then", "cancelled", "due", "end_waiting", "region_ended", "serve"]

Function = Callable[[Broker, Request], Outcome]


class Command(NamedTuple):
    minor: int  # first version that has it
    function: Function


COMMANDS: dict[int, Command] = {
    _wire.CMD_GET_INFO: Command(0, greeting.get_info),
    _wire.CMD_GET_STATS: Command(0, looking.get_stats),
    _wire.CMD_LIST: Command(0, looking.list_channels),
    _wire.CMD_CHAN_MAKE: Command(0, channels.make),
    _wire.CMD_CHAN_CLOSE: Command(0, channels.close),
    _wire.CMD_CHAN_DESTROY: Command(0, channels.destroy),
    _wire.CMD_CHAN_OPEN: Command(1, opening.open_channel),
    _wire.CMD_CHAN_RELEASE: Command(1, channels.release),
    _wire.CMD_CHAN_PURGE: Command(1, channels.purge),
    _wire.CMD_SET_CONFIG: Command(1, channels.configure),
    _wire.CMD_SUBSCRIBE: Command(1, watching.subscribe),
    _wire.CMD_METRICS: Command(1, measuring.metrics),
    _wire.CMD_CONNECTIONS: Command(1, connections.connections),
    _wire.CMD_REGION_ADD: Command(1, regions.add),
    _wire.CMD_REGION_DROP: Command(1, regions.drop),
}


def serve(broker: Broker, control: Control) -> Outcome:
    """The outcome of one control frame; never raises for anything a client can send."""
    peer = broker.registry.peers.get(control.conn)
    if peer is None:
        return LET_GO
    _trace(control)
    try:
        return _answer(broker, peer, control)
    except ProtocolError as error:
        about = {**who(peer), "cmd": control.cmd}
        broker.talk.say(peer.uid, logging.WARNING, "malformed", **about, why=error.args[0])
        return last_words(control, error.code)
    except Exception as error:  # noqa: BLE001  a fault of ours must cost one connection, not all
        about = {**who(peer), "cmd": control.cmd}
        broker.talk.say(peer.uid, logging.ERROR, "control failed", error, **about)
        return last_words(control, _wire.KC_ECONNRESET)


def _answer(broker: Broker, peer: Peer, control: Control) -> Outcome:
    is_hello = control.cmd == _wire.CMD_HELLO
    if is_hello == control.greeted:
        raise ProtocolError("HELLO twice" if is_hello else "a command before HELLO")
    request = Request(peer, control)
    try:
        return (greeting.hello if is_hello else _function(request))(broker, request)
    except ProtocolError:
        raise
    except KcoroError as error:
        if error.quota or isinstance(error, (AccessDenied, HiddenChannel)):
            broker.books.refused(peer.uid)
            say_refused(broker, request, error)
        return greeting.refusal(error) if is_hello else request.failed(error)


def _function(request: Request) -> Function:
    if request.ungranted:
        return channels.first_use
    command = COMMANDS.get(request.cmd)
    if command is None or request.minor < command.minor:
        raise UnknownCommand
    return command.function


def _trace(control: Control) -> None:
    say(
        logging.DEBUG,
        "frame",
        conn=control.conn,
        cmd=_wire.COMMAND_NAMES.get(control.cmd, str(control.cmd)),
        req_id=control.req_id,
        minor=control.minor,
        payload=control.payload[:64].hex(),
    )


# --- requests that were let go ---


def cancelled(broker: Broker, conn: int, req_id: int) -> None:
    """CANCEL for an OPEN that waits or a subscription; one that ended already is ignored."""
    peer = broker.registry.peers.get(conn)
    if peer is not None:
        _end(broker, peer, req_id, "cancelled")


def due(broker: Broker, most: int, until_ns: int | None = None) -> None:
    """Answers up to `most` OPENs whose name came, then up to `most` records whose time has come.

    Each part stops at `until_ns` too, but not before its first; what is left stays due.
    """
    for channel, waited in broker.registry.waiting.arrived(most):
        opening.answer_arrived(broker, channel, waited)
        if broker.is_late(until_ns):
            break
    for record in broker.due(most):
        if isinstance(record, Opening):
            opening.finish_opening(broker, record, TimedOut())
        else:
            watching.tell(broker, record)
        if broker.is_late(until_ns):
            break


def end_waiting(broker: Broker, openings_only: bool) -> None:
    """Shutting down: nobody will make the names that are waited for; at the end, no events."""
    for peer in broker.registry.peers.values():
        if not openings_only:
            regions.end_waiting(broker, peer)
        waiting = list(peer.openings) + ([] if openings_only else list(peer.subscriptions))
        for req_id in waiting:
            _end(broker, peer, req_id, SHUTTING_DOWN)


def _end(broker: Broker, peer: Peer, req_id: int, reason: str) -> None:
    error = OperationCancelled(reason=reason)
    if req_id in peer.openings:
        opening.finish_opening(broker, peer.openings[req_id], error)
    elif req_id in peer.subscriptions:
        watching.finish_subscription(broker, peer.subscriptions[req_id], error)
    else:
        regions.cancelled(broker, peer, req_id, reason)


def region_ended(broker: Broker, conn: int, region_id: int) -> None:
    regions.ended(broker, conn, region_id)
