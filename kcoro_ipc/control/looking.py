"""LIST, GET_STATS and SUBSCRIBE: what there is, what it has done, who waits.

Nothing here slows a channel: a list looks at a bounded number of channels per page, a peer that
does not read its events skips them, and who waits is told 256 at a time, or fewer where the peer's
MAX_FRAME holds no more.
"""

import struct

from kcoro_ipc import _wire
from kcoro_ipc.broker import Broker
from kcoro_ipc.control.opening import target
from kcoro_ipc.control.request import LET_GO, Outcome, Request, failure, request_frame
from kcoro_ipc.errors import InvalidArgument, KcoroError, OperationCancelled
from kcoro_ipc.frames import Pair, build_payload
from kcoro_ipc.native import CLAUSE_RECV, CLAUSE_SEND, Waiter
from kcoro_ipc.records import Channel, Subscription

PAGE = 256  # entries in a page of LIST or of waiters
LARGEST_ENTRY_BYTES = 320  # of LIST: a NAME of 255 bytes and six numbers
LEAST_INTERVAL_MS = 100

_LIST_CURSOR = struct.Struct(">I")
_WAITER_CURSOR = struct.Struct(">BI")
_CURSOR_BYTES = 4 + _WAITER_CURSOR.size  # with its head
_SIDES = {_wire.WAITER_SENDS: CLAUSE_SEND, _wire.WAITER_RECEIVES: CLAUSE_RECV}


def _page_size(request: Request) -> int:
    most = request.number(_wire.ATTR_MAX_ITEMS, PAGE)
    if not 1 <= most <= _wire.MAX_ITEMS:
        raise InvalidArgument(f"MAX_ITEMS is 1 to {_wire.MAX_ITEMS}, not {most}")
    return min(most, PAGE)


def list_channels(broker: Broker, request: Request) -> Outcome:
    cursor = request.octets(_wire.ATTR_CURSOR)
    if cursor is not None and len(cursor) != _LIST_CURSOR.size:
        raise InvalidArgument("CURSOR is not one that LIST gave out")
    after = _LIST_CURSOR.unpack(cursor)[0] if cursor is not None else 0
    fitting = request.peer.max_frame // LARGEST_ENTRY_BYTES
    channels, more = broker.registry.page(request.peer, after, min(_page_size(request), fitting))
    pairs: list[Pair] = [(_wire.ATTR_ITEM, _entry(channel)) for channel in channels]
    if more is not None:
        pairs.append((_wire.ATTR_CURSOR, _LIST_CURSOR.pack(more)))
    return request.done(*pairs)


def _entry(channel: Channel) -> list[Pair]:
    name: list[Pair] = [] if channel.name is None else [(_wire.ATTR_NAME, channel.name)]
    return [
        *name,
        (_wire.ATTR_CHAN_ID, channel.chan_id),
        (_wire.ATTR_KIND, channel.settings.kind),
        (_wire.ATTR_CAPACITY, channel.settings.capacity),
        (_wire.ATTR_MODE, channel.settings.mode),
        (_wire.ATTR_OWNER_UID, channel.uid),
        (_wire.ATTR_OWNER_GID, channel.gid),
    ]


# --- counters ---


def get_stats(broker: Broker, request: Request) -> Outcome:
    channel = target(broker, request)
    stats = broker.stats(channel)
    if not request.minor:
        return request.done((_wire.ATTR_SEND_OPS, stats[1]), (_wire.ATTR_RECV_OPS, stats[2]))
    pairs = [(_wire.ATTR_CHAN_ID, channel.chan_id), *_counters(stats)]
    flags = request.flags(_wire.FLAG_STATS_ALL)
    room_bytes = request.peer.max_frame - len(request.done(*pairs).frame)
    if flags == _wire.FLAG_STATS_ALL:
        raise InvalidArgument("FLAGS asks for waiters or for files, not for both")
    if flags & _wire.FLAG_STATS_WAITERS:
        pairs += _waiters(broker, request, channel, room_bytes)
    elif flags & _wire.FLAG_STATS_FILES:
        pairs += _files(broker, request, channel, room_bytes)
    return request.done(*pairs)


def _counters(stats: list[int]) -> list[Pair]:
    return [
        (_wire.ATTR_STAT, [(_wire.ATTR_STAT_ID, stat_id), (_wire.ATTR_VALUE, stats[stat_id])])
        for stat_id in range(1, len(_wire.STAT_NAMES) + 1)
    ]


def _waiters(broker: Broker, request: Request, channel: Channel, room_bytes: int) -> list[Pair]:
    """Senders, then receivers, in queue order; CURSOR when there are more than fit."""
    cursor = request.octets(_wire.ATTR_CURSOR)
    if cursor is not None and len(cursor) != _WAITER_CURSOR.size:
        raise InvalidArgument("CURSOR is not one that GET_STATS gave out")
    first, skip = _WAITER_CURSOR.unpack(cursor) if cursor is not None else (0, 0)
    most, pairs = _page_size(request), list[Pair]()
    room_bytes -= _CURSOR_BYTES
    for side in range(first, len(_SIDES)):
        found = broker.engine.chan_waiters(channel.ticket, _SIDES[side], skip, most - len(pairs))
        for waiter in found:
            item: Pair = (_wire.ATTR_ITEM, _waiter(broker, side, waiter))
            room_bytes -= len(build_payload([item], 1))
            if room_bytes < 0:
                break
            pairs.append(item)
            skip += 1
        if room_bytes < 0 or len(pairs) == most:
            return [*pairs, (_wire.ATTR_CURSOR, _WAITER_CURSOR.pack(side, skip))]
        skip = 0
    return pairs


