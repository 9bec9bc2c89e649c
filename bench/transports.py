"""How a load reaches a broker: one interface, so that every subject does the same work.

A transport opens a connection per endpoint and gives plain callables: `sender` and `receiver` do
one message per call, `pusher` and `puller` move n messages with WINDOW in flight, `batch_pusher`
and `batch_puller` move n in requests of `size`; the batch puller makes one Python bytes object
per message. Each waits for its replies, if the broker has any. Here: the protocol and our raw
frames; resp.py has redis, users.py the libraries as their users have them.
"""

from __future__ import annotations

from collections.abc import Callable
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
    def batch_pusher(self, channel: str, size: int) -> Many: ...
    def batch_puller(self, channel: str, size: int) -> Many: ...


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

    def batch_pusher(self, channel: str, size: int) -> Many:
        link, number = self._open(channel, BATCH_CAPACITY)
        request = raw.send_frame(1, number, *[PAYLOAD] * size)
        return in_blocks(raw.Burst(link, [request]), size)

    def batch_puller(self, channel: str, size: int) -> Many:
        link, number = self._open(channel, BATCH_CAPACITY)
        intake = raw.Intake(link, number)

        def pull(count: int) -> None:
            while count:
                reply, got = intake(min(size, count))
                elements = cut(reply, got)
                if elements[-1] != PAYLOAD:
                    raise FailedError("a batch does not end with its last element")
                count -= got

        return pull


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
