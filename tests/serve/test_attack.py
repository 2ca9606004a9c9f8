#!/usr/bin/python3
"""What strangers do to servers: half handshakes, floods of logins, bytes that do not come or are not taken.

    test_attack.py PROGRAM [unittest's arguments]

Each test ends with somebody else being served by the same server, which has little else to do first: what that
costs is counted as the server's own time on the processor, so that it is the same beside whatever else runs.
"""

import contextlib
import os
import re
import resource
import select
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from server import PATIENCE_S, Server, client_tls, cpu_seconds, make_certificate, run, set_program, write

# Sanitizers make everything slower; what is bounded stays so.
SLOWER = 5 if os.environ.get("QUARRY_TEST_SANITIZED") else 1


def resident_bytes(server):
    with open(f"/proc/{server.process.pid}/statm", encoding="ascii") as facts:
        return int(facts.read().split()[1]) * 4096


def port_of(server, door=0):
    return int(server.doors()[door]["address"].rsplit(":", 1)[1])


def raw(server, door=0):
    link = socket.create_connection(("127.0.0.1", port_of(server, door)), timeout=60)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return link


def take_all(link):
    """All that comes until the end, or the reset."""
    answer = b""
    try:
        while piece := link.recv(1 << 16):
            answer += piece
    except ConnectionResetError:
        pass
    return answer


def figures(server, group=""):
    """The figures of `stats`."""
    with server.connect() as link:
        link.send(f"stats {group}".rstrip() + "\r\n")
        found = {}
        while (line := link.line()) not in ("END", None):
            _, name, value = line.split(" ", 2)
            found[name] = value
        return found


class Attack(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="quarry-serve-")
        self.addCleanup(self.folder.cleanup)
        self.links = []
        self.addCleanup(self.close_all)

    def close_all(self):
        for link in self.links:
            link.close()

    def many(self, server, count, door=0):
        found = [raw(server, door) for _ in range(count)]
        self.links += found
        return found

    def is_served(self, server):
        try:
            with server.connect() as link:
                return link.ask("version").startswith("VERSION")
        except OSError:
            return False

    @contextlib.contextmanager
    def costs_less(self, server, seconds):
        """What is done meanwhile takes the server less than so many seconds of the processor."""
        begin = cpu_seconds(server)
        yield
        self.assertLess(cpu_seconds(server) - begin, seconds * SLOWER)

    def wait_until(self, condition):
        end = time.monotonic() + PATIENCE_S
        while not condition():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.02)

    def served(self, server, seconds=2, door=0, tls=None):
        """Somebody else is served, in time."""
        with self.costs_less(server, seconds), server.connect(door=door, tls=tls) as link:
            self.assertRegex(link.ask("version"), "^VERSION")


