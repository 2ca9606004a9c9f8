"""What is written to a receiver, and what it has to say: one table, for Quarry and for Prometheus 2.42.

A case is a conversation on a metric of its own: requests in order, each with its version, the status that Quarry
answers, the status that Prometheus 2.42 answers where that is another, and words that Quarry's answer has. Times are
offsets in milliseconds from the moment of the test. Histograms stand for their sums (wire.sum_mark). `left` is what is found afterwards; `left_242` where it differs.
"""

import wire

NAME = "__name__"
HOUR = 3600 * 1000


class Case:
    def __init__(self, name, *steps, left=None, left_242=None, why=None):
        self.name, self.steps, self.left = name, steps, left
        self.left_242 = left if left_242 is None else left_242
        self.why = why  # it is another than Prometheus'

    def metric(self):
        return "case_" + self.name.replace(" ", "_").replace("-", "_")


class Step:
    """`make(metric, now)`: the message, or bytes as they are sent where `is_packed`."""

    def __init__(self, make, status=204, status_242=None, says="", version=1, headers=None,
                 is_packed=False, written=None, histograms=0, exemplars=0):
        self.make, self.status, self.says, self.version = make, status, says, version
        self.status_242 = status if status_242 is None else status_242
        self.headers, self.is_packed, self.written = headers, is_packed, written
        self.histograms, self.exemplars = histograms, exemplars


def one(offset_ms=0, value=1.0, labels=(("job", "x"),)):
    """A request of one series with one sample."""
    def make(metric, now):
        return wire.write_1(wire.series_1([(NAME, metric), *labels], [(now + offset_ms, value)]))
    return make


def many(*points, labels=(("job", "x"),)):
    def make(metric, now):
        return wire.write_1(wire.series_1([(NAME, metric), *labels],
                                          [(now + offset, value) for offset, value in points]))
    return make


def raw(*pairs, value=1.0):
    """Labels as they are, the name among them: NAME stands for itself, METRIC for the metric's."""
    def make(metric, now):
        labels = [(name, metric if content == METRIC else content) for name, content in pairs]
        return wire.write_1(wire.series_1(labels, [(now, value)]))
    return make


METRIC = object()


def two(*series, refs=None):
    """A request of 2.0: (labels besides the name, [(offset, value)])."""
    def make(metric, now):
        symbols = wire.Symbols()
        for word in (NAME, metric, "job", "x"):
            symbols.ref(word)
        made = [wire.series_2(symbols, [(NAME, metric), *labels],
                              [(now + offset, value) for offset, value in points], refs=refs)
                for labels, points in series]
        return wire.write_2(symbols, *made)
    return make


def split(metric, now):
    """A good sample of one series, and one out of bounds of another."""
    return wire.write_1(wire.series_1([(NAME, metric), ("job", "good")], [(now, 2.0)]),
                        wire.series_1([(NAME, metric), ("job", "x")], [(now - 3 * HOUR, 2.0)]))


def packed(content):
    return lambda metric, now: content


X = (("job", "x"),)
NOT_THERE = "2.42 does not negotiate"

