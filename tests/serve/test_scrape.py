#!/usr/bin/python3
"""Scraping as an operator meets it: node_exporter and a page of the test's, files of targets, reloads, what is wrong.

    test_scrape.py PROGRAM [unittest's arguments]
"""

import http.server
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from peers import find_program  # noqa: E402
from server import PATIENCE_S, Server, run, set_program  # noqa: E402

FREE = "127.0.0.1:0"
PAGE = "# TYPE requests_total counter\nrequests_total 1\nlatency 2\n"


def write(path, text):
    """In one go, for who reads it meanwhile."""
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(path + ".new", path)


class Page(http.server.BaseHTTPRequestHandler):
    text = PAGE

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(self.text.encode())

    def log_message(self, *_):
        pass


def metrics(server):
    """{family: value} of figures without labels, and the account's."""
    address = next(door["address"] for door in server.doors() if door["protocol"] == "http")
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=PATIENCE_S) as answer:
        text = answer.read().decode()
    found = {name: float(value) for name, value in re.findall(r"^(quarry_scrape\w+) (.*)$", text, re.MULTILINE)}
    found["charged"] = float(re.search(r'^quarry_account_charged_bytes\{account="scrape"\} (.*)$', text, re.MULTILINE)[1])
    return found


def wait_until(server, condition):
    end = time.monotonic() + PATIENCE_S
    while not condition(found := metrics(server)):
        if time.monotonic() > end:
            raise AssertionError(f"{found}\n{server.log()}")
        time.sleep(0.05)
    return found


class Scraping(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="quarry-scrape-")
        self.addCleanup(self.folder.cleanup)
        self.config = os.path.join(self.folder.name, "quarry.conf")

    def page(self, text=PAGE):
        target = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("TextPage", (Page,), {"text": text}))
        threading.Thread(target=target.serve_forever, daemon=True).start()
        self.addCleanup(target.server_close)
        self.addCleanup(target.shutdown)
        return f"127.0.0.1:{target.server_port}"

    def serve(self, *arguments):
        return Server("--config", self.config, *arguments, memcached="off", http=FREE)

    def test_its_own_page_is_scraped_without_a_door(self):
        write(self.config, "[tsdb]\nself_scrape = 1s\n")
        with self.serve() as server:
            found = wait_until(server, lambda found: found["quarry_scrape_scrapes_total"] >= 3)
            self.assertEqual(found["quarry_scrape_targets"], 1)
            self.assertEqual(found["quarry_scrape_failures_total"], 0)
            self.assertEqual(found["quarry_scrape_refused_samples_total"], 0)
            self.assertGreater(found["quarry_scrape_series"], 100)
            write(self.config, "[tsdb]\nself_scrape = off\n")
            server.signal(signal.SIGHUP)
            wait_until(server, lambda found: found["quarry_scrape_targets"] == 0)
            self.assertEqual(server.end(), 0)

    def test_node_exporter_is_scraped(self):
        program = find_program("prometheus-node-exporter", "prometheus-node-exporter")
        if program is None:
            self.skipTest("node_exporter cannot be had")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{probe.getsockname()[1]}"
        exporter = subprocess.Popen([program, f"--web.listen-address={address}"], stderr=subprocess.DEVNULL)
        self.addCleanup(exporter.wait)
        self.addCleanup(exporter.kill)
        write(self.config, f"[tsdb]\nself_scrape = off\n[scrape node]\ntargets = {address}\ninterval = 1s\n")
        with self.serve() as server:
            found = wait_until(server, lambda found: found["quarry_scrape_samples_total"] > 1000)
            self.assertGreater(found["quarry_scrape_series"], 200)
            self.assertEqual(found["quarry_scrape_refused_samples_total"], 0)
            self.assertLess(found["charged"], 4 << 20)
            self.assertEqual(server.end(), 0)

    def test_what_a_scrape_has_made_outlives_the_scraper(self):
        """At the end the store is closed after the scraper: nothing of it may have gone with that one."""
        address = self.page("# TYPE wide gauge\n" + "".join(f'wide{{n="{i}"}} {i}\n' for i in range(3000)))
        write(self.config, f"[tsdb]\nself_scrape = off\n[scrape web]\ntargets = {address}\ninterval = 100ms\n")
        with self.serve() as server:
            found = wait_until(server, lambda found: found["quarry_scrape_samples_total"] >= 3000)
            self.assertEqual(found["quarry_scrape_series"], 3000)
            self.assertEqual(server.end(), 0)

    def test_targets_come_and_go_with_their_file(self):
        targets = os.path.join(self.folder.name, "targets.json")
        write(self.config, f"[tsdb]\nself_scrape = off\n[scrape web]\nfile_sd = {self.folder.name}/*.json\ninterval = 100ms\n")
        with self.serve() as server:
            self.assertEqual(metrics(server)["quarry_scrape_targets"], 0)
            write(targets, json.dumps([{"targets": [self.page()], "labels": {"env": "test"}}]))
            found = wait_until(server, lambda found: found["quarry_scrape_samples_total"] >= 14)
            self.assertEqual(found["quarry_scrape_series"], 2)
            os.remove(targets)
            found = wait_until(server, lambda found: found["quarry_scrape_stale_markers_total"] >= 7)
            self.assertEqual(found["quarry_scrape_targets"], 0)
            wait_until(server, lambda found: found["quarry_scrape_series"] == 0)
            self.assertEqual(server.end(), 0)

    def test_a_reload_adds_a_job_or_changes_nothing(self):
        first, second = self.page(), self.page()
        job = f"[tsdb]\nself_scrape = off\n[scrape one]\ntargets = {first}\ninterval = 100ms\n"
        write(self.config, job)
        with self.serve() as server:
            wait_until(server, lambda found: found["quarry_scrape_targets"] == 1)
            write(self.config, job + "[scrape two]\ntargets = no/address\n")
            server.signal(signal.SIGHUP)
            server.wait_for("the configuration was not read again: all is as it was")
            self.assertEqual(metrics(server)["quarry_scrape_targets"], 1)
            write(self.config, job + f"[scrape two]\ntargets = {second}\nlabels = a=b\n")
            server.signal(signal.SIGHUP)
            wait_until(server, lambda found: found["quarry_scrape_targets"] == 2)
            self.assertEqual(server.end(), 0)

    def test_what_is_wrong_is_told_before_it_is_begun(self):
        for line, word in [("targets = a b:1", "HOST:PORT"), ("labels = x", "NAME=VALUE"), ("path = metrics", "path"),
                           ("interval = 1s\ntimeout = 2s", "timeout"), ("password_file = /x", "user"),
                           ("interval = soon", "duration"), ("tagrets = x", "targets"), ("", "file_sd")]:
            write(self.config, "[scrape j]\n" + line + ("\n" if "targets" in line or not line else "\ntargets = h:1\n"))
            status, _, told = run("config", "check", self.config)
            self.assertNotEqual(status, 0, line)
            self.assertIn(word, told, line)


if __name__ == "__main__":
    set_program(sys.argv.pop(1))
    unittest.main()
