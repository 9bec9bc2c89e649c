"""Programs of trio tasks, as Kotlin's and trio's suites have them, on three faces: the client over
either kind of socket, and channels inside the process.

What is cancelled here is cancelled by trio scopes, at every moment a test can reach. No case
sleeps: time passes by checkpoints and by `wait_all_tasks_blocked`, which knows nothing of sockets,
so a parked operation of a client is known by the channel's counters.
"""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

import kcoro_ipc
from kcoro_ipc.engine import Engine
from tests.e2e.harness import DaemonProcess

FACES = ("engine", "stream", "seqpacket")
ROOMS = [0, 1, 3]


class Face:
    """`make(room)` gives a channel; all faces name their methods alike."""

    def __init__(self, of: Any) -> None:
        self.of = of

    async def make(self, room: int, **options: Any) -> Any:
        if room:
            options |= {"kind": "buffered", "capacity": room}
        if isinstance(self.of, Engine):
            return self.of.make_channel(**options)
        return await self.of.make_channel(codec="json", **options)

    @property
    def select(self) -> Any:
        return self.of.select


@asynccontextmanager
async def opened(face: str, daemon: DaemonProcess) -> AsyncIterator[Face]:
    if face == "engine":
        with Engine() as engine:
            yield Face(engine)
    else:
        async with kcoro_ipc.open_client(daemon.address(face)) as client:
            yield Face(client)


@pytest.fixture(params=FACES)
async def face(
    request: pytest.FixtureRequest, conformance_daemon: DaemonProcess
) -> AsyncIterator[Face]:
    async with opened(request.param, conformance_daemon) as made:
        yield made


async def parked(channel: Any, senders: int = 0, receivers: int = 0) -> None:
    """Until so many are parked on it."""
    while True:
        now = await channel.statistics()
        if (now.parked_senders, now.parked_receivers) == (senders, receivers):
            return
        await trio.lowlevel.checkpoint()


rooms = pytest.mark.parametrize("room", ROOMS)


@rooms
async def test_a_producer_and_a_consumer(face: Face, room: int) -> None:
    """Contract 4.4, 4.5: in order, to the end."""
    channel, got = await face.make(room), []

    async def produce() -> None:
        for number in range(100):
            await channel.send(number)
        await channel.close()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(produce)
        async for number in channel:
            got.append(number)
    assert got == list(range(100))


@rooms
async def test_a_cancelled_receive_leaves_the_channel_unchanged(face: Face, room: int) -> None:
    """Contract 4.7: the next receiver gets the message; trio's promise."""
    channel = await face.make(room)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(channel.receive)
        await parked(channel, receivers=1)
        nursery.cancel_scope.cancel()
    await parked(channel)
    got: list[int] = []

    async def receive() -> None:
        got.append(await channel.receive())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await channel.send(1)
    assert got == [1]
    now = await channel.statistics()
    assert (now.cancelled_waiters, now.total_recvs) == (1, 1)


@rooms
async def test_a_cancelled_send_was_not_sent(face: Face, room: int) -> None:
    """Contract 4.7, 4.2."""
    channel = await face.make(room)
    for number in range(room):
        await channel.try_send(number)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(channel.send, "cancelled")
        await parked(channel, senders=1)
        nursery.cancel_scope.cancel()
    assert [await channel.try_receive() for _ in range(room)] == list(range(room))
    with pytest.raises(trio.WouldBlock):
        await channel.try_receive()


@rooms
async def test_an_operation_in_a_cancelled_scope_does_nothing(face: Face, room: int) -> None:
    """Contract 4.7: cancelled before the start has no effect, even where it would succeed."""
    channel = await face.make(max(room, 1))
    with trio.CancelScope() as scope:
        scope.cancel()
        await channel.send("never")
    assert scope.cancelled_caught
    await channel.send("there")
    with trio.CancelScope() as scope:
        scope.cancel()
        await channel.receive()
    assert scope.cancelled_caught
    assert await channel.receive() == "there"
    assert (await channel.statistics()).total_sends == 1


