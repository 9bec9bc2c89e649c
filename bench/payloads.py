"""The work of P5 and P6: large payloads from one process to another, whatever carries them.

A Carrier opens both ends; each end is a Many, which moves n messages. P5 (`touch`): the producer
writes one word, the consumer reads a word of every page. P6 (`whole`): the producer fills the
payload, the consumer sums it. Both use NumPy, alike for all, and the sum that the consumer
compares contains the message's number: a payload that is lost, repeated, stale or torn fails the
subject. Both ends are warm before the gate opens: memory is mapped, and its pages are there.

Messages are numbered from 1; payloads are whole pages, at first zero.
"""

from __future__ import annotations

import functools
import importlib
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from bench import loads, proc
from bench.lab import Lab
from bench.model import FailedError, Sample
from bench.processes import Gate
from bench.transports import Many

PAGE_WORDS = 4096 // 8
WORD_BYTES = 8
WORD = (1 << 64) - 1
GROUP = 64  # messages in a batch
WARM_BATCHES = 4

Put = Callable[[Any, int], None]


@dataclass(frozen=True)
class Work:
    """What both ends do with a payload, given as a buffer, and its number."""

    name: str
    put: Put
    check: Put


def numpy() -> Any:
    """The cases make sure that it is there."""
    return importlib.import_module("numpy")


def words(buffer: Any) -> Any:
    """The payload as an array of words."""
    return numpy().frombuffer(buffer, "u8")


def touch() -> Work:
    frombuffer, total, word = numpy().frombuffer, numpy().add.reduce, numpy().uint64

    def put(buffer: Any, number: int) -> None:
        frombuffer(buffer, word, 1)[0] = number

    def check(buffer: Any, number: int) -> None:
        expect(total(frombuffer(buffer, word)[::PAGE_WORDS]), number)

    return Work("touch", put, check)


def whole() -> Work:
    frombuffer, total, word = numpy().frombuffer, numpy().add.reduce, numpy().uint64

    def put(buffer: Any, number: int) -> None:
        frombuffer(buffer, word).fill(number)

    def check(buffer: Any, number: int) -> None:
        found = frombuffer(buffer, word)
        expect(total(found), number * len(found) & WORD)

    return Work("whole", put, check)


def nothing() -> Work:
    """For what the daemon alone costs: nobody looks at a payload."""
    return Work("nothing", lambda _buffer, _number: None, lambda _buffer, _number: None)


def expect(found: Any, wanted: int) -> None:
    if found != wanted:
        raise FailedError(f"a payload came with the sum {found}, not {wanted}")


@dataclass(frozen=True)
class Plan:
    """One load: what is done with payloads of which size, and how many may be under way."""

    work: Work
    size: int
    depth: int
    group: int = 1  # messages in a batch, in which counts come

    @property
    def warm(self) -> int:
        """How many are moved before the gate opens."""
        return self.group * WARM_BATCHES if self.group > 1 else self.depth * 2


class Carrier(Protocol):
    """One way for payloads from process to process.

    Made before the processes are, and closed after them; `producer` and `consumer` are called in
    theirs, each once.
    """

    def producer(self, plan: Plan) -> Many: ...
    def consumer(self, plan: Plan) -> Many: ...
    def leave(self) -> None: ...


MakeCarrier = Callable[[Lab, Plan], AbstractContextManager[Carrier]]


def bytes_per_second(lab: Lab, key: str, make: MakeCarrier, plan: Plan) -> Sample:
    """GB/s from the gate to the last end."""
    trial = functools.partial(_trial, lab, make, plan)
    sample = loads.rate(lab, f"{key} {plan.work.name} {plan.size}", plan.group, trial)
    return Sample(sample.value * plan.size / 1e9, sample.extra)


def daemon_seconds(lab: Lab, key: str, make: MakeCarrier, plan: Plan) -> Sample:
    """CPU time of our daemon, microseconds per message."""
    pid = lab.server("ours").pid
    trial = functools.partial(_trial, lab, make, plan)
    count = lab.calibrated(f"{key} {plan.work.name} {plan.size}", plan.group, trial)
    before = proc.cpu_ns(pid)
    trial(count)
    spent = (proc.cpu_ns(pid) - before) / (count + plan.warm)
    return Sample(spent / 1e3, {"s_per_GB": spent / plan.size, "messages": count})


def _trial(lab: Lab, make: MakeCarrier, plan: Plan, count: int) -> float:
    over_read, over_write = os.pipe()

    def produce(carrier: Carrier, gate: Gate) -> loads.Span:
        span = _timed(carrier.producer(plan), plan.warm, count, gate)
        os.close(over_write)
        os.read(over_read, 1)  # what it sent may live with it
        carrier.leave()
        return span

    def consume(carrier: Carrier, gate: Gate) -> loads.Span:
        try:
            return _timed(carrier.consumer(plan), plan.warm, count, gate)
        finally:
            os.write(over_write, b"o")
            carrier.leave()

    try:
        with make(lab, plan) as carrier:
            workers = [functools.partial(end, carrier) for end in (consume, produce)]
            return loads.seconds(lab.workers(workers))
    finally:
        os.close(over_read)
        os.close(over_write)


def _timed(move: Many, warm: int, count: int, gate: Gate) -> loads.Span:
    move(warm)
    gate()
    begin = time.monotonic_ns()
    move(count)
    return begin, time.monotonic_ns()
