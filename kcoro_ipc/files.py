"""Open files that travel with messages: who owns a descriptor number, and that it is closed once.

A number is always in exactly one `Loose` list, and the list that holds it at its end closes it. It
moves from list to list by `move`, one step of C code: there is no moment in which a signal handler
could run and a number be in both lists, or in none. So what was received is never lost and never
closed twice, whatever was interrupted.

It knows sockets' ancillary data and no frame.
"""

import os
import socket
from array import array
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol
from warnings import warn

from kcoro_ipc import _wire
from kcoro_ipc.errors import ClosedResourceError, InvalidArgument

Ancillary = list[Any]
# Room for the files of one message; the kernel gives at most one message's files to one read.
ANCILLARY_BYTES = socket.CMSG_SPACE(_wire.MAX_MESSAGE_FILES * array("i").itemsize)
TOO_MANY_FILES = (
    "the daemon sent open files that there was no room for; raise this program's limit of open "
    "files (ulimit -n)"
)
RECEIVE_FLAGS = int(socket.MSG_CMSG_CLOEXEC)
CUT_OFF = int(socket.MSG_CTRUNC)  # as a number: the enum's own `&` costs as much as reading a frame


class HasFileno(Protocol):
    def fileno(self) -> int: ...


class Loose(list[int]):
    """Numbers of open files that nobody has taken yet; what is left at the end is closed."""

    def close(self) -> None:
        while self:
            os.close(self.pop())

    def __del__(self) -> None:
        self.close()


def move(source: list[int], target: list[int], count: int) -> None:
    """The first `count` numbers of `source` to the end of `target`, nobody's in between."""
    target.extend(map(source.pop, [0] * count))


class File:
    """An open file that came with a message. It is yours: close it, or `detach` its number.

    As a context manager it is closed at the end of the block.
    """

    def __init__(self) -> None:
        self._held = Loose()
        self._state = "closed"

    def __repr__(self) -> str:
        return f"<open file {self._held[0]}>" if self._held else f"<{self._state} file>"

    @property
    def closed(self) -> bool:
        return not self._held

    def fileno(self) -> int:
        """The number, still owned by this object."""
        if not self._held:
            raise ClosedResourceError(f"this file is {self._state}; it has no number any more")
        return self._held[0]

    def detach(self) -> int:
        """The number, from now on yours to close: for `open(file.detach())` and the like."""
        number = self.fileno()
        self._state = "detached"
        self._held[:] = ()
        return number

    def close(self) -> None:
        """Idempotent; nothing happens to a number that was detached."""
        self._held.close()

    def __enter__(self) -> "File":
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def __del__(self) -> None:
        if self._held:
            warn(f"{self!r} was dropped open; close it", ResourceWarning, stacklevel=2, source=self)


class Sender(NamedTuple):
    """Who sent a message: the user and the process that the kernel named when it connected. By now
    that process may be gone and its number another's."""

    uid: int
    pid: int


class _Message(NamedTuple):
    data: Any
    files: list[File]


class Message(_Message):
    """What `receive_message` gives: a pair of the message and the open files that came with it.
    `sender` says who sent it if that was asked."""

    sender: Sender | None = None

    @classmethod
    def signed(cls, data: Any, files: list[File], sender: Sender | None) -> "Message":
        message = cls(data, files)
        message.sender = sender
        return message


def take(numbers: list[int]) -> list[File]:
    """Owners for all of these numbers, which are no longer in the list afterwards."""
    found = [File() for _ in numbers]
    for file in found:
        move(numbers, file._held, 1)
    return found


def collect(ancillary: Ancillary, into: Loose) -> None:
    """Moves what recvmsg(2) brought. It may be interrupted and called again with the same list."""
    if ancillary and isinstance(ancillary[0], tuple):
        ancillary[:] = _numbers(ancillary)
    move(ancillary, into, len(ancillary))


def _numbers(ancillary: Ancillary) -> list[int]:
    found = array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found.frombytes(data[: len(data) - len(data) % found.itemsize])
    return found.tolist()


def rights(numbers: Sequence[int]) -> Ancillary:
    """Ancillary data for sendmsg(2)."""
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", numbers))]


def duplicate(files: Iterable[int | HasFileno], most: int = _wire.MAX_MESSAGE_FILES) -> Loose:
    """Numbers of our own for what a caller wants sent: the caller's may be closed meanwhile."""
    own = Loose()
    for file in files:
        number = file if isinstance(file, int) else file.fileno()
        try:
            own.extend(map(os.dup, (number,)))
        except OSError as error:
            raise InvalidArgument(f"file {number} cannot be sent: {error.strerror}") from None
    if len(own) > most:
        raise InvalidArgument(
            f"at most {most} files can be sent at once, not {len(own)}; send the others after them"
        )
    return own
