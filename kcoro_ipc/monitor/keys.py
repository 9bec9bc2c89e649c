"""What the keys of the monitor do: a state, and a table of steps from one to the next. No I/O."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from kcoro_ipc.monitor.rows import COLUMNS

ESCAPE, ENTER, BACKSPACE = "escape", "enter", "backspace"
# What a terminal sends for a key.
SEQUENCES = {
    "\x1b[A": "up",
    "\x1b[B": "down",
    "\x1bOA": "up",
    "\x1bOB": "down",
    "\x1b[5~": "page up",
    "\x1b[6~": "page down",
    "\x1b[H": "home",
    "\x1b[F": "end",
    "\x1b[1~": "home",
    "\x1b[4~": "end",
    "\r": ENTER,
    "\n": ENTER,
    "\x7f": BACKSPACE,
    "\x08": BACKSPACE,
    "\x1b": ESCAPE,
}


@dataclass(frozen=True)
class State:
    """`place`: "table", "channel" or "connection"; `target`: which of them; `typing`: a filter is
    being typed; `chosen`: place of the marked row, which the view keeps within what there is."""

    place: str = "table"
    target: int = 0
    parents: tuple["State", ...] = ()
    sort: str = "name"
    backwards: bool = False
    filter: str = ""
    typing: bool = False
    paused: bool = False
    help: bool = False
    chosen: int = 0
    quit: bool = False


Step = Callable[[State], State]


def _moved(by: int) -> Step:
    return lambda state: replace(state, chosen=max(0, state.chosen + by))


def _sorted(by: int) -> Step:
    def step(state: State) -> State:
        names = list(COLUMNS)
        after = names[(names.index(state.sort) + by) % len(names)]
        return replace(state, sort=after, backwards=False, chosen=0)

    return step


def _back(state: State) -> State:
    """To where one came from; what was set meanwhile stays set."""
    if not state.parents:
        return replace(state, filter="", chosen=0)
    *before, last = state.parents
    return replace(last, parents=tuple(before), paused=state.paused)


def _closed(state: State) -> State:
    return replace(state, quit=True) if not state.parents else _back(state)


PAGE_ROWS = 10
LAST = 1 << 30
TABLE: dict[str, Step] = {
    "up": _moved(-1),
    "k": _moved(-1),
    "down": _moved(1),
    "j": _moved(1),
    "page up": _moved(-PAGE_ROWS),
    "page down": _moved(PAGE_ROWS),
    "home": _moved(-LAST),
    "end": _moved(LAST),
    "s": _sorted(1),
    "S": _sorted(-1),
    "r": lambda state: replace(state, backwards=not state.backwards, chosen=0),
    "/": lambda state: replace(state, typing=True),
    " ": lambda state: replace(state, paused=not state.paused),
    "h": lambda state: replace(state, help=not state.help),
    "?": lambda state: replace(state, help=not state.help),
    ESCAPE: _back,
    BACKSPACE: _back,
    "q": _closed,
    "Q": lambda state: replace(state, quit=True),
}
TYPING: dict[str, Step] = {
    ENTER: lambda state: replace(state, typing=False),
    ESCAPE: lambda state: replace(state, typing=False, filter="", chosen=0),
    BACKSPACE: lambda state: replace(state, filter=state.filter[:-1], chosen=0),
}
NEXT_PLACE = {"table": "channel", "channel": "connection"}


def pressed(state: State, key: str, under: int | None) -> State:
    """The state after a key. `under`: the channel or connection that the marked row stands for."""
    if state.typing:
        step = TYPING.get(key)
        if step is not None:
            return step(state)
        added = key if len(key) == 1 and key.isprintable() else ""
        return replace(state, filter=state.filter + added, chosen=0)
    if state.help:
        return replace(state, help=False, quit=key == "Q")
    if key == ENTER:
        deeper = NEXT_PLACE.get(state.place)
        if deeper is None or under is None:
            return state
        return replace(state, place=deeper, target=under, parents=(*state.parents, state), chosen=0)
    step = TABLE.get(key)
    return state if step is None else step(state)


def split(text: str) -> list[str]:
    """The keys in what a terminal sent; an unknown sequence is left out as a whole."""
    keys: list[str] = []
    while text:
        length = next((n for n in (4, 3) if text[:n] in SEQUENCES), 1)
        if length == 1 and text[0] == "\x1b" and text[1:2] in ("[", "O"):
            end = next((i for i, sign in enumerate(text[2:], 3) if "@" <= sign <= "~"), len(text))
            text = text[end:]
            continue
        keys.append(SEQUENCES.get(text[:length], text[:length]))
        text = text[length:]
    return keys