class Encrypted(Attack):
    def setUp(self):
        super().setUp()
        self.certificate, self.key = make_certificate(self.folder.name, "one")

    def start(self, *settings):
        return Server("--set", "memcached.listen_tls=127.0.0.1:0", "--set",
                      f"tls.certificate={self.certificate}", "--set", f"tls.key={self.key}",
                      "--set", "net.line_timeout=1s", "--threads", "2", *settings)

    def test_half_handshakes_are_cut(self):
        with self.start() as server:
            hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100)
            for i, link in enumerate(self.many(server, 200, door=1)):
                link.sendall(hello[:i % len(hello)])
            self.served(server, door=1, tls=client_tls(self.certificate))
            for link in self.links:
                take_all(link)
            self.served(server, door=1, tls=client_tls(self.certificate))

    def test_what_is_no_handshake_is_told_nothing_and_closed(self):
        with self.start() as server:
            for text in (b"get a\r\n", b"GET / HTTP/1.1\r\n\r\n", bytes(4096), b"\x16" * 5000):
                with raw(server, 1) as link:
                    link.sendall(text)
                    self.assertNotIn(b"END", take_all(link))
            self.served(server, door=1, tls=client_tls(self.certificate))

    def talk(self, server, script, *options):
        """`openssl s_client`, whose letters at a line's begin are commands."""
        done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port_of(server, 1)}",
                               "-CAfile", self.certificate, *options], input=script,
                              capture_output=True, timeout=60, check=False)
        return done.stdout

    def test_renegotiation_and_new_keys_cost_little(self):
        with self.start() as server:
            self.talk(server, b"version\r\n" + b"R\n" * 50, "-tls1_2")
            before = cpu_seconds(server)
            self.talk(server, b"version\n" + b"K\n" * 500, "-tls1_3")
            self.assertLess(cpu_seconds(server) - before, 2 * SLOWER)
            self.served(server, door=1, tls=client_tls(self.certificate))

    def test_a_certificate_of_somebody_else_opens_nothing(self):
        strange, strange_key = make_certificate(self.folder.name, "two", "stranger")
        with self.start("--set", "tls.clients=required", "--set",
                        f"tls.client_ca={self.certificate}") as server:
            for own in (None, (strange, strange_key)):
                for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                    context = client_tls(self.certificate, own=own)
                    context.minimum_version = context.maximum_version = version
                    with self.assertRaises((ssl.SSLError, ConnectionError, AssertionError)):
                        with server.connect(door=1, tls=context) as link:
                            self.assertRegex(link.ask("version") or "", "^VERSION")
            good = client_tls(self.certificate, own=(self.certificate, self.key))
            self.served(server, door=1, tls=good)

    def test_certificates_change_under_load(self):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        failures, count, is_over = [], [0], threading.Event()

        def load(server):
            while not is_over.is_set():
                try:
                    with server.connect(door=1, tls=context) as link:
                        store = "set k 0 0 100000\r\n" + "x" * 100000
                        if link.ask(store) != "STORED" or not link.ask("get k").startswith("VALUE"):
                            failures.append("a wrong answer")
                        count[0] += 1
                except (OSError, AssertionError) as error:
                    failures.append(repr(error))

        with self.start() as server:
            server.ready()
            threads = [threading.Thread(target=load, args=(server,)) for _ in range(3)]
            for thread in threads:
                thread.start()
            with server.connect() as link:
                for i in range(30):
                    make_certificate(self.folder.name, "one", f"name{i}")
                    self.assertEqual(link.ask("refresh_certs"), "OK")
                good = write(self.folder.name, "keep", "")
                os.rename(self.key, good)
                self.assertRegex(link.ask("refresh_certs"), "^Error key '")
                os.rename(good, self.key)
                self.assertEqual(link.ask("refresh_certs"), "OK")
            self.wait_until(lambda: count[0] > 30 or failures)
            is_over.set()
            for thread in threads:
                thread.join()
            self.assertEqual(failures, [])
            self.assertEqual(server.end(), 0)


def sasl(user, password, mechanism=b"PLAIN", opcode=0x21):
    value = b"\0" + user + b"\0" + password
    return struct.pack(">BBHBBHIIQ", 0x80, opcode, len(mechanism), 0, 0, 0,
                       len(mechanism) + len(value), 7, 0) + mechanism + value


def packet_status(link):
    answer = b""
    while len(answer) < 24:
        piece = link.recv(24 - len(answer))
        if not piece:
            return None
        answer += piece
    status, body = struct.unpack(">6xHI", answer[:12])
    while body > 0:
        body -= len(link.recv(body))
    return status


