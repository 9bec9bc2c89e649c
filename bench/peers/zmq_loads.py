"""P1 and P2 for pyzmq through zmq.proxy. Its sends are not replied, and PUSH deals messages to
whoever is connected, so the consumers share one counter per process in a common mapping and stop
when all have come.
"""

from __future__ import annotations

import functools
import importlib
import mmap
import struct
import time
from array import array
from typing import Any

from bench import loads
from bench.lab import Lab
from bench.model import FailedError, Sample
from bench.processes import Gate
from bench.transports import PAYLOAD

zmq: Any = importlib.import_module("zmq")  # a peer: not there where we are type-checked

COUNTER = struct.Struct("=Q")
PATIENCE_S = 15.0
LINGER_MS = 5000  # what was sent goes out before a worker ends


def end(kind: int, path: str) -> Any:
    made = zmq.Context.instance().socket(kind)
    made.connect(f"ipc://{path}")
    return made


def leave() -> None:
    """Sends what is queued and says good-bye: a proxy deals messages to those it believes alive."""
    zmq.Context.instance().destroy(linger=LINGER_MS)


def ping_pong(lab: Lab) -> Sample:
    """As loads.ping_pong, without replies to sends."""
    return loads.round_trips(lab, "zmq ping", functools.partial(_ping_trial, lab))


def _ping_trial(lab: Lab, rounds: int) -> array[int]:
    path = lab.server("zmq").path

    def caller(gate: Gate) -> array[int]:
        out, back = end(zmq.PUSH, f"{path}.0.in"), end(zmq.PULL, f"{path}.1.out")
        gate()
        times = loads.timed_rounds(lambda: out.send(PAYLOAD), back.recv, rounds)
        leave()
        return times

    def echo(gate: Gate) -> None:
        back, out = end(zmq.PULL, f"{path}.0.out"), end(zmq.PUSH, f"{path}.1.in")
        gate()
        for _ in range(rounds + loads.WARM_ROUNDS):
            out.send(back.recv())
        leave()

    times: array[int] = lab.workers([caller, echo])[0]
    return times


def stream(lab: Lab) -> Sample:
    """Messages per second, 4 producers, 4 consumers, one send call per message, no replies."""
    trial = functools.partial(_stream_trial, lab)
    return loads.rate(lab, "zmq stream", loads.WINDOW_GRANULE, trial)


def _stream_trial(lab: Lab, count: int) -> float:
    path = lab.server("zmq").path
    pairs = loads.PRODUCERS
    with mmap.mmap(-1, COUNTER.size * pairs) as counters:
        consumers = [functools.partial(_consume, path, counters, i, count) for i in range(pairs)]
        producers = [functools.partial(_produce, path, counters, count)] * pairs
        return loads.seconds(lab.workers([*producers, *consumers]))


def _produce(path: str, counters: mmap.mmap, total: int, gate: Gate) -> loads.Span:
    out = end(zmq.PUSH, f"{path}.0.in")
    gate()
    begin = time.monotonic_ns()
    for _ in range(total // loads.PRODUCERS):
        out.send(PAYLOAD)
    sent = time.monotonic_ns()
    _await_all(counters, total)
    leave()
    return begin, sent


def _consume(path: str, counters: mmap.mmap, index: int, total: int, gate: Gate) -> loads.Span:
    back = end(zmq.PULL, f"{path}.0.out")
    gate()
    begin = last = time.monotonic_ns()
    mine = 0
    while _sum(counters) < total:
        if not back.poll(5):
            if time.monotonic_ns() - last > PATIENCE_S * 1e9:
                raise FailedError(f"{_sum(counters)} of {total} messages came")
            continue
        mine += _drain(back)
        COUNTER.pack_into(counters, index * COUNTER.size, mine)
        last = time.monotonic_ns()
    leave()
    return begin, last


def _await_all(counters: mmap.mmap, total: int) -> None:
    """Stays: a producer that leaves while the proxy is full loses what was not read."""
    deadline = time.monotonic() + PATIENCE_S
    while _sum(counters) < total and time.monotonic() < deadline:
        time.sleep(0.002)


def _drain(back: Any) -> int:
    """Takes what is there, up to 256 messages."""
    for taken in range(256):
        try:
            back.recv(zmq.DONTWAIT)
        except zmq.Again:
            return taken
    return 256


def _sum(counters: mmap.mmap) -> int:
    return sum(value for (value,) in COUNTER.iter_unpack(counters[:]))
