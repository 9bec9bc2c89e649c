"""The engine and the model side by side: one call goes to both, and every answer is compared.

`Twin` is what hypothesis's machine and any other driver of random operations use. It holds one
engine (a small one, with one port and a manual clock) and one model, and knows which token belongs
to which operation. `compare` looks at everything that can be seen without changing it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from model import Model
from records import NEVER, Arm, Channel, Message, Operation, Outcome

from kcoro_ipc import _wire, structs
from kcoro_ipc.native import NativeEngine
from kcoro_ipc.structs import ChannelConfig, Clause, Result

KINDS = {
    "rendezvous": _wire.KIND_RENDEZVOUS,
    "buffered": _wire.KIND_BUFFERED,
    "conflated": _wire.KIND_CONFLATED,
    "unlimited": _wire.KIND_UNLIMITED,
}
OVERFLOWS = {"suspend": 0, "drop_newest": 1, "drop_oldest": 2}
POLICIES = {"kind": 0, "requeue": 1, "drop": 2, "dead_letter": 3}
REASONS = {
    "cancel": structs.REASON_CANCEL,
    "timeout": structs.REASON_TIMEOUT,
    "dead": structs.REASON_DEAD,
    "destroyed": structs.REASON_DESTROYED,
    "shutdown": structs.REASON_SHUTDOWN,
    "evicted": structs.lib.KC_REASON_EVICTED,
    "dead_lettered": structs.lib.KC_REASON_DEAD_LETTERED,
    "attempts": structs.lib.KC_REASON_ATTEMPTS,
    "purged": structs.lib.KC_REASON_PURGED,
    "undelivered": structs.lib.KC_REASON_UNDELIVERED,
    "expired": structs.lib.KC_REASON_EXPIRED,
}
REASON_NAMES = {number: name for name, number in REASONS.items()}
REASON_NAMES[0] = ""
STEP_NS = 10_000  # of the manual clock

# Counters of the model by the engine's names for them.
COUNTERS = {
    "total_sends": "sent",
    "total_recvs": "received",
    "cancelled_cancel": "cancel",
    "cancelled_timeout": "timeout",
    "cancelled_dead": "dead",
    "cancelled_destroyed": "destroyed",
    "matched_waiters": "matched",
    "closed_waiters": "closed",
    "drops_oldest": "drops_oldest",
    "drops_newest": "drops_newest",
    "undelivered": "undelivered",
    "undelivered_requeued": "undelivered_requeued",
    "undelivered_dropped": "undelivered_dropped",
    "undelivered_dead_lettered": "undelivered_dead_lettered",
    "redelivered": "redelivered",
    "acks": "acks",
    "nacks": "nacks",
    "unconfirmed": "unconfirmed",
    "expired": "expired",
}


@dataclass
class Shape:
    """What a channel is made of; `letters`: it sends its dead letters to the twin's own channel."""

    kind: str = "rendezvous"
    capacity: int = 0
    overflow: str = "suspend"
    undelivered: str = "kind"
    max_attempts: int = 0
    max_bytes: int = 0
    ack_required: bool = False
    letters: bool = False


@dataclass
class ArmChoice:
    channel: int
    sends: bool
    ack: bool = False
    hold: bool = False


@dataclass
class Pair:
    """One channel in both worlds."""

    ticket: int
    model: Channel


