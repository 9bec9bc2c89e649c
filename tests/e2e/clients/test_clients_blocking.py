"""The blocking client against a real daemon, over both transports."""

import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from kcoro_ipc import errors
from kcoro_ipc.blocking import Client, open_client


@pytest.fixture
def client(address: str) -> Iterator[Client]:
    with open_client(address, name="test") as found:
        yield found


def test_the_daemon_says_what_it_is(client: Client, daemon: Any) -> None:
    info = client.info()
    assert (info.abi_major, info.abi_minor, info.pid) == (1, 1, daemon.pid)
    assert info.uid == os.getuid()
    client.ping()


def test_what_is_sent_is_received_in_order(client: Client, name: str) -> None:
    jobs = client.open_channel(name, kind="buffered", capacity=3)
    assert [jobs.send(data) for data in (b"a", b"", b"c")] == [True] * 3
    with pytest.raises(errors.WouldBlock):
        jobs.try_send(b"d")
    with pytest.raises(errors.TimedOut):
        jobs.send(b"d", timeout=0.01)
    assert [jobs.receive() for _ in range(3)] == [b"a", b"", b"c"]
    with pytest.raises(errors.WouldBlock):
        jobs.try_receive()
    with pytest.raises(errors.TimedOut):
        jobs.receive(timeout=0.01)


def test_a_rendezvous_takes_two(address: str, client: Client, name: str) -> None:
    jobs = client.open_channel(name)
    got: list[bytes] = []

    def receiver() -> None:
        with open_client(address) as other:
            got.append(other.open_channel(name).receive())

    thread = threading.Thread(target=receiver)
    thread.start()
    jobs.send(b"met")
    thread.join()
    assert got == [b"met"]
    assert jobs.statistics().rv_matches == 1


@pytest.mark.parametrize("size", [1, 65534, 65535, 65536, 100_000])
def test_elements_of_every_length_form_pass(client: Client, name: str, size: int) -> None:
    jobs = client.open_channel(name, kind="unlimited")
    data = os.urandom(size)
    jobs.send(data)
    assert jobs.receive() == data


def test_large_elements_pass_over_the_stream(daemon: Any, name: str) -> None:
    with open_client(daemon.stream, zero_copy_from=None) as client:
        jobs = client.open_channel(name, kind="unlimited")
        for data in (os.urandom(16 << 20), os.urandom((16 << 20) - 1)):
            jobs.send(data)
            assert jobs.receive() == data
        with pytest.raises(errors.MessageTooLong, match="over the 16777216"):
            jobs.send(bytes((16 << 20) + 1))
        client.ping()


def test_by_shared_memory_what_is_too_long_for_a_frame_or_a_packet_passes(
    daemon: Any, name: str
) -> None:
    data = os.urandom((16 << 20) + 1)
    with open_client(daemon.seqpacket) as client, open_client(daemon.stream) as other:
        jobs, there = client.open_channel(name, kind="unlimited"), other.open_channel(name)
        jobs.send(data)
        assert there.receive() == data
        there.send(data[: 200 << 10])
        assert jobs.receive() == data[: 200 << 10]


def test_an_element_too_long_for_a_packet_is_refused_and_the_client_lives(
    daemon: Any, name: str
) -> None:
    with (
        open_client(daemon.seqpacket, zero_copy_from=None) as client,
        open_client(daemon.stream, zero_copy_from=None) as other,
    ):
        jobs = client.open_channel(name, kind="unlimited")
        with pytest.raises(errors.MessageTooLong):
            jobs.send(bytes(128 << 10))
        other.open_channel(name).send(bytes(200 << 10))
        with pytest.raises(errors.MessageTooLong):
            jobs.receive()
        assert jobs.statistics().depth == 1, "it stays in its place"


def test_batches(client: Client, name: str) -> None:
    jobs = client.open_channel(name, kind="unlimited")
    values = [b"%d" % number for number in range(5000)]
    assert jobs.send_many(values) == 5000
    got: list[bytes] = []
    while len(got) < 5000:
        got += jobs.receive_many(1000)
    assert got == values
    equal = [b"%04d" % number for number in range(1024)]
    assert jobs.send_many(equal) == 1024
    assert jobs.receive_many() == equal


