"""Connecting again, against a daemon that a test plays: what had left, and what had not."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from kcoro_ipc import blocking
from kcoro_ipc.client import open_client
from kcoro_ipc.errors import ConnectionLost, InvalidArgument, VersionMismatch
from tests.unit.clients.conftest import HELLO, BlockingPeer

LARGE = bytes(8 << 20)  # more than a socket takes at once
ROOM = {"ELEM_SIZE": 16 << 20}


async def test_what_had_left_is_in_doubt_and_what_was_queued_behind_goes_by_the_next_connection(
    listener: Any,
) -> None:
    errors: list[ConnectionLost] = []

    async def send_large(channel: Any) -> None:
        with pytest.raises(ConnectionLost) as caught:
            await channel.send(LARGE)
        errors.append(caught.value)

    async with trio.open_nursery() as nursery:
        daemons: list[Any] = []

        async def accept() -> None:
            daemons.append(await listener.accept())

        nursery.start_soon(accept)
        async with open_client(listener.path, reconnect=True) as client:
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(daemons[0].opens)
            channel = await client.open_channel("jobs")
            channel._handle.longest_element = channel._handle.longest_inline = len(LARGE)
            async with trio.open_nursery() as senders:
                senders.start_soon(send_large, channel)
                await trio.testing.wait_all_tasks_blocked()  # a part of it is in the socket
                senders.start_soon(channel.send, b"behind")
                await trio.testing.wait_all_tasks_blocked()
                await daemons[0].stream.aclose()
                second = await listener.accept()
                await second.opens(2002)
                frame = await second.expect("CHAN_SEND", ELEMENT=b"behind", CHAN_ID=2002)
                await second.reply(frame)
            assert errors[0].in_doubt
            assert "this send is in doubt" in str(errors[0])
            assert (channel.chan_id, client.reconnects) == (2002, 1)


@contextmanager
def playing(path: Path, *scripts: Callable[[socket.socket], None]) -> Iterator[None]:
    """A daemon that does with each connection what the next script says."""
    failures: list[BaseException] = []

    def run() -> None:
        for script in scripts:
            sock, _ = server.accept()
            with sock:
                try:
                    script(sock)
                except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 (raised below)
                    failures.append(error)

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            thread.join()
    if failures:
        raise failures[0]


def greeted(sock: socket.socket) -> BlockingPeer:
    peer = BlockingPeer(sock)
    peer.expect("HELLO")
    sock.sendall(HELLO)
    return peer


def hangs_up(sock: socket.socket) -> None:
    """Before it said HELLO, as a daemon does that dies in its first moments."""


def answers_a_ping(sock: socket.socket) -> None:
    greeted(sock).serve("PING")


async def test_a_daemon_that_dies_before_it_says_hello_is_tried_again(socket_dir: Path) -> None:
    path = socket_dir / "s"
    with (
        playing(path, hangs_up, hangs_up, answers_a_ping),
        blocking.open_client(path, reconnect=True) as client,
    ):
        client.ping()
    path.unlink()
    with playing(path, hangs_up, hangs_up, answers_a_ping):
        async with open_client(path, reconnect=True) as other:
            await other.ping()


def test_a_refusal_is_no_reason_to_try_again(socket_dir: Path) -> None:
    from kcoro_ipc import tlv

    def refuses(sock: socket.socket) -> None:
        BlockingPeer(sock).expect("HELLO")
        pairs = [("ABI_MAJOR", 9), ("ABI_MINOR", 0)]
        sock.sendall(tlv.build_frame("HELLO", pairs, 1))

    with playing(socket_dir / "s", refuses), pytest.raises(VersionMismatch):
        blocking.open_client(socket_dir / "s", reconnect=True)


def test_a_path_that_cannot_be_one_is_no_reason_to_wait() -> None:
    with pytest.raises(InvalidArgument):
        blocking.open_client("pipe:/somewhere", reconnect=True)
    with pytest.raises(InvalidArgument):
        open_client("pipe:/somewhere", reconnect=True)


def test_a_blocking_send_of_which_a_part_had_left_is_in_doubt_and_not_repeated(
    socket_dir: Path,
) -> None:
    def takes_a_part(sock: socket.socket) -> None:
        greeted(sock).opens(1001, **ROOM)
        sock.recv(1000)

    def goes_on(sock: socket.socket) -> None:
        peer = greeted(sock)
        peer.opens(2002, **ROOM)
        peer.serve("CHAN_SEND", CHAN_ID=2002, ELEMENT=b"next")

    with (
        playing(socket_dir / "s", takes_a_part, goes_on),
        blocking.open_client(socket_dir / "s", reconnect=True) as client,
    ):
        channel = client.open_channel("jobs")
        with pytest.raises(ConnectionLost, match="this send is in doubt") as caught:
            channel.send(LARGE)
        assert caught.value.in_doubt
        channel.send(b"next")


def test_a_reply_that_had_come_is_read_though_the_daemon_has_died_since(socket_dir: Path) -> None:
    died = threading.Event()

    def answers_and_dies(sock: socket.socket) -> None:
        peer = greeted(sock)
        peer.opens()
        peer.serve("CHAN_RECV", 0, ("ELEMENT", b"last words"))
        sock.close()
        died.set()

    def goes_on(sock: socket.socket) -> None:
        peer = greeted(sock)
        peer.opens()
        peer.serve("CHAN_RECV", 0, ("ELEMENT", b"next"))

    with (
        playing(socket_dir / "s", answers_and_dies, goes_on),
        blocking.open_client(socket_dir / "s", reconnect=True) as client,
    ):
        channel = client.open_channel("jobs")
        assert channel.receive() == b"last words"
        died.wait()
        assert channel.receive() == b"next"
        assert client.reconnects == 1


def dies_over_an_ack(sock: socket.socket) -> None:
    peer = greeted(sock)
    peer.opens()
    item = ("ITEM", [("ELEMENT", b"work"), ("DELIVERY_ID", 7)])
    peer.serve("CHAN_RECV", 0, item)
    peer.expect("ACK", DELIVERY_ID=7)


def test_an_ack_that_was_not_answered_is_in_doubt(socket_dir: Path) -> None:
    with (
        playing(socket_dir / "s", dies_over_an_ack, answers_a_ping),
        blocking.open_client(socket_dir / "s", reconnect=True) as client,
    ):
        inbox = client.open_channel("jobs").acking()
        job = inbox.receive()
        with pytest.raises(ConnectionLost, match="settled, or they are delivered again") as caught:
            job.ack()
        assert (caught.value.in_doubt, inbox.open_jobs) == (True, {})
        client.ping()


async def test_a_trio_ack_that_was_not_answered_is_in_doubt(socket_dir: Path) -> None:
    with playing(socket_dir / "s", dies_over_an_ack, answers_a_ping):
        async with open_client(socket_dir / "s", reconnect=True) as client:
            inbox = (await client.open_channel("jobs")).acking()
            job = await inbox.receive()
            with pytest.raises(ConnectionLost, match="or they are delivered again") as caught:
                await job.ack()
            assert (caught.value.in_doubt, inbox.open_jobs) == (True, {})
            await client.ping()
