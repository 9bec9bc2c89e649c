"""Make man/ from the pages of docs/ with Sphinx: kcoro(1), kcoro-protocol(7) and so on.

They are committed, so that an installation has them without Sphinx; docs/conf.py says which page
becomes which. The extra `docs` pins Sphinx, because another version may print other bytes.

    python tools/gen_man.py [--check]
"""

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAN = ROOT / "man"


def built(place: str) -> dict[str, str]:
    """Every page by its file's name; a warning is an error."""
    sphinx = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "man"]
    subprocess.run([*sphinx, "-d", f"{place}/trees", ROOT / "docs", f"{place}/man"], check=True)
    return {path.name: path.read_text(encoding="utf-8") for path in Path(place, "man").glob("*.?")}


def committed() -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in MAN.glob("*.?")}


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--check"]):
        print("usage: python tools/gen_man.py [--check]", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as place:
        wanted = built(place)
    found = committed()
    stale = sorted(name for name in wanted | found if wanted.get(name) != found.get(name))
    for name in stale:
        print(f"{'stale' if arguments else 'wrote'} man/{name}")
        if not arguments and name in wanted:
            (MAN / name).write_text(wanted[name], encoding="utf-8")
        elif not arguments:
            (MAN / name).unlink()
    if arguments and stale:
        print("run: python tools/gen_man.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
