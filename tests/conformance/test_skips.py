"""What a subject does not run is named; a name that nothing has any more is found here."""

import re
from pathlib import Path

from tests.conformance.conftest import ABOUT_ENGINE, ABOUT_HANDLES, ABOUT_SIZES

HERE = Path(__file__).parent


def test_every_case_that_is_skipped_by_name_is_there() -> None:
    paths = list(HERE.glob("test_*.py"))
    cases = {path.stem for path in paths}
    for path in paths:
        cases.update(re.findall(r"^def (test_\w+)\(", path.read_text(), re.MULTILINE))
    skipped = {name.partition("[")[0] for name in (*ABOUT_ENGINE, *ABOUT_HANDLES, *ABOUT_SIZES)}
    assert skipped - cases == set()
