"""What trio promises of its memory channels, asked of trio itself and of ours.

Each case runs on both, so that a case which misreads trio fails on trio. The ideas are those of
trio's documentation and of its channel tests; nothing sleeps.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trio
import trio.testing

from kcoro_ipc import errors
from kcoro_ipc.engine import Engine

Make = Callable[[float], tuple[Any, Any]]


@pytest.fixture(params=["trio", "kcoro"])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    if request.param == "trio":
        yield trio.open_memory_channel
        return
    with Engine() as engine:
        yield engine.open_memory_channel
        assert engine.native.check() == ""


class Waits:
    """Tasks that wait, and how each ended."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.nursery = nursery
        self.ended: dict[str, Any] = {}
        self.order: list[str] = []

    async def start(self, name: str, call: Callable[..., Any], *arguments: Any) -> None:
        """Returns once the call waits (or has ended)."""

        async def run() -> None:
            try:
                self.ended[name] = await call(*arguments)
            except (trio.EndOfChannel, trio.BrokenResourceError, trio.ClosedResourceError) as error:
                self.ended[name] = error
            self.order.append(name)

        self.nursery.start_soon(run)
        await trio.testing.wait_all_tasks_blocked()


async def test_a_buffer_holds_exactly_so_many(make: Make) -> None:
    send, receive = make(3)
    for number in range(3):
        send.send_nowait(number)
    with pytest.raises(trio.WouldBlock):
        send.send_nowait(3)
    assert [receive.receive_nowait() for _ in range(3)] == [0, 1, 2]
    with pytest.raises(trio.WouldBlock):
        receive.receive_nowait()


async def test_without_a_buffer_a_send_needs_a_receiver(make: Make) -> None:
    send, receive = make(0)
    with pytest.raises(trio.WouldBlock):
        send.send_nowait(1)
    async with trio.open_nursery() as nursery:
        waits = Waits(nursery)
        await waits.start("receive", receive.receive)
        send.send_nowait("met")
        with pytest.raises(trio.WouldBlock):
            send.send_nowait("late")
    assert waits.ended == {"receive": "met"}


async def test_an_endless_buffer_never_blocks_the_sender(make: Make) -> None:
    send, receive = make(math.inf)
    for number in range(5000):
        send.send_nowait(number)
    assert send.statistics().max_buffer_size == math.inf
    assert [receive.receive_nowait() for _ in range(5000)] == list(range(5000))


@pytest.mark.parametrize(("size", "error"), [(-1, ValueError), (1.5, TypeError), ("1", TypeError)])
async def test_a_size_that_cannot_be_is_refused(make: Make, size: Any, error: type) -> None:
    with pytest.raises(error):
        make(size)


async def test_any_object_arrives_as_itself(make: Make) -> None:
    send, receive = make(1)
    for value in (None, object(), [send], ValueError("x"), 2**100, lambda: 1):
        send.send_nowait(value)
        assert receive.receive_nowait() is value


async def test_senders_and_receivers_are_served_in_the_order_in_which_they_came(
    make: Make,
) -> None:
    send, receive = make(1)
    async with trio.open_nursery() as nursery:
        waits = Waits(nursery)
        for number in range(4):
            await waits.start(f"send {number}", send.send, number)
        assert [await receive.receive() for _ in range(4)] == [0, 1, 2, 3]
        await trio.testing.wait_all_tasks_blocked()
        assert waits.order == [f"send {number}" for number in range(4)]
        for number in range(3):
            await waits.start(f"receive {number}", receive.receive)
        for value in "abc":
            send.send_nowait(value)
    assert [waits.ended[f"receive {number}"] for number in range(3)] == ["a", "b", "c"]


async def test_nobody_overtakes_a_sender_that_waits(make: Make) -> None:
    send, receive = make(2)
    async with trio.open_nursery() as nursery:
        waits = Waits(nursery)
        for number in range(4):
            await waits.start(f"send {number}", send.send, number)
        assert receive.receive_nowait() == 0
        with pytest.raises(trio.WouldBlock):
            send.send_nowait("barging")
        assert [receive.receive_nowait() for _ in range(3)] == [1, 2, 3]


