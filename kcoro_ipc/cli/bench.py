"""`kcoro bench`: runs bench/ of a source checkout; an installed package does not carry it."""

import subprocess
import sys
from pathlib import Path

import click

import kcoro_ipc
from kcoro_ipc.cli.invocation import common


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[ARGUMENT]...")
@common
def bench(words: tuple[str, ...]) -> int:
    """Measure against other brokers; `kcoro bench -h` lists the arguments."""
    root = Path(kcoro_ipc.__file__).resolve().parents[1]
    if not (root / "bench" / "__main__.py").is_file():
        raise click.UsageError(
            "the benchmarks are part of the source, not of an installed package; "
            "in a checkout run `make bench`"
        )
    return subprocess.run([sys.executable, "-m", "bench", *words], cwd=root).returncode
