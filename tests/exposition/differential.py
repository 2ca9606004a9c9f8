#!/usr/bin/python3
"""What our reader takes of a scrape, beside what Prometheus takes of the same one.

    differential.py TOOL

A server answers each case under a path of its own, Prometheus scrapes them all, and its API says what it stored, or
why it refused. TOOL is exposition_tool. What we take is written again by our writer, in both formats where they can
say it, scraped as well, and compared with the first. `promtool check metrics` reads what is written as text.

Prometheus is the installed one, or Debian's package, unpacked. Skipped when it cannot be had.
"""

import glob
import http.server
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from peers import find_program, free_port  # noqa: E402

SKIPPED = 77
NOW = int(time.time() * 1000) - 60_000

CONTENT_TYPES = {
    "text": "text/plain; version=0.0.4; charset=utf-8",
    "openmetrics": "application/openmetrics-text; version=1.0.0; charset=utf-8",
}

# NOW is a time in milliseconds, SECONDS the same in seconds.
TEXT = [
    "", "\n", "a 1", "a 1\n", "a 1\n\n\nb 2\n", "a\t1\t\n", "a  1  \n", "a{} 1\n", "a { } 1\n", "a{}1\n",
    "a 1 NOW\n", "a 1 NOW \n", "a 1  \t NOW\n", "a 1 NOW x\n", "a 1 NOW.5\n", "a 1 -5\n", "a 1 +NOW\n", "a 1 0x10\n",
    "a 1 99999999999999999999\n", "a 1 NOW # comment\n", "a 1 # comment\n", "a +Inf\nb -Inf\nc Inf\nd NaN\n",
    "a inf\nb infinity\nc -INFINITY\nd nan\n", "a +nan\n", "a -NaN\n", "a 1e3\nb 1E+3\nc 1e-3\nd .5\ne 5.\nf -.5\n",
    "a 0x1p4\n", "a 0x1\n", "a 1_000\n", "a 1e400\n", "a 1e-400\n", "a 1,5\n", "a 1.2.3\n", "a --1\n", "a -1\n", "a-1\n",
    "a+2\n", "a.5\n", "a 1{}\n", "a\n", "a \n", "a{b=\"c\"}\n", "1a 1\n", "a:b:c 1\n", ":a 1\n", "a-b 1\n", "a.b 1\n",
    "a{b=\"c\"} 1\n", "a{b=\"c\",} 1\n", "a{b=\"c\",,} 1\n", "a{,b=\"c\"} 1\n", "a{,} 1\n", "a{b=\"c\"d=\"e\"} 1\n",
    "a{b=\"c\" d=\"e\"} 1\n", "a{b=\"c\",d=\"e\"} 1\n", "a{ b = \"c\" , d = \"e\" , } 1\n", "a{\tb\t=\t\"c\"\t} 1\n",
    "a{b=\"\"} 1\n", "a{b=\"\",c=\"d\"} 1\n", "a{b=\"x\\\\y\"} 1\n", "a{b=\"x\\ny\"} 1\n", "a{b=\"x\\\"y\"} 1\n",
    "a{b=\"x\\ty\"} 1\n", "a{b=\"\\\"} 1\n", "a{b=\"\\\\\"} 1\n", "a{b=\"x\ny\"} 1\n", "a{b=\"x\\\ny\"} 1\n",
    "a{b=\"}\"} 1\n", "a{b=\",\"} 1\n", "a{b=\"=\"} 1\n", "a{b='c'} 1\n", "a{b=c} 1\n", "a{b=\"c} 1\n", "a{b=\"c\" 1\n",
    "a{b} 1\n", "a{b=} 1\n", "a{=\"c\"} 1\n", "a{1b=\"c\"} 1\n", "a{b:c=\"d\"} 1\n", "a{b1=\"c\"} 1\n", "a{_=\"c\"} 1\n",
    "a{z=\"1\",b=\"2\"} 1\n", "a{b=\"ä€𝄞\"} 1\n", b"a{b=\"\xff\"} 1\n", b"a{b=\"\xc3\"} 1\n", b"a{b=\"\xed\xa0\x80\"} 1\n",
    b"\xc3\xa4 1\n", "a{b=\"c\"}1\n", "a{b=\"c\"}\t1\tNOW\n", "a{b=\"c\"} 1 NOW\na{b=\"d\"} 2 NOW\n", "a 1\r\n", "\r\n",
    "a{__name__=\"b\"} 1\n", "a{b=\"1\",b=\"2\"} 1\n",
    "#\n", "# \n", "#comment\n", "# a comment\n", "# HELP\n", "# HELP \n", "# HELP a\na 1\n", "# HELP a \na 1\n",
    "# HELP a  two  blanks \na 1\n", "# HELP a\ttab\na 1\n", "#\tHELP\ta\ttab\na 1\n", "#HELP a b\na 1\n",
    "# HELPa b\na 1\n", "# help a b\na 1\n", "# HELP a b\\nc\\\\d\\\"e\\f\na 1\n", "# HELP a-b c\na 1\n",
    "# HELP 1 c\na 1\n", b"# HELP a \xff\na 1\n", "# HELP a ä\na 1\n", b"# \xff\na 1\n", "# HELP a b", "# TYPE a counter",
    "# TYPE a counter\na 1\n", "# TYPE a gauge\na 1\n", "# TYPE a histogram\na_bucket{le=\"+Inf\"} 1\n",
    "# TYPE a summary\na{quantile=\"0.5\"} 1\n", "# TYPE a untyped\na 1\n", "# TYPE a unknown\na 1\n", "# TYPE a info\na 1\n",
    "# TYPE a Counter\na 1\n", "# TYPE a counter \na 1\n", "# TYPE a  counter\na 1\n", "# TYPE a\na 1\n", "# TYPE a \na 1\n",
    "# TYPE  a counter\na 1\n", "# TYPE a-counter\na 1\n", "# UNIT a b\na 1\n", "# EOF\na 1\n", "a 1\n# TYPE a counter\n",
    "  # TYPE a counter\na 1\n", "a 1\nb\n", "a 1\n{\n", "{} 1\n", "{b=\"c\"} 1\n", "}\n", "a }1\n",
    "a 1" + " " * 300 + "\n", "a{" + ",".join(f'l{i}="v{i}"' for i in range(30)) + "} 1\n",
]

