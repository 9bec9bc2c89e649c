"""The engine as a conformance subject: kcoro_ipc.native without sockets, pump or trio.

A user is a scope. Results of what parked come through one port; the clock is set by hand. Batches
are pipelines of the pump, so this subject has none. Every step is followed by `kc_engine_check`.
"""

import itertools
from collections.abc import Sequence
from typing import Any

from kcoro_ipc import structs
from kcoro_ipc.native import NativeEngine
from kcoro_ipc.protocol.channels import KINDS, OVERFLOWS, UNDELIVERED
from kcoro_ipc.structs import NEVER, ChannelConfig, Clause
from kcoro_ipc.structs import Operation as Op
from tests.conformance.subject import (
    ENOENT,
    FOREVER,
    OK,
    STAT_INDEX,
    TRY,
    Arm,
    DeadLetter,
    Operation,
    Outcome,
    Subject,
    User,
)

FIRST_UID, FIRST_PID = 1000, 100
STAGES = 64  # results taken from the port at once


class EngineSubject(Subject):
    label = "engine"
    batches = False

    def __init__(self) -> None:
        self.engine = NativeEngine(parked_per_channel=2048)
        self.engine.tick(1_000_000_000)
        self.port = self.engine.port_open()
        self.waiting: dict[int, Operation] = {}  # by the number that comes back as `user`
        self.numbers = itertools.count(1)
        self.names = itertools.count()
        self._channels: list[int] = []
        self._users: list[EngineUser] = []

    def user(self) -> "EngineUser":
        user = EngineUser(self)
        self._users.append(user)
        return user

    def channel(
        self, kind: str = "rendezvous", capacity: int = 0, overflow: str = "suspend", **options: Any
    ) -> int:
        flags = structs.CHAN_ACK_REQUIRED if options.pop("ack_required", False) else 0
        options["undelivered"] = UNDELIVERED.get(options.get("undelivered", ""), 0)
        config = ChannelConfig(
            kind=KINDS[kind],
            capacity=capacity,
            overflow=OVERFLOWS[overflow],
            flags=flags,
            **options,
        )
        chan = self.engine.chan_make(config)
        self._channels.append(chan)
        return chan

    def dead_letter_channel(self) -> DeadLetter:
        chan = self.channel("unlimited")
        return DeadLetter(chan, chan)

    def after_step(self) -> None:
        breach = self.engine.check()
        assert not breach, breach
        while results := self.engine.port_take(self.port, STAGES):
            for result in results:
                operation = self.waiting.pop(result.user)
                assert isinstance(operation.user, EngineUser)
                operation.end(self.outcome(result, operation.user.scope))

    def outcome(self, result: structs.Result, scope: int) -> Outcome:
        """Reads a result; a plain message is given back to the engine, a held one stays."""
        data = None
        if result.flags & structs.RESULT_MESSAGE:
            held = result.flags & structs.RESULT_HELD
            read = self.engine.body_read if held else self.engine.body_take
            data = read(result.body)
        sender = self._sender(result)
        held = result.flags & structs.RESULT_HELD
        if held and not result.flags & structs.lib.KC_RESULT_ACK:
            # A plain receive that asked who sent it: told, so done.
            assert self.engine.token_ack(scope, result.token) == OK
            held = 0
        return Outcome(
            code=result.code,
            data=data,
            index=result.clause,
            dropped=int(bool(result.flags & structs.RESULT_DROPPED)),
            attempts=result.attempts,
            delivery=result.token if held else 0,
            reason=self._reason(result),
            sender=sender,
        )

    def _sender(self, result: structs.Result) -> tuple[int, int] | None:
        if not result.flags & structs.lib.KC_RESULT_SENDER:
            return None
        found = structs.ffi.new("kc_sender *")
        code = structs.lib.kc_waiter_token_sender(self.engine.handle, result.token, found)
        assert code == OK, code
        return found.uid, found.pid

    def _reason(self, result: structs.Result) -> str:
        text = self.engine.chan_reason(result.chan) if result.chan else ""
        return text or structs.REASONS[result.reason]

    def check(self) -> None:
        """Ends every user and channel; then nothing may be in use but what is always there."""
        self.after_step()
        for user in self._users:
            user.die()
        for chan in self._channels:
            self.engine.chan_destroy(chan)
            self.engine.chan_drop(chan)
        self.after_step()
        usage = self.engine.usage()
        left = {name: usage[name] for name in usage if name not in ("ports", "heap_bytes")}
        assert not any(left.values()), f"left over: {left}"

    def finish(self) -> None:
        self.engine.free()


