"""Watching a channel: whole snapshots out of events that tell what changed, in both clients."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from kcoro_ipc import blocking, tlv
from kcoro_ipc.errors import (
    ClosedResourceError,
    ConnectionLost,
    NoSuchChannel,
    OperationCancelled,
)
from kcoro_ipc.metrics import ChannelSnapshot

ENOENT, ECANCELED = -2, -125


def event(frame: tlv.Frame, skipped: int = 0, **counters: int) -> bytes:
    """Of the subscription that `frame` asked for."""
    pairs: list[tuple[str, Any]] = [("REQ_ID", frame.get("REQ_ID")), ("CHAN_ID", 1001)]
    if skipped:
        pairs.append(("EVENTS_SKIPPED", skipped))
    for name, value in counters.items():
        stat_id = tlv.STATS.index(name) + 1
        pairs.append(("STAT", [("STAT_ID", stat_id), ("VALUE", value)]))
    return tlv.build_frame("SUBSCRIBE", pairs, 1)


def seen(snapshot: ChannelSnapshot) -> tuple[str | None, int, int, int, int]:
    one = snapshot
    return one.name, one.chan_id, one.total_sends, one.total_recvs, one.depth


# --- trio ---


@asynccontextmanager
async def watching(
    pairing: Any, target: str | int, interval: float, *late: dict[str, int], **asked: object
) -> AsyncIterator[tuple[Any, tlv.Frame]]:
    """A watch and the frame that began it; its end is answered, after `late` events."""
    snapshots = pairing.client.watch(target, interval)
    await snapshots.__aenter__()
    frame = await pairing.daemon.expect("SUBSCRIBE", **asked)
    yield snapshots, frame

    async def end() -> None:
        await pairing.daemon.expect("CANCEL", REQ_ID=frame.get("REQ_ID"))
        for counters in late:
            await pairing.daemon.says(event(frame, **counters))
        await pairing.daemon.reply(frame, ECANCELED, ("REASON", "cancelled"))

    await pairing.both(snapshots.__aexit__(None, None, None), end())


async def test_each_snapshot_is_whole_though_events_tell_only_what_changed(pairing: Any) -> None:
    says = pairing.daemon.says
    expected = {"NAME": b"jobs", "INTERVAL_MS": 250}
    async with watching(pairing, "jobs", 0.25, **expected) as (snapshots, frame):
        await says(event(frame, total_sends=5, total_recvs=2, depth=3))
        assert seen(await anext(snapshots)) == ("jobs", 1001, 5, 2, 3)
        await says(event(frame, total_recvs=3, depth=2))
        assert seen(await anext(snapshots)) == ("jobs", 1001, 5, 3, 2)
        await says(event(frame))
        assert seen(await anext(snapshots)) == ("jobs", 1001, 5, 3, 2)


async def test_who_looks_seldom_finds_the_newest_and_how_many_were_left_out(pairing: Any) -> None:
    daemon = pairing.daemon
    async with watching(pairing, 1001, 0.1, CHAN_ID=1001) as (snapshots, frame):
        for sends in range(100):
            await daemon.says(event(frame, skipped=sends % 2, total_sends=sends))
        await pairing.both(pairing.client.ping(), answer_ping(daemon))
        assert seen(await anext(snapshots)) == (None, 1001, 99, 0, 0)
        assert snapshots.skipped == 50


async def answer_ping(daemon: Any) -> None:
    await daemon.reply(await daemon.expect("PING"))


async def test_a_watch_that_is_over_is_over_whatever_came_late(pairing: Any) -> None:
    async with watching(pairing, "jobs", 0.1, {"total_sends": 1}) as (snapshots, _):
        pass
    await pairing.both(pairing.client.ping(), answer_ping(pairing.daemon))
    assert seen(await anext(snapshots))[2] == 1
    with pytest.raises(ClosedResourceError):
        await anext(snapshots)
    with pytest.raises(ClosedResourceError):
        await snapshots.__aenter__()


async def test_the_end_of_the_channel_ends_the_watch_after_what_was_told(pairing: Any) -> None:
    daemon = pairing.daemon
    async with pairing.client.watch("jobs", 0.1) as snapshots:
        frame = await daemon.expect("SUBSCRIBE")
        await daemon.says(event(frame, total_sends=1))
        await daemon.reply(frame, ECANCELED, ("REASON", "enough"))
        await pairing.both(pairing.client.ping(), answer_ping(daemon))
        assert seen(await anext(snapshots))[2] == 1
        for _ in range(2):
            with pytest.raises(OperationCancelled, match="cancelled") as caught:
                await anext(snapshots)
            assert caught.value.reason == "enough"
    assert not [f for f in [daemon._frames.next()] if f]  # what has ended is not cancelled


async def test_a_watch_ends_with_its_client_and_can_be_cancelled(pairing: Any) -> None:
    daemon = pairing.daemon
    async with pairing.client.watch("jobs", 0.1) as snapshots:
        await daemon.expect("SUBSCRIBE")
        with trio.move_on_after(0) as scope:
            await anext(snapshots)
        assert scope.cancelled_caught
        await daemon.stream.aclose()
        with pytest.raises(ConnectionLost):
            await anext(snapshots)
    with pytest.raises(ConnectionLost):
        async with pairing.client.watch("jobs", 0.1):
            pass


# --- blocking ---

Played = Callable[..., AbstractContextManager[Path]]


def test_blocking_each_snapshot_is_whole_and_other_requests_go_between(played: Played) -> None:
    def script(peer: Any) -> None:
        frame = peer.expect("SUBSCRIBE", NAME=b"jobs", INTERVAL_MS=250)
        peer.socket.sendall(event(frame, total_sends=5, depth=3))
        ping = peer.expect("PING")
        peer.socket.sendall(event(frame, total_sends=6))
        peer.reply(ping)
        peer.socket.sendall(event(frame, skipped=2, depth=4))
        peer.serve("PING")
        peer.expect("CANCEL", REQ_ID=frame.get("REQ_ID"))
        peer.socket.sendall(event(frame, depth=9))
        peer.reply(frame, ECANCELED, ("REASON", "cancelled"))
        peer.serve("PING")

    with played(script) as path, blocking.open_client(path) as client:
        with client.watch("jobs", 0.25) as snapshots:
            assert seen(next(snapshots)) == ("jobs", 1001, 5, 0, 3)
            client.ping()
            assert seen(next(snapshots))[2] == 6
            client.ping()
            assert seen(next(snapshots)) == ("jobs", 1001, 6, 0, 4)
            assert snapshots.skipped == 2
        client.ping()
        with pytest.raises(ClosedResourceError):
            next(snapshots)


def test_blocking_a_refusal_and_the_end_of_the_connection_are_raised(played: Played) -> None:
    def script(peer: Any) -> None:
        peer.serve("SUBSCRIBE", ENOENT)
        peer.serve("PING")
        frame = peer.expect("SUBSCRIBE")
        peer.socket.sendall(event(frame, total_sends=1))

    with played(script) as path, blocking.open_client(path) as client:
        with client.watch("nothing", 0.1) as snapshots:
            for _ in range(2):
                with pytest.raises(NoSuchChannel):
                    next(snapshots)
        client.ping()
        with client.watch("jobs", 0.1) as snapshots:
            assert seen(next(snapshots))[2] == 1
            with pytest.raises(ConnectionLost):
                next(snapshots)


class Interrupted(Exception):
    pass


def test_blocking_an_interrupted_watch_loses_no_event(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    def script(peer: Any) -> None:
        frame = peer.expect("SUBSCRIBE")
        peer.socket.sendall(event(frame, total_sends=1))
        peer.expect("CANCEL")
        peer.reply(frame, ECANCELED, ("REASON", "cancelled"))

    with played(script) as path, blocking.open_client(path) as client:
        inflow = client._connection._inflow
        receive = inflow.receive

        def once(*flags: Any) -> None:
            receive(*flags)
            monkeypatch.setattr(inflow, "receive", receive)
            raise Interrupted

        monkeypatch.setattr(inflow, "receive", once)
        with client.watch("jobs", 0.1) as snapshots:
            with pytest.raises(Interrupted):
                next(snapshots)
            assert seen(next(snapshots))[2] == 1


def test_blocking_an_interrupted_request_is_cancelled_though_an_event_came(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    def script(peer: Any) -> None:
        peer.opens()
        watching = peer.expect("SUBSCRIBE")
        frame = peer.expect("CHAN_RECV")
        peer.socket.sendall(event(watching, total_sends=1))
        peer.expect("CANCEL", REQ_ID=frame.get("REQ_ID"))
        peer.reply(frame, ECANCELED, ("REASON", "cancelled"))
        peer.expect("CANCEL", REQ_ID=watching.get("REQ_ID"))
        peer.reply(watching, ECANCELED, ("REASON", "cancelled"))
        peer.serve("CHAN_RELEASE")

    with played(script) as path, blocking.open_client(path) as client:
        channel = client.open_channel("jobs", kind="buffered", capacity=4)
        with client.watch("jobs", 0.1) as snapshots:
            inflow = client._connection._inflow
            first = inflow.first

            def once() -> Any:
                if not inflow.raw:
                    return first()
                monkeypatch.setattr(inflow, "first", first)
                raise Interrupted

            monkeypatch.setattr(inflow, "first", once)
            with pytest.raises(Interrupted):
                channel.receive()
            assert seen(next(snapshots))[2] == 1
        channel.aclose()
