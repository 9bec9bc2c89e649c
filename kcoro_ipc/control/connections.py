"""CONNECTIONS: who is connected, and with VALUE what one connection has, waits for and holds.

A peer sees the connections of its own user, an administrator all. Nothing here changes anything.
"""

import struct
from collections.abc import Iterator

from kcoro_ipc import _wire
from kcoro_ipc.broker import Broker
from kcoro_ipc.control.paging import Page, page_size, read_cursor
from kcoro_ipc.control.request import Outcome, Request
from kcoro_ipc.errors import NoSuchChannel
from kcoro_ipc.frames import Pair
from kcoro_ipc.records import Peer
from kcoro_ipc.structs import CLAUSE_SEND, NEVER, Waiter

_SERIAL = struct.Struct(">Q")
_PLACE = struct.Struct(">BI")
_NUMBERS = struct.Struct(f">{len(_wire.CONNECTION_NUMBERS)}Q")
_LARGEST_ENTRY_BYTES = 512  # a CLIENT_NAME of 255 bytes and the numbers
_MOST_MS = 0x7FFF_FFFF
SIDES = {CLAUSE_SEND: _wire.WAITER_SENDS}


def connections(broker: Broker, request: Request) -> Outcome:
    if _wire.ATTR_VALUE in request.given:
        return _detail(broker, request)
    (after,) = read_cursor(request, _SERIAL)
    most = min(page_size(request), request.peer.max_frame // _LARGEST_ENTRY_BYTES)
    registry, asker = broker.registry, request.peer
    peers, more = registry.page_of_peers(
        after, most, lambda peer: registry.judge.knows(asker, peer)
    )
    pairs: list[Pair] = [(_wire.ATTR_ITEM, about(broker, peer)) for peer in peers]
    if more is not None:
        pairs.append((_wire.ATTR_CURSOR, _SERIAL.pack(more)))
    return request.done(*pairs)


def who(peer: Peer) -> list[Pair]:
    """VALUE is the connection's number."""
    name: list[Pair] = (
        [] if peer.client_name is None else [(_wire.ATTR_CLIENT_NAME, peer.client_name)]
    )
    return [
        (_wire.ATTR_VALUE, peer.conn),
        (_wire.ATTR_SENDER_UID, peer.uid),
        (_wire.ATTR_SENDER_PID, peer.pid),
        *name,
    ]


def about(broker: Broker, peer: Peer) -> list[Pair]:
    return [*who(peer), (_wire.ATTR_NUMBERS, _numbers(broker, peer))]


def _numbers(broker: Broker, peer: Peer) -> bytes:
    info = broker.pump.info(peer.conn)
    scope = info.scope if info is not None else 0
    known = {name: getattr(info, name, 0) for name in _wire.CONNECTION_NUMBERS} | {
        "age_ns": max(broker.clock() - peer.since_ns, 0),
        "transport": peer.transport,
        "minor": peer.minor,
        "parked": broker.engine.scope_count(scope, held=False),
        "held": broker.engine.scope_count(scope, held=True),
        "handles": len(peer.handles),
        "regions": len(peer.regions),
    }
    return _NUMBERS.pack(*(known[name] for name in _wire.CONNECTION_NUMBERS))


# --- one in detail ---


def _detail(broker: Broker, request: Request) -> Outcome:
    """Its handles (with FLAGS), the names it waits for, its parked operations, what it holds."""
    peer = broker.registry.peers.get(request.number(_wire.ATTR_VALUE))
    if peer is None or not broker.registry.judge.knows(request.peer, peer):
        raise NoSuchChannel("no such connection, or it is another user's")
    first, skip = read_cursor(request, _PLACE)
    pairs = about(broker, peer)
    page = Page(request, pairs)
    for part, items in enumerate((_handles, _openings, _parked, _held)):
        if part < first:
            continue
        for item in items(broker, peer, skip, page.left):
            if not page.add(item):
                break
            skip += 1
        if not page.left:
            return request.done(*pairs, *page.go_on(_PLACE.pack(part, skip)))
        skip = 0
    return request.done(*pairs, *page.pairs)


def _handles(broker: Broker, peer: Peer, skip: int, most: int) -> Iterator[list[Pair]]:
    for chan_id in list(peer.handles)[skip : skip + most]:
        yield [*_channel(broker, chan_id), (_wire.ATTR_FLAGS, peer.handles[chan_id].rights)]


def _openings(_: Broker, peer: Peer, skip: int, most: int) -> Iterator[list[Pair]]:
    for opening in list(peer.openings.values())[skip : skip + most]:
        yield [(_wire.ATTR_NAME, opening.name), (_wire.ATTR_WAITER_STATUS, "opening")]


def _parked(broker: Broker, peer: Peer, skip: int, most: int) -> Iterator[list[Pair]]:
    return _listed(broker, peer, skip, most, held=False)


def _held(broker: Broker, peer: Peer, skip: int, most: int) -> Iterator[list[Pair]]:
    return _listed(broker, peer, skip, most, held=True)


def _listed(broker: Broker, peer: Peer, skip: int, most: int, held: bool) -> Iterator[list[Pair]]:
    info = broker.pump.info(peer.conn)
    if info is None or not most:
        return
    for waiter in broker.engine.scope_list(info.scope, held, skip, most):
        yield [*_channel(broker, waiter.chan_user), *operation(broker, waiter)]


def operation(broker: Broker, waiter: Waiter) -> list[Pair]:
    """WAITER_SIDE, WAITER_STATUS, AGE_NS, TOKEN; TIMEOUT_MS when it gives up by itself."""
    pairs: list[Pair] = [
        (_wire.ATTR_WAITER_SIDE, SIDES.get(waiter.dir, _wire.WAITER_RECEIVES)),
        (_wire.ATTR_WAITER_STATUS, waiter.status),
        (_wire.ATTR_AGE_NS, max(waiter.age_ns, 0)),
        (_wire.ATTR_TOKEN, waiter.token),
    ]
    if waiter.deadline_ns != NEVER:
        left_ms = max(waiter.deadline_ns - broker.clock(), 0) // 1_000_000
        pairs.append((_wire.ATTR_TIMEOUT_MS, min(left_ms, _MOST_MS)))
    return pairs


def _channel(broker: Broker, chan_id: int) -> list[Pair]:
    channel = broker.registry.channels.get(chan_id)
    name = None if channel is None else channel.name
    named: list[Pair] = [] if name is None else [(_wire.ATTR_NAME, name)]
    return [(_wire.ATTR_CHAN_ID, chan_id), *named]
