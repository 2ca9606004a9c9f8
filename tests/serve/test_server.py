#!/usr/bin/python3
"""The server as its operator meets it: starts, refusals, signals, reloads, ends.

    test_server.py PROGRAM [unittest's arguments]
"""

import json
import os
import signal
import socket
import stat
import sys
import tempfile
import time
import unittest

from server import (PATIENCE_S, Server, client_tls, make_certificate, run, set_program,
                    wait_until_read, write)


class Starting(unittest.TestCase):
    def test_says_what_it_is_and_answers(self):
        with Server() as server:
            door = server.doors()[0]
            self.assertEqual(door["protocol"], "memcached")
            self.assertEqual((door["tls"], door["login"]), ("no", "no"))
            self.assertRegex(door["address"], r"^127\.0\.0\.1:[1-9]\d*$")
            memory = server.lines("memory")[0]
            self.assertEqual((memory["limit_bytes"], memory["by"]), (str(256 << 20), "--memory"))
            self.assertEqual(server.lines("data")[0]["path"],
                             os.path.realpath(os.path.join(server.folder, "data")))
            self.assertRegex(server.lines("quarry serves")[0]["version"], r"^\d+\.\d+\.\d+$")
            self.assertLess(float(server.lines("ready")[0]["seconds"]), PATIENCE_S)
            with server.connect() as link:
                self.assertRegex(link.ask("version"), r"^VERSION \d")
            self.assertEqual(server.end(), 0)

    def test_budget_is_nine_tenths_of_what_there_is(self):
        with Server(memory=None) as server:
            memory = server.ready().lines("memory")[0]
            self.assertRegex(memory["by"], r"^nine tenths of (RAM's|the cgroup's) ")
            self.assertGreater(int(memory["limit_bytes"]), 1 << 20)

    def test_folder_is_its_own(self):
        with Server() as server:
            server.ready()
            facts = os.stat(os.path.join(server.folder, "data"))
            self.assertEqual(stat.S_IMODE(facts.st_mode), 0o700)

    def test_listens_on_a_unix_socket(self):
        with tempfile.TemporaryDirectory(prefix="quarry-serve-") as folder:
            path = os.path.join(folder, "socket")
            with Server(memcached="unix:" + path) as server, server.connect() as link:
                self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
                self.assertRegex(link.ask("version"), r"^VERSION")
                server.end()
                self.assertFalse(os.path.exists(path))

    def test_settings_come_from_all_sources(self):
        with tempfile.TemporaryDirectory(prefix="quarry-serve-") as folder:
            path = write(folder, "q.conf", "[memory]\nlimit = 64m\n[server]\nthreads = 1\n")
            with Server("--config", path, memory=None,
                        environment={"QUARRY_SERVER_THREADS": "3"}) as server:
                server.ready()
                self.assertEqual(server.lines("memory")[0]["by"], path + ":2")
                self.assertEqual(server.lines("ready")[0]["threads"], "3")
                self.assertEqual(server.lines("quarry serves")[0]["config"], path)

    def test_log_is_json_when_asked(self):
        with Server("--log-format", "json") as server:
            end = time.monotonic() + PATIENCE_S
            while '"msg":"ready"' not in server.log() and time.monotonic() < end:
                time.sleep(0.01)
            lines = [json.loads(line) for line in server.log().splitlines()]
            self.assertIn("ready", [line["msg"] for line in lines])
            self.assertTrue(all("time" in line and "level" in line for line in lines))

    def test_serves_over_tls(self):
        with tempfile.TemporaryDirectory(prefix="quarry-serve-") as folder:
            certificate, key = make_certificate(folder, "one")
            with Server("--set", "memcached.listen_tls=127.0.0.1:0", "--set",
                        f"tls.certificate={certificate}", "--set", f"tls.key={key}") as server:
                self.assertEqual([door["tls"] for door in server.doors()], ["no", "yes"])
                with server.connect(door=1, tls=client_tls(certificate)) as link:
                    self.assertRegex(link.ask("version"), r"^VERSION")


