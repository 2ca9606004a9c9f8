#!/usr/bin/env python3
"""stage power.py QUARRY [--cuts N] [--seed SEED]

The power of a file system is cut under a server and its writers. At `power`, what was acknowledged
is there; at `process` the end may be lost, but not what WAITAOF had answered for. Then the same on a
disk whose syncs do nothing: of that something must be found missing, or else this would find nothing.
"""

import argparse
import os
import random
import shlex
import signal
import sys
import time

from kill import SMALL
from ledger import Ledger, Wrong
from servers import Quarry

STAGE_FD = 3
LIES_MAX = 50


def ask_stage(letter):
    os.write(STAGE_FD, letter)
    if os.read(STAGE_FD, 1) != letter:
        raise SystemExit("the stage has ended")


class Machine:
    """A computer with a disk, of which one folder is this machine's, and a ledger of what is on it."""

    def __init__(self, name, seed):
        self.data = os.path.join(os.environ["STAGE"], name)
        self.draw = random.Random(seed)
        self.ledger = Ledger(seed)
        self.may_lose = False

    def server(self, durability):
        return Quarry("--durability", durability, "--data", self.data, *SMALL)

    def cut_under(self, server):
        """Its power is cut; the server does not outlive that."""
        self.ledger.is_cut = True
        ask_stage(b"c")
        server.signal(signal.SIGKILL)
        server.wait()
        ask_stage(b"r")

    def live_and_end(self, durability):
        with self.server(durability) as server:
            threads = []
            try:
                if self.draw.randrange(5) == 0:  # while it opens
                    time.sleep(self.draw.uniform(0, 0.1))
                    return
                with server.link() as link:
                    self.ledger.check(link, self.may_lose)
                self.may_lose = durability != "power"
                threads = self.ledger.begin(server)
                time.sleep(self.draw.uniform(0, 0.3))
            finally:
                self.cut_under(server)
                for thread in threads:
                    thread.join()

    def check(self):
        with self.server("power") as server, server.link() as link:
            self.ledger.check(link, self.may_lose)


def cut(asked):
    machine = Machine("honest", asked.seed)
    for life in range(asked.cuts):
        try:
            machine.live_and_end(machine.draw.choice(["process", "power", "power"]))
        except Wrong as wrong:
            print(f"life {life} of seed {asked.seed}: {wrong}")
            return False
    machine.check()
    print(f"{asked.cuts} cuts, {machine.ledger.written()} counts and transactions, none lost")
    return True


def find_liar(seed, stage):
    """Whether a disk that lies is found out."""
    Quarry.program = [stage, "lie"] + Quarry.program
    machine = Machine("lying", seed)
    for life in range(LIES_MAX):
        try:
            machine.live_and_end("power")
        except (Wrong, AssertionError) as found:  # or it does not open
            print(f"a disk that lies was found out after {life} cuts: {str(found)[:300]}")
            return True
    print(f"{LIES_MAX} cuts of a disk that does not sync, and nothing was lost")
    return False


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("quarry")
    parser.add_argument("--stage", required=True, help="the program that runs this")
    parser.add_argument("--cuts", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    Quarry.program = shlex.split(asked.quarry)
    return 0 if cut(asked) and find_liar(asked.seed, asked.stage) else 1


if __name__ == "__main__":
    sys.exit(main())
