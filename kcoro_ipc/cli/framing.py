"""Where one message ends and the next begins, on stdin and stdout. No I/O here.

Four framings: lines (LF), NUL-terminated, 4-byte big-endian lengths, and whole input as one
message. Splitters take bytes in any pieces and give back whole messages; joiners take a batch and
give back the bytes to write.

Invariant of a splitter: however the input is cut into pieces, the messages are the same. When
something is wrong (`failure`) the messages before it are still given back, and nothing after it.
"""

from collections.abc import Callable, Sequence
from struct import Struct
from typing import Protocol

from kcoro_ipc.errors import InvalidArgument, KcoroError, MessageTooLong

_LENGTH = Struct(">I")
Messages = Sequence[bytes]
Joiner = Callable[[Messages], bytes]


class Splitter(Protocol):
    failure: KcoroError | None

    def feed(self, data: bytes) -> Messages: ...

    def finish(self) -> Messages: ...


def _too_long(length: int, limit: int) -> MessageTooLong:
    size = f"of {length} bytes" if length else "of the input"
    return MessageTooLong(
        f"a message {size} is over the {limit} bytes that this channel takes; "
        "send it in parts, or make the channel with a larger --elem-size"
    )


class Separated:
    """Messages that end with one byte; it is not part of them. The last may lack it."""

    def __init__(self, separator: bytes, limit: int) -> None:
        self.failure: KcoroError | None = None
        self._separator = separator
        self._limit = limit
        self._pieces: list[bytes] = []
        self._held_bytes = 0

    def feed(self, data: bytes) -> Messages:
        if self.failure is not None:
            return []
        first, *rest = data.split(self._separator)
        self._keep(first)
        if not rest:
            return self._checked([])
        whole = [b"".join(self._pieces), *rest]
        self._pieces = []
        self._held_bytes = 0
        self._keep(whole.pop())
        return self._checked(whole)

    def finish(self) -> Messages:
        last = b"".join(self._pieces)
        self._pieces = []
        self._held_bytes = 0
        return self._checked([last] if last and self.failure is None else [])

    def _keep(self, piece: bytes) -> None:
        if piece:
            self._pieces.append(piece)
            self._held_bytes += len(piece)

    def _checked(self, messages: list[bytes]) -> Messages:
        if messages and max(map(len, messages)) > self._limit:
            place = next(i for i, one in enumerate(messages) if len(one) > self._limit)
            self.failure = _too_long(len(messages[place]), self._limit)
            return messages[:place]
        if self._held_bytes > self._limit:
            self.failure = _too_long(0, self._limit)
        return messages


class Prefixed:
    """A u32, big-endian, says how many bytes follow."""

    def __init__(self, limit: int) -> None:
        self.failure: KcoroError | None = None
        self._limit = limit
        self._pieces: list[bytes] = []
        self._held_bytes = 0
        self._need_bytes = _LENGTH.size

    def feed(self, data: bytes) -> Messages:
        if self.failure is not None or not data:
            return []
        self._pieces.append(data)
        self._held_bytes += len(data)
        if self._held_bytes < self._need_bytes:
            return []
        return self._take(b"".join(self._pieces))

    def _take(self, data: bytes) -> Messages:
        messages: list[bytes] = []
        start, end = 0, len(data)
        self._need_bytes = _LENGTH.size
        while end - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(data, start)
            if length > self._limit:
                self.failure = _too_long(length, self._limit)
                break
            stop = start + _LENGTH.size + length
            if stop > end:
                self._need_bytes = stop - start
                break
            messages.append(data[start + _LENGTH.size : stop])
            start = stop
        self._pieces = [data[start:]]
        self._held_bytes = end - start
        return messages

    def finish(self) -> Messages:
        if self._held_bytes and self.failure is None:
            self.failure = InvalidArgument(
                f"the input ends inside a message: {self._held_bytes} bytes of its length and "
                "content came; is every message preceded by 4 bytes of length?"
            )
        return []


class Whole:
    """Everything is one message."""

    def __init__(self, limit: int) -> None:
        self.failure: KcoroError | None = None
        self._limit = limit
        self._pieces: list[bytes] = []
        self._held_bytes = 0

    def feed(self, data: bytes) -> Messages:
        self._pieces.append(data)
        self._held_bytes += len(data)
        if self._held_bytes > self._limit:
            self.failure = _too_long(0, self._limit)
            self._pieces = []
        return []

    def finish(self) -> Messages:
        return [b"".join(self._pieces)] if self.failure is None else []


def splitter(framing: str, limit: int) -> Splitter:
    """For "lines", "nul", "length" or "whole"; `limit` is the longest message in bytes."""
    if framing == "length":
        return Prefixed(limit)
    if framing == "whole":
        return Whole(limit)
    return Separated(b"\0" if framing == "nul" else b"\n", limit)


def join_lines(messages: Messages) -> bytes:
    return b"\n".join(messages) + b"\n"


def join_nul(messages: Messages) -> bytes:
    return b"\0".join(messages) + b"\0"


def join_lengths(messages: Messages) -> bytes:
    return b"".join([part for one in messages for part in (_LENGTH.pack(len(one)), one)])


def join_raw(messages: Messages) -> bytes:
    return b"".join(messages)


JOINERS: dict[str, Joiner] = {
    "lines": join_lines,
    "nul": join_nul,
    "length": join_lengths,
    "raw": join_raw,
}
