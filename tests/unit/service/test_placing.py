"""`kcoro service install` and `uninstall` below a directory, where no manager runs."""

from pathlib import Path

import pytest

from kcoro_ipc.cli import exits
from tests.unit.service.placed import SYSTEM, Kcoro, under


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
