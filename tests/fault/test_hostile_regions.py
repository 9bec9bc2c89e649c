"""Regions, ranges and leases that no honest client asks for: EINVAL and why, and nothing is left.

Numbers 14 to 22 of the hostile list. What a reader has mapped can neither shrink, change nor vanish
under it, so nobody is ever hit by SIGBUS.
"""

import ctypes
import errno
import fcntl
import mmap
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kcoro_ipc import _wire
from kcoro_ipc.protocol import requests
from kcoro_ipc.regions.memory import F_SEAL_FUTURE_WRITE, PAGE, SEALS, create_memory, map_memory
from tests.conformance.pump_subject import PumpSubject
from tests.e2e.harness import running_daemon
from tests.fault.fuse import (
    FUSE_FLUSH,
    FUSE_INIT,
    FUSE_OPEN,
    FUSE_RELEASE,
    Unusable,
    fuse_file,
)
from tests.fault.house import House
from tests.fault.sharer import SENT, descriptors_settle, memfd, sharer

SIZE = 4 * PAGE
HUGE = 2 << 20
MFD_HUGETLB = 0x0004
PUNCH_HOLE, KEEP_SIZE = 2, 1
BUFFERED = {"KIND": 1, "CAPACITY": 64}
EINVAL, ENOENT, EACCES = _wire.KC_EINVAL, _wire.KC_ENOENT, _wire.KC_EACCES
EBUSY, EDQUOT, ECANCELED = _wire.KC_EBUSY, _wire.KC_EDQUOT, _wire.KC_ECANCELED
LIBC = ctypes.CDLL(None, use_errno=True)

# --- 14: what is no region ---


def pipe() -> int:
    reading, writing = os.pipe()
    os.close(reading)
    return writing


def unix_socket() -> int:
    one, other = socket.socketpair()
    other.close()
    return one.detach()


def regular_file() -> int:
    with tempfile.TemporaryFile(dir="/tmp") as file:
        file.truncate(SIZE)
        return os.dup(file.fileno())


def in_dev_shm() -> int:
    with tempfile.TemporaryFile(dir="/dev/shm") as file:
        os.posix_fallocate(file.fileno(), 0, SIZE)
        return os.dup(file.fileno())


def hole_before_surplus() -> int:
    number = memfd(2 * SIZE, seals=0, allocate=False)
    os.posix_fallocate(number, SIZE, SIZE)
    fcntl.fcntl(number, fcntl.F_ADD_SEALS, SEALS)
    return number


def hole_and_pages_behind_the_end(pages_bytes: int = 2 * SIZE) -> int:
    number = memfd(SIZE, seals=0, allocate=False)
    libc("fallocate", number, KEEP_SIZE, ctypes.c_long(SIZE), ctypes.c_long(pages_bytes))
    fcntl.fcntl(number, fcntl.F_ADD_SEALS, SEALS)
    return number


def path_only() -> int:
    number = memfd(SIZE)
    try:
        return os.open(f"/proc/self/fd/{number}", os.O_PATH)
    finally:
        os.close(number)


def huge_pages() -> int:
    try:
        return memfd(HUGE, allocate=False, flags=MFD_HUGETLB)
    except OSError as error:
        pytest.skip(f"hugetlb: this kernel has no memory of huge pages ({error.strerror})")


