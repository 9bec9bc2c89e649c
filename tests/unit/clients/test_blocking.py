"""The blocking client against a daemon played by hand in a thread."""

import os
import subprocess
import sys
import threading
from typing import Any

import pytest

from kcoro_ipc import _wire, errors, tlv
from kcoro_ipc.blocking import Job, open_client
from kcoro_ipc.blocking.timeouts import to_ms


def item(data: bytes, delivery_id: int, attempts: int = 0) -> Any:
    pairs = [("ELEMENT", data), ("DELIVERY_ID", delivery_id), ("REDELIVERED", attempts)]
    return ("ITEM", pairs)


def test_it_loads_neither_trio_nor_construct() -> None:
    program = (
        "import sys, kcoro_ipc.blocking\n"
        "print([name for name in ('trio', 'construct', 'msgspec') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_nobody_listening_is_an_error_that_says_what_to_do(socket_dir: Any) -> None:
    with pytest.raises(errors.NoDaemon, match="start one with `kcoro serve`"):
        open_client(socket_dir / "none")


def test_a_daemon_that_hangs_up_is_an_error(played: Any) -> None:
    with played(lambda peer: None, greeting=b"") as path, pytest.raises(errors.NoDaemon):
        open_client(path)


def test_send_and_receive_are_one_frame_each(played: Any) -> None:
    def script(peer: Any) -> None:
        peer.opens()
        peer.serve("CHAN_SEND", CHAN_ID=1001, TIMEOUT_MS=-1, ELEMENT=b"out")
        peer.serve("CHAN_RECV", 0, ("ELEMENT", b"in"), CHAN_ID=1001, TIMEOUT_MS=1500)
        peer.serve("CHAN_SEND", 0, ("DROPPED", 1), TIMEOUT_MS=0)
        peer.serve("CHAN_RELEASE", CHAN_ID=1001, FLAGS=3)

    with played(script) as path, open_client(path, name="me") as client:
        with client.open_channel("jobs", kind="buffered", capacity=4) as jobs:
            assert (jobs.name, jobs.chan_id, jobs.info.capacity) == ("jobs", 1001, 4)
            assert jobs.send(b"out") is True
            assert jobs.receive(timeout=1.4999) == b"in"
            assert jobs.try_send(b"x") is False
        with pytest.raises(errors.ClosedResourceError):
            jobs.receive()


@pytest.mark.parametrize(
    ("result", "sending", "receiving"),
    [
        (_wire.KC_EPIPE, errors.BrokenResourceError, errors.EndOfChannel),
        (_wire.KC_EAGAIN, errors.WouldBlock, errors.WouldBlock),
        (_wire.KC_ETIME, errors.TimedOut, errors.TimedOut),
        (_wire.KC_ECANCELED, errors.OperationCancelled, errors.OperationCancelled),
        (_wire.KC_EINPROGRESS, errors.Unconfirmed, errors.KcoroError),
    ],
)
def test_codes_are_exceptions(played: Any, result: int, sending: type, receiving: type) -> None:
    def script(peer: Any) -> None:
        peer.opens()
        peer.serve("CHAN_SEND", result)
        peer.serve("CHAN_RECV", result)

    with played(script) as path, open_client(path) as client:
        jobs = client.open_channel("jobs")
        with pytest.raises(sending):
            jobs.send(b"x", timeout=1, confirm=True)
        with pytest.raises(receiving):
            jobs.receive(timeout=1)


def test_iteration_ends_with_the_channel(played: Any) -> None:
    def script(peer: Any) -> None:
        peer.opens()
        peer.serve("CHAN_RECV", 0, ("ELEMENT", b"[1]"))
        peer.serve("CHAN_RECV", 0, ("ELEMENT", b"2"))
        peer.serve("CHAN_RECV", _wire.KC_EPIPE)

    with played(script) as path, open_client(path) as client:
        assert list(client.open_channel("jobs", codec="json")) == [[1], 2]


def test_batches(played: Any) -> None:
    def script(peer: Any) -> None:
        peer.opens()
        frame = peer.serve("CHAN_SEND", 0, ("COUNT", 2), TIMEOUT_MS=-1)
        assert frame.all("ELEMENT") == [b"a", b"b", b"c"]
        peer.serve("CHAN_SEND", 0, ("COUNT", 1024))
        peer.serve("CHAN_SEND", _wire.KC_ETIME)
        peer.serve("CHAN_SEND", _wire.KC_ETIME)
        elements = [("ELEMENT", bytes(n)) for n in range(3)]
        peer.serve("CHAN_RECV", 0, *elements, MAX_ITEMS=3)

    with played(script) as path, open_client(path) as client:
        jobs = client.open_channel("jobs")
        assert jobs.send_many([]) == 0
        assert jobs.send_many([b"a", b"b", b"c"]) == 2
        assert jobs.send_many([b"x"] * 2000, timeout=60) == 1024
        with pytest.raises(errors.TimedOut):
            jobs.send_many([b"x", b"y"], timeout=60)
        assert jobs.receive_many(3) == [b"", b"\0", b"\0\0"]


def test_select(played: Any) -> None:
    def script(peer: Any) -> None:
        peer.opens(1001)
        peer.opens(1002)
        peer.serve("SELECT", 0, ("INDEX", 0), ("ELEMENT", b"got"), TIMEOUT_MS=-1, FLAGS=1)
        peer.serve("SELECT", _wire.KC_EPIPE, ("INDEX", 1), TIMEOUT_MS=2000)
        peer.serve("SELECT", _wire.KC_EAGAIN, TIMEOUT_MS=0)

    with played(script) as path, open_client(path) as client:
        a, b = client.open_channel("a"), client.open_channel("b")
        clauses = a.receiving(), b.sending(b"x")
        assert client.select(*clauses, biased=True) == (0, a, b"got")
        with pytest.raises(errors.BrokenResourceError) as caught:
            client.select(*clauses, timeout=2)
        assert caught.value.index == 1
        with pytest.raises(errors.WouldBlock):
            client.try_select(*clauses)


def test_jobs_are_acknowledged_or_given_back(played: Any) -> None:
    def script(peer: Any) -> None:
        peer.opens()
        peer.serve("CHAN_RECV", 0, item(b"a", 1), FLAGS=1)
        peer.serve("ACK", 0, ("COUNT", 1), DELIVERY_ID=1)
        peer.serve("CHAN_RECV", 0, item(b"b", 2, 1), item(b"c", 3), MAX_ITEMS=2, FLAGS=1)
        peer.serve("NACK", 0, DELIVERY_ID=2)
        peer.serve("SELECT", 0, ("INDEX", 0), item(b"d", 4))
        frame = peer.serve("NACK", 0, ("COUNT", 2))
        assert frame.all("DELIVERY_ID") == [3, 4]

    with played(script) as path, open_client(path) as client:
        jobs = client.open_channel("jobs")
        with jobs.acking() as inbox:
            inbox.receive().ack()
            second, third = inbox.receive_many(2)
            assert (second.redelivered, second.attempts, third.redelivered) == (True, 1, False)
            with pytest.raises(ValueError, match="no"), second:
                raise ValueError("no")
            chosen = client.select(inbox.receiving()).value
            assert isinstance(chosen, Job)
            assert chosen.data == b"d"
        with pytest.raises(errors.ClosedResourceError):
            inbox.receive()


def test_the_rest_of_the_channel(played: Any) -> None:
    def script(peer: Any) -> None:
        frame = peer.expect("CHAN_OPEN", NAME=b"jobs", TIMEOUT_MS=2500, FLAGS=1)
        peer.reply(frame, 0, ("CHAN_ID", 1001), ("KIND", -1))
        stat = [("STAT_ID", 2), ("VALUE", 5)]
        peer.serve("GET_STATS", 0, ("STAT", stat), CHAN_ID=1001)
        peer.serve("CHAN_PURGE", 0, ("COUNT", 9))
        peer.serve("CHAN_CLOSE")
        peer.serve("CHAN_DESTROY", REASON=b"over")
        entry = [("NAME", "jobs"), ("CHAN_ID", 1001), ("KIND", -1)]
        peer.serve("LIST", 0, ("ITEM", entry), ("CURSOR", b"x"))
        peer.serve("LIST", 0, CURSOR=b"x")
        peer.serve("PING")
        peer.serve("CHAN_OPEN", _wire.KC_ETIME)

    with played(script) as path, open_client(path) as client:
        jobs = client.open_channel("jobs", wait=True, timeout=2.5, write=False)
        assert jobs.info.kind == "conflated"
        assert jobs.statistics().total_recvs == 5
        assert jobs.purge() == 9
        jobs.close()
        jobs.destroy("over")
        assert [(one.name, one.kind) for one in client.list_channels()] == [("jobs", "conflated")]
        client.ping()
        with pytest.raises(errors.TimedOut, match="channel other"):
            client.open_channel("other", wait=True, timeout=0.1)


def test_clones_share_the_handle_and_the_last_one_gives_it_back(played: Any) -> None:
    def script(peer: Any) -> None:
        peer.opens()
        peer.serve("CHAN_SEND", ELEMENT=b"still open")
        peer.serve("CHAN_RELEASE", FLAGS=3)

    with played(script) as path, open_client(path) as client:
        jobs = client.open_channel("jobs")
        other = jobs.clone()
        jobs.aclose()
        jobs.aclose()
        other.send(b"still open")
        other.aclose()


def test_two_threads_at_once_are_refused(played: Any) -> None:
    parked, answer = threading.Event(), threading.Event()

    def script(peer: Any) -> None:
        peer.opens()
        frame = peer.expect("CHAN_RECV")
        parked.set()
        answer.wait()
        peer.reply(frame, 0, ("ELEMENT", b"for the first"))

    with played(script) as path, open_client(path) as client:
        jobs = client.open_channel("jobs")
        got: list[bytes] = []
        thread = threading.Thread(target=lambda: got.append(jobs.receive()))
        thread.start()
        parked.wait()
        with pytest.raises(errors.BusyResourceError, match="one client for each thread"):
            jobs.send(b"x")
        answer.set()
        thread.join()
        assert got == [b"for the first"]


def test_a_daemon_that_goes_away_is_told_once_and_for_all(played: Any) -> None:
    def script(peer: Any) -> None:
        peer.opens()
        peer.expect("CHAN_RECV")

    with played(script) as path, open_client(path) as client:
        jobs = client.open_channel("jobs")
        for _ in range(2):
            with pytest.raises(errors.ConnectionLost, match="connect again"):
                jobs.receive()
        jobs.aclose()


def test_a_reply_that_is_overdue_ends_the_connection(played: Any) -> None:
    over = threading.Event()

    def script(peer: Any) -> None:
        peer.opens()
        peer.expect("CHAN_RECV", TIMEOUT_MS=1)
        over.wait()

    with played(script) as path, open_client(path, cancel_grace=0.01) as client:
        jobs = client.open_channel("jobs")
        with pytest.raises(errors.ConnectionLost, match="no answer within"):
            jobs.receive(timeout=0.001)
        over.set()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (tlv.build_frame("CHAN_RECV", [("REQ_ID", 99), ("RESULT", 0)], 1), errors.ProtocolError),
        (b"\0\x0d\xff\xff\0\0\0\0", errors.ProtocolError),
        (tlv.build_frame("CHAN_RECV", [("RESULT", -90)], 1), errors.MessageTooLong),
    ],
)
def test_a_wrong_answer_ends_the_connection(played: Any, answer: bytes, error: type) -> None:
    def script(peer: Any) -> None:
        peer.opens()
        peer.expect("CHAN_RECV")
        peer.socket.sendall(answer)

    with played(script) as path, open_client(path) as client:
        jobs = client.open_channel("jobs")
        with pytest.raises(error):
            jobs.receive()
        with pytest.raises(error):
            jobs.send(b"x")


