"""The daemon with a configuration file: declared channels, rules, owners, and SIGHUP.

What other users may do is asked by processes that really are other users, so most of it needs
root.
"""

import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from kcoro_ipc import blocking
from kcoro_ipc.embedded import READY_S
from kcoro_ipc.errors import NoSuchChannel, QuotaExceeded, WouldBlock

pytestmark = pytest.mark.e2e

PATIENCE_S = 60.0  # bounds what hangs; nothing is judged by time
ALICE, BOB, STAFF, ADMINS = 20_001, 20_002, 30_001, 30_002
BOTH_WAYS = pytest.mark.parametrize("io", ["trio", "thread"])


class Configured:
    """A `kcoro serve --config` whose service manager this is."""

    def __init__(self, directory: Path, text: str, stack: ExitStack, *options: str) -> None:
        self.path = str(directory / "k.sock")
        self.file = directory / "kcoro.toml"
        self.log_path = directory / "log"
        self.write(text)
        os.chmod(directory, 0o755)
        self.manager = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        self.manager.settimeout(READY_S)
        self.manager.bind(str(directory / "notify"))
        log = stack.enter_context(self.log_path.open("wb"))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "kcoro_ipc.cli.serve", "--config", str(self.file), *options],
            env=os.environ | {"NOTIFY_SOCKET": str(directory / "notify")},
            stdin=subprocess.DEVNULL,
            stderr=log,
        )
        stack.callback(self._end)
        assert "READY=1" in self.hear(), self.log

    def _end(self) -> None:
        self.process.kill()
        self.process.wait()
        assert "Traceback" not in self.log, self.log

    def write(self, text: str) -> None:
        listening = (
            "" if "listen =" in text else f'listen = ["{self.path}"]\nsocket_mode = "0666"\n'
        )
        self.file.write_text(listening + text)

    def hear(self) -> str:
        """What the daemon tells its manager, but for the status line."""
        while (told := self.manager.recv(4096).decode()).startswith("STATUS="):
            pass
        return told

    def reload(self, text: str) -> str:
        """What the log says about it."""
        self.write(text)
        before = len(self.log)
        self.process.send_signal(signal.SIGHUP)
        assert self.hear().startswith("RELOADING=1\nMONOTONIC_USEC=")
        assert "READY=1" in self.hear()
        return self.log[before:]

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")


Configure = Callable[..., Configured]


@pytest.fixture
def configure(socket_dir: Path) -> Iterator[Configure]:
    with ExitStack() as stack:
        yield lambda text, *options: Configured(socket_dir, text, stack, *options)


# Everything is imported before the rights are given away: the interpreter's own files may lie where
# only root can read.
AS_ANOTHER = """
import sys
import encodings.idna, os
from kcoro_ipc import blocking, errors, metrics
path, uid, groups, program = sys.argv[1:]
os.setgroups([int(one) for one in groups.split(',') if one])
os.setgid(int(uid)); os.setuid(int(uid))
def code(act):
    try:
        return act()
    except errors.KcoroError as error:
        return error.name
with blocking.open_client(path, name="stranger") as client:
    print(eval(program))
"""


AS_COMMAND = """
import sys
import encodings.idna, os
from kcoro_ipc import blocking
from kcoro_ipc.cli import ending, main
os.setgroups([]); os.setgid(int(sys.argv[1])); os.setuid(int(sys.argv[1]))
main.main(sys.argv[2:])
"""


