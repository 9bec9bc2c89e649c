"""Whose a block is after a send that raised: in doubt is what went out and was not answered, and
nothing else."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import trio

from kcoro_ipc import blocking, client
from kcoro_ipc.errors import (
    KC_ECANCELED,
    KC_EINPROGRESS,
    ClosedResourceError,
    ConnectionLost,
    OperationCancelled,
)
from tests.unit.clients.peers import ranges_of, serve_region

SIZE = 64 << 10
Played = Callable[..., AbstractContextManager[Path]]


@pytest.fixture
def shared(played: Played, hello: Callable[..., bytes]) -> Any:
    return lambda script: played(script, hello(caps=3))


@pytest.fixture
def interrupt() -> Iterator[Callable[[], None]]:
    def raise_it(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, raise_it)
    main = threading.main_thread().ident
    assert main is not None
    try:
        yield lambda: signal.pthread_kill(main, signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)


def region(peer: Any, region_id: int = 77) -> None:
    number, _ = serve_region(peer, region_id)
    os.close(number)


def until(lent: threading.Event) -> Callable[[Any], None]:
    """A daemon that goes away once a block is lent."""

    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 << 20)
        lent.wait()

    return script


def loses(connection: Any) -> None:
    """The next reply is the last thing that arrives, and the end is seen before anybody runs."""
    deliver = connection._deliver

    def deliver_and_end(data: bytes) -> None:
        deliver(data)
        connection._lose("the daemon closed the connection")

    connection._deliver = deliver_and_end


async def test_a_decided_send_keeps_its_block_though_the_connection_has_ended(shared: Any) -> None:
    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 << 20)
        region(peer)
        frame = peer.expect("CHAN_SEND")
        sent.set()
        peer.expect("CANCEL")
        peer.reply(frame, KC_ECANCELED)

    sent = threading.Event()

    async def close(channel: Any) -> None:
        await trio.to_thread.run_sync(sent.wait)
        loses(channel.client_connection)
        channel.client_connection.end_waits(channel)

    with shared(script) as path:
        async with client.open_client(path) as opened, trio.open_nursery() as nursery:
            channel = await opened.make_channel("frames")
            with opened.loan(SIZE) as block:
                nursery.start_soon(close, channel)
                with pytest.raises(ClosedResourceError, match="handle was closed"):
                    await channel.send(block)
                block[0] = 1


@pytest.mark.parametrize("through", ["send", "batch", "select"])
async def test_a_send_that_never_began_keeps_its_block(shared: Any, through: str) -> None:
    lent = threading.Event()
    with shared(until(lent)) as path:
        async with client.open_client(path) as opened:
            channel = await opened.make_channel("frames")
            with opened.loan(SIZE) as block:
                lent.set()
                with pytest.raises(ConnectionLost):
                    await opened.ping()
                with pytest.raises(ConnectionLost):
                    if through == "send":
                        await channel.send(block)
                    elif through == "batch":
                        await channel.send_many([block])
                    else:
                        await opened.select(channel.sending(block))
                block[0] = 1


@pytest.mark.parametrize("through", ["send", "batch", "select"])
def test_a_blocking_send_that_never_began_keeps_its_block(shared: Any, through: str) -> None:
    lent = threading.Event()
    with shared(until(lent)) as path, blocking.open_client(path) as opened:
        channel = opened.make_channel("frames")
        with opened.loan(SIZE) as block:
            lent.set()
            with pytest.raises(ConnectionLost):
                opened.ping()
            with pytest.raises(ConnectionLost):
                if through == "send":
                    channel.send(block)
                elif through == "batch":
                    channel.send_many([block])
                else:
                    opened.select(channel.sending(block))
            block[0] = 1


@pytest.mark.parametrize("through", ["send", "batch", "select"])
async def test_a_send_without_an_answer_takes_its_block(shared: Any, through: str) -> None:
    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 << 20)
        region(peer)
        peer.expect("SELECT" if through == "select" else "CHAN_SEND")

    with shared(script) as path:
        async with client.open_client(path) as opened:
            channel = await opened.make_channel("frames")
            with opened.loan(SIZE) as block:
                with pytest.raises(ConnectionLost):
                    if through == "send":
                        await channel.send(block)
                    elif through == "batch":
                        await channel.send_many([block])
                    else:
                        await opened.select(channel.sending(block))
                with pytest.raises(ValueError, match="released"):
                    block[0] = 1


def test_an_interrupted_send_that_was_taken_takes_its_block(
    shared: Any, interrupt: Callable[[], None]
) -> None:
    """The receiver has it and has not acknowledged it: it may be reading at this moment."""

    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 << 20)
        region(peer)
        frame = peer.expect("CHAN_SEND", FLAGS=1)
        interrupt()
        peer.expect("CANCEL")
        peer.reply(frame, KC_EINPROGRESS)

    with shared(script) as path, blocking.open_client(path) as opened:
        channel = opened.make_channel("frames")
        with opened.loan(SIZE) as block:
            with pytest.raises(KeyboardInterrupt):
                channel.send(block, confirm=True)
            with pytest.raises(ValueError, match="released"):
                block[0] = 1


def test_an_interrupted_confirmed_send_of_unknown_end_never_uses_its_range_again(
    shared: Any, interrupt: Callable[[], None]
) -> None:
    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 << 20)
        region(peer)
        frame = peer.expect("CHAN_SEND", FLAGS=1)
        interrupt()
        peer.expect("CANCEL")
        peer.reply(frame, KC_ECANCELED, ("REASON", "destroyed"))
        peer.serve("REGION_DROP", REGION_ID=77)
        region(peer, 78)
        assert ranges_of(peer.serve("CHAN_SEND"))[0][0] == 78

    with shared(script) as path, blocking.open_client(path) as opened:
        channel = opened.make_channel("frames")
        with opened.loan(SIZE) as block:
            with pytest.raises(KeyboardInterrupt):
                channel.send(block, confirm=True)
            with pytest.raises(ValueError, match="released"):
                block[0] = 1
        with opened.loan(SIZE) as block:
            channel.send(block)


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_confirmed_send_that_was_not_taken_keeps_its_block(
    shared: Any, interrupt: Callable[[], None], interrupted: bool
) -> None:
    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 << 20)
        region(peer)
        frame = peer.expect("CHAN_SEND", FLAGS=1)
        if interrupted:
            interrupt()
            peer.expect("CANCEL")
        peer.reply(frame, KC_ECANCELED, ("FLAGS", 0), ("REASON", "destroyed"))
        assert ranges_of(peer.serve("CHAN_SEND"))[0][0] == 77

    with shared(script) as path, blocking.open_client(path) as opened:
        channel = opened.make_channel("frames")
        with opened.loan(SIZE) as block:
            with pytest.raises(KeyboardInterrupt if interrupted else OperationCancelled):
                channel.send(block, confirm=True)
            block[0] = 1
            channel.send(block)


def test_an_interrupted_send_that_did_nothing_keeps_its_block(
    shared: Any, interrupt: Callable[[], None]
) -> None:
    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 << 20)
        region(peer)
        frame = peer.expect("CHAN_SEND")
        interrupt()
        peer.expect("CANCEL")
        peer.reply(frame, KC_ECANCELED, ("REASON", "cancelled"))
        (sent,) = ranges_of(peer.serve("CHAN_SEND"))
        assert sent[0] == 77

    with shared(script) as path, blocking.open_client(path) as opened:
        channel = opened.make_channel("frames")
        with opened.loan(SIZE) as block:
            with pytest.raises(KeyboardInterrupt):
                channel.send(block)
            block[0] = 1
            channel.send(block)
