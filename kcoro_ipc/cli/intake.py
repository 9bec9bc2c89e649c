"""What `kcoro send` reads: stdin or a file, as it comes, in large pieces."""

import fcntl
import os
from collections.abc import Iterator

from kcoro_ipc.cli.exits import OutsideError

READ_BYTES = 1 << 20
# A pipe holds 64 KiB by default: with more, the writer fills it while we wait for the daemon.
PIPE_BYTES = 1 << 20
STDIN = 0


def pieces(fd: int = STDIN) -> Iterator[bytes]:
    """What the descriptor gives, as soon as it gives it: `tail -f` is sent line by line."""
    try:
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    except OSError:
        pass  # no pipe, or not ours to change: it works as it is
    while data := _read(fd):
        yield data


def _read(fd: int) -> bytes:
    while True:
        try:
            return os.read(fd, READ_BYTES)
        except BlockingIOError:  # somebody made the shared stdin non-blocking
            _wait(fd)
        except OSError as error:
            raise OutsideError(f"cannot read the input: {error.strerror}") from error


def _wait(fd: int) -> None:
    import select

    poll = select.poll()
    poll.register(fd, select.POLLIN)
    poll.poll()


def read_file(path: str, limit: int) -> Iterator[bytes]:
    """A file's content in pieces, at most a little over `limit` bytes of it."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise OutsideError(f"cannot open {path}: {error.strerror}") from error
    try:
        taken = 0
        while taken <= limit and (data := _read(fd)):
            taken += len(data)
            yield data
    finally:
        os.close(fd)
