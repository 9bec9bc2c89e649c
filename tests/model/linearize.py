"""Is there an order of these calls in which the model gives every answer that was seen?

A history is a list of calls with the moments just before and just after each (any clock that agrees
with real time). The search is that of Wing and Gong (1993) with Lowe's memory of dead ends (2017):
take any call that no other unplaced call precedes, ask the model, go on if it answers the same,
else try the next. A parked operation and the taking of its result are two calls, so an operation
that waits is judged as request and follow-up (Scherer and Scott, 2004).

The model is copied (pickled) only where more than one call could be next.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from model import Model
from records import NEVER, Arm, Channel, Message, Operation


class Call(NamedTuple):
    thread: int
    before: int
    after: int
    name: str
    user: int
    code: int
    value: int


@dataclass
class World:
    """The model and its one channel, pickled together so that both stay the same objects."""

    model: Model
    channel: Channel

    def answers(self, call: Call) -> bool:
        """Makes the call; is its answer the one that was seen?"""
        if call.name == "take":
            taken = self.model.take(call.user)
            if taken is None or taken.user != call.user:
                return False
            return (taken.code, number(taken.value)) == (call.code, call.value)
        if call.name == "cancel":
            return self.model.cancel(call.user) == call.code
        if call.name == "close":
            return self.model.close(self.channel) == call.code
        operation = Operation(call.user, call.thread, -1 if call.name.startswith("try") else NEVER)
        sends = call.name.endswith("send")
        message = Message(call.user.to_bytes(4, "little")) if sends else None
        outcome = self.model.operate(operation, [Arm(self.channel, message)])
        return (outcome.code, number(outcome.value)) == (call.code, call.value)


def number(value: bytes | None) -> int:
    return int.from_bytes(value or b"", "little")


def world(kind: str, capacity: int) -> World:
    return World(Model(), Channel(kind, capacity))


Places = tuple[int, ...]  # how many calls of each thread are placed


@dataclass
class Choice:
    """A place where several calls could be next: the state before it, the threads not yet tried."""

    places: Places
    count: int
    state: bytes
    rest: list[int]


def order_of(history: list[Call], start: Callable[[], World]) -> list[Call] | None:
    """The calls in an order that the model agrees with, or None when there is none."""
    by_thread: dict[int, list[Call]] = {}
    for call in sorted(history, key=lambda call: call.before):
        by_thread.setdefault(call.thread, []).append(call)
    return Search(list(by_thread.values()), start()).run()


class Search:
    def __init__(self, threads: list[list[Call]], world: World) -> None:
        self.threads = threads
        self.world = world
        self.places: Places = (0,) * len(threads)
        self.order: list[Call] = []
        self.choices: list[Choice] = []
        self.dead: set[tuple[Places, bytes]] = set()

    def run(self) -> list[Call] | None:
        total = sum(map(len, self.threads))
        while len(self.order) < total:
            candidates = self._candidates()
            if len(candidates) > 1:
                candidates = self._choose(candidates)
            if not (candidates and self._place(candidates[0])) and not self._go_back():
                return None
        return self.order

    def _candidates(self) -> list[int]:
        """Threads whose next call began before every other's next one ended; soonest over first."""
        following = [
            (thread[place].after, i, thread[place].before)
            for i, (thread, place) in enumerate(zip(self.threads, self.places, strict=True))
            if place < len(thread)
        ]
        first_end = min(following)[0]
        return [i for _, i, before in sorted(following) if before <= first_end]

    def _choose(self, candidates: list[int]) -> list[int]:
        state = pickle.dumps(self.world, -1)
        if (self.places, state) in self.dead:
            return []
        self.choices.append(Choice(self.places, len(self.order), state, candidates[1:]))
        return candidates

    def _place(self, i: int) -> bool:
        call = self.threads[i][self.places[i]]
        if not self.world.answers(call):
            return False
        self.order.append(call)
        self.places = (*self.places[:i], self.places[i] + 1, *self.places[i + 1 :])
        return True

    def _go_back(self) -> bool:
        """To the last choice with something left to try, and tries it; False: there is none."""
        while self.choices:
            choice = self.choices[-1]
            if not choice.rest:
                self.dead.add((choice.places, choice.state))
                self.choices.pop()
                continue
            self.world = pickle.loads(choice.state)
            self.places = choice.places
            del self.order[choice.count :]
            if self._place(choice.rest.pop(0)):
                return True
        return False


def read_histories(text: str) -> Iterator[list[Call]]:
    """The output of record_histories."""
    for block in text.split("\n\n"):
        calls = []
        for line in block.splitlines():
            thread, before, after, name, user, code, value = line.split()
            calls.append(
                Call(int(thread), int(before), int(after), name, int(user), int(code), int(value))
            )
        if calls:
            yield calls
