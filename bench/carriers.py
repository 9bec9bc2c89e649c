"""What can carry a large payload without a peer's package: ours, shared_memory with a Pipe, a
socket; and the floor, memory that nobody hands over.

Each is a Carrier of payloads.py. All but the floor have `depth` payloads under way at most.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count as numbers
from itertools import cycle, islice
from multiprocessing import Pipe
from multiprocessing.shared_memory import SharedMemory
from typing import TYPE_CHECKING, Any

from bench.lab import Lab
from bench.payloads import GROUP, Plan
from bench.transports import Many, in_blocks

if TYPE_CHECKING:
    from kcoro_ipc.blocking import Channel, Client

POOL_BYTES = 1 << 30


class Stays:
    """A carrier whose processes may simply end."""

    def leave(self) -> None:
        pass


class Ours(Stays):
    """Loans and leases of the blocking client, one by one or in batches."""

    def __init__(self, path: str, channel: str) -> None:
        self._path = path
        self._channel = channel

    def _open(self, plan: Plan) -> tuple[Client, Channel]:
        from kcoro_ipc import blocking

        client = blocking.open_client(f"stream:{self._path}", inline_below=None)
        client.__enter__()  # the worker process ends with its connection
        # One more is being written, and one read.
        capacity = max(1, plan.depth - 2 * plan.group)
        return client, client.open_channel(self._channel, kind="buffered", capacity=capacity)

    def producer(self, plan: Plan) -> Many:
        client, channel = self._open(plan)
        return (
            _batches_out(client, channel, plan) if plan.group > 1 else _out(client, channel, plan)
        )

    def consumer(self, plan: Plan) -> Many:
        client, channel = self._open(plan)
        return _batches_in(client, channel, plan) if plan.group > 1 else _in(channel, plan)


def _out(client: Client, channel: Channel, plan: Plan) -> Many:
    put, size, number = plan.work.put, plan.size, numbers(1)

    def run(count: int) -> None:
        for _ in range(count):
            with client.loan(size) as block:
                put(block, next(number))
                channel.send(block)

    return run


def _in(channel: Channel, plan: Plan) -> Many:
    check, number = plan.work.check, numbers(1)

    def run(count: int) -> None:
        for _ in range(count):
            with channel.receive_lease() as data:
                check(data, next(number))

    return run


def _batches_out(client: Client, channel: Channel, plan: Plan) -> Many:
    put, size, number = plan.work.put, plan.size, numbers(1)

    def batch() -> None:
        blocks = [client.loan(size).__enter__() for _ in range(GROUP)]
        for block in blocks:
            put(block, next(number))
        channel.send_many(blocks)

    return in_blocks(batch, GROUP)


def _batches_in(client: Client, channel: Channel, plan: Plan) -> Many:
    check, number = plan.work.check, numbers(1)

    def run(count: int) -> None:
        while count:
            leases = channel.receive_many(min(GROUP, count), lease=True)
            for lease in leases:
                check(lease.data, next(number))
            client.release(*leases)
            count -= len(leases)

    return run


@contextmanager
def ours(lab: Lab, _plan: Plan) -> Iterator[Ours]:
    yield Ours(lab.server("ours").path, lab.fresh("payload"))


class Slots(Stays):
    """multiprocessing.shared_memory, mapped once, and Pipes with slot numbers there and back."""

    def __init__(self, memory: SharedMemory) -> None:
        self._memory = memory
        self._there = Pipe(duplex=False)
        self._back = Pipe(duplex=False)

    def _slots(self, plan: Plan) -> list[memoryview]:
        whole = self._memory.buf
        assert whole is not None
        return [whole[i * plan.size : (i + 1) * plan.size] for i in range(plan.depth)]

    def producer(self, plan: Plan) -> Many:
        put, slots, number = plan.work.put, self._slots(plan), numbers(1)
        free = deque(range(plan.depth))
        send, returned = self._there[1].send_bytes, self._back[0].recv_bytes

        def run(count: int) -> None:
            for _ in range(count):
                slot = free.popleft() if free else returned()[0]
                put(slots[slot], next(number))
                send(slot.to_bytes())

        return run

    def consumer(self, plan: Plan) -> Many:
        check, slots, number = plan.work.check, self._slots(plan), numbers(1)
        receive, give_back = self._there[0].recv_bytes, self._back[1].send_bytes

        def run(count: int) -> None:
            for _ in range(count):
                slot = receive()
                check(slots[slot[0]], next(number))
                give_back(slot)

        return run


@contextmanager
def shared_memory(_lab: Lab, plan: Plan) -> Iterator[Slots]:
    memory = SharedMemory(create=True, size=plan.depth * plan.size)
    try:
        yield Slots(memory)
    finally:
        memory.close()
        memory.unlink()


class SocketCopy(Stays):
    """A Unix stream socket: every byte is copied into the kernel and out of it."""

    def __init__(self) -> None:
        self._near, self._far = socket.socketpair()

    def producer(self, plan: Plan) -> Many:
        put, payload, number = plan.work.put, bytearray(plan.size), numbers(1)
        send = self._near.sendall

        def run(count: int) -> None:
            for _ in range(count):
                put(payload, next(number))
                send(payload)

        return run

    def consumer(self, plan: Plan) -> Many:
        check, payload, number = plan.work.check, bytearray(plan.size), numbers(1)
        view, receive = memoryview(payload), self._far.recv_into

        def run(count: int) -> None:
            for _ in range(count):
                got = 0
                while got < plan.size:
                    got += receive(view[got:])
                check(payload, next(number))

        return run


@contextmanager
def socket_copy(_lab: Lab, _plan: Plan) -> Iterator[SocketCopy]:
    made = SocketCopy()
    try:
        yield made
    finally:
        made._near.close()
        made._far.close()


class Memory(Stays):
    """Both ends do their work, each in its own memory; nothing is handed over."""

    def producer(self, plan: Plan) -> Many:
        return _in_turn(plan.work.put, _own(plan))

    def consumer(self, plan: Plan) -> Many:
        slots = _own(plan)
        for payload, number in slots:
            plan.work.put(payload, number)
        return _in_turn(plan.work.check, slots)


def _own(plan: Plan) -> list[tuple[bytearray, int]]:
    return [(bytearray(plan.size), number) for number in range(1, plan.depth + 1)]


def _in_turn(do: Any, slots: list[tuple[bytearray, int]]) -> Many:
    turn = cycle(slots)

    def run(count: int) -> None:
        for payload, number in islice(turn, count):
            do(payload, number)

    return run


@contextmanager
def memory(_lab: Lab, _plan: Plan) -> Iterator[Memory]:
    yield Memory()
