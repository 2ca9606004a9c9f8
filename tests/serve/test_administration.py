#!/usr/bin/python3
"""What is told and steered over HTTP: targets, what is in force, snapshots, reloads, the end; beside Prometheus where it is there.

    test_administration.py PROGRAM [unittest's arguments]
"""

import base64
import json
import os
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import test_api as base  # noqa: E402
import test_scrape as scraping  # noqa: E402
from server import PATIENCE_S, Server, run, set_program, write  # noqa: E402

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from peers import find_program, free_port  # noqa: E402

FREE = "127.0.0.1:0"
OPEN = ("--set", "tsdb.admin_api=on", "--set", "http.lifecycle=on")
QUIET = ("--set", "tsdb.self_scrape=off")


def http_address(server):
    return next(door["address"] for door in server.doors() if door["protocol"] == "http")


class Rig(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="quarry-administration-")
        self.addCleanup(self.folder.cleanup)
        self.config = os.path.join(self.folder.name, "quarry.conf")

    page = scraping.Scraping.page

    def serve(self, *arguments, text="", **more):
        write(self.folder.name, "quarry.conf", text)
        return Server("--config", self.config, *arguments, memcached="off", http=FREE, **more)

    def get(self, server, path, parameters=(), status=200, method="GET", headers=None):
        """What an answer's data are, or its error."""
        got, fields, body = base.ask(http_address(server), f"/api/v1/{path}", parameters, method, headers)
        self.assertEqual(got, status, body)
        if got == 204:
            return None
        self.assertEqual(fields["Content-Type"], "application/json")
        answer = json.loads(body)
        return answer["data"] if status == 200 else (answer["errorType"], answer["error"])

    def wait(self, check):
        """Until what is checked is true. Returns: it."""
        end = time.monotonic() + PATIENCE_S
        while not (found := check()):
            self.assertLess(time.monotonic(), end, "waited in vain")
            time.sleep(0.05)
        return found

    def scraped(self, server):
        return self.wait(lambda: [target for target in self.get(server, "targets")["activeTargets"]
                                  if target["health"] != "unknown"])


