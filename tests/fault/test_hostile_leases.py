"""Readers and leases under attack. Numbers 18 to 22 of the hostile list.

What a reader has mapped can neither shrink, change nor vanish under it, so nobody is ever hit by
SIGBUS.
"""

import ctypes
import errno
import fcntl
import mmap
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kcoro_ipc import _wire
from kcoro_ipc.regions.memory import PAGE, create_memory
from tests.fault.house import House
from tests.fault.memory import KEEP_SIZE, LIBC, PUNCH_HOLE, SIZE, libc
from tests.fault.passing import BUFFERED, house_with
from tests.fault.sharer import descriptors_settle, sharer

ENOENT, EBUSY, EDQUOT = _wire.KC_ENOENT, _wire.KC_EBUSY, _wire.KC_EDQUOT

# --- 18 to 20: under a reader ---


def fails(call: Callable[[], Any]) -> int:
    """The errno of what must not succeed."""
    try:
        call()
    except OSError as error:
        return error.errno or 0
    return 0


def address(mapped: mmap.mmap) -> ctypes.c_void_p:
    """Of a mapping that can be written."""
    return ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(mapped)))


def through_a_mapping(number: int, name: str, flag: int) -> None:
    """`name`(2) on a mapping made to read."""
    size = ctypes.c_size_t(SIZE)
    LIBC.mmap.restype = ctypes.c_void_p
    where = LIBC.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, number, ctypes.c_long(0))
    assert where != ctypes.c_void_p(-1).value
    try:
        libc(name, ctypes.c_void_p(where), size, flag)
    finally:
        libc("munmap", ctypes.c_void_p(where), size)


def punch(number: int) -> None:
    mode = PUNCH_HOLE | KEEP_SIZE
    libc("fallocate", number, mode, ctypes.c_long(0), ctypes.c_long(SIZE))


def reopened(number: int, flags: int) -> None:
    again = os.open(f"/proc/self/fd/{number}", flags)
    try:
        os.pwrite(again, b"x", 0)
    finally:
        os.close(again)


ATTACKS: dict[str, Callable[[int], Any]] = {
    "punch": punch,
    "shrink": lambda number: os.ftruncate(number, 0),
    "shrink by one": lambda number: os.ftruncate(number, SIZE - 1),
    "grow": lambda number: os.ftruncate(number, SIZE + PAGE),
    "grow by allocation": lambda number: os.posix_fallocate(number, SIZE, PAGE),
    "writable mapping": lambda number: mmap.mmap(number, SIZE),
    "pwrite": lambda number: os.pwrite(number, b"x", 0),
    "write at the end": lambda number: os.pwrite(number, b"x", SIZE),
    "opened again to write": lambda number: reopened(number, os.O_RDWR),
    "opened again to truncate": lambda number: reopened(number, os.O_RDWR | os.O_TRUNC),
    "mprotect": lambda number: through_a_mapping(
        number, "mprotect", mmap.PROT_READ | mmap.PROT_WRITE
    ),
    "remove through a mapping": lambda number: through_a_mapping(
        number, "madvise", mmap.MADV_REMOVE
    ),
    "seals again": lambda number: fcntl.fcntl(number, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE),
}


@pytest.mark.parametrize("attack", list(ATTACKS))
@pytest.mark.parametrize("who", ["maker", "receiver"])
def test_18_nothing_changes_a_region_under_its_reader(house: House, who: str, attack: str) -> None:
    """The kernel refuses by the seals that the daemon insists on; the reader reads on."""
    memory, file = create_memory(SIZE)
    memory[:] = b"k" * SIZE
    with sharer(house) as owner, sharer(house) as reader:
        chan = owner.make(**BUFFERED)
        reader.open(chan)
        region = owner.region(file[0], SIZE)
        assert owner.send_range(chan, region, 0, SIZE)["RESULT"] == 0
        reader.receive_range(chan)
        number = reader.maps[region][0]
        with mmap.mmap(number, SIZE, prot=mmap.PROT_READ) as mapped:
            code = fails(lambda: ATTACKS[attack](file[0] if who == "maker" else number))
            assert code in (errno.EPERM, errno.EACCES)
            assert mapped[:] == b"k" * SIZE
    memory.close()


