"""Where the engine and trio meet: operations go down, results come up, tasks wait in between.

An operation either ends at once or parks: then the engine keeps its token and this port its task,
both under one number, and the result comes through the engine's port, which is emptied after
every operation. There is no descriptor to wait for and no other thread: only another operation of
this program can bring a result.

Invariants:
- A task waits here exactly as long as the engine has its token or its result.
- Cancelling is one claim on the token (kc_waiter_token_cancel). If it succeeds nothing has
  happened and trio's abort succeeds; if not, the result is on its way and the task gets that.
- Results are read into Python values before anything else runs: releasing an object may run its
  finalizer, and that may use a channel.
"""

from typing import Any, NamedTuple, Protocol

import outcome
import trio
from trio.lowlevel import Abort, RaiseCancelT, Task, current_task, reschedule, wait_task_rescheduled

from kcoro_ipc import structs
from kcoro_ipc.native import NativeEngine
from kcoro_ipc.structs import NEVER, OP_TRY, PARKED, RESULT_COPIED, ffi, lib
from kcoro_ipc.trio_errors import ClosedResourceError

PARKED_AT_MOST = 1 << 20
TAKEN_AT_ONCE = 64
WORD_BYTES = 8


class Ended(NamedTuple):
    """A result as Python values. `word`: the message, if it is eight bytes for an object table;
    `data`: the message otherwise."""

    code: int
    flags: int
    clause: int
    reason: int
    chan: int
    word: int
    data: bytes


class Operation(Protocol):
    """What waits: `finish` turns its end into a value or raises, `forget` undoes what starting it
    did, when nothing happened."""

    takes_words: bool

    @property
    def owners(self) -> tuple[object, ...]:
        """Handles: the wait ends when one of them is closed."""

    def finish(self, ended: Ended) -> Any: ...

    def forget(self) -> None: ...


class Waiting(NamedTuple):
    operation: Operation
    task: Task
    token: int


class Port:
    def __init__(self, engine: NativeEngine) -> None:
        self._engine = engine
        self._handle = engine.handle
        self._port = engine.port_open()
        self._scope = engine.scope_begin(parked=PARKED_AT_MOST)
        self._wait = self._op(0)
        self._try = self._op(OP_TRY)
        self._result = ffi.new("kc_result *")
        self._word = ffi.new("uint64_t *")
        self._waiting: dict[int, Waiting] = {}
        self._number = 0  # of the operation that was started last

    def _op(self, flags: int) -> Any:
        return ffi.new("kc_op *", (self._scope, 0, NEVER, self._port, flags))

    def _next_number(self) -> int:
        self._number += 1
        return self._number

    def _numbered(self) -> Any:
        self._wait.user = self._next_number()
        return self._wait

    # --- starting; each returns the C result, to be read before the next call ---

    def send_word(self, chan: int, word: int, wait: bool) -> Any:
        self._word[0] = word
        op = self._numbered() if wait else self._try
        lib.kc_chan_send(self._handle, chan, op, self._word, WORD_BYTES, self._result)
        return self._result

    def send_bytes(self, chan: int, data: bytes, wait: bool) -> Any:
        op = self._numbered() if wait else self._try
        lib.kc_chan_send(self._handle, chan, op, data, len(data), self._result)
        return self._result

    def receive(self, chan: int, wait: bool, takes_words: bool) -> Any:
        op = self._numbered() if wait else self._try
        room = WORD_BYTES if takes_words else 0
        buffer = self._word if takes_words else ffi.NULL
        lib.kc_chan_recv(self._handle, chan, op, buffer, room, self._result)
        return self._result

    def select(self, clauses: list[structs.Clause], wait: bool, biased: bool) -> Any:
        flags = (0 if wait else OP_TRY) | (structs.OP_BIASED if biased else 0)
        op = structs.Operation(self._scope, self._next_number(), NEVER, self._port, flags)
        return self._engine.select(clauses, op)

    # --- ending ---

    def word_of(self, result: Any) -> int:
        """The message of a receive with `takes_words` that ended at once."""
        if result.flags & RESULT_COPIED:
            return int(self._word[0])
        return int.from_bytes(self._engine.body_take(result.body), "little")

    def end_now(self, operation: Operation, result: Any) -> Any:
        """The value of an operation that did not park; then wakes whom it let go on."""
        ended = self._read(result, operation.takes_words)
        try:
            return operation.finish(ended)
        finally:
            self.drain()

    async def wait(self, operation: Operation, result: Any) -> Any:
        """The value of an operation that was started to wait, parked or not."""
        if result.code != PARKED:
            try:
                return self.end_now(operation, result)
            finally:
                await trio.lowlevel.cancel_shielded_checkpoint()
        number = int(result.user)
        self._waiting[number] = Waiting(operation, current_task(), int(result.token))

        def abort(_: RaiseCancelT) -> Abort:
            return Abort.SUCCEEDED if self._cancel(number) else Abort.FAILED

        return await wait_task_rescheduled(abort)

    def _cancel(self, number: int) -> bool:
        """Whether it had not happened; then it never will."""
        waiting = self._waiting[number]
        if self._engine.token_cancel(waiting.token) != 0:
            return False
        del self._waiting[number]
        waiting.operation.forget()
        self.drain()
        return True

    def drain(self) -> None:
        """Wakes every task whose operation was decided."""
        while lib.kc_port_depth(self._handle, self._port):
            for result in self._engine.port_take(self._port, TAKEN_AT_ONCE):
                operation, task, _ = self._waiting.pop(int(result.user))
                ended = self._read(result, operation.takes_words)
                reschedule(task, outcome.capture(operation.finish, ended))

    def _read(self, result: Any, takes_words: bool) -> Ended:
        word, data = 0, b""
        flags = int(result.flags)
        if flags & structs.RESULT_MESSAGE:
            if takes_words:
                word = self.word_of(result)
            else:
                data = self._engine.body_take(result.body)
        return Ended(
            int(result.code),
            flags,
            int(result.clause),
            int(result.reason),
            int(result.chan),
            word,
            data,
        )

    def end_waits(self, owner: object, why: str) -> None:
        """Ends the waits of a handle that is being closed; their messages stay the senders'."""
        mine = [n for n, waiting in self._waiting.items() if owner in waiting.operation.owners]
        self._end_each(mine, why)

    def end_all(self, why: str) -> None:
        self._end_each(list(self._waiting), why)

    def _end_each(self, numbers: list[int], why: str) -> None:
        for number in numbers:
            waiting = self._waiting.get(number)
            if waiting is not None and self._cancel(number):
                reschedule(waiting.task, outcome.Error(ClosedResourceError(why)))