OPENMETRICS = [
    "", "# EOF", "# EOF\n", "# EOF\n\n", "# EOF \n", "#EOF\n", "a 1\n", "a 1\n# EOF", "a 1\n# EOF\n", "a 1\n# EOF\nb 2\n",
    "a 1# EOF\n", " a 1\n# EOF\n", "a  1\n# EOF\n", "a 1 \n# EOF\n", "a\t1\n# EOF\n", "a 1\n\n# EOF\n", "# x\n# EOF\n",
    "a{} 1\n# EOF\n", "a{b=\"c\"} 1\n# EOF\n", "a{b=\"c\",} 1\n# EOF\n", "a{b=\"c\",d=\"e\"} 1\n# EOF\n",
    "a{b=\"c\", d=\"e\"} 1\n# EOF\n", "a{ b=\"c\"} 1\n# EOF\n", "a{b=\"c\" } 1\n# EOF\n", "a{b =\"c\"} 1\n# EOF\n",
    "a{,b=\"c\"} 1\n# EOF\n", "a{b=\"c\"d=\"e\"} 1\n# EOF\n", "a {b=\"c\"} 1\n# EOF\n", "a{b=\"c\"}1\n# EOF\n",
    "a{b=\"x\ny\"} 1\n# EOF\n", "a{b=\"x\\ny\\\\\\\"\"} 1\n# EOF\n", b"a{b=\"\xff\"} 1\n# EOF\n", "a{b=\"\"} 1\n# EOF\n",
    "a 1 SECONDS\n# EOF\n", "a 1 SECONDS.5\n# EOF\n", "a 1 SECONDS.25 \n# EOF\n", "a 1 NaN\n# EOF\n", "a 1 Inf\n# EOF\n",
    "a 1 x\n# EOF\n", "a 1e3\n# EOF\n", "a 1.0\n# EOF\n", "a 0x1p4\n# EOF\n", "a NaN\nb +Inf\n# EOF\n", "a x\n# EOF\n",
    "a_total 1 # {} 1\n# EOF\n", "a_total 1 # {b=\"c\"} 1\n# EOF\n", "a_total 1 # {b=\"c\"} 1 SECONDS\n# EOF\n",
    "a_total 1 SECONDS # {b=\"c\"} 1 SECONDS\n# EOF\n", "a_total 1 # {b=\"c\"}\n# EOF\n", "a_total 1 # {b=\"c\"} x\n# EOF\n",
    "a_total 1 # {b=\"c\",} 1\n# EOF\n", "a_total 1 # {b=\"c\"} 1 NaN\n# EOF\n", "a_total 1 #{b=\"c\"} 1\n# EOF\n",
    "a_total 1 # x\n# EOF\n", "a_total 1 # {b=\"c\"} 1 1 1\n# EOF\n",
    "# HELP a b\na 1\n# EOF\n", "# HELP a b\\nc\\\\d\\\"e\\f\na 1\n# EOF\n", "# HELP a\na 1\n# EOF\n", "# HELP a \na 1\n# EOF\n",
    "# HELP a  b\na 1\n# EOF\n", "#  HELP a b\na 1\n# EOF\n", "# HELP  a b\na 1\n# EOF\n", "# HELP a b",
    "# TYPE a counter\na_total 1\n# EOF\n", "# TYPE a gauge\na 1\n# EOF\n", "# TYPE a histogram\na_count 1\n# EOF\n",
    "# TYPE a gaugehistogram\na_gcount 1\n# EOF\n", "# TYPE a summary\na_sum 1\n# EOF\n", "# TYPE a info\na_info 1\n# EOF\n",
    "# TYPE a stateset\na{a=\"b\"} 1\n# EOF\n", "# TYPE a unknown\na 1\n# EOF\n", "# TYPE a untyped\na 1\n# EOF\n",
    "# TYPE a\na 1\n# EOF\n", "# UNIT a_b b\n# TYPE a_b gauge\na_b 1\n# EOF\n", "# UNIT a_b c\na_b 1\n# EOF\n",
    "# UNIT a_b \na_b 1\n# EOF\n", "# UNIT b b\nb 1\n# EOF\n", "# UNIT ab b\nab 1\n# EOF\n", "a-1\n# EOF\n", "1a 1\n# EOF\n",
    "a:b 1\n# EOF\n", "a 1\n#EOF\n", "a{b=\"1\",b=\"2\"} 1\n# EOF\n", "a 1\r\n# EOF\n",
]

