"""What goes out of a trio connection: frames in order, and how many of their bytes have left.

A frame that has begun is finished. A request has left if the kernel took a byte of it: `begins` of
a frame, which `put` returns, is then below `sent_bytes`.
"""

import socket
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from trio.lowlevel import ParkingLot, wait_writable

from kcoro_ipc.files import Loose, rights


class Outgoing(NamedTuple):
    """A frame whose files go with its first byte; they stay the sender's."""

    frame: bytes
    files: Loose
    req_id: int


def together(frames: Sequence[Outgoing | bytes]) -> Iterator[Outgoing | bytes]:
    """In order, with the plain ones between two with files joined into one piece."""
    plain: list[bytes] = []
    for frame in frames:
        if isinstance(frame, bytes):
            plain.append(frame)
            continue
        if plain:
            yield b"".join(plain)
            plain = []
        yield frame
    if plain:
        yield b"".join(plain)


class Outflow:
    """`refuse` is told of a request whose files the system does not pass on."""

    def __init__(self, sock: socket.socket, refuse: Callable[[int, OSError], None]) -> None:
        self.sent_bytes = 0
        self._put_bytes = 0
        self._sock = sock
        self._packets = sock.type == socket.SOCK_SEQPACKET
        self._refuse = refuse
        self._queued: list[Outgoing | bytes] = []
        self._sleeps = ParkingLot()

    def put(self, frame: Outgoing | bytes, alone: bool = False) -> int:
        """To the writer, which sends together what many tasks ask for. A request that is `alone`
        has nobody to go together with: it saves a turn of trio's scheduler."""
        begins = self._put_bytes
        if isinstance(frame, bytes):
            self._put_bytes += len(frame)
            if alone and self._sleeps and not self._queued:
                frame = self._send_now(frame)
                if not frame:
                    return begins
        else:
            self._put_bytes += len(frame.frame)
        self._queued.append(frame)
        if self._sleeps:
            self._sleeps.unpark()
        return begins

    def _send_now(self, frame: bytes) -> bytes:
        """What is left of it."""
        try:
            sent = self._sock.send(frame)
        except OSError:
            return frame  # no room, or the end, which the reader sees after the replies before it
        self.sent_bytes += sent
        return frame[sent:]

    async def write_next(self) -> None:
        """Everything queued, in one send or a few; waits until there is something. OSError passes.
        No variable of a writer that sleeps keeps files open."""
        if not self._queued:
            await self._sleeps.park()
        frames, self._queued = self._queued, []
        for data in frames if self._packets else together(frames):
            if isinstance(data, Outgoing):
                data = await self._transmit_first(data)
            await self._transmit(data)

    async def _transmit_first(self, filed: Outgoing) -> bytes:
        """Sends files with the first bytes of their frame; what is left of it goes without."""
        while True:
            try:
                sent = self._sock.sendmsg([filed.frame], rights(filed.files))
            except BlockingIOError:
                await wait_writable(self._sock)
            except ConnectionError:
                raise
            except OSError as error:  # nothing went out: it is this request's loss only
                if self._sock.fileno() < 0:  # unless it is the end, which came in between
                    raise
                self._refuse(filed.req_id, error)
                self.sent_bytes += len(filed.frame)
                return b""
            else:
                self.sent_bytes += sent
                return filed.frame[sent:]

    async def _transmit(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                sent = self._sock.send(rest)
            except BlockingIOError:
                await wait_writable(self._sock)
            else:
                self.sent_bytes += sent
                rest = rest[sent:]
