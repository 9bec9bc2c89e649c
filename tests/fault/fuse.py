"""A file whose server is this process and answers only what it must: enough to open it.

The mount's root is itself a regular file, so the kernel asks for INIT and OPEN and nothing else
before somebody uses it (linux/fuse.h). Needs the right to mount.
"""

import ctypes
import errno
import os
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FUSE_OPEN, FUSE_RELEASE, FUSE_FLUSH, FUSE_INIT = 14, 18, 25, 26
MNT_DETACH = 2
_HEAD_IN = struct.Struct("=IIQ")  # length, opcode, unique
_HEAD_OUT = struct.Struct("=IiQ")
_ANSWERS = {FUSE_INIT: struct.pack("=II", 7, 31) + bytes(56), FUSE_OPEN: bytes(16)}
_libc = ctypes.CDLL(None, use_errno=True)


class Unusable(Exception):
    """FUSE cannot be used here; the text says why."""


def _serve(device: int, asked: list[int]) -> None:
    while True:
        try:
            request = os.read(device, 1 << 17)
        except OSError:
            return  # unmounted
        _, opcode, unique = _HEAD_IN.unpack_from(request)
        asked.append(opcode)
        body = _ANSWERS.get(opcode)
        code = 0 if body is not None else -errno.ENOSYS
        answer = _HEAD_OUT.pack(_HEAD_OUT.size + len(body or b""), code, unique) + (body or b"")
        try:
            os.write(device, answer)
        except OSError:
            continue  # a request without an answer


@contextmanager
def fuse_file(place: Path) -> Iterator[tuple[int, list[int]]]:
    """An open file of a FUSE file system, mounted at `place` for the block, and what its server is
    asked."""
    place.touch()
    try:
        device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise Unusable(f"/dev/fuse: {error.strerror}") from None
    options = f"fd={device},rootmode=100644,user_id=0,group_id=0".encode()
    if _libc.mount(b"hostile", bytes(place), b"fuse", 0, options) != 0:
        os.close(device)
        raise Unusable(f"mount(2): {os.strerror(ctypes.get_errno())}")
    asked: list[int] = []
    server = threading.Thread(target=_serve, args=(device, asked))
    server.start()
    try:
        file = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield file, asked
        finally:
            os.close(file)
    finally:
        _libc.umount2(bytes(place), MNT_DETACH)
        server.join()
        os.close(device)
