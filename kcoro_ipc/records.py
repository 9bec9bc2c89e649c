"""The records of the daemon's bookkeeping: users, peers, channels, handles, what waits.

Plain data with the few questions each can answer about itself. kcoro_ipc/registry.py keeps them
consistent with each other; nothing here calls anything.
"""

from array import array
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import NamedTuple

from kcoro_ipc import _wire
from kcoro_ipc.access import Policy, Rules

READ = _wire.FLAG_CHAN_READ
WRITE = _wire.FLAG_CHAN_WRITE
BOTH = READ | WRITE
MANAGE = 1 << 30  # close, destroy, purge; never a right of a handle, so its number is our own


@dataclass(slots=True, eq=False)
class User:
    """A uid with its account in the engine, and how many connections, channels, OPENs that wait,
    subscriptions and `regions` that have not ended it has, and their bytes."""

    uid: int
    account: int
    connections: int = 0
    channels: int = 0
    openings: int = 0
    subscriptions: int = 0
    regions: int = 0
    region_bytes: int = 0


@dataclass(slots=True, eq=False)
class Handle:
    """How often a peer asked for each right on one channel."""

    reads: int = 0
    writes: int = 0

    @property
    def rights(self) -> int:
        return (READ if self.reads else 0) | (WRITE if self.writes else 0)

    def add(self, rights: int) -> None:
        self.reads += bool(rights & READ)
        self.writes += bool(rights & WRITE)

    def take(self, rights: int) -> None:
        self.reads -= bool(rights & READ)
        self.writes -= bool(rights & WRITE)


@dataclass(slots=True, eq=False)
class Opening:
    """An OPEN that waits for its name; `flags`: the properties the channel must have."""

    conn: int
    req_id: int
    name: str
    rights: int
    flags: int = 0
    ended: bool = False


@dataclass(slots=True, eq=False)
class Subscription:
    """A peer that gets a channel's counters every `interval_ns`. `told`: those of the last event,
    by STAT_ID; `said_at`: where that event ends in what the connection has sent so far; `skipped`:
    events left out since."""

    conn: int
    req_id: int
    chan_id: int
    interval_ns: int
    ended: bool = False
    told: "array[int] | None" = None
    said_at: int = 0
    skipped: int = 0


@dataclass(slots=True, eq=False)
class Reading:
    """A scrape that a peer reads page by page; `page`: how many it has got."""

    user: User
    pieces: Generator[bytes, None, None]
    whole: bool
    page: int = 0


@dataclass(slots=True, eq=False)
class Region:
    """Shared memory of a peer. `waiting`: the REQ_ID of the drop that waits for its end, or 0."""

    region_id: int
    user: User
    size: int
    dropped: bool = False
    waiting: int = 0


@dataclass(slots=True, eq=False)
class Peer:
    """A connection with the credentials it had when it connected. `policy`: what `admin` and
    `rules` were read from; a judge (rights.py) renews them."""

    conn: int
    user: User
    gid: int
    groups: frozenset[int]
    pid: int
    transport: int
    since_ns: int = 0
    serial: int = 0  # the registry's: ascending with time
    over_quota: bool = False
    unmapped: bool = False
    policy: Policy | None = None
    admin: bool = False
    rules: Rules = ()
    minor: int = 0
    max_frame: int = _wire.MAX_SEQPACKET_FRAME_BYTES
    client_name: str | None = None
    handles: dict[int, Handle] = field(default_factory=dict)
    openings: dict[int, Opening] = field(default_factory=dict)
    subscriptions: dict[int, Subscription] = field(default_factory=dict)
    regions: dict[int, Region] = field(default_factory=dict)

    @property
    def uid(self) -> int:
        return self.user.uid


@dataclass(frozen=True, slots=True)
class Settings:
    """What MAKE fixes for a channel's life. `flags`: FLAG_CHAN_ bits without rights;
    `tap_of`: CHAN_ID of the channel it gets copies of, 0 for none."""

    kind: int = _wire.KIND_RENDEZVOUS
    capacity: int = 0
    elem_size: int = _wire.MAX_ELEMENT_BYTES
    overflow: int = 0
    undelivered: int = 0
    max_attempts: int = 0
    max_bytes: int = 0
    ttl_ms: int = 0
    file_ttl_ms: int = 0
    mode: int = 0o600
    flags: int = 0
    dead_letter: str | None = None
    tap_of: int = 0


class Owner(NamedTuple):
    """User and group that a channel belongs to."""

    uid: int
    gid: int


@dataclass(slots=True, eq=False)
class Channel:
    """`uid`, `gid`: owner and group. `payer`: whose quota it counts in; None: nobody's.

    `legacy`: made by a 1.0 connection, outlives its handles until its user is idle for long.
    `declared`: by the configuration. `letters`: the ticket of its dead-letter channel, or 0.
    `taps`: how many channels get copies of it.
    """

    chan_id: int
    ticket: int
    name: str | None
    uid: int
    gid: int
    settings: Settings
    legacy: bool = False
    payer: User | None = None
    declared: bool = False
    letters: int = 0
    readers: int = 0
    writers: int = 0
    holders: int = 0
    taps: int = 0
    closed: bool = False
    destroyed: bool = False

    @property
    def ephemeral(self) -> bool:
        anonymous = self.name is None and not self.legacy
        return anonymous or bool(self.settings.flags & _wire.FLAG_CHAN_EPHEMERAL)

    @property
    def closes_with_last_sender(self) -> bool:
        return bool(self.settings.flags & _wire.FLAG_CHAN_CLOSE_ON_LAST_SENDER)
