"""The log line of a refused request: who asked for what, and which right or quota said no."""

import logging

from kcoro_ipc import _wire
from kcoro_ipc.broker import Broker
from kcoro_ipc.control.request import Request
from kcoro_ipc.errors import KcoroError
from kcoro_ipc.records import Peer
from kcoro_ipc.rights import HiddenChannel


def who(peer: Peer) -> dict[str, int]:
    return {"conn": peer.conn, "uid": peer.uid, "pid": peer.pid}


def say_refused(broker: Broker, request: Request, error: KcoroError) -> None:
    """`client` is what the program calls itself."""
    broker.talk.say(
        request.peer.uid,
        logging.WARNING,
        "refused",
        **who(request.peer),
        client=request.peer.client_name,
        cmd=_wire.COMMAND_NAMES.get(request.cmd, str(request.cmd)),
        code=error.name,
        chan_id=request.number(_wire.ATTR_CHAN_ID) or None,
        name=request.text(_wire.ATTR_NAME),
        why=_why(error),
        quota=error.quota,
        limit=error.limit,
        usage=error.usage,
        setting=error.setting,
    )


def _why(error: KcoroError) -> str:
    if isinstance(error, HiddenChannel):
        return "it may not know of this channel"
    return str(error.message)
