"""The service as it is installed on the machine of booted.py: who may what, and what
`kcoro service` says and takes away again. How it starts, ends and comes back: test_systemd.py."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.booted import Machine
from tests.e2e.managed import SOCKETS, Service

pytestmark = pytest.mark.e2e


# --- rights ---


def test_metrics_are_for_administrators_alone(service: Service) -> None:
    """They name channels that a member of the daemon's group may not see."""
    shown = service.machine.ask("stat", "-c", "%G %a", "/run/kcoro/metrics.sock")
    assert shown == "kcoro-admin 660"


def test_it_runs_as_a_user_of_its_own_without_any_privilege(service: Service) -> None:
    text = service.machine.ask("cat", f"/proc/{service.pid()}/status")
    fields = dict(line.split(":\t", 1) for line in text.splitlines())
    uid = service.machine.ask("id", "-u", "kcoro")
    assert set(fields["Uid"].split()) == {uid}
    assert uid != "0"
    assert {int(fields[name], 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert (fields["NoNewPrivs"], fields["Seccomp"]) == ("1", "2")


def test_members_of_its_group_may_connect_and_are_seen_as_who_they_are(service: Service) -> None:
    service.machine.run("kcoro", "make", "hers", user="kc-alice")
    uid = service.machine.ask("id", "-u", "kc-alice")
    service.tells("name=hers", f"uid={uid}")
    refused = service.machine.run("kcoro", "stat", user="kc-bob", status=None)
    assert refused.returncode != 0
    assert "ermission" in refused.stderr


def test_shared_memory_and_open_files_pass_under_its_restrictions(service: Service) -> None:
    machine = service.machine
    machine.run("kcoro", "make", "large", "--kind", "unlimited")
    size = 20 << 20
    machine.run("sh", "-c", f"head -c {size} /dev/urandom > /srv/sent", status=0)
    machine.run("kcoro", "send", "large", "--file", "/srv/sent")
    machine.run("kcoro", "recv", "large", "--output", "/srv/received")
    machine.run("cmp", "/srv/sent", "/srv/received")
    machine.run("sh", "-c", "kcoro send large --pass-stdin look < /srv/sent")
    got = machine.run("kcoro", "recv", "large", "--exec", "wc -c").stdout
    assert int(got) == size
    limits = machine.ask("cat", f"/proc/{service.pid()}/limits")
    opened = next(line for line in limits.splitlines() if line.startswith("Max open files"))
    soft, hard = opened.split()[3:5]
    assert soft == hard
    assert int(soft) > 1024  # what it would have without LimitNOFILE=


# --- kcoro service ---


def test_status_says_what_runs_with_the_exit_codes_of_systemctl(service: Service) -> None:
    stopped = service.machine.run("kcoro", "service", "status", status=3).stdout.splitlines()
    assert stopped[0].startswith("kcoro.service         inactive (dead), disabled")
    pid = service.pid()
    running = service.machine.run("kcoro", "service", "status").stdout.splitlines()
    assert running[0].startswith(f"kcoro.service         active (running), disabled, pid {pid}, ")
    assert [line.split()[0] for line in running[-3:]] == list(SOCKETS)
    assert running[-3].endswith("enabled /run/kcoro/kcoro.sock (Stream)")


def test_uninstall_takes_away_what_install_brought_and_nothing_else(service: Service) -> None:
    machine = service.machine
    listing = ("find", "/etc/systemd", "/etc/sysusers.d", "/etc/tmpfiles.d", "-name", "kcoro*")
    placed = machine.ask(*listing)
    assert placed.count("\n") >= 5
    try:
        used = machine.run("kcoro", "service", "uninstall", status=1)
        assert "kcoro.socket, kcoro-seq.socket, kcoro-metrics.socket are in use; --now" in (
            used.stderr
        )
        machine.run("sh", "-c", "echo '# mine' >> /etc/systemd/system/kcoro.socket")
        edited = machine.run("kcoro", "service", "uninstall", "--now", status=1)
        assert "/etc/systemd/system/kcoro.socket is edited" in edited.stderr
        assert machine.ask(*listing) == placed
        removed = machine.run("kcoro", "service", "uninstall", "--now", "--force").stdout
        assert machine.ask(*listing) == ""
        assert machine.run("ls", "-A", "/run/kcoro").stdout == ""
        assert removed.count("removed   /etc/") == len(
            [path for path in placed.splitlines() if "." in path and "wants" not in path]
        )
        assert "not installed" in machine.run("kcoro", "service", "status", status=4).stdout
    finally:
        again = machine.run("kcoro", "service", "install", "--now", "--force")
    assert "run       systemctl enable --now kcoro.socket" in again.stdout
    assert "unchanged" in machine.run("kcoro", "service", "install").stdout


# --- of one user ---


@pytest.fixture
def as_alice(machine: Machine) -> Iterator[Callable[..., Any]]:
    uid = machine.ask("id", "-u", "kc-alice")
    machine.run("systemctl", "start", f"user@{uid}.service")

    def run(*words: str, status: int | None = 0) -> Any:
        own = ["env", f"XDG_RUNTIME_DIR=/run/user/{uid}", "HOME=/srv/kc-alice"]
        return machine.run(*own, *words, user="kc-alice", status=status)

    yield run
    machine.run("systemctl", "stop", f"user@{uid}.service")


def test_a_user_has_one_of_their_own(as_alice: Callable[..., Any], machine: Machine) -> None:
    installed = as_alice("kcoro", "service", "install", "--user", "--now").stdout
    assert "/srv/kc-alice/.config/systemd/user/kcoro.service" in installed
    first = json.loads(as_alice("kcoro", "stat", "--json").stdout)
    uid = int(machine.ask("id", "-u", "kc-alice"))
    owner = machine.ask("stat", "--format=%u", f"/proc/{first['pid']}")
    assert (first["uid"], int(owner)) == (uid, uid)
    mode = machine.ask(
        "stat", "--format=%a", f"/run/user/{uid}/kcoro", f"/run/user/{uid}/kcoro/kcoro.sock"
    )
    assert mode == "700\n600"
    as_alice("kill", "-KILL", str(first["pid"]))
    second = json.loads(as_alice("kcoro", "stat", "--json").stdout)
    assert second["pid"] != first["pid"]
    status = as_alice("kcoro", "service", "status", "--user").stdout
    assert f"pid {second['pid']}" in status
    as_alice("kcoro", "service", "uninstall", "--user", "--now")
    assert as_alice("find", "/srv/kc-alice/.config", "-name", "kcoro*").stdout == ""
    as_alice("kcoro", "service", "status", "--user", status=4)
