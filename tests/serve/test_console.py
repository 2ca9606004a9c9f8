#!/usr/bin/python3
"""What the console's pages ask: the stream of figures, and actions with who may ask for them.

    test_console.py PROGRAM [unittest's arguments]
"""

import base64
import http.client
import json
import os
import sys
import tempfile
import threading
import unittest
import urllib.parse

from server import PATIENCE_S, Server, run, set_program, write

FREE = "127.0.0.1:0"
WATCHERS_MAX = 32
ACTIONS_A_MINUTE = 30
MEBIBYTE = 1 << 20


def address_of(server):
    return next(door["address"] for door in server.doors() if door["protocol"] == "http")


def credentials(name):
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:secret".encode()).decode()}


class Stream:
    """A watcher: events one by one."""

    def __init__(self, server, headers=None):
        self.connection = http.client.HTTPConnection(address_of(server), timeout=PATIENCE_S)
        self.connection.request("GET", "/api/v1/stream", headers=headers or {})
        self.answer = self.connection.getresponse()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.answer.close()
        self.connection.close()
        return False

    def event(self):
        """Its name, id and lines; None when the stream has ended."""
        name = number = None
        lines = []
        while line := self.answer.readline():
            text = line.decode().rstrip("\n")
            if text.startswith("event: "):
                name = text[7:]
            elif text.startswith("id: "):
                number = int(text[4:])
            elif text.startswith("data: "):
                lines.append(text[6:])
            elif text == "" and name:
                return name, number, lines
        return None

    def next(self, wanted):
        while event := self.event():
            if event[0] == wanted:
                return event
        raise AssertionError("the stream has ended")


class Rig(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="quarry-console-")
        self.addCleanup(self.folder.cleanup)

    def serve(self, *arguments, **more):
        server = Server(*arguments, "--set", "tsdb.self_scrape=off", http=FREE, **more)
        self.addCleanup(server.__exit__)
        server.ready()
        return server

    def serve_users(self, *arguments):
        """ann may read, root may administer."""
        hashed = run("config", "password", stdin="secret\n")[1].strip()
        text = f"[user ann]\npassword = {hashed}\nrights = read\n[user root]\npassword = {hashed}\nrights = read,admin\n"
        return self.serve("--config", write(self.folder.name, "quarry.conf", text), *arguments)

    def ask(self, server, path, method="GET", form=None, headers=None):
        connection = http.client.HTTPConnection(address_of(server), timeout=PATIENCE_S)
        sent = {"Content-Type": "application/x-www-form-urlencoded"} if form else {}
        try:
            connection.request(method, path, urllib.parse.urlencode(form) if form else None, {**sent, **(headers or {})})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def metric(self, server, name):
        page = self.ask(server, "/metrics")[1]
        return next(float(line.split()[-1]) for line in page.splitlines() if line.startswith(f"{name} "))


