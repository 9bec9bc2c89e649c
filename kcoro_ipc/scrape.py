"""One scrape: the daemon's numbers as OpenMetrics, in pieces that each take little time.

A walk goes through all channels by number and adds up what each series has at the moment, a few
channels in a step; between two steps the daemon turns. Who scrapes decides when the next step is
(metrics_http.py, control/measuring.py), and may stop at any time by closing the generator.

Invariant: a counter of a series is never lower than in an earlier scrape. A channel that ends
during the walk counts once: as the past of its series if the walk has not come to it, else as it
was then.
It calls the engine, never the pump, which another thread may be turning.
"""

import os
import resource
import time
from collections.abc import Callable, Generator, Iterator, Sequence

from kcoro_ipc import __version__, _wire
from kcoro_ipc.books import COUNTED_IDS, STATS_WIDTH, USER_COUNTS, Series
from kcoro_ipc.broker import Broker
from kcoro_ipc.exposition import (
    CHANNELS,
    DAEMON,
    END,
    POOLS,
    USERS,
    Group,
    Row,
    label,
    lines,
    pieces,
)
from kcoro_ipc.logs import lines_lost
from kcoro_ipc.metrics import KINDS, OVERFLOWS, STATES
from kcoro_ipc.records import Channel

STEP = 64  # channels or users
PIECE_BYTES = 32 << 10  # about 350 lines
# Settings of one channel: a sum of them says nothing.
_SETTINGS = [CHANNELS.names.index(n) for n in ("peak_depth", "capacity", "elem_size", "max_bytes")]
_SUMMED = [
    CHANNELS.names.index(value)
    for family in CHANNELS.families
    for _, value in family.samples
    if CHANNELS.names.index(value) not in _SETTINGS
]
_USAGE = range(USERS.names.index("connections"), len(USERS.names))
_KIND, _OVERFLOW, _STATE = map(CHANNELS.names.index, ("kind", "overflow", "state"))


def scrape(
    broker: Broker,
    sees: Callable[[Channel], bool] | None = None,
    piece_bytes: int = PIECE_BYTES,
) -> Generator[bytes, None, None]:
    """Pieces of the text; an empty one is a step without a word. With `sees` only what that says,
    and no more than those channels as they are now: no past, no users, no daemon."""
    walk = _Walk(broker, sees)
    broker.books.walks.append(walk)
    try:
        while walk.step():
            yield b""
        yield from _table(CHANNELS, walk.channel_rows(), piece_bytes)
        if sees is None:
            while walk.step_of_users():
                yield b""
            yield from _table(USERS, walk.user_rows(), piece_bytes)
            yield from _table(DAEMON, iter([_daemon(broker)]), piece_bytes)
        yield END.encode()
    finally:
        broker.books.walks.remove(walk)


def _table(group: Group, rows: Iterator[Row], piece_bytes: int) -> Iterator[bytes]:
    """The rows, a few in a step, then their text."""
    found: list[Row] = []
    for row in rows:
        found.append(row)
        if len(found) % STEP == 0:
            yield b""
    yield from pieces(lines(group, found), piece_bytes)


