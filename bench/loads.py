"""The work of P1 to P4, written once for every blocking client.

A load says who does what in which process; the client is a Transport. Each returns seconds (or
round-trip times) measured between the gate's opening and the last worker's end, by
CLOCK_MONOTONIC, which all processes share. Every message is counted: senders send exactly
`count`, receivers return only when exactly `count` have come.
"""

from __future__ import annotations

import functools
import time
from array import array
from collections.abc import Callable

from bench.lab import Lab
from bench.model import Sample
from bench.processes import Gate
from bench.transports import Many, One, Transport

MakeTransport = Callable[[], Transport]
Span = tuple[int, int]  # begin and end, ns

PRODUCERS = CONSUMERS = 4
WARM_ROUNDS = 16
BATCH = 512
DEPTH = 2  # batches in flight, so that producer, broker and consumer work at the same time
PING_GRANULE = 64
CALL_GRANULE = 256
WINDOW_GRANULE = 1024  # four times 64 in flight, four producers
BATCH_GRANULE = 8 * BATCH


def seconds(spans: list[Span]) -> float:
    return (max(end for _, end in spans) - min(begin for begin, _ in spans)) / 1e9


def rate(lab: Lab, key: str, granule: int, trial: Callable[[int], float]) -> Sample:
    """Messages per second of one repetition of a load that takes a count."""
    count = lab.calibrated(key, granule, trial)
    return Sample(count / trial(count), {"messages": count})


# ---- P1: ping-pong ----


def ping_pong(lab: Lab, key: str, make: MakeTransport) -> Sample:
    """p50 of the round trip, microseconds: two messages, four replied calls, two processes."""
    return round_trips(lab, key, functools.partial(_ping_trial, lab, make))


def round_trips(lab: Lab, key: str, trial: Callable[[int], array[int]]) -> Sample:
    count = lab.calibrated(key, PING_GRANULE, lambda rounds: sum(trial(rounds)) / 1e9)
    times = sorted(trial(count))
    p50, p99 = times[len(times) // 2] / 1e3, times[len(times) * 99 // 100] / 1e3
    return Sample(p50, {"p99_us": p99, "rounds": len(times)})


def _ping_trial(lab: Lab, make: MakeTransport, rounds: int) -> array[int]:
    ping, pong = lab.fresh("ping"), lab.fresh("pong")

    def caller(gate: Gate) -> array[int]:
        transport = make()
        send, receive = transport.sender(ping), transport.receiver(pong)
        gate()
        return timed_rounds(send, receive, rounds)

    def echo(gate: Gate) -> None:
        transport = make()
        receive, send = transport.receiver(ping), transport.sender(pong)
        gate()
        for _ in range(rounds + WARM_ROUNDS):
            receive()
            send()

    times: array[int] = lab.workers([caller, echo])[0]
    return times


def timed_rounds(send: One, receive: One, rounds: int) -> array[int]:
    clock, times = time.monotonic_ns, array("q", bytes(8 * rounds))
    for _ in range(WARM_ROUNDS):
        send()
        receive()
    for i in range(rounds):
        begin = clock()
        send()
        receive()
        times[i] = clock() - begin
    return times


# ---- P2, P3, P4: streams through one channel ----


def calls(lab: Lab, key: str, make: MakeTransport) -> Sample:
    """P3, messages per second: 4 producers, 4 consumers, one call per message."""

    def ends(transport: Transport, channel: str, sends: bool) -> Many:
        return one_by_one(transport.sender(channel) if sends else transport.receiver(channel))

    trial = functools.partial(_stream_trial, lab, make, ends, PRODUCERS)
    return rate(lab, key, CALL_GRANULE, trial)


def windows(lab: Lab, key: str, make: MakeTransport) -> Sample:
    """P2, messages per second: 4 producers, 4 consumers, 64 replied requests in flight each."""

    def ends(transport: Transport, channel: str, sends: bool) -> Many:
        return transport.pusher(channel) if sends else transport.puller(channel)

    trial = functools.partial(_stream_trial, lab, make, ends, PRODUCERS)
    return rate(lab, key, WINDOW_GRANULE, trial)


def batches(lab: Lab, key: str, make: MakeTransport, pairs: int, size: int, depth: int) -> Sample:
    """P2 batched (4 pairs, 64, one in flight) and P4 (1 pair, BATCH, DEPTH), messages a second."""

    def ends(transport: Transport, channel: str, sends: bool) -> Many:
        open_end = transport.batch_pusher if sends else transport.batch_puller
        return open_end(channel, size, depth)

    trial = functools.partial(_stream_trial, lab, make, ends, pairs)
    return rate(lab, key, BATCH_GRANULE, trial)


Ends = Callable[[Transport, str, bool], Many]


def _stream_trial(lab: Lab, make: MakeTransport, ends: Ends, pairs: int, count: int) -> float:
    channel = lab.fresh("stream")

    def worker(sends: bool, gate: Gate) -> Span:
        move = ends(make(), channel, sends)
        gate()
        begin = time.monotonic_ns()
        move(count // pairs)
        return begin, time.monotonic_ns()

    workers = [functools.partial(worker, i < pairs) for i in range(2 * pairs)]
    return seconds(lab.workers(workers))


def one_by_one(call: One) -> Many:
    def run(count: int) -> None:
        for _ in range(count):
            call()

    return run
