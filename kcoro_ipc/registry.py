"""Which connections, channels and handles there are, and what each is called: the daemon's
bookkeeping.

It calls neither engine nor pump, knows no frame and never waits; what follows from a change (close,
destroy, a reply) is the caller's to do: kcoro_ipc/broker.py. Two parts have files of their own: who
may do what (rights.py), and who waits for a name or a time (waiting_requests.py).

Invariants:
- `names` holds exactly the channels that have a name and are not destroyed.
- `channels` holds a channel until it is destroyed *and* no peer has a handle to it.
- `channel.readers` is the number of peers whose handle has the right to receive, `writers` to send,
  `holders` those with any; a handle without a right does not exist.
- A CHAN_ID is never used again while the daemon lives.
"""

from bisect import bisect_right
from collections.abc import Callable
from itertools import count

from kcoro_ipc.access import Policy
from kcoro_ipc.errors import ClosedResourceError, InvalidArgument, NoSuchChannel
from kcoro_ipc.quotas import Limits
from kcoro_ipc.records import READ, WRITE, Channel, Handle, Peer
from kcoro_ipc.rights import HiddenChannel, Judge
from kcoro_ipc.waiting_requests import WaitingRequests

FIRST_CHAN_ID = 1001


class Registry:
    def __init__(self, limits: Limits | None = None, policy: Policy | None = None) -> None:
        self.limits = limits or Limits()
        self.judge = Judge(policy or Policy())
        self.waiting = WaitingRequests(lambda: self.limits, lambda conn: self.peers[conn].uid)
        self.peers: dict[int, Peer] = {}
        self.channels: dict[int, Channel] = {}
        self.names: dict[str, Channel] = {}
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
            self.waiting.end_opening(peer, opening)
        for subscription in list(peer.subscriptions.values()):
            self.waiting.end_subscription(peer, subscription)
        del self.peers[peer.conn]
        del self._joined[bisect_right(self._joined, peer.serial, key=_serial) - 1]
        peer.user.connections -= 1

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
        if not self.judge.rights(peer, channel) and channel.chan_id not in peer.handles:
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
        looks = max(most, 16 * most // (1 + len(self.judge.rules(peer)) // 4))
        for channel in self.following(after, looks):
            if len(found) == most:
                break
            after = channel.chan_id
            if not channel.destroyed and self.judge.rights(peer, channel):
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
            self.limits.check(handles_per_connection=len(peer.handles))
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


def _serial(peer: Peer) -> int:
    return peer.serial
