"""Redis in the same form as our raw client: prebuilt RESP on a blocking socket, every reply
counted.

Lists as queues: LPUSH and BRPOP; variadic LPUSH and BLMPOP ... COUNT (redis 7) for batches. Redis
has no back-pressure: a list grows as far as producers run ahead. A fixed reply is judged once and
then compared; LPUSH answers the list's length, which varies, so its replies are counted by their
line ends.
"""

from __future__ import annotations

import socket
import struct

from bench import raw
from bench.model import FailedError
from bench.transports import (
    PAYLOAD,
    Many,
    One,
    in_blocks,
    pull_in_flight,
    push_in_flight,
)


def command(*words: bytes) -> bytes:
    parts = [b"*%d\r\n" % len(words)]
    parts += [b"$%d\r\n%b\r\n" % (len(word), word) for word in words]
    return b"".join(parts)


def bulk(value: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(value), value)


class Resp:
    """Transport over RESP."""

    def __init__(self, path: str) -> None:
        self._path = path

    def _open(self) -> socket.socket:
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        limit = struct.pack("ll", raw.REPLY_LIMIT_S, 0)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        link.connect(self._path)
        return link

    def sender(self, channel: str) -> One:
        link, request = self._open(), command(b"LPUSH", channel.encode(), PAYLOAD)

        def send() -> None:
            link.send(request)
            reply = link.recv(4096)
            if reply[:1] != b":" or reply[-2:] != b"\r\n":
                raise FailedError(f"LPUSH: {reply!r}")

        return send

    def receiver(self, channel: str) -> One:
        link, key = self._open(), channel.encode()
        request, expected = command(b"BRPOP", key, b"0"), popped(key)

        def receive() -> None:
            link.send(request)
            reply = link.recv(4096)
            if reply != expected:
                raise FailedError(f"BRPOP: {reply!r}")

        return receive

    def pusher(self, channel: str) -> Many:
        link, request = self._open(), command(b"LPUSH", channel.encode(), PAYLOAD)
        block = request * raw.WINDOW

        def push() -> None:
            link.sendall(block)
            answers = 0
            while answers < raw.WINDOW:
                part = link.recv(raw.READ_BYTES)
                if not part or b"-" in part:
                    raise FailedError(f"LPUSH: {part[:200]!r}")
                answers += part.count(b"\n")

        return in_blocks(push, raw.WINDOW)

    def puller(self, channel: str) -> Many:
        link, key = self._open(), channel.encode()
        block, expected = command(b"BRPOP", key, b"0") * raw.WINDOW, popped(key) * raw.WINDOW

        def pull() -> None:
            link.sendall(block)
            reply = link.recv(raw.READ_BYTES)
            while len(reply) < len(expected):
                reply += more(link)
            if reply != expected:
                raise FailedError(f"BRPOP: {reply[:200]!r}")

        return in_blocks(pull, raw.WINDOW)

    def batch_pusher(self, channel: str, size: int, depth: int) -> Many:
        link, request = self._open(), command(b"LPUSH", channel.encode(), *[PAYLOAD] * size)
        replies = Lines(link)
        return push_in_flight([(lambda: link.sendall(request), replies.take)] * depth, size)

    def batch_puller(self, channel: str, size: int, depth: int) -> Many:
        link, key = self._open(), channel.encode()
        batches = Batches(link, key)
        requests = {limit: blmpop(key, limit) for limit in range(1, size + 1)}
        return pull_in_flight(
            lambda _, limit: link.sendall(requests[limit]), batches.take, size, depth
        )


def popped(key: bytes) -> bytes:
    return b"*2\r\n" + bulk(key) + bulk(PAYLOAD)


def blmpop(key: bytes, count: int) -> bytes:
    return command(b"BLMPOP", b"0", b"1", key, b"RIGHT", b"COUNT", b"%d" % count)


def more(link: socket.socket) -> bytes:
    part = link.recv(raw.READ_BYTES)
    if not part:
        raise FailedError("redis hung up")
    return part


class Lines:
    """Integer replies, one by one."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._spare = 0

    def take(self) -> None:
        while self._spare == 0:
            part = more(self._link)
            if b"-" in part:
                raise FailedError(f"redis: {part[:200]!r}")
            self._spare = part.count(b"\n")
        self._spare -= 1


class Batches:
    """BLMPOP replies, one by one, as bytes objects."""

    def __init__(self, link: socket.socket, key: bytes) -> None:
        self._link = link
        self._prefix = b"*2\r\n" + bulk(key) + b"*"
        self._stride = len(bulk(PAYLOAD))
        self._spare = b""

    def take(self) -> int:
        """Cuts the next reply; how many elements it has."""
        first = self._first()
        count = int(self._spare[len(self._prefix) : first])
        whole = first + count * self._stride
        while len(self._spare) < whole:
            self._spare += more(self._link)
        reply, self._spare = self._spare[:whole], self._spare[whole:]
        size = len(PAYLOAD)
        start = first + self._stride - size - 2
        elements = [reply[at : at + size] for at in range(start, whole, self._stride)]
        if elements[-1] != PAYLOAD:
            raise FailedError("a batch does not end with its last element")
        return count

    def _first(self) -> int:
        """Where the elements begin."""
        while (end := self._spare.find(b"\r\n", len(self._prefix))) < 0:
            self._spare += more(self._link)
        if not self._spare.startswith(self._prefix):
            raise FailedError(f"BLMPOP: {self._spare[:200]!r}")
        return end + 2
