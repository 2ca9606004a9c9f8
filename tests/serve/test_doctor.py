#!/usr/bin/python3
"""What a server finds in itself: conditions planted from outside, and a server that is well.

    test_doctor.py PROGRAM [unittest's arguments]
"""

import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request

from server import Server, set_program

PATIENCE_S = 60
# Sanitizers bring a malloc of their own: there is no heap of Quarry's to examine.
IS_SANITIZED = os.environ.get("QUARRY_TEST_SANITIZED") == "1"
VALUE = "v" * 1000
VALUES = 12000  # three times what the small cache has
CONNECTIONS = 24
TURNED_AWAY = 40  # more than a place in the source may log in ten seconds

CONFIG = """
[tsdb]
self_scrape = off
series_max = 50
[cache]
size = 4m
[net]
connections_max = {connections}
[tenant acme]
quota = 256k
[scrape nobody]
targets = {target}
interval = 200ms
"""


def ask(address, path, body=None):
    """Asks until it is not busy: one report at a time."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            request = urllib.request.Request(f"http://{address}{path}", data=body)
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            if error.code != 503 or time.monotonic() > end:
                return error.code, error.read()
            time.sleep(0.05)


def findings(address):
    status, text = ask(address, "/api/v1/doctor")
    assert status == 200, text
    told = json.loads(text)
    assert told["view"] == "doctor"
    return told, {finding["cause"]: finding for finding in told["findings"]}


class Ill(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.nobody = socket.socket()  # bound, and listened to by nobody
        cls.addClassCleanup(cls.nobody.close)
        cls.nobody.bind(("127.0.0.1", 0))
        cls.folder = tempfile.TemporaryDirectory(prefix="quarry-doctor-")
        cls.addClassCleanup(cls.folder.cleanup)
        config = os.path.join(cls.folder.name, "quarry.conf")
        with open(config, "w") as file:
            file.write(CONFIG.format(target=f"127.0.0.1:{cls.nobody.getsockname()[1]}", connections=CONNECTIONS))
        cls.server = Server("--config", config, http="127.0.0.1:0", resp="127.0.0.1:0")
        cls.addClassCleanup(cls.server.__exit__)  # also where the planting fails
        cls.server.ready()
        cls.address = next(door["address"] for door in cls.server.doors() if door["protocol"] == "http")
        cls.fill_cache()
        cls.send_samples()
        cls.open_too_many()

    @classmethod
    def tearDownClass(cls):
        cls.server.end()

    @classmethod
    def fill_cache(cls):
        with cls.server.connect() as link:
            for i in range(VALUES):
                link.send(f"set key{i} 0 0 {len(VALUE)} noreply\r\n{VALUE}\r\n")
            link.ask("version\r\n")

    @classmethod
    def send_samples(cls):
        """More series than there may be, and samples that are too old."""
        now = int(time.time() * 1000)
        lines = "".join(f'planted{{n="{i}"}} 1 {now}\n' for i in range(100))
        old = "".join(f'planted{{n="0"}} 1 {now - 30 * 86400000 - i}\n' for i in range(100))
        ask(cls.address, "/api/v1/import/prometheus", lines.encode())
        ask(cls.address, "/api/v1/import/prometheus", old.encode())

    @classmethod
    def open_too_many(cls):
        """So many that lines of the log are left out."""
        address = cls.server.doors()[0]["address"].rsplit(":", 1)
        links = [socket.create_connection((address[0], int(address[1])), timeout=PATIENCE_S)
                 for _ in range(CONNECTIONS + TURNED_AWAY)]
        # Whichever have a place are told nothing; the others are told so, or closed.
        end = time.monotonic() + PATIENCE_S
        while len(select.select(links, [], [], 0)[0]) < TURNED_AWAY and time.monotonic() < end:
            time.sleep(0.01)
        for link in links:
            link.close()
        while int(cls.metric("quarry_net_connections ")) > 1:
            time.sleep(0.01)

    @classmethod
    def metric(cls, start):
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            try:
                text = ask(cls.address, "/metrics")[1].decode()
                return next(line for line in text.splitlines() if line.startswith(start)).rsplit(" ", 1)[1]
            except (urllib.error.URLError, ConnectionError):  # turned away as well
                time.sleep(0.05)
        raise AssertionError("no metrics")

    def test_what_was_planted_is_found(self):
        wanted = {"cache-age", "tsdb-series-limit", "tsdb-late", "tsdb-targets", "connections", "log-lines"}
        end = time.monotonic() + PATIENCE_S
        while True:
            told, found = findings(self.address)
            if wanted <= set(found) or time.monotonic() > end:
                break
            time.sleep(0.1)
        self.assertLessEqual(wanted, set(found), found)
        self.assertEqual(told["pid"], self.server.process.pid)
        self.assertEqual("heap_fault" in told, IS_SANITIZED)
        self.assertIn("job 'nobody'", found["tsdb-targets"]["text"])
        self.assertEqual(found["cache-age"]["bytes"], 4 << 20)
        self.assertEqual(found["connections"]["severity"], "critical")
        for finding in told["findings"]:
            self.assertIn(finding["severity"], ("note", "warning", "critical"))
            self.assertIn(finding["part"], ("heap", "system", "server", "cache", "kv", "tsdb"))
            self.assertTrue(finding["text"] and finding["advice"])
        order = [("critical", "warning", "note").index(finding["severity"]) for finding in told["findings"]
                 if finding["part"] != "heap"]
        self.assertEqual(order, sorted(order))

    def test_the_program_tells_the_same(self):
        shown = subprocess.run([*self.server.program, "doctor", "--server", f"http://{self.address}"],
                               capture_output=True, text=True, timeout=PATIENCE_S)
        self.assertEqual(shown.returncode, 3, shown.stderr)
        self.assertIn("warning: cache-age, 4 MiB", shown.stdout)
        self.assertIn("=> Raise cache.size", shown.stdout)
        self.assertEqual("The heap was not examined" in shown.stdout, IS_SANITIZED)

    def test_keys_are_not_told(self):
        self.assertNotIn(b"key1", ask(self.address, "/api/v1/doctor")[1])


class Crowded(unittest.TestCase):
    """What has to be looked for: a label, a key."""

    def test_what_has_to_be_looked_for_is_found(self):
        with Server("--set", "tsdb.self_scrape=off", http="127.0.0.1:0") as server:
            address = next(door["address"] for door in server.doors() if door["protocol"] == "http")
            now = int(time.time() * 1000)
            lines = "".join(f'planted{{user_id="{i}",job="api"}} 1 {now}\n' for i in range(12000))
            self.assertLess(ask(address, "/api/v1/import/prometheus", lines.encode())[0], 300)
            with server.connect() as link:
                link.send("set hot 0 0 5 noreply\r\nvalue\r\n")
                for _ in range(40):  # so many at a time that answers do not fill the socket
                    link.send("get hot\r\n" * 1000)
                    for _ in range(1000):
                        self.assertEqual([link.line() for _ in range(3)][1], "value")
            found = findings(address)[1]
            self.assertIn("Label 'user_id' has 12000 values, with 12000 series", found["tsdb-label"]["text"])
            self.assertGreater(found["tsdb-label"]["bytes"], 0)
            self.assertIn("of one key", found["cache-hot-key"]["text"])
            self.assertNotIn("hot'", found["cache-hot-key"]["text"])
            server.end()


class Well(unittest.TestCase):
    def test_a_server_that_is_well_has_nothing_of_its_own(self):
        """But for what the machine is like, and how busy it is."""
        with Server(http="127.0.0.1:0", resp="127.0.0.1:0") as server:
            told, found = findings(next(door["address"] for door in server.doors() if door["protocol"] == "http"))
            own = [finding for finding in told["findings"] if finding["part"] not in ("heap", "system")]
            self.assertEqual([finding["cause"] for finding in own if finding["cause"] != "loop-lag"], [])
            # What the machine is like was told at the start, each with what to do.
            logged = {line["cause"]: line for line in server.lines("the machine may be in the way")}
            self.assertEqual("root" in logged, os.geteuid() == 0)
            for line in logged.values():
                self.assertTrue(line["found"] and line["advice"])
            self.assertEqual(server.end(), 0)

    def test_a_start_says_what_hurts(self):
        """A budget of nearly all memory, and a backlog that no kernel allows."""
        with open("/proc/meminfo") as file:
            kib = int(file.readline().split()[1])
        with Server("--set", "net.backlog=65535", "--set", "tsdb.enabled=off", memory=f"{kib - 1024}k") as server:
            server.ready()
            logged = {line["cause"] for line in server.lines("the machine may be in the way")}
            self.assertIn("budget-of-machine", logged)
            with open("/proc/sys/net/core/somaxconn") as file:
                self.assertEqual("backlog" in logged, int(file.read()) < 65535)


if __name__ == "__main__":
    set_program(sys.argv.pop(1))
    unittest.main()
