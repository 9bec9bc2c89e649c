"""The service under the real manager: the machine of booted.py, booted once for all tests of a run.
Who may what, and how it is installed: test_systemd_installed.py.

A plain client is how a test waits: it connects, and is answered as soon as a daemon serves.
"""

import json
import time
from collections.abc import Callable

import pytest

from tests.e2e.managed import PATIENCE_S, SOCKETS, Service, until

pytestmark = pytest.mark.e2e

# Hangs when told to: USR1 the loop, USR2 the turn of the engine, wherever that runs.
HANGS = """\
import signal, threading

def hang_loop(*_):
    while True:
        pass

def hang_turn(*_):
    threading.Event().wait()

def plant(*_):
    from kcoro_ipc.pump import NativePump
    NativePump.turn = hang_turn

signal.signal(signal.SIGUSR1, hang_loop)
signal.signal(signal.SIGUSR2, plant)
"""
# Connects in the moment when the old daemon has ended and the new one has not begun.
BETWEEN = """\
import os, select, signal, sys
from kcoro_ipc import blocking

pid = int(sys.argv[1])
end = os.pidfd_open(pid)
os.kill(pid, signal.SIGKILL)
assert select.select([end], [], [], 60)[0]
with blocking.open_client() as client:
    channel = client.make_channel("between", kind="buffered", capacity=1)
    channel.send(b"served")
    print(channel.receive().decode())
"""
# Keeps a message in a channel until its standard input ends.
KEEPS = """\
import sys
from kcoro_ipc import blocking

with blocking.open_client() as client:
    channel = client.make_channel("kept", kind="buffered", capacity=1)
    channel.send(b"in time")
    print("sent", flush=True)
    sys.stdin.read()
    print(channel.receive().decode(), flush=True)
"""
RELOADS = """\
[Service]
Type=notify
ExecReload=/bin/kill -HUP $MAINPID
ExecStart=/opt/kcoro/bin/python -u /opt/reloads.py
"""
RELOADS_PROGRAM = """\
import signal
from kcoro_ipc import service

signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP, signal.SIGUSR1])
service.ready("first")
signal.sigwait([signal.SIGHUP])
service.reloading()
signal.sigwait([signal.SIGUSR1])
service.ready("second")
signal.sigwait([signal.SIGTERM])
"""


# --- start ---


def test_the_first_connection_starts_it_and_it_is_active_when_it_is_ready(service: Service) -> None:
    assert service.state() == "inactive"
    pid = service.pid()
    shown = service.show("WatchdogUSec", "RestartUSec")
    assert shown == {"WatchdogUSec": "20s", "RestartUSec": "100ms"}
    shown = service.show("ActiveState", "SubState", "MainPID", "NRestarts", "Type")
    assert shown.pop("Type") in ("notify", "notify-reload")
    assert shown == {
        "ActiveState": "active",
        "SubState": "running",
        "MainPID": str(pid),
        "NRestarts": "0",
    }


@pytest.mark.parametrize("socket", SOCKETS)
def test_all_three_sockets_lead_to_the_daemon(service: Service, socket: str) -> None:
    shown = service.show("ActiveState", "SubState", "Triggers", unit=socket)
    assert shown == {
        "ActiveState": "active",
        "SubState": "listening",
        "Triggers": "kcoro.service",
    }
    service.pid()
    assert service.show("SubState", unit=socket) == {"SubState": "running"}
    assert "not used" not in service.log()


def test_an_old_client_comes_by_the_packet_socket(service: Service) -> None:
    done = service.machine.run(
        "kcoro", "--socket", "seqpacket:/run/kcoro/kcoro-seq.sock", "stat", "--json"
    )
    assert str(json.loads(done.stdout)["pid"]) == service.show("MainPID")["MainPID"]


def test_systemctl_shows_what_the_daemon_does(service: Service) -> None:
    service.change("WatchdogSec=4s")
    service.machine.run("kcoro", "make", "one")
    service.machine.run("kcoro", "make", "two")
    line = "2 channels, 0 connections, 0 messages/s"
    until(lambda: service.show("StatusText")["StatusText"] == line, line)
    assert f'Status: "{line}"' in service.machine.ask("systemctl", "status", "kcoro.service")


# --- crash ---


