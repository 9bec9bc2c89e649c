"""The registry: who may do what, counted handles, pages, names that are waited for, deadlines."""

import pytest

from kcoro_ipc.access import ALL, MAKE, RECEIVE, SEE, SEND, Policy, Rule
from kcoro_ipc.errors import (
    AccessDenied,
    ClosedResourceError,
    InvalidArgument,
    NameTooLong,
    NoSuchChannel,
    QuotaExceeded,
)
from kcoro_ipc.names import check_name
from kcoro_ipc.quotas import Limits
from kcoro_ipc.records import (
    BOTH,
    MANAGE,
    READ,
    WRITE,
    Channel,
    Opening,
    Peer,
    Settings,
    Subscription,
    User,
)
from kcoro_ipc.registry import Registry
from kcoro_ipc.rights import HiddenChannel
from kcoro_ipc.waiting_requests import Deadlines

OWNER, MATE, STRANGER, ROOT = 1000, 1001, 1002, 0
USERS_GROUP = 100


class Town:
    """A registry with one channel of OWNER's and a peer for every uid that is asked for."""

    def __init__(self, **limits: int) -> None:
        self.registry = Registry(Limits(**limits))
        self.users: dict[int, User] = {}

    def peer(self, uid: int, groups: frozenset[int] = frozenset()) -> Peer:
        user = self.users.setdefault(uid, User(uid, account=uid))
        conn = len(self.registry.peers) + 1
        peer = Peer(conn, user, gid=uid, groups=groups | {uid}, pid=conn, transport=0)
        self.registry.join(peer)
        return peer

    def channel(self, name: str | None = "jobs", mode: int = 0o600, **settings: int) -> Channel:
        chan_id = self.registry.new_chan_id()
        chosen = Settings(mode=mode, **settings)  # type: ignore[arg-type]
        channel = Channel(chan_id, chan_id, name, OWNER, USERS_GROUP, chosen)
        self.registry.add(channel)
        return channel


@pytest.mark.parametrize(
    ("mode", "uid", "in_group", "rights"),
    [
        (0o600, OWNER, False, READ | WRITE | MANAGE),
        (0o400, OWNER, False, READ | MANAGE),
        (0o000, OWNER, False, MANAGE),
        (0o600, STRANGER, False, 0),
        (0o600, STRANGER, True, 0),
        (0o640, MATE, True, READ),
        (0o620, MATE, True, WRITE),
        (0o610, MATE, True, MANAGE),
        (0o640, STRANGER, False, 0),
        (0o644, STRANGER, False, READ),
        (0o622, STRANGER, False, WRITE),
        (0o607, STRANGER, True, 0),  # the group's bits count for its members, as for files
        (0o000, ROOT, False, READ | WRITE | MANAGE),
    ],
)
def test_the_mode_gives_owner_group_and_others_their_rights(
    mode: int, uid: int, in_group: bool, rights: int
) -> None:
    town = Town()
    peer = town.peer(uid, frozenset({USERS_GROUP}) if in_group else frozenset())
    assert town.registry.judge.rights(peer, town.channel(mode=mode)) == rights


def test_an_anonymous_channel_is_visible_to_its_user_and_root_only() -> None:
    town = Town()
    channel = town.channel(name=None, mode=0o666)
    assert town.registry.judge.rights(town.peer(STRANGER), channel) == 0
    assert town.registry.judge.rights(town.peer(OWNER), channel) == READ | WRITE | MANAGE
    assert town.registry.judge.rights(town.peer(ROOT), channel) == READ | WRITE | MANAGE


def test_a_missing_right_is_denied_where_the_channel_is_visible_and_hidden_elsewhere() -> None:
    town = Town()
    channel = town.channel(mode=0o604)
    with pytest.raises(AccessDenied, match="sending"):
        town.registry.judge.permit(town.peer(STRANGER), channel, BOTH)
    with pytest.raises(HiddenChannel):
        town.registry.judge.permit(town.peer(STRANGER), town.channel("other"), READ)


# --- rules and the admin group ---

ADMINS = 70


@pytest.mark.parametrize("owner", range(8))
@pytest.mark.parametrize("group", range(8))
@pytest.mark.parametrize("others", range(8))
def test_each_of_the_512_modes_gives_r_w_and_x_to_the_first_class_that_fits(
    owner: int, group: int, others: int
) -> None:
    town = Town()
    channel = town.channel(mode=owner << 6 | group << 3 | others)
    member = frozenset({USERS_GROUP})
    found = [
        town.registry.judge.rights(peer, channel)
        for peer in (town.peer(OWNER, member), town.peer(MATE, member), town.peer(STRANGER))
    ]
    expected = [
        (READ if bits & 4 else 0) | (WRITE if bits & 2 else 0) | (MANAGE if bits & 1 else 0)
        for bits in (owner | 1, group, others)
    ]
    assert found == expected


