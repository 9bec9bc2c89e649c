"""One line per event: `event key=value ...`, for a terminal or for the journal.

Callers give an event and fields, never a formatted text: `say(logging.INFO, "channel made",
name="jobs", uid=1000)`. Values come from clients too, so whatever could break a line or imitate a
second field is quoted. The standard library carries the lines; structlog would cost 200 ms
of start. A reader of our stderr that has stopped (a full pipe, a held terminal) loses lines and
never stops the daemon. What a client can make us say as often as it likes goes through a Throttle.
"""

import json
import logging
import os
import select
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

log = logging.getLogger("kcoro")

# syslog's numbers, which journald reads from `<N>` at the start of a line (sd-daemon(3)).
PRIORITIES = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}
LEVELS = ("debug", "info", "warning", "error")
LINES_PER_WINDOW = 200  # of one user and level
WINDOW_NS = 10_000_000_000


def say(level: int, event: str, trouble: BaseException | None = None, /, **fields: object) -> None:
    """Logs one event; fields that are None are left out. `trouble` adds its traceback."""
    if log.isEnabledFor(level):
        log.log(level, event, extra={"fields": fields}, exc_info=trouble)


@dataclass(slots=True)
class _Window:
    ends_ns: int
    lines: int = 0


class Throttle:
    """Lines that one user causes: so many in a window, then one line that counts those left out.

    Levels are counted apart, so that a flood of channels made hides no refusal.
    """

    def __init__(self, clock: Callable[[], int], most: int = LINES_PER_WINDOW) -> None:
        self._clock = clock
        self._most = most
        self._left_out = 0
        self._windows: dict[tuple[int, int], _Window] = {}  # equally long, so oldest first

    def say(
        self,
        uid: int,
        level: int,
        event: str,
        trouble: BaseException | None = None,
        /,
        **fields: object,
    ) -> None:
        if not log.isEnabledFor(level):
            return
        self.due()
        window = self._windows.get((uid, level))
        if window is None:
            window = self._windows[uid, level] = _Window(self._clock() + WINDOW_NS)
        window.lines += 1
        if window.lines <= self._most:
            say(level, event, trouble, **fields)
        else:
            self._left_out += 1

    def next_ns(self) -> int | None:
        """When `due` may have a count to tell; None as long as nothing was left out."""
        return next(iter(self._windows.values())).ends_ns if self._left_out else None

    def due(self) -> None:
        """Tells what was left out in the windows that are over."""
        now_ns = self._clock()
        while self._windows and next(iter(self._windows.values())).ends_ns <= now_ns:
            self._end_first()

    def end(self) -> None:
        """Tells all of it now: there will be no later."""
        while self._windows:
            self._end_first()

    def _end_first(self) -> None:
        (uid, level), window = next(iter(self._windows.items()))
        del self._windows[uid, level]
        count = max(0, window.lines - self._most)
        self._left_out -= count
        if count:
            say(level, "log lines left out", uid=uid, count=count)


def line(record: logging.LogRecord) -> str:
    fields: dict[str, object] = getattr(record, "fields", {})
    said = [record.getMessage()]
    said += [f"{key}={shown(value)}" for key, value in fields.items() if value is not None]
    return " ".join(said)


def shown(value: object) -> str:
    """As it is when that is one clear word, else quoted as in JSON."""
    text = value if isinstance(value, str) else str(value)
    plain = text.isprintable() and text and not any(sign in text for sign in ' "=\\')
    return text if plain else json.dumps(text)


class TerminalFormatter(logging.Formatter):
    """`12:03:04.512 info    channel made name=jobs uid=1000`."""

    default_msec_format = "%s.%03d"
    default_time_format = "%H:%M:%S"

    def format(self, record: logging.LogRecord) -> str:
        text = f"{self.formatTime(record)} {record.levelname.lower():7} {line(record)}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text


class JournalFormatter(logging.Formatter):
    """`<6>channel made name=jobs uid=1000`; a traceback's lines get the same priority."""

    def format(self, record: logging.LogRecord) -> str:
        mark = f"<{PRIORITIES.get(record.levelno, 6)}>"
        text = line(record)
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return mark + text.replace("\n", "\n" + mark)


class LossyHandler(logging.StreamHandler[TextIO]):
    """Writes only what the stream takes without blocking, and later says how many lines it lost.

    poll(2) promises that PIPE_BUF bytes fit, so longer texts go in pieces. O_NONBLOCK is no way: it
    would belong to everybody who has this stderr.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.lost = 0
        try:
            self._fd: int | None = stream.fileno()
        except (OSError, ValueError):
            self._fd = None  # a stream in memory takes everything

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if self.lost and self._write(f"{self.lost} log lines lost: nobody read them\n"):
                self.lost = 0
            self.lost += not self._write(self.format(record) + "\n")
        except (OSError, ValueError):
            self.lost += 1

    def _write(self, text: str) -> bool:
        if self._fd is None:
            self.stream.write(text)
            return True
        data = text.encode(errors="backslashreplace")
        for start in range(0, len(data), select.PIPE_BUF):
            if not self._is_writable(self._fd):
                return False
            os.write(self._fd, data[start : start + select.PIPE_BUF])
        return True

    @staticmethod
    def _is_writable(fd: int) -> bool:
        poll = select.poll()
        poll.register(fd, select.POLLOUT)
        return any(events & select.POLLOUT for _, events in poll.poll(0))


def is_journal(stream: TextIO) -> bool:
    """Whether `stream` is the one that systemd announced as DEVICE:INODE in $JOURNAL_STREAM."""
    try:
        stat = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{stat.st_dev}:{stat.st_ino}"


def start(level: str, stream: TextIO | None = None) -> None:
    """Sends the daemon's events from `level` upwards to `stream` (stderr)."""
    stream = stream or sys.stderr
    handler = LossyHandler(stream)
    handler.setFormatter(JournalFormatter() if is_journal(stream) else TerminalFormatter())
    log.handlers[:] = [handler]
    log.setLevel(level.upper())
    log.propagate = False
