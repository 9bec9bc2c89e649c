"""One line per event, `event key=value ...`, on a stream; in the journal its fields as well.

Callers give an event and fields, never a formatted text: `say(logging.INFO, "channel made",
name="jobs", uid=1000)`. Values come from clients too, so whatever could break a line or imitate a
second field is quoted. The standard library carries the lines; structlog would cost 200 ms
of start. A reader that has stopped (a full pipe, a held terminal, a journal that is behind) loses
lines and never stops the daemon. What a client can make us say as often as it likes goes through a
throttle (throttle.py).
"""

import json
import logging
import os
import select
import sys
from typing import TextIO

from kcoro_ipc.journal import Fields, Journal, is_journal

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


def say(level: int, event: str, trouble: BaseException | None = None, /, **fields: object) -> None:
    """Logs one event; fields that are None are left out. `trouble` adds its traceback."""
    if log.isEnabledFor(level):
        log.log(level, event, extra={"fields": fields}, exc_info=trouble)


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
        return f"{self.formatTime(record)} {record.levelname.lower():7} {text(record)}"


class PriorityFormatter(logging.Formatter):
    """`<6>channel made name=jobs uid=1000`, as sd-daemon(3) has it; a traceback's lines too."""

    def format(self, record: logging.LogRecord) -> str:
        mark = f"<{PRIORITIES.get(record.levelno, 6)}>"
        return mark + text(record).replace("\n", "\n" + mark)


def text(record: logging.LogRecord) -> str:
    said = line(record)
    if record.exc_info:
        said += "\n" + logging.Formatter().formatException(record.exc_info)
    return said


def journal_fields(record: logging.LogRecord) -> Fields:
    """MESSAGE is the whole line, so that nobody needs the fields to read it."""
    yield "MESSAGE", text(record)
    yield "PRIORITY", str(PRIORITIES.get(record.levelno, 6))
    yield "SYSLOG_IDENTIFIER", "kcoro"
    yield "KCORO_EVENT", record.getMessage()
    fields: dict[str, object] = getattr(record, "fields", {})
    for key, value in fields.items():
        if value is not None:
            yield f"KCORO_{key.upper()}", str(value)


class LossyHandler(logging.StreamHandler[TextIO]):
    """Writes only what the stream takes without blocking, and later says how many lines it lost.

    poll(2) promises that PIPE_BUF bytes fit, so longer texts go in pieces. O_NONBLOCK is no way: it
    would belong to everybody who has this stderr.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.lost = 0
        self.lost_total = 0
        try:
            self._fd: int | None = stream.fileno()
        except (OSError, ValueError):
            self._fd = None  # a stream in memory takes everything

    def emit(self, record: logging.LogRecord) -> None:
        if self.lost and self._is_taken(_loss(self.lost)):
            self.lost = 0
        if not self._is_taken(record):
            self.lost += 1
            self.lost_total += 1

    def _is_taken(self, record: logging.LogRecord) -> bool:
        try:
            return self._deliver(record)
        except (OSError, ValueError):
            return False

    def _deliver(self, record: logging.LogRecord) -> bool:
        data = f"{self.format(record)}\n"
        if self._fd is None:
            self.stream.write(data)
            return True
        return _write(self._fd, data.encode(errors="backslashreplace"))


def _loss(count: int) -> logging.LogRecord:
    said = f"{count} log lines lost: nobody read them"
    return logging.makeLogRecord(
        {"msg": said, "levelno": logging.WARNING, "levelname": "WARNING", "name": log.name}
    )


def _write(fd: int, data: bytes) -> bool:
    for start in range(0, len(data), select.PIPE_BUF):
        poll = select.poll()
        poll.register(fd, select.POLLOUT)
        if not any(events & select.POLLOUT for _, events in poll.poll(0)):
            return False
        os.write(fd, data[start : start + select.PIPE_BUF])
    return True


class JournalHandler(LossyHandler):
    """Entries with fields; while journald is away, lines with their priority on its stream."""

    def __init__(self, stream: TextIO, journal: Journal) -> None:
        super().__init__(stream)
        self._journal = journal
        self.setFormatter(PriorityFormatter())

    def _deliver(self, record: logging.LogRecord) -> bool:
        try:
            self._journal.send(journal_fields(record))
        except BlockingIOError:
            return False
        except OSError:
            return super()._deliver(record)
        return True

    def close(self) -> None:
        self._journal.close()
        super().close()


def lines_lost() -> int:
    """Since the start, by all who write our lines."""
    return sum(one.lost_total for one in log.handlers if isinstance(one, LossyHandler))


def start(level: str, stream: TextIO | None = None) -> None:
    """Sends the daemon's events from `level` upwards to `stream` (stderr), or to the journal if
    that is what reads the stream."""
    stream = stream or sys.stderr
    if is_journal(stream):
        handler: LossyHandler = JournalHandler(stream, Journal())
    else:
        handler = LossyHandler(stream)
        handler.setFormatter(TerminalFormatter())
    log.handlers[:] = [handler]
    log.setLevel(level.upper())
    log.propagate = False
