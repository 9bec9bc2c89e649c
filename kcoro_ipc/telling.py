"""What a turn left that is for the log: ends of connections, notes of the pump, events of the
engine; and the fault that ends all turns.

Lines that a client can cause at will are the talk's of its user (throttle.py).
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from kcoro_ipc.broker import Broker
from kcoro_ipc.errors import CODE_NAMES
from kcoro_ipc.logs import say
from kcoro_ipc.reports import Closed, Note
from kcoro_ipc.structs import EVENT_POISONED, Event


def say_closed(broker: Broker, closed: Closed) -> None:
    peer = broker.registry.peers.get(closed.conn)
    level = logging.INFO if closed.code else logging.DEBUG
    code = CODE_NAMES.get(closed.code, str(closed.code))
    if peer is not None:
        who = {"conn": peer.conn, "uid": peer.uid, "pid": peer.pid}
        about = {"client": peer.client_name, "code": code, "frames": closed.frames_in}
        broker.talk.say(peer.uid, level, "disconnected", **who, **about)


def say_note(broker: Broker, note: Note) -> None:
    """The pump keeps few of them, and the user's other lines are counted as well."""
    peer = broker.registry.peers.get(note.conn)
    if peer is None:
        return
    broker.talk.say(
        peer.uid,
        logging.WARNING,
        "refused" if note.code else "slowed",
        conn=peer.conn,
        uid=peer.uid,
        pid=peer.pid,
        code=CODE_NAMES.get(note.code) if note.code else None,
        quota=note.quota,
        limit=note.limit,
        usage=note.usage if note.code else None,
        setting=note.setting,
        missed=note.lost or None,
    )


def say_event(broker: Broker, event: Event) -> None:
    """The channel of a broken invariant is no more: the engine has destroyed it."""
    channel = broker.registry.channels.get(event.chan_user)
    about = {"chan_id": event.chan_user, "missed": event.lost}
    if channel is None:
        say(logging.WARNING, event.words, **about)
        return
    named = about | {"name": channel.name}
    broker.talk.say(channel.uid, logging.WARNING, event.words, **named)
    if event.kind == EVENT_POISONED:
        say(logging.ERROR, "poisoned channel", dump=broker.engine.chan_dump(channel.ticket))
        broker.channels.lost(channel)


@contextmanager
def say_fault() -> Iterator[None]:
    """Round all that is served: a fault of ours that ends it is in the log, and goes on up."""
    try:
        yield
    except Exception as error:
        say(logging.ERROR, "fault", error)
        raise
