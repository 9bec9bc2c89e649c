"""One round of the monitor: which channels there are, and the counters of those that are wanted.

Bounded, however many channels there are. A round reads PAGES pages of LIST and goes on in the next
where it stopped; it asks for the counters of what is shown, and where they decide the order, of
ASKED more in turn. Asking takes no handle, so watching keeps no ephemeral channel alive.
"""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from kcoro_ipc.metrics import rates
from kcoro_ipc.monitor.rows import NO_RATES, Row, by_name, matches, remembered
from kcoro_ipc.protocol.channels import ChannelInfo
from kcoro_ipc.protocol.waiters import Looked

if TYPE_CHECKING:
    from kcoro_ipc.blocking import Client

FIRST_PAGES, PAGES = 32, 2  # of 256 channels: until all are known, and to keep up from then on
ASKED = 256


class Rounds:
    """What is known of the channels; `client` may be replaced when the daemon was away."""

    def __init__(self, client: "Client", clock: Callable[[], float] = time.monotonic) -> None:
        self.client = client
        self._clock = clock
        self._rows: dict[int, Row] = {}
        self._by_name: list[int] | None = None  # the keys of `_rows`; None when these have changed
        self._seen_at: dict[int, float] = {}
        self._cursor: bytes | None = None
        self._sweep: set[int] = set()
        self._turn = 0
        self._complete = False

    def __len__(self) -> int:
        return len(self._rows)

    def rows(self, text: str = "") -> list[Row]:
        """Those known by now that are meant by `text`, by name."""
        if self._by_name is None:
            self._by_name = [row.chan_id for row in by_name(self._rows.values())]
        rows = [self._rows[chan_id] for chan_id in self._by_name]
        return [row for row in rows if matches(row.name, row.chan_id, text)] if text else rows

    def list_all(self) -> None:
        """Every page."""
        self._list(pages=None)

    def list_some(self) -> None:
        self._list(PAGES if self._complete else FIRST_PAGES)

    def _list(self, pages: int | None) -> None:
        while pages is None or pages > 0:
            found, self._cursor = self.client.list_some(self._cursor)
            for info in found:
                self._sweep.add(info.chan_id)
                if info.chan_id not in self._rows:
                    self._rows[info.chan_id] = _row(info)
                    self._by_name = None
            if self._cursor is None:
                self._forget(set(self._rows) - self._sweep)
                self._sweep = set()
                self._complete = True
                return
            pages = None if pages is None else pages - 1

    def ask(self, chan_ids: Sequence[int], others: Sequence[int] = ()) -> None:
        """The counters of these, and of ASKED of the others, other ones in each round."""
        some = [others[(self._turn + i) % len(others)] for i in range(min(len(others), ASKED))]
        self._turn += len(some)
        wanted = list(dict.fromkeys([*chan_ids, *some]))
        for chan_id, looked in zip(wanted, self.client.look_over(wanted), strict=True):
            if looked is None:
                self._forget({chan_id})
            elif chan_id in self._rows:
                self._update(self._rows[chan_id], looked)

    def _update(self, row: Row, looked: Looked) -> None:
        now = self._clock()
        before = self._seen_at.get(row.chan_id)
        self._seen_at[row.chan_id] = now
        since = NO_RATES
        if before is not None and row.looked is not None:
            since = rates(row.looked.snapshot, looked.snapshot, now - before)
        history = row.history
        if since.interval_sec:
            history = remembered(history, since.sends + since.recvs)
        self._rows[row.chan_id] = row._replace(looked=looked, rates=since, history=history)

    def _forget(self, chan_ids: set[int]) -> None:
        for chan_id in chan_ids & self._rows.keys():
            del self._rows[chan_id]
            self._by_name = None
            self._seen_at.pop(chan_id, None)


def _row(info: ChannelInfo) -> Row:
    return Row(info.chan_id, info.name, info.kind, info.capacity)
