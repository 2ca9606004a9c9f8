#!/usr/bin/python3
"""Who uses the HTTP API: Grafana's requests as it sends them, promtool, vmalert with Alertmanager; the first two beside Prometheus.

    test_users.py PROGRAM [unittest's arguments]

Left out where the programs cannot be had: exit status 77.
"""

import gzip
import http.client
import json
import os
import subprocess
import sys
import tempfile
import unittest
import urllib.parse

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from client import door_of, serve  # noqa: E402
from peers import find_program, free_port  # noqa: E402
from server import set_program  # noqa: E402
import test_api as base  # noqa: E402
import test_peers as peers  # noqa: E402

PATIENCE_S = 60
START, END = base.seconds(base.FIRST_MS + 300000), base.seconds(base.LAST_MS)
FORM = "application/x-www-form-urlencoded"


def fill(address):
    status, _, body = base.ask_raw(address, "/api/v1/import/prometheus", base.page().encode(),
                                   "application/openmetrics-text; version=1.0.0; charset=utf-8")
    assert status in (200, 204), body


class Both(unittest.TestCase):
    """A server and a Prometheus with the same series."""

    @classmethod
    def setUpClass(cls):
        cls.tool = find_program("prometheus", "promtool")
        program = find_program("prometheus", "prometheus")
        if not program or not cls.tool:
            sys.exit(77)
        folder = tempfile.TemporaryDirectory(prefix="quarry-users-")
        cls.addClassCleanup(folder.cleanup)
        cls.peer = base.Peer(program, cls.tool, folder.name)
        cls.addClassCleanup(cls.peer.close)
        cls.server = serve("--set", "tsdb.out_of_order=1h").__enter__()
        cls.addClassCleanup(cls.server.__exit__)
        cls.address = door_of(cls.server).address
        fill(cls.address)


# ---- Grafana ----

# Of its server, which asks for a panel or a form; of a browser, where the data source is in that mode.
SERVER = {"User-Agent": "Grafana/10.4.2", "Accept-Encoding": "gzip", "X-Grafana-Org-Id": "1", "X-Datasource-Uid": "PBFA97CFB590B2093"}
PANEL = {**SERVER, "X-Dashboard-Uid": "k3lLKgtnz", "X-Panel-Id": "2", "X-Query-Group-Id": "0c8a7f2e", "X-Cache-Skip": "true"}
BROWSER = {"User-Agent": "Mozilla/5.0", "Accept": "application/json, text/plain, */*", "Accept-Encoding": "gzip, deflate, br",
           "Origin": "http://grafana.example:3000", "Referer": "http://grafana.example:3000/", "Sec-Fetch-Mode": "cors"}
