"""What a channel has done and holds: one frozen snapshot, as text and JSON.

A snapshot is made from the counters of GET_STATS (STAT_ID -> value), by clients and by the daemon
alike; it is a copy and never changes. `breaches` holds it to the laws of conservation (contract
4.17). OpenMetrics is made elsewhere (exposition.py), of sums over many channels and their past.

Counters only rise, gauges move; times are CLOCK_MONOTONIC nanoseconds of the daemon's machine.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import NamedTuple

from kcoro_ipc import _wire

KINDS = {0: "rendezvous", 1: "buffered", -1: "conflated", -2: "unlimited", -3: "broadcast"}
OVERFLOWS = {0: "suspend", 1: "drop_newest", 2: "drop_oldest"}
STATES = {0: "free", 1: "open", 2: "closing", 3: "closed", 4: "destroyed"}

# fmt: off
LAWS: dict[str, tuple[str, ...]] = {
    "total_sends": ("total_recvs", "depth", "drops_oldest", "drops_newest", "undelivered"),
    "undelivered": ("undelivered_dropped", "undelivered_dead_lettered"),
    "finished_waiters": ("matched_waiters", "cancelled_waiters", "closed_waiters"),
    "cancelled_waiters": (
        "cancelled_cancel", "cancelled_timeout", "cancelled_dead", "cancelled_destroyed",
    ),
    "depth": ("ready", "held"),
    "send_idx": ("recv_idx", "depth"),
}
# fmt: on


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelSnapshot:
    """One channel at one moment. Fields after `name` are the counters of docs/PROTOCOL.md."""

    chan_id: int
    name: str | None = None
    total_sends: int = 0
    total_recvs: int = 0
    total_bytes_sent: int = 0
    total_bytes_recv: int = 0
    first_op_time_ns: int = 0
    last_op_time_ns: int = 0
    send_eagain: int = 0
    send_etime: int = 0
    send_epipe: int = 0
    recv_eagain: int = 0
    recv_etime: int = 0
    recv_epipe: int = 0
    rv_matches: int = 0
    rv_cancels: int = 0
    rv_zdesc_matches: int = 0
    zref_sent: int = 0
    zref_received: int = 0
    zref_aborted_close: int = 0
    cancelled_waiters: int = 0
    cancelled_cancel: int = 0
    cancelled_timeout: int = 0
    cancelled_dead: int = 0
    cancelled_destroyed: int = 0
    matched_waiters: int = 0
    closed_waiters: int = 0
    finished_waiters: int = 0
    drops_oldest: int = 0
    drops_newest: int = 0
    undelivered: int = 0
    undelivered_requeued: int = 0
    undelivered_dropped: int = 0
    undelivered_dead_lettered: int = 0
    redelivered: int = 0
    acks: int = 0
    nacks: int = 0
    unconfirmed: int = 0
    send_idx: int = 0
    recv_idx: int = 0
    depth: int = 0
    ready: int = 0
    held: int = 0
    bytes: int = 0
    peak_depth: int = 0
    parked_senders: int = 0
    parked_receivers: int = 0
    capacity: int = 0
    elem_size: int = 0
    kind: int = 0
    overflow: int = 0
    state: int = 0
    max_bytes: int = 0
    handles_read: int = 0
    handles_write: int = 0
    cap_flags: int = 0
    close_reason: int = 0
    zref_fallback_small: int = 0
    zref_fallback_capacity: int = 0
    zref_canceled: int = 0
    descriptors: int = 0
    files: int = 0
    expired: int = 0

    @property
    def kind_name(self) -> str:
        return KINDS.get(self.kind, str(self.kind))

    @property
    def state_name(self) -> str:
        return STATES.get(self.state, str(self.state))

    @property
    def overflow_name(self) -> str:
        return OVERFLOWS.get(self.overflow, str(self.overflow))

    @property
    def duration_sec(self) -> float:
        """From the first operation to the last."""
        return (self.last_op_time_ns - self.first_op_time_ns) / 1e9

    def breaches(self) -> list[str]:
        """Laws that do not hold for these numbers: empty for every snapshot of a sound daemon."""
        return [
            f"{name} is {getattr(self, name)}, but {' + '.join(parts)} is {total}"
            for name, parts in LAWS.items()
            if getattr(self, name) != (total := sum(getattr(self, part) for part in parts))
        ]

    def as_dict(self) -> dict[str, int | float | str | None]:
        """Every field, with kind, overflow and state as words."""
        words = {
            "kind": self.kind_name,
            "overflow": self.overflow_name,
            "state": self.state_name,
            "duration_sec": self.duration_sec,
        }
        return {name: getattr(self, name) for name in _FIELDS} | words

    def json(self) -> str:
        """One object on one line."""
        return json.dumps(self.as_dict(), ensure_ascii=False)

    def text(self) -> str:
        """`name value` per line; what is zero and no gauge is left out."""
        shown = {
            key: value
            for key, value in self.as_dict().items()
            if value not in (0, None) or key in GAUGES
        }
        width = max(map(len, shown))
        return "\n".join(f"{key:{width}}  {value}" for key, value in shown.items())


_FIELDS = tuple(field.name for field in fields(ChannelSnapshot))
# fmt: off
GAUGES = (
    "depth", "ready", "held", "bytes", "peak_depth", "parked_senders", "parked_receivers",
    "capacity", "elem_size", "max_bytes", "handles_read", "handles_write", "descriptors", "files",
)
# fmt: on
NOT_MEASURES = {"kind", "overflow", "state", "cap_flags", "close_reason"}
COUNTERS = tuple(
    name for name in _wire.STAT_NAMES if name not in (*GAUGES, *NOT_MEASURES) and "time" not in name
)


def snapshot(stats: Mapping[int, int], chan_id: int, name: str | None = None) -> ChannelSnapshot:
    """From STAT_ID -> VALUE. Counters of a newer daemon that are not known here are left out."""
    fields = {
        _wire.STAT_NAMES[stat_id - 1]: value
        for stat_id, value in stats.items()
        if 0 < stat_id <= len(_wire.STAT_NAMES)
    }
    if "kind" in fields:
        fields["kind"] = _signed(fields["kind"])
    return ChannelSnapshot(chan_id=chan_id, name=name, **fields)


def _signed(value: int) -> int:
    """KIND is an int32; a counter carries it as an unsigned number."""
    return (value & 0x7FFF_FFFF) - (value & 0x8000_0000)


class Rates(NamedTuple):
    """Per second between two snapshots of one channel, and the seconds between them."""

    sends: float
    recvs: float
    bytes_sent: float
    bytes_recv: float
    interval_sec: float


def rates(
    before: ChannelSnapshot | None, now: ChannelSnapshot, interval_sec: float | None = None
) -> Rates:
    """Without `interval_sec`, time runs from operation to operation, as in the older project.

    Then an interval in which nothing happened is 0 and all rates are 0.
    """
    start = before or ChannelSnapshot(chan_id=now.chan_id)
    seconds = interval_sec
    if seconds is None:
        seconds = now.duration_sec - (before.duration_sec if before else 0.0)
    names = ("total_sends", "total_recvs", "total_bytes_sent", "total_bytes_recv")
    deltas = [getattr(now, name) - getattr(start, name) for name in names]
    if seconds <= 0:
        seconds = 1e-6 if any(deltas) else 0.0
    sends, recvs, sent, received = (delta / seconds if seconds else 0.0 for delta in deltas)
    return Rates(sends, recvs, sent, received, seconds)
