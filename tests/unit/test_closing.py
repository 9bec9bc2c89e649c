"""Closing of files in threads, when the system starts none."""

import logging
import os
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing

from kcoro_ipc import closing
from kcoro_ipc.closing import PAUSE_S, Closer
from kcoro_ipc.reports import Batch


class Pump:
    """Files to be closed, in batches; what was told."""

    def __init__(self, *batches: Batch) -> None:
        self.batches = list(batches)
        self.told: list[tuple[int, int]] = []
        self.woken = trio.Event()

    def take_files(self, most: int) -> Batch:
        return self.batches.pop(0) if self.batches else Batch(0, [])

    def files_closed(self, account: int, count: int) -> None:
        self.told.append((account, count))

    def wake(self) -> None:
        self.woken.set()


class Threads:
    """Of trio, but none is started while `none`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.none = True
        self.asked = 0
        self._run_sync: Callable[..., Awaitable[Any]] = trio.to_thread.run_sync
        self._start_soon: Callable[..., None] = trio.lowlevel.start_thread_soon
        monkeypatch.setattr(closing.trio.to_thread, "run_sync", self.run_sync)
        monkeypatch.setattr(closing.trio.lowlevel, "start_thread_soon", self.start_thread_soon)

    def _start(self) -> None:
        self.asked += 1
        if self.none:
            raise RuntimeError("can't start new thread")

    async def run_sync(self, *arguments: Any, **how: Any) -> Any:
        await trio.lowlevel.checkpoint()
        self._start()
        return await self._run_sync(*arguments, **how)

    def start_thread_soon(self, *arguments: Any) -> None:
        self._start()
        self._start_soon(*arguments)


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Threads:
    return Threads(monkeypatch)


def pipe() -> tuple[int, int]:
    """A reading end, and a writing one to be closed."""
    return os.pipe()


def lines(caplog: pytest.LogCaptureFixture) -> list[Any]:
    return [one.fields["files"] for one in caplog.records if one.message == "files not closed"]  # type: ignore[attr-defined]


async def test_without_threads_files_wait_and_the_daemon_goes_on(
    threads: Threads, caplog: pytest.LogCaptureFixture, autojump_clock: trio.testing.MockClock
) -> None:
    """One try a pause, one line in a while; closed and told as soon as there is a thread again."""
    caplog.set_level(logging.WARNING, "kcoro")
    reading, writing = pipe()
    pump = Pump(Batch(7, [writing]))
    closer = Closer(pump)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(closer.run)
        await trio.testing.wait_all_tasks_blocked()
        closer.look(1)
        await trio.sleep(4.5 * PAUSE_S)
        assert (threads.asked, pump.told, lines(caplog)) == (5, [], [1])
        os.fstat(writing)
        await trio.sleep(8 * PAUSE_S)
        assert lines(caplog) == [1, 1]
        threads.none = False
        await pump.woken.wait()
        closer.look(0)
        assert pump.told == [(7, 1)]
        assert os.read(reading, 1) == b""
        nursery.cancel_scope.cancel()
    closer.leave()
    assert pump.told == [(7, 1)]
    os.close(reading)


async def test_what_found_no_thread_is_left_to_one_at_the_end(
    threads: Threads, caplog: pytest.LogCaptureFixture, autojump_clock: trio.testing.MockClock
) -> None:
    """And when there is none even then, nothing is raised, and another try closes all."""
    caplog.set_level(logging.WARNING, "kcoro")
    ends = [pipe() for _ in range(2)]
    pump = Pump(Batch(7, [ends[0][1]]))
    closer = Closer(pump)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(closer.run)
        await trio.testing.wait_all_tasks_blocked()
        closer.look(1)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    pump.batches.append(Batch(8, [ends[1][1]]))
    closer.leave()
    assert pump.told == [(7, 1), (8, 1)]
    assert lines(caplog) == [1, 2]
    threads.none = False
    closer.leave()
    for reading, _ in ends:
        assert os.read(reading, 1) == b"", "waits for the thread"
        os.close(reading)
    closer.leave()
    assert threads.asked == 3
    assert pump.told == [(7, 1), (8, 1)]


async def test_what_was_handed_over_and_got_no_thread_before_the_end_is_left_to_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The last turn's batch: its task is cancelled before it asks for a thread."""
    left = []
    monkeypatch.setattr(closing, "close_files", lambda files: left.append(list(files)))
    monkeypatch.setattr(closing.trio.lowlevel, "start_thread_soon", lambda work, tell: tell(work()))
    pump = Pump(Batch(7, [1000, 1001]))
    closer = Closer(pump)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(closer.run)
        await trio.testing.wait_all_tasks_blocked()
        closer.look(1)
        nursery.cancel_scope.cancel()
    closer.leave()
    assert (pump.told, left) == ([(7, 2)], [[1000, 1001]])


async def test_a_batch_whose_thread_begins_after_the_end_is_closed_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever takes it first: a number that was closed may be another file's."""
    closed: list[list[int]] = []
    late: list[Callable[[], object]] = []
    monkeypatch.setattr(closing, "close_files", lambda files: closed.append(list(files)))

    async def asked(work: Callable[..., object], *arguments: Any, **_: Any) -> None:
        late.append(lambda: work(*arguments))
        await trio.sleep_forever()

    monkeypatch.setattr(closing.trio.to_thread, "run_sync", asked)
    monkeypatch.setattr(closing.trio.lowlevel, "start_thread_soon", lambda work, tell: tell(work()))
    pump = Pump(Batch(7, [1000]))
    closer = Closer(pump)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(closer.run)
        await trio.testing.wait_all_tasks_blocked()
        closer.look(1)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    closer.leave()
    for begin in late:
        begin()
    assert (len(late), closed, pump.told) == (1, [[1000]], [(7, 1)])


async def test_files_that_found_no_memory_to_be_closed_are_tried_again(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    tried = []

    def close(files: list[int]) -> None:
        tried.append(list(files))
        if len(tried) == 1:
            raise MemoryError

    monkeypatch.setattr(closing, "close_files", close)
    pump = Pump(Batch(7, [1000]))
    closer = Closer(pump)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(closer.run)
        await trio.testing.wait_all_tasks_blocked()
        closer.look(1)
        await pump.woken.wait()
        closer.look(0)
        nursery.cancel_scope.cancel()
    assert (pump.told, tried) == ([(7, 1)], [[1000], [1000]])


async def test_a_thread_that_the_system_refuses_is_what_is_caught(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    """With Python's own words, from where they come: a new thread of trio's cache."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(trio._core._thread_cache.THREAD_CACHE, "_idle_workers", {})
    monkeypatch.setattr(threading.Thread, "start", refuse)
    reading, writing = pipe()
    pump = Pump(Batch(7, [writing]))
    closer = Closer(pump)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(closer.run)
        await trio.testing.wait_all_tasks_blocked()
        closer.look(1)
        await trio.sleep(2.5 * PAUSE_S)
        assert pump.told == []
        os.fstat(writing)
        monkeypatch.undo()
        await pump.woken.wait()
        assert os.read(reading, 1) == b""
        nursery.cancel_scope.cancel()
    os.close(reading)