CASES = [
    Case("one sample", Step(one()), left={X: [(0, 1.0)]}),
    Case("the same again", Step(one()), Step(one()), left={X: [(0, 1.0)]}),
    Case("another at the same time", Step(one()),
         Step(one(value=2.0), 400, says="duplicate sample for timestamp"), left={X: [(0, 1.0)]}),
    Case("out of order", Step(one()),
         Step(one(-60000), 204, status_242=400), left={X: [(-60000, 1.0), (0, 1.0)]},
         left_242={X: [(0, 1.0)]}, why="late samples are taken for ten minutes"),
    Case("too old", Step(one()), Step(one(-3 * HOUR), 400, says="too old sample"),
         left={X: [(0, 1.0)]}),
    Case("ahead of the clock", Step(one()),
         Step(one(11 * 60000 + 30000), 400, status_242=204, says="out of bounds"),
         left={X: [(0, 1.0)]}, left_242={X: [(0, 1.0), (11 * 60000 + 30000, 1.0)]},
         why="the bound of ten minutes is newer than 2.42"),
    Case("several samples", Step(many((-2000, 1.0), (-1000, 2.0), (0, 3.0))),
         left={X: [(-2000, 1.0), (-1000, 2.0), (0, 3.0)]}),
    Case("several and one wrong", Step(one()),
         Step(many((1000, 1.0), (0, 7.0)), 400), left={X: [(0, 1.0)]}),
    Case("good and bad", Step(one()), Step(split, 400), left={X: [(0, 1.0)]}),
    Case("stale marker", Step(one(value=wire.bits_of(wire.STALE))),
         left={X: [(0, wire.STALE)]}),
    Case("payload of NaN", Step(one(value=0x7FF8000000000DEA)),
         left={X: [(0, wire.value_of(0x7FF8000000000DEA))]}),
    Case("zero", Step(one(value=0.0)), left={X: [(0, 0.0)]}),
    Case("minus zero", Step(one(value=-0.0)), left={X: [(0, -0.0)]}, left_242={X: [(0, 0.0)]},
         why="2.42 takes it, and leaves its sign out when it is read"),
    Case("labels unsorted", Step(raw(("zone", "b"), (NAME, METRIC), ("job", "x"))),
         left={(("job", "x"), ("zone", "b")): [(0, 1.0)]}),
    Case("label twice", Step(raw((NAME, METRIC), ("job", "x"), ("job", "y")), status_242=500),
         left={}, why="2.42 fails the request; later ones leave the series out"),
    Case("label without a value", Step(raw((NAME, METRIC), ("job", "x"), ("void", ""))),
         left={X: [(0, 1.0)]}),
    Case("no metric name", Step(raw(("alone", METRIC), ("job", "x"))), left={}),
    Case("label that is no UTF-8", Step(lambda metric, now: wire.write_1(
        wire.series_1([(NAME, metric), ("job", b"\xff")], [(now, 1.0)]))),
         left={}, left_242={(("job", "\udcff"),): [(0, 1.0)]},
         why="2.42 takes it; later ones leave the series out"),
    Case("name in UTF-8", Step(one(labels=(("größe", "√2"),))), left={(("größe", "√2"),): [(0, 1.0)]}),
    Case("exemplar", Step(lambda metric, now: wire.write_1(wire.series_1(
        [(NAME, metric), ("job", "x")], [(now, 1.0)],
        exemplars=[wire.exemplar(now, 1.0, ("trace", "1"))]))),
         left={X: [(0, 1.0)]}),
    Case("histogram", Step(lambda metric, now: wire.write_1(wire.series_1(
        [(NAME, metric), ("job", "x")], [], histograms=[wire.histogram(now)])), status_242=500),
         left={X: [(0, wire.sum_mark(1.0))]}, left_242={},
         why="2.42 takes them only where it is told to, and says 500, for which senders come again for ever"),
    Case("histogram that counts wrongly", Step(one()), Step(lambda metric, now: wire.write_1(wire.series_1(
        [(NAME, metric), ("job", "y")], [], histograms=[wire.histogram(now) + wire.field_varint(1, 7)])), 400,
        status_242=500, says="invalid native histogram"), left={X: [(0, 1.0)]},
         why="as above"),
    Case("metadata alone", Step(lambda metric, now: wire.write_1(
        metadata=[wire.family_1(1, metric, "What it counts.")])), left={}),
    Case("nothing", Step(packed(wire.pack(b"")), is_packed=True), left={}),
    Case("no body", Step(packed(b""), 400, is_packed=True), left={}),
    Case("no snappy", Step(packed(b"\xff" * 40), 400, says="snappy", is_packed=True), left={}),
    Case("snappy damaged", Step(packed(wire.varint(100) + b"\x00a"), 400, says="snappy", is_packed=True),
         left={}),
    Case("no protobuf", Step(packed(b"\x0a\x64abc"), 400), left={}),
    Case("declared too large", Step(packed(wire.varint(33 << 20) + b"\x00a" * (1 << 20)), 413, status_242=400,
                                    says="33", is_packed=True),
         left={}, why="2.42 has no bound below that of snappy"),
    Case("no headers", Step(one(), headers={"Content-Type": None, "Content-Encoding": None,
                                            "X-Prometheus-Remote-Write-Version": None}),
         left={X: [(0, 1.0)]}),
    Case("proto of 1-0", Step(one(), headers={
        "Content-Type": "application/x-protobuf; proto=prometheus.WriteRequest"}),
         left={X: [(0, 1.0)]}),
    Case("other type", Step(one(), 415, status_242=204, headers={"Content-Type": "application/json"}),
         left={}, left_242={X: [(0, 1.0)]}, why=NOT_THERE),
    Case("other proto", Step(one(), 415, status_242=204, headers={
        "Content-Type": "application/x-protobuf;proto=prometheus.Other"}), left={},
         left_242={X: [(0, 1.0)]}, why=NOT_THERE),
    Case("other encoding", Step(one(), 415, status_242=204, headers={"Content-Encoding": "zstd"}),
         left={}, left_242={X: [(0, 1.0)]}, why=NOT_THERE),
]

