#!/usr/bin/python3
"""What the server's parts do together: warm restarts, users, tenants and their limits.

    test_serving.py PROGRAM [unittest's arguments]
"""

import os
import select
import selectors
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import unittest

from server import Server, client_tls, make_certificate, run, set_program, wait_until_read, write


def store(link, key, value):
    return link.ask(f"set {key} 0 0 {len(value)}\r\n{value}")


def fetch(link, key):
    """The value of a key; None for a miss."""
    line = link.ask(f"get {key}")
    if line == "END":
        return None
    assert line.startswith("VALUE " + key), line
    value = link.line()
    assert link.line() == "END"
    return value


def log_in(link, user, password):
    text = f"{user} {password}"
    return link.ask(f"set auth 0 0 {len(text)}\r\n{text}")


GRANTED = "STORED"
REFUSED = "CLIENT_ERROR authentication failure"


class Restarting(unittest.TestCase):
    COUNT = 500

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="quarry-serve-")
        self.addCleanup(self.folder.cleanup)

    def start(self, file="auto", **options):
        return Server(folder=self.folder.name, environment={"QUARRY_CACHE_FILE": file}, **options)

    def fill(self, server):
        with server.connect() as link:
            for i in range(self.COUNT):
                self.assertEqual(store(link, f"key{i}", f"value of {i}"), "STORED")
            self.assertEqual(link.ask("delete key7"), "DELETED")

    def count_hits(self, server):
        with server.connect() as link:
            self.assertIsNone(fetch(link, "key7"))
            values = [fetch(link, f"key{i}") for i in range(self.COUNT)]
        for i, value in enumerate(values):
            self.assertIn(value, (None, f"value of {i}"))
        return sum(value is not None for value in values)

    def test_is_warm_after_kill_9(self):
        with self.start() as server:
            self.fill(server)
            server.process.kill()
            server.wait()
        with self.start() as server:
            server.ready()
            self.assertEqual(server.lines("the cache is warm")[0]["was_closed"], "no")
            self.assertGreaterEqual(self.count_hits(server), self.COUNT * 98 // 100)

    def test_is_warm_after_an_end_in_order(self):
        with self.start() as server:
            self.fill(server)
            self.assertEqual(server.end(), 0)
        with self.start() as server:
            server.ready()
            warm = server.lines("the cache is warm")[0]
            self.assertEqual((warm["was_closed"], warm["items"]), ("yes", str(self.COUNT - 1)))
            self.assertEqual(self.count_hits(server), self.COUNT - 1)

    def test_keeps_items_in_the_folder_when_asked(self):
        with self.start(file="data") as server:
            self.fill(server)
            path = os.path.join(self.folder.name, "data", "cache", "items")
            self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
            self.assertEqual(server.end(), 0)
        with self.start(file="data") as server:
            self.assertEqual(self.count_hits(server), self.COUNT - 1)

    def test_forgets_without_durability(self):
        for _ in range(2):
            with Server("--durability", "none", folder=self.folder.name,
                        environment={"QUARRY_CACHE_FILE": "auto"}) as server:
                with server.connect() as link:
                    self.assertIsNone(fetch(link, "key"))
                    self.assertEqual(store(link, "key", "value"), "STORED")
                self.assertEqual(server.lines("the cache is warm"), [])
                self.assertEqual(server.end(), 0)


class Users(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.hashes = {password: run("config", "password", stdin=password + "\n")[1].strip()
                      for password in ("secret", "other")}

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="quarry-serve-")
        self.addCleanup(self.folder.cleanup)

    def configure(self, ann="secret", more=""):
        return write(self.folder.name, "q.conf", f"""
[tenant acme]
[tenant globex]
[user ann]
password = {self.hashes[ann]}
tenant = acme
[user bob]
password = {self.hashes["other"]}
tenant = globex
rights = read
{more}""")

    def test_nobody_does_anything_without_a_login(self):
        with Server("--config", self.configure()) as server:
            self.assertEqual(server.doors()[0]["login"], "yes")
            with server.connect() as link:
                self.assertEqual(link.ask("get key"), "CLIENT_ERROR unauthenticated")
                self.assertEqual(log_in(link, "ann", "secret"), GRANTED)
                self.assertIsNone(fetch(link, "key"))
                self.assertEqual(store(link, "key", "value"), "STORED")
                self.assertEqual(fetch(link, "key"), "value")

    def test_three_wrong_passwords_end_a_connection(self):
        with Server("--config", self.configure()) as server, server.connect() as link:
            begin = time.monotonic()
            for user, password in (("ann", "wrong"), ("nobody", "secret"), ("bob", "secret")):
                self.assertEqual(log_in(link, user, password), REFUSED)
            self.assertGreaterEqual(time.monotonic() - begin, 3)
            link.send("version\r\n")
            self.assertIsNone(link.line())

    def answers_before_a_refusal(self):
        with Server("--config", self.configure(), "--threads", "1") as server:
            with server.connect() as stranger, server.connect() as link:
                self.assertEqual(log_in(link, "ann", "secret"), GRANTED)
                stranger.send("set auth 0 0 9\r\nann wrong\r\n")
                wait_until_read(stranger.socket)
                self.assertIsNone(fetch(link, "key"))
                is_first = not select.select([stranger.socket], [], [], 0)[0]
                self.assertEqual(stranger.line(), REFUSED)
        return is_first

    def test_waiting_for_a_refusal_keeps_nobody_else_waiting(self):
        # Unless the refusal's second passes before this process has the processor again.
        self.assertTrue(any(self.answers_before_a_refusal() for _ in range(20)))

    def test_a_pipeline_goes_on_behind_a_login(self):
        with Server("--config", self.configure()) as server, server.connect() as link:
            link.send("set auth 0 0 10\r\nann secret\r\nset key 0 0 1\r\nx\r\nget key\r\n")
            self.assertEqual([link.line() for _ in range(5)],
                             [GRANTED, "STORED", "VALUE key 0 1", "x", "END"])

    def test_tenants_do_not_see_each_other(self):
        with Server("--config", self.configure()) as server:
            with server.connect() as ann, server.connect() as bob:
                self.assertEqual(log_in(ann, "ann", "secret"), GRANTED)
                self.assertEqual(log_in(bob, "bob", "other"), GRANTED)
                self.assertEqual(store(ann, "key", "of acme"), "STORED")
                self.assertIsNone(fetch(bob, "key"))

    def test_rights_are_kept(self):
        with Server("--config", self.configure()) as server, server.connect() as bob:
            self.assertEqual(log_in(bob, "bob", "other"), GRANTED)
            self.assertNotEqual(store(bob, "key", "value"), "STORED")
            self.assertIsNone(fetch(bob, "key"))

    def test_a_reload_changes_passwords_and_cuts_nobody(self):
        with Server("--config", self.configure()) as server, server.connect() as before:
            self.assertEqual(log_in(before, "ann", "secret"), GRANTED)
            self.configure(ann="other")
            server.signal(signal.SIGHUP)
            server.wait_for("the configuration was read again")
            self.assertEqual(store(before, "key", "value"), "STORED")
            with server.connect() as after:
                self.assertEqual(log_in(after, "ann", "secret"), REFUSED)
                self.assertEqual(log_in(after, "ann", "other"), GRANTED)
                self.assertEqual(fetch(after, "key"), "value")

    def test_memcacheds_file_is_read(self):
        path = write(self.folder.name, "plain", "carol:pass\ncarol:another\n")
        with Server("--set", "users.plain_file=" + path) as server, server.connect() as link:
            self.assertEqual(log_in(link, "carol", "pass"), GRANTED)
            self.assertEqual(store(link, "key", "value"), "STORED")
            with server.connect() as other:
                self.assertEqual(log_in(other, "carol", "another"), GRANTED)

    def test_a_tenant_has_so_many_connections(self):
        more = "[tenant initech]\nconnections = 1\n[user eve]\ntenant = initech\npassword = "
        path = self.configure(more=more + self.hashes["other"])
        with Server("--config", path) as server:
            with server.connect() as first, server.connect() as second:
                self.assertEqual(log_in(first, "eve", "other"), GRANTED)
                self.assertEqual(log_in(second, "eve", "other"), REFUSED)
                self.assertEqual(log_in(first, "eve", "other"), GRANTED)  # it is the same one
                first.ask("version")
                self.assertEqual(first.ask("get key"), "END")
            for _ in range(100):  # until the server has seen that they left
                with server.connect() as third:
                    if log_in(third, "eve", "other") == GRANTED:
                        return
            self.fail("the tenant's connection was not counted back")

    def test_a_tenant_has_so_many_requests_a_second(self):
        with Server("--set", "tenant.default.requests_per_second=50") as server:
            with server.connect() as link:
                link.send("get key\r\n" * 1000)  # in one turn or so
                answers = [link.line() for _ in range(1000)]
                self.assertEqual(set(answers), {"END", "SERVER_ERROR too many requests"})
                self.assertGreaterEqual(answers.count("END"), 50)
                end = time.monotonic() + 60
                while link.ask("get key") != "END":  # 50 a second are let through again
                    self.assertLess(time.monotonic(), end)
                    time.sleep(0.05)

    def test_a_certificate_logs_in(self):
        own = make_certificate(self.folder.name, "server")
        ann = make_certificate(self.folder.name, "ann", "ann")
        stranger = make_certificate(self.folder.name, "stranger", "stranger")
        trusted = os.path.join(self.folder.name, "trusted.pem")
        with open(trusted, "w", encoding="utf-8") as file:
            for path in (ann[0], stranger[0]):
                with open(path, encoding="utf-8") as part:
                    file.write(part.read())
        with Server("--config", self.configure(), "--set", "memcached.listen_tls=127.0.0.1:0",
                    "--set", f"tls.certificate={own[0]}", "--set", f"tls.key={own[1]}", "--set",
                    "tls.clients=optional", "--set", f"tls.client_ca={trusted}") as server:
            with server.connect(door=1, tls=client_tls(own[0], ann)) as link:
                self.assertEqual(store(link, "key", "value"), "STORED")
            for context in (client_tls(own[0], stranger), client_tls(own[0])):
                with server.connect(door=1, tls=context) as link:
                    self.assertEqual(link.ask("get key"), "CLIENT_ERROR unauthenticated")
                    self.assertEqual(log_in(link, "ann", "secret"), GRANTED)
                    self.assertEqual(fetch(link, "key"), "value")


class Bounds(unittest.TestCase):
    def test_the_cache_stays_in_its_budget(self):
        with Server(memory="48m") as server, server.connect() as link:
            value = "x" * 100000
            for i in range(1500):  # 150 MB
                link.send(f"set key{i} 0 0 {len(value)} noreply\r\n{value}\r\n")
            self.assertRegex(link.ask("version"), r"^VERSION")
            for i in range(40):
                self.assertEqual(store(link, f"last{i}", value), "STORED")
            found = sum(fetch(link, f"last{i}") == value for i in range(40))
            self.assertGreaterEqual(found, 32, "what has just been stored is lost")
            self.assertIsNone(fetch(link, "key0"))
            with open(f"/proc/{server.process.pid}/status", encoding="utf-8") as status:
                peak = next(int(line.split()[1]) << 10 for line in status
                            if line.startswith("RssAnon"))
            if not os.environ.get("QUARRY_TEST_SANITIZED"):
                self.assertLess(peak, 64 << 20)
            self.assertEqual(server.end(), 0)

    def send_at_once(self, server, requests):
        """A connection for each, all in pieces and side by side. Returns: a set of the answers."""
        address = server.doors()[0]["address"].rsplit(":", 1)
        loop, answers, links = selectors.DefaultSelector(), [], []
        for request in requests:
            link = socket.create_connection((address[0], int(address[1])))
            self.addCleanup(link.close)
            link.setblocking(False)
            links.append(link)
            loop.register(link, selectors.EVENT_WRITE, memoryview(request))
        while loop.get_map():
            ready = loop.select(60)
            self.assertTrue(ready, "nobody is answered any more")
            for key, events in ready:
                link = key.fileobj
                if events & selectors.EVENT_READ:
                    answers.append(link.recv(1000))
                    loop.unregister(link)
                    continue
                left = key.data[link.send(key.data[:65536]):]
                loop.modify(link, selectors.EVENT_WRITE if left else selectors.EVENT_READ, left)
        for link in links:
            link.close()
        return set(answers)

    def test_a_hundred_large_values_at_once_are_all_stored(self):
        value = b"v" * (1 << 20)
        with Server("--threads", "2", "--set", "cache.size=64m", memory=None) as server:
            for i in range(10):
                requests = [b"set key%d-%d 0 0 %d\r\n%s\r\n" % (i, j, len(value), value)
                            for j in range(100)]
                self.assertEqual(self.send_at_once(server, requests), {b"STORED\r\n"})
            with server.connect() as link:
                link.send("stats door\r\n")
                self.assertIn("STAT values_waiting 0", iter(link.line, "END"))
            self.assertEqual(server.end(), 0)

    def test_the_largest_value_is_a_setting(self):
        with Server("--set", "cache.item_max=2k") as server, server.connect() as link:
            self.assertEqual(store(link, "key", "x" * 2000), "STORED")
            self.assertEqual(store(link, "key", "x" * 3000),
                             "SERVER_ERROR object too large for cache")


class SmallDisks(unittest.TestCase):
    """A cache in a file whose disk has less room than the cache's size."""

    FULL = "the disk of the cache's file is full: the cache keeps within what it has"
    ROOM = "the disk of the cache's file has room again"

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="quarry-serve-")
        self.addCleanup(os.rmdir, self.folder)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "none", self.folder],
                                 capture_output=True, check=False)
        if mounted.returncode != 0:
            self.skipTest("may not mount a file system")
        self.addCleanup(subprocess.run, ["umount", "-l", self.folder], check=True)

    def start(self):
        return Server("--set", "cache.file=data", "--set", "cache.size=128m", folder=self.folder)

    def fill(self, link, name, count, size):
        """Stores that many values; none may be refused."""
        value = "x" * size
        for first in range(0, count, 50):
            keys = range(first, min(first + 50, count))
            link.send("".join(f"set {name}{i} 0 0 {size}\r\n{value}\r\n" for i in keys))
            for i in keys:
                self.assertEqual(link.line(), "STORED", f"{name}{i} of {size} bytes")

    def items_bytes(self, link):
        link.send("stats\r\n")
        while (line := link.line()) != "END":
            if line.startswith("STAT bytes "):
                found = int(line.split()[2])
        return found

    def test_nothing_is_refused_whatever_the_sizes(self):
        with self.start() as server, server.connect() as link:
            for size in (2000, 1000000, 64, 500000, 3000):
                self.fill(link, f"of{size}-", (40 << 20) // (size + 60), size)
                self.assertGreater(self.items_bytes(link), 20 << 20)
            server.wait_for(self.FULL)
            self.assertEqual(len(server.lines(self.FULL)), 1)
            self.assertEqual(server.end(), 0)

    def test_the_disk_fills_up_and_is_freed_while_it_is_used(self):
        with self.start() as server, server.connect() as link:
            self.fill(link, "before", 1000, 10000)
            other = os.path.join(self.folder, "other")
            with open(other, "wb") as file:
                try:
                    while True:
                        file.write(bytes(1 << 16))
                        file.flush()
                except OSError:
                    pass
            self.fill(link, "within", 3000, 10000)
            server.wait_for(self.FULL)
            self.assertLess(self.items_bytes(link), 16 << 20)
            self.assertGreater(self.items_bytes(link), 6 << 20)
            os.remove(other)
            end = time.monotonic() + 60
            while not server.lines(self.ROOM) and time.monotonic() < end:
                self.fill(link, f"after{time.monotonic()}-", 30, 10000)  # seconds, to fill it again
                time.sleep(0.1)
            server.wait_for(self.ROOM)
            # A set that was refused before may say so after: then it is some seconds until it grows again.
            end = time.monotonic() + 60
            while self.items_bytes(link) < 20 << 20:
                self.assertLess(time.monotonic(), end)
                self.fill(link, f"more{time.monotonic()}-", 1000, 10000)
                time.sleep(0.01)
            for part in range(20):  # full again, and as full as it can be all the time
                self.fill(link, f"last{part}-", 1000, 10000)
                self.assertGreater(self.items_bytes(link), 20 << 20)
            self.assertEqual(server.end(), 0)


if __name__ == "__main__":
    set_program(sys.argv.pop(1))
    unittest.main()
