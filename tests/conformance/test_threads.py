"""Programs of threads, as Go's and crossbeam's suites have them, over the blocking client.

A goroutine is a thread with a client of its own; a channel is known by its number. Here operations
really race; what is asserted holds for every interleaving.
"""

import dataclasses
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from itertools import count
from typing import Any

import pytest

from kcoro_ipc import blocking
from kcoro_ipc.blocking import Channel, Client
from kcoro_ipc.errors import (
    AccessDenied,
    BrokenResourceError,
    ClosedResourceError,
    EndOfChannel,
    InvalidArgument,
    TimedOut,
    WouldBlock,
)
from tests.conformance.cases import conserved
from tests.e2e.harness import DaemonProcess

ROOMS = [0, 1, 2, 7]
Body = Callable[[Client], Any]


class Crowd:
    """Threads with clients of their own, all joined at the end; an exception in one is raised."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.client = blocking.open_client(address)
        self._made: list[Channel] = []

    def go(self, *bodies: Body) -> list[Any]:
        """Runs them at once; their results in order."""
        start = threading.Barrier(len(bodies))

        def run(body: Body) -> Any:
            with blocking.open_client(self.address) as client:
                start.wait(60)
                return body(client)

        with ThreadPoolExecutor(len(bodies)) as pool:
            running = [pool.submit(run, one) for one in bodies]
            if wait(running, 60, FIRST_EXCEPTION).not_done:
                self._end_all()  # somebody failed or hangs: let the others go
            return [one.result() for one in running]

    def _end_all(self) -> None:
        for channel in self._made:
            channel.destroy("a thread of the test failed")

    def make(self, room: int, **options: Any) -> Channel:
        if room:
            options |= {"kind": "buffered", "capacity": room}
        self._made.append(self.client.make_channel(codec="json", **options))
        return self._made[-1]


@pytest.fixture(params=["stream", "seqpacket"])
def crowd(request: pytest.FixtureRequest, conformance_daemon: DaemonProcess) -> Iterator[Crowd]:
    made = Crowd(conformance_daemon.address(request.param))
    yield made
    made.client.aclose()


def opened(client: Client, channel: Channel) -> Channel:
    return client.open_channel(channel.chan_id, codec="json")


rooms = pytest.mark.parametrize("room", ROOMS)


@rooms
def test_one_sender_one_receiver_keep_order(crowd: Crowd, room: int) -> None:
    """crossbeam's spsc: contract 4.4, under real concurrency."""
    chan, total = crowd.make(room), 400

    def send(client: Client) -> None:
        out = opened(client, chan)
        for number in range(total):
            out.send(number)
        out.close()

    received = crowd.go(send, lambda client: list(opened(client, chan)))[1]
    assert received == list(range(total))
    conserved(dataclasses.asdict(chan.statistics()))


@rooms
def test_many_senders_many_receivers_move_each_message_once(crowd: Crowd, room: int) -> None:
    """crossbeam's mpmc, Go's TestMultiConsumer: each number exactly once, and per sender and
    receiver in order."""
    chan, senders, receivers, each = crowd.make(room), 3, 3, 80
    left = threading.Semaphore(0)

    def send(nth: int) -> Body:
        def body(client: Client) -> None:
            out = opened(client, chan)
            for number in range(each):
                out.send([nth, number])
            left.release()

        return body

    def close(client: Client) -> None:
        for _ in range(senders):
            assert left.acquire(timeout=60)
        opened(client, chan).close()

    bodies = [send(nth) for nth in range(senders)]
    results = crowd.go(*bodies, close, *[lambda client: list(opened(client, chan))] * receivers)
    got = results[-receivers:]
    counts = Counter(tuple(message) for one in got for message in one)
    assert counts == Counter((nth, number) for nth in range(senders) for number in range(each))
    for one in got:
        for nth in range(senders):
            mine = [number for who, number in one if who == nth]
            assert mine == sorted(mine)


@rooms
def test_close_wakes_everybody_who_waits_to_receive(crowd: Crowd, room: int) -> None:
    """Go's closed channels: all parked receivers hear the end, none hangs."""
    chan = crowd.make(room)

    def receive(client: Client) -> str:
        with pytest.raises(EndOfChannel):
            opened(client, chan).receive()
        return "ended"

    def close(client: Client) -> str:
        mine = opened(client, chan)
        while mine.statistics().parked_receivers < 3:
            pass
        mine.close()
        return "closed"

    assert crowd.go(receive, receive, receive, close) == ["ended"] * 3 + ["closed"]