class Administration(Rig):
    # ---- what is scraped ----

    def test_targets_tell_what_is_scraped(self):
        page = self.page()
        text = (f"[tsdb]\nself_scrape = off\n[scrape web]\ntargets = {page}\nlabels = zone=ü,tier=<a>\ninterval = 1500ms\n"
                f"timeout = 1s\n[scrape gone]\nfile_sd = {self.folder.name}/none*.json\n")
        with self.serve(text=text) as server:
            (target,) = self.wait(lambda: [target for target in self.scraped(server) if target["health"] == "up"])
            labels = {"instance": page, "job": "web", "tier": "<a>", "zone": "ü"}
            self.assertEqual(target["labels"], labels)
            self.assertEqual(target["discoveredLabels"]["__address__"], page)
            self.assertEqual((target["scrapePool"], target["health"], target["lastError"]), ("web", "up", ""))
            self.assertEqual(target["scrapeUrl"], f"http://{page}/metrics")
            self.assertEqual((target["scrapeInterval"], target["scrapeTimeout"]), ("1s500ms", "1s"))
            self.assertRegex(target["lastScrape"], r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?Z$")
            self.assertGreater(target["lastScrapeDuration"], 0)
            self.assertEqual(self.get(server, "scrape_pools"), {"scrapePools": ["gone", "web"]})
            dropped = {"gone": 0, "web": 0}
            for parameters, count, counts in (([("state", "any")], 1, dropped), ([("state", "ACTIVE")], 1, None),
                                              ([("state", "dropped")], 0, dropped), ([("state", "x")], 0, None),
                                              ([("scrapePool", "web")], 1, dropped), ([("scrapePool", "x")], 0, dropped)):
                data = self.get(server, "targets", parameters)
                self.assertEqual((len(data["activeTargets"]), data["droppedTargets"], data["droppedTargetCounts"]),
                                 (count, [], counts), parameters)
            family = {"target": labels, "metric": "requests_total", "type": "counter", "help": "", "unit": ""}
            self.assertEqual(self.get(server, "targets/metadata"), [family])
            for parameters, is_there in (([("match_target", '{job="web"}')], True), ([("match_target", '{zone=~".+"}')], True),
                                         ([("match_target", '{job="x"}')], False), ([("match_target", '{none!=""}')], False),
                                         ([("match_target", '{job="web",none=""}')], True), ([("limit", "0")], False),
                                         ([("metric", "latency")], False)):
                self.assertEqual(len(self.get(server, "targets/metadata", parameters)), int(is_there), parameters)
            del family["metric"]
            self.assertEqual(self.get(server, "targets/metadata", [("metric", "requests_total")]), [family])

    def test_a_target_that_fails_says_why_and_its_own_page_is_one(self):
        text = f"[tsdb]\nself_scrape = 1s\n[scrape down]\ntargets = 127.0.0.1:{free_port()}\ninterval = 1s\n"
        with self.serve(text=text) as server:
            down, own = self.wait(lambda: (found := self.scraped(server)) and len(found) == 2 and found)
            self.assertEqual((down["scrapePool"], down["health"]), ("down", "down"))
            self.assertNotEqual(down["lastError"], "")
            self.assertEqual((own["scrapePool"], own["health"]), ("quarry", "up"))
            self.assertEqual(own["scrapeUrl"], f"http://{own['labels']['instance']}/metrics")

    def test_targets_are_the_first_tenants(self):
        page = self.page()
        users = write(self.folder.name, "users", "".join(self.user(*words) for words in (
            ("ann", "", "read"), ("bob", "acme", "read"))))
        text = f"[tsdb]\nself_scrape = off\n[tenant acme]\nquota = 1m\n[users]\nfile = {users}\n[scrape web]\ntargets = {page}\n"
        with self.serve(text=text) as server:
            for name, count in (("ann", 1), ("bob", 0)):
                found = self.get(server, "targets", headers=self.basic(name))["activeTargets"]
                self.assertEqual(len(found), count)

    # ---- what is in force ----

    def user(self, name, tenant, rights):
        status, hashed, errors = run("config", "password", stdin=name + "\n")
        self.assertEqual(status, 0, errors)
        return f"{name}:{hashed.strip()}:{tenant}:{rights}\n"

    def basic(self, name):
        return {"Authorization": "Basic " + base64.b64encode(f"{name}:{name}".encode()).decode()}

    def test_the_configuration_is_told_without_secrets(self):
        hashed = self.user("ann", "", "admin").split(":")[1]
        passwords = write(self.folder.name, "password", "very-secret\n")
        text = (f"[tsdb]\nself_scrape = off\n[user ann]\npassword = {hashed}\nrights = read,admin\n[user bob]\n"
                f"password = {self.user('bob', '', 'read').split(':')[1]}\nrights = read\n[scrape web]\n"
                f"targets = 127.0.0.1:{free_port()} , b:1\nuser = joe\npassword_file = {passwords}\nparams = a=b&c=d\n"
                "labels = zone=\"q\\ü\nsample_limit = 7\nscheme = https\ntls_insecure = on\n")
        with self.serve(text=text) as server:
            ann, bob = self.basic("ann"), self.basic("bob")
            told = self.get(server, "status/config", headers=ann)["yaml"]
            for word in ('- job_name: "web"', "scrape_interval: 15s", '"a": ["b"]', 'username: "joe"', "scheme: https",
                         "sample_limit: 7", '- "b:1"', '"zone": "\\"q\\\\ü"', "# user.ann.password: <secret>",
                         "# tsdb.self_scrape: off", "insecure_skip_verify: true"):
                self.assertIn(word, told)
            for secret in ("very-secret", hashed):
                self.assertNotIn(secret, told)
            tool = find_program("prometheus", "promtool")
            if tool:
                write(self.folder.name, "told.yml", told)
                subprocess.run([tool, "check", "config", f"{self.folder.name}/told.yml"], check=True, capture_output=True,
                               timeout=PATIENCE_S)
            flags = self.get(server, "status/flags", headers=ann)
            self.assertEqual(list(flags), sorted(flags))
            self.assertEqual((flags["config.file"], flags["tsdb.window"], flags["web.enable-admin-api"]),
                             (self.config, "4h", "false"))
            for path in ("status/config", "status/flags"):
                for headers, status in ((None, 401), (bob, 403)):
                    self.assertEqual(base.ask(http_address(server), f"/api/v1/{path}", headers=headers)[0], status)

    def test_the_server_tells_what_runs(self):
        with self.serve(*QUIET, "--set", "tsdb.window=6h", "--set", "tsdb.windows=3") as server:
            data = self.get(server, "status/runtimeinfo")
            self.assertEqual(data["storageRetention"], "1d")
            self.assertEqual(data["GOMEMLIMIT"], 256 << 20)
            self.assertEqual(data["CWD"], server.folder)
            self.assertEqual((data["reloadConfigSuccess"], data["corruptionCount"]), (True, 0))
            self.assertGreater(data["goroutineCount"], 2)
            replay = self.get(server, "status/walreplay")
            self.assertEqual((replay["state"], replay["min"], replay["current"]), ("done", 0, replay["max"]))

    def test_its_own_figures_pass_promtool(self):
        tool = find_program("prometheus", "promtool")
        if not tool:
            self.skipTest("there is no promtool")
        with self.serve(resp=FREE) as server:
            for accept in ("text/plain", "application/openmetrics-text"):
                _, _, text = base.ask(http_address(server), "/metrics", headers={"Accept": accept})
                done = subprocess.run([tool, "check", "metrics"], input=text, capture_output=True, timeout=PATIENCE_S)
                self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"", b""))

    # ---- steering ----

    def test_what_is_off_says_so(self):
        with self.serve(*QUIET) as server:
            for path in ("snapshot", "delete_series", "clean_tombstones"):
                for method in ("POST", "PUT"):
                    self.assertEqual(self.get(server, f"admin/tsdb/{path}", status=500, method=method),
                                     ("unavailable", "admin APIs disabled"))
            for path in ("/-/reload", "/-/quit"):
                self.assertEqual(self.ask(server, path, "POST"), (403, b"Lifecycle API is not enabled."))
                self.assertEqual(self.ask(server, path, "GET"), (405, b"Only POST or PUT requests allowed"))
            self.assertIsNone(server.process.poll())

    def ask(self, server, path, method, headers=None):
        return base.ask(http_address(server), path, method=method, headers=headers)[::2]

    def test_a_snapshot_is_a_store(self):
        with self.serve(*OPEN, *QUIET) as server:
            body = b'kept{a="b"} 17\n'
            self.assertEqual(base.ask_raw(http_address(server), "/api/v1/import/prometheus", body, "text/plain")[0], 204)
            names = {self.get(server, "admin/tsdb/snapshot", [("skip_head", word)], method=method)["name"]
                     for word, method in (("false", "POST"), ("1", "PUT"))}
            self.assertEqual(len(names), 2)
            self.assertEqual(set(os.listdir(f"{server.folder}/data/snapshots")), names)
            self.assertEqual(self.get(server, "admin/tsdb/snapshot?skip_head=x", status=400, method="POST")[0], "bad_data")
            other = os.path.join(self.folder.name, "other")
            os.makedirs(f"{other}/data", mode=0o700)
            os.rename(f"{server.folder}/data/snapshots/{names.pop()}", f"{other}/data/tsdb")
            with self.serve(*QUIET, folder=other) as second:
                (series,) = self.get(second, "query", [("query", "kept")])["result"]
                self.assertEqual((series["metric"], series["value"][1]), ({"__name__": "kept", "a": "b"}, "17"))

    def test_what_the_store_cannot_do_is_refused_after_a_look(self):
        with self.serve(*OPEN, *QUIET) as server:
            self.assertIsNone(self.get(server, "admin/tsdb/clean_tombstones", status=204, method="POST"))
            for words, kind, text in (("", "bad_data", "no match[] parameter provided"),
                                      ("?match[]=x%7B", "bad_data", 'invalid parameter "match[]": 1:3: parse error: '),
                                      ("?match[]=up&start=x", "bad_data", 'invalid parameter "start": ')):
                got = self.get(server, "admin/tsdb/delete_series" + words, status=400, method="PUT")
                self.assertEqual(got[0], kind)
                self.assertIn(text, got[1])
            self.assertEqual(self.ask(server, "/api/v1/admin/tsdb/nope", "POST"), (404, b"404 page not found\n"))
        with self.serve(*OPEN, "--data", "off") as server:
            self.assertEqual(self.get(server, "admin/tsdb/snapshot", status=500, method="POST")[0], "unavailable")

    def test_a_reload_says_what_came_of_it(self):
        with self.serve(*OPEN, text="[log]\nlevel = info\n") as server:
            write(self.folder.name, "quarry.conf", "[log]\nlevel = debug\n")
            self.assertEqual(self.ask(server, "/-/reload", "POST"), (200, b""))
            self.assertEqual(self.get(server, "status/flags")["log.level"], "debug")
            self.assertIn("# log.level: debug\n", self.get(server, "status/config")["yaml"])
            write(self.folder.name, "quarry.conf", "[log]\nlevel = loud\n")
            status, body = self.ask(server, "/-/reload", "PUT")
            self.assertEqual((status, body[:25]), (500, b"failed to reload config: "))
            self.assertIn(b"log.level", body)
            self.assertFalse(self.get(server, "status/runtimeinfo")["reloadConfigSuccess"])
            self.assertEqual(self.get(server, "status/flags")["log.level"], "debug")

    def test_who_may_not_administrate_steers_nothing(self):
        users = write(self.folder.name, "users", self.user("ann", "", "read,write,admin") + self.user("bob", "", "read,write"))
        with self.serve(*OPEN, *QUIET, "--set", f"users.file={users}") as server:
            for path in ("/-/reload", "/-/quit", "/api/v1/admin/tsdb/snapshot", "/api/v1/admin/tsdb/clean_tombstones"):
                self.assertEqual(self.ask(server, path, "POST")[0], 401)
                self.assertEqual(self.ask(server, path, "POST", self.basic("bob"))[0], 403)
            foreign = {"Origin": "http://elsewhere.example"}
            self.assertEqual(self.ask(server, "/-/quit", "POST", {**foreign, **self.basic("ann")})[0], 403)
            self.assertIsNone(server.process.poll())
            self.assertEqual(self.ask(server, "/-/quit", "PUT", self.basic("ann")),
                             (200, b"Requesting termination... Goodbye!"))
            self.assertEqual(server.wait(), 0)


