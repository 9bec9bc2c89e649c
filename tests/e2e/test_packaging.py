"""What a programmer in C or C++ gets: a stranger's program in an empty folder, built each way with
each compiler, runs.

The ways: pkg-config and find_package of what the words of docs/C_CLIENT.md installed, in a folder
that was then moved, and `python -m kcoro_ipc.config` of the wheel. And libkcoro shows what its
headers mark, and nothing else.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import kcoro_ipc

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "build" / "as-a-stranger"
COMPILERS = ("gcc", "clang", "g++", "clang++")
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
WORDS = ["-std=c11", *WARNINGS]
CPP_WORDS = ["-std=c++20", "-Wall", "-Wextra", "-Werror"]
VERSION = "KCORO_0.1"
SHARED = "libkcoro.so.0.1"


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


def words_of_the_page(beginning: str) -> str:
    """The one command of docs/C_CLIENT.md that begins so."""
    text = (ROOT / "docs" / "C_CLIENT.md").read_text()
    (found,) = re.findall(rf"`({re.escape(beginning)}[^`]*)`", text)
    return str(found)


def sources() -> Path:
    """What a stranger unpacked: nothing was built in it but by the words of the page."""
    SOURCES.mkdir(parents=True, exist_ok=True)
    for name in ("native", "tests", "docs", "examples", "pyproject.toml"):
        link = SOURCES / name
        if not link.is_symlink():
            link.symlink_to(ROOT / name)
    return SOURCES


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Installed into one folder, used in another: nothing in it may name the first."""
    first = tmp_path_factory.mktemp("first")
    path = os.pathsep.join([str(Path(tool(name)).parent) for name in ("cmake", "ninja")])
    told = {"DESTDIR": str(first), "CMAKE_GENERATOR": "Ninja", "CMAKE_BUILD_PARALLEL_LEVEL": "2"}
    told["PATH"] = f"{path}{os.pathsep}{os.environ['PATH']}"
    (sources() / "build" / "CMakeCache.txt").unlink(missing_ok=True)  # what is compiled is kept
    run("sh", "-c", words_of_the_page("cmake -S native"), folder=sources(), **told)
    moved = tmp_path_factory.mktemp("moved") / "prefix"
    (first / "usr" / "local").rename(moved)
    yield moved


def test_what_is_installed_is_optimised_and_no_stranger_builds_tests(installed: Path) -> None:
    assert installed.is_dir()
    built = SOURCES / "build"
    assert "CMAKE_BUILD_TYPE:STRING=Release\n" in (built / "CMakeCache.txt").read_text()
    rules = (built / "build.ninja").read_text()
    assert " -O3 " in rules
    assert "-Werror" not in rules
    assert not re.search(r"\b(test_|lab_)\w+\.c\b", rules)


def libraries(prefix: Path) -> Path:
    (found,) = prefix.rglob("libkcoro.a")
    return found.parent


def is_cpp(compiler: str) -> bool:
    return compiler.endswith("++")


def source(compiler: str) -> str:
    return "stranger.cpp" if is_cpp(compiler) else "stranger.c"


def words_for(compiler: str) -> list[str]:
    return CPP_WORDS if is_cpp(compiler) else WORDS


def by_pkg_config(prefix: Path, folder: Path, compiler: str, static: bool) -> Path:
    """By the words of the page, with this compiler in the place of cc."""
    tool("pkg-config")
    page = words_of_the_page(
        "cc x.c $(pkg-config --cflags kcoro)" if static else "cc x.c $(pkg-config --cflags --libs"
    )
    given = " ".join([compiler, *words_for(compiler), source(compiler)])
    assert page.startswith("cc x.c ")
    told = {"PKG_CONFIG_PATH": str(libraries(prefix) / "pkgconfig")}
    run("sh", "-c", f"{given} {page[7:]} -o stranger", folder=folder, **told)
    return folder / "stranger"


PROJECT = """cmake_minimum_required(VERSION 3.25)
project(stranger LANGUAGES {language})
find_package(kcoro 0.1 REQUIRED)
add_executable(stranger {source})
target_link_libraries(stranger {target})
"""


