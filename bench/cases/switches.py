"""P10: one switch of stacks, registers and control bits of floating point kept."""

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
        Subject("swapcontext", "peer", programs.native("bench_switch", "swapcontext")),
        Subject("Go, Gosched", "peer", programs.go("bench_gosched")),
    ),
    (
        Target("ours, between two loops", None, 10.0, at_most=True),
        Target("ours, between two loops", "swapcontext", 0.1, at_most=True),
        Target("ours, between two loops", "Go, Gosched", 0.5, at_most=True),
    ),
    pins=(Pin.SAME,),
)
