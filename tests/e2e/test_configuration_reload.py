"""SIGHUP: the daemon reads its configuration file again; what changes, and what does not."""

import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from kcoro_ipc import blocking
from kcoro_ipc.errors import NoSuchChannel, QuotaExceeded
from tests.e2e.configured import (
    ALICE,
    AS_ANOTHER,
    DECLARED,
    PATIENCE_S,
    RULED,
    Configure,
)

pytestmark = pytest.mark.e2e
BOTH_WAYS = pytest.mark.parametrize("io", ["trio", "thread"])


IN_A_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "kcoro_ipc.cli.serve", *sys.argv[1:]])
"""


def test_a_terminal_that_closes_ends_its_daemon(socket_dir: Path) -> None:
    master, terminal = pty.openpty()
    words = ["--listen", str(socket_dir / "k.sock"), "--config", os.devnull]
    with subprocess.Popen(
        [sys.executable, "-c", IN_A_TERMINAL, *words],
        stdin=terminal,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        os.close(terminal)
        said = process.stderr
        assert said is not None
        try:
            assert any("ready on" in line for line in said)
            process.send_signal(signal.SIGHUP)
            assert any("configuration reloaded" in line for line in said)
            os.close(master)
            assert any("draining" in line for line in said)
            assert process.wait(PATIENCE_S) == 0
        finally:
            process.kill()


@BOTH_WAYS
def test_a_reload_changes_what_can_change_and_loses_nothing(configure: Configure, io: str) -> None:
    daemon = configure(DECLARED, "--io", io)
    with blocking.open_client(daemon.path) as client:
        jobs = client.open_channel("jobs")
        jobs.send(b"waits")
        said = daemon.reload(
            'log_level = "debug"\n[limits]\nchannels_per_uid = 1\n'
            + DECLARED.replace('name = "failed"', 'name = "failed"\nmode = "0622"')
            + '[[channel]]\nname = "new"\nkind = "conflated"\n'
        )
        assert "configuration reloaded" in said
        assert "channel declared" in said
        assert "channel changed" in said
        assert "warning" not in said
        modes = {one.name: (one.kind, one.mode) for one in client.list_channels()}
        assert modes["failed"] == ("unlimited", 0o622)
        assert modes["new"] == ("conflated", 0o600)
        client.make_channel("own")
        with pytest.raises(QuotaExceeded):  # also for a user who was there before
            client.make_channel("more")
        with jobs.acking() as inbox:
            job = inbox.receive()
            assert job.data == b"waits"
            job.ack()
    assert "debug" in daemon.log


def test_reloading_is_told_with_the_time_of_the_monotonic_clock(configure: Configure) -> None:
    daemon = configure("")
    before = time.monotonic_ns() // 1000
    daemon.process.send_signal(signal.SIGHUP)
    found = re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=(\d+)", daemon.hear())
    assert found
    assert before <= int(found[1]) <= time.monotonic_ns() // 1000
    assert "READY=1" in daemon.hear()


def test_what_cannot_change_is_said_in_a_line_each(configure: Configure) -> None:
    daemon = configure(DECLARED)
    said = daemon.reload(
        'listen = ["/run/elsewhere.sock"]\nsocket_mode = "0600"\nio = "thread"\n'
        "[limits]\nchannels = 7\n"
        + DECLARED.split('[[channel]]\nname = "failed"')[0]
        .replace("capacity = 2", "capacity = 3")
        .replace('dead_letter = "failed"\n', "")
    )
    for key in ("listen", "socket_mode", "io", "limits.channels"):
        assert f"setting needs a restart key={key} " in said
    assert "channel kept" in said
    assert "key=capacity now=2 file=3" in said
    assert "key=dead_letter now=failed" in said
    assert 'channel no longer declared name=failed why="it stays until it is destroyed"' in said
    with blocking.open_client(daemon.path) as client:
        assert client.open_channel("jobs", existing=True).info.capacity == 2
        client.open_channel("failed", existing=True)


def test_what_was_said_once_is_said_again_at_each_reload_until_it_agrees(
    configure: Configure,
) -> None:
    daemon = configure("")
    for _ in range(2):
        said = daemon.reload('io = "thread"\n[limits]\nfiles = 9\n')
        assert "setting needs a restart key=io now=trio file=thread" in said
        assert "setting needs a restart key=limits.files now=4096 file=9" in said
    assert "setting needs a restart" not in daemon.reload("")


def test_a_bad_file_leaves_the_old_one_in_force_and_is_told_as_by_config_check(
    configure: Configure,
) -> None:
    daemon = configure("[limits]\nchannels_per_uid = 2\n")
    said = daemon.reload(
        "[limits]\nchannels_per_uid = 1\n[[channel]]\nname = 'new'\nkind = 'bufered'\n"
    )
    checked = subprocess.run(
        [sys.executable, "-m", "kcoro_ipc", "config", "check", str(daemon.file)],
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 2
    key, _, why = checked.stderr.removeprefix(f"kcoro: {daemon.file}: ").strip().partition(": ")
    assert key == "channel[0].kind"
    assert f'key={key} why="{why}"' in said
    assert "the old one stays in force" in said
    assert "configuration reloaded" not in said
    with blocking.open_client(daemon.path) as client:
        client.make_channel("one")
        client.make_channel("two")
        with pytest.raises(QuotaExceeded) as refused:
            client.make_channel("three")
        assert refused.value.limit == 2
        with pytest.raises(NoSuchChannel):
            client.open_channel("new", existing=True)


def test_options_of_the_command_line_stand_before_the_file_also_after_a_reload(
    configure: Configure,
) -> None:
    daemon = configure("", "--limit", "channels_per_uid=1", "--log-level", "warning")
    said = daemon.reload('log_level = "debug"\n[limits]\nchannels_per_uid = 5\n')
    assert said == ""
    with blocking.open_client(daemon.path) as client:
        client.make_channel("one")
        with pytest.raises(QuotaExceeded):
            client.make_channel("two")


def test_a_name_that_a_user_took_before_it_was_declared_stays_the_users(
    configure: Configure,
) -> None:
    daemon = configure("")
    with blocking.open_client(daemon.path) as client:
        mine = client.make_channel("jobs", capacity=9, kind="buffered")
        said = daemon.reload('[[channel]]\nname = "jobs"\nmode = "0666"\n')
        assert "channel not declared" in said
        assert "destroy it, then reload" in said
        assert client.list_channels()[0].mode == 0o600
        mine.destroy()
        assert "channel declared" in daemon.reload('[[channel]]\nname = "jobs"\nmode = "0666"\n')
        assert client.list_channels()[0].mode == 0o666


def test_rights_after_a_reload_count_for_who_opens_and_handles_keep_theirs(
    configure: Configure, only_root: None
) -> None:
    daemon = configure(RULED)
    program = (
        "[(lambda c: [c.try_send(b'a'), print('ready', flush=True), input(), c.try_send(b'b'),"
        "code(lambda: client.open_channel('open', existing=True, read=False))])"
        "(client.open_channel('open', existing=True, read=False))]"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", AS_ANOTHER, daemon.path, str(ALICE), "", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with other:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        daemon.reload(RULED + "[[rule]]\ndeny = ['send']\n")
        said, _ = other.communicate("\n", timeout=PATIENCE_S)
    assert said == "[[True, None, '', True, 'EACCES']]\n"


def test_who_waits_for_a_name_gets_it_when_a_reload_lets_it_be_seen(
    configure: Configure, only_root: None
) -> None:
    daemon = configure('log_level = "debug"\n' + RULED)
    program = "client.open_channel('secret', wait=True).info.capacity"
    waiting = subprocess.Popen(
        [sys.executable, "-c", AS_ANOTHER, daemon.path, str(ALICE), "", program],
        stdout=subprocess.PIPE,
        text=True,
    )
    with waiting:
        with blocking.open_client(daemon.path) as client:
            while "cmd=CHAN_OPEN" not in daemon.log:
                client.ping()
        daemon.reload(RULED.rsplit("[[rule]]", 1)[0])
        said, _ = waiting.communicate(timeout=PATIENCE_S)
    assert said == "8\n"


def test_limits_of_a_connection_that_is_there_change_too(configure: Configure) -> None:
    daemon = configure("")
    with blocking.open_client(daemon.path) as client:
        channel: Any = client.make_channel("jobs", kind="buffered", capacity=8)
        channel.send_many([b"1", b"2", b"3"])
        with channel.acking() as inbox:
            first = inbox.receive()
            daemon.reload("[limits]\nheld_per_connection = 1\n")
            with pytest.raises(QuotaExceeded) as refused:
                inbox.try_receive()
            assert (refused.value.limit, refused.value.usage) == (1, 1)
            first.ack()
            inbox.try_receive().ack()


def test_modes_are_said_as_the_file_writes_them(configure: Configure) -> None:
    daemon = configure("")
    with daemon.file.open() as file:
        rest = file.read().replace("0666", "0660")
    said = daemon.reload("# listen =\n" + rest)
    assert "setting needs a restart key=socket_mode now=0666 file=0660" in said


def test_no_shape_of_a_table_keeps_the_manager_waiting(configure: Configure) -> None:
    daemon = configure("")
    for table in ("access", "limits", "channel", "rule"):
        said = daemon.reload(f"{table} = 5\n")
        assert "configuration not reloaded: the old one stays in force" in said
        assert f"key={table} " in said
