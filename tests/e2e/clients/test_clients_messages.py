"""What a message says beside its data, in both clients: who sent it, how long it may wait; and how
a channel is emptied on purpose."""

import os
import subprocess
import sys
from typing import Any

import pytest

from kcoro_ipc import blocking, client, errors

US = (os.getuid(), os.getpid())


def sent_by_another(address: str, name: str, *data: str) -> int:
    """Its pid; it has ended."""
    program = (
        "import sys; from kcoro_ipc.blocking import open_client\n"
        "with open_client(sys.argv[1]) as client:\n"
        "    jobs = client.open_channel(sys.argv[2], existing=True)\n"
        "    for word in sys.argv[3:]: jobs.send(word.encode())\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, address, name, *data])
    assert process.wait() == 0
    return process.pid


def expired(statistics: Any) -> bool:
    assert statistics.expired == statistics.undelivered == statistics.undelivered_dropped
    return bool(statistics.expired)


# --- blocking ---


def test_blocking_tells_the_sender_of_every_message_after_its_end(address: str, name: str) -> None:
    with blocking.open_client(address) as ours:
        jobs = ours.open_channel(name, kind="unlimited")
        pid = sent_by_another(address, name, "a", "b", "c", "d")
        jobs.send(b"e")
        assert jobs.receive_message().sender is None
        message = jobs.receive_message(sender=True)
        assert message == (b"b", [])
        assert message.sender == (os.getuid(), pid)
        with jobs.acking(sender=True) as inbox:
            held = inbox.receive()
            assert held.sender == (os.getuid(), pid)
            held.nack()
            again, other, own = inbox.receive_many()
            assert [(job.data, job.attempts) for job in (again, other, own)] == [
                (b"c", 1),
                (b"d", 0),
                (b"e", 0),
            ]
            assert [job.sender for job in (again, other, own)] == [(os.getuid(), pid)] * 2 + [US]
            inbox.ack(again, other, own)
        with jobs.acking() as inbox:
            jobs.send(b"f")
            assert inbox.receive().sender is None


def test_blocking_select_tells_it_where_it_was_asked(address: str, name: str) -> None:
    with blocking.open_client(address) as ours:
        jobs = ours.open_channel(name, kind="unlimited")
        jobs.send_many([b"a", b"b", b"c"])
        won = ours.select(jobs.receiving(sender=True)).value
        assert (won.data, won.sender) == (b"a", US)
        with jobs.acking(sender=True) as inbox:
            job = ours.select(inbox.receiving()).value
            assert (job.data, job.sender) == (b"b", US)
            job.ack()
        assert ours.select(jobs.receiving()).value == b"c"


@pytest.mark.parametrize("size", [10, 300_000])
def test_blocking_a_message_is_not_delivered_after_its_time(
    address: str, name: str, size: int
) -> None:
    with blocking.open_client(address) as ours:
        jobs = ours.open_channel(name, kind="unlimited")
        jobs.send(bytes(size), ttl=0.001)
        jobs.send_many([bytes(size)] * 3, ttl=0.001)
        jobs.send(b"stays", ttl=1000)
        while (now := jobs.statistics()).ready > 1:
            pass
        assert now.expired == now.undelivered_dropped == 4
        assert jobs.receive() == b"stays"


def test_blocking_who_confirms_hears_that_it_expired(address: str, name: str) -> None:
    with blocking.open_client(address) as ours:
        jobs = ours.open_channel(name, kind="buffered", capacity=1)
        with pytest.raises(errors.OperationCancelled) as caught:
            jobs.send(b"milk", confirm=True, ttl=0.001)
        assert caught.value.reason == "expired"


def test_blocking_what_nobody_takes_in_its_time_was_not_sent(address: str, name: str) -> None:
    with blocking.open_client(address) as ours:
        jobs = ours.open_channel(name)
        with pytest.raises(errors.TimedOut):
            jobs.send(b"milk", ttl=0.001)
        assert jobs.statistics().expired == 0
        with pytest.raises(errors.WouldBlock):
            jobs.try_receive()


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), float("inf")])
def test_blocking_a_time_that_is_none_is_refused(address: str, name: str, ttl: float) -> None:
    with blocking.open_client(address) as ours:
        jobs = ours.open_channel(name, kind="unlimited")
        with pytest.raises(errors.InvalidArgument, match="ttl"):
            jobs.send(b"x", ttl=ttl)
        assert jobs.statistics().total_sends == 0


