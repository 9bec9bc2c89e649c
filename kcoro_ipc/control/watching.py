"""SUBSCRIBE: a channel's counters, now and every INTERVAL_MS until CANCEL or the channel's end.

The first event tells every counter, each later one those that differ from what was told before:
their values, not differences. Whoever puts them one over the other has a whole snapshot of one
moment each time.

Invariant: of one subscription at most one event waits in the connection's output. While it waits
the next ones are skipped and counted, so that who does not read costs no memory and no time.
"""

from array import array

from kcoro_ipc import _wire
from kcoro_ipc.broker import Broker
from kcoro_ipc.control.opening import target
from kcoro_ipc.control.request import LET_GO, Outcome, Request, failure, request_frame
from kcoro_ipc.errors import InvalidArgument, KcoroError, OperationCancelled
from kcoro_ipc.frames import Pair
from kcoro_ipc.records import Subscription

LEAST_INTERVAL_MS = 100


def subscribe(broker: Broker, request: Request) -> Outcome:
    channel = target(broker, request)
    broker.channels.check_alive(channel)
    interval_ms = request.number(_wire.ATTR_INTERVAL_MS)
    if interval_ms < LEAST_INTERVAL_MS:
        raise InvalidArgument(f"INTERVAL_MS is at least {LEAST_INTERVAL_MS}, not {interval_ms}")
    subscription = Subscription(
        request.peer.conn, request.req_id, channel.chan_id, interval_ms * 1_000_000
    )
    broker.registry.waiting.subscribe(request.peer, subscription)
    broker.registry.waiting.deadlines.add(broker.clock(), subscription)
    return LET_GO


def tell(broker: Broker, subscription: Subscription) -> None:
    """One event, or none if the last one still waits; the next is due an interval later."""
    channel = broker.registry.channels.get(subscription.chan_id)
    if channel is None or channel.destroyed:
        reason = (
            broker.channels.reason(channel) if channel is not None else "the channel was destroyed"
        )
        return finish_subscription(broker, subscription, OperationCancelled(reason=reason))
    if not _say(broker, subscription, array("Q", broker.channels.stats(channel))):
        subscription.skipped += 1
        broker.books.skipped += 1
    broker.registry.waiting.deadlines.add(broker.clock() + subscription.interval_ns, subscription)
    return None


def _say(broker: Broker, subscription: Subscription, stats: "array[int]") -> bool:
    info = broker.pump.info(subscription.conn)
    if info is None or info.bytes_out < subscription.said_at:
        return False
    pairs: list[Pair] = [(_wire.ATTR_CHAN_ID, subscription.chan_id)]
    if subscription.skipped:
        pairs.append((_wire.ATTR_EVENTS_SKIPPED, subscription.skipped))
    pairs += _changed(subscription.told, stats)
    frame = request_frame(_wire.CMD_SUBSCRIBE, subscription.req_id, pairs)
    if broker.pump.event(subscription.conn, frame) != _wire.KC_OK:
        return False
    subscription.told, subscription.skipped = stats, 0
    subscription.said_at = info.bytes_out + info.queued_bytes + len(frame)
    broker.books.events += 1
    return True


def _changed(told: "array[int] | None", stats: "array[int]") -> list[Pair]:
    if told == stats:
        return []
    return [
        (_wire.ATTR_STAT, [(_wire.ATTR_STAT_ID, stat_id), (_wire.ATTR_VALUE, stats[stat_id])])
        for stat_id in range(1, len(_wire.STAT_NAMES) + 1)
        if told is None or told[stat_id] != stats[stat_id]
    ]


def finish_subscription(broker: Broker, subscription: Subscription, error: KcoroError) -> None:
    peer = broker.registry.peers[subscription.conn]
    broker.registry.waiting.end_subscription(peer, subscription)
    frame = request_frame(_wire.CMD_SUBSCRIBE, subscription.req_id, failure(error, minor=1))
    broker.pump.finish(subscription.conn, subscription.req_id, frame)