@rooms
def test_the_last_sender_that_goes_ends_the_receivers(crowd: Crowd, room: int) -> None:
    """crossbeam's disconnect: a channel made so closes with its last sender, not before."""
    chan = crowd.make(room, close_on_last_sender=True, write=False)
    ready = threading.Barrier(2)

    def send(client: Client) -> None:
        with client.open_channel(chan.chan_id, codec="json", read=False) as out:
            ready.wait(60)
            for number in range(10):
                out.send(number)

    def receive(client: Client) -> list[Any]:
        return list(client.open_channel(chan.chan_id, codec="json", write=False))

    results = crowd.go(send, send, receive)
    assert Counter(results[2]) == Counter(dict.fromkeys(range(10), 2))


@rooms
def test_of_two_that_try_the_same_exactly_one_gets_it(crowd: Crowd, room: int) -> None:
    """crossbeam's linearizable_try, 60 rounds: a message that was sent is found by one of two."""
    chan, rounds = crowd.make(max(room, 1)), 60
    barrier = threading.Barrier(2)

    def grab(client: Client) -> int:
        mine, got = opened(client, chan), 0
        for _ in range(rounds):
            if barrier.wait(60) == 0:
                mine.send("prize")
            barrier.wait(60)
            try:
                mine.try_receive()
                got += 1
            except WouldBlock:
                pass
            barrier.wait(60)
        return got

    assert sum(crowd.go(grab, grab)) == rounds
    assert chan.statistics().depth == 0


@rooms
def test_timeouts_lose_nothing(crowd: Crowd, room: int) -> None:
    """crossbeam's stress_timeout_two_threads: short waits that sometimes end too early; what was
    reported sent arrives once, what timed out never."""
    chan, total = crowd.make(room), 60

    def send(client: Client) -> list[int]:
        out, sent = opened(client, chan), []
        for number in range(total):
            try:
                out.send(number, timeout=0.001 if number % 2 else None)
            except TimedOut:
                continue
            sent.append(number)
        out.close()
        return sent

    def receive(client: Client) -> list[int]:
        mine, got = opened(client, chan), []
        while True:
            try:
                got.append(mine.receive(timeout=0.001 if len(got) % 2 else None))
            except TimedOut:
                continue
            except EndOfChannel:
                return got

    sent, got = crowd.go(send, receive)
    assert got == sent


def test_a_sieve_of_threads(crowd: Crowd) -> None:
    """Go's doc/progs/sieve: each prime is a thread between two rendezvous channels."""
    primes = [2, 3, 5, 7, 11, 13]
    links = [crowd.make(0) for _ in range(len(primes) + 1)]

    def generate(client: Client) -> None:
        out = opened(client, links[0])
        try:
            for number in count(2):
                out.send(number)
        except BrokenResourceError:
            return

    def keep(place: int) -> Body:
        def body(client: Client) -> int:
            left, right = opened(client, links[place]), opened(client, links[place + 1])
            prime = left.receive()
            try:
                for number in left:
                    if number % prime:
                        right.send(number)
            except BrokenResourceError:
                pass
            left.close()
            drain(left)
            return int(prime)

        return body

    def sink(client: Client) -> None:
        last = opened(client, links[-1])
        last.receive()
        last.close()
        drain(last)

    def drain(mine: Channel) -> None:
        for _ in mine:
            pass

    results = crowd.go(generate, *[keep(place) for place in range(len(primes))], sink)
    assert results[1:-1] == primes


def test_select_over_many_senders_loses_nothing(crowd: Crowd) -> None:
    """Go's TestSelectStress in small: four channels, four senders, one select loop; then the same
    the other way round."""
    chans, each = [crowd.make(room) for room in ROOMS], 40

    def send(place: int) -> Body:
        def body(client: Client) -> None:
            out = opened(client, chans[place])
            for number in range(each):
                out.send([place, number])

        return body

    def select(client: Client) -> list[list[int]]:
        mine = [opened(client, chan) for chan in chans]
        return [client.select(*[chan.receiving() for chan in mine]).value for _ in range(4 * each)]

    got = crowd.go(*[send(place) for place in range(4)], select)[-1]
    for place in range(4):
        assert [number for who, number in got if who == place] == list(range(each))


