"""METRICS: the numbers of the metrics socket for whoever is connected, page by page.

Root and the user that the daemon runs as get all of it; others the channels that they may see, as
they are now. Each request is one step of the scrape (scrape.py), so asking for all costs nobody a
long turn; a page may be without TEXT and not the last. Few are read at a time: a new one ends the
oldest, its own user's first, and never that of somebody who gets all for one of somebody who
does not, unless there is no other.
"""

import os
import struct
from collections.abc import Callable

from kcoro_ipc import _wire
from kcoro_ipc.broker import Broker
from kcoro_ipc.control.request import Outcome, Request
from kcoro_ipc.errors import InvalidArgument
from kcoro_ipc.frames import Pair
from kcoro_ipc.records import Channel, Peer, Reading, User
from kcoro_ipc.registry import Registry
from kcoro_ipc.scrape import PIECE_BYTES, scrape

READINGS = 16
_CURSOR = struct.Struct(">I")
_BESIDE_BYTES = 64  # of a page, beside its text


def sees_all(registry: Registry, peer: Peer) -> bool:
    return peer.uid == os.geteuid() or registry.judge.is_admin(peer)


def metrics(broker: Broker, request: Request) -> Outcome:
    cursor = request.octets(_wire.ATTR_CURSOR)
    reading = _begin(broker, request.peer) if cursor is None else _known(broker, request, cursor)
    piece = next(reading.pieces, None)
    if piece is None:
        broker.end_reading(request.peer.conn)
        return request.done()
    reading.page += 1
    text: list[Pair] = [(_wire.ATTR_TEXT, piece)] if piece else []
    return request.done(*text, (_wire.ATTR_CURSOR, _CURSOR.pack(reading.page)))


def _begin(broker: Broker, peer: Peer) -> Reading:
    broker.end_reading(peer.conn)
    whole = sees_all(broker.registry, peer)
    if len(broker.readings) >= READINGS:
        broker.end_reading(min(broker.readings, key=_order(broker, peer.user)))
    room_bytes = min(PIECE_BYTES, peer.max_frame - _BESIDE_BYTES)
    pieces = scrape(broker, None if whole else _visible(broker, peer), room_bytes)
    reading = broker.readings[peer.conn] = Reading(peer.user, pieces, whole)
    return reading


def _order(broker: Broker, user: User) -> Callable[[int], tuple[bool, bool]]:
    """The first of these goes; among equals the oldest."""
    readings = broker.readings
    return lambda conn: (readings[conn].user is not user, readings[conn].whole)


def _visible(broker: Broker, peer: Peer) -> Callable[[Channel], bool]:
    rights = broker.registry.judge.rights
    return lambda channel: not channel.destroyed and bool(rights(peer, channel))


def _known(broker: Broker, request: Request, cursor: bytes) -> Reading:
    reading = broker.readings.get(request.peer.conn)
    if reading is None or cursor != _CURSOR.pack(reading.page):
        raise InvalidArgument("CURSOR is not the last one that METRICS gave out; ask without it")
    return reading
