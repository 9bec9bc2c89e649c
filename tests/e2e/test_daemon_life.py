"""Start and end of the daemon: where it listens, what may start beside it, how it drains."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.e2e

PATIENCE_S = 20.0
BOTH_WAYS = pytest.mark.parametrize("io", ["trio", "thread"])


def serve(*words: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    """A daemon that is expected to end by itself."""
    return subprocess.run(
        [sys.executable, "-m", "kcoro_ipc.cli.serve", *words],
        env=os.environ | environ,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


# --- start ---


def test_the_ready_line_names_both_sockets(socket_dir: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "kcoro_ipc.cli.serve"],
        env=os.environ | {"KCORO_SOCKET": f"{socket_dir}/one.sock"},
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stderr is not None
        assert f"kcoro: ready on stream:{socket_dir}/one.sock\n" in process.stderr
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(f"{socket_dir}/one.sock")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0
    assert os.listdir(socket_dir) == []


def test_a_second_daemon_on_the_same_path_ends_with_a_sentence_and_the_first_lives(
    start_daemon: Any, connect: Any
) -> None:
    running = start_daemon()
    second = serve("--listen", running.path)
    assert second.returncode == 1
    assert second.stderr == (
        f"kcoro serve: a daemon is already listening at {running.path}; "
        "use or stop it, or --listen elsewhere\n"
    )
    assert connect(running).ask("PING")["RESULT"] == 0


def test_a_socket_that_a_killed_daemon_left_is_replaced(
    start_daemon: Any, connect: Any, socket_dir: Path
) -> None:
    first = start_daemon()
    first.process.kill()
    first.process.wait()
    assert os.path.exists(first.path)
    assert connect(start_daemon()).ask("PING")["RESULT"] == 0


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["--listen", "/no/such/directory/at/all/x.sock"], 1, "cannot listen at"),
        (["--listen", "tcp:1234/x"], 1, "cannot listen at"),
        (["--listen", ""], 1, "names no socket"),
        (["--listen", "/tmp/" + "x" * 110], 1, "over 107 bytes"),
        (["--limit", "channels=0"], 2, "whole number"),
        (["--limit", "wishes=3"], 2, "there is no limit 'wishes'"),
        (["--socket-mode", "9"], 2, "octal"),
        (["--drain", "-1"], 2, "--drain"),
    ],
)
def test_a_daemon_that_cannot_start_says_why_and_what_to_do(
    words: list[str], status: int, says: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if os.geteuid() == 0 and "/no/such" in words[1]:
        words = ["--listen", "/proc/no/x.sock"]  # root may make any other directory
    monkeypatch.chdir(tmp_path)
    if "tcp:" in words[1]:
        (tmp_path / "tcp:1234").touch()
    ended = serve(*words)
    assert ended.returncode == status, ended.stderr
    assert says in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_daemon_ends_when_the_standard_input_of_its_owner_does(start_daemon: Any) -> None:
    running = start_daemon()
    running.process.stdin.close()
    assert running.finish() == 0


def test_sockets_of_a_service_manager_are_served_and_left_in_place(socket_dir: Path) -> None:
    path = str(socket_dir / "passed.sock")
    program = (
        "import os, socket, sys\n"
        "s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(8)\n"
        "os.dup2(s.fileno(), 3); os.set_inheritable(3, True)\n"
        "os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()))\n"
        "os.execv(sys.executable, [sys.executable, '-m', 'kcoro_ipc.cli.serve'])\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, path], stderr=subprocess.PIPE, text=True
    )
    with process:
        assert process.stderr is not None
        assert f"kcoro: ready on stream:{path}\n" in process.stderr
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    assert os.path.exists(path)


# --- end ---


@BOTH_WAYS
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_empty_daemon_ends_at_once_with_0_and_removes_its_sockets(
    start_daemon: Any, socket_dir: Path, io: str, number: int
) -> None:
    running = start_daemon("--io", io, "--drain", "1000")
    assert running.finish(number) == 0
    assert os.listdir(socket_dir) == ["log"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_service_manager_hears_ready_and_stopping(socket_dir: Path, number: int) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(socket_dir / "notify"))
        manager.settimeout(PATIENCE_S)
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "kcoro_ipc.cli.serve",
                "--quiet",
                "--drain",
                "3",
                "--listen",
                "k.sock",
            ],
            cwd=socket_dir,
            env=os.environ
            | {"NOTIFY_SOCKET": str(socket_dir / "notify"), "PYTHONPATH": os.getcwd()},
        )
        with process:
            assert manager.recv(4096) == f"READY=1\nMAINPID={process.pid}".encode()
            assert manager.recv(4096) == b"STATUS=0 channels, 0 connections, 0 messages/s"
            process.send_signal(number)
            drains = number == signal.SIGTERM
            assert manager.recv(4096).decode().split("\n") == [
                "STOPPING=1",
                "STATUS=" + ("draining for up to 3 s" if drains else "ending"),
                "EXTEND_TIMEOUT_USEC=" + ("8000000" if drains else "5000000"),
            ]
            assert process.wait(PATIENCE_S) == 0


@BOTH_WAYS
def test_a_watchdog_hears_signs_of_life_and_the_status_that_changed(
    socket_dir: Path, io: str
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(socket_dir / "notify"))
        manager.settimeout(PATIENCE_S)
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "kcoro_ipc.cli.serve", "--quiet", "--io", io),
                *("--listen", str(socket_dir / "k.sock")),
            ],
            env=os.environ
            | {"NOTIFY_SOCKET": str(socket_dir / "notify"), "WATCHDOG_USEC": "100000"},
        )
        with process:
            heard = [manager.recv(4096).decode() for _ in range(4)]
            assert (
                heard[1:] == ["STATUS=0 channels, 0 connections, 0 messages/s"] + ["WATCHDOG=1"] * 2
            )
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(socket_dir / "k.sock"))
                while "STATUS" not in (said := manager.recv(4096).decode()):
                    assert said == "WATCHDOG=1"
            assert said == "WATCHDOG=1\nSTATUS=0 channels, 1 connection, 0 messages/s"
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE_S) == 0


@BOTH_WAYS
def test_sigterm_waits_until_receivers_have_emptied_the_channels(
    start_daemon: Any, connect: Any, io: str
) -> None:
    running = start_daemon("--io", io, "--drain", "1000")
    wire = connect(running)
    chan_id = wire.make("jobs", KIND=4)
    for element in (b"a", b"b"):
        assert wire.ask("CHAN_SEND", CHAN_ID=chan_id, ELEMENT=[element])["RESULT"] == 0
    running.process.send_signal(signal.SIGTERM)
    wait_until_draining(wire)
    assert wire.ask("CHAN_RECV", CHAN_ID=chan_id)["ELEMENT"] == [b"a"]
    assert running.process.poll() is None
    assert wire.ask("CHAN_RECV", CHAN_ID=chan_id)["ELEMENT"] == [b"b"]
    assert running.finish() == 0
    assert wire.at_end()


def wait_until_draining(wire: Any, name: str = "jobs") -> None:
    """Making a name again is refused with another code once draining has begun."""
    answer = wire.ask("CHAN_MAKE", NAME=name, KIND=4, FLAGS=64)
    while answer["RESULT"] == -17:
        answer = wire.ask("CHAN_MAKE", NAME=name, KIND=4, FLAGS=64)
    assert (answer["RESULT"], answer["REASON"]) == (-125, b"shutting down")


@BOTH_WAYS
def test_what_nobody_took_in_time_is_counted_in_the_log_and_the_status_is_1(
    start_daemon: Any, connect: Any, io: str
) -> None:
    running = start_daemon("--io", io, "--drain", "0.2")
    wire = connect(running)
    jobs, more = wire.make("jobs", KIND=4), wire.make("more jobs", KIND=-2)
    for chan_id, count in ((jobs, 2), (more, 3)):
        for _ in range(count):
            assert wire.ask("CHAN_SEND", CHAN_ID=chan_id, ELEMENT=[b"x"])["RESULT"] == 0
    assert running.finish(signal.SIGTERM) == 1
    lost = [
        line.split("messages lost ")[1] for line in running.log.splitlines() if " lost " in line
    ]
    assert lost == [
        f"chan_id={jobs} name=jobs uid={os.getuid()} count=2",
        f'chan_id={more} name="more jobs" uid={os.getuid()} count=3',
    ]
    assert "ended messages_lost=5" in running.log


def test_draining_ends_early_when_nobody_is_left_to_receive(
    start_daemon: Any, connect: Any
) -> None:
    running = start_daemon("--drain", "1000")
    wire = connect(running)
    wire.ask("CHAN_SEND", CHAN_ID=wire.make("jobs", KIND=4), ELEMENT=[b"x"])
    wire.close()
    assert running.finish(signal.SIGTERM) == 1


def test_a_held_message_counts_as_not_yet_received_while_draining(
    start_daemon: Any, connect: Any
) -> None:
    running = start_daemon("--drain", "1000")
    wire = connect(running)
    chan_id = wire.make("jobs", KIND=4)
    wire.ask("CHAN_SEND", CHAN_ID=chan_id, ELEMENT=[b"x"])
    delivery = wire.ask("CHAN_RECV", CHAN_ID=chan_id, FLAGS=1)["ITEM"][0]["DELIVERY_ID"]
    running.process.send_signal(signal.SIGTERM)
    wait_until_draining(wire)
    assert wire.ask("ACK", DELIVERY_ID=[delivery])["RESULT"] == 0
    assert running.finish() == 0


@BOTH_WAYS
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_at_the_end_all_that_waits_hears_that_the_daemon_shuts_down(
    start_daemon: Any, connect: Any, io: str, number: int
) -> None:
    running = start_daemon("--io", io)
    wire = connect(running)
    chan_id = wire.make("jobs")
    wire.write("CHAN_RECV", REQ_ID=11, CHAN_ID=chan_id, TIMEOUT_MS=-1)
    wire.write("CHAN_OPEN", REQ_ID=12, NAME="late", TIMEOUT_MS=-1)
    wire.write("SUBSCRIBE", REQ_ID=13, CHAN_ID=chan_id, INTERVAL_MS=1_000_000)
    assert wire.read()["REQ_ID"] == 13  # the first event: the daemon has all three
    running.process.send_signal(number)
    ended = [wire.read() for _ in range(3)]
    assert {(answer["REQ_ID"], answer["RESULT"]) for answer in ended} == {
        (11, -125),
        (12, -125),
        (13, -125),
    }
    assert {answer["REASON"] for answer in ended} == {b"shutting down"}
    assert wire.at_end()
    assert running.finish() == 0


def test_while_draining_nobody_can_connect_and_a_successor_may_start(
    start_daemon: Any, connect: Any, socket_dir: Path
) -> None:
    first = start_daemon("--drain", "1000")
    wire = connect(first)
    chan_id = wire.make("jobs", KIND=4)
    wire.ask("CHAN_SEND", CHAN_ID=chan_id, ELEMENT=[b"x"])
    first.process.send_signal(signal.SIGTERM)
    wait_until_draining(wire)
    assert wire.ask("CHAN_MAKE", NAME="new")["RESULT"] == -125
    successor = connect(start_daemon())
    assert successor.ask("CHAN_OPEN", NAME="jobs")["RESULT"] == -2
    assert wire.ask("CHAN_RECV", CHAN_ID=chan_id)["ELEMENT"] == [b"x"]
    assert first.finish() == 0


def test_a_second_sigterm_ends_the_wait(start_daemon: Any, connect: Any) -> None:
    running = start_daemon("--drain", "1000")
    wire = connect(running)
    chan_id = wire.make("jobs", KIND=4)
    wire.ask("CHAN_SEND", CHAN_ID=chan_id, ELEMENT=[b"x"])
    running.process.send_signal(signal.SIGTERM)
    wait_until_draining(wire)
    assert running.finish(signal.SIGTERM) == 1