def test_a_batch_stops_where_there_is_no_room(client: Client, name: str) -> None:
    jobs = client.open_channel(name, kind="buffered", capacity=3)
    assert jobs.send_many([b"x"] * 5, timeout=0.01) == 3
    with pytest.raises(errors.TimedOut):
        jobs.send_many([b"x"] * 5, timeout=0.01)
    with pytest.raises(errors.WouldBlock):
        jobs.send_many([b"x"] * 5, timeout=0)


def test_policies(client: Client, name: str) -> None:
    newest = client.open_channel(name, kind="buffered", capacity=1, overflow="drop_newest")
    assert (newest.send(b"1"), newest.send(b"2")) == (True, False)
    assert newest.receive() == b"1"
    oldest = client.open_channel(name + "o", kind="buffered", capacity=1, overflow="drop_oldest")
    assert (oldest.send(b"1"), oldest.send(b"2")) == (True, True)
    assert oldest.receive() == b"2"
    newer = client.open_channel(name + "c", kind="conflated")
    newer.send(b"1")
    newer.send(b"2")
    assert newer.receive() == b"2"


def test_close_drains_and_ends(client: Client, name: str) -> None:
    jobs = client.open_channel(name, kind="buffered", capacity=4, codec="json")
    jobs.send_many([1, [2], {"three": 3}])
    jobs.close()
    jobs.close()
    with pytest.raises(errors.BrokenResourceError, match=name):
        jobs.send(4)
    assert list(jobs) == [1, [2], {"three": 3}]
    with pytest.raises(errors.EndOfChannel):
        jobs.receive()


def test_destroy_gives_the_reason_and_frees_the_name(client: Client, name: str) -> None:
    jobs = client.open_channel(name)
    jobs.destroy("moved")
    with pytest.raises(errors.OperationCancelled, match="moved"):
        jobs.send(b"x")
    again = client.open_channel(name, kind="unlimited")
    assert again.chan_id != jobs.chan_id
    jobs.aclose()


def test_a_mismatch_is_refused(client: Client, name: str) -> None:
    client.open_channel(name, kind="buffered", capacity=4)
    client.open_channel(name)
    for options in (
        {"kind": "unlimited"},
        {"kind": "buffered", "capacity": 5},
        {"exclusive": True},
    ):
        with pytest.raises(errors.ChannelExists):
            client.open_channel(name, **options)  # type: ignore[arg-type]
    with pytest.raises(errors.ChannelExists, match="capacity 4, not 5"):
        client.open_channel(name, existing=True, capacity=5)
    with pytest.raises(errors.NoSuchChannel):
        client.open_channel(name + "none", existing=True)
    with pytest.raises(errors.TimedOut):
        client.open_channel(name + "none", wait=True, timeout=0.01)
    with pytest.raises(errors.InvalidArgument):
        client.open_channel("a/b")


def test_rights_are_kept(client: Client, name: str) -> None:
    reader = client.open_channel(name, kind="unlimited", write=False)
    with pytest.raises(errors.AccessDenied):
        reader.send(b"x")
    writer = client.open_channel(name, read=False)
    writer.send(b"x")
    assert reader.receive() == b"x"
    writer.aclose()
    with pytest.raises(errors.AccessDenied):
        reader.send(b"x")


def test_select_takes_exactly_one(client: Client, name: str) -> None:
    a = client.open_channel(name + "a", kind="buffered", capacity=1)
    b = client.open_channel(name + "b", kind="buffered", capacity=1)
    with pytest.raises(errors.WouldBlock):
        client.try_select(a.receiving(), b.receiving())
    with pytest.raises(errors.TimedOut):
        client.select(a.receiving(), b.receiving(), timeout=0.01)
    b.send(b"x")
    assert client.select(a.receiving(), b.receiving()) == (1, b, b"x")
    assert client.select(a.receiving(), a.sending(b"y")) == (1, a, None)
    assert client.select(a.receiving(), b.receiving()).value == b"y"
    b.close()
    with pytest.raises(errors.EndOfChannel) as caught:
        client.select(a.receiving(), b.receiving())
    assert caught.value.index == 1


