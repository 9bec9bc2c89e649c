"""P10: one switch of stacks, registers and control bits of floating point kept; and, beside what
others have, with a scheduler in between. crossbeam has no coroutines to switch."""

from __future__ import annotations

from bench.cases import programs
from bench.model import Case, Pin, Subject, Target

P10 = Case(
    "P10",
    "one switch of stacks, there and back again in one thread",
    "ns",
    (
        Subject("ours, between two loops", "ours", programs.native("bench_switch", "ours")),
        Subject("ours, two functions deep", "ours", programs.native("bench_switch", "deep")),
        Subject("ours, kc_co_yield", "ours", programs.native("bench_handover", "yield")),
        Subject("swapcontext", "peer", programs.native("bench_switch", "swapcontext")),
        Subject("Go, Gosched", "peer", programs.go("bench_gosched")),
        Subject("kotlinx, yield", "peer", programs.kotlinx("yield")),
    ),
    (
        Target("ours, between two loops", None, 10.0, at_most=True),
        Target("ours, between two loops", "swapcontext", 0.1, at_most=True),
        Target("ours, between two loops", "Go, Gosched", 0.5, at_most=True),
    ),
    pins=(Pin.SAME,),
)
