#!/usr/bin/python3
"""The HTTP door as clients meet it: curl, Python, promtool and Prometheus, and those who mean ill.

    test_http.py PROGRAM [unittest's arguments]
"""

import base64
import gzip
import http.client
import os
import re
import resource
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.parse
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from peers import find_program, free_port  # noqa: E402
from server import PATIENCE_S, Server, client_tls, cpu_seconds, make_certificate, set_program, write

# Sanitizers make everything slower, and memory larger; what is bounded stays so.
IS_SANITIZED = bool(os.environ.get("QUARRY_TEST_SANITIZED"))
SLOWER = 5 if IS_SANITIZED else 1
FREE = "127.0.0.1:0"
DOCUMENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "metrics.md")


def serve(*arguments, **options):
    """A server with this door alone, unless it is said otherwise."""
    options.setdefault("memcached", "off")
    options.setdefault("http", FREE)
    return Server(*arguments, **options)


def door_of(server, protocol="http", tls="no"):
    return next(door for door in server.doors() if door["protocol"] == protocol and door["tls"] == tls)


def address_of(server, **options):
    return door_of(server, **options)["address"]


def connect(server):
    host, port = address_of(server).rsplit(":", 1)
    link = socket.create_connection((host, int(port)), timeout=60)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return link


def client(server):
    return http.client.HTTPConnection(address_of(server), timeout=60)


def get(server, path, method="GET", headers=None, body=None):
    """Asks over a connection of its own. Returns: status, headers, body."""
    link = client(server)
    try:
        link.request(method, path, body=body, headers=headers or {})
        answer = link.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        link.close()


def take_all(link):
    """All that comes until the end, or the reset."""
    answer = b""
    try:
        while piece := link.recv(1 << 16):
            answer += piece
    except ConnectionResetError:
        pass
    return answer


def resident_bytes(server):
    with open(f"/proc/{server.process.pid}/statm", encoding="ascii") as facts:
        return int(facts.read().split()[1]) * 4096


def metric(text, name):
    """The value of a sample, its labels as they are written."""
    return float(re.search("^" + re.escape(name) + " (.*)$", text, re.MULTILINE).group(1))


def charged_bytes(server):
    """Of the door, while it answers this: the stacks of its threads are in it."""
    return metric(metrics(server), 'quarry_account_charged_bytes{account="http"}')


def sum_of(text, name, label=""):
    """Of all samples of a family that have the label."""
    rows = re.findall(rf"^{name}(\{{.*\}})? (\S+)$", text, re.MULTILINE)
    return sum(float(value) for labels, value in rows if label in labels)


def metrics(server):
    return get(server, "/metrics")[2].decode()


def basic(user, password):
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


