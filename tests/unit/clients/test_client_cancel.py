"""Cancellation in the trio client: the reply decides, nothing is lost or doubled (contract 4.7).

Every interleaving is played step by step; nothing sleeps.
"""

from typing import Any

import pytest
import trio
import trio.testing

from kcoro_ipc import _wire, errors, tlv
from kcoro_ipc.client import open_client
from kcoro_ipc.protocol.exchange import IN_FLIGHT, OWN_PLACES

CANCELLED = (_wire.KC_ECANCELED, ("REASON", "cancelled"))


class Attempt:
    """An operation in a scope of its own, and what became of it."""

    def __init__(self) -> None:
        self.scope = trio.CancelScope()
        self.value: Any = "not finished"
        self.error: BaseException | None = None
        self.cancelled = False

    async def run(self, operation: Any) -> None:
        with self.scope:
            try:
                self.value = await operation
            except trio.Cancelled:
                self.cancelled = True
                raise
            except Exception as error:  # noqa: BLE001 (the test asserts which)
                self.error = error


async def test_a_cancelled_receive_waits_for_its_reply_and_is_cancelled(pairing: Any) -> None:
    jobs = await pairing.open()
    attempt = Attempt()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(attempt.run, jobs.receive())
        frame = await pairing.daemon.expect("CHAN_RECV")
        attempt.scope.cancel()
        await pairing.daemon.expect("CANCEL", REQ_ID=frame.get("REQ_ID"))
        await trio.testing.wait_all_tasks_blocked()
        assert not attempt.cancelled, "only the reply decides"
        await pairing.daemon.reply(frame, *CANCELLED)
    assert attempt.cancelled


async def test_a_message_that_still_came_is_returned_not_lost(pairing: Any) -> None:
    jobs = await pairing.open()
    attempt = Attempt()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(attempt.run, jobs.receive())
        frame = await pairing.daemon.expect("CHAN_RECV")
        attempt.scope.cancel()
        await pairing.daemon.expect("CANCEL")
        await pairing.daemon.reply(frame, 0, ("ELEMENT", b"late"))
    assert (attempt.value, attempt.cancelled) == (b"late", False)


async def test_a_job_that_still_came_is_returned_and_can_be_acknowledged(pairing: Any) -> None:
    jobs = await pairing.open()
    attempt = Attempt()
    inbox = jobs.acking()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(attempt.run, inbox.receive())
        frame = await pairing.daemon.expect("CHAN_RECV")
        attempt.scope.cancel()
        await pairing.daemon.expect("CANCEL")
        await pairing.daemon.reply(frame, 0, ("ITEM", [("ELEMENT", b"late"), ("DELIVERY_ID", 3)]))
    assert attempt.value.data == b"late"

    async def settle() -> None:
        frame = await pairing.daemon.expect("ACK", DELIVERY_ID=3)
        await pairing.daemon.reply(frame)

    await pairing.both(attempt.value.ack(), settle())


async def test_a_send_that_happened_returns_and_one_that_did_not_is_cancelled(
    pairing: Any,
) -> None:
    jobs = await pairing.open()
    for result, returned in (((0,), True), (CANCELLED, False)):
        attempt = Attempt()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(attempt.run, jobs.send(b"x"))
            frame = await pairing.daemon.expect("CHAN_SEND")
            attempt.scope.cancel()
            await pairing.daemon.expect("CANCEL")
            await pairing.daemon.reply(frame, *result)
        assert (attempt.value is True, attempt.cancelled) == (returned, not returned)


async def test_a_cancelled_batch_returns_what_was_settled(pairing: Any) -> None:
    jobs = await pairing.open()
    attempt = Attempt()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(attempt.run, jobs.send_many([b"a", b"b", b"c"]))
        frame = await pairing.daemon.expect("CHAN_SEND")
        attempt.scope.cancel()
        await pairing.daemon.expect("CANCEL")
        await pairing.daemon.reply(frame, 0, ("COUNT", 1))
    assert (attempt.value, attempt.cancelled) == (1, False)


