#!/usr/bin/python3
"""Kills the server under load, again and again, and looks at every value that it has afterwards.

    kills.py PROGRAM KILLS [SEED]

Four connections change keys of their own in batches, each request of a batch about another key, until the server is
killed at a random moment; every fifth time it is killed once more while it recovers. What was answered is known, and
of what was under way it is known what it would have brought about, so that of every key two states can be:

    key      acknowledged          under way             may be found afterwards
    a        version 7             append                version 7, or version 7 with one more piece
    b        version 3             delete                version 3, or nothing
    c        nothing               -                     nothing: what was deleted never comes back

A value is found only whole: each is made from its key, version and pieces, and compared byte by byte, with its flags.
Nothing has to be evicted, so at most 2 % of the keys that were acknowledged may be missing over all kills.
"""

import os
import random
import shlex
import statistics
import sys
import tempfile
import threading
import time
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "serve"))

from server import Server  # noqa: E402

LINKS = 4
KEYS = 2500  # of a link
COUNTERS = 100  # of a link
LARGE_ENDS = ("-0", "-1", "-2")  # of keys whose values are of 60,000 bytes and more
BATCH = 64
PIECES_MAX = 20
MISSING_PERCENT_MAX = 2
EARLY_EVERY = 5


class Wrong(Exception):
    """Something that must not be."""


