"""Rights as a client meets them: rules, owners, users that cannot be told, and the log line."""

import logging
from typing import Any

import pytest

from kcoro_ipc import _wire, control
from kcoro_ipc.access import ALL, MAKE, RECEIVE, SEE, SEND, Policy, Rule
from tests.unit.control.house import EXCLUSIVE, OWNER, READ, ROOT, STRANGER, WRITE, House, refused

ADMINS, STAFF = 70, 50


def ruled(*rules: Rule, **policy: Any) -> House:
    house = House()
    house.registry.judge.policy = Policy(rules, **policy)
    return house


# --- rules ---


@pytest.mark.parametrize(
    ("denied", "flags", "result"),
    [
        (MAKE, READ, _wire.KC_EACCES),
        (SEND, READ, 0),
        (SEND, WRITE, _wire.KC_EACCES),
        (SEND, 0, _wire.KC_EACCES),  # without rights named it asks for both
        (RECEIVE, WRITE, 0),
        (RECEIVE, READ, _wire.KC_EACCES),
    ],
)
def test_a_maker_needs_the_rules_for_making_and_for_what_it_wants_to_do(
    denied: int, flags: int, result: int
) -> None:
    house = ruled(Rule(0, False, denied, "jobs*"))
    peer = house.peer()
    assert house.ask(peer, "CHAN_MAKE", NAME="jobs", FLAGS=flags)["RESULT"] == result
    assert house.ask(peer, "CHAN_MAKE", NAME="other", FLAGS=flags)["RESULT"] == 0
    assert house.ask(house.peer(ROOT), "CHAN_MAKE", NAME="jobs2", FLAGS=flags)["RESULT"] == 0


def test_who_may_not_make_may_still_open_by_make_what_is_there() -> None:
    house = ruled(Rule(0, False, MAKE, uids=frozenset({STRANGER})))
    house.ask(house.peer(), "CHAN_MAKE", NAME="jobs", MODE=0o606)
    stranger = house.peer(STRANGER)
    assert house.ask(stranger, "CHAN_MAKE", NAME="jobs")["RESULT"] == 0
    assert refused(house.ask(stranger, "CHAN_MAKE", NAME="new"), _wire.KC_EACCES)


@pytest.mark.parametrize("flags", [READ, READ | EXCLUSIVE])
def test_who_may_not_make_hears_the_same_of_a_hidden_name_and_of_a_free_one(flags: int) -> None:
    house = ruled(Rule(0, False, MAKE, uids=frozenset({STRANGER})))
    house.ask(house.peer(), "CHAN_MAKE", NAME="hidden")
    stranger = house.peer(STRANGER)
    answers = [
        house.ask(stranger, "CHAN_MAKE", NAME=name, FLAGS=flags) for name in ("hidden", "free")
    ]
    assert answers[0] == answers[1]
    assert refused(answers[0], _wire.KC_EACCES)


def test_who_may_not_see_a_name_may_not_make_it_either() -> None:
    house = ruled(Rule(0, False, SEE, "secret*", uids=frozenset({STRANGER})))
    stranger = house.peer(STRANGER)
    answer = house.ask(stranger, "CHAN_MAKE", NAME="secret.b")
    assert refused(answer, _wire.KC_EACCES)
    assert b"rule[0]" in answer["REASON"]
    assert "secret.b" not in house.registry.names
    assert house.ask(stranger, "CHAN_MAKE", NAME="plain")["RESULT"] == 0