def test_20_not_even_the_makers_own_mapping_punches_a_hole(house: House) -> None:
    memory, file = create_memory(SIZE)
    memory[:] = b"k" * SIZE
    with sharer(house) as owner, sharer(house) as reader:
        chan = owner.make(**BUFFERED)
        reader.open(chan)
        region = owner.region(file[0], SIZE)
        owner.send_range(chan, region, 0, SIZE)
        reader.receive_range(chan)
        with mmap.mmap(reader.maps[region][0], SIZE, prot=mmap.PROT_READ) as mapped:
            code = fails(
                lambda: libc("madvise", address(memory), ctypes.c_size_t(SIZE), mmap.MADV_REMOVE)
            )
            assert code == errno.EPERM
            assert mapped[:] == b"k" * SIZE
    memory.close()


def test_18_a_receiver_reads_on_when_the_maker_is_gone(house: House) -> None:
    memory, file = create_memory(SIZE)
    memory[:] = b"k" * SIZE
    with sharer(house) as reader:
        with sharer(house) as owner:
            chan = owner.make(**BUFFERED)
            reader.open(chan)
            region = owner.region(file[0], SIZE)
            owner.send_range(chan, region, 0, SIZE)
            lease = reader.receive_range(chan)[3]
        file.close()
        memory.close()
        house.turns()
        with mmap.mmap(reader.maps[region][0], SIZE, prot=mmap.PROT_READ) as mapped:
            assert mapped[:] == b"k" * SIZE
        assert reader.result("RELEASE", LEASE_ID=lease) == 0
        assert reader.lives()
        assert reader.gone == [region]


# --- 21: leases ---


def test_21_a_forged_release_ends_nothing(house: House) -> None:
    """Unknown, zero, another generation, another connection's: ENOENT, or silence if not asked."""
    memory, file = create_memory(SIZE)
    with sharer(house) as owner, sharer(house) as reader, sharer(house) as thief:
        chan = owner.make(**BUFFERED)
        reader.open(chan)
        region = owner.region(file[0], SIZE)
        owner.send_range(chan, region, 0, SIZE)
        lease = reader.receive_range(chan)[3]
        for forged in (0, lease + 1, lease ^ (1 << 32), lease & 0xFFFFFFFF, 2**64 - 1, region):
            assert reader.result("RELEASE", LEASE_ID=forged) == ENOENT
        assert thief.result("RELEASE", LEASE_ID=lease) == ENOENT
        assert owner.result("RELEASE", LEASE_ID=lease) == ENOENT
        thief.write("RELEASE", LEASE_ID=lease)
        assert thief.lives()
        assert owner.result("REGION_DROP", REGION_ID=region) == EBUSY
        assert owner.freed == []
    memory.close()


def test_21_a_lease_is_released_once_and_its_place_is_another_lease_then(house: House) -> None:
    memory, file = create_memory(SIZE)
    with sharer(house) as owner, sharer(house) as reader:
        chan = owner.make(**BUFFERED)
        reader.open(chan)
        region = owner.region(file[0], SIZE)
        owner.send_range(chan, region, 0, PAGE)
        first = reader.receive_range(chan)[3]
        answer = reader.ask("RELEASE", ("LEASE_ID", first), ("LEASE_ID", first))
        assert (answer["RESULT"], answer["COUNT"]) == (0, 1)
        assert reader.result("RELEASE", LEASE_ID=first) == ENOENT
        owner.send_range(chan, region, PAGE, PAGE)
        second = reader.receive_range(chan)[3]
        assert second != first
        assert reader.result("RELEASE", LEASE_ID=first) == ENOENT
        assert owner.lives()
        assert owner.freed == [(region, 0, PAGE, 0)]
        assert reader.result("RELEASE", LEASE_ID=second) == 0
    memory.close()


# --- 22: floods ---


