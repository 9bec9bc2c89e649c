"""Lines of the log: one per event, and no value can forge another field or line."""

import io
import logging
import os
from collections.abc import Iterator

import pytest

from kcoro_ipc import logs


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    stream, level = io.StringIO(), logs.log.level
    monkeypatch.setattr(logs.log, "handlers", [])
    monkeypatch.setattr(logs.log, "propagate", True)
    logs.start("info", stream)
    yield stream
    logs.log.setLevel(level)


def test_an_event_is_one_line_of_words(lines: io.StringIO) -> None:
    logs.say(logging.INFO, "channel made", name="jobs", uid=1000, reason=None)
    logs.say(logging.DEBUG, "too fine")
    assert lines.getvalue().split(" ", 1)[1] == "info    channel made name=jobs uid=1000\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        ("two words", '"two words"'),
        ("a=b", '"a=b"'),
        ("line\nuid=0", '"line\\nuid=0"'),
        ('say "x"', '"say \\"x\\""'),
        ("\x1b[2J", '"\\u001b[2J"'),
        ("", '""'),
        (7, "7"),
    ],
)
def test_a_value_that_could_forge_a_field_or_a_line_is_quoted(value: object, text: str) -> None:
    assert logs.shown(value) == text


def test_every_line_on_the_journals_stream_names_its_priority() -> None:
    record = logging.LogRecord("kcoro", logging.ERROR, "", 0, "control failed", None, None)
    record.exc_info = (ValueError, ValueError("boom"), None)
    formatted = logs.PriorityFormatter().format(record).splitlines()
    assert formatted == ["<3>control failed", "<3>ValueError: boom"]


def test_a_stream_that_nobody_reads_loses_lines_and_says_so_later() -> None:
    receiving, sending = os.pipe()
    with open(receiving, "rb", buffering=0) as reader, open(sending, "w") as writer:
        handler = logs.LossyHandler(writer)
        record = logging.LogRecord("kcoro", logging.INFO, "", 0, "x" * 1000, None, None)
        for _ in range(200):  # more than any pipe holds
            handler.emit(record)
        lost = handler.lost
        assert 0 < lost < 200
        os.set_blocking(receiving, False)
        while reader.read(1 << 20):
            pass
        handler.emit(record)
        said = reader.read(1 << 20).decode().splitlines()
        assert said == [f"{lost} log lines lost: nobody read them", "x" * 1000]


def test_a_reader_that_is_gone_is_no_error() -> None:
    receiving, sending = os.pipe()
    os.close(receiving)
    with open(sending, "w") as writer:
        handler = logs.LossyHandler(writer)
        handler.emit(logging.LogRecord("kcoro", logging.INFO, "", 0, "x", None, None))
        assert handler.lost == 1