def test_a_name_that_a_rule_hides_is_as_one_that_is_not_there() -> None:
    house = ruled(Rule(0, False, SEE, "secret*", uids=frozenset({STRANGER})))
    house.ask(house.peer(), "CHAN_MAKE", NAME="secret", MODE=0o777)
    house.ask(house.peer(), "CHAN_MAKE", NAME="plain", MODE=0o777)
    stranger = house.peer(STRANGER)
    listed = house.ask(stranger, "LIST")
    assert [item["NAME"] for item in listed["ITEM"]] == [b"plain"]
    commands = ("CHAN_OPEN", "GET_STATS", "CHAN_CLOSE", "CHAN_DESTROY", "CHAN_PURGE")
    for command in commands:
        hidden, absent = (
            house.ask(stranger, command, NAME=name) for name in ("secret", "not there")
        )
        assert hidden == absent
        assert refused(hidden, _wire.KC_ENOENT)
    assert refused(house.ask(stranger, "CHAN_OPEN", CHAN_ID=1001), _wire.KC_ENOENT)


def test_rights_are_asked_when_a_channel_is_opened_and_stay_with_the_handle() -> None:
    house = House()
    house.ask(house.peer(), "CHAN_MAKE", NAME="jobs", MODE=0o606)
    stranger = house.peer(STRANGER)
    house.ask(stranger, "CHAN_OPEN", NAME="jobs", FLAGS=READ)
    house.registry.judge.policy = Policy((Rule(0, False, ALL),))
    assert house.ask(stranger, "GET_STATS", CHAN_ID=1001)["RESULT"] == 0
    assert house.pump.grants[stranger.conn, 1001] == READ
    assert refused(house.ask(stranger, "CHAN_OPEN", NAME="jobs", FLAGS=WRITE), _wire.KC_ENOENT)
    assert refused(house.ask(house.peer(STRANGER), "CHAN_OPEN", NAME="jobs"), _wire.KC_ENOENT)


def test_the_admin_group_manages_what_others_hide() -> None:
    house = House()
    house.ask(house.peer(), "CHAN_MAKE", NAME="jobs")
    admin = house.peer(STRANGER)
    admin.groups = frozenset({ADMINS})
    assert refused(house.ask(admin, "CHAN_DESTROY", NAME="jobs"), _wire.KC_ENOENT)
    house.registry.judge.policy = Policy(admin_gid=ADMINS)
    assert house.ask(admin, "CHAN_DESTROY", NAME="jobs")["RESULT"] == 0


# --- owners ---


@pytest.mark.parametrize(
    ("uid", "asked", "owner"),
    [
        (OWNER, {}, (OWNER, OWNER)),
        (OWNER, {"OWNER_UID": OWNER, "OWNER_GID": STAFF}, (OWNER, STAFF)),
        (OWNER, {"OWNER_UID": STRANGER}, None),
        (OWNER, {"OWNER_GID": ADMINS}, None),
        (ROOT, {"OWNER_UID": STRANGER}, (STRANGER, ROOT)),
        (ROOT, {"OWNER_UID": STRANGER, "OWNER_GID": ADMINS}, (STRANGER, ADMINS)),
    ],
)
def test_only_root_makes_for_others_and_a_group_is_one_of_the_makers(
    uid: int, asked: dict[str, int], owner: tuple[int, int] | None
) -> None:
    house = House()
    peer = house.peer(uid)
    peer.groups |= {STAFF}
    answer = house.ask(peer, "CHAN_MAKE", NAME="jobs", **asked)
    if owner is None:
        assert refused(answer, _wire.KC_EACCES)
        assert house.registry.names == {}
    else:
        channel = house.registry.names["jobs"]
        assert (channel.uid, channel.gid) == owner


def test_the_owner_of_a_channel_that_root_made_has_it_in_its_quota_and_manages_it() -> None:
    house = House()
    root = house.peer(ROOT)
    house.ask(root, "CHAN_MAKE", NAME="jobs", OWNER_UID=STRANGER)
    assert house.broker.user(STRANGER).channels == 1
    assert house.broker.user(ROOT).channels == 0
    house.ask(root, "CHAN_RELEASE", NAME="jobs")
    owner = house.peer(STRANGER)
    assert house.ask(owner, "CHAN_DESTROY", NAME="jobs")["RESULT"] == 0
    assert house.broker.user(STRANGER).channels == 0