class _Walk:
    def __init__(self, broker: Broker, sees: Callable[[Channel], bool] | None) -> None:
        self._broker = broker
        self._sees = sees
        self._after, self._last = 0, broker.registry.newest()
        self._users = broker.users.all()
        self._sums: dict[Series, list[int]] = {}
        self._settings: dict[Series, Sequence[int]] = {}

    def step(self) -> bool:
        """The next channels; False when all that were there at the beginning had their turn."""
        for channel in self._broker.registry.following(self._after, STEP):
            self._after = channel.chan_id
            if self._sees is None or self._sees(channel):
                self._visit(channel)
            if self._after >= self._last:
                return False
        return self._after < self._last and bool(self._broker.registry.following(self._after, 1))

    def _visit(self, channel: Channel) -> None:
        stats = self._broker.channels.stats(channel)
        mine, owners = self._broker.books.of_channel(channel.chan_id)
        sums = self._of(mine, STATS_WIDTH)
        for place in _SUMMED:
            sums[place] += stats[place]
        users = self._of(owners, len(USERS.names))
        for place, stat_id in USER_COUNTS:
            users[place] += stats[stat_id]
        if not channel.destroyed and mine.key is not None:
            self._settings[mine] = stats

    def step_of_users(self) -> bool:
        """The next users, as `step`."""
        some, self._users = self._users[:STEP], self._users[STEP:]
        for user in filter(self._broker.users.is_known, some):
            account = self._broker.engine.account_usage(user.account)
            charged = (account["parked"], account["held"], account["bytes"], account["files"])
            usage = (user.connections, user.channels, *charged, user.region_bytes)
            sums = self._of(self._broker.books.of_user(user.uid), len(USERS.names))
            for place, value in zip(_USAGE, usage, strict=True):
                sums[place] += value
        return bool(self._users)

    def _of(self, series: Series, width: int) -> list[int]:
        return self._sums.setdefault(series, [0] * width)

    def forget(self, chan_id: int, stats: Sequence[int], mine: Series, owners: Series) -> None:
        """Its last counters become the past of its series. If it was visited they are taken from
        the sum, so that past and sum together are what it had then."""
        if chan_id > self._after or self._sees is not None:
            return
        sums = self._of(mine, STATS_WIDTH)
        for stat_id in COUNTED_IDS:
            sums[stat_id] -= stats[stat_id]
        users = self._of(owners, len(USERS.names))
        for place, stat_id in USER_COUNTS:
            users[place] -= stats[stat_id]

    # --- rows ---

    def channel_rows(self) -> Iterator[Row]:
        roll = self._broker.books.channels
        for series in roll.all():
            if self._sees is None or series in self._sums:
                yield self._channel_row(series)

    def _channel_row(self, series: Series) -> Row:
        past = series.past if self._sees is None else [0] * STATS_WIDTH
        sums = self._sums.get(series, past)
        values: list[float | None] = [0] * STATS_WIDTH
        for place in _SUMMED:
            values[place] = past[place] + (sums[place] if sums is not past else 0)
        settings = self._settings.get(series)
        for place in _SETTINGS:
            values[place] = settings[place] if settings else None
        return Row(series.labels, values, _about(settings) if settings else None)

    def user_rows(self) -> Iterator[Row]:
        for series in self._broker.books.users.all():
            sums = self._of(series, len(USERS.names))
            yield Row(series.labels, [a + b for a, b in zip(series.past, sums, strict=True)])


def _about(stats: Sequence[int]) -> str:
    kind = (stats[_KIND] & 0x7FFF_FFFF) - (stats[_KIND] & 0x8000_0000)
    words = (
        ("kind", KINDS.get(kind, kind)),
        ("overflow", OVERFLOWS.get(stats[_OVERFLOW], stats[_OVERFLOW])),
        ("state", STATES.get(stats[_STATE], stats[_STATE])),
    )
    return ",".join(label(name, word) for name, word in words)


# --- the daemon ---


def _daemon(broker: Broker) -> Row:
    books, limits, usage = broker.books, broker.registry.limits, broker.engine.usage()
    connections = len(broker.registry.peers)
    found: dict[str, float | None] = {
        "opened": books.opened,
        "turns": books.turns,
        "frames": books.frames,
        "control": books.control,
        "events": books.events,
        "skipped": books.skipped,
        "left_out": broker.talk.left_out_total,
        "lost": lines_lost(),
        **{pool: usage.get(pool) for pool in POOLS},
        "connections": connections,
        **{f"most_{pool}": getattr(limits, pool) for pool in POOLS},
        "block_bytes": usage["block_bytes"],
        "heap_bytes": usage["heap_bytes"],
        "most_bytes": limits.bytes,
        "cpu": round(time.process_time(), 3),
        "resident": _resident_bytes(),
        "fds": _open_descriptors(connections),
        "most_fds": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "started": round(books.started, 3),
    }
    about = ",".join(
        (
            label("version", __version__),
            label("abi", f"{_wire.ABI_MAJOR}.{_wire.ABI_MINOR}"),
        )
    )
    return Row("", [found[name] for name in DAEMON.names], about)


def _resident_bytes() -> int | None:
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except OSError:
        return None  # no /proc, or no descriptor for it


def _open_descriptors(connections: int) -> int | None:
    """Linux counts them since 6.2; before, a long list would take its time."""
    try:
        counted = os.stat("/proc/self/fd").st_size
        return counted or (len(os.listdir("/proc/self/fd")) if connections <= 1024 else None)
    except OSError:
        return None
