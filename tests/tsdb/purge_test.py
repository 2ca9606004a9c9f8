#!/usr/bin/env python3
"""A server writes windows as blocks before it purges them.

    purge_test.py PROGRAM

Windows of four hours are filled until most of them are purged: `promtool tsdb dump` of the blocks gives what was sent.
The server is started again and goes on: no block is there twice. Then the folder is gone: that is told and counted, and
samples are taken all the same.
"""
import os
import re
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

WINDOW_S = 4 * 3600
STEP_S = 300
PATIENCE_S = 60


def settings(out):
    words = ("tsdb.self_scrape=off", "tsdb.windows=1", f"tsdb.export_on_purge={out}", "tsdb.export_wait=10m")
    return [part for word in words for part in ("--set", word)]


def curl(*words, stdin=None):
    return subprocess.run(["curl", "-sS", *words], input=stdin, capture_output=True, text=True, check=True,
                          timeout=PATIENCE_S * 10).stdout


class Purge(unittest.TestCase):
    def setUp(self):
        self.start = (int(time.time()) // WINDOW_S - 30) * WINDOW_S
        self.sent = {}  # by window: {(labels, time, bits)}

    def url(self, server):
        return "http://" + next(door for door in server.doors() if door["protocol"] == "http")["address"]

    def fill(self, server, window):
        """An hour at a time, as a sender would."""
        sent = self.sent.setdefault(window, set())
        for hour in range(WINDOW_S // 3600):
            lines = []
            for at in range(hour * 3600, (hour + 1) * 3600, STEP_S):
                t_ms = (self.start + window * WINDOW_S + at) * 1000 + 7
                for host in range(5):
                    value = host * 1000.5 + at / 7
                    lines.append(f'temp{{host="h{host}"}} {value!r} {t_ms}\n')
                    sent.add((f'{{__name__="temp", host="h{host}"}}', t_ms, prometheus.bits_of(value)))
            curl("--fail", "--data-binary", "@-", f"{self.url(server)}/api/v1/import/prometheus", stdin="".join(lines))

    def figure(self, server, name):
        text = curl("--fail", f"{self.url(server)}/metrics")
        return float(re.search(rf"^quarry_tsdb_{name} (\S+)$", text, re.M).group(1))

    def until(self, server, name, least):
        end = time.monotonic() + PATIENCE_S
        while self.figure(server, name) < least:
            self.assertLess(time.monotonic(), end, name)
            time.sleep(0.05)

    def compare(self, out, purged):
        """All that was purged is there, once; what is there besides is of the window that goes next."""
        dumped = prometheus.promtool_floats(out)
        shutil.rmtree(f"{out}/wal")
        wanted = set().union(*(self.sent[window] for window in range(purged)))
        self.assertEqual(wanted - dumped, set())
        self.assertEqual(dumped - wanted - self.sent[purged], set())
        blocks = prometheus.blocks_of(out)
        self.assertIn(len(blocks), (2 * purged, 2 * purged + 2))
        return blocks

    def test_what_is_purged_is_in_blocks(self):
        with tempfile.TemporaryDirectory(prefix="quarry-purge-") as folder:
            out = f"{folder}/blocks"
            with Server(*settings(out), folder=folder, http="127.0.0.1:0", memcached="off") as server:
                for window in range(6):
                    self.fill(server, window)
                self.assertEqual(self.figure(server, "purged_windows_total"), 4)
                self.assertEqual(self.figure(server, "unexported_windows_total"), 0)
                self.until(server, "exported_windows_total", 5)  # and the next one, ahead
                before = self.compare(out, 4)
                server.end()
            with Server(*settings(out), folder=folder, http="127.0.0.1:0", memcached="off") as server:
                self.until(server, "exported_windows_total", 1)  # once more, to the same name
                self.assertEqual(self.compare(out, 4), before)
                self.fill(server, 6)
                self.until(server, "exported_windows_total", 2)
                self.compare(out, 5)
                shutil.rmtree(out)
                with open(out, "w"):
                    pass  # where a folder should be
                self.fill(server, 7)
                self.fill(server, 8)
                self.assertEqual(self.figure(server, "purged_windows_total"), 3)
                self.assertGreaterEqual(self.figure(server, "unexported_windows_total"), 1)
                self.assertGreaterEqual(self.figure(server, "export_failures_total"), 1)
                self.assertIn("could not be exported", server.log())


if __name__ == "__main__":
    PROGRAM = shlex.split(sys.argv.pop(1))
    PROGRAM[-1] = os.path.abspath(PROGRAM[-1])
    Server.program = PROGRAM
    prometheus.program("promtool")
    unittest.main(verbosity=2)
