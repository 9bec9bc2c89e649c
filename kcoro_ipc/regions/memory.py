"""The memory of a region: a memfd that its maker alone can write.

A made region is allocated at once, so that writing never runs out of memory half way, and sealed:
it cannot shrink (whoever reads it is never hit by SIGBUS), grow, or be mapped writable once more.
Reading sides check the seal and the size themselves and trust nobody with that, and have every page
there before anybody reads: a hole that found no memory then would be a SIGBUS.
"""

import errno
import fcntl
import math
import mmap
import os
from pathlib import Path

from kcoro_ipc.errors import PoolExhausted, ProtocolError
from kcoro_ipc.files import Loose
from kcoro_ipc.regions.filling import Fill

# linux/memfd.h, linux/fcntl.h: not in the modules of Python 3.11.
MFD_NOEXEC_SEAL = 0x0008
F_SEAL_FUTURE_WRITE = 0x0010
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | F_SEAL_FUTURE_WRITE | fcntl.F_SEAL_SEAL
MADV_POPULATE_READ = 22  # linux/mman.h, from 5.14 on
PAGE = mmap.PAGESIZE


def create_memory(size: int, fill: Fill | None = None) -> tuple[mmap.mmap, Loose]:
    """The mapping and the memfd to register it with. PoolExhausted if the kernel has none. `fill`
    writes into the memfd before it is sealed; what it raises passes."""
    own = Loose()
    try:
        own.extend(map(_memfd, ("kcoro-region",)))
        _allocate(own[0], size)
    except OSError as error:
        raise _exhausted(size, error) from None
    if fill is not None:
        fill(own[0])
    try:
        memory = mmap.mmap(own[0], size)
        fcntl.fcntl(own[0], fcntl.F_ADD_SEALS, SEALS)
    except OSError as error:
        raise _exhausted(size, error) from None
    return memory, own


def _allocate(number: int, size: int) -> None:
    """To fill a file that is longer than all memory would end with nobody's memory left, and not
    with an error: it is not begun."""
    if size > _memory_bytes():
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
    os.posix_fallocate(number, 0, size)


def _memory_bytes() -> float:
    """Of the machine, swap too (proc(5)); infinite where that is not told."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return math.inf
    told = dict(line.split(":", 1) for line in lines)
    return sum(1024 * int(told[name].split()[0]) for name in ("MemTotal", "SwapTotal"))


def _exhausted(size: int, error: OSError) -> PoolExhausted:
    return PoolExhausted(f"the system gives no shared memory of {size} bytes: {error.strerror}")


def _memfd(name: str) -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        return os.memfd_create(name, flags | MFD_NOEXEC_SEAL)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a kernel before 6.3, which has no executable seal
            raise
        return os.memfd_create(name, flags)


def map_memory(number: int, size: int) -> mmap.mmap:
    """Another's region, to be read. ProtocolError when reading it would not be safe."""
    try:
        seals = fcntl.fcntl(number, fcntl.F_GET_SEALS)
        if not seals & fcntl.F_SEAL_SHRINK:
            raise ProtocolError("a region came that is not sealed against shrinking")
        if not 0 < size <= os.fstat(number).st_size:
            raise ProtocolError("a region came whose file is shorter than the region")
        return _populated(mmap.mmap(number, size, prot=mmap.PROT_READ))
    except (OSError, ValueError, OverflowError) as error:
        raise ProtocolError(f"a region came that cannot be mapped: {error}") from None


def _populated(memory: mmap.mmap) -> mmap.mmap:
    """With all its pages, holes too (madvise(2)). Closed, and OSError, when they cannot be had."""
    try:
        memory.madvise(MADV_POPULATE_READ)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a kernel that does not know it
            memory.close()
            raise
    return memory
