#!/usr/bin/python3
"""The machine's clock jumps: by seconds, days and years, forth and back. Nothing stalls, and nothing expires that did not.

    clock_jumps.py PROGRAM SECONDS [SEED]

A library that is preloaded (moved_clock.c) moves the calendar's clock under the server and leaves the monotonic one,
as a machine does whose clock is set. What lives for a monotonic while must live on; what expires by the calendar, as
keys of the RESP door do, goes when its time has come by that clock. The library lies beside the program, in ../lib.
"""

import os
import random
import struct
import sys

from stores import Everything, Server, Stores, Wrong, campaign, ends_well

JUMPS_S = (-10 * 365 * 86400, -86400, -3600, -1, 1, 3600, 86400, 10 * 365 * 86400)
ROUND_JUMPS = 5
LIVES_S = 100000  # of an item of the cache: no jump is to end it


def find_library():
    return os.path.join(os.path.dirname(Server.program[-1]), os.pardir, "lib", "libmoved_clock.so")


def set_clock(path, offset_s):
    """Seen at the server's next look at the clock: the file is mapped there."""
    with open(path, "r+b" if os.path.exists(path) else "wb") as file:
        file.write(struct.pack("<q", offset_s))


def tick(server, stores):
    """All doors, once."""
    with server.connect() as link:
        if not (link.ask("version") or "").startswith("VERSION"):
            raise Wrong("the memcached door does not answer")
    stores.cached.write(server, 20)
    stores.kept.write(server, 20)
    if stores.kept.refused_count or stores.cached.refused_count:
        raise Wrong(f"refused: {stores.kept.refusal or stores.cached.refusal}")
    status, _, text = server.http_door().ask("GET", "/metrics")
    if status != 200 or b"quarry_" not in text:
        raise Wrong(f"the HTTP door answers {status}")


def check_expiry(server, is_to_live):
    """A key that expires an hour after the beginning by the calendar."""
    with server.resp_link() as link:
        answer = link.do("GET", "mortal")
    if answer.is_null() == is_to_live:
        raise Wrong(f"a key of the calendar's clock is {answer!r}")


def run_round(folder, seed):
    chance, stores = random.Random(seed), Stores(seed)
    clock = os.path.join(folder, "clock")
    set_clock(clock, 0)
    environment = {"LD_PRELOAD": find_library(), "MOVED_CLOCK": clock}
    with Everything(folder=folder, environment=environment) as server:
        server.wait_until_read()
        stores.write(server)
        with server.connect() as link:
            if link.ask(f"set immortal 0 {LIVES_S} 1\r\nx") != "STORED":
                raise Wrong("nothing is stored")
        with server.resp_link() as link:
            link.do("SET", "mortal", "x", "EX", "1800")
        # One first that must show, or else the clock is not the server's.
        for offset_s in (3600, *chance.choices(JUMPS_S, k=ROUND_JUMPS - 1)):
            set_clock(clock, offset_s)
            tick(server, stores)
            with server.connect() as link:
                if link.ask("get immortal") != "VALUE immortal 0 1":
                    raise Wrong(f"an item of the cache was ended by a jump of {offset_s} s")
            check_expiry(server, is_to_live=offset_s < 1800)
            stores.check(server)
            if offset_s >= 1800:
                with server.resp_link() as link:  # the next one needs another
                    set_clock(clock, 0)
                    link.do("SET", "mortal", "x", "EX", "1800")
        set_clock(clock, 0)
        tick(server, stores)
        stores.sampled.write(server)
        if stores.sampled.refused_count:
            raise Wrong(f"samples are refused: {stores.sampled.refusal}")
        found = stores.check(server)
        ends_well(server)
    return {"jumps": ROUND_JUMPS, "acknowledged": stores.acknowledged(), "values looked at": found}


if __name__ == "__main__":
    sys.exit(campaign(run_round, __doc__))
