"""The descriptor check of conftest.py must itself be able to fail."""

import os
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
CONFTEST = Path(__file__).resolve().parent.parent / "conftest.py"


def test_a_test_that_leaks_a_descriptor_fails_by_name(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST.read_text())
    pytester.makepyfile(
        """
        import os
        held = []
        def test_leaks():
            held.append(os.open("/dev/null", os.O_RDONLY))
        def test_is_clean():
            os.close(os.open("/dev/null", os.O_RDONLY))
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*the test left descriptors open: {'/dev/null': 1}*"])


def test_the_socket_directory_leaves_room_for_a_name(socket_dir: Path) -> None:
    assert len(os.fsencode(socket_dir)) <= 40
    assert socket_dir.stat().st_mode & 0o777 == 0o700
    assert socket_dir.stat().st_uid == os.getuid()