class EngineUser(User):
    identity = 0, 0  # of each its own

    def __init__(self, subject: EngineSubject) -> None:
        self.subject = subject
        self.engine = subject.engine
        self.identity = FIRST_UID + next(subject.names), FIRST_PID + next(subject.names)
        self.account = self.engine.account_make(self.identity[0])
        self.scope = self.engine.scope_begin(account=self.account)
        code = structs.lib.kc_chan_waiter_scope_name(
            self.engine.handle, self.scope, self.identity[1]
        )
        assert code == OK, code
        self.alive = True

    def _op(self, timeout_ms: int, flags: int, ttl_ms: int = 0) -> Op:
        if timeout_ms == TRY:
            flags |= structs.OP_TRY
        deadline = NEVER if timeout_ms <= FOREVER else self.engine.now() + timeout_ms * 1_000_000
        expires = self.engine.now() + ttl_ms * 1_000_000 if ttl_ms else 0
        number = next(self.subject.numbers)
        return Op(self.scope, number, deadline, self.subject.port, flags, expires)

    def _started(self, result: structs.Result, op: Op, label: str) -> Operation:
        operation = Operation(self, label)
        if result.code == structs.PARKED:
            operation.key = op.user, result.token
            self.subject.waiting[op.user] = operation
        else:
            operation.end(self.subject.outcome(result, self.scope))
        self.subject.after_step()
        return operation

    def send(
        self,
        chan: int,
        data: bytes,
        timeout_ms: int = FOREVER,
        confirm: bool = False,
        ttl_ms: int = 0,
    ) -> Operation:
        op = self._op(timeout_ms, structs.OP_CONFIRM if confirm else 0, ttl_ms)
        return self._started(self.engine.chan_send(chan, op, data), op, f"send {data[:16]!r}")

    def receive(
        self, chan: int, timeout_ms: int = FOREVER, ack: bool = False, sender: bool = False
    ) -> Operation:
        flags = structs.OP_ACK if ack else 0
        if sender:  # who holds a message may ask
            flags |= structs.lib.KC_OP_SENDER | structs.OP_HOLD
        op = self._op(timeout_ms, flags)
        return self._started(self.engine.chan_recv(chan, op), op, "receive")

    def select(
        self, arms: Sequence[Arm], timeout_ms: int = FOREVER, biased: bool = False
    ) -> Operation:
        clauses = [
            Clause(arm.chan, structs.CLAUSE_RECV, structs.OP_ACK if arm.ack else 0)
            if arm.data is None
            else Clause(arm.chan, structs.CLAUSE_SEND, 0, arm.data)
            for arm in arms
        ]
        op = self._op(timeout_ms, structs.OP_BIASED if biased else 0)
        return self._started(self.engine.select(clauses, op), op, f"select of {len(arms)}")

    def cancel(self, operation: Operation) -> None:
        number, token = operation.key or (0, 0)
        code = self.engine.token_cancel(token)
        if code in (OK, structs.lib.KC_EINPROGRESS):
            del self.subject.waiting[number]
            done = structs.lib.KC_ECANCELED if code == OK else code
            operation.end(Outcome(done, reason="cancelled"))
        else:
            assert code in (structs.lib.KC_EBUSY, ENOENT)
        self.subject.after_step()

    def ack(self, delivery: int) -> int:
        return self._stepped(self.engine.token_ack(self.scope, delivery))

    def nack(self, delivery: int) -> int:
        return self._stepped(self.engine.token_nack(self.scope, delivery))

    def close(self, chan: int) -> int:
        return self._stepped(self.engine.chan_close(chan))

    def destroy(self, chan: int, reason: str = "") -> int:
        return self._stepped(self.engine.chan_destroy(chan, text=reason))

    def purge(self, chan: int) -> int:
        return self._stepped(self.engine.chan_purge(chan))

    def _stepped(self, value: int) -> int:
        self.subject.after_step()
        return value

    def statistics(self, chan: int) -> dict[str, int]:
        values = self.engine.chan_stats(chan)
        return {name: values[place + 1] for name, place in STAT_INDEX.items()}

    def die(self) -> None:
        if self.alive:
            self.alive = False
            self.engine.scope_end(self.scope, structs.REASON_DEAD)
            self.engine.account_free(self.account)
            mine = {k: v for k, v in self.subject.waiting.items() if v.user is self}
            for key in mine:
                del self.subject.waiting[key]
            self.subject.after_step()

    def collect(self) -> None:
        self.subject.after_step()

    def pass_time(self) -> None:
        deadline = self.engine.next_deadline()
        assert deadline != NEVER, "nothing that waits has a deadline"
        self.engine.tick(deadline)
        self.subject.after_step()
