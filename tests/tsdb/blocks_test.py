#!/usr/bin/env python3
"""Blocks both ways between Quarry and Debian's Prometheus.

    blocks_test.py BLOCK_TOOL [--rounds N]

- promtool makes blocks of random text: what is read of them is what promtool dumps, each chunk is
  encoded again to the same bits, and a block that is written of what was read dumps the same.
- Random blocks are written: promtool lists, analyzes and dumps them, to the same samples.
- Prometheus takes native histograms by remote write: those of its snapshot are encoded again to the
  same bits; and it answers queries about histograms in blocks that were written.
- Prometheus is ended, by signal or killed: what is read of its log, its checkpoint and its chunks is
  what it says itself in a snapshot; what it deleted from a block is not read.
"""
import argparse
import os
import random
import shutil
import struct
import tempfile

from prometheus import (RANGE_MS, START_MS, Prometheus, blocks_of, exemplar, histogram, program, promtool_floats, run,
                        same_bits, sample, series, tool_floats)

BLOCKS = 20


def make_text(path, seed):
    """Series of all sorts in OpenMetrics' text, over BLOCKS ranges of two hours."""
    dice = random.Random(seed)
    with open(path, "w") as file:
        for number in range(4):
            file.write(f"# TYPE gauge_{number} gauge\n")
            for host in range(dice.randint(1, 4)):
                value, at, kind = 0.0, START_MS + dice.randint(0, 20000), dice.randint(0, 5)
                quoted = dice.choice(["", "\\\"", "\\\\", "é"])
                step = dice.choice([15000, 60000, 61234])
                while at < START_MS + BLOCKS * RANGE_MS:
                    value = next_value(dice, kind, value)
                    file.write(f'gauge_{number}{{host="{host}{quoted}",job="x"}} {value!r} {at / 1000:.3f}\n')
                    at += step + (dice.randint(-300, 300) if kind % 2 else 0)
        file.write("# EOF\n")


def next_value(dice, kind, value):
    if kind == 0:
        return value + dice.randint(0, 50)
    if kind == 1:
        return round(value + dice.uniform(-1, 1), 2)
    if kind == 2:
        return dice.choice([value, value, value, float("inf"), -0.0, 1e-300])
    if kind == 3:
        return float(dice.randint(0, 3))
    return dice.random() * 10.0 ** dice.randint(-20, 20)


def theirs(tool, directory, seed):
    made, copies = f"{directory}/made", f"{directory}/copies"
    os.makedirs(copies)
    make_text(f"{directory}/text", seed)
    run(program("promtool"), "tsdb", "create-blocks-from", "openmetrics", f"{directory}/text", made)
    blocks = blocks_of(made)
    assert len(blocks) >= BLOCKS, blocks
    read = set()
    for block in blocks:
        read |= tool_floats(run(tool, "dump", f"{made}/{block}"))
        assert int(run(tool, "recode", f"{made}/{block}").split()[0]) > 0
        run(tool, "copy", f"{made}/{block}", copies)
    dumped = promtool_floats(made)
    assert read == dumped, f"seed {seed}: what is read is not what promtool dumps: {list(read ^ dumped)[:3]}"
    assert promtool_floats(copies) == dumped, f"seed {seed}: copies dump otherwise"
    return len(blocks)


def ours(tool, directory, seed):
    os.makedirs(directory)
    names, expected = [], set()
    for number in range(BLOCKS):
        words = [seed * 1000 + number, 1 + number * 7 % 60, 1 + number * 37 % 400, START_MS + number * RANGE_MS, 15000, 0]
        names.append(run(tool, "make", directory, *words).strip())
        expected |= tool_floats(run(tool, "print", *words))
    dumped = promtool_floats(directory)
    assert dumped == expected, f"seed {seed}: promtool dumps other samples: {list(dumped ^ expected)[:3]}"
    listed = run(program("promtool"), "tsdb", "list", directory)
    assert all(name in listed for name in names), listed
    analyzed = run(program("promtool"), "tsdb", "analyze", directory, names[-1])
    assert f"Block ID: {names[-1]}" in analyzed, analyzed
    return len(names)


