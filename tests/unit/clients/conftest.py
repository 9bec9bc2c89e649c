"""A daemon that a test plays by hand: it sees each frame and decides when and what to answer.

The clients under test build and read frames with kcoro_ipc.protocol, this daemon with
kcoro_ipc.tlv, so a mistake in either is seen.
"""

import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from kcoro_ipc import tlv
from kcoro_ipc.client import Client, open_client

Pair = tuple[str, object]
Script = Callable[["BlockingPeer"], None]


class Frames:
    """Bytes into frames, for either kind of peer."""

    def __init__(self) -> None:
        self._data = b""

    def feed(self, data: bytes) -> None:
        self._data += data

    def next(self) -> tlv.Frame | None:
        if len(self._data) < tlv.HEADER_BYTES:
            return None
        stop = tlv.HEADER_BYTES + int.from_bytes(self._data[4:8], "big")
        if len(self._data) < stop:
            return None
        data, self._data = self._data[:stop], self._data[stop:]
        return tlv.parse_frame(data, 1)


def reply_to(frame: tlv.Frame, result: int = 0, *pairs: Pair, files: int = 0) -> bytes:
    answers = {"CHAN_TRY_SEND": "CHAN_SEND", "CHAN_TRY_RECV": "CHAN_RECV"}
    name = tlv.COMMAND_NAMES[frame.cmd]
    head: list[Pair] = [("REQ_ID", frame.get("REQ_ID")), ("RESULT", result)]
    return tlv.build_frame(answers.get(name, name), [*head, *pairs], 1, files)


def hello(caps: int = 0, max_frame: int = 16842752) -> bytes:
    pairs = [("ABI_MAJOR", 1), ("ABI_MINOR", 1), ("CAPS", caps), ("MAX_FRAME", max_frame)]
    return tlv.build_frame("HELLO", pairs, 1)


HELLO = hello()


def opened(chan_id: int, **more: int) -> list[Pair]:
    """What MAKE and OPEN are answered with."""
    pairs: list[Pair] = [("CHAN_ID", chan_id), ("KIND", 1), ("CAPACITY", 4), ("ELEM_SIZE", 100)]
    given = dict(pairs) | more
    return list(given.items())


