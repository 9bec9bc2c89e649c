"""Clients that ask for too much: they wait, or hear which quota it was; nobody else pays.

Numbers are those of the hostile list: 2 never reads, 28 many connections, 29 a storm of them,
30 one uid takes every quota, 35 a sweep of a thousand waiters (38 and 40: test_paths.py).
"""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kcoro_ipc import _wire
from tests.conformance.pump_subject import PumpSubject
from tests.e2e.harness import STUCK_S, DaemonProcess, running_daemon
from tests.fault.house import House
from tests.fault.peer import Peer

MIB = 1 << 20
# The kernel counts a write until all of it is read, and a turn reads 64 frames of 16 bytes.
TURNS_PER_WRITE = 32
HIGH_WATER = MIB  # of a connection's output; docs/ARCHITECTURE.md, contract 4.12


# --- 2: never reads ---


def flood(peer: Peer, data: bytes) -> int:
    """Writes until the kernel's buffer is full; how many bytes it took."""
    peer.socket.setblocking(False)
    taken = 0
    try:
        while taken < 64 * MIB:
            taken += peer.socket.send(data)
    except BlockingIOError:
        pass
    finally:
        peer.socket.settimeout(60)
    return taken


def flood_until_deaf(house: House, peer: Peer, data: bytes) -> int:
    """Floods with turns between them, until several in a row find that nothing was read."""
    taken, idle = 0, 0
    while idle < 4:
        more = flood(peer, data)
        taken, idle = taken + more, 0 if more else idle + 1
        assert taken < 256 * MIB, "a peer that never reads was read without bound"
        for _ in range(TURNS_PER_WRITE):
            house.turns()
    return taken


def test_02_who_never_reads_is_not_read_from_and_costs_bounded_memory(house: House) -> None:
    """Contract 4.12: above the high-water mark of its output it is not read; never disconnected."""
    with house.peer() as deaf:
        requests = b"".join(deaf.frame("PING", REQ_ID=1000 + n) for n in range(1000))
        before = house.process.resident_bytes()
        taken = flood_until_deaf(house, deaf, requests)
        assert taken > HIGH_WATER / 2
        assert house.process.resident_bytes() - before < 16 * MIB
        with house.peer() as other:
            assert other.lives()


def test_02_parked_receives_of_who_never_reads_still_match(house: House) -> None:
    """Contract 4.12: its own replies are late, its partners are not; then it reads them all."""
    with house.peer() as deaf, house.peer() as sender:
        chan = sender.make()
        deaf.open(chan)
        for number in range(10):
            deaf.write("CHAN_RECV", REQ_ID=1 + number, CHAN_ID=chan, TIMEOUT_MS=-1)
        pings = b"".join(deaf.frame("PING", REQ_ID=1000) for _ in range(1000))
        taken = flood_until_deaf(house, deaf, pings)
        for number in range(10):
            assert sender.result("CHAN_SEND", CHAN_ID=chan, ELEMENT=b"%d" % number) == 0
        whole, rest = divmod(taken, len(deaf.frame("PING", REQ_ID=1000)))
        answers = [deaf.read() for _ in range(whole + 10)]
        got = [one["ELEMENT"][0] for one in answers if one and "ELEMENT" in one]
        assert got == [b"%d" % number for number in range(10)]
        if rest:
            deaf.say(deaf.frame("PING", REQ_ID=1000)[rest:])
            assert deaf.read() is not None
        assert deaf.lives()


def test_02_large_messages_for_who_never_reads_wait_in_their_channel(house: House) -> None:
    """Contract 4.12, 4.10: the sender waits, memory holds what the channel may hold, no more."""
    with house.peer() as deaf, house.peer() as sender:
        chan = sender.make(KIND=1, CAPACITY=8)
        deaf.open(chan)
        before = house.process.resident_bytes()
        for number in range(1000):
            deaf.write("CHAN_RECV", REQ_ID=1 + number, CHAN_ID=chan, TIMEOUT_MS=-1)
        sent = 0
        while sender.result("CHAN_SEND", CHAN_ID=chan, ELEMENT=b"x" * MIB) == 0:
            sent += 1
            if sent >= 12:
                break
        house.turns()
        assert house.process.alive()
        grown = house.process.resident_bytes() - before
        assert grown < (sent + 16) * MIB
        got = [deaf.read() for _ in range(sent)]
        assert sum(len(one["ELEMENT"][0]) for one in got if one) == sent * MIB