NO_REGIONS: dict[str, tuple[Callable[[], int], str]] = {
    "unsealed": (lambda: memfd(SIZE, seals=0), "shrinking"),
    "may shrink": (lambda: memfd(SIZE, seals=SEALS & ~fcntl.F_SEAL_SHRINK), "shrinking"),
    "may grow": (lambda: memfd(SIZE, seals=SEALS & ~fcntl.F_SEAL_GROW), "growing"),
    "has writers": (lambda: memfd(SIZE, seals=SEALS & ~F_SEAL_FUTURE_WRITE), "new writers"),
    "more seals": (lambda: memfd(SIZE, seals=SEALS & ~fcntl.F_SEAL_SEAL), "F_SEAL_SEAL"),
    "sparse": (lambda: memfd(SIZE, allocate=False), "holes"),
    "sparse before a surplus": (hole_before_surplus, "size is not"),
    "sparse, with pages behind the end": (hole_and_pages_behind_the_end, "behind its end"),
    "larger than it says": (lambda: memfd(2 * SIZE), "size is not"),
    "too small": (lambda: memfd(SIZE - PAGE), "size is not"),
    "empty": (lambda: memfd(0, allocate=False), "size is not"),
    "pipe": (pipe, "no memfd"),
    "socket": (unix_socket, "no memfd"),
    "directory": (lambda: os.open("/tmp", os.O_RDONLY), "no memfd"),
    "dev zero": (lambda: os.open("/dev/zero", os.O_RDWR), "no memfd"),
    "O_PATH": (path_only, "no memfd"),
    "regular file": (regular_file, "no memfd"),
    "in dev shm": (in_dev_shm, "shrinking"),
    "hugetlb": (huge_pages, "huge pages"),
}


@pytest.mark.parametrize("what", list(NO_REGIONS))
def test_14_what_is_no_region_is_einval_that_names_the_check_and_is_closed(
    house: House, what: str
) -> None:
    """Contract 4.14: the connection lives, and the daemon keeps no descriptor of it."""
    make, words = NO_REGIONS[what]
    size = HUGE if what == "hugetlb" else SIZE
    with sharer(house) as peer:
        before = house.process.descriptors()
        number = peer.own(make())
        for _ in range(3):
            answer = peer.ask_files("REGION_ADD", [number], SIZE=size)
            assert answer["RESULT"] == EINVAL
            assert words.encode() in answer["REASON"]
        assert peer.lives()
        assert peer.usage()["regions"] == 0
        descriptors_settle(house, before)


def test_14_a_terabyte_without_pages_is_refused_and_costs_nothing(house: House) -> None:
    """Its size is over the quota before anybody looks for its pages."""
    with sharer(house) as peer:
        before = house.process.resident_bytes()
        number = peer.own(memfd(1 << 40, allocate=False))
        answer = peer.ask_files("REGION_ADD", [number], SIZE=1 << 40)
        assert answer["RESULT"] == EDQUOT
        assert answer["QUOTA_SETTING"] == b"limits.region_bytes_per_uid"
        assert peer.usage()["region_bytes"] == 0
        assert house.process.resident_bytes() - before < 1 << 20


def allocated_bytes(number: int) -> int:
    return os.fstat(number).st_blocks * 512


def test_14_holes_that_as_many_pages_behind_the_end_hide_are_filled_before_they_are_read(
    house: House,
) -> None:
    """The daemon cannot tell them by the number of blocks; the reader has all pages or no map."""
    with sharer(house) as owner, sharer(house) as reader:
        chan = owner.make(**BUFFERED)
        reader.open(chan)
        number = owner.own(hole_and_pages_behind_the_end(SIZE))
        assert allocated_bytes(number) == SIZE
        region = owner.region(number, SIZE)
        assert owner.send_range(chan, region, 0, SIZE)["RESULT"] == 0
        reader.receive_range(chan)
        with map_memory(reader.maps[region][0], SIZE) as mapped:
            assert allocated_bytes(number) == 2 * SIZE
            assert mapped[:] == bytes(SIZE)


def test_14_a_file_of_fuse_is_refused_and_its_server_hears_only_of_the_close(
    house: House, tmp_path: Path
) -> None:
    try:
        with fuse_file(tmp_path / "fuse") as (file, asked), sharer(house) as peer:
            answer = peer.ask_files("REGION_ADD", [file], SIZE=SIZE)
            assert (answer["RESULT"], b"no memfd" in answer["REASON"]) == (EINVAL, True)
            assert peer.lives()
            assert set(asked) <= {FUSE_INIT, FUSE_OPEN, FUSE_FLUSH, FUSE_RELEASE}
    except Unusable as why:
        pytest.skip(f"FUSE cannot be used here: {why}")


