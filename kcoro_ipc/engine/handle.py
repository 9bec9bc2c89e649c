"""What every in-process handle is made of: the state of its channel, and operations under way."""

from typing import TYPE_CHECKING, Any

from trio.lowlevel import (
    cancel_shielded_checkpoint,
    checkpoint_if_cancelled,
    enable_ki_protection,
)

from kcoro_ipc import forks, structs
from kcoro_ipc.codecs import Codec
from kcoro_ipc.engine.objects import Objects
from kcoro_ipc.engine.port import Ended
from kcoro_ipc.errors import KC_ECANCELED, KcoroError, error_for
from kcoro_ipc.trio_errors import TRIO_ERRORS, ClosedResourceError

if TYPE_CHECKING:
    from kcoro_ipc.engine.engine import Engine

CLOSED = "this handle on the channel is closed"


class State:
    """What the handles of one channel share. `codec` None: objects travel, not bytes."""

    def __init__(
        self, engine: "Engine", chan: int, codec: Codec | None, name: str | None, evicts: bool
    ) -> None:
        self.engine = engine
        self.port = engine.port
        self.chan = chan
        self.codec = codec
        self.name = name
        self.evicts = evicts and codec is None
        self.objects = Objects()
        self.handles = 0

    def start_send(self, value: Any, wait: bool) -> tuple[int, Any]:
        """The key of the object (0 for bytes), and the engine's result."""
        if self.codec is not None:
            return 0, self.port.send_bytes(self.chan, self.codec.encode(value), wait)
        key = self.objects.put(value)
        return key, self.port.send_word(self.chan, key, wait)

    def message_of(self, ended: Ended) -> Any:
        if self.codec is None:
            return self.objects.take(ended.word)
        return self.codec.decode(ended.data)

    def failure(self, code: int, reason: int, side: str) -> KcoroError:
        why = None
        if code == KC_ECANCELED:
            why = self.engine.native.chan_reason(self.chan) or structs.REASONS.get(reason)
        return error_for(code, side=side, table=TRIO_ERRORS, channel=self.name, reason=why)

    def release_dropped(self) -> None:
        """Objects whose messages the engine dropped: conflated, evicted, purged, destroyed."""
        if self.codec is not None:
            return
        while (word := self.engine.native.chan_take_dropped(self.chan)) is not None:
            self.objects.take(int.from_bytes(word, "little"))

    def destroy(self, reason: str = "") -> None:
        self.engine.native.chan_destroy(self.chan, text=reason)
        self.port.drain()
        self.release_dropped()

    def drop(self) -> None:
        """The last handle is gone: the channel goes, with what is in it."""
        self.destroy()
        self.engine.native.chan_drop(self.chan)


class Sending:
    """A send under way."""

    takes_words = True  # its result brings no message

    def __init__(self, owner: object, state: State, key: int) -> None:
        self.owners = (owner,)
        self.state = state
        self.key = key

    def finish(self, ended: Ended) -> bool:
        """True: accepted or taken. False: dropped by drop_newest."""
        if ended.code == 0 and not ended.flags & structs.RESULT_DROPPED:
            return True
        self.forget()
        if ended.code == 0:
            return False
        raise self.state.failure(ended.code, ended.reason, "send")

    def forget(self) -> None:
        if self.key:
            self.state.objects.take(self.key)


class Receiving:
    """A receive under way."""

    def __init__(self, owner: object, state: State) -> None:
        self.owners = (owner,)
        self.state = state
        self.takes_words = state.codec is None

    def finish(self, ended: Ended) -> Any:
        if ended.code:
            raise self.state.failure(ended.code, ended.reason, "receive")
        return self.state.message_of(ended)

    def forget(self) -> None:
        """There is nothing to undo."""


class Handle:
    """Sends and receives of one handle; which of them are public is its subclass's to say."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._port = state.port
        self.closed = False
        state.handles += 1

    @enable_ki_protection
    def _send_nowait(self, value: Any) -> bool:
        state = self._usable()
        key, result = state.start_send(value, wait=False)
        return self._sent_at_once(state, key, result)

    @enable_ki_protection
    async def _send(self, value: Any) -> bool:
        await checkpoint_if_cancelled()
        state = self._usable()
        key, result = state.start_send(value, wait=True)
        if result.code == structs.PARKED:
            sent: bool = await self._port.wait(Sending(self, state, key), result)
            return sent
        try:
            return self._sent_at_once(state, key, result)
        finally:
            await cancel_shielded_checkpoint()

    def _sent_at_once(self, state: State, key: int, result: Any) -> bool:
        if result.code or result.flags & structs.RESULT_DROPPED:
            dropped: bool = self._port.end_now(Sending(self, state, key), result)
            return dropped
        self._port.drain()
        if state.evicts:
            state.release_dropped()
        return True

    @enable_ki_protection
    def _receive_nowait(self) -> Any:
        state = self._usable()
        result = self._port.receive(state.chan, False, state.codec is None)
        return self._received_at_once(state, result)

    @enable_ki_protection
    async def _receive(self) -> Any:
        await checkpoint_if_cancelled()
        state = self._usable()
        result = self._port.receive(state.chan, True, state.codec is None)
        if result.code == structs.PARKED:
            return await self._port.wait(Receiving(self, state), result)
        try:
            return self._received_at_once(state, result)
        finally:
            await cancel_shielded_checkpoint()

    def _received_at_once(self, state: State, result: Any) -> Any:
        if result.code or state.codec is not None:
            return self._port.end_now(Receiving(self, state), result)
        value = state.objects.take(self._port.word_of(result))
        self._port.drain()
        return value

    def _leave(self) -> bool:
        """Ends this handle and its waits; whether the channel's own end is left to be decided."""
        if self.closed:
            return False
        self.closed = True
        self._state.handles -= 1
        engine = self._state.engine
        if engine.closed or engine.generation != forks.generation:
            return False
        self._port.end_waits(self, CLOSED)
        return True

    def _usable(self) -> State:
        state = self._state
        if self.closed:
            raise ClosedResourceError(CLOSED)
        state.engine.check_usable()
        return state
