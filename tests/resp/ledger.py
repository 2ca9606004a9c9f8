"""What clients were told is written, and whether a server that comes back has it.

A ledger holds writers, each with a connection of its own in every life of the server:

    Counting      INCR of a counter and SET or DEL of a slot, pipelined; a slot says which count it is of.
                  A store that comes back is as it was after one of them: each slot must fit the counter.
    Transferring  MULTI, DECRBY of an account, INCRBY of another, SET of the transaction's number, EXEC;
                  pipelined.
    Agreeing      the same by WATCH, MGET and SET, not pipelined: whom somebody else was faster than begins
                  again.

Accounts add up to 0 at any moment, also to who reads them meanwhile; and each must be what the numbers
of the transactions say. So a transaction that is there by half shows, one that is there twice, and one
that came before another and is missing.
"""

import random
import threading

from wire import encode

ACCOUNTS = [b"account:%d" % i for i in range(16)]
SLOTS = 32
FAR_STAMP = 32503680000  # when slots expire: the year 3000


class Wrong(Exception):
    """What no server may answer."""


class Writer:
    """One connection's worth of writes. Of `sent`, the first `acknowledged` are written, the first
    `synced` on the disk."""

    def __init__(self, ledger, name, seed):
        self.ledger = ledger
        self.name = name
        self.random = random.Random(seed)
        self.sent = self.acknowledged = self.synced = 0

    def key(self, kind):
        return b"%s:%s" % (kind, self.name)

    def live(self, link):
        """Writes until the server is gone."""
        try:
            while not self.ledger.is_cut:
                self.write(link)
                if self.random.randrange(4) == 0:
                    self.sync(link)
        except (OSError, Wrong) as wrong:
            self.ledger.note(self.name.decode(), wrong)

    def told(self, number):
        """It was acknowledged. When the disk is gone already, nothing follows from that."""
        if not self.ledger.is_cut:
            self.acknowledged = number

    def sync(self, link):
        number = self.acknowledged
        reply = link.do("WAITAOF", 1, 0, 0)
        if reply.raw != b"*2\r\n:1\r\n:0\r\n":
            raise Wrong(f"WAITAOF was answered with {reply!r}")
        if not self.ledger.is_cut:
            self.synced = number

    def must_have(self, may_lose):
        return self.synced if may_lose else self.acknowledged

    def take_over(self, number, may_lose):
        """What the server has is what counts from now on."""
        least = self.must_have(may_lose)
        if not least <= number <= self.sent:
            raise Wrong(f"{self.name.decode()}: {number} are there, of {self.sent} that were sent, "
                        f"{self.acknowledged} acknowledged and {self.synced} synced")
        self.sent = self.acknowledged = self.synced = number


def number_of(reply):
    """A number that was set; 0 where there is none."""
    if reply.kind != "$":
        raise Wrong(f"a number is {reply!r}")
    return 0 if reply.value is None else int(reply.value)


class Counting(Writer):
    def slot_key(self, number):
        return b"slot:%s:%d" % (self.name, number % SLOTS)

    def slot_value(self, number):
        """What the slot of a number has behind it; None: it was deleted."""
        return None if number <= 0 or number % 5 == 0 else b"%d " % number + b"x" * (number * 7919 % 1500)

    def request(self, number):
        value = self.slot_value(number)
        if value is None:
            return encode([b"DEL", self.slot_key(number)])
        return encode([b"SET", self.slot_key(number), value, b"EXAT", b"%d" % FAR_STAMP])

    def write(self, link):
        first, count = self.sent + 1, self.random.randrange(1, 50)
        self.sent += count
        link.send(b"".join(encode([b"INCR", self.key(b"count")]) + self.request(number)
                           for number in range(first, first + count)))
        for number in range(first, first + count):
            counted, slot = link.read(), link.read()
            if counted.raw != b":%d\r\n" % number or slot.kind not in "+:":
                raise Wrong(f"count {number} was answered with {counted!r} and {slot!r}")
            self.told(number)

    def check(self, link, may_lose):
        number = number_of(link.do("GET", self.key(b"count")))
        answer = link.do("MGET", *(self.slot_key(i) for i in range(SLOTS)))
        if answer.inner is None:
            raise Wrong(f"MGET was answered with {answer!r}")
        slots = [reply.value for reply in answer.inner]
        # It may have ended between the counter and its slot.
        last = number if slots[number % SLOTS] == self.slot_value(number) else number - 1
        if last < self.must_have(may_lose):
            raise Wrong(f"{self.name.decode()}: the slot of {number} is not its own, of "
                        f"{self.acknowledged} acknowledged and {self.synced} synced")
        for number_then in range(max(last - SLOTS + 1, 0), last + 1):
            found = slots[number_then % SLOTS]
            if found != self.slot_value(number_then):
                raise Wrong(f"{self.name.decode()}: counted to {number}, and the slot of "
                            f"{number_then} is {found and found[:20]!r}")
            if found and link.do("EXPIRETIME", self.slot_key(number_then)).value != b"%d" % FAR_STAMP:
                raise Wrong(f"{self.name.decode()}: the time of slot {number_then} is another")
        if number > 0 and last < number:
            link.send(self.request(number) + encode([b"WAITAOF", b"1", b"0", b"0"]))
            link.read(), link.read()
        self.take_over(number, may_lose)


