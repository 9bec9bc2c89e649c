"""What mode, groups and the rules of a configuration file let other users do.

It is asked by processes that really are other users, so most of it needs root.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kcoro_ipc import blocking
from tests.e2e.configured import (
    ADMINS,
    ALICE,
    AS_ANOTHER,
    AS_COMMAND,
    BOB,
    NAMES,
    PATIENCE_S,
    RULED,
    STAFF,
    Configure,
    as_another,
)

pytestmark = pytest.mark.e2e


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
