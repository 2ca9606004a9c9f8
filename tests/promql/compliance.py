#!/usr/bin/env python3
"""compliance.py QUARRY [--verbose]

What PromQL promises, on the metrics of a demonstration service: templates that are expanded to some hundred expressions,
each asked over times of Quarry with compat=2.42 and of Debian's Prometheus 2.42. No sample lies on the edge of a window.

Exit status 77: there is no Prometheus to compare with.
"""

import argparse
import itertools
import math
import random
import sys

import oracle
from server import set_program

START_MS = 1_700_000_000_137  # no step falls on a sample
INTERVAL_MS, COUNT = 15_000, 320
QUERY_MS, QUERY_END_MS, STEP_S = 1_700_004_000_000, 1_700_004_600_000, 20
FEWEST = 539

AGGREGATIONS = ["sum", "avg", "max", "min", "count", "stddev", "stdvar", "group"]
ARITHMETIC = ["+", "-", "*", "/", "%", "^", "atan2"]
COMPARISONS = ["==", "!=", "<", ">", "<=", ">="]
SIMPLE = ["abs", "ceil", "floor", "exp", "sqrt", "ln", "log2", "log10", "sgn", "sin", "cos", "tan", "asin", "acos", "atan",
          "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "rad", "deg"]
OVER_TIME = ["sum", "avg", "max", "min", "count", "stddev", "stdvar", "absent", "last", "present"]
OF_COUNTERS = ["rate", "increase", "irate", "delta", "idelta", "deriv", "changes", "resets"]
CALENDAR = ["day_of_week", "day_of_month", "day_of_year", "days_in_month", "month", "year", "hour", "minute"]
RANGES = ["1s", "30s", "1m", "5m", "15m", "1h"]
OFFSETS = ["1m", "5m", "10m", "-1m", "-5m"]
QUANTILES = ["-0.5", "0", "0.1", "0.5", "0.75", "0.95", "0.99", "1", "1.5"]
GROUPINGS = ["by ()", "by (instance)", "by (instance, mode)", "by (nowhere)", "without ()", "without (instance)",
             "without (instance, mode)", "without (nowhere)"]
NUMBERS = ["1", "-1", "0", "0x1F", "1e3", ".25", "42.", "017", "Inf", "-inf", "NaN"]
CPU, MEMORY = "demo_cpu_usage_seconds_total", "demo_memory_usage_bytes"
BUCKETS = "demo_api_request_duration_seconds_bucket"

# (template, lists that go into it); each place is named.
TEMPLATES = [
    ("{number}", {"number": NUMBERS}),
    ("{name}", {"name": [CPU, MEMORY, "demo_num_cpus", "demo_intermittent_metric", "demo_nowhere"]}),
    ("demo_cpu_usage_seconds_total{{{matcher}}}", {"matcher": [
        'mode="idle"', 'mode!="idle"', 'mode=~"idle|user"', 'mode!~"idle|user"', 'mode=~".+"', 'mode=~"i.*", instance!="a"',
        'mode=""', 'mode!=""', 'nowhere=""', 'mode=~"", job="demo"', 'instance=~"a:.*", mode!~".*e"', 'mode=~"(?i)IDLE"']}),
    ('{{__name__{how}}}', {"how": ['="demo_num_cpus"', '=~"demo_(num|disk).*"', '=~"demo_.*", mode="user"']}),
    ("demo_num_cpus offset {offset}", {"offset": OFFSETS}),
    (MEMORY + " @ {at}{offset}", {"at": ["start()", "end()", "1700004100", "1700003900.5"], "offset": ["", " offset 1m"]}),
    ("{function}(" + CPU + "[{range}])", {"function": OF_COUNTERS, "range": RANGES}),
    ("{function}(" + MEMORY + "[{range}])", {"function": ["delta", "deriv", "changes"], "range": RANGES[2:]}),
    ("{aggregation}_over_time(" + MEMORY + "[{range}])", {"aggregation": OVER_TIME, "range": RANGES}),
    ("quantile_over_time({phi}, " + MEMORY + "[{range}])", {"phi": QUANTILES, "range": RANGES[2:4]}),
    ("predict_linear(" + MEMORY + "[{range}], {ahead})", {"range": RANGES[2:], "ahead": ["60", "3600", "-60"]}),
    ("holt_winters(" + MEMORY + "[{range}], {s}, {t})", {"range": ["5m", "15m"], "s": ["0.2", "0.8"], "t": ["0.3", "0.7"]}),
    ("{aggregation}(" + MEMORY + ")", {"aggregation": AGGREGATIONS}),
    ("{aggregation} {grouping} (" + CPU + ")", {"aggregation": AGGREGATIONS, "grouping": GROUPINGS}),
    ("quantile({phi}, " + MEMORY + ")", {"phi": QUANTILES}),
    ("quantile by ({label}) ({phi}, " + MEMORY + ")", {"label": ["type", "instance"], "phi": ["0.25", "0.9"]}),
    ("{name} {grouping} ({k}, " + CPU + ")", {"name": ["topk", "bottomk"], "grouping": ["", "by (instance)", "without (mode)"],
                                              "k": ["0", "1", "2", "100", "-1"]}),
    ('count_values {grouping} ("value", demo_api_last_codes)', {"grouping": ["", "by (instance)", "without (instance)"]}),
    ("{function}(" + MEMORY + ")", {"function": SIMPLE}),
    ("{function}(demo_signed)", {"function": SIMPLE + ["-", "+"]}),
    ("{function}(demo_batch_last_success_timestamp_seconds offset {offset})", {"function": CALENDAR, "offset": ["0s", "10m"]}),
    ("{function}()", {"function": CALENDAR + ["time", "pi"]}),
    ("round({of}{to})", {"of": ["demo_signed", "-demo_signed"], "to": ["", ", 1", ", 0.1", ", 7", ", -2"]}),
    ("clamp(demo_signed, {low}, {high})", {"low": ["-2", "0", "5"], "high": ["-1", "0", "3"]}),
    ("clamp_{end}(demo_signed, {limit})", {"end": ["min", "max"], "limit": ["-1", "0", "2.5"]}),
    ("1 {operator} 2.5", {"operator": ARITHMETIC + [f"{one} bool" for one in COMPARISONS]}),
    ("{a} {operator} 3", {"a": [MEMORY, "demo_signed"], "operator": ARITHMETIC + COMPARISONS}),
    ("1.5 {operator} {a}", {"a": ["demo_signed", "demo_num_cpus"],
                            "operator": ARITHMETIC + COMPARISONS + [f"{one} bool" for one in COMPARISONS]}),
    ("demo_disk_usage_bytes {operator} demo_disk_total_bytes", {"operator": ARITHMETIC + COMPARISONS + [
        f"{one} bool" for one in COMPARISONS]}),
    (MEMORY + " {operator} on (instance, job) {group} demo_num_cpus", {
        "operator": ["+", "/", "<", "> bool"], "group": ["group_left", "group_left ()", "group_left (kind)"]}),
    ("demo_num_cpus {operator} on (instance) {group} " + MEMORY, {
        "operator": ["-", "*", ">", "!= bool"], "group": ["group_right", "group_right (kind)"]}),
    ("sum by (instance, mode) (" + CPU + ") {operator} ignoring (mode) group_left sum by (instance) (" + CPU + ")",
     {"operator": ["/", "*", "+"]}),
    (MEMORY + " {operator} {match} demo_num_cpus {filter}", {"operator": ["and", "or", "unless"],
                                                             "match": ["on (instance)", "ignoring (type, kind)", "on ()"],
                                                             "filter": ["", "> 6"]}),
    ("label_replace(demo_num_cpus, {words})", {"words": [
        '"made", "$1", "instance", "(.*)"', '"made", "$1-$2", "instance", "(.):(.*)"', '"job", "", "job", ".*"',
        '"made", "x", "nowhere", ""', '"made", "x", "instance", "never"', '"instance", "${1}0", "instance", "(.).*"',
        '"__name__", "renamed", "job", "demo"', '"made", "$port", "instance", ".:(?P<port>.*)"']}),
    ("label_join(demo_num_cpus, {words})", {"words": [
        '"made", "-", "instance", "job"', '"made", "", "instance", "job", "kind"', '"made", ", ", "nowhere"', '"job", "-"']}),
    ("histogram_quantile({phi}, {of})", {"phi": QUANTILES, "of": [
        f"rate({BUCKETS}[1m])", f"sum by (le) (rate({BUCKETS}[5m]))", BUCKETS]}),
    ("{name}_over_time({of}[{range}:{step}])", {"name": ["max", "avg", "count", "last"], "of": [
        f"rate({CPU}[1m])", "demo_num_cpus"], "range": ["2m", "10m"], "step": ["", "10s", "1m"]}),
    ("max_over_time(({inner})[10m:1m] {modifier})", {"inner": [f"sum({MEMORY})", f"max_over_time({MEMORY}[1m:20s])", "time()"],
                                                     "modifier": ["", "offset 2m", "@ end()"]}),
    ("absent({of})", {"of": ["demo_nowhere", 'demo_nowhere{job="x", mode!="y"}', CPU, f"sum({CPU})", "sum(demo_nowhere)"]}),
    ("scalar({of})", {"of": ["demo_num_cpus", 'demo_num_cpus{instance="a:1"}', "demo_nowhere", "sum(demo_num_cpus)"]}),
    ("vector({of})", {"of": ["23", "time()", "scalar(demo_nowhere)", "-inf"]}),
    ("timestamp({of})", {"of": ["demo_num_cpus", "demo_num_cpus offset 1m", "demo_num_cpus * 1", "(demo_num_cpus)"]}),
    ("sort{desc}(demo_num_cpus)", {"desc": ["", "_desc"]}),
    ("-{of} ^ 2 {operator} 3", {"of": ["demo_signed", "(demo_signed)", "2"], "operator": ["*", "+", "%"]}),
    ("{refused}", {"refused": [
        "demo_num_cpus +", "sum(1)", "rate(demo_num_cpus)", "rate(demo_num_cpus[5m:])[1m]", "{}", '{job=~".*"}', "1 == 2",
        "demo_num_cpus[5m]", '"text"', "1 and 2", "topk(demo_num_cpus)", 'count_values("a b", demo_num_cpus)', "nowhere()",
        "demo_num_cpus + on (job) demo_num_cpus", "demo_num_cpus offset 1", 'label_replace(demo_num_cpus, "a b", "", "", "")',
        'label_replace(demo_num_cpus, "a", "", "b", "(")', "demo_num_cpus @ nan", "sum by (job) by (job) (demo_num_cpus)",
        f"{MEMORY} * on (instance) demo_num_cpus", "holt_winters(demo_num_cpus[1m], 2, 0.5)", "demo_num_cpus[0s]",
        'label_join(demo_num_cpus, "a-b", "-", "job")', "bool 1", "demo_num_cpus{job}", "sum(demo_num_cpus) by (job", "1 + + "]}),
]


def expand():
    """All expressions, each once."""
    found = {}
    for template, places in TEMPLATES:
        for chosen in itertools.product(*places.values()):
            found[template.format(**dict(zip(places, chosen)))] = None
    return list(found)


# ---- samples -------------------------------------------------------------------------------------

def shapes():
    """(labels, what a value is by the number of its sample and the one before)."""
    dice = random.Random(7)
    for index, instance in enumerate(("a:1", "b:2", "c:3")):
        named = {"instance": instance, "job": "demo"}
        for mode, pace in (("idle", 5.0), ("user", 1.5), ("system", 0.25)):
            yield {"__name__": CPU, "mode": mode, **named}, \
                lambda i, was, pace=pace, at=90 + 60 * index: 0.0 if i % (at * 3) == at else was + pace * dice.randint(0, 4) / 4
        for kind, size in (("used", 3e9), ("free", 1e9), ("cached", 5e8)):
            yield {"__name__": MEMORY, "type": kind, **named}, \
                lambda i, was, size=size, index=index: float(int(size * (1 + 0.2 * math.sin(i / 20 + index))))
        yield {"__name__": "demo_num_cpus", "kind": "ab"[index % 2], **named}, lambda i, was, index=index: 4.0 + 2 * index
        yield {"__name__": "demo_signed", **named}, lambda i, was: dice.randint(-80, 80) / 16
        yield {"__name__": "demo_disk_usage_bytes", **named}, lambda i, was: (was or 1e8) + 65536 * dice.randint(-1, 3)
        yield {"__name__": "demo_disk_total_bytes", **named}, lambda i, was: 262144000.0
        yield {"__name__": "demo_api_last_codes", **named}, lambda i, was: float(dice.choice((200, 404, 500)))
        yield {"__name__": "demo_batch_last_success_timestamp_seconds", **named}, lambda i, was: 1582934400.0 + 7200 * i
        yield {"__name__": "demo_intermittent_metric", **named}, lambda i, was: None if i // 20 % 2 else float(i)
        for method in ("GET", "POST"):
            for number, bound in enumerate(("0.01", "0.1", "0.5", "2.5", "+Inf")):
                yield {"__name__": BUCKETS, "method": method, "le": bound, **named}, \
                    lambda i, was, number=number: float(i * (number + 1) * 3)


def samples():
    found = []
    for labels, value_of in shapes():
        points, was = [], 0.0
        for i in range(COUNT):
            value = value_of(i, was)
            if value is not None:
                points.append((START_MS + i * INTERVAL_MS, value))
                was = value
        found.append((list(labels.items()), points))
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("quarry")
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()
    set_program(arguments.quarry)
    expected, passed, empty = expand(), 0, 0
    assert len(expected) >= FEWEST, len(expected)
    with oracle.Pair(samples()) as pair:
        for text in expected:
            query = oracle.Query(text, QUERY_MS, QUERY_END_MS, STEP_S, is_exact=False)
            ours, theirs = pair.ask(query)
            said = oracle.differ(query, ours, theirs)
            passed += said is None
            empty += theirs[0] == 200 and not theirs[1]["data"]["result"]
            if said is not None or arguments.verbose:
                print(f"{text}\n    {said or 'the same'}")
    print(f"{passed} of {len(expected)} expressions, {empty} of them empty")
    sys.exit(passed != len(expected) or empty > len(expected) / 5)


if __name__ == "__main__":
    main()
