"""The events of one subscription, one put over the other: a whole snapshot each time.

Only the newest matters: who looks seldom finds what is true now and no backlog of events.
"""

from typing import TYPE_CHECKING

from kcoro_ipc import _wire
from kcoro_ipc.protocol import requests
from kcoro_ipc.protocol.channels import milliseconds, read_stats, target_pair
from kcoro_ipc.protocol.replies import Reply

if TYPE_CHECKING:
    from kcoro_ipc.metrics import ChannelSnapshot


class Watched:
    """`fresh`: an event came since the last look. `last`: the reply that ended it."""

    def __init__(self, target: str | int, interval: float) -> None:
        self.target = target
        self.interval_ms = milliseconds("interval", interval)
        self.fresh = False
        self.skipped = 0
        self.last: Reply | None = None
        self._chan_id = target if isinstance(target, int) else 0
        self._stats: dict[int, int] = {}

    def frame(self, req_id: int) -> bytes:
        pairs = [target_pair(self.target), (_wire.ATTR_INTERVAL_MS, self.interval_ms)]
        return requests.control(_wire.CMD_SUBSCRIBE, req_id, pairs)

    def take(self, reply: Reply) -> None:
        if reply.result is not None:
            self.last = reply
            return
        self._chan_id = reply.get(_wire.ATTR_CHAN_ID, self._chan_id)
        self._stats.update(read_stats(reply))
        self.skipped += reply.get(_wire.ATTR_EVENTS_SKIPPED)
        self.fresh = True

    def look(self) -> "ChannelSnapshot":
        from kcoro_ipc.metrics import snapshot

        self.fresh = False
        name = self.target if isinstance(self.target, str) else None
        return snapshot(self._stats, self._chan_id, name)
