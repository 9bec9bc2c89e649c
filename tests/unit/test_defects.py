"""Defects of an older project: the table in tests/native/README.md names tests that are there, and
a few things that only the sources can show.
"""

import ctypes
import re
from pathlib import Path

from kcoro_ipc.building import SHARED, get_include, get_library_dir

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "tests" / "native" / "README.md"
DECLARED = re.compile(r"^KC_API\s[^;{]*?\b(kc_\w+)\(", re.MULTILINE)


def rows() -> list[tuple[int, str]]:
    found = re.findall(r"^\| (\d+) \| [^|]+ \| (.+) \|$", README.read_text(), re.MULTILINE)
    return [(int(number), tests) for number, tests in found]


def test_every_defect_has_a_row() -> None:
    assert [number for number, _ in rows()] == list(range(1, 30))


def test_every_test_that_the_table_names_is_there_and_run() -> None:
    named = 0
    for number, tests in rows():
        files = re.findall(r"`(test_\w+\.(?:c|py))`", tests)
        text = "".join(path.read_text() for name in files for path in ROOT.glob(f"tests/*/{name}"))
        for test in re.findall(r"`([a-z]\w+)`", tests):
            named += 1
            run = f"KC_RUN({test});" in text or f"def {test}(" in text
            assert run, f"row {number}: {test} is in none of {files}"
    assert named > 40


def test_what_the_headers_declare_is_in_the_library() -> None:
    library = ctypes.CDLL(str(Path(get_library_dir()) / SHARED))
    headers = sorted(Path(get_include()).glob("kcoro/*.h"))
    names = [name for path in headers for name in DECLARED.findall(path.read_text())]
    assert len(names) > 200
    assert [name for name in names if not hasattr(library, name)] == []


def sources(*folders: str) -> dict[str, str]:
    paths = [path for folder in folders for path in (ROOT / "native" / folder).glob("*.[ch]")]
    assert paths
    return {str(path.relative_to(ROOT)): path.read_text() for path in paths}


def test_no_wait_is_by_the_wall_clock() -> None:
    """A condition waits in the wall's time unless it was told the clock."""
    wall = re.compile(r"CLOCK_REALTIME|gettimeofday|\bsem_timedwait|pthread_mutex_timedlock")
    found = sources("core", "ipc", "runtime", "client", "remote")
    assert [name for name, text in found.items() if wall.search(text)] == []
    timed = [text for text in found.values() if "pthread_cond_timedwait" in text]
    told = re.compile(r"pthread_condattr_setclock\(\S+, CLOCK_MONOTONIC\)")
    assert timed
    assert all(told.search(text) for text in timed)


def test_queues_have_no_lock() -> None:
    lock = re.compile(r"pthread_mutex|pthread_spin|kc_lock_take|mtx_lock")
    queues = {
        name: text
        for name, text in sources("runtime").items()
        if "deque" in name or "ready" in name
    }
    assert len(queues) == 4
    assert [name for name, text in queues.items() if lock.search(text)] == []


def test_every_send_to_a_socket_refuses_its_signal() -> None:
    """SIGPIPE would end the process; the flag stands in the call, or in a constant of its file."""
    found = sources("ipc", "client")
    calls = [
        name for name, text in found.items() if re.search(r"\bsend(msg|to|mmsg)?\(\w+[ ,(]", text)
    ]
    senders = [name for name in calls if "sys/socket.h" in found[name]]
    assert senders
    assert [name for name in senders if "MSG_NOSIGNAL" not in found[name]] == []
