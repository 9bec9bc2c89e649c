"""What the socket of a blocking client gave, on its way to being replies.

Every step may be interrupted by a signal handler and taken again: what a system call returned is
stored by C code in the same step, and a parsed batch is stored together with what is left of the
bytes, with no call in between. So nothing that arrived is lost or seen twice, open files included.
"""

import socket
from typing import Any

from kcoro_ipc import _wire
from kcoro_ipc.errors import ConnectionLost, KcoroError, ProtocolError
from kcoro_ipc.files import ANCILLARY_BYTES, CUT_OFF, RECEIVE_FLAGS, TOO_MANY_FILES, Loose, collect
from kcoro_ipc.protocol.replies import (
    Reply,
    ReplyWithFiles,
    frame_bytes,
    read_frames,
    surplus_files,
)

STREAM_READ_BYTES = 64 << 10
LARGE_READ_BYTES = 1 << 20
PACKET_READ_BYTES = 2 * _wire.MAX_SEQPACKET_FRAME_BYTES

ENDED = "the daemon closed the connection"

# For `map`: one value each.
ROOM_FOR_FILES = (ANCILLARY_BYTES,)
FLAGS = (RECEIVE_FLAGS,)
NOW = (RECEIVE_FLAGS | socket.MSG_DONTWAIT,)


class Inflow:
    """`raw` is what recvmsg(2) returned and nobody parsed, `rest` the beginning of a frame,
    `ahead` the replies and notices that are whole."""

    def __init__(self, sock: socket.socket) -> None:
        self.recvmsg = sock.recvmsg
        self.packets = sock.type == socket.SOCK_SEQPACKET
        self.sizes = (PACKET_READ_BYTES if self.packets else STREAM_READ_BYTES,)
        self.raw: list[tuple[bytes, list[Any], int, Any]] = []
        self.rest = b""
        self.ahead: list[Reply] = []
        self.failure: KcoroError | None = None
        self._lacking = 0
        self._files = Loose()

    def receive(self, flags: tuple[int, ...] = FLAGS) -> None:
        sizes = self.sizes
        if self._lacking > sizes[0] and not self.packets:
            sizes = (min(self._lacking, LARGE_READ_BYTES),)
        self.raw.extend(map(self.recvmsg, sizes, ROOM_FOR_FILES, flags))

    def parse(self) -> None:
        """Whole frames of what has arrived go to `ahead`; `failure` says why none will follow."""
        if not self.raw:
            return
        for _, ancillary, flags, _ in self.raw:
            if ancillary:
                collect(ancillary, self._files)
            if flags & CUT_OFF:
                self.failure = ConnectionLost(TOO_MANY_FILES)
                return
        if len(self.raw) == 1 and not self.rest:
            data = self.raw[0][0]
            self._lacking = frame_bytes(data) - len(data)
            if self._lacking <= 0 or not data:
                self._commit(data, not data)
            return
        pieces = [self.rest, *[raw[0] for raw in self.raw]]
        arrived = sum(map(len, pieces))
        ended = not pieces[-1]
        self._lacking = frame_bytes(pieces[0] or pieces[1]) - arrived
        if self._lacking <= 0 or ended:
            self._commit(b"".join(pieces), ended)

    def _commit(self, data: bytes, ended: bool) -> None:
        failure: KcoroError | None = ConnectionLost(ENDED) if ended else None
        replies: list[Reply] = []
        filed: list[ReplyWithFiles] = []
        start = len(data)
        try:
            start = read_frames(data, _wire.MAX_FRAME_BYTES, replies, filed)
        except ProtocolError as error:
            failure = error
        ahead, rest = self.ahead + replies, data[start:]
        lacking = frame_bytes(rest) - len(rest) if rest else 0
        # From here no call is made.
        self.ahead = ahead
        self.rest = rest
        self._lacking = lacking
        self.failure = failure
        del self.raw[:]

    def first(self) -> Reply | None:
        """The next one, with its files; it stays the first until `drop_first`."""
        self.parse()
        if self.ahead:
            reply = self.ahead[0]
            if isinstance(reply, ReplyWithFiles):
                reply.take_files(self._files)
            return reply
        if self.failure is None and self._files and not (self.rest or self.raw):
            self.failure = surplus_files()
        return None

    def drop_first(self) -> None:
        del self.ahead[0]

    def close(self) -> None:
        """What nobody has taken is closed; replies that were given on are their takers'."""
        self._files.close()
        self.ahead = []
