"""Listening sockets of the daemon: where they stand, who may own the path, who connects.

Two daemons started on one path at the same instant: the lock file beside the socket lets exactly
one win. A socket file that nobody answers behind is stale and replaced; a live one, a symlink, a
file that is no socket and a socket of another user are refused, saying what to do.

Invariants:
- A path is unlinked only while its lock is held, and at the end only if it is still our inode.
- A socket that a service manager passed (service.py) is neither unlinked nor shut down.
"""

import errno
import fcntl
import os
import socket
import stat
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple, Protocol

from kcoro_ipc.protocol.address import SYSTEM_PATH, Address, parse_address
from kcoro_ipc.pump import SEQPACKET, STREAM

BACKLOG = 4096
PRIVATE_MODE, SYSTEM_MODE = 0o600, 0o666  # of the socket; who may use a channel is its own mode
SO_PEERGROUPS = getattr(socket, "SO_PEERGROUPS", 59)  # Linux 4.13; not named by every Python
DEFAULT_OVERFLOW_ID = 65534  # the kernel's DEFAULT_OVERFLOWUID
MAX_GROUPS = 256  # what Python's getsockopt has room for

_CREDENTIALS = struct.Struct("3i")
_GROUP = struct.Struct("I")
SOCKET_TYPES = {socket.SOCK_STREAM: STREAM, socket.SOCK_SEQPACKET: SEQPACKET}


class TransportError(Exception):
    """The daemon cannot listen; the text says why and what to do."""


class Connected(Protocol):
    """A connected socket, of the standard library or of trio."""

    def getsockopt(self, level: int, optname: int, buflen: int, /) -> bytes: ...


class Credentials(NamedTuple):
    """Who connected, as the kernel knew it at connect(2).

    `unmapped`: a user or primary group that our user namespace does not have; the kernel shows
    them all as its overflow ids (user_namespaces(7)), also those of a user who really has that id.
    """

    pid: int
    uid: int
    gid: int
    groups: frozenset[int]
    unmapped: bool = False


# --- addresses ---


def default_addresses(environ: Mapping[str, str] = os.environ) -> list[Address]:
    """$KCORO_SOCKET alone, else kcoro.sock and kcoro-seq.sock where this user's daemon stands."""
    named = environ.get("KCORO_SOCKET")
    if named:
        return [parse_address(named)]
    directory = default_directory(environ)
    return [
        parse_address(f"stream:{directory}/kcoro.sock"),
        parse_address(f"seqpacket:{directory}/kcoro-seq.sock"),
    ]


def default_directory(environ: Mapping[str, str] = os.environ) -> str:
    runtime = environ.get("XDG_RUNTIME_DIR")
    if os.geteuid() == 0:
        return os.path.dirname(SYSTEM_PATH)
    if not runtime:
        raise TransportError(
            "XDG_RUNTIME_DIR is not set, so there is no usual place for the socket; "
            "say where to listen with --listen PATH or KCORO_SOCKET=PATH"
        )
    return f"{runtime}/kcoro"


# --- listeners ---


@dataclass(slots=True, eq=False)
class Listener:
    """A listening socket. `lock_fd` and `inode` are those of a path that we made, else None."""

    socket: socket.socket
    address: Address
    lock_fd: int | None = None
    inode: tuple[int, int] | None = None

    @property
    def transport(self) -> int:
        return SOCKET_TYPES[self.socket.type]

    def close(self) -> None:
        """The path goes first, while the lock is held, so that no successor's socket is hit."""
        if self.lock_fd is not None:
            if _inode(self.address.path) == self.inode:
                os.unlink(self.address.path)
            self.socket.close()
            _unlock(self.address.path, self.lock_fd)
            self.lock_fd = None
        self.socket.close()


def listen_all(
    addresses: Sequence[Address], mode: int | None = None, group: int | None = None
) -> list[Listener]:
    """A listener for each address, or none and TransportError."""
    listeners: list[Listener] = []
    try:
        for address in addresses:
            listeners.append(listen(address, mode, group))
    except BaseException:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def listen(address: Address, mode: int | None = None, group: int | None = None) -> Listener:
    """Binds the path with `mode` (0666 in the system's place, else 0600) and, if given, `group`."""
    path = address.path
    if path.startswith("@"):
        raise TransportError(f"{path}: abstract sockets have no owner; give a path in a directory")
    if mode is None:
        mode = (
            SYSTEM_MODE if os.path.dirname(path) == os.path.dirname(SYSTEM_PATH) else PRIVATE_MODE
        )
    try:
        _make_directory(os.path.dirname(path) or ".")
        lock_fd = _lock(path)
    except OSError as error:
        raise _refused(path, error) from error
    try:
        _clear(address)
        return _bind(address, mode, group, lock_fd)
    except BaseException as error:
        _unlock(path, lock_fd)
        if isinstance(error, OSError):
            raise _refused(path, error) from error
        raise


