"""The trio client against a real daemon, over both transports."""

import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
import trio.testing

from kcoro_ipc import errors
from kcoro_ipc.client import Channel, Client, open_client


@pytest.fixture
async def client(address: str) -> AsyncIterator[Client]:
    async with open_client(address, name="test") as found:
        yield found


async def until_parked(channel: Channel, side: str, number: int) -> None:
    """The state itself is the condition: asks until so many wait on that side."""
    while getattr(await channel.statistics(), f"parked_{side}") != number:
        pass


async def test_a_pipeline_keeps_every_message_in_order(client: Client, name: str) -> None:
    jobs = await client.open_channel(name, kind="buffered", capacity=7)
    got: list[bytes] = []

    async def produce() -> None:
        for number in range(300):
            await jobs.send(b"%d" % number)
        await jobs.close()

    async def consume() -> None:
        got.extend([data async for data in jobs])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(produce)
        nursery.start_soon(consume)
    assert got == [b"%d" % number for number in range(300)]


async def test_many_tasks_share_a_client_and_nothing_is_lost_or_doubled(
    client: Client, name: str
) -> None:
    jobs = await client.open_channel(name)
    got: list[bytes] = []

    async def receive() -> None:
        got.append(await jobs.receive())

    async with trio.open_nursery() as nursery:
        for number in range(1500):
            nursery.start_soon(jobs.send, b"%d" % number)
            nursery.start_soon(receive)
    assert sorted(got) == sorted(b"%d" % number for number in range(1500))
    assert (await jobs.statistics()).rv_matches == 1500


async def test_cancellation_neither_loses_nor_doubles(client: Client, name: str) -> None:
    """Receivers are cancelled at every stage of their wait while values are sent."""
    jobs = await client.open_channel(name)
    got: list[bytes] = []
    sent = 0

    async def receive_for(turns: int) -> None:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:

                async def cancel() -> None:
                    for _ in range(turns):
                        await trio.lowlevel.checkpoint()
                    scope.cancel()

                nursery.start_soon(cancel)
                got.append(await jobs.receive())
                nursery.cancel_scope.cancel()

    async def send(number: int) -> None:
        nonlocal sent
        with trio.move_on_after(0.05):
            await jobs.send(b"%d" % number)
            sent += 1

    async with trio.open_nursery() as nursery:
        for number in range(200):
            nursery.start_soon(receive_for, number % 20)
            nursery.start_soon(send, number)
    snapshot = await jobs.statistics()
    assert len(got) == len(set(got)) == sent == snapshot.total_recvs
    assert snapshot.parked_senders == snapshot.parked_receivers == 0
    finished = snapshot.matched_waiters + snapshot.cancelled_waiters + snapshot.closed_waiters
    assert snapshot.finished_waiters == finished


async def test_a_cancelled_waiter_is_gone(client: Client, name: str) -> None:
    jobs = await client.open_channel(name)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(jobs.receive)
        await until_parked(jobs, "receivers", 1)
        nursery.cancel_scope.cancel()
    snapshot = await jobs.statistics()
    assert (snapshot.parked_receivers, snapshot.cancelled_cancel) == (0, 1)
    with pytest.raises(trio.WouldBlock):
        await jobs.try_send(b"x")


async def test_closing_a_handle_ends_its_own_waits(client: Client, name: str) -> None:
    jobs = await client.open_channel(name)
    other = jobs.clone()
    ended: list[type] = []

    async def wait(channel: Channel) -> None:
        try:
            ended.append(type(await channel.receive()))
        except trio.ClosedResourceError as error:
            ended.append(type(error))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait, jobs)
        nursery.start_soon(wait, other)
        await until_parked(other, "receivers", 2)
        await jobs.aclose()
        await until_parked(other, "receivers", 1)
        await other.send(b"x")
    assert [issubclass(one, trio.ClosedResourceError) for one in ended] == [True, False]


async def test_select_takes_exactly_one(client: Client, name: str) -> None:
    a = await client.open_channel(name + "a")
    b = await client.open_channel(name + "b")
    done: list[Any] = []

    async def choose() -> None:
        done.append(await client.select(a.receiving(), b.sending(b"out")))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(choose)
        await until_parked(a, "receivers", 1)
        assert await b.receive() == b"out"
    assert done == [(1, b, None)]
    assert (await a.statistics()).parked_receivers == 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(choose)
        await until_parked(b, "senders", 1)
        await a.send(b"in")
    assert done[1] == (0, a, b"in")
    with pytest.raises(trio.WouldBlock):
        await client.try_select(a.receiving(), b.sending(b"x"))