def test_blocking_a_channel_has_a_time_of_its_own_and_says_when_another_asks_for_another(
    address: str, name: str
) -> None:
    with blocking.open_client(address) as ours:
        jobs = ours.open_channel(name, kind="unlimited", ttl=0.001)
        jobs.send(b"x")
        while not expired(jobs.statistics()):
            pass
        with pytest.raises(errors.ChannelExists, match="TTL_MS"):
            ours.make_channel(name, ttl=0.002)


OPTIONS: list[dict[str, Any]] = [
    {"kind": "unlimited"},
    {"kind": "buffered", "capacity": 4, "ack": "required"},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_blocking_drain_takes_all_there_is_and_ends(
    address: str, name: str, options: dict[str, Any]
) -> None:
    with blocking.open_client(address) as ours:
        jobs = ours.open_channel(name, **options)
        jobs.send_many([b"a", b"b", b"c"])
        first = next(iter(jobs.drain()))  # broken off: the others stay
        assert first == b"a"
        assert list(jobs.drain()) == [b"b", b"c"]
        assert list(jobs.drain()) == []
        jobs.send(b"d")
        jobs.close()
        assert list(jobs.drain()) == [b"d"]
        assert jobs.statistics().depth == 0
        assert jobs.statistics().total_recvs == 4


# --- trio ---


async def test_trio_tells_the_sender_of_every_message(address: str, name: str) -> None:
    async with client.open_client(address) as ours:
        jobs = await ours.open_channel(name, kind="unlimited")
        await jobs.send_many([b"a", b"b", b"c", b"d"])
        assert (await jobs.receive_message()).sender is None
        message = await jobs.receive_message(sender=True)
        assert (message.data, message.sender) == (b"b", US)
        async with jobs.acking(sender=True) as inbox:
            job = await inbox.receive()
            assert (job.data, job.sender) == (b"c", US)
            await job.ack()
        won = (await ours.select(jobs.receiving(sender=True))).value
        assert (won.data, won.sender) == (b"d", US)


async def test_trio_a_message_is_not_delivered_after_its_time(address: str, name: str) -> None:
    async with client.open_client(address) as ours:
        jobs = await ours.open_channel(name, kind="unlimited")
        await jobs.send(b"milk", ttl=0.001)
        await jobs.try_send(bytes(300_000), ttl=0.001)
        await jobs.send_many([b"milk"] * 3, ttl=0.001)
        while (now := await jobs.statistics()).ready:
            pass
        assert now.expired == 5
        with pytest.raises(errors.OperationCancelled) as caught:
            await jobs.send(b"milk", confirm=True, ttl=0.001)
        assert caught.value.reason == "expired"


@pytest.mark.parametrize("options", OPTIONS)
async def test_trio_drain_takes_all_there_is_and_ends(
    address: str, name: str, options: dict[str, Any]
) -> None:
    async with client.open_client(address) as ours:
        jobs = await ours.open_channel(name, **options)
        await jobs.send_many([b"a", b"b", b"c"])
        async for value in jobs.drain():
            assert value == b"a"
            break
        assert [value async for value in jobs.drain()] == [b"b", b"c"]
        await jobs.send(b"d")
        await jobs.close()
        assert [value async for value in jobs.drain()] == [b"d"]
        assert (await jobs.statistics()).total_recvs == 4


async def test_trio_drain_takes_the_value_of_a_conflated_channel(address: str, name: str) -> None:
    async with client.open_client(address) as ours:
        latest = await ours.open_channel(name, kind="conflated")
        await latest.send(b"old")
        await latest.send(b"new")
        assert [value async for value in latest.drain()] == [b"new"]