@rooms
async def test_under_cancellation_nothing_is_lost_and_nothing_is_doubled(
    face: Face, room: int
) -> None:
    """Contract 4.7: Kotlin's cancellation stress. Receivers are cancelled after each few
    checkpoints; what a receiver returned counts, the rest is still in the channel."""
    channel, total = await face.make(room), 60
    got: list[int] = []

    async def produce() -> None:
        for number in range(total):
            await channel.send(number)
        await channel.close()

    async def receive(scope: trio.CancelScope) -> None:
        with scope:
            got.append(await channel.receive())

    async def consume() -> None:
        for turn in range(100_000):
            scope = trio.CancelScope()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(receive, scope)
                for _ in range(turn % 7):
                    await trio.lowlevel.checkpoint()
                scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(produce)
        try:
            await consume()
        except* trio.EndOfChannel:
            pass
    assert got == list(range(total))


@rooms
async def test_senders_under_cancellation_send_exactly_what_they_believe(
    face: Face, room: int
) -> None:
    """Contract 4.7: a send that returned is received once; one that was cancelled never."""
    channel, total = await face.make(room), 60
    sent: list[int] = []
    got: list[int] = []

    async def send(scope: trio.CancelScope, number: int) -> None:
        with scope:
            await channel.send(number)
            sent.append(number)

    async def produce() -> None:
        for number in range(total):
            scope = trio.CancelScope()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(send, scope, number)
                for _ in range(number % 7):
                    await trio.lowlevel.checkpoint()
                scope.cancel()
        await channel.close()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(produce)
        async for number in channel:
            got.append(number)
    assert got == sent


@rooms
async def test_a_select_under_cancellation_takes_all_or_nothing(face: Face, room: int) -> None:
    """Contract 4.6, 4.7: on both channels, nothing lost, nothing doubled."""
    one, two, each = await face.make(room), await face.make(room), 30
    got: list[list[Any]] = []

    async def produce(channel: Any, name: str) -> None:
        for number in range(each):
            await channel.send([name, number])

    async def choose(scope: trio.CancelScope) -> None:
        with scope:
            got.append((await face.select(one.receiving(), two.receiving())).value)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(produce, one, "one")
        nursery.start_soon(produce, two, "two")
        turn = 0
        while len(got) < 2 * each:
            turn += 1
            scope = trio.CancelScope()
            async with trio.open_nursery() as inner:
                inner.start_soon(choose, scope)
                for _ in range(turn % 9):
                    await trio.lowlevel.checkpoint()
                scope.cancel()
    for name in ("one", "two"):
        assert [number for who, number in got if who == name] == list(range(each))
    assert (await one.statistics()).depth == (await two.statistics()).depth == 0


@rooms
async def test_many_tasks_on_one_channel_share_its_messages(face: Face, room: int) -> None:
    """Fan-out and fan-in: 8 senders, 8 receivers, each message once."""
    channel, each = await face.make(room), 20
    got: list[tuple[int, int]] = []

    async def send(nth: int) -> None:
        for number in range(each):
            await channel.send([nth, number])

    async def receive() -> None:
        async for nth, number in channel:
            got.append((nth, number))

    async with trio.open_nursery() as readers:
        for _ in range(8):
            readers.start_soon(receive)
        async with trio.open_nursery() as writers:
            for nth in range(8):
                writers.start_soon(send, nth)
        await channel.close()
    assert Counter(got) == Counter((nth, number) for nth in range(8) for number in range(each))


@rooms
async def test_close_ends_waiting_receivers_and_destroy_everybody(face: Face, room: int) -> None:
    """Contract 4.5: with trio's own exceptions."""
    closed, destroyed = await face.make(room), await face.make(room)
    ends: list[str] = []

    async def receive(channel: Any) -> None:
        try:
            await channel.receive()
        except trio.EndOfChannel:
            ends.append("end")
        except kcoro_ipc.errors.OperationCancelled as error:
            ends.append(str(error.reason))

    async with trio.open_nursery() as nursery:
        for channel in (closed, closed, destroyed, destroyed):
            nursery.start_soon(receive, channel)
        await parked(closed, receivers=2)
        await parked(destroyed, receivers=2)
        await closed.close()
        await destroyed.destroy("house cleaning")
    assert Counter(ends) == {"end": 2, "house cleaning": 2}
    with pytest.raises(trio.BrokenResourceError):
        await closed.send(1)
    with pytest.raises(kcoro_ipc.errors.OperationCancelled, match="house cleaning"):
        await destroyed.send(1)


