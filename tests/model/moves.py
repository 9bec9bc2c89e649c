"""How the model moves messages and waiters, and how channels come to rest after a step.

What may be asked of it is in model.py.
"""

from __future__ import annotations

from collections import deque

from records import Arm, Channel, Message, Outcome, Waiter

from kcoro_ipc._wire import (
    KC_ECANCELED,
    KC_EPIPE,
    KC_OK,
)


class Moves:
    def __init__(self) -> None:
        self.now = 0
        self.parked: dict[int, Waiter] = {}  # by user, oldest first; taken ones included
        self.holding: dict[int, Waiter] = {}
        self.port: list[Waiter] = []
        self.channels: list[Channel] = []
        self.parents: dict[int, int] = {}  # scope -> parent, 0 for a root
        self.touched: deque[Channel] = deque()
        self.letters: deque[tuple[Channel, Message, str]] = deque()

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
