"""Ours against other runtimes, interleaved: python3 benches/peers/run.py [SCENARIO…]

Builds our program, makes the Python environments, the Rust peers and the models (cached), checks that every
peer computes the same logits, then times them in turn: A, B, C, A, B, C, … See README.md.
"""

import argparse
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent


def main() -> int:
    options = arguments()
    enter_environment()
    import prepare
    import report
    import scenarios

    program, commit = (options.mobilenet, None) if options.mobilenet else build()
    setup = prepare.Setup(options.shared, program)
    setup.make()
    if options.prepare:
        return 0
    failed = 0
    for name in options.scenarios or scenarios.SCENARIOS:
        found = scenarios.SCENARIOS[name](setup, options)
        failed += any(row.problem for row in found.rows)
        report.save(options.out, name, found, commit)
    print(report.table(options.out))
    return failed > 0


def build() -> tuple[pathlib.Path, str | None]:
    """Builds our program; where it is, and the commit it is of (`-dirty` where files were changed)."""
    subprocess.run(["cargo", "build", "--release", "--locked", "--quiet", "-p", "mobilenet-cli"], cwd=ROOT, check=True)
    target = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
    return target / "release" / "mobilenet", commit()


def commit() -> str | None:
    def git(*arguments) -> str | None:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
        return None if done.returncode else done.stdout.strip()

    head = git("rev-parse", "--short", "HEAD")
    changed = git("status", "--porcelain", "--untracked-files=no")
    return f"{head}-dirty" if head and changed else head


def enter_environment() -> None:
    """Goes on in the environment of requirements.txt, which the driver itself needs (numpy, Pillow)."""
    make = [sys.executable, ROOT / "scripts" / "venv.py", HERE / "requirements.txt"]
    done = subprocess.run(make, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    python = pathlib.Path(done.stdout.strip())
    if pathlib.Path(sys.prefix) != python.parent.parent:
        os.execv(python, [python, *sys.argv])


def arguments() -> argparse.Namespace:
    default = {
        "shared": os.environ.get("MOBILENET_SHARED", ROOT.parent / "shared"),
        "out": ROOT / "target" / "peers",
    }
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("scenarios", nargs="*", metavar="SCENARIO", help="which to run, by name (default: all)")
    add("--prepare", action="store_true", help="only make environments, models and programs")
    add("--rounds", type=int, default=9, help="how often each peer has its turn")
    add("--seconds", type=float, default=0.4, help="about how long a turn takes")
    add("--peers", default="", help="only these, by name, separated by commas")
    add("--mobilenet", type=pathlib.Path, metavar="BIN", help="our program (default: built from this checkout)")
    add("--isa", help="force our program to this instruction set")
    add("--shared", type=pathlib.Path, default=default["shared"], help="the reference data")
    add("--out", type=pathlib.Path, default=default["out"], help="where the numbers go")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
