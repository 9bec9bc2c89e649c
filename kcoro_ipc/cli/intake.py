"""What `kcoro send` reads: stdin as it comes, in large pieces, or a file."""

import fcntl
import os
import stat
from collections.abc import Iterator

from kcoro_ipc.cli.exits import outside

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
            raise outside("cannot read the input", error) from error


def _wait(fd: int) -> None:
    import select

    poll = select.poll()
    poll.register(fd, select.POLLIN)
    poll.poll()


class Source:
    """A file to be sent. `size` is None for what has no length beforehand: a pipe, a device."""

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise outside(f"cannot open {path}", error) from error
        status = os.fstat(self._fd)
        self.size = status.st_size if stat.S_ISREG(status.st_mode) else None

    def fileno(self) -> int:
        return self._fd

    def pieces(self, limit: int) -> Iterator[bytes]:
        """Its content, at most a little over `limit` bytes of it."""
        taken = 0
        while taken <= limit and (data := _read(self._fd)):
            taken += len(data)
            yield data

    def __enter__(self) -> "Source":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)
