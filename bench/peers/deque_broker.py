"""A peer: the broker one would write in an afternoon, trio and collections.deque, one task per
connection.

It speaks the same frames (HELLO, CHAN_MAKE, SEND, RECV, single and batched) so that the same raw
client drives it; no rights, no deadlines, no select, no acks. Usage: python -m
bench.peers.deque_broker PATH
"""

from __future__ import annotations

import socket
import struct
import sys
from collections import deque
from collections.abc import Callable
from functools import partial

import trio

from kcoro_ipc import _wire

HEADER = struct.Struct("!HHI")
ATTR = struct.Struct("!HH")
U32 = struct.Struct("!I")
REPLY = struct.Struct("!HHIHHIHHI")  # header, REQ_ID, RESULT

Reply = Callable[[bytes], None]


def reply(cmd: int, request: int, more: bytes = b"") -> bytes:
    ids = (_wire.ATTR_REQ_ID, 4, request, _wire.ATTR_RESULT, 4, 0)
    return REPLY.pack(cmd, 0, 16 + len(more), *ids) + more


class Queue:
    """One bounded FIFO with those who wait at either end."""

    def __init__(self, number: int, capacity: int) -> None:
        self.number = number
        self.capacity = capacity
        self.items: deque[bytes] = deque()
        self.receivers: deque[tuple[Reply, int, int]] = deque()
        self.senders: deque[tuple[Reply, int, list[bytes]]] = deque()

    def send(self, answer: Reply, request: int, elements: list[bytes]) -> None:
        self.senders.append((answer, request, elements))
        self._match()

    def receive(self, answer: Reply, request: int, limit: int) -> None:
        self.receivers.append((answer, request, limit))
        self._match()

    def _match(self) -> None:
        while True:
            self._admit()
            if not (self.items and self.receivers):
                return
            self._hand_out()

    def _admit(self) -> None:
        while self.senders and len(self.items) < self.capacity:
            answer, request, elements = self.senders.popleft()
            self.items.extend(elements)
            answer(reply(_wire.CMD_CHAN_SEND, request))

    def _hand_out(self) -> None:
        answer, request, limit = self.receivers.popleft()
        taken = [self.items.popleft() for _ in range(min(limit, len(self.items)))]
        parts = [ATTR.pack(_wire.ATTR_ELEMENT, len(item)) + item for item in taken]
        answer(reply(_wire.CMD_CHAN_RECV, request, b"".join(parts)))


class Broker:
    """Queues by name and by number."""

    def __init__(self) -> None:
        self.by_name: dict[bytes, Queue] = {}
        self.by_number: dict[int, Queue] = {}

    def open(self, name: bytes, capacity: int) -> Queue:
        queue = self.by_name.get(name)
        if queue is None:
            queue = self.by_name[name] = Queue(1001 + len(self.by_name), capacity)
            self.by_number[queue.number] = queue
        return queue

    def serve(self, answer: Reply, cmd: int, payload: bytes) -> None:
        found, elements = attributes(payload)
        request = found.get(_wire.ATTR_REQ_ID, 0)
        if cmd == _wire.CMD_CHAN_SEND:
            self.by_number[found[_wire.ATTR_CHAN_ID]].send(answer, request, elements)
        elif cmd == _wire.CMD_CHAN_RECV:
            limit = found.get(_wire.ATTR_MAX_ITEMS, 1)
            self.by_number[found[_wire.ATTR_CHAN_ID]].receive(answer, request, limit)
        elif cmd == _wire.CMD_CHAN_MAKE:
            queue = self.open(elements[0], found[_wire.ATTR_CAPACITY])
            number = ATTR.pack(_wire.ATTR_CHAN_ID, 4) + U32.pack(queue.number)
            answer(reply(cmd, request, number))
        elif cmd == _wire.CMD_HELLO:
            major = ATTR.pack(_wire.ATTR_ABI_MAJOR, 4) + U32.pack(1)
            minor = ATTR.pack(_wire.ATTR_ABI_MINOR, 4) + U32.pack(1)
            answer(HEADER.pack(cmd, 0, 16) + major + minor)


BLOBS = (_wire.ATTR_ELEMENT, _wire.ATTR_NAME)


def attributes(payload: bytes) -> tuple[dict[int, int], list[bytes]]:
    found: dict[int, int] = {}
    blobs: list[bytes] = []
    at = 0
    while at < len(payload):
        kind, size = ATTR.unpack_from(payload, at)
        if kind in BLOBS:
            blobs.append(payload[at + 4 : at + 4 + size])
        else:
            found[kind] = U32.unpack_from(payload, at + 4)[0]
        at += 4 + size
    return found, blobs


class Connection:
    """A reader that serves all it has read, then writes all its answers at once.

    Answers to other connections go out by a task of theirs.
    """

    def __init__(self, broker: Broker, stream: trio.SocketStream, nursery: trio.Nursery) -> None:
        self._broker = broker
        self._stream = stream
        self._nursery = nursery
        self._out: list[bytes] = []
        self._writing = False

    def answer(self, frame: bytes) -> None:
        self._out.append(frame)
        if not self._writing:
            self._writing = True
            self._nursery.start_soon(self._write)

    async def _write(self) -> None:
        while self._out:
            block = b"".join(self._out)
            self._out.clear()
            await self._stream.send_all(block)
        self._writing = False

    async def read(self) -> None:
        spare = b""
        while part := await self._stream.receive_some(1 << 16):
            mine, self._writing = not self._writing, True
            spare = self._serve(spare + part)
            if mine:
                await self._write()

    def _serve(self, data: bytes) -> bytes:
        at = 0
        while len(data) - at >= HEADER.size:
            cmd, _, length = HEADER.unpack_from(data, at)
            end = at + HEADER.size + length
            if end > len(data):
                break
            self._broker.serve(self.answer, cmd, data[at + HEADER.size : end])
            at = end
        return data[at:]


async def connection(broker: Broker, stream: trio.SocketStream) -> None:
    try:
        async with stream, trio.open_nursery() as nursery:
            await Connection(broker, stream, nursery).read()
            nursery.cancel_scope.cancel()
    except* (trio.BrokenResourceError, trio.ClosedResourceError):
        pass


async def main(path: str) -> None:
    listener = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    await listener.bind(path)
    listener.listen(128)
    await trio.serve_listeners(partial(connection, Broker()), [trio.SocketListener(listener)])


if __name__ == "__main__":
    try:
        trio.run(main, sys.argv[1])
    except KeyboardInterrupt:
        pass
