"""Where this kcoro is, and whether a service can run it from there."""

import os
import site
import sys
from pathlib import Path

import pytest

from kcoro_ipc import units
from kcoro_ipc.cli import installation
from kcoro_ipc.cli.exits import OutsideError


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