def test_a_large_message_comes_in_many_pieces(played: Any) -> None:
    large = os.urandom(3 << 20)

    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 << 20)
        frame = peer.expect("CHAN_SEND")
        assert frame.get("ELEMENT") == large
        peer.reply(frame)
        peer.serve("CHAN_RECV", 0, ("ELEMENT", large))

    with played(script) as path, open_client(path) as client:
        jobs = client.open_channel("jobs")
        jobs.send(large)
        assert jobs.receive() == large


def test_after_fork_the_child_is_told_and_harms_nothing(played: Any) -> None:
    def script(peer: Any) -> None:
        peer.opens()
        peer.serve("CHAN_SEND", ELEMENT=b"from the parent")

    with played(script) as path, open_client(path) as client:
        jobs = client.open_channel("jobs")
        child = os.fork()
        if child == 0:
            status = 1
            try:
                with pytest.raises(errors.ClosedResourceError, match="after fork"):
                    jobs.send(b"from the child")
                jobs.aclose()
                client.aclose()
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        jobs.send(b"from the parent")


@pytest.mark.parametrize(
    ("seconds", "ms"),
    [(None, -1), (0, 0), (0.0, 0), (1e-9, 1), (0.0011, 2), (2, 2000), (-1, -1), (1e12, -1)],
)
def test_seconds_become_milliseconds_that_are_never_early(seconds: Any, ms: int) -> None:
    assert to_ms(seconds) == ms


def test_no_number_of_seconds_is_refused() -> None:
    with pytest.raises(errors.InvalidArgument):
        to_ms(float("nan"))
    assert to_ms(float("inf")) == -1
