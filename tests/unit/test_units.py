"""Placing, knowing again and removing unit files; where this kcoro is; `kcoro service` without a
manager. With one: tests/e2e/test_systemd.py."""

import os
import re
import site
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kcoro_ipc import units
from kcoro_ipc.cli import exits, installation, manager
from kcoro_ipc.cli.exits import OutsideError
from kcoro_ipc.cli.invocation import Invocation
from kcoro_ipc.cli.main import run
from kcoro_ipc.units import Found

VALUES = {"kcoro": "/opt/k/bin/kcoro", "home": "ProtectHome=yes"}
Kcoro = Callable[..., tuple[int, list[str], str]]


@pytest.fixture
def kcoro(capsys: pytest.CaptureFixture[str]) -> Kcoro:
    """One command line: exit code, lines of stdout, stderr."""

    def call(*words: str) -> tuple[int, list[str], str]:
        code = run(["service", *words], Invocation())
        said = capsys.readouterr()
        return code, said.out.splitlines(), said.err

    return call


def under(place: Path) -> list[str]:
    return sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file())


# --- files ---

SYSTEM = [
    "systemd/system/kcoro-metrics.socket",
    "systemd/system/kcoro-seq.socket",
    "systemd/system/kcoro.service",
    "systemd/system/kcoro.socket",
    "sysusers.d/kcoro.conf",
    "tmpfiles.d/kcoro.conf",
]
USER = [
    "systemd/user/kcoro-metrics.socket",
    "systemd/user/kcoro-seq.socket",
    "systemd/user/kcoro.service",
    "systemd/user/kcoro.socket",
]


@pytest.mark.parametrize(("user", "expected"), [(False, SYSTEM), (True, USER)])
@pytest.mark.parametrize("version", [252, 254])
def test_an_installation_is_these_files(user: bool, expected: list[str], version: int) -> None:
    files = units.files(Path("/b"), user, VALUES, version)
    names = {str(path.relative_to("/b")) for path in files}
    kind = "user" if user else "system"
    drop_in = {f"systemd/{kind}/kcoro.service.d/254.conf"} if version >= 254 else set()
    assert names == set(expected) | drop_in
    assert set(files) <= set(units.paths(Path("/b"), user))


# What a drop-in may say, since which version systemd knows it, and where that is written. The
# version at hand may know nothing of it, so each new line is looked up once.
KNOWN_SINCE = {
    # systemd.service(5), Type=; release notes of 253. SIGHUP is its ReloadSignal= by default.
    "Type=notify-reload": 253,
    # systemd.service(5), ExecStart= and ExecReload=: empty takes away what stood there before. With
    # it left in place the manager would both signal and run the command.
    "ExecReload=": 0,
}
DROP_INS = sorted(units.TEMPLATES.rglob("*.service.d/*.conf"))


def settings(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and line[0] not in "#["]


@pytest.mark.parametrize("path", DROP_INS, ids=lambda path: path.parent.parent.name)
def test_a_drop_in_says_only_what_its_version_of_systemd_knows(path: Path) -> None:
    version = int(path.stem)
    said = settings(path.read_text())
    assert said
    assert [one for one in said if KNOWN_SINCE.get(one, 10**9) > version] == []
    assert re.findall(r"^\[.*\]$", path.read_text(), re.M) == ["[Service]"]


def test_the_units_themselves_say_nothing_that_252_does_not_know() -> None:
    newer = {one for one, version in KNOWN_SINCE.items() if version > 252}
    for path in units.TEMPLATES.rglob("kcoro*"):
        if path.suffix in (".service", ".socket"):
            assert not newer & set(settings(path.read_text())), path


@pytest.mark.parametrize("kind", ["system", "user"])
def test_with_its_drop_in_a_service_is_reloaded_by_a_signal_alone(kind: str) -> None:
    """One file after the other is applied: the last Type= counts, an empty list is empty."""
    folder = units.TEMPLATES / kind
    drop_in = folder / "kcoro.service.d" / "254.conf"
    both = settings((folder / "kcoro.service").read_text()) + settings(drop_in.read_text())
    assert [one for one in both if one.startswith("Type=")][-1] == "Type=notify-reload"
    reloads = [one for one in both if one.startswith("ExecReload=")]
    assert reloads[-1] == "ExecReload="
    assert not any(one.startswith("ReloadSignal=") for one in both)  # SIGHUP, which we read
    assert "NotifyAccess=main" in both


def test_nothing_is_left_to_fill_in() -> None:
    for user in (False, True):
        for path, text in units.files(Path("/b"), user, VALUES, 999).items():
            assert "@" not in text.replace("@system-service", "").replace(
                "~@privileged @resources", ""
            ), path
    service = units.files(Path("/b"), False, VALUES, 252)[Path("/b/systemd/system/kcoro.service")]
    assert "\nExecStart=/opt/k/bin/kcoro serve\n" in service
    assert "\nProtectHome=yes\n" in service


