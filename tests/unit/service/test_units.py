"""Unit files: which there are, what they say, and how they are placed, known again and removed.
Under a manager: tests/e2e/test_systemd.py and test_systemd_installed.py."""

import re
from pathlib import Path

import pytest

from kcoro_ipc import units
from kcoro_ipc.units import Found
from tests.unit.service.placed import SYSTEM, USER, under

VALUES = {"kcoro": "/opt/k/bin/kcoro", "home": "ProtectHome=yes"}


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
