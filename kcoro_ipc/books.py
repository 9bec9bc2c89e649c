"""Counters that outlive what they count: series by (owner, name) and by user, in bounded number.

A channel's counters are the engine's and go with it; a counter that is scraped must never fall. So
what a channel has counted is added to its series when the channel is forgotten. Which series that
is is settled when the channel is made and never changes. When all places are taken, the series that
has been without a channel for longest gives up its place; where none is, and for channels without
a name, everything counts for the one series `other`. Nothing here calls anything.
"""

import time
from collections.abc import Sequence
from typing import Protocol

from kcoro_ipc import _wire
from kcoro_ipc.exposition import CHANNELS, COUNTER, USERS, label

OTHER_CHANNELS = 'name="/other",uid="other"'  # no channel is called so: a name has no '/'
OTHER_USERS = 'uid="other"'
_COUNTED = {value for one in CHANNELS.families if one.type == COUNTER for _, value in one.samples}
COUNTED_IDS = tuple(i for i, name in enumerate(CHANNELS.names) if name in _COUNTED)
# Place in a user's row <- STAT_ID.
_OF_USER = {"sends": 1, "receives": 2, "bytes_sent": 3, "bytes_received": 4}
USER_COUNTS = tuple((USERS.names.index(name), stat_id) for name, stat_id in _OF_USER.items())
OPENED, REFUSED = USERS.names.index("opened"), USERS.names.index("refused")
STATS_WIDTH = len(_wire.STAT_NAMES) + 1


class Series:
    """`past`: counted by what is gone. `live`: how many there are that may still count for it."""

    __slots__ = ("key", "labels", "live", "past")

    def __init__(self, key: object, labels: str, width: int) -> None:
        self.key = key
        self.labels = labels
        self.past = [0] * width
        self.live = 0


class Roll:
    """Series by key, `most` of them, and `other`."""

    def __init__(self, most: int, width: int, other: str) -> None:
        self.other = Series(None, other, width)
        self._most = most
        self._width = width
        self._known: dict[object, Series] = {}
        self._idle: dict[object, None] = {}  # the longest first

    def all(self) -> list[Series]:
        """`other` first: what it gets later from a series that is listed here is not told twice."""
        return [self.other, *self._known.values()]

    def enter(self, key: object, labels: str) -> Series:
        """Something that counts for it is there from now until `leave`. Key None: for `other`."""
        series = self.other if key is None else self._known.get(key)
        if series is None and self._has_place():
            series = self._known[key] = Series(key, labels, self._width)
        self._idle.pop(key, None)
        series = series or self.other
        series.live += 1
        return series

    def leave(self, series: Series) -> None:
        series.live -= 1
        if not series.live and series is not self.other:
            self._idle[series.key] = None

    def _has_place(self) -> bool:
        if len(self._known) >= self._most and self._idle:
            key = next(iter(self._idle))
            del self._idle[key]
            gone = self._known.pop(key)
            self.other.past = [a + b for a, b in zip(self.other.past, gone.past, strict=True)]
        return len(self._known) < self._most


class Walk(Protocol):
    """Who adds up the channels that live, and must hear of each that ends meanwhile."""

    def forget(self, chan_id: int, stats: Sequence[int], mine: Series, owners: Series) -> None: ...


class Books:
    """One daemon's. `walks`: those under way."""

    def __init__(self, channels: int, users: int) -> None:
        self.channels = Roll(channels, STATS_WIDTH, OTHER_CHANNELS)
        self.users = Roll(users, len(USERS.names), OTHER_USERS)
        self.walks: list[Walk] = []
        self.started = time.time()
        self.opened = self.turns = self.frames = self.control = self.events = self.skipped = 0
        self._of_channel: dict[int, tuple[Series, Series]] = {}
        self._of_user: dict[int, Series] = {}

    # --- users ---

    def begin_user(self, uid: int) -> None:
        self._of_user[uid] = self.users.enter(uid, label("uid", uid))

    def end_user(self, uid: int) -> None:
        self.users.leave(self._of_user.pop(uid))

    def of_user(self, uid: int) -> Series:
        return self._of_user[uid]

    def connected(self, uid: int) -> None:
        self.opened += 1
        self._of_user[uid].past[OPENED] += 1

    def refused(self, uid: int) -> None:
        self._of_user[uid].past[REFUSED] += 1

    # --- channels ---

    def begin_channel(self, chan_id: int, uid: int, name: str | None, charged: bool = True) -> None:
        """`charged`: to its owner, who is here as long as it is; else it counts for the others."""
        key = None if name is None else (uid, name)
        labels = f"{label('name', name)},{label('uid', uid)}"
        owners = self._of_user[uid] if charged else self.users.other
        self._of_channel[chan_id] = self.channels.enter(key, labels), owners

    def of_channel(self, chan_id: int) -> tuple[Series, Series]:
        return self._of_channel[chan_id]

    def end_channel(self, chan_id: int, stats: Sequence[int]) -> None:
        """`stats`: its last ones, by STAT_ID."""
        mine, owners = self._of_channel.pop(chan_id)
        for walk in self.walks:
            walk.forget(chan_id, stats, mine, owners)
        for stat_id in COUNTED_IDS:
            mine.past[stat_id] += stats[stat_id]
        for place, stat_id in USER_COUNTS:
            owners.past[place] += stats[stat_id]
        self.channels.leave(mine)

    def turned(self, frames: int, control: int) -> None:
        self.turns += 1
        self.frames += frames
        self.control += control
