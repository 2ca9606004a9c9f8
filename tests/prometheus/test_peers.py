#!/usr/bin/python3
"""Prometheus' doors and Debian's own programs: the same conversations with Prometheus 2.42, and both as our clients.

    test_peers.py PROGRAM [unittest's arguments]

Left out where the programs cannot be had: exit status 77.
"""

import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.parse

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cases  # noqa: E402
import wire  # noqa: E402
from client import Door, door_of, now_ms, serve  # noqa: E402
from peers import find_program  # noqa: E402
from server import set_program  # noqa: E402

PATIENCE_S = 60
NAME = cases.NAME


def free_port():
    with socket.socket() as link:
        link.bind(("127.0.0.1", 0))
        return link.getsockname()[1]


def until(what, check):
    """Waits until check() says something that is true. Returns: it."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            found = check()
        except OSError:
            found = None
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError("waited in vain: " + what)
        time.sleep(0.05)


class Program:
    """Another's program in a folder of its own, with its log in a file."""

    def __init__(self, path, *arguments, config=None):
        self.folder = tempfile.TemporaryDirectory(prefix="quarry-peer-")
        if config is not None:
            with open(os.path.join(self.folder.name, "config.yml"), "w", encoding="utf-8") as file:
                file.write(config)
        self.log = open(os.path.join(self.folder.name, "log"), "wb")
        self.process = subprocess.Popen([path, *arguments], cwd=self.folder.name, stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.log.close()
        self.folder.cleanup()
        return False


class Prometheus(Program):
    def __init__(self, config="", *arguments):
        address = f"127.0.0.1:{free_port()}"
        super().__init__(PROMETHEUS, "--config.file=config.yml", "--storage.tsdb.path=data",
                         f"--web.listen-address={address}", *arguments, config=config)
        self.door = Door(address)
        until("Prometheus is ready", lambda: self.door.ask("GET", "/-/ready")[0] == 200)

    def query(self, text):
        words = urllib.parse.urlencode({"query": text})
        status, _, answer = self.door.ask("GET", "/api/v1/query?" + words)
        assert status == 200, answer
        return json.loads(answer)["data"]["result"]


class Page:
    """A static page of metrics, over HTTP."""

    def __init__(self, text):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):  # noqa: N802
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = "%s:%d" % self.server.server_address
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        return False


PAGE = ('# HELP work_total What was done.\n# TYPE work_total counter\nwork_total{kind="a"} 17\nwork_total{kind="ü"} 0.25\n'
        "# TYPE heat gauge\nheat NaN\n# TYPE size histogram\nsize_bucket{le=\"1\"} 1\nsize_bucket{le=\"+Inf\"} 2\n"
        "size_sum 5\nsize_count 2\n")


def scrape(page, more=""):
    return ("global: {scrape_interval: 1s, external_labels: {from: here}}\nscrape_configs:\n- job_name: page\n"
            f"  static_configs: [{{targets: ['{page.address}']}}]\n" + more)


def quarrys_query(door, text):
    status, _, answer = door.ask("GET", "/api/v1/query?" + urllib.parse.urlencode({"query": text}))
    assert status == 200, answer
    return json.loads(answer)["data"]["result"]


def close(value):
    """Numbers to twelve digits: sums may be made in another order."""
    if isinstance(value, dict):
        return {name: close(part) for name, part in value.items()}
    if isinstance(value, list):
        return [close(part) for part in value]
    return f"{float(value):.12g}"


