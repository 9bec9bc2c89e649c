"""The journal is played by a bound datagram socket and read by the rules of its documentation."""

import fcntl
import io
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from kcoro_ipc import journal, logs


class Journald:
    """What journald has been given, as a list of entries: field -> value."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind(str(path))
        self.files = 0

    def read(self) -> dict[str, str]:
        data, files, flags, _ = socket.recv_fds(self.socket, 1 << 20, 4)
        assert not flags & socket.MSG_TRUNC
        for file in files:
            assert data == b""
            seals = fcntl.fcntl(file, fcntl.F_GET_SEALS)
            with open(file, "rb") as content:
                content.seek(0)  # its offset came along; journald maps the file
                data = content.read()
            assert seals & fcntl.F_SEAL_WRITE, "journald refuses a file that may change"
            self.files += 1
        return dict(parsed(data))

    def close(self) -> None:
        self.socket.close()
        self.path.unlink(missing_ok=True)


def parsed(data: bytes) -> Iterator[tuple[str, str]]:
    while data:
        line, _, rest = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            length = int.from_bytes(rest[:8], "little")
            value, end = rest[8 : 8 + length], rest[8 + length : 9 + length]
            assert end == b"\n"
            rest = rest[9 + length :]
        assert name.decode().isupper()
        yield name.decode(), value.decode()
        data = rest


@pytest.fixture
def journald(socket_dir: Path) -> Iterator[Journald]:
    played = Journald(socket_dir / "journal")
    yield played
    played.close()


@pytest.fixture
def stderr() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def handler(journald: Journald, stderr: io.StringIO) -> Iterator[logs.JournalHandler]:
    made = logs.JournalHandler(stderr, journal.Journal(str(journald.path)))
    yield made
    made.close()


def event(said: str, level: int = logging.INFO, **fields: object) -> logging.LogRecord:
    record = logging.LogRecord("kcoro", level, "", 0, said, None, None)
    record.fields = fields
    return record


def test_an_event_has_its_line_its_priority_and_a_field_for_each_key(
    journald: Journald, handler: logs.JournalHandler
) -> None:
    handler.emit(event("refused", logging.WARNING, uid=1000, name="two words", quota=None))
    assert journald.read() == {
        "MESSAGE": 'refused uid=1000 name="two words"',
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "kcoro",
        "KCORO_EVENT": "refused",
        "KCORO_UID": "1000",
        "KCORO_NAME": "two words",
    }


def test_no_value_forges_a_field(journald: Journald, handler: logs.JournalHandler) -> None:
    evil = "a\nPRIORITY=0\n_UID=0"
    handler.emit(event("made", name=evil))
    entry = journald.read()
    assert (entry["KCORO_NAME"], entry["PRIORITY"]) == (evil, "6")
    assert "_UID" not in entry
    handler.emit(event("made", name="\udcff"))  # a byte that is no UTF-8
    assert journald.read()["KCORO_NAME"] == "\\udcff"


def test_a_traceback_belongs_to_the_message(
    journald: Journald, handler: logs.JournalHandler
) -> None:
    record = event("fault", logging.ERROR)
    record.exc_info = (ValueError, ValueError("boom"), None)
    handler.emit(record)
    assert journald.read()["MESSAGE"] == "fault\nValueError: boom"


def test_an_entry_too_long_for_a_datagram_goes_as_a_sealed_file(
    journald: Journald, handler: logs.JournalHandler
) -> None:
    dump = "x" * (1 << 20)
    handler.emit(event("poisoned channel", logging.ERROR, dump=dump))
    assert journald.read()["KCORO_DUMP"] == dump
    assert journald.files == 1


def test_while_the_journal_is_away_its_stream_gets_lines_with_priorities(
    journald: Journald, handler: logs.JournalHandler, stderr: io.StringIO
) -> None:
    journald.close()
    handler.emit(event("refused", logging.WARNING, uid=0))
    assert stderr.getvalue() == "<4>refused uid=0\n"
    assert handler.lost == 0
    back = Journald(journald.path)
    handler.emit(event("made"))
    assert back.read()["MESSAGE"] == "made"
    back.close()
    assert stderr.getvalue().count("\n") == 1


def test_a_journal_that_is_behind_loses_entries_and_is_told_how_many(
    journald: Journald, handler: logs.JournalHandler, stderr: io.StringIO
) -> None:
    for _ in range(2000):  # more than any queue of datagrams holds
        handler.emit(event("made", name="x" * 1000))
    lost = handler.lost
    assert 0 < lost < 2000
    taken = 2000 - lost
    for _ in range(taken):
        assert journald.read()["KCORO_EVENT"] == "made"
    handler.emit(event("refused"))
    assert journald.read()["MESSAGE"] == f"{lost} log lines lost: nobody read them"
    assert journald.read()["MESSAGE"] == "refused"
    assert (handler.lost, handler.lost_total, stderr.getvalue()) == (0, lost, "")


def test_the_journals_stream_is_known_by_device_and_inode() -> None:
    with open(os.devnull, "w") as stream:
        stat = os.fstat(stream.fileno())
        announced = {"JOURNAL_STREAM": f"{stat.st_dev}:{stat.st_ino}"}
        assert journal.is_journal(stream, announced)
        assert not journal.is_journal(stream, {"JOURNAL_STREAM": f"{stat.st_dev}:1"})
        assert not journal.is_journal(stream, {})
    assert not journal.is_journal(io.StringIO(), announced)


def test_the_log_goes_to_the_journal_only_from_the_stream_that_was_announced(
    monkeypatch: pytest.MonkeyPatch, journald: Journald
) -> None:
    monkeypatch.setattr(logs.log, "handlers", [])
    monkeypatch.setattr(logs.log, "propagate", True)
    level = logs.log.level
    with open(os.devnull, "w") as stream:
        stat = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{stat.st_dev}:{stat.st_ino}")
        logs.start("info", stream)
        (handler,) = logs.log.handlers
        assert isinstance(handler, logs.JournalHandler)
        handler.close()
        logs.start("info", io.StringIO())
        assert not isinstance(logs.log.handlers[0], logs.JournalHandler)
    logs.log.setLevel(level)
