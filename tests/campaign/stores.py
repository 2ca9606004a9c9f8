"""The three stores behind one server, and what a client knows of each.

    store     written by                          may be found afterwards
    Cached    memcached: set                      what was acknowledged last, or what was under way; or nothing
    Kept      RESP: SET, DEL                      what was acknowledged last, or what was tried since; never nothing
    Sampled   HTTP: pages of metrics              every sample that was acknowledged, and none that was not sent

Each value says whose it is: it is made from its key and version, and is compared byte by byte. A sample's value
is made from its series and time, so that any other one is a wrong one whatever happened before.
"""

import http.client
import os
import random
import shutil
import sys
import tempfile
import time
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
for folder in ("serve", "resp", "prometheus"):
    sys.path.insert(0, os.path.join(HERE, os.pardir, folder))

from client import Door  # noqa: E402
from server import PATIENCE_S, Server, cpu_seconds, set_program  # noqa: E402, F401
from wire import bits_of  # noqa: E402

# Both doors' messages are in a module called wire; Prometheus' is the one that was found above.
import importlib.util  # noqa: E402

_resp = importlib.util.spec_from_file_location("resp_wire", os.path.join(HERE, os.pardir, "resp", "wire.py"))
resp_wire = importlib.util.module_from_spec(_resp)
_resp.loader.exec_module(resp_wire)

SERIES = 20
KEYS = 400


class Wrong(Exception):
    """What no server may answer."""