def test_14_a_region_without_size_or_file_or_with_two_is_einval(house: House) -> None:
    with sharer(house) as peer:
        before = house.process.descriptors()
        number = peer.own(memfd(SIZE))
        assert peer.ask_files("REGION_ADD", [number], SIZE=0)["RESULT"] == EINVAL
        assert peer.ask_files("REGION_ADD", [number])["RESULT"] == EINVAL
        assert peer.ask_files("REGION_ADD", [number] * 2, SIZE=SIZE)["RESULT"] == EINVAL
        assert peer.result("REGION_ADD", SIZE=SIZE) == EINVAL
        assert peer.ask_files("REGION_ADD", [number], SIZE=2**64 - 1)["RESULT"] in (EINVAL, EDQUOT)
        assert peer.lives()
        descriptors_settle(house, before)


# --- 15: ranges ---

BAD_RANGES = {
    "empty": (0, 0),
    "empty at the end": (SIZE, 0),
    "one beyond": (0, SIZE + 1),
    "one beyond from the middle": (PAGE, SIZE - PAGE + 1),
    "behind the end": (SIZE, 1),
    "offset and length overflow": (2**64 - 1, 2),
    "overflow to inside": (2**64 - PAGE, 2 * PAGE),
    "length over everything": (1, 2**64 - 1),
    "offset over everything": (2**64 - 1, 1),
}


@pytest.mark.parametrize("where", list(BAD_RANGES))
def test_15_a_range_that_is_not_inside_its_region_is_einval(house: House, where: str) -> None:
    offset, length = BAD_RANGES[where]
    memory, file = create_memory(SIZE)
    with sharer(house) as peer:
        chan = peer.make(**BUFFERED)
        region = peer.region(file[0], SIZE)
        assert peer.send_range(chan, region, offset, length)["RESULT"] == EINVAL
        clause = [("CHAN_ID", chan), ("DESC", SENT.pack(region, offset, length))]
        assert peer.result("SELECT", ("CLAUSE", clause), TIMEOUT_MS=0) == EINVAL
        assert peer.ask("GET_STATS", CHAN_ID=chan)["RESULT"] == 0
        assert peer.result("CHAN_RECV", CHAN_ID=chan, TIMEOUT_MS=0) == _wire.KC_EAGAIN
        assert peer.send_range(chan, region, 0, SIZE)["RESULT"] == 0
        assert peer.receive_range(chan)[:3] == (region, 0, SIZE)
    memory.close()


@pytest.mark.parametrize("length", [0, 1, 8, 23, 25, 32, 300])
def test_15_a_desc_of_another_length_is_einval(house: House, length: int) -> None:
    with sharer(house) as peer:
        chan = peer.make(**BUFFERED)
        assert peer.result("CHAN_SEND", CHAN_ID=chan, DESC=b"\1" * length) == EINVAL
        assert peer.lives()


# --- 16: whose region ---


def test_16_a_region_of_another_connection_is_eacces(house: House) -> None:
    """Even for one who received a range of it and holds its file."""
    memory, file = create_memory(SIZE)
    with sharer(house) as owner, sharer(house) as thief:
        chan = owner.make(**BUFFERED)
        thief.open(chan)
        region = owner.region(file[0], SIZE)
        assert thief.send_range(chan, region, 0, PAGE)["RESULT"] == EACCES
        owner.send_range(chan, region, 0, PAGE)
        thief.receive_range(chan)
        assert thief.send_range(chan, region, 0, PAGE)["RESULT"] == EACCES
        assert thief.result("REGION_DROP", REGION_ID=region, FLAGS=2) == ENOENT
        assert owner.send_range(chan, region, PAGE, PAGE)["RESULT"] == 0
    memory.close()


