"""Every command and program that the pages show is run, and the output they show is compared.

A fenced block takes part by its info string:

    console serve    one command that starts a daemon; the rest of the page talks to it
    console run      lines after `$ ` are commands for one bash, the others their output
    python run       a program
    c file NAME      a file that the commands below use
    text output      what the program before it prints
    console booted   as `console run`, but on a machine with systemd (test_docs_booted.py)

`...` in shown output stands for anything, a line of `...` for any number of lines. A command must
end with status 0 unless the page shows otherwise (`; echo $?`). The blocks of one page run in
order, in one private directory, with the socket of a private daemon in KCORO_SOCKET.
"""

import os
import re
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.shown import PATIENCE_S, Shell, Step, agrees, commands, follow

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(
    r"^```(console serve|console run|python run|text output|c file [\w.]+)\n(.*?)^```$", re.M | re.S
)
PAGES = sorted(
    page
    for page in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))
    if BLOCK.search(page.read_text(encoding="utf-8"))
)


def steps(page: str) -> Iterator[Step]:
    found = [(match[1], match[2]) for match in BLOCK.finditer(page)]
    for place, (kind, body) in enumerate(found):
        following = found[place + 1] if place + 1 < len(found) else ("", "")
        if kind == "console serve":
            yield Step("serve", body.removeprefix("$ ").strip(), None)
        elif kind == "console run":
            yield from commands(body)
        elif kind == "python run":
            shown = following[1] if following[0] == "text output" else None
            yield Step("python", body, shown)
        elif kind.startswith("c file "):
            yield Step(kind, body, None)


class Daemon:
    """A daemon as the page starts it; ready when it says so to NOTIFY_SOCKET."""

    def __init__(self, command: str, folder: Path, environment: dict[str, str]) -> None:
        self.log = folder / "daemon.log"
        address = str(folder / "notify.sock")
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
            self.log.open("wb") as log,
        ):
            manager.bind(address)
            self._process = subprocess.Popen(
                ["bash", "-c", f"exec {command}"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
                env=environment | {"NOTIFY_SOCKET": address},
            )
            if not self._ready(manager):
                self._process.kill()
                self._process.wait()
                raise AssertionError(f"no daemon came up:\n{self.log.read_text()}")

    def _ready(self, manager: socket.socket) -> bool:
        """Waits for the word, or for the end of the process."""
        ended = os.pidfd_open(self._process.pid)
        try:
            while manager in select.select([manager, ended], [], [], PATIENCE_S)[0]:
                if b"READY=1" in manager.recv(4096):
                    return True
        finally:
            os.close(ended)
        return False

    def stop(self) -> None:
        """SIGINT ends it at once: 0, or 1 when it says that a page left messages behind."""
        self._process.send_signal(signal.SIGINT)
        status = self._process.wait(PATIENCE_S)
        log = self.log.read_text()
        expected = 1 if "messages lost" in log else 0
        assert status == expected, f"the daemon ended with {status}:\n{log}"
        assert "Traceback" not in log, log


def environment_of(folder: Path) -> dict[str, str]:
    passed = {key: value for key, value in os.environ.items() if not key.startswith("KCORO_")}
    return passed | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "KCORO_SOCKET": str(folder / "kcoro.sock"),
        "HOME": str(folder),
        "LC_ALL": "C.UTF-8",
    }


