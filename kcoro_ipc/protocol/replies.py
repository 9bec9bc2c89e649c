"""Frames a client receives: a stream of bytes in, a list of replies out, a whole batch per call.

The reader keeps what is left of a frame that has not arrived whole, and open files until the frame
that names them is whole; it does not know which requests are under way. The daemon's usual reply
(REQ_ID, RESULT, then nothing or ELEMENTs) is recognised by comparing two words; everything else
takes the general way and gets the same verdict.

Invariant: however the stream is cut into pieces, the replies are the same, and so is the error.
"""

from functools import lru_cache
from struct import Struct
from types import MappingProxyType
from typing import Any

from kcoro_ipc import _wire
from kcoro_ipc.errors import FrameTooLong, ProtocolError
from kcoro_ipc.files import Loose, move
from kcoro_ipc.protocol.attributes import HEAD, head, read_attributes
from kcoro_ipc.protocol.descriptors import RECEIVED_BYTES, RECEIVED_HEAD, read_run
from kcoro_ipc.protocol.items import read_items

_FRAME = Struct(">II")
_PREFIX = Struct(">IIIIIi")  # header, REQ_ID, RESULT
_REQ_ID = head(_wire.ATTR_REQ_ID)
_RESULT = head(_wire.ATTR_RESULT)
_ELEMENT = head(_wire.ATTR_ELEMENT, 0)
_HEADER_BYTES = _wire.HEADER_BYTES
_PREFIX_BYTES = _PREFIX.size
_LONG_BYTES = _PREFIX_BYTES + 4 + _wire.EXTENDED_LENGTH
_NOTHING: Any = MappingProxyType({})
_FILE_BITS = _wire.FILES_MASK
_NOTICES = {_wire.CMD_REGION_MAP, _wire.CMD_REGION_FREED, _wire.CMD_REGION_GONE}


class Reply:
    """One frame from the daemon.

    `req_id` is 0 for a word about the connection itself; `result` is None for an event (the
    request goes on) and in the answer to HELLO. `elements` are plain messages; what came beside
    them stands in `attributes` by number (there REQ_ID and RESULT may be absent).
    """

    __slots__ = ("attributes", "cmd", "elements", "req_id", "result")
    file_count = 0  # of its frame; more than 0 only for a ReplyWithFiles

    def __init__(
        self,
        cmd: int,
        req_id: int,
        result: int | None,
        elements: tuple[bytes, ...] | list[bytes] = (),
        attributes: dict[int, Any] = _NOTHING,
    ) -> None:
        self.cmd = cmd
        self.req_id = req_id
        self.result = result
        self.elements = elements
        self.attributes = attributes

    def get(self, number: int, default: Any = 0) -> Any:
        return self.attributes.get(number, default)

    @property
    def files(self) -> Loose:
        """The open files that came with it; closed with the reply unless somebody takes them."""
        return Loose()

    @property
    def is_notice(self) -> bool:
        """About shared memory: it answers no request and is no word about the connection."""
        return self.cmd in _NOTICES and self.req_id == 0 and self.result is None

    def __repr__(self) -> str:
        name = _wire.COMMAND_NAMES.get(self.cmd, str(self.cmd))
        return f"<Reply {name} {self.req_id} result {self.result}>"


class ReplyWithFiles(Reply):
    """Its files come from whoever reads the stream, in the order of the frames."""

    __slots__ = ("_files", "file_count")

    def __init__(self, plain: Reply, file_count: int) -> None:
        super().__init__(plain.cmd, plain.req_id, plain.result, plain.elements, plain.attributes)
        self.file_count = file_count
        self._files = Loose()

    @property
    def files(self) -> Loose:
        return self._files

    def take_files(self, arrived: list[int]) -> None:
        """Its own from the front of what arrived; may be repeated."""
        lacking = self.file_count - len(self._files)
        if len(arrived) < lacking:
            raise ProtocolError("a frame names more files than came with it")
        move(arrived, self._files, lacking)


class ReplyReader:
    """Feed it what the socket gave; it gives back the replies that are whole by now.

    `failure` is set when bytes came that are no frame: the replies before them are still given
    back, what follows is not read, and the connection is to be ended.
    """

    def __init__(self, max_frame_bytes: int = _wire.MAX_FRAME_BYTES) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._pieces: list[bytes] = []
        self._held_bytes = 0
        self._need_bytes = 0
        self._files = Loose()
        self._filed: list[ReplyWithFiles] = []  # that have not got theirs
        self.failure: ProtocolError | None = None

    @property
    def wanted_bytes(self) -> int:
        """How many bytes the frame that has begun still lacks, as far as is known."""
        return max(0, self._need_bytes - self._held_bytes)

    def feed(self, data: bytes, files: list[int] | None = None) -> list[Reply]:
        """`files` came with `data` and are taken over."""
        if files:
            move(files, self._files, len(files))
        if self.failure is not None:
            self.close()
            return []
        if self._pieces:
            self._pieces.append(data)
            self._held_bytes += len(data)
            if self._held_bytes < self._need_bytes:
                return []
            data = b"".join(self._pieces)
            self._pieces.clear()
        replies: list[Reply] = []
        try:
            self._keep(data, read_frames(data, self._max_frame_bytes, replies, self._filed))
        except ProtocolError as error:
            self.failure = error
        if self._filed or self._files:
            self._attach(replies)
            if self.failure is not None:
                self.close()
        return replies

    def _attach(self, replies: list[Reply]) -> None:
        filed, self._filed = self._filed, []
        for reply in filed:
            try:
                reply.take_files(self._files)
            except ProtocolError as error:
                self.failure = error
                del replies[replies.index(reply) :]
                return
        if self._files and not self._held_bytes and self.failure is None:
            self.failure = surplus_files()

    def close(self) -> None:
        """Nothing more is read: files that no frame will get are closed."""
        self._files.close()

    def _keep(self, data: bytes, start: int) -> None:
        self._held_bytes = len(data) - start
        self._need_bytes = 0
        if self._held_bytes == 0:
            return
        piece = data[start:] if start else data
        self._pieces.append(piece)
        self._need_bytes = frame_bytes(piece)


