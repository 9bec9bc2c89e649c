"""What both clients can be asked about others, against a real daemon, over both transports."""

import os
from typing import Any

import pytest
import trio

from kcoro_ipc import errors, open_client
from kcoro_ipc.blocking import open_client as open_blocking


def find(infos: Any, client: str) -> Any:
    return next(info for info in infos if info.client == client)


def test_a_connection_tells_what_it_has_waits_for_and_holds(address: str, name: str) -> None:
    with open_blocking(address, name="worker") as worker, open_blocking(address) as watcher:
        jobs = worker.open_channel(name, capacity=4, kind="buffered")
        jobs.send(b"one")
        with jobs.acking() as inbox:
            job = inbox.receive()
            info = find(watcher.list_connections(), "worker")
            assert (info.pid, info.uid) == (os.getpid(), os.getuid())
            assert (info.numbers["held"], info.numbers["handles"]) == (1, 1)
            assert info.numbers["parked"] == 0
            assert info.numbers["frames_in"] >= 4
            assert info.transport in ("stream", "seqpacket")
            detail = watcher.look_at(info.conn)
            assert [(one.name, one.rights) for one in detail.handles] == [
                (name, ("receive", "send"))
            ]
            assert [(one.name, one.status) for one in detail.holding] == [(name, "claimed")]
            assert detail.waiting == ()
            (holder,) = watcher.list_holders(name)
            assert (holder.conn, holder.held, holder.client) == (info.conn, 1, "worker")
            job.ack()
        assert watcher.list_holders(name)[0].held == 0
    with open_blocking(address) as watcher, pytest.raises(errors.NoSuchChannel):
        watcher.look_at(info.conn)


async def test_waits_of_many_tasks_are_told_with_one_token_for_each_select(
    address: str, name: str
) -> None:
    async with (
        open_client(address, name="tasks") as client,
        open_client(address, name="watcher") as watcher,
        trio.open_nursery() as nursery,
    ):
        first = await client.open_channel(f"{name}-1")
        second = await client.open_channel(f"{name}-2")
        nursery.start_soon(first.receive)
        nursery.start_soon(client.select, first.receiving(), second.receiving())
        while (await second.statistics()).parked_receivers != 1:
            pass
        while (await first.statistics()).parked_receivers != 2:
            pass
        conn = find(await watcher.list_connections(), "tasks").conn
        waiting = (await watcher.look_at(conn)).waiting
        assert sorted(str(one.name) for one in waiting) == [f"{name}-1", f"{name}-1", f"{name}-2"]
        assert len({one.token for one in waiting}) == 2
        assert {one.side for one in waiting} == {"receive"}
        (waiter,) = await watcher.list_waiters(f"{name}-2")
        assert (waiter.conn, waiter.limit_ms) == (conn, None)
        assert waiter.token in {one.token for one in waiting}
        some, holders = await watcher.look_in(f"{name}-1")
        assert (len(some), [one.conn for one in holders]) == (2, [conn])
        nursery.cancel_scope.cancel()


async def test_many_counters_at_once_are_those_of_one_at_a_time(address: str, name: str) -> None:
    async with open_client(address) as client:
        with open_blocking(address) as other:
            made = [await client.make_channel(kind="unlimited") for _ in range(70)]
            for number, channel in enumerate(made):
                await channel.try_send(b"x" * number)
            wanted = [channel.info.chan_id for channel in made]
            wanted.insert(3, 4_000_000)
            found = other.look_over(wanted)
            assert found[3] is None
            assert [one.snapshot.bytes for one in found if one] == list(range(70))
            assert found[0] is not None
            assert found[0].snapshot == other.statistics(wanted[0])
            assert await client.look_over(wanted) == found
            page, after = other.list_some()
            assert len(page) <= 256
            assert after is None or isinstance(after, bytes)


async def test_a_tap_sees_what_passes_and_its_source_sees_nothing(address: str, name: str) -> None:
    async with open_client(address) as client:
        jobs = await client.open_channel(name, kind="buffered", capacity=8)
        async with await client.tap(name, most_bytes=3) as copies:
            await jobs.send(b"four")
            await jobs.send(b"")
            seen = [await copies.receive() for _ in range(2)]
            assert [(one.place, one.size_bytes, one.data) for one in seen] == [
                (1, 4, b"fou"),
                (2, 0, b""),
            ]
            with pytest.raises(errors.InvalidArgument):
                await client.tap(copies.info.chan_id)
            assert (await jobs.statistics()).total_recvs == 0
            await jobs.destroy("enough")
            with pytest.raises(errors.EndOfChannel):
                await copies.receive()
