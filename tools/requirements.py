"""Print requirements of pyproject.toml, one a line: the build backend's and the named extras'.

It exists because pip installs a project's extras only together with the project, and `make venv`
wants the tools first.

    python tools/requirements.py [EXTRA...] [--project]
"""

import argparse
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def requirements(extras: list[str], project: bool) -> list[str]:
    table = tomllib.loads((ROOT / "pyproject.toml").read_text())
    found: list[str] = list(table["build-system"]["requires"])
    if project:
        found += table["project"]["dependencies"]
    for extra in extras:
        found += table["project"]["optional-dependencies"][extra]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("extras", nargs="*")
    parser.add_argument(
        "--project", action="store_true", help="with the project's own dependencies"
    )
    options = parser.parse_args()
    print("\n".join(requirements(options.extras, options.project)))


if __name__ == "__main__":
    main()
