"""The in-process engine: kinds, policies, select, objects and bytes, and its own end.

What trio promises of memory channels is in tests/conformance/test_trio_memory_channel.py.
"""

import gc
import os
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trio
import trio.testing

from kcoro_ipc import errors
from kcoro_ipc.engine import Channel, Engine


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine() as found:
        yield found
        assert found.native.check() == ""


class Thing:
    """An object whose life can be watched."""


def held(channel: Channel) -> int:
    """How many objects are on their way through a channel."""
    return len(channel._state.objects)


async def run_all(*calls: Callable[[], Any]) -> None:
    async with trio.open_nursery() as nursery:
        for call in calls:
            nursery.start_soon(call)


async def test_a_rendezvous_is_over_when_the_value_was_taken(engine: Engine) -> None:
    jobs = engine.make_channel()
    order: list[str] = []

    async def send() -> None:
        await jobs.send("x")
        order.append("sent")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        await trio.testing.wait_all_tasks_blocked()
        assert order == []
        order.append(await jobs.receive())
    assert sorted(order) == ["sent", "x"]  # trio says nothing about which task runs on first
    snapshot = await jobs.statistics()
    assert (snapshot.rv_matches, snapshot.total_sends, snapshot.total_recvs) == (1, 1, 1)


async def test_a_conflated_channel_keeps_the_newest_and_lets_go_of_the_older(
    engine: Engine,
) -> None:
    jobs = engine.make_channel("conflated")
    first = Thing()
    gone = weakref.ref(first)
    await jobs.send(first)
    del first
    second = Thing()
    await jobs.send(second)
    gc.collect()
    assert gone() is None
    assert held(jobs) == 1
    assert await jobs.receive() is second
    with pytest.raises(trio.WouldBlock):
        jobs.receive_nowait()


@pytest.mark.parametrize(
    ("overflow", "sent", "received"),
    [("drop_newest", [True, True, False], [1, 2]), ("drop_oldest", [True, True, True], [2, 3])],
)
async def test_a_full_buffer_drops_by_policy_and_lets_go_of_the_object(
    engine: Engine, overflow: str, sent: list[bool], received: list[int]
) -> None:
    jobs = engine.make_channel("buffered", capacity=2, overflow=overflow)
    assert [await jobs.send(number) for number in (1, 2, 3)] == sent
    assert held(jobs) == 2
    assert [jobs.receive_nowait() for _ in range(2)] == received
    assert held(jobs) == 0


async def test_an_unlimited_channel_takes_everything(engine: Engine) -> None:
    jobs = engine.make_channel("unlimited")
    for number in range(2000):
        assert jobs.send_nowait(number) is True
    assert [await jobs.try_receive() for _ in range(2000)] == list(range(2000))


async def test_with_a_codec_bytes_travel(engine: Engine) -> None:
    jobs = engine.make_channel("buffered", capacity=2, codec="json", elem_size=10)
    value = {"a": [1]}
    await jobs.send(value)
    got = await jobs.receive()
    assert got == value
    assert got is not value
    with pytest.raises(errors.MessageTooLong):
        await jobs.send("longer than ten bytes")
    raw = engine.make_channel(codec="bytes")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(raw.send, b"to one who comes")
        await trio.testing.wait_all_tasks_blocked()
        assert await raw.receive() == b"to one who comes"
        with pytest.raises(errors.InvalidArgument, match="not str"):
            await raw.send("text")
        nursery.start_soon(lambda: jobs.send([1]))
        await trio.testing.wait_all_tasks_blocked()
        assert await jobs.receive() == [1]


async def test_an_object_that_was_not_sent_is_let_go(engine: Engine) -> None:
    jobs = engine.make_channel("buffered", capacity=1)
    jobs.send_nowait("fills it")
    thing = Thing()
    gone = weakref.ref(thing)
    with pytest.raises(trio.WouldBlock):
        jobs.send_nowait(thing)
    with trio.move_on_after(0):
        await jobs.send(thing)
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(jobs.send, thing)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
    del thing, nursery, scope
    gc.collect()
    assert gone() is None
    assert held(jobs) == 1
    snapshot = await jobs.statistics()
    assert (snapshot.cancelled_waiters, snapshot.parked_senders) == (1, 0)


async def test_close_is_for_all_and_lets_the_rest_drain(engine: Engine) -> None:
    jobs = engine.make_channel("buffered", capacity=1)
    other = jobs.clone()
    got: list[Any] = []

    async def send_parked() -> None:
        await jobs.send("parked before the close")

    await jobs.send("accepted")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_parked)
        await trio.testing.wait_all_tasks_blocked()
        await other.close()
        await other.close()
        with pytest.raises(trio.BrokenResourceError):
            await jobs.send("late")
        got = [value async for value in other]
    assert got == ["accepted", "parked before the close"]
    with pytest.raises(trio.EndOfChannel):
        jobs.receive_nowait()


