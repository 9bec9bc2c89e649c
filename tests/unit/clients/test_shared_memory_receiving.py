"""Ranges that a blocking client receives: copies, leases, and when they end."""

import os
import socket
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from kcoro_ipc import blocking, tlv
from kcoro_ipc.errors import (
    ClosedResourceError,
    ProtocolError,
)
from kcoro_ipc.regions.memory import PAGE, create_memory
from tests.unit.clients.conftest import reply_to
from tests.unit.clients.peers import descriptor

Played = Callable[..., AbstractContextManager[Path]]
KIB, MIB = 1 << 10, 1 << 20


def announce(peer: Any, region_id: int, content: bytes) -> None:
    """What a daemon says before the first descriptor in a region."""
    memory, file = create_memory(PAGE)
    memory[: len(content)] = content
    data = tlv.build_frame("REGION_MAP", [("REGION_ID", region_id), ("SIZE", PAGE)], 1, 1)
    socket.send_fds(peer.socket, [data], [file[0]])


def test_receive_gives_bytes_of_a_range_and_releases_it_at_once(shared: Any) -> None:
    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        frame = peer.expect("CHAN_RECV")
        announce(peer, 5, b"0123456789")
        peer.reply(frame, 0, ("DESC", descriptor(5, 2, 3, 900)))
        peer.expect("RELEASE", LEASE_ID=900, REQ_ID=None)

    with shared(script) as path, blocking.open_client(path) as client:
        assert client.make_channel("frames").receive() == b"234"


def test_receive_lease_gives_the_memory_and_releases_it_with_the_block(shared: Any) -> None:
    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        frame = peer.expect("CHAN_RECV")
        announce(peer, 5, b"0123456789")
        peer.reply(frame, 0, ("DESC", descriptor(5, 2, 3, 900)))
        peer.serve("PING")
        peer.expect("RELEASE", LEASE_ID=900)
        frame = peer.serve("CHAN_RECV", 0, ("ELEMENT", b"inline"))

    with shared(script) as path, blocking.open_client(path) as client:
        channel = client.make_channel("frames")
        with channel.receive_lease() as view:
            client.ping()
            assert (bytes(view), client.leases_open) == (b"234", 1)
        assert client.leases_open == 0
        with channel.receive_lease() as view:
            assert bytes(view) == b"inline"


def test_many_leases_are_released_with_one_frame(shared: Any) -> None:
    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        frame = peer.expect("CHAN_RECV", MAX_ITEMS=8)
        announce(peer, 5, b"0123456789")
        ranges = [("DESC", descriptor(5, place, 1, 900 + place)) for place in range(3)]
        peer.reply(frame, 0, *ranges)
        assert peer.expect("RELEASE").all("LEASE_ID") == [900, 901, 902]

    with shared(script) as path, blocking.open_client(path) as client:
        leases = client.make_channel("frames").receive_many(8, lease=True)
        assert [bytes(lease.data) for lease in leases] == [b"0", b"1", b"2"]
        client.release(*leases)
        assert client.leases_open == 0


def test_a_select_gives_a_lease_when_it_is_asked_for_one(shared: Any) -> None:
    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        for _ in range(2):
            frame = peer.expect("SELECT")
            announce(peer, 5, b"0123456789")
            peer.reply(frame, 0, ("INDEX", 0), ("DESC", descriptor(5, 0, 2, 1)))
            peer.expect("RELEASE", LEASE_ID=1)

    with shared(script) as path, blocking.open_client(path) as client:
        channel = client.make_channel("frames")
        with client.select(channel.receiving(lease=True)).value as view:
            assert bytes(view) == b"01"
        assert client.select(channel.receiving()).value == b"01"


def test_a_job_has_a_lease_when_it_is_asked_for_one(shared: Any) -> None:
    def item(lease: int) -> Any:
        desc = ("DESC", descriptor(5, 0, 2, lease))
        return ("ITEM", [desc, ("DELIVERY_ID", 7), ("REDELIVERED", 0)])

    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        frame = peer.expect("CHAN_RECV", FLAGS=1)
        announce(peer, 5, b"0123456789")
        peer.reply(frame, 0, item(1))
        peer.serve("ACK", 0, ("COUNT", 1), DELIVERY_ID=7)
        peer.expect("RELEASE", LEASE_ID=1)
        peer.serve("CHAN_RECV", 0, item(2))
        peer.expect("RELEASE", LEASE_ID=2)
        peer.serve("ACK", 0, ("COUNT", 1), DELIVERY_ID=7)

    with shared(script) as path, blocking.open_client(path) as client:
        channel = client.make_channel("frames")
        with channel.acking(lease=True) as inbox, inbox.receive() as job:
            assert (bytes(job.data), job.lease.is_shared) == (b"01", True)
        with channel.acking() as inbox, inbox.receive() as job:
            assert (job.data, job.lease) == (b"01", None)