@pytest.mark.parametrize(
    ("denied", "rights"),
    [
        (0, READ | WRITE | MANAGE),
        (MAKE, READ | WRITE | MANAGE),
        (SEND, READ | MANAGE),
        (RECEIVE, WRITE | MANAGE),
        (SEND | RECEIVE, MANAGE),
        (SEE, 0),
        (ALL, 0),
    ],
)
def test_rules_take_away_from_what_the_mode_gives_also_from_the_owner(
    denied: int, rights: int
) -> None:
    town = Town()
    town.registry.judge.policy = Policy((Rule(0, False, denied, "jobs"),) if denied else ())
    channel, other = town.channel(mode=0o777), town.channel("other", mode=0o777)
    for uid in (OWNER, STRANGER):
        assert town.registry.judge.rights(town.peer(uid), channel) == rights
        assert town.registry.judge.rights(town.peer(uid), other) == READ | WRITE | MANAGE
    assert town.registry.judge.rights(town.peer(ROOT), channel) == READ | WRITE | MANAGE


def test_a_rule_that_allows_gives_nothing_that_the_mode_does_not() -> None:
    town = Town()
    town.registry.judge.policy = Policy((Rule(0, True, ALL),))
    assert town.registry.judge.rights(town.peer(STRANGER), town.channel(mode=0o600)) == 0


def test_who_has_only_what_the_rules_take_away_does_not_see_the_channel() -> None:
    town = Town()
    town.registry.judge.policy = Policy((Rule(0, False, SEND),))
    with pytest.raises(HiddenChannel):
        town.registry.judge.permit(town.peer(STRANGER), town.channel(mode=0o602), WRITE)


def test_a_refusal_says_whether_mode_or_rule_forbids() -> None:
    town = Town()
    town.registry.judge.policy = Policy((Rule(0, True, SEE), Rule(1, False, SEND)))
    peer = town.peer(STRANGER)
    with pytest.raises(AccessDenied, match=r"rule\[1\] of the daemon's configuration forbids send"):
        town.registry.judge.permit(peer, town.channel(mode=0o666), WRITE)
    with pytest.raises(AccessDenied, match="the mode 0604 forbids managing"):
        town.registry.judge.permit(peer, town.channel("other", mode=0o604), MANAGE)


def test_the_admin_group_has_all_rights_on_all_channels() -> None:
    town = Town()
    town.registry.judge.policy = Policy((Rule(0, False, ALL),), admin_gid=ADMINS)
    admin = town.peer(STRANGER, frozenset({ADMINS}))
    for channel in (town.channel(mode=0), town.channel(name=None, mode=0)):
        assert town.registry.judge.rights(admin, channel) == READ | WRITE | MANAGE


def test_another_policy_counts_for_peers_that_are_there_already() -> None:
    town = Town()
    channel, peer = town.channel(mode=0o606), town.peer(STRANGER, frozenset({ADMINS}))
    assert town.registry.judge.rights(peer, channel) == READ | WRITE
    town.registry.judge.policy = Policy((Rule(0, False, SEND),))
    assert town.registry.judge.rights(peer, channel) == READ
    town.registry.judge.policy = Policy(admin_gid=ADMINS)
    assert town.registry.judge.rights(peer, channel) == READ | WRITE | MANAGE


def test_pages_leave_out_what_a_rule_hides_and_still_end() -> None:
    town = Town()
    rules = [Rule(i, False, SEE, f"c{i}") for i in range(0, 40, 2)]
    town.registry.judge.policy = Policy(tuple(rules))
    made = [town.channel(f"c{i}", mode=0o604) for i in range(40)]
    stranger, seen = town.peer(STRANGER), list[str | None]()
    after: int | None = 0
    while after is not None:
        page, after = town.registry.page(stranger, after, 2)
        seen += [channel.name for channel in page]
    assert seen == [channel.name for channel in made[1::2]]


def test_a_page_looks_at_fewer_channels_where_rules_are_asked_about_each() -> None:
    town = Town()
    town.registry.judge.policy = Policy(tuple(Rule(i, False, SEE, "x") for i in range(12)))
    for i in range(100):
        town.channel(f"c{i}")
    assert town.registry.page(town.peer(STRANGER), 0, 2) == ([], 1008)


