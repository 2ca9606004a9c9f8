"""Three servers that keep their addresses and data over kills, and the engines in front of them."""

import os
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
for folder in ("serve", "prometheus", ""):
    sys.path.insert(0, os.path.join(HERE, "..", folder))
from client import Door  # noqa: E402
from peers import find_program, free_port  # noqa: E402
from server import PATIENCE_S, Server  # noqa: E402

COUNT = 3


def until(what, check):
    """Waits until check() says something that is true. Returns: it."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            found = check()
        except (OSError, EOFError):
            found = None
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError("waited in vain: " + what)
        time.sleep(0.05)


class Node:
    """A server with a folder and addresses of its own, which can be lost and come back."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="quarry-node-")
        self.ports = {door: free_port() for door in ("memcached", "resp", "http")}
        self.server = None
        self.start()

    def address(self, door):
        return f"127.0.0.1:{self.ports[door]}"

    def start(self):
        self.server = Server("--set", "tsdb.self_scrape=off", folder=self.folder.name, memory="128m",
                             environment={"QUARRY_CACHE_FILE": "data"},
                             **{door: self.address(door) for door in self.ports}).ready()
        until("the node is ready", lambda: Door(self.address("http")).ask("GET", "/-/ready")[0] == 200)

    def kill(self):
        self.server.signal(signal.SIGKILL)
        self.server.wait()
        self.server.__exit__()
        self.server = None

    def close(self):
        if self.server:
            self.server.__exit__()
        self.folder.cleanup()


class Nodes:
    """Three of them."""

    def __enter__(self):
        self.all = [Node() for _ in range(COUNT)]
        return self

    def __exit__(self, *_):
        for node in self.all:
            node.close()
        return False

    def __getitem__(self, index):
        return self.all[index]

    def __iter__(self):
        return iter(self.all)

    def configuration(self, engine, door, *more):
        """What `quarry config generate` prints for these nodes."""
        done = subprocess.run(Server.program + ["config", "generate", engine, "--nodes",
                                                ",".join(node.address(door) for node in self.all), *more],
                              capture_output=True, check=True, text=True, timeout=PATIENCE_S)
        return done.stdout


class Engine:
    """Another's program with a configuration, in a folder of its own."""

    def __init__(self, path, arguments, name, text):
        self.folder = tempfile.TemporaryDirectory(prefix="quarry-engine-")
        with open(os.path.join(self.folder.name, name), "w", encoding="utf-8") as file:
            file.write(text)
        self.log = open(os.path.join(self.folder.name, "log"), "wb")
        self.process = subprocess.Popen([path, *arguments], cwd=self.folder.name, stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.log.close()
        self.folder.cleanup()
        return False


def nutcracker(nodes, door, *more):
    """twemproxy in front of the nodes, and its port. None: it cannot be had."""
    program = find_program("nutcracker", "nutcracker")
    if program is None:
        return None
    port = free_port()
    text = nodes.configuration("nutcracker", door, "--listen", f"127.0.0.1:{port}", *more)
    # Tests are in more of a hurry than services.
    text = text.replace("server_retry_timeout: 5000", "server_retry_timeout: 500")
    engine = Engine(program, ["-c", "nutcracker.yml", "-s", str(free_port()), "-o", "own.log", "-p", "pid"], "nutcracker.yml", text)
    engine.port = port
    return engine
