"""Blocking clients as their users have them: redis-py, and kcoro_ipc.blocking.

The same Transport as the raw clients, through the library's own calls, with the library's own
costs. These modules are imported only in the worker that uses them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bench import raw
from bench.model import FailedError
from bench.transports import BATCH_CAPACITY, CAPACITY, PAYLOAD, Many, One, in_blocks

if TYPE_CHECKING:
    from kcoro_ipc.blocking import Channel


def check(value: object) -> None:
    if value != PAYLOAD:
        raise FailedError(f"not the message that was sent: {value!r:.200}")


class RedisPy:
    """redis-py: LPUSH and BRPOP, pipelines for windows, variadic LPUSH and BLMPOP for batches."""

    def __init__(self, path: str) -> None:
        redis: Any = importlib.import_module("redis")  # a peer: not there where we are type-checked
        self._make: Callable[[], Any] = lambda: redis.Redis(unix_socket_path=path)

    def sender(self, channel: str) -> One:
        link = self._make()
        return lambda: _nothing(link.lpush(channel, PAYLOAD))

    def receiver(self, channel: str) -> One:
        link = self._make()
        return lambda: check(link.brpop(channel)[1])

    def pusher(self, channel: str) -> Many:
        link = self._make()

        def push() -> None:
            pipeline = link.pipeline(transaction=False)
            for _ in range(raw.WINDOW):
                pipeline.lpush(channel, PAYLOAD)
            pipeline.execute()

        return in_blocks(push, raw.WINDOW)

    def puller(self, channel: str) -> Many:
        return self.batch_puller(channel, raw.WINDOW, 1)

    def batch_pusher(self, channel: str, size: int, _depth: int) -> Many:
        link, batch = self._make(), [PAYLOAD] * size
        return in_blocks(lambda: _nothing(link.lpush(channel, *batch)), size)

    def batch_puller(self, channel: str, size: int, _depth: int) -> Many:
        link = self._make()

        def pull(count: int) -> None:
            while count:
                batch = link.blmpop(0, 1, channel, direction="RIGHT", count=min(size, count))[1]
                check(batch[-1])
                count -= len(batch)

        return pull


class Blocking:
    """kcoro_ipc.blocking."""

    def __init__(self, path: str) -> None:
        self._path = path

    def _open(self, channel: str, capacity: int = CAPACITY) -> Channel:
        from kcoro_ipc import blocking

        client = blocking.open_client(f"stream:{self._path}")
        client.__enter__()  # the worker process ends with its connection
        return client.open_channel(channel, kind="buffered", capacity=capacity)

    def sender(self, channel: str) -> One:
        end = self._open(channel)
        return lambda: _nothing(end.send(PAYLOAD))

    def receiver(self, channel: str) -> One:
        end = self._open(channel)
        return lambda: check(end.receive())

    def pusher(self, channel: str) -> Many:
        return self._pusher(self._open(channel), raw.WINDOW)

    def puller(self, channel: str) -> Many:
        return self._puller(self._open(channel), raw.WINDOW)

    def batch_pusher(self, channel: str, size: int, _depth: int) -> Many:
        return self._pusher(self._open(channel, BATCH_CAPACITY), size)

    def batch_puller(self, channel: str, size: int, _depth: int) -> Many:
        return self._puller(self._open(channel, BATCH_CAPACITY), size)

    def _pusher(self, end: Channel, size: int) -> Many:
        batch = [PAYLOAD] * size

        def push() -> None:
            if end.send_many(batch) != size:
                raise FailedError("send_many settled a part only")

        return in_blocks(push, size)

    def _puller(self, end: Channel, size: int) -> Many:
        def pull(count: int) -> None:
            while count:
                batch = end.receive_many(min(size, count))
                check(batch[-1])
                count -= len(batch)

        return pull


def _nothing(_: Any) -> None:
    """Makes a statement of an expression."""
