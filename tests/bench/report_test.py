"""report_test.py PROGRAM: tools/bench, on sittings that are made up and on a short one of the program.

    made up    lines as `quarry bench --json` prints them, and a program that prints such lines
    real       two benchmarks of the smallest size; whether every benchmark's rows are in the plan once
"""

import contextlib
import io
import json
import os
import stat
import sys
import tempfile
import unittest
from fnmatch import fnmatchcase
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from unittest import mock

sys.dont_write_bytecode = True
ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
LOADER = SourceFileLoader("bench", os.path.join(ROOT, "tools", "bench"))
TOOL = module_from_spec(spec_from_loader("bench", LOADER))
LOADER.exec_module(TOOL)
sys.path.insert(0, os.path.join(ROOT, "tools"))

# pylint: disable=wrong-import-position
from benching import check, compare, plan
from benching.sitting import Sitting

PROGRAM = ""
ABOUT = {"row": "sitting", "bench": "all", "subject": "machine", "size": "usual", "date": "2026-01-02", "rows": [],
         "cpu_model": "one", "cpus": 2, "memory_mib": 1000, "kernel": "Linux", "governor": "none", "load_before": 0,
         "build": "abc"}  # fmt: skip
CAUSES = "[kv]\ncoldread = mapped files of the others\nfill*:peak_* = memory is kept\n[slab]\n"
# A program: of slab a row `pair`, whose first measurement is lost, and of which only later ones are good.
FAKE = """#!/bin/sh
[ "$3" = --help ] && printf 'ROWS\\n    pair    a pair\\n    other   another\\n' && exit 0
echo "$@" >>"$0.calls"
own=$(if [ "$(wc -l <"$0.calls")" -le "$(cat "$0.slow")" ]; then echo 300; else echo 100; fi)
echo '{"bench":"slab","row":"pair","subject":"quarry","wall_ns":'"$own"',"ranked":"wall_ns"}'
echo '{"bench":"slab","row":"pair","subject":"glibc","wall_ns":100}'
echo 'no such thing' >&2
exit "$(cat "$0.exit")"
"""


def line(bench, row, subject, number=1, **more):
    return {"bench": bench, "row": row, "subject": subject, "pass": number, **more}


def lines_of(own_ns, passes=5, wobble=0.01):
    """Two benchmarks: three rows with a peer, one of which is lost by `own_ns`, one without any, one absent."""
    lines = [ABOUT, line("kv", "machine", "machine", rocksdb_version="7.8.3-2")]
    for number in range(1, passes + 1):
        jitter = 1 + wobble * (number - (passes + 1) / 2) / passes
        lines += [
            line("kv", "fillseq", "quarry", number, wall_ns=50 * jitter, peak_bytes=3 << 20, ranked="wall_ns peak_bytes"),
            line("kv", "fillseq", "rocksdb", number, wall_ns=100, peak_bytes=2 << 20),
            line("kv", "fillseq", "itself", number, wall_ns=1, is_reference=True),
            line("kv", "coldread", "quarry", number, wall_ns=own_ns * jitter, ranked="wall_ns"),
            line("kv", "coldread", "rocksdb", number, wall_ns=100),
            line("kv", "coldread", "leveldb", number, absent=True, reason="not installed"),
            line("slab", "move", "quarry", number, pages_per_second=212.0),
            line("slab", "pair", "quarry", number, wall_ns=80 * jitter, ranked="wall_ns"),
            line("slab", "pair", "glibc", number, wall_ns=100),
        ]
    return lines


def rounds(count, low, high):
    """A comparison whose ratios lie evenly from `low` to `high`."""
    step = (high - low) / max(1, count - 1)
    return compare.Comparison("kv", "row", "wall_ns", True, [low + step * i for i in range(count)])


