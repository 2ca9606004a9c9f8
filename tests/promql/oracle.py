"""Two servers with the same samples: Quarry, which is asked with compat=2.42, and Debian's Prometheus 2.42; and how their
answers are compared."""

import http.client
import json
import os
import struct
import sys
import tempfile
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
for folder in ("../prometheus", "../serve", "../tsdb", ".."):
    sys.path.insert(0, os.path.join(HERE, folder))
import prometheus  # noqa: E402
import wire  # noqa: E402
from client import door_of, serve  # noqa: E402

STALE = struct.unpack("<Q", struct.pack("<d", wire.STALE))[0]
# Of inexact answers: relative to the larger of two values, and to the largest of the whole answer, against which
# differences of nearly equal numbers are to be seen.
RELATIVE = 1e-9
ABSOLUTE = 1e-11


class Link:
    """A connection that stays."""

    def __init__(self, address):
        self.link = http.client.HTTPConnection(address, timeout=60)

    def ask(self, path, parameters):
        """Returns: the status and the answer's JSON."""
        body = urllib.parse.urlencode(parameters)
        self.link.request("POST", path, body, {"Content-Type": "application/x-www-form-urlencoded"})
        answer = self.link.getresponse()
        return answer.status, json.loads(answer.read())


class Pair:
    """Both servers. `series`: [(labels as pairs, [(t_ms, value or bits)])]."""

    def __init__(self, series):
        self.folder = tempfile.TemporaryDirectory(prefix="quarry-oracle-")
        self.quarry = serve(memory="768m")
        self.prometheus = prometheus.Prometheus(os.path.join(self.folder.name, "data"))
        self.doors = [door_of(self.quarry).address, self.prometheus.url.removeprefix("http://")]
        self.links = [Link(address) for address in self.doors]
        self.fill(series)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.prometheus.end(kill=True)
        self.quarry.__exit__()
        self.folder.cleanup()
        return False

    def fill(self, series):
        """Writes all samples to both, and waits for nothing: an answer says that they are there."""
        for begin in range(0, len(series), 200):
            message = wire.write_1(*(wire.series_1(sorted(labels), samples)
                                     for labels, samples in series[begin:begin + 200]))
            for address in self.doors:
                link = http.client.HTTPConnection(address, timeout=60)
                link.request("POST", "/api/v1/write", wire.pack(message),
                             {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf",
                              "X-Prometheus-Remote-Write-Version": "0.1.0"})
                answer = link.getresponse()
                text = answer.read()
                assert answer.status == 204, (address, answer.status, text)
                link.close()

    def ask(self, query):
        """Both answers to a Query."""
        parameters = dict(query.parameters())
        theirs = self.links[1].ask(query.path, parameters)
        parameters["compat"] = "2.42"
        return self.links[0].ask(query.path, parameters), theirs


class Query:
    """An expression at a time, or over times: `step_s` 0 for a time alone."""

    def __init__(self, expression, start_ms, end_ms=0, step_s=0, is_exact=True, is_ordered=False):
        self.expression, self.start_ms, self.end_ms, self.step_s = expression, start_ms, end_ms, step_s
        self.is_exact, self.is_ordered = is_exact, is_ordered
        self.path = "/api/v1/query_range" if step_s else "/api/v1/query"

    def parameters(self):
        if not self.step_s:
            return {"query": self.expression, "time": f"{self.start_ms / 1000:.3f}"}
        return {"query": self.expression, "start": f"{self.start_ms / 1000:.3f}",
                "end": f"{self.end_ms / 1000:.3f}", "step": str(self.step_s)}

    def __str__(self):
        return f"{self.expression}   # " + " ".join(f"{name} {value}" for name, value in
                                                     self.parameters().items() if name != "query")


def points_of(data):
    """{labels: {t: value's text}} of an answer's data, whatever its type."""
    kind, result = data["resultType"], data["result"]
    if kind in ("scalar", "string"):
        return {(): {result[0]: result[1]}}
    found = {}
    for row in result:
        labels = tuple(sorted(row["metric"].items()))
        assert labels not in found, ("twice in one answer", labels)
        found[labels] = dict(map(tuple, row["values"] if kind == "matrix" else [row["value"]]))
    return found


def largest(points):
    sizes = [abs(float(value)) for row in points.values() for value in row.values()]
    return max((size for size in sizes if size < float("inf")), default=0.0)


def is_near(one, other, floor):
    a, b = float(one), float(other)
    return abs(a - b) <= max(RELATIVE * max(abs(a), abs(b)), floor) if abs(a - b) < float("inf") else False


def differ_in_values(ours, theirs, is_exact):
    """The first value that differs; None where none does."""
    floor = 0 if is_exact else ABSOLUTE * largest(theirs)
    for labels, row in theirs.items():
        if row.keys() != ours[labels].keys():
            return f"{dict(labels)}: other moments: {sorted(row.keys() ^ ours[labels].keys())[:4]}"
        for t, value in row.items():
            mine = ours[labels][t]
            if mine != value and (is_exact or not is_near(mine, value, floor)):
                return f"{dict(labels)} at {t}: {mine} instead of {value}"
    return None


def differ(query, ours, theirs):
    """What is different about two answers, in words; None: nothing."""
    (our_status, our_body), (their_status, their_body) = ours, theirs
    if our_status != their_status or our_body.get("errorType") != their_body.get("errorType"):
        return f"status {our_status} {our_body.get('error')!r} instead of {their_status} {their_body.get('error')!r}"
    if their_status != 200:
        return None  # texts of errors are those of 3
    ours, theirs = our_body["data"], their_body["data"]
    if ours["resultType"] != theirs["resultType"]:
        return f"a {ours['resultType']} instead of a {theirs['resultType']}"
    if query.is_ordered:
        orders = [[row["value"][1].lstrip("-") if float(row["value"][1]) == 0 else row["value"][1]
                   for row in data["result"]] for data in (ours, theirs)]  # equal ones in any order: -0 is 0
        if orders[0] != orders[1]:
            return f"in the order {orders[0][:6]} instead of {orders[1][:6]}"
    ours, theirs = points_of(ours), points_of(theirs)
    if ours.keys() != theirs.keys():
        return f"series {sorted(ours.keys() - theirs.keys())[:3]} instead of {sorted(theirs.keys() - ours.keys())[:3]}"
    return differ_in_values(ours, theirs, query.is_exact)
