"""What a system of channels does, one call after another: the contract (4.1 to 4.18) as a program.

It is not an implementation: no lock, no limit of memory, lists where the engine has records. Tests
drive it beside the engine and compare each answer, each result at the port and each counter.

Where the contract leaves an order open, this says which one is meant: channels that one step
touched come to rest in the order in which they were touched, dead letters move after that, and a
select that ends for no channel's sake is counted at the channel of its first arm.

One file, because it is read as one: who doubts an answer finds the whole contract here.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from kcoro_ipc._wire import (
    KC_EAGAIN,
    KC_EBUSY,
    KC_ECANCELED,
    KC_EINPROGRESS,
    KC_EINVAL,
    KC_EMSGSIZE,
    KC_ENOENT,
    KC_EPIPE,
    KC_ETIME,
    KC_OK,
)

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


class Model:
    def __init__(self) -> None:
        self.now = 0
        self.parked: dict[int, Waiter] = {}  # by user, oldest first; taken ones included
        self.holding: dict[int, Waiter] = {}
        self.port: list[Waiter] = []
        self.channels: list[Channel] = []
        self.parents: dict[int, int] = {}  # scope -> parent, 0 for a root
        self.touched: deque[Channel] = deque()
        self.letters: deque[tuple[Channel, Message, str]] = deque()

    # --- send, receive, select (4.1 to 4.6) ---

    def operate(self, op: Operation, arms: list[Arm], prefer: int = 0) -> Outcome:
        """`prefer`: the arm an unbiased select would rather take, if several could be."""
        for i, arm in enumerate(arms):
            if code := self._refusal(op, arm):
                return Outcome(op.user, code, i)
        order = sorted(range(len(arms)), key=lambda i: (i != prefer, i))
        for i in order:
            if self._can_run(arms[i]):
                return self._settled(self._run(op, arms, i))
        for i in order:
            if code := self._dead_end(op, arms[i]):
                return Outcome(op.user, code, i, reason=arms[i].channel.reason)
        if op.patience <= self.now:
            return Outcome(op.user, KC_EAGAIN if op.patience < 0 else KC_ETIME)
        waiter = self.parked[op.user] = Waiter(op, arms)
        for arm in arms:
            (arm.channel.senders if arm.message else arm.channel.receivers).append(waiter)
        return Outcome(op.user, PARKED)

    def _refusal(self, op: Operation, arm: Arm) -> int:
        if arm.channel.kind == "conflated" and (op.confirm if arm.message else arm.ack):
            return KC_EINVAL
        if arm.message is None:
            return KC_EINVAL if arm.channel.ack_required and not arm.ack else KC_OK
        return KC_EMSGSIZE if len(arm.message.value) > arm.channel.elem_size else KC_OK

    def _can_run(self, arm: Arm) -> bool:
        channel = arm.channel
        meets = channel.kind == "rendezvous"
        if arm.message is None:
            return bool(channel.ready or (meets and channel.senders))
        if channel.state != "open" or channel.overflow != "suspend":
            return channel.state == "open"
        if meets:
            return bool(channel.receivers)
        return not channel.senders and channel.room(len(arm.message.value))

    def _dead_end(self, op: Operation, arm: Arm) -> int:
        channel = arm.channel
        if channel.state == "destroyed":
            return KC_ECANCELED
        others = [w for w in channel.held if w.op.scope != op.scope or (w.arm and w.arm.ack)]
        drained = channel.state == "closing" and not (channel.ready or channel.senders or others)
        return KC_EPIPE if (channel.state == "closing" if arm.message else drained) else KC_OK

    def _run(self, op: Operation, arms: list[Arm], i: int) -> Outcome:
        arm, channel = arms[i], arms[i].channel
        if arm.message:
            return self._run_send(op, arm, i)
        message = channel.ready.pop(0) if channel.ready else self._claim(channel)
        waiter = Waiter(op, arms)
        self._hold(waiter, arm, message)
        if not arm.hold:
            del self.holding[op.user]
            self._done(waiter)
        return Outcome(op.user, KC_OK, i, message.value, message.attempts, arm.hold)

    def _run_send(self, op: Operation, arm: Arm, i: int) -> Outcome:
        channel, message = arm.channel, arm.message
        assert message
        if channel.overflow == "drop_newest" and not channel.room(len(message.value)):
            channel.count.update(sent=1, drops_newest=1)
            return Outcome(op.user, KC_OK, i, dropped=True)
        if op.confirm:
            message.sender = Waiter(op, [arm], message, channel)
            self.parked[op.user] = message.sender
        if channel.kind == "rendezvous":
            self._deliver(channel, message)
        else:
            self._put(channel, message)
        if not op.confirm:
            return Outcome(op.user, KC_OK, i)
        if op.patience < 0:
            self._unconfirmed(self.parked.pop(op.user))
            return Outcome(op.user, KC_EINPROGRESS, reason="timeout")
        return Outcome(op.user, PARKED)

    # --- moves ---

    def _touch(self, channel: Channel) -> None:
        if channel not in self.touched:
            self.touched.append(channel)

    def _accept(self, channel: Channel, message: Message) -> None:
        if message.place == 0:
            channel.places += 1
            message.place = channel.places
            channel.count["sent"] += 1

    def _put(self, channel: Channel, message: Message) -> None:
        self._accept(channel, message)
        channel.ready.append(message)
        if channel.kind == "conflated":
            for older in channel.ready[:-1]:
                self._lose(channel, older, "evicted")
        while channel.overflow == "drop_oldest" and channel.over(0, 0):
            oldest = next(m for m in channel.ready if not m.back)
            if oldest is message:
                break
            self._lose(channel, oldest, "evicted")
        self._touch(channel)

    def _hold(self, waiter: Waiter, arm: Arm, message: Message) -> None:
        waiter.arm, waiter.message, waiter.channel = arm, message, arm.channel
        self._accept(arm.channel, message)
        arm.channel.count["redelivered"] += message.attempts > 0
        arm.channel.held.append(waiter)
        self.holding[waiter.op.user] = waiter
        self._touch(arm.channel)

    def _deliver(self, channel: Channel, message: Message) -> None:
        """To the receiver that has waited longest."""
        waiter = channel.receivers[0]
        arm = next(a for a in waiter.arms if a.channel is channel and not a.message)
        self._leave(waiter)
        channel.count["matched"] += 1
        self._hold(waiter, arm, message)
        self._decide(waiter, KC_OK, waiter.arms.index(arm))

    def _claim(self, channel: Channel) -> Message:
        """The message of the sender that has waited longest; that sender is accepted."""
        waiter = channel.senders[0]
        arm = next(a for a in waiter.arms if a.channel is channel and a.message)
        assert arm.message
        self._leave(waiter)
        channel.count["matched"] += 1
        if waiter.op.confirm:
            arm.message.sender = waiter
            waiter.message, waiter.channel = arm.message, channel
            self.parked[waiter.op.user] = waiter
        else:
            self._decide(waiter, KC_OK, waiter.arms.index(arm))
        return arm.message

    def _leave(self, waiter: Waiter) -> None:
        del self.parked[waiter.op.user]
        for arm in waiter.arms:
            (arm.channel.senders if arm.message else arm.channel.receivers).remove(waiter)
            self._touch(arm.channel)

    def _decide(self, waiter: Waiter, code: int, arm: int = 0, reason: str = "") -> None:
        waiter.outcome = Outcome(waiter.op.user, code, arm, reason=reason)
        self.port.append(waiter)

    def _tell_sender(self, message: Message, code: int, reason: str = "") -> None:
        if message.sender:
            del self.parked[message.sender.op.user]
            self._decide(message.sender, code, reason=reason)
            message.sender = None

    def _unconfirmed(self, waiter: Waiter) -> None:
        assert waiter.message and waiter.channel
        waiter.message.sender = None
        waiter.channel.count["unconfirmed"] += 1

    def _done(self, waiter: Waiter) -> None:
        assert waiter.message and waiter.channel
        waiter.channel.held.remove(waiter)
        waiter.channel.count["received"] += 1
        self._tell_sender(waiter.message, KC_OK)
        self._touch(waiter.channel)

    def _lose(self, channel: Channel, message: Message, how: str) -> None:
        """READY or no longer held -> its end (4.9, 4.10)."""
        if message in channel.ready:
            channel.ready.remove(message)
        named = channel.undelivered == "dead_letter" or how == "attempts"
        channel.count["drops_oldest" if how == "evicted" else "undelivered"] += 1
        channel.count["expired"] += how == "expired"
        if channel.dead_letter is not None and named:
            self.letters.append((channel, message, how))
        else:
            self._tell_sender(message, KC_ECANCELED, how)
            channel.count["undelivered_dropped"] += how != "evicted"
        self._touch(channel)

    def _give_back(self, waiter: Waiter, unseen: bool = False) -> None:
        """`unseen`: its holder never looked at it, so no attempt is counted, no policy asked."""
        message, channel = waiter.message, waiter.channel
        assert message and channel and waiter.arm
        channel.held.remove(waiter)
        stale = channel.kind == "conflated" and message.place != channel.places
        expired = message.expires <= self.now
        keeps = waiter.arm.ack or channel.undelivered in ("kind", "requeue")
        attempts = min(message.attempts + 1, 63)
        if unseen and not (stale or expired) and channel.state != "destroyed":
            self._requeue(channel, message)
        elif channel.state == "destroyed":
            self._lose(channel, message, channel.reason)
        elif expired:
            self._lose(channel, message, "expired")
        elif not keeps or stale:
            self._lose(channel, message, "undelivered")
        elif channel.max_attempts and attempts >= channel.max_attempts:
            self._lose(channel, message, "attempts")
        else:
            message.attempts = attempts
            channel.count["undelivered_requeued"] += 1
            self._requeue(channel, message)

    def _requeue(self, channel: Channel, message: Message) -> None:
        message.back = True
        channel.ready.append(message)
        channel.ready.sort(key=lambda m: m.place)
        self._touch(channel)

    # --- rest ---

    def _settled(self, outcome: Outcome) -> Outcome:
        while self.touched or self.letters:
            while self.touched:
                self._rest(self.touched.popleft())
            while self.letters:
                self._move_letter(*self.letters.popleft())
        return outcome

    def _rest(self, channel: Channel) -> None:
        while channel.ready and channel.receivers:
            self._deliver(channel, channel.ready.pop(0))
        while channel.senders and channel.room(self._first_size(channel)):
            self._put(channel, self._claim(channel))
            while channel.ready and channel.receivers:
                self._deliver(channel, channel.ready.pop(0))
        while channel.spent and channel.receivers:
            self._end(channel, channel.receivers[0], "closed", KC_EPIPE)

    @staticmethod
    def _first_size(channel: Channel) -> int:
        sends = (a.message for a in channel.senders[0].arms if a.channel is channel and a.message)
        return len(next(sends).value)

    def _move_letter(self, channel: Channel, message: Message, how: str) -> None:
        to = channel.dead_letter
        moves = to is not None and to.state == "open" and to.room(len(message.value))
        end = "undelivered_dead_lettered" if moves else "undelivered_dropped"
        channel.count[end] += how != "evicted"
        self._tell_sender(message, KC_ECANCELED, "dead_lettered" if moves else "undelivered")
        if moves and to:
            self._put(to, Message(message.value))

    def _end(self, channel: Channel, waiter: Waiter, how: str, code: int, reason: str = "") -> None:
        """The channel's end is the waiter's."""
        arm = next(i for i, a in enumerate(waiter.arms) if a.channel is channel)
        self._leave(waiter)
        channel.count[how] += 1
        self._decide(waiter, code, arm, reason)

    # --- what owners, holders and the clock do (4.7 to 4.10) ---

    def take(self, user: int = 0) -> Outcome | None:
        """The oldest result at the port, or that of `user`; a plain receive is done by it."""
        waiter = next((w for w in self.port if user in (0, w.op.user)), None)
        if waiter is None:
            return None
        self.port.remove(waiter)
        outcome = waiter.outcome
        assert outcome
        if waiter.arm and waiter.message and outcome.code == KC_OK:
            message = waiter.message
            outcome = outcome._replace(
                value=message.value, attempts=message.attempts, held=waiter.arm.hold
            )
            if not waiter.arm.hold:
                del self.holding[waiter.op.user]
                self._done(waiter)
        return self._settled(outcome)

    def cancel(self, user: int, reason: str = "cancel") -> int:
        waiter = self.parked.get(user)
        if waiter is None:
            known = user in self.holding or any(w.op.user == user for w in self.port)
            return KC_EBUSY if known else KC_ENOENT
        if waiter.message:
            self._unconfirmed(self.parked.pop(user))
            code = KC_EINPROGRESS
        else:
            self._leave(waiter)
            waiter.arms[0].channel.count[reason] += 1
            code = KC_OK
        self._settled(Outcome(user, code))
        return code

    def tick(self, now: int) -> None:
        self.now = max(self.now, now)
        for _, waiter, channel, message in sorted(self._dues(), key=lambda entry: entry[0]):
            if waiter and waiter.op.user in self.parked:  # its message may have ended it
                code = self._expire(waiter)
                self._decide(waiter, code, reason="timeout")
            elif channel and message:
                self._lose(channel, message, "expired")
        self._settled(Outcome(0, KC_OK))

    def _dues(self) -> Iterator[tuple[int, Waiter | None, Channel | None, Message | None]]:
        """Waiters, and messages that wait, whose time has come."""
        for waiter in self.parked.values():
            if waiter.due <= self.now:
                yield waiter.due, waiter, None, None
        for channel in self.channels:
            for message in channel.ready:
                if message.expires <= self.now:
                    yield message.expires, None, channel, message

    def next_due(self) -> int:
        waiting = [message.expires for channel in self.channels for message in channel.ready]
        return min([*waiting, *(waiter.due for waiter in self.parked.values())], default=NEVER)

    def _expire(self, waiter: Waiter) -> int:
        if waiter.message:
            self._unconfirmed(self.parked.pop(waiter.op.user))
            return KC_EINPROGRESS
        self._leave(waiter)
        waiter.arms[0].channel.count["timeout"] += 1
        return KC_ETIME

    def settle(self, scope: int, user: int, verb: str) -> int:
        """`verb`: ack, nack, or return (unseen)."""
        waiter = self.holding.get(user)
        if waiter is None or waiter in self.port or waiter.op.scope != scope:
            return KC_ENOENT
        assert waiter.channel and waiter.arm
        del self.holding[user]
        if waiter.arm.ack and verb != "return":
            waiter.channel.count["acks" if verb == "ack" else "nacks"] += 1
        if verb == "ack":
            self._done(waiter)
        else:
            self._give_back(waiter, unseen=verb == "return")
        self._settled(Outcome(user, KC_OK))
        return KC_OK

    def begin(self, scope: int, parent: int = 0) -> None:
        self.parents[scope] = parent

    def clear(self, scope: int, reason: str, end: bool = False) -> None:
        """Scope and those below it: first all waiters go, then held messages come back."""
        tree = self._tree(scope)
        for one in tree:
            for waiter in [w for w in self.parked.values() if w.op.scope == one]:
                self._drop_waiter(waiter, reason)
            decided = [w for w in self.port if w.op.scope == one and w.op.user not in self.holding]
            self.port = [w for w in self.port if w not in decided]
        for one in tree:
            for waiter in [w for w in self.holding.values() if w.op.scope == one]:
                del self.holding[waiter.op.user]
                self.port = [w for w in self.port if w is not waiter]
                self._give_back(waiter)
        for one in tree if end else ():
            del self.parents[one]
        self._settled(Outcome(0, KC_OK))

    def _tree(self, scope: int) -> list[int]:
        children = [one for one, parent in self.parents.items() if parent == scope]
        return [scope, *(below for child in reversed(children) for below in self._tree(child))]

    def _drop_waiter(self, waiter: Waiter, reason: str) -> None:
        if waiter.message:
            self._unconfirmed(self.parked.pop(waiter.op.user))
        else:
            self._leave(waiter)
            waiter.arms[0].channel.count[reason] += 1

    # --- ends of channels (4.5) ---

    def close(self, channel: Channel) -> int:
        if channel.state == "destroyed":
            return KC_ECANCELED
        channel.state = "closing"
        self._touch(channel)
        self._settled(Outcome(0, KC_OK))
        return KC_OK

    def destroy(self, channel: Channel, reason: str) -> None:
        if channel.state != "destroyed":
            channel.state, channel.reason = "destroyed", reason
            while channel.receivers or channel.senders:
                waiter = (channel.receivers or channel.senders)[0]
                self._end(channel, waiter, "destroyed", KC_ECANCELED, reason)
            for message in list(channel.ready):
                self._lose(channel, message, channel.reason)
            self._settled(Outcome(0, KC_OK))

    def purge(self, channel: Channel) -> int:
        waiting = list(channel.ready)
        for message in waiting:
            self._lose(channel, message, "purged")
        self._settled(Outcome(0, KC_OK))
        return len(waiting)
