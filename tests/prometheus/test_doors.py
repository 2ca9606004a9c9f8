#!/usr/bin/python3
"""Prometheus' doors as senders, readers and scrapers meet them.

    test_doors.py PROGRAM [unittest's arguments]
"""

import gzip
import json
import os
import random
import sys
import tempfile
import threading
import unittest
import urllib.parse

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cases  # noqa: E402
import wire  # noqa: E402
from client import WRITTEN, door_of, now_ms, serve  # noqa: E402
from server import set_program  # noqa: E402

NAME = cases.NAME


def converse(test, door, case, now, status_of):
    """Has one case's requests answered."""
    for number, step in enumerate(case.steps):
        made = step.make(case.metric(), now)
        status, headers, text = door.write(made, step.version, step.headers,
                                           packed=made if step.is_packed else None)
        where = f"{case.name}, step {number}: {text}"
        test.assertEqual(status, status_of(step), where)
        if status_of is quarrys:
            test.assertIn(step.says, text, where)
            test.assertEqual(text == "", status == 204, where)
            if step.written is not None:
                counts = [headers[WRITTEN % kind] for kind in ("Samples", "Histograms", "Exemplars")]
                test.assertEqual(counts, [str(step.written), str(step.histograms), str(step.exemplars)], where)


def quarrys(step):
    return step.status


def left(door, case, now):
    """What is found of a case, in offsets."""
    return {labels: [(t_ms - now, bits) for t_ms, bits in samples]
            for labels, samples in door.find(case.metric()).items()}


def wanted(found):
    return {labels: [(t_ms, value if isinstance(value, int) else wire.bits_of(value)) for t_ms, value in points]
            for labels, points in found.items()}


def metric_of(door, name):
    for line in door.ask("GET", "/metrics")[2].decode().splitlines():
        if line.startswith(name + " "):
            return float(line.split()[-1])
    raise AssertionError(f"no metric {name}")


