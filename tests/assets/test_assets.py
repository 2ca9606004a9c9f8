#!/usr/bin/python3
"""Dashboards and alerts: every expression asked of a server under load; alerts by Prometheus' own checks.

    test_assets.py PROGRAM [unittest's arguments]

Alerts are left out where promtool cannot be had: exit status 77.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..")
sys.path.insert(0, os.path.join(HERE, "..", "serve"))
sys.path.insert(0, os.path.join(HERE, ".."))
from peers import find_program  # noqa: E402
from server import PATIENCE_S, Server, set_program  # noqa: E402

FREE = "127.0.0.1:0"
BOARDS = ("overview", "heap", "cache", "kv", "tsdb")
RULES = os.path.join(ROOT, "packaging", "prometheus", "quarry-alerts.yml")
RUNBOOKS = os.path.join(ROOT, "docs", "runbooks.md")
METRICS = os.path.join(ROOT, "docs", "metrics.md")
# Expressions that a healthy server answers with nothing, and why.
WITHOUT_ANSWER = {}
# What Grafana puts in place of its variables.
VARIABLES = {"$instance": ".*", "$__rate_interval": "1m", "$__range": "1m"}


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def board(name):
    return json.loads(read(os.path.join(ROOT, "packaging", "grafana", f"{name}.json")))


def metrics_of(expression):
    return re.findall(r"\bquarry_[a-z0-9_]+", expression)


class Dashboards(unittest.TestCase):
    """One server with all doors that has seen traffic, and reads its own page once a second."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server("--set", "tsdb.self_scrape=1s", resp=FREE, http=FREE).__enter__()
        cls.addClassCleanup(cls.server.__exit__)
        doors = {door["protocol"]: index for index, door in enumerate(cls.server.doors())}
        cls.address = cls.server.doors()[doors["http"]]["address"]
        cls.load(cls.server.connect(doors["memcached"]), cls.server.connect(doors["resp"]))
        before = cls.scrapes()
        cls.wait_for(lambda: cls.scrapes() >= before + 3)

    @staticmethod
    def load(cache, store):
        for index in range(100):
            cache.socket.sendall(b"set key%d 0 0 5\r\nvalue\r\nget key%d\r\nget none\r\n" % (index, index))
            store.socket.sendall(b"SET key%d value\r\nGET key%d\r\n" % (index, index))
        cache.socket.sendall(b"quit\r\n")
        store.socket.sendall(b"QUIT\r\n")
        for link in (cache, store):  # all of it was done when the server has ended the connection
            while link.socket.recv(65536):
                pass
            link.socket.close()

    @classmethod
    def ask(cls, path, **parameters):
        url = f"http://{cls.address}{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
            return answer.read().decode()

    @classmethod
    def query(cls, expression):
        for name, value in VARIABLES.items():
            expression = expression.replace(name, value)
        return json.loads(cls.ask("/api/v1/query", query=expression))["data"]["result"]

    @classmethod
    def scrapes(cls):
        return int(re.search(r"^quarry_scrape_scrapes_total (\d+)", cls.ask("/metrics"), re.MULTILINE)[1])

    @staticmethod
    def wait_for(condition):
        end = time.monotonic() + PATIENCE_S
        while not condition():
            if time.monotonic() > end:
                raise AssertionError("nothing came of it")
            time.sleep(0.05)

    def test_every_expression_answers_data(self):
        for name in BOARDS:
            for panel in board(name)["panels"]:
                for target in panel["targets"]:
                    with self.subTest(board=name, panel=panel["title"], expression=target["expr"]):
                        if target["expr"] in WITHOUT_ANSWER:
                            self.query(target["expr"])
                        else:
                            # A query is a query's own first: what it adds is there with the next scrape.
                            self.wait_for(lambda: self.query(target["expr"]))

    def test_a_board_is_what_grafana_takes(self):
        for name in BOARDS:
            with self.subTest(board=name):
                text = board(name)
                self.assertEqual(text["uid"], f"quarry-{name}")
                self.assertGreaterEqual(text["schemaVersion"], 39)
                self.assertEqual([one["name"] for one in text["templating"]["list"]], ["datasource", "instance"])
                self.assertEqual(len({panel["id"] for panel in text["panels"]}), len(text["panels"]))
                for panel in text["panels"]:
                    place = panel["gridPos"]
                    self.assertLessEqual(place["x"] + place["w"], 24)
                    self.assertTrue(panel["description"] and panel["fieldConfig"]["defaults"]["unit"], panel["title"])
                    self.assertTrue(all('instance=~"$instance"' in target["expr"] for target in panel["targets"]), panel["title"])

    def test_no_two_panels_overlap(self):
        for name in BOARDS:
            cells = [(panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y) for panel in board(name)["panels"]
                     for x in range(panel["gridPos"]["w"]) for y in range(panel["gridPos"]["h"])]
            self.assertEqual(len(cells), len(set(cells)), name)

    def test_they_are_what_their_tables_make(self):
        with tempfile.TemporaryDirectory(prefix="quarry-boards-") as folder:
            subprocess.run([sys.executable, os.path.join(ROOT, "packaging", "grafana", "generate"), folder], check=True, timeout=PATIENCE_S)
            for name in BOARDS:
                self.assertEqual(json.loads(read(os.path.join(folder, f"{name}.json"))), board(name))

    def test_alerts_ask_for_what_a_server_tells(self):
        told = set(re.findall(r"^(quarry_\w+)", self.ask("/metrics"), re.MULTILINE))
        documented = read(METRICS)
        asked = {name for line in read(RULES).splitlines() if "summary" not in line and "runbook" not in line
                 for name in metrics_of(line)}
        self.assertGreater(len(asked), 15)
        self.assertEqual(asked - told, set())
        self.assertEqual([name for name in asked if f"`{name}`" not in documented], [])

    def test_an_idle_server_gives_no_alarm(self):
        for expression in rules().values():
            if "lag_max" not in expression:  # a busy machine is late
                self.assertEqual(self.query(expression), [], expression)