class Desk(unittest.TestCase):
    """A directory with causes and recordings."""

    def setUp(self):
        self.folder = self.enterContext(tempfile.TemporaryDirectory(prefix="quarry-report-"))
        self.docs = os.path.join(self.folder, "docs")
        self.out = os.path.join(self.folder, "out")
        os.mkdir(self.docs)
        self.write("docs/causes.ini", CAUSES)

    def write(self, name, text):
        with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
            file.write(text)
        return os.path.join(self.folder, name)

    def read(self, name):
        with open(os.path.join(self.folder, name), encoding="utf-8") as file:
            return file.read()

    def record(self, name, lines):
        return self.write(name, "".join(json.dumps(entry) + "\n" for entry in lines))

    def tool(self, *words, program="/nonexistent"):
        """Returns: the exit code, and all that it said."""
        command = ["bench", *words, "--docs", self.docs, "--out", self.out, "--program", program]
        said = io.StringIO()
        with mock.patch("sys.argv", command), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            try:
                TOOL.main()
            except SystemExit as end:
                code = end.code
        if isinstance(code, str):  # what Python prints when it ends with a text
            said.write(code)
            code = 1
        return code, said.getvalue()


class MadeUp(Desk):
    def test_a_page_has_every_row_and_losses_in_bold_with_their_cause(self):
        code, said = self.tool("write", self.record("first", lines_of(170)))
        self.assertEqual(code, 0, said)
        text = self.read("docs/2026-01-02.md")
        for part in (
            "rocksdb 7.8.3-2",
            "| fillseq | 0.50 | 1 % |  | rocksdb | `wall_ns` | 50 | 100 | 1 |",
            "| … | **1.50** | 0 % | **loss** (1) | rocksdb | `peak_bytes` | 3 MiB | 2 MiB |  |",
            "| coldread | **1.70** | 1 % | **loss** (2) | rocksdb |",
            "1. memory is kept",
            "2. mapped files of the others",
            "- move: `pages_per_second` 212",
            "| pair | 0.80 |",
            "| [The ordered store](#kv) | 3 | 1 | 2 | 1.08 |",
            "- kv: leveldb in 1 rows: not installed",
        ):
            self.assertIn(part, text)

    def test_a_loss_without_a_cause_is_no_report(self):
        self.write("docs/causes.ini", CAUSES.replace("coldread", "another_row"))
        code, said = self.tool("write", self.record("first", lines_of(170)))
        self.assertEqual(code, 1)
        self.assertIn("kv/coldread:wall_ns 1.70 (rocksdb)", said)
        self.assertEqual(os.listdir(self.docs), ["causes.ini"])
        self.assertIn("no cause is written", self.read("out/2026-01-02-usual.md"))

    def test_a_loss_that_is_noise_needs_no_cause(self):
        self.write("docs/causes.ini", "[kv]\nfill* = memory is kept\n")
        code, said = self.tool("write", self.record("first", lines_of(101, wobble=0.2)))
        self.assertEqual(code, 0, said)
        self.assertIn("within two standard errors", self.read("docs/2026-01-02.md"))

    def test_a_cause_that_says_nothing_is_refused(self):
        self.write("docs/causes.ini", "[kv]\ncoldread =\n")
        code, said = self.tool("write", self.record("first", lines_of(170)))
        self.assertEqual(code, 1)
        self.assertIn("coldread has no cause", said)

    def test_a_part_or_a_quick_look_is_no_report(self):
        for more in ({"size": "quick"}, {"rows": ["kv/*"]}):
            lines = lines_of(170)
            lines[0] = {**ABOUT, **more}
            self.assertEqual(self.tool("write", self.record("first", lines))[0], 0)
            self.assertEqual(os.listdir(self.docs), ["causes.ini"])

    def test_a_benchmark_that_failed_is_on_the_page(self):
        failed = line("tsdb", "failed", "quarry", step="quarry bench tsdb", reason="it fell over")
        code, said = self.tool("write", self.record("first", [*lines_of(170), failed]))
        self.assertEqual(code, 1)
        self.assertIn("it fell over", said)
        self.assertIn("- `quarry bench tsdb`: it fell over", self.read("docs/2026-01-02.md"))

    def test_the_check_fails_at_a_fall_and_passes_noise(self):
        self.assertEqual(self.tool("write", self.record("first", lines_of(170)))[0], 0)
        for now, code, words in (
            (lines_of(170), 0, "4 ratios beside those of 2026-01-02: 0 fell"),
            (lines_of(174), 0, "0 fell"),
            (lines_of(230), 1, "FELL kv/coldread:wall_ns: 1.700 → 2.300 (+35.3 %"),
            (lines_of(200, wobble=0.8), 0, "0 fell"),
            ([entry for entry in lines_of(170) if entry["row"] != "coldread"], 1, "GONE kv/coldread:wall_ns"),
            ([ABOUT], 1, "0 ratios"),
        ):
            ended, said = self.tool("check", self.record("now", now))
            self.assertEqual((ended, words in said), (code, True), said)

    def test_the_check_is_of_the_rows_that_are_asked_for(self):
        self.assertEqual(self.tool("write", self.record("first", lines_of(170)))[0], 0)
        now = self.record("now", lines_of(230))
        self.assertEqual(self.tool("check", now, "--rows", "slab/*")[0], 0)
        self.assertEqual(self.tool("check", now, "--rows", "kv/cold*")[0], 1)
        self.assertEqual(self.tool("check", now, "--rows", "nothing/*")[0], 2)

    def test_noise_is_that_of_the_passes(self):
        self.assertFalse(check.has_fallen(rounds(5, 0.8, 1.2), rounds(5, 1.0, 1.4)))
        self.assertTrue(check.has_fallen(rounds(5, 0.99, 1.01), rounds(5, 1.19, 1.21)))
        self.assertFalse(check.has_fallen(rounds(5, 1, 1), rounds(5, 1.02, 1.02)))
        self.assertTrue(check.has_fallen(rounds(5, 1, 1), rounds(5, 1.04, 1.04)))
        self.assertFalse(check.has_fallen(rounds(1, 1, 1), rounds(1, 1.5, 1.5)))
        self.assertGreater(rounds(3, 0.8, 1.2).error, rounds(9, 0.8, 1.2).error)