def _bind(address: Address, mode: int, group: int | None, lock_fd: int) -> Listener:
    listening = socket.socket(socket.AF_UNIX, address.socket_type | socket.SOCK_NONBLOCK)
    try:
        # The socket's own mode is the file's (less the umask) from the moment it exists.
        os.fchmod(listening.fileno(), mode)
        listening.bind(address.path)
        if group is not None:
            os.chown(address.path, -1, group)
        os.chmod(address.path, mode)
        listening.listen(BACKLOG)
    except BaseException:
        listening.close()
        raise
    return Listener(listening, address, lock_fd, _inode(address.path))


def _make_directory(directory: str) -> None:
    """Missing directories are made for this user alone; the system's for everybody to look into."""
    if os.path.isdir(directory):
        _check_directory(directory)
        return
    if directory == os.path.dirname(SYSTEM_PATH):
        os.makedirs(directory, mode=0o755)
        os.chmod(directory, 0o755)
        return
    os.makedirs(os.path.dirname(directory) or ".", mode=0o700, exist_ok=True)
    os.mkdir(directory, 0o700)


def _check_directory(directory: str) -> None:
    """Our own directory is really ours; a directory that was chosen by hand is its chooser's."""
    if os.path.basename(directory) != "kcoro":
        return
    found = os.lstat(directory)
    if stat.S_ISLNK(found.st_mode):
        raise TransportError(f"{directory} is a symbolic link; remove it, it may lead anywhere")
    if found.st_uid != os.geteuid() or found.st_mode & 0o002:
        raise TransportError(
            f"{directory} belongs to uid {found.st_uid} with mode {found.st_mode & 0o777:04o}, so "
            "others could replace the socket; make it yours with mode 0700, or --listen elsewhere"
        )


def _lock(path: str) -> int:
    """The lock beside the socket, held until `_unlock`; TransportError when a daemon has it."""
    name = f"{path}.lock"
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    while True:
        fd = os.open(name, flags, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise TransportError(_already_there(path)) from None
        except BaseException:
            os.close(fd)
            raise
        if _inode(name) == _inode_of(os.fstat(fd)):
            return fd
        os.close(fd)  # its holder removed the file between our open and our lock


def _unlock(path: str, fd: int) -> None:
    with suppress(FileNotFoundError):
        os.unlink(f"{path}.lock")
    os.close(fd)


def _clear(address: Address) -> None:
    """Removes a stale socket; refuses everything else that stands at the path."""
    path = address.path
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if stat.S_ISLNK(found.st_mode):
        raise TransportError(f"{path} is a symbolic link; remove it, it may lead anywhere")
    if not stat.S_ISSOCK(found.st_mode):
        raise TransportError(f"{path} exists and is no socket; remove it or listen elsewhere")
    if found.st_uid != os.geteuid():
        raise TransportError(
            f"the socket {path} belongs to another user (uid {found.st_uid}); listen elsewhere"
        )
    if _answers(address):
        raise TransportError(_already_there(path))
    os.unlink(path)


def _refused(path: str, error: OSError) -> TransportError:
    return TransportError(
        f"cannot listen at {path}: {error.strerror}; make its directory yours or --listen elsewhere"
    )


def _already_there(path: str) -> str:
    return f"a daemon is already listening at {path}; use or stop it, or --listen elsewhere"


def _answers(address: Address) -> bool:
    """Whether somebody listens. A full backlog and a listener of another type are alive, too."""
    with socket.socket(socket.AF_UNIX, address.socket_type | socket.SOCK_NONBLOCK) as probe:
        code = probe.connect_ex(address.path)
    return code not in (errno.ECONNREFUSED, errno.ENOENT)


def _inode(path: str) -> tuple[int, int] | None:
    try:
        return _inode_of(os.lstat(path))
    except FileNotFoundError:
        return None


def _inode_of(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


# --- peers ---


def credentials(connected: Connected) -> Credentials:
    """OSError when the socket cannot tell, which none of ours does."""
    size = _CREDENTIALS.size
    pid, uid, gid = _CREDENTIALS.unpack(
        connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    )
    nobody, nogroup = _overflow_ids()
    groups = (frozenset({gid}) | _groups(connected)) - {nogroup}
    return Credentials(pid, uid, gid, groups, uid == nobody or gid == nogroup)


@cache
def _overflow_ids() -> tuple[int, int]:
    return _overflow_id("uid"), _overflow_id("gid")


def _overflow_id(kind: str) -> int:
    try:
        with open(f"/proc/sys/kernel/overflow{kind}", encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return DEFAULT_OVERFLOW_ID  # no /proc here


def _groups(connected: Connected) -> frozenset[int]:
    """Supplementary groups; none where the kernel does not tell them or there are over 256."""
    try:
        data = connected.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, MAX_GROUPS * _GROUP.size)
    except OSError:
        return frozenset()
    return frozenset(number for (number,) in _GROUP.iter_unpack(data))
