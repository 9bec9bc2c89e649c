"""P7: a message from one coroutine to another in one process; somebody always waits."""

from __future__ import annotations

from bench.cases import programs
from bench.model import Case, Pin, Subject, Target

# Each mode's title, and the ratio to Go that ours must reach.
MODES = {
    "rendezvous": ("hand-over between coroutines, rendezvous, 64 B", 0.5),
    "buffered": ("hand-over between coroutines, buffered 64, 64 B", 0.8),
    "select": ("hand-over between coroutines, select of 2 rendezvous, 64 B", 0.8),
}


def case(mode: str, title: str, ratio: float) -> Case:
    return Case(
        f"P7-{mode}",
        title,
        "ns",
        (
            Subject("ours, C", "ours", programs.native("bench_handover", mode)),
            Subject("Go", "peer", programs.go("bench_handover", mode)),
            Subject("crossbeam (threads)", "peer", programs.crossbeam(mode)),
            Subject("kotlinx", "peer", programs.kotlinx(mode)),
        ),
        (Target("ours, C", "Go", ratio, at_most=True),),
        pins=(Pin.SAME,),
    )


CASES = tuple(case(mode, *words) for mode, words in MODES.items())
