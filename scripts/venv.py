"""Makes and caches one Python environment per requirements file, and prints its interpreter.

usage: python3 scripts/venv.py REQUIREMENTS

The environment lives below `${XDG_CACHE_HOME:-~/.cache}/mobilenet-ci/venv`, named by a hash of the
requirements, so a changed requirement makes a new one and an unchanged one costs nothing. A marker
file is written last: an interrupted installation is started over.

Exit status 77: no Python 3.11 here, or the packages cannot be had; the reason is on stderr.
"""

import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

CANNOT = 77
VERSION = "3.11"


def cache() -> pathlib.Path:
    """The folder everything that outlives a checkout goes into."""
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base) / "mobilenet-ci"


def python_3_11() -> str:
    """An interpreter of the version that TensorFlow 2.15 and the pinned peers have wheels for."""
    for candidate in (sys.executable, shutil.which("python3.11")):
        if candidate and _version(candidate) == VERSION:
            return os.path.realpath(candidate)  # not the link in an environment we are called from
    sys.exit(_cannot("Python 3.11 is not installed"))


def interpreter(requirements: pathlib.Path) -> pathlib.Path:
    """The interpreter of the environment that holds `requirements`, made now if need be."""
    key = hashlib.sha256(VERSION.encode() + requirements.read_bytes()).hexdigest()[:16]
    home = cache() / "venv" / key
    home.parent.mkdir(parents=True, exist_ok=True)
    with open(home.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "complete").exists():
            _make(python_3_11(), home, requirements)
    return home / "bin" / "python"


def _make(base: str, home: pathlib.Path, requirements: pathlib.Path) -> None:
    shutil.rmtree(home, ignore_errors=True)
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", requirements]
    for command in ([base, "-m", "venv", home], [home / "bin" / "python", *install]):
        if subprocess.run(command, stdout=sys.stderr).returncode:
            sys.exit(_cannot(f"cannot install {requirements}"))
    (home / "complete").touch()


def _version(python: str) -> str:
    command = [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def _cannot(reason: str) -> int:
    print(reason, file=sys.stderr)
    return CANNOT


if __name__ == "__main__":
    print(interpreter(pathlib.Path(sys.argv[1])))
