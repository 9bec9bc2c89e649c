"""What a C programmer gets: a stranger's program in an empty folder, built each way with each
compiler, runs.

The ways: pkg-config and find_package of what `cmake --install` put into a folder that was then
moved, and `python -m kcoro_ipc.config` of the wheel. And libkcoro shows what its headers mark, and
nothing else.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import kcoro_ipc

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "native-package"
STRANGER = Path(__file__).with_name("stranger.c")
COMPILERS = ("gcc", "clang")
WORDS = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
VERSION = "KCORO_0.1"


def tool(name: str) -> str:
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"no {name}: install it")
    return found


def run(*words: str, folder: Path | None = None, **environment: str) -> str:
    done = subprocess.run(
        words, cwd=folder, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}{done.stderr}"
    return done.stdout.strip()


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Installed into one folder, used in another: nothing in it may name the first."""
    cmake = tool("cmake")
    made = ["-DCMAKE_BUILD_TYPE=Release", "-DKC_TESTS=OFF", f"-DCMAKE_MAKE_PROGRAM={tool('ninja')}"]
    run(cmake, "-G", "Ninja", "-S", str(ROOT / "native"), "-B", str(BUILD), *made)
    run(cmake, "--build", str(BUILD), "-j", "2")
    first = tmp_path_factory.mktemp("first") / "prefix"
    run(cmake, "--install", str(BUILD), "--prefix", str(first))
    moved = tmp_path_factory.mktemp("moved") / "prefix"
    first.rename(moved)
    yield moved


def libraries(prefix: Path) -> Path:
    (found,) = prefix.rglob("libkcoro.a")
    return found.parent


def by_pkg_config(prefix: Path, folder: Path, compiler: str, static: bool) -> Path:
    lib = libraries(prefix)
    ask = [tool("pkg-config"), "--cflags", "--libs", *(["--static"] if static else []), "kcoro"]
    words = run(*ask, PKG_CONFIG_PATH=str(lib / "pkgconfig")).split()
    if static:
        words = [f"{lib}/libkcoro.a" if word == "-lkcoro" else word for word in words]
    else:
        words.append(f"-Wl,-rpath,{lib}")
    run(compiler, *WORDS, "stranger.c", *words, "-o", "stranger", folder=folder)
    return folder / "stranger"


PROJECT = """cmake_minimum_required(VERSION 3.25)
project(stranger LANGUAGES C)
find_package(kcoro 0.1 REQUIRED)
add_executable(stranger stranger.c)
target_link_libraries(stranger PRIVATE {target})
"""


def by_find_package(prefix: Path, folder: Path, compiler: str, static: bool) -> Path:
    target = "kcoro::kcoro_static" if static else "kcoro::kcoro"
    (folder / "CMakeLists.txt").write_text(PROJECT.format(target=target))
    cmake = tool("cmake")
    made = [f"-DCMAKE_C_COMPILER={compiler}", f"-DCMAKE_MAKE_PROGRAM={tool('ninja')}"]
    run(cmake, "-G", "Ninja", "-B", "out", f"-DCMAKE_PREFIX_PATH={prefix}", *made, folder=folder)
    run(cmake, "--build", "out", folder=folder)
    return folder / "out" / "stranger"


def by_the_wheel(prefix: Path, folder: Path, compiler: str, static: bool) -> Path:
    ask = [sys.executable, "-m", "kcoro_ipc.config", "--cflags", "--libs"]
    words = run(*ask, *(["--static"] if static else []), folder=folder).split()
    run(compiler, *WORDS, "stranger.c", *words, "-o", "stranger", folder=folder)
    return folder / "stranger"


Way = Callable[[Path, Path, str, bool], Path]


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("kind", ["shared", "static"])
@pytest.mark.parametrize("way", [by_pkg_config, by_find_package, by_the_wheel])
def test_a_strangers_program_is_built_and_runs(
    installed: Path, start_daemon: Any, tmp_path: Path, way: Way, kind: str, compiler: str
) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler}: apt-get install {compiler}")
    shutil.copy(STRANGER, tmp_path / "stranger.c")
    program = way(installed, tmp_path, compiler, kind == "static")
    needed = run(tool("readelf"), "-d", str(program))
    assert ("libkcoro.so.0" in needed) is (kind == "shared")
    running = start_daemon()
    assert run(str(program), KCORO_SOCKET=f"stream:{running.path}") == "hello, stranger"


