"""What the model is made of: messages, channels, operations and who waits."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

PARKED = 1
NEVER = (1 << 63) - 1


class Outcome(NamedTuple):
    """What became of the operation `user`; of a decided one also which arm decided."""

    user: int
    code: int
    arm: int = 0
    value: bytes | None = None
    attempts: int = 0
    held: bool = False
    dropped: bool = False
    reason: str = ""


@dataclass(eq=False)
class Message:
    value: bytes
    place: int = 0  # its order in the channel, given when it was accepted
    attempts: int = 0
    back: bool = False  # it came back: stands in front and needs no room
    sender: Waiter | None = None  # waits for the end of this message
    expires: int = NEVER


@dataclass(eq=False)
class Channel:
    kind: str = "rendezvous"
    capacity: int = 0
    overflow: str = "suspend"
    undelivered: str = "kind"
    max_attempts: int = 0
    max_bytes: int = 64 << 20
    elem_size: int = 16 << 20
    ack_required: bool = False
    dead_letter: Channel | None = None
    state: str = "open"  # open, closing, destroyed
    reason: str = ""
    ready: list[Message] = field(default_factory=list)
    held: list[Waiter] = field(default_factory=list)
    receivers: list[Waiter] = field(default_factory=list)
    senders: list[Waiter] = field(default_factory=list)
    places: int = 0
    count: Counter[str] = field(default_factory=Counter)

    @property
    def bytes(self) -> int:
        held = (waiter.message for waiter in self.held if waiter.message)
        return sum(len(message.value) for message in (*self.ready, *held))

    def over(self, size: int, more: int) -> bool:
        """Would `more` messages of `size` bytes in all be more than it may keep?"""
        kept = sum(not message.back for message in self.ready)
        return kept + more > self.capacity or self.bytes + size > self.max_bytes

    def room(self, size: int) -> bool:
        if self.kind in ("rendezvous", "conflated"):
            return self.kind == "conflated"
        full = sum(not message.back for message in self.ready) >= self.capacity
        return not full and (not (self.ready or self.held) or not self.over(size, 1))

    @property
    def spent(self) -> bool:
        """Closed, and nothing is left that a receiver could still get."""
        return self.state == "closing" and not (self.ready or self.senders or self.held)


@dataclass(eq=False)
class Arm:
    channel: Channel
    message: Message | None = None  # of a send
    hold: bool = False
    ack: bool = False


@dataclass(eq=False)
class Operation:
    user: int
    scope: int = 0
    patience: int = NEVER  # a deadline; -1: a try
    confirm: bool = False


@dataclass(eq=False)
class Waiter:
    """An operation that waits (parked, or taken: until an ack), holds, or is decided."""

    op: Operation
    arms: list[Arm]
    message: Message | None = None  # taken or held
    channel: Channel | None = None  # where that message is
    arm: Arm | None = None  # of a receive: the one that won
    outcome: Outcome | None = None

    @property
    def due(self) -> int:
        """When its wait ends: also with the time of the message it offers, not of one that went."""
        offered = self.arms[0].message if self.message is None else None
        patience = NEVER if self.op.patience < 0 else self.op.patience
        return min(patience, offered.expires if offered else NEVER)
