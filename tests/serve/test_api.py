#!/usr/bin/python3
"""Prometheus' HTTP API: every endpoint, beside Debian's Prometheus with the same series.

    test_api.py PROGRAM [unittest's arguments]
"""

import json
import math
import os
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from peers import find_program  # noqa: E402
from server import Server, set_program

PATIENCE_S = 60
STEP_MS = 15000
POINTS = 40
# The last sample, off any edge of a window: whether ranges are closed on the left is not seen then.
LAST_MS = int(time.time()) // 60 * 60 * 1000 - 60000 + 137
FIRST_MS = LAST_MS - (POINTS - 1) * STEP_MS


def seconds(ms):
    return f"{ms / 1000:.3f}"


def page():
    """Counters, gauges and a classic histogram, as OpenMetrics has them."""
    lines = []

    def series(name, labels, value):
        for i in range(POINTS):
            lines.append(f"{name}{labels} {value(i)} {seconds(FIRST_MS + i * STEP_MS)}")

    lines.append("# TYPE requests counter\n# HELP requests What was asked.")
    for job, rate in (("api", 3), ("web", 7.5)):
        for code in ("200", "500"):
            series("requests_total", f'{{job="{job}",code="{code}"}}', lambda i: i * rate * len(job) + int(code))
    lines.append("# TYPE temperature gauge\n# HELP temperature \"Hot\" or not.")
    series("temperature", '{room="cellar"}', lambda i: -5.25 + math.sin(i))
    series("temperature", '{room="roof",side="\\"north\\" <é>"}', lambda i: 1e21 if i % 7 == 3 else 0.1 * i)
    lines.append("# TYPE latency histogram")
    for le, share in (("0.1", 1), ("0.5", 4), ("+Inf", 5)):
        series("latency_bucket", f'{{le="{le}"}}', lambda i: i * share)
    series("latency_count", "", lambda i: i * 5)
    series("latency_sum", "", lambda i: i * 1.5)
    return "\n".join(lines + ["# EOF", ""])