async def test_the_last_sender_that_closes_ends_the_channel_after_its_rest(make: Make) -> None:
    send, receive = make(2)
    other = send.clone()
    send.send_nowait(1)
    send.close()
    other.send_nowait(2)
    async with trio.open_nursery() as nursery:
        waits = Waits(nursery)
        other.close()
        assert [await receive.receive(), receive.receive_nowait()] == [1, 2]
        with pytest.raises(trio.EndOfChannel):
            receive.receive_nowait()
        await waits.start("receive", receive.receive)
    assert isinstance(waits.ended["receive"], trio.EndOfChannel)


async def test_receivers_that_wait_learn_of_the_end_at_once(make: Make) -> None:
    send, receive = make(0)
    async with trio.open_nursery() as nursery:
        waits = Waits(nursery)
        await waits.start("a", receive.receive)
        await waits.start("b", receive.clone().receive)
        await send.aclose()
    assert [type(waits.ended[name]).__mro__.count(trio.EndOfChannel) for name in "ab"] == [1, 1]


async def test_the_last_receiver_that_closes_breaks_the_channel(make: Make) -> None:
    send, receive = make(1)
    other = receive.clone()
    send.send_nowait("is dropped")
    receive.close()
    async with trio.open_nursery() as nursery:
        waits = Waits(nursery)
        await waits.start("send", send.send, "waits")
        assert waits.ended == {}, "one receiver is left"
        other.close()
    assert isinstance(waits.ended["send"], trio.BrokenResourceError)
    with pytest.raises(trio.BrokenResourceError):
        send.send_nowait(1)
    with pytest.raises(trio.BrokenResourceError):
        await send.send(1)
    assert send.statistics().current_buffer_used == 0


async def test_closing_a_handle_ends_its_own_waits_and_no_others(make: Make) -> None:
    send, receive = make(0)
    other = receive.clone()
    async with trio.open_nursery() as nursery:
        waits = Waits(nursery)
        await waits.start("mine", receive.receive)
        await waits.start("theirs", other.receive)
        receive.close()
        await trio.testing.wait_all_tasks_blocked()
        assert isinstance(waits.ended["mine"], trio.ClosedResourceError)
        assert "theirs" not in waits.ended
        await send.send("x")
    assert waits.ended["theirs"] == "x"


async def test_a_sender_whose_handle_closes_keeps_its_value(make: Make) -> None:
    send, receive = make(1)
    other = send.clone()
    async with trio.open_nursery() as nursery:
        waits = Waits(nursery)
        await waits.start("first", other.send, 1)
        await waits.start("mine", send.send, "not sent")
        send.close()
        await waits.start("third", other.send, 3)
        assert [await receive.receive(), await receive.receive()] == [1, 3]
    assert isinstance(waits.ended["mine"], trio.ClosedResourceError)
    assert waits.ended["third"] is None


async def test_a_closed_handle_is_of_no_use_and_closing_it_again_is_nothing(make: Make) -> None:
    send, receive = make(1)
    keep_send, keep_receive = send.clone(), receive.clone()
    for handle in (send, receive):
        handle.close()
        handle.close()
        await handle.aclose()
        with pytest.raises(trio.ClosedResourceError):
            handle.clone()
    for call in (lambda: send.send_nowait(1), receive.receive_nowait):
        with pytest.raises(trio.ClosedResourceError):
            call()
    with pytest.raises(trio.ClosedResourceError):
        await send.send(1)
    with pytest.raises(trio.ClosedResourceError):
        await receive.receive()
    keep_send.send_nowait(1)
    assert keep_receive.receive_nowait() == 1


async def test_handles_are_context_managers_of_both_kinds(make: Make) -> None:
    send, receive = make(1)
    with send as same, send.clone():
        assert same is send
    async with receive as same:
        assert same is receive
        with pytest.raises(trio.EndOfChannel):
            await receive.receive()
    with pytest.raises(trio.ClosedResourceError):
        await receive.receive()


async def test_iteration_takes_everything_to_the_end(make: Make) -> None:
    send, receive = make(0)

    async def produce() -> None:
        async with send:
            for number in range(10):
                await send.send(number)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(produce)
        assert [value async for value in receive] == list(range(10))


async def test_a_cancelled_send_leaves_the_channel_unchanged(make: Make) -> None:
    send, receive = make(1)
    send.send_nowait("first")
    async with trio.open_nursery() as nursery:
        waits = Waits(nursery)
        with trio.CancelScope() as scope:
            scope.cancel()
            await send.send("never")
        assert scope.cancelled_caught
        with trio.move_on_after(0) as scope:
            await send.send("never")
        assert scope.cancelled_caught
        await waits.start("send", send.send, "second")
        assert send.statistics().tasks_waiting_send == 1
        assert [await receive.receive(), await receive.receive()] == ["first", "second"]
    with pytest.raises(trio.WouldBlock):
        receive.receive_nowait()


