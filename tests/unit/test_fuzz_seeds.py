"""The fuzzer's programs in words and the bytes in its corpus are the same."""

from tests.fuzz import client_seeds, seeds


def test_every_program_in_words_stands_in_the_corpus_as_it_is_written() -> None:
    for name, steps in seeds.SEEDS.items():
        written = (seeds.CORPUS / name).read_bytes()
        assert written == seeds.program(steps), f"{name}: python -m tests.fuzz.seeds"


def test_what_a_daemon_might_say_stands_in_the_corpus_as_it_is_written() -> None:
    for name, parts in client_seeds.SEEDS.items():
        written = (client_seeds.CORPUS / name).read_bytes()
        assert written == client_seeds.program(*parts), f"{name}: -m tests.fuzz.client_seeds"
