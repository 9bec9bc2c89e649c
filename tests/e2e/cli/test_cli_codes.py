"""Every exit code once, each with one line on stderr that says what and what to do."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Line = Callable[[Any], str]
FULL = "cannot write the output: No space left on device; free some space, or use another disk"


def test_0_when_it_is_done(kcoro: Any) -> None:
    name = kcoro.name()
    assert kcoro("make", name, "--capacity", "2").returncode == 0
    assert kcoro("send", name, "a", "b").returncode == 0
    finished = kcoro("recv", name, "--count", "2")
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, b"a\nb\n", b"")


def test_1_when_the_command_of_exec_fails_and_its_message_goes_back(
    kcoro: Any, line_of: Line
) -> None:
    name = kcoro.name()
    kcoro("make", name, "--capacity", "2")
    kcoro("send", name, "job")
    finished = kcoro("recv", name, "--exec", "cat; exit 7")
    assert (finished.returncode, finished.stdout) == (1, b"job")
    assert b"exited with 7" in finished.stderr
    again = kcoro("recv", name, "--json")
    assert again.stdout == b'{"data": "job", "redelivered": true, "attempts": 1}\n'


def test_1_when_the_output_cannot_be_written_and_nothing_is_lost(kcoro: Any) -> None:
    name = kcoro.name()
    kcoro("make", name, "--capacity", "2")
    kcoro("send", name, "kept")
    with Path("/dev/full").open("wb") as full:
        finished = subprocess.run(
            kcoro.command("recv", name), stdout=full, stderr=-1, env=kcoro.environment()
        )
    assert finished.returncode == 1
    assert finished.stderr == f"kcoro: {FULL}\n".encode()
    assert kcoro("recv", name, "--try").stdout == b"kept\n"


@pytest.mark.parametrize("words", [("ls",), ("stat", "NAME"), ("top", "--count", "1"), ("-h",)])
def test_1_when_what_a_command_prints_cannot_be_written(
    kcoro: Any, line_of: Line, words: tuple[str, ...]
) -> None:
    name = kcoro.name()
    kcoro("make", name)
    words = tuple(name if word == "NAME" else word for word in words)
    with Path("/dev/full").open("wb") as full:
        finished = subprocess.run(
            kcoro.command(*words), stdout=full, stderr=-1, env=kcoro.environment()
        )
    assert finished.returncode == 1
    assert line_of(finished) == f"kcoro: {FULL}"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (
            "recv NAME >&-",
            "cannot write the output: Bad file descriptor; open it: < FILE or > FILE",
        ),
        ("ls >&-", "cannot write the output: Bad file descriptor; open it: < FILE or > FILE"),
        ("send NAME <&-", "cannot read the input: Bad file descriptor; open it: < FILE or > FILE"),
        (
            "recv NAME <&- >&-",
            "cannot write the output: Bad file descriptor; open it: < FILE or > FILE",
        ),
    ],
)
def test_1_without_a_descriptor_that_is_needed_and_nothing_is_lost(
    kcoro: Any, line_of: Line, line: str, says: str
) -> None:
    name = kcoro.name()
    kcoro("make", name, "--capacity", "2")
    kcoro("send", name, "kept")
    shell = f"{sys.executable} -m kcoro_ipc {line.replace('NAME', name)}"
    finished = subprocess.run(
        ["/bin/sh", "-c", shell], capture_output=True, timeout=60, env=kcoro.environment()
    )
    assert (finished.returncode, line_of(finished)) == (1, f"kcoro: {says}")
    assert kcoro("recv", name, "--try").stdout == b"kept\n"


def test_a_command_without_a_stderr_says_nothing_and_works(kcoro: Any) -> None:
    name = kcoro.name()
    kcoro("make", name, "--capacity", "2")
    shell = f"{sys.executable} -m kcoro_ipc recv {name} --try 2>&-"
    finished = subprocess.run(["/bin/sh", "-c", shell], stdout=-1, env=kcoro.environment())
    assert (finished.returncode, finished.stdout) == (3, b"")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("completion",), "Choose from: bash, zsh, fish"),
        (("send",), "Missing argument 'NAME'"),
        (("fetch", "x"), "No such command 'fetch'"),
        (("recv", "x", "--count", "0"), "--count"),
        (("recv", "x", "--count", "2", "--follow"), "--follow"),
        (("recv", "x", "--json", "--exec", "cat"), "--exec"),
        (("send", "x", "a", "--whole"), "give one of them"),
        (("send", "x", "--try", "--timeout", "1"), "--try"),
        (("recv", "x", "--timeout", "nan"), "--timeout"),
        (("serve", "--drain", "nan"), "--drain"),
        (("top", "--interval", "inf"), "--interval"),
        (("make", "x", "--kind", "buffered"), "--capacity"),
        (("make", "x", "--mode", "0999"), "octal"),
        (("make", "x", "--elem-size", "many"), "no whole number"),
        (("select",), "nothing to wait for"),
        (("select", "--send", "x"), "CH=VALUE"),
        (("send", "a/b", "x"), "name"),
        (("completion", "ksh"), "ksh"),
    ],
)
def test_2_for_wrong_use(kcoro: Any, line_of: Line, words: tuple[str, ...], says: str) -> None:
    finished = kcoro(*words)
    assert finished.returncode == 2
    assert line_of(finished).startswith("kcoro: ")
    assert says in line_of(finished)


def test_2_when_a_message_has_not_the_one_length_of_its_channel(kcoro: Any, line_of: Line) -> None:
    name = kcoro.name()
    kcoro("make", name, "--capacity", "2", "--elem-size", "4", "--fixed-size")
    finished = kcoro("send", name, "123")
    says = f"kcoro: channel {name}: an element of this channel has exactly 4 bytes"
    assert (finished.returncode, line_of(finished)) == (2, says)


def test_3_when_it_would_have_to_wait(kcoro: Any, line_of: Line) -> None:
    name = kcoro.name()
    for words in (("recv", name), ("send", name, "x"), ("select", name)):
        finished = kcoro(*words, "--try")
        assert finished.returncode == 3
        assert "wait" in line_of(finished)


def test_4_when_the_time_is_over(kcoro: Any, line_of: Line) -> None:
    name = kcoro.name()
    for words in (("recv", name), ("send", name, "x"), ("select", name), ("recv", "-q", name)):
        finished = kcoro(*words, "--timeout", "0.01")
        assert finished.returncode == 4
        assert finished.stderr == b"" if "-q" in words else "time" in line_of(finished)
    absent = kcoro("recv", kcoro.name(), "--wait", "--timeout", "0.01")
    assert absent.returncode == 4


def test_4_when_no_receiver_confirms_in_time(kcoro: Any, line_of: Line) -> None:
    name = kcoro.name()
    kcoro("make", name, "--capacity", "1")
    finished = kcoro("send", name, "x", "--confirm", "--timeout", "0.05")
    assert finished.returncode == 4
    assert "acknowledged" in line_of(finished)


def test_5_when_the_channel_is_closed(kcoro: Any, line_of: Line) -> None:
    name = kcoro.name()
    kcoro("make", name)
    assert kcoro("close", name).returncode == 0
    for words in (("recv", name), ("send", name, "x"), ("select", name)):
        finished = kcoro(*words)
        assert finished.returncode == 5
        assert "closed" in line_of(finished)
    assert kcoro("recv", name, "--follow").returncode == 0


def test_6_when_the_channel_is_destroyed_under_it(kcoro: Any) -> None:
    name = kcoro.name()
    kcoro("make", name)
    waiting = kcoro.start("recv", name)
    kcoro.until_waiting(name, "receivers")
    assert kcoro("destroy", name, "--reason", "moved away").returncode == 0
    _, stderr = waiting.communicate()
    assert waiting.returncode == 6
    assert b"moved away" in stderr
    assert len(stderr.splitlines()) == 1


def test_7_when_it_is_refused(kcoro: Any, line_of: Line) -> None:
    name = kcoro.name()
    kcoro("make", name, "--capacity", "2", "--elem-size", "4")
    long = kcoro("send", name, "12345")
    other = kcoro("make", name, "--capacity", "3")
    again = kcoro("make", name, "--capacity", "2", "--exclusive")
    assert [one.returncode for one in (long, other, again)] == [7, 7, 7]
    assert "elem_size" in line_of(long)
    assert "exists" in line_of(other)
    assert "exists" in line_of(again)
    assert kcoro("make", name, "--capacity", "2").returncode == 0


# Everything is imported before the rights are given away: the interpreter's own files may lie where
# only root can read.
AS_NOBODY = """
import os, sys
import encodings.idna, kcoro_ipc.blocking, kcoro_ipc.cli.listing
from kcoro_ipc.cli.main import main
os.setgroups([]); os.setgid(65534); os.setuid(65534)
main(["ls"])
"""


def test_7_for_the_socket_of_somebody_else(kcoro: Any, line_of: Line) -> None:
    """Whoever is not root has the socket's mode changed, root becomes somebody else."""
    mode = os.stat(kcoro.socket).st_mode
    os.chmod(kcoro.socket, 0)
    try:
        if os.geteuid() == 0:
            command = [sys.executable, "-c", AS_NOBODY]
            finished = subprocess.run(command, capture_output=True, env=kcoro.environment())
        else:
            finished = kcoro("ls")
    finally:
        os.chmod(kcoro.socket, mode)
    assert finished.returncode == 7
    assert "permission" in line_of(finished)