async def test_a_batch_cancelled_between_its_frames_returns_what_was_settled(
    pairing: Any,
) -> None:
    jobs = await pairing.open()
    attempt = Attempt()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(attempt.run, jobs.send_many([b"x"] * 2000))
        frame = await pairing.daemon.expect("CHAN_SEND")
        await pairing.daemon.reply(frame, 0, ("COUNT", 1024))
        frame = await pairing.daemon.expect("CHAN_SEND")
        attempt.scope.cancel()
        await pairing.daemon.expect("CANCEL")
        await pairing.daemon.reply(frame, *CANCELLED)
    assert (attempt.value, attempt.cancelled) == (1024, False)


async def test_a_taken_message_is_unconfirmed_not_cancelled(pairing: Any) -> None:
    jobs = await pairing.open()
    attempt = Attempt()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(attempt.run, jobs.send(b"x", confirm=True))
        frame = await pairing.daemon.expect("CHAN_SEND", FLAGS=_wire.FLAG_SEND_COMPLETE_ACK)
        attempt.scope.cancel()
        await pairing.daemon.expect("CANCEL")
        await pairing.daemon.reply(frame, _wire.KC_EINPROGRESS)
    assert type(attempt.error) is errors.Unconfirmed


async def test_a_destroyed_channel_and_an_evicted_message_are_not_cancelled(pairing: Any) -> None:
    jobs = await pairing.open()
    attempt = Attempt()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(attempt.run, jobs.send(b"x", confirm=True))
        frame = await pairing.daemon.expect("CHAN_SEND")
        attempt.scope.cancel()
        await pairing.daemon.expect("CANCEL")
        await pairing.daemon.reply(frame, _wire.KC_ECANCELED, ("REASON", "evicted"))
    assert isinstance(attempt.error, errors.OperationCancelled)
    assert attempt.error.reason == "evicted"


async def test_what_was_cancelled_before_it_began_sends_nothing(pairing: Any) -> None:
    jobs = await pairing.open()
    for operation in (jobs.send(b"x"), jobs.receive(), pairing.client.ping()):
        attempt = Attempt()
        attempt.scope.cancel()
        await attempt.run(operation)
        assert attempt.cancelled

    async def next_frame() -> Any:
        frame = await pairing.daemon.expect("PING")
        await pairing.daemon.reply(frame)

    await pairing.both(pairing.client.ping(), next_frame())


async def test_a_cancelled_select_returns_its_winner_or_is_cancelled(pairing: Any) -> None:
    jobs = await pairing.open()
    for result, cancelled in (((0, ("INDEX", 0), ("ELEMENT", b"won")), False), (CANCELLED, True)):
        attempt = Attempt()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(attempt.run, pairing.client.select(jobs.receiving()))
            frame = await pairing.daemon.expect("SELECT")
            attempt.scope.cancel()
            await pairing.daemon.expect("CANCEL")
            await pairing.daemon.reply(frame, *result)
        assert attempt.cancelled is cancelled
        assert cancelled or attempt.value.value == b"won"


async def test_a_cancelled_wait_for_a_channel_is_cancelled(pairing: Any) -> None:
    attempt = Attempt()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(attempt.run, pairing.client.open_channel("jobs", wait=True))
        frame = await pairing.daemon.expect("CHAN_OPEN", TIMEOUT_MS=-1)
        attempt.scope.cancel()
        await pairing.daemon.expect("CANCEL")
        await pairing.daemon.reply(frame, *CANCELLED)
    assert attempt.cancelled


async def test_a_timeout_is_trios_own(pairing: Any, autojump_clock: trio.testing.MockClock) -> None:
    jobs = await pairing.open()

    async def daemon() -> None:
        frame = await pairing.daemon.expect("CHAN_RECV", TIMEOUT_MS=-1)
        await pairing.daemon.expect("CANCEL")
        await pairing.daemon.reply(frame, *CANCELLED)

    async def client() -> bool:
        with trio.move_on_after(3) as scope:
            await jobs.receive()
        return scope.cancelled_caught

    timed_out, _ = await pairing.both(client(), daemon())
    assert timed_out
    assert trio.current_time() >= 3


