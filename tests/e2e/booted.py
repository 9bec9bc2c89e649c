"""A machine of our own to break: this machine's systemd as PID 1 of private namespaces.

Its root is an overlay over ours, so programs and libraries are there and nothing that is written
reaches the disk. /dev, /run, /tmp, /proc and the control groups are its own. kcoro is installed in
/opt/kcoro, as another user may run it. A test outside runs commands inside (nsenter), so each test
is an ordinary one and the machine boots once.

Run as a program, this file is the second half of the boot: already in the namespaces, it builds the
root, moves there and becomes systemd. Never run it by hand: it would build on the machine's root.
"""

import contextlib
import os
import select
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

BOOT_S = 60.0  # bounds a boot that hangs (it takes one or two); nothing is judged by time
COMMAND_S = 60.0
INSTALLED = Path("/opt/kcoro")
STAGE = "KCORO_BOOT_IN"  # the directory that the second half works in
SYSTEMD = next(
    (path for path in ("/usr/lib/systemd/systemd", "/lib/systemd/systemd") if Path(path).exists()),
    "",
)
NEEDED = ("unshare", "nsenter", "setpriv", "mount", "systemctl")
NAMESPACES = ("--pid", "--mount", "--uts", "--ipc", "--cgroup", "--net")
OVERLAY = """\
mount --make-rprivate / && mount -t tmpfs tmpfs "$0" && cd "$0" && mkdir upper work root &&
mount -t overlay -o "lowerdir=/,upperdir=$0/upper,workdir=$0/work" overlay root
"""
# What would touch hardware, or wait for it.
MASKED = (
    "systemd-udevd.service",
    "systemd-udev-trigger.service",
    "systemd-modules-load.service",
    "systemd-sysctl.service",
    "systemd-logind.service",
    "systemd-timesyncd.service",
    "systemd-networkd.service",
    "systemd-resolved.service",
    "getty.target",
)
TARGET = """\
[Unit]
Wants=basic.target booted.service
After=basic.target
AllowIsolate=yes
"""
SAYS_BOOTED = """\
[Unit]
After=basic.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'echo booted > /outside/booted'
"""


def why_not() -> str | None:
    """What this machine lacks; None: it can boot one."""
    if os.geteuid() != 0:
        return "needs root: it boots a systemd of its own in private namespaces"
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing or not SYSTEMD:
        return f"{' '.join(missing) or 'systemd'} is not installed (Debian: systemd, util-linux)"
    with tempfile.TemporaryDirectory() as place:
        words = ["unshare", "--fork", *NAMESPACES, "--", "sh", "-c", OVERLAY, place]
        tried = subprocess.run(words, capture_output=True, text=True)
    if tried.returncode != 0:
        return f"no namespaces with an overlay of the root here: {tried.stderr.strip()}"
    return None


