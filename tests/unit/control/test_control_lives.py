"""Handles, closes, destroys: how long a channel lives and who may end it."""

import pytest

from kcoro_ipc import _wire
from tests.unit.control.house import (
    EPHEMERAL,
    LAST_SENDER,
    OWNER,
    READ,
    ROOT,
    STRANGER,
    WRITE,
    House,
    refused,
)


def test_an_ephemeral_channel_is_destroyed_with_its_last_handle() -> None:
    house = House()
    first, second = house.peer(), house.peer()
    house.ask(first, "CHAN_MAKE", NAME="jobs", FLAGS=EPHEMERAL)
    house.ask(second, "CHAN_OPEN", NAME="jobs")
    house.ask(first, "CHAN_RELEASE", CHAN_ID=1001)
    assert house.engine.done == []
    house.leave(second)
    assert house.engine.done == [("destroy: its last handle was released", 1001), ("drop", 1001)]
    assert (house.registry.names, house.registry.channels) == ({}, {})


@pytest.mark.parametrize(("name", "stays"), [("jobs", True), (None, False)])
def test_a_named_channel_stays_without_handles_and_an_anonymous_one_does_not(
    name: str | None, stays: bool
) -> None:
    house = House()
    peer = house.peer()
    house.ask(peer, "CHAN_MAKE", **({} if name is None else {"NAME": name}))
    house.leave(peer)
    assert (1001 in house.registry.channels) is stays


def test_close_on_last_sender_acts_when_the_last_sender_goes_and_never_before_the_first() -> None:
    house = House()
    receiver, sender, other = house.peer(), house.peer(), house.peer()
    house.ask(receiver, "CHAN_MAKE", NAME="jobs", FLAGS=LAST_SENDER | READ)
    house.leave(house.peer())
    house.ask(sender, "CHAN_OPEN", NAME="jobs", FLAGS=WRITE)
    house.ask(other, "CHAN_OPEN", NAME="jobs", FLAGS=READ | WRITE)
    house.ask(other, "CHAN_RELEASE", CHAN_ID=1001, FLAGS=READ)
    house.ask(other, "CHAN_RELEASE", CHAN_ID=1001, FLAGS=WRITE)
    assert house.engine.done == []
    house.leave(sender)
    assert house.engine.done == [("close", 1001)]
    house.leave(receiver)
    assert house.engine.done == [("close", 1001)]


def test_release_takes_counted_rights_and_more_than_it_holds_is_ebadf() -> None:
    house = House()
    peer = house.peer()
    house.ask(peer, "CHAN_MAKE", NAME="jobs")
    house.ask(peer, "CHAN_OPEN", NAME="jobs", FLAGS=READ)
    assert house.ask(peer, "CHAN_RELEASE", CHAN_ID=1001)["RESULT"] == 0
    assert house.pump.grants[peer.conn, 1001] == READ
    assert refused(house.ask(peer, "CHAN_RELEASE", CHAN_ID=1001, FLAGS=WRITE), _wire.KC_EBADF)
    assert house.ask(peer, "CHAN_RELEASE", CHAN_ID=1001)["RESULT"] == 0
    assert refused(house.ask(peer, "CHAN_RELEASE", CHAN_ID=1001), _wire.KC_EBADF)


@pytest.mark.parametrize("command", ["CHAN_CLOSE", "CHAN_DESTROY", "CHAN_PURGE"])
@pytest.mark.parametrize(
    ("uid", "mode", "code"),
    [
        (OWNER, 0o600, 0),
        (OWNER, 0o000, 0),
        (ROOT, 0o000, 0),
        (STRANGER, 0o601, 0),
        (STRANGER, 0o606, _wire.KC_EACCES),
        (STRANGER, 0o600, _wire.KC_ENOENT),
    ],
)
def test_close_destroy_and_purge_are_for_owner_root_and_those_with_x(
    command: str, uid: int, mode: int, code: int
) -> None:
    house = House()
    house.ask(house.peer(), "CHAN_MAKE", NAME="jobs", MODE=mode)
    for key in ({"CHAN_ID": 1001}, {"NAME": "jobs"}):
        assert house.ask(house.peer(uid), command, **key)["RESULT"] == code
        if command == "CHAN_DESTROY" and not code:
            break  # its name is gone now


def test_a_maker_gets_the_rights_it_asks_for_and_the_mode_counts_afterwards() -> None:
    house = House()
    maker = house.peer()
    assert house.ask(maker, "CHAN_MAKE", NAME="jobs", MODE=0o200)["FLAGS"] == READ | WRITE
    assert refused(house.ask(maker, "CHAN_OPEN", NAME="jobs", FLAGS=READ), _wire.KC_EACCES)


def test_purge_answers_how_many_it_dropped() -> None:
    house = House()
    peer = house.peer()
    house.ask(peer, "CHAN_MAKE", NAME="jobs")
    assert house.ask(peer, "CHAN_PURGE", CHAN_ID=1001)["COUNT"] == 3


def test_after_destroy_the_name_is_free_and_old_handles_hear_the_reason() -> None:
    house = House()
    destroyer, holder = house.peer(), house.peer()
    house.ask(destroyer, "CHAN_MAKE", NAME="jobs")
    house.ask(holder, "CHAN_OPEN", NAME="jobs")
    house.ask(destroyer, "CHAN_DESTROY", CHAN_ID=1001, REASON="enough")
    assert house.engine.done == [("destroy: enough", 1001)]
    for command in ("CHAN_CLOSE", "CHAN_PURGE", "CHAN_OPEN", "SUBSCRIBE"):
        answer = house.ask(
            holder,
            command,
            CHAN_ID=1001,
            **({"INTERVAL_MS": 100} if command == "SUBSCRIBE" else {}),
        )
        assert (answer["RESULT"], answer["REASON"]) == (_wire.KC_ECANCELED, b"enough")
    assert house.ask(holder, "CHAN_DESTROY", CHAN_ID=1001)["RESULT"] == 0
    assert house.ask(house.peer(), "CHAN_OPEN", CHAN_ID=1001)["RESULT"] == _wire.KC_ENOENT
    assert house.ask(holder, "CHAN_MAKE", NAME="jobs")["CHAN_ID"] == 1002
    house.leave(destroyer)
    house.leave(holder)
    assert house.engine.done == [("destroy: enough", 1001), ("drop", 1001)]