def test_a_make_for_another_that_fails_leaves_no_account_of_that_user() -> None:
    house = House()
    house.engine.refuse_make = MemoryError()
    root = house.peer(ROOT)
    house.ask(root, "CHAN_MAKE", NAME="jobs", OWNER_UID=STRANGER)
    assert house.engine.freed_accounts == [500]


@pytest.mark.parametrize("asked", [{"OWNER_UID": STRANGER}, {"OWNER_GID": 7}])
def test_a_channel_that_exists_with_another_owner_differs(asked: dict[str, int]) -> None:
    house = House()
    root = house.peer(ROOT)
    house.ask(root, "CHAN_MAKE", NAME="jobs", OWNER_UID=OWNER, OWNER_GID=STAFF)
    assert (
        house.ask(root, "CHAN_MAKE", NAME="jobs", OWNER_UID=OWNER, OWNER_GID=STAFF)["RESULT"] == 0
    )
    answer = house.ask(root, "CHAN_MAKE", NAME="jobs", **asked)
    assert refused(answer, _wire.KC_EEXIST)


def test_another_mode_is_said_in_octal() -> None:
    house = House()
    house.ask(house.peer(), "CHAN_MAKE", NAME="jobs", MODE=0o640)
    answer = house.ask(house.peer(), "CHAN_MAKE", NAME="jobs", MODE=0o600)
    assert answer["REASON"] == b"it exists with another MODE: 0640, not 0600"


# --- users that cannot be told ---


def test_credentials_of_another_user_namespace_are_refused_by_name(
    caplog: pytest.LogCaptureFixture,
) -> None:
    house = House()
    peer = house.connect(65534)
    peer.unmapped = True
    with caplog.at_level(logging.WARNING, "kcoro"):
        answer = house.ask(peer, "HELLO", ABI_MAJOR=1, ABI_MINOR=1, CLIENT_NAME="boat")
    assert answer["RESULT"] == _wire.KC_EACCES
    assert answer["REASON"].startswith(b"credentials from another user namespace (uid 65534")
    assert b"access.allow_unmapped" in answer["REASON"]
    assert house.last is not None
    assert house.last.end == _wire.KC_EACCES
    (record,) = caplog.records
    fields = record.fields  # type: ignore[attr-defined]
    assert (fields["uid"], fields["client"], fields["cmd"]) == (65534, "boat", "HELLO")


def test_they_are_served_where_the_configuration_allows_it() -> None:
    house = ruled(allow_unmapped=True)
    peer = house.connect(65534)
    peer.unmapped = True
    assert "RESULT" not in house.ask(peer, "HELLO", ABI_MAJOR=1, ABI_MINOR=1)


# --- the log line ---