class Streams(Rig):
    def test_events_come_one_after_the_other(self):
        with Stream(self.serve()) as stream:
            self.assertEqual(stream.answer.status, 200)
            self.assertEqual(stream.answer.headers["Content-Type"], "text/event-stream")
            numbers = [stream.next("metrics")[1] for _ in range(3)]
            self.assertEqual(numbers, sorted(set(numbers)))

    def test_figures_are_those_of_metrics(self):
        server = self.serve()
        with server.connect() as link:
            for i in range(100):
                link.send(f"set key{i} 0 0 1 noreply\r\nx\r\n")
            link.ask("version")
        with Stream(server) as stream:
            lines = stream.next("metrics")[2]
            page = self.ask(server, "/metrics")[1].splitlines()
        self.assertIn("quarry_cache_items 100", lines)
        told = {line.rsplit(" ", 1)[0] for line in lines}
        self.assertEqual(told, {line.rsplit(" ", 1)[0] for line in page if line and line[0] != "#" and "_bucket{" not in line})

    def test_heap_is_told_to_administrators(self):
        with Stream(self.serve()) as stream:
            summary = json.loads("".join(stream.next("heap")[2]))
            self.assertEqual(summary["limit_bytes"], 256 * MEBIBYTE)

    def test_who_may_only_read_is_not_told_of_the_heap(self):
        server = self.serve_users()
        with Stream(server) as stream:
            self.assertEqual(stream.answer.status, 401)
        with Stream(server, credentials("ann")) as ann, Stream(server, credentials("root")) as root:
            self.assertEqual([ann.event()[0] for _ in range(3)], ["metrics"] * 3)
            self.assertEqual({root.event()[0] for _ in range(4)}, {"metrics", "heap"})

    def test_a_report_is_shared(self):
        """Of watchers that came together two have the same report sooner or later."""
        server = self.serve()
        seen, is_shared = set(), threading.Event()
        lock = threading.Lock()

        def watch():
            with Stream(server) as stream:
                while not is_shared.is_set():
                    number = stream.next("metrics")[1]
                    with lock:
                        if number in seen:
                            is_shared.set()
                        seen.add(number)

        threads = [threading.Thread(target=watch) for _ in range(4)]
        for thread in threads:
            thread.start()
        self.assertTrue(is_shared.wait(PATIENCE_S))
        for thread in threads:
            thread.join()

    def test_so_many_watchers_and_no_more(self):
        server = self.serve()
        streams = [Stream(server) for _ in range(WATCHERS_MAX)]
        try:
            self.assertEqual({stream.answer.status for stream in streams}, {200})
            with Stream(server) as stream:
                self.assertEqual(stream.answer.status, 503)
            self.assertEqual(self.ask(server, "/-/ready")[0], 200)
            self.assertEqual(self.ask(server, "/metrics")[0], 200)  # threads are free
        finally:
            for stream in streams:
                stream.__exit__()
        for _ in range(PATIENCE_S * 10):
            with Stream(server) as stream:
                if stream.answer.status == 200:
                    return
            threading.Event().wait(0.1)
        self.fail("nobody may watch when all have gone")

    def test_a_stream_ends_with_the_server(self):
        server = self.serve()
        with Stream(server) as stream:
            stream.next("metrics")
            self.assertEqual(server.end(), 0)
            try:
                while stream.event():
                    pass
            except (http.client.HTTPException, ConnectionError):
                pass  # cut: that is an end, too


class Acting(Rig):
    def token(self, server, headers=None):
        status, body = self.ask(server, "/api/v1/actions", headers=headers)
        self.assertEqual(status, 200, body)
        return {"X-Quarry-Token": json.loads(body)["data"]["token"], **(headers or {})}

    def act(self, server, name, form=None, headers=None):
        return self.ask(server, f"/api/v1/actions/{name}", "POST", form, headers)