# ---- histograms ----------------------------------------------------------------------------------

def native_histograms(at_ms):
    """A remote write of histograms that grow, get buckets, fall, are gauges."""
    dice = random.Random(5)
    parts = []
    for number, is_float in enumerate([False, True, False, True]):
        for step in range(300):
            width = 3 + step // 100
            counts = [step % 150 * (bucket + 1) + dice.randint(0, 1) for bucket in range(width)]
            parts.append((number, step, histogram(at_ms + step * 1000, counts, is_float, hint=3 if number > 1 else 0,
                                                  total=step * 0.5)))
    body = b""
    for number in range(4):
        found = [part for of, _, part in parts if of == number]
        body += series({"__name__": f"native_{number}", "job": "x"}, *found)
    return body + series({"__name__": "float"}, *[sample(at_ms + step * 1000, step / 8) for step in range(300)])


def histograms_of_prometheus(tool, directory):
    server = Prometheus(f"{directory}/data")
    try:
        server.write(native_histograms(START_MS))
        snapshot = server.snapshot()
    finally:
        server.end()
    counts = [0, 0, 0]
    for block in blocks_of(snapshot):
        counts = [a + int(b) for a, b in zip(counts, run(tool, "recode", f"{snapshot}/{block}").split())]
    assert min(counts) >= 2, counts


def expected_histograms(text):
    """{(labels, time): (count, sum, sorted counts of buckets)} of what block_tool prints."""
    found = {}
    for line in text.splitlines():
        labels, rest = line.rsplit("} ", 1)
        head, positive, negative, _ = [part.split() for part in rest.split("|")] if "|" in rest else (rest.split(), 0, 0, 0)
        if len(head) == 2 or head[6] == "7ff0000000000002":
            continue
        numbers = [int(word, 16) for word in positive + negative if "+" not in word] + [int(head[4], 16)]
        if head[1] == "float-histogram":
            numbers = [double(number) for number in numbers]
            count = double(int(head[5], 16))
        else:
            count = int(head[5], 16)
        buckets = sorted(float(number) for number in numbers if number != 0)
        found[labels + "}", int(head[0])] = float(count), double(int(head[6], 16)), buckets
    return found


def double(bits):
    return struct.unpack("<d", struct.pack("<Q", bits))[0]


def labels_text(metric):
    quoted = {name: value.replace("\\", "\\\\").replace('"', '\\"') for name, value in metric.items()}
    return "{" + ", ".join(f'{name}="{quoted[name]}"' for name in sorted(quoted)) + "}"


def answered_histograms(answer):
    found = {}
    for row in answer:
        for at, value in row.get("histograms", []):
            buckets = sorted(float(bucket[3]) for bucket in value.get("buckets", []))
            found[labels_text(row["metric"]), round(float(at) * 1000)] = float(value["count"]), float(value["sum"]), buckets
    return found


def histograms_of_ours(tool, directory):
    words = [77, 30, 200, START_MS, 15000, 2]
    os.makedirs(f"{directory}/data")
    run(tool, "make", f"{directory}/data", *words)
    expected = expected_histograms(run(tool, "print", *words))
    server = Prometheus(f"{directory}/data")
    try:
        answered = {}
        for number in range(words[1]):  # one by one: asked for all at once, 2.42 gives one's buckets to another
            query = f'{{host=~"host-{number:07d}.*"}}[3h]'
            answered |= answered_histograms(server.query(query, START_MS + RANGE_MS))
    finally:
        server.end()
    assert len(expected) > 500, len(expected)
    different = [key for key in expected.keys() | answered.keys() if expected.get(key) != answered.get(key)]
    assert not different, [(key, expected.get(key), answered.get(key)) for key in different[:3]]


# ---- data directories ----------------------------------------------------------------------------

