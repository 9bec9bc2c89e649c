"""The engine for tasks of one trio program: channels without a daemon."""

from types import TracebackType
from typing import Any

from trio.lowlevel import checkpoint_if_cancelled, enable_ki_protection

from kcoro_ipc import _wire, forks, metrics, native, structs
from kcoro_ipc.codecs import Codec, find_codec
from kcoro_ipc.engine.channel import Channel
from kcoro_ipc.engine.handle import CLOSED, State
from kcoro_ipc.engine.memory import (
    MemoryReceiveChannel,
    MemorySendChannel,
    MemoryState,
    memory_config,
)
from kcoro_ipc.engine.port import PARKED_AT_MOST, Port
from kcoro_ipc.engine.select import Clause, Selected, Selecting
from kcoro_ipc.errors import InvalidArgument
from kcoro_ipc.trio_errors import ClosedResourceError

KINDS = {word: number for number, word in metrics.KINDS.items() if word != "broadcast"}
OVERFLOWS = {word: number for number, word in metrics.OVERFLOWS.items()}


class MemoryChannels:
    """`open_memory_channel(n)`, and `open_memory_channel[T](n)` as trio allows to write it."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine

    def __getitem__(self, _: object) -> "MemoryChannels":
        return self

    def __call__(self, max_buffer_size: float) -> tuple[MemorySendChannel, MemoryReceiveChannel]:
        """A pair of ends; `max_buffer_size` 0 is a rendezvous, math.inf has no bound."""
        config = memory_config(max_buffer_size)
        self._engine.check_usable()
        state = MemoryState(self._engine, self._engine.native.chan_make(config), max_buffer_size)
        return MemorySendChannel(state), MemoryReceiveChannel(state)


class Engine:
    """Channels of one trio program. Use it in a `with` block, or call `close`.

    One thread, the one that trio runs in. Nothing of it survives fork() in the child.
    """

    def __init__(self) -> None:
        self.generation = forks.generation
        self.native = native.NativeEngine(parked_per_channel=PARKED_AT_MOST)
        self.port = Port(self.native)
        self.closed = False
        self.open_memory_channel = MemoryChannels(self)

    def make_channel(
        self,
        kind: str = "rendezvous",
        *,
        capacity: int = 0,
        overflow: str = "suspend",
        elem_size: int = 0,
        codec: Codec | str | None = None,
        name: str | None = None,
    ) -> Channel:
        """A channel of any kind: "rendezvous", "buffered", "conflated", "unlimited".

        It carries any Python object as it is. With `codec` ("bytes", "json", ...) it carries
        bytes, copied, of at most `elem_size`. `name` is for messages only.
        """
        self.check_usable()
        _check_fit(kind, capacity, overflow, elem_size)
        config = structs.ChannelConfig(
            kind=_number("kind", kind, KINDS),
            capacity=capacity,
            overflow=_number("overflow", overflow, OVERFLOWS),
            elem_size=elem_size,
            flags=structs.CHAN_TELL_DROPPED if codec is None else 0,
        )
        evicts = kind == "conflated" or overflow == "drop_oldest"
        chan = self.native.chan_make(config)
        found = None if codec is None else find_codec(codec)
        return Channel(State(self, chan, found, name, evicts))

    @enable_ki_protection
    async def select(self, *clauses: Clause, biased: bool = False) -> Selected:
        """Waits until exactly one clause takes effect, and says which.

        A clause on a closed channel is ready too: its error is raised and carries `index`. Of
        several that are ready one is drawn, each as likely as another; `biased` takes the first in
        the order given.
        """
        await checkpoint_if_cancelled()
        operation = self._selecting(clauses)
        result = self.port.select(operation.arms, True, biased)
        chosen: Selected = await self.port.wait(operation, result)
        return chosen

    @enable_ki_protection
    def select_nowait(self, *clauses: Clause, biased: bool = False) -> Selected:
        """As `select`, but WouldBlock if no clause can take effect at once."""
        operation = self._selecting(clauses)
        result = self.port.select(operation.arms, False, biased)
        chosen: Selected = self.port.end_now(operation, result)
        return chosen

    def _selecting(self, clauses: tuple[Clause, ...]) -> Selecting:
        self.check_usable()
        for clause in clauses:
            if clause.state.engine is not self:
                raise InvalidArgument("a select takes channels of one engine")
            if clause.channel.closed:
                raise ClosedResourceError(CLOSED)
        return Selecting(clauses)

    def check_usable(self) -> None:
        if self.generation != forks.generation:
            raise ClosedResourceError("this engine belongs to the parent process; make another one")
        if self.closed:
            raise ClosedResourceError("the engine of this channel is closed")

    def close(self) -> None:
        """Ends every channel; who waits gets ClosedResourceError. Idempotent."""
        if self.closed or self.generation != forks.generation:
            return
        self.port.end_all("the engine of this channel was closed")
        self.closed = True
        self.native.free()

    def __enter__(self) -> "Engine":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        """Gives the memory back. In a child of fork() it does nothing."""
        if not getattr(self, "closed", True) and self.generation == forks.generation:
            self.closed = True
            self.native.free()


def _check_fit(kind: str, capacity: int, overflow: str, elem_size: int) -> None:
    if kind == "buffered" and not 1 <= capacity <= _wire.MAX_CAPACITY:
        raise InvalidArgument(
            f"a buffered channel has 1 to {_wire.MAX_CAPACITY} places, not {capacity}"
        )
    if kind != "buffered" and (capacity or overflow != "suspend"):
        what = "capacity" if capacity else "overflow"
        raise InvalidArgument(f"{what} is for buffered channels, this one is {kind}")
    if not 0 <= elem_size <= _wire.MAX_ELEMENT_BYTES:
        raise InvalidArgument(f"elem_size is 1 to {_wire.MAX_ELEMENT_BYTES} bytes, not {elem_size}")


def _number(option: str, word: Any, words: dict[str, int]) -> int:
    if not isinstance(word, str) or word not in words:
        raise InvalidArgument(f"{option} cannot be {word!r}; choose one of {', '.join(words)}")
    return words[word]
