"""`kcoro config`: exit codes and lines; what it says of a file is tests/unit/test_config.py's."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Line = Callable[[Any], str]


def test_a_good_file_is_counted_and_nothing_is_wrong(kcoro: Any, tmp_path: Path) -> None:
    file = tmp_path / "k.toml"
    file.write_text(
        '[[channel]]\nname = "a"\n[[rule]]\ndeny = ["see"]\n[[rule]]\nallow = ["all"]\n'
    )
    finished = kcoro("config", "check", str(file))
    assert (finished.returncode, finished.stderr) == (0, b"")
    assert finished.stdout.decode() == f"{file}: 1 channel, 2 rules; nothing wrong\n"


def test_without_a_file_the_usual_one_is_meant_and_may_be_missing(
    kcoro: Any, tmp_path: Path
) -> None:
    finished = kcoro("config", "check", CONFIGURATION_DIRECTORY=str(tmp_path))
    assert finished.returncode == 0
    assert f"no file at {tmp_path}/kcoro.toml, so the defaults count" in finished.stdout.decode()
    (tmp_path / "kcoro.toml").write_text("drain = 7\n")
    finished = kcoro("config", "show", "--json", CONFIGURATION_DIRECTORY=str(tmp_path))
    assert json.loads(finished.stdout)["drain"] == 7.0


def test_every_mistake_is_a_line_and_no_control_character_reaches_the_terminal(
    kcoro: Any, tmp_path: Path
) -> None:
    file = tmp_path / "k.toml"
    file.write_text('"\\u001b[31m" = 1\ndrain = "x"\n')
    for words in (("config", "check", str(file)), ("serve", "--config", str(file))):
        finished = kcoro(*words)
        assert finished.returncode == 2
        lines = finished.stderr.decode().splitlines()
        assert len(lines) == 2
        assert r"\x1b[31m: no such key" in lines[0]
        assert "drain: must be a number of seconds" in lines[1]


def test_a_file_that_cannot_be_read_is_1(kcoro: Any, tmp_path: Path, line_of: Line) -> None:
    for words in (("config", "check"), ("config", "show"), ("serve", "--config")):
        finished = kcoro(*words, str(tmp_path / "absent"))
        assert finished.returncode == 1
        assert line_of(finished).endswith(
            "absent: there is no such file; check the path and its rights, or leave the file out"
        )
    assert kcoro("config", "check", "--quiet", str(tmp_path / "absent")).stderr == b""


def test_show_prints_every_setting_as_a_file_that_check_takes(kcoro: Any, tmp_path: Path) -> None:
    file = tmp_path / "k.toml"
    file.write_text(
        '[[channel]]\nname = "a"\ncapacity = 3\nmode = "0640"\n[limits]\nfiles = "1K"\n'
    )
    shown = kcoro("config", "show", str(file)).stdout.decode()
    tables = shown.split("\n\n")
    assert [table.split("\n")[0] for table in tables[1:]] == ["[limits]", "[access]", "[[channel]]"]
    assert "drain = 10.0" in tables[0].splitlines()
    assert {"files = 1024", "tokens = 1048576"} <= set(tables[1].splitlines())
    assert "allow_unmapped = false" in tables[2].splitlines()
    assert {'name = "a"', 'kind = "buffered"', 'mode = "0640"'} <= set(tables[3].splitlines())
    again = tmp_path / "again.toml"
    again.write_text(shown)
    assert kcoro("config", "check", str(again)).returncode == 0
    assert kcoro("config", "show", str(again)).stdout.decode() == shown


def test_a_missing_or_unknown_subcommand_is_one_line(kcoro: Any, line_of: Line) -> None:
    for words in (("config",), ("config", "chek")):
        finished = kcoro(*words)
        assert finished.returncode == 2
        assert line_of(finished).endswith("see `kcoro config -h`")