def test_16_a_region_of_another_uid_is_eacces() -> None:
    """Without sockets, where a test may be several users."""
    subject = PumpSubject()
    try:
        owner, thief = subject.user(1001), subject.user(1002)
        chan = owner.made(
            {"kind": "buffered", "capacity": 4, "mode": 0o666, "ephemeral": True}, "x"
        )
        account = subject.broker.user(1001).account
        region = subject.engine.region_add(account, memfd(SIZE), SIZE, owner.conn)
        for user, code in ((thief, EACCES), (owner, 0)):
            req_id = user.new_id()
            frame = requests.send_ranges(req_id, user.use(chan), 0, [(region, 0, PAGE)])
            assert user.begin("send", req_id, frame).code == code
    finally:
        subject.finish()


# --- 17: ids that were ---


def test_17_unknown_and_dropped_regions_are_enoent_and_an_id_never_comes_back(house: House) -> None:
    memory, file = create_memory(SIZE)
    with sharer(house) as peer:
        chan = peer.make(**BUFFERED)
        seen: set[int] = set()
        for _ in range(20):
            region = peer.region(file[0], SIZE)
            assert region not in seen
            seen.add(region)
            assert peer.result("REGION_DROP", REGION_ID=region) == 0
            assert peer.result("REGION_DROP", REGION_ID=region) == ENOENT
        live = peer.region(file[0], SIZE)
        for region in (*seen, 0, 1, 2**64 - 1, live ^ (1 << 32), live + 1):
            assert peer.send_range(chan, region, 0, PAGE)["RESULT"] == ENOENT
            assert peer.result("REGION_DROP", REGION_ID=region) == ENOENT
        assert peer.send_range(chan, live, 0, PAGE)["RESULT"] == 0
    memory.close()


def test_17_a_revoked_region_takes_its_messages_along_and_leaves_leases_valid(house: House) -> None:
    memory, file = create_memory(SIZE)
    memory[:5] = b"first"
    with sharer(house) as owner, sharer(house) as reader:
        chan = owner.make(**BUFFERED)
        reader.open(chan)
        region = owner.region(file[0], SIZE)
        for page in range(3):
            assert owner.send_range(chan, region, page * PAGE, PAGE)["RESULT"] == 0
        lease = reader.receive_range(chan)
        assert owner.result("REGION_DROP", REGION_ID=region) == EBUSY
        assert owner.result("REGION_DROP", REGION_ID=region, FLAGS=2) == 0
        assert reader.result("CHAN_RECV", CHAN_ID=chan, TIMEOUT_MS=0) == _wire.KC_EAGAIN
        assert owner.send_range(chan, region, 0, PAGE)["RESULT"] == ENOENT
        with mmap.mmap(reader.maps[region][0], SIZE, prot=mmap.PROT_READ) as mapped:
            assert mapped[:5] == b"first"
        assert reader.gone == []
        assert reader.result("RELEASE", LEASE_ID=lease[3]) == 0
        assert reader.lives()
        assert owner.lives()
        assert reader.gone == [region]
        assert sorted(owner.freed) == [
            (region, 0, PAGE, 0),
            (region, PAGE, PAGE, 1),
            (region, 2 * PAGE, PAGE, 1),
        ]
        assert owner.usage()["regions"] == 0
    memory.close()


# --- 18 to 20: under a reader ---


def fails(call: Callable[[], Any]) -> int:
    """The errno of what must not succeed."""
    try:
        call()
    except OSError as error:
        return error.errno or 0
    return 0


def libc(name: str, *arguments: Any) -> None:
    if getattr(LIBC, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), name)


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


def test_18_not_even_the_makers_own_mapping_punches_a_hole(house: House) -> None:
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
    directory = Path(tempfile.mkdtemp(prefix="kc-", dir="/tmp"))
    try:
        with running_daemon(directory, "--limit", f"region_bytes_per_uid={SIZE}") as daemon:
            made = House(daemon)
            yield made
            made.check()
            made.finish()
    finally:
        shutil.rmtree(directory)


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
