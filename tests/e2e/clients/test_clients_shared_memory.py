"""Shared memory, arrays and open files from one client to another, through a real daemon."""

import gc
import os
from pathlib import Path
from typing import Any

import pytest
import trio

from kcoro_ipc import blocking, client
from kcoro_ipc.errors import InvalidArgument, PoolExhausted

SIZE = 64 << 10
ROUNDS = 2_000


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def maps_of_regions() -> int:
    return Path("/proc/self/maps").read_text().count("kcoro-region")


def files_of(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def read_to_end(number: int) -> bytes:
    """Of a pipe: it ends when nobody, the daemon included, has its other end open any more."""
    with os.fdopen(number, "rb") as pipe:
        return pipe.read()


def test_a_block_arrives_where_it_was_written_and_comes_back(address: str, name: str) -> None:
    with blocking.open_client(address) as one, blocking.open_client(address) as two:
        sends = one.make_channel(name, kind="buffered", capacity=4)
        receives = two.open_channel(name)
        with one.loan(SIZE) as block:
            block[:5] = b"first"
            sends.send(block)
        lease = receives.receive_lease()
        assert (lease.is_shared, len(lease), bytes(lease.data[:5])) == (True, SIZE, b"first")
        (region,) = one._connection.side.pool.regions
        one.ping()
        assert not region.space.idle, "a lease keeps its range from reuse"
        lease.release()
        two.ping()
        one.ping()
        assert region.space.idle


def test_in_steady_state_nothing_is_made_or_mapped_and_no_file_opened(
    daemon: Any, address: str, name: str
) -> None:
    with blocking.open_client(address) as one, blocking.open_client(address) as two:
        sends = one.make_channel(name, kind="buffered", capacity=4)
        receives = two.open_channel(name)

        def exchange(number: int) -> None:
            with one.loan(SIZE) as block:
                block[:8] = number.to_bytes(8, "big")
                sends.send(block)
            with receives.receive_lease() as view:
                assert int.from_bytes(view[:8], "big") == number

        exchange(0)
        before, there = (open_files(), maps_of_regions()), files_of(daemon.pid)
        for number in range(ROUNDS):
            exchange(number)
        assert (open_files(), maps_of_regions()) == before
        assert files_of(daemon.pid) <= there  # less: connections of other tests have ended
        assert one._connection.side.pool.regions_made == 1
        assert two._connection.side.mappings.maps_made == 1
        assert (one.leases_open, two.leases_open) == (0, 0)


def test_large_bytes_and_batches_arrive_as_they_were(address: str, name: str) -> None:
    values = [os.urandom(size) for size in (10, 1 << 20, 0, 3 << 20, 300 << 10, 7)]
    with blocking.open_client(address) as one, blocking.open_client(address) as two:
        sends = one.make_channel(name, kind="unlimited")
        receives = two.open_channel(name)
        assert sends.send_many(values) == len(values)
        found: list[bytes] = []
        while len(found) < len(values):
            found += receives.receive_many()
        assert found == values
        two.ping()
        one.ping()
        assert all(region.space.idle for region in one._connection.side.pool.regions)


def test_a_pool_in_use_says_so_and_goes_on_when_a_receiver_releases(
    address: str, name: str
) -> None:
    with (
        blocking.open_client(address, pool_bytes=4 << 20) as one,
        blocking.open_client(address) as two,
    ):
        sends = one.make_channel(name, kind="buffered", capacity=4)
        receives = two.open_channel(name)
        for _ in range(2):
            with one.loan(2 << 20) as block:
                sends.send(block)
        with pytest.raises(PoolExhausted), one.loan(2 << 20):
            pass
        receives.receive_lease().release()
        two.ping()
        with one.loan(2 << 20) as block:
            sends.send(block)
        for _ in range(2):
            receives.receive()


def test_a_job_is_given_back_with_its_block_and_delivered_again(address: str, name: str) -> None:
    with blocking.open_client(address) as one, blocking.open_client(address) as two:
        sends = one.make_channel(name, kind="buffered", capacity=4)
        with one.loan(SIZE) as block:
            block[:4] = b"work"
            sends.send(block)
        with two.open_channel(name).acking(lease=True) as inbox:
            job = inbox.receive()
            assert (bytes(job.data[:4]), job.attempts) == (b"work", 0)
            job.nack()
            job.lease.release()
            with inbox.receive() as again:
                assert (bytes(again.data[:4]), again.attempts) == (b"work", 1)
        two.ping()
        one.ping()
        (region,) = one._connection.side.pool.regions
        assert region.space.idle


def test_a_select_sends_a_block_and_receives_a_lease(address: str, name: str) -> None:
    with blocking.open_client(address) as one:
        here = one.make_channel(name, kind="buffered", capacity=4)
        with one.loan(SIZE) as block:
            block[0] = 9
            assert one.select(here.sending(block)).index == 0
        with one.select(here.receiving(lease=True)).value as view:
            assert (view[0], view.readonly) == (9, True)


def test_a_message_outlives_its_sender(address: str, name: str) -> None:
    with blocking.open_client(address) as two:
        receives = two.make_channel(name, kind="buffered", capacity=4)
        with blocking.open_client(address) as one, one.loan(SIZE) as block:
            block[:3] = b"end"
            one.open_channel(name).send(block)
        gc.collect()
        with receives.receive_lease() as view:
            assert bytes(view[:3]) == b"end"


@pytest.mark.parametrize("read", [False, True])
def test_what_a_receiver_had_when_it_went_comes_back(address: str, name: str, read: bool) -> None:
    with blocking.open_client(address) as one:
        sends = one.make_channel(name, kind="buffered", capacity=4)
        with one.loan(SIZE) as block:
            sends.send(block)
        with blocking.open_client(address) as two:
            lease = two.open_channel(name).receive_lease() if read else None
        if not read:
            sends.purge()
        (region,) = one._connection.side.pool.regions
        while not region.space.idle:
            one.ping()  # brings what the daemon has said meanwhile
        assert region.region_id
        if lease is not None:
            assert lease.data[0] == 0, "mapped for as long as it is open"
            lease.release()


def test_open_files_arrive_and_work(address: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / "log"
    with blocking.open_client(address) as one, blocking.open_client(address) as two:
        sends = one.make_channel(name, kind="buffered", capacity=4)
        receives = two.open_channel(name)
        reading, writing = os.pipe()
        with path.open("wb") as file:
            sends.send(b"both", files=[file, writing])
        os.close(writing)
        sends.send(b"none")
        data, files = receives.receive_message()
        assert (data, len(files)) == (b"both", 2)
        for received in files:
            with os.fdopen(received.detach(), "wb") as owned:
                owned.write(b"here")
        assert path.read_bytes() == b"here"
        assert read_to_end(reading) == b"here"
        assert receives.receive_message() == (b"none", [])


async def test_a_select_brings_files_to_a_clause_that_asks_for_the_message(
    either: Any, address: str, name: str
) -> None:
    async with either.open(address) as one:
        channel = await either.do(one.make_channel(name, kind="buffered", capacity=4))
        reading, writing = os.pipe()
        await either.do(channel.send(b"open", files=[writing]))
        os.close(writing)
        done = await either.do(one.select(channel.receiving(message=True)))
        assert done.value.data == b"open"
        (file,) = done.value.files
        with file:
            os.write(file.fileno(), b"through")
        assert read_to_end(reading) == b"through"
        await either.do(channel.send(b"none"))
        done = await either.do(one.select(channel.receiving(message=True)))
        assert done.value == (b"none", [])
        with pytest.raises(InvalidArgument):
            channel.receiving(message=True, lease=True)


@pytest.mark.parametrize("ending", ["receive", "purge", "destroy"])
def test_files_that_nobody_takes_are_closed_everywhere(
    address: str, name: str, ending: str
) -> None:
    with blocking.open_client(address) as one, blocking.open_client(address) as two:
        sends = one.make_channel(name, kind="buffered", capacity=4)
        reading, writing = os.pipe()
        sends.send(b"unread", files=[writing])
        os.close(writing)
        if ending == "receive":
            assert two.open_channel(name).receive() == b"unread"
        else:
            getattr(sends, ending)()
        assert read_to_end(reading) == b""


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("taken", ["lease", "array"])
async def test_what_was_merely_dropped_goes_back_with_the_next_send(
    either: Any, address: str, name: str, taken: str
) -> None:
    numpy = pytest.importorskip("numpy", reason="needs the extra numpy")
    async with either.open(address) as one, either.open(address) as two:
        sends = await either.do(one.make_channel(name, kind="buffered", capacity=4))
        receives = await either.do(two.open_channel(name))
        await either.do(sends.send(numpy.zeros(SIZE, "u1")))
        receive = receives.receive_lease if taken == "lease" else receives.receive_array
        found = await either.do(receive())
        (region,) = one._connection.side.pool.regions
        await either.do(one.ping())
        assert not region.space.idle
        del found
        gc.collect()
        await either.do(receives.send(b"x"))
        await either.do(one.ping())
        assert region.space.idle
        await either.do(sends.receive())


async def test_trio_moves_blocks_between_tasks_of_two_clients(address: str, name: str) -> None:
    found: list[int] = []

    async with client.open_client(address) as one, client.open_client(address) as two:
        sends = await one.make_channel(name, kind="buffered", capacity=4)
        receives = await two.open_channel(name)

        async def produce() -> None:
            for number in range(500):
                with one.loan(SIZE) as block:
                    block[:8] = number.to_bytes(8, "big")
                    await sends.send(block)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(produce)
            while len(found) < 500:
                leases = await receives.receive_many(64, lease=True)
                found += [int.from_bytes(bytes(lease.data[:8]), "big") for lease in leases]
                two.release(*leases)
        assert found == list(range(500))
        assert (two.leases_open, len(one._connection.side.pool.regions)) == (0, 1)


async def test_trio_moves_arrays(address: str, name: str) -> None:
    numpy = pytest.importorskip("numpy", reason="needs the extra numpy")
    async with client.open_client(address) as one, client.open_client(address) as two:
        sends = await one.make_channel(name, kind="buffered", capacity=4)
        receives = await two.open_channel(name)
        for number in range(20):
            frame = one.empty((1080, 1920, 3), "u1")
            frame[...] = number
            await sends.send(frame)
            del frame
            got = await receives.receive_array()
            assert (got.shape, got.flags.writeable, int(got[5, 5, 1])) == (
                (1080, 1920, 3),
                False,
                number,
            )
            del got
        await sends.send(numpy.arange(100_000).reshape(100, -1).T)
        got = await receives.receive_array()
        assert numpy.array_equal(got, numpy.arange(100_000).reshape(100, -1).T)
        assert one._connection.side.pool.regions_made <= 3


async def test_leases_of_several_clients_are_released_by_any_of_them(
    either: Any, address: str, name: str
) -> None:
    async with (
        either.open(address) as sends,
        either.open(address) as one,
        either.open(address) as two,
    ):
        channel = await either.do(sends.make_channel(name, kind="unlimited"))
        for _ in range(2):
            with sends.loan(SIZE) as block:
                await either.do(channel.send(block))
        leases = [
            await either.do((await either.do(client.open_channel(name))).receive_lease())
            for client in (one, two)
        ]
        with leases[1].data[:10], pytest.raises(BufferError):
            one.release(*leases)
        assert (one.leases_open, two.leases_open) == (1, 1)
        one.release(*leases)
        assert (one.leases_open, two.leases_open) == (0, 0)
        for client in (one, two, sends):  # each RELEASE was read before the ping behind it
            await either.do(client.ping())
        (region,) = sends._connection.side.pool.regions
        assert region.space.idle
