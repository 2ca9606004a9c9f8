#!/usr/bin/python3
"""Many nodes as one service: three servers behind engines that exist, a node killed and brought back in each.

    test_scaleout.py PROGRAM [unittest's arguments]

A test whose engine cannot be had is skipped.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from nodes import Engine, Nodes, nutcracker, until  # noqa: E402
from client import Door, now_ms  # noqa: E402
from peers import find_program, free_port  # noqa: E402
from server import PATIENCE_S, Link, set_program  # noqa: E402
import wire  # noqa: E402

KEYS = [f"user:{number}" for number in range(300)]


def value_of(key):
    return f"<{key}>"


class Proxied(Link):
    """A connection to a proxy or a node, in memcached's or Redis' words."""

    def __init__(self, port):
        super().__init__(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S))

    def store(self, key):
        value = value_of(key)
        self.send(f"set {key} 0 0 {len(value)}\r\n{value}\r\n")
        return self.line() == "STORED"

    def fetch(self, key):
        """Its value; None: it is not there; a text that begins with SERVER_ERROR: its node is not."""
        self.send(f"get {key}\r\n")
        line = self.line()
        if not line.startswith("VALUE"):
            return None if line == "END" else line
        value = self.line()
        assert self.line() == "END"
        return value

    def put(self, key):
        value = value_of(key)
        self.send(f"*3\r\n$3\r\nSET\r\n${len(key)}\r\n{key}\r\n${len(value)}\r\n{value}\r\n")
        return self.line() == "+OK"

    def read(self, key):
        """As fetch."""
        self.send(f"*2\r\n$3\r\nGET\r\n${len(key)}\r\n{key}\r\n")
        line = self.line()
        if line == "$-1":
            return None
        return self.line() if line.startswith("$") else line


def where(nodes, door, ask):
    """{key: the number of the node that has it}, asked of the nodes themselves."""
    found = {}
    for number, node in enumerate(nodes):
        link = Proxied(node.ports[door])
        for key in KEYS:
            if ask(link, key) == value_of(key):
                found[key] = number
        link.socket.close()
    return found


class Keys(unittest.TestCase):
    def engine(self, nodes, door, *more):
        engine = nutcracker(nodes, door, *more)
        if engine is None:
            self.skipTest("nutcracker cannot be had")
        until("the proxy listens", lambda: socket.create_connection(("127.0.0.1", engine.port)).close() or True)
        return engine

    def test_a_cache_goes_on_without_a_node_and_has_its_keys_when_it_is_back(self):
        with Nodes() as nodes, self.engine(nodes, "memcached") as proxy:
            link = Proxied(proxy.port)
            for key in KEYS:
                self.assertTrue(link.store(key))
            home = where(nodes, "memcached", Proxied.fetch)
            self.assertEqual(len(home), len(KEYS))
            self.assertGreater(min(list(home.values()).count(number) for number in range(3)), 30)
            nodes[1].kill()
            lost = [key for key in KEYS if home[key] == 1]
            # The proxy notices by a request or two; then the others have all keys, and miss those that were lost.
            until("the proxy goes on without the node", lambda: all(link.fetch(key) is None for key in lost[:10]))
            for key in KEYS:
                if home[key] != 1:
                    self.assertEqual(link.fetch(key), value_of(key))
            nodes[1].start()
            until("the proxy goes back to the node", lambda: link.fetch(lost[0]) == value_of(lost[0]))
            until("all keys", lambda: all(link.fetch(key) == value_of(key) for key in KEYS))
            link.socket.close()

    def test_a_store_has_all_that_it_acknowledged(self):
        with Nodes() as nodes, self.engine(nodes, "resp", "--protocol", "redis") as proxy:
            link = Proxied(proxy.port)
            for key in KEYS:
                self.assertTrue(link.put(key))
            home = where(nodes, "resp", Proxied.read)
            self.assertEqual(len(home), len(KEYS))
            nodes[2].kill()
            for key in KEYS:
                # Nobody answers in its place: not "there is no such key".
                said = link.read(key)
                self.assertEqual(said, value_of(key)) if home[key] != 2 else self.assertRegex(said, "^-")
            nodes[2].start()
            until("all keys", lambda: all(link.read(key) == value_of(key) for key in KEYS))
            link.socket.close()

    def test_clients_spread_keys_themselves(self):
        try:
            import pylibmc
        except ImportError:
            self.skipTest("python3-pylibmc is missing")
        with Nodes() as nodes:
            def connect():
                return pylibmc.Client([node.address("memcached") for node in nodes], behaviors={
                    "ketama": True, "tcp_nodelay": True, "remove_failed": 1, "dead_timeout": 600, "retry_timeout": 1,
                    "connect_timeout": 2000})

            one, other = connect(), connect()
            for key in KEYS:
                self.assertTrue(one.set(key, value_of(key)))
            self.assertEqual(other.get_multi(KEYS), {key: value_of(key) for key in KEYS})
            home = where(nodes, "memcached", Proxied.fetch)
            self.assertEqual(len(home), len(KEYS))
            nodes[0].kill()
            lost = [key for key in KEYS if home[key] == 0]

            def goes_on():
                try:
                    return other.set(lost[0], value_of(lost[0]))
                except pylibmc.Error:
                    return False

            until("the client goes on without the node", goes_on)
            for key in KEYS:
                if home[key] != 0:
                    self.assertEqual(other.get(key), value_of(key))
            for key in lost:
                self.assertTrue(other.set(key, value_of(key)))
            self.assertEqual(other.get_multi(KEYS), {key: value_of(key) for key in KEYS})


class Series(unittest.TestCase):
    def test_series_are_spread_over_nodes_and_read_together(self):
        program = find_program("prometheus", "prometheus")
        if program is None:
            self.skipTest("prometheus cannot be had")
        with Nodes() as nodes:
            # Targets that there are not: each has `up` and more, which says that it was not reached.
            targets = ", ".join(f"'127.0.0.1:{1 + number}'" for number in range(12))
            text = ("global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n- job_name: spread\n"
                    f"  static_configs: [{{targets: [{targets}]}}]\n" + nodes.configuration("prometheus", "http"))
            address = f"127.0.0.1:{free_port()}"
            arguments = ["--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address={address}"]
            doors = [Door(node.address("http")) for node in nodes]

            def ups(door, start_ms=0):
                return door.find("up", start_ms, 1 << 50)

            with Engine(program, arguments, "prometheus.yml", text):
                sender = Door(address)
                until("series on all nodes", lambda: all(ups(door) for door in doors) and
                      sum(len(ups(door)) for door in doors) == 12)
                spread = [set(ups(door)) for door in doors]
                self.assertEqual(len(set.union(*spread)), 12)
                nodes[0].kill()
                lost_ms = now_ms()
                until("the others go on", lambda: all(ups(door, lost_ms + 3000) for door in doors[1:]))
                nodes[0].start()
                back_ms = now_ms()
                # What was scraped meanwhile waited at the sender, and comes: no scrape is missing.
                until("the node has caught up", lambda: len(ups(doors[0], back_ms)) == len(spread[0]))

                def is_whole():
                    kept = sender.find("up", lost_ms - 2000, back_ms)
                    here = {labels: dict(samples) for labels, samples in ups(doors[0], lost_ms - 2000).items()}
                    mine = {labels: samples for labels, samples in kept.items() if labels in spread[0]}
                    return len(mine) == len(spread[0]) and all(
                        here.get(labels, {}).get(t_ms) == bits for labels, samples in mine.items() for t_ms, bits in samples)

                until("every sample of the time without it", is_whole)
            # Somebody new, who has nothing, answers from all of them; with one gone it says so, or leaves it out.
            reads = "scrape_configs: []\n" + text[text.index("# Who asks"):]
            address = f"127.0.0.1:{free_port()}"
            arguments[2] = f"--web.listen-address={address}"
            with Engine(program, arguments, "prometheus.yml", reads):
                reader = Door(address)
                until("Prometheus is ready", lambda: reader.ask("GET", "/-/ready")[0] == 200)

                def count():
                    status, _, answer = reader.ask("GET", f"/api/v1/query?query=count(last_over_time(up[10m]))&time={now_ms() // 1000}")
                    answer = json.loads(answer)
                    return status, answer["data"]["result"][0]["value"][1] if status == 200 else answer.get("error"), \
                        answer.get("warnings", [])

                self.assertEqual(count(), (200, "12", []))
                nodes[2].kill()
                status, found, warnings = count()
                self.assertTrue(status != 200 or (found == str(12 - len(spread[2])) and warnings), (status, found, warnings))
                nodes[2].start()
                until("all of them again", lambda: count() == (200, "12", []))


class Balanced(unittest.TestCase):
    def engine(self, nodes, door, *more):
        program = find_program("haproxy", "haproxy")
        if program is None:
            self.skipTest("haproxy cannot be had")
        port = free_port()
        text = nodes.configuration("haproxy", door, "--listen", f"127.0.0.1:{port}", *more)
        text = text.replace("inter 1s", "inter 100ms").replace("maxconn 10000", "maxconn 100\n    stats socket unix@./stats level admin")
        engine = Engine(program, ["-f", "haproxy.cfg", "-db"], "haproxy.cfg", text)
        engine.port = port
        return engine

    def states(self, engine):
        """{node: UP or DOWN}, as haproxy has it."""
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(PATIENCE_S)
            link.connect(os.path.join(engine.folder.name, "stats"))
            link.sendall(b"show stat\n")
            text = b"".join(iter(lambda: link.recv(65536), b"")).decode()
        head, *rows = [line.split(",") for line in text.lstrip("# ").splitlines() if line]
        return {row[head.index("svname")]: row[head.index("status")].split()[0] for row in rows
                if row[0] == "nodes" and row[1].startswith("node")}

    def wait_for(self, engine, *states):
        until(f"haproxy has {states}", lambda: list(self.states(engine).values()) == list(states))

    def test_http_leaves_out_who_is_not_ready(self):
        with Nodes() as nodes, self.engine(nodes, "http", "--protocol", "http") as balancer:
            self.wait_for(balancer, "UP", "UP", "UP")
            door = Door(f"127.0.0.1:{balancer.port}")
            nodes[1].kill()
            self.wait_for(balancer, "UP", "DOWN", "UP")
            for _ in range(10):
                self.assertEqual(door.ask("GET", "/-/healthy")[0], 200)
            nodes[1].start()
            self.wait_for(balancer, "UP", "UP", "UP")

    def test_a_node_stands_in_for_one_that_is_lost(self):
        for door, more, hello, answer in (("memcached", (), "version\r\n", "VERSION"),
                                          ("resp", ("--protocol", "redis"), "PING\r\n", "+PONG")):
            with self.subTest(door), Nodes() as nodes, self.engine(nodes, door, *more) as balancer:
                self.wait_for(balancer, "UP", "UP", "UP")

                def greets():
                    link = Proxied(balancer.port)
                    try:
                        link.send(hello)
                        return link.line().startswith(answer)
                    finally:
                        link.socket.close()

                self.assertTrue(greets())
                nodes[0].kill()
                self.wait_for(balancer, "DOWN", "UP", "UP")
                self.assertTrue(greets())
                nodes[0].start()
                self.wait_for(balancer, "UP", "UP", "UP")
                self.assertTrue(greets())


if __name__ == "__main__":
    set_program(sys.argv.pop(1))
    unittest.main(verbosity=1)
