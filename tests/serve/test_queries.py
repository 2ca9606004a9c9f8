#!/usr/bin/python3
"""Queries that are too much, and queries that nobody waits for: they end, and leave nothing.

    test_queries.py PROGRAM [unittest's arguments]
"""

import json
import os
import socket
import sys
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

from server import PATIENCE_S, Server, set_program

SERIES = 600
SAMPLES = 20
STEP_MS = 15000
LAST_MS = int(time.time()) // 60 * 60 * 1000 - 60000
FIRST_MS = LAST_MS - (SAMPLES - 1) * STEP_MS
QUERY_BYTES = 24 << 20  # tsdb.query_memory; a quarter of it is for sets of series
TOO_MUCH = "query processing would load too many samples into memory in query execution"
# Ten thousand times ten thousand samples of each of 600 series, and that at each step: hours.
ENDLESS = "sum(sum_over_time(sum_over_time(m[10s:1ms])[10s:1ms]))"


def page():
    lines = ["# TYPE m gauge"]
    for i in range(SERIES):
        for j in range(SAMPLES):
            lines.append(f'm{{i="{i}",g="{i % 10}"}} {i * j} {(FIRST_MS + j * STEP_MS) / 1000:.3f}')
    return "\n".join(lines + ["# EOF", ""])


def ask(address, path, parameters=None, body=None, content_type="application/x-www-form-urlencoded"):
    """Status and body of an answer; parameters go as a form."""
    if parameters is not None:
        body = urllib.parse.urlencode(parameters).encode()
    request = urllib.request.Request(f"http://{address}{path}", data=body,
                                     headers={"Content-Type": content_type} if body is not None else {})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def wait_until(condition, what):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.05)