class Writing(unittest.TestCase):
    def test_every_case_of_the_table(self):
        with serve() as server:
            door = door_of(server)
            for case in cases.CASES + cases.CASES_2:
                now = now_ms()
                converse(self, door, case, now, quarrys)
                self.assertEqual(left(door, case, now), wanted(case.left), case.name)

    def test_senders_of_different_order_meet_in_one_series(self):
        with serve() as server:
            door, now = door_of(server), now_ms()
            for offset, labels in enumerate(([(NAME, "m"), ("a", "1"), ("b", "2")],
                                             [("b", "2"), (NAME, "m"), ("a", "1")],
                                             [("a", "1"), (NAME, "m"), ("b", "2"), ("c", "")])):
                series = wire.series_1(labels, [(now + offset, 1.0)])
                self.assertEqual(door.write(wire.write_1(series))[0], 204)
                # Labels behind the sample: the same again, in another row.
                turned = (wire.field_bytes(2, wire.sample(now + offset, 1.0)) +
                          b"".join(wire.field_bytes(1, wire.label(*pair)) for pair in labels))
                self.assertEqual(door.write(wire.write_1(turned))[0], 204)
            (samples,) = door.find("m").values()
            self.assertEqual([t_ms - now for t_ms, _ in samples], [0, 1, 2])

    def test_a_label_whose_value_looks_like_a_sample_is_a_label(self):
        with serve() as server:
            door, now = door_of(server), now_ms()
            trap = wire.field_bytes(2, wire.sample(now, 5.0)).decode("latin-1").encode("latin-1")
            value = b"\x12\x10\x09" + b"A" * 8 + b"\x10" + wire.varint(now)
            self.assertEqual(len(trap), 18)
            # A series of labels alone, which ends as one with a sample would.
            labels = wire.field_bytes(1, wire.label(NAME, "trap")) + wire.field_bytes(1, wire.label("l", value))
            self.assertEqual(door.write(wire.field_bytes(1, labels))[0], 204)
            self.assertEqual(door.find("trap"), {})
            self.assertEqual(metric_of(door, "quarry_tsdb_series"), 0)

    def test_limits_of_a_tenant_are_told_with_when_to_come_back(self):
        with serve("--set", "tsdb.series_max=3") as server:
            door, now = door_of(server), now_ms()
            for index in range(3):
                self.assertEqual(door.write(cases.one(labels=(("i", str(index)),))("m", now))[0], 204)
            for version, make in ((1, cases.one(labels=(("i", "3"),))),
                                  (2, cases.two(((("i", "3"),), [(0, 1.0)])))):
                status, headers, text = door.write(make("m", now), version)
                self.assertEqual((status, headers["Retry-After"]), (429, "10"), text)
            # Those that are known go on, and in 2.0 beside one that is not.
            status, headers, _ = door.write(cases.two(((("i", "1"),), [(1000, 1.0)]), ((("i", "4"),), [(0, 1.0)]))
                                            ("m", now), 2)
            self.assertEqual((status, headers[WRITTEN % "Samples"]), (429, "1"))
            self.assertEqual(door.write(cases.one(2000, labels=(("i", "1"),))("m", now))[0], 204)
            self.assertEqual(len(door.find("m")), 3)

    def test_a_rate_is_a_limit_too(self):
        with serve("--set", "tsdb.samples_per_second=10") as server:
            door, now = door_of(server), now_ms()
            points = [(index, 1.0) for index in range(11)]
            status, headers, _ = door.write(cases.many(*points)("m", now))
            self.assertEqual((status, headers["Retry-After"]), (429, "1"))
            self.assertEqual(door.find("m"), {})

    def test_a_body_of_the_largest_size_is_taken_and_one_byte_more_is_not(self):
        with serve("--set", "tsdb.write_max=64k") as server:
            door, now = door_of(server), now_ms()
            series = wire.write_1(wire.series_1([(NAME, "m"), ("job", "x")], [(now, 1.0)]))
            for size, status in ((65536, 204), (65537, 413)):
                head = wire.varint(15 << 3 | 2)
                padding = size - len(series) - len(head) - 3
                message = series + head + wire.varint(padding) + b"\0" * padding
                self.assertEqual(len(message), size)
                # One literal, so that what is sent is no longer than the bound for it.
                packed = wire.varint(size)
                for at in range(0, size, 64):
                    piece = message[at:at + 64]
                    if at > 0 and piece == message[at - 64:at] and len(piece) == 64:
                        packed += bytes([63 << 2 | 2]) + (64).to_bytes(2, "little")
                    else:
                        packed += bytes([60 << 2, len(piece) - 1]) + piece
                self.assertEqual(door.write(b"", packed=packed)[0], status)

    def test_memory_of_requests_goes_back(self):
        with serve() as server:
            door, now = door_of(server), now_ms()
            account = 'quarry_account_charged_bytes{account="prometheus"}'
            labels = [[(NAME, "m"), ("i", str(index))] for index in range(1000)]
            for turn in range(6):
                symbols = wire.Symbols()
                at = now + turn
                self.assertEqual(door.write(wire.write_1(*(wire.series_1(one, [(at, 1.0)]) for one in labels)))[0], 204)
                self.assertEqual(door.write(wire.write_2(symbols, wire.series_2(symbols, labels[0], [(at, 1.0)])), 2)[0], 204)
                self.assertEqual(len(door.find("m")), 1000)
                self.assertEqual(len(door.stream(wire.query(0, 1 << 60, (wire.EQUAL, NAME, "m")))), 1000)
                self.assertEqual(door.federate("m")[0], 200)
                if turn == 1:
                    before = metric_of(door, account)
            self.assertLessEqual(metric_of(door, account), before)

    def test_many_senders_at_once_lose_nothing(self):
        with serve() as server:
            door, now, failures = door_of(server), now_ms(), []

            def send(sender):
                for turn in range(20):
                    series = [wire.series_1([(NAME, "m"), ("sender", str(sender)), ("i", str(index))],
                                            [(now + turn, float(turn))]) for index in range(25)]
                    status, _, text = door.write(wire.write_1(*series))
                    if status != 204:
                        failures.append((status, text))

            threads = [threading.Thread(target=send, args=(sender,)) for sender in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(failures, [])
            found = door.find("m")
            self.assertEqual(len(found), 100)
            for samples in found.values():
                self.assertEqual(samples, [(now + turn, wire.bits_of(float(turn))) for turn in range(20)])

    def test_without_a_store_there_is_no_door(self):
        with serve("--set", "tsdb.enabled=off") as server:
            self.assertEqual(door_of(server).write(b"")[0], 404)


class Reading(unittest.TestCase):
    def write_many(self, door, start_ms, series_count, sample_count, seed=1):
        """Returns: {index: [(t_ms, bits)]}."""
        dice = random.Random(seed)
        made, message = {}, b""
        for index in range(series_count):
            t_ms, value, samples = start_ms, dice.uniform(0, 1e6), []
            for _ in range(sample_count):
                t_ms += dice.choice((15000, 15000, 15000, 14997, 15003, 45000))
                value = dice.choice((value, value + 1, dice.uniform(-1e9, 1e9), float("inf"), float("nan")))
                samples.append((t_ms, wire.bits_of(value)))
            made[index] = samples
            message += wire.write_1(wire.series_1([(NAME, "m"), ("i", f"{index:04}")], samples))
        self.assertEqual(door.write(message)[0], 204)
        return made

    def test_samples_and_streams_say_the_same(self):
        with serve() as server:
            door = door_of(server)
            start = now_ms() - 8 * cases.HOUR
            made = self.write_many(door, start, 5, 1000)
            low, high = start + cases.HOUR, start + 3 * cases.HOUR
            for begin, end in ((0, 1 << 60), (low, high)):
                query = wire.query(begin, end, (wire.EQUAL, NAME, "m"), (wire.MATCH, "i", "000[0-3]"))
                want = [(((NAME, "m"), ("i", f"{index:04}")),
                         [one for one in made[index] if begin <= one[0] <= end]) for index in range(4)]
                self.assertEqual(door.read(query), [want])
                frames = door.stream(query)
                self.assertEqual([(labels, [one for chunk in chunks for one in chunk[2]])
                                  for _, labels, chunks, _ in frames], want)
                for _, _, chunks, _ in frames:
                    for first, last, samples in chunks:
                        self.assertEqual((first, last), (samples[0][0], samples[-1][0]))
                        self.assertLessEqual(len(samples), 120)

    def test_a_long_series_comes_in_several_frames(self):
        with serve() as server:
            door = door_of(server)
            dice, start = random.Random(3), now_ms() - 20 * cases.HOUR
            samples = [(start + index * 1000, dice.getrandbits(62)) for index in range(60000)]
            for at in range(0, len(samples), 20000):
                series = wire.series_1([(NAME, "long")], samples[at:at + 20000])
                self.assertEqual(door.write(wire.write_1(series))[0], 204)
            frames = door.stream(wire.query(0, 1 << 60, (wire.EQUAL, NAME, "long")))
            self.assertGreater(len(frames), 1)
            self.assertLess(max(size for _, _, _, size in frames), 1 << 20)
            self.assertEqual([one for _, _, chunks, _ in frames for chunk in chunks for one in chunk[2]], samples)
            self.assertEqual({labels for _, labels, _, _ in frames}, {((NAME, "long"),)})

    def test_queries_of_one_request_are_answered_in_order(self):
        with serve() as server:
            door, now = door_of(server), now_ms()
            for name in "abc":
                door.write(cases.one()(name, now))
            queries = [wire.query(0, 1 << 60, (wire.EQUAL, NAME, name)) for name in "cxab"]
            self.assertEqual([[labels[0][1] for labels, _ in result] for result in door.read(*queries)],
                             [["c"], [], ["a"], ["b"]])
            self.assertEqual([(index, labels[0][1]) for index, labels, _, _ in door.stream(*queries)],
                             [(0, "c"), (2, "a"), (3, "b")])

    def test_what_makes_no_sense_is_refused(self):
        with serve("--set", "tsdb.read_samples_max=3") as server:
            door, now = door_of(server), now_ms()
            bad = wire.read_request(wire.query(0, 1 << 60, (wire.MATCH, NAME, "(")))
            for body, status in ((b"", 400), (b"\xff\xff", 400), (wire.pack(b"\x0a\x64a"), 400), (wire.pack(bad), 400),
                                 (wire.varint(2 << 20) + b"\x00a" * (1 << 18), 413),
                                 (wire.pack(wire.read_request(kinds=[7])), 400)):
                self.assertEqual(door.ask("POST", "/api/v1/read", body)[0], status, body[:20])
            door.write(cases.many(*((index, 1.0) for index in range(4)))("m", now))
            every = wire.query(0, 1 << 60, (wire.EQUAL, NAME, "m"))
            status, _, text = door.ask("POST", "/api/v1/read", wire.pack(wire.read_request(every)))
            self.assertEqual((status, text), (400, b"exceeded sample limit (3)\n"))
            self.assertEqual(len(door.read(wire.query(0, now + 2, (wire.EQUAL, NAME, "m")))[0][0][1]), 3)
            self.assertEqual(len(door.stream(every)[0][2][0][2]), 4)

    def test_nothing_is_found_in_an_empty_store(self):
        with serve() as server:
            door = door_of(server)
            self.assertEqual(door.read(wire.query(0, 1 << 60)), [[]])
            self.assertEqual(door.stream(wire.query(0, 1 << 60)), [])
            self.assertEqual(door.read(), [])


class Federating(unittest.TestCase):
    def test_the_newest_samples_are_told_once_by_name(self):
        with serve() as server:
            door, now = door_of(server), now_ms()
            for labels, offset, value in (
                    ([(NAME, "b"), ("instance", "i1")], 0, 2.0), ([(NAME, "b"), ("instance", "i1")], 1, 3.5),
                    ([("Z", "z"), (NAME, "a")], 0, 1.0), ([(NAME, "a"), ("job", 'q"\\')], 0, 4.0),
                    ([(NAME, "stale")], 0, wire.STALE), ([(NAME, "old")], -400000, 1.0)):
                series = wire.series_1(labels, [(now + offset - 1000, value)])
                self.assertEqual(door.write(wire.write_1(series))[0], 204)
            status, text = door.federate('{__name__=~".+"}', "a", "{__name__='b'}")
            self.assertEqual(status, 200)
            self.assertEqual(text, "# TYPE a untyped\n"
                                   f'a{{Z="z",instance=""}} 1 {now - 1000}\n'
                                   f'a{{job="q\\"\\\\",instance=""}} 4 {now - 1000}\n'
                                   "# TYPE b untyped\n"
                                   f'b{{instance="i1"}} 3.5 {now - 999}\n')

    def test_a_long_page_is_whole(self):
        with serve() as server:
            door, now = door_of(server), now_ms()
            series = [wire.series_1([(NAME, f"m{index % 7}"), ("i", f"{index:06}")], [(now, 1.0)])
                      for index in range(4000)]
            self.assertEqual(door.write(wire.write_1(*series))[0], 204)
            status, text = door.federate('{__name__=~"m.*"}')
            lines = text.splitlines()
            self.assertEqual((status, len(lines), len(set(lines))), (200, 4007, 4007))
            status, headers, packed = door.ask("GET", "/federate?match[]=%7B__name__%3D~%22m.*%22%7D",
                                               headers={"Accept-Encoding": "gzip"})
            self.assertEqual((headers["Content-Encoding"], gzip.decompress(packed).decode()), ("gzip", text))

    def test_selectors_are_read_as_prometheus_reads_them(self):
        with serve() as server:
            door, now = door_of(server), now_ms()
            for labels in ([("a", "1")], [("a", "2")], [("b", "ü\n")]):
                door.write(wire.write_1(wire.series_1([(NAME, "m"), *labels], [(now, 1.0)])))
            for selector, count in (("m", 3), ("m{}", 3), (' m { a = "1" , } # all', 1), ("m{a!='1'}", 2),
                                    ("m{a=~`1|2`}", 2), ('m{a!~"1|2"}', 1), ('{"m"}', 3), ('{"m",a=""}', 1),
                                    (r'm{b="\u00fc\n"}', 1), (r'm{b="\xc3\xbc\n"}', 1), ('m{"a"="2"}', 1),
                                    ('m{a!=""}', 2), (r'm{a="\061"}', 1), ("none", 0)):
                status, text = door.federate(selector)
                self.assertEqual((status, text.count("\nm")), (200, count), selector)
            for selector in ("", "{", "m{", "m{a}", "m{a=}", "m{a=1}", 'm{a="1}', "m{a==\"1\"}", 'm{a="1" b="2"}',
                             'm{a="1"}}', "1m", 'm{1a="x"}', r'm{a="\q"}', 'm{a=~"("}', "m,n", 'm{=""}', 'm{a=~',
                             'm{a!', '{"m}', 'm{,}', r'm{a="\400"}', r'm{a="\ud800"}', 'm{a="\\', "m{a=\"\n\"}",
                             'm{' + 'a="1",' * 65 + '}'):
                self.assertEqual(door.federate(selector)[0], 400, selector)
            self.assertEqual(door.federate(), (200, ""))


def exemplars_of(door, query):
    """[(labels of a series, its exemplars as JSON)]."""
    words = urllib.parse.urlencode({"query": query})
    status, _, text = door.ask("GET", "/api/v1/query_exemplars?" + words)
    assert status == 200, text
    return [(row["seriesLabels"], row["exemplars"]) for row in json.loads(text)["data"]]


class Histograms(unittest.TestCase):
    def ask(self, door, path, **words):
        status, _, text = door.ask("GET", f"/api/v1/{path}?" + urllib.parse.urlencode(words))
        self.assertEqual(status, 200, text)
        return json.loads(text)["data"]["result"]

    def write(self, door, now):
        for is_float in (False, True):
            histograms = [wire.rich_histogram(now - 30000 + index * 10000, 10 + index, is_float) for index in range(4)]
            series = wire.series_1([("__name__", "h"), ("float", str(int(is_float)))], [], histograms=histograms,
                                   exemplars=[wire.exemplar(now, 0.5, ("trace_id", "t")), wire.exemplar(now, 0.5, ("", ""))])
            self.assertEqual(door.write(wire.write_1(series))[0], 204)

    def test_they_are_evaluated_and_told(self):
        with serve() as server:
            door, now = door_of(server), now_ms()
            self.write(door, now)
            at = f"{now / 1000:.3f}"
            for row in self.ask(door, "query", query="h", time=at):
                self.assertEqual(row["histogram"][1], {"count": "19", "sum": "12.5", "buckets": [
                    [1, "-2", "-1.414213562373095", "2"], [3, "-0.001", "0.001", "3"],
                    [0, "0.7071067811865475", "1", "13"], [0, "1", "1.414213562373095", "1"]]})
            rows = self.ask(door, "query", query="histogram_count(increase(h[30s]))", time=at)
            self.assertEqual([round(float(row["value"][1]), 6) for row in rows], [3.0, 3.0])
            (row, other) = self.ask(door, "query_range", query="h", start=f"{now / 1000 - 30:.3f}", end=at, step="10")
            self.assertEqual([point[1]["count"] for point in row["histograms"]], ["16", "17", "18", "19"])
            self.assertEqual([point[1] for point in row["histograms"]], [point[1] for point in other["histograms"]])
            self.assertEqual(exemplars_of(door, "rate(h[5m]) + h"), [
                ({"__name__": "h", "float": kind}, [{"labels": {"trace_id": "t"}, "value": "0.5", "timestamp": now / 1000}])
                for kind in ("0", "1")])

    def test_they_are_there_when_it_is_started_again(self):
        with tempfile.TemporaryDirectory(prefix="quarry-") as folder:
            now = now_ms()
            with serve(folder=folder) as server:
                self.write(door_of(server), now)
                before = door_of(server).find("h")
            with serve(folder=folder) as server:
                self.assertEqual(door_of(server).find("h"), before)
                self.assertEqual([len(samples) for samples in before.values()], [4, 4])

class Bringing(unittest.TestCase):
    def test_a_page_is_stored_with_its_times_or_now(self):
        with serve() as server:
            door, before = door_of(server), now_ms()
            page = ("# HELP requests What it counts.\n# TYPE requests counter\n"
                    f'requests{{path="/a\\"b"}} 3 {before - 1000}\nrequests{{path="/c"}} 4\n\n  up 1  \n')
            self.assertEqual(door.bring(page), (204, ""))
            self.assertEqual(door.bring(page.replace(" 3 ", " 3 ")), (204, ""))
            found = door.find("requests")
            self.assertEqual(found[(("path", '/a"b'),)], [(before - 1000, wire.bits_of(3.0))])
            self.assertTrue(before <= found[(("path", "/c"),)][0][0] <= now_ms())
            self.assertEqual(list(door.find("up")), [()])
            self.assertEqual(metric_of(door, "quarry_tsdb_families"), 1)

    def test_openmetrics_is_known_by_its_type(self):
        with serve() as server:
            door, now = door_of(server), now_ms()
            kind = "application/openmetrics-text; version=1.0.0; charset=utf-8"
            page = f'# TYPE c counter\nc_total{{a="1"}} 5 {now / 1000:.3f} # {{t="1"}} 1\n# EOF\n'
            self.assertEqual(door.bring(page, kind), (204, ""))
            self.assertEqual(door.find("c_total"), {(("a", "1"),): [(now, wire.bits_of(5.0))]})
            self.assertEqual(door.bring("c_total 5\n", kind)[0], 400)
            self.assertEqual(metric_of(door, 'quarry_tsdb_exemplars_total{result="taken"}'), 1)
            self.assertEqual(exemplars_of(door, "c_total"), [({"__name__": "c_total", "a": "1"}, [
                {"labels": {"t": "1"}, "value": "1", "timestamp": now / 1000}])])

    def test_of_a_page_with_a_mistake_nothing_is_stored(self):
        with serve() as server:
            door = door_of(server)
            status, text = door.bring("a 1\nb 2\nc one\n")
            self.assertEqual(status, 400)
            self.assertIn("3", text)
            self.assertEqual(door.find("a"), {})

    def test_what_the_rules_refuse_leaves_the_rest(self):
        with serve() as server:
            door, now = door_of(server), now_ms()
            self.assertEqual(door.bring(f"a 1 {now}\n")[0], 204)
            lines = [f"b{{i=\"{index}\"}} 1 {now}" for index in range(3000)]
            status, text = door.bring("\n".join([*lines, f"a 1 {now - 48 * cases.HOUR}", "c 1"]) + "\n")
            self.assertEqual((status, text), (400, 'too old sample for series {__name__="a"}\n'))
            self.assertEqual((len(door.find("b")), len(door.find("c"))), (3000, 1))

    def test_a_page_may_be_gzipped(self):
        with serve() as server:
            door = door_of(server)
            status, _, _ = door.ask("POST", "/api/v1/import/prometheus", gzip.compress(b"a 1\n"),
                                    {"Content-Encoding": "gzip"})
            self.assertEqual((status, len(door.find("a"))), (204, 1))


class Tenants(unittest.TestCase):
    def test_series_are_their_tenants_alone(self):
        with serve("--set", "tenant.acme.series=1", "--set", "user.ann.tenant=acme",
                   "--set", "user.ann.password=" + HASH, "--set", "user.bob.password=" + HASH,
                   "--set", "user.eve.password=" + HASH, "--set", "user.eve.rights=read") as server:
            door, now = door_of(server), now_ms()
            ann, bob, eve = ({"Authorization": "Basic " + word} for word in
                             ("YW5uOnNlY3JldA==", "Ym9iOnNlY3JldA==", "ZXZlOnNlY3JldA=="))
            self.assertEqual(door.write(cases.one()("m", now))[0], 401)
            self.assertEqual(door.write(cases.one()("m", now), headers=eve)[0], 403)
            self.assertEqual(door.write(cases.one(value=1.0)("m", now), headers=ann)[0], 204)
            self.assertEqual(door.write(cases.one(value=2.0)("m", now), headers=bob)[0], 204)
            self.assertEqual(door.write(cases.one()("more", now), headers=ann)[0], 429)
            self.assertEqual(door.write(cases.one()("more", now), headers=bob)[0], 204)
            for user, value in ((ann, 1.0), (bob, 2.0), (eve, 2.0)):
                ((_, bits),) = door.find("m", headers=user)[(("job", "x"),)]
                self.assertEqual(bits, wire.bits_of(value))
            self.assertEqual(door.federate("more", headers=ann), (200, ""))

    def test_a_tenant_keeps_its_number_whatever_the_sections_say(self):
        with tempfile.TemporaryDirectory(prefix="quarry-tenants-") as folder:
            path = os.path.join(folder, "data", "tenants")
            for names, lines in ((("b", "a"), "b\na\n"), (("a",), "b\na\n"), (("c", "a", "b"), "b\na\nc\n")):
                sections = [word for name in names for word in ("--set", f"tenant.{name}.series=9")]
                with serve(*sections, folder=folder) as server:
                    server.ready()
                    with open(path, encoding="ascii") as file:
                        self.assertEqual(file.read(), lines)
                    self.assertEqual(server.end(), 0)
            for wrong in ("b\na", "b\n\n", "b\nb\n", "x" * 32 + "\n", "a b\n"):
                with open(path, "w", encoding="ascii") as file:
                    file.write(wrong)
                with serve(folder=folder) as server:
                    self.assertNotEqual(server.wait(), 0)
                    self.assertIn("data/tenants: line", server.log())


# Of "secret".
HASH = None


def make_hash():
    import subprocess
    from server import Server
    done = subprocess.run([*Server.program, "config", "password"], input="secret\n", capture_output=True, text=True,
                          check=True, timeout=60)
    return done.stdout.strip()


if __name__ == "__main__":
    set_program(sys.argv.pop(1))
    HASH = make_hash()
    unittest.main(verbosity=1)