class Transferring(Writer):
    def __init__(self, ledger, name, seed):
        super().__init__(ledger, name, seed)
        self.moved = {}  # by number of the transaction: from, to, amount

    def draw(self, number):
        one, other = self.random.sample(range(len(ACCOUNTS)), 2)
        self.moved[number] = one, other, self.random.randrange(1, 1000)
        return self.moved[number]

    def transaction(self, number, changes):
        return b"".join(map(encode, [[b"MULTI"], *changes,
                                     [b"SET", self.key(b"done"), b"%d" % number], [b"EXEC"]]))

    def read_transaction(self, link, number):
        """Returns: what EXEC has answered."""
        replies = [link.read() for _ in range(5)]
        if [reply.raw for reply in replies[:4]] != [b"+OK\r\n"] + [b"+QUEUED\r\n"] * 3:
            raise Wrong(f"transaction {number} was answered with {replies!r}")
        return replies[4]

    def write(self, link):
        first, count = self.sent + 1, self.random.randrange(1, 12)
        requests = []
        for number in range(first, first + count):
            one, other, amount = self.draw(number)
            requests.append(self.transaction(number, [
                [b"DECRBY", ACCOUNTS[one], b"%d" % amount],
                [b"INCRBY", ACCOUNTS[other], b"%d" % amount]]))
        self.sent += count
        link.send(b"".join(requests))
        for number in range(first, first + count):
            done = self.read_transaction(link, number)
            if done.inner is None or [one.kind for one in done.inner] != [":", ":", "+"]:
                raise Wrong(f"transaction {number} was answered with {done!r}")
            self.told(number)

    def check(self, link, may_lose):
        number = number_of(link.do("GET", self.key(b"done")))
        self.take_over(number, may_lose)
        for done, (one, other, amount) in self.moved.items():
            if done <= number:
                self.ledger.balances[one] -= amount
                self.ledger.balances[other] += amount
        self.moved.clear()


class Agreeing(Transferring):
    def write(self, link):
        number = self.sent + 1
        one, other, amount = self.draw(number)
        link.send(encode([b"WATCH", ACCOUNTS[one], ACCOUNTS[other]]) +
                  encode([b"MGET", ACCOUNTS[one], ACCOUNTS[other]]))
        watch, balances = link.read(), link.read()
        if watch.raw != b"+OK\r\n" or balances.kind != "*":
            raise Wrong(f"WATCH was answered with {watch!r}, MGET with {balances!r}")
        before = [number_of(reply) for reply in balances.inner]
        self.sent = number
        link.send(self.transaction(number, [
            [b"SET", ACCOUNTS[one], b"%d" % (before[0] - amount)],
            [b"SET", ACCOUNTS[other], b"%d" % (before[1] + amount)]]))
        done = self.read_transaction(link, number)
        if done.is_null():
            self.sent = number - 1
            del self.moved[number]
        elif done.raw != b"*3\r\n" + b"+OK\r\n" * 3:
            raise Wrong(f"transaction {number} was answered with {done!r}")
        else:
            self.told(number)


class Ledger:
    """All writers, and a reader. `may_end`: the server is killed, so that connections end. `is_cut`:
    its disk is gone, or about to be, so that its answers mean nothing."""

    def __init__(self, seed):
        self.may_end = self.is_cut = False
        self.wrong = None
        self.balances = [0] * len(ACCOUNTS)
        self.writers = [Counting(self, b"one", seed), Counting(self, b"two", seed + 1),
                        Transferring(self, b"three", seed + 2),
                        Transferring(self, b"four", seed + 3), Agreeing(self, b"five", seed + 4)]

    def written(self):
        return sum(writer.acknowledged for writer in self.writers)

    def note(self, name, wrong):
        """A writer has ended: something went wrong, unless that was due."""
        is_due = self.is_cut or (self.may_end and isinstance(wrong, ConnectionError))
        if not is_due:
            self.wrong = self.wrong or f"{name}: {wrong!r}"

    def watch_sum(self, link):
        try:
            while not self.is_cut:
                balances = link.do("MGET", *ACCOUNTS)
                if balances.kind != "*" or sum(map(number_of, balances.inner)) != 0:
                    raise Wrong(f"accounts do not add up to 0: {balances!r}")
        except (OSError, Wrong) as wrong:
            self.note("the reader", wrong)

    def begin(self, server):
        """Writes to it from now on. Returns: threads, which end when the server does."""
        self.may_end = self.is_cut = False
        work = [(writer.live, server.link()) for writer in self.writers]
        work.append((self.watch_sum, server.link()))
        threads = [threading.Thread(target=one, args=(link,)) for one, link in work]
        for thread in threads:
            thread.start()
        return threads

    def check(self, link, may_lose=False):
        """Compares what the server has with what it said. Wrong: it is not that."""
        if self.wrong:
            raise Wrong(self.wrong)
        for writer in self.writers:
            writer.check(link, may_lose)
        balances = [number_of(reply) for reply in link.do("MGET", *ACCOUNTS).inner]
        if balances != self.balances:
            raise Wrong(f"the accounts are {balances}, and should be {self.balances}")