class Conversations(unittest.TestCase):
    def test_prometheus_says_what_the_table_says_of_it(self):
        with Prometheus("", "--web.enable-remote-write-receiver") as prometheus:
            for case in cases.CASES:
                now = now_ms()
                for number, step in enumerate(case.steps):
                    made = step.make(case.metric(), now)
                    status, _, text = prometheus.door.write(made, step.version, step.headers,
                                                            packed=made if step.is_packed else None)
                    self.assertEqual(status, step.status_242, f"{case.name}, step {number}: {text}")
                found = {labels: [(t_ms - now, bits) for t_ms, bits in samples]
                         for labels, samples in prometheus.door.find(case.metric()).items()}
                want = {labels: [(t_ms, value if isinstance(value, int) else wire.bits_of(value))
                                 for t_ms, value in points] for labels, points in case.left_242.items()}
                self.assertEqual(found, want, case.name)
                is_other = repr(case.left) != repr(case.left_242) or any(step.status != step.status_242 for step in case.steps)
                self.assertEqual(is_other, case.why is not None, case.name)

    def test_streams_are_the_same_bytes(self):
        # XOR chunks have one form: the same samples are the same bytes from both.
        with Prometheus("", "--web.enable-remote-write-receiver") as prometheus, serve() as server:
            now = now_ms()
            samples = [(now - 600000 + index * 1000, float(index * index % 37)) for index in range(100)]
            body = wire.pack(wire.read_request(wire.query(0, 1 << 50, (wire.EQUAL, NAME, "m")), kinds=[wire.STREAM]))
            answers = []
            for door in (prometheus.door, door_of(server)):
                series = wire.series_1([(NAME, "m"), ("job", "x")], samples)
                status, headers, text = door.write(wire.write_1(series))
                self.assertEqual(status, 204, f"{headers} {text}")
                status, headers, answer = door.ask("POST", "/api/v1/read", body)
                answers.append((status, headers["Content-Type"], answer))
            self.assertEqual(*answers)

    def test_federation_says_the_same(self):
        with Prometheus("", "--web.enable-remote-write-receiver") as prometheus, serve() as server:
            now, texts = now_ms(), []
            series = [wire.series_1([(NAME, name), *labels], [(now - 5000, value)]) for name, labels, value in (
                ("b", [("instance", "i")], 1e21), ("a", [("job", 'q"\\')], -0.5), ("a", [], wire.bits_of(float("nan"))),
                ("a", [("Z", "1")], 12345678.0), ("c", [], wire.STALE))]
            for door in (prometheus.door, door_of(server)):
                self.assertEqual(door.write(wire.write_1(*series))[0], 204)
                status, text = door.federate('{__name__=~"a|b|c"}', "b")
                self.assertEqual(status, 200)
                texts.append(sorted(text.splitlines()))
            self.assertEqual(*texts)


    def test_deletions_leave_the_same(self):
        now = now_ms() // 1000 * 1000
        ago = lambda seconds: f"{(now - seconds * 1000) / 1000:.3f}"  # noqa: E731
        steps = [
            ("delete", [("match[]", 'm{i="0"}')]),
            ("delete", [("match[]", 'm{i=~"1|2"}'), ("match[]", "n"), ("start", ago(300)), ("end", ago(200))]),
            ("delete", [("match[]", 'm{i="3"}'), ("end", ago(1000))]),  # before all of them
            ("delete", [("match[]", "absent")]),
            ("append", 1), ("append", 2),
            ("delete", [("match[]", '{i="4"}'), ("start", ago(250))]),
            ("append", 3), ("clean", None), ("append", 4),
            ("delete", [("match[]", '{__name__=~"m|n"}'), ("start", ago(599)), ("end", ago(550))]),
            ("clean", None)]
        refused = [[], [("match[]", "")], [("match[]", "m"), ("start", "x")], [("match[]", "m"), ("end", "x")]]
        with Prometheus("", "--web.enable-remote-write-receiver", "--web.enable-admin-api") as prometheus, \
                serve("--set", "tsdb.admin_api=on") as server:
            doors = [prometheus.door, door_of(server)]
            series = [[(NAME, name), ("i", str(i)), ("job", "x")] for name in "mn" for i in range(6)]

            def write(samples):
                for door in doors:
                    self.assertEqual(door.write(wire.write_1(*(wire.series_1(labels, samples) for labels in series)))[0], 204)

            def ask(what, words):
                path = "/api/v1/admin/tsdb/" + {"delete": "delete_series", "clean": "clean_tombstones"}[what]
                return [door.ask("POST", path + "?" + urllib.parse.urlencode(words or []))[::2] for door in doors]

            def look(step):
                for name in "mn":
                    ours, theirs = (door.find(name, 0, 1 << 50) for door in doors)
                    self.assertEqual({labels: samples for labels, samples in ours.items() if samples},
                                     {labels: samples for labels, samples in theirs.items() if samples}, step)

            write([(now - 600000 + second * 1000, float(second)) for second in range(600)])
            look("at first")
            for words in refused:
                ours, theirs = ask("delete", words)
                self.assertEqual(ours[0], theirs[0], words)
                self.assertEqual(json.loads(ours[1])["errorType"], json.loads(theirs[1])["errorType"], words)
            for what, words in steps:
                if what == "append":
                    write([(now + words * 1000, float(-words))])
                else:
                    self.assertEqual(*ask(what, words), (what, words))
                look((what, words))


