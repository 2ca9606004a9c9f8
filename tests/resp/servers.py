"""Servers of the tests of the RESP door: Quarry, and the redis-server that it is compared with."""

import os
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "serve"))
from server import Server  # noqa: E402  (its folder is no package)

from wire import Link  # noqa: E402


class Quarry(Server):
    """`quarry serve` with this door alone, on a unix socket."""

    def __init__(self, *arguments, **options):
        options.setdefault("memcached", "off")
        options.setdefault("memory", "256m")
        super().__init__("--resp", "unix:resp.sock", *arguments, **options)
        self.path = os.path.join(self.folder, "resp.sock")

    def link(self):
        self.ready()
        return Link(self.path)


class Redis:
    """Debian's redis-server, which keeps nothing, on a unix socket.

    Its package would start a service. That of redis-cli has the server too, as redis-check-rdb, which
    is what it is called by.
    """

    program = shutil.which("redis-server") or shutil.which("redis-check-rdb")

    def __init__(self, *arguments):
        self.folder = tempfile.TemporaryDirectory(prefix="quarry-redis-")
        self.path = os.path.join(self.folder.name, "redis.sock")
        self.process = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", self.path, "--save", "",
             "--appendonly", "no", "--dir", self.folder.name, *arguments],
            executable=self.program, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()
        return False

    def link(self):
        end = time.monotonic() + 60
        while True:
            try:
                return Link(self.path)
            except (FileNotFoundError, ConnectionRefusedError):
                if time.monotonic() > end or self.process.poll() is not None:
                    raise
                time.sleep(0.01)
