"""Where the daemon listens: what stands there already, and a second daemon (38, 40)."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.harness import STUCK_S, running_daemon


def serve(*words: str) -> "subprocess.CompletedProcess[str]":
    """A daemon that is expected not to start."""
    return subprocess.run(
        [sys.executable, "-m", "kcoro_ipc.cli.serve", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=STUCK_S,
    )


def one_sentence(done: "subprocess.CompletedProcess[str]") -> str:
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_38_a_symbolic_link_at_the_path_is_refused(socket_dir: Path) -> None:
    """It may lead anywhere: the target is neither removed nor bound."""
    target = socket_dir / "elsewhere"
    target.write_text("precious")
    (socket_dir / "d.sock").symlink_to(target)
    said = one_sentence(serve("--listen", str(socket_dir / "d.sock")))
    assert "symbolic link" in said
    assert target.read_text() == "precious"


def test_38_a_link_to_a_directory_of_that_name_is_refused(socket_dir: Path) -> None:
    """The runtime directory itself must be a directory of ours."""
    (socket_dir / "real").mkdir()
    (socket_dir / "kcoro").symlink_to(socket_dir / "real")
    said = one_sentence(serve("--listen", str(socket_dir / "kcoro" / "d.sock")))
    assert "symbolic link" in said
    assert os.listdir(socket_dir / "real") == []


def test_38_a_file_at_the_path_is_refused_and_kept(socket_dir: Path) -> None:
    """Only a dead socket is ever removed."""
    path = socket_dir / "d.sock"
    path.write_text("precious")
    assert "no socket" in one_sentence(serve("--listen", str(path)))
    assert path.read_text() == "precious"


def test_38_a_directory_that_others_may_write_is_refused(socket_dir: Path) -> None:
    """Who may write the directory may replace the socket."""
    directory = socket_dir / "kcoro"
    directory.mkdir()
    directory.chmod(0o777)
    said = one_sentence(serve("--listen", str(directory / "d.sock")))
    assert "0700" in said


def test_38_a_socket_of_another_user_is_refused(socket_dir: Path) -> None:
    """Needs root to make one."""
    if os.geteuid() != 0:
        pytest.skip("needs root: it makes a socket of another user")
    path = socket_dir / "d.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as foreign:
        foreign.bind(str(path))
        os.chown(path, 65534, 65534)
        assert "another user" in one_sentence(serve("--listen", str(path)))
    assert path.is_socket()


def test_39_an_abstract_address_is_refused(socket_dir: Path) -> None:
    """Nobody owns an abstract name: a squatter could take it first."""
    assert "abstract" in one_sentence(serve("--listen", "@kcoro"))


def test_40_a_second_daemon_ends_with_a_sentence_and_the_first_goes_on(socket_dir: Path) -> None:
    """Whichever listener they share; the path stays the first one's."""
    with running_daemon(socket_dir) as first:
        inode = os.stat(first.stream).st_ino
        for address in (first.address("stream"), first.address("seqpacket")):
            said = one_sentence(serve("--listen", address))
            assert "already listening" in said
        assert os.stat(first.stream).st_ino == inode
        first.connect().close()


def test_40_of_ten_daemons_started_at_once_exactly_one_serves(socket_dir: Path) -> None:
    """The lock beside the socket decides; nine end with a sentence, none with a traceback."""
    path = socket_dir / "d.sock"
    daemons = [
        subprocess.Popen(
            [sys.executable, "-m", "kcoro_ipc.cli.serve", "--listen", str(path), "--until-eof"],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(10)
    ]
    said: list[str] = []
    try:
        for daemon in daemons:
            assert daemon.stderr is not None
            said.append(daemon.stderr.readline())
    finally:
        for daemon in daemons:
            daemon.send_signal(signal.SIGINT)
        statuses = [daemon.wait(STUCK_S) for daemon in daemons]
        for daemon in daemons:
            assert daemon.stderr is not None
            assert daemon.stdin is not None
            daemon.stderr.close()
            daemon.stdin.close()
    assert sum("kcoro: ready" in line for line in said) == 1, said
    assert sum("already listening" in line for line in said) == 9, said
    assert statuses.count(0) == 1
    assert not path.exists()


def test_a_socket_that_a_killed_daemon_left_is_replaced(socket_dir: Path) -> None:
    """A stale socket is no daemon."""
    with running_daemon(socket_dir) as first:
        first.kill()
        assert os.path.exists(first.stream)
        with running_daemon(socket_dir) as second:
            second.connect().close()
