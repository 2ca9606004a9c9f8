#!/usr/bin/python3
"""Bytes of a stopped server's files are changed, lost or zeroed: it starts, or says which file is wrong.

    damaged_files.py PROGRAM SECONDS [SEED]

Whatever it does, no value is one that nobody has written: each names its key and version, and is compared byte by
byte. What was in the damaged part may be missing. Of the cache's file it is asked that the server starts and answers
in whole frames: its values have no checksums (docs/formats/cache-file.md), and there one may be found changed.
"""

import copy
import os
import random
import shutil
import signal
import sys

from stores import Everything, Stores, Wrong, campaign

DAMAGES = ("flip", "cut", "zero", "grow", "swap")
# Of one store: enough for each kind of file to have its turn after some rounds.
ROUND_DAMAGES = 7
KEPT = {"QUARRY_CACHE_FILE": "data"}


def files_below(folder):
    """All files with bytes in them."""
    found = [os.path.join(path, name) for path, _, names in os.walk(folder) for name in names]
    return sorted(path for path in found if os.path.isfile(path) and os.path.getsize(path) > 0)


def damage(path, kind, chance):
    """Damages a file. Returns: where."""
    size = os.path.getsize(path)
    # Half of the time near an end, where heads and tables of contents are.
    at = chance.choice([chance.randrange(size), chance.randrange(min(size, 64)), size - 1 - chance.randrange(min(size, 64))])
    with open(path, "r+b") as file:
        if kind == "cut":
            file.truncate(at)
        elif kind == "grow":
            file.seek(size)
            file.write(chance.randbytes(chance.randrange(1, 5000)))
        else:
            file.seek(at)
            count = {"flip": 1, "zero": 512, "swap": 4096}[kind]
            old = file.read(count)
            if kind == "flip":
                new = bytes([old[0] ^ 1 << chance.randrange(8)])
            elif kind == "zero":
                new = bytes(len(old))
            else:  # a block of somewhere else
                file.seek(chance.randrange(size))
                new = file.read(len(old))
            file.seek(at)
            file.write(new)
    return at


def look(folder, stores, what):
    """Whether it started."""
    with Everything(folder=folder, environment=KEPT) as server:
        try:
            server.ready()
        except AssertionError as wrong:
            status = server.wait()
            if status != 1 or os.path.splitext(what[1])[0] not in server.log():
                raise Wrong(f"{what}: it ended with {status} and does not name the file:\n"
                            f"{server.log()[-2000:]}") from wrong
            return False
        try:
            stores.cached.is_garbled = what[1] == "items"
            stores.check(server, may_miss=True)
            stores.write(server)
        except (Wrong, OSError, AssertionError) as wrong:
            raise Wrong(f"{what}: {wrong!r}\n{server.log()[-2000:]}") from wrong
        server.signal(signal.SIGTERM)
        if server.wait() not in (0, 1):  # 1: not all could be written
            raise Wrong(f"{what}: it ended with {server.process.returncode}\n{server.log()[-2000:]}")
        return True


def fill(folder, stores, is_killed):
    with Everything(folder=folder, environment=KEPT) as server:
        server.wait_until_read()
        for _ in range(6):
            stores.write(server)
        if is_killed:
            server.process.kill()
        else:
            server.signal(signal.SIGTERM)
        server.wait()


def run_round(folder, seed):
    chance, stores = random.Random(seed), Stores(seed)
    told = {"files damaged": 0, "starts": 0, "refusals that name the file": 0}
    whole, damaged = os.path.join(folder, "whole"), os.path.join(folder, "damaged")
    os.mkdir(whole)
    fill(whole, stores, is_killed=False)
    fill(whole, stores, is_killed=seed % 2 == 0)
    for _ in range(ROUND_DAMAGES):
        shutil.copytree(whole, damaged)
        # A kind of file first, so that the few are not lost among the many.
        by_kind = {}
        for path in files_below(os.path.join(damaged, "data")):
            by_kind.setdefault(os.path.splitext(path)[1] or os.path.basename(path).split("-")[0], []).append(path)
        path = chance.choice(by_kind[chance.choice(sorted(by_kind))])
        kind = chance.choice(DAMAGES)
        what = kind, os.path.basename(path), damage(path, kind, chance)
        is_started = look(damaged, copy.deepcopy(stores), what)
        told["files damaged"] += 1
        told["starts" if is_started else "refusals that name the file"] += 1
        shutil.rmtree(damaged)
    return told


if __name__ == "__main__":
    sys.exit(campaign(run_round, __doc__))
