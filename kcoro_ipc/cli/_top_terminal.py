"""The terminal of the monitor: another screen, keys without Enter, the size; all of it given back.

Whoever leaves the block, by whatever exception, finds the terminal as it was. SIGTERM and SIGHUP
become an exception (Ended), so that they leave it too; SIGWINCH only wakes `wait`.
"""

import os
import select
import shutil
import signal
import sys
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from kcoro_ipc.cli.output import write_all

ENTER_SCREEN, LEAVE_SCREEN = b"\x1b[?1049h\x1b[?25l", b"\x1b[?25h\x1b[?1049l"
HOME, TO_END_OF_LINE, TO_END = "\x1b[H", "\x1b[K", "\x1b[J"
STDIN = 0
ALONE_S = 0.05  # an escape that nothing follows for so long is the key itself
SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class Ended(BaseException):
    """A signal that ends the program came."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Terminal:
    """Within `opened()`. `keys` is False where stdin is no terminal: only the picture moves."""

    def __init__(self, wakes: int, keys: bool) -> None:
        self._wakes = wakes
        self._keys = keys

    def size(self) -> tuple[int, int]:
        """Columns, rows."""
        size = shutil.get_terminal_size()
        with suppress(OSError):
            size = os.get_terminal_size(sys.stdout.fileno())
        return (size.columns or 80, size.lines or 24)

    def show(self, lines: list[str]) -> None:
        text = HOME + f"{TO_END_OF_LINE}\r\n".join(lines) + TO_END_OF_LINE + TO_END
        write_all(text.encode(errors="replace"))

    def wait(self, seconds: float) -> str:
        """What was typed: as soon as something is, or a signal came, or the time is over."""
        watched = [self._wakes, *([STDIN] if self._keys else [])]
        ready, _, _ = select.select(watched, [], [], max(seconds, 0.0))
        if self._wakes in ready:
            os.read(self._wakes, 64)
        return self._typed() if STDIN in ready else ""

    def _typed(self) -> str:
        data = os.read(STDIN, 1024)
        if not data:
            self._keys = False  # nobody types any more
        if data == b"\x1b" and select.select([STDIN], [], [], ALONE_S)[0]:
            data += os.read(STDIN, 1024)
        return data.decode(errors="ignore")


@contextmanager
def opened() -> Iterator[Terminal]:
    with _woken() as wakes, _unbuffered() as keys:
        write_all(ENTER_SCREEN)
        try:
            yield Terminal(wakes, keys)
        finally:
            with suppress(BrokenPipeError, OSError):
                write_all(LEAVE_SCREEN)


@contextmanager
def _unbuffered() -> Iterator[bool]:
    """Keys come one by one and are not shown; ^C still interrupts."""
    if not os.isatty(STDIN):
        yield False
        return
    before = termios.tcgetattr(STDIN)
    tty.setcbreak(STDIN, termios.TCSADRAIN)  # what was typed already counts
    try:
        yield True
    finally:
        with suppress(termios.error):
            termios.tcsetattr(STDIN, termios.TCSADRAIN, before)


@contextmanager
def _woken() -> Iterator[int]:
    """A descriptor that is readable after a signal."""
    ours, theirs = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    handlers: dict[int, Any] = {number: signal.signal(number, _end) for number in SIGNALS}
    handlers[signal.SIGWINCH] = signal.signal(signal.SIGWINCH, _note)
    before = signal.set_wakeup_fd(theirs, warn_on_full_buffer=False)
    try:
        yield ours
    finally:
        signal.set_wakeup_fd(before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        os.close(ours)
        os.close(theirs)


def _end(number: int, _: FrameType | None) -> None:
    raise Ended(number)


def _note(number: int, _: FrameType | None) -> None:
    """Its coming is enough: it wakes `wait`."""


def end_by(number: int) -> None:
    """As if the signal had not been caught: whoever started us sees that it ended us."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    time.sleep(60)  # until it comes