class Reader:
    """Follows a page step by step as a reader would."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._environment = environment_of(folder)
        self._shell = Shell(folder, self._environment)
        self._daemon: Daemon | None = None

    def follow(self, step: Step) -> None:
        if step.kind == "serve":
            self._daemon = Daemon(step.text, self._folder, self._environment)
            return
        if step.kind.startswith("c file "):
            (self._folder / step.kind.removeprefix("c file ")).write_text(step.text)
            return
        command = step.text
        if step.kind == "python":
            (self._folder / "example.py").write_text(step.text)
            command = "python example.py"
        follow(self._shell, command, step.shown)

    def close(self) -> None:
        self._shell.close()
        if self._daemon is not None:
            self._daemon.stop()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_shows_is_what_happens(page: Path, socket_dir: Path) -> None:
    reader = Reader(socket_dir)
    try:
        for step in steps(page.read_text(encoding="utf-8")):
            reader.follow(step)
    finally:
        reader.close()


# --- the conversation in docs/PROTOCOL.md ---


def conversation() -> Iterator[tuple[str, bytes]]:
    """Direction and bytes of each frame; a line without direction goes on with the one above."""
    text = (ROOT / "docs/PROTOCOL.md").read_text(encoding="utf-8")
    shown = text.split("<!-- frames:1.1 -->")[1].split("<!-- /frames -->")[0]
    frames: list[tuple[str, str]] = []
    for line in shown.splitlines():
        direction = line.strip()[:1]
        if direction in ("<", ">"):
            frames.append((direction, line.strip()[1:]))
        elif re.fullmatch(r"[0-9a-f ]+", line.strip()):
            frames[-1] = (frames[-1][0], frames[-1][1] + line)
    for direction, digits in frames:
        yield direction, bytes.fromhex(digits.replace(" ", ""))


def test_the_conversation_in_the_protocol_is_what_a_daemon_says(socket_dir: Path) -> None:
    daemon = Daemon("kcoro serve", socket_dir, environment_of(socket_dir))
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(PATIENCE_S)
            client.connect(str(socket_dir / "kcoro.sock"))
            for direction, frame in conversation():
                if direction == ">":
                    client.sendall(frame)
                else:
                    assert client.recv(len(frame), socket.MSG_WAITALL).hex() == frame.hex()
    finally:
        daemon.stop()


# --- the harness itself ---


def test_a_page_is_taken_apart_into_its_steps() -> None:
    page = (
        "```console serve\n$ kcoro serve\n```\n```console\n$ not run\n```\n"
        "```console run\n$ one \\\n> two\nout\n\nput\n$ three\n```\n"
        "```python run\nprint(1)\n```\n\n```text output\n1\n```\n```c file x.c\nint x;\n```\n"
    )
    assert list(steps(page)) == [
        Step("serve", "kcoro serve", None),
        Step("command", "one \\\ntwo", "out\n\nput\n"),
        Step("command", "three", ""),
        Step("python", "print(1)\n", "1\n"),
        Step("c file x.c", "int x;\n", None),
    ]


@pytest.mark.parametrize(
    ("shown", "seen", "same"),
    [
        ("", "", True),
        ("", "x\n", False),
        ("a\nb\n", "a\nb\n", True),
        ("a\n", "a\nb\n", False),
        ("a ... c\n", "a b c\n", True),
        ("a\n...\nz\n", "a\nz\n", True),
        ("a\n...\nz\n", "a\nb\nc\nz\n", True),
        ("a\n...\nz\n", "a\nb\n", False),
        ("a.c\n", "abc\n", False),
    ],
)
def test_output_is_compared_with_dots_for_anything(shown: str, seen: str, same: bool) -> None:
    assert agrees(shown, seen) is same


def test_the_shell_reports_output_and_status_and_keeps_its_state(tmp_path: Path) -> None:
    shell = Shell(tmp_path, dict(os.environ))
    try:
        assert shell.run("X=5; echo out; echo err >&2") == ("out\nerr\n", 0)
        assert shell.run("printf $X; (exit 3)") == ("5", 3)
        assert shell.run("cat") == ("", 0)
    finally:
        shell.close()


def test_a_page_that_shows_something_else_fails(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    try:
        with pytest.raises(AssertionError, match="the page shows"):
            reader.follow(Step("command", "echo one", "two\n"))
        with pytest.raises(AssertionError, match="ended with 1"):
            reader.follow(Step("command", "false", ""))
    finally:
        reader.close()