class LoggingIn(Attack):
    @classmethod
    def setUpClass(cls):
        cls.hash = run("config", "password", stdin="secret\n")[1].strip()

    def start(self, *more):
        path = write(self.folder.name, "q.conf", f"[user ann]\npassword = {self.hash}\n"
                                                 f"[user bob]\npassword = {self.hash}\n")
        return Server("--config", path, "--threads", "2", *more)

    def test_packets_log_in_whatever_their_pieces(self):
        with self.start() as server:
            packet = sasl(b"ann", b"secret")
            for step in (1, 2, 7, 23, 24, 25, 1000):
                with raw(server) as link:
                    for at in range(0, len(packet), step):
                        link.sendall(packet[at:at + step])
                    self.assertEqual(packet_status(link), 0)

    def test_packets_whose_lengths_are_wrong_end_the_connection(self):
        def header(key, extras, body, opcode=0x21):
            return struct.pack(">BBHBBHIIQ", 0x80, opcode, key, extras, 0, 0, body, 7, 0)

        with self.start() as server:
            for bad in (header(65535, 0, 5) + b"PLAIN", header(5, 255, 5) + b"PLAIN",
                        header(0, 0, 5) + b"\0a\0bc", header(5, 0, 0xffffffff) + b"PLAIN",
                        header(5, 0, 2000) + b"PLAIN" + bytes(1995), header(5, 4, 20) + bytes(20),
                        header(0, 0, 0xffffffff, 0x55), header(1, 0, 1, 0x00) + b"a"):
                with raw(server) as link:
                    link.sendall(bad)
                    link.shutdown(socket.SHUT_WR)
                    self.assertLess(len(take_all(link)), 200)
            for value in (b"", b"\0", b"\0\0", b"ann", b"\0ann", b"\0ann\0wrong\0secret",
                          b"\0" + b"a" * 64 + b"\0secret", b"\0ann\0" + b"s" * 256):
                with raw(server) as link:
                    link.sendall(header(5, 0, 5 + len(value)) + b"PLAIN" + value)
                    self.assertEqual(packet_status(link), 0x20)
            self.served(server)

    def test_the_third_refusal_closes_at_once(self):
        with self.start() as server, raw(server) as link:
            for _ in range(3):
                link.sendall(b"set x 0 0 9\r\nann wrong\r\n")
                self.assertEqual(link.recv(100), b"CLIENT_ERROR authentication failure\r\n")
            self.assertEqual(link.recv(100), b"")  # and nothing was sent for that

    def test_ten_thousand_wrong_logins_lock_nobody_out(self):
        with self.start() as server:
            for user in (b"ann", b"nobody"):
                links = self.many(server, 500)
                for link in links:
                    link.setblocking(False)
                    for _ in range(10):
                        link.send(b"set x 0 0 %d\r\n%s wrong\r\n" % (len(user) + 6, user))
            time.sleep(0.3)
            # From another address, where the flood has its own turn.
            with socket.create_connection(("127.0.0.1", port_of(server)), timeout=60,
                                          source_address=("127.0.0.2", 0)) as link:
                with self.costs_less(server, 2):
                    link.sendall(b"set x 0 0 10\r\nbob secret\r\n")
                    self.assertEqual(link.recv(100), b"STORED\r\n")
            with raw(server) as link:  # he is known by now, wherever he comes from
                with self.costs_less(server, 0.5):
                    link.sendall(b"set x 0 0 10\r\nbob secret\r\n")
                    self.assertEqual(link.recv(100), b"STORED\r\n")
                link.sendall(b"get x\r\n")
                self.assertEqual(link.recv(100), b"END\r\n")


