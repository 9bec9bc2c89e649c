"""trio's memory channels on the engine: the same names, the same promises, the same errors.

The last sender's close lets the receivers drain the channel to its end; the last receiver's close
breaks it, and who sends or waits to send gets BrokenResourceError.
"""

import math
from abc import abstractmethod
from types import TracebackType
from typing import TYPE_CHECKING, Any

import trio
from trio.lowlevel import checkpoint

from kcoro_ipc import structs
from kcoro_ipc.engine.handle import Handle, State
from kcoro_ipc.errors import KC_ECANCELED, KcoroError
from kcoro_ipc.metrics import ChannelSnapshot, snapshot
from kcoro_ipc.trio_errors import BrokenResourceError

if TYPE_CHECKING:
    from kcoro_ipc.engine.engine import Engine

LARGEST_BUFFER = 1 << 20  # of a buffered channel; above it an unlimited one with a bound
MOST_ITEMS = 1 << 24  # more than an engine has message records for
# trio counts more things in later versions.
STATISTICS = tuple(field.name for field in trio.MemoryChannelStatistics.__attrs_attrs__)


class MemoryState(State):
    """A channel with a sending and a receiving end, each with its own handles."""

    def __init__(self, engine: "Engine", chan: int, max_buffer_size: float) -> None:
        super().__init__(engine, chan, codec=None, name=None, evicts=False)
        self.max_buffer_size = max_buffer_size
        self.senders = 0
        self.receivers = 0

    def failure(self, code: int, reason: int, side: str) -> KcoroError:
        if code == KC_ECANCELED:
            return BrokenResourceError("every receiving end is closed; nobody would receive this")
        return super().failure(code, reason, side)

    def snapshot(self) -> ChannelSnapshot:
        values = self.engine.native.chan_stats(self.chan)
        return snapshot(dict(enumerate(values)), self.chan)


class MemoryEnd(Handle):
    _state: MemoryState

    def statistics(self) -> trio.MemoryChannelStatistics:
        """As of trio's channels."""
        state = self._state
        seen = state.snapshot() if state.handles and not state.engine.closed else None
        values: dict[str, Any] = {
            "current_buffer_used": seen.ready if seen else 0,
            "max_buffer_size": state.max_buffer_size,
            "open_send_channels": state.senders,
            "open_receive_channels": state.receivers,
            "tasks_waiting_send": seen.parked_senders if seen else 0,
            "tasks_waiting_receive": seen.parked_receivers if seen else 0,
            "peak_buffer_used": seen.peak_depth if seen else 0,
        }
        return trio.MemoryChannelStatistics(**{name: values[name] for name in STATISTICS})

    @abstractmethod
    def close(self) -> None:
        """Closes this handle; its own waiting calls end with ClosedResourceError. Idempotent."""

    async def aclose(self) -> None:
        """As `close`, and a checkpoint."""
        self.close()
        await checkpoint()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class MemorySendChannel(MemoryEnd, trio.abc.SendChannel[Any]):
    def __init__(self, state: MemoryState) -> None:
        super().__init__(state)
        state.senders += 1

    def send_nowait(self, value: Any) -> None:
        """Sends at once, or raises WouldBlock."""
        self._send_nowait(value)

    async def send(self, value: Any) -> None:
        """Sends one value, waiting for room or for a receiver."""
        await self._send(value)

    def clone(self) -> "MemorySendChannel":
        """Another handle on the sending end, to be closed on its own."""
        self._usable()
        return MemorySendChannel(self._state)

    def close(self) -> None:
        state = self._state
        if self._leave():
            state.senders -= 1
            if state.handles == 0:
                state.drop()
            elif state.senders == 0:
                state.engine.native.chan_close(state.chan)
                self._port.drain()

    def __enter__(self) -> "MemorySendChannel":
        return self


class MemoryReceiveChannel(MemoryEnd, trio.abc.ReceiveChannel[Any]):
    def __init__(self, state: MemoryState) -> None:
        super().__init__(state)
        state.receivers += 1

    def receive_nowait(self) -> Any:
        """The next value, or WouldBlock."""
        return self._receive_nowait()

    async def receive(self) -> Any:
        """The next value. EndOfChannel once every sending end is closed and the rest received."""
        return await self._receive()

    def clone(self) -> "MemoryReceiveChannel":
        """Another handle on the receiving end, to be closed on its own."""
        self._usable()
        return MemoryReceiveChannel(self._state)

    def close(self) -> None:
        state = self._state
        if self._leave():
            state.receivers -= 1
            if state.handles == 0:
                state.drop()
            elif state.receivers == 0:
                state.destroy()

    def __enter__(self) -> "MemoryReceiveChannel":
        return self


def memory_config(max_buffer_size: float) -> structs.ChannelConfig:
    """The engine's channel for trio's max_buffer_size; refuses what trio refuses."""
    if max_buffer_size != math.inf and not isinstance(max_buffer_size, int):
        raise TypeError("max_buffer_size must be an integer or math.inf")
    if max_buffer_size < 0:
        raise ValueError("max_buffer_size must be >= 0")
    flags = structs.CHAN_TELL_DROPPED
    if max_buffer_size == 0:
        return structs.ChannelConfig(kind=0, flags=flags)
    if max_buffer_size <= LARGEST_BUFFER:
        return structs.ChannelConfig(kind=1, capacity=int(max_buffer_size), flags=flags)
    most = int(min(max_buffer_size, MOST_ITEMS))
    return structs.ChannelConfig(kind=-2, max_items=most, flags=flags)
