"""Our frames on a blocking socket, prebuilt: the one client that drives both the floor and ours.

Not a library: no thread safety, no reconnect, ABI 1.1 only. The hot calls cost two system calls
and one comparison each: the first reply of its kind is parsed and judged in full and kept as the
pattern, later replies must equal it byte for byte, and whatever differs is parsed again and
counted or refused. So every operation is counted exactly and the client costs the same whoever
serves. An answer that stays away for REPLY_LIMIT_S (SO_RCVTIMEO: no extra system call) is a
failure.
"""

from __future__ import annotations

import socket
import struct

from bench.model import FailedError
from kcoro_ipc import _wire

REPLY_LIMIT_S = 20
FOR_EVER = 0xFFFFFFFF
READ_BYTES = 1 << 16  # above 128 KiB every recv would map and unmap its buffer
WINDOW = 64
HEAD_BYTES = 24  # a header and two scalars: what tells replies of one length apart

_HEADER = struct.Struct("!HHI")
_ATTR = struct.Struct("!HH")
_U32 = struct.Struct("!I")


def u32(kind: int, value: int) -> bytes:
    return _ATTR.pack(kind, 4) + _U32.pack(value & 0xFFFFFFFF)


def blob(kind: int, value: bytes) -> bytes:
    return _ATTR.pack(kind, len(value)) + value


def frame(cmd: int, *attributes: bytes) -> bytes:
    payload = b"".join(attributes)
    return _HEADER.pack(cmd, 0, len(payload)) + payload


def send_frame(request: int, channel: int, *elements: bytes) -> bytes:
    """One message, or a batch, in the order of the readers' fast path."""
    head = (u32(_wire.ATTR_REQ_ID, request), u32(_wire.ATTR_CHAN_ID, channel))
    bodies = [blob(_wire.ATTR_ELEMENT, element) for element in elements]
    return frame(_wire.CMD_CHAN_SEND, *head, u32(_wire.ATTR_TIMEOUT_MS, FOR_EVER), *bodies)


def recv_frame(request: int, channel: int, max_items: int = 0, timeout_ms: int = FOR_EVER) -> bytes:
    """A plain receive, or with max_items a batched one."""
    head = (u32(_wire.ATTR_REQ_ID, request), u32(_wire.ATTR_CHAN_ID, channel))
    items = (u32(_wire.ATTR_MAX_ITEMS, max_items),) if max_items else ()
    return frame(_wire.CMD_CHAN_RECV, *head, u32(_wire.ATTR_TIMEOUT_MS, timeout_ms), *items)


Attributes = dict[int, list[bytes]]


def parse(reply: bytes) -> tuple[int, Attributes]:
    """Command and attributes of one whole frame (values under 64 KiB)."""
    cmd, _, length = _HEADER.unpack_from(reply)
    if len(reply) != _HEADER.size + length:
        raise FailedError(f"not one frame: {reply[:64]!r}")
    found: Attributes = {}
    offset = _HEADER.size
    while offset < len(reply):
        kind, size = _ATTR.unpack_from(reply, offset)
        found.setdefault(kind, []).append(reply[offset + 4 : offset + 4 + size])
        offset += 4 + size
    return cmd, found


def number(attributes: Attributes, kind: int) -> int:
    values = attributes.get(kind)
    return int.from_bytes(values[0], "big") if values else 0


def succeeded(reply: bytes) -> Attributes:
    """The attributes of a reply that says success. Raises FailedError."""
    cmd, attributes = parse(reply)
    result = number(attributes, _wire.ATTR_RESULT)
    if result:
        code = result - (1 << 32) if result >> 31 else result
        raise FailedError(f"command {cmd} was refused: {code} {attributes}")
    return attributes


