#!/usr/bin/python3
"""Floods of connections, and clients that are slow at sending and at taking: others are served, and nothing is left.

    floods.py PROGRAM SECONDS [SEED]

Each kind of flood comes alone. Meanwhile a good client is served at each door; what that costs the server is counted as
its own time on the processor. Afterwards it has as many sockets as before.
"""

import resource
import sys
import time

from hostile import Hostile
from stores import PATIENCE_S, Everything, Stores, Wrong, campaign, ends_well

ROUND_LAPS = 2
FLOODS = ("come_and_go", "drip", "never_read", "send_noise")
# Threads of a flood.
WIDTH = 3
# Cut after a second, so that the end need not be waited for.
SHORT = ["--set", "net.line_timeout=1s", "--set", "net.body_grace=1s", "--set", "net.reader_timeout=1s"]


def calm_count(server):
    """Its sockets when nobody is connected but who asks."""
    end = time.monotonic() + PATIENCE_S
    while True:
        with server.connect() as link:
            link.send("stats\r\n")
            figures = dict(line.split(" ", 2)[1:] for line in iter(link.line, "END"))
        if figures["curr_connections"] == "1":
            return server.socket_count()
        if time.monotonic() > end:
            raise Wrong(f"{figures['curr_connections']} connections are open, and nobody has them")
        time.sleep(0.02)


def wait_for_calm(server, sockets):
    """Waits until what the flood has taken is given back."""
    end = time.monotonic() + PATIENCE_S
    while (count := server.socket_count()) > sockets:
        if time.monotonic() > end:
            raise Wrong(f"{count} sockets are open, {sockets} were before the flood")
        time.sleep(0.02)


def run_round(folder, seed):
    stores, acts, laps = Stores(seed), 0, 0
    with Everything(*SHORT, folder=folder) as server:
        server.wait_until_read()
        stores.write(server)
        stores.check(server)
        sockets = calm_count(server)
        for name in FLOODS:
            hostile = Hostile([server.pair(protocol) for protocol in ("memcached", "resp", "http")], seed)
            hostile.begin(*[getattr(hostile, name)] * WIDTH)
            try:
                # Until the flood has come too, however slow the machine is.
                for lap in range(1000):
                    stores.write(server)
                    laps += 1
                    if lap >= ROUND_LAPS - 1 and hostile.count >= WIDTH:
                        break
            finally:
                hostile.end()
            acts += hostile.count
            wait_for_calm(server, sockets)
        if any(store.refused_count for store in stores.all):
            raise Wrong(f"good clients were refused: {[store.refusal for store in stores.all]}")
        found = stores.check(server)
        ends_well(server)
    return {"acts of floods": acts, "laps of good clients": laps, "acknowledged": stores.acknowledged(),
            "values looked at": found}


if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    sys.exit(campaign(run_round, __doc__))
