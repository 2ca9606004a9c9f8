"""What hostile clients send, and how they behave."""

import os
import random
import socket
import struct
import threading

GARBAGE = (
    b"\0" * 5000, b"\xff" * 5000, b"get " + b" " * 9000 + b"\r\n", b"get " + b"k" * 300 + b"\r\n",
    b"set k 0 0 99999999999\r\n", b"set k 0 0 -1\r\n", b"set k 0 0 4000000000\r\nabc", b"mg k v" + b" v" * 2000 + b"\r\n",
    b"*1000000000\r\n", b"*3\r\n$-5\r\n", b"*2\r\n$3\r\nGET\r\n$1000000000\r\n", b"*1\r\n" * 3000, b"$5\r\nhello\r\n",
    b"\x80\x01" + b"\xff" * 22, b"\x80\x00\x00\x05" + b"\xff" * 300, b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 2000,
    b"GET /" + b"%00" * 8000 + b" HTTP/1.1\r\n\r\n", b"POST /api/v1/write HTTP/1.1\r\nContent-Length: 9\r\nContent-Length: 8\r\n\r\n",
    b"POST /api/v1/write HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nffffffffff\r\n",
    b"POST /api/v1/write HTTP/1.1\r\nHost: x\r\nContent-Encoding: snappy\r\nContent-Length: 6\r\n\r\n\xff\xff\xff\xff\x0f\0",
    b"POST /api/v1/import/prometheus HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\na{b=\"\\\"} ",
    b"GET /api/v1/query?query=" + b"(" * 3000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /api/v1/query?query=" + b"-" * 3000 + b"1 HTTP/1.1\r\nHost: x\r\n\r\n",
)


def mutate(chance, text):
    """Some bytes changed, lost or repeated."""
    out = bytearray(text)
    for _ in range(chance.randrange(4)):
        at = chance.randrange(len(out))
        kind = chance.randrange(3)
        if kind == 0:
            out[at] = chance.randrange(256)
        elif kind == 1:
            del out[at:at + chance.randrange(1, 9)]
            out = out or bytearray(b"\n")
        else:
            out[at:at] = out[at:at + chance.randrange(1, 200)]
    return bytes(out)


def reset(link):
    """Ends a connection without a word."""
    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    link.close()


class Hostile:
    """Threads that mean harm to some doors, until they are told to end; each begins `acts` again and again."""

    def __init__(self, addresses, seed):
        self.addresses = addresses
        self.seed = seed
        self.is_over = threading.Event()
        self.count = 0
        self.threads = []

    def begin(self, *acts):
        for number, act in enumerate(acts):
            thread = threading.Thread(target=self.run, args=(act, random.Random(self.seed * 100 + number)))
            thread.start()
            self.threads.append(thread)

    def run(self, act, chance):
        while not self.is_over.is_set():
            try:
                act(chance)
            except OSError:  # turned away, or cut
                pass
            self.count += 1

    def end(self):
        self.is_over.set()
        for thread in self.threads:
            thread.join()

    def connect(self, chance):
        link = socket.create_connection(chance.choice(self.addresses), timeout=5)
        return link

    # ---- acts ----

    def send_garbage(self, chance):
        """To any door, also what another one speaks."""
        with self.connect(chance) as link:
            for _ in range(chance.randrange(1, 5)):
                link.sendall(mutate(chance, chance.choice(GARBAGE)))
            link.settimeout(0.02)
            if chance.randrange(2):
                link.recv(4096)
            if chance.randrange(3) == 0:
                reset(link)

    def send_noise(self, chance):
        with self.connect(chance) as link:
            link.sendall(os.urandom(chance.randrange(1, 60000)))
            link.shutdown(socket.SHUT_WR)
            link.settimeout(0.02)
            link.recv(4096)

    def come_and_go(self, chance):
        """A burst of connections that say nothing."""
        links = [self.connect(chance) for _ in range(50)]
        for link in links:
            reset(link) if chance.randrange(2) else link.close()

    def never_read(self, chance):
        """Asks for large values again and again, and takes none."""
        with socket.create_connection(self.addresses[0], timeout=1) as link:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            key = b"bulky"
            link.sendall(b"set %s 0 0 500000\r\n%s\r\n" % (key, b"v" * 500000))
            for _ in range(40):
                link.sendall(b"get %s\r\n" % key * 200)

    def drip(self, chance):
        """Beginnings of requests on many connections, byte by byte."""
        starts = (b"set drip 0 0 100000\r\nabc", b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100000\r\nabc",
                  b"POST /api/v1/write HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nabc", b"get a", b"*2\r\n$3\r\nGE", b"GET / HT")
        links = []
        try:
            for _ in range(60):
                links.append(self.connect(chance))
                links[-1].sendall(chance.choice(starts))
            for _ in range(5):
                self.is_over.wait(0.05)
                for link in links:
                    link.sendall(b"x")
        finally:
            for link in links:
                link.close()

    def ask_much(self, chance):
        """Expressions that take much, and new series without end."""
        address = self.addresses[-1]
        expression = chance.choice(("sum(rate({__name__=~\".%2B\"}[1h]))", "count({__name__=~\".*\"})by(s)", "{__name__=~\"(a|b)*c\"}",
                                    "max_over_time(campaign[1h:1ms])"))
        page = "".join(f'bomb{{n="{chance.getrandbits(64)}"}} 1\n' for _ in range(500)).encode()
        with socket.create_connection(address, timeout=5) as link:
            link.sendall(b"POST /api/v1/import/prometheus HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(page), page))
            link.sendall(f"GET /api/v1/query_range?query={expression}&start=0&end=1000&step=1 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            if chance.randrange(2):
                link.recv(4096)