class Crowding(Attack):
    def test_no_descriptors_is_no_spin_and_passes(self):
        program = Server.program
        Server.program = ["sh", "-c", 'ulimit -n 64; exec "$@"', "sh"] + program
        self.addCleanup(setattr, Server, "program", program)
        with Server("--threads", "2", "--set", "net.connections_max=1000") as server:
            server.ready()
            links = self.many(server, 150)
            server.wait_for("no file descriptors are left: nobody is accepted for a moment")
            before, begin = cpu_seconds(server), time.monotonic()
            time.sleep(1)
            self.assertLess(cpu_seconds(server) - before, 0.3 * SLOWER * (time.monotonic() - begin))
            links[0].sendall(b"version\r\n")
            self.assertRegex(links[0].recv(100), b"^VERSION")
            for link in links:
                link.close()
            # Who comes before the server has seen that they have gone is turned away as well.
            self.wait_until(lambda: self.is_served(server))
            self.assertEqual(server.end(), 0)

    def test_lines_and_values_that_drip_are_cut(self):
        with Server("--threads", "1", "--set", "net.line_timeout=1s", "--set",
                    "net.body_grace=1s") as server:
            links = self.many(server, 200)
            starts = (b"set k 0 0 100000\r\n", b"get k", b"set k 0 0 5000\r\n", b"get k k k k ",
                      b"set k 0 0 3000000\r\n")
            for i, link in enumerate(links):
                link.sendall(starts[i % len(starts)])
            is_over = time.monotonic() + 1.5
            while time.monotonic() < is_over:
                for link in links:
                    try:
                        link.send(b"k")
                    except OSError:
                        pass
                self.served(server, seconds=0.5)
                time.sleep(0.1)
            for link in links:
                take_all(link)
            self.wait_until(lambda: 1 <= int(figures(server)["curr_connections"]) < 10)

    def test_values_whose_last_bytes_do_not_come_are_cut(self):
        with Server("--threads", "1", "--set", "net.line_timeout=1s", "--set",
                    "net.body_grace=1s") as server:
            for start in (b"set k 0 0 10\r\n0123456789", b"set k 0 0 10\r\n0123456789\r",
                          b"set k 0 0 10\r\n01234", b"get a b c d e f ",
                          b"ms k 900000\r\n" + b"v" * 900000, b"set k 0 0 2000000\r\nabc"):
                with raw(server) as link:
                    with contextlib.suppress(OSError):  # who is kept from sending may be cut before its end
                        link.sendall(start)
                    take_all(link)
            self.served(server)

    def test_a_million_gets_whose_answers_nobody_takes(self):
        with Server("--threads", "1", "--set", "net.reader_timeout=2s", memory="128m") as server:
            with server.connect() as link:
                self.assertEqual(link.ask("set k 0 0 1000\r\n" + "v" * 1000), "STORED")
            links = self.many(server, 20)
            request, sent = b"get k\r\n" * 50000, 0
            for link in links:
                link.setblocking(False)
            end = time.monotonic() + 1.5
            while time.monotonic() < end or sent <= 20 * 50000:
                _, ready, _ = select.select([], links, [], 0.05)
                for link in ready:
                    try:
                        sent += link.send(request)
                    except OSError:
                        pass
                self.served(server, seconds=0.5)
            self.assertLess(int(figures(server)["read_buf_bytes"]), 13 << 20)
            self.wait_until(lambda: int(figures(server)["curr_connections"]) < 3)
            self.assertGreater(len(server.lines("a client that does not take its answers was cut")), 0)

    def test_requests_behind_large_answers_squeeze_nobody_out(self):
        with Server("--threads", "2", memory="64m") as server:
            with server.connect() as link:
                for i in range(20000):
                    link.send(f"set f{i} 0 0 1000 noreply\r\n" + "x" * 1000 + "\r\n")
                self.assertEqual(link.ask("set k 0 0 900000\r\n" + "v" * 900000), "STORED")
            links = self.many(server, 300)
            for link in links:
                link.setblocking(False)
            end, request = time.monotonic() + 1.5, b"get k\r\n" * 40000
            while time.monotonic() < end:
                for link in links:
                    try:
                        link.send(request)
                    except OSError:
                        pass
            found = figures(server)
            self.assertEqual((found["curr_items"], found["evictions"]), ("20001", "0"))
            self.assertLess(int(found["read_buf_bytes"]), 9 << 20)
            self.served(server)

    def test_values_that_do_not_come_leave_the_cache_to_others(self):
        with Server("--threads", "2", memory="64m") as server, server.connect() as good:
            for i in range(20000):
                good.send(f"set f{i} 0 0 1000 noreply\r\n" + "x" * 1000 + "\r\n")
            self.assertRegex(good.ask("version"), "^VERSION")
            for i in range(30):
                for link in self.many(server, 100):
                    link.sendall(b"set k 0 0 800000\r\nabc")
                with self.costs_less(server, 0.5):
                    self.assertEqual(good.ask(f"set g{i} 0 0 1\r\nx"), "STORED")
            self.assertLess(int(figures(server)["evictions"]), 15000)
            self.served(server)

    SLOW = b"set k 0 0 1000000\r\nabc"
    VALUE = b"v" * 200000

    def hold_all_places(self, server):
        """Beginnings of values, until some of them wait."""
        links = self.many(server, 20)
        for link in links:
            link.sendall(self.SLOW)
        self.wait_for_waiting(server, 5)
        return links

    def wait_for_waiting(self, server, count):
        self.wait_until(lambda: int(figures(server, "door")["values_waiting"]) >= count)

    def send_waiting(self, server):
        """A value in two pieces that waits."""
        link = self.many(server, 1)[0]
        before = int(figures(server, "door")["values_waiting"])
        link.sendall(b"set good 0 0 %d\r\nv" % len(self.VALUE))
        self.wait_for_waiting(server, before + 1)
        return link

    def test_values_wait_until_slow_senders_are_cut(self):
        path = write(self.folder.name, "q.conf", "[net]\nbody_grace = 10m\n")
        with Server("--config", path, "--threads", "2", memory="64m") as server:
            slow = self.hold_all_places(server)
            good = [self.send_waiting(server) for _ in range(3)]
            self.served(server)
            write(self.folder.name, "q.conf", "[net]\nbody_grace = 1s\n")
            server.signal(signal.SIGHUP)
            for link in good:
                link.sendall(self.VALUE[1:] + b"\r\nget good\r\n")
            for link in good:
                self.assertEqual(link.recv(8, socket.MSG_WAITALL), b"STORED\r\n")
                self.assertEqual(link.recv(13, socket.MSG_WAITALL), b"VALUE good 0 ")
            for link in slow:
                self.assertEqual(take_all(link), b"")  # cut, not refused
            found = figures(server, "door")
            self.assertEqual(found["values_waiting"], "0")
            self.assertGreaterEqual(int(found["values_waited"]), 8)
            self.assertEqual(figures(server)["store_no_memory"], "0")
            self.assertEqual(server.end(), 0)

    def test_who_waits_and_goes_is_forgotten(self):
        with Server("--threads", "2", "--set", "net.body_grace=10m", memory="64m") as server:
            slow = self.hold_all_places(server)
            whole, gone, reset = (self.send_waiting(server) for _ in range(3))
            whole.sendall(b"v" * 199999 + b"\r\n")
            whole.shutdown(socket.SHUT_WR)  # it has said all there is to say
            gone.close()
            reset.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            reset.close()
            self.wait_until(lambda: int(figures(server)["curr_connections"]) <= 20 + 1 + 1)
            for link in slow:
                link.close()
            self.assertEqual(take_all(whole), b"STORED\r\n")
            self.assertEqual(figures(server, "door")["values_waiting"], "0")
            self.assertEqual(server.end(), 0)

    def test_who_waits_when_the_server_ends_is_served(self):
        path = write(self.folder.name, "q.conf", "[net]\nbody_grace = 10m\n")
        with Server("--config", path, "--threads", "2", "--set", "net.drain_timeout=10m", memory="64m") as server:
            self.hold_all_places(server)
            good = self.send_waiting(server)
            good.sendall(self.VALUE[1:] + b"\r\n")
            write(self.folder.name, "q.conf", "[net]\nbody_grace = 1s\n")
            server.signal(signal.SIGHUP)
            server.wait_for("the configuration was read again")
            server.signal(signal.SIGTERM)
            self.assertEqual(take_all(good), b"STORED\r\n")
            self.assertEqual(server.wait(), 0)

    def test_half_closed_clients_have_their_answers(self):
        with Server("--threads", "1") as server:
            with raw(server) as link:
                link.sendall(b"set k 0 0 900000\r\n" + b"v" * 900000 + b"\r\n" + b"get k\r\n" * 30)
                link.shutdown(socket.SHUT_WR)
                answer = take_all(link)
            one = b"VALUE k 0 900000\r\n" + b"v" * 900000 + b"\r\nEND\r\n"
            self.assertEqual(len(answer), len(b"STORED\r\n") + 30 * len(one))
            self.assertTrue(answer.endswith(one))
            with raw(server) as link:  # in the middle of a value
                link.sendall(b"set j 0 0 10\r\nabc")
                link.shutdown(socket.SHUT_WR)
                self.assertEqual(take_all(link), b"")
            with raw(server) as link:
                link.sendall(b"get j\r\nget")
                link.shutdown(socket.SHUT_WR)
                self.assertEqual(take_all(link), b"END\r\n")

    def test_large_values_are_bounded_and_whole_or_cut(self):
        size = 20 << 20
        with Server("--threads", "1", "--set", "cache.item_max=32m", "--set", "cache.size=128m",
                    memory="256m") as server:
            with raw(server) as link:
                for key in b"abcd":
                    link.sendall(b"set %c 0 0 %d\r\n" % (key, size) + bytes([key]) * size + b"\r\n")
                    self.assertEqual(link.recv(100), b"STORED\r\n")
            links = self.many(server, 12)
            for i, link in enumerate(links):
                link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
                link.sendall(b"get %c\r\n" % b"abcd"[i % 4])
            time.sleep(0.5)
            self.assertLess(int(figures(server)["read_buf_bytes"]), 16 << 20)
            with raw(server) as link:
                link.sendall(b"delete d\r\n")
                self.assertEqual(link.recv(100), b"DELETED\r\n")
            answers = [None] * len(links)

            def take(i):
                answers[i] = take_all(links[i]) if i % 4 == 3 else self.take_value(links[i], size)

            threads = [threading.Thread(target=take, args=(i,)) for i in range(len(links))]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            for i, answer in enumerate(answers):
                if i % 4 != 3:
                    self.assertEqual(answer, b"abcd"[i % 4:i % 4 + 1] * size)
                else:
                    self.assertLess(len(answer), size + 100)
            self.assertEqual(figures(server, "door")["values_cut"],
                             str(len(server.lines("a large value changed while a client read it: "
                                                  "the client was cut"))))
            self.served(server)

    def take_value(self, link, size):
        head = b"VALUE x 0 %d\r\n" % size
        whole = len(head) + size + len(b"\r\nEND\r\n")
        answer = bytearray()
        while len(answer) < whole:
            piece = link.recv(1 << 20)
            if not piece:
                break
            answer += piece
        self.assertTrue(answer.endswith(b"\r\nEND\r\n"))
        return bytes(answer[len(head):-7])


