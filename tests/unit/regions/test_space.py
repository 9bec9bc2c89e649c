"""Free ranges of a region: never given twice, and joined again in whatever order they come back."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from kcoro_ipc.regions.space import Space


def test_first_fit_takes_from_the_front_until_nothing_fits() -> None:
    space = Space(10)
    assert [space.take(4), space.take(4), space.take(4), space.take(2)] == [0, 4, None, 8]
    assert space.free_bytes == 0


def test_neighbours_join_from_either_side() -> None:
    space = Space(12)
    starts = [space.take(4) for _ in range(3)]
    space.give(0, 4)
    space.give(8, 4)
    assert space.pieces == 2
    space.give(4, 4)
    assert (space.pieces, space.idle, starts) == (1, True, [0, 4, 8])


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 9), st.integers(0, 99)), max_size=80))
def test_ranges_out_never_overlap_and_free_pieces_are_bounded(
    steps: list[tuple[bool, int, int]],
) -> None:
    space, out = Space(64), []
    for takes, size, which in steps:
        if takes and (start := space.take(size)) is not None:
            out.append((start, size))
        elif not takes and out:
            space.give(*out.pop(which % len(out)))
        used = sorted(out)
        assert all(a + n <= b for (a, n), (b, _) in pairwise(used))
        assert space.free_bytes == 64 - sum(size for _, size in out)
        assert space.pieces <= len(out) + 1
    for start, size in out:
        space.give(start, size)
    assert space.idle
    assert space.pieces == 1
