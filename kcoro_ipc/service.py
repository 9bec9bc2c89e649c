"""What a service manager and a daemon say to each other: passed sockets and the state of things.

Two small protocols instead of a library, because the known ones need headers or are not kept up:
sd_listen_fds(3) and sd_notify(3). Without their variables every call does nothing. When to speak is
the caller's business; watchdog.py does it again and again.
"""

import logging
import os
import socket
import time
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from typing import NamedTuple

from kcoro_ipc.logs import say
from kcoro_ipc.protocol.address import Address
from kcoro_ipc.transport import SOCKET_TYPES, Listener, TransportError

FIRST_PASSED_FD = 3
END_S = 5.0  # what ending takes after the time to drain, generously
# FileDescriptorName= -> what such a socket must be.
NAMES = {
    "stream": socket.SOCK_STREAM,
    "seqpacket": socket.SOCK_SEQPACKET,
    "metrics": socket.SOCK_STREAM,
}
KINDS = {socket.SOCK_STREAM: "stream", socket.SOCK_SEQPACKET: "seqpacket"}


# --- passed sockets ---


class Listeners(NamedTuple):
    """Where clients connect, and where somebody reads metrics."""

    channels: list[Listener]
    metrics: list[Listener]


def passed_listeners(environ: MutableMapping[str, str] = os.environ) -> Listeners:
    """The sockets of LISTEN_FDS by their names in LISTEN_FDNAMES; both lists are empty without.

    A socket without a name is one for channels. One with a name that is not in NAMES is closed, and
    the log says so. TransportError, and all are closed, when a socket is not what its name says or
    when none is for channels. The variables are taken out of `environ`, so that no child believes
    they were for it.
    """
    passed = Listeners([], [])
    fds = _passed_fds(environ)
    try:
        for fd, name in fds:
            if name and name not in NAMES:
                _leave(fd, name)
            else:
                lists = passed.metrics if name == "metrics" else passed.channels
                lists.append(_listener(fd, name))
        if fds and not passed.channels:
            raise TransportError(
                "no socket for channels was passed; name one by FileDescriptorName=stream or "
                "=seqpacket in its unit (systemd-socket-activate: --fdname=stream)"
            )
    except BaseException:
        for listener in (*passed.channels, *passed.metrics):
            listener.close()
        raise
    return passed


def _passed_fds(environ: MutableMapping[str, str]) -> list[tuple[int, str]]:
    """Each passed descriptor with its name, "" when there are no names."""
    pid, number = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "")
    names = environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not number.isdecimal():
        return []
    fds = range(FIRST_PASSED_FD, FIRST_PASSED_FD + int(number))
    given = [""] * len(fds) if names is None else names.split(":")
    if len(given) != len(fds):
        raise TransportError(f"LISTEN_FDS={number} does not fit LISTEN_FDNAMES={names}; unset both")
    return list(zip(fds, given, strict=True))


def _leave(fd: int, name: str) -> None:
    """Not an error: a unit of a later version may pass what this one does not know."""
    advice = f"FileDescriptorName= is none of {', '.join(NAMES)}"
    say(logging.WARNING, "passed descriptor not used", name=name, fd=fd, why=advice)
    with suppress(OSError):
        os.close(fd)


def _listener(fd: int, name: str) -> Listener:
    try:
        listening = socket.socket(fileno=fd)
        accepts = listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise TransportError(
            f"descriptor {fd} of LISTEN_FDS: {error.strerror}; pass a listening socket there"
        ) from error
    try:
        if listening.family != socket.AF_UNIX or listening.type not in SOCKET_TYPES or not accepts:
            raise TransportError(
                f"descriptor {fd} of LISTEN_FDS is no listening Unix socket; pass a stream or "
                "seqpacket one"
            )
        kind = KINDS[listening.type]
        address = Address(kind, os.fsdecode(listening.getsockname()) or f"fd {fd}")
        if name and NAMES[name] != listening.type:
            raise TransportError(
                f"{address.path} is a {kind} socket but is named {name}; correct "
                "FileDescriptorName= or the Listen line of its unit"
            )
    except BaseException:
        listening.close()
        raise
    listening.setblocking(False)
    os.set_inheritable(fd, False)
    return Listener(listening, address)


# --- the state of things ---


def is_managed(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether somebody wants to hear the state of this process."""
    return environ.get("NOTIFY_SOCKET", "").startswith(("/", "@"))


def notify(state: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Sends assignments, one a line, to $NOTIFY_SOCKET; whether they were sent."""
    if not is_managed(environ):
        return False
    address = environ["NOTIFY_SOCKET"]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as manager:
            manager.connect(address.replace("@", "\0", 1) if address[0] == "@" else address)
            manager.sendall(state.encode())
    except OSError:
        return False  # a manager that is gone or does not listen must not stop the daemon
    return True


def ready(status: str = "", environ: Mapping[str, str] = os.environ) -> bool:
    """Clients are served: for the first time, or again after `reloading`. For whoever looks when
    we have ended (ExecStopPost=), the file $KCORO_READY says so, too."""
    if mark := environ.get("KCORO_READY"):
        with suppress(OSError):
            os.close(os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    said = f"READY=1\nMAINPID={os.getpid()}"
    return notify(f"{said}\nSTATUS={status}" if status else said, environ)


def reloading(environ: Mapping[str, str] = os.environ) -> bool:
    """The configuration is read again; `ready` must follow, also when that failed.

    Without the time in the same datagram a manager with Type=notify-reload would take a word that
    was under way since an earlier reload for this one's.
    """
    return notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}", environ)


def stopping(drain_s: float, environ: Mapping[str, str] = os.environ) -> bool:
    """The end begins, and may take `drain_s` longer than TimeoutStopSec= knows."""
    status = f"draining for up to {drain_s:g} s" if drain_s else "ending"
    extend_us = int((drain_s + END_S) * 1e6)
    return notify(f"STOPPING=1\nSTATUS={status}\nEXTEND_TIMEOUT_USEC={extend_us}", environ)


def watchdog_ns(environ: Mapping[str, str] = os.environ) -> int | None:
    """How long the manager waits between two WATCHDOG=1; None: it does not watch this process."""
    usec, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not is_managed(environ) or not usec.isdecimal() or not int(usec):
        return None
    return int(usec) * 1000 if pid in ("", str(os.getpid())) else None
