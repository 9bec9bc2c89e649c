"""The rules of the administrator: which one decides, compared with the sentence that says it."""

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcoro_ipc.access import (
    ALL,
    MAKE,
    OPERATIONS,
    RECEIVE,
    SEE,
    SEND,
    Policy,
    Rule,
    allowed,
    forbidding,
)

ALICE, BOB, STAFF, GUESTS, ADMINS = 1000, 1001, 50, 60, 70

names = st.text("ab.*?[]!-", max_size=4)
ids = st.frozensets(st.integers(1, 4), max_size=2)


@st.composite
def rule_lists(draw: st.DrawFn) -> tuple[Rule, ...]:
    count = draw(st.integers(0, 5))
    bits = st.integers(1, ALL)
    return tuple(
        Rule(place, draw(st.booleans()), draw(bits), draw(names), draw(ids), draw(ids))
        for place in range(count)
    )


def verdict(
    rules: tuple[Rule, ...], uid: int, groups: frozenset[int], operation: int, name: str
) -> tuple[bool, int | None]:
    """The model: the sentence at the top of access.py, one question at a time."""
    for rule in rules:
        who = (not rule.uids and not rule.gids) or uid in rule.uids or bool(rule.gids & groups)
        if who and operation & rule.operations and fnmatchcase(name, rule.pattern):
            return rule.allow, rule.place
    return True, None


@given(rules=rule_lists(), uid=st.integers(1, 4), groups=ids, name=names)
def test_the_first_rule_that_matches_who_operation_and_name_decides(
    rules: tuple[Rule, ...], uid: int, groups: frozenset[int], name: str
) -> None:
    about = Policy(rules).rules_about(uid, groups)
    left = allowed(about, name)
    for operation in OPERATIONS.values():
        may, place = verdict(rules, uid, groups, operation, name)
        assert bool(left & operation) is may
        rule = forbidding(about, operation, name)
        assert (rule is None) is may
        assert rule is None or rule.place == place


def test_without_rules_everything_is_allowed() -> None:
    assert allowed((), "jobs") == ALL


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("*", "", True),  # anonymous channels
        ("", "", True),
        ("jobs*", "", False),
        ("jobs.*", "jobs.a.b", True),
        ("jobs.*", "jobs", False),
        ("jobs.*", "my.jobs.a", False),  # the whole name
        ("Jobs", "jobs", False),
        ("job?", "jobs", True),
        ("job[st]", "jobt", True),
        ("a", "a\n", False),
    ],
)
def test_a_pattern_is_about_the_whole_name(pattern: str, name: str, fits: bool) -> None:
    assert Rule(0, False, SEE, pattern).names(name) is fits


def test_an_exception_stands_before_what_it_is_an_exception_of() -> None:
    rules = (
        Rule(0, True, SEND, "jobs.*", uids=frozenset({ALICE})),
        Rule(1, False, SEND | MAKE, "*"),
    )
    policy = Policy(rules)
    assert allowed(policy.rules_about(ALICE, ()), "jobs.x") == RECEIVE | SEE | SEND
    assert allowed(policy.rules_about(ALICE, ()), "mail") == RECEIVE | SEE
    assert allowed(policy.rules_about(BOB, ()), "jobs.x") == RECEIVE | SEE


def test_a_rule_about_users_and_groups_is_about_both() -> None:
    rule = Rule(0, False, SEND, uids=frozenset({ALICE}), gids=frozenset({STAFF}))
    who = {(ALICE, ()): True, (BOB, (STAFF,)): True, (BOB, (GUESTS,)): False}
    assert {key: rule.is_about(*key) for key in who} == who


def test_root_and_the_admin_group_stand_outside_the_rules() -> None:
    policy = Policy((Rule(0, False, ALL),), admin_gid=ADMINS)
    assert policy.rules_about(0, ()) == ()
    assert policy.rules_about(BOB, {ADMINS, STAFF}) == ()
    assert len(policy.rules_about(BOB, {STAFF})) == 1
    assert not Policy().is_admin(BOB, {STAFF})
