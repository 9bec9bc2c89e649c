"""Calls about shared memory that Python has no names for, and the sizes that the tests use."""

import ctypes
from typing import Any

from kcoro_ipc.regions.memory import PAGE

SIZE = 4 * PAGE
PUNCH_HOLE, KEEP_SIZE = 2, 1
LIBC = ctypes.CDLL(None, use_errno=True)


def libc(name: str, *arguments: Any) -> None:
    if getattr(LIBC, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), name)