def test_22_a_flood_of_leases_meets_a_limit_and_the_message_stays(house: House) -> None:
    """4,096 a connection; the refusal names it, and another reader gets what was refused."""
    memory, file = create_memory(SIZE)
    with sharer(house) as owner, sharer(house) as greedy, sharer(house) as other:
        chan = owner.make(KIND=1, CAPACITY=8)
        greedy.open(chan)
        other.open(chan)
        region = owner.region(file[0], SIZE)
        taken = []
        refused: Any = None
        while refused is None:
            assert owner.send_range(chan, region, 0, 1)["RESULT"] == 0
            answer = greedy.ask("CHAN_RECV", CHAN_ID=chan, TIMEOUT_MS=-1)
            if answer["RESULT"]:
                refused = answer
            else:
                taken.append(answer)
            assert len(taken) <= 4_096
        assert len(taken) == 4_096
        assert refused["RESULT"] == EDQUOT
        assert (refused["QUOTA_NAME"], refused["QUOTA_LIMIT"]) == (b"leases per connection", 4_096)
        assert refused["QUOTA_USAGE"] == 4_096
        assert other.receive_range(chan)[:3] == (region, 0, 1)
        assert greedy.lives()
    memory.close()


def test_22_a_flood_of_regions_names_quota_limit_usage_and_setting(house: House) -> None:
    memory, file = create_memory(SIZE)
    with sharer(house) as greedy, sharer(house) as other:
        before = house.process.descriptors()
        for _ in range(256):
            greedy.region(file[0], SIZE)
        for _ in range(10):
            answer = greedy.ask_files("REGION_ADD", [file[0]], SIZE=SIZE)
            assert answer["RESULT"] == EDQUOT
            assert answer["QUOTA_NAME"] == b"regions per connection"
            assert (answer["QUOTA_LIMIT"], answer["QUOTA_USAGE"]) == (256, 256)
            assert answer["QUOTA_SETTING"] == b"limits.regions_per_connection"
        descriptors_settle(house, before + 256)
        other.region(file[0], SIZE)
    memory.close()


@pytest.fixture
def frugal() -> Iterator[House]:
    """A daemon that lets a uid have four pages of regions."""
    with house_with(f"region_bytes_per_uid={SIZE}") as made:
        yield made


def test_22_bytes_of_regions_are_a_quota_of_the_uid_and_come_back(frugal: House) -> None:
    memory, file = create_memory(SIZE)
    half, small = create_memory(2 * PAGE)
    with sharer(frugal) as one, sharer(frugal) as other:
        before = frugal.process.descriptors()
        region = one.region(small[0], 2 * PAGE)
        answer = other.ask_files("REGION_ADD", [file[0]], SIZE=SIZE)
        assert answer["RESULT"] == EDQUOT
        assert answer["QUOTA_NAME"] == b"region bytes per uid"
        assert (answer["QUOTA_LIMIT"], answer["QUOTA_USAGE"]) == (SIZE, 2 * PAGE)
        assert answer["QUOTA_SETTING"] == b"limits.region_bytes_per_uid"
        assert one.usage()["region_bytes"] == 2 * PAGE
        descriptors_settle(frugal, before + 1)
        assert one.result("REGION_DROP", REGION_ID=region) == 0
        assert other.region(file[0], SIZE)
    memory.close()
    half.close()


def test_22_a_region_that_is_dropped_but_read_still_counts(frugal: House) -> None:
    """Else a reader in league would let its owner have any amount."""
    memory, file = create_memory(SIZE)
    with sharer(frugal) as owner, sharer(frugal) as reader:
        chan = owner.make(**BUFFERED)
        reader.open(chan)
        region = owner.region(file[0], SIZE)
        owner.send_range(chan, region, 0, SIZE)
        lease = reader.receive_range(chan)[3]
        assert owner.result("REGION_DROP", REGION_ID=region, FLAGS=2) == 0
        assert owner.ask_files("REGION_ADD", [file[0]], SIZE=SIZE)["RESULT"] == EDQUOT
        owner.socket.close()
        with sharer(frugal) as again:
            assert again.ask_files("REGION_ADD", [file[0]], SIZE=SIZE)["RESULT"] == EDQUOT
            assert reader.result("RELEASE", LEASE_ID=lease) == 0
            assert again.region(file[0], SIZE)
    memory.close()