# --- 28, 29: connections ---


def test_28_a_thousand_connections_are_served_and_leave_nothing(house: House) -> None:
    """Contract 4.12: each may park and meet; descriptors come back (the house checks)."""
    with house.peer() as sender:
        chan = sender.make()
        crowd = [house.peer() for _ in range(1000)]
        for peer in crowd:
            peer.open(chan)
            peer.write("CHAN_RECV", REQ_ID=7, CHAN_ID=chan, TIMEOUT_MS=-1)
            assert peer.lives()
        for number in range(1000):
            assert sender.result("CHAN_SEND", CHAN_ID=chan, ELEMENT=b"%d" % number) == 0
        for number, peer in enumerate(crowd):
            answer = peer.read()
            assert answer is not None
            assert answer["ELEMENT"] == [b"%d" % number]
            peer.socket.close()


def test_29_a_storm_of_connections_leaves_nothing(house: House) -> None:
    """Some say nothing, some half a HELLO, some park and vanish; the house checks they are gone."""
    with house.peer() as keeper:
        chan = keeper.make()
        for number in range(1500):
            connected = house.process.connect("seqpacket" if number % 5 == 0 else "stream")
            peer = Peer(connected)
            if number % 3:
                hello = peer.frame("HELLO", ABI_MAJOR=1, ABI_MINOR=1)
                peer.say(hello[:3] if number % 3 == 1 else hello)
            if number % 3 == 2:
                peer.write("CHAN_OPEN", REQ_ID=1, CHAN_ID=chan, FLAGS=3)
                peer.write("CHAN_RECV", REQ_ID=2, CHAN_ID=chan, TIMEOUT_MS=-1)
            connected.close()
        house.turns()
        while keeper.result("CHAN_SEND", CHAN_ID=chan, ELEMENT=b"nobody") == 0:
            house.turns()  # a connection that was accepted late may still be parked for a turn
        assert keeper.lives()


def test_28_without_descriptors_accepting_pauses_and_resumes(
    house: House, attacked_daemon: DaemonProcess
) -> None:
    """Accept pauses with a reserve descriptor; who waits is served when others leave. That the
    daemon sleeps meanwhile is counted in tests/e2e, from the inside."""
    limit = attacked_daemon.descriptors() + 20
    before = attacked_daemon.limit_descriptors(limit)
    try:
        inside: list[Peer] = []
        waiting: list[socket.socket] = []
        for _ in range(40):
            connected = attacked_daemon.connect()
            connected.sendall(Peer(connected).frame("HELLO", ABI_MAJOR=1, ABI_MINOR=1))
            waiting.append(connected)
        house.turns()
        assert attacked_daemon.descriptors() <= limit
        while waiting:
            peer = Peer(waiting.pop(0))
            assert peer.read() is not None
            inside.append(peer)
            if len(inside) > 5:
                inside.pop(0).socket.close()
        for peer in inside:
            assert peer.lives()
            peer.socket.close()
    finally:
        attacked_daemon.limit_descriptors(before)


# --- 30: one uid takes every quota ---


@pytest.fixture
def small() -> Iterator[PumpSubject]:
    """The daemon without sockets, where a test may be several users; small quotas."""
    made = PumpSubject(
        channels_per_uid=10, parked_per_uid=20, bytes_per_uid=200_000, requests_per_connection=50
    )
    try:
        yield made
        made.check()
    finally:
        made.finish()


GREEDY, MODEST = 1001, 1002
SHARED = {"kind": "unlimited", "mode": 0o666}


def test_30_one_uid_that_takes_every_channel_leaves_the_others_theirs(small: PumpSubject) -> None:
    """Contract 4.12: EDQUOT names quota, limit, usage and setting; another uid is not touched."""
    greedy, modest = small.user(GREEDY), small.user(MODEST)
    for _ in range(10):
        greedy.made({"kind": "buffered", "capacity": 1})
    reply = greedy.make({"kind": "buffered", "capacity": 1})
    assert reply.result == _wire.KC_EDQUOT
    assert reply.get(_wire.ATTR_QUOTA_LIMIT) == 10
    assert reply.get(_wire.ATTR_QUOTA_USAGE) == 10
    assert reply.get(_wire.ATTR_QUOTA_NAME)
    assert reply.get(_wire.ATTR_QUOTA_SETTING) == "limits.channels_per_uid"
    chan = modest.made({"kind": "buffered", "capacity": 1})
    modest.try_send(chan, b"fine").ok()