class Machine:
    """A booted one. `run` runs a command in it."""

    def __init__(self, directory: Path, init: int) -> None:
        self.directory = directory  # /outside, seen from within
        self._enter = ["nsenter", f"--target={init}", *NAMESPACES]
        self._enter += [f"--root=/proc/{init}/root", f"--wd=/proc/{init}/root", "--"]

    def run(
        self, *words: str, status: int | None = 0, user: str | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """One command and its output. `status`: what it must end with, None: anything."""
        done = subprocess.run(
            self.words(*words, user=user),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
        )
        if status is not None and done.returncode != status:
            raise AssertionError(
                f"{words} ended with {done.returncode}:\n{done.stdout}{done.stderr}\n{self.log()}"
            )
        return done

    def start(self, *words: str, user: str | None = None) -> "subprocess.Popen[str]":
        """One that goes on; the caller ends it."""
        return subprocess.Popen(
            self.words(*words, user=user),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def words(self, *words: str, user: str | None = None) -> list[str]:
        runs_as = ["runuser", "-u", user, "--"] if user else []
        path = f"PATH={INSTALLED}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        clean = ["env", "-i", path, "LC_ALL=C.UTF-8", "HOME=/"]
        return [*self._enter, *clean, *runs_as, *words]

    def ask(self, *words: str) -> str:
        return self.run(*words).stdout.strip()

    def log(self, *words: str) -> str:
        """The journal; `words` select from it."""
        asked = ["journalctl", "--no-pager", "--output=cat", *words]
        return self.run(*asked, status=None).stdout

    def write(self, path: str, text: str) -> None:
        """A file for everybody to read, with its directories."""
        kept = self.directory / "written"
        kept.write_text(text)
        self.run("install", "-D", "-m", "644", "/outside/written", path)


@contextlib.contextmanager
def booted() -> Iterator[Machine]:
    """A machine that ends with the block, with all that runs in it."""
    directory = Path(tempfile.mkdtemp(prefix="kc-boot-", dir="/var/tmp"))
    os.mkfifo(directory / "booted")
    _install(directory / "installed")
    with (directory / "console").open("wb") as console:
        # It dies with this thread, and its child, the machine's PID 1, with it.
        words = ["setpriv", "--pdeathsig=KILL", "--", "unshare", "--fork", "--kill-child"]
        process = subprocess.Popen(
            [*words, *NAMESPACES, "--", sys.executable, __file__],
            env=os.environ | {STAGE: str(directory)},
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            start_new_session=True,
        )
    try:
        _wait(directory, process)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        yield Machine(directory, int(children.split()[0]))
    finally:
        process.kill()  # and with its child, PID 1 in there, everything there
        process.wait()
        shutil.rmtree(directory)


def _wait(directory: Path, process: "subprocess.Popen[bytes]") -> None:
    """Until the machine says so through its pipe, or its first process ends."""
    ended = os.pidfd_open(process.pid)
    pipe = os.open(directory / "booted", os.O_RDWR)  # writing, too: it never ends
    try:
        if pipe not in select.select([pipe, ended], [], [], BOOT_S)[0]:
            said = (directory / "console").read_text(errors="replace")
            raise AssertionError(f"the machine did not boot:\n{said}")
    finally:
        os.close(pipe)
        os.close(ended)


def _install(place: Path) -> None:
    """What `python -m venv` and pip would make in /opt/kcoro: our package, and a way to the others.

    The libraries are those of this interpreter, mounted at /opt/kcoro/others.
    """
    base = Path(sys._base_executable).resolve()  # type: ignore[attr-defined]
    names = {"base": "/", "platbase": "/"}
    packages = place / sysconfig.get_path("purelib", "venv", names).lstrip("/")
    (place / "bin").mkdir(parents=True)
    packages.mkdir(parents=True)
    (place / "others").mkdir()
    (place / "pyvenv.cfg").write_text(f"home = {base.parent}\n")
    (place / "bin" / "python").symlink_to(base)
    (packages / "others.pth").write_text(f"{INSTALLED}/others\n")
    import kcoro_ipc
    from kcoro_ipc import _kcoro

    shutil.copytree(Path(kcoro_ipc.__file__).parent, packages / "kcoro_ipc", dirs_exist_ok=True)
    shutil.copy(_kcoro.__file__, packages / "kcoro_ipc")
    program = place / "bin" / "kcoro"
    run = "import sys\nfrom kcoro_ipc.cli.main import main\nsys.exit(main())\n"
    program.write_text(f"#!{INSTALLED}/bin/python\n{run}")
    program.chmod(0o755)
    place.parent.chmod(0o755)


# --- the second half, in the namespaces ---


def mount(kind: str, target: Path, options: str = "", source: str = "") -> None:
    words = ["mount", "-t", kind, "-o", options or "defaults", source or kind, str(target)]
    subprocess.run(words, check=True)


def bind(source: Path, target: Path) -> None:
    subprocess.run(["mount", "--bind", str(source), str(target)], check=True)


def build_root(directory: Path) -> Path:
    """An overlay over /: what is written goes to memory."""
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    memory = directory / "memory"
    memory.mkdir()
    mount("tmpfs", memory, "size=1g")
    for name in ("upper", "work", "root"):
        (memory / name).mkdir()
    layers = f"lowerdir=/,upperdir={memory}/upper,workdir={memory}/work"
    mount("overlay", memory / "root", layers)
    root = memory / "root"
    for place, source in {
        "outside": directory,
        "opt/kcoro": directory / "installed",
        "opt/kcoro/others": Path(sysconfig.get_path("purelib")),
    }.items():
        (root / place).mkdir(parents=True, exist_ok=True)
        bind(source, root / place)
    return root


def fill_root(root: Path) -> None:
    mount("proc", root / "proc")
    mount("sysfs", root / "sys", "ro")
    mount("tmpfs", root / "dev", "mode=0755")
    for name in ("null", "zero", "full", "random", "urandom", "tty"):
        (root / "dev" / name).touch()
        bind(Path("/dev", name), root / "dev" / name)
    for name in ("dev/pts", "dev/shm"):
        (root / name).mkdir()
    mount("devpts", root / "dev/pts", "newinstance,ptmxmode=0666")
    (root / "dev/ptmx").symlink_to("pts/ptmx")
    for name, mode in {"dev/shm": "1777", "run": "0755", "tmp": "1777", "var/tmp": "1777"}.items():
        mount("tmpfs", root / name, f"mode={mode}")
    fill_cgroups(root / "sys/fs/cgroup")


def fill_cgroups(place: Path) -> None:
    """As the machine itself has them: one tree, or the older two."""
    if Path("/sys/fs/cgroup/cgroup.controllers").exists():
        mount("cgroup2", place)
        return
    mount("tmpfs", place, "mode=0755")
    (place / "systemd").mkdir()
    mount("cgroup", place / "systemd", "none,name=systemd")
    (place / "unified").mkdir()
    mount("cgroup2", place / "unified")


def configure(root: Path) -> None:
    units = root / "etc/systemd/system"
    for name in MASKED:
        (units / name).unlink(missing_ok=True)
        (units / name).symlink_to("/dev/null")
    (units / "booted.target").write_text(TARGET)
    (units / "booted.service").write_text(SAYS_BOOTED)
    (root / "etc/fstab").write_text("")  # its disks are not here
    (root / "etc/machine-id").write_text("0" * 31 + "1\n")
    # Only in the overlay: our interpreter may stand in somebody's closed home.
    for parent in Path(os.path.realpath(sys.executable)).parents:
        inside = root / parent.relative_to("/")
        inside.chmod(stat.S_IMODE(inside.stat().st_mode) | 0o011)


def become_systemd(root: Path) -> None:
    os.chdir(root)
    os.makedirs("former", exist_ok=True)
    subprocess.run(["pivot_root", ".", "former"], check=True)
    subprocess.run(["umount", "--lazy", "/former"], check=True)
    options = ["--system", "--unit=booted.target", "--log-target=journal", "--show-status=0"]
    os.execve(SYSTEMD, [SYSTEMD, *options], {"container": "booted", "PATH": os.environ["PATH"]})


def main() -> None:
    if os.getpid() != 1 or STAGE not in os.environ:
        sys.exit("booted.py: not in namespaces of its own; tests start it")
    root = build_root(Path(os.environ[STAGE]))
    fill_root(root)
    configure(root)
    become_systemd(root)


if __name__ == "__main__":
    main()
