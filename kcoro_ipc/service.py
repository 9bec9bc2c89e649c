"""What a service manager and a daemon say to each other: passed sockets and readiness.

About 60 lines instead of a library, because the known ones need headers or are not kept up. The
protocols are those of sd_listen_fds(3) and sd_notify(3); without their variables every call does
nothing.
"""

import os
import socket
from collections.abc import Mapping, MutableMapping

from kcoro_ipc.protocol.address import Address
from kcoro_ipc.transport import SOCKET_TYPES, Listener, TransportError

FIRST_PASSED_FD = 3


def passed_listeners(environ: MutableMapping[str, str] = os.environ) -> list[Listener]:
    """The sockets of LISTEN_FDS (sd_listen_fds(3)); empty when there are none for this process.

    The variables are taken out of `environ`, so that no child believes they were for it.
    """
    pid, number = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "")
    environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not number.isdecimal():
        return []
    return [_passed(fd) for fd in range(FIRST_PASSED_FD, FIRST_PASSED_FD + int(number))]


def _passed(fd: int) -> Listener:
    try:
        listening = socket.socket(fileno=fd)
        accepts = listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise TransportError(f"descriptor {fd} of LISTEN_FDS: {error.strerror}") from error
    if listening.family != socket.AF_UNIX or listening.type not in SOCKET_TYPES or not accepts:
        listening.close()
        raise TransportError(
            f"descriptor {fd} of LISTEN_FDS is no listening Unix socket (stream or seqpacket)"
        )
    listening.setblocking(False)
    os.set_inheritable(fd, False)
    kind = "stream" if listening.type == socket.SOCK_STREAM else "seqpacket"
    name = listening.getsockname()
    return Listener(listening, Address(kind, os.fsdecode(name) or f"fd {fd}"))


def notify(state: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Sends `READY=1`, `STOPPING=1`, ... to $NOTIFY_SOCKET; whether it was sent."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as manager:
            manager.connect(address.replace("@", "\0", 1) if address[0] == "@" else address)
            manager.sendall(state.encode())
    except OSError:
        return False  # a manager that is gone or does not listen must not stop the daemon
    return True
