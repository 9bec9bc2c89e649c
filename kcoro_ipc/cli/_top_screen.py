"""`kcoro top` on a terminal: keys change the state, rounds the rows, both the picture.

Between two rounds nothing is asked, and nothing is drawn unless a key or a new size changes the
picture. A daemon that goes away is said so and tried again each round.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from kcoro_ipc.cli._top_terminal import Terminal
from kcoro_ipc.errors import ConnectionLost, KcoroError, NoDaemon, NoSuchChannel, OperationCancelled
from kcoro_ipc.monitor import sheets, view
from kcoro_ipc.monitor.keys import State, pressed, split
from kcoro_ipc.monitor.rounds import Rounds
from kcoro_ipc.monitor.rows import COLUMNS, Row, sorted_rows

if TYPE_CHECKING:
    from kcoro_ipc.blocking import Client

GONE = (NoSuchChannel, OperationCancelled)
AWAY = (ConnectionLost, NoDaemon)
DETAIL_PAGES = 4  # of a connection: it may have thousands of handles
Connect = Callable[[], "Client"]


class Screen:
    def __init__(
        self, terminal: Terminal, connect: Connect, state: State, colour: bool, bars: str
    ) -> None:
        self._terminal = terminal
        self._connect = connect
        self._client = connect()
        self._rounds = Rounds(self._client)
        self._state = state
        self._colour = colour
        self._bars = bars
        self._sheet = sheets.message_sheet("looking", state)
        self._drawn: object = None
        self._size = terminal.size()

    def close(self) -> None:
        with suppress(KcoroError):
            self._client.aclose()

    def run(self, interval: float, rounds: int | None) -> None:
        """Until a key ends it, or `rounds` are over."""
        while not self._state.quit and rounds != 0:
            due = time.monotonic() + interval
            if not self._state.paused:
                self._round()
                rounds = None if rounds is None else rounds - 1
            self._draw()
            self._until(due)

    def _until(self, due: float) -> None:
        while not self._state.quit and (left := due - time.monotonic()) > 0:
            place = (self._state.place, self._state.target)
            keys = split(self._terminal.wait(left))
            for key in keys:
                self._press(key)
            if (self._state.place, self._state.target) != place:
                self._round()  # what was opened is wanted now
            elif self._state.place == "table" and (keys or self._terminal.size() != self._size):
                self._arrange()
            self._draw()

    def _press(self, key: str) -> None:
        lines = self._sheet.lines
        chosen = view.kept(self._state.chosen, len(lines))
        under = lines[chosen].under if lines else None
        self._state = pressed(replace(self._state, chosen=chosen), key, under)

    # --- what is asked ---

    def _round(self) -> None:
        try:
            self._ask()
        except AWAY:
            self._again()

    def _again(self) -> None:
        text = "the daemon is gone; waiting for it"
        self._sheet = sheets.message_sheet(text, replace(self._state, place="table"))
        with suppress(KcoroError, OSError):
            self._client.aclose()
        with suppress(*AWAY):
            self._client = self._connect()
            self._rounds = Rounds(self._client)
            self._state = replace(self._state, place="table", parents=(), chosen=0)
            self._ask()

    def _ask(self) -> None:
        state = self._state
        try:
            if state.place == "channel":
                self._ask_channel(state.target)
            elif state.place == "connection":
                detail = self._client.look_at(state.target, DETAIL_PAGES)
                self._sheet = sheets.connection_sheet(detail, state)
            else:
                self._ask_table()
        except GONE:
            self._sheet = sheets.message_sheet(f"the {state.place} is gone", state)

    def _ask_table(self) -> None:
        """The counters of what is shown; all in turn where they decide what that is."""
        self._rounds.list_some()
        rows = self._rows()
        shown = self._shown(rows)
        others = [row.chan_id for row in rows] if COLUMNS[self._state.sort].needs_counters else []
        self._rounds.ask([rows[i].chan_id for i in shown], others)
        self._arrange()

    def _ask_channel(self, chan_id: int) -> None:
        self._rounds.ask([chan_id])
        row = next((one for one in self._rounds.rows() if one.chan_id == chan_id), None)
        if row is None:
            raise NoSuchChannel
        waiters, holders = self._client.look_in(chan_id)
        self._sheet = sheets.channel_sheet(row, waiters, holders, self._state)

    # --- what is shown ---

    def _rows(self) -> list[Row]:
        state = self._state
        return sorted_rows(self._rounds.rows(state.filter), state.sort, state.backwards)

    def _arrange(self) -> None:
        rows, known = self._rows(), len(self._rounds)
        self._sheet = sheets.table_sheet(rows, self._shown(rows), self._state, known, self._bars)

    def _shown(self, rows: list[Row]) -> range:
        chosen = view.kept(self._state.chosen, len(rows))
        return view.window(chosen, len(rows), view.room_for_rows(0, self._terminal.size()[1]))

    def _draw(self) -> None:
        """Nothing if it would be the same picture."""
        paused = sheets.PAUSED if self._state.paused else ""
        title = self._sheet.title.removesuffix(sheets.PAUSED) + paused
        sheet = self._sheet._replace(title=title)
        size = self._size = self._terminal.size()
        wanted = (sheet, size, self._state.chosen, self._state.help)
        if wanted != self._drawn:
            self._drawn = wanted
            chosen, help_on = self._state.chosen, self._state.help
            self._terminal.show(view.lines(sheet, chosen, *size, self._colour, help_on))