def ask(address, path, parameters=(), method="GET", headers=None):
    """Status, headers and body of an answer."""
    text = urllib.parse.urlencode(parameters)
    body = text.encode() if method == "POST" else None
    url = f"http://{address}{path}" + (f"?{text}" if text and method != "POST" else "")
    fields = {"Content-Type": "application/x-www-form-urlencoded"} if body is not None else {}
    fields.update(headers or {})
    request = urllib.request.Request(url, data=body, method=method, headers=fields)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def wait_until(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("it did not come about")
        time.sleep(0.05)


class Peer:
    """Prometheus with the page in its blocks."""

    def __init__(self, program, tool, folder, text=None):
        with open(f"{folder}/page", "w", encoding="utf-8") as file:
            file.write(page() if text is None else text)
        with open(f"{folder}/config", "w", encoding="utf-8") as file:
            file.write("global: {}\n")
        subprocess.run([tool, "tsdb", "create-blocks-from", "openmetrics", f"{folder}/page", f"{folder}/data"],
                       check=True, capture_output=True, timeout=PATIENCE_S)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self.process = subprocess.Popen(
            [program, f"--config.file={folder}/config", f"--storage.tsdb.path={folder}/data",
             f"--web.listen-address={self.address}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self.is_ready)

    def is_ready(self):
        try:
            return ask(self.address, "/-/ready")[0] == 200
        except OSError:
            return False

    def close(self):
        self.process.kill()
        self.process.wait()


# What both answer alike, byte for byte but for rounding's last digits and the order of vectors.
QUERIES = (
    "1+1", "'text'", "temperature", "requests_total{code=\"500\"}", "sum by (job) (rate(requests_total[5m]))",
    "histogram_quantile(0.9, rate(latency_bucket[5m]))", "temperature > 0", "-temperature", "1/0", "0/0", "-1/0",
    "absent(nothing)", "nothing", "max_over_time(temperature[110s])", "requests_total offset 1m",
    "topk(1, requests_total)", "label_replace(temperature, \"a\", \"$1\", \"room\", \"(.*)\")",
    "requests_total{job=~\"a.*\"} / on (code) group_left requests_total{job=\"web\"}", "time()", "vector(1e-7)",
    "count_values(\"v\", latency_count)", "avg_over_time(temperature[3m:30s])",
)
BAD_QUERIES = ("sum(", "requests_total[5m", "foo{", "1 +", "rate(temperature)")
SELECTORS = (
    ["requests_total"], ["{job=\"api\"}"], ["temperature", "{code=\"500\"}"], ["{__name__=~\".+\"}"],
    ["requests_total", "{job=\"web\"}", "requests_total{code=\"200\"}"], ["nothing"], ["latency_bucket{le!=\"0.1\"}"],
)


def normal(value):
    """Numbers to eleven digits, lists of series in the order of their labels."""
    if isinstance(value, dict):
        value = {key: normal(member) for key, member in value.items()}
        if value.get("resultType") == "vector":
            value["result"].sort(key=lambda series: sorted(series["metric"].items()))
        return value
    if isinstance(value, list):
        return [normal(member) for member in value]
    if isinstance(value, str):
        try:
            number = float(value)
            return value if not math.isfinite(number) else f"{number:.11g}"
        except ValueError:
            return value
    return value


class Api(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # Its own figures would be among the series, at a moment that nobody knows.
        cls.server = Server("--set", "tsdb.out_of_order=1h", "--set", "tsdb.self_scrape=off", memcached="off",
                            http="127.0.0.1:0").__enter__()
        cls.addClassCleanup(cls.server.__exit__)
        cls.server.ready()
        cls.address = next(door["address"] for door in cls.server.doors() if door["protocol"] == "http")
        status, _, body = ask_raw(cls.address, "/api/v1/import/prometheus", page().encode(),
                                  "application/openmetrics-text; version=1.0.0; charset=utf-8")
        assert status in (200, 204), body

    def get(self, path, parameters=(), status=200, method="GET"):
        answer_status, headers, body = ask(self.address, path, parameters, method)
        self.assertEqual(answer_status, status, body)
        self.assertEqual(headers["Content-Type"], "application/json")
        answer = json.loads(body)
        self.assertEqual(answer["status"], "success" if status == 200 else "error")
        return answer

    def test_queries_come_by_get_and_by_post(self):
        parameters = [("query", "requests_total{job=\"api\",code=\"200\"}"), ("time", seconds(LAST_MS))]
        for method in ("GET", "POST"):
            answer = self.get("/api/v1/query", parameters, method=method)
            self.assertEqual(answer["data"], {"resultType": "vector", "result": [
                {"metric": {"__name__": "requests_total", "code": "200", "job": "api"},
                 "value": [LAST_MS / 1000, "551"]}]})

    def test_ranges_have_all_their_points(self):
        answer = self.get("/api/v1/query_range", [
            ("query", "latency_count"), ("start", seconds(FIRST_MS)), ("end", seconds(LAST_MS)), ("step", "15s")])
        (series,) = answer["data"]["result"]
        self.assertEqual([float(value) for _, value in series["values"]], [i * 5 for i in range(POINTS)])

    def test_a_long_answer_comes_in_pieces(self):
        answer = self.get("/api/v1/query_range", [
            ("query", "{__name__=~\".+\"}"), ("start", LAST_MS / 1000 - 550), ("end", LAST_MS / 1000),
            ("step", "0.06")])
        lengths = [len(series["values"]) for series in answer["data"]["result"]]
        self.assertGreater(sum(lengths), 9 * 9000)

    def test_errors_have_types_and_codes(self):
        for path, parameters, status, kind, text in (
                ("query", [("query", "sum(")], 400, "bad_data", "invalid parameter \"query\": 1:5: parse error: "),
                ("query", [("query", "1"), ("time", "x")], 400, "bad_data", "cannot parse \"x\" to a valid timestamp"),
                ("query_range", [("query", "1"), ("start", "2"), ("end", "1"), ("step", "1")], 400, "bad_data",
                 "invalid parameter \"end\": end timestamp must not be before start time"),
                ("query_range", [("query", "1"), ("start", "0"), ("end", "1"), ("step", "0")], 400, "bad_data",
                 "zero or negative query resolution step widths are not accepted. Try a positive integer"),
                ("query_range", [("query", "1"), ("start", "0"), ("end", "11001"), ("step", "1")], 400, "bad_data",
                 "exceeded maximum resolution of 11,000 points per timeseries"),
                ("query_range", [("query", "up[5m]"), ("start", "0"), ("end", "1"), ("step", "1")], 400, "bad_data",
                 "invalid expression type \"range vector\" for range query, must be Scalar or instant Vector"),
                ("query", [("query", "requests_total + ignoring(code) requests_total"), ("time", seconds(LAST_MS))],
                 422, "execution", "found duplicate series for the match group"),
                ("query", [("query", "count_over_time({__name__=~\".+\"}[1h:1ms])"), ("timeout", "0"),
                           ("time", seconds(LAST_MS))], 503, "timeout", "timed out"),
                ("query", [("query", "1"), ("compat", "2.41")], 400, "bad_data",
                 "invalid parameter \"compat\": must be 3 or 2.42"),
                ("series", [], 400, "bad_data", "no match[] parameter provided"),
                ("series", [("match[]", "{a=\"\"}")], 400, "bad_data", "at least one non-empty matcher"),
                ("labels", [("limit", "-1")], 400, "bad_data", "limit must be non-negative")):
            with self.subTest(path=path, parameters=parameters):
                answer = self.get(f"/api/v1/{path}", parameters, status)
                self.assertEqual(answer["errorType"], kind)
                self.assertIn(text, answer["error"])

    def test_rules_of_242_are_asked_for(self):
        # A range of a sample at either end: the older one counts in 2.42 alone.
        def count(*compat):
            answer = self.get("/api/v1/query", [("query", "count_over_time(requests_total{job=\"web\",code=\"200\"}[15s])"),
                                                ("time", seconds(LAST_MS)), *compat])
            return answer["data"]["result"][0]["value"][1]

        self.assertEqual([count(), count(("compat", "3")), count(("compat", "2.42"))], ["1", "1", "2"])

    def test_limits_cut_with_a_warning(self):
        for path, parameters in (("series", [("match[]", "requests_total")]), ("labels", []),
                                 ("label/le/values", []),
                                 ("query", [("query", "requests_total"), ("time", seconds(LAST_MS))])):
            answer = self.get(f"/api/v1/{path}", parameters + [("limit", "2")])
            data = answer["data"]["result"] if path == "query" else answer["data"]
            self.assertEqual(len(data), 2)
            self.assertEqual(answer["warnings"], ["results truncated due to limit"])

    def test_a_time_without_samples_has_no_series(self):
        parameters = [("match[]", "requests_total"), ("start", "1"), ("end", "2")]
        for path in ("series", "labels", "label/job/values"):
            self.assertEqual(self.get(f"/api/v1/{path}", parameters)["data"], [])

    def test_the_head_is_counted(self):
        data = self.get("/api/v1/status/tsdb")["data"]
        self.assertEqual(data["headStats"]["numSeries"], 11)
        self.assertEqual(data["seriesCountByMetricName"][0], {"name": "requests_total", "value": 4})
        self.assertIn({"name": "le", "value": 3}, data["labelValueCountByLabelName"])
        self.assertIn({"name": "job=api", "value": 2}, data["seriesCountByLabelValuePair"])
        self.assertIn({"name": "job", "value": 6}, data["memoryInBytesByLabelName"])

    def test_the_rest_has_its_shape(self):
        for path, data in (("rules", {"groups": []}), ("alerts", {"alerts": []}),
                           ("alertmanagers", {"activeAlertmanagers": [], "droppedAlertmanagers": []}),
                           ("targets", {"activeTargets": [], "droppedTargets": [], "droppedTargetCounts": {}}),
                           ("scrape_pools", {"scrapePools": []})):
            self.assertEqual(self.get(f"/api/v1/{path}")["data"], data)
        self.assertEqual(self.get("/api/v1/query_exemplars", [("query", "up")])["data"], [])
        self.assertEqual(self.get("/api/v1/status/walreplay")["data"]["state"], "done")
        self.assertTrue(self.get("/api/v1/status/buildinfo")["data"]["version"])
        self.assertTrue(self.get("/api/v1/status/runtimeinfo")["data"]["startTime"].endswith("Z"))
        status, _, body = ask(self.address, "/api/v1/admin/tsdb/clean_tombstones", method="POST")
        self.assertEqual((status, json.loads(body)["errorType"]), (500, "unavailable"))

    def test_expressions_are_laid_out_and_told_as_trees(self):
        self.assertEqual(self.get("/api/v1/format_query", [("query", "sum(up)by(job)")])["data"], "sum by (job) (up)")
        tree = self.get("/api/v1/parse_query", [("query", "rate(up{job!=\"a\\\"b\"}[5m]) > bool 2")])["data"]
        self.assertEqual((tree["type"], tree["op"], tree["bool"]), ("binaryExpr", ">", True))
        self.assertEqual((tree["lhs"]["type"], tree["lhs"]["func"]["name"]), ("call", "rate"))
        selector = tree["lhs"]["args"][0]
        self.assertEqual((selector["type"], selector["range"]), ("matrixSelector", 300000))
        self.assertIn({"name": "job", "type": "!=", "value": "a\"b"}, selector["matchers"])
        self.assertEqual((tree["rhs"]["type"], tree["rhs"]["val"]), ("numberLiteral", "2"))
        for path in ("format_query", "parse_query"):
            for query in ("", "sum(", "up{"):
                status, _, body = ask(self.address, f"/api/v1/{path}", [("query", query)], method="POST")
                answer = json.loads(body)
                self.assertEqual((status, answer["errorType"]), (400, "bad_data"))
                self.assertTrue(answer["error"].startswith('invalid parameter "query": '))

    def test_metadata_is_what_pages_said(self):
        data = self.get("/api/v1/metadata", [("metric", "temperature")])["data"]
        self.assertEqual(data["temperature"][0]["type"], "gauge")
        self.assertEqual(data["temperature"][0]["help"], "\"Hot\" or not.")
        self.assertEqual(len(self.get("/api/v1/metadata", [("limit", "1")])["data"]), 1)

    def test_pages_of_other_origins_may_read(self):
        origin = {"Origin": "http://elsewhere.example"}
        for method, path in (("GET", "/api/v1/query?query=1"), ("OPTIONS", "/api/v1/query"),
                             ("OPTIONS", "/api/v1/label/job/values")):
            status, headers, _ = ask(self.address, path, method=method, headers=origin)
            self.assertEqual(status, 204 if method == "OPTIONS" else 200)
            self.assertEqual(headers["Access-Control-Allow-Origin"], "*")
        _, headers, _ = ask(self.address, "/api/v1/admin/tsdb/snapshot", method="OPTIONS", headers=origin)
        self.assertIsNone(headers["Access-Control-Allow-Origin"])

    def test_answers_are_prometheus(self):
        program, tool = find_program("prometheus", "prometheus"), find_program("prometheus", "promtool")
        if not program or not tool:
            self.skipTest("there is no Prometheus")
        with tempfile.TemporaryDirectory(prefix="quarry-api-") as folder:
            peer = Peer(program, tool, folder)
            self.addCleanup(peer.close)
            self.compare(peer)
            self.ask_by_promtool(tool)

    def compare(self, peer):
        at, edges = [("time", seconds(LAST_MS))], [
            ("start", seconds(FIRST_MS + 300000)), ("end", seconds(LAST_MS)), ("step", "30")]
        span = [("start", seconds(FIRST_MS)), ("end", seconds(LAST_MS))]
        requests = [("query", [("query", query)] + at) for query in QUERIES + BAD_QUERIES]
        requests += [("query_range", [("query", query)] + edges) for query in QUERIES if query != "'text'"]
        for selectors in SELECTORS:
            matches = [("match[]", selector) for selector in selectors]
            for path in ("series", "labels", "label/job/values", "label/__name__/values"):
                requests.append((path, matches + span))
        requests += [("labels", []), ("label/room/values", []), ("label/none/values", []), ("series", []),
                     ("query_exemplars", [("query", "up")]),
                     ("format_query", [("query", "sum(rate(requests_total{job='api'}[5m]))by(code)/ignoring(code)group_left"
                                                 "()(sum(temperature offset 5m))or on(job)vector(1)")]),
                     ("query", [("query", "1"), ("timeout", "x")]),
                     ("query_range", [("query", "1"), ("start", "x"), ("end", "1"), ("step", "1")]),
                     ("query_range", [("query", "1"), ("start", "0"), ("end", "1"), ("step", "x")]),
                     ("query_range", [("query", "1"), ("start", "2"), ("end", "1"), ("step", "1")])]
        for path, parameters in requests:
            with self.subTest(path=path, parameters=parameters):
                ours, theirs = (ask(address, f"/api/v1/{path}", parameters) for address in
                                (self.address, peer.address))
                self.assertEqual(ours[0], theirs[0], (ours[2], theirs[2]))
                self.assertEqual(normal(json.loads(ours[2])), normal(json.loads(theirs[2])))

    def ask_by_promtool(self, tool):
        url = f"http://{self.address}"
        for arguments, word in (
                (["instant", f"--time={seconds(LAST_MS)}", url, "latency_count"], "195"),
                (["range", f"--start={seconds(FIRST_MS)}", f"--end={seconds(LAST_MS)}", "--step=15s", url,
                  "latency_count"], "195"),
                (["series", "--match=temperature", f"--start={seconds(FIRST_MS)}", f"--end={seconds(LAST_MS)}", url],
                 "cellar"),
                (["labels", f"--start={seconds(FIRST_MS)}", f"--end={seconds(LAST_MS)}", url, "room"], "roof")):
            answer = subprocess.run([tool, "query", *arguments], capture_output=True, text=True, timeout=PATIENCE_S)
            self.assertEqual(answer.returncode, 0, answer.stderr)
            self.assertIn(word, answer.stdout)


def ask_raw(address, path, body, content_type):
    request = urllib.request.Request(f"http://{address}{path}", data=body, headers={"Content-Type": content_type})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


if __name__ == "__main__":
    set_program(sys.argv.pop(1))
    unittest.main()
