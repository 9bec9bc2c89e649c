"""Clients killed with SIGKILL, each in a state of its own: what becomes of what they held.

A real process is killed by the real kernel; the daemon learns of it from its socket, as always. The
states that need no process are in tests/conformance, on every subject.
"""

import pytest

from tests.conformance.cases import conserved, drain
from tests.conformance.subject import EAGAIN, EPIPE
from tests.fault.conftest import Victim
from tests.fault.house import House
from tests.fault.victim import LARGE, MANY

both_transports = pytest.mark.parametrize("transport", ["stream", "seqpacket"])
kinds = pytest.mark.parametrize("capacity", [0, 1, 3], ids=["rendezvous", "one", "three"])


def channel(house: House, capacity: int, **options: object) -> int:
    kind = "buffered" if capacity else "rendezvous"
    return house.subject.channel(kind, capacity, **options)


@both_transports
@kinds
def test_killed_at_a_parked_send_nothing_was_sent(
    house: House, victim: Victim, capacity: int
) -> None:
    """Contract 4.7, 4.16: one claim; the message was the dead client's and is gone with it."""
    user, chan = house.subject.user(), channel(house, capacity)
    for number in range(capacity):
        user.try_send(chan, b"%d" % number).ok()
    kill = victim("parked_send", chan)
    assert user.statistics(chan)["parked_senders"] == 1
    kill()
    now = user.statistics(chan)
    assert (now["parked_senders"], now["cancelled_dead"]) == (0, 1)
    assert drain(user, chan) == [b"%d" % number for number in range(capacity)]


@both_transports
@kinds
def test_killed_at_a_parked_receive_nothing_was_received(
    house: House, victim: Victim, capacity: int
) -> None:
    """Contract 4.7, 4.16: the next receiver in line gets the next message."""
    user, chan = house.subject.user(), channel(house, capacity)
    kill = victim("parked_receive", chan)
    second = user.receive(chan)
    assert second.waiting
    assert user.statistics(chan)["parked_receivers"] == 2
    kill()
    assert user.statistics(chan)["cancelled_dead"] == 1
    user.send(chan, b"x").ok()
    assert second.data == b"x"
    conserved(user.statistics(chan))


@both_transports
def test_killed_at_a_parked_select_it_has_left_every_channel(house: House, victim: Victim) -> None:
    """Contract 4.6, 4.8: one waiter on two channels; its own channel goes with its last handle."""
    user, chan = house.subject.user(), channel(house, 0)
    kill = victim("parked_select", chan)
    assert user.statistics(chan)["parked_receivers"] == 1
    kill()
    assert user.statistics(chan)["parked_receivers"] == 0
    assert user.try_send(chan, b"nobody").code == EAGAIN


@both_transports
def test_killed_in_the_middle_of_a_frame_the_frame_never_was(house: House, victim: Victim) -> None:
    """Contract 4.15, 4.16: 100,000 of 200,000 bytes came; nothing of them reaches anybody."""
    user, chan = house.subject.user(), channel(house, 3)
    kill = victim("half_a_frame", chan)
    house.turns()
    kill()
    now = user.statistics(chan)
    assert (now["total_sends"], now["depth"], now["bytes"]) == (0, 0, 0)


@both_transports
@pytest.mark.parametrize("capacity", [0, 3], ids=["rendezvous", "three"])
def test_killed_with_unread_replies_what_the_kernel_had_is_lost_and_the_rest_comes_back(
    house: House, victim: Victim, capacity: int
) -> None:
    """Contract 4.10, 4.11: at most once for bytes the kernel took; others are requeued in order."""
    user, chan = house.subject.user(), channel(house, capacity)
    kill = victim("unread_replies", chan)
    for number in range(MANY):
        user.send(chan, b"%04d" % number * (LARGE // 4)).ok()
    now = user.statistics(chan)
    taken, held = now["total_recvs"], now["held"]
    assert taken + held == MANY
    assert held > 0
    kill()
    got = [int(message[:4]) for message in drain(user, chan)]
    assert got == list(range(taken, MANY))
    assert user.statistics(chan)["undelivered_requeued"] == held


@both_transports
@kinds
def test_killed_while_it_holds_a_message_that_it_would_acknowledge(
    house: House, victim: Victim, capacity: int
) -> None:
    """Contract 4.9: it goes back and says that it was delivered before."""
    user, chan = house.subject.user(), channel(house, capacity)
    sending = user.send(chan, b"job")
    kill = victim("held", chan)
    sending.ok()
    assert user.statistics(chan)["held"] == 1
    parked = user.receive(chan, ack=True)
    assert parked.waiting
    kill()
    assert (parked.data, parked.ok().attempts) == (b"job", 1)
    assert user.ack(parked.ok().delivery) == 0
    conserved(user.statistics(chan))


@both_transports
def test_killed_after_its_send_was_accepted_the_message_stays(house: House, victim: Victim) -> None:
    """Contract 4.11, 4.5: accepted is accepted; the death closes nothing."""
    user, chan = house.subject.user(), channel(house, 3)
    victim("sent", chan)()
    assert drain(user, chan) == [b"accepted"]
    user.try_send(chan, b"open").ok()


@both_transports
def test_killed_while_it_waits_for_confirmation_the_message_goes_on(
    house: House, victim: Victim
) -> None:
    """Contract 4.9: only the wait ended; it is counted apart from cancelled waiters."""
    user, chan = house.subject.user(), channel(house, 3)
    kill = victim("waiting_for_confirmation", chan)
    kill()
    now = user.statistics(chan)
    assert (now["unconfirmed"], now["cancelled_waiters"], now["depth"]) == (1, 0, 1)
    assert drain(user, chan) == [b"confirm me"]


@both_transports
def test_killed_as_the_last_sender_it_closes_what_was_made_so(house: House, victim: Victim) -> None:
    """Contract 4.5: close_on_last_sender acts when the last handle with write goes."""
    user = house.subject.user()
    options = {"kind": "buffered", "capacity": 2, "close_on_last_sender": True, "write": False}
    made = user.made(options)
    kill = victim("sent", made)
    assert user.receive(made).data == b"accepted"
    parked = user.receive(made)
    assert parked.waiting
    kill()
    assert parked.code == EPIPE