class Actions(Acting):
    def test_without_the_token_nothing_is_done(self):
        server = self.serve()
        good = self.token(server)["X-Quarry-Token"]
        self.assertRegex(good, "^[0-9a-f]{64}$")
        wrong = ("0" if good[0] != "0" else "1") + good[1:]
        for headers in ({}, {"X-Quarry-Token": ""}, {"X-Quarry-Token": wrong}, {"X-Quarry-Token": good[:-1]},
                        {"X-Quarry-Token": good + "0"}):
            self.assertEqual(self.act(server, "scavenge", headers=headers)[0], 403, headers)
        self.assertEqual(server.lines("action"), [])

    def test_pages_of_strangers_are_refused(self):
        server = self.serve()
        token = self.token(server)
        for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "http://evil.example"},
                        {"Origin": "null"}, {"Host": "evil.example"}):
            self.assertEqual(self.act(server, "scavenge", headers={**token, **headers})[0], 403, headers)
        self.assertEqual(self.ask(server, "/api/v1/actions", headers={"Sec-Fetch-Site": "cross-site"})[0], 403)
        self.assertEqual(server.lines("action"), [])
        own = {"Sec-Fetch-Site": "same-origin", "Origin": f"http://{address_of(server)}"}
        self.assertEqual(self.act(server, "scavenge", headers={**token, **own})[0], 200)

    def test_who_may_only_read_changes_nothing(self):
        server = self.serve_users()
        token = self.token(server, credentials("root"))
        self.assertEqual(self.ask(server, "/api/v1/actions", headers=credentials("ann"))[0], 403)
        self.assertEqual(self.act(server, "scavenge", headers={**token, **credentials("ann")})[0], 403)
        del token["Authorization"]
        self.assertEqual(self.act(server, "scavenge", headers=token)[0], 401)
        self.assertEqual(self.act(server, "scavenge", headers={**token, **credentials("root")})[0], 200)
        self.assertEqual([line["user"] for line in server.lines("action")], ["root"])

    def test_another_servers_token_is_none(self):
        one, other = self.serve(), self.serve()
        self.assertEqual(self.act(one, "scavenge", headers=self.token(other))[0], 403)

    def test_reading_it_is_no_way_to_act(self):
        server = self.serve()
        self.assertEqual(self.ask(server, "/api/v1/actions/scavenge", headers=self.token(server))[0], 405)

    def test_memory_goes_back_and_is_logged(self):
        server = self.serve()
        status, body = self.act(server, "scavenge", headers=self.token(server))
        self.assertEqual(status, 200, body)
        self.assertRegex(json.loads(body)["data"]["result"], "^[0-9]+ bytes given back$")
        self.assertEqual([line["action"] for line in server.lines("action")], ["scavenge"])

    def test_the_key_value_store_is_flushed_and_compacted(self):
        server = self.serve(resp=FREE)
        token = self.token(server)
        resp = next(i for i, door in enumerate(server.doors()) if door["protocol"] == "resp")
        with server.connect(resp) as link:
            self.assertEqual(link.ask("SET key value"), "+OK")
        for name in ("flush_kv", "compact_kv"):
            status, body = self.act(server, name, headers=token)
            self.assertEqual(status, 200, body)
        with server.connect(resp) as link:
            self.assertEqual(link.ask("GET key"), "$5")

    def test_a_tenants_items_are_gone(self):
        server = self.serve()
        token = self.token(server)
        with server.connect() as link:
            self.assertEqual(link.ask("set key 0 0 1\r\nx"), "STORED")
            self.assertEqual(self.act(server, "flush_tenant", {"tenant": "nobody"}, token)[0], 404)
            self.assertEqual(self.act(server, "flush_tenant", headers=token)[0], 400)
            self.assertEqual(self.act(server, "flush_tenant", {"tenant": "x" * 300}, token)[0], 400)
            self.assertEqual(self.act(server, "flush_tenant", {"tenant": "a\0b"}, token)[0], 400)
            self.assertEqual(self.act(server, "flush_tenant", {"tenant": "default"}, token)[0], 200)
            self.assertEqual(link.ask("get key"), "END")

    def test_the_limit_is_changed_live(self):
        server = self.serve()
        token = self.token(server)
        status, body = self.act(server, "set_limit", {"limit": "200m"}, token)
        self.assertEqual(status, 200, body)
        self.assertEqual(self.metric(server, "quarry_memory_limit_bytes"), 200 * MEBIBYTE)
        for wrong in ("many", "-1", "1k", "2" * 100):
            self.assertGreaterEqual(self.act(server, "set_limit", {"limit": wrong}, token)[0], 400, wrong)
        self.assertEqual(self.metric(server, "quarry_memory_limit_bytes"), 200 * MEBIBYTE)

    def test_unknown_actions_and_too_many(self):
        server = self.serve()
        token = self.token(server)
        self.assertEqual(self.act(server, "explode", headers=token)[0], 404)
        # A minute may pass meanwhile: within two of them the limit is met.
        answers = [self.act(server, "scavenge", headers=token)[0] for _ in range(2 * ACTIONS_A_MINUTE + 1)]
        self.assertIn(429, answers)
        self.assertEqual(answers[:ACTIONS_A_MINUTE].count(200), ACTIONS_A_MINUTE)


# Works for a minute on no data, and looks around often; and what its steps need.
ENDLESS = "+".join(f"quantile_over_time(.{i},vector(time())[5h:1s])" for i in range(10, 20))
ROOM = ("--set", "tsdb.query_memory=64m")