def head_floats(text):
    """{(labels, time, bits)}, the number of lines of each kind, and the report of `block_tool head`."""
    names, samples, kinds, report = {}, set(), {}, ""
    for line in text.splitlines():
        kind, rest = line.split(" ", 1)
        kinds[kind] = kinds.get(kind, 0) + 1
        if kind == "series":
            ref, labels = rest.split(" ", 1)
            names[ref] = labels
        elif kind == "sample":
            ref, at, value, *more = rest.split()
            if not more:
                key = names[ref], int(at), same_bits(int(value, 16))
                assert key not in samples, f"twice: {key}"
                samples.add(key)
        elif kind == "report":
            report = rest
    return samples, kinds, report


def write_scrapes(server, start_ms, count):
    for step in range(0, count, 50):
        body = b""
        for number in range(8):
            at = [start_ms + each * 15000 for each in range(step, min(step + 50, count))]
            body += series({"__name__": f"scraped_{number}", "host": "é\"\\"}, *[sample(t, t % 977 / 8) for t in at])
        server.write(body)
    last = start_ms + count * 15000
    server.write(series({"__name__": "scraped_0", "host": "é\"\\"}, sample(last, 1), exemplar({"trace": "x"}, last, 2.0)))


def data_directories(tool, directory):
    data = f"{directory}/data"
    server = Prometheus(data)
    server.write(native_histograms(START_MS))
    write_scrapes(server, START_MS + 300_000, 300)
    server.end()
    samples, kinds, report = head_floats(run(tool, "head", data))
    assert " 0 damaged " in report and " 0 of chunks" not in report, report
    assert kinds["exemplar"] == 1 and kinds["sample"] > len(samples) + 1000, kinds
    # Its segments as a checkpoint, as it makes one of them when a block has been written.
    os.makedirs(f"{data}/checkpoint")
    segments = sorted(name for name in os.listdir(f"{data}/wal") if name.isdigit())
    for name in segments:
        os.rename(f"{data}/wal/{name}", f"{data}/checkpoint/{name}")
    os.rename(f"{data}/checkpoint", f"{data}/wal/checkpoint.{segments[-1]}")
    open(f"{data}/wal/{int(segments[-1]) + 1:08d}", "w").close()
    server = Prometheus(data)
    write_scrapes(server, START_MS + 300_000 + 301 * 15000, 60)
    snapshot = server.snapshot()
    server.end(kill=True)
    again, _, report = head_floats(run(tool, "head", data))
    assert samples < again and " 0 damaged " in report, report
    told = set()
    for block in blocks_of(snapshot):
        told |= tool_floats(run(tool, "dump", f"{snapshot}/{block}"))
    assert told == again, f"the head is not what Prometheus says: {list(told ^ again)[:3]}"


def deletions(tool, directory):
    data = f"{directory}/data"
    os.makedirs(data)
    name = run(tool, "make", data, 21, 20, 300, START_MS, 15000, 0).strip()
    before = tool_floats(run(tool, "dump", f"{data}/{name}"))
    server = Prometheus(data)
    server.delete('{host=~"host-000000[1-9]"}', START_MS + 600_000, START_MS + 1_200_000)
    server.end()
    left = tool_floats(run(tool, "dump", f"{data}/{name}"))
    assert left < before and os.path.getsize(f"{data}/{name}/tombstones") > 9
    assert left == promtool_floats(data)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("tool")
    options.add_argument("--rounds", type=int, default=2)
    arguments = options.parse_args()
    directory = tempfile.mkdtemp(prefix="quarry-blocks-")
    try:
        count = 0
        for seed in range(1, arguments.rounds + 1):
            count += theirs(arguments.tool, f"{directory}/theirs{seed}", seed)
            count += ours(arguments.tool, f"{directory}/ours{seed}", seed)
        histograms_of_prometheus(arguments.tool, f"{directory}/histograms")
        histograms_of_ours(arguments.tool, f"{directory}/answers")
        data_directories(arguments.tool, f"{directory}/heads")
        deletions(arguments.tool, f"{directory}/deletions")
    finally:
        shutil.rmtree(directory)
    print(f"{count} blocks both ways")


if __name__ == "__main__":
    main()
