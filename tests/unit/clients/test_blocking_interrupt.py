"""A signal handler that raises while a blocking request waits: nothing is lost, nothing doubled.

The daemon's thread raises the signal at a chosen moment; the handler raises KeyboardInterrupt in
the main thread, which waits inside the request by then.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kcoro_ipc import _wire, errors
from kcoro_ipc.blocking import open_client


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


def item(data: bytes, delivery_id: int) -> Any:
    return ("ITEM", [("ELEMENT", data), ("DELIVERY_ID", delivery_id)])


def test_an_interrupted_receive_is_cancelled_and_the_client_lives(
    played: Any, interrupt: Callable[[], None]
) -> None:
    def script(peer: Any) -> None:
        peer.opens()
        frame = peer.expect("CHAN_RECV")
        interrupt()
        peer.expect("CANCEL", REQ_ID=frame.get("REQ_ID"))
        peer.reply(frame, _wire.KC_ECANCELED, ("REASON", "cancelled"))
        peer.serve("CHAN_RECV", 0, ("ELEMENT", b"later"))

    with played(script) as path, open_client(path) as client:
        jobs = client.open_channel("jobs")
        with pytest.raises(KeyboardInterrupt):
            jobs.receive()
        assert jobs.receive() == b"later"


def test_an_exception_of_a_handler_is_not_taken_for_one_of_the_socket(
    played: Any, interrupt: Callable[[], None]
) -> None:
    """TimeoutError, what alarm handlers raise, is an OSError too, but not the kernel's."""

    def script(peer: Any) -> None:
        peer.opens()
        frame = peer.expect("CHAN_RECV")
        interrupt()
        peer.expect("CANCEL", REQ_ID=frame.get("REQ_ID"))
        peer.reply(frame, 0, ("ELEMENT", b"still came"))

    def alarm(*_: object) -> None:
        raise TimeoutError("mine")

    signal.signal(signal.SIGUSR1, alarm)
    with played(script) as path, open_client(path) as client:
        jobs = client.open_channel("jobs")
        with pytest.raises(TimeoutError, match="mine"):
            jobs.receive()
        assert jobs.receive() == b"still came"


def test_a_message_that_still_came_is_kept_for_the_next_receive(
    played: Any, interrupt: Callable[[], None]
) -> None:
    def script(peer: Any) -> None:
        peer.opens(1001)
        peer.opens(1002)
        frame = peer.expect("CHAN_RECV")
        interrupt()
        peer.expect("CANCEL")
        peer.reply(frame, 0, ("ELEMENT", b"1"), ("ELEMENT", b"2"), ("ELEMENT", b"3"))
        peer.serve("CHAN_RECV", 0, ("ELEMENT", b"4"))

    with played(script) as path, open_client(path) as client:
        jobs, other = client.open_channel("jobs", codec="json"), client.open_channel("other")
        with pytest.raises(KeyboardInterrupt):
            jobs.receive_many(3)
        assert jobs.receive() == 1
        assert client.select(other.receiving(), jobs.receiving()) == (1, jobs, 2)
        assert jobs.receive_many() == [3]
        assert jobs.try_receive() == 4