class Queries(Acting):
    """Those under way, the slowest, and how one is ended: with all threads at work."""

    def begin(self, server, headers=None):
        """Asks what does not end; the answer is in the list once there is one."""
        answers = []
        form = {"query": ENDLESS, "start": 100000, "end": 110000, "step": 1}
        thread = threading.Thread(target=lambda: answers.append(self.ask(server, "/api/v1/query_range", "POST", form, headers)))
        thread.start()
        self.addCleanup(thread.join)
        return thread, answers

    def listed(self, server, name="active_queries", headers=None):
        status, body = self.ask(server, f"/api/v1/status/{name}", headers=headers)
        self.assertEqual(status, 200, body)
        return json.loads(body)["data"]

    def until(self, server, count, headers=None):
        for _ in range(PATIENCE_S * 20):
            found = self.listed(server, headers=headers)
            if len(found) == count:
                return found
            threading.Event().wait(0.05)
        self.fail(f"never {count} queries under way")

    def test_one_is_listed_and_ended(self):
        server = self.serve("--set", "http.threads=1", *ROOM)
        token = self.token(server)
        self.assertEqual(self.listed(server), [])
        thread, answers = self.begin(server)
        (query,) = self.until(server, 1)
        self.assertEqual(query["query"], ENDLESS)
        self.assertEqual((query["start"], query["end"], query["step"]), (100000000, 110000000, 1000))
        self.assertRegex(query["remote_addr"], r"^127\.0\.0\.1:\d+$")
        self.assertRegex(query["id"], "^[0-9A-F]{16}$")
        self.assertRegex(query["duration"], r"^\d+\.\d{3}s$")
        self.assertNotIn("outcome", query)
        for wrong in ("", "x", query["id"][1:], query["id"] + "0", "-" + query["id"][1:]):
            self.assertEqual(self.act(server, "cancel_query", {"id": wrong}, token)[0], 400, wrong)
        self.assertEqual(self.act(server, "cancel_query", {"id": "0" * 16}, token)[0], 404)
        self.assertEqual(self.act(server, "cancel_query", {"id": query["id"]})[0], 403)
        self.assertEqual(self.listed(server)[0]["id"], query["id"])
        status, body = self.act(server, "cancel_query", {"id": query["id"]}, token)
        self.assertEqual(status, 200, body)
        thread.join(PATIENCE_S)
        self.assertEqual(answers[0][0], 499)
        self.assertEqual(json.loads(answers[0][1])["errorType"], "canceled")
        self.assertEqual(self.listed(server), [])
        slowest = self.listed(server, "top_queries")[0]
        self.assertEqual((slowest["id"], slowest["outcome"]), (query["id"], "canceled"))
        self.assertGreater(slowest["memory_bytes"], 0)
        self.assertEqual(self.act(server, "cancel_query", {"id": query["id"]}, token)[0], 404)
        self.assertIn(query["id"], [line["value"] for line in server.lines("action")])

    def test_the_right_one_is_ended(self):
        server = self.serve("--set", "http.threads=3", *ROOM)
        token = self.token(server)
        asked = [self.begin(server) for _ in range(3)]
        ids = [query["id"] for query in self.until(server, 3)]
        self.assertEqual(len(set(ids)), 3)
        for left, one in zip((2, 1, 0), (ids[1], ids[0], ids[2])):
            self.assertEqual(self.act(server, "cancel_query", {"id": one}, token)[0], 200)
            self.assertNotIn(one, [query["id"] for query in self.until(server, left)])
        for thread, answers in asked:
            thread.join(PATIENCE_S)
            self.assertEqual(answers[0][0], 499)

    def test_the_slowest_are_told_first_and_no_more_than_twenty(self):
        server = self.serve()
        hostile = 'vector(1) # <script>"\u202e\\'
        self.ask(server, "/api/v1/query", "POST", {"query": hostile})
        self.assertIn(hostile, [query["query"] for query in self.listed(server, "top_queries")])
        self.ask(server, "/api/v1/query", "POST", {"query": "1 + " * 400 + "1"})
        self.ask(server, "/api/v1/query", "POST", {"query": "sum("})
        told = self.listed(server, "top_queries")
        self.assertEqual({query["outcome"] for query in told}, {"success", "bad_data"})
        self.assertIn(512, [len(query["query"]) for query in told])
        for i in range(30):
            self.ask(server, "/api/v1/query", "POST", {"query": f"vector({i})"})
        told = self.listed(server, "top_queries")
        self.assertEqual(len(told), 20)
        durations = [float(query["duration"][:-1]) for query in told]
        self.assertEqual(durations, sorted(durations, reverse=True))

    def test_they_are_for_administrators(self):
        server = self.serve_users(*ROOM)
        for name in ("active_queries", "top_queries"):
            self.assertEqual(self.ask(server, f"/api/v1/status/{name}")[0], 401)
            self.assertEqual(self.ask(server, f"/api/v1/status/{name}", headers=credentials("ann"))[0], 403)
        token = self.token(server, credentials("root"))
        thread, _ = self.begin(server, credentials("ann"))
        (query,) = self.until(server, 1, credentials("root"))
        self.assertEqual(query["user"], "ann")
        refused = self.act(server, "cancel_query", {"id": query["id"]}, {**token, **credentials("ann")})
        self.assertEqual(refused[0], 403)
        self.assertEqual(self.act(server, "cancel_query", {"id": query["id"]}, token)[0], 200)
        thread.join(PATIENCE_S)


if __name__ == "__main__":
    set_program(sys.argv.pop(1))
    unittest.main()
