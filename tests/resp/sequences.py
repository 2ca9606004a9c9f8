"""Random sequences of commands over everything that Quarry has of Redis' strings.

A sequence is a list of steps: (connection, words, milliseconds to wait behind it). Connections are
numbers; 0 speaks RESP2, 1 too, 2 speaks RESP3. A sequence follows from its seed alone.
"""

import random

CONNECTIONS = 3
KEYS = [b"a", b"b", b"c", b"key:1", b"key:2", b"k" * 40, b"", b"\x00\xff\r\n", b"h\xc3\xa9llo*?[x]"]
VALUES = [b"", b"0", b"1", b"-1", b"5", b"10", b"007", b"+3", b" 4", b"4 ", b"9223372036854775807",
          b"-9223372036854775808", b"9223372036854775808", b"3.0", b"3.14", b"-2.5e3", b"1e400",
          b"nan", b"inf", b"-0", b"0.1", b"value", b"a" * 44, b"a" * 45, b"x\r\ny", b"\x00" * 5,
          b"Hello World", b"z" * 20000, b"1 ", b"123456789012345678901234567890"]
INTEGERS = [b"0", b"1", b"-1", b"2", b"3", b"5", b"-5", b"10", b"100", b"-100", b"1000", b"65536",
            b"2147483648", b"9223372036854775807", b"-9223372036854775808",
            b"9223372036854775808", b"x", b"", b"1.5", b" 1", b"01"]
# Far from now, or long past: what is in between would depend on how fast a server is.
# None that a busy machine may let pass between a step and the next: "soon gone" is for that.
TTLS = [b"100000", b"300000", b"900000", b"0", b"-1", b"-1000", b"x", b"9223372036854775807",
        b"9223372036854775", b"-9223372036854775808", b"1.5", b"4611686018427387904"]
STAMPS = [b"1", b"0", b"-5", b"33177117420", b"32503680000", b"x", b"9223372036854775807"]
STAMPS_MS = [b"1", b"0", b"33177117420000", b"32503680000000", b"x", b"9223372036854775807"]
PATTERNS = [b"*", b"a", b"k*", b"key:?", b"[a-c]", b"[^a]", b"\\*", b"h*\\**", b"*\x00*", b"",
            b"k*k*k*", b"[", b"[a", b"?", b"key:[12]", b"[b-", b"*[x]", b"\\"]


