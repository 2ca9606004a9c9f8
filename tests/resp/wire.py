"""RESP as a client speaks it, byte for byte: nothing is interpreted that a test wants to compare."""

import socket

PATIENCE_S = 60


def encode(words):
    """A request of byte strings."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        parts.append(b"$%d\r\n%s\r\n" % (len(word), word))
    return b"".join(parts)


class Reply:
    """A reply: its bytes, its type, and for aggregates the replies within."""

    __slots__ = ("raw", "kind", "value", "inner")

    def __init__(self, raw, kind, value, inner=None):
        self.raw = raw
        self.kind = kind  # the first byte
        self.value = value  # of a line: the rest; of a bulk: its bytes, None where there is none
        self.inner = inner  # of an aggregate

    def is_null(self):
        return self.raw in (b"$-1\r\n", b"*-1\r\n", b"_\r\n")

    def __repr__(self):
        if self.inner is None:
            return repr(self.raw)
        return self.kind + "[" + ", ".join(repr(one) for one in self.inner) + "]"


class Link:
    """A connection. `address`: a path of a unix socket, or a pair of host and port."""

    def __init__(self, address):
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(family)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(address)
        self.file = self.socket.makefile("rb", 1 << 16)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
        return False

    def close(self):
        self.file.close()
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def _line(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError(f"the connection ended after {line!r}")
        return line

    def read(self):
        """One reply. ConnectionError: there is none."""
        line = self._line()
        kind, rest = chr(line[0]), line[1:-2]
        if kind in "+-:_,#(":
            return Reply(line, kind, rest)
        if kind in "$=!":
            count = int(rest)
            if count < 0:
                return Reply(line, kind, None)
            data = self.file.read(count + 2)
            if len(data) != count + 2:
                raise ConnectionError("the connection ended in a bulk")
            return Reply(line + data, kind, data[:-2])
        if kind in "*~%>|":
            count = int(rest) * (2 if kind in "%|" else 1)
            inner = [self.read() for _ in range(max(count, 0))]
            return Reply(line + b"".join(one.raw for one in inner), kind, rest,
                         None if count < 0 else inner)
        raise ValueError(f"not RESP: {line!r}")

    def do(self, *words):
        """Sends one request, and reads its reply."""
        self.send(encode([word if isinstance(word, bytes) else str(word).encode()
                          for word in words]))
        return self.read()

    def is_closed(self):
        """Whether the other end has closed, and nothing more is to be read."""
        try:
            return self.file.read(1) == b""
        except ConnectionError:
            return True
