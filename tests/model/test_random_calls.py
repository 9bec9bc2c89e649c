"""Many random calls to the engine and the model, without a shrinker: deeper than hypothesis goes.

A failure names its seed; `replay(seed)` in a debugger stops where the two differ. KCORO_LONG=1
(make check-long) plays many more games.
"""

import os
import random

import pytest

pytest.importorskip("kcoro_ipc._kcoro", reason="the native module is not built: make build")
from twin import ArmChoice, Shape, Twin

GAMES = 20_000 if os.environ.get("KCORO_LONG") else 1_000
STEPS = 250


def random_shape(dice: random.Random, letters: bool) -> Shape:
    kind = dice.choice(
        ["rendezvous", "rendezvous", "buffered", "buffered", "conflated", "unlimited"]
    )
    overflow = dice.choice(["suspend", "suspend", "drop_newest", "drop_oldest"])
    undelivered = dice.choice(["kind", "requeue", "drop"])
    return Shape(
        kind=kind,
        capacity={"buffered": dice.randint(1, 3), "unlimited": dice.randint(1, 4)}.get(kind, 0),
        overflow=overflow if kind == "buffered" else "suspend",
        undelivered="dead_letter" if letters and dice.random() < 0.4 else undelivered,
        max_attempts=dice.choice([0, 0, 1, 2]),
        max_bytes=dice.choice([0, 0, 12, 20]),
        letters=letters,
    )


class Game:
    """One engine, one to three channels, three scopes, and calls by weight."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.twin = Twin()
        for _ in range(self.dice.randint(1, 3)):
            self.make()
        self.twin.begin(0)
        self.twin.begin(self.dice.choice([0, 1]))
        # Some games rather fill, some rather drain, some rather hold.
        self.moves = [self.send, self.receive, self.hold, self.select, self.take, self.cancel]
        self.moves += [self.settle, self.tick, self.scope, self.end]
        weights = [6, 5, 4, 3, 6, 3, 4, 2, 0.3, 0.25]
        self.weights = [weight * self.dice.choice([0.5, 1, 1, 2]) for weight in weights]

    def play(self) -> None:
        for _ in range(STEPS):
            self.dice.choices(self.moves, self.weights)[0]()
            self.twin.compare()
        self.twin.end()

    def make(self) -> None:
        letters = self.twin.letters.model.state == "open" and self.dice.random() < 0.4
        self.twin.make(random_shape(self.dice, letters))

    def channel(self) -> int:
        channels = self.twin.channels
        usable = [i for i, pair in enumerate(channels) if pair.model.state != "destroyed"]
        return self.dice.choice(
            usable if usable and self.dice.random() < 0.97 else range(len(channels))
        )

    def patience(self) -> int | None:
        return self.dice.choice([None, None, None, None, -1, 1, 2, 5, 0])

    def owner(self) -> int:
        return self.dice.choice(list(self.twin.scopes))

    def send(self) -> None:
        size = self.dice.choice([4, 4, 4, 8, 12])
        confirm = self.dice.random() < 0.3
        ttl = self.dice.choice([None, None, 1, 2, 4])
        self.twin.send(self.channel(), self.owner(), size, self.patience(), confirm, ttl)

    def receive(self) -> None:
        self.twin.receive(self.channel(), self.owner(), self.patience(), False, False)

    def hold(self) -> None:
        ack = self.dice.random() < 0.5
        self.twin.receive(self.channel(), self.owner(), self.patience(), True, ack)

    def select(self) -> None:
        arms = [
            ArmChoice(self.channel(), self.dice.random() < 0.5, False, self.dice.random() < 0.4)
            for _ in range(self.dice.randint(1, 4))
        ]
        self.twin.select(arms, self.owner(), self.patience(), self.dice.random() < 0.5)

    def take(self) -> None:
        for _ in range(self.dice.randint(1, 3)):
            self.twin.take()

    def cancel(self) -> None:
        users = list(self.twin.model.parked) or list(self.twin.tokens)
        if users:
            self.twin.cancel(self.dice.choice(users))

    def settle(self) -> None:
        users = list(self.twin.model.holding) or list(self.twin.tokens)
        if users:
            user = self.dice.choice(users)
            verb = self.dice.choice(["ack", "ack", "nack", "nack", "return"])
            self.twin.settle(user, self.twin.owners[user], verb)

    def tick(self) -> None:
        self.twin.tick(self.dice.randint(0, 3))

    def scope(self) -> None:
        scope = self.owner()
        end = scope != 1 and self.dice.random() < 0.5
        self.twin.clear(scope, self.dice.choice(["cancel", "dead"]), end)
        while len(self.twin.scopes) < 3:
            self.twin.begin(self.dice.choice([0, 1]))

    def end(self) -> None:
        channel = self.channel()
        how = self.dice.choice(["close", "purge", "destroyed", "shutdown"])
        if how == "close":
            self.twin.close(channel)
        elif how == "purge":
            self.twin.purge(channel)
        else:
            self.twin.destroy(channel, how)
        if len(self.twin.channels) < 12:
            self.make()


def replay(seed: int) -> None:
    Game(seed).play()


def test_random_calls_get_the_models_answers() -> None:
    first = random.randrange(1 << 40)
    for seed in range(first, first + GAMES):
        try:
            replay(seed)
        except AssertionError as error:
            error.add_note(f"seed {seed}: replay({seed})")
            raise