class Draw:
    """Draws from one seed."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def of(self, choices):
        return self.random.choice(choices)

    def once_in(self, sides):
        return self.random.randrange(sides) == 0

    def key(self):
        return self.of(KEYS[:5]) if not self.once_in(6) else self.of(KEYS)

    def keys(self, most=4):
        return [self.key() for _ in range(self.random.randrange(1, most + 1))]

    def value(self):
        return self.of(VALUES)

    def integer(self):
        return self.of(INTEGERS)

    def some(self, groups):
        """Some of the groups of words, in any order; a few are there twice."""
        words = []
        for group in self.random.sample(groups, self.random.randrange(0, min(3, len(groups)) + 1)):
            words += group
        return words


def _set_options(draw):
    return draw.some([[b"NX"], [b"XX"], [b"GET"], [b"KEEPTTL"], [b"EX", draw.of(TTLS)],
                      [b"px", draw.of(TTLS)], [b"EXAT", draw.of(STAMPS)],
                      [b"PXAT", draw.of(STAMPS_MS)], [b"EX"], [b"bad"]])


def _pairs(draw):
    words = []
    for _ in range(draw.random.randrange(1, 4)):
        words += [draw.key(), draw.value()]
    return words if not draw.once_in(12) else words[:-1]


def _expire(name, choices):
    return lambda draw: [name, draw.key(), draw.of(choices)] + (
        draw.some([[b"NX"], [b"XX"], [b"GT"], [b"lt"], [b"bad"]]) if draw.once_in(3) else [])


# What is sent, and how often.
COMMANDS = [
    (14, lambda d: [b"SET", d.key(), d.value()]),
    (8, lambda d: [b"set", d.key(), d.value()] + _set_options(d)),
    (10, lambda d: [b"GET", d.key()]),
    (3, lambda d: [b"SETNX", d.key(), d.value()]),
    (3, lambda d: [b"SETEX", d.key(), d.of(TTLS), d.value()]),
    (2, lambda d: [b"PSETEX", d.key(), d.of(TTLS), d.value()]),
    (2, lambda d: [b"GETSET", d.key(), d.value()]),
    (2, lambda d: [b"GETDEL", d.key()]),
    (4, lambda d: [b"GETEX", d.key()] + d.some([[b"PERSIST"], [b"EX", d.of(TTLS)],
                                               [b"PX", d.of(TTLS)], [b"EXAT", d.of(STAMPS)],
                                               [b"PXAT", d.of(STAMPS_MS)], [b"bad"]])),
    (4, lambda d: [d.of([b"GETRANGE", b"SUBSTR"]), d.key(), d.integer(), d.integer()]),
    (4, lambda d: [b"SETRANGE", d.key(), d.integer(), d.value()]),
    (4, lambda d: [b"APPEND", d.key(), d.value()]),
    (2, lambda d: [b"STRLEN", d.key()]),
    (3, lambda d: [b"MGET"] + d.keys()),
    (3, lambda d: [b"MSET"] + _pairs(d)),
    (2, lambda d: [b"MSETNX"] + _pairs(d)),
    (5, lambda d: [d.of([b"INCR", b"DECR"]), d.key()]),
    (5, lambda d: [d.of([b"INCRBY", b"DECRBY"]), d.key(), d.integer()]),
    (4, lambda d: [b"INCRBYFLOAT", d.key(), d.of(VALUES + INTEGERS)]),
    (3, lambda d: [d.of([b"DEL", b"UNLINK"])] + d.keys()),
    (3, lambda d: [d.of([b"EXISTS", b"TOUCH"])] + d.keys()),
    (1, lambda d: [b"TYPE", d.key()]),
    (4, _expire(b"EXPIRE", TTLS)),
    (3, _expire(b"PEXPIRE", TTLS)),
    (3, _expire(b"EXPIREAT", STAMPS)),
    (3, _expire(b"PEXPIREAT", STAMPS_MS)),
    (4, lambda d: [d.of([b"TTL", b"PTTL", b"EXPIRETIME", b"PEXPIRETIME"]), d.key()]),
    (2, lambda d: [b"PERSIST", d.key()]),
    (3, lambda d: [d.of([b"RENAME", b"RENAMENX"]), d.key(), d.key()]),
    (3, lambda d: [b"COPY", d.key(), d.key()] + d.some([[b"REPLACE"], [b"DB", d.of(
        [b"0", b"1", b"15", b"16", b"-1", b"x"])], [b"bad"]])),
    (1, lambda d: [b"MOVE", d.key(), d.of([b"0", b"1", b"15", b"16", b"x"])]),
    (2, lambda d: [b"SELECT", d.of([b"0", b"0", b"0", b"1", b"15", b"16", b"-1", b"x"])]),
    (2, lambda d: [b"KEYS", d.of(PATTERNS)]),
    (2, lambda d: [b"SCAN", b"0", b"COUNT", b"1000"] + d.some([
        [b"MATCH", d.of(PATTERNS)], [b"TYPE", d.of([b"string", b"hash", b"STRING"])]])),
    (1, lambda d: [b"SCAN", d.of([b"x", b"-1", b"0"]), d.of([b"COUNT", b"MATCH", b"bad"]),
                   d.of([b"0", b"-3", b"x"])]),
    (1, lambda d: [b"RANDOMKEY"]),
    (2, lambda d: [b"DBSIZE"]),
    (1, lambda d: [d.of([b"FLUSHDB", b"FLUSHALL"])] + d.some([[b"ASYNC"], [b"SYNC"], [b"bad"]])),
    (2, lambda d: [b"OBJECT", b"ENCODING", d.key()]),
    (1, lambda d: [b"LCS", d.key(), d.key()] + d.some([[b"LEN"], [b"IDX"], [b"WITHMATCHLEN"],
                                                       [b"MINMATCHLEN", d.integer()]])),
    (6, lambda d: [b"MULTI"]),
    (6, lambda d: [b"EXEC"]),
    (2, lambda d: [b"DISCARD"]),
    (3, lambda d: [b"WATCH"] + d.keys()),
    (1, lambda d: [b"UNWATCH"]),
    (1, lambda d: [b"PING"] + d.of([[], [b"hello"], [b"a", b"b"]])),
    (1, lambda d: [b"ECHO", d.value()]),
    (1, lambda d: [b"CLIENT", b"SETNAME", d.of([b"me", b"", b"a b"])]),
    (1, lambda d: [b"CLIENT", b"GETNAME"]),
    (1, lambda d: [b"HELLO"] + d.of([[b"4"], [b"x"], [b"2", b"bad"], [b"3", b"SETNAME"]])),
    (1, lambda d: [b"AUTH"] + d.of([[b"x"], [b"default", b"y"], [], [b"a", b"b", b"c"]])),
    (1, lambda d: [b"COMMAND", b"GETKEYS"] + d.of([[b"MSET", b"a", b"1", b"b", b"2"], [b"GET"],
                                                   [b"PING"], [b"COPY", b"x", b"y"]])),
    (1, lambda d: [b"COMMAND", b"INFO", d.of([b"get", b"incr", b"mget", b"nope", b"expire"])]),
    (1, lambda d: [b"OBJECT", b"nope"]),
    (1, lambda d: [d.of([b"GET", b"SET", b"INCRBY", b"EXPIRE", b"MULTI", b"MSET", b"GETRANGE",
                         b"COPY", b"SCAN", b"CLIENT", b"CONFIG", b"RENAME"])]),
    (1, lambda d: [b"GET", d.key(), d.key()]),
    (1, lambda d: [b"nosuchcommand", d.key()]),
]
_TOTAL = sum(weight for weight, _ in COMMANDS)


def _command(draw):
    at = draw.random.randrange(_TOTAL)
    for weight, make in COMMANDS:
        at -= weight
        if at < 0:
            return make(draw)
    raise AssertionError("weights")


def make(seed, length):
    """The sequence of a seed."""
    draw = Draw(seed)
    steps = []
    while len(steps) < length:
        connection = 0 if not draw.once_in(4) else draw.random.randrange(CONNECTIONS)
        if draw.once_in(150):  # a key that is gone a moment later
            steps.append((connection, [b"DISCARD"], 0))  # at once, and not in an EXEC
            steps.append((connection, [b"SET", draw.key(), b"soon gone", b"PX", b"2"], 20))
            continue
        words = _command(draw)
        if words[0] in (b"AUTH", b"HELLO"):  # which Quarry does not queue
            steps.append((connection, [b"DISCARD"], 0))
        steps.append((connection, words, 0))
    return steps