SPAN = [("start", START), ("end", END)]
WHOLE = [("start", START.split(".")[0]), ("end", str(int(END.split(".")[0]) + 1))]
RANGE = [("start", START), ("end", END), ("step", "15")]
# What is being done, by whose headers, method, path, parameters.
CONVERSATION = (
    ("save & test", SERVER, "POST", "query", [("query", "1+1"), ("time", END)]),
    ("save & test of older ones", SERVER, "GET", "query", [("query", "1+1"), ("time", WHOLE[1][1])]),
    ("which kind of server", SERVER, "GET", "status/buildinfo", []),
    ("whether there are rules", SERVER, "GET", "rules", []),
    ("metrics of the builder", SERVER, "GET", "label/__name__/values", WHOLE),
    ("metrics of the explorer", SERVER, "GET", "label/__name__/values", WHOLE + [("match[]", '{__name__=~".*requests.*"}')]),
    ("labels of a metric", SERVER, "POST", "labels", WHOLE + [("match[]", "requests_total")]),
    ("labels of a metric with filters", SERVER, "POST", "labels", WHOLE + [("match[]", '{__name__="requests_total",job="api"}')]),
    ("labels, older", SERVER, "GET", "labels", WHOLE + [("match[]", "requests_total")]),
    ("values of a label", SERVER, "GET", "label/code/values", WHOLE + [("match[]", 'requests_total{job="api"}')]),
    ("values of a variable", SERVER, "GET", "label/job/values", WHOLE),
    ("series of a variable", SERVER, "POST", "series", WHOLE + [("match[]", 'requests_total{job=~"a.*"}')]),
    ("series, older", SERVER, "GET", "series", WHOLE + [("match[]", 'temperature')]),
    ("helps of metrics", SERVER, "GET", "metadata", []),
    ("helps of metrics, some", SERVER, "GET", "metadata", [("limit", "5000")]),
    ("a panel", PANEL, "POST", "query_range", RANGE + [("query", "sum by (job) (rate(requests_total[4m10s]))")]),
    ("a panel of a histogram", PANEL, "POST", "query_range",
     RANGE + [("query", "histogram_quantile(0.95, sum(rate(latency_bucket[4m10s])) by (le))")]),
    ("a panel with a timeout", PANEL, "POST", "query_range", RANGE + [("query", "temperature"), ("timeout", "60s")]),
    ("a panel, by GET", PANEL, "GET", "query_range", RANGE + [("query", "temperature{room=\"roof\"} > 0")]),
    ("a table", PANEL, "POST", "query", [("query", "sort_desc(requests_total)"), ("time", END)]),
    ("a panel that is wrong", PANEL, "POST", "query_range", RANGE + [("query", "rate(requests_total)")]),
    ("a panel of too many points", PANEL, "POST", "query_range",
     [("start", "0"), ("end", END), ("step", "1"), ("query", "temperature")]),
    ("exemplars", PANEL, "POST", "query_exemplars", SPAN + [("query", "rate(latency_bucket[5m])")]),
    ("annotations", PANEL, "POST", "query_range", RANGE + [("query", "ALERTS{alertstate=\"firing\"}")]),
    ("a browser looks whether it may", {**BROWSER, "Access-Control-Request-Method": "POST",
                                        "Access-Control-Request-Headers": "content-type"}, "OPTIONS", "query_range", []),
    ("a browser's panel", BROWSER, "POST", "query_range", RANGE + [("query", "latency_count")]),
    ("a browser's values", BROWSER, "GET", "label/job/values", WHOLE),
)
# What differs and why.
METADATA = "Prometheus knows families of what it scrapes alone"
VERSION = "each its own version"
DIFFERENT = {"helps of metrics": METADATA, "helps of metrics, some": METADATA, "which kind of server": VERSION,
             "a panel that is wrong": "newer ones name the parameter"}


def converse(link, headers, method, path, parameters):
    """Status, fields and data of one answer; as Grafana takes it: packed or not."""
    text = urllib.parse.urlencode(parameters)
    fields = {**headers, "Content-Type": FORM} if method == "POST" else headers
    target = f"/api/v1/{path}" + (f"?{text}" if text and method != "POST" else "")
    link.request(method, target, body=text.encode() if method == "POST" else None, headers=fields)
    answer = link.getresponse()
    body = answer.read()
    if answer.headers["Content-Encoding"] == "gzip":
        body = gzip.decompress(body)
    return answer.status, answer.headers, base.normal(json.loads(body)) if body else None


