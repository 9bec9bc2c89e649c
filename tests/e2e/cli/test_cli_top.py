"""kcoro top: on a real terminal (a pty of 80 by 24 with a screen of our own), and without."""

import codecs
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kcoro_ipc import blocking
from tests.unit.test_monitor import ROOT, conforms

LIMIT_S = 60
HOME, TO_END = "\x1b[H", "\x1b[J"


class Tty:
    """A program on a terminal. `screen()` is its last whole picture: top draws from the upper left
    and erases what is left of each line and at last of the screen, so that is the text between the
    last such end and the HOME before it. A read may end anywhere in a picture, or in a letter."""

    def __init__(
        self, kcoro: Any, *words: str, columns: int = 80, rows: int = 24, **env: str
    ) -> None:
        self._ours, theirs = pty.openpty()
        self.resize(columns, rows)
        self.before = self.after = termios.tcgetattr(theirs)
        self.theirs = theirs
        kept = {"TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8", **env}
        self.program: subprocess.Popen[bytes] = kcoro.start(
            *words, stdin=theirs, stdout=theirs, env={**kcoro.environment(), **kept}
        )
        self.text = ""
        self._letters = codecs.getincrementaldecoder("utf-8")()

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def screen(self) -> list[str]:
        picture = self.text.rpartition(TO_END)[0].rpartition(HOME)[2]
        picture = re.sub(r"\x1b\[[0-9;]*[KJm]", "", picture)
        return [line.rstrip() for line in picture.split("\r\n")]

    def read(self) -> bool:
        """False: nobody writes there any more, and all has been read."""
        if select.select([self._ours], [], [], 0.1)[0]:
            try:
                self.text += self._letters.decode(os.read(self._ours, 65536))
            except OSError:
                return False
        return True

    def until(self, seen: Callable[[list[str]], object]) -> list[str]:
        limit = time.monotonic() + LIMIT_S
        while not seen(self.screen()):
            assert time.monotonic() < limit, "\n".join(self.screen())
            assert self.program.poll() is None, self.text
            self.read()
        return self.screen()

    def ended(self) -> int:
        limit = time.monotonic() + LIMIT_S
        while (code := self.program.poll()) is None:
            assert time.monotonic() < limit
            self.read()
        self.after = termios.tcgetattr(self.theirs)
        os.close(self.theirs)
        self.theirs = -1
        while self.read():
            assert time.monotonic() < limit
        return code

    def close(self) -> None:
        for fd in (self._ours, self.theirs):
            if fd >= 0:
                os.close(fd)

    def is_as_before(self) -> bool:
        """The screen and the keys were given back, at its end."""
        given_back = self.text.endswith("\x1b[?25h\x1b[?1049l")
        return given_back and self.after == self.before


@pytest.fixture
def tty(kcoro: Any) -> Iterator[Callable[..., Tty]]:
    opened: list[Tty] = []

    def tty(*words: str, **more: Any) -> Tty:
        opened.append(Tty(kcoro, "top", "--interval", "0.1", *words, **more))
        return opened[-1]

    yield tty
    for one in opened:
        one.program.kill()
        one.program.wait()
        one.close()


def row_of(screen: list[str], name: str) -> list[str]:
    return next((line.split() for line in screen[1:] if f" {name[:8]}" in line), [])


def test_a_table_at_80_by_24_that_moves(kcoro: Any, tty: Callable[..., Tty]) -> None:
    kcoro("make", "aa-jobs", "--capacity", "4")
    kcoro("send", "aa-jobs", "a", "b")
    seen = tty("--filter", "aa-")
    screen = seen.until(lambda s: row_of(s, "aa-jobs") and len(s) == 24)
    assert max(map(len, screen)) <= 80
    assert screen[0] == "kcoro top  1 channels  filter: aa-"
    assert row_of(screen, "aa-jobs")[:4] == [">", "aa-jobs", "buff", "2"]
    kcoro("recv", "aa-jobs")
    seen.until(lambda s: row_of(s, "aa-jobs")[3:4] == ["1"])
    seen.until(lambda s: row_of(s, "aa-jobs")[7:8] not in ([], ["-"], ["?"]))  # a rate
    seen.type("q")
    assert seen.ended() == 0
    assert seen.is_as_before()


