"""select inside one trio program: exactly one of several sends and receives."""

from typing import TYPE_CHECKING, Any, NamedTuple

from kcoro_ipc import structs
from kcoro_ipc.engine.handle import State
from kcoro_ipc.engine.port import Ended
from kcoro_ipc.errors import InvalidArgument, KcoroError, error_for
from kcoro_ipc.trio_errors import TRIO_ERRORS

if TYPE_CHECKING:
    from kcoro_ipc.engine.channel import Channel

KEY_BYTES = 8
MOST_CLAUSES = 64


class Selected(NamedTuple):
    """The clause that took effect: its place, its channel, and what it received (None: it sent)."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody misses here
    channel: "Channel"
    value: Any


class Clause:
    """One arm of a select; made by `receiving` and `sending` of a channel."""

    def __init__(
        self, channel: "Channel", state: State, sends: bool = False, value: Any = None
    ) -> None:
        self.channel = channel
        self.state = state
        self.sends = sends
        self.value = value


class Selecting:
    """A select under way; its objects are in their tables until it is decided."""

    takes_words = False

    def __init__(self, clauses: tuple[Clause, ...]) -> None:
        if not 1 <= len(clauses) <= MOST_CLAUSES:
            raise InvalidArgument(f"a select has 1 to {MOST_CLAUSES} clauses, not {len(clauses)}")
        self._clauses = clauses
        self._keys: dict[int, int] = {}
        self.owners = tuple(clause.channel for clause in clauses)
        self.arms = [self._arm(index, clause) for index, clause in enumerate(clauses)]

    def _arm(self, index: int, clause: Clause) -> structs.Clause:
        state = clause.state
        if not clause.sends:
            return structs.Clause(state.chan)
        if state.codec is not None:
            data = state.codec.encode(clause.value)
        else:
            self._keys[index] = state.objects.put(clause.value)
            data = self._keys[index].to_bytes(KEY_BYTES, "little")
        return structs.Clause(state.chan, structs.CLAUSE_SEND, 0, data)

    def finish(self, ended: Ended) -> Selected:
        index = ended.clause
        if ended.code == 0 and not ended.flags & structs.RESULT_DROPPED:
            self._keys.pop(index, None)  # it went with its message
        self.forget()
        clause = self._clauses[index] if index < len(self._clauses) else None
        if ended.code or clause is None:
            raise self._failure(ended, clause)
        if clause.sends:
            if clause.state.evicts:
                clause.state.release_dropped()
            return Selected(index, clause.channel, None)
        key = int.from_bytes(ended.data, "little") if clause.state.codec is None else 0
        return Selected(index, clause.channel, clause.state.message_of(ended._replace(word=key)))

    def forget(self) -> None:
        for index, key in self._keys.items():
            self._clauses[index].state.objects.take(key)
        self._keys.clear()

    def _failure(self, ended: Ended, clause: Clause | None) -> KcoroError:
        """Of the clause that failed; a try that found nothing is none's."""
        if clause is None or ended.code == structs.lib.KC_EAGAIN:
            return error_for(ended.code, table=TRIO_ERRORS)
        side = "send" if clause.sends else "receive"
        error = clause.state.failure(ended.code, ended.reason, side)
        error.details["index"] = ended.clause
        return error
