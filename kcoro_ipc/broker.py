"""What the registry decides, done in engine and pump: connections, limits, and what time brings.

control/ says what a frame asks for; this says what follows from it. Lives that are longer than a
connection's have files of their own: users (user_lives.py), regions (region_lives.py) and channels
(channel_making.py, channel_lives.py). It never waits; `next_deadline_ns` says when to call `due`
again.

Invariant: each method leaves registry, engine and pump agreeing, also when it raises.
"""

from collections.abc import Callable, Iterator

from kcoro_ipc import structs
from kcoro_ipc.access import Policy
from kcoro_ipc.books import Books
from kcoro_ipc.channel_lives import ChannelLives
from kcoro_ipc.native import NativeEngine
from kcoro_ipc.pump import NativePump
from kcoro_ipc.quotas import Limits
from kcoro_ipc.records import Opening, Peer, Reading, Subscription, User
from kcoro_ipc.region_lives import RegionLives
from kcoro_ipc.registry import Registry
from kcoro_ipc.reports import Closed
from kcoro_ipc.throttle import Throttle
from kcoro_ipc.user_lives import UserLives

NOBODY = 0  # the account without limits
SHUTTING_DOWN = "shutting down"


def make_engine(limits: Limits) -> NativeEngine:
    return NativeEngine(
        channels=limits.channels,
        tokens=limits.tokens,
        clauses=limits.clauses,
        messages=limits.messages,
        scopes=limits.connections + 1,  # the pump's own root
        accounts=limits.accounts,
        regions=limits.regions,
        files=limits.files,
        parked_per_channel=limits.parked_per_channel,
        heap_bytes=limits.bytes,
    )


class Broker:
    def __init__(
        self,
        engine: NativeEngine,
        pump: NativePump,
        registry: Registry,
        clock: Callable[[], int],
    ) -> None:
        """`clock`: CLOCK_MONOTONIC nanoseconds, or a test's own."""
        self.engine = engine
        self.pump = pump
        self.registry = registry
        self.clock = clock
        self.draining = False
        self.talk = Throttle(clock)
        limits = registry.limits
        self.books = Books(limits.metrics_channels, limits.metrics_users)
        self.readings: dict[int, Reading] = {}  # by connection, the oldest first
        self.users = UserLives(engine, pump, registry, self.books, clock)
        self.regions = RegionLives(engine, pump, registry, self.settle)
        self.channels = ChannelLives(engine, pump, registry, self.books, self.talk, self.settle)

    # --- what the configuration sets ---

    def set_policy(self, policy: Policy) -> None:
        """Rules and admin group from now on; as `channels.give` for all of them."""
        self.registry.judge.policy = policy
        for name in self.registry.waiting.openings:
            if (channel := self.registry.names.get(name)) is not None:
                self.registry.waiting.arrive(channel)

    def set_limits(self, limits: Limits) -> None:
        """All that are no sizes of tables, for users and connections that are there, too. Who uses
        more than a new limit keeps it, and gets no more."""
        self.registry.limits = limits
        self.pump.limit(
            limits.requests_per_connection,
            limits.parked_per_connection,
            limits.held_per_connection,
        )
        self.pump.pace(limits.frames_per_second_per_connection, limits.frames_per_second_per_uid)
        self.engine.limit(limits.parked_per_channel)
        self.users.set_limits(limits)

    # --- users and peers ---

    def user(self, uid: int) -> User:
        """With an account from now on; whoever asked calls `settle` when nothing came of it."""
        return self.users.get(uid)

    def settle(self, user: User) -> None:
        """Returns the account of a user who has nothing here. Safe twice."""
        self.users.settle(user)

    def join(self, peer: Peer) -> None:
        self.users.came(peer.user)
        peer.since_ns = self.clock()
        self.registry.join(peer)
        self.books.connected(peer.uid)

    def depart(self, closed: Closed) -> None:
        """A connection ended; the pump has ended its requests and dropped its references."""
        peer = self.registry.peers.get(closed.conn)
        if peer is None:
            return
        self.end_reading(peer.conn)
        self.channels.release_all(peer)
        for region in peer.regions.values():
            self.regions.drop(region, structs.REGION_LEAVE)
        self.registry.leave(peer)
        self.users.left(peer.user)

    def end_reading(self, conn: int) -> None:
        """Of metrics. Safe twice."""
        reading = self.readings.pop(conn, None)
        if reading is not None:
            reading.pieces.close()

    def _end_legacy(self, user: User) -> None:
        """Idle for long: its anonymous 1.0 channels end."""
        if user.channels:
            channels = [one for one in self.registry.channels.values() if one.uid == user.uid]
            for channel in channels:
                if channel.legacy and not channel.destroyed:
                    self.channels.destroy(channel, None, "its user has been gone for 60 s")
        self.settle(user)

    # --- time ---

    def is_late(self, until_ns: int | None) -> bool:
        return until_ns is not None and self.clock() >= until_ns

    def next_deadline_ns(self) -> int | None:
        """When `control.due` has something to do; the past when it has now."""
        if self.registry.waiting.arrivals:
            return 0
        first = self.registry.waiting.deadlines.next_ns()
        times = [self.users.next_deadline_ns(), first, self.talk.next_ns()]
        return min((when for when in times if when is not None), default=None)

    def due(self, most: int) -> Iterator[Opening | Subscription]:
        """Requests whose time has come; users that were idle for long are forgotten on the way."""
        now_ns = self.clock()
        self.talk.due()
        for user in self.users.idle_for_long():
            self._end_legacy(user)
        yield from self.registry.waiting.deadlines.due(now_ns, most)
