"""What the log says of who ended others' messages: by whom, in whose share of the log."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from kcoro_ipc.throttle import LINES_PER_WINDOW
from tests.unit.control.house import EPHEMERAL, LAST_SENDER, OWNER, ROOT, STRANGER, WRITE, House


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """Events with their fields, as they come, but for those of channels that were made."""
    found: list[tuple[str, dict[str, Any]]] = []

    def keep(record: logging.LogRecord) -> bool:
        if record.getMessage() != "channel made":
            found.append((record.getMessage(), record.__dict__["fields"]))
        return True

    with caplog.at_level(logging.INFO, "kcoro"):
        caplog.handler.addFilter(keep)
        yield found
        caplog.handler.removeFilter(keep)


@pytest.mark.parametrize(
    ("command", "event", "more"),
    [
        ("CHAN_DESTROY", "channel destroyed", {"why": "destroyed by a client"}),
        ("CHAN_CLOSE", "channel closed", {"why": "closed by a client"}),
        ("CHAN_PURGE", "channel purged", {"count": 3}),
    ],
)
@pytest.mark.parametrize("uid", [OWNER, ROOT])
def test_who_ends_messages_of_others_is_named(
    said: list[Any], command: str, event: str, more: dict[str, Any], uid: int
) -> None:
    house = House()
    house.ask(house.peer(), "CHAN_MAKE", NAME="jobs", FLAGS=WRITE)
    actor = house.peer(uid)
    assert house.ask(actor, command, NAME="jobs")["RESULT"] == 0
    who: dict[str, Any] = {"chan_id": 1001, "name": "jobs", "uid": uid, "pid": actor.pid}
    owner = {} if uid == OWNER else {"owner": OWNER}
    assert said == [(event, who | owner | more)]


def test_a_channel_that_is_closed_again_is_said_to_be_closed_once(said: list[Any]) -> None:
    house = House()
    peer = house.peer()
    house.ask(peer, "CHAN_MAKE", NAME="jobs")
    house.ask(peer, "CHAN_CLOSE", NAME="jobs")
    house.ask(peer, "CHAN_CLOSE", NAME="jobs")
    assert [event for event, _ in said] == ["channel closed"]


def test_a_purge_that_found_nothing_is_not_worth_a_line(
    said: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    house = House()
    peer = house.peer()
    house.ask(peer, "CHAN_MAKE", NAME="jobs")
    monkeypatch.setattr(house.engine, "chan_purge", lambda chan: 0)
    assert house.ask(peer, "CHAN_PURGE", NAME="jobs")["COUNT"] == 0
    assert said == []


def test_whose_last_handle_ends_a_channel_is_named(said: list[Any]) -> None:
    house = House()
    owner, stranger = house.peer(), house.peer(STRANGER)
    house.ask(owner, "CHAN_MAKE", NAME="brief", MODE=0o666, FLAGS=EPHEMERAL)
    house.ask(owner, "CHAN_MAKE", NAME="lines", MODE=0o666, FLAGS=LAST_SENDER | WRITE)
    for name in ("brief", "lines"):
        house.ask(stranger, "CHAN_OPEN", NAME=name)
    house.leave(owner)
    assert said == []
    house.leave(stranger)
    who = {"uid": STRANGER, "pid": stranger.pid, "owner": OWNER}
    brief = {"chan_id": 1001, "name": "brief", **who, "why": "its last handle was released"}
    lines = {"chan_id": 1002, "name": "lines", **who, "why": "its last sender has gone"}
    assert said == [("channel destroyed", brief), ("channel closed", lines)]


def test_what_one_user_destroys_uses_up_no_lines_of_the_owner(said: list[Any]) -> None:
    house = House()
    owner, root = house.peer(), house.peer(ROOT)
    for number in range(LINES_PER_WINDOW + 1):
        if number % 100 == 0:
            house.broker.talk.end()  # so that all that the owner makes is told
        house.ask(owner, "CHAN_MAKE", NAME=f"job {number}")
    house.broker.talk.end()
    for number in range(LINES_PER_WINDOW):
        house.ask(root, "CHAN_DESTROY", NAME=f"job {number}")
    assert len(said) == LINES_PER_WINDOW
    house.ask(owner, "CHAN_DESTROY", NAME=f"job {LINES_PER_WINDOW}")
    assert said[-1][1]["uid"] == OWNER