def test_find_takes_number_or_name_and_hides_what_is_not_visible() -> None:
    town = Town()
    channel, owner, stranger = town.channel(), town.peer(OWNER), town.peer(STRANGER)
    assert town.registry.find(owner, channel.chan_id, None) is channel
    assert town.registry.find(owner, None, "jobs") is channel
    with pytest.raises(HiddenChannel):
        town.registry.find(stranger, channel.chan_id, None)
    with pytest.raises(NoSuchChannel):
        town.registry.find(owner, 999, None)
    with pytest.raises(InvalidArgument):
        town.registry.find(owner, None, None)


def test_a_destroyed_channel_is_found_by_number_by_its_holders_alone() -> None:
    town = Town()
    channel, holder, other = town.channel(), town.peer(OWNER), town.peer(OWNER)
    town.registry.grant(holder, channel, READ)
    town.registry.end_name(channel)
    assert town.registry.find(holder, channel.chan_id, None) is channel
    with pytest.raises(NoSuchChannel):
        town.registry.find(other, channel.chan_id, None)
    with pytest.raises(NoSuchChannel):
        town.registry.find(holder, None, "jobs")


def test_a_name_that_was_freed_and_taken_again_stays_when_the_old_channel_is_forgotten() -> None:
    town = Town()
    old = town.channel()
    town.registry.end_name(old)
    new = town.channel()
    town.registry.end_name(old)
    town.registry.forget(old)
    assert town.registry.names == {"jobs": new}
    assert list(town.registry.channels) == [new.chan_id]


def test_numbers_start_at_1001_and_never_come_back() -> None:
    town = Town()
    first = town.channel()
    town.registry.end_name(first)
    town.registry.forget(first)
    assert (first.chan_id, town.channel().chan_id) == (1001, 1002)


def test_rights_are_counted_per_peer_and_holders_once() -> None:
    town = Town()
    channel, peer = town.channel(), town.peer(OWNER)
    assert town.registry.grant(peer, channel, BOTH) == BOTH
    assert town.registry.grant(peer, channel, READ) == BOTH
    assert (channel.readers, channel.writers, channel.holders) == (1, 1, 1)
    assert town.registry.release(peer, channel, WRITE) == READ
    assert town.registry.release(peer, channel, READ) == READ
    assert (channel.readers, channel.writers, channel.holders) == (1, 0, 1)
    assert town.registry.release(peer, channel, 0) == 0
    assert (channel.readers, channel.writers, channel.holders) == (0, 0, 0)
    assert peer.handles == {}


def test_a_right_that_is_not_held_cannot_be_released() -> None:
    town = Town()
    channel, peer = town.channel(), town.peer(OWNER)
    with pytest.raises(ClosedResourceError):
        town.registry.release(peer, channel, 0)
    town.registry.grant(peer, channel, READ)
    with pytest.raises(ClosedResourceError):
        town.registry.release(peer, channel, BOTH)
    assert channel.readers == 1


def test_pages_cover_all_visible_channels_once_in_order() -> None:
    town = Town()
    made = [town.channel(f"c{i}", mode=0o604 if i % 2 else 0o600) for i in range(10)]
    stranger = town.peer(STRANGER)
    seen: list[int] = []
    after: int | None = 0
    while after is not None:
        page, after = town.registry.page(stranger, after, 2)
        assert len(page) <= 2
        seen += [channel.chan_id for channel in page]
    assert seen == [channel.chan_id for channel in made if channel.settings.mode == 0o604]


def test_a_page_looks_at_a_bounded_number_of_channels_of_others() -> None:
    town = Town()
    for i in range(100):
        town.channel(f"c{i}")
    page, after = town.registry.page(town.peer(STRANGER), 0, 2)
    assert (page, after) == ([], 1032)


def test_a_page_of_an_empty_registry_is_the_last() -> None:
    town = Town()
    assert town.registry.page(town.peer(OWNER), 0, 2) == ([], None)


def test_a_connection_over_the_quota_is_marked_and_counted() -> None:
    town = Town(connections_per_uid=2)
    assert [town.peer(OWNER).over_quota for _ in range(3)] == [False, False, True]
    assert not town.peer(STRANGER).over_quota
    refusal = town.registry.limits.refuse("connections_per_uid", 3)
    assert (refusal.quota, refusal.limit, refusal.usage) == ("connections per uid", 2, 3)
    assert refusal.setting == "limits.connections_per_uid"