def test_a_reply_that_had_come_before_the_interrupt_is_not_asked_for_again(
    played: Any, interrupt: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def script(peer: Any) -> None:
        peer.opens()
        peer.serve("CHAN_RECV", 0, ("ELEMENT", b"early"))
        peer.serve("CHAN_SEND", ELEMENT=b"next")

    with played(script) as path, open_client(path) as client:
        jobs = client.open_channel("jobs")

        def interrupted(*_: object) -> None:
            monkeypatch.undo()
            raise KeyboardInterrupt

        monkeypatch.setattr("kcoro_ipc.blocking.connection.whole_reply", interrupted)
        with pytest.raises(KeyboardInterrupt):
            jobs.receive()
        assert jobs.receive() == b"early"
        jobs.send(b"next")


def test_a_job_that_still_came_is_given_back(played: Any, interrupt: Callable[[], None]) -> None:
    def script(peer: Any) -> None:
        peer.opens()
        for command in ("CHAN_RECV", "SELECT"):
            frame = peer.expect(command)
            interrupt()
            peer.expect("CANCEL", REQ_ID=frame.get("REQ_ID"))
            peer.reply(frame, 0, ("INDEX", 0), item(b"work", 7))
            peer.serve("NACK", 0, ("COUNT", 1), DELIVERY_ID=7)
        peer.serve("PING")

    with played(script) as path, open_client(path) as client:
        inbox = client.open_channel("jobs").acking()
        with pytest.raises(KeyboardInterrupt):
            inbox.receive()
        with pytest.raises(KeyboardInterrupt):
            client.select(inbox.receiving())
        assert inbox.open_jobs == {}
        client.ping()


def test_what_was_received_when_the_caller_is_interrupted_is_kept_or_given_back(
    played: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def script(peer: Any) -> None:
        peer.opens()
        peer.serve("CHAN_RECV", 0, ("ELEMENT", b"1"))
        peer.serve("SELECT", 0, ("INDEX", 0), ("ELEMENT", b"2"))
        peer.serve("CHAN_RECV", 0, item(b"3", 3))
        peer.serve("NACK", 0, ("COUNT", 1), DELIVERY_ID=3)
        peer.serve("SELECT", 0, ("INDEX", 0), item(b"4", 4))
        peer.serve("NACK", 0, ("COUNT", 1), DELIVERY_ID=4)
        peer.serve("PING")

    class Interrupted:
        """A codec that is interrupted the first time it is used."""

        armed = True

        def encode(self, value: bytes) -> bytes:
            return value

        def decode(self, data: bytes) -> bytes:
            if self.armed:
                self.armed = False
                raise KeyboardInterrupt
            return data

    codec = Interrupted()
    with played(script) as path, open_client(path) as client:
        jobs = client.open_channel("jobs", codec=codec)
        for receive in (jobs.receive, lambda: client.select(jobs.receiving()).value):
            codec.armed = True
            with pytest.raises(KeyboardInterrupt):
                receive()
            assert jobs.receive() in (b"1", b"2")
        inbox = jobs.acking()
        for take in (inbox.receive, lambda: client.select(inbox.receiving())):
            codec.armed = True
            with pytest.raises(KeyboardInterrupt):
                take()
            assert inbox.open_jobs == {}
        client.ping()


def test_a_channel_that_was_still_opened_is_released(
    played: Any, interrupt: Callable[[], None]
) -> None:
    def script(peer: Any) -> None:
        frame = peer.expect("CHAN_OPEN", TIMEOUT_MS=-1)
        interrupt()
        peer.expect("CANCEL")
        peer.reply(frame, 0, ("CHAN_ID", 1005))
        peer.serve("CHAN_RELEASE", CHAN_ID=1005, FLAGS=3)
        peer.serve("PING")

    with played(script) as path, open_client(path) as client:
        with pytest.raises(KeyboardInterrupt):
            client.open_channel("jobs", wait=True)
        client.ping()


def test_a_frame_that_had_begun_is_finished(played: Any, interrupt: Callable[[], None]) -> None:
    large = os.urandom(8 << 20)

    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 << 20)
        first = peer.socket.recv(1 << 16)  # the rest does not fit into the socket
        peer._frames.feed(first)
        interrupt()
        frame = peer.expect("CHAN_SEND")
        assert frame.get("ELEMENT") == large
        peer.expect("CANCEL", REQ_ID=frame.get("REQ_ID"))
        peer.reply(frame, _wire.KC_ECANCELED)
        peer.serve("PING")

    with played(script) as path, open_client(path) as client:
        jobs = client.open_channel("jobs")
        with pytest.raises(KeyboardInterrupt):
            jobs.send(large)
        client.ping()


def test_no_answer_to_the_cancel_ends_the_connection(
    played: Any, interrupt: Callable[[], None]
) -> None:
    over = threading.Event()

    def script(peer: Any) -> None:
        peer.opens()
        peer.expect("CHAN_RECV")
        interrupt()
        peer.expect("CANCEL")
        over.wait()

    with played(script) as path, open_client(path, cancel_grace=0.01) as client:
        jobs = client.open_channel("jobs")
        with pytest.raises(KeyboardInterrupt):
            jobs.receive()
        with pytest.raises(errors.ConnectionLost, match="while a request was cancelled"):
            jobs.receive()
        over.set()


def test_interrupted_twice_it_does_not_wait_any_longer(
    played: Any, interrupt: Callable[[], None]
) -> None:
    def script(peer: Any) -> None:
        peer.opens()
        peer.expect("CHAN_RECV")
        interrupt()
        peer.expect("CANCEL")
        interrupt()
        peer.socket.recv(1)

    with played(script) as path, open_client(path) as client:
        jobs = client.open_channel("jobs")
        with pytest.raises(KeyboardInterrupt):
            jobs.receive()
        with pytest.raises(errors.ConnectionLost, match="interrupted twice"):
            jobs.receive()


def test_an_interrupted_batch_ends_the_connection(
    played: Any, interrupt: Callable[[], None]
) -> None:
    def script(peer: Any) -> None:
        peer.expect("GET_STATS")
        peer.expect("GET_STATS")
        interrupt()
        assert peer.socket.recv(1) == b""

    with played(script) as path, open_client(path) as client:
        with pytest.raises(KeyboardInterrupt):
            client.look_over([1001, 1002])
        with pytest.raises(errors.ConnectionLost):
            client.look_over([1001])


def test_a_batch_is_answered_in_its_order_and_what_is_gone_is_none(played: Any) -> None:
    def script(peer: Any) -> None:
        frames = [peer.expect("GET_STATS", CHAN_ID=chan_id) for chan_id in (7, 8, 9)]
        packed = (5).to_bytes(8, "big") + (4).to_bytes(8, "big")
        peer.reply(frames[0], 0, ("CHAN_ID", 7), ("NUMBERS", packed))
        peer.reply(frames[1], _wire.KC_ENOENT)
        peer.reply(frames[2], 0, ("CHAN_ID", 9), ("NUMBERS", packed[:8]))

    with played(script) as path, open_client(path) as client:
        first, second, third = client.look_over([7, 8, 9])
    assert second is None
    assert first is not None
    assert third is not None
    assert (first.snapshot.total_sends, first.snapshot.total_recvs) == (5, 4)
    assert (third.snapshot.total_sends, third.snapshot.total_recvs) == (5, 0)