def read_frames(
    data: bytes, max_frame_bytes: int, replies: list[Reply], filed: list[ReplyWithFiles]
) -> int:
    """Appends every whole reply in data, those with files to both lists; returns where the first
    one that is not whole begins."""
    start, end = 0, len(data)
    while end - start >= _HEADER_BYTES:
        word, length = _FRAME.unpack_from(data, start)
        if word & 0xFF00 or length > max_frame_bytes:
            raise _bad_header(word, length, max_frame_bytes)
        stop = start + _HEADER_BYTES + length
        if stop > end:
            break
        replies.append(_read_reply(data, start, stop, word >> 16))
        if word & 0xFF:
            filed.append(ReplyWithFiles(replies.pop(), word & _FILE_BITS))
            replies.append(filed[-1])
        start = stop
    return start


def surplus_files() -> ProtocolError:
    return ProtocolError("open files came that no frame names")


def frame_bytes(data: bytes) -> int:
    """How long the frame is that begins here, as far as its header has arrived."""
    if len(data) < _HEADER_BYTES:
        return _HEADER_BYTES
    return _HEADER_BYTES + int(_FRAME.unpack_from(data)[1])


def whole_reply(data: bytes) -> Reply | None:
    """The reply if `data` is exactly one of the daily kind (nothing, one short ELEMENT or one DESC
    behind REQ_ID and RESULT), else None: then a ReplyReader is to judge the bytes."""
    size = len(data)
    if size < _PREFIX_BYTES:
        return None
    word, length, first, req_id, second, result = _PREFIX.unpack_from(data)
    if length + _HEADER_BYTES != size or first != _REQ_ID or second != _RESULT or word & 0xFFFF:
        return None
    if size == _PREFIX_BYTES:
        return Reply(word >> 16, req_id, result)
    begin = _PREFIX_BYTES + 4
    if size < begin:
        return None
    (word_behind,) = HEAD.unpack_from(data, _PREFIX_BYTES)
    if word_behind == _ELEMENT | (size - begin):
        return Reply(word >> 16, req_id, result, (data[begin:],)) if size < _LONG_BYTES else None
    if word_behind == RECEIVED_HEAD and size == begin + RECEIVED_BYTES:
        return Reply(word >> 16, req_id, result, (), {_wire.ATTR_DESC: [data[begin:]]})
    return None


def _bad_header(word: int, length: int, limit: int) -> ProtocolError:
    if word & 0xFF00:
        return ProtocolError(f"reserved header flags are set: {word & 0xFFFF:#06x}")
    return FrameTooLong(f"a frame of {length} bytes is over the limit of {limit}")


def _read_reply(data: bytes, start: int, stop: int, cmd: int) -> Reply:
    at = start + _PREFIX_BYTES
    if at <= stop:
        _, _, first, req_id, second, result = _PREFIX.unpack_from(data, start)
        if first == _REQ_ID and second == _RESULT:
            if at == stop:
                return Reply(cmd, req_id, result)
            elements = _read_elements(data, at, stop)
            if elements is not None:
                return Reply(cmd, req_id, result, elements)
            items = read_items(data, at, stop)
            if items is not None:
                return Reply(cmd, req_id, result, (), {_wire.ATTR_ITEM: items})
            ranges = read_run(data, at, stop)
            if ranges is not None:
                return Reply(cmd, req_id, result, (), {_wire.ATTR_DESC: ranges})
    if cmd == _wire.CMD_REGION_FREED:
        ranges = read_run(data, start + _HEADER_BYTES, stop)
        if ranges is not None:
            return Reply(cmd, 0, None, (), {_wire.ATTR_DESC: ranges})
    attributes = read_attributes(data, start + _HEADER_BYTES, stop)
    return Reply(
        cmd,
        attributes.get(_wire.ATTR_REQ_ID, 0),
        attributes.get(_wire.ATTR_RESULT),
        attributes.get(_wire.ATTR_ELEMENT, ()),
        attributes,
    )


def _read_elements(data: bytes, at: int, stop: int) -> tuple[bytes, ...] | list[bytes] | None:
    """The rest of a payload if it is nothing but short ELEMENTs, else None."""
    if stop - at < 4:
        return None
    (word,) = HEAD.unpack_from(data, at)
    length = word & 0xFFFF
    if word >> 16 != _wire.ATTR_ELEMENT or length == _wire.EXTENDED_LENGTH:
        return None
    if stop - at == 4 + length:
        return (data[at + 4 : stop],)
    if (stop - at) % (4 + length) == 0:
        pairs = list(_equal_elements(length).iter_unpack(memoryview(data)[at:stop]))
        if {pair[0] for pair in pairs} == {word}:
            return [pair[1] for pair in pairs]
    return _walk_elements(data, at, stop)


@lru_cache(maxsize=64)
def _equal_elements(length: int) -> Struct:
    return Struct(f">I{length}s")


def _walk_elements(data: bytes, at: int, stop: int) -> list[bytes] | None:
    elements: list[bytes] = []
    unpack = HEAD.unpack_from
    while stop - at >= 4:
        (word,) = unpack(data, at)
        begin = at + 4
        at = begin + (word & 0xFFFF)
        if word >> 16 != _wire.ATTR_ELEMENT or at > stop or at - begin == _wire.EXTENDED_LENGTH:
            return None
        elements.append(data[begin:at])
    return elements if at == stop else None
