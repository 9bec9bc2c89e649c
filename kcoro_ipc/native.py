"""The compiled engine as typed Python: one verb for each function of its headers that we need.

`NativeEngine` has the verbs of kc_engine.h and kc_chan.h, in the words of these headers, which are
the reference. It adds no meaning: no waiting, no trio, no objects for channels (channel, token,
scope and connection are the integer tickets that C gave out). kcoro_ipc/pump.py does the same for
the connections, kcoro_ipc/engine/ builds channels for one process on it.

Invariants:
- Set-up verbs (make, begin, account, port) raise the error of their code. Operations (send, recv,
  select, cancel, ack) return a `Result` or a code, because a refusal is their daily bread.
- No method keeps a Python object alive in C, and C never calls Python.
It is longer than its neighbours because a list of verbs is easier to read in one place.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from kcoro_ipc import _wire
from kcoro_ipc.errors import KcoroError
from kcoro_ipc.frames import short_text
from kcoro_ipc.structs import (
    CLAUSE_SEND,
    REASON_CANCEL,
    REASON_DESTROYED,
    Body,
    ChannelConfig,
    Clause,
    Event,
    Operation,
    Result,
    Waiter,
    WaitingFiles,
    checked,
    ffi,
    lib,
    waiter_of,
)


def trim_heap() -> None:
    """What the allocator of C keeps of freed memory goes back to the system."""
    lib.kc_heap_trim()


class NativeEngine:
    """One engine. Free it with `free` when nothing that was made from it is used any more."""

    def __init__(self, **sizes: int) -> None:
        """`sizes`: fields of kc_engine_config; those left out take the default."""
        out = ffi.new("kc_engine **")
        checked(lib.kc_engine_make(ffi.new("kc_engine_config *", sizes), out), what="no engine")
        self.handle = out[0]
        self._refusal = ffi.new("kc_refusal *")
        self._stats = ffi.new("kc_chan_snapshot *")

    def free(self) -> None:
        """Everything at once; safe twice."""
        handle, self.handle = self.handle, ffi.NULL
        lib.kc_engine_free(handle)

    # --- the engine ---

    def tick(self, now_ns: int) -> int:
        return int(lib.kc_engine_tick(self.handle, now_ns))

    def now(self) -> int:
        return int(lib.kc_engine_now(self.handle))

    def next_deadline(self) -> int:
        return int(lib.kc_engine_next_deadline(self.handle))

    def check(self) -> str:
        """Empty when every invariant holds, else the first breach."""
        why = ffi.new("char[]", 512)
        code = lib.kc_engine_check(self.handle, why, len(why))
        return "" if code == 0 else ffi.string(why).decode(errors="replace") or f"code {code}"

    def usage(self) -> dict[str, int]:
        usage = ffi.new("kc_engine_usage *")
        lib.kc_engine_measure(self.handle, usage)
        return {name: int(getattr(usage, name)) for name in dir(usage)}

    def accepted(self) -> int:
        """Messages so far: `total_sends` of all channels, those that are gone included."""
        return int(lib.kc_engine_accepted(self.handle))

    def trim(self, keep: int, most: int) -> int:
        """Gives empty chunks of 1 MiB back to the system; how many beyond `keep` are left."""
        return int(lib.kc_engine_trim(self.handle, keep, most))

    def limit(self, parked_per_channel: int) -> None:
        lib.kc_engine_limit(self.handle, parked_per_channel)

    def take_event(self) -> Event | None:
        event = ffi.new("kc_event *")
        if lib.kc_engine_take_event(self.handle, event) != 1:
            return None
        return Event(event.kind, event.reason, event.chan_user, event.lost)

    # --- accounts ---

    def account_make(self, uid: int | None = None, **limits: int) -> int:
        """`limits`: fields of kc_account_limits; those left out take the default. `uid`: what
        receivers who ask are told of the sender of what is charged to this account."""
        out = ffi.new("uint32_t *")
        checked(lib.kc_account_make(self.handle, self._limits(limits), out), what="no account")
        if uid is not None:
            lib.kc_account_name(self.handle, out[0], uid)
        return int(out[0])

    def account_limit(self, account: int, **limits: int) -> None:
        """Other limits from now on; what is charged already stays."""
        code = lib.kc_account_limit(self.handle, account, self._limits(limits))
        checked(code, what="no such account")

    def account_free(self, account: int) -> None:
        lib.kc_account_free(self.handle, account)

    def account_usage(self, account: int) -> dict[str, int]:
        usage = ffi.new("kc_account_usage *")
        checked(lib.kc_account_measure(self.handle, account, usage), what="no such account")
        return {name: int(getattr(usage, name)) for name in dir(usage)}

    @staticmethod
    def _limits(limits: dict[str, int]) -> Any:
        return ffi.new("kc_account_limits *", limits)

    # --- ports ---

    def port_open(self) -> int:
        out = ffi.new("uint32_t *")
        checked(lib.kc_port_open(self.handle, out), what="no port")
        return int(out[0])

    def port_close(self, port: int) -> None:
        checked(lib.kc_port_close(self.handle, port), what="a waiter still names this port")

    def port_take(self, port: int, most: int = 64) -> Sequence[Result]:
        """Up to `most` results in the order in which they were decided.

        Each is a copy with memory of its own: an element of a cffi array is only a view, and the
        array would be gone with this call.
        """
        results: Any = ffi.new("kc_result[]", most)
        taken = lib.kc_port_take(self.handle, port, results, most)
        return [ffi.new("kc_result *", results[i]) for i in range(taken)]

    def port_depth(self, port: int) -> int:
        return int(lib.kc_port_depth(self.handle, port))

    # --- regions and files ---

    def region_add(self, account: int, file: int, size: int, user: int) -> int:
        """The region's ticket; the file is the engine's from then on."""
        out = ffi.new("kc_ticket *")
        config = {"account": account, "file": file, "size_bytes": size, "user": user}
        code = lib.kc_region_add(
            self.handle, ffi.new("kc_region_config *", config), out, self._refusal
        )
        checked(code, self._refusal)
        return int(out[0])

    def region_drop(self, region: int, how: int) -> int:
        return int(lib.kc_region_drop(self.handle, region, how))

    def region_in_flight(self, region: int) -> int:
        """Descriptors of it that live; 0 when it is gone."""
        info = ffi.new("kc_region_info *")
        return int(info.in_flight) if lib.kc_region_look(self.handle, region, info) == 0 else 0

    def chan_files(self, chan: int, skip: int, most: int) -> list[WaitingFiles]:
        """Messages with files that wait in the channel, oldest first."""
        infos: Any = ffi.new("kc_file_info[]", max(most, 1))
        found = checked(lib.kc_chan_files(self.handle, chan, skip, infos, most))
        return [
            WaitingFiles(infos[i].user, infos[i].age_ns, infos[i].account, infos[i].count)
            for i in range(found)
        ]

    # --- channels ---

    def chan_make(self, config: ChannelConfig) -> int:
        out = ffi.new("kc_chan *")
        given = ffi.new("kc_chan_config *", config._asdict())
        checked(lib.kc_chan_make(self.handle, given, out, self._refusal), self._refusal)
        return int(out[0])

    def chan_drop(self, chan: int) -> int:
        return int(lib.kc_chan_drop(self.handle, chan))

    def chan_send(self, chan: int, op: Operation, data: bytes) -> Result:
        result: Result = ffi.new("kc_result *")
        lib.kc_chan_send(self.handle, chan, ffi.new("kc_op *", op), data, len(data), result)
        return result

    def chan_recv(self, chan: int, op: Operation) -> Result:
        """What is there at once comes with its body (`body_take`); nothing is copied."""
        result: Result = ffi.new("kc_result *")
        lib.kc_chan_recv(self.handle, chan, ffi.new("kc_op *", op), ffi.NULL, 0, result)
        return result

    def select(self, clauses: Iterable[Clause], op: Operation, account: int = 0) -> Result:
        """Bodies of sends are made here and given back if the select refuses."""
        result: Any = ffi.new("kc_result *")
        arms = list(clauses)
        given = ffi.new("kc_clause[]", max(len(arms), 1))
        try:
            for i, arm in enumerate(arms):
                given[i].chan, given[i].dir, given[i].flags = arm.chan, arm.dir, arm.flags
                if arm.dir == CLAUSE_SEND:
                    self._body_make(account, arm.data, ffi.addressof(given[i], "body"))
            code = lib.kc_select(self.handle, given, len(arms), ffi.new("kc_op *", op), result)
        except KcoroError:
            self._drop_bodies(given, len(arms))
            raise
        if code < 0:
            self._drop_bodies(given, len(arms))
        out: Result = result
        return out

    def _drop_bodies(self, given: Any, count: int) -> None:
        for i in range(count):
            lib.kc_body_drop(self.handle, ffi.addressof(given[i], "body"))

    def chan_close(self, chan: int) -> int:
        return int(lib.kc_chan_close(self.handle, chan))

    def chan_destroy(self, chan: int, reason: int = REASON_DESTROYED, text: str = "") -> int:
        words = short_text(text)
        return int(lib.kc_chan_destroy(self.handle, chan, reason, words, len(words)))

    def chan_reason(self, chan: int) -> str:
        text = ffi.new("char[]", _wire.MAX_TEXT_BYTES)
        length = min(lib.kc_chan_reason(self.handle, chan, text, len(text)), len(text))
        return bytes(ffi.buffer(text, max(length, 0))).decode(errors="replace")

    def chan_purge(self, chan: int) -> int:
        """How many messages were dropped."""
        out = ffi.new("uint32_t *")
        checked(lib.kc_chan_purge(self.handle, chan, out))
        return int(out[0])

    def chan_take_dropped(self, chan: int) -> bytes | None:
        body = ffi.new("kc_body *")
        if lib.kc_chan_take_dropped(self.handle, chan, body) != 0:
            return None
        return self.body_take(body)

    def chan_stats(self, chan: int) -> tuple[int, ...]:
        """Every counter at the index of its STAT_ID; index 0 is unused."""
        checked(lib.kc_chan_measure(self.handle, chan, self._stats))
        return tuple(self._stats.stat)

    def chan_dump(self, chan: int) -> str:
        text = ffi.new("char[]", 1024)
        checked(lib.kc_chan_dump(self.handle, chan, text, len(text)))
        return str(ffi.string(text).decode(errors="replace"))

    def chan_waiters(self, chan: int, dir: int, skip: int = 0, most: int = 64) -> list[Waiter]:
        infos = ffi.new("kc_waiter_info[]", most)
        count = checked(lib.kc_chan_waiters(self.handle, chan, dir, skip, infos, most))
        return [waiter_of(info) for info in infos[0:count]]

    def chan_tap(self, source: int, tap: int) -> None:
        """From now on `tap` gets a copy of all that passes `source`."""
        checked(lib.kc_chan_tap(self.handle, source, tap), what="the channel cannot be tapped")

    def chan_set_dead_letter(self, chan: int, dead_letter: int) -> None:
        """Another one from now on, for a channel that was made with one."""
        code = lib.kc_chan_set_dead_letter(self.handle, chan, dead_letter)
        checked(code, what="the dead-letter channel does not fit")

    # --- scopes and tokens ---

    def scope_begin(self, parent: int = 0, account: int = 0, parked: int = 0, held: int = 0) -> int:
        out = ffi.new("kc_scope *")
        limits = ffi.new("kc_scope_limits *", (parked, held))
        code = lib.kc_chan_waiter_scope_begin(
            self.handle, parent, account, limits, out, self._refusal
        )
        checked(code, self._refusal, "no scope")
        return int(out[0])

    def scope_list(self, scope: int, held: bool, skip: int = 0, most: int = 64) -> list[Waiter]:
        """What is parked in a scope, a select once for each clause, or the messages it holds."""
        infos = ffi.new("kc_waiter_info[]", most)
        count = lib.kc_chan_waiter_scope_list(self.handle, scope, held, 0, skip, infos, most)
        return [waiter_of(info) for info in infos[0 : max(count, 0)]]

    def scope_count(self, scope: int, held: bool, chan: int = 0) -> int:
        """How many that are; `chan`: only those at this channel that are held."""
        list_of, all_of_them = lib.kc_chan_waiter_scope_list, 0xFFFFFFFF
        count = int(list_of(self.handle, scope, held, chan, 0, ffi.NULL, all_of_them))
        return max(count, 0)

    def scope_end(self, scope: int, reason: int = REASON_CANCEL) -> int:
        return int(lib.kc_chan_waiter_scope_end(self.handle, scope, reason))

    def scope_clear(self, scope: int, reason: int = REASON_CANCEL) -> int:
        return int(lib.kc_chan_waiter_scope_clear(self.handle, scope, reason))

    def token_cancel(self, token: int, reason: int = REASON_CANCEL) -> int:
        """The one claim: KC_OK, KC_EINPROGRESS, KC_EBUSY or KC_ENOENT as in kc_chan.h."""
        return int(lib.kc_waiter_token_cancel(self.handle, token, reason, ffi.NULL))

    def token_ack(self, scope: int, token: int) -> int:
        return int(lib.kc_waiter_token_ack(self.handle, scope, token))

    def token_nack(self, scope: int, token: int) -> int:
        return int(lib.kc_waiter_token_nack(self.handle, scope, token))

    # --- bodies ---

    def _body_make(self, account: int, data: bytes, out: Any) -> None:
        code = lib.kc_body_make(self.handle, account, data, len(data), out, self._refusal)
        checked(code, self._refusal)

    def body_read(self, body: Body) -> bytes:
        """The bytes of a body that is owned or lent."""
        data = bytearray(body.len_bytes)
        given: Any = body
        pointer = given if ffi.typeof(given).kind == "pointer" else ffi.addressof(given)
        if data:
            checked(
                lib.kc_body_copy(self.handle, pointer, 0, ffi.from_buffer(data), len(data)),
                what="a body cannot be read",
            )
        return bytes(data)

    def body_drop(self, body: Body) -> None:
        given: Any = body
        pointer = given if ffi.typeof(given).kind == "pointer" else ffi.addressof(given)
        lib.kc_body_drop(self.handle, pointer)

    def body_take(self, body: Body) -> bytes:
        """The bytes of a body that is the caller's, which gives its reference back."""
        try:
            return self.body_read(body)
        finally:
            self.body_drop(body)
