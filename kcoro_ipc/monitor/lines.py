"""The channel monitor: looks at every channel again and again and makes rows, lines and JSON of it.

No terminal here: `kcoro top` decides where it goes. A channel that disappears between the list and
its counters is left out of that round.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kcoro_ipc.errors import NoSuchChannel, OperationCancelled
from kcoro_ipc.metrics import ChannelSnapshot, Rates, rates

if TYPE_CHECKING:
    from kcoro_ipc.blocking import Client

NO_RATES = Rates(0.0, 0.0, 0.0, 0.0, 0.0)
GONE = (NoSuchChannel, OperationCancelled)
HEADINGS = ["NAME", "KIND", "DEPTH", "HELD", "SENDERS", "RECEIVERS", "SENT/S", "RECV/S", "MB/S"]
TEXT_COLUMNS = (0, 1)


def clean(text: str) -> str:
    """What others chose, without what would steer a terminal."""
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text
    )


def columns(rows: Sequence[Sequence[str]], left: Sequence[int] = ()) -> Iterator[str]:
    """Lines with aligned columns: those in `left` to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.ljust(width) if place in left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def dump(one: ChannelSnapshot) -> str:
    """The essentials in one line, for logs and for `kcoro stat --line`."""
    return (
        f"chan={one.name or one.chan_id} kind={one.kind_name} cap={one.capacity} "
        f"policy={one.overflow_name} depth={one.depth} ready={one.ready} held={one.held} "
        f"bytes={one.bytes} send_idx={one.send_idx} recv_idx={one.recv_idx} "
        f"senders={one.parked_senders} receivers={one.parked_receivers} "
        f"drops_oldest={one.drops_oldest} drops_newest={one.drops_newest} "
        f"undelivered={one.undelivered} cancelled={one.cancelled_waiters} state={one.state_name}"
    )


def table(observed: "Sequence[Observed]") -> Iterator[str]:
    """The lines of `kcoro top`."""
    return columns([HEADINGS, *(one.row() for one in observed)], left=TEXT_COLUMNS)


class Observed:
    """One channel in one round: its counters, and its rates since the round before."""

    def __init__(self, snapshot: ChannelSnapshot, since: Rates) -> None:
        self.snapshot = snapshot
        self.rates = since

    def row(self) -> list[str]:
        one = self.snapshot
        numbers = (one.depth, one.held, one.parked_senders, one.parked_receivers)
        return [
            one.name or f"#{one.chan_id}",
            one.kind_name if one.state_name == "open" else f"{one.kind_name} ({one.state_name})",
            *map(str, numbers),
            *self._rate_cells(),
        ]

    def _rate_cells(self) -> list[str]:
        one = self.rates
        if not one.interval_sec:
            return ["-"] * 3
        return [f"{one.sends:.0f}", f"{one.recvs:.0f}", f"{one.bytes_recv / 1e6:.2f}"]

    def as_dict(self) -> dict[str, Any]:
        return {
            **self.snapshot.as_dict(),
            "sends_per_sec": self.rates.sends,
            "recvs_per_sec": self.rates.recvs,
            "bytes_sent_per_sec": self.rates.bytes_sent,
            "bytes_recv_per_sec": self.rates.bytes_recv,
            "interval_sec": self.rates.interval_sec,
        }


class Monitor:
    """Asks without handles, so that watching keeps no ephemeral channel alive."""

    def __init__(self, client: "Client", clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._before: dict[int, tuple[float, ChannelSnapshot]] = {}

    def observe(self) -> list[Observed]:
        """One round over all channels that may be seen, by name; rates are since the last round,
        so a channel that is seen for the first time has none."""
        before, self._before = self._before, {}
        found = []
        for info in self._client.list_channels():
            try:
                now = self._client.statistics(info.chan_id)
            except GONE:
                continue
            snapshot = replace(now, name=info.name)
            found.append(Observed(snapshot, self._rates(snapshot, before.get(info.chan_id))))
        return sorted(found, key=lambda one: (one.snapshot.name or "", one.snapshot.chan_id))

    def _rates(self, now: ChannelSnapshot, before: tuple[float, ChannelSnapshot] | None) -> Rates:
        seen_at = self._clock()
        self._before[now.chan_id] = (seen_at, now)
        if before is None:
            return NO_RATES
        return rates(before[1], now, seen_at - before[0])
