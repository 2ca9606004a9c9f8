#!/usr/bin/env python3
"""kill.py QUARRY [--kills N] [--seed SEED] [--memory SIZE]

A server is killed under writers, again and again, now and then while it opens its store. What it
acknowledged is there, at `process` and at `power`; transactions are there whole or not at all.
"""

import argparse
import random
import shlex
import signal
import sys
import tempfile
import time

from ledger import Ledger, Wrong
from servers import Quarry

# Small, so that memtables are written and files compacted in every life.
SMALL = ["--set", "kv.write_buffer=256k", "--threads", "2", "--http", "off"]


def live_and_die(ledger, folder, draw, memory):
    durability = draw.choice(["process", "process", "power"])
    with Quarry("--durability", durability, *memory, *SMALL, folder=folder) as server:
        if draw.randrange(5) == 0:  # while it opens
            time.sleep(draw.uniform(0, 0.1))
            server.signal(signal.SIGKILL)
            return
        with server.link() as link:
            ledger.check(link)
        threads = ledger.begin(server)
        time.sleep(draw.uniform(0, 0.3))
        ledger.may_end = True
        server.signal(signal.SIGKILL)
        for thread in threads:
            thread.join()
        if server.wait() != -signal.SIGKILL:
            raise Wrong(f"it ended by itself:\n{server.log()[-2000:]}")


def check_at_the_end(ledger, folder, memory):
    with Quarry(*memory, *SMALL, folder=folder) as server:
        with server.link() as link:
            ledger.check(link)
        if server.end() != 0:
            raise Wrong(f"it does not end well:\n{server.log()[-2000:]}")


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("quarry")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--memory", default="8m", help="of the store")
    asked = parser.parse_args()
    memory = ["--set", f"kv.memory={asked.memory}"]
    Quarry.program = shlex.split(asked.quarry)
    draw, ledger, life = random.Random(asked.seed), Ledger(asked.seed), 0
    with tempfile.TemporaryDirectory(prefix="quarry-resp-kill-") as folder:
        try:
            for life in range(asked.kills):
                live_and_die(ledger, folder, draw, memory)
            check_at_the_end(ledger, folder, memory)
        except Wrong as wrong:
            print(f"life {life} of seed {asked.seed}: {wrong}")
            return 1
    print(f"{asked.kills} kills, {ledger.written()} counts and transactions acknowledged, none lost")
    return 0


if __name__ == "__main__":
    sys.exit(main())
