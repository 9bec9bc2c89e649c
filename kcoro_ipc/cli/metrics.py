"""`kcoro metrics`: what the metrics socket tells, over the daemon's own socket."""

import sys

import click

from kcoro_ipc.cli.invocation import Invocation, common


@click.command()
@common
@click.pass_obj
def metrics(invocation: Invocation) -> None:
    """Print the daemon's counters as OpenMetrics text, for scrapers and scripts.

    Root and the user that the daemon runs as see everything, others their channels.
    """
    with invocation.client() as client:
        sys.stdout.write(client.metrics())
