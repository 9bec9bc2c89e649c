"""Who may know whom in the C++ face: kcoro.hpp lists the headers, each uses what is above it."""

import re
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "native" / "include" / "kcoro" / "cpp"
INCLUDE = re.compile(r'^#include "kcoro/cpp/(\w+\.hpp)"', re.MULTILINE)


def faults(folder: Path) -> Iterator[str]:
    rows = INCLUDE.findall((folder / "kcoro.hpp").read_text())
    for path in sorted(folder.glob("*.hpp")):
        if path.name == "kcoro.hpp":
            continue
        if path.name not in rows:
            yield f"{path.name} is not in the list of kcoro.hpp"
            continue
        above = rows[: rows.index(path.name)]
        for name in INCLUDE.findall(path.read_text()):
            if name not in above:
                yield f"{path.name} includes {name}, which does not stand above it"


def test_each_header_uses_what_stands_above_it() -> None:
    assert list(faults(FOLDER)) == []


def test_the_checker_reports_planted_includes(tmp_path: Path) -> None:
    files = {
        "kcoro.hpp": '#include "kcoro/cpp/low.hpp"\n#include "kcoro/cpp/high.hpp"\n',
        "low.hpp": '#include "kcoro/cpp/high.hpp"\n',
        "high.hpp": '#include "kcoro/cpp/low.hpp"\n',
        "odd.hpp": "",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert list(faults(tmp_path)) == [
        "low.hpp includes high.hpp, which does not stand above it",
        "odd.hpp is not in the list of kcoro.hpp",
    ]
