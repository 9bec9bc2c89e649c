"""`kcoro recv --output`: one message into a file, whole or not at all.

It is written beside the file and moved there when it is complete, so that nobody sees half of it;
what is no regular file (a device, a FIFO) is written as it is.
"""

import os
import stat
import tempfile
from pathlib import Path

from kcoro_ipc.cli.exits import outside
from kcoro_ipc.cli.output import STDOUT, write_all

USUAL_MODE = 0o666


def save(path: str, data: bytes | memoryview) -> None:
    """BrokenPipeError passes; any other failure is an OutsideError, and the file is as it was."""
    if path == "-":
        write_all(data, STDOUT)
        return
    try:
        if _is_regular(path):
            _replace(Path(path), data)
        else:
            _write_into(path, data)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise outside(f"cannot write {path}", error) from error


def _is_regular(path: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:
        return True


def _replace(path: Path, data: bytes | memoryview) -> None:
    target = path.resolve()  # a link stays a link
    fd, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        try:
            write_all(data, fd)
            os.fchmod(fd, _mode_of(target))
        finally:
            os.close(fd)
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise


def _mode_of(target: Path) -> int:
    try:
        return stat.S_IMODE(os.stat(target).st_mode)
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return USUAL_MODE & ~mask


def _write_into(path: str, data: bytes | memoryview) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        write_all(data, fd)
    finally:
        os.close(fd)