async def test_without_a_reply_within_the_grace_the_connection_is_broken(
    pairing: Any, autojump_clock: trio.testing.MockClock
) -> None:
    jobs = await pairing.open()
    first, second = Attempt(), Attempt()
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(first.run, jobs.send(b"x"))
        nursery.start_soon(second.run, jobs.receive())
        await trio.testing.wait_all_tasks_blocked()
        first.scope.cancel()
    for attempt in (first, second):
        assert isinstance(attempt.error, errors.ConnectionLost)
        assert isinstance(attempt.error, trio.BrokenResourceError)
        assert "did not answer a cancelled request within 5 s" in str(attempt.error)
    assert trio.current_time() - began == pytest.approx(5)
    with pytest.raises(errors.ConnectionLost):
        await jobs.send(b"y")
    await jobs.aclose()


async def test_a_reply_within_the_grace_ends_it(
    pairing: Any, autojump_clock: trio.testing.MockClock
) -> None:
    jobs = await pairing.open()
    attempt = Attempt()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(attempt.run, jobs.receive())
        frame = await pairing.daemon.expect("CHAN_RECV")
        attempt.scope.cancel()
        await trio.sleep(4)
        await pairing.daemon.reply(frame, *CANCELLED)
    assert attempt.cancelled
    await trio.sleep(10)

    async def answer() -> None:
        await pairing.daemon.expect("CANCEL")
        await pairing.daemon.reply(await pairing.daemon.expect("PING"))

    await pairing.both(pairing.client.ping(), answer())


async def test_closing_a_handle_ends_its_own_waits_and_no_others(pairing: Any) -> None:
    jobs = await pairing.open()
    other = jobs.clone()
    mine, theirs, still_came = Attempt(), Attempt(), Attempt()
    daemon = pairing.daemon
    async with trio.open_nursery() as nursery:
        nursery.start_soon(mine.run, jobs.receive())
        frame = await daemon.expect("CHAN_RECV")
        nursery.start_soon(still_came.run, jobs.receive())
        second = await daemon.expect("CHAN_RECV")
        nursery.start_soon(theirs.run, other.receive())
        third = await daemon.expect("CHAN_RECV")
        await jobs.aclose()
        cancelled = {(await daemon.expect("CANCEL")).get("REQ_ID") for _ in range(2)}
        assert cancelled == {frame.get("REQ_ID"), second.get("REQ_ID")}
        await daemon.reply(frame, *CANCELLED)
        await daemon.reply(second, 0, ("ELEMENT", b"had come"))
        await trio.testing.wait_all_tasks_blocked()
        assert theirs.value == "not finished"
        await daemon.reply(third, 0, ("ELEMENT", b"x"))
    assert isinstance(mine.error, trio.ClosedResourceError)
    assert (still_came.value, theirs.value) == (b"had come", b"x")


async def test_closing_a_handle_in_a_cancelled_scope_still_gives_it_back(pairing: Any) -> None:
    jobs = await pairing.open()

    async def close() -> None:
        with trio.CancelScope() as scope:
            scope.cancel()
            await jobs.aclose()

    async def daemon() -> None:
        frame = await pairing.daemon.expect("CHAN_RELEASE", CHAN_ID=1001)
        await pairing.daemon.expect("CANCEL")
        await pairing.daemon.reply(frame)

    await pairing.both(close(), daemon())


async def test_leaving_the_client_while_others_wait_tells_them(listener: Any) -> None:
    attempt = Attempt()
    entered = trio.Event()

    async def daemon() -> None:
        daemon = await listener.accept()
        await daemon.opens()
        await daemon.expect("CHAN_RECV")
        entered.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(daemon)
        async with open_client(listener.path) as client:
            jobs = await client.open_channel("jobs")
            nursery.start_soon(attempt.run, jobs.receive())
            await entered.wait()
    assert isinstance(attempt.error, trio.ClosedResourceError)
    with pytest.raises(trio.ClosedResourceError, match="this client is closed"):
        await jobs.send(b"x")


