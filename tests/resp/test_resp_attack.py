#!/usr/bin/env python3
"""What strangers and slow clients do to the RESP door.

    test_resp_attack.py PROGRAM [unittest's arguments]

Each test ends with somebody else being served by the same server (tests/serve/test_attack.py says what "in time" is).
"""

import select
import socket
import sys
import time
import unittest

from servers import Quarry  # first: it knows where the next two are
from server import Server, run, set_program, write
from test_attack import SLOWER, Attack, port_of, resident_bytes, take_all
from wire import Link, encode

STRANGER_BYTES_MAX = 16 << 10


class RespAttack(Attack):
    def start(self, *settings, **options):
        """On TCP, whose sockets hold more than a unix socket's."""
        return Server("--threads", "2", *settings, memcached="off", resp="127.0.0.1:0", **options)

    def link(self, server):
        return Link(("127.0.0.1", int(server.doors()[0]["address"].rsplit(":", 1)[1])))

    def served(self, server, seconds=2, door=0, tls=None):
        with self.costs_less(server, seconds), self.link(server) as link:
            self.assertEqual(link.do("PING").raw, b"+PONG\r\n")

    def figure(self, link, name):
        for line in link.do("INFO", "everything").value.decode().splitlines():
            if line.startswith(name + ":"):
                return int(line.split(":")[1])
        raise AssertionError(f"INFO has no {name}")

    def others(self, link, wanted):
        """Waits until so few connections are left beside this one."""
        self.wait_until(lambda: self.figure(link, "connected_clients") <= wanted + 1)


class Strangers(RespAttack):
    COUNT = 300

    @classmethod
    def setUpClass(cls):
        cls.hash = run("config", "password", stdin="secret\n")[1].strip()

    def start_for_users(self, *settings):
        path = write(self.folder.name, "q.conf", f"[user ann]\npassword = {self.hash}\nrights = all\n")
        return self.start("--config", path, *settings)

    def crowd(self, server, data):
        """Connections that send as much of it as is taken, and read nothing."""
        links = self.many(server, self.COUNT)
        for link in links:
            link.setblocking(False)
        left = {link: data for link in links}
        end = time.monotonic() + 10 * SLOWER
        while left and time.monotonic() < end:
            _, ready, _ = select.select([], list(left), [], 0.3)
            if not ready:
                break
            for link in ready:
                try:
                    left[link] = left[link][link.send(left[link]):]
                except OSError:
                    left[link] = b""
                if not left[link]:
                    del left[link]
        return links

    def costs_each(self, data):
        """Bytes of memory for a stranger that sends that."""
        with self.start_for_users() as server, self.link(server) as ann:
            self.assertEqual(ann.do("AUTH", "ann", "secret").raw, b"+OK\r\n")
            before = self.figure(ann, "used_memory")
            self.crowd(server, data)
            # What is measured is the most of it: buffers that are read come and go.
            most = max(self.figure(ann, "used_memory") for _ in range(20))
            with self.link(server) as stranger:
                self.assertTrue(stranger.do("GET", "a").raw.startswith(b"-NOAUTH"))
            return (most - before) / self.COUNT

    def test_a_word_that_does_not_end_is_not_kept(self):
        self.assertLess(self.costs_each(b"*10\r\n$16384\r\n" + b"x" * 16000), STRANGER_BYTES_MAX)

    def test_ten_long_words_are_not_kept(self):
        word = b"$16384\r\n" + b"x" * 16384 + b"\r\n"
        self.assertLess(self.costs_each(b"*10\r\n" + word * 9 + word[:-100]), STRANGER_BYTES_MAX)

    def test_a_line_that_does_not_end_is_not_kept(self):
        self.assertLess(self.costs_each(b"x" * 60000), STRANGER_BYTES_MAX)

    def test_what_comes_behind_a_login_waits_with_its_sender(self):
        data = encode([b"AUTH", b"x", b"y"]) + encode([b"GET", b"a"]) * 10000
        self.assertLess(self.costs_each(data), STRANGER_BYTES_MAX)

    def test_refusals_that_nobody_reads_are_not_kept(self):
        self.assertLess(self.costs_each(encode([b"GET", b"a"]) * 50000), STRANGER_BYTES_MAX)

    def test_more_words_or_longer_ones_end_the_connection(self):
        with self.start_for_users() as server:
            for data, text in ((b"*11\r\n", b"unauthenticated multibulk length"),
                               (b"*2\r\n$3\r\nGET\r\n$16385\r\n", b"unauthenticated bulk length"),
                               (b"x" * 20000, b"too big inline request"),
                               (b"*1048577\r\n", b"invalid multibulk length")):
                with self.link(server) as link:
                    link.send(data)
                    self.assertEqual(take_all(link.socket), b"-ERR Protocol error: " + text + b"\r\n")

    def test_a_long_request_is_answered_as_any_other_and_the_next_one_too(self):
        with self.start_for_users() as server, self.link(server) as link:
            for size in (10, 3000, 5000, 16384):
                self.assertEqual(link.do("SET", "k", "v" * size).raw,
                                 b"-NOAUTH Authentication required.\r\n")
            link.send(encode([b"SET", b"k", b"v" * 9000])[:-500])
            time.sleep(0.1)
            link.send(b"v" * 498 + b"\r\n" + encode([b"AUTH", b"ann", b"secret"]))
            self.assertTrue(link.read().raw.startswith(b"-NOAUTH"))
            self.assertEqual(link.read().raw, b"+OK\r\n")
            self.assertEqual(link.do("SET", "k", "v" * 100000).raw, b"+OK\r\n")

    def test_a_login_may_come_byte_by_byte(self):
        with self.start_for_users() as server, self.link(server) as link:
            for byte in encode([b"HELLO", b"3", b"AUTH", b"ann", b"secret"]):
                link.send(bytes([byte]))
            self.assertEqual(link.read().kind, "%")

    def test_wrong_passwords_lock_nobody_out(self):
        with self.start_for_users() as server:
            self.crowd(server, encode([b"AUTH", b"ann", b"wrong"]) * 3)
            # From another address, where the flood has its own turn.
            with socket.create_connection(("127.0.0.1", port_of(server)), timeout=60,
                                          source_address=("127.0.0.2", 0)) as link:
                with self.costs_less(server, 5):
                    link.sendall(encode([b"AUTH", b"ann", b"secret"]))
                    self.assertEqual(link.recv(100), b"+OK\r\n")
            # He is known by now, wherever he comes from.
            with self.costs_less(server, 2), self.link(server) as link:
                self.assertEqual(link.do("AUTH", "ann", "secret").raw, b"+OK\r\n")


