"""Files of any kind arrive as themselves, with their own message, and are closed exactly once.

A file that is closed twice would close somebody else's number: canaries that wait in a channel of
their own tell. What the daemon has open is counted in /proc.
"""

import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from kcoro_ipc import _wire
from tests.fault.house import House
from tests.fault.passing import BUFFERED, MOST, both_transports, pipe_of, send, texts
from tests.fault.sharer import Sharer, descriptors_settle, memfd, sharer

# --- files that work ---


def a_socket() -> int:
    return socket.socket(socket.AF_INET).detach()


def a_unix_socket() -> int:
    one, other = socket.socketpair()
    other.close()
    return one.detach()


def a_pipe() -> int:
    reading, writing = os.pipe()
    os.close(writing)
    return reading


def a_regular_file() -> int:
    with tempfile.TemporaryFile(dir="/tmp") as file:
        return os.dup(file.fileno())


KINDS: dict[str, Callable[[], int]] = {
    "socket": a_socket,
    "unix socket": a_unix_socket,
    "pipe": a_pipe,
    "pidfd": lambda: os.pidfd_open(os.getpid()),
    "directory": lambda: os.open("/tmp", os.O_RDONLY | os.O_DIRECTORY),
    "memfd": lambda: memfd(4096, seals=0),
    "regular": a_regular_file,
    "path only": lambda: os.open("/tmp", os.O_PATH),
}


@both_transports
@pytest.mark.parametrize("kind", list(KINDS))
def test_a_file_of_any_kind_arrives_as_itself(house: House, transport: str, kind: str) -> None:
    with sharer(house, transport) as sender, sharer(house, transport) as receiver:
        chan = sender.make(**BUFFERED)
        receiver.open(chan)
        number = sender.own(KINDS[kind]())
        assert send(sender, chan, [number], b"")["RESULT"] == 0
        answer = receiver.receive(chan)
        (got,) = answer["files"]
        assert answer["ELEMENT"] == [b""]
        assert got != number
        assert os.path.samestat(os.fstat(got), os.fstat(number))
        assert os.readlink(f"/proc/self/fd/{got}") == os.readlink(f"/proc/self/fd/{number}")


@both_transports
def test_files_outlive_their_sender(house: House, transport: str) -> None:
    with sharer(house) as keeper:
        chan = keeper.make(**BUFFERED)
        with sharer(house, transport) as sender:
            sender.open(chan)
            files = [pipe_of(sender, b"%d" % number) for number in range(MOST)]
            words = {"REQ_ID": 5, "CHAN_ID": chan, "ELEMENT": b"the last words"}
            sender.write_files("CHAN_SEND", files, **words)
        house.turns()
        answer = keeper.receive(chan)
        assert answer["ELEMENT"] == [b"the last words"]
        assert texts(answer) == [b"%d" % number for number in range(MOST)]


# --- whose files ---

PLAN = [[b"a"], [], [b"b", b"c"], [], [], [b"d"]]  # the files of six messages


def conversation(peer: Sharer, chan: int) -> list[tuple[bytes, list[int]]]:
    """Frames and their files."""
    return [
        (
            peer.frame_files(
                "CHAN_SEND", len(names), REQ_ID=9 + number, CHAN_ID=chan, ELEMENT=b"%d" % number
            ),
            [pipe_of(peer, name) for name in names],
        )
        for number, names in enumerate(PLAN)
    ]


def say_cut(peer: Sharer, said: list[tuple[bytes, list[int]]], cut: Callable[[int], bool]) -> None:
    """Files go with the first byte of their frame; further writes begin where `cut` says."""
    data = b"".join(frame for frame, _ in said)
    starts, at = {}, 0
    for frame, files in said:
        starts[at] = files
        at += len(frame)
    edges = [at for at in range(len(data)) if starts.get(at) or cut(at) or at == 0]
    for begin, end in zip(edges, [*edges[1:], len(data)], strict=True):
        if starts.get(begin):
            peer.say_files(data[begin:end], starts[begin])
        else:
            peer.say(data[begin:end])