class Clients(unittest.TestCase):
    def wait_for_page(self, door, more=()):
        """Until all of the page has come. Returns: {metric: {labels: bits of the last sample}}."""
        found = {}

        def is_there():
            for name in ("work_total", "heat", "size_bucket", "size_sum", "up"):
                found[name] = {labels: samples[-1][1] for labels, samples in door.find(name).items()}
            return all(found.values()) and len(found["work_total"]) == 2

        until("the page in Quarry", is_there)
        kinds = {dict(labels)["kind"]: wire.value_of(bits) for labels, bits in found["work_total"].items()}
        self.assertEqual(kinds, {"a": 17.0, "ü": 0.25})
        self.assertEqual(list(found["heat"].values()), [0x7FF8000000000001])
        for labels in found["work_total"]:
            self.assertLessEqual(set(more), set(labels))
        return found

    def test_prometheus_writes_what_it_scrapes(self):
        with serve() as server, Page(PAGE) as page:
            door = door_of(server)
            write = f"remote_write: [{{url: 'http://{door.address}/api/v1/write'}}]\n"
            with Prometheus(scrape(page, write)) as prometheus:
                self.wait_for_page(door, more=[("from", "here"), ("job", "page")])
                # All of what it kept itself is here, bit for bit.
                here = door.find("work_total", end_ms=1 << 50)
                for labels, samples in prometheus.door.find("work_total", end_ms=1 << 50).items():
                    with_own = tuple(sorted(set(labels) | {("from", "here")}))
                    sent = dict(here[with_own])
                    self.assertTrue(set(dict(samples)) & set(sent))
                    for t_ms, bits in samples:
                        self.assertIn(sent.get(t_ms, bits), (bits,))

    def test_prometheus_writes_and_reads_histograms(self):
        # 2.42 asks others for floats alone; but it answers with chunks of histograms, and so do we, of the same bytes.
        features = "--enable-feature=native-histograms,exemplar-storage"
        with serve() as server:
            door = door_of(server)
            write = (f"remote_write: [{{url: 'http://{door.address}/api/v1/write', send_native_histograms: true, "
                     "send_exemplars: true}]\n")
            with Prometheus(write, features, "--web.enable-remote-write-receiver") as first:
                now = now_ms()
                series = [wire.series_1([(NAME, "h"), ("float", str(int(is_float)))], [],
                                        histograms=[wire.rich_histogram(now + index * 1000, 10 + index, is_float)
                                                    for index in range(100)])
                          for is_float in (False, True)]
                # What is older than the sender is not sent: these are of the minutes to come.
                self.assertEqual(first.door.write(wire.write_1(*series))[0], 204)
                traces = [wire.series_1([(NAME, "h"), ("float", kind)], [], exemplars=[
                    wire.exemplar(now + 99000, 0.25, ("trace_id", "t"))]) for kind in "01"]
                self.assertEqual(first.door.write(wire.write_1(*traces))[0], 204)
                until("histograms in Quarry", lambda: [len(one) for one in door.find("h").values()] == [100, 100])
                at = f"{(now + 99000) / 1000:.3f}"
                # Of quantiles later ones say another number: they interpolate otherwise.
                for text in (f"h @ {at}", f"rate(h[1m] @ {at})", f"histogram_sum(h @ {at})",
                             f"histogram_count(increase(h[100s] @ {at}))"):
                    want = first.query(text)
                    self.assertEqual(len(want), 2, text)
                    key = lambda row: row["metric"]["float"]  # noqa: E731
                    found = quarrys_query(door, text)
                    for one, another in zip(sorted(want, key=key), sorted(found, key=key), strict=True):
                        self.assertEqual(one["metric"], another["metric"])
                        self.assertEqual(close(one.get("histogram", one.get("value"))[1]),
                                         close(another.get("histogram", another.get("value"))[1]), text)
                words = urllib.parse.urlencode({"query": "h", "start": now / 1000, "end": now / 1000 + 200})
                kept = [until("exemplars", lambda: json.loads(one.ask("GET", "/api/v1/query_exemplars?" + words)[2])["data"][1:])
                        for one in (first.door, door)]
                self.assertEqual(*kept)
                body = wire.pack(wire.read_request(wire.query(0, 1 << 50, (wire.EQUAL, NAME, "h")), kinds=[wire.STREAM]))
                streams = [one.ask("POST", "/api/v1/read", body)[2] for one in (first.door, door)]
                self.assertEqual(*streams)

    def test_vmagent_writes_what_it_scrapes(self):
        vmagent = find_program("victoria-metrics", "vmagent")
        if vmagent is None:
            self.skipTest("no vmagent")
        with serve() as server, Page(PAGE) as page:
            door = door_of(server)
            with Program(vmagent, "-promscrape.config=config.yml", "-remoteWrite.tmpDataPath=data",
                         f"-remoteWrite.url=http://{door.address}/api/v1/write", "-remoteWrite.flushInterval=200ms",
                         f"-httpListenAddr=127.0.0.1:{free_port()}", config=scrape(page)):
                self.wait_for_page(door, more=[("from", "here"), ("job", "page")])

    def test_node_exporters_page_is_taken_whole(self):
        exporter = find_program("prometheus-node-exporter", "prometheus-node-exporter")
        if exporter is None:
            self.skipTest("no node_exporter")
        address = f"127.0.0.1:{free_port()}"
        with serve() as server, Program(exporter, f"--web.listen-address={address}"):
            text = until("node_exporter's page", lambda: Door(address).ask("GET", "/metrics")[2].decode())
            door = door_of(server)
            self.assertEqual(door.bring(text), (204, ""))
            lines = [line for line in text.splitlines() if not line.startswith("#")]
            (found,) = door.read(wire.query(0, 1 << 50, (wire.NOT_EQUAL, NAME, "")))
            self.assertEqual(len(found), len(lines))
            self.assertGreater(len(found), 100)

    def test_prometheus_reads_from_two_servers(self):
        with serve() as one, serve() as other:
            now = now_ms()
            for server, node in ((one, "1"), (other, "2")):
                points = [(index * 1000 - 60000, float(index)) for index in range(60)]
                status = door_of(server).write(cases.many(*points, labels=(("node", node),))("far", now))[0]
                self.assertEqual(status, 204)
            reads = "".join(f"- {{url: 'http://{door_of(server).address}/api/v1/read', read_recent: true}}\n"
                            for server in (one, other))
            with Prometheus("remote_read:\n" + reads) as prometheus:
                found = prometheus.query(f"sum by (node) (max_over_time(far[5m] @ {now / 1000:.3f}))")
                self.assertEqual({row["metric"]["node"]: row["value"][1] for row in found}, {"1": "59", "2": "59"})
                (row,) = prometheus.query(f"sum(sum_over_time(far[5m] @ {now / 1000:.3f}))")
                self.assertEqual(row["value"][1], str(2 * sum(range(60))))

    def test_prometheus_federates(self):
        with serve() as server:
            door, now = door_of(server), now_ms()
            self.assertEqual(door.write(cases.one(-1000, 42.0)("fed", now))[0], 204)
            config = ("global: {scrape_interval: 1s}\nscrape_configs:\n- job_name: quarry\n  honor_labels: true\n"
                      "  metrics_path: /federate\n  params: {'match[]': ['fed']}\n"
                      f"  static_configs: [{{targets: ['{door.address}']}}]\n")
            with Prometheus(config) as prometheus:
                (row,) = until("what was federated", lambda: prometheus.query("fed"))
                self.assertEqual((row["metric"], row["value"][1]), ({NAME: "fed", "job": "x"}, "42"))


PROMETHEUS = None

if __name__ == "__main__":
    set_program(sys.argv.pop(1))
    PROMETHEUS = find_program("prometheus", "prometheus")
    if PROMETHEUS is None:
        print("no prometheus to compare with")
        sys.exit(77)
    unittest.main(verbosity=1)
