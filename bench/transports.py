"""How a load reaches a broker: one interface, so that every subject does the same work.

A transport opens a connection per endpoint and gives plain callables: `sender` and `receiver` do
one message per call, `pusher` and `puller` move n messages with WINDOW in flight, `batch_pusher`
and `batch_puller` move n in requests of `size`, `depth` of them in flight where the client can
(a library's blocking call cannot); the batch puller makes one Python bytes object per message.
 Each waits for its replies, if the broker has any. Here: the protocol and our raw
frames; resp.py has redis, users.py the libraries as their users have them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from bench import raw
from bench.model import FailedError

PAYLOAD = bytes(range(64))
CAPACITY = 1024
BATCH_CAPACITY = 8192

One = Callable[[], None]
Many = Callable[[int], None]


class Transport(Protocol):
    """What a load needs of a client; see the file's first lines."""

    def sender(self, channel: str) -> One: ...
    def receiver(self, channel: str) -> One: ...
    def pusher(self, channel: str) -> Many: ...
    def puller(self, channel: str) -> Many: ...
    def batch_pusher(self, channel: str, size: int, depth: int) -> Many: ...
    def batch_puller(self, channel: str, size: int, depth: int) -> Many: ...


class RawFrames:
    """Prebuilt frames of ours, on the floor's broker or on ours."""

    def __init__(self, path: str) -> None:
        self._path = path

    def _open(self, channel: str, capacity: int = CAPACITY) -> tuple[raw.Link, int]:
        link = raw.Link(self._path)
        return link, link.make(channel, capacity)

    def sender(self, channel: str) -> One:
        link, number = self._open(channel)
        return raw.Call(link, raw.send_frame(1, number, PAYLOAD))

    def receiver(self, channel: str) -> One:
        link, number = self._open(channel)
        return raw.Call(link, raw.recv_frame(1, number))

    def pusher(self, channel: str) -> Many:
        link, number = self._open(channel)
        requests = [raw.send_frame(i + 1, number, PAYLOAD) for i in range(raw.WINDOW)]
        return in_blocks(raw.Burst(link, requests), raw.WINDOW)

    def puller(self, channel: str) -> Many:
        link, number = self._open(channel)
        requests = [raw.recv_frame(i + 1, number) for i in range(raw.WINDOW)]
        return in_blocks(raw.Burst(link, requests), raw.WINDOW)

    def batch_pusher(self, channel: str, size: int, depth: int) -> Many:
        link, number = self._open(channel, BATCH_CAPACITY)
        batch = [PAYLOAD] * size
        bursts = [raw.Burst(link, [raw.send_frame(i + 1, number, *batch)]) for i in range(depth)]
        return push_in_flight([(burst.write, burst.read) for burst in bursts], size)

    def batch_puller(self, channel: str, size: int, depth: int) -> Many:
        link, number = self._open(channel, BATCH_CAPACITY)
        intake = raw.Intake(link, number)

        def take() -> int:
            reply, got = intake.take()
            elements = cut(reply, got)
            if elements[-1] != PAYLOAD:
                raise FailedError("a batch does not end with its last element")
            return got

        return pull_in_flight(intake.ask, take, size, depth)


def cut(reply: bytes, count: int) -> list[bytes]:
    """The elements at the end of a batched reply as bytes objects, each as long as PAYLOAD."""
    size = len(PAYLOAD)
    stride = size + 4
    first = len(reply) - count * stride + 4
    return [reply[at : at + size] for at in range(first, len(reply), stride)]


def in_blocks(block: One, size: int) -> Many:
    """Repeats a block of `size` messages; counts are multiples of it."""

    def run(count: int) -> None:
        if count % size:
            raise ValueError(f"{count} is no multiple of {size}")
        for _ in range(count // size):
            block()

    return run


def push_in_flight(slots: Sequence[tuple[One, One]], size: int) -> Many:
    """Writes batches of `size`, and reads each one's reply when its slot is needed again."""

    def push(count: int) -> None:
        if count % size:
            raise ValueError(f"{count} is no multiple of {size}")
        blocks, depth = count // size, len(slots)
        for i in range(blocks + depth):
            if depth <= i:
                slots[i % depth][1]()
            if i < blocks:
                slots[i % depth][0]()

    return push


def pull_in_flight(
    ask: Callable[[int, int], None], take: Callable[[], int], size: int, depth: int
) -> Many:
    """Keeps `depth` requests open: ask(request id, limit), take() -> how many came."""

    def pull(count: int) -> None:
        asked: deque[int] = deque()
        turn = 0
        while count or asked:
            if count and len(asked) < depth:
                limit, turn = min(size, count), turn + 1
                ask(1 + turn % depth, limit)
                asked.append(limit)
                count -= limit
            else:
                count += asked.popleft() - take()

    return pull
