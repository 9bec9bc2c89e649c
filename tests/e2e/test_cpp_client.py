"""The C++ face against a real daemon: cpp_client.cpp, which checks itself, built with what the
installation names."""

import ctypes
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

building = pytest.importorskip(
    "kcoro_ipc.building", reason="this installation has no library for C and C++ programs"
)

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60.0  # bounds a program that hangs; nothing is judged by time


def has_runtime() -> bool:
    library = ctypes.CDLL(str(Path(building.get_library_dir()) / building.SHARED))
    return hasattr(library, "kc_remote_channel")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which(os.environ.get("CXX", "c++"))
    if compiler is None:
        pytest.skip("no C++ compiler: install g++ or clang++, or name one in CXX")
    if not has_runtime():
        pytest.skip("the installed libkcoro has no runtime")
    path = tmp_path_factory.mktemp("cpp") / "cpp_client"
    words = [compiler, "-std=c++20", "-Wall", "-Wextra", "-Werror", "-pthread"]
    words += [f"-I{ROOT / 'tests' / 'native' / 'cpp'}", *building.compile_words()]
    words += [str(Path(__file__).with_suffix("").with_name("cpp_client.cpp"))]
    subprocess.run([*words, *building.link_words(), "-o", str(path)], check=True)
    return path


@pytest.mark.parametrize("transport", ["stream", "seqpacket"])
def test_the_daemons_channels_are_channels_of_cpp(
    start_daemon: Any, program: Path, transport: str
) -> None:
    running = start_daemon()
    address = f"{transport}:{running.address(transport)}"
    done = subprocess.run(
        [str(program)],
        env=os.environ | {"KCORO_SOCKET": address},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done
    assert done.stdout == "15 passed, 0 failed\n"