def check_whose(peer: Sharer, receiver: Sharer, chan: int) -> None:
    for _ in PLAN:
        answer = peer.read()
        assert answer is not None
        assert answer["RESULT"] == 0
    for number, names in enumerate(PLAN):
        answer = receiver.receive(chan)
        assert (answer["ELEMENT"], texts(answer)) == ([b"%d" % number], names)


def test_a_stream_that_is_cut_anywhere_attaches_files_to_their_own_message(house: House) -> None:
    """Every byte as the place of a cut, every byte alone, and no cut but those that files make."""
    with sharer(house) as receiver:
        chan = receiver.make(**BUFFERED)
        whole = sum(len(frame) for frame, _ in conversation(receiver, chan))
        for place in range(whole + 2):
            with sharer(house) as peer:
                peer.open(chan)
                every = place == whole + 1
                say_cut(peer, conversation(peer, chan), lambda at, p=place, e=every: e or at == p)
                check_whose(peer, receiver, chan)


@pytest.mark.parametrize("runs", [[6], [1, 5], [2, 4], [1] * 6, [3, 3], [5, 1]])
def test_packets_of_any_number_of_frames_attach_files_to_their_own_message(
    house: House, runs: list[int]
) -> None:
    with sharer(house) as receiver, sharer(house, "seqpacket") as peer:
        chan = receiver.make(**BUFFERED)
        peer.open(chan)
        said = conversation(peer, chan)
        for count in runs:
            data = b"".join(frame for frame, _ in said[:count])
            files = [number for _, numbers in said[:count] for number in numbers]
            peer.say_files(data, files) if files else peer.say(data)
            del said[:count]
        check_whose(peer, receiver, chan)


class Nibbler(Sharer):
    """Reads byte by byte, and knows with which byte files came."""

    def hello(self, **attributes: Any) -> Any:
        self.heard = 0
        self.came_at: list[int] = []
        return super().hello(**attributes)

    def _receive(self) -> bytes:
        before = len(self._came)
        data, ancillary, _, _ = self.socket.recvmsg(1, socket.CMSG_SPACE(4 * MOST))
        for _, _, numbers in ancillary:
            self._came.extend(memoryview(numbers).cast("i"))
        if len(self._came) > before:
            self.came_at.append(self.heard)
        self.heard += len(data)
        return data


def test_files_reach_a_reader_of_single_bytes_with_the_first_byte_of_their_frame(
    house: House,
) -> None:
    with sharer(house) as sender:
        chan = sender.make(**BUFFERED)
        with Nibbler(house.process.connect()) as nibbler:
            nibbler.hello()
            nibbler.open(chan)
            for number in range(len(PLAN)):
                nibbler.write("CHAN_RECV", REQ_ID=20 + number, CHAN_ID=chan, TIMEOUT_MS=-1)
            say_cut(sender, conversation(sender, chan), lambda _: False)
            begins = []
            for names in PLAN:
                begin = nibbler.heard
                answer = nibbler.read()
                assert texts(answer) == names
                if names:
                    begins.append(begin)
            assert nibbler.came_at == begins


# --- exactly once ---

ROUNDS = 30


@contextmanager
def canaries(house: House) -> Iterator[None]:
    """Files that wait meanwhile: afterwards they are there, and they are what they were."""
    with sharer(house) as keeper:
        chan = keeper.make(**BUFFERED)
        for number in range(ROUNDS):
            assert send(keeper, chan, [pipe_of(keeper, b"%d" % number)])["RESULT"] == 0
        yield
        for number in range(ROUNDS):
            assert texts(keeper.receive(chan)) == [b"%d" % number]


def purge(peer: Sharer, number: int) -> None:
    chan = peer.make(**BUFFERED)
    assert send(peer, chan, [number] * 3)["RESULT"] == 0
    assert peer.ask("CHAN_PURGE", CHAN_ID=chan)["COUNT"] == 1


