"""A region's memory: what is made can only be written here, what is read was checked before."""

import errno
import fcntl
import mmap
import os
import socket
from collections.abc import Iterator

import pytest

from kcoro_ipc.errors import PoolExhausted, ProtocolError
from kcoro_ipc.regions import memory
from kcoro_ipc.regions.memory import PAGE, SEALS, create_memory, map_memory


@pytest.fixture
def unsealed() -> Iterator[int]:
    number = os.memfd_create("test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(number, PAGE)
    yield number
    os.close(number)


def test_a_made_region_is_allocated_and_sealed() -> None:
    mapping, file = create_memory(4 * PAGE)
    assert fcntl.fcntl(file[0], fcntl.F_GET_SEALS) & SEALS == SEALS
    assert os.fstat(file[0]).st_blocks * 512 >= 4 * PAGE
    assert len(mapping) == 4 * PAGE


def test_nobody_else_can_write_shrink_or_grow_it() -> None:
    mapping, file = create_memory(PAGE)
    mapping[:5] = b"ours."
    for attempt in (
        lambda: mmap.mmap(file[0], PAGE),
        lambda: os.ftruncate(file[0], 1),
        lambda: os.ftruncate(file[0], 2 * PAGE),
        lambda: os.pwrite(file[0], b"x", 0),
        lambda: fcntl.fcntl(file[0], fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE),
    ):
        with pytest.raises(PermissionError):
            attempt()
    assert map_memory(file[0], PAGE)[:5] == b"ours."


def test_a_reader_cannot_write() -> None:
    _, file = create_memory(PAGE)
    with pytest.raises(TypeError):
        memoryview(map_memory(file[0], PAGE))[0] = 1


def test_a_kernel_without_the_executable_seal_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def old_kernel(name: str, flags: int) -> int:
        asked.append(flags)
        if flags & memory.MFD_NOEXEC_SEAL:
            raise OSError(errno.EINVAL, "Invalid argument")
        return real(name, flags)

    real = os.memfd_create
    monkeypatch.setattr(os, "memfd_create", old_kernel)
    mapping, _ = create_memory(PAGE)
    assert len(mapping) == PAGE
    assert [bool(flags & memory.MFD_NOEXEC_SEAL) for flags in asked] == [True, False]


def test_more_memory_than_the_machine_has_is_refused_before_any_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Were it asked for, nobody on the machine would have memory left before the error came."""
    asked: list[int] = []
    monkeypatch.setattr(os, "posix_fallocate", lambda *words: asked.append(words[2]))
    with pytest.raises(PoolExhausted, match="Cannot allocate memory"):
        create_memory(1 << 50)
    assert asked == []


def test_no_memory_is_an_exhausted_pool_and_leaks_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(number: int, offset: int, size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(PoolExhausted, match="No space left"):
        create_memory(PAGE)
    assert os.listdir("/proc/self/fd") == before


def test_an_unsealed_file_is_not_read(unsealed: int) -> None:
    with pytest.raises(ProtocolError, match="not sealed against shrinking"):
        map_memory(unsealed, PAGE)


@pytest.mark.parametrize("size", [0, PAGE + 1, 2**63, 2**64 - 1])
def test_a_size_beyond_the_file_is_not_read(size: int) -> None:
    _, file = create_memory(PAGE)
    with pytest.raises(ProtocolError, match="shorter than the region"):
        map_memory(file[0], size)


def test_what_is_no_memory_is_not_read() -> None:
    reading, writing = os.pipe()
    first, second = socket.socketpair()
    with first, second:
        for number in (reading, first.fileno()):
            with pytest.raises(ProtocolError, match="cannot be mapped"):
                map_memory(number, PAGE)
    os.close(reading)
    os.close(writing)


def sparse() -> int:
    number = os.memfd_create("test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(number, 4 * PAGE)
    fcntl.fcntl(number, fcntl.F_ADD_SEALS, SEALS)
    return number


def test_a_hole_has_its_pages_before_it_is_read() -> None:
    number = sparse()
    with map_memory(number, 4 * PAGE) as mapped:
        assert os.fstat(number).st_blocks * 512 == 4 * PAGE
        assert mapped[:] == bytes(4 * PAGE)
    os.close(number)


def test_pages_that_cannot_be_had_are_an_error_and_no_mapping(unsealed: int) -> None:
    """The kernel's own: a page behind the end of a file that has shrunk."""
    mapped = mmap.mmap(unsealed, PAGE, prot=mmap.PROT_READ)
    os.ftruncate(unsealed, 0)
    with pytest.raises(OSError, match="Bad address"):
        memory._populated(mapped)
    assert mapped.closed


@pytest.mark.parametrize(("code", "passes"), [(errno.EINVAL, True), (errno.ENOMEM, False)])
def test_a_kernel_without_populate_maps_and_one_without_memory_is_a_protocol_error(
    monkeypatch: pytest.MonkeyPatch, code: int, passes: bool
) -> None:
    made = []

    class Map(mmap.mmap):
        def madvise(self, option: int, *_: int) -> None:
            made.append(self)
            raise OSError(code, os.strerror(code))

    monkeypatch.setattr(memory.mmap, "mmap", Map)
    number = sparse()
    if passes:
        assert map_memory(number, PAGE)[:] == bytes(PAGE)
    else:
        with pytest.raises(ProtocolError, match=r"cannot be mapped: .*Cannot allocate memory"):
            map_memory(number, PAGE)
    assert [one.closed for one in made] == [not passes]
    os.close(number)
