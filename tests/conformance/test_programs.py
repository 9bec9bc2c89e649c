"""Small programs of channels: whole behaviours instead of single claims.

The ideas are Go's (sieve, fan-in, nonblocking and select programs of its test suite), crossbeam's
golang.rs, and a long random walk; the code is our own. One thread plays all parts, so that a run
is the same each time.
"""

import random

import pytest

from tests.conformance.cases import conserved, drain, numbered, of
from tests.conformance.subject import (
    BUFFERED,
    EAGAIN,
    ECANCELED,
    EPIPE,
    EVERY,
    LOSSLESS,
    OK,
    RENDEZVOUS,
    UNLIMITED,
    Arm,
    Operation,
    Spec,
    Subject,
    User,
)

PRIMES = [2, 3, 5, 7, 11, 13, 17, 19]


class Filter:
    """One stage of the sieve: receives, keeps what its prime does not divide, sends it on."""

    def __init__(self, user: User, left: int, right: int, prime: int) -> None:
        self.user, self.left, self.right, self.prime = user, left, right, prime
        self.sending: Operation | None = None
        self.receiving = user.receive(left)

    def step(self) -> bool:
        """Goes on as far as it can without waiting; whether it did anything."""
        if self.sending is not None:
            if self.sending.waiting:
                return False
            self.sending, self.receiving = None, self.user.receive(self.left)
            return True
        if self.receiving.waiting:
            return False
        number = int(self.receiving.data)
        if number % self.prime:
            self.sending = self.user.send(self.right, b"%d" % number)
        else:
            self.receiving = self.user.receive(self.left)
        return True


@pytest.mark.parametrize("spec", [RENDEZVOUS, BUFFERED[0]], ids=lambda spec: spec.label)
def test_the_sieve_finds_primes(subject: Subject, spec: Spec) -> None:
    """A chain of channels that grows while it runs (Go's doc/progs/sieve)."""
    source = subject.user()
    left = spec.make(subject)
    filters: list[Filter] = []
    found: list[int] = []
    number = 2
    sending = source.send(left, b"%d" % number)
    head = subject.user()
    tail, waiting = left, head.receive(left)
    while len(found) < len(PRIMES):
        moved = sum(stage.step() for stage in filters) > 0
        if not sending.waiting:
            number += 1
            sending, moved = source.send(left, b"%d" % number), True
        if not waiting.waiting:
            found.append(int(waiting.data))
            right = spec.make(subject)
            filters.append(Filter(subject.user(), tail, right, found[-1]))
            tail, waiting, moved = right, head.receive(right), True
        assert moved, "the sieve stands still"
    assert found == PRIMES


def test_fan_in_keeps_every_message_and_each_sender_s_order(subject: Subject) -> None:
    """Two senders, one select: nothing is lost, each side stays in order (Go's TestSelectFanIn)."""
    (one, two, reader), a, b = subject.users(3), RENDEZVOUS.make(subject), RENDEZVOUS.make(subject)
    sends = [one.send(a, b"a%d" % n) for n in range(20)] + [
        two.send(b, b"b%d" % n) for n in range(20)
    ]
    got = [reader.select([Arm(a), Arm(b)]).data for _ in range(40)]
    assert [message for message in got if message[:1] == b"a"] == [b"a%d" % n for n in range(20)]
    assert [message for message in got if message[:1] == b"b"] == [b"b%d" % n for n in range(20)]
    assert all(operation.code == OK for operation in sends)


def test_a_mutex_of_one_place_lets_one_in(subject: Subject) -> None:
    """A buffered channel of one as a lock: whoever holds the token is alone."""
    users, lock = subject.users(5), BUFFERED[0].make(subject)
    users[0].try_send(lock, b"token").ok()
    inside = users[0].receive(lock)
    waiting = [user.receive(lock) for user in users[1:]]
    for nth, operation in enumerate(waiting):
        assert inside.data == b"token"
        assert all(other.waiting for other in waiting[nth:])
        users[nth].send(lock, b"token").ok()
        inside = operation
    assert inside.data == b"token"


def test_ping_pong_over_two_rendezvous(subject: Subject) -> None:
    """A strict alternation: 50 rounds, each answer belongs to its question."""
    (ping, pong), there, back = subject.users(2), RENDEZVOUS.make(subject), RENDEZVOUS.make(subject)
    for number in range(50):
        question = pong.receive(there)
        ping.send(there, b"%d" % number).ok()
        answer = ping.receive(back)
        pong.send(back, question.data + b"!").ok()
        assert answer.data == b"%d!" % number