class Refusing(unittest.TestCase):
    def refused(self, status, message, *arguments, **options):
        with Server(*arguments, **options) as server:
            self.assertEqual(server.wait(), status, server.log())
            self.assertIn(message, server.log())
            return server.log()

    def test_addresses_beyond_the_machine_without_users(self):
        log = self.refused(78, "other machines could use it without a login",
                           memcached="0.0.0.0:0")
        self.assertIn("--insecure", log)
        self.assertIn("[user NAME]", log)

    def test_not_when_it_is_meant(self):
        with Server("--insecure", memcached="0.0.0.0:0") as server:
            with server.connect() as link:
                self.assertRegex(link.ask("version"), r"^VERSION")

    def test_not_when_there_are_users(self):
        with tempfile.TemporaryDirectory(prefix="quarry-serve-") as folder:
            path = write(folder, "users", "ann:secret\n")
            with Server("--set", "users.plain_file=" + path, memcached="0.0.0.0:0") as server:
                self.assertEqual(server.doors()[0]["login"], "yes")

    def test_port_that_is_taken(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            log = self.refused(75, f"listen on {address}", memcached=address)
            self.assertIn("choose another with --memcached", log)

    def test_folder_that_another_server_has(self):
        with Server() as first:
            first.ready()
            log = self.refused(75, f"another server (process {first.process.pid})",
                               folder=first.folder)
            self.assertIn("--data", log)

    def test_folder_that_cannot_be_made(self):
        with Server("--data", "/nowhere/at/all") as server:
            self.assertEqual(server.wait(), 1)
            self.assertIn("server.data: cannot make '/nowhere/at/all': No such file", server.log())

    def test_unknown_settings_and_values(self):
        with tempfile.TemporaryDirectory(prefix="quarry-serve-") as folder:
            path = write(folder, "q.conf", "[cache]\nsise = 1g\n[log]\nlevel = loud\n")
            log = self.refused(78, "q.conf:2: there is no setting 'cache.sise'", "--config", path)
            self.assertIn("q.conf:4: log.level takes debug", log)
        self.refused(78, "--set: cache.size takes a number of bytes", "--set", "cache.size=big")
        self.refused(78, "did you mean QUARRY_CACHE_SIZE", environment={"QUARRY_CACHE_SISE": "1g"})
        self.refused(78, "No such file", "--config", "/nowhere.conf")

    def test_options_that_there_are_not(self):
        self.refused(2, "did you mean '--memory'", "--memroy", "1g")
        with Server("--resp", "off", "--http", "off") as server:
            server.ready()

    def test_users_that_cannot_be_read(self):
        self.refused(1, "/nowhere/users: No such file", "--set", "users.file=/nowhere/users")

    def test_certificates_that_cannot_be_read(self):
        self.refused(1, "/nowhere.pem", "--set", "memcached.listen_tls=127.0.0.1:0", "--set",
                     "tls.certificate=/nowhere.pem")


class TimeSeries(unittest.TestCase):
    """Whether there is a time-series store, as its folder tells."""

    def has_store(self, *arguments, **options):
        with tempfile.TemporaryDirectory(prefix="quarry-serve-") as folder:
            with Server(*arguments, folder=folder, **options) as server:
                server.ready()
                self.assertEqual(server.end(), 0)
            return os.path.isdir(os.path.join(folder, "data", "tsdb"))

    def test_it_is_there_for_the_http_door_and_where_it_is_asked_for(self):
        self.assertFalse(self.has_store(http="off"))
        self.assertTrue(self.has_store(http="127.0.0.1:0"))
        self.assertTrue(self.has_store("--set", "tsdb.enabled=on", http="off"))
        self.assertFalse(self.has_store("--set", "tsdb.enabled=off", http="127.0.0.1:0"))


class RespDoor(unittest.TestCase):
    """The RESP door and its store, as the server opens them; what is said there is tested elsewhere."""

    FREE = "127.0.0.1:0"

    def refused(self, status, message, *arguments, **options):
        with Server(*arguments, **options) as server:
            self.assertEqual(server.wait(), status, server.log())
            self.assertIn(message, server.log())

    def test_is_told_of_and_answers(self):
        with Server(resp=self.FREE) as server:
            doors = server.doors()
            self.assertEqual([door["protocol"] for door in doors], ["memcached", "resp"])
            self.assertEqual(server.lines("the store is open")[0]["path"],
                             os.path.realpath(os.path.join(server.folder, "data", "kv")))
            with server.connect(1) as link:
                self.assertEqual(link.ask("PING"), "+PONG")

    def test_what_was_written_is_there_after_kill_9(self):
        with tempfile.TemporaryDirectory(prefix="quarry-serve-") as folder:
            with Server(resp=self.FREE, folder=folder) as server, server.connect(1) as link:
                self.assertEqual(link.ask("SET key value"), "+OK")
                server.signal(signal.SIGKILL)
                server.wait()
            with Server(resp=self.FREE, folder=folder) as server, server.connect(1) as link:
                self.assertEqual(link.ask("GET key"), "$5")
                self.assertEqual(link.line(), "value")
                server.signal(signal.SIGTERM)
                self.assertEqual(server.wait(), 0)
                self.assertEqual(len(server.lines("the store is closed")), 1)

    def test_wants_a_folder(self):
        data = ["--set", "server.data=off", "--durability", "none"]
        self.refused(78, "what clients of the RESP door write is kept in server.data", *data,
                     resp=self.FREE)
        with Server(*data, resp=None) as server:  # by default there is none then
            self.assertEqual([door["protocol"] for door in server.doors()], ["memcached"])

    def test_a_port_that_is_taken_is_named(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            self.refused(75, "choose another with --resp ADDRESS:PORT",
                         resp=f"127.0.0.1:{taken.getsockname()[1]}")

    def test_logins_say_whose_keys_there_are(self):
        with tempfile.TemporaryDirectory(prefix="quarry-serve-") as folder:
            path = write(folder, "users", "ann:secret\nbob:secret2\n")
            with Server("--set", f"users.plain_file={path}", resp=self.FREE) as server:
                with server.connect(1) as link:
                    self.assertEqual(link.ask("GET key"), "-NOAUTH Authentication required.")
                    self.assertTrue(link.ask("AUTH ann wrong").startswith("-WRONGPASS"))
                    self.assertEqual(link.ask("AUTH ann secret"), "+OK")
                    self.assertEqual(link.ask("SET key value"), "+OK")
                    self.assertEqual(link.ask("AUTH bob secret2"), "+OK")
                    self.assertEqual(link.ask("RESET"), "+RESET")
                    self.assertEqual(link.ask("GET key"), "-NOAUTH Authentication required.")

    def test_power_answers_behind_the_disk(self):
        with Server("--durability", "power", resp=self.FREE) as server:
            with server.connect(1) as link:
                for number in range(1, 50):
                    self.assertEqual(link.ask("INCR n"), f":{number}")


class Ending(unittest.TestCase):
    def test_idle_connections_are_closed_and_status_is_0(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with Server() as server, server.connect() as link:
                self.assertRegex(link.ask("version"), r"^VERSION")
                server.signal(number)
                self.assertIsNone(link.line())
                self.assertEqual(server.wait(), 0)
                self.assertEqual(server.lines("ended")[0]["how"], "in order")

    def test_a_request_under_way_is_finished(self):
        with Server() as server, server.connect() as link:
            link.ask("version")
            link.send("vers")
            wait_until_read(link.socket)
            server.signal(signal.SIGTERM)
            server.wait_for("ending: requests under way are finished")
            link.send("ion\r\n")
            self.assertRegex(link.line(), r"^VERSION")
            self.assertEqual(server.wait(), 0)

    def test_a_small_value_under_way_is_finished(self):
        with Server("--threads", "1") as server, server.connect() as link:
            link.send("set key 0 0 10\r\n0123")
            wait_until_read(link.socket)
            server.signal(signal.SIGTERM)
            server.wait_for("ending: requests under way are finished")
            time.sleep(0.1)
            self.assertEqual(link.ask("456789"), "STORED")
            self.assertEqual(server.wait(), 0)

    def test_the_second_signal_does_not_wait(self):
        with Server("--set", "net.drain_timeout=1h", "--set", "net.line_timeout=off") as server:
            with server.connect() as link:
                link.ask("version")
                link.send("vers")
                wait_until_read(link.socket)
                server.signal(signal.SIGTERM)
                server.wait_for("ending: requests under way are finished")
                self.assertIsNone(server.process.poll())
                server.signal(signal.SIGINT)
                self.assertEqual(server.wait(), 0)
                self.assertEqual(server.lines("ended")[0]["how"], "at once")

    def test_a_killed_server_leaves_its_folder_free(self):
        with tempfile.TemporaryDirectory(prefix="quarry-serve-") as folder:
            for _ in range(3):
                with Server(folder=folder) as server, server.connect() as link:
                    self.assertRegex(link.ask("version"), r"^VERSION")
                    server.process.kill()
                    server.wait()


class Reloading(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="quarry-serve-")
        self.addCleanup(self.folder.cleanup)

    def write(self, text):
        return write(self.folder.name, "q.conf", text)

    def reload(self, server, count=1):
        server.signal(signal.SIGHUP)
        server.wait_for("the configuration was read again", count)

    def test_changes_what_it_can_and_names_the_rest(self):
        path = self.write("[net]\nconnections_max = 100\n")
        with Server("--config", path) as server, server.connect() as link:
            link.ask("version")
            self.write("[net]\nconnections_max = 1\n[server]\nthreads = 7\n[cache]\nitem_max = 2m\n")
            self.reload(server)
            changed = {line["setting"]: line["value"] for line in server.lines("a setting has changed")}
            self.assertEqual(changed, {"net.connections_max": "1", "cache.item_max": "2m"})
            waits = server.lines("a setting waits for a restart")
            self.assertEqual([line["setting"] for line in waits], ["server.threads"])
            with server.connect() as second:  # one more than there may be now
                self.assertEqual(second.line(), "ERROR Too many open connections")
            self.assertRegex(link.ask("version"), r"^VERSION")

    def test_what_waits_for_a_restart_is_said_at_each_reload(self):
        log = os.path.join(self.folder.name, "other.log")
        path = self.write("")
        with Server("--config", path) as server:
            server.ready()
            self.write(f"[log]\nfile = {log}\n")
            for count in (1, 2):
                self.reload(server, count)
                waits = server.lines("a setting waits for a restart")
                self.assertEqual([line["setting"] for line in waits], ["log.file"] * count)
            self.assertFalse(os.path.exists(log))
            self.write("")
            self.reload(server, 3)
            self.assertEqual(len(server.lines("a setting waits for a restart")), 2)

    def test_keeps_the_old_when_the_new_is_wrong(self):
        path = self.write("[net]\nconnections_max = 100\n")
        with Server("--config", path) as server, server.connect() as link:
            link.ask("version")
            self.write("[net]\nconnections_max = 1\nbacklog = -1\n")
            server.signal(signal.SIGHUP)
            server.wait_for("the configuration was not read again: all is as it was")
            wrong = server.lines("the configuration is wrong")
            self.assertEqual(len(wrong), 1)
            self.assertIn("q.conf:3: net.backlog takes", wrong[0]["what"])
            with server.connect() as second:
                self.assertRegex(second.ask("version"), r"^VERSION")
            self.write("[net]\nconnections_max = 50\n")
            self.reload(server)
            self.assertRegex(link.ask("version"), r"^VERSION")

    def test_keeps_the_old_when_a_file_it_names_is_wrong(self):
        users = write(self.folder.name, "users", "ann:secret\n")
        path = self.write(f"[users]\nplain_file = {users}\n[net]\nconnections_max = 100\n")
        with Server("--config", path) as server:
            server.ready()
            self.write(f"[users]\nplain_file = {users}\n[net]\nconnections_max = 1\n")
            write(self.folder.name, "users", "ann\n")
            server.signal(signal.SIGHUP)
            server.wait_for("the configuration was not read again: all is as it was")
            self.assertIn("users:1: not NAME:PASSWORD",
                          server.lines("the configuration is wrong")[0]["what"])
            self.assertEqual(server.lines("a setting has changed"), [])
            with server.connect(), server.connect() as second:
                self.assertRegex(second.ask("version"), r"^VERSION")

    def test_moves_the_memory_limit(self):
        path = self.write("[memory]\nlimit = 256m\n")
        with Server("--config", path, memory=None) as server:
            server.ready()
            self.write("[memory]\nlimit = 128m\n")
            self.reload(server)
            self.write("[memory]\nlimit = 512m\n")
            self.reload(server, 2)
            values = [line["value"] for line in server.lines("a setting has changed")]
            self.assertEqual(values, ["128m", "512m"])

    def test_brings_certificates(self):
        certificate, key = make_certificate(self.folder.name, "one")
        with Server("--set", "memcached.listen_tls=127.0.0.1:0", "--set",
                    f"tls.certificate={certificate}", "--set", f"tls.key={key}") as server:
            trust = client_tls(certificate)
            with server.connect(door=1, tls=trust) as before:
                other, other_key = make_certificate(self.folder.name, "two")
                os.replace(other, certificate)
                os.replace(other_key, key)
                self.reload(server)
                self.assertRegex(before.ask("version"), r"^VERSION")
                with server.connect(door=1, tls=client_tls(certificate)) as after:
                    self.assertRegex(after.ask("version"), r"^VERSION")

    def test_keeps_certificates_when_the_new_are_wrong(self):
        certificate, key = make_certificate(self.folder.name, "one")
        with Server("--set", "memcached.listen_tls=127.0.0.1:0", "--set",
                    f"tls.certificate={certificate}", "--set", f"tls.key={key}") as server:
            server.ready()
            trust = client_tls(certificate)
            write(self.folder.name, "one.pem", "no certificate\n")
            server.signal(signal.SIGHUP)
            server.wait_for("the configuration was not read again: all is as it was")
            with server.connect(door=1, tls=trust) as link:
                self.assertRegex(link.ask("version"), r"^VERSION")

    def test_says_when_users_wait_for_a_restart(self):
        path = self.write("")
        with Server("--config", path) as server:
            server.ready()
            users = write(self.folder.name, "users", "ann:secret\n")
            self.write(f"[users]\nplain_file = {users}\n")
            self.reload(server)
            self.assertEqual(len(server.lines("doors ask for logins only after a restart")), 1)


class Watching(unittest.TestCase):
    def test_opens_the_log_again(self):
        with tempfile.TemporaryDirectory(prefix="quarry-serve-") as folder:
            path = os.path.join(folder, "log")
            with Server("--set", "log.file=" + path) as server:
                self.wait_for_text(path, "msg=ready")
                os.rename(path, path + ".1")
                server.signal(signal.SIGUSR1)
                self.wait_for_text(path, "")
                server.signal(signal.SIGHUP)
                self.wait_for_text(path, "the configuration was read again")
                self.assertNotIn("msg=ready", self.read(path))
                self.assertEqual(server.log(), "")

    def test_tells_where_threads_are(self):
        with Server("--threads", "2") as server:
            server.ready()
            # Each goes to the worker with the fewest; who has answered has its name.
            with server.connect() as one, server.connect() as other:
                for link in (one, other):
                    self.assertRegex(link.ask("version"), r"^VERSION")
                server.signal(signal.SIGQUIT)
                server.wait_for("thread", 6)
                names = [line["name"] for line in server.lines("thread")]
                self.assertIn("quarry-net-0", names)
                self.assertIn("quarry-net-1", names)
                self.assertRegex(one.ask("version"), r"^VERSION")
            self.assertEqual(server.end(), 0)

    def tell(self, link, group):
        """The figures of a group of `stats`."""
        link.send(f"stats {group}\r\n")
        found = {}
        while (line := link.line()) != "END":
            _, name, value = line.split(" ", 2)
            found[name] = value
        return found

    def test_tells_of_the_connections_of_all_workers(self):
        with Server("--threads", "3") as server:
            links = [server.connect() for _ in range(30)]
            for link in links:
                self.assertRegex(link.ask("version"), "^VERSION")
            links[5].send("set half 0 0 100\r\nabc")
            wait_until_read(links[5].socket)
            for link in links[:2]:
                found = self.tell(link, "conns")
                door = "tcp:" + server.doors()[0]["address"]
                peers = [value for name, value in found.items() if name.endswith(":addr")]
                self.assertEqual(sorted(peers), sorted([door] + ["tcp:127.0.0.1:%d" % other.socket.getsockname()[1]
                                                                 for other in links]))
                self.assertEqual(found["1:addr"], door)
                self.assertEqual(found["1:state"], "conn_listening")
                states = [value for name, value in found.items() if name.endswith(":state")]
                self.assertEqual(sorted(states), ["conn_listening", "conn_nread", "conn_parse_cmd"] + ["conn_read"] * 28)
                self.assertIn("tcp:" + server.doors()[0]["address"],
                              [found[name] for name in found if name.endswith(":listen_addr")])
                self.assertRegex(link.ask("version"), "^VERSION")
            for link in links:
                link.socket.close()

    def test_says_where_it_listens_and_how_much_it_logs(self):
        with tempfile.TemporaryDirectory(prefix="quarry-serve-") as folder:
            path = os.path.join(folder, "socket")
            with Server(memcached="unix:" + path + ",127.0.0.1:0") as server:
                with server.connect(door=1) as link:
                    found = self.tell(link, "settings")
                    self.assertEqual((found["inter"], found["domain_socket"]), ("127.0.0.1", path))
                    self.assertEqual("127.0.0.1:" + found["tcpport"], server.doors()[1]["address"])
                    self.assertEqual(found["verbosity"], "1")
                    self.assertEqual(link.ask("verbosity 0"), "OK")
                    self.assertEqual(self.tell(link, "settings")["verbosity"], "0")
                server.signal(signal.SIGHUP)  # the configuration's level is in force again
                server.wait_for("the configuration was read again")
                with server.connect(door=1) as link:
                    self.assertEqual(self.tell(link, "settings")["verbosity"], "1")

    def test_certificates_are_refused_where_there_are_none(self):
        with Server() as server, server.connect() as link:
            self.assertEqual(link.ask("refresh_certs"), "Error TLS not enabled")

    def test_tells_the_service_manager(self):
        with tempfile.TemporaryDirectory(prefix="quarry-serve-") as folder:
            path = os.path.join(folder, "notify")
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
                manager.bind(path)
                manager.settimeout(PATIENCE_S)
                with Server(environment={"NOTIFY_SOCKET": path,
                                         "WATCHDOG_USEC": "200000"}) as server:
                    self.assertIn("READY=1", manager.recv(1024).decode())
                    self.assertEqual(manager.recv(1024).decode(), "WATCHDOG=1")
                    self.assertEqual(manager.recv(1024).decode(), "WATCHDOG=1")
                    server.signal(signal.SIGHUP)
                    said = [manager.recv(1024).decode()]
                    while not said[-1].startswith("READY=1"):
                        said.append(manager.recv(1024).decode())
                    self.assertTrue(any(text.startswith("RELOADING=1") for text in said))
                    server.signal(signal.SIGTERM)
                    while not said[-1].startswith("STOPPING=1"):
                        said.append(manager.recv(1024).decode())
                    self.assertEqual(server.wait(), 0)

    def wait_for_text(self, path, text):
        end = time.monotonic() + PATIENCE_S
        while not os.path.exists(path) or text not in self.read(path):
            self.assertLess(time.monotonic(), end, f"no '{text}' in {path}")
            time.sleep(0.01)

    @staticmethod
    def read(path):
        with open(path, encoding="utf-8") as file:
            return file.read()


class Commands(unittest.TestCase):
    def test_show_can_be_read_back(self):
        status, shown, _ = run("config", "show", "--origin", "--memory", "2g", "--set",
                               "tenant.acme.quota=1g")
        self.assertEqual(status, 0)
        self.assertRegex(shown, r"limit = 2g +; --memory\n")
        with tempfile.TemporaryDirectory(prefix="quarry-serve-") as folder:
            path = write(folder, "q.conf", shown)
            status, again, said = run("config", "show", "--config", path)
            self.assertEqual((status, said), (0, ""))
            without_origins = "".join(line.split(" ;")[0].rstrip(" ") + "\n"
                                      for line in shown.splitlines())
            self.assertEqual("".join(line.rstrip(" ") + "\n" for line in again.splitlines()),
                             without_origins)
            self.assertEqual(run("config", "check", path)[:2],
                             (0, f"{path}: nothing is wrong\n"))

    def test_show_as_json(self):
        status, shown, _ = run("config", "show", "--json",
                               environment={"QUARRY_CACHE_SIZE": "1g"})
        self.assertEqual(status, 0)
        settings = {one["key"]: one for one in json.loads(shown)["settings"]}
        self.assertEqual(settings["cache.size"]["value"], "1g")
        self.assertEqual(settings["cache.size"]["origin"], "QUARRY_CACHE_SIZE")
        self.assertEqual(settings["server.threads"]["origin"], "default")

    def test_check_says_everything(self):
        with tempfile.TemporaryDirectory(prefix="quarry-serve-") as folder:
            path = write(folder, "q.conf", "[cache]\nsise = 1\nsize = 2\n[user ann]\n")
            status, _, said = run("config", "check", path)
            self.assertEqual(status, 78)
            self.assertIn("q.conf:2", said)
            self.assertIn("q.conf:3", said)
            path = write(folder, "q.conf", "[user ann]\nrights = all\n")
            status, _, said = run("config", "check", path)
            self.assertEqual(status, 78)
            self.assertIn("user ann: give either password or password_file", said)

    def test_password_is_hashed_and_hidden(self):
        status, hashed, _ = run("config", "password", stdin="secret\n")
        self.assertEqual(status, 0)
        self.assertRegex(hashed, r"^\$y\$\S+\n$")
        status, shown, _ = run("config", "show", "--set", "user.ann.password=" + hashed.strip())
        self.assertEqual(status, 0)
        self.assertIn("; password = (hidden)\n", shown)
        self.assertNotIn(hashed.strip(), shown)
        self.assertEqual(run("config", "password", stdin="\n")[0], 1)

    def test_words_that_make_no_sense(self):
        self.assertEqual(run("config")[0], 2)
        self.assertEqual(run("config", "sow")[0], 2)
        self.assertEqual(run("config", "check")[0], 2)
        self.assertEqual(run("config", "show", "--set", "cache.size")[0], 2)
        self.assertEqual(run("serve", "now")[0], 2)
        self.assertEqual(run("serve", "--memory")[0], 2)
        self.assertEqual(run("serve", "--insecure=yes")[0], 2)


if __name__ == "__main__":
    set_program(sys.argv.pop(1))
    unittest.main()
