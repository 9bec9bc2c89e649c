"""The content of an open file, copied into a region before it is sealed.

The kernel copies: copy_file_range(2) shares or moves pages where the file systems can, sendfile(2)
copies once everywhere else; in neither case do the bytes pass through this program.
"""

import errno
import os
from collections.abc import Callable

from kcoro_ipc.errors import InvalidArgument

STEP_BYTES = 1 << 30  # of one call, so that a signal is never far
# The two file systems cannot do it together, or the kernel cannot at all.
_CANNOT = {errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF, errno.EPERM}

Fill = Callable[[int], None]


def fill_from(source: int, size: int) -> Fill:
    """What writes the first `size` bytes of the file into a memfd. InvalidArgument when it has
    become shorter meanwhile."""

    def fill(target: int) -> None:
        done = 0
        while done < size:
            step = _copy(source, target, done, min(size - done, STEP_BYTES))
            if not step:
                raise InvalidArgument("the file became shorter while it was read; send it again")
            done += step

    return fill


def _copy(source: int, target: int, offset: int, count: int) -> int:
    try:
        return os.copy_file_range(source, target, count, offset, offset)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
    os.lseek(target, offset, os.SEEK_SET)
    return os.sendfile(target, source, offset, count)
