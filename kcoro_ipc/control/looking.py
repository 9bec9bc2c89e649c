"""LIST and GET_STATS: what there is, what it has done, who waits, who has handles.

Nothing here slows a channel: a list looks at a bounded number of channels per page, and who waits
is told a page at a time. Who a waiter, a holder or the sender of files is, a manager of the channel
is told, and everybody of his own user's.
"""

import struct

from kcoro_ipc import _wire
from kcoro_ipc.broker import Broker
from kcoro_ipc.control.connections import operation, who
from kcoro_ipc.control.opening import target
from kcoro_ipc.control.paging import Page, page_size, read_cursor
from kcoro_ipc.control.request import Outcome, Request
from kcoro_ipc.errors import InvalidArgument
from kcoro_ipc.frames import Pair
from kcoro_ipc.records import MANAGE, Channel, Peer
from kcoro_ipc.structs import CLAUSE_RECV, CLAUSE_SEND

LARGEST_ENTRY_BYTES = 320  # of LIST: a NAME of 255 bytes and six numbers
HOLDERS = 64  # of a page: what each holds is counted, and that may be thousands

_LIST_CURSOR = struct.Struct(">I")
_WAITER_CURSOR = struct.Struct(">BI")
_HOLDER_CURSOR = struct.Struct(">Q")
_PACKED = struct.Struct(f">{len(_wire.STAT_NAMES)}Q")
_QUEUES = (CLAUSE_SEND, CLAUSE_RECV)
_LISTINGS = _wire.FLAG_STATS_ALL & ~_wire.FLAG_STATS_PACKED


def list_channels(broker: Broker, request: Request) -> Outcome:
    (after,) = read_cursor(request, _LIST_CURSOR)
    fitting = request.peer.max_frame // LARGEST_ENTRY_BYTES
    channels, more = broker.registry.page(request.peer, after, min(page_size(request), fitting))
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
    stats = broker.channels.stats(channel)
    if not request.minor:
        return request.done((_wire.ATTR_SEND_OPS, stats[1]), (_wire.ATTR_RECV_OPS, stats[2]))
    flags = request.flags(_wire.FLAG_STATS_ALL)
    packed = bool(flags & _wire.FLAG_STATS_PACKED)
    counted = [_packed(stats)] if packed else _counters(stats)
    pairs: list[Pair] = [(_wire.ATTR_CHAN_ID, channel.chan_id), *counted]
    listing = flags & _LISTINGS
    if not listing:
        return request.done(*pairs)
    if listing not in _LISTED:
        raise InvalidArgument("FLAGS asks for one of waiters, files and holders, not for more")
    return request.done(*pairs, *_LISTED[listing](broker, request, channel, Page(request, pairs)))


def _counters(stats: list[int]) -> list[Pair]:
    return [
        (_wire.ATTR_STAT, [(_wire.ATTR_STAT_ID, stat_id), (_wire.ATTR_VALUE, stats[stat_id])])
        for stat_id in range(1, len(_wire.STAT_NAMES) + 1)
    ]


def _packed(stats: list[int]) -> Pair:
    """All of them in one value: a tenth of the work, for those that ask often."""
    return (_wire.ATTR_NUMBERS, _PACKED.pack(*stats[1 : len(_wire.STAT_NAMES) + 1]))


# --- who waits, who has handles ---


def _seen(broker: Broker, asker: Peer, channel: Channel, peer: Peer | None) -> list[Pair]:
    """Nothing when the connection is gone, or not to be known."""
    if peer is None:
        return []
    manages = broker.registry.judge.rights(asker, channel) & MANAGE
    return who(peer) if manages or broker.registry.judge.knows(asker, peer) else []


def _waiters(broker: Broker, request: Request, channel: Channel, page: Page) -> list[Pair]:
    """Senders, then receivers, in queue order; CURSOR when there are more than fit."""
    first, skip = read_cursor(request, _WAITER_CURSOR)
    peers = broker.registry.peers
    for side in range(first, len(_QUEUES)):
        found = broker.engine.chan_waiters(channel.ticket, _QUEUES[side], skip, page.left)
        for waiter in found:
            peer = peers.get(broker.pump.conn_of_waiter(waiter.user))
            item = [*operation(broker, waiter), *_seen(broker, request.peer, channel, peer)]
            if not page.add(item):
                break
            skip += 1
        if not page.left:
            return page.go_on(_WAITER_CURSOR.pack(side, skip))
        skip = 0
    return page.pairs


def _files(broker: Broker, request: Request, channel: Channel, page: Page) -> list[Pair]:
    """The files of each message that waits, oldest first; CURSOR when there are more than fit."""
    (skip,) = read_cursor(request, _LIST_CURSOR)
    for found in broker.engine.chan_files(channel.ticket, skip, page.left):
        about: list[Pair] = [(_wire.ATTR_COUNT, found.files), (_wire.ATTR_AGE_NS, found.age_ns)]
        peer = broker.registry.peers.get(found.user)
        sender = _seen(broker, request.peer, channel, peer) or _owner(broker, found.account)
        if not page.add([*about, *sender]):
            break
        skip += 1
    return page.pairs if page.left else page.go_on(_LIST_CURSOR.pack(skip))


def _owner(broker: Broker, account: int) -> list[Pair]:
    """Of a connection that is gone its user is known as long as something is charged to it."""
    uid = broker.users.uid_of(account)
    return [] if uid is None else [(_wire.ATTR_SENDER_UID, uid)]


def _holders(broker: Broker, request: Request, channel: Channel, page: Page) -> list[Pair]:
    """Connections with a handle, oldest first: FLAGS are its rights, COUNT what it holds."""
    (after,) = read_cursor(request, _HOLDER_CURSOR)
    most = min(HOLDERS, page.left)
    peers, more = broker.registry.page_of_peers(
        after, most, lambda peer: channel.chan_id in peer.handles
    )
    for peer in peers:
        item = [*_holding(broker, channel, peer), *_seen(broker, request.peer, channel, peer)]
        if not page.add(item):
            return page.go_on(_HOLDER_CURSOR.pack(after))
        after = peer.serial
    return page.pairs if more is None else page.go_on(_HOLDER_CURSOR.pack(more))


def _holding(broker: Broker, channel: Channel, peer: Peer) -> list[Pair]:
    info = broker.pump.info(peer.conn)
    scope = 0 if info is None else info.scope
    held = broker.engine.scope_count(scope, held=True, chan=channel.ticket)
    return [(_wire.ATTR_FLAGS, peer.handles[channel.chan_id].rights), (_wire.ATTR_COUNT, held)]


_LISTED = {
    _wire.FLAG_STATS_WAITERS: _waiters,
    _wire.FLAG_STATS_FILES: _files,
    _wire.FLAG_STATS_HOLDERS: _holders,
}
