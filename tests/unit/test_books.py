"""Series: a channel's counters outlive it, in a bounded number of places."""

from kcoro_ipc.books import STATS_WIDTH, Books

SENDS, DEPTH = 1, 39


def stats(sends: int, depth: int = 0) -> list[int]:
    found = [0] * STATS_WIDTH
    found[SENDS], found[DEPTH] = sends, depth
    return found


def books(channels: int = 2, users: int = 2) -> Books:
    made = Books(channels, users)
    made.begin_user(7)
    return made


def told(made: Books) -> dict[str, int]:
    return {series.labels: series.past[SENDS] for series in made.channels.all()}


JOBS, LOGS, MAIL = (f'name="{name}",uid="7"' for name in ("jobs", "logs", "mail"))
OTHER = 'name="/other",uid="other"'


def test_what_a_channel_counted_stays_and_the_next_of_that_name_goes_on() -> None:
    made = books()
    made.begin_channel(1, 7, "jobs")
    made.end_channel(1, stats(5, depth=3))
    made.begin_channel(2, 7, "jobs")
    made.end_channel(2, stats(4))
    assert told(made) == {OTHER: 0, JOBS: 9}
    assert [series.past[DEPTH] for series in made.channels.all()] == [0, 0]  # a gauge has no past


def test_the_same_name_of_another_user_is_another_series() -> None:
    made = books()
    made.begin_user(8)
    made.begin_channel(1, 7, "jobs")
    made.begin_channel(2, 8, "jobs")
    assert made.of_channel(1)[0] is not made.of_channel(2)[0]


def test_channels_without_a_name_count_together() -> None:
    made = books()
    for chan_id in (1, 2):
        made.begin_channel(chan_id, 7, None)
        made.end_channel(chan_id, stats(3))
    assert told(made) == {OTHER: 6}


def test_who_finds_no_place_counts_with_the_others_for_its_whole_life() -> None:
    made = books()
    for chan_id, name in enumerate(("jobs", "logs", "mail"), 1):
        made.begin_channel(chan_id, 7, name)
    made.end_channel(1, stats(1))  # a place is free now, but mail was settled before
    made.end_channel(3, stats(10))
    assert told(made) == {OTHER: 10, JOBS: 1, LOGS: 0}


def test_the_series_that_is_idle_for_longest_gives_up_its_place_and_nothing_is_lost() -> None:
    made = books()
    for chan_id, name in enumerate(("jobs", "logs"), 1):
        made.begin_channel(chan_id, 7, name)
    made.end_channel(2, stats(2))
    made.end_channel(1, stats(1))
    made.begin_channel(3, 7, "mail")
    assert told(made) == {OTHER: 2, JOBS: 1, MAIL: 0}


def test_a_series_with_a_channel_keeps_its_place() -> None:
    made = books(channels=1)
    made.begin_channel(1, 7, "jobs")
    made.begin_channel(2, 7, "jobs")  # the first one was destroyed and is still held
    made.end_channel(1, stats(1))
    made.begin_channel(3, 7, "mail")
    assert list(told(made)) == [OTHER, JOBS]


def test_a_user_has_what_its_channels_counted_and_its_places_are_bounded_too() -> None:
    made = books(users=1)
    made.connected(7)
    made.refused(7)
    made.begin_channel(1, 7, "jobs")
    made.end_channel(1, stats(5))
    made.begin_user(8)
    made.connected(8)
    rows = {series.labels: series.past[:3] for series in made.users.all()}
    assert rows == {'uid="7"': [1, 1, 5], 'uid="other"': [1, 0, 0]}
    made.end_user(7)
    made.begin_user(9)
    rows = {series.labels: series.past[:3] for series in made.users.all()}
    assert rows == {'uid="9"': [0, 0, 0], 'uid="other"': [2, 1, 5]}
