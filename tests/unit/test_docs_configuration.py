"""docs/CONFIGURATION.md against the forms of kcoro.toml: every key, its default, what reloads."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kcoro_ipc.config_forms import LISTS, TABLES, Top, hook
from kcoro_ipc.reloading import FIXED
from kcoro_ipc.strict import keys

PAGE = Path(__file__).resolve().parents[2] / "docs/CONFIGURATION.md"
SECTIONS = {
    "Keys before the first table": Top,
    "`[access]`": TABLES["access"],
    "`[[channel]]`": LISTS["channel"],
    "Rules": LISTS["rule"],
}


def rows(section: str) -> dict[str, list[str]]:
    """Default and reload of each key that the section's table of keys shows."""
    text = PAGE.read_text(encoding="utf-8").split(f"\n## {section}\n")[1].split("\n## ")[0]
    found = {}
    for line in re.findall(r"^\| `.*\|$", text, re.M):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        for key in re.findall(r"`(\w+)`", cells[0]):
            found[key] = cells[1:3]
    return found


def read(form: Any, key: str, text: str) -> Any:
    """A default as the page shows it, in TOML: as the form reads it."""
    import tomllib

    value = tomllib.loads(f"{key} = {text}")[key]
    required = {"name": "x"} if key != "name" and "name" in keys(form) else {}
    return getattr(msgspec.convert({key: value} | required, form, dec_hook=hook), key)


@pytest.mark.parametrize("section", SECTIONS)
def test_the_page_shows_every_key_once_and_its_default(section: str) -> None:
    form = SECTIONS[section]
    shown = rows(section)
    assert set(shown) == set(keys(form))
    for field in msgspec.structs.fields(form):
        default = shown[field.name][0]
        if field.default is None or field.default_factory is list:
            assert not re.fullmatch(r'"\w+"|\d+|true|false', default), field.name
        elif field.default is not msgspec.NODEFAULT:
            assert read(form, field.name, default) == field.default, field.name


def test_the_page_says_what_a_reload_changes() -> None:
    top = {
        key for key, (_, reload) in rows("Keys before the first table").items() if reload == "no"
    }
    assert top == set(FIXED)
    channel = rows("`[[channel]]`")
    assert {key for key, (_, reload) in channel.items() if reload == "yes"} == {
        "owner",
        "group",
        "mode",
    }
