"""The numbers of a run as JSON, one file a scenario, and as Markdown tables of all there are."""

import dataclasses
import json
import os
import pathlib
import platform
import statistics


@dataclasses.dataclass
class Row:
    """One peer in one scenario; a turn's minimum and median in microseconds, turn by turn."""

    name: str
    version: str = ""
    note: str = ""
    difference: float | None = None
    problem: str = ""
    minima: list[float] = dataclasses.field(default_factory=list)
    medians: list[float] = dataclasses.field(default_factory=list)
    peak_kib: int = 0
    images: int = 0  # computed by each unit that is timed, where they are not the scenario's
    against: str = ""  # the row that its ratios refer to, where that is not ours

    @property
    def best(self) -> float:
        return min(self.minima)

    @property
    def median(self) -> float:
        return statistics.median(self.medians)

    @property
    def noise(self) -> float:
        """How far the turns' medians lie apart, as a share of their median."""
        return (max(self.medians) - min(self.medians)) / self.median


@dataclasses.dataclass
class Found:
    """One scenario's rows. `images` are computed by each `unit` that is timed; ratios refer to the row
    called `ours`."""

    title: str
    unit: str
    images: int
    rows: list[Row]
    ours: str = "mobilenet"


def save(folder: pathlib.Path, name: str, found: Found, commit: str | None) -> None:
    """`commit` is what our program was built from, if that is known."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        dataclasses.asdict(row) | ({"min": row.best, "median": row.median, "noise": row.noise} if row.minima else {})
        for row in found.rows
    ]
    whole = dataclasses.asdict(found) | {"machine": machine(), "commit": commit, "rows": rows}
    (folder / f"{name}.json").write_text(json.dumps(whole, indent=1) + "\n")


def table(folder: pathlib.Path) -> str:
    """Every scenario that has been run, and leaves the text in table.md too."""
    parts = [scenario(json.loads(file.read_text())) for file in sorted(folder.glob("*.json"))]
    text = "\n\n".join(parts) + "\n"
    (folder / "table.md").write_text(text)
    return text


def scenario(found: dict) -> str:
    """A table sorted by time; ratios are a peer's minimum and median over ours, so above 1 we are faster."""
    ran = sorted((row for row in found["rows"] if "min" in row), key=lambda row: row["min"])
    by_name = {row["name"]: row for row in ran}
    commit = f", commit {found['commit']}" if found.get("commit") else ""
    lines = [f"**{found['title']}** ({found['machine']}{commit})", "", header(found)]
    for row in ran:
        base = by_name.get(row.get("against") or found.get("ours", "mobilenet"))
        lines.append(line(row, base, row.get("images") or found["images"]))
    lines += ["", *(f"- {row['name']}: {row['problem']}" for row in found["rows"] if row["problem"])]
    return "\n".join(lines).rstrip()


def header(found: dict) -> str:
    names = ["", f"min µs a {found['unit']}", "median µs", "images/s", "ratio", "of medians", "noise", "agreement", "peak MiB"]
    return "| " + " | ".join(names) + " |\n|---" + "|---:" * (len(names) - 1) + "|"


def line(row: dict, base: dict | None, images: int) -> str:
    cells = [
        " ".join(filter(None, [row["name"], row["version"], f"({row['note']})" if row["note"] else ""])),
        f"{row['min']:.0f}",
        f"{row['median']:.0f}",
        f"{images * 1e6 / row['median']:.0f}",
        f"{row['min'] / base['min']:.2f}" if base else "",
        f"{row['median'] / base['median']:.2f}" if base else "",
        f"{row['noise']:.1%}",
        "" if row["difference"] is None else f"{row['difference']:.1e}",
        f"{row['peak_kib'] / 1024:.0f}" if row["peak_kib"] else "",
    ]
    return "| " + " | ".join(cells) + " |"


def machine() -> str:
    """The processor's name, its cores and the system, in one line."""
    info = pathlib.Path("/proc/cpuinfo").read_text() if os.path.exists("/proc/cpuinfo") else ""
    names = [text.split(":", 1)[1].strip() for text in info.splitlines() if text.startswith(("model name", "model\t"))]
    return f"{' model '.join(reversed(names[:2]))}, {os.cpu_count()} cores, {platform.system()} {platform.release()}"