class Grafana(Both):
    def test_its_conversations_are_those_with_prometheus(self):
        ours, theirs = links = [http.client.HTTPConnection(address, timeout=PATIENCE_S)
                                for address in (self.address, self.peer.address)]
        for link in links:
            self.addCleanup(link.close)
        for name, headers, method, path, parameters in CONVERSATION:
            with self.subTest(name=name):
                got, want = (converse(link, headers, method, path, parameters) for link in (ours, theirs))
                self.assertEqual(got[0], want[0])
                for field in ("Content-Type", "Access-Control-Allow-Origin" if "Origin" in headers else "Content-Type",
                              "Access-Control-Allow-Headers" if method == "OPTIONS" else "Content-Type"):
                    self.assertEqual(got[1][field], want[1][field])
                self.assertEqual(got[2] == want[2], name not in DIFFERENT, (got[2], want[2]))

    def test_what_differs_is_what_it_needs(self):
        link = http.client.HTTPConnection(self.address, timeout=PATIENCE_S)
        self.addCleanup(link.close)
        data = converse(link, SERVER, "GET", "status/buildinfo", [])[2]["data"]
        self.assertEqual(set(data), {"version", "revision", "branch", "buildUser", "buildDate", "goVersion"})
        self.assertRegex(data["version"], r"^\d+\.\d+\.\d+")
        data = converse(link, SERVER, "GET", "metadata", [])[2]["data"]
        self.assertEqual(data["temperature"], [{"type": "gauge", "help": '"Hot" or not.', "unit": ""}])
        answer = converse(link, PANEL, "POST", "query_range", RANGE + [("query", "rate(requests_total)")])[2]
        self.assertIn("expected type range vector in call to function \"rate\"", answer["error"])

    def test_long_answers_are_packed_and_short_ones_are_not(self):
        link = http.client.HTTPConnection(self.address, timeout=PATIENCE_S)
        self.addCleanup(link.close)
        for query, coding in (("{__name__=~\".+\"}", "gzip"), ("1", None)):
            fields = converse(link, PANEL, "POST", "query_range", RANGE + [("query", query)])[1]
            self.assertEqual(fields["Content-Encoding"], coding)


# ---- promtool ----

