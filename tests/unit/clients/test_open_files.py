"""Open files with messages, through both clients: they arrive with theirs, and nothing leaks."""

import os
import signal
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import trio

from kcoro_ipc import blocking, tlv
from kcoro_ipc.client import open_client
from kcoro_ipc.client.outflow import Outgoing, together
from kcoro_ipc.errors import ConnectionLost, InvalidArgument, NotSupported, ProtocolError
from kcoro_ipc.files import Loose

Played = Callable[..., AbstractContextManager[Path]]


@pytest.fixture
def shared(played: Played, hello: Callable[..., bytes]) -> Any:
    return lambda script: played(script, hello(caps=3))


def pipe_with(text: bytes) -> int:
    """The reading end of a pipe that holds `text`."""
    reading, writing = os.pipe()
    os.write(writing, text)
    os.close(writing)
    return reading


def read_and_close(number: int) -> bytes:
    try:
        return os.read(number, 100)
    finally:
        os.close(number)


def takes_files(peer: Any, name: str = "CHAN_SEND") -> tuple[tlv.Frame, list[bytes]]:
    """A frame with files, and what these hold."""
    frame = peer.serve(name)
    files, peer.files = peer.files, []
    assert frame.files == len(files)
    return frame, [read_and_close(number) for number in files]


def sends_files(peer: Any, frame: tlv.Frame, *texts: bytes, pairs: Any = ()) -> None:
    files = [pipe_with(text) for text in texts]
    peer.reply_files(frame, files, *pairs or [("ELEMENT", b"with files")])
    for number in files:
        os.close(number)


def test_files_go_with_the_first_byte_and_the_senders_stay_open(shared: Any) -> None:
    seen = []

    def script(peer: Any) -> None:
        peer.opens()
        seen.append(takes_files(peer))

    first, second = pipe_with(b"one"), pipe_with(b"two")
    with (
        shared(script) as path,
        blocking.open_client(path) as client,
        open(second, "rb", buffering=0) as file,
    ):
        client.make_channel("files").send(b"look", files=[first, file])
        os.close(first)
        assert not file.closed
    ((frame, texts),) = seen
    assert (frame.get("ELEMENT"), texts) == (b"look", [b"one", b"two"])


def test_a_message_has_its_files_and_the_next_has_none(shared: Any) -> None:
    def script(peer: Any) -> None:
        peer.opens()
        sends_files(peer, peer.expect("CHAN_RECV"), b"one", b"two")
        peer.serve("CHAN_RECV", 0, ("ELEMENT", b"plain"))

    with shared(script) as path, blocking.open_client(path) as client:
        channel = client.make_channel("files")
        data, files = channel.receive_message()
        assert data == b"with files"
        assert [read_and_close(file.detach()) for file in files] == [b"one", b"two"]
        assert channel.receive_message() == (b"plain", [])


def test_a_plain_receive_closes_the_files(shared: Any) -> None:
    reading, writing = os.pipe()

    def script(peer: Any) -> None:
        peer.opens()
        peer.reply_files(peer.expect("CHAN_RECV"), [writing], ("ELEMENT", b"x"))
        os.close(writing)

    with shared(script) as path, blocking.open_client(path) as client:
        assert client.make_channel("files").receive() == b"x"
    assert os.read(reading, 1) == b""  # nobody has the writing end any more
    os.close(reading)


def test_a_job_has_files_and_those_not_taken_are_closed(shared: Any) -> None:
    item = [("ELEMENT", b"job"), ("DELIVERY_ID", 7), ("REDELIVERED", 0)]

    def script(peer: Any) -> None:
        peer.opens()
        for _ in range(2):
            sends_files(peer, peer.expect("CHAN_RECV"), b"one", pairs=[("ITEM", item)])
            peer.serve("ACK", 0, ("COUNT", 1))

    with (
        shared(script) as path,
        blocking.open_client(path) as client,
        client.make_channel("files").acking() as inbox,
    ):
        with inbox.receive() as job:
            (file,) = job.take_files()
            assert (job.data, read_and_close(file.detach())) == (b"job", b"one")
        with inbox.receive() as job:
            assert job.data == b"job"
        del job