def test_from_a_channel_to_whom_waits_there_and_back(kcoro: Any, tty: Callable[..., Tty]) -> None:
    name = kcoro.name()
    waiting = kcoro.start("recv", name)
    kcoro.until_waiting(name, "receivers")
    seen = tty("--sort", "oldest")
    seen.type("/")
    seen.until(lambda s: s[-1].startswith("type a part"))
    seen.type(name + "\r")
    seen.until(lambda s: row_of(s, name) and s[-1].startswith("Enter look into"))
    seen.type("\r")
    screen = seen.until(lambda s: "channel" in s[0] and "waits to receive" in "".join(s))
    line = next(line.split() for line in screen if "waits to receive" in line)
    assert line[:5] == [">", "waits", "to", "receive", "enqueued"]
    assert str(waiting.pid) in line
    assert line[-2:] == ["kcoro", "recv"]
    seen.type("\r")
    screen = seen.until(lambda s: "connection" in s[0])
    assert screen[1].startswith(f"pid {waiting.pid}  uid {os.getuid()}  kcoro recv  stream")
    assert "parked 1" in screen[3]
    waiting.kill()
    seen.until(lambda s: "the connection is gone" in s[0])
    seen.type("\x1b")
    seen.until(lambda s: "the channel is gone" in s[0])
    seen.type("\x1b")
    seen.until(lambda s: "channels" in s[0])
    seen.type("h")
    seen.until(lambda s: "look into a channel" in "".join(s))
    seen.program.send_signal(signal.SIGINT)
    assert seen.ended() == 130
    assert seen.is_as_before()


def test_pause_stops_the_picture(kcoro: Any, tty: Callable[..., Tty]) -> None:
    kcoro("make", "pp-jobs", "--kind", "unlimited")
    seen = tty("--filter", "pp-jobs")
    seen.until(lambda s: row_of(s, "pp-jobs"))
    seen.type(" ")
    seen.until(lambda s: s[0].endswith("PAUSED"))
    with blocking.open_client(kcoro.socket) as client:
        client.open_channel("pp-jobs").send(b"x")
    seen.type("h")
    seen.until(lambda s: "look into a channel" in "".join(s))
    seen.type("h")
    screen = seen.until(lambda s: row_of(s, "pp-jobs")[3:])
    assert row_of(screen, "pp-jobs")[3] == "0"
    seen.type(" ")
    seen.until(lambda s: row_of(s, "pp-jobs")[3:4] == ["1"])


def test_a_new_size_is_taken_at_once(kcoro: Any, tty: Callable[..., Tty]) -> None:
    kcoro("make", "rr-jobs")
    seen = tty("--filter", "rr-jobs")
    seen.until(lambda s: row_of(s, "rr-jobs") and len(s) == 24)
    for columns, rows in ((40, 8), (132, 50), (1, 1)):
        seen.resize(columns, rows)
        seen.program.send_signal(signal.SIGWINCH)
        screen = seen.until(lambda s, rows=rows: len(s) == max(rows, 4))  # type: ignore[misc]
        assert max(map(len, screen)) <= max(columns, 20)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_and_the_terminal_is_given_back(
    tty: Callable[..., Tty], number: signal.Signals
) -> None:
    seen = tty()
    seen.until(lambda s: "channels" in s[0])
    seen.program.send_signal(number)
    assert seen.ended() == -number
    assert seen.is_as_before()