def destroy(peer: Sharer, number: int) -> None:
    chan = peer.make(**BUFFERED)
    assert send(peer, chan, [number] * 3)["RESULT"] == 0
    assert peer.result("CHAN_DESTROY", CHAN_ID=chan) == 0


def last_handle(peer: Sharer, number: int) -> None:
    chan = peer.make(**BUFFERED)
    assert send(peer, chan, [number] * 3)["RESULT"] == 0
    assert peer.result("CHAN_RELEASE", CHAN_ID=chan, FLAGS=3) == 0


def evict(peer: Sharer, number: int) -> None:
    chan = peer.make(KIND=1, CAPACITY=1, OVERFLOW=_wire.OVERFLOW_DROP_OLDEST)
    for _ in range(3):
        assert send(peer, chan, [number] * 2)["RESULT"] == 0
    assert len(peer.receive(chan)["files"]) == 2
    peer.close_files()


def turn_away(peer: Sharer, number: int) -> None:
    chan = peer.make(KIND=1, CAPACITY=1, OVERFLOW=_wire.OVERFLOW_DROP_NEWEST)
    for _ in range(3):
        send(peer, chan, [number] * 2)
    assert peer.ask("CHAN_PURGE", CHAN_ID=chan)["COUNT"] == 1


def conflate(peer: Sharer, number: int) -> None:
    chan = peer.make(KIND=_wire.KIND_CONFLATED)
    for _ in range(3):
        assert send(peer, chan, [number] * 2)["RESULT"] == 0
    assert peer.ask("CHAN_PURGE", CHAN_ID=chan)["COUNT"] == 1


def cancel(peer: Sharer, number: int) -> None:
    chan = peer.make()
    words = {"REQ_ID": 5, "CHAN_ID": chan, "TIMEOUT_MS": -1, "ELEMENT": b"x"}
    peer.write_files("CHAN_SEND", [number] * 2, **words)
    peer.write("CANCEL", REQ_ID=5)
    answer = peer.read()
    assert answer is not None
    assert answer["RESULT"] == _wire.KC_ECANCELED


def expire(peer: Sharer, number: int) -> None:
    chan = peer.make(**BUFFERED, FILE_TTL_MS=1)
    assert send(peer, chan, [number] * 2)["RESULT"] == 0
    for _ in range(100_000):
        if peer.usage()["files"] == ROUNDS:
            return
    raise AssertionError("files that are too old still wait")


def refuse(peer: Sharer, number: int) -> None:
    assert send(peer, 2**31, [number] * 3)["RESULT"] == _wire.KC_EBADF


ENDS = [purge, destroy, last_handle, evict, turn_away, conflate, cancel, expire, refuse]


@pytest.mark.parametrize("end", ENDS)
def test_files_that_nobody_gets_are_closed_exactly_once(
    house: House, end: Callable[[Sharer, int], None]
) -> None:
    with canaries(house), sharer(house) as peer:
        before = house.process.descriptors()
        reading, writing = os.pipe()
        for _ in range(ROUNDS):
            end(peer, writing)
        os.close(writing)
        descriptors_settle(house, before)
        assert house.process.descriptors() == before
        assert os.read(reading, 1) == b""
        os.close(reading)


def test_files_of_a_peer_that_dies_in_a_parked_send_are_closed_exactly_once(house: House) -> None:
    with canaries(house), sharer(house) as keeper:
        chan = keeper.make()
        before = house.process.descriptors()
        for _ in range(ROUNDS):
            with sharer(house) as peer:
                peer.open(chan)
                words = {"REQ_ID": 5, "CHAN_ID": chan, "TIMEOUT_MS": -1, "ELEMENT": b"x"}
                peer.write_files("CHAN_SEND", [pipe_of(peer, b"x")] * 2, **words)
                assert peer.lives()
        house.turns()
        descriptors_settle(house, before)
        assert house.process.descriptors() == before