async def test_an_outer_cancel_ends_waits_by_their_replies_and_then_the_client(
    listener: Any,
) -> None:
    seen: list[str] = []
    scope = trio.CancelScope()

    async def daemon() -> None:
        daemon = await listener.accept()
        await daemon.opens()
        frame = await daemon.expect("CHAN_RECV")
        scope.cancel()
        await daemon.expect("CANCEL")
        seen.append("cancel")
        await daemon.reply(frame, 0, ("ELEMENT", b"late"))
        seen.append("end" if await daemon.stream.receive_some() == b"" else "more")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(daemon)
        with scope:
            async with open_client(listener.path) as client:
                jobs = await client.open_channel("jobs")
                seen.append((await jobs.receive()).decode())
                await trio.sleep_forever()
    assert scope.cancelled_caught
    assert seen == ["cancel", "late", "end"]


async def test_a_daemon_that_goes_away_ends_every_wait(pairing: Any) -> None:
    jobs = await pairing.open()
    attempts = [Attempt() for _ in range(3)]
    async with trio.open_nursery() as nursery:
        for attempt in attempts:
            nursery.start_soon(attempt.run, jobs.receive())
        for _ in attempts:
            await pairing.daemon.expect("CHAN_RECV")
        await pairing.daemon.stream.aclose()
    assert [type(attempt.error).__name__ for attempt in attempts] == ["ConnectionLost"] * 3
    assert len({id(attempt.error) for attempt in attempts}) == 3, "each has its own traceback"


async def test_the_daemons_last_word_is_passed_on(pairing: Any) -> None:
    jobs = await pairing.open()
    attempt = Attempt()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(attempt.run, jobs.receive())
        await pairing.daemon.expect("CHAN_RECV")
        await pairing.daemon.says(tlv.build_frame("CHAN_RECV", [("RESULT", -71)], 1))
    assert isinstance(attempt.error, errors.ConnectionLost)
    assert "not a valid frame" in str(attempt.error)


async def test_above_the_bound_tasks_wait_here_and_the_other_side_still_gets_through(
    pairing: Any,
) -> None:
    jobs = await pairing.open()
    daemon = pairing.daemon
    most = IN_FLIGHT - 2 * OWN_PLACES
    parked, waiting = [Attempt() for _ in range(most)], [Attempt() for _ in range(3)]
    async with trio.open_nursery() as nursery:
        for attempt in parked:
            nursery.start_soon(attempt.run, jobs.receive())
        frames = [await daemon.expect("CHAN_RECV") for _ in parked]
        for attempt in waiting:
            nursery.start_soon(attempt.run, jobs.receive())
        await trio.testing.wait_all_tasks_blocked()
        waiting[1].scope.cancel()  # it has sent nothing: there is nothing to ask the daemon
        await trio.testing.wait_all_tasks_blocked()
        assert waiting[1].cancelled

        async def answer() -> None:
            await daemon.reply(await daemon.expect("CHAN_SEND", ELEMENT=b"through"))

        await pairing.both(jobs.send(b"through"), answer())
        for frame in frames:
            await daemon.reply(frame, 0, ("ELEMENT", b"first"))
        for _ in range(2):
            await daemon.reply(await daemon.expect("CHAN_RECV"), 0, ("ELEMENT", b"last"))
    assert {attempt.value for attempt in parked} == {b"first"}
    assert (waiting[0].value, waiting[2].value) == (b"last", b"last")


async def test_every_operation_is_a_checkpoint(pairing: Any) -> None:
    jobs = await pairing.open()

    async def serve() -> None:
        for command in ("CHAN_SEND", "CHAN_RECV", "CHAN_SEND", "PING"):
            await pairing.daemon.reply(
                await pairing.daemon.expect(command), 0, ("ELEMENT", b"x"), ("COUNT", 2)
            )

    async def ask() -> None:
        for operation in (jobs.send(b"x"), jobs.receive(), jobs.send_many([b"a", b"b"])):
            with trio.testing.assert_checkpoints():
                await operation
        with trio.testing.assert_checkpoints():
            await pairing.client.ping()
        for operation in (jobs.send_many([]), jobs.clone().aclose(), jobs.acking().aclose()):
            with trio.testing.assert_checkpoints():
                await operation

    await pairing.both(ask(), serve())