async def test_waiting_for_a_channel_that_somebody_makes(
    address: str, client: Client, name: str
) -> None:
    found: list[Channel] = []

    async def wait() -> None:
        found.append(await client.open_channel(name, wait=True, kind="buffered", capacity=2))

    async with trio.open_nursery() as nursery, open_client(address) as other:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        made = await other.open_channel(name, kind="buffered", capacity=2)
        await made.send(b"x")
    assert await found[0].receive() == b"x"
    with trio.move_on_after(0.01) as scope:
        await client.open_channel(name + "-never", wait=True)
    assert scope.cancelled_caught


async def test_jobs_of_a_client_that_left_come_back(address: str, name: str) -> None:
    async with open_client(address) as first:
        jobs = await first.open_channel(name, kind="unlimited")
        await jobs.send_many([b"1", b"2"])
        inbox = jobs.acking()
        assert (await inbox.receive()).data == b"1"
    async with open_client(address) as second:
        jobs = await second.open_channel(name)
        async with jobs.acking() as inbox:
            job = await inbox.receive()
            assert (job.data, job.redelivered, job.attempts) == (b"1", True, 1)
            await job.ack()
        assert await jobs.receive() == b"2"


async def test_a_confirmed_send_ends_with_the_acknowledgement(client: Client, name: str) -> None:
    jobs = await client.open_channel(name, kind="unlimited")
    confirmed: list[bool] = []

    async def send() -> None:
        confirmed.append(await jobs.send(b"x", confirm=True))

    async with trio.open_nursery() as nursery, jobs.acking() as inbox:
        nursery.start_soon(send)
        job = await inbox.receive()
        await client.ping()
        assert confirmed == []
        await job.ack()
    assert confirmed == [True]

    async def send_in_vain(scope: trio.CancelScope) -> None:
        with scope, pytest.raises(errors.Unconfirmed):
            await jobs.send(b"y", confirm=True)
        confirmed.append(False)

    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope()
        nursery.start_soon(send_in_vain, scope)
        while not (await jobs.statistics()).depth:
            pass
        scope.cancel()
    assert confirmed == [True, False]


async def test_trios_errors_come_from_the_daemons_codes(client: Client, name: str) -> None:
    jobs = await client.open_channel(name, kind="buffered", capacity=1)
    await jobs.send(b"x")
    with pytest.raises(trio.WouldBlock):
        await jobs.try_send(b"y")
    await jobs.close()
    with pytest.raises(trio.BrokenResourceError):
        await jobs.send(b"y")
    assert [data async for data in jobs] == [b"x"]
    with pytest.raises(trio.EndOfChannel):
        await jobs.receive()
    await jobs.destroy("over")
    with pytest.raises(errors.OperationCancelled, match="over"):
        await jobs.receive()


async def test_batches_and_large_elements(address: str, client: Client, name: str) -> None:
    jobs = await client.open_channel(name, kind="unlimited")
    values = [b"%d" % number for number in range(3000)]
    assert await jobs.send_many(values) == 3000
    got: list[bytes] = []
    while len(got) < 3000:
        got += await jobs.receive_many()
    assert got == values
    large = bytes(range(256)) * (64 if address.startswith("seqpacket") else 40_000)
    await jobs.send(large)
    assert await jobs.receive() == large


async def test_the_daemons_end_ends_every_wait(start_daemon: Any) -> None:
    daemon = start_daemon("--drain", "0")
    ended: list[str] = []

    async def wait(jobs: Channel) -> None:
        try:
            await jobs.receive()
        except trio.BrokenResourceError as error:
            ended.append(str(error))

    async with open_client(daemon.path) as client:
        jobs = await client.open_channel("jobs")
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(wait, jobs)
            await until_parked(jobs, "receivers", 3)
            assert await trio.to_thread.run_sync(daemon.finish, signal.SIGINT) == 0
        assert len(ended) == 3
        with pytest.raises(trio.BrokenResourceError):
            await client.ping()
        await jobs.aclose()
    with pytest.raises(errors.NoDaemon):
        async with open_client(daemon.path):
            raise AssertionError("it is gone")


async def test_rights_of_a_channel_are_changed_and_listed(client: Client, name: str) -> None:
    await client.make_channel(name, mode=0o640)
    await client.set_rights(name, mode=0o604, group=os.getgid())
    (found,) = [one for one in await client.list_channels() if one.name == name]
    assert (found.mode, found.owner, found.group) == (0o604, os.getuid(), os.getgid())
    with pytest.raises(errors.InvalidArgument):
        await client.set_rights(name, mode=0o1000)