class Slow(RespAttack):
    def test_requests_that_drip_are_cut(self):
        starts = (b"*3\r\n$3\r\nSET\r\n", b"GET k", b"*2\r\n$3\r\nGET\r\n$100\r\n", b"*",
                  b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3000000\r\nabc")
        with self.start("--set", "net.line_timeout=1s", "--set", "net.body_grace=1s") as server, \
                self.link(server) as good:
            links = self.many(server, 200)
            for i, link in enumerate(links):
                link.sendall(starts[i % len(starts)])
            end = time.monotonic() + 1.5
            while time.monotonic() < end:
                for link in links:
                    try:
                        link.send(b"1")
                    except OSError:
                        pass
                self.served(server, seconds=0.5)
                time.sleep(0.1)
            for link in links:
                take_all(link)
            self.others(good, 0)

    def test_lengths_that_are_promised_cost_nothing(self):
        with self.start() as server, self.link(server) as good:
            before = self.figure(good, "used_memory")
            for link in self.many(server, 200):
                link.sendall(b"*65536\r\n$3\r\nDEL\r\n$33554432\r\nabc")
            time.sleep(0.5)
            self.assertLess((self.figure(good, "used_memory") - before) / 200, 100 << 10)
            self.assertEqual(good.do("SET", "k", "v" * 1000000).raw, b"+OK\r\n")
            self.served(server)

    def test_answers_that_nobody_takes_are_bounded_and_cut(self):
        with self.start("--set", "net.reader_timeout=2s", memory="128m") as server, \
                self.link(server) as good:
            self.assertEqual(good.do("SET", "k", "v" * 100000).raw, b"+OK\r\n")
            before = self.figure(good, "used_memory")
            links = self.many(server, 20)
            for link in links:
                link.setblocking(False)
            # As answers, 40 MB of each connection's at a time, and more when there is room.
            request, sent = encode([b"MGET"] + [b"k"] * 20) * 20, 0
            end = time.monotonic() + 1.5
            while time.monotonic() < end or sent <= len(request) * 20:
                for link in select.select([], links, [], 0.05)[1]:
                    try:
                        sent += link.send(request)
                    except OSError:
                        pass
                self.assertLess(self.figure(good, "used_memory") - before, 60 << 20)
                self.served(server, seconds=1)
            self.others(good, 0)
            self.assertGreater(len(server.lines("a client that does not take its answers was cut")), 0)
            self.assertLess(resident_bytes(server), (128 << 20) + (32 << 20) * SLOWER ** 2)

    def test_a_transaction_that_grows_is_stopped(self):
        with self.start(memory="128m") as server, self.link(server) as good:
            before = self.figure(good, "used_memory")
            links = [self.link(server) for _ in range(20)]
            self.links += links
            for link in links:
                self.assertEqual(link.do("MULTI").raw, b"+OK\r\n")
                replies = {link.do("SET", f"k{i}", "v" * 60000).raw[:4] for i in range(30)}
                self.assertEqual(replies, {b"+QUE", b"-OOM"})
            self.assertLess((self.figure(good, "used_memory") - before) / 20, 3 << 20)
            self.assertTrue(links[0].do("EXEC").raw.startswith(b"-EXECABORT"))
            self.served(server)

    def test_patterns_are_matched_in_linear_time(self):
        with self.start() as server, self.link(server) as link:
            self.assertEqual(link.do("SET", "a" * 60000, "v").raw, b"+OK\r\n")
            with self.costs_less(server, 5):
                self.assertEqual(link.do("KEYS", "a*" * 1000 + "b").raw, b"*0\r\n")
                self.assertEqual(link.do("SCAN", "0", "MATCH", "*a*a*a*a*a*a*a*b").inner[1].raw, b"*0\r\n")


if __name__ == "__main__":
    set_program(sys.argv.pop(1))
    unittest.main()
