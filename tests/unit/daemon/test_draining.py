"""Draining: when it is over, and who hears of it."""

import pytest

from kcoro_ipc.draining import Drain
from kcoro_ipc.records import Channel, Peer, Settings
from tests.unit.daemon.hall import Hall


def drain_of(hall: Hall, said: list[float]) -> Drain:
    """A drain that has begun, with one peer and two empty channels, of tickets 1 and 2."""
    for ticket in (1, 2):
        hall.registry.add(Channel(ticket, ticket, None, 1000, 1000, Settings()))
    hall.broker.join(Peer(1, hall.broker.user(1000), 1000, frozenset(), 1, 0))
    return Drain(hall.broker, hall.acceptor, 10.0, said.append)


def test_a_channel_that_was_found_empty_and_filled_later_keeps_the_daemon(hall: Hall) -> None:
    drain = drain_of(hall, [])
    hall.engine.depths = {1: 1}
    drain.begin()
    assert not drain.over()
    hall.engine.depths = {2: 1}  # the last message of 1 became a dead letter in 2
    assert not drain.over()
    assert not drain.over()
    hall.engine.depths = {}
    assert drain.over()


@pytest.mark.parametrize("drains", [True, False])
def test_the_service_manager_hears_once_of_the_end_and_how_long_it_may_take(
    hall: Hall, drains: bool
) -> None:
    said: list[float] = []
    drain = drain_of(hall, said)
    assert said == []
    if drains:
        drain.begin()
        assert said == [10.0]
    drain.end()
    drain.end()
    assert said == [10.0 if drains else 0.0]


def test_the_end_of_the_time_to_drain_is_no_deadline_of_the_last_flush(hall: Hall) -> None:
    drain = drain_of(hall, [])
    drain.begin()
    assert drain.next_deadline_ns() == 10_000_000_000
    drain.end()
    assert drain.next_deadline_ns() is None