@rooms
async def test_closing_a_handle_ends_its_own_waits_and_no_others(face: Face, room: int) -> None:
    """trio's rule: ClosedResourceError for who closed it; a clone goes on."""
    channel = await face.make(room)
    clone = channel.clone()
    ends: list[Any] = []

    async def receive(handle: Any) -> None:
        try:
            ends.append(await handle.receive())
        except trio.ClosedResourceError:
            ends.append("closed")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive, channel)
        await parked(clone, receivers=1)
        nursery.start_soon(receive, clone)
        await parked(clone, receivers=2)
        await channel.aclose()
        await parked(clone, receivers=1)
        await clone.send(7)
    assert ends == ["closed", 7]
    with pytest.raises(trio.ClosedResourceError):
        await channel.receive()


@pytest.mark.parametrize("sends", [False, True])
async def test_closing_a_handle_ends_a_select_that_waits_with_it(face: Face, sends: bool) -> None:
    """As it ends a plain wait, and by nobody else's closing: a clone of the same channel."""
    one, other = await face.make(0), await face.make(0)
    clone = other.clone()
    ends: list[Any] = []

    async def choose(handle: Any) -> None:
        clause = handle.sending(1) if sends else handle.receiving()
        try:
            ends.append((await face.select(one.receiving(), clause)).index)
        except trio.ClosedResourceError:
            ends.append("closed")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(choose, other)
        await parked(one, receivers=1)
        nursery.start_soon(choose, clone)
        await parked(one, receivers=2)
        await other.aclose()
        await parked(one, receivers=1)
        await one.send(7)
    assert ends == ["closed", 0]


async def test_a_clause_of_a_handle_that_was_closed_is_refused(face: Face) -> None:
    channel = await face.make(1)
    clone, clauses = channel.clone(), (channel.receiving(), channel.sending(1))
    await channel.aclose()
    for clause in clauses:
        with pytest.raises(trio.ClosedResourceError):
            await face.select(clause)
    now = await clone.statistics()
    assert (now.parked_receivers, now.total_sends) == (0, 0)


async def test_an_inbox_ends_with_the_handle_that_it_is_of(
    conformance_daemon: DaemonProcess,
) -> None:
    """What it holds may still be acknowledged; a clone of the handle keeps the channel."""
    async with kcoro_ipc.open_client(conformance_daemon.address()) as client:
        channel = await client.make_channel(kind="buffered", capacity=2)
        clone = channel.clone()
        await clone.send(b"held")
        async with channel.acking() as inbox, trio.open_nursery() as nursery:
            job = await inbox.receive()
            nursery.start_soon(ends_with_closed, inbox.receive)
            await parked(clone, receivers=1)
            await channel.aclose()
            await ends_with_closed(inbox.try_receive)
            await job.ack()
        with pytest.raises(trio.ClosedResourceError):
            channel.acking()
        now = await clone.statistics()
        assert (now.acks, now.depth, now.parked_receivers) == (1, 0, 0)


async def ends_with_closed(call: Any) -> None:
    with pytest.raises(trio.ClosedResourceError):
        await call()


async def test_a_handle_does_only_what_it_was_opened_for(
    conformance_daemon: DaemonProcess,
) -> None:
    """Contract 4.15: also where its connection has another handle with more rights."""
    async with kcoro_ipc.open_client(conformance_daemon.address()) as client:
        both = await client.make_channel(kind="buffered", capacity=3)
        reader = await client.open_channel(both.chan_id, write=False)
        writer = await client.open_channel(both.chan_id, read=False)
        with pytest.raises(kcoro_ipc.errors.AccessDenied, match="may not send"):
            await reader.send(b"x")
        with pytest.raises(kcoro_ipc.errors.AccessDenied, match="may not send"):
            reader.sending(b"x")
        with pytest.raises(kcoro_ipc.errors.AccessDenied, match="may not receive"):
            await writer.receive()
        async with writer.acking() as inbox:
            with pytest.raises(kcoro_ipc.errors.AccessDenied, match="may not receive"):
                await inbox.receive()
        await writer.send(b"x")
        assert await reader.receive() == b"x"
