"""The soak's account of its messages: it finds each kind of fault, and none where all is well."""

import pytest

from tests.soak.journal import Account, Journal, lines_of

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


def test_a_line_that_its_writer_could_not_end_does_not_count(tmp_path: object) -> None:
    path = f"{tmp_path}/journal"
    with Journal(path) as journal:
        body = journal.sending()
    with open(path, "a") as file:
        file.write("sent journal-")
    assert list(lines_of([path])) == [["sending", body.decode()]]
