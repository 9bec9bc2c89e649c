"""Requests that wait in Python: OPENs for a name, subscriptions for the time of their next event.

They wait in order; who is told, and what, is control/'s. Nothing here knows which
channels there are, rights or frames, and nothing waits itself.

Invariants:
- A record that has not ended is with its peer and counted for its user; an OPEN also in `openings`.
- A record that ended is told to nobody, also when its name or its time had come before.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count

from kcoro_ipc.quotas import Limits
from kcoro_ipc.records import Channel, Opening, Peer, Subscription


@dataclass(slots=True, eq=False)
class Arrival:
    """A channel whose name was waited for, and who waited when it came, first come first."""

    channel: Channel
    waiting: Iterator[Opening]


class Deadlines:
    """Times of Python-held records, earliest first; users whose records' time has come take turns.

    A record that ended stays until its time comes or until such records are the greater half, so
    that ending one is free and a client that waits and cancels for ever costs no memory.
    `whose`: the user of a connection.
    """

    def __init__(self, whose: Callable[[int], int]) -> None:
        self._whose = whose
        self._come: dict[int, deque[Opening | Subscription]] = {}  # by user, the next one's first
        self._heap: list[tuple[int, int, Opening | Subscription]] = []
        self._order = count()
        self._sweep_at = 64

    def add(self, when_ns: int, record: Opening | Subscription) -> None:
        if len(self._heap) >= self._sweep_at:
            self._heap = [entry for entry in self._heap if not entry[2].ended]
            heapq.heapify(self._heap)
            self._sweep_at = max(64, 2 * len(self._heap))
        heapq.heappush(self._heap, (when_ns, next(self._order), record))

    def __len__(self) -> int:
        return len(self._heap) + sum(map(len, self._come.values()))

    def next_ns(self) -> int | None:
        """The past when some have come and are not handed out yet."""
        if self._come:
            return 0
        while self._heap and self._heap[0][2].ended:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def due(self, now_ns: int, most: int) -> Iterator[Opening | Subscription]:
        """Up to `most` records whose time has come: of each user its first, then each its next.
        What is handed out is forgotten here."""
        while self._heap and self._heap[0][0] <= now_ns:
            record = heapq.heappop(self._heap)[2]
            if not record.ended:
                self._come.setdefault(self._whose(record.conn), deque()).append(record)
        while most > 0 and self._come:
            user = next(iter(self._come))
            row = self._come.pop(user)
            record = row.popleft()
            if row:
                self._come[user] = row  # behind the others
            if not record.ended:
                most -= 1
                yield record


class WaitingRequests:
    """`limits`: those that are in force. `whose`: the user of a connection."""

    def __init__(self, limits: Callable[[], Limits], whose: Callable[[int], int]) -> None:
        # By name, then in the order of arrival: a dict, because any of them may leave first.
        self.openings: dict[str, dict[Opening, None]] = {}
        self.arrivals: deque[Arrival] = deque()
        self.deadlines = Deadlines(whose)
        self._limits = limits

    def wait_for_name(self, peer: Peer, opening: Opening, deadline_ns: int | None) -> None:
        """QuotaExceeded when the connection or its user has too many that wait."""
        self._limits().check(
            openings_per_connection=len(peer.openings), openings_per_uid=peer.user.openings
        )
        peer.openings[opening.req_id] = opening
        peer.user.openings += 1
        self.openings.setdefault(opening.name, {})[opening] = None
        if deadline_ns is not None:
            self.deadlines.add(deadline_ns, opening)

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
        self._limits().check(
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