@pytest.mark.parametrize(
    ("user", "prefix", "environ", "expected"),
    [
        (False, None, {}, "/etc"),
        (False, "/usr", {}, "/usr/lib"),
        (True, None, {"HOME": "/h"}, "/h/.config"),
        (True, None, {"HOME": "/h", "XDG_CONFIG_HOME": "/x"}, "/x"),
        (True, "/usr", {"HOME": "/h"}, "/usr/lib"),
    ],
)
def test_files_stand_where_the_manager_looks(
    user: bool, prefix: str | None, environ: dict[str, str], expected: str
) -> None:
    assert units.directory(user, prefix, environ) == Path(expected)


def test_what_was_placed_is_known_again_until_it_is_edited(tmp_path: Path) -> None:
    path = tmp_path / "d" / "x.socket"
    assert units.found(path) is Found.NOTHING
    text = units.sealed("[Socket]\nBacklog=1\n")
    assert units.place(path, text)
    assert path.read_text() == text
    assert path.stat().st_mode & 0o777 == 0o644
    assert units.found(path) is Found.PLACED
    assert not units.place(path, text)
    for edited in (text + "\n", text.replace("=1", "=2"), "", text.split("\n", 1)[1]):
        path.write_text(edited)
        assert units.found(path) is Found.OTHER
    assert under(tmp_path) == ["d/x.socket"]


def test_a_link_is_never_ours(tmp_path: Path) -> None:
    (tmp_path / "real").write_text(units.sealed("x\n"))
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "dangling").symlink_to("nowhere")
    assert units.found(tmp_path / "real") is Found.PLACED
    assert units.found(tmp_path / "link") is Found.OTHER
    assert units.found(tmp_path / "dangling") is Found.OTHER


def test_a_drop_in_takes_its_directory_along_when_that_is_empty(tmp_path: Path) -> None:
    folder = tmp_path / "kcoro.service.d"
    folder.mkdir()
    for name in ("254.conf", "mine.conf"):
        (folder / name).touch()
    units.remove(folder / "254.conf")
    assert under(tmp_path) == ["kcoro.service.d/mine.conf"]
    units.remove(folder / "mine.conf")
    assert not folder.exists()


# --- where this kcoro is ---


def test_the_command_is_the_program_beside_the_interpreter_else_the_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert installation.command() == f"{tmp_path}/python -m kcoro_ipc"
    (tmp_path / "kcoro").touch(mode=0o644)
    assert installation.command() == f"{tmp_path}/python -m kcoro_ipc"
    (tmp_path / "kcoro").chmod(0o755)
    assert installation.command() == f"{tmp_path}/kcoro"


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/a/b", "/a/b"), ("/a b/c", '"/a b/c"'), ("/50%/k", "/50%%/k")],
)
def test_a_path_is_one_word_of_a_unit(path: str, expected: str) -> None:
    assert installation.quoted(path) == expected


@pytest.mark.parametrize("path", ["a/b", '/a"b', "/a'b", "/a$b", "/a\\b", "/a\nb"])
def test_a_path_that_a_unit_cannot_hold_is_refused(path: str) -> None:
    with pytest.raises(OutsideError, match="unit"):
        installation.quoted(path)


def test_of_homes_only_what_is_needed_is_shown() -> None:
    assert installation.home_lines([Path("/usr"), Path("/opt/x")]) == "ProtectHome=yes"
    home = Path("/home")
    lines = installation.home_lines([Path("/usr"), home / "a/.venv", home / "b c/d"])
    assert lines.splitlines()[1:] == [
        "ProtectHome=tmpfs",
        f"BindReadOnlyPaths={home}/a/.venv",
        f'BindReadOnlyPaths="{home}/b c/d"',
    ]


def test_the_trees_hold_interpreter_and_package_and_none_lies_in_another() -> None:
    found = installation.trees()
    for needed in (Path(sys.executable), Path(os.__file__), Path(units.__file__)):
        assert any(needed.is_relative_to(tree) for tree in found), needed
    assert not any(a.is_relative_to(b) for a in found for b in found if a != b)


def test_an_installation_that_others_cannot_enter_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installation, "GONE", ())
    closed = tmp_path / "closed"
    inside = closed / "venv"
    inside.mkdir(parents=True)
    closed.chmod(0o700)
    monkeypatch.setattr(installation, "is_open", lambda one: one != closed)
    with pytest.raises(OutsideError) as caught:
        installation.check([inside])
    assert f"cannot enter {closed} (mode 0700): `chmod o+rx {closed}`" in str(caught.value)
    monkeypatch.setattr(installation, "is_open", lambda one: True)
    installation.check([inside])