def rules():
    """{alert: expression}: of the file's one layout, an expression on its line or folded below it."""
    found = re.findall(r"- alert: (\w+)\n    expr: (?:>-\n((?:      .*\n)+)|(.*)\n)", read(RULES))
    return {name: re.sub(r"\s+", " ", folded or plain).strip() for name, folded, plain in found}


# What makes each alert fire, and what does not: series in promtool's notation, one value a minute, for an hour.
CASES = {
    "QuarryDown": [('up{job="quarry"', "0x60", "1x60")],
    "QuarryErrors": [('quarry_http_answers_total{route="/",code="5xx"', "0+6x60", "0+4x60"),
                     ('quarry_http_answers_total{route="/",code="2xx"', "0+94x60", "0+96x60")],
    "QuarryLoopSlow": [('quarry_net_lag_max_seconds{', "0.01x55 0.2x5", "0.2x60")],
    "QuarryDescriptorsNearLimit": [('quarry_open_fds{', "81x60", "79x60"), ('quarry_max_fds{', "100x60", "100x60"),
                                   ('quarry_net_no_descriptors_total{', "0x60", "5x60")],
    "QuarryConnectionsNearLimit": [('quarry_net_connections{', "81x60", "79x60"),
                                   ('quarry_net_connections_max{', "100x60", "100x60")],
    "QuarryBudgetNearFull": [('quarry_memory_state_bytes{state="in_use"', "80x60", "80x60"),
                             ('quarry_memory_state_bytes{state="metadata"', "11x60", "9x60"),
                             ('quarry_memory_state_bytes{state="free_backed"', "9x60", "11x60"),
                             ('quarry_memory_limit_bytes{', "100x60", "100x60")],
    "QuarryBudgetRefusing": [('quarry_account_refusals_total{account="all"', "0+1x60", "7x60"),
                             ('quarry_account_refusals_total{account="cache"', "0x60", "0+1x60")],
    "QuarryMemoryIdle": [('quarry_memory_state_bytes{state="cached"', "200000000x60", "200000000x60"),
                         ('quarry_memory_state_bytes{state="free_backed"', "200000000x60", "50000000x60"),
                         ('quarry_memory_committed_bytes{', "1000000000x60", "500000000x60")],
    "QuarryCacheRefusing": [('quarry_cache_tenant_refused_no_memory_total{tenant="a"', "0+1x60", "9x60")],
    "QuarryCacheTooSmall": [('quarry_cache_tenant_ghost_hits_total{tenant="a"', "0+300x60", "0+100x60"),
                            ('quarry_cache_tenant_misses_total{tenant="a"', "0+1000x60", "0+1000x60")],
    "QuarryReadOnly": [('quarry_kv_read_only{', "1x60", "0x60")],
    "QuarryWritesDelayed": [('quarry_kv_delayed_seconds_total{how="stopped"', "0+10x60", "0+5x60"),
                            ('quarry_kv_delayed_seconds_total{how="slowed"', "0+5x60", "0+5x60")],
    "QuarryCompactionBacklog": [('quarry_kv_level_files{level="0"', "20x60", "19x60"),
                                ('quarry_kv_level_files{level="1"', "1x60", "100x60")],
    "QuarryWindowsLost": [('quarry_tsdb_early_windows_total{', "0x50 1x10", "3x60")],
    "QuarrySeriesLeftOut": [('quarry_tsdb_left_out_series{', "1x60", "0x60")],
    "QuarrySamplesRefused": [('quarry_tsdb_refused_samples_total{reason="no_memory"', "0+1x60", "1x60"),
                             ('quarry_tsdb_refused_samples_total{reason="too_old"', "0x60", "0+1x60")],
    "QuarryCardinality": [('quarry_tsdb_refused_samples_total{reason="metric_series_limit"', "0+1x60", "4x60"),
                          ('quarry_tsdb_refused_samples_total{reason="duplicate"', "0x60", "0+1x60")],
    "QuarryScrapesFail": [('quarry_scrape_failures_total{', "0+6x60", "0+5x60"),
                          ('quarry_scrape_scrapes_total{', "0+10x60", "0+10x60")],
    "QuarryTargetsUnreadable": [('quarry_scrape_file_errors_total{', "0+1x60", "1x60")],
}