# Of 2.0, which 2.42 does not have: `written` is what the answer's header counts.
CASES_2 = [
    Case("two one sample", Step(two((X, [(0, 1.0)])), version=2, written=1), left={X: [(0, 1.0)]}),
    Case("two the same again", Step(two((X, [(0, 1.0)])), version=2, written=1),
         Step(two((X, [(0, 1.0)])), version=2, written=1), left={X: [(0, 1.0)]}),
    Case("two after one", Step(one()), Step(two((X, [(1000, 2.0)])), version=2, written=1),
         left={X: [(0, 1.0), (1000, 2.0)]}),
    Case("two good and bad", Step(one()),
         Step(two(((("job", "good"),), [(0, 2.0)]), (X, [(-3 * HOUR, 2.0)])), 400, version=2, written=1,
              says="too old sample for series {__name__=\"case_two_good_and_bad\", job=\"x\"}"),
         left={X: [(0, 1.0)], (("job", "good"),): [(0, 2.0)]}),
    Case("two within a series", Step(one()),
         Step(two((X, [(0, 9.0), (1000, 2.0)])), 400, version=2, written=1,
              says="duplicate sample for timestamp"),
         left={X: [(0, 1.0), (1000, 2.0)]}),
    Case("two odd refs", Step(two((X, [(0, 1.0)]), refs=[1, 2, 3]), 400, version=2, written=0, says="odd"),
         left={}),
    Case("two unknown ref", Step(two((X, [(0, 1.0)]), refs=[1, 200]), 400, version=2, written=0), left={}),
    Case("two label twice", Step(two(((("job", "x"), ("job", "y")), [(0, 1.0)]), (X, [(0, 1.0)])), 400,
                                 version=2, written=1, says="twice"), left={X: [(0, 1.0)]}),
    Case("two without samples", Step(two((X, [])), 400, version=2, written=0, says="neither"), left={}),
    Case("two histogram", Step(lambda metric, now: (lambda symbols: wire.write_2(symbols, wire.series_2(
        symbols, [(NAME, metric), ("job", "x")], [], histograms=[wire.histogram(now)])))(
            _symbols(metric)), version=2, written=0, histograms=1),
         left={X: [(0, wire.sum_mark(1.0))]}),
    Case("two histogram and exemplar", Step(lambda metric, now: (lambda symbols: wire.write_2(
        symbols, wire.series_2(symbols, [(NAME, metric), ("job", "x")], [(now, 1.0)],
                               histograms=[wire.histogram(now + 1000), wire.histogram(now - 3 * HOUR)],
                               exemplars=[(now, 2.0, [("trace", "a")])])))(_symbols(metric)),
         400, version=2, written=1, histograms=1, exemplars=1, says="too old sample"),
         left={X: [(0, 1.0), (1000, wire.sum_mark(1.0))]}),
    Case("two without the empty symbol", Step(lambda metric, now: wire.field_bytes(4, "a") +
                                              wire.field_bytes(5, wire.field_bytes(1, b"\0\0")), 400,
                                              version=2, written=0), left={}),
    Case("two no protobuf", Step(packed(b"\x22\x64abc"), 400, version=2, written=0), left={}),
    Case("two empty", Step(packed(b""), version=2, written=0), left={}),
    Case("two by its media type", Step(two((X, [(0, 1.0)])), version=2, written=1, headers={
        "Content-Type": "application/x-protobuf; proto=io.prometheus.write.v2.Request"}),
         left={X: [(0, 1.0)]}),
]


def _symbols(metric):
    symbols = wire.Symbols()
    for word in (NAME, metric, "job", "x"):
        symbols.ref(word)
    return symbols
