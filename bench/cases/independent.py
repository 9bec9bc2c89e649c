"""Pairs of coroutines, each with a channel of its own: what one worker more brings.

Channels of coroutines have a lock each, so workers on different channels need not meet. "one
engine" is ours with all channels under one engine's lock: what it was like before. Ratios are told,
none is judged. Every program compares count and sum of what each pair sent and received.
"""

from __future__ import annotations

from bench.cases import programs
from bench.model import Case, Pin, Subject

PAIRS = 16
MODES = {"rendezvous": "rendezvous", "buffered": "buffered 64"}
OURS, SHARED, GO = "ours", "ours, one engine", "Go"


def workers(count: int) -> str:
    return f"{count} worker{'s' if count > 1 else ''}"


def _subjects(mode: str) -> tuple[Subject, ...]:
    def words(kind: str, count: int) -> tuple[str, ...]:
        return kind, str(PAIRS), str(count), "rate"

    def ours(name: str, kind: str, count: int) -> Subject:
        measure = programs.native("bench_independent", *words(kind, count))
        return Subject(f"{name}, {workers(count)}", "ours", measure)

    def peer(count: int) -> Subject:
        measure = programs.go("bench_independent", *words(mode, count))
        return Subject(f"{GO}, {workers(count)}", "peer", measure)

    both = (1, 2)
    return (
        *(ours(OURS, mode, count) for count in both),
        *(ours(SHARED, f"shared-{mode}", count) for count in both),
        *(peer(count) for count in both),
        Subject("crossbeam (threads)", "peer", programs.crossbeam(*words(mode, 2))),
    )


def _beside() -> tuple[tuple[str, str], ...]:
    one, two = workers(1), workers(2)
    scaled = tuple((f"{name}, {two}", f"{name}, {one}") for name in (OURS, SHARED, GO))
    compared = tuple((f"{OURS}, {w}", f"{name}, {w}") for name in (GO, SHARED) for w in (one, two))
    return (*scaled, *compared)


def rate(mode: str, title: str) -> Case:
    return Case(
        f"independent-{mode}",
        f"{PAIRS} pairs of coroutines, each with its own channel, {title}, 64 B: all together",
        "msg/s",
        _subjects(mode),
        pins=(Pin.FREE,),
        lower_is_better=False,
        beside=_beside(),
    )


def _share(name: str, kind: str) -> Subject:
    measure = programs.native("bench_independent", kind, str(PAIRS), "2", "share")
    return Subject(name, "ours", measure)


SHARE = Case(
    "independent-share",
    "of a hundred such messages, how many the worker sent that sent fewer (half would be even)",
    "%",
    tuple(_share(f"{OURS}, {title}", mode) for mode, title in MODES.items()),
    pins=(Pin.FREE,),
    lower_is_better=False,
)

CASES = (*(rate(mode, title) for mode, title in MODES.items()), SHARE)