@dataclass
class Twin:
    engine: NativeEngine = field(
        default_factory=lambda: NativeEngine(
            channels=64,
            tokens=512,
            clauses=512,
            messages=1024,
            scopes=64,
            accounts=4,
            ports=2,
            heap_bytes=8 << 20,
        )
    )
    model: Model = field(default_factory=Model)
    channels: list[Pair] = field(default_factory=list)
    scopes: dict[int, int] = field(default_factory=dict)  # the model's number -> ticket
    tokens: dict[int, int] = field(default_factory=dict)  # user -> ticket
    owners: dict[int, int] = field(default_factory=dict)  # user -> scope
    users: int = 0
    scopes_made: int = 0

    def __post_init__(self) -> None:
        self.port = self.engine.port_open()
        self.tick(1)
        self.begin(0)
        self.letters = self.make(Shape(kind="unlimited", capacity=4))

    # --- making and ending ---

    def make(self, shape: Shape) -> Pair:
        dead_letter = self.letters if shape.letters else None
        config = ChannelConfig(
            kind=KINDS[shape.kind],
            capacity=shape.capacity,
            max_items=shape.capacity if shape.kind == "unlimited" else 0,
            overflow=OVERFLOWS[shape.overflow],
            undelivered=POLICIES[shape.undelivered],
            max_attempts=shape.max_attempts,
            max_bytes=shape.max_bytes,
            elem_size=64,
            flags=structs.CHAN_ACK_REQUIRED if shape.ack_required else 0,
            dead_letter=dead_letter.ticket if dead_letter else 0,
        )
        channel = Channel(
            kind=shape.kind,
            capacity=shape.capacity,
            overflow=shape.overflow,
            undelivered=shape.undelivered,
            max_attempts=shape.max_attempts,
            max_bytes=shape.max_bytes or 64 << 20,
            elem_size=64,
            ack_required=shape.ack_required,
            dead_letter=dead_letter.model if dead_letter else None,
        )
        pair = Pair(self.engine.chan_make(config), channel)
        self.channels.append(pair)
        self.model.channels.append(channel)
        return pair

    def close(self, channel: int) -> None:
        pair = self.channels[channel]
        assert self.engine.chan_close(pair.ticket) == self.model.close(pair.model)

    def destroy(self, channel: int, reason: str) -> None:
        pair = self.channels[channel]
        assert self.engine.chan_destroy(pair.ticket, REASONS[reason], reason) == 0
        self.model.destroy(pair.model, reason)

    def purge(self, channel: int) -> None:
        pair = self.channels[channel]
        assert self.engine.chan_purge(pair.ticket) == self.model.purge(pair.model)

    def begin(self, parent: int) -> int:
        self.scopes_made += 1
        scope = self.scopes_made
        self.scopes[scope] = self.engine.scope_begin(parent=self.scopes.get(parent, 0))
        self.model.begin(scope, parent)
        return scope

    def clear(self, scope: int, reason: str, end: bool) -> None:
        call = self.engine.scope_end if end else self.engine.scope_clear
        assert call(self.scopes[scope], REASONS[reason]) == 0
        self.model.clear(scope, reason, end)
        for gone in set(self.scopes) - set(self.model.parents):
            del self.scopes[gone]

    # --- operations ---

    def operation(self, scope: int, patience: int | None, confirm: bool = False) -> Operation:
        """`patience`: None for ever, -1 a try, 0 a deadline in the past, else steps from now."""
        self.users += 1
        self.owners[self.users] = scope
        # No two waiters are due at the same instant: their order would be nobody's promise.
        offset = self.users % 1000 * 2
        now = self.model.now // STEP_NS * STEP_NS
        if patience is None or patience < 0:
            deadline = NEVER if patience is None else -1
        else:
            deadline = now + patience * STEP_NS + offset if patience else now - 1 - offset
        return Operation(self.users, scope, deadline, confirm)

    def native(self, op: Operation, flags: int = 0) -> structs.Operation:
        flags |= structs.OP_TRY if op.patience < 0 else 0
        flags |= structs.OP_CONFIRM if op.confirm else 0
        deadline = NEVER if op.patience < 0 else op.patience
        return structs.Operation(self.scopes[op.scope], op.user, deadline, self.port, flags)

    def value(self, user: int, arm: int, size: int) -> bytes:
        return (user * 100 + arm).to_bytes(4, "big").ljust(size, b".")

    def send(
        self,
        channel: int,
        scope: int,
        size: int,
        patience: int | None,
        confirm: bool,
        ttl: int | None = None,
    ) -> None:
        """`ttl` in steps; no two messages end at the same time."""
        pair = self.channels[channel]
        op = self.operation(scope, patience, confirm)
        data = self.value(op.user, 0, size)
        message = Message(data)
        asked = self.native(op)
        if ttl is not None:
            message.expires = self.model.now + ttl * STEP_NS + op.user % 1000 * 2 + 1
            asked = asked._replace(expires_ns=message.expires)
        result = self.engine.chan_send(pair.ticket, asked, data)
        self.same(op, result, self.model.operate(op, [Arm(pair.model, message)]))

    def receive(
        self, channel: int, scope: int, patience: int | None, hold: bool, ack: bool
    ) -> None:
        pair = self.channels[channel]
        op = self.operation(scope, patience)
        flags = (structs.OP_HOLD if hold else 0) | (structs.OP_ACK if ack else 0)
        result = self.engine.chan_recv(pair.ticket, self.native(op, flags))
        arm = Arm(pair.model, hold=hold or ack, ack=ack)
        self.same(op, result, self.model.operate(op, [arm]))

    def select(
        self, choices: list[ArmChoice], scope: int, patience: int | None, biased: bool
    ) -> None:
        op = self.operation(scope, patience)
        clauses, arms = [], []
        for i, choice in enumerate(choices):
            pair = self.channels[choice.channel]
            data = self.value(op.user, i, 4)
            flags = (structs.OP_HOLD if choice.hold else 0) | (structs.OP_ACK if choice.ack else 0)
            if choice.sends:
                clauses.append(Clause(pair.ticket, structs.CLAUSE_SEND, 0, data))
                arms.append(Arm(pair.model, Message(data)))
            else:
                clauses.append(Clause(pair.ticket, structs.CLAUSE_RECV, flags))
                arms.append(Arm(pair.model, hold=choice.hold or choice.ack, ack=choice.ack))
        # Of two clauses that wait at one side of a channel dice say which is first; the order
        # given can be foretold.
        biased = biased or len({(c.channel, c.sends) for c in choices}) < len(choices)
        result = self.engine.select(clauses, self.native(op, structs.OP_BIASED if biased else 0))
        prefer = 0 if biased else result.clause  # which of several is fairness, not meaning
        self.same(op, result, self.model.operate(op, arms, prefer))

    def same(self, op: Operation, result: Result, expected: Outcome) -> None:
        if result.token:
            self.tokens[op.user] = result.token
        assert self.outcome(result) == expected

    def outcome(self, result: Result) -> Outcome:
        held = bool(result.flags & structs.RESULT_HELD)
        value = None
        if result.flags & structs.RESULT_MESSAGE:
            take = self.engine.body_read if held else self.engine.body_take
            value = take(result.body)
        assert bool(result.flags & structs.RESULT_REDELIVERED) == (result.attempts > 0)
        return Outcome(
            int(result.user),
            int(result.code),
            int(result.clause),
            value,
            int(result.attempts),
            held,
            bool(result.flags & structs.RESULT_DROPPED),
            REASON_NAMES[result.reason],
        )

    # --- owners, holders, the clock ---

    def take(self) -> None:
        results = self.engine.port_take(self.port, 1)
        expected = self.model.take()
        if expected is None:
            assert len(results) == 0
        else:
            assert [self.outcome(result) for result in results] == [expected]
            if expected.held:
                self.tokens[expected.user] = results[0].token

    def cancel(self, user: int) -> None:
        if user in self.tokens:
            assert self.engine.token_cancel(self.tokens[user]) == self.model.cancel(user)

    def settle(self, user: int, scope: int, verb: str) -> None:
        if user in self.tokens:
            call = getattr(structs.lib, f"kc_waiter_token_{verb}")
            code = call(self.engine.handle, self.scopes.get(scope, 0), self.tokens[user])
            assert code == self.model.settle(scope, user, verb)

    def tick(self, steps: int) -> None:
        now = self.model.now + steps * STEP_NS
        self.engine.tick(now)
        self.model.tick(now)

    # --- looking ---

    def compare(self) -> None:
        assert self.engine.check() == ""
        usage = self.engine.usage()
        assert usage["parked"] == len(self.model.parked)
        assert usage["held"] == len(self.model.holding)
        assert self.engine.port_depth(self.port) == len(self.model.port)
        assert self.engine.next_deadline() == self.model.next_due()
        for pair in self.channels:
            self.compare_channel(pair.ticket, pair.model)

    def compare_channel(self, ticket: int, channel: Channel) -> None:
        numbers = self.engine.chan_stats(ticket)
        stats = dict(zip(_wire.STAT_NAMES, numbers[1:], strict=False))
        seen = {name: stats[name] for name in COUNTERS}
        assert seen == {name: channel.count[ours] for name, ours in COUNTERS.items()}
        assert stats["ready"] == len(channel.ready)
        assert stats["held"] == len(channel.held)
        assert stats["bytes"] == channel.bytes
        assert stats["parked_senders"] == len(channel.senders)
        assert stats["parked_receivers"] == len(channel.receivers)
        ends = stats["drops_oldest"] + stats["drops_newest"] + stats["undelivered"]
        assert stats["total_sends"] == stats["total_recvs"] + stats["depth"] + ends
        waiters = stats["matched_waiters"] + stats["cancelled_waiters"] + stats["closed_waiters"]
        assert stats["finished_waiters"] == waiters

    def end(self) -> None:
        """Everything goes; nothing may be left."""
        for scope in [one for one in self.scopes if self.model.parents.get(one) == 0]:
            self.clear(scope, "cancel", end=True)
            self.compare()
        for pair in self.channels:
            self.engine.chan_drop(pair.ticket)
        usage = self.engine.usage()
        self.engine.port_close(self.port)
        left = {name: n for name, n in usage.items() if n and name not in ("ports", "heap_bytes")}
        self.engine.free()
        assert left == {}
