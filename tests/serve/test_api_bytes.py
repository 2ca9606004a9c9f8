#!/usr/bin/python3
"""Answers of Prometheus' HTTP API, byte for byte those of Debian's Prometheus with the same series.

    test_api_bytes.py PROGRAM [unittest's arguments]

Some hundred requests, made from tables: good ones, and wrong ones in every parameter. What differs is told in KNOWN with its
reason; one that does not differ any more is an error, too. Left out without Prometheus: exit status 77.
"""

import http.client
import os
import re
import sys
import tempfile
import unittest
import urllib.parse

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import test_api as base  # noqa: E402
from server import Server, set_program  # noqa: E402

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from peers import find_program  # noqa: E402

PATIENCE_S = 60
AT = base.seconds(base.LAST_MS)
FIRST = base.seconds(base.FIRST_MS + 300000)

ODD = ("NaN", "+Inf", "-Inf", "0", "-0", "1e-7", "0.000001", "1e20", "1e21", "123456789.125", "5e-324", "1.7976931348623157e308")


def page():
    """The other test's series, and such whose values and labels are hard to write down."""
    lines = ["# TYPE odd gauge"]
    for i, value in enumerate(ODD):
        lines.append(f'odd{{n="{i:02d}"}} {value} {AT}')
    lines.append("# TYPE text gauge")
    for label in ('a"b', "a\\\\b", "a\\nb", "<b>&amp;</b>", "é", "😀", "\u2028", "tab\there", "\x01", "\x7f", "'"):
        label = label.replace('"', '\\"')
        lines.append(f'text{{v="{label}"}} 1 {AT}')
    return base.page().replace("# EOF\n", "") + "\n".join(lines + ["# EOF", ""])