class Targets(Rig):
    def test_targets_are_told_as_prometheus_tells_them(self):
        program = find_program("prometheus", "prometheus")
        if not program:
            self.skipTest("there is no Prometheus")
        page, peer = self.page(), f"127.0.0.1:{free_port()}"
        config = write(self.folder.name, "prometheus.yml", "scrape_configs:\n- job_name: web\n  scrape_interval: 1s\n"
                       f"  scrape_timeout: 1s\n  static_configs: [{{targets: ['{page}'], labels: {{zone: '<é>'}}}}]\n")
        process = subprocess.Popen([program, f"--config.file={config}", f"--storage.tsdb.path={self.folder.name}/data",
                                    f"--web.listen-address={peer}", "--scrape.discovery-reload-interval=100ms"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        text = ("[tsdb]\nself_scrape = off\n[scrape web]\ninterval = 1s\ntimeout = 1s\n"
                f"targets = {page}\nlabels = zone=<é>\n")
        with self.serve(text=text) as server:
            def told(address):
                try:
                    status, _, body = base.ask(address, "/api/v1/targets")
                except OSError:
                    return None
                targets = json.loads(body)["data"]["activeTargets"] if status == 200 else []
                return targets if targets and targets[0]["health"] == "up" else None
            (ours,), (theirs,) = self.wait(lambda: told(http_address(server))), self.wait(lambda: told(peer))
            self.assertEqual(list(ours), list(theirs))
            for key in ("labels", "scrapePool", "scrapeUrl", "lastError", "health", "scrapeInterval", "scrapeTimeout"):
                self.assertEqual(ours[key], theirs[key])


if __name__ == "__main__":
    set_program(sys.argv.pop(1))
    unittest.main()
