#!/usr/bin/python3
"""Reports about the server's own heap: /debug/pprof, /api/v1/heap, /api/v1/doctor.

    test_observe.py PROGRAM [unittest's arguments]
"""

import gzip
import http.server
import json
import os
import shutil
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.error
import urllib.request

from server import Server, cpu_seconds, set_program

PATIENCE_S = 60
# Sanitizers bring a malloc of their own: there is no heap of Quarry's to report about.
IS_SANITIZED = os.environ.get("QUARRY_TEST_SANITIZED") == "1"
VALUE_BYTES = 1000
VALUES = 20000
GO_CHECK_S = 120


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7


def fields(data):
    """Numbers and contents of a protobuf message."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            value, at = varint(data, at)
        elif key & 7 == 2:
            length, at = varint(data, at)
            value, at = data[at:at + length], at + length
            assert len(value) == length
        else:
            raise AssertionError(f"wire type {key & 7}")
        yield key >> 3, value


def packed(data):
    at, values = 0, []
    while at < len(data):
        value, at = varint(data, at)
        values.append(value)
    return values


class Planted:
    """A server that answers anything with one text."""

    def __init__(self, status, text):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_):
                pass

        self.server = socketserver.TCPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))

    def __enter__(self):
        self.thread.start()
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class Observe(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(http="127.0.0.1:0")
        cls.server.ready()
        cls.address = cls.server.doors()[-1]["address"]
        with cls.server.connect() as link:
            for i in range(VALUES):
                link.send(f"set key{i} 0 0 {VALUE_BYTES} noreply\r\n{'v' * VALUE_BYTES}\r\n")
            link.ask("version\r\n")

    @classmethod
    def tearDownClass(cls):
        cls.server.end()
        cls.server.__exit__()

    def ask(self, path, body=None):
        request = urllib.request.Request(f"http://{self.address}{path}", data=body)
        if body is not None:
            request.add_header("Content-Type", "text/plain")
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    def report(self, path, body=None):
        """Of the process' malloc; None, after a look at the refusal, where it has none."""
        status, headers, text = self.ask(path, body)
        if IS_SANITIZED:
            self.assertEqual(status, 500, text)
            self.assertIn(b"quarry", text)
            return None
        self.assertEqual(status, 200, text)
        return headers, text


class Summary(Observe):
    def test_states_add_up(self):
        status, headers, text = self.ask("/api/v1/heap/summary")
        summary = json.loads(text)
        self.assertEqual((status, headers["Content-Type"]), (200, "application/json"))
        self.assertEqual(sum(summary["states"].values()), summary["committed_bytes"])
        self.assertLessEqual(summary["committed_bytes"], summary["limit_bytes"])
        self.assertEqual(sum(row["in_use_bytes"] for row in summary["owners"]), summary["states"]["in_use"])

    def test_accounts_name_the_cache(self):
        summary = json.loads(self.ask("/api/v1/heap/summary")[2])
        charged = {row["account"]: row["charged_bytes"] for row in summary["accounts"]}
        self.assertGreaterEqual(charged["cache"], VALUES * VALUE_BYTES)
        self.assertGreaterEqual(charged["all"], charged["cache"])

    def test_map(self):
        status, headers, map_bytes = self.ask("/api/v1/heap/map")
        self.assertEqual((status, headers["Content-Type"]), (200, "application/octet-stream"))
        shown = subprocess.run([*self.server.program, "map", "-", "--json"], input=map_bytes,
                               capture_output=True, timeout=PATIENCE_S, check=True)
        self.assertGreater(json.loads(shown.stdout)["committed_bytes"], VALUES * VALUE_BYTES)

    def test_unknown_names(self):
        self.assertEqual(self.ask("/api/v1/heap/nonsense")[0], 404)
        self.assertEqual(self.ask("/debug/pprof/nonsense")[0], 404)
        self.assertEqual(self.ask("/debug/pprof/heap", b"0x1")[0], 405)


