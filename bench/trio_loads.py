"""P1 to P4 for kcoro_ipc's trio client as its users have it: one client and one channel per
process.

The gate blocks the whole process on purpose: nothing else runs in it yet. Streams use send_many and
receive_many; P1 and P3 use send and receive.
"""

from __future__ import annotations

import functools
import time
from array import array
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from bench import loads, raw
from bench.lab import Lab
from bench.model import FailedError, Sample
from bench.processes import Gate
from bench.transports import BATCH_CAPACITY, CAPACITY, PAYLOAD
from bench.users import check

if TYPE_CHECKING:
    from kcoro_ipc.client import Channel

Move = Callable[["Channel", int], Awaitable[None]]


def ping_pong(lab: Lab) -> Sample:
    return loads.round_trips(lab, "trio ping", functools.partial(_ping_trial, lab))


def calls(lab: Lab) -> Sample:
    trial = functools.partial(_stream_trial, lab, _send, _receive, loads.PRODUCERS, CAPACITY)
    return loads.rate(lab, "trio calls", loads.CALL_GRANULE, trial)


def windows(lab: Lab) -> Sample:
    push = functools.partial(_send_many, raw.WINDOW)
    pull = functools.partial(_receive_many, raw.WINDOW)
    trial = functools.partial(_stream_trial, lab, push, pull, loads.PRODUCERS, CAPACITY)
    return loads.rate(lab, "trio windows", loads.WINDOW_GRANULE, trial)


def batches(lab: Lab) -> Sample:
    push = functools.partial(_send_many, loads.BATCH)
    pull = functools.partial(_receive_many, loads.BATCH)
    trial = functools.partial(_stream_trial, lab, push, pull, 1, BATCH_CAPACITY)
    return loads.rate(lab, "trio batches", loads.BATCH_GRANULE, trial)


def _ping_trial(lab: Lab, rounds: int) -> array[int]:
    import trio

    path = lab.server("ours").path
    ping, pong = lab.fresh("ping"), lab.fresh("pong")
    caller = functools.partial(trio_run, trio.run, _caller, path, ping, pong, rounds)
    echo = functools.partial(trio_run, trio.run, _echo, path, ping, pong, rounds)
    times: array[int] = lab.workers([caller, echo])[0]
    return times


def trio_run(run: Callable[..., object], body: Callable[..., object], *rest: object) -> object:
    """Gives the gate, which comes last, to an async worker as its first argument."""
    *arguments, gate = rest
    return run(body, gate, *arguments)


async def _caller(gate: Gate, path: str, ping: str, pong: str, rounds: int) -> array[int]:
    import kcoro_ipc

    times = array("q", bytes(8 * rounds))
    async with kcoro_ipc.open_client(f"stream:{path}") as client:
        out = await client.open_channel(ping, kind="buffered", capacity=CAPACITY)
        back = await client.open_channel(pong, kind="buffered", capacity=CAPACITY)
        gate()
        for i in range(-loads.WARM_ROUNDS, rounds):
            begin = time.monotonic_ns()
            await out.send(PAYLOAD)
            await back.receive()
            if i >= 0:
                times[i] = time.monotonic_ns() - begin
    return times


async def _echo(gate: Gate, path: str, ping: str, pong: str, rounds: int) -> None:
    import kcoro_ipc

    async with kcoro_ipc.open_client(f"stream:{path}") as client:
        back = await client.open_channel(ping, kind="buffered", capacity=CAPACITY)
        out = await client.open_channel(pong, kind="buffered", capacity=CAPACITY)
        gate()
        for _ in range(rounds + loads.WARM_ROUNDS):
            await out.send(await back.receive())


def _stream_trial(lab: Lab, push: Move, pull: Move, pairs: int, capacity: int, count: int) -> float:
    import trio

    path, channel = lab.server("ours").path, lab.fresh("stream")
    arguments = (path, channel, capacity, count // pairs)
    producer = functools.partial(trio_run, trio.run, _move, push, *arguments)
    consumer = functools.partial(trio_run, trio.run, _move, pull, *arguments)
    return loads.seconds(lab.workers([producer] * pairs + [consumer] * pairs))


async def _move(
    gate: Gate, move: Move, path: str, channel: str, capacity: int, count: int
) -> loads.Span:
    import kcoro_ipc

    async with kcoro_ipc.open_client(f"stream:{path}") as client:
        end = await client.open_channel(channel, kind="buffered", capacity=capacity)
        gate()
        begin = time.monotonic_ns()
        await move(end, count)
        return begin, time.monotonic_ns()


async def _send(end: Channel, count: int) -> None:
    for _ in range(count):
        await end.send(PAYLOAD)


async def _receive(end: Channel, count: int) -> None:
    for _ in range(count):
        check(await end.receive())


async def _send_many(size: int, end: Channel, count: int) -> None:
    batch = [PAYLOAD] * size
    for _ in range(count // size):
        if await end.send_many(batch) != size:
            raise FailedError("send_many settled a part only")


async def _receive_many(size: int, end: Channel, count: int) -> None:
    while count:
        batch = await end.receive_many(min(size, count))
        check(batch[-1])
        count -= len(batch)
