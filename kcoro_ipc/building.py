"""Where the headers and libraries for C programs are: what a wheel brings besides Python.

    cc program.c $(python -m kcoro_ipc.config --cflags --libs) -o program

It looks beside the compiled module, which is also right for an editable installation, and loads
nothing of it.
"""

import argparse
import importlib.util
from pathlib import Path

SHARED, STATIC = "libkcoro.so.0.1", "libkcoro.a"  # KcInstall.cmake names it so


def _beside_the_module(*parts: str) -> str:
    spec = importlib.util.find_spec("kcoro_ipc._kcoro")
    folder = Path(spec.origin).parent if spec is not None and spec.origin else Path(__file__).parent
    found = folder.joinpath(*parts)
    if not found.exists():
        raise FileNotFoundError(
            f"{found} is missing: this kcoro-ipc was installed without what C programs need; "
            "install it again from a wheel, or use `cmake --install`"
        )
    return str(found)


def get_include() -> str:
    """The folder for `-I`: programs include <kcoro/kcoro.h> or <kcoro/kc_ipc.h>."""
    return _beside_the_module("include")


def get_library_dir() -> str:
    """The folder of the libraries, shared and static."""
    return _beside_the_module("lib")


def compile_words() -> list[str]:
    return [f"-I{get_include()}"]


def link_words(static: bool = False) -> list[str]:
    """The shared library is found again at run time where it lies now."""
    folder = get_library_dir()
    if static:
        return [f"{folder}/{STATIC}", "-pthread"]
    return [f"-L{folder}", f"-Wl,-rpath,{folder}", f"-l:{SHARED}"]


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m kcoro_ipc.config",
        description="Print what a compiler needs to build a C program with kcoro.",
    )
    parser.add_argument("--cflags", action="store_true", help="where the headers are")
    parser.add_argument("--libs", action="store_true", help="the library, to be linked")
    parser.add_argument("--static", action="store_true", help="with --libs: the static one")
    given = parser.parse_args(words)
    if not (given.cflags or given.libs):
        parser.error("ask for --cflags, --libs or both")
    found = compile_words() if given.cflags else []
    found += link_words(given.static) if given.libs else []
    print(" ".join(found))
