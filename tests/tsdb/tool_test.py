#!/usr/bin/env python3
"""`quarry tsdb` as its users run it.

    tool_test.py PROGRAM SUBJECT

SUBJECT is Directory, ServerTarget, or Peers: Debian's Prometheus and promtool; left out where they cannot be had (77).
"""
import json
import math
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import prometheus  # noqa: E402
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "serve"))
from server import Server  # noqa: E402

PROGRAM = []
START_S = 1_672_531_200  # on the edge of a window
STEP_S = 30
HOURS = 10
PATIENCE_S = 120


def text(hours=HOURS, start=START_S):
    """Series that are together, as OpenMetrics wants them: so not in the order of time."""
    lines = []
    for host in range(3):
        for at in range(0, hours * 3600, STEP_S):
            lines.append(f'temp{{host="h{host}"}} {20 + 3 * host + math.sin(at / 4000)!r} {start + at}')
    lines += [f'count_total{{job="x\\"é"}} {2 * at} {start + at}' for at in range(0, hours * 3600, STEP_S)]
    return "\n".join(lines + ["# EOF", ""])


def quarry(*words, code=0, stdin=None):
    """Its output, and what it said on stderr."""
    done = subprocess.run(PROGRAM + ["tsdb", *map(str, words)], capture_output=True, text=True, input=stdin,
                          timeout=PATIENCE_S, env=dict(os.environ, LC_ALL="C.UTF-8", COLUMNS="100"))
    assert done.returncode == code, f"{words}: {done.returncode} instead of {code}: {done.stdout}{done.stderr}"
    return done.stdout, done.stderr


