"""What no committed file may hold: a developer's paths, package hosts, words about tools.

A word is written with one letter in brackets here, so that this file passes its own check.
"""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = "DESIGN|WIRE|ENGINE|UPSTREAM|RELIABILITY|FIGURES|SERVICE|EXAMPLES|HANDOFF|BUILD"
FORBIDDEN = {
    "a path of a developer's machine": r"/wor[k]/|/home/\w+/|/roo[t]/|/opt/[pw][yh]",
    "the host of a package index": r"pyp[i]\.org|pythonhoste[d]\.org|deb\.debia[n]\.org",
    "unfinished work": r"\bTOD[O]\b|\bFIXM[E]\b|\bXX[X]\b",
    "a page that is not in the repository": rf"\b(?:{PAGES})\.m[d]\b|\bDESIG[N] (section )?\d",
    "a place that is not in the repository": r"\bshare[d]/(docs|tools)|\bthe issu[e]\b",
    "words about who typed the text": r"(?i)\bclaud[e]\b|\bchatgp[t]\b|\bAI[- ]generate[d]\b",
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
    "text",
    [
        "see /wor" + "k/main",
        "TO" + "DO later",
        "py" + "pi.org/simple",
        "as WI" + "RE.md says",
        "DESI" + "GN 4.5",
        "<" * 7 + " HEAD",
    ],
)
def test_the_check_sees_a_planted_word(text: str) -> None:
    assert len(faults_in(text)) == 1
