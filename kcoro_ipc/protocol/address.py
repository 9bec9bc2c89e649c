"""Where the daemon listens: a transport and a path, from an argument, the environment, or habit."""

import os
import socket
from collections.abc import Mapping
from typing import NamedTuple

from kcoro_ipc.errors import AccessDenied, InvalidArgument, KcoroError, NameTooLong, NoDaemon

MAX_PATH_BYTES = 107
SYSTEM_PATH = "/run/kcoro/kcoro.sock"
_TYPES = {"stream": socket.SOCK_STREAM, "seqpacket": socket.SOCK_SEQPACKET}


class Address(NamedTuple):
    transport: str
    path: str

    @property
    def socket_type(self) -> socket.SocketKind:
        return _TYPES[self.transport]

    def __str__(self) -> str:
        return self.path if self.transport == "stream" else f"{self.transport}:{self.path}"


def parse_address(text: str) -> Address:
    """PATH, stream:PATH or seqpacket:PATH. A word before ":/" that is no transport is a mistake,
    not a relative path that nobody would find again."""
    transport, colon, path = text.partition(":")
    if not colon or transport not in _TYPES:
        if transport.isalpha() and path.startswith("/"):
            raise InvalidArgument(f"{text!r}: a transport is stream or seqpacket, not {transport}")
        transport, path = "stream", text
    if not path or "\0" in path:
        raise InvalidArgument(f"{text!r} names no socket; give PATH, stream:PATH or seqpacket:PATH")
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        raise NameTooLong(
            f"the socket's path has over {MAX_PATH_BYTES} bytes, too many for AF_UNIX; take a "
            f"shorter one than {path}"
        )
    return Address(transport, path)


def find_address(
    path: str | os.PathLike[str] | None = None, environ: Mapping[str, str] = os.environ
) -> Address:
    """`path`, else $KCORO_SOCKET, else the first path that exists of the user's and the system's.

    When neither exists the user's is returned, so that the error names the likelier place.
    """
    named = os.fspath(path) if path is not None else environ.get("KCORO_SOCKET")
    if named:
        return parse_address(named)
    runtime = environ.get("XDG_RUNTIME_DIR")
    usual = [f"{runtime}/kcoro/kcoro.sock"] if runtime else []
    usual.append(SYSTEM_PATH)
    return parse_address(next(filter(os.path.exists, usual), usual[0]))


def connect_error(address: Address, error: OSError) -> KcoroError:
    """The exception for a connect(2) that failed."""
    if isinstance(error, PermissionError):
        return AccessDenied(
            f"the socket {address} may not be used by you; ask its owner for write permission"
        )
    if isinstance(error, (BlockingIOError, TimeoutError)):
        return NoDaemon(
            f"the daemon at {address} accepts no connection; it is stuck or overloaded, try again"
        )
    if isinstance(error, (FileNotFoundError, ConnectionError, NotADirectoryError)):
        return NoDaemon(
            f"no daemon at {address}: start one with `kcoro serve`, or set KCORO_SOCKET"
        )
    return NoDaemon(
        f"the socket {address} cannot be used: {error.strerror or error}; set KCORO_SOCKET anew"
    )
