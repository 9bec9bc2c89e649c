"""A sheet as lines for a screen of a given size, by rich. No terminal here, only texts.

Invariant: `lines` gives at most `height` lines, none wider than `width` columns, whatever the sheet
holds.
"""

import io
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from kcoro_ipc.monitor.sheets import HELP, Sheet

MARK, NO_MARK = ">", " "
LEAST_WIDTH, LEAST_HEIGHT = 20, 4
LEAST_TEXT, WIDEST = 9, 24  # of the text that takes the rest; of any other column


def kept(chosen: int, count: int) -> int:
    """The mark within what there is."""
    return max(0, min(chosen, count - 1))


def window(chosen: int, count: int, room: int) -> range:
    """Which rows are shown: the marked one is, and the screen is full if there are enough."""
    start = max(0, min(chosen - room // 2, count - room))
    return range(start, min(start + room, count))


def room_for_rows(notes: int, height: int) -> int:
    return max(1, max(height, LEAST_HEIGHT) - 3 - notes)  # title, heads, keys


def lines(
    sheet: Sheet, chosen: int, width: int, height: int, colour: bool, help_on: bool = False
) -> list[str]:
    width, height = max(width, LEAST_WIDTH), max(height, LEAST_HEIGHT)
    console = _console(width, colour)
    style = "bold" if colour else ""
    body: list[str] = [_line(console, sheet.title, style)]
    if help_on:
        body += [_line(console, text) for text in HELP]
    else:
        body += [_line(console, note) for note in sheet.notes]
        body += _rows(console, sheet, chosen, room_for_rows(len(sheet.notes), height))
    body = body[: height - 1]
    body += [""] * (height - 1 - len(body))
    return [*body, _line(console, sheet.keys, "reverse" if colour else "")]


def _console(width: int, colour: bool) -> Console:
    return Console(
        file=io.StringIO(),
        width=width,
        color_system="standard" if colour else None,
        force_terminal=colour,
        legacy_windows=False,
        highlight=False,
        markup=False,
        emoji=False,
    )


def _printed(console: Console, what: Text | Table) -> list[str]:
    file = console.file
    assert isinstance(file, io.StringIO)
    file.seek(0)
    file.truncate()
    console.print(what, no_wrap=True, overflow="ellipsis", crop=True)
    return file.getvalue().rstrip("\n").split("\n")


def _line(console: Console, text: str, style: str = "") -> str:
    return _printed(console, Text(text, style=style, no_wrap=True, overflow="ellipsis"))[0]


def _rows(console: Console, sheet: Sheet, chosen: int, room: int) -> list[str]:
    if not sheet.heads:
        return []
    marked = kept(chosen, len(sheet.lines))
    shown = window(marked, len(sheet.lines), room)
    # Empty cells: the screen has grown since the sheet was made, and the next one fills them.
    blank = ("",) * len(sheet.heads)
    visible = [sheet.lines[i].cells or blank for i in shown]
    widths = _fitting(sheet, visible, console.width)
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), expand=True, show_edge=False)
    table.add_column("", width=1)
    for place, width in widths.items():
        table.add_column(
            Text(sheet.heads[place]),
            justify="left" if place in sheet.texts else "right",
            no_wrap=True,
            overflow="ellipsis",
            ratio=None if width else 1,
            width=width or None,
        )
    for i, texts in zip(shown, visible, strict=True):
        cells = [Text(texts[place]) for place in widths]
        table.add_row(
            MARK if i == marked else NO_MARK,
            *cells,
            style="reverse" if i == marked and console.color_system else "",
        )
    return _printed(console, table)


def _fitting(sheet: Sheet, visible: Sequence[tuple[str, ...]], width: int) -> dict[int, int]:
    """Columns by their place, with their widths; 0 for the first text, which takes what is left.

    Where that would be too little, the last columns are left out.
    """
    widths = {
        place: min(WIDEST, max([len(head), *(len(cells[place]) for cells in visible)]))
        for place, head in enumerate(sheet.heads)
    }
    if sheet.texts:
        widths[sheet.texts[0]] = 0
    while len(widths) > 2 and sum(w + 1 for w in widths.values()) + LEAST_TEXT > width:
        widths.pop(max(place for place, w in widths.items() if w))
    return widths