def test_selects_meet_selects(crowd: Crowd) -> None:
    """crossbeam's select stress: two threads that both send and receive over one rendezvous, each
    match is seen by both sides, once."""
    chan, rounds = crowd.make(0), 60

    def play(client: Client) -> tuple[list[int], list[int]]:
        mine = opened(client, chan)
        sent, got = [], []
        for number in range(rounds):
            token = number * 2 + (threading.get_ident() % 2)
            done = client.select(mine.sending(token), mine.receiving())
            (sent if done.index == 0 else got).append(token if done.index == 0 else done.value)
        return sent, got

    (sent_a, got_a), (sent_b, got_b) = crowd.go(play, play)
    assert sent_a == got_b
    assert sent_b == got_a
    assert len(sent_a) + len(sent_b) == rounds


def test_a_pool_of_workers_acknowledges_every_job_once(crowd: Crowd) -> None:
    """Contract 4.9: workers that refuse every third job give it back; in the end each is done
    exactly once."""
    jobs, total = crowd.make(7), 60

    def produce(client: Client) -> None:
        out = opened(client, jobs)
        for number in range(total):
            out.send(number)
        out.close()

    def work(client: Client) -> list[int]:
        done = []
        with opened(client, jobs).acking() as inbox:
            for job in inbox:
                if job.data % 3 == 0 and not job.redelivered:
                    job.nack()
                else:
                    job.ack()
                    done.append(job.data)
        return done

    results = crowd.go(produce, work, work, work)
    assert sorted(number for one in results[1:] for number in one) == list(range(total))
    assert jobs.statistics().nacks == total // 3


def test_batches_and_singles_mix(crowd: Crowd) -> None:
    """Contract 4.14: send_many on one side, single receives and receive_many on the other."""
    chan, total = crowd.make(7), 300

    def send(client: Client) -> int:
        out = opened(client, chan)
        sent = sum(out.send_many(range(start, start + 50)) for start in range(0, total, 50))
        out.close()
        return sent

    def singles(client: Client) -> list[int]:
        return list(opened(client, chan))

    def batches(client: Client) -> list[int]:
        mine, got = opened(client, chan), []
        while True:
            try:
                got += mine.receive_many(5)
            except EndOfChannel:
                return got

    sent, one, two = crowd.go(send, singles, batches)
    assert sent == total
    assert sorted(one + two) == list(range(total))
    assert one == sorted(one)
    assert two == sorted(two)


def test_a_batch_of_none_is_refused_and_a_huge_one_takes_what_is_there(crowd: Crowd) -> None:
    """Contract 4.14: 0 would wait for nothing; over 1,024 is as many as a frame may carry."""
    chan = crowd.make(7)
    for number in range(5):
        chan.send(number)
    for most in (0, -1):
        with pytest.raises(InvalidArgument, match="max_items"):
            chan.receive_many(most)
        with pytest.raises(InvalidArgument, match="max_items"):
            chan.acking().receive_many(most)
    assert chan.receive_many(1_000_000) == list(range(5))


def test_a_handle_does_only_what_it_was_opened_for(crowd: Crowd) -> None:
    """Contract 4.15: also where its connection has another handle with more rights."""
    both = crowd.make(3)
    reader = crowd.client.open_channel(both.chan_id, codec="json", write=False)
    writer = crowd.client.open_channel(both.chan_id, codec="json", read=False)
    for forbidden in (
        lambda: reader.send(1),
        lambda: reader.try_send(1),
        lambda: reader.send_many([]),
        lambda: reader.sending(1),
        writer.receive,
        writer.try_receive,
        writer.receive_many,
        writer.receiving,
        lambda: writer.acking().receive(),
        lambda: writer.acking().receiving(),
    ):
        with pytest.raises(AccessDenied, match="may not"):
            forbidden()
    writer.send(1)
    assert reader.receive() == 1


def test_a_closed_handle_is_of_no_use_by_its_inbox_or_a_clause_either(crowd: Crowd) -> None:
    chan = crowd.make(1)
    clone, inbox, clause = chan.clone(), chan.acking(), chan.receiving()
    clone.send(1)
    chan.aclose()
    for call in (chan.acking, inbox.receive, inbox.receiving, lambda: crowd.client.select(clause)):
        with pytest.raises(ClosedResourceError):
            call()
    assert clone.receive() == 1
