"""Connections by the thousand, from several processes: as many as descriptors allow, more than the
limits allow, and a storm of them. Numbers are those of the hostile list (28, 29).

A crowd (crowd.py) says of each of its connections whether it was served or why it was not.
"""

import resource
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import STUCK_S, running_daemon
from tests.fault.crowd import Crowd
from tests.fault.house import House
from tests.fault.peer import Peer

PROCESSES = 4
MOST = 10_000
SPARE = 600  # descriptors for everything else in a process
BATCH = 500


@contextmanager
def house_with(*limits: str) -> Iterator[House]:
    """Also after what the test does: the house is whole, descriptors and memory are back."""
    directory = Path(tempfile.mkdtemp(prefix="kc-", dir="/tmp"))
    options = [word for limit in limits for word in ("--limit", limit)]
    try:
        with running_daemon(directory, *options, log_level="warning") as daemon:
            made = House(daemon)
            try:
                yield made
                made.check()
            finally:
                made.finish()
    finally:
        shutil.rmtree(directory)


def needs(descriptors: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < descriptors:
        pytest.skip(f"the hard limit of descriptors is {hard}, this needs {descriptors}")


def come(stack: ExitStack, house: House, chan: int, counts: Sequence[int]) -> list[Crowd]:
    return [
        stack.enter_context(Crowd("park", house.process.stream, chan, count)) for count in counts
    ]


def served(told: Sequence[Any]) -> int:
    return sum(one["served"] for one in told)


def everybody_gets_one(sender: Peer, chan: int, crowds: Sequence[Crowd], count: int) -> None:
    """Each connection that waits gets one message, and no message is lost or doubled."""
    for start in range(0, count, BATCH):
        batch = [("ELEMENT", b"%d" % n) for n in range(start, min(start + BATCH, count))]
        answer = sender.ask("CHAN_SEND", *batch, CHAN_ID=chan, TIMEOUT_MS=0)
        assert (answer["RESULT"], answer["COUNT"]) == (0, len(batch))
    assert sender.result("CHAN_SEND", CHAN_ID=chan, ELEMENT=b"x", TIMEOUT_MS=0) != 0
    for crowd in crowds:
        crowd.collect()
    got = [number for crowd in crowds for number in crowd.hear()]
    assert sorted(got) == list(range(count))


def memory_settles(house: House, most: int) -> None:
    """It is given back a second after they left: time passes between PINGs."""
    until = time.monotonic() + STUCK_S
    while house.process.resident_bytes() > most:
        assert time.monotonic() < until, f"{house.process.resident_bytes()} bytes stay, not {most}"
        house.turns()


def test_28_as_many_connections_as_descriptors_allow_are_served_and_leave_nothing() -> None:
    """10,000 where the hard limit lets the daemon have them; each waits, and gets one message."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    each = min(MOST, hard - SPARE) // PROCESSES
    assert each > 0, f"the hard limit of descriptors is {hard}"
    with house_with() as house, ExitStack() as stack, house.peer() as sender:
        chan = sender.make()
        before = house.process.resident_bytes()
        crowds = come(stack, house, chan, [each] * PROCESSES)
        told = [crowd.hear() for crowd in crowds]
        assert told == [{"served": each, "refused": []}] * PROCESSES
        grown = house.process.resident_bytes() - before
        everybody_gets_one(sender, chan, crowds, each * PROCESSES)
        with house.process.stopped():  # it finds that all have hung up at once
            for crowd in crowds:
                crowd.leave()
        memory_settles(house, before + grown // 2)


def test_28_at_the_limit_of_connections_all_others_hear_which_limit_it_is() -> None:
    """Exactly as many as the limit says are served, whatever the others try; then there is room."""
    needs(4_000)
    limit = 2_000
    with house_with(f"connections={limit}") as house, ExitStack() as stack, house.peer() as sender:
        chan = sender.make()
        room = limit - house.residents - 1
        crowds = come(stack, house, chan, [1_000] * 3)
        told = [crowd.hear() for crowd in crowds]
        assert served(told) == room
        refused = [one for crowd in told for one in crowd["refused"]]
        assert {tuple(quota) for *quota, _ in refused} == {
            ("connections", limit, limit, "limits.connections")
        }
        assert sum(count for *_, count in refused) == 3_000 - room
        everybody_gets_one(sender, chan, crowds, room)
        for crowd in crowds:
            crowd.leave()
        house.turns()
        later = come(stack, house, chan, [1_000])
        assert later[0].hear() == {"served": 1_000, "refused": []}
        everybody_gets_one(sender, chan, later, 1_000)
        later[0].leave()


def test_28_without_descriptors_a_thousand_wait_and_are_served_when_others_leave() -> None:
    """RLIMIT_NOFILE of the daemon: who does not fit waits in the backlog, refused by nobody."""
    needs(4_000)
    with house_with() as house, ExitStack() as stack, house.peer() as sender:
        chan = sender.make()
        limit = house.process.descriptors() + 1_500
        house.process.limit_descriptors(limit)
        (first,) = come(stack, house, chan, [1_000])
        assert first.hear() == {"served": 1_000, "refused": []}
        others = come(stack, house, chan, [700, 700])
        until = time.monotonic() + STUCK_S
        while "accepting paused" not in house.process.log():
            assert time.monotonic() < until, "1,400 more came in where 500 fit"
            house.turns()
        assert house.process.descriptors() <= limit
        everybody_gets_one_now(sender, chan, first)
        first.leave()
        assert [crowd.hear() for crowd in others] == [{"served": 700, "refused": []}] * 2
        everybody_gets_one(sender, chan, others, 1_400)
        for crowd in others:
            crowd.leave()


def everybody_gets_one_now(sender: Peer, chan: int, crowd: Crowd) -> None:
    """Receivers are served in the order in which they came: these were first, whoever waits now."""
    batch = [("ELEMENT", b"%d" % number) for number in range(1_000)]
    for start in range(0, 1_000, BATCH):
        part = batch[start : start + BATCH]
        assert sender.ask("CHAN_SEND", *part, CHAN_ID=chan, TIMEOUT_MS=0)["COUNT"] == BATCH
    crowd.collect()
    assert sorted(crowd.hear()) == list(range(1_000))


def test_29_a_storm_of_connections_from_several_processes_leaves_nothing() -> None:
    with house_with() as house, ExitStack() as stack, house.peer() as sender:
        chan = sender.make()
        path = house.process.stream
        storms = [stack.enter_context(Crowd("storm", path, chan, 2_000)) for _ in range(3)]
        assert [storm.hear() for storm in storms] == [2_000] * 3
        for storm in storms:
            storm.leave()
        house.turns()
        while sender.result("CHAN_SEND", CHAN_ID=chan, ELEMENT=b"nobody", TIMEOUT_MS=0) == 0:
            house.turns()  # a connection that was accepted late may still wait for a turn
        assert sender.lives()