def make_value(key, state):
    """The bytes of a key in a state (version, pieces)."""
    version, pieces = state
    seed = zlib.crc32(f"{key} {version}".encode())
    length = 50 + seed % 400
    if key.endswith(LARGE_ENDS):
        length = 60_000 + seed % 300_000
    elif seed % 32 == 0:
        length = 6_000
    head = f"{key}:{version}:".encode()
    pattern = seed.to_bytes(4, "little") + b"-%d-" % seed
    body = (pattern * (length // len(pattern) + 1))[:length]
    return head + body + b"".join(b"+%02d" % piece for piece in range(pieces))


class Known:
    """What is known of the keys of one link."""

    def __init__(self, link, chance):
        self.link = link
        self.chance = chance
        self.acknowledged = {}  # key: state; absent: nothing
        self.under_way = {}  # key: state, None for nothing
        self.versions = 0

    def draw_request(self, key):
        """A change of a key that is not under way. Returns: request, state it leads to, answers it may get."""
        state = self.acknowledged.get(key)
        dice = self.chance.randrange(16)
        if state is not None and dice < 3:
            return f"delete {key}\r\n".encode(), None, (b"DELETED\r\n",)
        if state is not None and dice < 6 and state[1] < PIECES_MAX:
            piece = b"+%02d" % state[1]
            return (f"append {key} 0 0 3\r\n".encode() + piece + b"\r\n", (state[0], state[1] + 1), (b"STORED\r\n",))
        if state is not None and dice < 7:
            return f"touch {key} 100000\r\n".encode(), state, (b"TOUCHED\r\n",)
        self.versions += 1
        after = (self.versions, 0)
        value = make_value(key, after)
        head = f"set {key} {self.versions % 65536} {self.versions % 3 * 50000} {len(value)}\r\n"
        return head.encode() + value + b"\r\n", after, (b"STORED\r\n",)

    def draw_count(self, key):
        number = self.acknowledged.get(key)
        if number is None:
            return f"set {key} 0 0 1\r\n0\r\n".encode(), 0, (b"STORED\r\n",)
        return f"incr {key} 1\r\n".encode(), number + 1, (b"%d\r\n" % (number + 1),)

    def draw_batch(self):
        """Requests about as many keys. Returns: their bytes, and (key, answers) of each in order."""
        requests, awaited = [], []
        for number in self.chance.sample(range(KEYS + COUNTERS), BATCH):
            is_count = number >= KEYS
            key = f"count-{self.link}-{number}" if is_count else f"own-{self.link}-{number}"
            request, after, answers = (self.draw_count if is_count else self.draw_request)(key)
            self.under_way[key] = after
            requests.append(request)
            awaited.append((key, answers))
        return b"".join(requests), awaited

    def acknowledge(self, key, answer, answers):
        after = self.under_way.pop(key)
        if answer in answers:
            if after is None:
                self.acknowledged.pop(key, None)
            else:
                self.acknowledged[key] = after
        elif answer in (b"NOT_FOUND\r\n", b"NOT_STORED\r\n"):  # it has been missing since a kill
            self.acknowledged.pop(key, None)
        else:
            raise Wrong(f"{key} is answered {answer!r}, not {answers!r}")

    def keys(self):
        return self.acknowledged.keys() | self.under_way.keys()


def is_state(key, state, value, flags):
    if key.startswith("count-"):
        return state is not None and value.rstrip(b" ") == b"%d" % state
    return state is not None and value == make_value(key, state) and flags == state[0] % 65536


class Campaign:
    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.known = [Known(link, random.Random(seed * LINKS + link)) for link in range(LINKS)]
        self.calls = self.checked = self.expected = self.missing = 0
        self.ready_seconds = []

    # ---- load ----

    def change(self, link, known):
        """A batch, whole. Raises: OSError when the server has gone."""
        requests, awaited = known.draw_batch()
        link.socket.sendall(requests)
        for key, answers in awaited:
            answer = link.file.readline()
            if not answer.endswith(b"\n"):
                raise ConnectionError
            known.acknowledge(key, answer, answers)
            self.calls += 1

    def load_and_kill(self, server):
        links = [server.connect() for _ in self.known]
        timer = threading.Timer(self.chance.uniform(0.02, 0.3), server.process.kill)
        timer.start()
        try:
            while True:
                for link, known in zip(links, self.known):
                    self.change(link, known)
        except OSError:
            pass
        timer.join()
        server.wait()
        for link in links:
            link.socket.close()

    # ---- looking ----

    def look(self, key, known, found):
        """Compares a key with what it may be, and takes what it is for acknowledged."""
        acknowledged = known.acknowledged.pop(key, None)
        states = [acknowledged] + ([known.under_way.pop(key)] if key in known.under_way else [])
        must_be = None not in states
        self.expected += must_be
        if found is None:
            self.missing += must_be
            return
        self.checked += 1
        for state in states:
            if is_state(key, state, *found):
                known.acknowledged[key] = state
                return
        raise Wrong(f"{key} is {found[0][:60]!r}… of {len(found[0])} bytes, flags {found[1]}; it may be {states}")

    def look_at_all(self, server):
        with server.connect() as link:
            for known in self.known:
                keys = sorted(known.keys())
                for first in range(0, len(keys), BATCH):
                    some = keys[first:first + BATCH]
                    found = fetch(link, some)
                    for key in some:
                        self.look(key, known, found.pop(key, None))
                    if found:
                        raise Wrong(f"{list(found)} were not asked for")

    # ---- kills ----

    def start(self, folder):
        began = time.monotonic()
        server = Server(folder=folder, environment={"QUARRY_CACHE_FILE": "auto"}, memory="192m").ready()
        self.ready_seconds.append(time.monotonic() - began)
        return server

    def kill_early(self, folder):
        """Kills a server while it recovers, or not long after."""
        with Server(folder=folder, environment={"QUARRY_CACHE_FILE": "auto"}, memory="192m") as server:
            time.sleep(self.chance.uniform(0, 0.03))
            server.process.kill()
            server.wait()

    def run(self, folder, kills):
        for count in range(kills):
            with self.start(folder) as server:
                self.look_at_all(server)
                self.load_and_kill(server)
            if count % EARLY_EVERY == EARLY_EVERY - 1:
                self.kill_early(folder)
        with self.start(folder) as server:
            self.look_at_all(server)
            if server.end() != 0:
                raise Wrong(f"the server ended with {server.process.returncode}")

    def tell(self, kills):
        ready = [1000 * seconds for seconds in self.ready_seconds[1:]]
        print(f"{kills} kills, {self.calls} calls; {self.checked} values checked, {self.missing} of {self.expected} "
              f"acknowledged were missing; ready after {statistics.median(ready):.0f} ms, at most {max(ready):.0f}")


def fetch(link, keys):
    """Returns: value and flags of those that are there."""
    found = {}
    link.socket.sendall(b"get " + " ".join(keys).encode() + b"\r\n")
    while (line := link.file.readline()) != b"END\r\n":
        words = line.split()
        if len(words) != 4 or words[0] != b"VALUE":
            raise Wrong(f"a get is answered {line!r}")
        value = link.file.read(int(words[3]) + 2)
        found[words[1].decode()] = (value[:-2], int(words[2]))
    return found


def main():
    if len(sys.argv) not in (3, 4):
        print(__doc__)
        return 2
    Server.program = shlex.split(sys.argv[1])
    kills = int(sys.argv[2])
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    campaign = Campaign(seed)
    with tempfile.TemporaryDirectory(prefix="quarry-kills-") as folder:
        try:
            campaign.run(folder, kills)
        except Wrong as wrong:
            print(f"after {len(campaign.ready_seconds)} starts, seed {seed}: {wrong}")
            return 1
    campaign.tell(kills)
    if campaign.checked == 0 or 100 * campaign.missing > MISSING_PERCENT_MAX * campaign.expected:
        print(f"more than {MISSING_PERCENT_MAX} % were missing")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