class Fake(Desk):
    """A program of which one measures what one wants."""

    def program(self, slow, code=0):
        path = self.write("quarry", FAKE)
        os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)
        self.write("quarry.slow", str(slow))
        self.write("quarry.exit", str(code))
        self.write("quarry.calls", "")
        return path

    def begin(self):
        """A report of five passes in which Quarry is level."""
        self.write("docs/causes.ini", "")
        lines = [ABOUT]
        for number in range(1, 6):
            lines += [line("slab", "pair", "quarry", number, wall_ns=100, ranked="wall_ns"),
                      line("slab", "pair", "glibc", number, wall_ns=100)]  # fmt: skip
        self.assertEqual(self.tool("write", self.record("first", lines))[0], 0)

    def test_what_has_fallen_once_is_measured_again(self):
        self.begin()
        code, said = self.tool("check", "--rows", "slab/pair", "--minutes", "0", program=self.program(slow=1))
        self.assertEqual(code, 0, said)
        self.assertIn("measured again", said)
        self.assertEqual(len(self.read("quarry.calls").splitlines()), 4)
        code, said = self.tool("check", "--rows", "slab/pair", "--minutes", "0", program=self.program(slow=9))
        self.assertEqual(code, 1, said)
        self.assertIn("FELL slab/pair:wall_ns: 1.000 → 3.000", said)

    def test_a_benchmark_that_fails_fails_the_report(self):
        code, said = self.tool("report", "--size", "quick", "--rows", "slab/pair", program=self.program(0, code=1))
        self.assertEqual(code, 1)
        self.assertIn("no such thing", said)
        self.assertIn("slab --rows pair --quick --rounds 1 --json", self.read("quarry.calls"))

    def test_passes_go_on_while_there_is_time(self):
        steps = [plan.Step("slab", "pair"), plan.Step("slab", "other", is_once=True)]
        sitting = Sitting(ROOT, self.program(0), self.folder, "usual", os.path.join(self.out, "record"))
        self.addCleanup(sitting.record.close)
        with contextlib.redirect_stderr(io.StringIO()):
            sitting.run(steps, 0)
            self.assertEqual(list(sitting.passes.values()), [1, 1])
            sitting.passes.clear()
            sitting.run(steps, 3600)
        self.assertEqual(list(sitting.passes.values()), [plan.PASSES_MAX, 1])


