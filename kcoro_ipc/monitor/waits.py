"""Who waits for whom: a picture of operations and handles, and what follows from it. No I/O.

A connection is *stuck* when every operation it waits for could be ended only by connections that
are stuck too. Formally: the greatest set of connections such that each has at least one wait, no
wait of it has a time limit, some connection could serve some wait, and all that could are in the
set. The arms of a select and the waits of several tasks of one connection count alike: any of them
would free it.

Who could serve a wait at a channel: whoever has a handle with the opposite right. Two do not count:
the waiter itself, for it waits; and whoever waits at the same side of the same channel, for it
waits for the very same thing. So workers that idle at an empty channel are not stuck, they wait for
somebody new. A wait that nobody could serve is told as such; it makes nobody stuck, for somebody
may come.
(docs/decisions/0026-what-a-deadlock-is.md)
"""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

OPPOSITE = {"send": "receive", "receive": "send"}


class Wait(NamedTuple):
    """One arm of one operation. `token` names the operation."""

    chan_id: int
    side: str
    token: int
    age_ns: int = 0
    limited: bool = False
    status: str = "enqueued"


class Party(NamedTuple):
    """A connection. `waits` is empty for one that does something else, or is not to be known."""

    conn: int
    pid: int | None = None
    program: str | None = None
    uid: int | None = None
    waits: tuple[Wait, ...] = ()


@dataclass(frozen=True)
class Place:
    """A channel: who has the right to send and to receive, by connection; `strangers`: how many
    more have it whose connections the asker may not know."""

    chan_id: int
    name: str | None = None
    rights: Mapping[int, frozenset[str]] = field(default_factory=dict)
    strangers: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Picture:
    parties: Mapping[int, Party]
    places: Mapping[int, Place]

    def waiting_at(self, chan_id: int, side: str) -> set[int]:
        return {
            party.conn
            for party in self.parties.values()
            if any(wait.chan_id == chan_id and wait.side == side for wait in party.waits)
        }


class Step(NamedTuple):
    """`conn` waits as `wait` says, and `server` could end that."""

    conn: int
    wait: Wait
    server: int


def opposite(wait: Wait) -> str:
    """What somebody must do to end it: a send that was taken waits for its acknowledgement."""
    return OPPOSITE.get(wait.side, "")


def servers(picture: Picture, conn: int, wait: Wait) -> set[int]:
    """The connections that could end this wait."""
    place = picture.places.get(wait.chan_id)
    if place is None:
        return set()
    able = {who for who, rights in place.rights.items() if opposite(wait) in rights}
    return able - {conn} - picture.waiting_at(wait.chan_id, wait.side)


def _known(picture: Picture, party: Party) -> bool:
    """Whether all that could free it is known here."""
    return bool(party.waits) and not any(
        wait.limited or wait.chan_id not in picture.places or _strangers(picture, wait)
        for wait in party.waits
    )


def _strangers(picture: Picture, wait: Wait) -> int:
    return picture.places[wait.chan_id].strangers.get(opposite(wait), 0)


def stuck(picture: Picture) -> dict[int, list[Step]]:
    """The stuck connections, each with the steps from it to those it waits for."""
    steps = {
        party.conn: [
            Step(party.conn, wait, server)
            for wait in party.waits
            for server in sorted(servers(picture, party.conn, wait))
        ]
        for party in picture.parties.values()
        if _known(picture, party)
    }
    left = {conn: found for conn, found in steps.items() if found}
    while free := [
        conn for conn, found in left.items() if any(s.server not in left for s in found)
    ]:
        for conn in free:
            del left[conn]
    return left


def shortest_cycle(steps: Mapping[int, list[Step]]) -> list[Step]:
    """One of the shortest, from the lowest connection on it; empty only if there are no steps."""
    best: list[Step] = []
    for start in sorted(steps):
        found = _way_back(steps, start)
        if found and (not best or len(found) < len(best)):
            best = found
    return best


def _way_back(steps: Mapping[int, list[Step]], start: int) -> list[Step]:
    """Breadth first: the shortest way from start to itself, [] if there is none."""
    came: dict[int, Step] = {}
    waiting = deque([start])
    while waiting:
        for step in steps.get(waiting.popleft(), ()):
            if step.server == start:
                return [*_trace(came, start, step.conn), step]
            if step.server not in came:
                came[step.server] = step
                waiting.append(step.server)
    return []


def _trace(came: Mapping[int, Step], start: int, conn: int) -> list[Step]:
    way: list[Step] = []
    while conn != start:
        way.append(came[conn])
        conn = came[conn].conn
    return way[::-1]


def still(before: Mapping[int, list[Step]], now: Mapping[int, list[Step]]) -> dict[int, list[Step]]:
    """Of what was stuck in two pictures, those that wait in the very same operations.

    An operation is named by a ticket that no other ever has, so whoever waits in the same one twice
    has waited all the time between: the pictures, which were not taken in one moment, had a moment
    in which all of it was true. Whoever depends on one that moved is free again.
    """
    left = {
        conn: steps
        for conn, steps in now.items()
        if {s.wait.token for s in before.get(conn, ())} == {s.wait.token for s in steps}
    }
    while free := [conn for conn, s in left.items() if any(step.server not in left for step in s)]:
        for conn in free:
            del left[conn]
    return left


def waits_at(picture: Picture, chan_id: int) -> Iterator[tuple[Party, Wait]]:
    """Who waits at a channel, longest first."""
    found = [
        (party, wait)
        for party in picture.parties.values()
        for wait in party.waits
        if wait.chan_id == chan_id
    ]
    return iter(sorted(found, key=lambda one: -one[1].age_ns))
