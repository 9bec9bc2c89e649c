"""Who may do what to which channel, and who waits for a name: the daemon's bookkeeping.

It calls neither engine nor pump, knows no frame and never waits; what follows from a change (close,
destroy, a reply) is the caller's to do: kcoro_ipc/broker.py.

Invariants:
- `names` holds exactly the channels that have a name and are not destroyed.
- `channels` holds a channel until it is destroyed *and* no peer has a handle to it.
- `channel.readers` is the number of peers whose handle has the right to receive, `writers` to send,
  `holders` those with any; a handle without a right does not exist.
- A CHAN_ID is never used again while the daemon lives.

Long: peers, channels, handles and what waits point at each other, and the invariants hold between
them. What needs none of that is elsewhere: rights.py, access.py, records.py.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from itertools import count

from kcoro_ipc import _wire
from kcoro_ipc.access import MAKE, SEE, Policy, Rules, forbidding
from kcoro_ipc.errors import (
    AccessDenied,
    ClosedResourceError,
    InvalidArgument,
    NameTooLong,
    NoSuchChannel,
)
from kcoro_ipc.quotas import Limits
from kcoro_ipc.records import (
    BOTH,
    MANAGE,
    READ,
    WRITE,
    Arrival,
    Channel,
    Deadlines,
    Handle,
    Opening,
    Peer,
    Subscription,
)
from kcoro_ipc.rights import OPERATIONS, by_mode, by_rules, words

FIRST_CHAN_ID = 1001


class HiddenChannel(NoSuchChannel):
    """It exists and this peer may not know; told as ENOENT, logged as a refusal."""


class Registry:
    def __init__(self, limits: Limits | None = None, policy: Policy | None = None) -> None:
        self.limits = limits or Limits()
        self.policy = policy or Policy()
        self.peers: dict[int, Peer] = {}
        self.channels: dict[int, Channel] = {}
        self.names: dict[str, Channel] = {}
        # By name, then in the order of arrival: a dict, because any of them may leave first.
        self.openings: dict[str, dict[Opening, None]] = {}
        self.arrivals: deque[Arrival] = deque()
        self.deadlines = Deadlines(lambda conn: self.peers[conn].uid)
        self._chan_ids = count(FIRST_CHAN_ID)
        self._listed: list[int] = []  # the keys of `channels`, ascending
        self._serials = count(1)
        self._joined: list[Peer] = []  # the values of `peers` by serial

    # --- peers ---

    def join(self, peer: Peer) -> None:
        """A connection over its user's quota joins too: its HELLO gets the refusal."""
        user = peer.user
        user.connections += 1
        peer.over_quota = user.connections > self.limits.connections_per_uid
        peer.serial = next(self._serials)
        self.peers[peer.conn] = peer
        self._joined.append(peer)

    def leave(self, peer: Peer) -> None:
        """Ends what the peer waits for. Its handles are the caller's to release, before this."""
        for opening in list(peer.openings.values()):
            self.end_opening(peer, opening)
        for subscription in list(peer.subscriptions.values()):
            self.end_subscription(peer, subscription)
        del self.peers[peer.conn]
        del self._joined[bisect_right(self._joined, peer.serial, key=_serial) - 1]
        peer.user.connections -= 1

    def knows(self, asker: Peer, peer: Peer) -> bool:
        """Whether one connection may know who the other is: the same user, or an administrator."""
        return asker.uid == peer.uid or self.is_admin(asker)

    def page_of_peers(
        self, after: int, most: int, wanted: Callable[[Peer], bool]
    ) -> tuple[list[Peer], int | None]:
        """As `page`, of the peers that are wanted, by their serial."""
        start = bisect_right(self._joined, after, key=_serial)
        found: list[Peer] = []
        for peer in self._joined[start : start + 16 * most]:
            if len(found) == most:
                break
            after = peer.serial
            if wanted(peer):
                found.append(peer)
        return found, after if self._joined and after < self._joined[-1].serial else None

    # --- rights ---

    def rights(self, peer: Peer, channel: Channel) -> int:
        """READ, WRITE and MANAGE as mode and rules give them; 0: the channel is not visible."""
        if self.is_admin(peer):
            return BOTH | MANAGE
        found = by_mode(peer, channel)
        rules = self._rules(peer)
        return found & by_rules(rules, channel.name) if found and rules else found

    def permit(self, peer: Peer, channel: Channel, wanted: int) -> None:
        """HiddenChannel where the channel is not visible, AccessDenied where a right is missing."""
        found = self.rights(peer, channel)
        if not found:
            raise HiddenChannel
        missing = wanted & ~found
        if missing:
            self.permit_by_rules(peer, channel.name, missing)
            raise AccessDenied(f"the mode {channel.settings.mode:04o} forbids {words(missing)}")

    def permit_owning(self, peer: Peer, channel: Channel) -> None:
        """For what only the owner, root and the admin group may do."""
        self.permit(peer, channel, 0)
        if peer.uid != channel.uid and not self.is_admin(peer):
            raise AccessDenied("only its owner, root and the admin group change mode and owner")

    def permit_making(self, peer: Peer, name: str | None, wanted: int) -> None:
        """AccessDenied when the rules forbid making it, or seeing it, which would hide it from its
        maker, or what its maker wants to do with it."""
        self._permit(peer, name, MAKE, "making")
        self._permit(peer, name, SEE, "seeing")
        self.permit_by_rules(peer, name, wanted)

    def permit_by_rules(self, peer: Peer, name: str | None, wanted: int) -> None:
        """As `permit`, the rules alone."""
        for right, operation in OPERATIONS.items():
            if wanted & right:
                self._permit(peer, name, operation, words(right))

    def _permit(self, peer: Peer, name: str | None, operation: int, word: str) -> None:
        rule = forbidding(self._rules(peer), operation, name or "")
        if rule is not None:
            raise AccessDenied(f"rule[{rule.place}] of the daemon's configuration forbids {word}")

    def is_admin(self, peer: Peer) -> bool:
        self._rules(peer)
        return peer.admin

    def _rules(self, peer: Peer) -> Rules:
        """Those about the peer; found anew when the policy is another one."""
        if peer.policy is not self.policy:
            peer.policy = self.policy
            peer.admin = self.policy.is_admin(peer.uid, peer.groups)
            peer.rules = self.policy.rules_about(peer.uid, peer.groups)
        return peer.rules

    # --- channels ---

    def add(self, channel: Channel) -> None:
        self.channels[channel.chan_id] = channel
        self._listed.append(channel.chan_id)
        if channel.name is not None:
            self.names[channel.name] = channel
        self._count_tap(channel, 1)

    def _count_tap(self, channel: Channel, change: int) -> None:
        """At its source, if it is a tap; the source may be gone before."""
        source = self.channels.get(channel.settings.tap_of)
        if source is not None:
            source.taps += change

    def check_taps(self, source: Channel) -> None:
        """QuotaExceeded when it has as many taps as it may have."""
        self._check(taps_per_channel=source.taps)

    def new_chan_id(self) -> int:
        return next(self._chan_ids)

    def find(self, peer: Peer, chan_id: int | None, name: str | None) -> Channel:
        """The channel if this peer may know of it; its holders find a destroyed one by number."""
        if chan_id is not None:
            channel = self.channels.get(chan_id)
            if channel is not None and channel.destroyed and chan_id not in peer.handles:
                channel = None
        elif name is not None:
            channel = self.names.get(name)
        else:
            raise InvalidArgument("name the channel: CHAN_ID or NAME is missing")
        if channel is None:
            raise NoSuchChannel
        if not self.rights(peer, channel) and channel.chan_id not in peer.handles:
            raise HiddenChannel
        return channel

    def end_name(self, channel: Channel) -> None:
        """The channel was destroyed: its name is free again."""
        channel.destroyed = True
        if channel.name is not None and self.names.get(channel.name) is channel:
            del self.names[channel.name]

    def forget(self, channel: Channel) -> None:
        """Destroyed and without a handle: its number means nothing any more."""
        del self.channels[channel.chan_id]
        self._listed.pop(bisect_right(self._listed, channel.chan_id) - 1)
        self._count_tap(channel, -1)

    def page(self, peer: Peer, after: int, most: int) -> tuple[list[Channel], int | None]:
        """Visible channels with a CHAN_ID over `after`, and where to go on (None: that is all).

        At most 16 times `most` are looked at, fewer where rules are asked about each, so that a
        page costs the same among 10 as among 60,000 channels of others; a page may therefore be
        empty and not the last.
        """
        found: list[Channel] = []
        looks = max(most, 16 * most // (1 + len(self._rules(peer)) // 4))
        for channel in self.following(after, looks):
            if len(found) == most:
                break
            after = channel.chan_id
            if not channel.destroyed and self.rights(peer, channel):
                found.append(channel)
        return found, after if self._listed and after < self._listed[-1] else None

    def following(self, after: int, most: int) -> list[Channel]:
        """Up to `most` channels, whoever sees them, with a CHAN_ID over `after`, ascending."""
        start = bisect_right(self._listed, after)
        return [self.channels[chan_id] for chan_id in self._listed[start : start + most]]

    def newest(self) -> int:
        """The highest CHAN_ID there is; 0: there is none."""
        return self._listed[-1] if self._listed else 0

    # --- handles ---

    def grant(self, peer: Peer, channel: Channel, rights: int) -> int:
        """Counts each right once more; returns the rights of the peer's handle now.

        QuotaExceeded when this would be a handle too many for one connection.
        """
        handle = peer.handles.get(channel.chan_id)
        if handle is None:
            if len(peer.handles) >= self.limits.handles_per_connection:
                raise self.limits.refuse("handles_per_connection", len(peer.handles))
            handle = peer.handles[channel.chan_id] = Handle()
        before = handle.rights
        handle.add(rights)
        self._recount(channel, before, handle.rights)
        return handle.rights

    def release(self, peer: Peer, channel: Channel, rights: int) -> int:
        """Takes one away from each right (READ|WRITE 0: one of each it has); what is left.

        ClosedResourceError when the handle lacks a right that is named.
        """
        handle = peer.handles.get(channel.chan_id)
        if handle is None or rights & ~handle.rights:
            raise ClosedResourceError("this connection's handle does not hold that right")
        before = handle.rights
        handle.take(rights or before)
        self._recount(channel, before, handle.rights)
        if not handle.rights:
            del peer.handles[channel.chan_id]
        return handle.rights

    def release_all(self, peer: Peer, channel: Channel) -> int:
        """The rights that the peer had."""
        handle = peer.handles.pop(channel.chan_id)
        self._recount(channel, handle.rights, 0)
        return handle.rights

    @staticmethod
    def _recount(channel: Channel, before: int, now: int) -> None:
        channel.readers += bool(now & READ) - bool(before & READ)
        channel.writers += bool(now & WRITE) - bool(before & WRITE)
        channel.holders += bool(now) - bool(before)

    # --- requests that wait ---

    def wait_for_name(self, peer: Peer, opening: Opening, deadline_ns: int | None) -> None:
        """QuotaExceeded when the connection or its user has too many that wait."""
        self._check(openings_per_connection=len(peer.openings), openings_per_uid=peer.user.openings)
        peer.openings[opening.req_id] = opening
        peer.user.openings += 1
        self.openings.setdefault(opening.name, {})[opening] = None
        if deadline_ns is not None:
            self.deadlines.add(deadline_ns, opening)

    def _check(self, **usages: int) -> None:
        for name, usage in usages.items():
            if usage >= getattr(self.limits, name):
                raise self.limits.refuse(name, usage)

    def end_opening(self, peer: Peer, opening: Opening) -> None:
        """Idempotent."""
        if opening.ended:
            return
        opening.ended = True
        peer.user.openings -= 1
        del peer.openings[opening.req_id]
        waiting = self.openings[opening.name]
        del waiting[opening]
        if not waiting:
            del self.openings[opening.name]

    def arrive(self, channel: Channel) -> None:
        """The channel was made, or others may see it now: who waits for its name is in `arrived`
        from here on."""
        waiting = self.openings.get(channel.name) if channel.name is not None else None
        if waiting:
            self.arrivals.append(Arrival(channel, iter(tuple(waiting))))

    def arrived(self, most: int) -> Iterator[tuple[Channel, Opening]]:
        """Up to `most` that waited for what has come, in their order; each is told once.

        Who ended since is left out. A channel that was destroyed brings nobody: they wait on.
        """
        for _ in range(most):
            while self.arrivals:
                arrival = self.arrivals[0]
                opening = None if arrival.channel.destroyed else next(arrival.waiting, None)
                if opening is None:
                    self.arrivals.popleft()
                elif not opening.ended:
                    yield arrival.channel, opening
                    break
            else:
                return

    def subscribe(self, peer: Peer, subscription: Subscription) -> None:
        """QuotaExceeded when the connection or its user has too many."""
        self._check(
            subscriptions_per_connection=len(peer.subscriptions),
            subscriptions_per_uid=peer.user.subscriptions,
        )
        peer.subscriptions[subscription.req_id] = subscription
        peer.user.subscriptions += 1

    def end_subscription(self, peer: Peer, subscription: Subscription) -> None:
        """Idempotent."""
        if not subscription.ended:
            subscription.ended = True
            del peer.subscriptions[subscription.req_id]
            peer.user.subscriptions -= 1


def _serial(peer: Peer) -> int:
    return peer.serial


def check_name(name: bytes) -> str:
    """1..255 bytes of UTF-8 without control characters and '/'; InvalidArgument otherwise."""
    try:
        text = name.decode()
    except UnicodeDecodeError:
        raise InvalidArgument("a channel's name is UTF-8") from None
    if len(name) > _wire.MAX_NAME_BYTES:
        raise NameTooLong(f"a channel's name has at most 255 bytes, this one {len(name)}")
    if not name or "/" in text or any(ord(c) < 32 or 127 <= ord(c) < 160 for c in text):
        raise InvalidArgument("a channel's name has 1 to 255 bytes, no '/', no control characters")
    return text
