"""The soak's account of its messages: it finds each kind of fault, and none where all is well."""

import pytest

from tests.soak.journal import Account, Journal, Renewed, lines_of

WELL = [
    "sending a", "sent a", "got a 0", "got a 1", "acking a",
    "sending b", "cancelled b",
    "sending c", "got c 0", "acking c",
    "sending d",
]  # fmt: skip


def faults(*lines: str) -> list[str]:
    return Account(line.split() for line in lines).faults()


def test_redelivered_cancelled_and_unfinished_sends_are_no_faults() -> None:
    assert faults(*WELL) == []


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        (["sending e", "sent e"], "e was sent and never arrived"),
        (["got b 0"], "b was cancelled and arrived"),
        (["sent b", "got b 1", "acking b"], "b was both sent and cancelled"),
        (["got x 0"], "x arrived and nobody sent it"),
        (["sending e", "sent e", "got e 0"], "e was sent and never acknowledged"),
        (["got a 0"], "a arrived for the first time twice"),
    ],
)
def test_each_kind_of_fault_is_found(more: list[str], fault: str) -> None:
    assert fault in faults(*WELL, *more)


RENEWED = [
    "sending a", "got a 0", "got a 1", "acking a", "sent a",
    "sending b", "doubt b",
    "sending c", "got c 0", "acking c", "doubt c",
    "sending d", "got d 0",
]  # fmt: skip


def renewed(*lines: str, unfinished: int = 1) -> list[str]:
    return Renewed(line.split() for line in lines).faults(unfinished)


def test_a_send_in_doubt_may_have_arrived_or_not() -> None:
    assert renewed(*RENEWED) == []


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        (["sending e", "sent e"], "e was sent and never arrived"),
        (["sending e", "got e 0", "sent e"], "e was sent and never acknowledged"),
        (["got c 0"], "c arrived for the first time twice"),
        (["doubt a"], "a was both sent and in doubt"),
        (["got x 0"], "x arrived and nobody sent it"),
        (["sending e"], "2 sends have no end, not 1 at most"),
    ],
)
def test_each_kind_of_fault_over_restarts_is_found(more: list[str], fault: str) -> None:
    assert fault in renewed(*RENEWED, *more)


def test_any_message_that_is_lost_after_its_acknowledgement_is_found() -> None:
    """Of a hundred, whichever it is."""
    whole = [[f"sending {n}", f"got {n} 0", f"acking {n}", f"sent {n}"] for n in range(100)]
    rest = ["sending x", "doubt x"]
    for lost in range(100):
        lines = [
            line
            for n, part in enumerate(whole)
            for line in (part[:1] + part[3:] if n == lost else part)
        ]
        assert renewed(*lines, *rest)[0] == f"{lost} was sent and never arrived"


def test_restarts_in_which_nothing_was_under_way_have_shown_nothing() -> None:
    assert renewed(*RENEWED[:5], unfinished=0) == ["nothing was ever in doubt"]


def test_a_line_that_its_writer_could_not_end_does_not_count(tmp_path: object) -> None:
    path = f"{tmp_path}/journal"
    with Journal(path) as journal:
        body = journal.sending()
    with open(path, "a") as file:
        file.write("sent journal-")
    assert list(lines_of([path])) == [["sending", body.decode()]]
