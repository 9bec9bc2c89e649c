"""The rows of the monitor: what is shown of a channel, how rows are sorted and filtered. No I/O."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from kcoro_ipc.metrics import ChannelSnapshot, Rates
from kcoro_ipc.monitor.lines import clean, seconds, short
from kcoro_ipc.protocol.waiters import Looked

NO_RATES = Rates(0.0, 0.0, 0.0, 0.0, 0.0)
HISTORY = 8  # rounds that a sparkline shows
# fmt: off
SHORT = {
    "rendezvous": "rendv", "buffered": "buff", "conflated": "confl", "unlimited": "unlim",
    "closing": "closg", "closed": "clsd", "destroyed": "gone",
}
# fmt: on
BARS, PLAIN_BARS = "▁▂▃▄▅▆▇█", " .:-=+*#"


class Row(NamedTuple):
    """One channel in one round. `looked` is None for one that was not asked about yet.

    `history`: messages per second of the rounds before, the newest last.
    """

    chan_id: int
    name: str | None
    kind: str
    capacity: int
    looked: Looked | None = None
    rates: Rates = NO_RATES
    history: tuple[float, ...] = ()

    @property
    def snapshot(self) -> ChannelSnapshot:
        return self.looked.snapshot if self.looked else ChannelSnapshot(chan_id=self.chan_id)

    @property
    def label(self) -> str:
        return clean(self.name) if self.name else f"#{self.chan_id}"

    @property
    def oldest_ns(self) -> int:
        return self.looked.oldest.age_ns if self.looked and self.looked.oldest else 0

    @property
    def drops(self) -> int:
        one = self.snapshot
        return one.drops_oldest + one.drops_newest + one.undelivered

    def as_dict(self) -> dict[str, Any]:
        """One sample of `kcoro top --json`; docs/top.schema.json describes it. Without a round
        before this one there is no rate, which is not the same as a rate of 0."""
        since = self.rates
        known = since.interval_sec > 0
        return {
            **self.snapshot.as_dict(),
            "name": self.name,
            "oldest_wait_ns": self.oldest_ns,
            "sends_per_sec": since.sends if known else None,
            "recvs_per_sec": since.recvs if known else None,
            "bytes_sent_per_sec": since.bytes_sent if known else None,
            "bytes_recv_per_sec": since.bytes_recv if known else None,
            "interval_sec": since.interval_sec,
        }


class Column(NamedTuple):
    """`sort`: what rows are ordered by, the largest first unless it is text; `needs_counters`: it
    is known only of channels that were asked about."""

    head: str
    cell: Callable[[Row], str]
    sort: Callable[[Row], Any]
    needs_counters: bool = True


def _known(cell: Callable[[Row], str]) -> Callable[[Row], str]:
    return lambda row: cell(row) if row.looked else "?"


def _count(value: Callable[[Row], float]) -> Callable[[Row], str]:
    return _known(lambda row: short(value(row)))


def _rate(value: Callable[[Row], float]) -> Callable[[Row], str]:
    return _known(lambda row: short(value(row)) if row.rates.interval_sec else "-")


def _kind(row: Row) -> str:
    state = row.snapshot.state_name
    return SHORT.get(row.kind if not row.looked or state == "open" else state, "?")


# By the name that --sort takes, in the order of the screen.
COLUMNS: dict[str, Column] = {
    "name": Column("NAME", lambda r: r.label, lambda r: r.label, needs_counters=False),
    "kind": Column("KIND", _kind, lambda r: r.kind, needs_counters=False),
    "depth": Column("DEPTH", _count(lambda r: r.snapshot.depth), lambda r: r.snapshot.depth),
    "senders": Column(
        "SND", _count(lambda r: r.snapshot.parked_senders), lambda r: r.snapshot.parked_senders
    ),
    "receivers": Column(
        "RCV", _count(lambda r: r.snapshot.parked_receivers), lambda r: r.snapshot.parked_receivers
    ),
    "oldest": Column(
        "OLDEST",
        _known(lambda r: seconds(r.oldest_ns) if r.oldest_ns else "-"),
        lambda r: r.oldest_ns,
    ),
    "sent": Column("SENT/S", _rate(lambda r: r.rates.sends), lambda r: r.rates.sends),
    "received": Column("RECV/S", _rate(lambda r: r.rates.recvs), lambda r: r.rates.recvs),
    "drops": Column("DROPS", _count(lambda r: r.drops), lambda r: r.drops),
    "cancelled": Column(
        "CANC",
        _count(lambda r: r.snapshot.cancelled_waiters),
        lambda r: r.snapshot.cancelled_waiters,
    ),
    "redelivered": Column(
        "REDEL", _count(lambda r: r.snapshot.redelivered), lambda r: r.snapshot.redelivered
    ),
}
TEXTS = ("name", "kind")


def sparkline(history: Sequence[float], bars: str = BARS) -> str:
    """The last values, the largest of them as the full bar; as wide whatever there is."""
    some = list(history[-HISTORY:])
    top = max(some, default=0.0)
    steps = len(bars) - 1
    signs = [bars[round(value / top * steps)] if top else bars[0] for value in some]
    return "".join(signs).rjust(HISTORY)


def by_name(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (row.label, row.chan_id))


def sorted_rows(rows: Sequence[Row], by: str, backwards: bool = False) -> list[Row]:
    """Of rows in the order of their names: texts from A, numbers from the largest; equal ones by
    name."""
    if by == "name":
        return list(reversed(rows) if backwards else rows)
    return sorted(rows, key=COLUMNS[by].sort, reverse=(by not in TEXTS) != backwards)


def matches(name: str | None, chan_id: int, text: str) -> bool:
    """Whether a channel is meant by what was typed: a part of its name, or its #number."""
    return not text or text.lower() in (name or "").lower() or text == f"#{chan_id}"


def remembered(history: Iterable[float], value: float) -> tuple[float, ...]:
    return tuple(deque([*history, value], maxlen=HISTORY))
