#!/usr/bin/env python3
"""differential.py QUARRY [--sequences N] [--first SEED] [--seed SEED] [--length N]

Random sequences of commands, sent to Quarry and to Debian's redis-server. Replies must be the same
bytes, but for what is listed in `same` below and in docs/resp.md. A sequence that differs is cut
down to what it takes, and printed with the line that repeats it.
"""

import argparse
import re
import shlex
import sys
import time

import sequences
from servers import Quarry, Redis
from wire import encode

SKIPPED = 77

# Of keys: in any order. Their replies are compared as sets.
UNORDERED = {b"KEYS", b"SCAN"}
# Milliseconds or seconds until then, which are some later when the second server is asked.
CLOCKS = {b"TTL": 20, b"PTTL": 20000, b"EXPIRETIME": 20, b"PEXPIRETIME": 20000}
# Beginnings of replies that differ, Quarry's and Redis', as docs/resp.md says.
DOCUMENTED = [
    (b"-ERR unknown command '", b"-ERR unknown command '"),  # where to read on comes behind it
    (b"-ERR invalid cursor", b"*2\r\n$1\r\n0\r\n"),  # one that was never given
]


def _sorted_bulks(reply):
    return sorted(one.value if one.inner is None else one.raw for one in reply.inner)


def _numbers_are_near(ours, theirs, far):
    if ours.kind != ":" or theirs.kind != ":":
        return False
    a, b = int(ours.value), int(theirs.value)
    return a == b or (a > 0 and b > 0 and abs(a - b) <= far)


def same(words, ours, theirs):
    """Whether two replies to a request are as good as equal."""
    if ours.raw == theirs.raw:
        return True
    name = words[0].upper()
    if name in CLOCKS:
        return _numbers_are_near(ours, theirs, CLOCKS[name])
    if name == b"KEYS" and ours.inner is not None and theirs.inner is not None:
        return _sorted_bulks(ours) == _sorted_bulks(theirs)
    if name == b"SCAN" and ours.inner and theirs.inner and ours.inner[0].raw == theirs.inner[0].raw:
        return _sorted_bulks(ours.inner[1]) == _sorted_bulks(theirs.inner[1])
    if name == b"RANDOMKEY":  # any key: whether there is one is compared by DBSIZE
        return ours.is_null() == theirs.is_null()
    if name == b"DBSIZE":  # Redis counts what has expired until somebody looks
        return ours.kind == theirs.kind == ":" and int(ours.value) <= int(theirs.value)
    if name == b"OBJECT" and words[1].upper() == b"ENCODING":  # Quarry goes by the value alone
        return ours.kind == theirs.kind == "$" and ours.is_null() == theirs.is_null()
    if name == b"HELLO" and ours.kind == theirs.kind == "%":
        return len(ours.inner) == len(theirs.inner)
    return any(ours.raw.startswith(one) and theirs.raw.startswith(other)
               for one, other in DOCUMENTED)


class Side:
    """A server with its connections."""

    def __init__(self, server):
        self.server = server
        self.links = []

    def begin(self):
        for link in self.links:
            link.close()
        self.links = [self.server.link() for _ in range(sequences.CONNECTIONS)]
        self.links[0].do("FLUSHALL")
        self.links[2].do("HELLO", "3")

    def run(self, steps):
        """Sends all steps, and reads the replies: of each stretch of one connection together."""
        replies = []
        at = 0
        while at < len(steps):
            connection = steps[at][0]
            end = at + 1
            while end < len(steps) and steps[end][0] == connection and not steps[end - 1][2]:
                end += 1
            link = self.links[connection]
            link.send(b"".join(encode(words) for _, words, _ in steps[at:end]))
            replies += [link.read() for _ in range(at, end)]
            time.sleep(steps[end - 1][2] / 1000)
            at = end
        return replies


def flat(words, ours, theirs, queued):
    """The pairs of replies to be compared: those within EXEC are each their command's."""
    if words[0].upper() == b"EXEC" and ours.inner is not None and theirs.inner is not None \
            and len(ours.inner) == len(theirs.inner) == len(queued):
        return list(zip(queued, ours.inner, theirs.inner))
    return [(words, ours, theirs)]


def first_difference(steps, ours, theirs):
    """Index and replies of the first step that differs; None where none does."""
    queued = [[] for _ in range(sequences.CONNECTIONS)]
    for index, (connection, words, _) in enumerate(steps):
        for asked, one, other in flat(words, ours[index], theirs[index], queued[connection]):
            if not same(asked, one, other):
                return index, one, other
        name = words[0].upper()
        if theirs[index].raw == b"+QUEUED\r\n":
            queued[connection].append(words)
        elif name in (b"EXEC", b"DISCARD") or theirs[index].raw == b"+OK\r\n":
            queued[connection] = []
    return None


def compare(quarry, redis, steps):
    quarry.begin()
    redis.begin()
    return first_difference(steps, quarry.run(steps), redis.run(steps))


def shrink(quarry, redis, steps):
    """Leaves out what is not needed for a difference."""
    piece = len(steps) // 2
    while piece > 0:
        at = 0
        while at < len(steps):
            fewer = steps[:at] + steps[at + piece:]
            if fewer and compare(quarry, redis, fewer) is not None:
                steps = fewer
            else:
                at += piece
        piece //= 2
    return steps


def printable(word):
    text = word if len(word) < 60 else word[:50] + b"...%d" % len(word)
    return shlex.quote(re.sub(rb"[^ -~]", lambda m: b"\\x%02x" % m.group()[0], text).decode())


def report(steps, difference, command):
    index, ours, theirs = difference
    for number, (connection, words, wait_ms) in enumerate(steps[:index + 1]):
        said = f"{connection}> " + " ".join(printable(word) for word in words) + \
            (f"   (and {wait_ms} ms)" if wait_ms else "")
        print(("=> " if number == index else "   ") + said)
    print(f"   quarry {ours!r}"[:600])
    print(f"   redis  {theirs!r}"[:600])
    print(command, flush=True)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("quarry")
    parser.add_argument("--sequences", type=int, default=500)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--length", type=int, default=20)
    parser.add_argument("--failures", type=int, default=10, help="after so many it ends")
    asked = parser.parse_args()
    Quarry.program = shlex.split(asked.quarry)
    if Redis.program is None:
        print("redis-server is missing")
        return SKIPPED
    seeds = [asked.seed] if asked.seed is not None else \
        range(asked.first, asked.first + asked.sequences)
    failures = 0
    told = time.monotonic()
    with Quarry() as quarry_server, Redis() as redis_server:
        quarry, redis = Side(quarry_server), Side(redis_server)
        for done, seed in enumerate(seeds):
            steps = sequences.make(seed, asked.length)
            difference = compare(quarry, redis, steps)
            if difference is not None:
                fewer = shrink(quarry, redis, steps)
                again = compare(quarry, redis, fewer)
                if again is not None:
                    steps, difference = fewer, again
                report(steps, difference, f"differential.py {asked.quarry} --seed {seed} "
                                          f"--length {asked.length}")
                failures += 1
            if failures >= asked.failures:
                break
            if time.monotonic() - told > 5:
                told = time.monotonic()
                print(f"{done + 1} of {len(seeds)} sequences, {failures} differ", flush=True)
    print(f"{len(seeds) if failures < asked.failures else done + 1} sequences of {asked.length} "
          f"commands, {failures} differ")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