def test_it_is_back_after_a_kill_and_the_log_says_what_was_lost(
    service: Service, record_property: Callable[[str, object], None]
) -> None:
    before = service.pid()
    service.machine.run("kcoro", "make", "jobs", "--capacity", "4")
    service.machine.run("kcoro", "send", "jobs", "lost")
    service.machine.run("kill", "-KILL", str(before))
    until(lambda: service.restarts() == 1, "a restart")
    assert service.pid() != before
    assert service.machine.run("kcoro", "stat", "jobs", status=8)
    shown = service.show("ActiveExitTimestampMonotonic", "ActiveEnterTimestampMonotonic")
    ended, back = (int(value) for value in shown.values())
    if "ActiveExit" not in next(iter(shown)):
        ended, back = back, ended
    assert ended < back
    record_property("back after us", back - ended)
    print(f"back after {(back - ended) / 1e6:.3f} s")
    assert service.restarts() == 1
    service.tells(
        "the daemon ended by itself (killed KILL, signal): "
        "messages that waited in channels are lost"
    )


@pytest.mark.parametrize(
    ("starts_by", "ended"),
    [
        ("Environment=CONFIGURATION_DIRECTORY=/srv/wrong", "exited 2, exit-code"),
        ("ExecStart=\nExecStart=/bin/sh -c 'exit 70'", "exited 70, exit-code"),
        ("ExecStart=\nExecStart=/bin/sh -c 'kill -KILL $$$$'", "killed KILL, signal"),
    ],
)
def test_one_that_was_never_ready_says_nothing_of_lost_messages(
    service: Service, starts_by: str, ended: str
) -> None:
    service.pid()
    service.machine.run("systemctl", "stop", "kcoro.service")  # what an earlier life left is gone
    service.machine.write("/srv/wrong/kcoro.toml", "access = 5\n")
    service.change(*starts_by.split("\n"), "Restart=no")
    assert service.machine.run("systemctl", "start", "kcoro.service", status=None).returncode
    service.tells(f"the daemon ended by itself ({ended}) before it was ready")
    assert "are lost" not in service.log()


def test_a_wrong_file_ends_no_daemon_and_starts_none_again_and_again(service: Service) -> None:
    pid = service.pid()
    service.machine.write("/etc/kcoro/kcoro.toml", "access = 5\n")
    try:
        service.machine.run("systemctl", "reload", "kcoro.service")
        assert service.pid() == pid
        service.tells("configuration not reloaded: the old one stays in force")
        service.machine.run("systemctl", "restart", "kcoro.service", status=None)
        until(lambda: service.state() == "failed", "an end")
        shown = service.show("ExecMainStatus", "NRestarts")
        assert shown == {"ExecMainStatus": "2", "NRestarts": "0"}
    finally:
        service.machine.run("rm", "-f", "/etc/kcoro/kcoro.toml")


def test_a_client_that_comes_while_it_restarts_waits_and_is_served(service: Service) -> None:
    before = service.pid()
    done = service.machine.run("/opt/kcoro/bin/python", "-c", BETWEEN, str(before))
    assert done.stdout == "served\n"
    assert service.restarts() == 1
    assert service.pid() != before


def test_its_paths_are_the_managers_and_outlive_it(service: Service) -> None:
    def inodes() -> str:
        return service.machine.ask("stat", "--format=%i %U:%G %a", "/run/kcoro/kcoro.sock")

    service.pid()
    before = inodes()
    assert before.endswith(" root:kcoro 660")
    service.machine.run("systemctl", "restart", "kcoro.service")
    service.pid()
    service.machine.run("systemctl", "stop", "kcoro.service")
    assert inodes() == before
    assert service.state() == "inactive"
    assert "messages that waited in channels are lost" not in service.log()


# --- watchdog ---


def was_killed_by_the_watchdog(service: Service, before: int) -> str:
    """The log, once another daemon serves."""
    until(lambda: service.restarts() >= 1, "a restart")
    assert service.pid() != before
    service.tells("Watchdog timeout")
    service.tells(", watchdog): messages that waited in channels are lost")
    return service.log()


