#!/usr/bin/python3
"""Good clients and hostile ones at all doors at once: the good are served right, and memory stays in the budget.

    hostile_mix.py PROGRAM SECONDS [SEED]

What the process has resident at most is compared with the limit and what may come to it: 2 % of it, at least 32 MiB.
"""

import sys

from hostile import Hostile
from stores import Everything, Stores, Wrong, campaign, ends_well

BUDGET_BYTES = 128 << 20
SLACK_BYTES = 32 << 20
ROUND_LAPS = 12


def run_round(folder, seed):
    stores = Stores(seed)
    with Everything("--set", "tsdb.series_max=200000", folder=folder, memory=f"{BUDGET_BYTES >> 20}m") as server:
        server.wait_until_read()
        stores.write(server)
        hostile = Hostile([server.pair(protocol) for protocol in ("memcached", "resp", "http")], seed)
        hostile.begin(hostile.send_garbage, hostile.send_noise, hostile.come_and_go, hostile.never_read, hostile.drip,
                      hostile.ask_much)
        try:
            for _ in range(ROUND_LAPS):
                stores.write(server)
                stores.cached.check(server)
                stores.kept.check(server)
        finally:
            hostile.end()
        resident_bytes = server.most_resident_bytes()
        if resident_bytes > BUDGET_BYTES + SLACK_BYTES:
            raise Wrong(f"{resident_bytes >> 20} MiB were resident, of a limit of {BUDGET_BYTES >> 20} MiB")
        found = stores.check(server)
        ends_well(server)
    return {"hostile acts": hostile.count, "acknowledged": stores.acknowledged(), "values looked at": found,
            "refused": sum(store.refused_count for store in stores.all),
            "most MiB resident": resident_bytes >> 20}


if __name__ == "__main__":
    sys.exit(campaign(run_round, __doc__))