def test_a_region_that_could_shrink_ends_the_connection(shared: Any) -> None:
    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        frame = peer.expect("CHAN_RECV")
        number = os.memfd_create("bad", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(number, PAGE)
        data = tlv.build_frame("REGION_MAP", [("REGION_ID", 5), ("SIZE", PAGE)], 1, 1)
        answer = reply_to(frame, 0, ("DESC", descriptor(5, 0, 2, 1)))
        socket.send_fds(peer.socket, [data + answer], [number])
        os.close(number)

    with shared(script) as path, blocking.open_client(path) as client:
        channel = client.make_channel("frames")
        with pytest.raises(ProtocolError, match="not sealed against shrinking"):
            channel.receive()
        with pytest.raises(ProtocolError):
            client.ping()


def test_a_lease_outlives_its_connection(shared: Any) -> None:
    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        frame = peer.expect("CHAN_RECV")
        announce(peer, 5, b"0123456789")
        peer.reply(frame, 0, ("DESC", descriptor(5, 2, 3, 900)))

    with shared(script) as path, blocking.open_client(path) as client:
        lease = client.make_channel("frames").receive_lease()
        client.aclose()
        assert bytes(lease.data) == b"234"
        lease.release()


def test_a_child_of_fork_takes_no_loan_and_releases_nothing(shared: Any) -> None:
    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        frame = peer.expect("CHAN_RECV")
        announce(peer, 5, b"0123456789")
        peer.reply(frame, 0, ("DESC", descriptor(5, 2, 3, 900)))
        peer.serve("PING")  # and no RELEASE before it
        peer.expect("RELEASE", LEASE_ID=900)

    with shared(script) as path, blocking.open_client(path) as client:
        lease = client.make_channel("frames").receive_lease()
        child = os.fork()
        if child == 0:
            refused = False
            try:
                with client.loan(1):
                    pass
            except ClosedResourceError:
                refused = True
            lease.release()
            os._exit(0 if refused else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        client.ping()
        lease.release()


def test_a_lease_that_ends_while_another_thread_waits_is_told_with_the_next_request(
    shared: Any,
) -> None:
    waits = threading.Event()
    go_on = threading.Event()

    def script(peer: Any) -> None:
        peer.opens()
        frame = peer.expect("CHAN_RECV")
        announce(peer, 5, b"0123456789")
        peer.reply(frame, 0, ("DESC", descriptor(5, 2, 3, 900)))
        frame = peer.expect("CHAN_RECV")
        waits.set()
        go_on.wait()
        peer.reply(frame, 0, ("ELEMENT", b"x"))
        peer.expect("RELEASE", LEASE_ID=900)
        peer.serve("PING")

    with shared(script) as path, blocking.open_client(path) as client:
        channel = client.make_channel("frames")
        lease = channel.receive_lease()
        thread = threading.Thread(target=channel.receive)
        thread.start()
        waits.wait()
        lease.release()
        go_on.set()
        thread.join()
        client.ping()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_lease_that_was_dropped_is_told_once_behind_the_message_whose_files_go_first(
    shared: Any,
) -> None:
    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        frame = peer.expect("CHAN_RECV")
        announce(peer, 5, b"0123456789")
        peer.reply(frame, 0, ("DESC", descriptor(5, 2, 3, 900)))
        sent = peer.serve("CHAN_SEND", ELEMENT=b"with a file")
        assert (sent.files, len(peer.files)) == (1, 1)
        os.close(peer.files.pop())
        peer.expect("RELEASE", LEASE_ID=900)
        peer.serve("PING")
        peer.serve("PING")

    with (
        shared(script) as path,
        blocking.open_client(path) as client,
        open(os.devnull, "rb") as file,
    ):
        channel = client.make_channel("frames")
        channel.receive_lease()  # nobody keeps it
        channel.send(b"with a file", files=[file])
        client.ping()
        client.ping()
