"""What a system of channels does, one call after another: the contract (4.1 to 4.18) as a program.

It is not an implementation: no lock, no limit of memory, lists where the engine has records. Tests
drive it beside the engine and compare each answer, each result at the port and each counter.

Where the contract leaves an order open, this says which one is meant: channels that one step
touched come to rest in the order in which they were touched, dead letters move after that, and a
select that ends for no channel's sake is counted at the channel of its first arm.

What it is made of stands in records.py, how things move in moves.py.
"""

from __future__ import annotations

from collections.abc import Iterator

from moves import Moves
from records import NEVER, PARKED, Arm, Channel, Message, Operation, Outcome, Waiter

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


class Model(Moves):
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
