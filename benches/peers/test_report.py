"""Which row ratios refer to: python3 -m unittest discover benches/peers"""

import json
import pathlib
import tempfile
import unittest

from report import Found, Row, save, table


def row(name: str, least: float, median: float, **more) -> Row:
    return Row(name, minima=[least], medians=[median], **more)


def cells(text: str, name: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(f"| {name} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


class Ratios(unittest.TestCase):
    def table(self, *found: Found, commit: str | None = None) -> str:
        with tempfile.TemporaryDirectory() as folder:
            for number, each in enumerate(found):
                save(pathlib.Path(folder), str(number), each, commit)
            self.saved = json.loads((pathlib.Path(folder) / "0.json").read_text())
            return table(pathlib.Path(folder))

    def test_they_refer_to_ours_by_its_whole_name(self):
        rows = [row("mobilenet avx2", 50, 60), row("mobilenet", 100, 120), row("LiteRT", 150, 240)]
        text = self.table(Found("A", "call", 1, rows), commit="abc1234")
        self.assertEqual(cells(text, "LiteRT")[4:6], ["1.50", "2.00"])
        self.assertEqual(cells(text, "mobilenet avx2")[4:6], ["0.50", "0.50"])
        self.assertEqual(self.saved["commit"], "abc1234")
        self.assertIn("commit abc1234", text)

    def test_a_forced_instruction_set_is_ours_where_it_runs_alone(self):
        rows = [row("mobilenet avx2", 50, 60), row("LiteRT", 150, 240)]
        text = self.table(Found("A", "call", 1, rows, "mobilenet avx2"))
        self.assertEqual(cells(text, "LiteRT")[4:6], ["3.00", "4.00"])

    def test_a_row_may_have_its_own_base_and_images(self):
        rows = [row("one", 190, 380, images=32, against="two"), row("two", 100, 190, images=32, against="two")]
        text = self.table(Found("A", "call", 1, rows))
        self.assertEqual(cells(text, "one")[3:6], [f"{32e6 / 380:.0f}", "1.90", "2.00"])


if __name__ == "__main__":
    unittest.main()