async def test_destroy_ends_everything_with_its_reason(engine: Engine) -> None:
    jobs = engine.make_channel("buffered", capacity=1)
    thing = Thing()
    gone = weakref.ref(thing)
    jobs.send_nowait(thing)
    del thing
    ended: list[Any] = []

    async def send() -> None:
        try:
            await jobs.send("mine")
        except trio.BrokenResourceError as error:
            ended.append(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        await trio.testing.wait_all_tasks_blocked()
        await jobs.clone().destroy("over")
    assert [(type(error).__name__, error.reason) for error in ended] == [
        ("OperationCancelled", "over")
    ]
    gc.collect()
    assert gone() is None
    with pytest.raises(errors.OperationCancelled, match="over"):
        jobs.receive_nowait()


async def test_purge_lets_go_of_what_waits(engine: Engine) -> None:
    jobs = engine.make_channel("unlimited")
    for number in range(5):
        jobs.send_nowait(number)
    assert await jobs.purge() == 5
    assert held(jobs) == 0


async def test_the_last_handle_takes_the_channel_with_it(engine: Engine) -> None:
    jobs = engine.make_channel("unlimited")
    other = jobs.clone()
    thing = Thing()
    gone = weakref.ref(thing)
    jobs.send_nowait(thing)
    del thing
    await jobs.aclose()
    await jobs.aclose()
    assert gone() is not None
    assert engine.native.usage()["channels"] == 1
    await other.aclose()
    gc.collect()
    assert gone() is None
    usage = engine.native.usage()
    assert (usage["channels"], usage["messages"], usage["tokens"]) == (0, 0, 0)


async def test_accepted_messages_are_the_sum_over_all_channels_that_ever_were(
    engine: Engine,
) -> None:
    assert engine.native.accepted() == 0
    sent = 0
    for kind in ("unlimited", "conflated"):
        channel = engine.make_channel(kind)
        for number in range(5):
            channel.send_nowait(number)
        sent += (await channel.statistics()).total_sends
        await channel.aclose()
    full = engine.make_channel("buffered", capacity=2, overflow="drop_newest")
    for number in range(5):
        full.send_nowait(number)
    meeting = engine.make_channel("rendezvous")
    await run_all(lambda: meeting.send(1), meeting.receive)
    with pytest.raises(trio.WouldBlock):
        meeting.send_nowait(2)  # was not accepted
    for channel in (full, meeting):
        sent += (await channel.statistics()).total_sends
    assert sent == 5 + 5 + 5 + 1
    assert engine.native.accepted() == sent


# --- select ---


async def test_select_takes_exactly_one(engine: Engine) -> None:
    a, b = engine.make_channel(), engine.make_channel("buffered", capacity=1)
    chosen = await engine.select(a.receiving(), b.sending("out"))
    assert chosen == (1, b, None)
    assert b.receive_nowait() == "out"
    b.send_nowait("in")
    assert await engine.select(a.receiving(), b.receiving()) == (1, b, "in")
    with pytest.raises(trio.WouldBlock):
        engine.select_nowait(a.receiving(), a.sending("nobody"), b.receiving())
    assert (held(a), held(b)) == (0, 0)


async def test_a_select_that_waits_is_one_operation(engine: Engine) -> None:
    a, b = engine.make_channel(), engine.make_channel()
    done: list[Any] = []

    async def choose() -> None:
        done.append(await engine.select(a.receiving(), b.sending("out"), a.receiving()))

    for act in (lambda: a.send("in"), b.receive):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(choose)
            await trio.testing.wait_all_tasks_blocked()
            await act()
    assert [(one.channel, one.value) for one in done] == [(a, "in"), (b, None)]
    assert (held(a), held(b)) == (0, 0)
    for channel in (a, b):
        snapshot = await channel.statistics()
        assert snapshot.parked_receivers == snapshot.parked_senders == 0


async def test_a_cancelled_select_does_nothing(engine: Engine) -> None:
    a, b = engine.make_channel(), engine.make_channel()
    thing = Thing()
    gone = weakref.ref(thing)
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(engine.select, a.receiving(), b.sending(thing))
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
    del thing, nursery, scope
    with pytest.raises(trio.WouldBlock):
        a.send_nowait("x")
    with pytest.raises(trio.WouldBlock):
        b.receive_nowait()
    gc.collect()
    assert gone() is None


async def test_a_closed_clause_is_ready_and_its_error_says_which(engine: Engine) -> None:
    a, b = engine.make_channel(), engine.make_channel()
    await b.close()
    with pytest.raises(trio.EndOfChannel) as ended:
        await engine.select(a.receiving(), b.receiving())
    assert ended.value.index == 1
    with pytest.raises(trio.BrokenResourceError) as broken:
        await engine.select(b.sending("x"), a.receiving())
    assert broken.value.index == 0
    assert held(b) == 0


async def test_selects_of_a_wrong_shape_are_refused(engine: Engine) -> None:
    jobs = engine.make_channel()
    with pytest.raises(errors.InvalidArgument, match="1 to 64 clauses, not 0"):
        await engine.select()
    with pytest.raises(errors.InvalidArgument, match="not 65"):
        await engine.select(*[jobs.receiving()] * 65)
    with Engine() as other, pytest.raises(errors.InvalidArgument, match="channels of one engine"):
        await engine.select(other.make_channel().receiving())


async def test_biased_takes_the_first_and_fair_takes_turns(engine: Engine) -> None:
    a = engine.make_channel("unlimited")
    b = engine.make_channel("unlimited")
    for number in range(40):
        a.send_nowait(number)
        b.send_nowait(number)
    clauses = a.receiving(), b.receiving()
    assert [engine.select_nowait(*clauses, biased=True).index for _ in range(10)] == [0] * 10
    fair = [engine.select_nowait(*clauses).index for _ in range(20)]
    assert set(fair) == {0, 1}


# --- ends ---


async def test_closing_the_engine_ends_every_wait(engine: Engine) -> None:
    jobs = engine.make_channel()
    ended: list[type] = []

    async def wait() -> None:
        try:
            await jobs.receive()
        except trio.ClosedResourceError as error:
            ended.append(type(error))

    async with trio.open_nursery() as nursery:
        with Engine() as other:
            jobs = other.make_channel()
            nursery.start_soon(wait)
            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
    assert len(ended) == 2
    for call in (jobs.receive_nowait, jobs.clone, other.make_channel):
        with pytest.raises(trio.ClosedResourceError, match="engine"):
            call()
    await jobs.aclose()
    other.close()


async def test_a_finalizer_may_use_a_channel(engine: Engine) -> None:
    log = engine.make_channel("unlimited")

    class Logged:
        def __del__(self) -> None:
            log.send_nowait("finalized")

    jobs = engine.make_channel("conflated")
    for _ in range(3):
        jobs.send_nowait(Logged())
    await jobs.purge()
    gc.collect()
    assert [log.receive_nowait() for _ in range(3)] == ["finalized"] * 3


async def test_after_fork_an_engine_is_of_no_use_and_harms_nothing(engine: Engine) -> None:
    jobs = engine.make_channel("unlimited")
    jobs.send_nowait("the parent's")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with pytest.raises(trio.ClosedResourceError, match="parent process"):
                jobs.receive_nowait()
            engine.close()
            engine.__del__()
            status = 0
        finally:
            os._exit(status)
    _, status = await trio.to_thread.run_sync(os.waitpid, child, 0)
    assert status == 0
    assert jobs.receive_nowait() == "the parent's"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"kind": "bufered"}, "choose one of rendezvous, buffered, conflated, unlimited"),
        ({"kind": "buffered", "capacity": 1, "overflow": "drop"}, "overflow cannot be 'drop'"),
        ({"kind": "buffered"}, "1 to 1048576 places, not 0"),
        ({"kind": "buffered", "capacity": -1}, "1 to 1048576 places, not -1"),
        ({"kind": "buffered", "capacity": 1 << 40}, "1 to 1048576 places"),
        ({"kind": "conflated", "capacity": 3}, "capacity is for buffered channels"),
        ({"overflow": "drop_oldest"}, "overflow is for buffered channels"),
        ({"codec": "bytes", "elem_size": -1}, "1 to 16777216 bytes, not -1"),
    ],
)
def test_a_channel_that_cannot_be_is_refused(
    engine: Engine, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(errors.InvalidArgument, match=says):
        engine.make_channel(**options)


async def test_random_cancellation_keeps_every_value_exactly_once(engine: Engine) -> None:
    """Senders and receivers that give up at every stage: what was sent is what was received."""
    for kind, capacity in (("rendezvous", 0), ("buffered", 3)):
        jobs = engine.make_channel(kind, capacity=capacity)
        sent: list[int] = []
        got: list[int] = []

        async def give_up(turns: int, call: Callable[[], Any]) -> None:
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:

                    async def cancel() -> None:
                        for _ in range(turns):
                            await trio.lowlevel.checkpoint()
                        scope.cancel()

                    nursery.start_soon(cancel)
                    await call()
                    nursery.cancel_scope.cancel()

        async def send(number: int, jobs: Channel = jobs, sent: list[int] = sent) -> None:
            await jobs.send(number)
            sent.append(number)

        async def receive(jobs: Channel = jobs, got: list[int] = got) -> None:
            got.append(await jobs.receive())

        async with trio.open_nursery() as nursery:
            for number in range(300):
                nursery.start_soon(give_up, number % 7, lambda n=number: send(n))
                nursery.start_soon(give_up, number % 5, receive)
        while True:
            try:
                got.append(jobs.receive_nowait())
            except trio.WouldBlock:
                break
        assert sorted(got) == sorted(sent)
        assert held(jobs) == 0
        snapshot = await jobs.statistics()
        assert snapshot.total_sends == len(sent)
