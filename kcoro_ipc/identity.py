"""Users and groups by name or by number, both ways.

Names are looked up where the system keeps them (nsswitch.conf(5)), which may take long on a machine
whose directory service does not answer: never on the thread that serves.
"""

from collections.abc import Callable

LARGEST_ID = 0xFFFFFFFE  # the one above is chown(2)'s "leave it"


def user_id(text: str | int) -> int:
    """ValueError for a user that does not exist. Numbers are taken as they are."""
    import pwd

    return _number(text, "user", lambda name: pwd.getpwnam(name).pw_uid)


def group_id(text: str | int) -> int:
    import grp

    return _number(text, "group", lambda name: grp.getgrnam(name).gr_gid)


def _number(text: str | int, what: str, find: Callable[[str], int]) -> int:
    if isinstance(text, str) and not text.isdecimal():
        try:
            return find(text)
        except (KeyError, ValueError):  # ValueError: a NUL or a lone surrogate in it
            raise ValueError(f"there is no {what} {text!r} on this machine") from None
    number = int(text)
    if not 0 <= number <= LARGEST_ID:
        raise ValueError(f"{number} is no number of a {what}")
    return number


def primary_group(uid: int) -> int:
    """Of a user without an entry: the group of the same number."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_gid
    except KeyError:
        return uid


def user_name(uid: int) -> str:
    """Its number where it has no name."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group_name(gid: int) -> str:
    import grp

    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
