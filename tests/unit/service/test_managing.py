"""`kcoro service` and what it asks of a manager, which is a stand-in here."""

from pathlib import Path

import pytest

from kcoro_ipc import units
from kcoro_ipc.cli import exits, manager
from tests.unit.service.placed import Kcoro, under


def test_what_is_to_be_done_next_is_shown_or_with_now_done(kcoro: Kcoro, systemctl: Path) -> None:
    code, lines, _ = kcoro("install", "--user")
    assert code == 0
    steps = [
        "systemctl --user daemon-reload",
        "systemctl --user enable --now " + " ".join(units.SOCKETS),
    ]
    assert lines[-2:] == [f"next      {step}" for step in steps]
    assert (systemctl / "asked").read_text().splitlines() == ["systemctl --version"]
    assert (systemctl / "config/systemd/user/kcoro.service.d/254.conf").exists()
    code, lines, _ = kcoro("install", "--user", "--now")
    assert (code, lines[-2:]) == (0, [f"run       {step}" for step in steps])
    assert (systemctl / "asked").read_text().splitlines()[-2:] == steps


def test_the_systems_service_has_its_user_and_its_directory_made_first() -> None:
    steps = manager.after_placing(False, units.SOCKETS)
    assert [words[0] for words in steps] == [
        "systemd-sysusers",
        "systemd-tmpfiles",
        "systemctl",
        "systemctl",
    ]


def test_a_step_that_fails_ends_it_with_the_managers_words(kcoro: Kcoro, systemctl: Path) -> None:
    assert kcoro("install", "--user")[0] == 0
    (systemctl / "fails").write_text("No medium found\n")
    code, _, err = kcoro("install", "--user", "--now", "--systemd", "252")
    assert code == exits.OUTSIDE
    said = "kcoro: systemctl --user daemon-reload failed: No medium found; "
    assert err == f"{said}mend that and do it again\n"


INACTIVE = """\
LoadState=loaded
ActiveState=inactive
SubState=dead
UnitFileState=disabled
MainPID=0
StatusText=ending
Result=success
NRestarts=0
StateChangeTimestamp=

LoadState=loaded
ActiveState=active
SubState=listening
UnitFileState=enabled
Listen=/r/kcoro.sock (Stream)
Result=success

LoadState=not-found
ActiveState=inactive
SubState=dead
UnitFileState=

LoadState=loaded
ActiveState=failed
SubState=failed
UnitFileState=enabled
Listen=/r/metrics.sock (Stream)
Result=resources
"""


def test_status_shows_service_and_sockets(kcoro: Kcoro, systemctl: Path) -> None:
    (systemctl / "answer").write_text(INACTIVE)
    assert kcoro("status") == (
        3,
        [
            "kcoro.service         inactive (dead), disabled",
            "kcoro.socket          active (listening), enabled /r/kcoro.sock (Stream)",
            "kcoro-seq.socket      inactive (dead), not-found",
            "kcoro-metrics.socket  failed (failed), enabled, resources /r/metrics.sock (Stream)",
        ],
        "",
    )
    active = INACTIVE.replace("inactive", "active", 1).replace("dead", "running", 1)
    active = active.replace("MainPID=0", "MainPID=77").replace("NRestarts=0", "NRestarts=2")
    active = active.replace("Timestamp=", "Timestamp=Sat 2026", 1)
    (systemctl / "answer").write_text(active)
    code, lines, _ = kcoro("status", "--user")
    assert code == 0
    assert lines[:2] == [
        "kcoro.service         active (running), disabled, pid 77, since Sat 2026, restarts 2",
        "                      ending",
    ]
    assert (systemctl / "asked").read_text().splitlines()[-1].startswith("systemctl --user show ")


def test_status_of_what_is_not_installed_says_how_to_install_it(
    kcoro: Kcoro, systemctl: Path
) -> None:
    (systemctl / "answer").write_text(INACTIVE.replace("loaded", "not-found", 1))
    assert kcoro("status", "--user") == (
        4,
        ["kcoro.service is not installed; `kcoro service install --user` does it"],
        "",
    )


def test_units_in_use_are_stopped_only_when_asked(kcoro: Kcoro, systemctl: Path) -> None:
    (systemctl / "answer").write_text(INACTIVE)
    assert kcoro("install", "--user", "--systemd", "252")[0] == 0
    code, _, err = kcoro("uninstall", "--user")
    assert code == exits.OUTSIDE
    assert "kcoro.socket, kcoro-metrics.socket are in use; --now stops them first" in err
    code, lines, _ = kcoro("uninstall", "--user", "--now")
    assert (code, lines[0].split()[:4]) == (0, ["run", "systemctl", "--user", "disable"])
    assert under(systemctl / "config") == []


def test_without_a_manager_files_are_removed_only_by_force(kcoro: Kcoro, systemctl: Path) -> None:
    assert kcoro("install", "--user", "--systemd", "252")[0] == 0
    (systemctl / "fails").write_text("No medium found\n")
    assert kcoro("uninstall", "--user") == (
        exits.OUTSIDE,
        [],
        "kcoro: systemctl show failed: No medium found; mend that and do it again; "
        "nothing was removed, --force removes without it\n",
    )
    assert kcoro("uninstall", "--user", "--force")[0] == 0
    assert under(systemctl / "config") == []


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ([], exits.USAGE, "issing command"),
        (["install", "--now", "--root", "/x"], exits.USAGE, "leave out --root"),
        (["install", "--root", "/x", "--command", "kcoro"], exits.OUTSIDE, "no absolute path"),
        (
            ["install", "--root", "/proc/x", "--command", "/k"],
            exits.OUTSIDE,
            "cannot write /proc/x",
        ),
        (["frobnicate"], exits.USAGE, "No such command"),
    ],
)
def test_wrong_use_is_one_line(
    kcoro: Kcoro, systemctl: Path, words: list[str], code: int, says: str
) -> None:
    found, lines, err = kcoro(*words)
    assert (found, lines) == (code, [])
    assert says in err
    assert err.count("\n") == 1