def as_another(daemon: Configured, program: str, uid: int = ALICE, groups: str = "") -> str:
    """What an expression gives for a client of that user; `code(lambda: ...)` names an error."""
    finished = subprocess.run(
        [sys.executable, "-c", AS_ANOTHER, daemon.path, str(uid), groups, program],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.strip()


NAMES = "sorted(one.name for one in client.list_channels())"

# --- declared channels ---

DECLARED = """
[[channel]]
name = "jobs"
capacity = 2
dead_letter = "failed"
ack = "required"

[[channel]]
name = "failed"
kind = "unlimited"
"""


def test_declared_channels_are_there_and_outlive_every_handle(configure: Configure) -> None:
    daemon = configure(DECLARED)
    for _ in range(2):
        with blocking.open_client(daemon.path) as client:
            jobs = client.open_channel("jobs", existing=True)
            assert (jobs.info.kind, jobs.info.capacity) == ("buffered", 2)
            with jobs.acking() as inbox, pytest.raises(WouldBlock):
                inbox.try_receive()
            jobs.aclose()
            assert [one.name for one in client.list_channels()] == ["failed", "jobs"]


def test_declared_channels_count_in_nobodys_quota(configure: Configure) -> None:
    daemon = configure(DECLARED + "[limits]\nchannels_per_uid = 1\n")
    with blocking.open_client(daemon.path) as client:
        assert client.info().usage["channels"] == 0
        client.make_channel("own")
        with pytest.raises(QuotaExceeded):
            client.make_channel("more")
        client.open_channel("jobs", existing=True).destroy()
        assert client.info().usage["channels"] == 1


def test_a_daemon_that_cannot_make_a_declared_channel_does_not_start(socket_dir: Path) -> None:
    (socket_dir / "k.toml").write_text(DECLARED)
    finished = subprocess.run(
        [
            *(sys.executable, "-m", "kcoro_ipc.cli.serve", "--config", str(socket_dir / "k.toml")),
            *("--listen", str(socket_dir / "k.sock"), "--limit", "channels=1"),
        ],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert finished.returncode == 1
    assert "the daemon cannot start: channel jobs: " in finished.stderr
    assert "limits.channels" in finished.stderr


# --- rights of other users ---

RULED = f"""
[access]
admin_group = "{ADMINS}"

[[channel]]
name = "board"
capacity = 8
owner = {BOB}
group = {STAFF}
mode = "0640"

[[channel]]
name = "open"
capacity = 8
mode = "0666"

[[channel]]
name = "secret"
capacity = 8
mode = "0777"

[[rule]]
allow = ["make"]
name = "alice.*"
users = [{ALICE}]

[[rule]]
deny = ["make"]

[[rule]]
deny = ["see"]
name = "secret"
users = [{ALICE}]
"""


@pytest.mark.parametrize(
    ("uid", "groups", "names"),
    [
        (ALICE, "", "['open']"),
        (ALICE, f"{STAFF}", "['board', 'open']"),
        (BOB, "", "['board', 'open', 'secret']"),
        (ALICE, f"{ADMINS}", "['board', 'open', 'secret']"),
    ],
)
def test_ls_shows_what_mode_and_rules_let_a_user_see(
    configure: Configure, only_root: None, uid: int, groups: str, names: str
) -> None:
    assert as_another(configure(RULED), NAMES, uid, groups) == names


def test_a_channel_that_may_not_be_seen_is_as_one_that_is_not_there(
    configure: Configure, only_root: None
) -> None:
    daemon = configure(RULED)
    commands = (
        "[code(lambda: act(name)) for name in ('secret', 'board', 'absent') for act in ("
        "lambda n: client.open_channel(n, existing=True), client.statistics, client.list_waiters, "
        "lambda n: client.make_channel(n))]"
    )
    answers = eval(as_another(daemon, commands))
    each = ["ENOENT", "ENOENT", "ENOENT", "EACCES"]
    assert answers == each * 3


def test_mode_group_and_admin_group_decide_what_a_user_may_do(
    configure: Configure, only_root: None
) -> None:
    daemon = configure(RULED)
    send = "code(lambda: client.open_channel('board', existing=True, read=False).try_send(b'x'))"
    receive = "code(lambda: client.open_channel('board', existing=True, write=False).try_receive())"
    destroy = "code(lambda: client.open_channel('board', existing=True, write=False).destroy())"
    assert as_another(daemon, send, ALICE, f"{STAFF}") == "EACCES"
    assert as_another(daemon, send, BOB) == "True"
    assert as_another(daemon, receive, ALICE, f"{STAFF}") == "b'x'"
    assert as_another(daemon, destroy, ALICE, f"{STAFF}") == "EACCES"
    assert as_another(daemon, destroy, ALICE, f"{ADMINS}") == "None"
    refusals = [line for line in daemon.log.splitlines() if " refused " in line]
    assert len(refusals) == 2
    assert f"uid={ALICE}" in refusals[0]
    assert "client=stranger" in refusals[0]
    assert 'cmd=CHAN_OPEN code=EACCES name=board why="the mode 0640 forbids sending"' in refusals[0]
    assert "cmd=CHAN_DESTROY code=EACCES" in refusals[1]
    assert 'why="the mode 0640 forbids managing"' in refusals[1]


def test_who_may_only_manage_closes_purges_and_destroys_also_from_a_shell(
    configure: Configure, only_root: None
) -> None:
    daemon = configure('[[channel]]\nname = "x"\ncapacity = 2\nmode = "0601"\n')
    with blocking.open_client(daemon.path) as client:
        client.open_channel("x").send(b"waits")
    for words in (["purge", "x"], ["close", "x"], ["destroy", "x"]):
        finished = subprocess.run(
            [sys.executable, "-c", AS_COMMAND, str(ALICE), "--socket", daemon.path, *words],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        assert (finished.returncode, finished.stderr) == (0, "")
        assert finished.stdout == ("1\n" if words[0] == "purge" else "")
    with blocking.open_client(daemon.path) as client:
        assert client.list_channels() == []


def test_the_first_rule_that_matches_decides_who_may_make(
    configure: Configure, only_root: None
) -> None:
    daemon = configure(RULED)
    make = "[code(lambda: client.make_channel(n).name) for n in ('alice.x', 'other', None)]"
    assert as_another(daemon, make, ALICE) == "['alice.x', 'EACCES', 'EACCES']"
    assert as_another(daemon, make, BOB) == "['EACCES', 'EACCES', 'EACCES']"
    assert as_another(daemon, make, 0) == "['alice.x', 'other', None]"
    assert 'why="rule[1] of the daemon\'s configuration forbids making"' in daemon.log


def test_the_group_of_the_sockets_is_the_configured_one(
    configure: Configure, only_root: None
) -> None:
    daemon = configure(f"socket_group = {STAFF}\n")
    assert os.stat(daemon.path).st_gid == STAFF


IN_A_USER_NAMESPACE = ["unshare", "--user", "--map-root-user"]


def user_namespaces() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*IN_A_USER_NAMESPACE, "true"], capture_output=True).returncode == 0


@pytest.mark.parametrize("allowed", [False, True])
def test_a_client_of_another_user_namespace_is_refused_by_name_unless_allowed(
    socket_dir: Path, only_root: None, allowed: bool
) -> None:
    """The daemon stands in a namespace that has root alone, as with PrivateUsers=yes."""
    if not user_namespaces():
        pytest.skip("this machine makes no user namespaces (unshare --user)")
    (socket_dir / "k.toml").write_text(f"[access]\nallow_unmapped = {str(allowed).lower()}\n")
    os.chmod(socket_dir, 0o755)
    path = str(socket_dir / "k.sock")
    words = [sys.executable, "-m", "kcoro_ipc.cli.serve", "--listen", path, "--socket-mode", "666"]
    words += ["--config", str(socket_dir / "k.toml")]
    with subprocess.Popen(
        [*IN_A_USER_NAMESPACE, *words], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert f"kcoro: ready on stream:{path}\n" in process.stderr
        finished = subprocess.run(
            [sys.executable, "-c", AS_ANOTHER, path, str(ALICE), "", "client.info().uid"],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        process.terminate()
        log = process.stderr.read()
    if allowed:
        assert finished.stdout == "0\n", finished.stderr
    else:
        assert "credentials from another user namespace (uid 65534" in finished.stderr
        assert "access.allow_unmapped" in finished.stderr
        assert "refused" in log
        assert "client=stranger cmd=HELLO code=EACCES" in log


# --- SIGHUP ---

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
