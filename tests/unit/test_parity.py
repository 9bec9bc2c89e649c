"""The tables about Kotlin in docs/CANCELLATION.md are what both transcripts say."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
KOTLIN = {"a": "r 1 | sent 1", "b": "r 2 | sent 1"}


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gen_parity", ROOT / "tools" / "gen_parity.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_has_the_tables_of_the_transcripts(tool: ModuleType) -> None:
    assert tool.main(["--check"]) == 0, "run tools/gen_parity.py"


def test_the_transcript_is_of_the_script_as_it_is(tool: ModuleType) -> None:
    sources = tool.read("kotlin.txt"), tool.read("ours.txt"), tool.read("differences.txt")
    assert tool.judge(*sources) == []
    assert len(sources[0]) > 90


def test_what_differs_without_a_reason_is_told(tool: ModuleType) -> None:
    ours = KOTLIN | {"b": "r 2 | sent 2"}
    assert tool.judge(KOTLIN, ours, {}) == ["b differs, and differences.txt has no reason"]
    assert tool.judge(KOTLIN, ours, {"b": "why"}) == []


def test_a_reason_for_what_is_the_same_is_told(tool: ModuleType) -> None:
    assert tool.judge(KOTLIN, KOTLIN, {"a": "why"}) == ["a does not differ any more"]


def test_another_order_is_told(tool: ModuleType) -> None:
    turned = dict(reversed(KOTLIN.items()))
    (told,) = tool.judge(KOTLIN, turned, {})
    assert "another order" in told


def test_numbers_are_shown_where_they_alone_differ(tool: ModuleType) -> None:
    ours = KOTLIN | {"b": "r 2 | sent 2"}
    page = tool.tables(KOTLIN, ours, {"b": "why"})
    assert "| b | r 2 (sent 1) | r 2 (sent 2) | why |" in page
    assert "| a | r 1 |" in page
