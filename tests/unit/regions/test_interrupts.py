"""KeyboardInterrupt at every moment at which CPython lets a signal handler run: no lease is lost.

CPython 3.11 looks for signals after calls of C functions, at the beginning of functions and when a
loop goes back. `interrupts` raises at the first such moment, then at the second, and so on until
the work is done before its turn comes.
"""

import dis
import sys
import warnings
from collections.abc import Callable, Iterator
from types import FrameType, SimpleNamespace
from typing import Any

import pytest

from kcoro_ipc.blocking.channel import Channel
from kcoro_ipc.blocking.handle import Handle
from kcoro_ipc.codecs import Bytes
from kcoro_ipc.protocol.descriptors import Descriptor
from kcoro_ipc.protocol.renewal import making
from kcoro_ipc.regions import Side
from kcoro_ipc.regions.lease import release_all
from kcoro_ipc.regions.memory import create_memory
from tests.unit.regions.test_loans_and_leases import announce, make_side, released

TEXT = b"0123456789"
NO_LINK: Any = None


class Interrupter:
    """Raises at the `place`th moment in code of kcoro_ipc; `came` says whether there was one."""

    def __init__(self, place: int) -> None:
        self.left = place
        self.came = False
        self._before: dict[FrameType | None, str] = {}  # the instruction that was executed last

    def __call__(self, frame: FrameType, event: str, _: Any) -> Any:
        if "/kcoro_ipc/" not in frame.f_code.co_filename or frame.f_code.co_name == "__del__":
            return None  # what a finalizer raises is printed and lost, whoever it is
        frame.f_trace_opcodes = True
        if event == "return":
            # One of Python's own functions: after it nothing is looked for.
            self._before.pop(frame, None)
            if frame.f_back in self._before:
                self._before[frame.f_back] = ""
        elif event == "call" or (event == "opcode" and self._is_moment(frame)):
            self._moment()
        return self

    def _is_moment(self, frame: FrameType) -> bool:
        before = self._before.get(frame, "")
        self._before[frame] = dis.opname[frame.f_code.co_code[frame.f_lasti]]
        return before.startswith("CALL") or before == "JUMP_BACKWARD"

    def _moment(self) -> None:
        if self.came:
            return
        self.left -= 1
        if self.left < 0:
            self.came = True
            self._before.clear()  # it keeps frames, and what they hold
            raise KeyboardInterrupt


def interrupts(work: Callable[[], Any]) -> Iterator[int]:
    """Runs it again and again, each time interrupted at the next moment; yields after each."""
    place = 0
    while True:
        interrupter = Interrupter(place)
        before = sys.gettrace()
        sys.settrace(interrupter)
        try:
            work()
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(before)
        if not interrupter.came:
            assert place > 10, "hardly any moment was found: the test looks at the wrong code"
            return
        yield place
        place += 1


@pytest.fixture
def side() -> Iterator[Side]:
    found = make_side()
    memory, file = create_memory(4096)
    memory[:10] = TEXT
    announce(found, 7, file, 4096)
    yield found
    found.close()
    found.mappings.close()


def settle(side: Any) -> None:
    """What the next request does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        side.releases.end_dropped()


def channel_of(side: Side) -> Channel:
    connection: Any = SimpleNamespace(side=side, max_frame_bytes=1 << 24)
    reply: Any = SimpleNamespace(attributes={})
    return Channel(Handle(NO_LINK, connection, making("jobs", {}), reply), Bytes())


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_lease_of_an_interrupted_release_is_told_with_the_next_request(side: Any) -> None:
    leases: list[Any] = []

    def work() -> None:
        leases[0].release()

    def fresh() -> None:
        leases[:] = [side.mappings.lease(Descriptor(7, 0, 5, 99))]
        del side.told[:]

    fresh()
    for place in interrupts(work):
        leases.clear()
        settle(side)
        assert set(released(side)) == {99}, f"interrupted at moment {place}"
        assert side.releases.leases_open == 0
        fresh()
    assert released(side) == [99]


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_leases_of_an_interrupted_release_of_several_are_all_told(side: Any) -> None:
    leases: list[Any] = []

    def fresh() -> None:
        leases[:] = [side.mappings.lease(Descriptor(7, 0, 5, number)) for number in (1, 2, 3)]
        del side.told[:]

    fresh()

    def work() -> None:
        release_all(leases)

    for place in interrupts(work):
        leases.clear()
        settle(side)
        assert set(released(side)) == {1, 2, 3}, f"interrupted at moment {place}"
        assert side.releases.leases_open == 0
        fresh()


def test_a_receive_that_is_interrupted_while_it_copies_loses_neither_message_nor_range(
    side: Any,
) -> None:
    channel = channel_of(side)
    found: list[bytes] = []

    def fresh() -> None:
        channel._kept.keep(side.mappings, [Descriptor(7, 0, 3, 1), Descriptor(7, 3, 3, 2)])
        del side.told[:]
        found.clear()

    fresh()

    def work() -> None:
        found.extend(channel.receive_many())

    for place in interrupts(work):
        if not found:
            assert released(side) == [] or not any(
                isinstance(body, Descriptor) for body in channel._kept._bodies
            ), "what may still be read was given back"
            found += channel.receive_many()
        settle(side)
        assert found == [b"012", b"345"], f"interrupted at moment {place}"
        assert set(released(side)) == {1, 2}
        fresh()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_receive_that_is_interrupted_while_it_leases_gives_nothing_back(side: Any) -> None:
    channel = channel_of(side)
    found: list[Any] = []

    def fresh() -> None:
        channel._kept.keep(side.mappings, [Descriptor(7, 0, 3, 1), Descriptor(7, 3, 3, 2)])
        del side.told[:]
        found.clear()

    fresh()

    def work() -> None:
        found.extend(channel.receive_many(lease=True))

    for place in interrupts(work):
        settle(side)
        assert released(side) == [], f"interrupted at moment {place}"
        found += [] if found else channel.receive_many(lease=True)
        assert [bytes(lease.data) for lease in found] == [b"012", b"345"]
        while found:
            found.pop().release()
        assert side.releases.leases_open == 0
        fresh()