def test_nonblocking_operations_race_with_a_parked_partner_in_both_directions(
    subject: Subject,
) -> None:
    """Go's TestNonblockRecvRace family: a try succeeds exactly when the partner is parked."""
    (one, two), chan = subject.users(2), RENDEZVOUS.make(subject)
    for _ in range(10):
        assert one.try_receive(chan).code == EAGAIN
        parked = two.send(chan, b"x")
        assert one.try_receive(chan).data == b"x"
        parked.ok()
        assert one.try_send(chan, b"y").code == EAGAIN
        taken = two.receive(chan)
        one.try_send(chan, b"y").ok()
        assert taken.data == b"y"


@of(EVERY)
def test_a_long_random_walk_conserves_messages_and_waiters(subject: Subject, spec: Spec) -> None:
    """Contract 4.17, 4.2: whatever happens, sums hold, each message ends once, and an operation
    that failed did nothing; then close, drain, and all waiters are gone."""
    chance = random.Random(f"walk {spec.label}")
    users, chan = subject.users(4), spec.make(subject)
    sends: dict[bytes, Operation] = {}
    receives: list[Operation] = []
    for number in range(150):
        user = chance.choice(users)
        what = chance.choice(
            ["send", "send", "try_send", "receive", "receive", "try_receive", "cancel"]
        )
        message = b"%d" % number
        if what in ("send", "try_send"):
            sends[message] = getattr(user, what)(chan, message)
        elif what != "cancel":
            receives.append(getattr(user, what)(chan))
        elif live := [one for one in [*sends.values(), *receives] if one.waiting]:
            victim = chance.choice(live)
            victim.user.cancel(victim)
        conserved(users[0].statistics(chan))
    users[0].close(chan)
    got = [one.data for one in receives if not one.waiting and one.code == OK]
    got += drain(users[1], chan)
    assert all(one.code in (OK, EPIPE, EAGAIN, ECANCELED) for one in receives)
    sent = [message for message, one in sends.items() if one.code == OK]
    dropped = len(sent) - len(got)
    now = users[0].statistics(chan)
    assert set(got) <= set(sent)
    assert len(set(got)) == len(got)
    assert dropped == now["drops_oldest"] + now["drops_newest"]
    assert (now["parked_senders"], now["parked_receivers"], now["depth"]) == (0, 0, 0)
    if spec in LOSSLESS:
        assert sorted(got) == sorted(sent)


def test_a_thousand_waiters_are_swept_by_one_close(subject: Subject) -> None:
    """Hostile list 35: nobody sees a half-closed channel; every waiter hears it once."""
    users, chan = subject.users(2), RENDEZVOUS.make(subject)
    parked = [user.receive(chan) for user in users for _ in range(500)]
    assert users[0].statistics(chan)["parked_receivers"] == 1000
    users[0].close(chan)
    assert [operation.code for operation in parked] == [EPIPE] * 1000
    now = users[0].statistics(chan)
    assert (now["parked_receivers"], now["closed_waiters"]) == (0, 1000)
    conserved(now)


def test_a_thousand_waiters_are_swept_by_one_destroy(subject: Subject) -> None:
    """Hostile list 35: senders and receivers of selects and plain operations, one sweep."""
    users, chan, other = subject.users(2), RENDEZVOUS.make(subject), UNLIMITED.make(subject)
    parked = [users[0].send(chan, b"x") for _ in range(500)]
    parked += [users[1].select([Arm(other), Arm(chan, b"y")]) for _ in range(500)]
    users[1].destroy(chan, "swept")
    assert {operation.now().reason for operation in parked} == {"swept"}
    assert {operation.code for operation in parked} == {ECANCELED}
    assert users[0].statistics(other)["parked_receivers"] == 0


def test_pipelined_tries_of_one_user_keep_their_order(subject: Subject) -> None:
    """Operations of one user on one channel start in the order in which they were asked."""
    user, chan = subject.user(), UNLIMITED.make(subject)
    for message in numbered(200):
        user.send(chan, message).ok()
    assert [user.receive(chan).data for _ in range(200)] == numbered(200)