TIMES_GOOD = (AT, AT + "4", "%.1f" % (base.LAST_MS / 1000), str(base.LAST_MS // 1000 + 1), "1e9", "0", "-1", "1435781430.781",
              "2015-07-01T20:10:30.781Z", "2015-07-01T20:10:30Z", "2015-07-01T22:10:30.781+02:00", "2015-07-01T20:10:30.781999999Z",
              "2016-02-29T00:00:00Z")
TIMES_BAD = ("x", "1x", " 1", "1 ", "2015-07-01", "2015-07-01T20:10:30", "2015-13-01T00:00:00Z", "2015-02-29T00:00:00Z",
             "2015-07-01T24:00:00Z", "2015-07-01T20:60:30Z", "2015-07-01t20:10:30z", "--1", "1,5", "é", "\"", "<")
DURATIONS_BAD = ("x", "1x", "m", "5", "1h1h", "-5s", "1.5h", "5m 3s", "1s1m", "")
QUERIES = (
    "1", "1.5e3", "-1", "NaN", "Inf", "-Inf", "1e-7", "1e21", "1e20", "0.000001", "0x1F", "\"\"", "'a\\nb'", "`a\\b`", "\"<é&>\"",
    "time()", "vector(1)", "scalar(vector(3))", "pi()", "odd", "sort(odd)", "text", "odd{n=\"00\"}", "odd > 0", "odd >= bool 0",
    "nothing", "absent(odd)", "absent(nothing{a=\"b\"})", "count(odd)", "count(text) by (v)", "sum without (v) (text)",
    "requests_total", "requests_total{code=~\"5..\"}", "requests_total{code!~\"5..\",job=\"api\"}", "-requests_total",
    "requests_total offset 1m", f"requests_total @ {AT}", "requests_total[50s]", "requests_total[50s] offset 30s", "odd[5m]",
    "temperature[2m:30s]", "latency_bucket", "label_replace(text, \"w\", \"<$1>\", \"v\", \"(.*)\")",
    "label_join(requests_total, \"both\", \"&\", \"job\", \"code\")", "clamp(latency_count, 3, 100)", "timestamp(latency_count)",
    "count_values(\"le<\", latency_count)", "topk(1, latency_count)", "latency_count == latency_count", "1 == bool 1",
    "vector(1) and vector(2)", "requests_total{job=\"api\"} or requests_total", "1 # a comment", "\n1\n+\n1\n",
    "max_over_time(latency_count[50s])", "changes(latency_count[110s])", "resets(latency_count[110s])",
    "requests_total * on (code, job) group_left requests_total", "day_of_week()", "minute(vector(90))", "sgn(odd)", "abs(odd)")
QUERIES_BAD = (
    "", " ", "sum(", "sum)", "foo{", "foo{a}", "foo{a=}", "foo{a=b}", "foo{a=\"b\"", "foo[", "foo[5]", "foo[5m", "foo[0m]",
    "foo[1m][1m]", "1 +", "+ 1 +", "1 1", "rate(foo)", "rate(foo[5m], 1)", "rate()", "unknown(1)", "sum(1)", "sum(foo[5m])",
    "foo offset", "foo offset x", "foo @", "foo @ x", "foo[5m] + 1", "\"a\" + 1", "1 and 1", "1 == 1", "foo == bool", "{}",
    "{a=\"\"}", "{a=~\".*\"}", "foo{a=~\"(\"}", "foo{__name__=\"bar\"}", "\"unclosed", "'a\nb'", "foo{a=\"\\q\"}", "`", "é", "$",
    "1h", "foo by (a)", "sum by (a foo", "topk(foo)", "count_values(1, foo)", "label_replace(foo, \"a\", \"b\")", "=", "!", "foo !",
    "foo =~ bar", "1 / / 2", "a b", "(((((", "on", "group_left", "foo group_left bar", "foo + group_left bar", "<&>")
# They are evaluated before they are refused.
QUERIES_FAIL = (
    "requests_total + ignoring (code) requests_total", "requests_total * on (job) requests_total",
    "label_replace(text, \"a b\", \"\", \"\", \"\")", "label_replace(text, \"a\", \"\", \"v\", \"(\")",
    "label_replace(text, \"v\", \"same\", \"v\", \".*\")", "quantile(0.5, odd) + topk(1, NaN)", "count_values(\"a b\", odd)",
    "scalar(odd) + 1")
SELECTORS_GOOD = (["odd"], ["text"], ["{job=\"api\"}"], ["requests_total", "{code=\"500\"}"], ["nothing"],
                  ["{__name__=~\"re.*\"}"], ["{job=~\".+\"}", "odd", "odd"], ["temperature{side=\"\"}"])
SELECTORS_BAD = (["{"], ["foo{"], ["1"], ["{}"], ["{a=\"\"}"], ["{a=~\".*\"}"], ["odd", "x{"], ["sum(odd)"], ["odd[5m]"], [""],
                 ["{a=~\"(\"}"], ["odd offset 5m"], ["é"])
LABEL_NAMES = ("job", "code", "le", "__name__", "none", "v", "a-b", "0a", "a.b", "%C3%A9", "_", "__", "a%20b")


def requests():
    """(method, path, parameters)"""
    at = [("time", AT)]
    for query in QUERIES + QUERIES_BAD + QUERIES_FAIL:
        yield "GET", "query", [("query", query)] + at
    for query in QUERIES[::3] + QUERIES_BAD[::3]:
        yield "POST", "query", [("query", query)] + at
    for time in TIMES_GOOD + TIMES_BAD:
        yield "GET", "query", [("query", "1"), ("time", time)]
        yield "GET", "query_range", [("query", "1"), ("start", time), ("end", "4e9"), ("step", "1e9")]
        yield "GET", "query_range", [("query", "1"), ("start", "-1e9"), ("end", time), ("step", "1e9")]
        yield "GET", "series", [("match[]", "nothing"), ("start", time)]
        yield "POST", "labels", [("match[]", "nothing"), ("end", time)]
    for time in TIMES_BAD[:4]:
        yield "GET", "label/job/values", [("start", time)]
        yield "GET", "query_exemplars", [("query", "odd"), ("start", time)]
        yield "GET", "query_exemplars", [("query", "odd"), ("end", time)]
    for timeout in DURATIONS_BAD:
        yield "GET", "query", [("query", "1"), ("timeout", timeout)] + at
        yield "GET", "query_range", [("query", "1"), ("start", "0"), ("end", "1"), ("step", "1"), ("timeout", timeout)]
    for step in DURATIONS_BAD + ("0", "-1", "0s", "NaN", "Inf", "1e3", "0.5", "1m", "1h30m", "1d", "1w", "1y", "1ms", "9e99"):
        yield "GET", "query_range", [("query", "1"), ("start", "0"), ("end", "5"), ("step", step)]
    for start, end, step in (("0", "11000", "1"), ("0", "11001", "1"), ("0", "0", "1"), ("1", "0", "1"), ("0", "11000.5", "1"),
                             ("0", "1", "0.001"), (AT, AT, "1"), (FIRST, AT, "30"), (FIRST, AT, "17.5")):
        yield "GET", "query_range", [("query", "latency_count"), ("start", start), ("end", end), ("step", step)]
    for query in QUERIES:
        yield "GET", "query_range", [("query", query), ("start", FIRST), ("end", AT), ("step", "30")]
    for query in QUERIES_BAD[::5] + QUERIES_FAIL:
        yield "POST", "query_range", [("query", query), ("start", FIRST), ("end", AT), ("step", "30")]
    whole = [("query", "1"), ("start", "0"), ("end", "1"), ("step", "1")]
    for left_out in range(len(whole)):
        yield "GET", "query_range", whole[:left_out] + whole[left_out + 1:]
        yield "GET", "query_range", whole + [(whole[left_out][0], "2")]
    yield "GET", "query", []
    span = [("start", base.seconds(base.FIRST_MS)), ("end", AT)]
    for selectors in SELECTORS_GOOD + SELECTORS_BAD:
        for path in ("series", "labels", "label/job/values", "label/__name__/values"):
            yield "GET", path, [("match[]", selector) for selector in selectors] + span
        yield "POST", "series", [("match[]", selector) for selector in selectors] + span
    for name in LABEL_NAMES:
        yield "GET", f"label/{name}/values", []
        yield "GET", f"label/{name}/values", [("match[]", "requests_total")] + span
    for path in ("series", "labels", "label/job/values"):
        yield "GET", path, [("match[]", "odd"), ("start", "1"), ("end", "2")]
        yield "GET", path, [("match[]", "odd"), ("start", "2"), ("end", "1")]
        yield "GET", path, [("match", "odd")] + span
    for query in QUERIES + QUERIES_BAD:
        yield "GET", "format_query", [("query", query)]
    for query in ("odd", "odd + text", "", "odd{", "sum(odd)", "1"):
        yield "GET", "query_exemplars", [("query", query)] + span
    yield "GET", "query_exemplars", [("query", "odd"), ("start", "2"), ("end", "1")]
    for limit in ("0", "1", "-1", "x", "1.5", "99999999999999999999"):
        yield "GET", "metadata", [("limit", limit), ("metric", "none")]
        yield "GET", "targets/metadata", [("limit", limit)]
    yield "GET", "targets/metadata", [("match_target", "{")]
    yield "GET", "targets/metadata", [("match_target", "{a=\"b\"}"), ("metric", "x")]
    for path in ("rules", "alerts", "alertmanagers", "scrape_pools"):
        yield "GET", path, []
    for kind in ("alert", "record", "ALERT", "x", "<"):
        yield "GET", "rules", [("type", kind)]
    for path in ("nope", "", "status/nope", "label/job", "label//values", "query/", "admin/tsdb/nope"):
        yield "GET", path, []
    for path in ("admin/tsdb/snapshot", "admin/tsdb/delete_series", "admin/tsdb/clean_tombstones"):
        yield "POST", path, []
        yield "PUT", path, []
        yield "GET", path, []
    yield "GET", "status/walreplay", []
    for method, path in (("HEAD", "labels"), ("PUT", "query"), ("DELETE", "series"), ("POST", "label/job/values"), ("POST", "metadata"),
                         ("POST", "rules"), ("DELETE", "status/config"), ("OPTIONS", "query"), ("OPTIONS", "series")):
        yield method, path, []


# What is not the same, and why: the first that fits. Each: a reason; which requests; which errors of ours.
KNOWN = (
    ("names may be any UTF-8, as from 3.0 on", lambda r: "le<" in r or "a b" in r or re.search(r"label/(a-b|0a|a\.b|%|a%20b)", r), ""),
    ("a dot matches ends of lines, as from 3.0 on", lambda r: "(.*)" in r, ""),
    ("durations may be numbers, numbers durations, as from 3.0 on", lambda r: "'foo[5]'" in r or "'1h'" in r or "'foo['" in r, ""),
    ("offsets may be expressions, as from 3.5 on", lambda r: "offset" in r, "in offset, expected number, duration"),
    ("where nothing was written there is no position", lambda r: True, "unknown position: parse error"),
    ("expressions are told as they were written", lambda r: "(\"}" in r, "missing closing ): `(`"),
    ("series that match twice are told in the order of labels", lambda r: True, "found duplicate series for the match group"),
    ("numbers are written without exponents", lambda r: "format_query" in r and re.search(r"'(1e-7|1e21|1e20|0.000001)'", r), ""),
    ("the parameter is named, as newer ones do", lambda r: " query_range " in r, 'invalid parameter \\"query\\": '),
    ("the parameter is named", lambda r: " query_exemplars " in r, 'invalid parameter \\"query\\": '),
    ("sorting a range is warned of, as from 3.0 on", lambda r: "sort(odd)" in r, "sort is ineffective for range queries"),
    ("an expression without selectors has no exemplars, rather than no content", lambda r: "query_exemplars [('query', '1')" in r, ""),
    ("replay has a state, as from 2.43 on", lambda r: "walreplay" in r, "state"),
    ("paths are not made simpler", lambda r: "label//values" in r or " query/ " in r, "404 page not found"),
    ("series are not deleted by DELETE: 405, not 500", lambda r: "DELETE series" in r, "Method Not Allowed"),
    ("HEAD is answered wherever GET is", lambda r: r.startswith("HEAD "), ""),
)


def ask(link, method, path, parameters):
    """Status, content type and body; and the request as a line for people."""
    text = urllib.parse.urlencode(parameters)
    target = f"/api/v1/{path}" + (f"?{text}" if text and method != "POST" else "")
    fields = {"Content-Type": "application/x-www-form-urlencoded"} if method == "POST" else {}
    link.request(method, target, body=text.encode() if method == "POST" else None, headers=fields)
    answer = link.getresponse()
    return answer.status, answer.headers["Content-Type"], answer.read().decode()


def normal(answer):
    """Vectors have no order, and a word was once written with a capital; all else is as it came."""
    status, kind, body = answer
    body = body.replace("Invalid time value", "invalid time value")
    if '"resultType":"vector"' in body:
        body = "".join(sorted(re.split(r',?(?={"metric":)|(?=\]\}\})', body)))
    return status, kind, body


class Bytes(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        program, tool = find_program("prometheus", "prometheus"), find_program("prometheus", "promtool")
        if not program or not tool:
            sys.exit(77)
        folder = tempfile.TemporaryDirectory(prefix="quarry-api-")
        cls.addClassCleanup(folder.cleanup)
        cls.peer = base.Peer(program, tool, folder.name, page())
        cls.addClassCleanup(cls.peer.close)
        cls.server = Server("--set", "tsdb.out_of_order=1h", "--set", "tsdb.self_scrape=off", memcached="off",
                            http="127.0.0.1:0").__enter__()
        cls.addClassCleanup(cls.server.__exit__)
        cls.address = next(door["address"] for door in cls.server.doors() if door["protocol"] == "http")
        status, _, body = base.ask_raw(cls.address, "/api/v1/import/prometheus", page().encode(),
                                       "application/openmetrics-text; version=1.0.0; charset=utf-8")
        assert status in (200, 204), body

    def test_answers_are_the_same_bytes(self):
        links = [http.client.HTTPConnection(address, timeout=PATIENCE_S) for address in (self.address, self.peer.address)]
        for link in links:
            self.addCleanup(link.close)
        count, used = 0, set()
        for method, path, parameters in requests():
            request = f"{method} {path} {parameters}"
            ours, theirs = (ask(link, method, path, parameters) for link in links)
            count += 1
            if normal(ours) == normal(theirs):
                continue
            reason = next((reason for reason, fits, word in KNOWN if fits(request) and word in ours[2]), None)
            with self.subTest(request=request):
                self.assertIsNotNone(reason, f"{request}\nours:   {ours}\ntheirs: {theirs}")
            used.add(reason)
        self.assertGreater(count, 700)
        self.assertEqual({reason for reason, _, _ in KNOWN} - used, set(), "these do not differ any more")


if __name__ == "__main__":
    set_program(sys.argv.pop(1))
    unittest.main()
