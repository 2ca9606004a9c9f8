"""Clients of Prometheus' doors, of Quarry's and of Prometheus' own."""

import http.client
import os
import sys
import time
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "serve"))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import wire  # noqa: E402
from server import PATIENCE_S, Server  # noqa: E402

TYPE_1 = "application/x-protobuf"
TYPE_2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request"
WRITTEN = "X-Prometheus-Remote-Write-%s-Written"


class Door:
    """HTTP at an address."""

    def __init__(self, address):
        self.address = address

    def ask(self, method, path, body=None, headers=None):
        """Returns: status, headers, body."""
        link = http.client.HTTPConnection(self.address, timeout=60)
        try:
            link.request(method, path, body=body, headers=headers or {})
            answer = link.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            link.close()

    def write(self, message, version=1, headers=None, packed=None):
        """Returns: status, headers, text."""
        sent = {"Content-Encoding": "snappy", "Content-Type": TYPE_1 if version == 1 else TYPE_2,
                "X-Prometheus-Remote-Write-Version": "0.1.0" if version == 1 else "2.0.0"}
        sent.update(headers or {})
        sent = {name: value for name, value in sent.items() if value is not None}
        body = wire.pack(message) if packed is None else packed
        status, got, text = self.ask("POST", "/api/v1/write", body, sent)
        return status, got, text.decode()

    def read(self, *queries, headers=None):
        """Reads samples. Returns: the queries' results."""
        body = wire.pack(wire.read_request(*queries))
        status, got, answer = self.ask("POST", "/api/v1/read", body, headers)
        assert status == 200, (status, answer)
        assert got["Content-Encoding"] == "snappy" and got["Content-Type"] == TYPE_1
        return wire.read_samples(wire.unpack(answer))

    def stream(self, *queries, headers=None):
        """Reads a stream. Returns: its frames."""
        body = wire.pack(wire.read_request(*queries, kinds=[wire.STREAM]))
        status, got, answer = self.ask("POST", "/api/v1/read", body, headers)
        assert status == 200, (status, answer)
        assert got["Content-Type"] == "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse"
        return wire.read_stream(answer)

    def find(self, name, start_ms=0, end_ms=1 << 60, headers=None):
        """All series of a metric: {labels without the name: [(t_ms, value's bits)]}."""
        (found,) = self.read(wire.query(start_ms, end_ms, (wire.EQUAL, "__name__", name)),
                             headers=headers)
        return {tuple(pair for pair in labels if pair[0] != "__name__"): samples
                for labels, samples in found}

    def federate(self, *selectors, headers=None):
        """Returns: status, text."""
        words = urllib.parse.urlencode([("match[]", selector) for selector in selectors])
        status, _, text = self.ask("GET", "/federate?" + words, headers=headers)
        return status, text.decode()

    def bring(self, text, kind=None, headers=None):
        """Brings a page of metrics. Returns: status, text."""
        sent = {"Content-Type": kind} if kind else {}
        sent.update(headers or {})
        status, _, answer = self.ask("POST", "/api/v1/import/prometheus", text.encode(), sent)
        return status, answer.decode()


def serve(*arguments, **options):
    """A server with its HTTP door alone."""
    options.setdefault("memcached", "off")
    options.setdefault("http", "127.0.0.1:0")
    # Its own figures would be among the series, and raise the store's time at any moment.
    return Server(*arguments, "--set", "tsdb.self_scrape=off", **options)


def door_of(server):
    """The server's door, once it takes samples: its log may be long."""
    door = Door(next(door for door in server.doors() if door["protocol"] == "http")["address"])
    end = time.monotonic() + PATIENCE_S
    while door.ask("GET", "/-/ready")[0] == 503:
        assert time.monotonic() < end, "the log of its time series takes too long"
        time.sleep(0.01)
    return door


def now_ms():
    return time.time_ns() // 1000000