def _waiter(broker: Broker, side: int, waiter: Waiter) -> list[Pair]:
    """WAITER_SIDE, WAITER_STATUS, AGE_NS; VALUE is the connection, then who that is."""
    return [
        (_wire.ATTR_WAITER_SIDE, side),
        (_wire.ATTR_WAITER_STATUS, waiter.status),
        (_wire.ATTR_AGE_NS, max(waiter.age_ns, 0)),
        *_who(broker, broker.pump.conn_of_waiter(waiter.user)),
    ]


def _who(broker: Broker, conn: int) -> list[Pair]:
    """Nothing when the connection is gone."""
    peer = broker.registry.peers.get(conn)
    if peer is None:
        return []
    name: list[Pair] = (
        [] if peer.client_name is None else [(_wire.ATTR_CLIENT_NAME, peer.client_name)]
    )
    return [
        (_wire.ATTR_VALUE, conn),
        (_wire.ATTR_SENDER_UID, peer.uid),
        (_wire.ATTR_SENDER_PID, peer.pid),
        *name,
    ]


def _owner(broker: Broker, account: int) -> list[Pair]:
    """Of a connection that is gone its user is known as long as something is charged to it."""
    uid = broker.uid_of(account)
    return [] if uid is None else [(_wire.ATTR_SENDER_UID, uid)]


def _files(broker: Broker, request: Request, channel: Channel, room_bytes: int) -> list[Pair]:
    """The files of each message that waits, oldest first; CURSOR when there are more than fit."""
    cursor = request.octets(_wire.ATTR_CURSOR)
    if cursor is not None and len(cursor) != _LIST_CURSOR.size:
        raise InvalidArgument("CURSOR is not one that GET_STATS gave out")
    skip = _LIST_CURSOR.unpack(cursor)[0] if cursor is not None else 0
    most, pairs = _page_size(request), list[Pair]()
    room_bytes -= _CURSOR_BYTES
    for found in broker.engine.chan_files(channel.ticket, skip, most):
        about: list[Pair] = [(_wire.ATTR_COUNT, found.files), (_wire.ATTR_AGE_NS, found.age_ns)]
        who = _who(broker, found.user) or _owner(broker, found.account)
        item: Pair = (_wire.ATTR_ITEM, [*about, *who])
        room_bytes -= len(build_payload([item], 1))
        if room_bytes < 0:
            break
        pairs.append(item)
    full = room_bytes < 0 or len(pairs) == most
    return [*pairs, (_wire.ATTR_CURSOR, _LIST_CURSOR.pack(skip + len(pairs)))] if full else pairs


# --- subscriptions ---


def subscribe(broker: Broker, request: Request) -> Outcome:
    """Counters now and every INTERVAL_MS (at least 100) until CANCEL or the channel's end."""
    channel = target(broker, request)
    broker.check_alive(channel)
    interval_ms = request.number(_wire.ATTR_INTERVAL_MS)
    if interval_ms < LEAST_INTERVAL_MS:
        raise InvalidArgument(f"INTERVAL_MS is at least {LEAST_INTERVAL_MS}, not {interval_ms}")
    subscription = Subscription(
        request.peer.conn, request.req_id, channel.chan_id, interval_ms * 1_000_000
    )
    broker.registry.subscribe(request.peer, subscription)
    broker.registry.deadlines.add(broker.clock(), subscription)
    return LET_GO


def tell(broker: Broker, subscription: Subscription) -> None:
    """One event, skipped if the peer reads too slowly; the next one is due an interval later."""
    channel = broker.registry.channels.get(subscription.chan_id)
    if channel is None or channel.destroyed:
        reason = broker.reason(channel) if channel is not None else "the channel was destroyed"
        return finish_subscription(broker, subscription, OperationCancelled(reason=reason))
    pairs = [(_wire.ATTR_CHAN_ID, channel.chan_id), *_counters(broker.stats(channel))]
    frame = request_frame(_wire.CMD_SUBSCRIBE, subscription.req_id, pairs)
    broker.pump.event(subscription.conn, frame)
    broker.registry.deadlines.add(broker.clock() + subscription.interval_ns, subscription)
    return None


def finish_subscription(broker: Broker, subscription: Subscription, error: KcoroError) -> None:
    peer = broker.registry.peers[subscription.conn]
    broker.registry.end_subscription(peer, subscription)
    frame = request_frame(_wire.CMD_SUBSCRIBE, subscription.req_id, failure(error, minor=1))
    broker.pump.finish(subscription.conn, subscription.req_id, frame)
