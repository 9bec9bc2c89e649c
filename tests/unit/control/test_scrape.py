"""A scrape takes many steps; whatever ends or begins between two of them is told once."""

import random
from itertools import pairwise

import pytest

from kcoro_ipc import scrape as module
from kcoro_ipc.books import STATS_WIDTH
from kcoro_ipc.records import Peer
from kcoro_ipc.scrape import scrape
from tests.unit.control.house import OWNER, READ, STRANGER, House
from tests.unit.test_exposition import parsed

SENDS, RECVS, DEPTH, CAPACITY = 1, 2, 39, 46
Samples = dict[str, dict[tuple[str, ...], float]]


class Town(House):
    """A house whose channels count what a test says."""

    def make(self, peer: Peer, name: str | None = None, sends: int = 0, depth: int = 0) -> int:
        named = {} if name is None else {"NAME": name}
        chan_id: int = self.ask(peer, "CHAN_MAKE", FLAGS=READ, MODE=0o600, **named)["CHAN_ID"]
        self.count(chan_id, sends, depth)
        return chan_id

    def count(self, chan_id: int, sends: int, depth: int = 0) -> None:
        stats = [0] * STATS_WIDTH
        stats[SENDS], stats[RECVS], stats[DEPTH], stats[CAPACITY] = sends, sends - depth, depth, 9
        self.engine.stats[chan_id] = stats

    def end(self, peer: Peer, chan_id: int) -> None:
        self.ask(peer, "CHAN_DESTROY", CHAN_ID=chan_id)
        if chan_id in peer.handles:
            self.ask(peer, "CHAN_RELEASE", CHAN_ID=chan_id)

    def told(self) -> Samples:
        return parsed(b"".join(scrape(self.broker)).decode())


def sends(samples: Samples) -> dict[str, float]:
    """By name; of one owner."""
    found = samples["kcoro_channel_sends_total"]
    return {name: value for (name, _), value in found.items()}


@pytest.fixture
def town() -> Town:
    return Town(metrics_channels=3)


def test_a_series_is_its_past_and_what_lives(town: Town) -> None:
    peer = town.peer()
    first = town.make(peer, "jobs", sends=5)
    town.end(peer, first)
    assert sends(town.told())["jobs"] == 5
    town.make(peer, "jobs", sends=2, depth=1)
    town.make(peer, None, sends=30)
    samples = town.told()
    assert sends(samples) == {"/other": 30, "jobs": 7}
    assert samples["kcoro_channel_depth"]["jobs", str(OWNER)] == 1
    assert samples["kcoro_channel_capacity"] == {("jobs", str(OWNER)): 9}  # others have no such sum
    assert samples["kcoro_user_sends_total"][str(OWNER),] == 37


def test_a_channel_that_was_destroyed_and_is_held_still_counts(town: Town) -> None:
    peer, other = town.peer(), town.peer()
    chan_id = town.make(peer, "jobs", sends=5, depth=2)
    town.ask(other, "CHAN_OPEN", CHAN_ID=chan_id, FLAGS=READ)
    town.ask(peer, "CHAN_DESTROY", CHAN_ID=chan_id)
    samples = town.told()
    assert sends(samples)["jobs"] == 5
    assert samples["kcoro_channel_depth"]["jobs", str(OWNER)] == 2
    assert "kcoro_channel_capacity" not in samples


def test_no_more_series_than_places_and_nothing_is_left_out(town: Town) -> None:
    peer = town.peer()
    for i in range(10):
        town.make(peer, f"c{i}", sends=1)
    assert sends(town.told()) == {"/other": 7, "c0": 1, "c1": 1, "c2": 1}