def test_openings_wait_in_order_and_leave_with_their_peer() -> None:
    town = Town()
    first, second = town.peer(OWNER), town.peer(OWNER)
    for peer, req_id in ((first, 7), (second, 8), (first, 9)):
        town.registry.waiting.wait_for_name(peer, Opening(peer.conn, req_id, "late", READ), None)
    assert [opening.req_id for opening in town.registry.waiting.openings["late"]] == [7, 8, 9]
    town.registry.leave(first)
    assert [opening.req_id for opening in town.registry.waiting.openings["late"]] == [8]
    town.registry.leave(second)
    assert town.registry.waiting.openings == {}
    assert town.users[OWNER].connections == 0


def test_subscriptions_are_limited_per_connection() -> None:
    town = Town(subscriptions_per_connection=1)
    peer = town.peer(OWNER)
    town.registry.waiting.subscribe(peer, Subscription(peer.conn, 1, 1001, 10))
    with pytest.raises(QuotaExceeded):
        town.registry.waiting.subscribe(peer, Subscription(peer.conn, 2, 1001, 10))
    town.registry.waiting.end_subscription(peer, peer.subscriptions[1])
    town.registry.waiting.subscribe(peer, Subscription(peer.conn, 3, 1001, 10))


def opening(req_id: int) -> Opening:
    return Opening(1, req_id, "late", READ)


def test_deadlines_come_earliest_first_and_skip_what_ended() -> None:
    deadlines = Deadlines(lambda conn: conn)
    records = {when: opening(when) for when in (30, 10, 20)}
    for when, record in records.items():
        deadlines.add(when, record)
    records[10].ended = True
    assert deadlines.next_ns() == 20
    assert list(deadlines.due(19, 10)) == []
    assert [record.req_id for record in deadlines.due(30, 10)] == [20, 30]
    assert deadlines.next_ns() is None


def test_deadlines_hand_out_no_more_than_asked_for() -> None:
    deadlines = Deadlines(lambda conn: conn)
    for when in range(5):
        deadlines.add(when, opening(when))
    assert len(list(deadlines.due(10, 2))) == 2
    assert len(deadlines) == 3


def test_users_whose_deadlines_came_take_turns() -> None:
    deadlines = Deadlines(lambda conn: conn % 10)  # of each user connections 1, 11, 21, ...
    conns = [1, 11, 21, 31, 41, 2, 12, 3]
    for when, conn in enumerate(conns):
        deadlines.add(when, Opening(conn, when, "late", READ))
    assert [record.conn for record in deadlines.due(100, 3)] == [1, 2, 3]
    assert (deadlines.next_ns(), len(deadlines)) == (0, 5)
    deadlines.add(100, Opening(4, 8, "late", READ))
    assert [record.conn for record in deadlines.due(100, 9)] == [11, 12, 4, 21, 31, 41]
    assert (deadlines.next_ns(), len(deadlines)) == (None, 0)


def test_a_record_that_ended_after_its_time_had_come_is_not_handed_out() -> None:
    deadlines = Deadlines(lambda conn: conn)
    records = [opening(req_id) for req_id in range(3)]
    for record in records:
        deadlines.add(1, record)
    assert list(deadlines.due(1, 1)) == records[:1]
    records[1].ended = True
    assert list(deadlines.due(1, 1)) == records[2:]
    assert deadlines.next_ns() is None


def test_records_that_ended_do_not_pile_up_before_a_far_deadline() -> None:
    deadlines = Deadlines(lambda conn: conn)
    for req_id in range(10_000):
        record = opening(req_id)
        deadlines.add(1_000_000, record)
        record.ended = True
    assert len(deadlines) <= 64


@pytest.mark.parametrize("name", [b"j", b"jobs", "größe ✓".encode(), b"a b", b"x" * 255])
def test_a_good_name_is_taken(name: bytes) -> None:
    assert check_name(name) == name.decode()


@pytest.mark.parametrize(
    "name", [b"", b"a\0b", b"a/b", b"/", b"\x1b[2J", b"line\n", b"\xff\xfe", b"\xc2\x85", b"\x7f"]
)
def test_a_bad_name_is_refused(name: bytes) -> None:
    with pytest.raises(InvalidArgument):
        check_name(name)


def test_a_name_of_64_kib_is_too_long() -> None:
    with pytest.raises(NameTooLong):
        check_name(b"x" * 65_536)