@pytest.mark.parametrize("more", [{"words": ("--no-color",)}, {"NO_COLOR": "1"}])
def test_without_colours_nothing_is_styled(tty: Callable[..., Tty], more: dict[str, Any]) -> None:
    plain = tty(*more.pop("words", ()), **more)
    plain.until(lambda s: "channels" in s[0])
    assert not re.search(r"\x1b\[[0-9;]*m", plain.text)
    styled = tty()
    styled.until(lambda s: "channels" in s[0])
    assert re.search(r"\x1b\[[0-9;]*m", styled.text)


def test_a_dumb_terminal_gets_plain_rounds(kcoro: Any, tty: Callable[..., Tty]) -> None:
    kcoro("make", "dd-jobs")
    seen = tty("--filter", "dd-jobs", TERM="dumb")
    while seen.text.count("dd-jobs") < 2:
        seen.read()
    assert "\x1b" not in seen.text
    assert seen.text.split()[:3] == ["NAME", "KIND", "DEPTH"]


def test_a_daemon_that_goes_is_said_and_waited_for(kcoro: Any, tmp_path: Any) -> None:
    path = str(tmp_path / "k.sock")
    daemon = kcoro.serve(path)
    seen = Tty(kcoro, "top", "--interval", "0.1", "--socket", path)
    try:
        seen.until(lambda s: "0 channels" in s[0])
        daemon.kill()
        daemon.wait()
        seen.until(lambda s: "the daemon is gone; waiting for it" in s[0])
        kcoro.serve(path)
        kcoro("make", "again", "--socket", path)
        seen.until(lambda s: row_of(s, "again"))
    finally:
        seen.program.kill()
        seen.program.wait()
        seen.close()


# --- without a screen ---


def test_json_is_one_object_per_channel_and_round_as_the_schema_says(kcoro: Any) -> None:
    name = kcoro.name()
    kcoro("make", name, "--capacity", "4")
    kcoro("send", name, "a", "b")
    words = ("top", "--json", "--count", "2", "--interval", "0.05", "--filter", name)
    rows = [json.loads(line) for line in kcoro(*words).stdout.splitlines()]
    schema = json.loads((ROOT / "docs" / "top.schema.json").read_text())
    assert [conforms(row, schema) for row in rows] == [[], []]
    assert [(row["depth"], row["total_sends"]) for row in rows] == [(2, 2), (2, 2)]
    names = ("sends_per_sec", "recvs_per_sec", "bytes_sent_per_sec", "bytes_recv_per_sec")
    assert rows[0]["interval_sec"] == 0
    assert [[row[one] for one in names] for row in rows] == [[None] * 4, [0.0] * 4]
    assert rows[1]["interval_sec"] > 0


def test_no_samples_is_a_failure(kcoro: Any, line_of: Any) -> None:
    for form in ((), ("--json",)):
        finished = kcoro("top", *form, "--count", "2", "--interval", "0.05", "--filter", "nothing")
        assert finished.returncode == 1
        assert "no samples" in line_of(finished)
    assert kcoro("top", "--json", "--count", "1", KCORO_SOCKET="/nowhere/k.sock").returncode == 9


def test_a_reader_that_leaves_ends_it_quietly(kcoro: Any) -> None:
    kcoro("make", kcoro.name())
    watching = kcoro.start("top", "--json", "--interval", "0.05")
    assert watching.stdout.readline()
    watching.stdout.close()
    assert watching.wait(LIMIT_S) == 141
    assert watching.stderr.read() == b""


def test_sorted_and_filtered_rounds_follow_one_another(kcoro: Any) -> None:
    for name, number in (("ss-a", 1), ("ss-b", 3), ("ss-c", 2)):
        kcoro("make", name, "--kind", "unlimited")
        kcoro("send", name, *["x"] * number)
    lines = kcoro("top", "--count", "1", "--sort", "depth", "--filter", "ss-").stdout.decode()
    rows = [line.split()[:3] for line in lines.splitlines() if line.startswith("ss-")]
    assert rows == [["ss-b", "unlim", "3"], ["ss-c", "unlim", "2"], ["ss-a", "unlim", "1"]]
    assert kcoro("top", "--sort", "colour").returncode == 2