@pytest.mark.parametrize(
    ("command", "why", "code"),
    [
        ("CHAN_OPEN", "the mode 0604 forbids sending", "EACCES"),
        ("CHAN_DESTROY", "the mode 0604 forbids managing", "EACCES"),
        ("CHAN_MAKE", "rule[0] of the daemon's configuration forbids making", "EACCES"),
        ("GET_STATS", "it may not know of this channel", "ENOENT"),
    ],
)
def test_a_refusal_is_one_line_that_says_who_what_and_why(
    command: str, why: str, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    house = ruled(Rule(0, False, MAKE, "CHAN_MAKE"))
    maker = house.peer(ROOT)
    for name, mode in (("CHAN_OPEN", 0o604), ("CHAN_DESTROY", 0o604), ("GET_STATS", 0o600)):
        house.ask(maker, "CHAN_MAKE", NAME=name, MODE=mode)
    stranger = house.peer(STRANGER)
    with caplog.at_level(logging.WARNING, "kcoro"):
        house.ask(stranger, command, NAME=command)
    (record,) = caplog.records
    fields = record.fields  # type: ignore[attr-defined]
    assert record.getMessage() == "refused"
    assert fields == {
        "conn": stranger.conn,
        "uid": STRANGER,
        "pid": stranger.pid,
        "client": "test",
        "cmd": command,
        "code": code,
        "chan_id": None,
        "name": command,
        "why": why,
        "quota": None,
        "limit": None,
        "usage": None,
        "setting": None,
    }


# --- SET_CONFIG ---


@pytest.mark.parametrize(
    ("uid", "asked", "result"),
    [
        (OWNER, {"MODE": 0o640}, 0),
        (OWNER, {"OWNER_GID": STAFF}, 0),
        (OWNER, {"OWNER_GID": ADMINS}, _wire.KC_EACCES),
        (OWNER, {"OWNER_UID": STRANGER}, _wire.KC_EACCES),
        (OWNER, {"MODE": 0o1000}, _wire.KC_EINVAL),
        (ROOT, {"OWNER_UID": STRANGER, "OWNER_GID": ADMINS, "MODE": 0}, 0),
        (STRANGER, {"MODE": 0o777}, _wire.KC_EACCES),  # may manage, which is not enough
    ],
)
def test_owner_and_administrators_change_mode_and_group_and_these_the_owner(
    uid: int, asked: dict[str, int], result: int
) -> None:
    house = House()
    house.ask(house.peer(), "CHAN_MAKE", NAME="jobs", MODE=0o601)
    peer = house.peer(uid)
    peer.groups |= {STAFF} if uid == OWNER else set()
    assert house.ask(peer, "SET_CONFIG", NAME="jobs", **asked)["RESULT"] == result
    channel = house.registry.names["jobs"]
    found = {
        "OWNER_UID": channel.uid,
        "OWNER_GID": channel.gid,
        "MODE": channel.settings.mode,
    }
    before = {"OWNER_UID": OWNER, "OWNER_GID": OWNER, "MODE": 0o601}
    assert found == before | (asked if result == 0 else {})


def test_who_waits_for_a_name_gets_it_when_its_mode_lets_it_be_seen() -> None:
    house = House()
    owner, stranger = house.peer(), house.peer(STRANGER)
    house.ask(owner, "CHAN_MAKE", NAME="jobs")
    assert house.ask(stranger, "CHAN_OPEN", NAME="jobs", TIMEOUT_MS=-1, FLAGS=READ) is None
    house.ask(owner, "SET_CONFIG", NAME="jobs", MODE=0o660)
    control.due(house.broker, 8)
    assert house.pump.finished == []
    house.ask(owner, "SET_CONFIG", NAME="jobs", MODE=0o604)
    control.due(house.broker, 8)
    assert [answer["RESULT"] for _, answer in house.pump.finished] == [0]


def test_a_channel_stays_in_the_quota_of_its_first_owner() -> None:
    house = House()
    root = house.peer(ROOT)
    house.ask(house.peer(), "CHAN_MAKE", NAME="jobs")
    house.ask(root, "SET_CONFIG", NAME="jobs", OWNER_UID=STRANGER)
    assert house.broker.user(OWNER).channels == 1
    house.ask(root, "CHAN_DESTROY", NAME="jobs")
    house.leave(next(peer for peer in house.registry.peers.values() if peer.uid == OWNER))
    assert house.broker.user(OWNER).channels == 0


def test_what_is_hidden_or_destroyed_cannot_be_changed() -> None:
    house = House()
    owner = house.peer()
    house.ask(owner, "CHAN_MAKE", NAME="jobs")
    assert refused(house.ask(house.peer(STRANGER), "SET_CONFIG", NAME="jobs"), _wire.KC_ENOENT)
    house.ask(owner, "CHAN_DESTROY", NAME="jobs")
    answer = house.ask(owner, "SET_CONFIG", CHAN_ID=1001, MODE=0)
    assert refused(answer, _wire.KC_ECANCELED)
