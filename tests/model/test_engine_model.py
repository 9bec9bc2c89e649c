"""hypothesis drives the engine and the model together; after each step all that can be seen is
compared, and the engine checks its own invariants.

KCORO_LONG=1 (make check-long) runs many more examples. A failure prints the steps as a program.
"""

import os

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

pytest.importorskip("kcoro_ipc._kcoro", reason="the native module is not built: make build")
from twin import ArmChoice, Shape, Twin

LONG = bool(os.environ.get("KCORO_LONG"))

bounded = st.sampled_from([0, 0, 12])
attempts = st.sampled_from([0, 0, 1, 3])
shapes = st.one_of(
    st.builds(
        Shape,
        undelivered=st.sampled_from(["kind", "drop"]),
        max_attempts=attempts,
    ),
    st.builds(
        Shape,
        kind=st.just("buffered"),
        capacity=st.integers(1, 3),
        overflow=st.sampled_from(["suspend", "suspend", "drop_newest", "drop_oldest"]),
        undelivered=st.sampled_from(["kind", "requeue", "drop"]),
        max_attempts=attempts,
        max_bytes=bounded,
    ),
    st.builds(
        Shape,
        kind=st.sampled_from(["rendezvous", "buffered", "buffered", "conflated"]),
        capacity=st.integers(1, 2),
        undelivered=st.just("dead_letter"),
        max_attempts=attempts,
        letters=st.just(True),
    ),
    st.builds(Shape, kind=st.just("conflated"), undelivered=st.sampled_from(["kind", "requeue"])),
    st.builds(Shape, kind=st.just("unlimited"), capacity=st.integers(1, 3), max_bytes=bounded),
    st.builds(Shape, kind=st.just("buffered"), capacity=st.just(1), ack_required=st.just(True)),
)
indices = st.integers(0, 63)
patiences = st.sampled_from([None, None, None, -1, 0, 1, 2, 5])
sizes = st.sampled_from([4, 4, 4, 4, 8, 8, 12, 64, 65])
choices = st.builds(ArmChoice, indices, st.booleans(), st.booleans(), st.booleans())


