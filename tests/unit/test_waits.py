"""Who is stuck, compared with every set of connections tried one by one, and the cycle shown."""

from collections.abc import Iterable
from itertools import chain, combinations

from hypothesis import given
from hypothesis import strategies as st

from kcoro_ipc.monitor.waits import (
    Party,
    Picture,
    Place,
    Step,
    Wait,
    servers,
    shortest_cycle,
    still,
    stuck,
)
from kcoro_ipc.monitor.words import chain as told

S, R = frozenset({"send"}), frozenset({"receive"})
BOTH = S | R


def picture(
    waits: dict[int, list[tuple[int, str]]],
    rights: dict[int, dict[int, frozenset[str]]],
    limited: Iterable[int] = (),
    strangers: dict[int, dict[str, int]] | None = None,
) -> Picture:
    parties = {
        conn: Party(
            conn,
            waits=tuple(
                Wait(chan, side, token=100 * conn + i, limited=conn in limited)
                for i, (chan, side) in enumerate(arms)
            ),
        )
        for conn, arms in waits.items()
    }
    unknown = strangers or {}
    return Picture(parties, {c: Place(c, None, r, unknown.get(c, {})) for c, r in rights.items()})


def test_two_that_wait_for_each_other_across_two_channels_are_stuck() -> None:
    # 1 sends on a full channel 10 that 2 receives from, 2 sends on 20 that 1 receives from.
    p = picture({1: [(10, "send")], 2: [(20, "send")]}, {10: {1: S, 2: R}, 20: {1: R, 2: S}})
    found = stuck(p)
    assert set(found) == {1, 2}
    assert [(s.conn, s.wait.chan_id, s.server) for s in shortest_cycle(found)] == [
        (1, 10, 2),
        (2, 20, 1),
    ]


def test_anybody_free_who_could_serve_frees_them_all() -> None:
    rights = {10: {1: S, 2: R, 3: R}, 20: {1: R, 2: S}}
    waits: dict[int, list[tuple[int, str]]] = {1: [(10, "send")], 2: [(20, "send")], 3: []}
    assert stuck(picture(waits, rights)) == {}
    del rights[10][3]
    assert set(stuck(picture(waits, rights))) == {1, 2}


def test_one_arm_of_a_select_that_somebody_free_could_serve_is_enough() -> None:
    rights = {10: {1: S, 2: R}, 20: {1: R, 2: S}, 30: {1: R, 3: S}}
    waits: dict[int, list[tuple[int, str]]] = {
        1: [(10, "send"), (30, "receive")],
        2: [(20, "send")],
        3: [],
    }
    assert stuck(picture(waits, rights)) == {}


def test_a_time_limit_frees() -> None:
    rights = {10: {1: S, 2: R}, 20: {1: R, 2: S}}
    waits = {1: [(10, "send")], 2: [(20, "send")]}
    assert stuck(picture(waits, rights, limited={2})) == {}


def test_somebody_who_may_not_be_known_might_serve() -> None:
    rights = {10: {1: S, 2: R}, 20: {1: R, 2: S}}
    waits = {1: [(10, "send")], 2: [(20, "send")]}
    assert stuck(picture(waits, rights, strangers={10: {"receive": 1}})) == {}
    assert set(stuck(picture(waits, rights, strangers={10: {"send": 1}}))) == {1, 2}


def test_idle_workers_with_both_rights_are_not_stuck() -> None:
    p = picture({1: [(10, "receive")], 2: [(10, "receive")]}, {10: {1: BOTH, 2: BOTH}})
    assert servers(p, 1, p.parties[1].waits[0]) == set()
    assert stuck(p) == {}


def test_a_client_whose_job_was_lost_waits_for_workers_that_wait_for_it() -> None:
    rights = {10: {1: BOTH, 2: BOTH, 3: BOTH}, 20: {1: BOTH, 2: BOTH, 3: BOTH}}
    waits = {1: [(20, "receive")], 2: [(10, "receive")], 3: [(10, "receive")]}
    found = stuck(picture(waits, rights))
    assert set(found) == {1, 2, 3}
    assert len(shortest_cycle(found)) == 2


def test_the_shortest_of_several_cycles_is_shown() -> None:
    def step(a: int, b: int) -> Step:
        return Step(a, Wait(a, "send", a), b)

    steps = {
        1: [step(1, 2)],
        2: [step(2, 3)],
        3: [step(3, 1), step(3, 4)],
        4: [step(4, 3)],
    }
    assert [s.conn for s in shortest_cycle(steps)] == [3, 4]


def test_who_waits_in_another_operation_by_now_was_not_stuck_all_the_time() -> None:
    def both(token: int) -> dict[int, list[Step]]:
        return {1: [Step(1, Wait(10, "send", 7), 2)], 2: [Step(2, Wait(20, "send", token), 1)]}

    assert set(still(both(8), both(8))) == {1, 2}
    assert still(both(8), both(9)) == {}


# --- against trying everything ---

CONNS, CHANS = range(1, 6), range(10, 13)
arms = st.lists(st.tuples(st.sampled_from(CHANS), st.sampled_from(["send", "receive"])), max_size=2)
some_rights = st.dictionaries(
    st.sampled_from(CONNS), st.sampled_from([S, R, BOTH]), max_size=len(CONNS)
)
pictures = st.builds(
    picture,
    st.fixed_dictionaries(dict.fromkeys(CONNS, arms)),
    st.fixed_dictionaries(dict.fromkeys(CHANS, some_rights)),
    st.sets(st.sampled_from(CONNS), max_size=1),
)


def is_closed(p: Picture, some: frozenset[int]) -> bool:
    """Each of them waits, without limit, somebody could serve it, and nobody else could."""
    for conn in some:
        waits = p.parties[conn].waits
        if not waits or any(wait.limited for wait in waits):
            return False
        able = set().union(*(servers(p, conn, wait) for wait in waits))
        if not able or not able <= some:
            return False
    return True


@given(pictures)
def test_the_stuck_are_the_union_of_all_sets_that_only_they_could_free(p: Picture) -> None:
    subsets = chain.from_iterable(combinations(CONNS, n) for n in range(1, len(CONNS) + 1))
    closed = [frozenset(some) for some in subsets if is_closed(p, frozenset(some))]
    found = stuck(p)
    assert set(found) == set().union(*closed)
    cycle = shortest_cycle(found)
    assert bool(cycle) == bool(found)
    for one, after in zip(cycle, [*cycle[1:], *cycle[:1]], strict=True):
        assert one.server == after.conn
        assert one.server in servers(p, one.conn, one.wait)


def test_two_connections_of_one_process_are_told_apart_in_the_chain_and_others_are_not() -> None:
    p = picture({1: [(10, "send")], 2: [(20, "send")]}, {10: {1: S, 2: R}, 20: {1: R, 2: S}})
    one = {conn: party._replace(pid=7, program="both") for conn, party in p.parties.items()}
    lines = told(Picture(one, p.places), shortest_cycle(stuck(p)))
    assert lines[0].startswith("pid 7 (both) by connection 1 waits to send to channel #10")
    assert lines[0].endswith("which waits for pid 7 (both) by connection 2")
    two = {conn: party._replace(pid=conn) for conn, party in p.parties.items()}
    lines = told(Picture(two, p.places), shortest_cycle(stuck(p)))
    assert lines[0].endswith("which waits for pid 2")
