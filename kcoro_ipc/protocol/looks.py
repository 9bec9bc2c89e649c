"""One look at a channel: GET_STATS with packed counters and the one that has waited longest."""

from kcoro_ipc import _wire
from kcoro_ipc.protocol.channels import read_stats
from kcoro_ipc.protocol.replies import Reply
from kcoro_ipc.protocol.waiters import Looked, read_waiters

_WHAT = _wire.FLAG_STATS_PACKED | _wire.FLAG_STATS_WAITERS
# Beside the channel. One ITEM: the head of the senders' queue, else of the receivers'.
LOOK = ((_wire.ATTR_FLAGS, _WHAT), (_wire.ATTR_MAX_ITEMS, 1))


def looked(reply: Reply, chan_id: int) -> Looked:
    from kcoro_ipc.metrics import snapshot

    waiters, _ = read_waiters(reply)
    return Looked(snapshot(read_stats(reply), chan_id), waiters[0] if waiters else None)
