"""Prometheus' programs, and what is said to them: blocks' samples as text, remote writes, queries."""
import atexit
import json
import os
import re
import struct
import subprocess
import sys
import time
import urllib.parse
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from peers import find_program, free_port  # noqa: E402

RANGE_MS = 7_200_000
START_MS = 1_672_531_200_000


def program(name):
    path = find_program("prometheus", name)
    if path is None:
        print("prometheus is not installed, and its package cannot be had")
        sys.exit(77)  # what CTest calls skipped
    return path


def run(*words):
    """The output of a program that must not fail."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, words))}: {done.stderr or done.stdout}")
    return done.stdout


def bits_of(number):
    return struct.unpack("<Q", struct.pack("<d", float(number)))[0]


def same_bits(bits):
    """What a text keeps of the bits of a double: of NaNs, that they are."""
    return "nan" if bits & (1 << 63) - 1 > 0x7FF << 52 else bits


def tool_floats(text):
    """{(labels, time, bits)} of what block_tool prints, histograms left out."""
    samples = set()
    for line in text.splitlines():
        labels, rest = line.rsplit("} ", 1)
        words = rest.split()
        if len(words) == 2:
            samples.add((labels + "}", int(words[0]), same_bits(int(words[1], 16))))
    return samples


def promtool_floats(directory):
    """The same of all blocks of a directory, as `promtool tsdb dump` prints them."""
    os.makedirs(f"{directory}/wal", exist_ok=True)
    samples = set()
    for line in run(program("promtool"), "tsdb", "dump", directory).splitlines():
        labels, rest = line.rsplit("} ", 1)
        value, at = rest.split()
        samples.add((labels + "}", int(at), same_bits(bits_of(value))))
    return samples


def blocks_of(directory):
    return sorted(name for name in os.listdir(directory) if re.fullmatch("[0-9A-Z]{26}", name))


class Prometheus:
    """A server on a directory."""

    def __init__(self, directory, configuration="global: {scrape_interval: 1h}\n"):
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.directory = directory
        config = f"{directory}.yml"
        os.makedirs(directory, exist_ok=True)
        with open(config, "w") as file:
            file.write(configuration)
        self.process = subprocess.Popen(
            [program("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={directory}",
             f"--web.listen-address=127.0.0.1:{port}", "--storage.tsdb.retention.time=100y",
             "--storage.tsdb.min-block-duration=2h", "--storage.tsdb.max-block-duration=2h",
             "--web.enable-remote-write-receiver", "--web.enable-admin-api",
             "--enable-feature=native-histograms,exemplar-storage"],
            stdout=subprocess.DEVNULL, stderr=open(f"{directory}.log", "w"))
        atexit.register(self.process.kill)  # a test that fails leaves no server
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{self.url}/-/ready", timeout=5).read()
                return
            except OSError:
                time.sleep(0.1)
        sys.exit(f"prometheus does not start: see {directory}.log")

    def query(self, text, at_ms):
        words = urllib.parse.urlencode({"query": text, "time": f"{at_ms / 1000:.3f}"})
        with urllib.request.urlopen(f"{self.url}/api/v1/query?{words}", timeout=60) as answer:
            return json.load(answer)["data"]["result"]

    def write(self, body):
        request = urllib.request.Request(f"{self.url}/api/v1/write", data=snappy(body), method="POST")
        with urllib.request.urlopen(request, timeout=60) as answer:
            answer.read()

    def snapshot(self):
        request = urllib.request.Request(f"{self.url}/api/v1/admin/tsdb/snapshot", method="POST")
        with urllib.request.urlopen(request, timeout=60) as answer:
            name = json.load(answer)["data"]["name"]
        return f"{self.directory}/snapshots/{name}"

    def delete(self, matcher, min_ms, max_ms):
        words = urllib.parse.urlencode({"match[]": matcher, "start": min_ms / 1000, "end": max_ms / 1000})
        request = urllib.request.Request(f"{self.url}/api/v1/admin/tsdb/delete_series?{words}", method="POST")
        with urllib.request.urlopen(request, timeout=60) as answer:
            answer.read()

    def end(self, kill=False):
        if kill:
            self.process.kill()
        else:
            self.process.terminate()
        self.process.wait(60)


# ---- remote write, as bytes ----------------------------------------------------------------------

def varint(value):
    value &= (1 << 64) - 1
    text = b""
    while value >= 0x80:
        text += bytes([value & 0x7F | 0x80])
        value >>= 7
    return text + bytes([value])


def zigzag(value):
    return varint(value << 1 ^ value >> 63)


def field(number, kind, body):
    head = varint(number << 3 | kind)
    return head + (varint(len(body)) + body if kind == 2 else body)


def text_field(number, text):
    return field(number, 2, text.encode())


def double_field(number, value):
    return field(number, 1, struct.pack("<d", value))


def snappy(body):
    """A block of literals alone."""
    text = varint(len(body))
    for at in range(0, len(body), 60):
        piece = body[at:at + 60]
        text += bytes([len(piece) - 1 << 2]) + piece
    return text


def labels(pairs):
    return b"".join(field(1, 2, text_field(1, name) + text_field(2, value)) for name, value in sorted(pairs.items()))


def sample(at_ms, value):
    return field(2, 2, double_field(1, value) + field(2, 0, varint(at_ms)))


def exemplar(pairs, at_ms, value):
    return field(3, 2, labels(pairs) + double_field(2, value) + field(3, 0, varint(at_ms)))


def histogram(at_ms, counts, is_float, schema=2, hint=0, total=0.0):
    """One with a span of positive buckets with these counts, and one of negative ones."""
    body = double_field(3, total) + field(4, 0, zigzag(schema)) + double_field(5, 2.0 ** -128)
    spans = field(1, 0, zigzag(-2)) + field(2, 0, varint(len(counts)))
    deltas = [b - a for a, b in zip([0] + counts[:-1], counts)]
    body += field(11, 2, spans) + field(8, 2, spans)
    if is_float:
        packed = b"".join(struct.pack("<d", count) for count in counts)
        body += double_field(2, 2.0 * sum(counts) + 3) + double_field(7, 3.0)
        body += field(13, 2, packed) + field(10, 2, packed)
    else:
        packed = b"".join(zigzag(delta) for delta in deltas)
        body += field(1, 0, varint(2 * sum(counts) + 3)) + field(6, 0, varint(3))
        body += field(12, 2, packed) + field(9, 2, packed)
    return field(4, 2, body + field(14, 0, varint(hint)) + field(15, 0, varint(at_ms)))


def series(pairs, *parts):
    return field(1, 2, labels(pairs) + b"".join(parts))
