"""The tools that `make test` stands on: a lane whose result is misread would hide a failure."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("100% tests passed out of 7\n\nTotal Test time (real) = 0.1 sec", (7, 0, 0)),
        ("100% tests passed, 0 tests failed out of 12\n", (12, 0, 0)),
        ("50% tests passed, 1 tests failed out of 2\n\nTotal Test time", (1, 1, 0)),
        ("No tests were found!!!", (0, 0, 0)),
        ("== 3 failed, 5 passed, 2 skipped, 1 error in 3.2s ==", (5, 4, 2)),
        ("9 passed, 9 failed\nlater\n2 passed, 1 failed, 4 skipped", (2, 1, 4)),
        ("the compiler was not found", (0, 0, 0)),
    ],
)
def test_a_lane_is_counted_by_its_last_summary_line(log: str, expected: object) -> None:
    assert tool("lanes").counts(log) == expected


def test_a_lane_that_dies_before_it_counts_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lanes = tool("lanes")
    monkeypatch.setattr(lanes, "LOGS", tmp_path)
    outcome = lanes.run(
        "doomed", [sys.executable, "-c", "raise SystemExit('why')"], dict(os.environ)
    )
    assert (outcome.status, outcome.passed, outcome.failed) == (1, 0, 1)
    assert "why" in capsys.readouterr().out


def test_planted_faults_are_found_with_the_words_beside_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutants = tool("mutants")
    (tmp_path / "native").mkdir()
    (tmp_path / "native" / "a.c").write_text(
        "#if KC_MUTANT == 2 || KC_MUTANT == 4\n#endif\n"
        "#if KC_MUTANT == 2 /* wakes nobody */\n#elif KC_MUTANT==10\n#if KC_MUTANT != 4 /* b */"
    )
    monkeypatch.setattr(mutants, "ROOT", tmp_path)
    assert mutants.planted() == {2: "wakes nobody", 4: "b", 10: "a.c"}


def ended(status: int, said: str) -> subprocess.CompletedProcess[str]:
    return subprocess.CompletedProcess([], status, said)


@pytest.mark.parametrize(
    ("how", "is_caught"),
    [
        ("Failed", True),
        ("Timeout", True),
        ("SEGFAULT", True),
        ("Subprocess aborted", True),
        ("Not Run", False),
        ("BAD_COMMAND", False),
    ],
)
def test_only_a_c_test_that_ran_catches_a_planted_fault(how: str, is_caught: bool) -> None:
    mutants = tool("mutants")
    done = ended(8, f"The following tests FAILED:\n\t 70 - test_rt_co ({how})\nErrors\n")
    if is_caught:
        assert mutants.failed_c_tests(7, done) == "test_rt_co"
    else:
        with pytest.raises(SystemExit, match="fault 7 could not be tried: ctest, exit status 8"):
            mutants.failed_c_tests(7, done)


def test_a_ctest_that_finds_no_tests_catches_no_planted_fault() -> None:
    mutants = tool("mutants")
    assert mutants.failed_c_tests(7, ended(0, "100% tests passed")) is None
    with pytest.raises(SystemExit, match="could not be tried"):
        mutants.failed_c_tests(7, ended(8, "No tests were found!!!"))


@pytest.mark.parametrize(
    ("status", "said", "caught"),
    [
        (0, "3 passed", None),
        (1, "FAILED tests/model/test_a.py::test_b - x", "tests/model/test_a.py::test_b"),
        (1, "ERROR tests/model/test_a.py::test_b", "tests/model/test_a.py::test_b"),
        (1, "+++++++ Timeout +++++++", "Timeout"),
        (-11, "Fatal Python error: Segmentation fault", "pytest, SIGSEGV"),
    ],
)
def test_what_pytest_says_of_tests_that_ran(status: int, said: str, caught: str | None) -> None:
    assert tool("mutants").failed_python_test(7, ended(status, said)) == caught


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (1, "python: No module named pytest"),
        (2, "ERROR tests/model/test_a.py - ImportError"),  # while collecting
        (3, "INTERNALERROR>"),
        (4, "ERROR: file or directory not found: tests/model"),
        (5, "no tests ran"),
        (-9, ""),  # killed from outside, as for want of memory
    ],
)
def test_a_pytest_that_ran_no_test_catches_no_planted_fault(status: int, said: str) -> None:
    with pytest.raises(
        SystemExit, match=f"fault 7 could not be tried: pytest, exit status {status},"
    ):
        tool("mutants").failed_python_test(7, ended(status, said))


def test_setup_names_the_package_for_what_is_missing(tmp_path: Path) -> None:
    """On a machine that has a Python and a shell and nothing else."""
    for name in ("sh", "dirname"):
        found = next(path for path in ("/bin", "/usr/bin") if Path(path, name).exists())
        (tmp_path / name).symlink_to(Path(found, name))
    environment = {"PATH": str(tmp_path), "PYTHON": sys.executable}
    done = subprocess.run(
        [ROOT / "tools" / "setup.sh", "build", "test", "bench"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    for words in (
        "a C compiler (cc) is missing (the native part): apt-get install gcc libc6-dev",
        "make is missing (the commands): apt-get install make",
        "c++ is missing (tests of the C++ face): apt-get install g++",
        "clang is missing (fuzz targets): apt-get install clang libclang-rt-dev",
        "aarch64-linux-gnu-g++ is missing (the C++ face for aarch64): "
        "apt-get install g++-aarch64-linux-gnu",
        "qemu-aarch64 is missing (native tests for aarch64): apt-get install qemu-user",
        "redis-server is missing (a peer of the benchmarks): apt-get install redis-server",
        "install what is named above, then run make again",
    ):
        assert f"setup: {words}\n" in done.stderr


def test_setup_refuses_an_old_python_by_name(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2\n[ "$1" = --version ]\n')
    old.chmod(0o755)
    done = subprocess.run(
        [ROOT / "tools" / "setup.sh", "build"],
        env={**os.environ, "PYTHON": str(old)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "Python 3.9.2 is too old; kcoro-ipc needs 3.11" in done.stderr


def test_every_requirement_of_the_tools_stands_in_pyproject() -> None:
    listed = tool("requirements").requirements(["test", "lint"], project=True)
    assert {"pytest", "ruff", "mypy", "trio", "cffi", "scikit-build-core"} <= {
        line.split(">=")[0] for line in listed
    }


def test_a_line_of_c_over_120_columns_is_named_and_one_of_120_is_not(tmp_path: Path) -> None:
    kept, other = tmp_path / "native" / "core", tmp_path / "native" / "elsewhere"
    for folder in (kept, other):
        folder.mkdir(parents=True)
        (folder / "a.c").write_text("x" * 120 + "\n" + "x" * 121 + "\n")
        (folder / "a.txt").write_text("x" * 121)
    assert [*tool("columns").too_long(tmp_path)] == ["native/core/a.c:2: 121 columns, at most 120"]


def test_the_folders_that_keep_to_the_columns_are_there() -> None:
    columns = tool("columns")
    assert [glob for glob in columns.KEPT if not any(ROOT.glob(glob))] == []