class Queries(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--set", "tsdb.out_of_order=1h", "--set", "tsdb.self_scrape=off",
                            "--set", f"tsdb.query_memory={QUERY_BYTES >> 20}m", "--set", "tsdb.query_threads=2",
                            "--set", "tsdb.query_timeout=5m", memcached="off", http="127.0.0.1:0").__enter__()
        cls.addClassCleanup(cls.server.__exit__)
        cls.server.ready()
        cls.address = next(door["address"] for door in cls.server.doors() if door["protocol"] == "http")
        status, body = ask(cls.address, "/api/v1/import/prometheus", body=page().encode(),
                           content_type="application/openmetrics-text; version=1.0.0; charset=utf-8")
        assert status in (200, 204), body

    def account(self, figure):
        """A figure of the account of queries."""
        _, text = ask(self.address, "/metrics")
        for line in text.decode().splitlines():
            if line.startswith(f"quarry_account_{figure}_bytes{{") and 'account="queries"' in line:
                return int(float(line.split()[-1]))
        raise AssertionError(f"no {figure} of queries")

    def is_idle(self):
        """Whether no thread that queries run on has anything to do."""
        folder = f"/proc/{self.server.process.pid}/task"
        for thread in os.listdir(folder):
            with open(f"{folder}/{thread}/stat", encoding="ascii", errors="replace") as file:
                name, rest = file.read().rsplit(")", 1)
            if ("quarry-query" in name or "quarry-http" in name) and rest.split()[0] != "S":
                return False
        return True

    def leaves_nothing(self):
        wait_until(lambda: self.account("charged") == 0, "memory of queries is given back")
        wait_until(self.is_idle, "threads of queries sleep")
        self.assertLessEqual(self.account("peak"), QUERY_BYTES)

    def query(self, query, **more):
        parameters = {"query": query, "time": LAST_MS / 1000} | more
        status, body = ask(self.address, "/api/v1/query", parameters)
        answer = json.loads(body)
        self.assertEqual(answer["status"], "success" if status == 200 else "error")
        return status, answer.get("errorType"), answer.get("error", "")

    def query_range(self, query, start_s, end_s, step):
        status, body = ask(self.address, "/api/v1/query_range",
                           {"query": query, "start": start_s, "end": end_s, "step": step})
        answer = json.loads(body)
        return status, answer.get("errorType"), answer.get("error", "")

    def test_what_is_too_much_is_refused(self):
        nested = "m"
        for i in range(40):
            nested = f'label_replace({nested}, "a", "$1$1$1$1$1$1$1$1", "{"a" if i else "i"}", "(.*)")'
        for query, status, kind, text in (
                ("m[1y:1s]", 422, "execution", TOO_MUCH),
                ("sum_over_time(m[1y:1s])", 422, "execution", TOO_MUCH),
                ("count_over_time(m[100y:1ms])", 422, "execution", TOO_MUCH),
                (nested, 422, "execution", TOO_MUCH),
                ("(" * 400 + "m" + ")" * 400, 400, "bad_data", "deep"),
                ("-" * 5000 + "m", 400, "bad_data", "deep"),
                ("topk(1e30, m)", 422, "execution", "overflows int64"),
                ("m * on (g) m", 422, "execution", "many-to-many matching not allowed"),
                ("m * on () group_left () m", 422, "execution", "many-to-many matching not allowed"),
                ('m{i=~"((x{1000}){1000}){1000}"}', 400, "bad_data", "invalid repeat count"),
                ('label_replace(m, "a", "$1", "i", "((x{1000}){1000}){1000}")', 422, "execution",
                 "invalid regular expression")):
            with self.subTest(query=query[:80]):
                seen = self.query(query)
                self.assertEqual(seen[:2], (status, kind), seen)
                self.assertIn(text, seen[2])
                self.leaves_nothing()

    def test_what_looks_like_much_is_answered(self):
        long = "+".join(["1"] * 5000)
        for query in ("topk(1000000, m)", "quantile(0.5, m)", "sum by (g) (m and on () m)", "count(m or m or m)",
                      'count(m{i=~"(((((1*)*)*)*)*)*[0-9]+"})', "sum(m) + " + "+".join(["sum(m)"] * 50),
                      "sum(count_over_time(m[10y]))", "sort_desc(m)", 'count_values("v", m)'):
            with self.subTest(query=query[:80]):
                self.assertEqual(self.query(query), (200, None, ""))
                self.leaves_nothing()
        self.assertIn(self.query(long)[0], (200, 400))  # 5,000 levels of a tree are too deep, or are not

    def test_a_query_ends_at_its_deadline(self):
        for query in (ENDLESS, "sort(quantile_over_time(0.5, sum_over_time(m[10s:1ms])[10s:1ms]))",
                      'label_replace(topk(5, max_over_time(stddev_over_time(m[10s:1ms])[10s:1ms])), "a", "", "", "")'):
            with self.subTest(query=query):
                seen = self.query(query, timeout="300ms")
                self.assertEqual(seen, (503, "timeout", "query timed out in expression evaluation"))
                self.leaves_nothing()

    def test_ranges_of_many_steps_stay_within_memory(self):
        end_s = LAST_MS / 1000
        for query in ("m", "m + m", "topk(300, m)", "quantile_over_time(0.9, m[5m])"):
            with self.subTest(query=query):
                seen = self.query_range(query, end_s - 285, end_s, "0.026")
                self.assertEqual(seen, (422, "execution", TOO_MUCH))
                self.leaves_nothing()
        self.assertEqual(self.query_range("sum by (g) (rate(m[1m]))", end_s - 285, end_s, "0.026")[0], 200)
        self.leaves_nothing()

    def test_a_query_ends_when_its_client_has_gone(self):
        host, port = self.address.rsplit(":", 1)
        text = urllib.parse.urlencode({"query": ENDLESS, "time": LAST_MS / 1000})
        for _ in range(3):
            with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as link:
                link.sendall(f"GET /api/v1/query?{text} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                wait_until(lambda: self.account("charged") > 0, "the query runs")
            self.leaves_nothing()


if __name__ == "__main__":
    set_program(sys.argv.pop(1))
    unittest.main()
