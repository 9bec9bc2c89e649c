"""Clients killed with SIGKILL at every step of sharing memory or passing files, and long runs.

Whatever the step, a region returns to its owner or ends with its last user; files are closed; what
the daemon has open and counts as used is what it was before.
"""

import gc
import mmap
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from kcoro_ipc import _wire, blocking
from kcoro_ipc.regions.memory import create_memory
from tests.conftest import open_files
from tests.fault import sharing
from tests.fault.conftest import Victim
from tests.fault.house import House
from tests.fault.sharer import Sharer, descriptors_settle, files_settle, sharer
from tests.fault.sharing import SIZE, WORDS

both_transports = pytest.mark.parametrize("transport", ["stream", "seqpacket"])
BUFFERED = {"KIND": 1, "CAPACITY": 8}
COUNTED = ("regions", "region_bytes", "leases", "files", "held", "parked")


def counted(peer: Sharer) -> dict[str, int]:
    usage = peer.usage()
    return {name: usage[name] for name in COUNTED}


@contextmanager
def all_back(house: House, keeper: Sharer) -> Iterator[None]:
    """Afterwards the daemon has open and counts what it did before."""
    descriptors, usage = house.process.descriptors(), counted(keeper)
    yield
    descriptors_settle(house, descriptors)
    assert house.process.descriptors() == descriptors
    files_settle(house, keeper, usage["files"])
    assert counted(keeper) == usage


def labels(states: Any) -> Any:
    return pytest.mark.parametrize("state", [one.__name__ for one in states])


def is_read(peer: Sharer, answer: Any) -> None:
    """The message is the victim's, whole; its lease is given back."""
    region, offset, length, lease = peer.range_of(answer)
    number, size = peer.maps[region]
    with mmap.mmap(number, size, prot=mmap.PROT_READ) as seen:
        assert seen[offset : offset + len(WORDS)] == WORDS
    assert length == SIZE
    assert peer.result("RELEASE", LEASE_ID=lease) == 0


ACCEPTED = ("range_sent", "dropping", "files_sent")


@both_transports
@labels([*sharing.SENDERS_OF_RANGES, *sharing.SENDERS_OF_FILES])
def test_a_sender_killed_at_any_step_leaves_what_was_accepted_and_nothing_else(
    house: House, victim: Victim, transport: str, state: str
) -> None:
    """Contract 4.11: the region ends with its last user, here the one who reads it."""
    with sharer(house) as keeper:
        capacity = BUFFERED if state in ACCEPTED else {}
        chan = keeper.make(**capacity)
        with all_back(house, keeper):
            victim(f"sharing {state}", chan)()
            if state == "files_sent":
                answer = keeper.receive(chan)
                assert answer["ELEMENT"] == [WORDS]
                assert os.read(answer["files"][1], 100) == WORDS
            elif state in ACCEPTED:
                is_read(keeper, keeper.receive(chan))
                assert keeper.lives()
                assert keeper.gone == list(keeper.maps)
            answer = keeper.ask("CHAN_RECV", CHAN_ID=chan, TIMEOUT_MS=0)
            assert answer["RESULT"] == _wire.KC_EAGAIN


@both_transports
def test_a_sender_killed_after_the_match_leaves_the_reader_its_lease(
    house: House, victim: Victim, transport: str
) -> None:
    with sharer(house) as keeper:
        chan = keeper.make()
        with all_back(house, keeper):
            kill = victim("sharing range_parked", chan)
            answer = keeper.receive(chan)
            kill()
            assert keeper.gone == []
            is_read(keeper, answer)
            assert keeper.lives()
            assert keeper.gone == list(keeper.maps)


REDELIVERED = ("held", "released_unacknowledged")