class Daemon:
    """One connection of a trio client, seen from the other side."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._frames = Frames()

    async def expect(self, name: str, **values: object) -> tlv.Frame:
        """The next frame, which has to be this command with these attributes."""
        while (frame := self._frames.next()) is None:
            data = await self.stream.receive_some()
            assert data, f"the client hung up; {name} was expected"
            self._frames.feed(data)
        assert tlv.COMMAND_NAMES[frame.cmd] == name
        assert {key: frame.get(key) for key in values} == values
        return frame

    async def reply(self, frame: tlv.Frame, result: int = 0, *pairs: Pair) -> None:
        await self.stream.send_all(reply_to(frame, result, *pairs))

    async def says(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def opens(self, chan_id: int = 1001, **more: int) -> tlv.Frame:
        """Answers one MAKE or OPEN."""
        while (frame := self._frames.next()) is None:
            self._frames.feed(await self.stream.receive_some())
        assert tlv.COMMAND_NAMES[frame.cmd] in ("CHAN_MAKE", "CHAN_OPEN")
        await self.reply(frame, 0, *opened(chan_id, **more))
        return frame


class Listener:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = trio.socket.socket(trio.socket.AF_UNIX)
        self.daemons: list[Daemon] = []

    async def accept(self, greeting: bytes = HELLO) -> Daemon:
        sock, _ = await self.socket.accept()
        daemon = Daemon(trio.SocketStream(sock))
        self.daemons.append(daemon)
        await daemon.expect("HELLO", ABI_MAJOR=1, ABI_MINOR=1)
        await daemon.says(greeting)
        return daemon


@pytest.fixture
async def listener(socket_dir: Path) -> AsyncIterator[Listener]:
    found = Listener(socket_dir / "s")
    await found.socket.bind(str(found.path))
    found.socket.listen()
    yield found
    found.socket.close()
    for daemon in found.daemons:
        await daemon.stream.aclose()


class Pairing:
    """A connected client and its daemon."""

    def __init__(self, client: Client, daemon: Daemon) -> None:
        self.client = client
        self.daemon = daemon

    async def open(self, name: str = "jobs", chan_id: int = 1001, **options: Any) -> Any:
        """A channel, opened the short way."""
        found: list[Any] = []

        async def ask() -> None:
            found.append(await self.client.open_channel(name, **options))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await self.daemon.opens(chan_id)
        return found[0]

    @staticmethod
    async def both(first: Any, second: Any) -> tuple[Any, Any]:
        """Two awaitables at once; their results in order."""
        results: list[Any] = [None, None]
        failures: list[Exception] = []

        async def run(place: int, what: Any) -> None:
            try:
                results[place] = await what
            except Exception as error:  # noqa: BLE001 (raised below, without a group round it)
                failures.append(error)
                nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run, 0, first)
            nursery.start_soon(run, 1, second)
        if failures:
            raise failures[0]
        return results[0], results[1]


@pytest.fixture
async def pairing(listener: Listener) -> AsyncIterator[Pairing]:
    daemons: list[Daemon] = []
    accepted = trio.Event()

    async def accept() -> None:
        daemons.append(await listener.accept())
        accepted.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(accept)
        async with open_client(listener.path, name="test", cancel_grace=5) as client:
            await accepted.wait()
            yield Pairing(client, daemons[0])


class BlockingPeer:
    """The other side of a blocking client, in a thread of its own."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.files: list[int] = []  # that came and nobody took
        self._frames = Frames()

    def expect(self, name: str, **values: object) -> tlv.Frame:
        while (frame := self._frames.next()) is None:
            data, files, _, _ = socket.recv_fds(self.socket, 1 << 20, 32)
            assert data, f"the client hung up; {name} was expected"
            self.files += files
            self._frames.feed(data)
        assert tlv.COMMAND_NAMES[frame.cmd] == name
        assert {key: frame.get(key) for key in values} == values
        return frame

    def reply(self, frame: tlv.Frame, result: int = 0, *pairs: Pair) -> None:
        self.socket.sendall(reply_to(frame, result, *pairs))

    def reply_files(self, frame: tlv.Frame, files: list[int], *pairs: Pair) -> None:
        data = reply_to(frame, 0, *pairs, files=len(files))
        socket.send_fds(self.socket, [data], files)

    def serve(self, name: str, result: int = 0, *pairs: Pair, **values: object) -> tlv.Frame:
        frame = self.expect(name, **values)
        self.reply(frame, result, *pairs)
        return frame

    def opens(self, chan_id: int = 1001, **more: int) -> None:
        self.serve("CHAN_MAKE", 0, *opened(chan_id, **more))


@pytest.fixture
def played(socket_dir: Path) -> Callable[[Script], AbstractContextManager[Path]]:
    """`with played(script) as path`: a daemon that greets one client and then runs the script.

    What the script asserts wrongly is raised at the end of the block.
    """

    @contextmanager
    def play(script: Script, greeting: bytes = HELLO) -> Iterator[Path]:
        path = socket_dir / "s"
        failures: list[BaseException] = []

        def run() -> None:
            try:
                sock, _ = server.accept()
                with sock:
                    peer = BlockingPeer(sock)
                    peer.expect("HELLO", ABI_MAJOR=1, ABI_MINOR=1)
                    sock.sendall(greeting)
                    script(peer)
            except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 (raised below)
                failures.append(error)

        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
            server.listen()
            thread = threading.Thread(target=run)
            thread.start()
            try:
                yield path
            finally:
                thread.join()
        if failures:
            raise failures[0]

    return play


@pytest.fixture(name="hello")
def hello_fixture() -> Callable[..., bytes]:
    """The daemon's HELLO, with capabilities and a frame limit."""
    return hello


@pytest.fixture
def shared(played: Any) -> Any:
    """`played`, by a daemon that takes shared memory and files."""

    def play(script: Any, **limits: int) -> AbstractContextManager[Path]:
        found: AbstractContextManager[Path] = played(script, hello(caps=3, **limits))
        return found

    return play
