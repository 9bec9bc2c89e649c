"""The cases of docs/PERFORMANCE.md, in the order in which they are run."""

from __future__ import annotations

from bench.cases import (
    coroutines,
    engine,
    frames,
    handovers,
    idle,
    independent,
    memory,
    payloads,
    scale,
    start,
    streams,
    switches,
)
from bench.model import Case


def all_cases() -> tuple[Case, ...]:
    return (
        *streams.CASES,
        *payloads.CASES,
        *handovers.CASES,
        engine.P8,
        frames.P9,
        frames.PUMP,
        switches.P10,
        *coroutines.CASES,
        *independent.CASES,
        memory.MEMORY,
        idle.IDLE,
        *scale.CASES,
        *start.CASES,
    )
