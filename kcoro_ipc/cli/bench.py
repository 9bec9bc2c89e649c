"""`kcoro bench`: runs bench/ of a source checkout; an installed package does not carry it."""

import subprocess
import sys
from pathlib import Path

import click

import kcoro_ipc
from kcoro_ipc.cli import exits
from kcoro_ipc.cli.invocation import common

HELP = ("-h", "--help")


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[ARGUMENT]...")
@common
@click.pass_context
def bench(context: click.Context, words: tuple[str, ...]) -> int:
    """Measure against other brokers, with bench/ of a source checkout.

    There `kcoro bench -h` lists the arguments, and `make bench` is the same.
    """
    root = Path(kcoro_ipc.__file__).resolve().parents[1]
    if (root / "bench" / "__main__.py").is_file():
        return subprocess.run([sys.executable, "-m", "bench", *words], cwd=root).returncode
    if set(words) & set(HELP):
        click.echo(context.get_help())
        return exits.OK
    raise click.ClickException(
        "the benchmarks are part of the source, not of an installed package; "
        "in a checkout run `make bench`"
    )