def test_jobs_come_back_until_they_are_acknowledged(client: Client, name: str) -> None:
    jobs = client.open_channel(name, kind="unlimited")
    jobs.send_many([b"1", b"2", b"3"])
    with jobs.acking() as inbox:
        first, second = inbox.receive_many(2)
        assert (first.data, first.redelivered, second.data) == (b"1", False, b"2")
        first.ack()
        with pytest.raises(errors.UnknownDelivery):
            first.ack()
        second.nack()
        with inbox.receive() as again:
            assert (again.data, again.redelivered, again.attempts) == (b"2", True, 1)
        third = client.select(inbox.receiving()).value
        assert third.data == b"3"
    with jobs.acking() as inbox, inbox.receive() as third:
        assert (third.data, third.attempts) == (b"3", 1)
    snapshot = jobs.statistics()
    assert (snapshot.depth, snapshot.acks, snapshot.nacks) == (0, 3, 2)


def test_a_channel_may_demand_acknowledgement(client: Client, name: str) -> None:
    jobs = client.open_channel(name, kind="unlimited", ack="required")
    jobs.send(b"x")
    with pytest.raises(errors.InvalidArgument):
        jobs.receive()
    with jobs.acking() as inbox, inbox.receive() as job:
        assert job.data == b"x"


def test_a_confirmed_send_waits_for_the_acknowledgement(
    address: str, client: Client, name: str
) -> None:
    jobs = client.open_channel(name, kind="unlimited")
    got: list[Any] = []

    def receiver() -> None:
        with (
            open_client(address) as other,
            other.open_channel(name).acking() as inbox,
            inbox.receive() as job,
        ):
            got.append(job.data)

    with pytest.raises(errors.Unconfirmed):
        jobs.send(b"nobody acknowledges", timeout=0.01, confirm=True)
    thread = threading.Thread(target=receiver)
    thread.start()
    thread.join()
    thread = threading.Thread(target=receiver)
    thread.start()
    assert jobs.send(b"confirmed", confirm=True) is True
    thread.join()
    assert got == [b"nobody acknowledges", b"confirmed"]


def test_anonymous_channels_live_as_long_as_their_handles(client: Client) -> None:
    hidden = client.make_channel(kind="unlimited")
    assert hidden.name is None
    same = client.open_channel(hidden.chan_id)
    same.send(b"x")
    assert hidden.receive() == b"x"
    hidden.aclose()
    same.aclose()
    with pytest.raises(errors.NoSuchChannel):
        client.open_channel(same.chan_id)


def test_the_last_sender_closes_if_asked(client: Client, name: str) -> None:
    sender = client.open_channel(name, kind="unlimited", close_on_last_sender=True, read=False)
    receiver = client.open_channel(name, write=False)
    clone = sender.clone()
    sender.send(b"x")
    sender.aclose()
    clone.send(b"y")
    clone.aclose()
    assert list(receiver) == [b"x", b"y"]


def test_lists_counters_and_waiters(address: str, client: Client, name: str) -> None:
    jobs = client.open_channel(name, kind="buffered", capacity=9)
    (found,) = [one for one in client.list_channels() if one.name == name]
    assert (found.chan_id, found.kind, found.capacity) == (jobs.chan_id, "buffered", 9)
    jobs.send_many([b"x"] * 5)
    for snapshot in (jobs.statistics(), client.statistics(name), client.statistics(jobs.chan_id)):
        assert (snapshot.chan_id, snapshot.total_sends, snapshot.depth) == (jobs.chan_id, 5, 5)
    assert jobs.purge() == 5
    parked = threading.Thread(target=lambda: other.open_channel(name).receive())
    with open_client(address, name="waiter") as other:
        parked.start()
        while not (waiters := client.list_waiters(name)):
            pass
        assert [(one.side, one.client) for one in waiters] == [("receive", "waiter")]
        assert waiters[0].pid == os.getpid()
        jobs.send(b"go")
        parked.join()