def test_8_when_there_is_no_such_channel(kcoro: Any, line_of: Line) -> None:
    absent = kcoro.name()
    for words in (
        ("recv", absent, "--existing"),
        ("send", absent, "x", "--existing"),
        ("select", absent, "--existing"),
        ("stat", absent),
        ("close", absent),
        ("destroy", absent),
        ("purge", absent),
    ):
        finished = kcoro(*words)
        assert finished.returncode == 8, words
        assert line_of(finished).startswith(f"kcoro: channel {absent}: there is no such channel; ")


@pytest.mark.parametrize(
    ("words", "can_wait"),
    [
        (("recv", "NAME", "--existing"), True),
        (("send", "NAME", "x", "--existing"), True),
        (("select", "NAME", "--existing"), True),
        (("stat", "NAME"), False),
        (("why", "NAME"), False),
        (("tap", "NAME"), False),
        (("drain", "NAME"), False),
        (("purge", "NAME"), False),
        (("close", "NAME"), False),
        (("destroy", "NAME"), False),
        (("chmod", "0600", "NAME"), False),
        (("chown", "0", "NAME"), False),
    ],
)
def test_a_channel_that_is_not_there_sends_to_ls_and_where_that_can_be_to_waiting(
    kcoro: Any, line_of: Line, words: tuple[str, ...], can_wait: bool
) -> None:
    absent = kcoro.name()
    finished = kcoro(*(absent if word == "NAME" else word for word in words))
    assert finished.returncode == 8
    advice = "there is no such channel; `kcoro ls` shows those that you may see"
    waiting = ", and --wait waits until somebody makes it" if can_wait else ""
    assert line_of(finished) == f"kcoro: channel {absent}: {advice}{waiting}"