def test_in_a_closed_home_only_the_installation_itself_must_be_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installation, "HOMES", (str(tmp_path),))
    (tmp_path / "venv").mkdir(mode=0o755)
    (tmp_path / "mine").mkdir(mode=0o700)
    installation.check([tmp_path / "venv"])
    with pytest.raises(OutsideError, match="mode 0700"):
        installation.check([tmp_path / "mine"])


def test_what_a_reboot_takes_away_and_what_only_one_python_finds_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(OutsideError, match="does not see /tmp/x: install kcoro elsewhere"):
        installation.check([Path("/tmp/x")])
    monkeypatch.setattr(site, "getusersitepackages", lambda: str(installation.PACKAGE.parent))
    with pytest.raises(OutsideError, match="only your own Python finds the package"):
        installation.check([])


# --- kcoro service ---


def test_a_package_is_prepared_below_a_directory_and_taken_away_again(
    kcoro: Kcoro, tmp_path: Path
) -> None:
    words = ("--root", str(tmp_path), "--prefix", "/usr")
    code, lines, err = kcoro("install", *words, "--systemd", "254", "--command", "/usr/bin/kcoro")
    assert (code, err) == (0, "")
    placed = under(tmp_path / "usr/lib")
    assert set(placed) == {*SYSTEM, "systemd/system/kcoro.service.d/254.conf"}
    assert sorted(line.split()[1] for line in lines) == [f"{tmp_path}/usr/lib/{n}" for n in placed]
    assert {line.split()[0] for line in lines} == {"placed"}
    (tmp_path / "usr/lib/systemd/system/other.service").touch()
    code, lines, err = kcoro("uninstall", *words)
    assert (code, err, len(lines)) == (0, "", 7)
    assert under(tmp_path) == ["usr/lib/systemd/system/other.service"]
    assert kcoro("uninstall", *words) == (0, ["nothing is placed there"], "")
    relative = ("--root", str(tmp_path), "--prefix", "p", "--systemd", "252", "--command", "/k")
    assert kcoro("install", *relative)[0] == 0
    assert (tmp_path / "p/lib/systemd/system/kcoro.service").exists()


def test_edited_files_are_neither_replaced_nor_removed_without_force(
    kcoro: Kcoro, tmp_path: Path
) -> None:
    install = ("install", "--root", str(tmp_path), "--systemd", "252", "--command", "/k")
    assert kcoro(*install)[0] == 0
    edited = tmp_path / "etc/systemd/system/kcoro.socket"
    edited.write_text(edited.read_text() + "# mine\n")
    before = under(tmp_path)
    for words in (install, ("uninstall", "--root", str(tmp_path))):
        code, lines, err = kcoro(*words)
        assert (code, lines) == (exits.OUTSIDE, [])
        assert f"{edited} is edited, or not placed by us" in err
        assert "--force" in err
    assert under(tmp_path) == before
    assert edited.read_text().endswith("# mine\n")
    code, lines, _ = kcoro(*install, "--force")
    assert code == 0
    assert [line for line in lines if line.startswith("placed")] == [f"placed    {edited}"]
    edited.write_text("")
    assert kcoro("uninstall", "--root", str(tmp_path), "--force")[0] == 0
    assert under(tmp_path) == []


def test_a_later_version_replaces_what_an_earlier_one_placed(kcoro: Kcoro, tmp_path: Path) -> None:
    words = ("install", "--root", str(tmp_path), "--systemd", "252", "--command")
    assert kcoro(*words, "/old")[0] == 0
    code, lines, _ = kcoro(*words, "/new")
    assert code == 0
    changed = [line for line in lines if line.startswith("placed")]
    assert changed == [f"placed    {tmp_path}/etc/systemd/system/kcoro.service"]


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in that notes its words in a file and answers what `answer` holds."""
    place = tmp_path / "bin"
    place.mkdir()
    for name in ("systemctl", "systemd-sysusers", "systemd-tmpfiles"):
        (place / name).write_text(
            f'#!/bin/sh\necho "{name} $*" >> {tmp_path}/asked\n'
            f'[ "$1" != --version ] || echo "systemd 255 (255.4)"\n'
            f"cat {tmp_path}/answer 2>/dev/null\n"
            f"[ ! -e {tmp_path}/fails ] || {{ cat {tmp_path}/fails >&2; exit 1; }}\n"
        )
        (place / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


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


def test_without_systemd_a_version_must_be_named(
    kcoro: Kcoro, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    words = ("install", "--root", str(tmp_path), "--command", "/k")
    code, _, err = kcoro(*words)
    assert (code, err) == (
        exits.OUTSIDE,
        "kcoro: there is no systemd here; to prepare a package, say --systemd N\n",
    )
    assert kcoro(*words, "--systemd", "252")[0] == 0
    assert kcoro("status") == (
        exits.OUTSIDE,
        [],
        "kcoro: systemctl is not here; install systemd, or run `kcoro serve` yourself\n",
    )