# (format, body, how many series we take or None). Prometheus 2.42 does not know names in quotes, takes blanks before a
# name for a part of it, and exemplars of counters and buckets only: later ones do as we do. A NUL that begins a line
# ends its reading with what it has, where we refuse the whole.
DIFFERENT = [
    ("text", "{\"a.b\"} 1\n", 1), ("text", "{\"a.b\",\"c d\"=\"e\"} 1\n", 1), ("text", "a{\"c d\"=\"e\"} 1\n", 1),
    ("text", "# TYPE \"a.b\" gauge\n{\"a.b\"} 1\n", 1), ("openmetrics", "{\"a.b\",\"c d\"=\"e\"} 1\n# EOF\n", 1),
    ("text", " a 1\n\tb 2\n", 2), ("openmetrics", "a 1 # {b=\"c\"} 1\n# EOF\n", 1), ("text", "a 1\n\0b 1\n", None),
]


def as_bytes(body):
    if isinstance(body, bytes):
        return body
    return body.replace("NOW", str(NOW)).replace("SECONDS", str(NOW // 1000)).encode()


class Case:
    def __init__(self, form, body):
        self.form, self.body = form, as_bytes(body)

    def __repr__(self):
        return f"{self.form} {self.body[:200]!r}"


def serve(cases):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            case = cases[int(self.path.split("?")[0].rsplit("/", 1)[1])]
            self.send_response(200)
            self.send_header("Content-Type", CONTENT_TYPES[case.form])
            self.send_header("Content-Length", str(len(case.body)))
            self.end_headers()
            self.wfile.write(case.body)

        def log_message(self, *_):
            pass

    class Server(http.server.ThreadingHTTPServer):
        request_queue_size = 1024

        def handle_error(self, *_):
            pass  # a scrape that was given up is done again

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def is_unheard(error):
    """Whether a scrape failed before there was an answer, on a machine that has other things to do."""
    return "deadline exceeded" in error or "timeout" in error or "connection" in error


class Prometheus:
    def __init__(self, program, directory, cases, port):
        self.port = free_port()
        with open(f"{directory}/prometheus.yml", "w") as config:
            config.write("global: {scrape_interval: 10s, scrape_timeout: 10s}\nscrape_configs:\n"
                         "- job_name: cases\n  honor_labels: true\n  static_configs:\n")
            for i in range(len(cases)):
                config.write(f"  - {{targets: ['127.0.0.1:{port}'], labels: {{__metrics_path__: /case/{i}, "
                             f"case: '{i}'}}}}\n")
        self.process = subprocess.Popen(
            [program, f"--config.file={config.name}", f"--storage.tsdb.path={directory}/data",
             f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=error"], stderr=subprocess.DEVNULL)

    def get(self, path, **values):
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(values)}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return json.load(answer)["data"]

    def wait(self, count):
        """Returns when each target was scraped once at least."""
        for _ in range(600):
            time.sleep(0.2)
            assert self.process.poll() is None, "prometheus has ended"
            try:
                targets = self.get("targets", state="active")["activeTargets"]
            except OSError:
                continue
            if len(targets) == count and all(target["health"] != "unknown" and not is_unheard(target["lastError"])
                                             for target in targets):
                return {int(target["labels"]["case"]): target["lastError"] for target in targets}
        raise AssertionError("prometheus has not scraped everything")


SCRAPE_METRICS = {"up", "scrape_duration_seconds", "scrape_samples_scraped", "scrape_samples_post_metric_relabeling",
                  "scrape_series_added"}


def number(text):
    value = float(text)
    return "NaN" if math.isnan(value) else value


def taken_by_prometheus(prometheus, count):
    """For each case: {labels: (value, time or None)} of what has a time of its own, or none."""
    taken = [{} for _ in range(count)]
    for series in prometheus.get("query", query='{case=~".+"}[10m]')["result"]:
        labels = dict(series["metric"])
        case = int(labels.pop("case"))
        labels.pop("job", None)
        labels.pop("instance", None)
        if labels.get("__name__") in SCRAPE_METRICS:
            continue
        times = {round(float(at) * 1000) for at, _ in series["values"]}
        values = {number(value) for _, value in series["values"]}
        assert len(values) == 1, series
        taken[case][frozenset(labels.items())] = (values.pop(), times)
    return taken


def metadata_of_prometheus(prometheus):
    said = {}
    for entry in prometheus.get("targets/metadata", match_target='{job="cases"}'):
        said.setdefault(int(entry["target"]["case"]), {})[entry["metric"]] = (
            entry["type"], entry["help"], entry["unit"])
    return said


def taken_by_us(tool, case):
    """(what was taken, what was said of families) or (None, why it was refused)."""
    output = subprocess.run([tool, "say", case.form], input=case.body, stdout=subprocess.PIPE, check=True).stdout.decode()
    taken, said = {}, {}
    for line in output.splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "E":
            return None, rest
        if kind == "S":
            labels, value, at = rest.split(" ")
            pairs = (pair.split("=") for pair in labels.split(","))
            key = frozenset((bytes.fromhex(name).decode(), bytes.fromhex(text).decode()) for name, text in pairs)
            taken[key] = (number(value), None if at == "-" else int(at))
        else:
            name, text = (bytes.fromhex(part).decode() for part in rest.split(" "))
            known = said.setdefault(name, {"T": "unknown", "H": "", "U": ""})
            known[kind] = text
    return taken, {name: (known["T"], known["H"], known["U"]) for name, known in said.items()}


def differences(ours, theirs):
    """Whether two takings differ; times of theirs are all those that were seen."""
    if set(ours) != set(theirs):
        return f"series {sorted(map(sorted, ours))} and {sorted(map(sorted, theirs))}"
    for labels, (value, at) in ours.items():
        if theirs[labels][0] != value:
            return f"{sorted(labels)}: {value} and {theirs[labels][0]}"
        if at is not None and theirs[labels][1] != {at}:
            return f"{sorted(labels)}: at {at} and at {theirs[labels][1]}"
        if at is None and any(abs(seen - NOW - 60_000) > 120_000 for seen in theirs[labels][1]):
            return f"{sorted(labels)}: a time that nobody gave"
    return None


def compare(tool, cases, prometheus, errors):
    taken, said = taken_by_prometheus(prometheus, len(cases)), metadata_of_prometheus(prometheus)
    wrong = []
    for i, case in enumerate(cases):
        ours, ours_said = taken_by_us(tool, case)
        if (ours is None) != (errors[i] != ""):
            wrong.append(f"{case}: we say {ours if ours is not None else ours_said}, Prometheus {errors[i] or taken[i]}")
        elif ours is not None:
            difference = differences(ours, taken[i])
            # Of what is said behind the last sample of a scrape, Prometheus keeps nothing that is told by the API.
            known = said.get(i, {})
            if difference is None and any(ours_said.get(name) != what for name, what in known.items()):
                difference = f"{ours_said} and {known}"
            if difference is not None:
                wrong.append(f"{case}: {difference}")
    return wrong


def rewritten(tool, cases):
    """What was taken of each case, written by us."""
    again = []
    for case in cases:
        if taken_by_us(tool, case)[0]:
            for form in CONTENT_TYPES:
                body = subprocess.run([tool, "rewrite", case.form, form], input=case.body, stdout=subprocess.PIPE,
                                      check=True).stdout
                again.append((case, Case(form, body)))
    return again


def check_rewritten(tool, pairs):
    wrong = []
    for case, again in pairs:
        ours, theirs = taken_by_us(tool, case)[0], taken_by_us(tool, again)[0]
        if ours != theirs:
            wrong.append(f"{case} was written as {again}")
    return wrong


def check_by_promtool(promtool, pairs):
    """promtool reads what we write as text; what it has to say of names is no matter here."""
    wrong = []
    for _, again in pairs:
        if again.form == "text":
            result = subprocess.run([promtool, "check", "metrics"], input=again.body, capture_output=True)
            # It wants a family's TYPE before its samples, wherever we were told it.
            if b"error while linting" in result.stderr and b"TYPE reported after" not in result.stderr:
                wrong.append(f"{again}: promtool: {result.stderr!r}")
    return wrong


def check_different(tool):
    wrong = []
    for form, body, count in DIFFERENT:
        taken, why = taken_by_us(tool, Case(form, body))
        if (None if taken is None else len(taken)) != count:
            wrong.append(f"{form} {body!r}: {taken} {why}")
    return wrong


def main():
    (tool,) = sys.argv[1:]
    program = find_program("prometheus", "prometheus")
    promtool = find_program("prometheus", "promtool")
    if program is None or promtool is None:
        print("prometheus cannot be had")
        return SKIPPED
    cases = [Case("text", body) for body in TEXT] + [Case("openmetrics", body) for body in OPENMETRICS]
    pairs = rewritten(tool, cases)
    wrong = check_different(tool) + check_rewritten(tool, pairs) + check_by_promtool(promtool, pairs)
    cases += [again for _, again in pairs]
    server = serve(cases)
    with tempfile.TemporaryDirectory(prefix="quarry-prometheus-") as data:
        prometheus = Prometheus(program, data, cases, server.server_address[1])
        try:
            errors = prometheus.wait(len(cases))
            wrong += compare(tool, cases, prometheus, errors)
        finally:
            prometheus.process.kill()
            prometheus.process.wait()
    server.shutdown()
    for difference in wrong:
        print(difference)
    print(f"{len(cases)} cases, {len(pairs)} of them written by us, {len(wrong)} differences")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