def test_9_when_there_is_no_daemon(kcoro: Any, line_of: Line, tmp_path: Path) -> None:
    nowhere = str(tmp_path / "nowhere.sock")
    finished = kcoro("ls", KCORO_SOCKET=nowhere)
    assert finished.returncode == 9
    expected = f"kcoro: no daemon at {nowhere}: start one with `kcoro serve`, or "
    assert line_of(finished).startswith(expected)
    assert kcoro("--socket", nowhere, "ls").returncode == 9
    assert kcoro("ls", "--socket", nowhere).returncode == 9
    assert kcoro("-q", "ls", "--socket", nowhere).stderr == b""


def test_9_when_the_daemon_dies_while_it_waits(kcoro: Any, line_of: Line, socket_dir: Path) -> None:
    path = str(socket_dir / "own.sock")
    daemon = kcoro.serve(path)
    waiting = kcoro.start("recv", "x", "--socket", path)
    kcoro.until_waiting("x", "receivers", path=path)
    daemon.kill()
    stdout, stderr = waiting.communicate()
    assert (waiting.returncode, stdout) == (9, b"")
    assert len(stderr.splitlines()) == 1
    assert b"connect again" in stderr


def test_6_when_the_daemon_shuts_down_while_it_waits(kcoro: Any, socket_dir: Path) -> None:
    path = str(socket_dir / "own.sock")
    daemon = kcoro.serve(path)
    waiting = kcoro.start("recv", "x", "--socket", path)
    kcoro.until_waiting("x", "receivers", path=path)
    daemon.terminate()
    _, stderr = waiting.communicate()
    assert waiting.returncode == 6
    assert b"shutting down" in stderr


def test_7_when_a_quota_is_used_up(kcoro: Any, line_of: Line, socket_dir: Path) -> None:
    path = str(socket_dir / "own.sock")
    kcoro.serve(path, "--limit", "channels_per_uid=1")
    assert kcoro("make", "one", "--socket", path).returncode == 0
    finished = kcoro("make", "two", "--socket", path)
    assert finished.returncode == 7
    assert "channels_per_uid" in line_of(finished)


def test_70_for_a_fault_of_ours(kcoro: Any, line_of: Line, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import kcoro_ipc.blocking as b\ndef open_client(*a, **k): raise ZeroDivisionError('x')\n"
        "b.open_client = open_client\n"
    )
    finished = kcoro("ls", PYTHONPATH=str(tmp_path))
    assert finished.returncode == 70
    assert "report" in line_of(finished)
    assert "ZeroDivisionError" in line_of(finished)


def test_130_when_it_is_interrupted_and_nothing_is_lost(kcoro: Any) -> None:
    name = kcoro.name()
    kcoro("make", name, "--capacity", "2")
    waiting = kcoro.start("recv", name, "--follow")
    kcoro.until_waiting(name, "receivers")
    waiting.send_signal(signal.SIGINT)
    assert waiting.communicate() == (b"", b"")
    assert waiting.returncode == 130
    kcoro("send", name, "later")
    assert kcoro("recv", name, "--try").stdout == b"later\n"


def test_141_when_nobody_reads_the_output_and_what_was_not_written_goes_back(kcoro: Any) -> None:
    name = kcoro.name()
    kcoro("make", name, "--capacity", "4")
    receiving = kcoro.start("recv", name, "--follow")
    assert receiving.stdout is not None
    receiving.stdout.close()
    kcoro("send", name, "back")
    assert receiving.wait() == 141
    assert receiving.stderr.read() == b""
    receiving.stderr.close()
    finished = kcoro("recv", name, "--json")
    assert finished.stdout == b'{"data": "back", "redelivered": true, "attempts": 1}\n'
