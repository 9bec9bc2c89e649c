"""The daemon on trio: one task waits for one descriptor, turns, and deals with what is left.

No task per connection, operation or deadline exists: hot frames end in C, control frames are
answered between two turns, and the deadlines of what Python holds are one number. With `io_thread`
the turn blocks in a worker thread; trio deals with its report between two turns, so the pump is
touched by one thread at a time in both modes, and `stop` only leaves a note and rings.

Invariant: nothing a client sends ends the loop; a fault of ours in dealing with it is logged.

Long: what a turn left is dealt with in one fixed order under one budget of time, which must be seen
at once.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from enum import IntEnum
from functools import partial
from typing import TypeVarTuple

import trio

from kcoro_ipc import control
from kcoro_ipc.acceptor import Acceptor
from kcoro_ipc.broker import Broker, make_engine
from kcoro_ipc.closing import Closer
from kcoro_ipc.control import Outcome, Then
from kcoro_ipc.draining import Drain
from kcoro_ipc.errors import KC_ECONNRESET
from kcoro_ipc.logs import say
from kcoro_ipc.pump import NativePump
from kcoro_ipc.quotas import Limits
from kcoro_ipc.registry import Registry
from kcoro_ipc.reports import Control, Report
from kcoro_ipc.signals import reload_by_signal, stop_by_signal
from kcoro_ipc.telling import say_closed, say_event, say_fault, say_note
from kcoro_ipc.transport import Listener
from kcoro_ipc.trimming import Trimmer

REPOLL_NS = 50_000  # how long a turn looks for more work before it gives up; docs/PERFORMANCE.md
DUE_PER_TURN = 64
EVENTS_PER_TURN = 64
TURN_NS = 2_000_000  # after which Python leaves the rest to the next turn: others wait
# Of that for control frames, and as much for subscriptions and what waits for a name. Who else
# wants something is seen in the next turn only, which costs 40 us; with 2 ms a user who floods had
# everybody else wait several times as long (decisions 0046 and 0055).
CONTROL_NS = 500_000
FLUSH_S = 1.0  # for the last answers to be read by their clients

Args = TypeVarTuple("Args")


async def serve(
    listeners: Sequence[Listener],
    *,
    limits: Limits | None = None,
    drain_s: float = 10.0,
    io_thread: bool = False,
    signals: bool = True,
    prepare: Callable[[Broker], object] | None = None,
    reload: Callable[["Daemon"], Awaitable[object]] | None = None,
    ready: Callable[[], None] | None = None,
    stopping: Callable[[float], object] | None = None,
    beside: Callable[["Daemon"], Awaitable[object]] | None = None,
    metrics: Sequence[Listener] = (),
) -> int:
    """Serves until SIGTERM or SIGINT (`signals`) or `stop`; 0, or 1 when messages were lost.

    Closes the listeners. `prepare` is called before anybody is served, `reload` after SIGHUP
    (`signals`). `ready` is called when connections are accepted, `stopping` once, with the seconds
    that it may take, when it begins to drain or, without that, to end; `beside` runs as long as the
    daemon and may call its `stop`. `metrics` is where scrapers ask, closed too. Cancelling the
    caller ends all without a word.
    """
    daemon = Daemon(listeners, limits or Limits(), drain_s, stopping, metrics)
    try:
        if prepare is not None:
            prepare(daemon.broker)
        with say_fault():
            async with trio.open_nursery() as nursery:
                if signals:
                    await nursery.start(stop_by_signal, daemon.stop)
                if signals and reload is not None:
                    await nursery.start(reload_by_signal, partial(reload, daemon))
                if beside is not None:
                    nursery.start_soon(beside, daemon)
                if ready is not None:
                    ready()
                await daemon.run(io_thread)
                nursery.cancel_scope.cancel()
    finally:
        daemon.free()
    return 1 if daemon.going.lost else 0


class Stop(IntEnum):
    """What `stop` asked for last."""

    NOT = 0
    DRAIN = 1
    END = 2


class Daemon:
    def __init__(
        self,
        listeners: Sequence[Listener],
        limits: Limits,
        drain_s: float,
        stopping: Callable[[float], object] | None = None,
        metrics: Sequence[Listener] = (),
    ) -> None:
        self._metrics = metrics
        self.engine = make_engine(limits)
        self.pump = NativePump(
            self.engine,
            connections=limits.connections,
            requests_per_conn=limits.requests_per_connection,
            parked_per_conn=limits.parked_per_connection,
            held_per_conn=limits.held_per_connection,
        )
        self.pump.pace(limits.frames_per_second_per_connection, limits.frames_per_second_per_uid)
        self.broker = Broker(self.engine, self.pump, Registry(limits), time.monotonic_ns)
        self.acceptor = Acceptor(self.broker, listeners)
        self.trimmer = Trimmer(
            self.engine, time.monotonic_ns, lambda: len(self.broker.registry.peers)
        )
        self.closer = Closer(self.pump)
        self.going = Drain(self.broker, self.acceptor, drain_s, stopping)
        self.turned = trio.lowlevel.ParkingLot()  # until a turn and what it left to Python are done
        self._stop = Stop.NOT
        self._asked: list[tuple[Callable[[], object], trio.Event]] = []

    def free(self) -> None:
        """Everything at once, without a word to anybody."""
        self.acceptor.close()
        self.closer.leave()
        for listener in self._metrics:
            listener.close()
        self.pump.free()
        self.engine.free()

    def stop(self, drain: bool) -> None:
        """Drain, or, without `drain` or when that was asked before, end now."""
        self._stop = Stop.DRAIN if drain and self._stop is Stop.NOT else Stop.END
        self.pump.wake()

    async def between_turns(self, function: Callable[[], object]) -> None:
        """Runs it while nobody turns, when broker and pump may be touched; returns afterwards."""
        done = trio.Event()
        self._asked.append((function, done))
        self.pump.wake()
        await done.wait()

    # --- the loop ---

    async def run(self, io_thread: bool) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._wake_when_cancelled)
            nursery.start_soon(self.closer.run)
            for listener in self._metrics:
                nursery.start_soon(self._serve_metrics, listener)
            busy = True
            while not self._over():
                # A turn that blocks does not return for a message that was taken: it would not be
                # seen that the last one is gone.
                in_thread = io_thread and not self.broker.draining
                report = await (self._turn_in_thread if in_thread else self._turn_here)(busy)
                self.handle(report)
                self.turned.unpark_all()
                busy = not report.idle
            nursery.cancel_scope.cancel()
        await self._finish()

    async def _serve_metrics(self, listener: Listener) -> None:
        from kcoro_ipc import metrics_http  # HTTP is loaded where it is spoken

        await metrics_http.serve(listener, self.broker)

    def _over(self) -> bool:
        """Between two turns: begins to drain when asked; True when this turn was the last."""
        if self._stop is Stop.DRAIN and self.going.until_ns is None:
            self.going.begin()
        return self._stop is Stop.END or self.going.over()

    async def _turn_here(self, busy: bool) -> Report:
        left_ns = self._left_ns()
        if busy or left_ns == 0:
            await trio.lowlevel.checkpoint()
        elif left_ns is None:
            await trio.lowlevel.wait_readable(self.pump.fd())
        else:
            with trio.move_on_after(left_ns / 1e9):
                await trio.lowlevel.wait_readable(self.pump.fd())
        return self.pump.turn(0, REPOLL_NS)

    async def _turn_in_thread(self, busy: bool) -> Report:
        left_ns = 0 if busy else self._left_ns()
        timeout_ns = -1 if left_ns is None else left_ns
        return await trio.to_thread.run_sync(self.pump.turn, timeout_ns, REPOLL_NS)

    async def _wake_when_cancelled(self) -> None:
        """A worker thread that blocks in a turn hears of a cancellation by the pump's bell."""
        try:
            await trio.sleep_forever()
        finally:
            self.pump.wake()

    def _left_ns(self) -> int | None:
        """Until the earliest deadline that Python holds; None: there is none."""
        deadlines = (
            self.broker.next_deadline_ns(),
            self.acceptor.next_deadline_ns(),
            self.trimmer.next_deadline_ns(),
            self.going.next_deadline_ns(),
        )
        times = [when for when in deadlines if when is not None]
        return max(0, min(times) - self.broker.clock()) if times else None

    # --- one report ---

    def handle(self, report: Report) -> None:
        """All that a turn leaves to Python.

        Each part is bounded by a count or by time and does at least one piece; what is left is in
        the next report.
        """
        until_ns = self.broker.clock() + TURN_NS
        self.broker.books.turned(report.frames, report.control)
        if report.notes:
            _guarded(self._handle_notes)  # before whom they are about has gone
        while self._asked:
            function, done = self._asked.pop(0)
            _guarded(function)
            done.set()
        if report.closed:
            _guarded(self._handle_closed, until_ns)
        if report.control:
            _guarded(self._handle_control, min(until_ns, self.broker.clock() + CONTROL_NS))
        if report.cancelled:
            _guarded(self._handle_cancelled, until_ns)
        if report.regions:
            _guarded(self._handle_regions, until_ns)
        _guarded(self.closer.look, report.files)
        if report.cut:
            _guarded(self.acceptor.say_cut)
        if report.accept:
            _guarded(self.acceptor.accept)
        if report.events:
            _guarded(self._handle_events)
        _guarded(self.acceptor.resume_if_due)
        _guarded(self.trimmer.look)
        due_ns = min(until_ns, self.broker.clock() + CONTROL_NS)
        _guarded(control.due, self.broker, DUE_PER_TURN, due_ns)

    def _handle_closed(self, until_ns: int) -> None:
        while (closed := self.pump.next_closed()) is not None:
            _guarded(say_closed, self.broker, closed)
            _guarded(self.broker.depart, closed)
            if self.broker.is_late(until_ns):
                break
        self.acceptor.resume()

    def _handle_control(self, until_ns: int) -> None:
        while (frame := self.pump.next_control()) is not None:
            if not _guarded(self._answer, frame):
                self.pump.close(frame.conn, KC_ECONNRESET)
            if self.broker.is_late(until_ns):
                break

    def _answer(self, frame: Control) -> None:
        self._apply(frame, control.serve(self.broker, frame))

    def _apply(self, frame: Control, outcome: Outcome) -> None:
        """A connection that is gone by now refuses each of these, and nothing is lost by it."""
        if outcome.greet is not None:
            self.pump.speak(frame.conn, *outcome.greet)
        if outcome.then is Then.REPLY:
            self.pump.reply(frame.conn, outcome.frame)
        elif outcome.then is Then.RESUBMIT:
            self.pump.resubmit(frame.conn)
        else:
            self.pump.resume(frame.conn)
        if outcome.end is not None:
            self.pump.close(frame.conn, outcome.end)

    def _handle_cancelled(self, until_ns: int) -> None:
        while (target := self.pump.next_cancelled()) is not None:
            _guarded(control.cancelled, self.broker, *target)
            if self.broker.is_late(until_ns):
                break

    def _handle_regions(self, until_ns: int) -> None:
        while (ended := self.pump.next_region_ended()) is not None:
            _guarded(control.region_ended, self.broker, *ended)
            if self.broker.is_late(until_ns):
                break

    def _handle_notes(self) -> None:
        while (note := self.pump.next_note()) is not None:
            _guarded(say_note, self.broker, note)

    def _handle_events(self) -> None:
        for _ in range(EVENTS_PER_TURN):
            event = self.engine.take_event()
            if event is None:
                return
            _guarded(say_event, self.broker, event)

    async def _finish(self) -> None:
        """Turns until all that was said is read. A turn that served something may have parked it
        too late to hear of the end: `end` again, and another turn."""
        self.going.end()
        with trio.move_on_after(FLUSH_S):
            served = True
            while served or self.pump.unread_bytes():
                report = await self._turn_here(busy=served)
                self.handle(report)
                served = bool(report.frames or report.control)
                if served:
                    self.going.end()
        self.going.count_lost()


def _guarded(function: Callable[[*Args], object], *args: *Args) -> bool:
    """A fault of ours while dealing with one connection must not end the others. False: one was."""
    try:
        function(*args)
    except Exception as error:  # noqa: BLE001  logged, and the loop goes on
        say(logging.ERROR, "fault", error)
        return False
    return True
