"""How Sphinx makes HTML and the man pages of docs/: `make docs`, `tools/gen_man.py`.

One source for all: the pages are Markdown that any viewer shows, so no directive stands in them.
"""

import tomllib
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx

_PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]

project = _PROJECT["name"]
release = version = _PROJECT["version"]
author = "the kcoro-ipc maintainers"
copyright = ""
today = " "  # a date would make each build another one

extensions = ["myst_parser"]
myst_heading_anchors = 4
root_doc = "index"
exclude_patterns = ["_build"]
# `console run` and `python run` mark what a test executes; here the second word means nothing.
highlight_language = "none"
suppress_warnings = ["misc.highlighting_failure"]

html_theme = "alabaster"
html_theme_options = {"description": _PROJECT["description"], "page_width": "70em"}
html_show_copyright = False

# Source, name, what stands behind the dash of NAME, authors (none: no section), manual section.
man_pages = [
    ("CLI", "kcoro", "named channels between the programs of one machine", [], 1),
    ("CONFIGURATION", "kcoro.toml", "settings of the kcoro daemon", [], 5),
    ("PROTOCOL", "kcoro-protocol", "the bytes between kcoro's daemon and its clients", [], 7),
]


def _unlink_other_pages(app: Sphinx, page: nodes.document, _: str) -> None:
    """In a man page a link to another page is its words: there is nothing to follow."""
    if app.builder.format == "man":
        for link in list(page.findall(nodes.reference)):
            if not link.get("refuri", "").startswith("https:"):
                link.replace_self(link.children)


def setup(app: Sphinx) -> None:
    app.connect("doctree-resolved", _unlink_other_pages)