@pytest.mark.parametrize("piece", [1, 7, 8, 9, 23])
def test_files_stay_with_their_message_however_the_stream_is_cut(shared: Any, piece: int) -> None:
    def script(peer: Any) -> None:
        peer.opens()
        for text in (b"one", b"two"):
            frame = peer.expect("CHAN_RECV")
            number = pipe_with(text)
            pairs = [("REQ_ID", frame.get("REQ_ID")), ("RESULT", 0), ("ELEMENT", text)]
            data = tlv.build_frame("CHAN_RECV", pairs, 1, 1)
            socket.send_fds(peer.socket, [data[:piece]], [number])
            os.close(number)
            for at in range(piece, len(data), piece):
                peer.socket.sendall(data[at : at + piece])

    with shared(script) as path, blocking.open_client(path) as client:
        channel = client.make_channel("files")
        for text in (b"one", b"two"):
            with channel.receive_message().files[0] as file:
                assert os.read(file.fileno(), 10) == text


@pytest.mark.parametrize("named", [0, 2])
def test_a_frame_that_names_other_files_than_came_ends_the_connection(
    shared: Any, named: int
) -> None:
    def script(peer: Any) -> None:
        peer.opens()
        frame = peer.expect("CHAN_RECV")
        pairs = [("REQ_ID", frame.get("REQ_ID")), ("RESULT", 0), ("ELEMENT", b"x")]
        number = pipe_with(b"")
        socket.send_fds(peer.socket, [tlv.build_frame("CHAN_RECV", pairs, 1, named)], [number])
        os.close(number)
        assert peer.socket.recv(1) == b""

    with shared(script) as path, blocking.open_client(path) as client:
        channel = client.make_channel("files")
        with pytest.raises((ProtocolError, ConnectionLost)):
            channel.receive_message()
            client.ping()


def test_more_files_than_a_message_has_end_the_connection_and_say_why(shared: Any) -> None:
    def script(peer: Any) -> None:
        peer.opens()
        frame = peer.expect("CHAN_RECV")
        number = pipe_with(b"")
        peer.reply_files(frame, [number] * 17, ("ELEMENT", b"x"))
        os.close(number)

    with (
        shared(script) as path,
        blocking.open_client(path) as client,
        pytest.raises(ConnectionLost, match="limit of open files"),
    ):
        client.make_channel("files").receive_message()


def test_files_of_a_receive_that_was_interrupted_are_kept_with_their_message(shared: Any) -> None:
    def script(peer: Any) -> None:
        peer.opens()
        frame = peer.expect("CHAN_RECV")
        os.kill(os.getpid(), signal.SIGUSR1)
        peer.expect("CANCEL")
        sends_files(peer, frame, b"one")

    class Interrupt(Exception):
        pass

    def interrupt(*_: object) -> None:
        raise Interrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with shared(script) as path, blocking.open_client(path) as client:
            channel = client.make_channel("files")
            with pytest.raises(Interrupt):
                channel.receive_message()
            data, (file,) = channel.receive_message()
            assert (data, read_and_close(file.detach())) == (b"with files", b"one")
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_files_that_an_interrupted_receive_left_are_closed_with_the_handle(shared: Any) -> None:
    reading, writing = os.pipe()

    def script(peer: Any) -> None:
        peer.opens()
        frame = peer.expect("CHAN_RECV")
        os.kill(os.getpid(), signal.SIGUSR1)
        peer.expect("CANCEL")
        peer.reply_files(frame, [writing], ("ELEMENT", b"x"))
        os.close(writing)
        peer.serve("CHAN_RELEASE")

    class Interrupt(Exception):
        pass

    def interrupt(*_: object) -> None:
        raise Interrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with (
            shared(script) as path,
            blocking.open_client(path) as client,
            client.make_channel("files") as channel,
            pytest.raises(Interrupt),
        ):
            channel.receive()
        del channel, client
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert os.read(reading, 1) == b""
    os.close(reading)


def test_an_old_daemon_gets_no_files(played: Played) -> None:
    def script(peer: Any) -> None:
        peer.opens()

    with (
        played(script) as path,
        blocking.open_client(path) as client,
        pytest.raises(NotSupported, match="no open files"),
    ):
        client.make_channel("files").send(b"x", files=[0])


