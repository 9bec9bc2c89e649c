"""Commands of the pages that need a machine of their own: its manager, its users, its journal.

A fenced block takes part by its info string, and is run and compared as a `console run` block:

    console booted         as root
    console booted alice   as a user who is logged in
    console booted last    as root, when all others have been run

The blocks of one page run in order on one machine (booted.py), which has kcoro in /opt/kcoro and a
user alice, but no unit and no daemon.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import booted
from tests.e2e.booted import Machine
from tests.e2e.shown import Shell, Step, commands, follow

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```console booted(?: (\w+))?\n(.*?)^```$", re.M | re.S)
PAGES = sorted(
    page
    for page in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))
    if BLOCK.search(page.read_text(encoding="utf-8"))
)
USER = "alice"
# What a page may show of a machine without running it: it asks the network, or opens an editor.
NOT_RUN = ("pipx ", "systemctl edit ")
OF_A_MACHINE = re.compile(
    r"^ {4}((?:systemctl|journalctl|usermod|groupadd|userdel|groupdel|pipx|systemd-\S+|kcoro) .*)$",
    re.M,
)


def steps(page: str) -> list[tuple[str | None, Step]]:
    """As whom, and what; `last` ones as root at the end."""
    found = [(who, step) for who, body in BLOCK.findall(page) for step in commands(body)]
    now = [(who or None, step) for who, step in found if who != "last"]
    return now + [(None, step) for who, step in found if who == "last"]


class Town:
    """A machine with a shell for root and, when she is first wanted, one for alice."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._shells: dict[str | None, Shell] = {}

    def shell(self, who: str | None) -> Shell:
        if who not in self._shells:
            words = self._machine.words(user=who)
            if who is not None:
                uid = self._machine.ask("id", "-u", who)
                self._machine.run("systemctl", "start", f"user@{uid}.service")
                words += ["env", f"XDG_RUNTIME_DIR=/run/user/{uid}", f"HOME=/home/{who}"]
            self._shells[who] = Shell(Path("/"), {}, words)
        return self._shells[who]

    def close(self) -> None:
        for shell in self._shells.values():
            shell.close()


@pytest.fixture
def town() -> Iterator[Town]:
    lacking = booted.why_not()
    if lacking:
        pytest.skip(lacking)
    with booted.booted() as machine:
        machine.run("useradd", "--create-home", "--home-dir", f"/home/{USER}", USER)
        made = Town(machine)
        try:
            yield made
        finally:
            made.close()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_shows_of_a_machine_is_what_happens_on_one(page: Path, town: Town) -> None:
    for who, step in steps(page.read_text(encoding="utf-8")):
        follow(town.shell(who), step.text, step.shown)


def test_every_command_of_a_machine_that_the_operations_page_shows_is_run() -> None:
    """None stands in a plain block, but what asks the network or opens an editor."""
    page = (ROOT / "docs/OPERATIONS.md").read_text(encoding="utf-8")
    plain = [line for line in OF_A_MACHINE.findall(page) if not line.startswith(NOT_RUN)]
    assert plain == []
    assert len(steps(page)) > 20


def test_blocks_say_as_whom_and_when() -> None:
    page = "```console booted last\n$ c\n```\n```console booted\n$ a\nx\n```\n"
    page += "```console booted alice\n$ b\n```\n```console run\n$ no\n```\n"
    assert steps(page) == [
        (None, Step("command", "a", "x\n")),
        ("alice", Step("command", "b", "")),
        (None, Step("command", "c", "")),
    ]


def test_a_machine_that_shows_something_else_fails(town: Town) -> None:
    with pytest.raises(AssertionError, match="the page shows"):
        follow(town.shell(None), "systemctl is-active kcoro.socket || true", "active\n")
    with pytest.raises(AssertionError, match="ended with 3"):
        follow(town.shell(None), "systemctl is-active kcoro.socket", None)