class EngineAgainstModel(RuleBasedStateMachine):
    """Rules for what happens often stand here more than once: the machine picks them evenly."""

    @initialize(first=st.lists(shapes, min_size=1, max_size=3))
    def set_up(self, first: list[Shape]) -> None:
        self.twin = Twin()
        for shape in first:
            self.twin.make(shape)

    def channel(self, index: int) -> int:
        """One of the channels, rather one that is open."""
        channels = self.twin.channels
        usable = [i for i, pair in enumerate(channels) if pair.model.state == "open"]
        return usable[index % len(usable)] if usable and index < 56 else index % len(channels)

    def scope(self, index: int) -> int:
        scopes = list(self.twin.scopes)
        return scopes[index % len(scopes)]

    @rule(channel=indices, scope=indices, size=sizes, patience=patiences)
    def send(self, channel: int, scope: int, size: int, patience: int | None) -> None:
        self.twin.send(self.channel(channel), self.scope(scope), size, patience, False)

    @rule(channel=indices, scope=indices, patience=patiences, ttl=st.integers(1, 5))
    def send_for_a_time(self, channel: int, scope: int, patience: int | None, ttl: int) -> None:
        self.twin.send(self.channel(channel), self.scope(scope), 4, patience, ttl == 3, ttl)

    @rule(channel=indices, scope=indices)
    def send_and_wait(self, channel: int, scope: int) -> None:
        self.twin.send(self.channel(channel), self.scope(scope), 4, None, False)

    @rule(channel=indices, scope=indices, size=sizes, patience=patiences)
    def send_confirmed(self, channel: int, scope: int, size: int, patience: int | None) -> None:
        self.twin.send(self.channel(channel), self.scope(scope), size, patience, True)

    @rule(channel=indices, scope=indices, patience=patiences)
    def receive(self, channel: int, scope: int, patience: int | None) -> None:
        self.twin.receive(self.channel(channel), self.scope(scope), patience, False, False)

    @rule(channel=indices, scope=indices)
    def receive_and_wait(self, channel: int, scope: int) -> None:
        self.twin.receive(self.channel(channel), self.scope(scope), None, False, False)

    @rule(channel=indices, scope=indices, patience=patiences, ack=st.booleans())
    def receive_and_hold(self, channel: int, scope: int, patience: int | None, ack: bool) -> None:
        self.twin.receive(self.channel(channel), self.scope(scope), patience, True, ack)

    @rule(
        arms=st.lists(choices, min_size=1, max_size=4),
        scope=indices,
        patience=patiences,
        biased=st.booleans(),
    )
    def select(self, arms: list[ArmChoice], scope: int, patience: int | None, biased: bool) -> None:
        arms = [ArmChoice(self.channel(a.channel), a.sends, a.ack, a.hold) for a in arms]
        self.twin.select(arms, self.scope(scope), patience, biased)

    @rule(arms=st.lists(choices, min_size=2, max_size=3), scope=indices)
    def select_and_wait(self, arms: list[ArmChoice], scope: int) -> None:
        self.select(arms, scope, None, True)

    @rule(times=st.integers(1, 3))
    @precondition(lambda self: self.twin.model.port)
    def take(self, times: int) -> None:
        for _ in range(times):
            self.twin.take()

    @rule(index=indices)
    @precondition(lambda self: self.twin.model.parked)
    def cancel(self, index: int) -> None:
        users = list(self.twin.model.parked)
        self.twin.cancel(users[index % len(users)])

    @rule(index=indices, verb=st.sampled_from(["ack", "nack", "nack", "return"]))
    @precondition(lambda self: self.twin.model.holding)
    def settle(self, index: int, verb: str) -> None:
        users = list(self.twin.model.holding)
        user = users[index % len(users)]
        self.twin.settle(user, self.twin.owners[user], verb)

    @rule(user=indices, scope=indices, verb=st.sampled_from(["cancel", "ack", "nack", "return"]))
    def try_any_ticket(self, user: int, scope: int, verb: str) -> None:
        """Of whatever operation, decided long ago or not."""
        late = max(self.twin.users - user % 16, 0)
        if verb == "cancel":
            self.twin.cancel(late)
        else:
            self.twin.settle(late, self.scope(scope), verb)

    @rule(steps=st.integers(0, 4))
    def tick(self, steps: int) -> None:
        self.twin.tick(steps)

    @rule(
        channel=indices,
        how=st.sampled_from(["close", "purge", "destroyed", "shutdown"]),
        shape=shapes,
        likely=st.integers(0, 2),
    )
    def end_channel(self, channel: int, how: str, shape: Shape, likely: int) -> None:
        chosen = self.channel(channel)
        if likely != 0:
            self.twin.tick(0)
        elif how == "close":
            self.twin.close(chosen)
        elif how == "purge":
            self.twin.purge(chosen)
        else:
            self.twin.destroy(chosen, how)
        if len(self.twin.channels) < 8 and likely == 0:
            self.twin.make(shape if self.twin.letters.model.state == "open" else Shape())

    @rule(scope=indices, root=st.booleans(), reason=st.sampled_from(["cancel", "dead"]))
    def begin_or_end_scope(self, scope: int, root: bool, reason: str) -> None:
        chosen = self.scope(scope)
        if len(self.twin.scopes) < 4:
            self.twin.begin(0 if root else chosen)
        else:
            self.twin.clear(chosen, reason, end=chosen != 1)

    @invariant()
    def the_engine_is_what_the_model_is(self) -> None:
        if hasattr(self, "twin"):
            self.twin.compare()

    def teardown(self) -> None:
        if hasattr(self, "twin"):
            self.twin.end()


TestEngineAgainstModel = EngineAgainstModel.TestCase
TestEngineAgainstModel.settings = settings(
    settings.get_profile("long" if LONG else "ci"),
    max_examples=50_000 if LONG else 800,
    stateful_step_count=50,
)
