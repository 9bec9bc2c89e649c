"""Numbers and structs of the engine's headers, typed: the only importer of kcoro_ipc._kcoro.

The words are those of kc_types.h, kc_engine.h and kc_chan.h, which are the reference. What can be
done with them is kcoro_ipc/native.py (the engine) and kcoro_ipc/pump.py (the connections).

A `Result` is the C struct itself: reading a field costs 50 ns, copying all of them 300. A body in
it belongs to the caller exactly when kc_chan.h says so (`NativeEngine.body_take` gives it back).
"""

from typing import Any, NamedTuple, Protocol

from kcoro_ipc import quotas
from kcoro_ipc._kcoro import ffi as ffi
from kcoro_ipc._kcoro import lib as lib
from kcoro_ipc.errors import KcoroError, error_for

NEVER = (1 << 63) - 1  # a deadline that never comes; others are CLOCK_MONOTONIC nanoseconds
PARKED: int = lib.KC_PARKED
OP_TRY: int = lib.KC_OP_TRY
OP_HOLD: int = lib.KC_OP_HOLD
OP_ACK: int = lib.KC_OP_ACK
OP_CONFIRM: int = lib.KC_OP_CONFIRM
OP_BIASED: int = lib.KC_OP_BIASED
CLAUSE_RECV: int = lib.KC_CLAUSE_RECV
CLAUSE_SEND: int = lib.KC_CLAUSE_SEND
RESULT_MESSAGE: int = lib.KC_RESULT_MESSAGE
RESULT_DROPPED: int = lib.KC_RESULT_DROPPED
RESULT_REDELIVERED: int = lib.KC_RESULT_REDELIVERED
RESULT_COPIED: int = lib.KC_RESULT_COPIED
RESULT_HELD: int = lib.KC_RESULT_HELD
CHAN_FIXED_SIZE: int = lib.KC_CHAN_FIXED_SIZE
CHAN_ACK_REQUIRED: int = lib.KC_CHAN_ACK_REQUIRED
CHAN_TELL_DROPPED: int = lib.KC_CHAN_TELL_DROPPED

# enum kc_reason in the words of native/ipc/pump_words.c, for REASON and logs.
REASONS: dict[int, str] = {
    lib.KC_REASON_NONE: "",
    lib.KC_REASON_CANCEL: "cancelled",
    lib.KC_REASON_TIMEOUT: "timed out",
    lib.KC_REASON_DEAD: "the client hung up",
    lib.KC_REASON_DESTROYED: "the channel was destroyed",
    lib.KC_REASON_EVICTED: "evicted by a newer message",
    lib.KC_REASON_DEAD_LETTERED: "moved to the dead-letter channel",
    lib.KC_REASON_ATTEMPTS: "dropped after its last delivery attempt",
    lib.KC_REASON_PURGED: "purged",
    lib.KC_REASON_SHUTDOWN: "shutting down",
    lib.KC_REASON_POISONED: "the channel broke an invariant and was destroyed",
    lib.KC_REASON_UNDELIVERED: "dropped undelivered",
    lib.KC_REASON_EXPIRED: "expired",
}
REASON_CANCEL: int = lib.KC_REASON_CANCEL
REASON_TIMEOUT: int = lib.KC_REASON_TIMEOUT
REASON_DEAD: int = lib.KC_REASON_DEAD
REASON_DESTROYED: int = lib.KC_REASON_DESTROYED
REASON_SHUTDOWN: int = lib.KC_REASON_SHUTDOWN
REGION_IDLE: int = lib.KC_REGION_IDLE
REGION_WAIT: int = lib.KC_REGION_WAIT
REGION_REVOKE: int = lib.KC_REGION_REVOKE
REGION_LEAVE: int = lib.KC_REGION_LEAVE

# enum kc_quota -> the limit's name in quotas.py.
QUOTAS: dict[int, str] = {
    lib.KC_QUOTA_CHANNEL_PARKED: "parked_per_channel",
    lib.KC_QUOTA_SCOPE_PARKED: "parked_per_connection",
    lib.KC_QUOTA_SCOPE_HELD: "held_per_connection",
    lib.KC_QUOTA_ACCOUNT_PARKED: "parked_per_uid",
    lib.KC_QUOTA_ACCOUNT_CHANNELS: "channels_per_uid",
    lib.KC_QUOTA_ACCOUNT_BYTES: "bytes_per_uid",
    lib.KC_QUOTA_ENGINE_CHANNELS: "channels",
    lib.KC_QUOTA_ENGINE_TOKENS: "tokens",
    lib.KC_QUOTA_ENGINE_CLAUSES: "clauses",
    lib.KC_QUOTA_ENGINE_MESSAGES: "messages",
    lib.KC_QUOTA_ENGINE_BYTES: "bytes",
    lib.KC_QUOTA_ENGINE_SCOPES: "connections",
    lib.KC_QUOTA_ENGINE_ACCOUNTS: "accounts",
    lib.KC_QUOTA_ENGINE_PORTS: "ports",
    lib.KC_QUOTA_ENGINE_FILES: "files",
    lib.KC_QUOTA_ENGINE_REGIONS: "regions",
    lib.KC_QUOTA_ACCOUNT_FILES: "files_per_uid",
    lib.KC_QUOTA_ACCOUNT_HELD: "held_per_uid",
    lib.KC_QUOTA_ACCOUNT_MESSAGES: "messages_per_uid",
}


