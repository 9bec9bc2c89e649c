"""Lives of peers, channels and handles: what the registry decides, done in engine and pump.

control/ says what a frame asks for; this says what follows from it. Each method leaves registry,
engine and pump agreeing, also when it raises. It never waits; `next_deadline_ns` says when to call
`due` again.

Invariants:
- A channel in the registry holds exactly one reference of the engine's; a handle of a peer holds
  another one, through the pump.

Long: making, ending and handles of channels are one matter, because each must leave the three parts
agreeing when the next raises. Users and regions have files of their own (user_lives.py,
region_lives.py).
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace

from kcoro_ipc import _wire, structs
from kcoro_ipc.access import Policy
from kcoro_ipc.books import Books
from kcoro_ipc.errors import (
    AccessDenied,
    InvalidArgument,
    NoSuchChannel,
    OperationCancelled,
    error_for,
)
from kcoro_ipc.logs import say
from kcoro_ipc.native import NativeEngine
from kcoro_ipc.pump import NativePump
from kcoro_ipc.quotas import Limits
from kcoro_ipc.records import (
    MANAGE,
    READ,
    WRITE,
    Channel,
    Opening,
    Owner,
    Peer,
    Reading,
    Settings,
    Subscription,
    User,
)
from kcoro_ipc.region_lives import RegionLives
from kcoro_ipc.registry import Registry
from kcoro_ipc.reports import Closed
from kcoro_ipc.structs import ChannelConfig
from kcoro_ipc.throttle import Throttle
from kcoro_ipc.user_lives import UserLives

NOBODY = 0  # the account without limits
SHUTTING_DOWN = "shutting down"
_HANDLES_READ = _wire.STAT_NAMES.index("handles_read") + 1
_DEPTH = _wire.STAT_NAMES.index("depth") + 1
_HANDLES_WRITE = _wire.STAT_NAMES.index("handles_write") + 1
_ENGINE_FLAGS = {
    _wire.FLAG_CHAN_FIXED_SIZE: structs.CHAN_FIXED_SIZE,
    _wire.FLAG_CHAN_ACK_REQUIRED: structs.CHAN_ACK_REQUIRED,
}


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


def _unfit(settings: Settings) -> InvalidArgument:
    return InvalidArgument(
        f"{settings.dead_letter} cannot take its dead letters: that must be open, unlimited, "
        "without a dead letter, and take messages as long; destroy that channel, then reload"
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

    # --- what the configuration sets ---

    def set_policy(self, policy: Policy) -> None:
        """Rules and admin group from now on; as `give` for all channels."""
        self.registry.policy = policy
        for name in self.registry.openings:
            if (channel := self.registry.names.get(name)) is not None:
                self.registry.arrive(channel)

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
        for chan_id in list(peer.handles):
            channel = self.registry.channels[chan_id]
            self._after_release(peer, channel, self.registry.release_all(peer, channel))
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
                    self.destroy(channel, None, "its user has been gone for 60 s")
        self.settle(user)

    # --- channels ---

    def make(
        self,
        peer: Peer,
        name: str | None,
        settings: Settings,
        legacy: bool,
        owner: Owner | None = None,
    ) -> Channel:
        """A new channel without handles, in the quota of its owner. Raises what the engine
        refuses."""
        owner = owner or Owner(peer.uid, peer.gid)
        payer = self.user(owner.uid)
        try:
            dead_letter = self._dead_letter(peer, settings)
            source = self._tapped(peer, settings)
            channel = self._add(name, settings, owner, payer, dead_letter, source)
        except BaseException:
            self.settle(payer)
            raise
        channel.legacy = legacy
        about = {"chan_id": channel.chan_id, "name": name, "uid": peer.uid, "pid": peer.pid}
        about |= {} if owner.uid == peer.uid else {"owner": owner.uid}
        self.talk.say(peer.uid, logging.INFO, "channel made", **about)
        return channel

    def declare(self, name: str, settings: Settings, owner: Owner) -> Channel:
        """A channel that nobody's client made, in nobody's quota. InvalidArgument unless its
        dead letter is one, too, and fits."""
        letters = self._declared_letters(settings)
        try:
            channel = self._add(name, settings, owner, None, letters)
        except InvalidArgument:
            if letters:
                raise _unfit(settings) from None
            raise
        channel.declared = True
        self.registry.arrive(channel)
        about = {"chan_id": channel.chan_id, "name": name, "uid": owner.uid}
        say(logging.INFO, "channel declared", **about)
        return channel

    def bind_letters(self, channel: Channel) -> bool:
        """What a declared channel cannot deliver goes to the channel that has the name of its dead
        letter by now; False: it does. InvalidArgument as of `declare`; then nothing changed."""
        letters = self._declared_letters(channel.settings)
        if letters == channel.letters:
            return False
        try:
            self.engine.chan_set_dead_letter(channel.ticket, letters)
        except InvalidArgument:
            raise _unfit(channel.settings) from None
        channel.letters = letters
        return True

    def _declared_letters(self, settings: Settings) -> int:
        """Never a channel that a client made: its maker would read what others sent."""
        name = settings.dead_letter
        if name is None:
            return 0
        target = self.registry.names.get(name)
        if target is None:
            raise InvalidArgument(f"there is no channel {name} for its dead letters")
        if not target.declared:
            why = f"its dead letters would go to {name}, which uid {target.uid} made"
            raise InvalidArgument(f"{why}; destroy that channel, then reload")
        return target.ticket

    def give(self, channel: Channel, owner: Owner, mode: int) -> None:
        """Another owner, group or mode. Handles that are there keep their rights, as open files
        do; whoever waits for its name and may see it now gets it."""
        channel.uid, channel.gid = owner
        channel.settings = replace(channel.settings, mode=mode)
        self.registry.arrive(channel)

    def say_given(self, channel: Channel, peer: Peer) -> None:
        about = {"chan_id": channel.chan_id, "name": channel.name, "uid": peer.uid}
        now = {"owner": channel.uid, "group": channel.gid, "mode": f"{channel.settings.mode:04o}"}
        self.talk.say(peer.uid, logging.INFO, "channel changed", **about, pid=peer.pid, **now)

    def _add(
        self,
        name: str | None,
        settings: Settings,
        owner: Owner,
        payer: User | None,
        dead_letter: int,
        source: Channel | None = None,
    ) -> Channel:
        chan_id = self.registry.new_chan_id()
        config = ChannelConfig(
            kind=settings.kind,
            capacity=settings.capacity,
            overflow=settings.overflow,
            undelivered=settings.undelivered,
            elem_size=settings.elem_size,
            flags=sum(bit for ours, bit in _ENGINE_FLAGS.items() if settings.flags & ours),
            max_attempts=settings.max_attempts,
            account=payer.account if payer is not None else NOBODY,
            max_bytes=settings.max_bytes,
            ttl_ms=settings.ttl_ms,
            file_ttl_ms=settings.file_ttl_ms,
            user=chan_id,
            dead_letter=dead_letter,
        )
        ticket = self.engine.chan_make(config)
        if source is not None:
            self._tap(source, ticket)
        channel = Channel(chan_id, ticket, name, *owner, settings, payer=payer, letters=dead_letter)
        self.registry.add(channel)
        self.books.begin_channel(chan_id, owner.uid, name, charged=payer is not None)
        if payer is not None:
            payer.channels += 1
        return channel

    def _tapped(self, peer: Peer, settings: Settings) -> Channel | None:
        """The channel of which this is to be a tap: for who manages a channel and may receive."""
        if not settings.tap_of:
            return None
        source = self.registry.find(peer, settings.tap_of, None)
        self.registry.permit(peer, source, MANAGE | READ)
        self.check_alive(source)
        self.registry.check_taps(source)
        return source

    def _tap(self, source: Channel, ticket: int) -> None:
        try:
            self.engine.chan_tap(source.ticket, ticket)
        except BaseException:
            self.engine.chan_drop(ticket)
            raise

    def _dead_letter(self, peer: Peer, settings: Settings) -> int:
        if settings.dead_letter is None:
            return 0
        name = settings.dead_letter
        try:
            target = self.registry.find(peer, None, name)
            self.registry.permit(peer, target, WRITE)
        except (NoSuchChannel, AccessDenied) as error:
            raise type(error)(f"dead-letter channel {name}: {error.message}") from error
        if target.settings.kind != _wire.KIND_UNLIMITED or target.settings.dead_letter is not None:
            raise InvalidArgument(
                "a dead-letter channel is unlimited and has no dead-letter channel itself"
            )
        return target.ticket

    def check_alive(self, channel: Channel) -> None:
        """OperationCancelled with the reason when the channel was destroyed."""
        if channel.destroyed:
            raise OperationCancelled(reason=self.reason(channel))

    def reason(self, channel: Channel) -> str:
        return self.engine.chan_reason(channel.ticket) or structs.REASONS[structs.REASON_DESTROYED]

    def close(self, channel: Channel, peer: Peer) -> None:
        """Idempotent. `peer`: whose doing it is."""
        self.check_alive(channel)
        self._checked(channel, self._close(channel, peer, "closed by a client"))

    def _close(self, channel: Channel, peer: Peer, why: str) -> int:
        code = self.engine.chan_close(channel.ticket)
        if code == _wire.KC_OK and not channel.closed:
            channel.closed = True
            self._say_done(channel, peer, "channel closed", why=why)
        return code

    def purge(self, channel: Channel, peer: Peer) -> int:
        self.check_alive(channel)
        count = self.engine.chan_purge(channel.ticket)
        if count:
            self._say_done(channel, peer, "channel purged", count=count)
        return count

    def destroy(self, channel: Channel, peer: Peer | None, why: str) -> None:
        """The name is free, handles answer ECANCELED with `why` from now on. Idempotent. `peer`:
        whose doing it is; None: the daemon's own."""
        if channel.destroyed:
            return
        self.engine.chan_destroy(channel.ticket, structs.REASON_DESTROYED, why)
        self.registry.end_name(channel)
        self._say_done(channel, peer, "channel destroyed", why=why)
        self._forget_if_unused(channel)

    def _say_done(self, channel: Channel, peer: Peer | None, event: str, **more: object) -> None:
        """With who did it, in whose share of the log; the owner only where that is another."""
        uid = channel.uid if peer is None else peer.uid
        about = {"chan_id": channel.chan_id, "name": channel.name}
        about |= {} if peer is None else {"uid": peer.uid, "pid": peer.pid}
        about |= {} if peer is not None and channel.uid == uid else {"owner": channel.uid}
        self.talk.say(uid, logging.INFO, event, **about, **more)

    def lost(self, channel: Channel) -> None:
        """The engine destroyed it by itself (a broken invariant)."""
        if not channel.destroyed:
            self.registry.end_name(channel)
            self._forget_if_unused(channel)

    def _checked(self, channel: Channel, code: int) -> None:
        if code == _wire.KC_ECANCELED:
            raise OperationCancelled(reason=self.reason(channel))
        if code < 0:
            raise error_for(code)

    def stats(self, channel: Channel) -> list[int]:
        """Values at the index of their STAT_ID, handles counted by the registry."""
        stats = list(self.engine.chan_stats(channel.ticket))
        stats[_HANDLES_READ], stats[_HANDLES_WRITE] = channel.readers, channel.writers
        return stats

    def depth(self, channel: Channel) -> int:
        """Messages that wait or are held."""
        return self.engine.chan_stats(channel.ticket)[_DEPTH]

    # --- handles ---

    def grant(self, peer: Peer, channel: Channel, rights: int) -> int:
        """Counts the rights and tells the pump when the handle changed; the rights it has now."""
        handle = peer.handles.get(channel.chan_id)
        before = handle.rights if handle else 0
        now = self.registry.grant(peer, channel, rights)
        if now != before:
            code = self.pump.grant(peer.conn, channel.chan_id, channel.ticket, now)
            if (
                code < 0 and code != _wire.KC_ENOENT
            ):  # ENOENT: the connection is gone, as is all this
                self.registry.release(peer, channel, rights)
                raise error_for(code, "no handle could be made for this connection")
        return now

    def release(self, peer: Peer, channel: Channel, rights: int) -> None:
        before = peer.handles[channel.chan_id].rights if channel.chan_id in peer.handles else 0
        now = self.registry.release(peer, channel, rights)
        if now != before:
            self.pump.grant(peer.conn, channel.chan_id, channel.ticket, now)
            self._after_release(peer, channel, before & ~now)

    def _after_release(self, peer: Peer, channel: Channel, lost: int) -> None:
        if channel.destroyed:
            self._forget_if_unused(channel)
        elif channel.ephemeral and not channel.holders:
            self.destroy(channel, peer, "its last handle was released")
        elif channel.closes_with_last_sender and lost & WRITE and not channel.writers:
            self._close(channel, peer, "its last sender has gone")

    def _forget_if_unused(self, channel: Channel) -> None:
        if not channel.holders:
            self.registry.forget(channel)
            self.books.end_channel(channel.chan_id, self.engine.chan_stats(channel.ticket))
            self.engine.chan_drop(channel.ticket)
            if channel.payer is not None:
                channel.payer.channels -= 1
                self.settle(channel.payer)

    # --- time ---

    def is_late(self, until_ns: int | None) -> bool:
        return until_ns is not None and self.clock() >= until_ns

    def next_deadline_ns(self) -> int | None:
        """When `control.due` has something to do; the past when it has now."""
        if self.registry.arrivals:
            return 0
        first = self.registry.deadlines.next_ns()
        times = [self.users.next_deadline_ns(), first, self.talk.next_ns()]
        return min((when for when in times if when is not None), default=None)

    def due(self, most: int) -> Iterator[Opening | Subscription]:
        """Requests whose time has come; users that were idle for long are forgotten on the way."""
        now_ns = self.clock()
        self.talk.due()
        for user in self.users.idle_for_long():
            self._end_legacy(user)
        yield from self.registry.deadlines.due(now_ns, most)