def test_each_step_looks_at_a_bounded_number_of_channels(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = town.peer()
    for _ in range(10):
        town.make(peer, sends=1)
    looked: list[int] = []
    stats = town.engine.chan_stats
    monkeypatch.setattr(module, "STEP", 4)
    monkeypatch.setattr(
        town.engine, "chan_stats", lambda chan: (looked.append(chan), stats(chan))[1]
    )
    steps = scrape(town.broker)
    seen = []
    while next(steps) == b"":
        seen.append(len(looked))
    assert seen[:2] == [4, 8]
    assert len(looked) == 10


@pytest.mark.parametrize("seed", range(20))
def test_no_counter_falls_while_channels_come_and_go_between_the_steps(
    town: Town, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(module, "STEP", 2)
    dice = random.Random(seed)
    peer = town.peer()
    living: dict[int, int] = {}
    before: dict[str, float] = {}

    def stir() -> None:
        for _ in range(dice.randrange(4)):
            if living and dice.random() < 0.5:
                chan_id = dice.choice(list(living))
                living[chan_id] += dice.randrange(3)
                town.count(chan_id, living[chan_id])
            elif living and dice.random() < 0.5:
                chan_id = dice.choice(list(living))
                town.end(peer, chan_id)
                del living[chan_id]
            else:
                name = dice.choice([None, "jobs", "mail", "logs"])
                if name not in town.registry.names:
                    sent = dice.randrange(5)
                    living[town.make(peer, name, sends=sent)] = sent

    for _ in range(12):
        pieces = []
        for piece in scrape(town.broker):
            pieces.append(piece)
            stir()
        now = sends(parsed(b"".join(pieces).decode()))
        for name, value in now.items():
            assert value >= before.get(name, 0), name
        before = now
    for chan_id in list(living):
        town.end(peer, chan_id)
    assert town.broker.books.walks == []


def test_what_ends_in_the_middle_of_a_walk_is_told_once(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STEP", 1)
    peer = town.peer()
    seen, unseen = town.make(peer, sends=100), town.make(peer, sends=10)
    town.make(peer, sends=1)
    steps = scrape(town.broker)
    assert next(steps) == b""  # the first one was visited
    town.count(seen, 500)
    town.end(peer, seen)
    town.end(peer, unseen)
    assert sends(parsed(b"".join(steps).decode())) == {"/other": 111}
    assert sends(town.told()) == {"/other": 511}


def test_a_scrape_that_is_left_in_the_middle_leaves_nothing(town: Town) -> None:
    steps = scrape(town.broker)
    next(steps)
    assert len(town.broker.books.walks) == 1
    steps.close()
    assert town.broker.books.walks == []


def test_a_view_has_the_channels_that_are_seen_and_no_past(town: Town) -> None:
    peer, stranger = town.peer(), town.peer(STRANGER)
    town.end(peer, town.make(peer, "jobs", sends=100))
    town.make(peer, "jobs", sends=5)
    town.make(stranger, "mine", sends=2)
    told = b"".join(scrape(town.broker, lambda channel: channel.name == "jobs")).decode()
    samples = parsed(told)
    assert sends(samples) == {"jobs": 5}
    assert [name for name in samples if not name.startswith("kcoro_channel")] == []


def test_users_too_are_looked_at_a_few_in_a_step_and_told_within_their_places(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "STEP", 4)
    town = Town(metrics_users=2)
    peers = [town.peer(uid) for uid in range(2000, 2010)]
    gone = peers[-1]
    asked: list[int] = []
    usage = town.engine.account_usage
    monkeypatch.setattr(
        town.engine, "account_usage", lambda account: (asked.append(account), usage(account))[1]
    )
    steps = scrape(town.broker)
    text, at_once = b"", []
    for piece in steps:
        text += piece
        at_once.append(len(asked))
        if len(asked) == 4 and gone.conn in town.registry.peers:
            town.leave(gone)
            town.now_ns += 10**12
            list(town.broker.due(1))  # its account goes back, once it pays for nothing
            asked.pop()
    assert max(b - a for a, b in pairwise(at_once)) == 4
    assert len(asked) == 9
    samples = parsed(text.decode())
    assert samples["kcoro_user_connections"] == {("2000",): 1, ("2001",): 1, ("other",): 7}
    assert samples["kcoro_user_connections_opened_total"]["other",] == 8
