#!/usr/bin/python3
"""One scripted target, scraped by Quarry and by Prometheus 2.42: the same series, the same bits, the same stale markers.

    scrape_test.py SCRAPE_TOOL BLOCK_TOOL

Each scraper gets the pages of the script in their order, whenever it asks; what it kept of the n-th is found by the n-th time of `up`.
"""
import gzip
import http.server
import os
import re
import subprocess
import sys
import tempfile
import threading

from prometheus import Prometheus, program, run

# Also the timeout. On a machine too slow for the first, another is tried: a page that comes late is another script.
INTERVALS_MS = [250, 1000, 4000, 15000]
SAMPLE_LIMIT = 6
TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

# Status, type, body. A fault is in the first line of its page: Prometheus writes no stale markers for series before one, which is
# noted in docs/tsdb.md.
PAGES = [
    (200, TEXT, 'a 1\nb{x="1"} 2\nc{job="own",instance="i"} 3\n'),
    (200, TEXT, 'a 2\nb{x="1"} NaN\nc{job="own",instance="i"} 4\n'),
    (200, TEXT, "a 3\n"),
    (500, TEXT, "a 4\n"),
    (200, TEXT, 'a 5\nb{x="1"} 6\n'),
    (200, TEXT, "!garbage\n"),
    (200, TEXT, 'a 7\nd{x="1",y="2"} +Inf\nc{job="own",exported_job="theirs"} 1\n'),
    (200, TEXT, 'a 8\nd{y="2",x="1"} -Inf\n'),
    (200, OPENMETRICS, "# TYPE e counter\ne_total 9\n# EOF\n"),
    (200, OPENMETRICS, "e_total ten\n# EOF\n"),
    (200, TEXT, "a 11\nf 1\nf 2\n"),
    (200, "gzip", "a 12\n"),
    (200, TEXT, ""),
    (200, TEXT, "".join(f"a {value}\n" for value in range(SAMPLE_LIMIT + 1))),
    (200, TEXT, 'a 13\nh{x=""} 1\n'),
    (200, TEXT, "a 14 1000\n"),
    (200, TEXT, "a 15\n"),
]

# Those that leave up at 0.
FAILING = {3, 5, 9, 13}


class Target(http.server.ThreadingHTTPServer):
    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Condition()
        self.counts = {"Quarry": 0, "Prometheus": 0}
        self.address = f"127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def next_page(self, who):
        with self.lock:
            number = self.counts[who]
            self.counts[who] += 1
            self.lock.notify_all()
        return PAGES[min(number, len(PAGES) - 1)]

    def wait(self):
        """Until all pages were asked for by both, and one more, so that the last was worked on."""
        with self.lock:
            assert self.lock.wait_for(lambda: min(self.counts.values()) > len(PAGES) + 1, 500), self.counts


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        status, kind, body = self.server.next_page(self.headers["User-Agent"].split("/")[0])
        body = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", TEXT if kind == "gzip" else kind)
        if kind == "gzip":
            assert "gzip" in self.headers["Accept-Encoding"]
            self.send_header("Content-Encoding", "gzip")
            body = gzip.compress(body)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            pass  # a scraper that ends waits for nothing

    def log_message(self, *_):
        pass


def parse(text):
    """{labels: {time: bits}} of lines `series` and `sample`."""
    names, found = {}, {}
    for line in text.splitlines():
        kind, rest = line.split(" ", 1)
        if kind == "series":
            ref, labels = rest.split(" ", 1)
            names[ref] = frozenset(re.findall(r'([A-Za-z_]\w*)="([^"]*)"', labels))
            found.setdefault(names[ref], {})
        elif kind == "sample":
            ref, at, bits = rest.split()[:3]
            # A log has also what was left out when it was committed: a second value of one moment.
            found[names[ref]].setdefault(int(at), int(bits, 16))
    return found


def by_page(found):
    """{labels: {number of the page: bits}}; of durations only that they are there."""
    (up,) = [times for labels, times in found.items() if ("__name__", "up") in labels]
    numbers = {at: number for number, at in enumerate(sorted(up))}
    pages = {}
    for labels, times in found.items():
        kept = {numbers.get(at, f"at {at}"): bits for at, bits in times.items()
                if at not in numbers or numbers[at] < len(PAGES)}
        if ("__name__", "scrape_duration_seconds") in labels:
            kept = {number: "some" for number in kept}
        if kept:
            pages[labels] = kept
    return pages


def ups(pages):
    (up,) = [kept for labels, kept in pages.items() if ("__name__", "up") in labels]
    return [up[number] != 0 for number in range(len(PAGES))]


def theirs(target, tool, folder, interval_ms):
    data = f"{folder}/prometheus"
    os.makedirs(data)
    prometheus = Prometheus(data, f"""
global: {{scrape_interval: {interval_ms}ms, scrape_timeout: {interval_ms}ms}}
scrape_configs:
- {{job_name: j, sample_limit: {SAMPLE_LIMIT}, static_configs: [{{targets: ["{target.address}"]}}]}}
""")

    def end():
        prometheus.end()
        return by_page(parse(run(tool, "head", data)))
    return end


def ours(target, tool, interval_ms):
    process = subprocess.Popen([tool, target.address, str(interval_ms), str(SAMPLE_LIMIT)], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return lambda: by_page(parse(process.communicate(timeout=120)[0]))


def scrape(scrape_tool, block_tool, interval_ms):
    """What both have kept, ours first."""
    target = Target()
    with tempfile.TemporaryDirectory(prefix="quarry-scrape-") as folder:
        end_theirs = theirs(target, block_tool, folder, interval_ms)
        end_ours = ours(target, scrape_tool, interval_ms)
        target.wait()
        return end_ours(), end_theirs()


def main():
    program("prometheus")
    expected = [number not in FAILING for number in range(len(PAGES))]
    for interval_ms in INTERVALS_MS:
        found, wanted = scrape(*sys.argv[1:], interval_ms)
        if ups(found) == ups(wanted) == expected:
            break
    else:
        sys.exit(f"up: Quarry {ups(found)}, Prometheus {ups(wanted)}, expected {expected}")
    for labels in sorted(found.keys() | wanted.keys(), key=sorted):
        mine, other = found.get(labels, {}), wanted.get(labels, {})
        assert mine == other, f"{sorted(labels)}:\n  Quarry     {mine}\n  Prometheus {other}"
    stale = sum(bits == 0x7FF0000000000002 for pages in found.values() for bits in pages.values())
    print(f"{len(found)} series, {sum(map(len, found.values()))} samples, {stale} of them stale markers: the same")


if __name__ == "__main__":
    main()