class Reports(Observe):
    def test_profiles_are_sound(self):
        for name in ("heap", "allocs", "lifetimes", "fragmentation"):
            with self.subTest(name):
                answer = self.report(f"/debug/pprof/{name}")
                if answer is not None:
                    self.check_profile(gzip.decompress(answer[1]))

    def check_profile(self, data):
        types, strings, samples = 0, [], []
        locations, functions = set(), set()
        for number, value in fields(data):
            types += number == 1
            if number == 2:
                samples.append(dict(fields(value)))
            elif number == 4:
                locations.add(dict(fields(value))[1])
            elif number == 5:
                functions.add(dict(fields(value))[1])
            elif number == 6:
                strings.append(value.decode())
        self.assertEqual(strings[0], "")
        self.assertGreater(types, 0)
        self.assertNotIn(0, locations | functions)
        for sample in samples:
            self.assertEqual(len(packed(sample[2])), types)
            self.assertLessEqual(set(packed(sample.get(1, b""))), locations)

    def test_profiles_as_text(self):
        answer = self.report("/debug/pprof/heap?debug=1")
        if answer is not None:
            self.assertIn(b"largest stacks", answer[1])

    def test_figures(self):
        answer = self.report("/api/v1/heap/figures?top=5")
        if answer is not None:
            figures = json.loads(answer[1])
            self.assertEqual(figures["pid"], self.server.process.pid)
            self.assertLessEqual(len(figures["stacks"]), 5)
            self.assertEqual(json.loads(self.report("/api/v1/heap/figures?top=0")[1])["stacks"], [])
        self.assertEqual(self.ask("/api/v1/heap/figures?top=many")[0], 400)
        self.assertEqual(self.ask("/api/v1/heap/figures?top=5;reboot")[0], 400)

    def test_doctor(self):
        status, _, text = self.ask("/api/v1/doctor")
        self.assertEqual(status, 200, text)
        self.assertEqual("heap_fault" in json.loads(text), IS_SANITIZED)

    def run_doctor(self, *words):
        return subprocess.run([*self.server.program, "doctor", *words], capture_output=True, text=True,
                              timeout=PATIENCE_S)

    def test_doctor_from_outside(self):
        """Its exit code and texts are those of the findings."""
        url = f"http://{self.address}"
        shown = self.run_doctor("--server", url, "--json")
        told = json.loads(shown.stdout)
        self.assertEqual(told["pid"], self.server.process.pid)
        is_ill = any(finding["severity"] != "note" for finding in told["findings"])
        self.assertEqual(shown.returncode, 3 if is_ill else 0)
        text = self.run_doctor("--server", url)
        self.assertIn(text.returncode, (0, 3), text.stderr)
        self.assertIn(f"process {self.server.process.pid}\n", text.stdout)

    def test_doctor_without_a_server(self):
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))  # bound, and listened to by nobody
            shown = self.run_doctor("--server", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        self.assertEqual((shown.returncode, shown.stdout), (4, ""))
        for words in (["--server", "nonsense"], ["--server", "http://x", "1"], ["--user", "x", "1"],
                      ["--server", "http://x", "--watch"], ["--server"], ["--pid", "1", "2"],
                      ["--server", "http://x", "--password-file", "x"]):
            self.assertEqual(self.run_doctor(*words).returncode, 2, words)

    def test_doctor_of_planted_answers(self):
        """Severities decide the exit code; texts are made fit for a terminal; what is no doctor's answer fails."""
        def finding(severity):
            return {"severity": severity, "cause": "fragmentation", "bytes": 3 << 20,
                    "text": "spans are \x1b[31mpinned", "advice": "quarry heap 7"}

        def answer(*findings):
            return 200, json.dumps({"view": "doctor", "pid": 7, "committed_bytes": 64 << 20,
                                    "object_bytes": 1 << 20, "findings": findings})

        ill, text = "1. warning: fragmentation, 3 MiB", "spans are ?[31mpinned"
        for planted, code, words in ((answer(), 0, ["Nothing is wrong."]),
                                     (answer(finding("note")), 0, ["1. note:"]),
                                     (answer(finding("warning")), 3, [ill, text, "=> quarry heap 7"]),
                                     (answer(finding("note"), finding("critical")), 3, ["2. critical:"]),
                                     ((200, "{}"), 1, ["no answer of a doctor"]),
                                     ((200, '{"view": "doctor", "find'), 1, ["no answer of a doctor"]),
                                     ((200, ""), 1, ["no answer of a doctor"]),
                                     ((403, "not you\n"), 1, ["answered 403: not you"]),
                                     ((503, "come again\n"), 75, ["answered 503: come again"])):
            with self.subTest(planted), Planted(*planted) as url:
                shown = self.run_doctor("--server", url)
                self.assertEqual(shown.returncode, code, shown.stdout + shown.stderr)
                for word in words:
                    self.assertIn(word, " ".join((shown.stdout + shown.stderr).split()))

    def run_check(self, *words):
        return subprocess.run([*self.server.program, "check", "memory", *words], capture_output=True, text=True,
                              timeout=PATIENCE_S)

    def check_explained(self, url, pid):
        """The ledger explains the process, and its table adds up. Returns: the figures."""
        shown = self.run_check("--server", url, "--json")
        if IS_SANITIZED:
            self.assertEqual(shown.returncode, 1, shown.stderr)
            self.assertIn("answered 500", shown.stderr)
            return None
        self.assertEqual(shown.returncode, 0, shown.stdout + shown.stderr)
        told = json.loads(shown.stdout)
        self.assertEqual((told["pid"], told["is_explained"]), (pid, True))
        self.assertGreaterEqual(told["explained_percent"], 97)
        self.assertEqual(sum(told["kernel"].values()), told["resident_bytes"])
        self.assertEqual(sum(row["bytes"] for row in told["owners"]), told["committed_bytes"])
        self.assertEqual(told["wanted_bytes"] - told["unexplained_bytes"] + told["untouched_bytes"],
                         told["ledger_bytes"])
        return told

    def test_memory_is_explained_when_loaded(self):
        told = self.check_explained(f"http://{self.address}", self.server.process.pid)
        if told is not None:
            self.assertGreaterEqual(told["wanted_bytes"], VALUES * VALUE_BYTES)
            text = self.run_check("--pid", str(self.server.process.pid))
            self.assertEqual(text.returncode, 0, text.stdout + text.stderr)
            self.assertIn("% explained", text.stdout)

    def test_memory_is_explained_when_idle(self):
        with Server(http="127.0.0.1:0") as idle:
            self.check_explained(f"http://{idle.doors()[-1]['address']}", idle.process.pid)
            idle.end()

    def test_memory_of_a_cache_in_a_file_is_explained(self):
        """Pages of the cache's file are the ledger's: they are charged as any others are."""
        with Server("--durability", "process", http="127.0.0.1:0",
                    environment={"QUARRY_CACHE_FILE": "data"}) as filed:
            with filed.connect() as link:
                for i in range(VALUES):
                    link.send(f"set key{i} 0 0 {VALUE_BYTES} noreply\r\n{'v' * VALUE_BYTES}\r\n")
                link.ask("version\r\n")
            told = self.check_explained(f"http://{filed.doors()[-1]['address']}", filed.process.pid)
            if told is not None:
                self.assertGreater(told["kernel"]["shared_bytes"], 1 << 20)
            filed.end()

    def test_check_of_planted_answers(self):
        """Judged by its figures, not by what it says of itself; what is no check's answer fails."""
        def answer(private, ledger, **more):
            figures = {"view": "check-memory", "pid": 7, "committed_bytes": ledger, "ledger_bytes": ledger,
                       "resident_bytes": private, "is_explained": True, "kernel": {"private_bytes": private},
                       "owners": [{"owner": "ca\x1bche", "bytes": ledger}]}
            return 200, json.dumps({**figures, **more})

        for planted, code, words in ((answer(100 << 20, 100 << 20), 0, ["good: 100.0 % explained", "ca?che"]),
                                     (answer(100 << 20, 97 << 20), 0, ["3 MiB resident and not", "97.0 %"]),
                                     (answer(1000 << 20, 969 << 20), 3, ["BAD: 96.9 %"]),
                                     (answer(0, 0), 0, ["100.0 %"]),
                                     (answer(2**63 - 1, 1, kernel={"private_bytes": 2**63 - 1,
                                                                   "shared_bytes": 2**63 - 1}), 3, ["BAD: 0.0 %"]),
                                     (answer(1, 1, is_stale=True), 0, ["older figures"]),
                                     (answer(1, 1, view="doctor"), 1, ["no answer of a check"]),
                                     (answer(1, 1, kernel=None, owners=[]), 1, ["no answer of a check"]),
                                     (answer(1, 1, owners=[{"owner": "x", "bytes": 1}] * 9999), 0, ["good"]),
                                     ((200, "{"), 1, ["no answer of a check"]),
                                     ((200, ""), 1, ["no answer of a check"]),
                                     ((404, "no such page\n"), 1, ["answered 404: no such page"]),
                                     ((503, "come again\n"), 75, ["answered 503: come again"])):
            with self.subTest(planted[1][:200]), Planted(*planted) as url:
                shown = self.run_check("--server", url)
                self.assertEqual(shown.returncode, code, shown.stdout + shown.stderr)
                for word in words:
                    self.assertIn(word, " ".join((shown.stdout + shown.stderr).split()))

    def test_check_wants_one_thing_to_look_at(self):
        for words in ([], ["--pid", "1", "--server", "http://x"], ["--pid", "x"], ["x", "--pid", "1"],
                      ["--pid", "1", "--user", "x"], ["--server", "http://x", "--password-file", "x"],
                      ["--pid"], ["--nonsense"], ["--server", "nonsense"]):
            self.assertEqual(self.run_check(*words).returncode, 2, words)
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))  # bound, and listened to by nobody
            shown = self.run_check("--server", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        self.assertEqual((shown.returncode, shown.stdout), (4, ""))

    def test_command_line(self):
        words = self.ask("/debug/pprof/cmdline")[2].split(b"\0")
        self.assertIn(b"serve", words)

    def test_symbols(self):
        self.assertEqual(self.ask("/debug/pprof/symbol")[2], b"num_symbols: 1\n")
        for wrong in (b"", b"0x1;0x2", b"--pprof", b"0x" + b"1" * 40):
            self.assertEqual(self.ask("/debug/pprof/symbol", wrong)[0], 400, wrong)
        answer = self.report("/debug/pprof/symbol", f"0x{self.address_of_main():x}+0x1".encode())
        if answer is not None:
            self.assertRegex(answer[1].decode(), r"^0x[0-9a-f]+ main\n$")

    def address_of_main(self):
        """As it is loaded, a byte behind the function's begin: a return address."""
        program = os.readlink(f"/proc/{self.server.process.pid}/exe")
        names = subprocess.run(["nm", program], capture_output=True, text=True, check=True).stdout
        offset = next(int(line.split()[0], 16) for line in names.splitlines() if line.lower().endswith(" t main"))
        with open(f"/proc/{self.server.process.pid}/maps") as maps:
            base = next(int(line.split("-")[0], 16) for line in maps if line.rstrip().endswith(program))
        return base + offset + 1

    def test_many_at_once(self):
        """One report at a time; who comes meanwhile is told to come again."""
        statuses = []

        def ask():
            statuses.append(self.ask("/debug/pprof/heap")[0])

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertLessEqual(set(statuses), {500, 503} if IS_SANITIZED else {200, 503})
        self.assertIn(500 if IS_SANITIZED else 200, statuses)

    def work(self, stop):
        """Keeps the server at work until `stop`."""
        load = "".join(f"set key{i} 0 0 100 noreply\r\n{'w' * 100}\r\n" for i in range(5000))
        with self.server.connect() as link:
            while not stop.is_set():
                link.send(load)
                link.ask("version")

    def cpu_profile(self):
        """One with samples in it: as many are taken as that needs."""
        stop = threading.Event()
        worker = threading.Thread(target=self.work, args=(stop,))
        worker.start()
        try:
            for _ in range(30):
                before = cpu_seconds(self.server)
                status, _, packed_profile = self.ask("/debug/pprof/profile?seconds=1")
                self.assertEqual(status, 200, packed_profile)
                told = self.read_cpu_profile(gzip.decompress(packed_profile))
                if told[1] > 0:
                    return told, cpu_seconds(self.server) - before
        finally:
            stop.set()
            worker.join()
        self.fail("30 profiles of a server at work without a sample")

    def read_cpu_profile(self, data):
        """Checks it. Returns: its texts, its seconds of CPU time, its labels, how many build ids it has."""
        self.check_profile(data)
        strings = [value.decode() for number, value in fields(data) if number == 6]
        whole = dict(fields(data))
        types = [dict(fields(value)) for number, value in fields(data) if number == 1]
        self.assertEqual([(strings[each[1]], strings[each[2]]) for each in types],
                         [("samples", "count"), ("cpu", "nanoseconds")])
        self.assertEqual(whole[12], 10_000_000)
        self.assertGreaterEqual(whole[10], 1_000_000_000)
        seconds, labels = 0, set()
        for sample in (value for number, value in fields(data) if number == 2):
            count, cpu_ns = packed(dict(fields(sample))[2])
            self.assertEqual(cpu_ns, count * 10_000_000)
            seconds += cpu_ns / 1e9
            label = dict(fields(dict(fields(sample))[3]))
            labels.add((strings[label[1]], strings[label[2]]))
        mappings = [dict(fields(value)) for number, value in fields(data) if number == 3]
        return strings, seconds, labels, sum(6 in mapping and mapping[6] != 0 for mapping in mappings)

    def test_cpu_profile(self):
        if IS_SANITIZED:
            self.report("/debug/pprof/profile?seconds=1")
            return
        (strings, seconds, labels, build_ids), used = self.cpu_profile()
        self.assertLessEqual(seconds, used + 0.02)  # samples are whole periods of what threads used
        self.assertIn("worker_run", strings)
        self.assertIn("thread", {key for key, _ in labels})
        self.assertTrue(any(name.startswith("quarry-net-") for _, name in labels), labels)
        self.assertGreater(build_ids, 0)

    def test_samples_that_are_none_are_refused(self):
        if IS_SANITIZED:
            return
        heap = [*self.server.program, "heap", str(self.server.process.pid), "--pprof", "-", "--cpu", "-"]
        head = "quarry-cpu 1 10000000 1 2 0\n"
        for text, code in ((head + "@a b\n1" + " ff" * 32 + "\n", 0), ("", 1), (head[:-1], 1), (head + "1 fg\n", 1),
                           (head + "18446744073709551616 ff\n", 1), (head + "1" + " ff" * 33 + "\n", 1),
                           (head + "1 " + "f" * 2000 + "\n", 1)):
            shown = subprocess.run(heap, input=text.encode(), capture_output=True, timeout=PATIENCE_S)
            self.assertEqual(shown.returncode, code, (text, shown.stderr))
            self.assertEqual(shown.stdout[:2], b"" if code else b"\x1f\x8b")

    def begin_long_profile(self, address):
        """Returns: the connection, when the answer has begun."""
        link = socket.create_connection(address.rsplit(":", 1), timeout=PATIENCE_S)
        link.sendall(b"GET /debug/pprof/profile?seconds=300 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.assertIn(b" 200 ", link.recv(64))
        return link

    def test_cpu_profiles_go_one_at_a_time(self):
        for seconds in ("0", "301", "1s", "-1", "", "99999999999999999999"):
            self.assertEqual(self.ask(f"/debug/pprof/profile?seconds={seconds}")[0], 400, seconds)
        if IS_SANITIZED:
            return
        with self.begin_long_profile(self.address):
            self.assertEqual(self.ask("/debug/pprof/profile?seconds=1")[0], 409)
        while True:  # who has gone leaves room: it is seen when something is written to him
            status = self.ask("/debug/pprof/profile?seconds=1")[0]
            if status == 200:
                break
            self.assertEqual(status, 409)

    def test_a_server_that_ends_does_not_wait_for_a_profile(self):
        if IS_SANITIZED:
            self.skipTest("there is none")
        with Server(http="127.0.0.1:0") as ending:
            with self.begin_long_profile(ending.doors()[-1]["address"]):
                ending.end()

    def test_no_child_is_left(self):
        """But the one that makes reports, which has none either."""
        self.ask("/debug/pprof/heap")
        reporter, = self.children(self.server.process.pid)
        self.assertEqual(self.children(reporter), [])

    @staticmethod
    def children(pid):
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:
            return [int(child) for child in children.read().split()]

    @unittest.skipUnless(shutil.which("go"), "there is no go")
    def test_go_reads_them(self):
        if IS_SANITIZED:
            self.skipTest("there is no heap to report about")
        with tempfile.TemporaryDirectory() as home:
            shown = subprocess.run(["go", "tool", "pprof", "-top", f"http://{self.address}/debug/pprof/heap"],
                                   capture_output=True, text=True, timeout=GO_CHECK_S,
                                   env={**os.environ, "HOME": home})
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertIn("inuse_space", shown.stdout)


if __name__ == "__main__":
    set_program(sys.argv.pop(1))
    unittest.main()