class Answering(unittest.TestCase):
    def test_is_healthy_and_ready(self):
        with serve() as server:
            for path, text in (("/-/healthy", b"Quarry is alive.\n"), ("/-/ready", b"Quarry is ready.\n")):
                status, headers, body = get(server, path)
                self.assertEqual((status, body), (200, text))
                self.assertEqual(headers["Content-Type"], "text/plain; charset=utf-8")
                self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
                status, headers, body = get(server, path, "HEAD")
                self.assertEqual((status, headers["Content-Length"], body), (200, str(len(text)), b""))

    def test_what_is_not_there_is_told_in_plain_text(self):
        with serve() as server:
            self.assertEqual(get(server, "/nowhere")[::2], (404, b"404 page not found\n"))
            status, headers, _ = get(server, "/metrics", "POST")
            self.assertEqual((status, headers["Allow"]), (405, "GET, HEAD, OPTIONS"))

    def test_curl_gets_an_answer_each_way(self):
        if not shutil.which("curl"):
            self.skipTest("no curl")
        with serve() as server:
            url = f"http://{address_of(server)}/-/ready"
            for options in ([], ["--http1.0"], ["--compressed"], ["-I"], ["--http2"], [url],
                            ["-X", "OPTIONS"], ["-d", "x", "-H", "Expect: 100-continue"]):
                done = subprocess.run(["curl", "-sS", "--max-time", "30", "-w", "%{http_code}\n", *options, url],
                                      capture_output=True, text=True, check=True)
                expected = "204" if "OPTIONS" in options else "405" if "-d" in options else "200"
                self.assertEqual(done.stdout.split("\n")[-2], expected, options)

    def test_one_connection_takes_many_requests(self):
        with serve() as server:
            link = client(server)
            for _ in range(200):
                link.request("GET", "/-/ready")
                self.assertEqual(link.getresponse().read(), b"Quarry is ready.\n")
            link.close()
            text = metrics(server)
            self.assertEqual(metric(text, "quarry_net_accepted_total"), 2)
            self.assertEqual(metric(text, 'quarry_http_answers_total{route="/-/ready",code="2xx"}'), 200)

    def test_serves_over_tls_and_a_unix_socket(self):
        with tempfile.TemporaryDirectory(prefix="quarry-serve-") as folder:
            certificate, key = make_certificate(folder, "server")
            path = os.path.join(folder, "http.sock")
            with serve("--set", "http.listen_tls=" + FREE, "--set", "tls.certificate=" + certificate,
                       "--set", "tls.key=" + key, http="unix:" + path) as server:
                link = http.client.HTTPSConnection(address_of(server, tls="yes"),
                                                   context=client_tls(certificate))
                link.request("GET", "/metrics", headers={"Accept-Encoding": "gzip"})
                self.assertIn(b"quarry_build_info", gzip.decompress(link.getresponse().read()))
                link.close()
                with socket.socket(socket.AF_UNIX) as plain:
                    plain.connect(path)
                    plain.sendall(b"GET /-/ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                    self.assertTrue(take_all(plain).endswith(b"\r\n\r\nQuarry is ready.\n"))

    def test_is_off_when_it_is_said(self):
        with serve(http="off", memcached=FREE) as server:
            self.assertEqual([door["protocol"] for door in server.doors()], ["memcached"])

    def test_says_who_has_the_port(self):
        with serve() as first, serve(http=address_of(first)) as second:
            self.assertEqual(second.wait(), 75)
            self.assertIn("choose another with --http ADDRESS:PORT", second.log())

    def test_ends_with_a_connection_open(self):
        with serve() as server:
            link = client(server)
            link.request("GET", "/-/ready")
            link.getresponse().read()
            self.assertEqual(server.end(), 0)
            link.close()

    def test_logs_requests_when_asked(self):
        with tempfile.TemporaryDirectory(prefix="quarry-serve-") as folder:
            path = write(folder, "q.conf", "[http]\naccess_log = on\n")
            with serve("--config", path) as server:
                get(server, "/nowhere?secret=1")
                line = server.wait_for("request")
                self.assertEqual((line["method"], line["path"], line["status"]), ("GET", "/nowhere", "404"))
                self.assertNotIn("secret", server.log())
                write(folder, "q.conf", "[http]\naccess_log = off\n")
                server.signal(1)
                server.wait_for("the configuration was read again")
                get(server, "/-/ready")
                self.assertEqual(len(server.lines("request")), 1)


HEAP_FAMILY = re.compile(r"quarry_(alloc|span|spans|class|fragmentation|thread_cache)_|quarry_spans$")


class Metrics(unittest.TestCase):
    def test_content_type_is_exact(self):
        with serve() as server:
            status, headers, body = get(server, "/metrics")
            self.assertEqual((status, headers["Content-Type"]), (200, "text/plain; version=0.0.4; charset=utf-8"))
            self.assertEqual(len(body), int(headers["Content-Length"]))
            status, headers, packed = get(server, "/metrics", headers={"Accept-Encoding": "gzip"})
            self.assertEqual(headers["Content-Encoding"], "gzip")
            self.assertLess(len(packed), len(body) / 3)
            self.assertIn(b"\nquarry_memory_limit_bytes 268435456\n", gzip.decompress(packed))

    def test_promtool_finds_nothing_wrong(self):
        promtool = find_program("prometheus", "promtool")
        if promtool is None:
            self.skipTest("no promtool")
        with serve(resp=FREE, memcached=FREE) as server:
            done = subprocess.run([promtool, "check", "metrics"], input=metrics(server), text=True,
                                  capture_output=True, check=False)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))

    def test_the_page_says_what_there_is(self):
        with open(DOCUMENT, encoding="utf-8") as document:
            written = re.findall(r"^\| `((?:quarry|prometheus|process)_\w+)` \| (\w+) \|", document.read(), re.MULTILINE)
        with serve(resp=FREE, memcached=FREE) as server:
            told = re.findall(r"^# TYPE (\w+) (\w+)$", metrics(server), re.MULTILINE)
        if ("quarry_spans", "gauge") not in told:  # a sanitizer's build has the sanitizer's malloc
            written = [family for family in written if not HEAP_FAMILY.match(family[0])]
        self.assertEqual(sorted(told), sorted(written))

    def test_labels_are_those_of_the_page_and_series_are_bounded(self):
        with open(DOCUMENT, encoding="utf-8") as document:
            rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ([^|]*) \|", document.read(), re.MULTILINE)
        labels = {name: re.findall(r"\w+", told) for name, _, told in rows}
        in_parts = {name: kind for name, kind, _ in rows if kind in ("summary", "histogram")}
        with serve(resp=FREE, memcached=FREE) as server:
            text = metrics(server)
        samples = re.findall(r"^(\w+)(?:\{(.*)\})? [^ ]+$", text, re.MULTILINE)
        for name, told in samples:
            part, family = next(((end, name[:-len(end)]) for end in ("_sum", "_count", "_bucket")
                                 if name.endswith(end) and name[:-len(end)] in in_parts), ("", name))
            wanted = [label for label in labels[family]  # `le` is of the buckets alone
                      if label != "le" or part == "_bucket" or in_parts.get(family) != "histogram"]
            self.assertEqual(re.findall(r'(\w+)="(?:[^"\\]|\\.)*"', told), wanted, name)
        self.assertEqual(len(samples), len(set(samples)))
        self.assertLess(len(samples), 3000)
        self.assertGreater(len(samples), len(labels) - 1)

    def test_parts_add_up_to_their_totals(self):
        with serve(resp=FREE, memcached=FREE) as server:
            text = metrics(server)
        committed = metric(text, "quarry_memory_committed_bytes")
        self.assertEqual(sum_of(text, "quarry_memory_bytes"), committed)
        self.assertEqual(sum_of(text, "quarry_memory_owner_bytes"),
                         sum_of(text, "quarry_memory_bytes", 'state="in_use"'))
        self.assertEqual(metric(text, "quarry_memory_budget_headroom_bytes"),
                         metric(text, "quarry_memory_budget_bytes") - committed)
        self.assertEqual(sum_of(text, "quarry_fragmentation_bytes"),
                         sum_of(text, "quarry_span_bytes") - sum_of(text, "quarry_alloc_bytes"))
        self.assertEqual(sum_of(text, "quarry_class_spans"), sum_of(text, "quarry_spans"))
        self.assertEqual(sum_of(text, "quarry_tsdb_bytes"), metric(text, "quarry_tsdb_charged_bytes"))
        self.assertGreater(sum_of(text, "quarry_pageheap_pages", 'state="used"'), 0)
        self.assertTrue(0 <= metric(text, "quarry_pageheap_external_fragmentation_ratio") <= 1)

    def test_figures_are_those_of_what_happened(self):
        with serve("--set", "tenant.acme.quota=32m", resp=FREE, memcached=FREE) as server:
            puts = metric(metrics(server), "quarry_kv_puts_total")
            with server.connect(0) as link:
                self.assertEqual(link.ask("set k 0 0 1\r\nx"), "STORED")
                self.assertEqual(link.ask("get k"), "VALUE k 0 1")
            with server.connect(1) as link:
                self.assertEqual(link.ask("SET k x"), "+OK")
            text = metrics(server)
            self.assertEqual(metric(text, 'quarry_cache_tenant_hits_total{tenant="default"}'), 1)
            self.assertEqual(metric(text, 'quarry_cache_tenant_items{tenant="acme"}'), 0)
            self.assertEqual(metric(text, "quarry_kv_puts_total"), puts + 1)
            self.assertEqual(metric(text, "quarry_memory_limit_bytes"), 256 << 20)
            self.assertEqual(metric(text, 'quarry_door_listeners{door="resp"}'), 1)
            states = re.findall(r"^quarry_memory_state_bytes\{.*\} (\d+)$", text, re.MULTILINE)
            self.assertEqual(sum(map(int, states)), metric(text, "quarry_memory_committed_bytes"))
            began = metric(text, "quarry_start_time_seconds")
            self.assertLess(abs(began - time.time()), 120)
            self.assertGreater(metric(text, "quarry_threads"), 3)

    def test_prometheus_scrapes_it(self):
        prometheus = find_program("prometheus", "prometheus")
        if prometheus is None:
            self.skipTest("no Prometheus")
        with serve() as server, tempfile.TemporaryDirectory(prefix="quarry-prometheus-") as folder:
            config = write(folder, "p.yml", "scrape_configs:\n- job_name: quarry\n  scrape_interval: 1s\n"
                           f"  static_configs:\n  - targets: ['{address_of(server)}']\n")
            port = free_port()
            with subprocess.Popen([prometheus, "--config.file=" + config, "--storage.tsdb.path=" + folder,
                                   f"--web.listen-address=127.0.0.1:{port}"],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as peer:
                try:
                    self.assertEqual(self.wait_for_sample(port, 'up{job="quarry"}'), "1")
                    self.assertEqual(self.wait_for_sample(port, "quarry_memory_limit_bytes"), str(256 << 20))
                finally:
                    peer.kill()

    def wait_for_sample(self, port, query):
        url = f"http://127.0.0.1:{port}/api/v1/query?query=" + urllib.parse.quote(query)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                with urllib.request.urlopen(url, timeout=5) as answer:
                    found = re.search(r'"value":\[[\d.]+,"([^"]*)"\]', answer.read().decode())
                    if found and found.group(1) != "0":
                        return found.group(1)
            except OSError:
                pass
            time.sleep(0.2)
        raise AssertionError(f"Prometheus has no {query}")


class Users(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="quarry-serve-")
        self.addCleanup(self.folder.cleanup)
        self.users = "users.plain_file=" + write(self.folder.name, "users", "ann:secret\n")

    def test_passwords_open_what_probes_need_not(self):
        with serve("--set", self.users) as server:
            self.assertEqual(get(server, "/-/ready")[0], 200)
            status, headers, _ = get(server, "/metrics")
            self.assertEqual(status, 401)
            self.assertTrue(headers["WWW-Authenticate"].startswith("Basic "))
            begin = time.monotonic()
            self.assertEqual(get(server, "/metrics", headers=basic("ann", "wrong"))[0], 401)
            self.assertGreater(time.monotonic() - begin, 0.9)  # who guesses has one guess a second
            self.assertEqual(get(server, "/metrics", headers=basic("ann", "secret"))[0], 200)
            token = basic("ann", "secret")["Authorization"].replace("Basic", "Bearer")
            self.assertEqual(get(server, "/metrics", headers={"Authorization": token})[0], 200)

    def test_each_request_speaks_for_itself(self):
        with serve("--set", self.users, "--set", "tenant.acme.connections=1") as server:
            link = client(server)
            for _ in range(3):
                link.request("GET", "/metrics", headers=basic("ann", "secret"))
                answer = link.getresponse()
                self.assertEqual((answer.status, len(answer.read()) > 1000), (200, True))
                link.request("GET", "/metrics")
                answer = link.getresponse()
                self.assertEqual((answer.status, answer.read()), (401, b"Unauthorized\n"))
            link.close()

    def test_the_third_wrong_password_is_the_last(self):
        with serve("--set", self.users) as server, connect(server) as link:
            request = "GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Basic eDp5\r\n\r\n"
            link.sendall(request.encode() * 5)
            self.assertEqual(take_all(link).count(b"HTTP/1.1 401 "), 3)

    def test_curl_logs_in(self):
        if not shutil.which("curl"):
            self.skipTest("no curl")
        with serve("--set", self.users) as server:
            url = f"http://{address_of(server)}/metrics"
            for options in (["-u", "ann:secret"], ["--anyauth", "-u", "ann:secret"]):
                done = subprocess.run(["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", *options, url],
                                      capture_output=True, text=True, check=True)
                self.assertEqual(done.stdout, "200")


class Attack(unittest.TestCase):
    """Each test ends with somebody else being served."""

    def setUp(self):
        self.links = []
        self.addCleanup(self.close_all)

    def close_all(self):
        for link in self.links:
            link.close()

    def check_serves(self, server):
        begin = cpu_seconds(server)
        self.assertEqual(get(server, "/-/ready")[0], 200)
        self.assertLess(cpu_seconds(server) - begin, 2 * SLOWER)

    def test_slow_heads_and_bodies_are_cut(self):
        with serve("--set", "net.line_timeout=1s", "--set", "net.body_grace=1s") as server:
            begin = time.monotonic()
            for text in (b"GET /metrics HTTP/1.1\r\nHost: x\r\n", b"G", b"\r",
                         b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\nGET /"):
                link = connect(server)
                link.sendall(text)
                self.links.append(link)
            while time.monotonic() - begin < 2:  # a byte now and then is not enough
                for link in self.links:
                    try:
                        link.sendall(b"x")
                    except OSError:
                        pass
                time.sleep(0.2)
            for link in self.links:
                take_all(link)
            self.check_serves(server)

    def test_clients_that_end_one_side_are_answered(self):
        with serve() as server:
            for path in ("/-/ready", "/metrics"):
                with connect(server) as link:
                    link.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                    link.shutdown(socket.SHUT_WR)
                    self.assertTrue(take_all(link).startswith(b"HTTP/1.1 200 OK\r\n"))

    def test_resets_in_the_middle_leave_nothing(self):
        with serve() as server:
            self.check_serves(server)
            charged = charged_bytes(server)
            for i in range(300):
                link = connect(server)
                link.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"[:i % 45])
                link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                link.close()
            end = time.monotonic() + PATIENCE_S
            while (now := metric(metrics(server), "quarry_net_connections")) > 1:
                self.assertLess(time.monotonic(), end, f"{now} connections are left")
                time.sleep(0.1)
            # A scrape has its own request and answer while it counts.
            self.assertLess(charged_bytes(server) - charged, 512 << 10)

    def test_slow_readers_hold_little(self):
        with serve() as server:
            self.check_serves(server)
            for _ in range(50):
                link = socket.socket()
                link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                host, port = address_of(server).rsplit(":", 1)
                link.connect((host, int(port)))
                self.links.append(link)
                link.setblocking(False)
                try:
                    while True:
                        link.send(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
                except BlockingIOError:
                    pass
            time.sleep(1)
            text = metrics(server)
            self.assertLess(metric(text, "quarry_net_waiting_bytes"), 50 * 1.2 * (1 << 20))
            self.assertLess(metric(text, 'quarry_account_charged_bytes{account="http"}'), 50 << 20)
            self.assertEqual(metric(text, 'quarry_account_ceiling_bytes{account="http"}'), 128 << 20)
            self.check_serves(server)

    def test_requests_that_are_two_are_none(self):
        """A sample of the table of the unit tests, over a socket."""
        with serve() as server:
            for text in (b"GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
                         b"GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 0",
                         b"GET /metrics HTTP/1.1\r\nHost: x\r\nX: a\r\n b", b"GET /metrics HTTP/1.1\nHost: x"):
                with connect(server) as link:
                    link.sendall(text + b"\r\n\r\nGET /-/ready HTTP/1.1\r\nHost: x\r\n\r\n")
                    answer = take_all(link)
                    self.assertTrue(answer.startswith(b"HTTP/1.1 400 Bad Request\r\n"))
                    self.assertEqual(answer.count(b"HTTP/1.1"), 1)

    def test_ten_thousand_idle_connections_cost_little(self):
        count = 10000
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard < count + 500:
            self.skipTest("not enough file descriptors")
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        with serve("--set", f"net.connections_max={count + 100}", memory="512m") as server:
            self.check_serves(server)
            charged = charged_bytes(server)
            before = resident_bytes(server)
            request = b"GET /-/ready HTTP/1.1\r\nHost: x\r\n\r\n"
            for _ in range(count):
                link = connect(server)
                link.sendall(request)
                self.links.append(link)
            for link in self.links:
                self.assertIn(b"200 OK", link.recv(4096))
            each = (resident_bytes(server) - before) / count
            self.assertLess(each, 8192 if IS_SANITIZED else 2048)
            self.assertLess(charged_bytes(server) - charged, 512 << 10)  # nothing of it is theirs
            begin = cpu_seconds(server)
            for _ in range(200):
                self.links[0].sendall(request)
                self.assertIn(b"200 OK", self.links[0].recv(4096))
            self.assertLess(cpu_seconds(server) - begin, 200 * 0.005 * SLOWER)  # nothing is done for each of them

    def test_other_doors_serve_while_this_one_is_flooded(self):
        with serve(memcached=FREE) as server, server.connect(0) as link:
            stop = threading.Event()

            def flood():
                while not stop.is_set():
                    get(server, "/metrics", headers={"Accept-Encoding": "gzip"})

            threads = [threading.Thread(target=flood) for _ in range(4)]
            for thread in threads:
                thread.start()
            try:
                for i in range(200):
                    self.assertEqual(link.ask(f"set k 0 0 1\r\n{i % 10}"), "STORED")
            finally:
                stop.set()
                for thread in threads:
                    thread.join()


if __name__ == "__main__":
    set_program(sys.argv.pop(1))
    unittest.main()