class Link:
    """A connection that has said HELLO."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        limit = struct.pack("ll", REPLY_LIMIT_S, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        self.socket.connect(path)
        self.buffer = memoryview(bytearray(READ_BYTES))  # one for all bursts of this connection
        self._spare = b""
        major = u32(_wire.ATTR_ABI_MAJOR, _wire.ABI_MAJOR)
        minor = u32(_wire.ATTR_ABI_MINOR, _wire.ABI_MINOR)
        self.call(frame(_wire.CMD_HELLO, major, minor))

    def close(self) -> None:
        self.socket.close()

    def read_frame(self) -> bytes:
        """The next whole frame."""
        while len(self._spare) < _HEADER.size:
            self._more()
        whole = _HEADER.size + _HEADER.unpack_from(self._spare)[2]
        while len(self._spare) < whole:
            self._more()
        reply, self._spare = self._spare[:whole], self._spare[whole:]
        return reply

    @property
    def has_spare(self) -> bool:
        """Whether bytes of a later reply came with an earlier one."""
        return bool(self._spare)

    def _more(self) -> None:
        part = self.socket.recv(READ_BYTES)
        if not part:
            raise FailedError("the server hung up")
        self._spare += part

    def call(self, request: bytes) -> Attributes:
        """One rare request and its reply."""
        self.socket.sendall(request)
        return succeeded(self.read_frame())

    def make(self, name: str, capacity: int, kind: int = _wire.KIND_BUFFERED) -> int:
        """Makes or opens a channel; its CHAN_ID."""
        self.socket.sendall(make_frame(name, capacity, kind))
        return number(succeeded(self.read_frame()), _wire.ATTR_CHAN_ID)


def make_frame(
    name: str, capacity: int, kind: int = _wire.KIND_BUFFERED, request: int = 1
) -> bytes:
    """CHAN_MAKE by name."""
    return frame(
        _wire.CMD_CHAN_MAKE,
        u32(_wire.ATTR_REQ_ID, request),
        blob(_wire.ATTR_NAME, name.encode()),
        u32(_wire.ATTR_KIND, kind),
        u32(_wire.ATTR_CAPACITY, capacity),
    )


class Call:
    """One hot request and its reply, again and again: the same bytes out, the same bytes back."""

    def __init__(self, link: Link, request: bytes) -> None:
        self._link = link
        self._request = request
        self._pattern = b""

    def __call__(self) -> None:
        link = self._link.socket
        link.send(self._request)
        reply = link.recv(4096)
        if reply != self._pattern:
            self._judge(reply)

    def _judge(self, reply: bytes) -> None:
        succeeded(reply)
        if self._pattern:
            raise FailedError("a reply differs from the first of its kind")
        self._pattern = reply


class Burst:
    """A block of hot requests in flight together; done when each is answered, in whatever order."""

    def __init__(self, link: Link, requests: list[bytes]) -> None:
        self._link = link
        self._count = len(requests)
        self._block = b"".join(requests)
        self._pattern = b""

    def __call__(self) -> None:
        self.write()
        self.read()

    def write(self) -> None:
        self._link.socket.sendall(self._block)

    def read(self) -> None:
        """Takes one block of replies."""
        if not self._pattern or self._link.has_spare:
            self._judge()
            return
        buffer, receive = self._link.buffer, self._link.socket.recv_into
        wanted, got = len(self._pattern), 0
        while got < wanted:
            part = receive(buffer[got:wanted])
            if not part:
                raise FailedError("the server hung up")
            got += part
        replies = bytes(buffer[:wanted])
        if replies != self._pattern:
            self._recount(replies)

    def _judge(self) -> None:
        replies = [self._link.read_frame() for _ in range(self._count)]
        for reply in replies:
            succeeded(reply)
        self._pattern = b"".join(replies)

    def _recount(self, block: bytes) -> None:
        """The slow way, frame by frame: another order, or other lengths, than the first block."""
        answered: set[int] = set()
        while block:
            whole = _HEADER.size + _HEADER.unpack_from(block)[2]
            answered.add(number(succeeded(block[:whole]), _wire.ATTR_REQ_ID))
            block = block[whole:]
        if len(answered) != self._count:
            raise FailedError(f"{len(answered)} of {self._count} requests answered in one block")


class Intake:
    """Batched receives: a request for up to `limit` elements, a reply with what was there.

    Several may be in flight; they are answered in order, for they wait on one channel in order.
    """

    def __init__(self, link: Link, channel: int) -> None:
        self._link = link
        self._channel = channel
        self._requests: dict[tuple[int, int], bytes] = {}
        # Judged replies, by length and first bytes (hashing the whole costs more than comparing).
        self._seen: dict[tuple[int, bytes], tuple[bytes, int]] = {}

    def ask(self, request_id: int, limit: int) -> None:
        """Sends one request."""
        request = self._requests.get((request_id, limit))
        if request is None:
            request = recv_frame(request_id, self._channel, limit)
            self._requests[request_id, limit] = request
        self._link.socket.send(request)

    def take(self) -> tuple[bytes, int]:
        """The next reply and how many elements it has."""
        reply = self._link.read_frame()
        seen = self._seen.get((len(reply), reply[:HEAD_BYTES]))
        return seen if seen is not None and seen[0] == reply else self._judge(reply)

    def _judge(self, reply: bytes) -> tuple[bytes, int]:
        count = len(succeeded(reply).get(_wire.ATTR_ELEMENT, ()))
        if count == 0:
            raise FailedError("a batched receive answered success and no element")
        self._seen[len(reply), reply[:HEAD_BYTES]] = reply, count
        return reply, count