def test_a_file_that_is_not_open_is_refused_before_anything_is_sent(shared: Any) -> None:
    def script(peer: Any) -> None:
        peer.opens()
        peer.serve("PING")

    with shared(script) as path, blocking.open_client(path) as client:
        with pytest.raises(InvalidArgument, match="cannot be sent"):
            client.make_channel("files").send(b"x", files=[99_999])
        client.ping()


def test_files_of_select_clauses_are_told_apart_by_number(shared: Any) -> None:
    seen = []

    def script(peer: Any) -> None:
        peer.opens()
        frame = peer.expect("SELECT")
        texts, peer.files = [read_and_close(number) for number in peer.files], []
        files = tlv.ATTRIBUTES["FILES"].number
        seen.append(([dict(clause).get(files) for clause in frame.all("CLAUSE")], texts))
        peer.reply(frame, 0, ("INDEX", 2))

    numbers = [pipe_with(text) for text in (b"1", b"2", b"3")]
    with shared(script) as path, blocking.open_client(path) as client:
        channel = client.make_channel("files")
        client.select(
            channel.sending(b"a", files=numbers[:1]),
            channel.sending(b"b"),
            channel.sending(b"c", files=numbers[1:]),
        )
    for number in numbers:
        os.close(number)
    assert seen == [([1, None, 2], [b"1", b"2", b"3"])]


# --- trio ---


async def test_trio_sends_and_receives_files(shared: Any) -> None:
    seen = []

    def script(peer: Any) -> None:
        peer.opens()
        seen.append(takes_files(peer)[1])
        sends_files(peer, peer.expect("CHAN_RECV"), b"back")
        peer.serve("CHAN_RELEASE")

    number = pipe_with(b"there")
    with shared(script) as path:
        async with open_client(path) as client, await client.make_channel("files") as channel:
            await channel.send(b"x", files=[number])
            os.close(number)
            data, (file,) = await channel.receive_message()
            assert (data, read_and_close(file.detach())) == (b"with files", b"back")
    assert seen == [[b"there"]]


async def test_trio_sends_of_many_tasks_keep_their_files(shared: Any) -> None:
    """Frames are joined for one send; those with files begin one of their own."""
    seen: dict[bytes, list[bytes]] = {}

    def script(peer: Any) -> None:
        peer.opens()
        for _ in range(30):
            frame = peer.serve("CHAN_SEND")
            files = [peer.files.pop(0) for _ in range(frame.files)]
            seen[frame.get("ELEMENT")] = [read_and_close(number) for number in files]
        peer.serve("CHAN_RELEASE")

    async def send(channel: Any, place: int) -> None:
        text = str(place).encode()
        if place % 3:
            await channel.send(text)
            return
        number = pipe_with(text)
        await channel.send(text, files=[number])
        os.close(number)

    with shared(script) as path:
        async with (
            open_client(path) as client,
            await client.make_channel("files") as channel,
            trio.open_nursery() as nursery,
        ):
            for place in range(30):
                nursery.start_soon(send, channel, place)
    texts = [str(place).encode() for place in range(30)]
    assert seen == {text: [] if place % 3 else [text] for place, text in enumerate(texts)}


def test_plain_frames_are_joined_and_stand_where_they_stood() -> None:
    filed = Outgoing(b"files", Loose(), 1)
    assert list(together([b"a", b"b", filed, b"c", b"d"])) == [b"ab", filed, b"cd"]
    assert list(together([filed, filed])) == [filed, filed]


async def test_trio_files_the_system_refuses_fail_their_request_only(
    shared: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def script(peer: Any) -> None:
        peer.opens()
        peer.serve("PING")
        peer.serve("CHAN_RELEASE")

    def refuse(*_: object) -> int:
        raise OSError(109, "Too many references: cannot splice")

    class Refusing(socket.socket):
        sendmsg = refuse  # type: ignore[assignment]

    with shared(script) as path:
        async with open_client(path) as client, await client.make_channel("files") as channel:
            outflow = client._connection._outflow
            plain, outflow._sock = outflow._sock, Refusing(fileno=outflow._sock.fileno())
            try:
                with pytest.raises(InvalidArgument, match="Too many references"):
                    await channel.send(b"x", files=[0])
            finally:
                outflow._sock.detach()
                outflow._sock = plain
            await client.ping()