def case(alert, series):
    """A group of promtool's tests: of two instances the bad one alone fires."""
    lines = []
    for name, *values in series:
        for instance, value in zip(("bad", "good"), values):
            labels = name + ("" if name.endswith("{") else ",") + f'instance="{instance}"}}'
            lines.append({"series": labels, "values": value})
    return {"interval": "1m", "name": alert, "input_series": lines,
            "promql_expr_test": [{"expr": f'count by (alertname, instance) (ALERTS{{alertstate="firing",alertname="{alert}"}})',
                                  "eval_time": "58m",
                                  "exp_samples": [{"labels": f'{{alertname="{alert}",instance="bad"}}', "value": 1}]},
                                 {"expr": 'count(ALERTS{alertstate="firing",instance="good"})', "eval_time": "58m"}]}


class Alerts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tool = find_program("prometheus", "promtool")
        if not cls.tool:
            sys.exit(77)

    def promtool(self, *words):
        done = subprocess.run([self.tool, *words], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def test_the_rules_are_well_formed(self):
        self.assertIn(f"{len(CASES)} rules found", self.promtool("check", "rules", RULES))

    def test_each_fires_and_does_not(self):
        self.assertEqual(set(rules()), set(CASES))
        tests = {"rule_files": [os.path.abspath(RULES)], "evaluation_interval": "1m",
                 "tests": [case(*item) for item in CASES.items()]}
        with tempfile.NamedTemporaryFile("w", suffix=".yml", prefix="quarry-alerts-") as file:
            json.dump(tests, file)  # which is YAML
            file.flush()
            self.promtool("test", "rules", file.name)

    def test_each_has_a_runbook(self):
        text = read(RUNBOOKS)
        self.assertEqual(re.findall(r"^## (\w+)$", text, re.MULTILINE), list(rules()))
        for section in text.split("\n## ")[1:]:
            for word in ("*Means*", "*Look*", "*Do*"):
                self.assertIn(word.lower(), section.lower())
        pointed = re.findall(r"runbook_url: docs/runbooks\.md#(\w+)$", read(RULES), re.MULTILINE)
        self.assertEqual(pointed, [name.lower() for name in rules()])


if __name__ == "__main__":
    set_program(sys.argv.pop(1))
    unittest.main()