EVENT_WORDS: dict[int, str] = {
    lib.KC_EVENT_ATTEMPTS: "message dropped after its last attempt",
    lib.KC_EVENT_DEAD_LETTER: "message dropped: the dead-letter channel could not take it",
    lib.KC_EVENT_POISONED: "channel destroyed: it broke an invariant",
}
EVENT_POISONED: int = lib.KC_EVENT_POISONED
TOKEN_STATUS: dict[int, str] = {
    lib.KC_TOKEN_FREE: "free",
    lib.KC_TOKEN_INIT: "init",
    lib.KC_TOKEN_ENQUEUED: "enqueued",
    lib.KC_TOKEN_TAKEN: "taken",
    lib.KC_TOKEN_CLAIMED: "claimed",
    lib.KC_TOKEN_CANCELLED: "cancelled",
}


class Body(Protocol):
    """struct kc_body."""

    len_bytes: int
    block: int


class Result(Protocol):
    """struct kc_result; `flags` holds RESULT_* bits, `refusal` is meant for `refusal_of`."""

    code: int
    flags: int
    clause: int
    attempts: int
    reason: int
    token: int
    user: int
    chan: int
    body: Body
    refusal: Any


class Operation(NamedTuple):
    """struct kc_op: who asks, until when, and where the result of what parks is to wait."""

    scope: int = 0
    user: int = 0
    deadline_ns: int = NEVER
    port: int = 0
    flags: int = 0
    expires_ns: int = 0


class Clause(NamedTuple):
    """One arm of a select; `data` is what a send would send."""

    chan: int
    dir: int = CLAUSE_RECV
    flags: int = 0
    data: bytes = b""


class ChannelConfig(NamedTuple):
    """struct kc_chan_config, field for field; 0 means the engine's default."""

    kind: int = 0
    capacity: int = 0
    overflow: int = 0
    undelivered: int = 0
    elem_size: int = 0
    flags: int = 0
    max_attempts: int = 0
    account: int = 0
    max_items: int = 0
    ttl_ms: int = 0
    file_ttl_ms: int = 0
    max_bytes: int = 0
    user: int = 0
    dead_letter: int = 0


class Waiter(NamedTuple):
    """struct kc_waiter_info; `dir` is CLAUSE_RECV or CLAUSE_SEND, `status` a word."""

    token: int
    scope: int
    user: int
    age_ns: int
    dir: int
    status: str
    clauses: int
    len_bytes: int
    chan_user: int = 0
    deadline_ns: int = NEVER


class WaitingFiles(NamedTuple):
    """struct kc_file_info: the files of one message that waits; `user` is who sent them."""

    user: int
    age_ns: int
    account: int
    files: int


class Event(NamedTuple):
    """Something an administrator wants in the log; `lost` events before it were overwritten."""

    kind: int
    reason: int
    chan_user: int
    lost: int

    @property
    def words(self) -> str:
        return EVENT_WORDS.get(self.kind, f"event {self.kind}")


class Refusal(NamedTuple):
    """struct kc_refusal in words: which limit refused, and the setting that raises it."""

    quota: str
    setting: str
    limit: int
    usage: int


def waiter_of(info: Any) -> Waiter:
    return Waiter(
        info.token,
        info.scope,
        info.user,
        info.age_ns,
        info.dir,
        TOKEN_STATUS.get(info.status, str(info.status)),
        info.clauses,
        info.len_bytes,
        info.chan_user,
        info.deadline_ns,
    )


def refusal_of(refusal: Any) -> Refusal | None:
    name = QUOTAS.get(refusal.quota)
    if name is None:
        return None
    return Refusal(*quotas.words(name), int(refusal.limit), int(refusal.usage))


def refused(code: int, refusal: Any = None, what: str = "") -> KcoroError:
    """The exception for a negative code; `refusal` is a struct kc_refusal, or None."""
    said = None if refusal is None else refusal_of(refusal)
    return error_for(code, what, **(said._asdict() if said is not None else {}))


def checked(code: int, refusal: Any = None, what: str = "") -> int:
    if code < 0:
        raise refused(code, refusal, what)
    return code
