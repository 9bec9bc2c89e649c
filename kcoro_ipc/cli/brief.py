"""Help that fits a screen of 80 by 24: an option's line as it is written, or none where another
option's line tells of it. Completion and manuals know every option all the same.
"""

from typing import Any

import click

WIDTH = 80


class Brief(click.Option):
    """`line`: what stands in help on the left and on the right; None: nothing."""

    def __init__(self, *words: Any, line: tuple[str, str] | None, **options: Any) -> None:
        super().__init__(*words, **options)
        self.line = line

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        return self.line


class Shared(Brief):
    """One that every command has: its own line for the program, `line` for its commands."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        return click.Option.get_help_record(self, ctx) if ctx.parent is None else self.line
