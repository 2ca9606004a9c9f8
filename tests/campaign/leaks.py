#!/usr/bin/python3
"""The same work for as long as one likes: what the server holds must not grow with it.

    leaks.py PROGRAM SECONDS [SEED]

Laps of writes, reads, connections and queries of the same keys and series. Of the second half of the laps the slope of
resident memory is taken by least squares, and of sockets and threads the last is compared with the first. A short
run shows that the work is done; the slope is judged from FIGURES laps on, for memory that is taken once looks like a
leak before.
"""

import os
import random
import sys
import tempfile
import time

from stores import Cached, Everything, Kept, Wrong, ends_well, set_program

LAPS_MIN = 20
FIGURES = 400
# Of the limit, an hour.
GROWTH_PERCENT_HOUR_MAX = 10
LIMIT_BYTES = 128 << 20


def slope(points):
    """Of pairs, by least squares."""
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    over = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / over if over else 0.0


def bring(door):
    page = "".join(f'steady{{s="{s}"}} {s}\n' for s in range(50))
    status, text = door.bring(page)
    if status not in (200, 204):
        raise Wrong(f"samples are answered with {status} {text}")


def lap(server, stores, chance):
    for store in stores:
        store.write(server)
        store.check(server)
    door = server.http_door()
    if chance.randrange(10) == 0:  # samples stay: not so many that they look like a leak
        bring(door)
    for path in ("/metrics", "/api/v1/query?query=sum(steady)", "/api/v1/status/tsdb"):
        if door.ask("GET", path)[0] != 200:
            raise Wrong(f"{path} is not answered")


def counts(server):
    return server.socket_count(), len(os.listdir(f"/proc/{server.process.pid}/task"))


def run(folder, seconds, seed):
    chance, stores, figures = random.Random(seed), [Cached(seed, b"cached"), Kept(seed + 1, b"kept")], []
    # The block cache is full soon: a cache that fills is no leak.
    with Everything("--set", "kv.memory=8m", folder=folder, memory=f"{LIMIT_BYTES >> 20}m") as server:
        server.wait_until_read()
        begin = time.monotonic()
        for _ in range(LAPS_MIN):
            lap(server, stores, chance)
        first = counts(server)
        while len(figures) < LAPS_MIN or time.monotonic() - begin < seconds:
            lap(server, stores, chance)
            figures.append((time.monotonic() - begin, server.resident_bytes()))
        last = counts(server)
        if last[0] > first[0] + 4 or last[1] > first[1]:
            raise Wrong(f"{first} sockets and threads were open, {last} are in the end")
        half = figures[len(figures) // 2:]
        growth = 100 * 3600 * slope(half) / LIMIT_BYTES
        is_judged = len(figures) >= FIGURES
        print(f"{len(figures)} laps, {half[-1][1] >> 20} MiB resident" +
              (f", {growth:+.2f} % of the limit an hour" if is_judged else ""))
        if is_judged and growth > GROWTH_PERCENT_HOUR_MAX:
            raise Wrong("that is a leak")
        ends_well(server)


def main():
    if len(sys.argv) not in (3, 4):
        print(__doc__)
        return 2
    set_program(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="quarry-campaign-") as folder:
        try:
            run(folder, float(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 1)
        except (Wrong, AssertionError, OSError) as wrong:
            print(f"it failed: {wrong}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
