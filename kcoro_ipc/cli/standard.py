"""The standard descriptors, made safe before a command opens anything.

A shell may start us without some of them (`<&-`, `>&-`). The next socket would then get the free
number, and what is meant for the output would go to the daemon. So each has its number filled:
input cannot be read and output cannot be written, which the command then says; stderr is silent.
Whoever prints, a failure of stdout is an OutsideError, but for a broken pipe, which is quiet.
"""

import io
import os
import sys
from typing import TYPE_CHECKING, TextIO

from kcoro_ipc.cli.exits import OutsideError, outside

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

# What fills a number, opened the way in which it is of no use, except for stderr.
FILLERS = ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_WRONLY))


def secure() -> None:
    """Afterwards 0, 1 and 2 are open, and sys.stdout and sys.stderr are streams on 1 and 2."""
    for fd, way in FILLERS:
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, way)  # the lowest free number, and those below are taken
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115  for the life of the process
    sys.stdout = _output()


def _output() -> TextIO:
    before = sys.stdout
    return io.TextIOWrapper(
        io.BufferedWriter(_Output(1, "w", closefd=False)),
        encoding=before.encoding if before else None,
        errors=before.errors if before else None,
        line_buffering=os.isatty(1),
    )


class _Output(io.FileIO):
    def write(self, data: "ReadableBuffer") -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise unwritable(error) from error


def unwritable(error: OSError) -> OutsideError:
    return outside("cannot write the output", error)