class Promtool(Both):
    def run_tool(self, *words, address):
        done = subprocess.run([self.tool, *words], input=None, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        clean = [text.replace(address, "SERVER") for text in (done.stdout, done.stderr)]
        return done.returncode, sorted(clean[0].splitlines()), sorted(clean[1].splitlines())

    def test_it_is_told_the_same(self):
        whole = [f"--start={START}", f"--end={END}"]
        for words in (["instant", f"--time={END}", None, "latency_count"],
                      ["instant", f"--time={END}", None, "requests_total"],
                      ["instant", f"--time={END}", "--format=json", None, "1/0"],
                      ["instant", f"--time={END}", "--format=json", None, "temperature"],
                      ["instant", f"--time={END}", None, "sum("],
                      ["range", *whole, "--step=30s", None, "requests_total"],
                      ["range", *whole, "--step=30s", "--format=json", None, "rate(latency_bucket[110s])"],
                      ["range", *whole, "--step=30s", "--header=X-Nothing=1", None, "nothing"],
                      ["series", "--match=temperature", "--match={job=\"api\"}", *whole, None],
                      ["series", "--match={", *whole, None],
                      ["labels", *whole, None, "room"], ["labels", "--match=requests_total", *whole, None, "code"],
                      ["labels", *whole, None, "none"]):
            ours, theirs = (self.run_tool("query", *(word if word is not None else f"http://{address}" for word in words),
                                          address=address) for address in (self.address, self.peer.address))
            self.assertEqual(ours, theirs, words)

    def test_it_gathers_the_servers_figures(self):
        with tempfile.TemporaryDirectory(prefix="quarry-debug-") as folder:
            done = subprocess.run([self.tool, "debug", "metrics", f"http://{self.address}"], cwd=folder, capture_output=True,
                                  timeout=PATIENCE_S, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            (name,) = os.listdir(folder)
            text = subprocess.run(["tar", "-xzOf", f"{folder}/{name}"], capture_output=True, check=True, timeout=PATIENCE_S).stdout
            self.assertIn(b"quarry_", text)


# ---- rules ----

RULES = """groups:
- name: work
  interval: 1s
  rules:
  - record: kept:doubled
    expr: sum by (job) (kept) * 2
    labels: {by: rule}
  - alert: TooMuch
    expr: kept > 10
    labels: {severity: page}
    annotations: {summary: "{{ $labels.job }} has {{ $value }}"}
"""
QUIET_MANAGER = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"


class Manager(peers.Program):
    """Alertmanager. Debian's wants templates in /usr/share, which it is shown where it was only unpacked."""

    def __init__(self, path):
        self.address = f"127.0.0.1:{free_port()}"
        command = [path, "--config.file=config.yml", "--storage.path=data", "--cluster.listen-address=",
                   f"--web.listen-address={self.address}"]
        if not os.path.exists("/usr/share/prometheus/alertmanager/default.tmpl"):
            own = os.path.join(os.path.dirname(path), "..", "share")
            command = ["unshare", "-rm", "sh", "-c", 'mount -t overlay overlay -o "lowerdir=$0:/usr/share" /usr/share && exec "$@"',
                       os.path.realpath(own), *command]
        super().__init__(*command, config=QUIET_MANAGER)

    def is_ready(self):
        """None: it has ended."""
        if self.process.poll() is not None:
            return None
        try:
            return base.ask(self.address, "/-/ready")[0] == 200
        except OSError:
            return False


class Rules(unittest.TestCase):
    def test_vmalert_evaluates_writes_back_and_alerts(self):
        evaluator = find_program("victoria-metrics", "vmalert")
        manager = find_program("prometheus-alertmanager", "prometheus-alertmanager")
        if not evaluator or not manager:
            self.skipTest("there is no vmalert, or no Alertmanager")
        own_address = f"127.0.0.1:{free_port()}"
        with serve() as server, tempfile.TemporaryDirectory(prefix="quarry-rules-") as folder, Manager(manager) as alerted:
            if not peers.until("Alertmanager is ready", lambda: {None: ("ended",), True: ("ready",)}.get(alerted.is_ready())) == (
                    "ready",):
                self.skipTest("Alertmanager does not run here")
            door, url = door_of(server), f"http://{door_of(server).address}"
            status, text = door.bring('kept{job="a"} 21\nkept{job="b"} 2\n')
            self.assertEqual(status, 204, text)
            with open(f"{folder}/rules.yml", "w", encoding="utf-8") as file:
                file.write(RULES)
            with peers.Program(evaluator, f"-rule={folder}/rules.yml", f"-datasource.url={url}", f"-remoteWrite.url={url}",
                               f"-remoteRead.url={url}", f"-notifier.url=http://{alerted.address}", "-evaluationInterval=1s",
                               f"-httpListenAddr={own_address}", "-remoteWrite.flushInterval=100ms"):
                def ask(query):
                    words = urllib.parse.urlencode({"query": query})
                    status, _, body = door.ask("GET", "/api/v1/query?" + words)
                    self.assertEqual(status, 200, body)
                    return {series["metric"].get("job"): (series["metric"], series["value"][1])
                            for series in json.loads(body)["data"]["result"]}

                doubled = peers.until("the rule's series come", lambda: len(found := ask("kept:doubled")) == 2 and found)
                self.assertEqual(doubled["a"], ({"__name__": "kept:doubled", "alertgroup": "work", "by": "rule", "job": "a"}
                                                if "alertgroup" in doubled["a"][0] else
                                                {"__name__": "kept:doubled", "by": "rule", "job": "a"}, "42"))
                self.assertEqual(doubled["b"][1], "4")
                firing = peers.until("the alert is among the series", lambda: ask('ALERTS{alertstate="firing"}'))
                self.assertEqual(set(firing), {"a"})
                self.assertEqual(firing["a"][0]["alertname"], "TooMuch")
                alerts = peers.until("the alert is with the manager", lambda: self.alerts(alerted.address))
                self.assertEqual([(alert["labels"]["alertname"], alert["labels"]["job"], alert["annotations"]["summary"])
                                  for alert in alerts], [("TooMuch", "a", "a has 21")])

    def alerts(self, address):
        status, _, body = base.ask(address, "/api/v2/alerts")
        return json.loads(body) if status == 200 else None


if __name__ == "__main__":
    set_program(sys.argv.pop(1))
    unittest.main()