def by_find_package(prefix: Path, folder: Path, compiler: str, static: bool) -> Path:
    """It says nothing of a standard: what is linked does."""
    language = "CXX" if is_cpp(compiler) else "C"
    target = f"kcoro::{'cpp' if is_cpp(compiler) else 'kcoro'}{'_static' if static else ''}"
    text = PROJECT.format(language=language, source=source(compiler), target=target)
    (folder / "CMakeLists.txt").write_text(text)
    cmake = tool("cmake")
    made = [f"-DCMAKE_{language}_COMPILER={compiler}", f"-DCMAKE_MAKE_PROGRAM={tool('ninja')}"]
    run(cmake, "-G", "Ninja", "-B", "out", f"-DCMAKE_PREFIX_PATH={prefix}", *made, folder=folder)
    run(cmake, "--build", "out", folder=folder)
    return folder / "out" / "stranger"


def by_the_wheel(prefix: Path, folder: Path, compiler: str, static: bool) -> Path:
    ask = [sys.executable, "-m", "kcoro_ipc.config", "--cflags", "--libs"]
    words = run(*ask, *(["--static"] if static else []), folder=folder).split()
    run(compiler, *words_for(compiler), source(compiler), *words, "-o", "stranger", folder=folder)
    return folder / "stranger"


Way = Callable[[Path, Path, str, bool], Path]


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("kind", ["shared", "static"])
@pytest.mark.parametrize("way", [by_pkg_config, by_find_package, by_the_wheel])
def test_a_strangers_program_is_built_and_runs(
    installed: Path, start_daemon: Any, tmp_path: Path, way: Way, kind: str, compiler: str
) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler}: apt-get install {compiler.replace('clang++', 'clang')}")
    shutil.copy(Path(__file__).with_name(source(compiler)), tmp_path)
    program = way(installed, tmp_path, compiler, kind == "static")
    needed = run(tool("readelf"), "-d", str(program))
    assert (f"[{SHARED}]" in needed) is (kind == "shared")
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
    library = libraries(installed) / SHARED
    marked = declared(installed / "include")
    assert shown(library) == {(name, VERSION) for name in marked}
    assert "kc_ipc_connect" in marked
    assert f"Library soname: [{SHARED}]" in run(tool("readelf"), "-d", str(library))


def test_the_library_of_the_wheel_shows_the_same() -> None:
    from kcoro_ipc import building

    minor = ".".join(version("kcoro-ipc").split(".")[:2])
    assert building.SHARED == SHARED == f"libkcoro.so.{minor}"
    own = Path(building.get_library_dir()) / SHARED
    marked = declared(Path(kcoro_ipc.get_include()))
    assert shown(own) == {(name, VERSION) for name in marked}


def test_every_public_header_is_installed_and_can_stand_alone(
    installed: Path, tmp_path: Path
) -> None:
    def headers(folder: Path) -> set[str]:
        found = [*folder.rglob("*.h"), *folder.rglob("*.hpp")]
        return {str(path.relative_to(folder)) for path in found}

    names = headers(installed / "include")
    assert names == headers(ROOT / "native/include") == headers(Path(kcoro_ipc.get_include()))
    assert {"kcoro/kc_ipc.h", "kcoro/cpp/kcoro.hpp"} <= names
    for name in sorted(names):
        cpp = name.endswith(".hpp")
        alone = tmp_path / ("alone.cpp" if cpp else "alone.c")
        alone.write_text(f"#include <{name}>\nint main(void) {{ return 0; }}\n")
        words = [f"-I{installed / 'include'}", "-fsyntax-only", str(alone)]
        run(tool("c++" if cpp else "cc"), *(CPP_WORDS if cpp else WORDS), *words)


def test_a_header_of_cpp_says_which_standard_it_needs(installed: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone.cpp"
    alone.write_text("#include <kcoro/cpp/kcoro.hpp>\nint main() {}\n")
    words = [tool("c++"), "-std=c++17", f"-I{installed / 'include'}", "-fsyntax-only", str(alone)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    errors = [line for line in done.stderr.splitlines() if "error" in line]
    assert "compile with -std=c++20" in errors[0]


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

    library = ctypes.CDLL(str(libraries(installed) / SHARED))
    library.kc_ipc_advice.restype = ctypes.c_char_p
    for code in set(CODE_NAMES) - {0, KC_EINPROGRESS}:
        assert library.kc_ipc_advice(code).decode() == ERRORS[code].advice
    # On the wire and in Python it is a message that was taken; in C also a call in doubt.
    advice = library.kc_ipc_advice(KC_EINPROGRESS).decode()
    assert "taken" in advice and "acknowledged" in advice and "may have happened" in advice
    assert library.kc_ipc_advice(-1) == b"the operation failed"