def json_of(*words, **options):
    return json.loads(quarry(*words, "--json", **options)[0])


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="quarry-tool-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.store = f"{self.folder}/store"

    def write(self, name, content):
        path = f"{self.folder}/{name}"
        with open(path, "w", encoding="utf-8") as file:
            file.write(content)
        return path

    def fill(self):
        made = json_of("import", self.write("page", text()), "--dir", self.store, "--create")
        self.assertEqual(made["taken_count"], 4 * HOURS * 3600 // STEP_S)
        self.assertEqual((made["new_series_count"], made["refused"], made["damaged_count"]), (4, {}, 0))


class Directory(Case):
    def test_text_is_brought_and_asked(self):
        self.fill()
        out, _ = quarry("query", "count(temp)", "--dir", self.store)
        self.assertEqual(out.split(), ["{}", "3"])
        answer = json_of("query", "count_total", "--dir", self.store, "--time", START_S + 3600)
        self.assertEqual(answer["data"]["result"][0]["value"], [START_S + 3600, "7200"])
        self.assertEqual(answer["data"]["result"][0]["metric"]["job"], 'x"é')
        answer = json_of("query", "count_total", "--dir", self.store, "--time", "-1h")
        self.assertEqual(answer["data"]["result"][0]["value"][1], str(2 * (HOURS * 3600 - STEP_S - 3600)))
        answer = json_of("query", "count_total", "--dir", self.store, "--time", "2023-01-01T02:00:00+01:00")
        self.assertEqual(answer["data"]["result"][0]["value"][1], "7200")

    def test_a_range_is_drawn(self):
        self.fill()
        words = ["range", "temp", "--dir", self.store, "--start", START_S, "--end", START_S + 7200]
        out, _ = quarry(*words)
        for letter, host in zip("abc", range(3)):
            self.assertIn(f'{letter} temp{{host="h{host}"}}   min', out)
            self.assertGreater(sum(line.count(letter) for line in out.splitlines()[:17]), 20)
        self.assertIn("2023-01-01 00:00:00", out)
        self.assertIn("2023-01-01 02:00:00", out)
        self.assertLessEqual(max(map(len, out.splitlines()[:19])), 100)
        out, _ = quarry("range", 'temp{host="h0"}', *words[2:])
        self.assertTrue(any("\u2801" <= character <= "\u28ff" for character in out), "dots for one series")
        out, _ = quarry("range", 'temp{host="h0"}', *words[2:], "--ascii")
        self.assertTrue(out.isascii())
        out, _ = quarry(*words, "--step", "1h", "--table")
        self.assertEqual(len(out.splitlines()), 3 * (1 + 3), out)
        answer = json_of(*words, "--step", "1h")
        self.assertEqual([len(row["values"]) for row in answer["data"]["result"]], [3, 3, 3])

    def test_series_names_and_figures(self):
        self.fill()
        out, _ = quarry("series", 'temp{host=~"h[01]"}', "--dir", self.store)
        self.assertEqual(out.splitlines(), ['temp{host="h0"}', 'temp{host="h1"}'])
        self.assertEqual(quarry("labels", "--dir", self.store)[0].split(), ["__name__", "host", "job"])
        self.assertEqual(quarry("labels", "host", "--dir", self.store)[0].split(), ["h0", "h1", "h2"])
        top = json_of("top", "--dir", self.store, "--limit", 1)["data"]
        self.assertEqual(top["seriesCountByMetricName"], [{"name": "temp", "value": 3}])
        self.assertIn("host=h0", quarry("top", "--dir", self.store)[0])
        windows = json_of("windows", "--dir", self.store)["data"]["windows"]
        self.assertEqual([window["startMs"] // 1000 for window in windows],
                         [START_S + hours * 3600 for hours in (0, 4, 8)])
        self.assertEqual(sum(window["samples"] for window in windows), 4 * HOURS * 3600 // STEP_S)
        self.assertEqual(quarry("windows", "--dir", self.store, "--ascii")[0].count("2023-01-01"), 3)

    def test_what_is_wrong_is_pointed_at(self):
        self.fill()
        _, error = quarry("query", "sum(temp", "--dir", self.store, code=1)
        self.assertIn("parse error: unclosed left parenthesis", error)
        lines = error.splitlines()
        self.assertEqual(lines[-2], "  sum(temp")
        self.assertEqual(lines[-1].strip(), "^")
        quarry("query", "up", "--dir", f"{self.folder}/none", code=1)
        quarry("query", "up", "--dir", self.store, "--time", "yesterday", code=2)
        quarry("query", "up", "--dir", self.store, "--step", "1s", code=2)
        quarry("serie", code=2)
        quarry("query", code=2)

    def test_all_that_was_brought_comes_out_again(self):
        self.fill()
        out, _ = quarry("export", "openmetrics", "--dir", self.store)
        again = f"{self.folder}/again"
        quarry("import", "-", "--dir", again, "--create", stdin=out)
        self.assertEqual(out, quarry("export", "openmetrics", "--dir", again)[0])
        self.assertEqual(len(out.splitlines()), 4 * HOURS * 3600 // STEP_S + 1, "samples, and # EOF")
        # As blocks, and back.
        blocks, other = f"{self.folder}/blocks", f"{self.folder}/other"
        made = json_of("export", "blocks", blocks, "--dir", self.store)
        self.assertEqual(made, {"block_count": HOURS // 2, "sample_count": 4 * HOURS * 3600 // STEP_S})
        quarry("import", blocks, "--dir", other, "--create")
        self.assertEqual(out, quarry("export", "openmetrics", "--dir", other)[0])
        # A part of them.
        part, _ = quarry("export", "openmetrics", "--dir", self.store, "--match", 'temp{host="h2"}',
                         "--start", START_S + 60, "--end", START_S + 120)
        self.assertEqual([line.split()[0] for line in part.splitlines()[:-1]], ['temp{host="h2"}'] * 3)
        # What is there already changes nothing.
        told = json_of("import", blocks, "--dir", other)
        self.assertEqual(told["taken_count"] + sum(told["refused"].values()), made["sample_count"])
        self.assertEqual(out, quarry("export", "openmetrics", "--dir", other)[0])

    def test_what_is_refused_and_left_out_is_told(self):
        self.fill()
        page = self.write("late", f'temp{{host="h0"}} 99 {START_S + 8 * 3600}\n'
                          f'temp{{host="h9"}} 1 {int(time.time()) + 86400}\n# EOF\n')
        told = json_of("import", page, "--dir", self.store, "--windows", 24)
        self.assertEqual(told["taken_count"], 0)
        self.assertEqual(sum(told["refused"].values()), 1, told)
        self.assertEqual(told["too_old_count"], 1)
        page = self.write("old", f'temp{{host="h9"}} 1 {START_S - 30 * 86400}\ntemp{{host="h9"}} 2 {START_S + 34000}\n# EOF\n')
        told = json_of("import", page, "--dir", self.store)
        self.assertEqual((told["taken_count"], told["too_old_count"]), (1, 1))
        self.assertIn("1 left out: older", quarry("import", page, "--dir", self.store)[0])

    def test_windows_are_as_long_as_they_were_made(self):
        page = self.write("page", text(hours=6))
        quarry("import", page, "--dir", self.store, "--create", "--window", "1h", "--windows", 3)
        windows = json_of("windows", "--dir", self.store)["data"]["windows"]
        self.assertEqual([window["endMs"] - window["startMs"] for window in windows], [3600_000] * 4)
        self.assertEqual(quarry("query", "count(temp)", "--dir", self.store)[0].split()[1], "3")

    def test_damage_is_named_and_the_rest_goes_on(self):
        page = self.write("page", f"good 1 {START_S * 1000}\nbad one two\ngood 2 {START_S * 1000 + 1000}\n")
        out, error = quarry("import", page, "--dir", self.store, "--create", code=3)
        self.assertIn("2 samples taken", out)
        self.assertIn(": line 2", error)
        quarry("import", page, "--dir", f"{self.folder}/stopped", "--create", "--stop", code=1)
        self.fill()
        blocks = f"{self.folder}/blocks"
        quarry("export", "blocks", blocks, "--dir", self.store)
        chunks = f"{blocks}/{sorted(os.listdir(blocks))[1]}/chunks/000001"
        with open(chunks, "r+b") as file:
            file.seek(os.path.getsize(chunks) // 2)
            byte = file.read(1)
            file.seek(-1, 1)
            file.write(bytes([byte[0] ^ 0xFF]))
        out, error = quarry("import", blocks, "--dir", f"{self.folder}/rest", "--create", "--json", code=3)
        told = json.loads(out)
        whole = 4 * HOURS * 3600 // STEP_S
        self.assertEqual(told["damaged_count"], 1, error)
        self.assertTrue(whole - 4 * 240 <= told["taken_count"] < whole, told)
        self.assertIn("chunks/000001", error)

    def test_want_of_memory_is_told_and_ends_well(self):
        self.fill()
        outcomes = set()
        for mib in (1, 2, 4, 6, 8, 12, 24, 200):
            done = subprocess.run(PROGRAM + ["tsdb", "query", "count(temp)", "--dir", self.store, "--memory", f"{mib}m"],
                                  capture_output=True, text=True, timeout=PATIENCE_S)
            self.assertIn(done.returncode, (0, 1), done.stderr)
            if done.returncode == 1:
                self.assertTrue(done.stderr.startswith("quarry tsdb query: "), done.stderr)
            outcomes.add(done.returncode)
        self.assertEqual(outcomes, {0, 1})
        self.assertEqual(quarry("query", "count(temp)", "--dir", self.store)[0].split(), ["{}", "3"])

    def test_every_byte_is_verified(self):
        self.fill()
        self.assertEqual(json_of("verify", "--dir", self.store), {"sound": True, "damaged_count": 0})
        copy = f"{self.folder}/copy"
        self.assertEqual(quarry("snapshot", copy, "--dir", self.store)[0].strip(), copy)
        out, _ = quarry("export", "openmetrics", "--dir", self.store)
        self.assertEqual(out, quarry("export", "openmetrics", "--dir", copy)[0])
        sealed = sorted(name for name in os.listdir(copy) if name.endswith(".qtw"))
        with open(f"{copy}/{sealed[0]}", "rb") as file:
            content = bytearray(file.read())
        content[len(content) // 2] ^= 1
        os.remove(f"{copy}/{sealed[0]}")  # it is linked
        with open(f"{copy}/{sealed[0]}", "wb") as file:
            file.write(content)
        out, error = quarry("verify", "--dir", copy, code=3)
        self.assertIn(sealed[0], error)
        self.assertEqual(quarry("verify", "--dir", self.store)[0].strip(), "every byte is as it was written")


class ServerTarget(Case):
    def test_a_server_is_asked_for_the_same(self):
        end = int(time.time()) // 60 * 60 - 7200
        page = "".join(f'temp{{host="h{host}"}} {host + at} {(end + at) * 1000}\n'
                       for at in range(0, 3600, 60) for host in range(2))
        with Server("--set", "tsdb.self_scrape=off", http="127.0.0.1:0", memcached="off") as server:
            url = "http://" + next(door for door in server.doors() if door["protocol"] == "http")["address"]
            subprocess.run(["curl", "-sfS", "--data-binary", "@-", f"{url}/api/v1/import/prometheus"], input=page,
                           text=True, check=True, timeout=PATIENCE_S)
            said = {}
            asked = (("query", "sum(temp)", "--time", end + 3000), ("series", "temp"), ("labels", "host"),
                     ("range", "temp", "--start", end, "--end", end + 3540, "--table"))
            for words in asked:
                said[words] = quarry(*words, "--server", url)[0]
            self.assertIn("6001", said[asked[0]])
            self.assertEqual(said[asked[2]].split(), ["h0", "h1"])
            self.assertIn("temp", quarry("top", "--server", url)[0])
            self.assertIn("open", quarry("windows", "--server", url + "/")[0])
            _, error = quarry("query", "sum(", "--server", url, code=1)
            self.assertIn("^", error)
            _, error = quarry("snapshot", "--server", url, code=1)
            self.assertIn("admin APIs disabled", error)
            quarry("query", "up", "--server", "localhost:9090", code=2)
            directory = f"{server.folder}/data/tsdb"
            _, error = quarry("query", "up", "--dir", directory, code=75)
            self.assertIn("--server", error)
            quarry("verify", "--dir", directory, code=75)
            # More pages, of which one line is refused.
            stale = f'more{{machine="h"}} 5 {(end - 2 * 86400) * 1000}\n'
            page = self.write("more", "".join(f'more{{machine="h"}} {at} {(end + at) * 1000}\n'
                                              for at in range(0, 3600, 60)) + stale)
            told = json_of("import", page, "--server", url)
            self.assertEqual((told["taken_count"], told["refused_by_server_count"]), (60, 1))
            asked += (("query", "count_over_time(more[1h])", "--time", end + 3599),)
            said[asked[-1]] = quarry(*asked[-1], "--server", url)[0]
            self.assertIn(" 60", said[asked[-1]])
            server.end()
            for words, before in said.items():
                self.assertEqual(before, quarry(*words, "--dir", directory)[0], words)
            quarry("query", "up", "--server", url, code=4)


class Peers(Case):
    def dump(self, directory):
        return prometheus.promtool_floats(directory)

    def test_blocks_of_promtool_and_back(self):
        made, out = f"{self.folder}/made", f"{self.folder}/out"
        prometheus.run(prometheus.program("promtool"), "tsdb", "create-blocks-from", "openmetrics",
                       self.write("page", text(hours=20)), made)
        quarry("import", made, "--dir", self.store, "--create")
        quarry("export", "blocks", out, "--dir", self.store)
        before = self.dump(made)
        self.assertEqual(len(before), 4 * 20 * 3600 // STEP_S)
        self.assertEqual(before, self.dump(out))
        listed = prometheus.run(prometheus.program("promtool"), "tsdb", "list", out)
        self.assertEqual(len(listed.splitlines()), 1 + 10, listed)
        # One by one, the newest first: a window is sealed when its older half comes.
        newest = f"{self.folder}/newest"
        blocks = sorted((json.load(open(f"{made}/{name}/meta.json"))["minTime"], name) for name in os.listdir(made)
                        if os.path.exists(f"{made}/{name}/meta.json"))
        for _, name in reversed(blocks):
            words = () if os.path.isdir(newest) else ("--create",)
            self.assertEqual(json_of("import", f"{made}/{name}", "--dir", newest, *words)["refused"], {})
        shutil.rmtree(out)
        quarry("export", "blocks", out, "--dir", newest)
        self.assertEqual(before, self.dump(out))

    def test_a_data_directory_with_its_head_and_back(self):
        data, out = f"{self.folder}/data", f"{self.folder}/out"
        server = prometheus.Prometheus(data)
        start_ms = prometheus.START_MS
        for step in range(0, 500, 50):
            body = b""
            for number in range(8):
                at = [start_ms + each * 15000 for each in range(step, step + 50)]
                body += prometheus.series({"__name__": f"scraped_{number}", "host": "é\"\\"},
                                          *[prometheus.sample(t, t % 977 / 8) for t in at])
            server.write(body)
        server.delete('scraped_7', start_ms, start_ms + 60000)
        asked = quarry("query", "scraped_3", "--server", server.url, "--time", f"{start_ms / 1000 + 300:.3f}")[0]
        name = quarry("snapshot", "--server", server.url)[0].strip()
        server.end()
        before = self.dump(f"{data}/snapshots/{name}")
        shutil.rmtree(f"{data}/snapshots")
        told = json_of("import", data, "--dir", self.store, "--create")
        self.assertEqual((told["taken_count"], told["refused"], told["damaged_count"]), (len(before), {}, 0))
        quarry("export", "blocks", out, "--dir", self.store)
        self.assertEqual(before, self.dump(out))
        self.assertGreater(len(before), 3900)
        self.assertEqual(asked, quarry("query", "scraped_3", "--dir", self.store, "--time",
                                       f"{start_ms / 1000 + 300:.3f}")[0])


if __name__ == "__main__":
    PROGRAM[:] = shlex.split(sys.argv.pop(1))
    PROGRAM[-1] = os.path.abspath(PROGRAM[-1])
    Server.program = PROGRAM
    if "Peers" in sys.argv:
        prometheus.program("prometheus")
    unittest.main(verbosity=2)
