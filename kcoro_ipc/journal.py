"""Entries for the systemd journal: fields in, one datagram to journald's socket out.

Not the log (logs.py says what an entry holds) and no reader. The format is that of
https://systemd.io/JOURNAL_NATIVE_PROTOCOL: a line `NAME=value`, or for a value of several lines the
name, its length in 8 bytes, little-endian, and the value. An entry that is too long for a datagram
goes as a sealed file of memory. `send` never waits.
"""

import errno
import fcntl
import os
import socket
import struct
from collections.abc import Iterable, Mapping
from typing import TextIO

SOCKET = "/run/systemd/journal/socket"
TOO_LONG = (errno.EMSGSIZE, errno.ENOBUFS)
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL

Fields = Iterable[tuple[str, str]]


class Journal:
    """journald is found anew for each entry, so that a restart of it needs nothing of us."""

    def __init__(self, path: str = SOCKET) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)

    def close(self) -> None:
        self._socket.close()

    def send(self, fields: Fields) -> None:
        """BlockingIOError: journald is behind, the entry is lost. OSError: it is not there."""
        data = entry(fields)
        try:
            self._socket.sendto(data, self._path)
        except OSError as error:
            if error.errno not in TOO_LONG:
                raise
            self._send_sealed(data)

    def _send_sealed(self, data: bytes) -> None:
        file = os.memfd_create("kcoro-journal", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(file, rest) :]
            fcntl.fcntl(file, fcntl.F_ADD_SEALS, SEALS)
            # Not socket.send_fds: it forgets the address (CPython 3.11).
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", file))
            self._socket.sendmsg([b""], [rights], 0, self._path)
        finally:
            os.close(file)


def entry(fields: Fields) -> bytes:
    return b"".join(_field(name, value) for name, value in fields)


def _field(name: str, value: str) -> bytes:
    data = value.encode(errors="backslashreplace")
    if b"\n" not in data:
        return b"%s=%s\n" % (name.encode(), data)
    return b"%s\n%s%s\n" % (name.encode(), len(data).to_bytes(8, "little"), data)


def is_journal(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether `stream` is the one that systemd announced as DEVICE:INODE in $JOURNAL_STREAM."""
    try:
        stat = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environ.get("JOURNAL_STREAM") == f"{stat.st_dev}:{stat.st_ino}"