class Real(Desk):
    def sitting(self):
        sitting = Sitting(ROOT, PROGRAM, self.folder, "quick", os.path.join(self.out, "record"))
        self.addCleanup(sitting.record.close)
        return sitting

    def test_every_row_of_every_benchmark_is_in_the_plan_once(self):
        sitting = self.sitting()
        for bench in plan.BENCHES:
            rows = [row for row in sitting.known_rows(bench) if not row.startswith(("instr", "program_"))]
            self.assertGreater(len(rows), 10, bench)
            for size, least in (("quick", 0), ("usual", 0), ("full", 1)):
                steps = [step for step in plan.steps_of(size) if step.bench == bench and step.rows]
                for row in rows:
                    count = sum(fnmatchcase(row, step.rows) for step in steps)
                    self.assertIn(count, (least, 1), f"{bench}/{row} of size {size}")

    def test_rows_are_found_by_the_names_under_which_they_are_printed(self):
        sitting = self.sitting()
        for size, wanted, words in (
            ("usual", "blocks/miss_web_5", ["blocks", "--rows", "miss_web", "--rounds", "1"]),
            ("full", "pages/spike_256mib at 5 s", ["pages", "--rows", "spike_256mib", "--rounds", "1"]),
            ("full", "malloc/restart_after", ["malloc", "--story", "restart"]),
            ("usual", "cache/open_*", ["cache", "--rows", "open_*", "--rounds", "1"]),
            ("quick", "kv/fillseq", ["kv", "--rows", "fillseq", "--quick", "--rounds", "1"]),
        ):
            steps = plan.narrow(plan.steps_of(size), [wanted], sitting.known_rows)
            self.assertEqual([list(step.words()) for step in steps], [words])
        self.assertEqual(plan.narrow(plan.steps_of("full"), ["kv/nothing"], sitting.known_rows), [])

    def test_two_benchmarks_are_measured_and_checked(self):
        rows = ("--rows", "slab/pair_64b", "--rows", "blocks/miss_web")
        code, said = self.tool("report", "--size", "quick", *rows, program=PROGRAM)
        self.assertIn(code, (0, 1), said)  # rows may be lost
        self.assertNotIn("FAILED", said)
        latest = json.loads(self.read("out/latest.json"))
        names = [f"{row['bench']}/{row['row']}" for row in latest["rows"]]
        self.assertIn("slab/pair_64b", names)
        self.assertEqual(sum(name.startswith("blocks/miss_web_") for name in names), 8)
        self.assertEqual(len(names), 9)
        (page,) = [name for name in os.listdir(self.out) if name.endswith(".md")]
        text = self.read(f"out/{page}")
        for its in map(compare.from_json, latest["rows"]):
            self.assertIn(f"| {its.row} | {f'**{its.ratio:.2f}**' if its.is_loss else f'{its.ratio:.2f}'} |", text)
        os.replace(os.path.join(self.out, "latest.json"), os.path.join(self.docs, "latest.json"))
        (record,) = [name for name in os.listdir(self.out) if name.endswith(".jsonl")]
        self.assertEqual(self.tool("check", os.path.join(self.out, record))[0], 0)


if __name__ == "__main__":
    PROGRAM = os.path.abspath(sys.argv.pop(1))
    unittest.main()
