"""What no committed file may hold: a developer's paths, package hosts, words about tools.

The words are spelled in pieces here, so that this file passes its own check.
"""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FORBIDDEN = {
    "a path of a developer's machine": r"/wor" + r"k/|/home/\w+/|/ro" + r"ot/",
    "the host of a package index": r"py"
    + r"pi\.org|files\.python"
    + r"hosted\.org|deb\.deb"
    + r"ian\.org",
    "unfinished work": r"\bTO" + r"DO\b|\bFIX" + r"ME\b|\bXX" + r"X\b",
    "a reference to a page that is not in the repository": r"\bshared/do"
    + r"cs\b|\bBRI"
    + r"EF\.md\b",
    "words about who typed the text": r"(?i)\bclau"
    + r"de\b|\bchat"
    + r"gpt\b|\ban"
    + r"thropic\b|\bai[- ]gene"
    + r"rated\b",
    "a conflict marker": r"(?m)^(<{7}|>{7}) ",
}


def faults_in(text: str) -> list[str]:
    return [
        f"{why}: {found[0]!r}"
        for why, words in FORBIDDEN.items()
        if (found := re.search(words, text))
    ]


def tracked_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode != 0:
        pytest.skip("not a git checkout: there is no list of committed files")
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file()]


def test_no_committed_text_holds_a_forbidden_word() -> None:
    found = {}
    for path in tracked_files():
        data = path.read_bytes()
        if b"\0" not in data and (faults := faults_in(data.decode(errors="replace"))):
            found[str(path.relative_to(ROOT))] = faults
    assert found == {}


def test_no_committed_file_is_large() -> None:
    large = [path.name for path in tracked_files() if path.stat().st_size > 512 * 1024]
    assert large == []


@pytest.mark.parametrize(
    "text", ["see /wor" + "k/main", "TO" + "DO later", "py" + "pi.org/simple", "<" * 7 + " HEAD"]
)
def test_the_check_sees_a_planted_word(text: str) -> None:
    assert len(faults_in(text)) == 1