async def test_a_cancelled_receive_takes_nothing(make: Make) -> None:
    send, receive = make(1)
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive.receive)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
    assert send.statistics().tasks_waiting_receive == 0
    send.send_nowait("kept")
    with trio.CancelScope() as scope:
        scope.cancel()
        await receive.receive()
    assert scope.cancelled_caught
    assert receive.receive_nowait() == "kept"


async def test_a_value_handed_over_before_the_cancel_arrives(make: Make) -> None:
    send, receive = make(0)
    got: list[str] = []
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:

            async def take() -> None:
                got.append(await receive.receive())

            nursery.start_soon(take)
            await trio.testing.wait_all_tasks_blocked()
            send.send_nowait("handed over")
            scope.cancel()
    assert got == ["handed over"]


async def test_one_of_many_waiting_senders_can_leave(make: Make) -> None:
    send, receive = make(0)
    scopes = [trio.CancelScope() for _ in range(5)]

    async def run(number: int) -> None:
        with scopes[number]:
            await send.send(number)

    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(run, number)
            await trio.testing.wait_all_tasks_blocked()
        scopes[2].cancel()
        scopes[0].cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert [await receive.receive() for _ in range(3)] == [1, 3, 4]


async def test_every_async_call_is_a_checkpoint(make: Make) -> None:
    send, receive = make(1)
    for call in (lambda: send.send(1), receive.receive, send.clone().aclose, receive.aclose):
        with trio.testing.assert_checkpoints():
            await call()
    send.close()


async def test_statistics_say_who_is_there_and_who_waits(make: Make) -> None:
    send, receive = make(2)
    clone = send.clone()

    def seen() -> tuple[Any, ...]:
        found = receive.statistics()
        assert found == send.statistics()
        return (
            found.current_buffer_used,
            found.max_buffer_size,
            found.open_send_channels,
            found.open_receive_channels,
            found.tasks_waiting_send,
            found.tasks_waiting_receive,
        )

    assert seen() == (0, 2, 2, 1, 0, 0)
    async with trio.open_nursery() as nursery:
        waits = Waits(nursery)
        for number in range(3):
            await waits.start(f"{number}", send.send, number)
        assert seen() == (2, 2, 2, 1, 1, 0)
        assert [receive.receive_nowait() for _ in range(3)] == [0, 1, 2]
        await trio.testing.wait_all_tasks_blocked()
        await waits.start("receive", receive.receive)
        assert seen() == (0, 2, 2, 1, 0, 1)
        clone.close()
        assert seen() == (0, 2, 1, 1, 0, 1)
        send.send_nowait("x")
    with send, receive:
        pass
    assert seen() == (0, 2, 0, 0, 0, 0)


async def test_a_pipeline_of_many_tasks_loses_and_doubles_nothing(make: Make) -> None:
    send, receive = make(3)
    got: list[int] = []

    async def produce(start: int) -> None:
        with send.clone() as mine:
            for number in range(start, start + 100):
                await mine.send(number)

    async def consume() -> None:
        with receive.clone() as mine:
            got.extend([number async for number in mine])

    async with trio.open_nursery() as nursery:
        for place in range(5):
            nursery.start_soon(produce, place * 100)
            nursery.start_soon(consume)
        await trio.testing.wait_all_tasks_blocked()
        send.close()
        receive.close()
    assert sorted(got) == list(range(500))


async def test_the_generic_form_works(make: Make) -> None:
    send, receive = make[int](1)  # type: ignore[index]
    send.send_nowait(1)
    assert receive.receive_nowait() == 1


async def test_our_errors_carry_their_codes() -> None:
    with Engine() as engine:
        send, receive = engine.open_memory_channel(0)
        with pytest.raises(errors.WouldBlock) as would_block:
            send.send_nowait(1)
        assert would_block.value.code == errors.KC_EAGAIN
        receive.close()
        with pytest.raises(errors.BrokenResourceError) as broken:
            send.send_nowait(1)
        assert broken.value.code == errors.KC_EPIPE