class Signalling(Attack):
    def load(self, server, is_over, failures, counts):
        """Sets and gets, in batches, whose answers are looked at byte by byte."""
        with raw(server) as link:
            value = os.urandom(50000)
            request = b"set %d 0 0 50000\r\n%s\r\n" % (id(link), value) + b"get %d\r\n" % id(link) * 5
            one = b"VALUE %d 0 50000\r\n%s\r\nEND\r\n" % (id(link), value)
            wanted = b"STORED\r\n" + one * 5
            while not is_over.is_set():
                try:
                    link.sendall(request)
                except OSError:
                    return
                answer = b""
                while len(answer) < len(wanted):
                    try:
                        piece = link.recv(1 << 20)
                    except OSError:
                        piece = b""
                    if not piece:
                        break
                    answer += piece
                counts.append(1)
                ends = [0, 8] + [8 + len(one) * i for i in range(1, 6)]
                if answer != wanted[:len(answer)] or len(answer) not in ends:
                    failures.append((len(answer), answer[:40], answer[-40:]))
                if len(answer) < len(wanted):
                    return

    def run_load(self, server, during):
        is_over, failures, counts = threading.Event(), [], []
        threads = [threading.Thread(target=self.load, args=(server, is_over, failures, counts))
                   for _ in range(4)]
        for thread in threads:
            thread.start()
        self.wait_until(lambda: len(counts) > 40 or failures)
        during()
        is_over.set()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])

    def test_reloads_without_end_disturb_nobody(self):
        path = write(self.folder.name, "q.conf", "[memory]\nlimit = 256m\n")

        def during():
            for i in range(100):
                write(self.folder.name, "q.conf", f"[memory]\nlimit = {200 + i}m\n"
                                                  f"[net]\nconnections_max = {100 + i}\n")
                server.signal(signal.SIGHUP)
                time.sleep(0.01)

        with Server("--config", path, memory=None) as server:
            server.ready()
            self.run_load(server, during)
            self.served(server)
            self.assertEqual(server.end(), 0)

    def test_the_end_under_load_tears_no_answer(self):
        for _ in range(3):
            with Server("--threads", "2") as server:
                server.ready()

                def during(server=server):
                    server.signal(signal.SIGTERM)
                    self.assertEqual(server.wait(), 0)

                self.run_load(server, during)

    def test_signals_that_come_late_change_no_status(self):
        for _ in range(5):
            with Server() as server:
                server.ready()
                for number in (signal.SIGTERM, signal.SIGUSR2, signal.SIGHUP, signal.SIGTERM,
                               signal.SIGINT, signal.SIGUSR2):
                    server.signal(number)
                self.assertEqual(server.wait(), 0)

    def test_the_watchdog_is_fed_when_clients_have_gone(self):
        path = os.path.join(self.folder.name, "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(path)
            manager.settimeout(60)
            with Server(environment={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "300000"}) as server:
                server.ready()
                for _ in range(5):
                    self.served(server)
                fed = 0
                while fed < 5:
                    fed += b"WATCHDOG=1" in manager.recv(4096)
                self.assertEqual(server.end(), 0)


if __name__ == "__main__":
    set_program(sys.argv.pop(1))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    unittest.main()
