"""P8: one send and one receive inside one process, buffered, one thread, nobody waits."""

from __future__ import annotations

import functools
import queue
import time
from collections.abc import Callable

from bench import loads
from bench.cases import programs
from bench.lab import Lab
from bench.model import Case, FailedError, Pin, Sample, Subject, Target
from bench.processes import Gate
from bench.transports import PAYLOAD

GRANULE = 1024

Pass = Callable[[], None]


def python_loop(key: str, prepare: Callable[[], Pass]) -> Callable[[Lab], Sample]:
    """Nanoseconds per pass of a Python callable, in its own process."""

    def worker(count: int, gate: Gate) -> loads.Span:
        once = prepare()
        gate()
        begin = time.monotonic_ns()
        for _ in range(count):
            once()
        return begin, time.monotonic_ns()

    def measure(lab: Lab) -> Sample:
        def trial(count: int) -> float:
            return loads.seconds(lab.workers([functools.partial(worker, count)]))

        count = lab.calibrated(key, GRANULE, trial)
        return Sample(trial(count) / count * 1e9)

    return measure


def simple_queue() -> Pass:
    channel: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def once() -> None:
        channel.put(PAYLOAD)
        channel.get()

    return once


def engine_channel() -> Pass:
    """Ours from Python: the in-process engine's channel."""
    from kcoro_ipc.engine import Engine

    sender, receiver = Engine().open_memory_channel(64)

    def once() -> None:
        sender.send_nowait(PAYLOAD)
        if receiver.receive_nowait() != PAYLOAD:
            raise FailedError("not the message that was sent")

    return once


def trio_channel() -> Pass:
    import trio

    sender, receiver = trio.open_memory_channel[bytes](64)

    def once() -> None:
        sender.send_nowait(PAYLOAD)
        receiver.receive_nowait()

    return once


P8 = Case(
    "P8",
    "send + receive in one process, buffered 64, one thread, nobody waits, 64 B",
    "ns",
    (
        Subject("floor (mutex and ring)", "floor", programs.native("bench_engine", "floor")),
        Subject("ours, C", "ours", programs.native("bench_engine", "ours")),
        Subject("ours, C, in a coroutine", "ours", programs.native("bench_handover", "pair")),
        Subject("Go", "peer", programs.go("bench_chan")),
        Subject("crossbeam", "peer", programs.crossbeam("pair")),
        Subject("kotlinx", "peer", programs.kotlinx("pair")),
        Subject("queue.SimpleQueue", "peer", python_loop("simple_queue", simple_queue)),
        Subject("trio memory channel", "peer", python_loop("trio_channel", trio_channel)),
        Subject("ours, Python", "ours", python_loop("engine_channel", engine_channel)),
    ),
    (
        Target("ours, C", "Go", 1.0, at_most=True),
        Target("ours, C, in a coroutine", "Go", 1.0, at_most=True),
    ),
    pins=(Pin.SAME,),
)
