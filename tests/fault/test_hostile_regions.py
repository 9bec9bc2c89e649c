"""Regions and ranges that no honest client asks for: EINVAL and why, and nothing is left.

Numbers 14 to 17 of the hostile list.
"""

import ctypes
import fcntl
import mmap
import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from kcoro_ipc import _wire
from kcoro_ipc.protocol import requests
from kcoro_ipc.regions.memory import F_SEAL_FUTURE_WRITE, PAGE, SEALS, create_memory, map_memory
from tests.conformance.pump_subject import PumpSubject
from tests.fault.fuse import (
    FUSE_FLUSH,
    FUSE_INIT,
    FUSE_OPEN,
    FUSE_RELEASE,
    Unusable,
    fuse_file,
)
from tests.fault.house import House
from tests.fault.memory import KEEP_SIZE, SIZE, libc
from tests.fault.passing import BUFFERED
from tests.fault.sharer import SENT, descriptors_settle, memfd, sharer

HUGE = 2 << 20
MFD_HUGETLB = 0x0004
EINVAL, ENOENT, EACCES = _wire.KC_EINVAL, _wire.KC_ENOENT, _wire.KC_EACCES
EBUSY, EDQUOT = _wire.KC_EBUSY, _wire.KC_EDQUOT

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


def test_19_a_terabyte_without_pages_is_refused_and_costs_nothing(house: House) -> None:
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


def test_19_holes_that_as_many_pages_behind_the_end_hide_are_filled_before_they_are_read(
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