def test_a_daemon_that_lives_on_is_left_alone(service: Service) -> None:
    service.change("WatchdogSec=6s")
    before = service.pid()
    for _ in range(3):  # the last sign of life comes after 9 s
        last = service.show("WatchdogTimestampMonotonic")
        until(
            lambda last=last: service.show("WatchdogTimestampMonotonic") != last, "a sign of life"
        )
    assert (service.pid(), service.restarts()) == (before, 0)


def test_a_daemon_that_stands_still_is_killed_and_replaced(service: Service) -> None:
    service.change("WatchdogSec=1s")
    before = service.pid()
    service.machine.run("kill", "-STOP", str(before))
    was_killed_by_the_watchdog(service, before)


@pytest.mark.parametrize(("number", "io"), [("USR1", "trio"), ("USR2", "trio"), ("USR2", "thread")])
def test_a_loop_or_a_turn_that_hangs_is_killed_and_leaves_in_the_log_where(
    service: Service, number: str, io: str
) -> None:
    service.machine.write("/opt/hangs/sitecustomize.py", HANGS)
    serve = f"/opt/kcoro/bin/kcoro serve --io {io}"
    path = "Environment=PYTHONPATH=/opt/hangs"
    service.change("WatchdogSec=1s", path, "ExecStart=", f"ExecStart={serve}")
    before = service.pid()
    service.machine.run("kill", f"-{number}", str(before))
    log = was_killed_by_the_watchdog(service, before)
    assert "Fatal Python error: Aborted" in log
    assert f" in hang_{'loop' if number == 'USR1' else 'turn'}" in log


# --- stop, reload ---


def test_the_time_to_drain_may_be_longer_than_the_managers_patience(service: Service) -> None:
    service.change(
        "TimeoutStopSec=500ms", "ExecStart=", "ExecStart=/opt/kcoro/bin/kcoro serve --drain 60"
    )
    keeper = service.machine.start("/opt/kcoro/bin/python", "-c", KEEPS)
    assert keeper.stdout is not None
    assert keeper.stdin is not None
    with keeper:
        assert keeper.stdout.readline() == "sent\n"
        service.machine.run("systemctl", "stop", "--no-block", "kcoro.service")
        draining = "draining for up to 60 s"
        until(lambda: service.show("StatusText")["StatusText"] == draining, draining)
        time.sleep(1.0)  # twice what the unit allows: no synchronisation, the claim itself
        keeper.stdin.close()
        assert keeper.stdout.readline() == "in time\n"
        assert keeper.wait(PATIENCE_S) == 0
    service.machine.run("systemctl", "stop", "kcoro.service")
    assert service.show("Result", "ActiveState") == {"Result": "success", "ActiveState": "inactive"}
    assert "timed out" not in service.log()


def test_messages_that_nobody_took_are_no_failure_of_the_service(service: Service) -> None:
    service.machine.run("kcoro", "make", "jobs", "--capacity", "4")
    service.machine.run("kcoro", "send", "jobs", "left")
    service.machine.run("systemctl", "stop", "kcoro.service")
    shown = service.show("Result", "ExecMainStatus", "ActiveState")
    assert shown == {"Result": "success", "ExecMainStatus": "1", "ActiveState": "inactive"}
    service.tells("messages lost")


def test_a_reload_keeps_the_daemon(service: Service) -> None:
    before = service.pid()
    service.machine.run("systemctl", "reload", "kcoro.service")
    assert (service.pid(), service.restarts(), service.state()) == (before, 0, "active")


def test_the_manager_follows_a_reload_from_the_first_word_to_the_last(service: Service) -> None:
    machine = service.machine
    machine.write("/opt/reloads.py", RELOADS_PROGRAM)
    machine.write("/run/systemd/system/reloads.service", RELOADS)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", "reloads.service")

    def shown() -> tuple[str, str]:
        found = service.show("ActiveState", "StatusText", unit="reloads.service")
        return found["ActiveState"], found["StatusText"]

    assert shown() == ("active", "first")
    machine.run("systemctl", "reload", "--no-block", "reloads.service")
    until(lambda: shown()[0] == "reloading", "reloading")
    machine.run("systemctl", "kill", "--kill-who=main", "--signal=USR1", "reloads.service")
    until(lambda: shown() == ("active", "second"), "ready again")
    machine.run("systemctl", "stop", "reloads.service", status=None)