def test_30_one_uid_that_parks_everything_leaves_the_others_theirs(small: PumpSubject) -> None:
    """Contract 4.12: the 21st waiter of that uid is refused, whichever connection asks."""
    greedy, again, modest = small.user(GREEDY), small.user(GREEDY), small.user(MODEST)
    chan = greedy.made({"kind": "rendezvous", "mode": 0o666, "ephemeral": True}, "shared")
    parked = [user.receive(chan) for user in (greedy, again) for _ in range(10)]
    assert all(operation.waiting for operation in parked)
    assert again.receive(chan).code == _wire.KC_EDQUOT
    waiting = modest.receive(chan)
    assert waiting.waiting
    for operation in parked:
        modest.send(chan, b"x").ok()
        assert operation.data == b"x"
    modest.cancel(waiting)


def test_30_one_uid_that_fills_its_bytes_leaves_the_others_theirs(small: PumpSubject) -> None:
    """Contract 4.12: payload is charged to its sender; what is received is given back."""
    greedy, modest = small.user(GREEDY), small.user(MODEST)
    chan = greedy.made({**SHARED, "ephemeral": True}, "bytes")
    sent = 0
    while (operation := greedy.try_send(chan, b"x" * 10_000)).code == 0:
        sent += 1
    assert operation.code == _wire.KC_EDQUOT
    assert 10 <= sent <= 20
    for _ in range(5):
        modest.try_send(chan, b"y" * 10_000).ok()
    for _ in range(3):
        assert modest.try_receive(chan).data == b"x" * 10_000
    greedy.try_send(chan, b"x" * 10_000).ok()


def test_30_one_connection_that_asks_too_much_at_once_hears_it(small: PumpSubject) -> None:
    """Contract 4.12: requests in flight are bounded for a connection; others are not refused."""
    greedy, modest = small.user(GREEDY), small.user(MODEST)
    chan = greedy.made({"kind": "rendezvous", "mode": 0o666, "ephemeral": True}, "crowded")
    codes = [greedy.receive(chan) for _ in range(80)]
    refused = [operation for operation in codes if not operation.waiting]
    assert refused
    assert {operation.code for operation in refused} == {_wire.KC_EDQUOT}
    waiting = modest.receive(chan)
    assert waiting.waiting


# --- 35: a sweep ---


@pytest.mark.parametrize("command", ["CHAN_CLOSE", "CHAN_DESTROY"])
def test_35_a_thousand_parked_receivers_hear_one_end_each(house: House, command: str) -> None:
    """Contract 4.5: one sweep; after it nobody finds a half-closed channel."""
    with house.peer() as owner, house.peer() as crowd:
        chan = owner.make()
        crowd.open(chan)
        for number in range(1000):
            crowd.write("CHAN_RECV", REQ_ID=1 + number, CHAN_ID=chan, TIMEOUT_MS=-1)
        assert crowd.lives()
        assert owner.result(command, CHAN_ID=chan) == 0
        expected = _wire.KC_EPIPE if command == "CHAN_CLOSE" else _wire.KC_ECANCELED
        answers = [crowd.read() for _ in range(1000)]
        assert {one and one["RESULT"] for one in answers} == {expected}
        assert sorted(one["REQ_ID"] for one in answers if one) == list(range(1, 1001))
        assert crowd.lives()


# --- afterwards ---


def test_memory_of_a_burst_goes_back_to_the_system(socket_dir: Path) -> None:
    """Resources return to the baseline: 96 MiB wait in a channel, are received, and a moment later
    the daemon is as small as before. (It is asked again and again: time passes between PINGs.)"""
    with running_daemon(socket_dir) as daemon, Peer(daemon.connect()) as peer:
        peer.hello()
        before = daemon.resident_bytes()
        chan = peer.make(KIND=-2, MAX_BYTES=128 * MIB)
        for _ in range(96):
            assert peer.result("CHAN_SEND", CHAN_ID=chan, ELEMENT=b"x" * MIB) == 0
        assert daemon.resident_bytes() - before > 90 * MIB
        for _ in range(96):
            assert len(peer.ask("CHAN_RECV", CHAN_ID=chan)["ELEMENT"][0]) == MIB
        until = time.monotonic() + STUCK_S
        while daemon.resident_bytes() - before > 16 * MIB:
            assert time.monotonic() < until, "memory stays with the daemon"
            assert peer.lives()