@both_transports
@labels([*sharing.RECEIVERS, *sharing.RECEIVERS_OF_RANGES])
def test_a_receiver_killed_at_any_step_returns_the_memory_to_its_owner(
    house: House, victim: Victim, transport: str, state: str
) -> None:
    """Contract 4.9, 4.11: unacknowledged it comes again; its range is freed once either way."""
    memory, file = create_memory(SIZE)
    memory[: len(WORDS)] = WORDS
    with sharer(house) as owner:
        chan = owner.make(**BUFFERED)
        region = owner.region(file[0], SIZE)
        with all_back(house, owner):
            assert owner.send_range(chan, region, 0, SIZE)["RESULT"] == 0
            kill = victim(f"sharing {state}", chan)
            assert owner.lives()
            assert owner.freed == []
            kill()
            if state in REDELIVERED:
                with sharer(house) as heir:
                    heir.open(chan)
                    is_read(heir, heir.receive(chan))
            assert owner.result("CHAN_RECV", CHAN_ID=chan, TIMEOUT_MS=0) == _wire.KC_EAGAIN
            assert owner.freed == [(region, 0, SIZE, 0)]
        assert owner.result("REGION_DROP", REGION_ID=region) == 0
    memory.close()


@both_transports
@labels(sharing.RECEIVERS)
def test_a_receiver_of_files_killed_at_any_step_leaves_none_open(
    house: House, victim: Victim, transport: str, state: str
) -> None:
    """Contract 4.9: the files of what it had not acknowledged come again."""
    with sharer(house) as owner:
        chan = owner.make(**BUFFERED)
        reading, writing = os.pipe()
        with all_back(house, owner):
            answer = owner.ask_files("CHAN_SEND", [writing] * 3, CHAN_ID=chan, ELEMENT=WORDS)
            assert answer["RESULT"] == 0
            os.close(writing)
            victim(f"sharing {state}", chan)()
            if state in REDELIVERED:
                assert len(owner.receive(chan)["files"]) == 3
                owner.close_files()
            assert owner.result("CHAN_RECV", CHAN_ID=chan, TIMEOUT_MS=0) == _wire.KC_EAGAIN
        assert os.read(reading, 1) == b""
        os.close(reading)


# --- ten thousand rounds ---

WARM_UP, ROUNDS = 1_000, 10_000
KEPT_BYTES = 512 << 10  # of RssAnon: a byte per round would not be seen, a block of 64 would


def check_flat(house: House, watcher: Sharer, run: Callable[[int], None]) -> None:
    """Descriptors and usage exactly, memory within what allocators keep."""
    with all_back(house, watcher):
        run(WARM_UP)
    gc.collect()
    here, resident = open_files(), house.process.resident_bytes()
    with all_back(house, watcher):
        run(ROUNDS)
    assert open_files() == here
    assert house.process.resident_bytes() - resident < KEPT_BYTES


@both_transports
def test_ten_thousand_rounds_of_loan_send_receive_and_release_leave_everything_flat(
    house: House, transport: str
) -> None:
    address = house.process.address(transport)
    with (
        sharer(house) as watcher,
        blocking.open_client(address, inline_below=None) as sender,
        blocking.open_client(address) as receiver,
    ):
        channel = sender.make_channel(None, kind="buffered", capacity=4)
        mine = receiver.open_channel(channel.chan_id)

        def run(rounds: int) -> None:
            for number in range(rounds):
                with sender.loan(4096) as block:
                    block[:8] = number.to_bytes(8)
                    channel.send(block)
                with mine.receive_lease() as seen:
                    assert int.from_bytes(seen[:8]) == number

            receiver.ping()
            assert receiver.leases_open == 0

        run(1)  # registers the region
        check_flat(house, watcher, run)
        assert sender.info().usage["regions"] == 1


@both_transports
def test_ten_thousand_rounds_of_passing_files_leave_everything_flat(
    house: House, transport: str
) -> None:
    address = house.process.address(transport)
    with (
        sharer(house) as watcher,
        blocking.open_client(address) as sender,
        blocking.open_client(address) as receiver,
        open(os.devnull) as passed,
    ):
        channel = sender.make_channel(None, kind="buffered", capacity=4)
        mine = receiver.open_channel(channel.chan_id)

        def run(rounds: int) -> None:
            for number in range(rounds):
                channel.send(b"%d" % number, files=[passed, passed])
                message = mine.receive_message()
                assert bytes(message.data) == b"%d" % number
                for file in message.files:
                    file.close()
                assert len(message.files) == 2

        check_flat(house, watcher, run)
