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
from bench.transports import PAYLOAD, Many, One, in_blocks


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

    def batch_pusher(self, channel: str, size: int) -> Many:
        link, request = self._open(), command(b"LPUSH", channel.encode(), *[PAYLOAD] * size)

        def push() -> None:
            link.sendall(request)
            reply = link.recv(4096)
            if reply[:1] != b":" or reply[-2:] != b"\r\n":
                raise FailedError(f"LPUSH: {reply!r}")

        return in_blocks(push, size)

    def batch_puller(self, channel: str, size: int) -> Many:
        link, key = self._open(), channel.encode()

        def pull(count: int) -> None:
            while count:
                link.sendall(blmpop(key, min(size, count)))
                count -= len(read_batch(link, key))

        return pull


def popped(key: bytes) -> bytes:
    return b"*2\r\n" + bulk(key) + bulk(PAYLOAD)


def blmpop(key: bytes, count: int) -> bytes:
    return command(b"BLMPOP", b"0", b"1", key, b"RIGHT", b"COUNT", b"%d" % count)


def more(link: socket.socket) -> bytes:
    part = link.recv(raw.READ_BYTES)
    if not part:
        raise FailedError("redis hung up")
    return part


def read_batch(link: socket.socket, key: bytes) -> list[bytes]:
    """One BLMPOP reply: the elements as bytes objects."""
    prefix = b"*2\r\n" + bulk(key) + b"*"
    reply = more(link)
    while reply.find(b"\r\n", len(prefix)) < 0:
        reply += more(link)
    first = reply.index(b"\r\n", len(prefix)) + 2
    if not reply.startswith(prefix):
        raise FailedError(f"BLMPOP: {reply[:200]!r}")
    stride = len(bulk(PAYLOAD))
    whole = first + int(reply[len(prefix) : first]) * stride
    while len(reply) < whole:
        reply += more(link)
    size = len(PAYLOAD)
    start = first + stride - size - 2
    elements = [reply[at : at + size] for at in range(start, whole, stride)]
    if elements[-1] != PAYLOAD:
        raise FailedError("a batch does not end with its last element")
    return elements
