"""Memory: what idle connections and parked receives cost the server, and what stays when they
leave.

Rounds on one server: N connections come, each parks one receive, then four more, all leave.
Figures are differences of resident memory divided by a count; of the rounds the dearest counts
(later rounds find pages that the first has paid for). One repetition: the rounds are inside.

Whether memory is flat, the crowds after the second say: what they add to the most that is ever
resident, for each connection that came. Not what is resident after a departure: an allocator gives
back the top of its heap or not, as luck will have it, and that is more than any leak looked for.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from bench import proc, raw
from bench.crowd import Crowd
from bench.lab import Lab
from bench.model import Case, FailedError, Pin, Role, Sample, Subject, Target
from bench.servers import Server

CONNECTIONS = 10_000
QUICK_CONNECTIONS = 2_000
FURTHER = 4  # 5 x 10,000 stay below the 65,536 that one uid may park
CHANNELS = 5  # 50,000 parked, at most 16,384 on one channel
ROUNDS = 9  # a stray 1 MiB arena of Python in 7 x 10,000 connections is 15 B each
SETTLED = 1  # the round from which on nothing is new
LEAVE_LIMIT_S = 20.0

Figures = dict[str, float]


def figures(lab: Lab, name: str) -> Figures:
    """All figures of one server, found once per lab."""
    return lab.kept(f"memory of {name}", lambda: _rounds(lab, lab.server(name)))


def _rounds(lab: Lab, server: Server) -> Figures:
    count = QUICK_CONNECTIONS if lab.settings.quick else CONNECTIONS
    names = [lab.fresh("crowd") for _ in range(CHANNELS)]
    # The kernel accepts as soon as a server listens; only an answer tells that it has opened all it
    # opens at start, which the count of descriptors below relies on.
    raw.Link(server.path).close()
    rounds = [_round(server, names, count) for _ in range(ROUNDS)]
    dearest = {key: max(each[key] for each in rounds) for key in rounds[0]}
    kept = (rounds[0]["after"] - rounds[0]["before"]) / count
    growth = (rounds[-1]["most"] - rounds[SETTLED]["most"]) / count / (ROUNDS - 1 - SETTLED)
    return {**dearest, "kept": kept, "growth": growth}


def _round(server: Server, names: list[str], count: int) -> Figures:
    before, others = proc.resident_bytes(server.pid), proc.descriptors(server.pid)
    with Crowd(server.path) as crowd:
        for name in names:
            crowd.join(count // CHANNELS, name)
        idle = proc.resident_bytes(server.pid)
        crowd.park()
        parked = proc.resident_bytes(server.pid)
        crowd.park(first=3, each=FURTHER)
        further = proc.resident_bytes(server.pid)
    return {
        "before": before,
        "connection": (idle - before) / count,
        "waiter": (parked - idle) / count,
        "further": (further - parked) / count / FURTHER,
        "most": further,
        "after": _after_departure(server, others),
    }


def _after_departure(server: Server, others: int) -> float:
    """Resident memory when the server has closed what its clients have closed."""
    deadline = time.monotonic() + LEAVE_LIMIT_S
    while proc.descriptors(server.pid) > others:
        if time.monotonic() > deadline:
            raise FailedError(f"connections are open {LEAVE_LIMIT_S:g} s after their clients left")
        time.sleep(0.01)
    return proc.resident_bytes(server.pid)


def one(server: str, figure: str) -> Callable[[Lab], Sample]:
    return lambda lab: Sample(figures(lab, server)[figure])


def _subjects() -> tuple[Subject, ...]:
    rows = {
        "idle connection": "connection",
        "parked receive, the first of a connection": "waiter",
        "parked receive, each further one": "further",
        "kept per connection after all left": "kept",
        "growth per further connection": "growth",
    }
    roles: tuple[Role, ...] = ("floor", "ours")
    return tuple(
        Subject(f"{role}: {row}", role, one(role, figure))
        for row, figure in rows.items()
        for role in roles
    )


MEMORY = Case(
    "memory",
    f"resident memory of the server, {CONNECTIONS:,} connections with parked receives",
    "B",
    _subjects(),
    (
        Target("ours: idle connection", None, 16 * 1024, at_most=True),
        Target("ours: parked receive, the first of a connection", None, 256, at_most=True),
        Target("ours: parked receive, each further one", None, 256, at_most=True),
        Target("ours: growth per further connection", None, 16, at_most=True),
    ),
    pins=(Pin.FREE,),
    max_repetitions=1,
)