def make_value(key, version, length=None):
    """The bytes of a version of a key."""
    seed = zlib.crc32(b"%s %d" % (key, version))
    count = seed % 6000 if length is None else length
    pattern = b"%s:%d:%08x|" % (key, version, seed)
    return (pattern * (count // len(pattern) + 1))[:max(count, len(pattern))]


def make_sample(series, t_ms):
    return zlib.crc32(b"%d %d" % (series, t_ms)) / 8


class Everything(Server):
    """`quarry serve` with its doors all open."""

    def __init__(self, *arguments, **options):
        options.setdefault("resp", "127.0.0.1:0")
        options.setdefault("http", "127.0.0.1:0")
        options.setdefault("memory", "256m")
        super().__init__("--set", "tsdb.self_scrape=off", "--set", "kv.write_buffer=1m", "--set", "kv.memory=32m",
                         *arguments, **options)

    def address(self, protocol):
        return next(door["address"] for door in self.doors() if door["protocol"] == protocol)

    def pair(self, protocol):
        host, port = self.address(protocol).rsplit(":", 1)
        return host, int(port)

    def resp_link(self):
        return resp_wire.Link(self.pair("resp"))

    def http_door(self):
        return Door(self.address("http"))

    def wait_until_read(self):
        """Waits until the time series' log has been read."""
        door, end = self.http_door(), time.monotonic() + PATIENCE_S
        while door.ask("GET", "/-/ready")[0] == 503:
            if time.monotonic() > end:
                raise Wrong("the log of the time series is never read")
            time.sleep(0.01)

    def resident_bytes(self):
        with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as facts:
            return int(facts.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def most_resident_bytes(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as facts:
            return next(int(line.split()[1]) << 10 for line in facts if line.startswith("VmHWM"))

    def socket_count(self):
        """Sockets that it has open: files are the stores' affair."""
        folder, count = f"/proc/{self.process.pid}/fd", 0
        for name in os.listdir(folder):
            try:
                count += os.readlink(os.path.join(folder, name)).startswith("socket:")
            except FileNotFoundError:  # closed meanwhile
                pass
        return count


class Store:
    """What is common. `refusal`: the last answer that was none of acceptance."""

    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.acknowledged_count = 0
        self.refused_count = 0
        self.refusal = None

    def refuse(self, answer):
        self.refused_count += 1
        self.refusal = answer


class Versioned(Store):
    """Keys with versions."""

    def __init__(self, seed, name, length=None):
        super().__init__(seed)
        self.name = name
        self.length = length
        self.is_garbled = False  # its bytes were damaged where nothing has a checksum
        self.last = 0
        self.acknowledged = {}  # key: version; None: deleted
        self.tried = {}  # key: versions since then
        self.ever = {}  # key: versions at any time

    def draw(self, count):
        """Keys, each once, with a version each that is new."""
        drawn = []
        for number in self.chance.sample(range(KEYS), count):
            key = b"%s-%d" % (self.name, number)
            self.last += 1
            version = None if self.chance.randrange(8) == 0 else self.last
            self.tried.setdefault(key, set()).add(version)
            self.ever.setdefault(key, set()).add(version)
            drawn.append((key, version))
        return drawn

    def value(self, key, version):
        return make_value(key, version, self.length)

    def acknowledge(self, key, version):
        self.acknowledged_count += 1
        self.acknowledged[key] = version
        self.tried[key] = set()

    def versions(self, key):
        return {self.acknowledged.get(key)} | self.tried.get(key, set())

    def keys(self):
        return sorted(self.acknowledged.keys() | self.tried.keys())

    def look(self, key, found, may_miss):
        """Compares what was found with what may be: where writes may be missing, any version that was sent."""
        if self.is_garbled:
            return True
        for version in self.ever[key] if may_miss else self.versions(key):
            if found is None if version is None else found == self.value(key, version):
                return True
        if found is None and may_miss:
            return False
        head = None if found is None else found[:50]
        raise Wrong(f"{key.decode()} is {head!r}, and may be of the versions {self.versions(key)}")


class Cached(Versioned):
    def write(self, server, count=50):
        """A batch of changes. OSError: the server has gone."""
        drawn, request = self.draw(count), []
        for key, version in drawn:
            if version is None:
                request.append(b"delete %s\r\n" % key)
            else:
                value = self.value(key, version)
                request.append(b"set %s 0 0 %d\r\n%s\r\n" % (key, len(value), value))
        with server.connect() as link:
            link.socket.sendall(b"".join(request))
            for key, version in drawn:
                answer = link.file.readline()
                if not answer.endswith(b"\n"):
                    raise ConnectionError
                if answer in (b"STORED\r\n", b"DELETED\r\n", b"NOT_FOUND\r\n"):
                    self.acknowledge(key, version)
                else:
                    self.refuse(answer.decode())

    def check(self, server, may_miss=False):
        """Returns: how many values were there."""
        found = 0
        with server.connect() as link:
            keys = self.keys()
            for first in range(0, len(keys), 50):
                some = keys[first:first + 50]
                link.socket.sendall(b"".join(b"get %s\r\n" % key for key in some))
                for key in some:
                    value = self.read_one(link, key)
                    # It is a cache: what is not there is no fault.
                    found += value is not None and self.look(key, value, may_miss)
        return found

    @staticmethod
    def read_one(link, key):
        line = link.file.readline()
        if line == b"END\r\n":
            return None
        words = line.split()
        if len(words) != 4 or words[:2] != [b"VALUE", key]:
            raise Wrong(f"get {key.decode()} is answered {line!r}")
        value = link.file.read(int(words[3]) + 2)[:-2]
        if link.file.readline() != b"END\r\n":
            raise Wrong(f"get {key.decode()} has no end")
        return value


class Kept(Versioned):
    def write(self, server, count=50):
        drawn = self.draw(count)
        with server.resp_link() as link:
            link.send(b"".join(resp_wire.encode([b"DEL", key] if version is None else
                                                [b"SET", key, self.value(key, version)])
                               for key, version in drawn))
            for key, version in drawn:
                answer = link.read()
                if answer.raw in (b"+OK\r\n", b":0\r\n", b":1\r\n"):
                    self.acknowledge(key, version)
                else:
                    self.refuse(answer.raw.decode())

    def check(self, server, may_miss=False):
        found = 0
        with server.resp_link() as link:
            keys = self.keys()
            for first in range(0, len(keys), 50):
                some = keys[first:first + 50]
                link.send(b"".join(resp_wire.encode([b"GET", key]) for key in some))
                for key in some:
                    answer = link.read()
                    if answer.kind != "$" and not answer.is_null():
                        if not may_miss:
                            raise Wrong(f"GET {key.decode()} is answered {answer!r}")
                        continue
                    found += self.look(key, answer.value, may_miss)
        return found


class Sampled(Store):
    def __init__(self, seed, name="campaign"):
        super().__init__(seed)
        self.name = name
        self.t_ms = time.time_ns() // 1000000 - 60000
        self.acknowledged = set()  # times of which all series have a sample
        self.tried = set()

    def write(self, server, count=20):
        """Pages, each of one moment of all series."""
        link = http.client.HTTPConnection(server.address("http"), timeout=PATIENCE_S)
        try:
            for _ in range(count):
                self.t_ms += 1
                self.tried.add(self.t_ms)
                page = "".join(f'{self.name}{{s="{s}"}} {make_sample(s, self.t_ms)!r} {self.t_ms}\n'
                               for s in range(SERIES))
                link.request("POST", "/api/v1/import/prometheus", page)
                answer = link.getresponse()
                text = answer.read()
                if answer.status in (200, 204):
                    self.acknowledged.add(self.t_ms)
                    self.acknowledged_count += SERIES
                else:
                    self.refuse(f"{answer.status} {text.decode()}")
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            link.close()

    def weigh_down(self, server, byte_count=1 << 20):
        """A page of series that nobody looks at, whose labels make its log so much longer."""
        self.t_ms += 1
        pages = "".join(f'weight{{of="{self.t_ms}-{number}-{"x" * 4000}"}} 1 {self.t_ms}\n'
                        for number in range(byte_count // 4000))
        status, text = server.http_door().bring(pages)
        if status not in (200, 204):
            self.refuse(f"{status} {text}")

    def check(self, server, may_miss=False):
        found = server.http_door().find(self.name)
        count = 0
        for s in range(SERIES):
            samples = dict(found.get((("s", str(s)),), []))
            for t_ms, bits in samples.items():
                if t_ms not in self.tried or bits != bits_of(make_sample(s, t_ms)):
                    raise Wrong(f"series {s} has {bits:016x} at {t_ms}, which nobody has sent")
            missing = self.acknowledged - samples.keys()
            if missing and not may_miss:
                raise Wrong(f"series {s} lacks {len(missing)} of {len(self.acknowledged)} samples that were "
                            f"acknowledged, the first at {min(missing)}")
            count += len(samples)
        return count


class Stores:
    """All three, written to in turns."""

    def __init__(self, seed, length=None):
        self.cached = Cached(seed, b"cached", length)
        self.kept = Kept(seed + 1, b"kept", length)
        self.sampled = Sampled(seed + 2)
        self.all = [self.cached, self.kept, self.sampled]

    def write(self, server):
        for store in self.all:
            store.write(server)

    def check(self, server, may_miss=False):
        """Returns: how many values were looked at and right."""
        server.wait_until_read()
        return (self.cached.check(server, may_miss) + self.kept.check(server, may_miss) +
                self.sampled.check(server, may_miss))

    def acknowledged(self):
        return sum(store.acknowledged_count for store in self.all)


def ends_well(server):
    """Ends it in order. Wrong: it does not."""
    if server.end() != 0:
        raise Wrong(f"the server ended with {server.process.returncode}:\n{server.log()[-2000:]}")


def campaign(run_round, doc):
    """A campaign's main: rounds with seeds that rise, each in a folder of its own, until the time is over; at least
    one. `run_round` (folder, seed) returns what is to be told of it; Wrong ends the campaign."""
    if len(sys.argv) not in (3, 4):
        print(doc)
        return 2
    set_program(sys.argv[1])
    begin, seed, told = time.monotonic(), int(sys.argv[3]) if len(sys.argv) > 3 else 1, {}
    first = seed
    while seed == first or time.monotonic() - begin < float(sys.argv[2]):
        folder = tempfile.mkdtemp(prefix="quarry-campaign-")
        try:
            for name, figure in run_round(folder, seed).items():
                told[name] = max(told.get(name, 0), figure) if name.startswith("most") else \
                    told.get(name, 0) + figure
        except (Wrong, AssertionError, OSError) as wrong:
            print(f"seed {seed}: {wrong!r}" if not isinstance(wrong, Wrong) else f"seed {seed}: {wrong}")
            return 1
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        seed += 1
    print(f"{seed - first} rounds: " + ", ".join(f"{figure:g} {name}" for name, figure in told.items()))
    return 0
