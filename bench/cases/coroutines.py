"""What coroutines cost apart from channels: making, waiting, spreading over workers, timers.

All beside Go alone: crossbeam has no coroutines, and those of kotlinx are objects on a heap that is
collected, of which a process does not say what one takes.
"""

from __future__ import annotations

from bench.cases import programs
from bench.model import Case, Pin, Subject, Target

SPAWN = Case(
    "spawn",
    "a coroutine that does nothing: made, run, ended; groups of 64, one processor",
    "ns",
    (
        Subject("ours, C", "ours", programs.native("bench_tasks", "spawn")),
        Subject("Go", "peer", programs.go("bench_tasks", "spawn")),
    ),
    (Target("ours, C", "Go", 1.0, at_most=True),),
    pins=(Pin.SAME,),
)

PARKED = Case(
    "parked",
    "memory of a coroutine that waits, of 10,000",
    "B",
    (
        Subject("ours, parked by itself", "ours", programs.native("bench_parked", "park")),
        Subject("ours, in a receive", "ours", programs.native("bench_parked", "recv")),
        Subject("ours, tables of pages beside", "ours", programs.native("bench_parked", "tables")),
        Subject("Go, in a receive", "peer", programs.go("bench_parked", "recv")),
        Subject("Go, tables of pages beside", "peer", programs.go("bench_parked", "tables")),
    ),
    (
        Target("ours, parked by itself", None, 4.5 * 1024, at_most=True),
        Target("ours, in a receive", None, 4.5 * 1024, at_most=True),
    ),
    pins=(Pin.SAME,),
)

SPREAD = Case(
    "steal",
    "a task of 256 steps; groups of 1,024 made in one worker's queue, all processors",
    "ns",
    (
        Subject("ours, C", "ours", programs.native("bench_tasks", "spread")),
        Subject("Go", "peer", programs.go("bench_tasks", "spread")),
    ),
    (Target("ours, C", "Go", 1.0, at_most=True),),
    pins=(Pin.FREE, Pin.SAME),
)

STOLEN = Case(
    "steal-share",
    "of a hundred such tasks, how many another worker took (half would be even)",
    "%",
    (Subject("ours, C", "ours", programs.native("bench_tasks", "stolen")),),
    pins=(Pin.FREE,),
    lower_is_better=False,
)


def timers(mode: str, title: str) -> Case:
    return Case(
        f"timers-{mode}",
        f"a timer armed and cancelled, {title}",
        "ns",
        (
            Subject("ours, C", "ours", programs.native("bench_timer", mode)),
            Subject("Go", "peer", programs.go("bench_timer", mode)),
        ),
        (Target("ours, C", "Go", 1.0, at_most=True),),
        pins=(Pin.SAME,),
    )


CASES = (
    SPAWN,
    PARKED,
    SPREAD,
    STOLEN,
    timers("alone", "no other stands"),
    timers("among", "10,000 others stand"),
)
