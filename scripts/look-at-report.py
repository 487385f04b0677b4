"""Looks at a report of `mobilenet evaluate --html` in headless Chromium.

usage: python3 scripts/look-at-report.py [REPORT.html | DATA [FLAG…]]

One is made below `target/report` if none is given: with FLAGs of `evaluate` (`--module M`) on DATA, photos that
it reads; without, on the photos of `examples`, some of them in the wrong class, so that there are mistakes to show. The
built-in module answers if the FLAGs name no other. `$MOBILENET` is the binary that makes it, else
`cargo run --release` is.

A module that `fine-tune` made has the curves of its run in its report:

    python3 scripts/look-at-report.py photos/test --module my-module

In a wide and in a narrow window, every picture must be decoded, nothing may be fetched, stand out to the right or
complain on the console. A screenshot of each lies beside the report.

Exit status 77: Chromium is absent (Debian: `apt-get install chromium`).
"""

import html
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

CANNOT = 77
WIDTHS = (1280, 500)
HIGHEST = 16384
ROOT = pathlib.Path(__file__).resolve().parent.parent
PHOTOS = {"tabby/cat.jpg", "goldfish/cat.jpg", "espresso/coffee.jpg", "goldfish/coffee.jpg"}

# Goes into a copy of the page, which has no script itself and there waits for every picture; says what it sees in an
# attribute.
PROBE = """<script>
const faults = [];
addEventListener('error', (e) => faults.push(e.message || `cannot load ${e.target.src.slice(0, 80)}`), true);
addEventListener('load', () => {
  const pictures = [...document.images];
  const page = document.documentElement;
  const fetched = performance.getEntriesByType('resource').map((entry) => entry.name);
  page.dataset.seen = JSON.stringify({
    pictures: pictures.length,
    blank: pictures.filter((picture) => !(picture.naturalWidth > 0)).length,
    fetched: fetched.filter((name) => !name.startsWith('data:')),
    beyond: page.scrollWidth - page.clientWidth,
    width: innerWidth,
    height: page.scrollHeight,
    faults,
  });
});
</script>"""


def chromium() -> str:
    """Where Chromium is."""
    names = ("chromium", "chromium-browser", "google-chrome")
    for name in names:
        if found := shutil.which(name):
            return found
    print(f"skipped: none of {', '.join(names)} is installed (Debian: apt-get install chromium)")
    sys.exit(CANNOT)


def examples(folder: pathlib.Path) -> pathlib.Path:
    """The photos of `examples` in folders of classes."""
    for photo in PHOTOS:
        to = folder / photo
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "examples" / to.name, to)
    return folder


def make(data: str | None = None, *flags: str) -> pathlib.Path:
    """A report on `data`."""
    folder = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve() / "report"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    own = os.environ.get("MOBILENET")
    command = [own] if own else ["cargo", "run", "--manifest-path", ROOT / "Cargo.toml", "--release", "--quiet", "--"]
    report = folder / "report.html"
    if not any(flag.split("=")[0] in ("--module", "-m") for flag in flags):
        flags = (*flags, "--module", "embedded:default")
    evaluate = ["evaluate", data or examples(folder / "photos"), *flags, "--html", report]
    subprocess.run([*command, *evaluate, "--quiet"], check=True, stdout=subprocess.DEVNULL)
    return report


def browse(browser: str, page: pathlib.Path, width: int, height: int, *more: str) -> tuple[str, list[str]]:
    """What Chromium prints of a page, and the complaints on its console."""
    with tempfile.TemporaryDirectory() as profile:
        arguments = [
            browser, "--headless", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr",
            f"--user-data-dir={profile}", f"--window-size={width},{height}", "--virtual-time-budget=20000",
            *more, page.as_uri(),
        ]  # fmt: skip
        if os.geteuid() == 0:
            arguments.insert(1, "--no-sandbox")
        ran = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=True)
    return ran.stdout, [line for line in ran.stderr.splitlines() if "CONSOLE" in line]


def look(browser: str, report: pathlib.Path, width: int) -> list[str]:
    """Takes a screenshot; what is wrong with the page in a window of this width."""
    with tempfile.TemporaryDirectory() as folder:
        probed = pathlib.Path(folder) / "probed.html"
        page = report.read_text().replace(' loading="lazy"', "")
        probed.write_text(page.replace("<head>", f"<head>{PROBE}", 1))
        dumped, console = browse(browser, probed, width, 800, "--dump-dom")
    found = re.search(r'data-seen="([^"]*)"', dumped)
    if not found:
        return [f"{width}: the page was never ready", *console]
    seen = json.loads(html.unescape(found[1]))
    shot = report.with_name(f"{report.stem}-{width}.png")
    _, again = browse(browser, report, width, min(seen["height"], HIGHEST), f"--screenshot={shot.resolve()}")
    print(f"{shot}: {seen['pictures']} pictures in a window {seen['width']} wide")
    wrong = [*seen["faults"], *console, *again]
    if seen["pictures"] == 0:
        wrong.append("no picture at all")
    if seen["blank"]:
        wrong.append(f"{seen['blank']} pictures were not decoded")
    if seen["fetched"]:
        wrong.append(f"fetched: {', '.join(seen['fetched'])}")
    if seen["beyond"] > 0:
        wrong.append(f"{seen['beyond']} pixels wider than the window")
    if not shot.exists():
        wrong.append("no screenshot was taken")
    return [f"{width}: {what}" for what in wrong]


def main() -> int:
    browser = chromium()
    given = sys.argv[1:]
    report = pathlib.Path(given[0]) if len(given) == 1 and given[0].endswith(".html") else make(*given)
    wrong = [what for width in WIDTHS for what in look(browser, report, width)]
    for what in wrong:
        print(what, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