def declared(include: Path) -> set[str]:
    """The functions that the headers mark KC_API."""
    found = set()
    for header in (include / "kcoro").glob("*.h"):
        text = re.sub(r"/\*.*?\*/", "", header.read_text(), flags=re.S)
        found |= set(re.findall(r"KC_API\s[^;({]*?\b(kc_\w+)\s*\(", text))
    return found


def shown(library: Path) -> set[tuple[str, str]]:
    """Name and version of all that it defines for others."""
    lines = run(tool("nm"), "-D", "--defined-only", "--with-symbol-versions", str(library))
    names = [line.split()[-1] for line in lines.splitlines() if " A " not in line]
    return {(name.partition("@@")[0], name.partition("@@")[2]) for name in names}


def test_the_shared_library_shows_what_the_headers_mark_and_nothing_else(installed: Path) -> None:
    library = libraries(installed) / "libkcoro.so.0"
    marked = declared(installed / "include")
    assert shown(library) == {(name, VERSION) for name in marked}
    assert "kc_ipc_connect" in marked
    assert "Library soname: [libkcoro.so.0]" in run(tool("readelf"), "-d", str(library))


def test_the_library_of_the_wheel_shows_the_same() -> None:
    from kcoro_ipc.building import get_library_dir

    own = Path(get_library_dir()) / "libkcoro.so.0"
    marked = declared(Path(kcoro_ipc.get_include()))
    assert shown(own) == {(name, VERSION) for name in marked}


def test_every_public_header_is_installed_and_can_stand_alone(
    installed: Path, tmp_path: Path
) -> None:
    written = list((ROOT / "native").glob("**/include/kcoro/*.h"))
    names = sorted(path.name for path in (installed / "include/kcoro").glob("*.h"))
    in_wheel = Path(kcoro_ipc.get_include()) / "kcoro"
    assert sorted(path.name for path in in_wheel.glob("*.h")) == names
    assert {path.name for path in (ROOT / "native/include/kcoro").glob("*.h")} <= set(names)
    assert set(names) <= {path.name for path in written}
    for name in names:
        alone = tmp_path / "alone.c"
        alone.write_text(f"#include <kcoro/{name}>\nint main(void) {{ return 0; }}\n")
        words = [*WORDS, f"-I{installed / 'include'}", "-fsyntax-only", str(alone)]
        run(tool("cc"), *words)


def test_the_static_library_holds_machine_code_for_any_compiler(installed: Path) -> None:
    sections = run(tool("readelf"), "-SW", str(libraries(installed) / "libkcoro.a"))
    assert ".text" in sections
    assert ".gnu.lto_" not in sections


@pytest.mark.parametrize("words", [[], ["--static"], ["--nonsense"]])
def test_the_config_module_says_what_it_wants(words: list[str]) -> None:
    command = [sys.executable, "-m", "kcoro_ipc.config", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: python -m kcoro_ipc.config" in done.stderr


def test_the_advice_in_c_is_that_of_the_python_clients(installed: Path) -> None:
    import ctypes

    from kcoro_ipc.errors import CODE_NAMES, ERRORS, KC_EINPROGRESS

    library = ctypes.CDLL(str(libraries(installed) / "libkcoro.so.0"))
    library.kc_ipc_advice.restype = ctypes.c_char_p
    for code in set(CODE_NAMES) - {0, KC_EINPROGRESS}:
        assert library.kc_ipc_advice(code).decode() == ERRORS[code].advice
    # On the wire and in Python it is a message that was taken; in C also a call in doubt.
    advice = library.kc_ipc_advice(KC_EINPROGRESS).decode()
    assert "taken" in advice and "acknowledged" in advice and "may have happened" in advice
    assert library.kc_ipc_advice(-1) == b"the operation failed"
