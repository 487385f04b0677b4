"""Ours against other runtimes, interleaved: python3 benches/peers/run.py [SCENARIO…]

Makes the Python environments, builds the Rust peers and the models (all cached), checks that every
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

    setup = prepare.Setup(options.shared, options.mobilenet)
    setup.make()
    if options.prepare:
        return 0
    failed = 0
    for name in options.scenarios or scenarios.SCENARIOS:
        found = scenarios.SCENARIOS[name](setup, options)
        failed += any(row.problem for row in found.rows)
        report.save(options.out, name, found)
    print(report.table(options.out))
    return failed > 0


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
        "mobilenet": pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "mobilenet",
        "out": ROOT / "target" / "peers",
    }
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("scenarios", nargs="*", metavar="SCENARIO", help="which to run, by name (default: all)")
    add("--prepare", action="store_true", help="only make environments, models and programs")
    add("--rounds", type=int, default=9, help="how often each peer has its turn")
    add("--seconds", type=float, default=0.4, help="about how long a turn takes")
    add("--peers", default="", help="only these, by name, separated by commas")
    add("--mobilenet", type=pathlib.Path, default=default["mobilenet"], help="our program, release build")
    add("--isa", help="force our program to this instruction set")
    add("--shared", type=pathlib.Path, default=default["shared"], help="the reference data")
    add("--out", type=pathlib.Path, default=default["out"], help="where the numbers go")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
