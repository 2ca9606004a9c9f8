#!/usr/bin/python3
"""go_check.py QUARRY PROGRAM: `go tool pprof` reads every profile, and its totals are those of the ledger.

PROGRAM plants a heap, of which the ledger counts every object, and samples tell what they estimate. A server at work
is asked for all of its profiles over HTTP, as the tool does for who gives it an address.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "serve"))
from server import Server, cpu_seconds, set_program  # noqa: E402

PATIENCE_S = 120
TOLERANCE = 0.05
TOTAL = re.compile(r"of (\d+)(\D*?) total")


def pprof_total(sample, source, home):
    """What the tool says that all samples are, in bytes or things; 0 of a profile without any."""
    shown = subprocess.run(["go", "tool", "pprof", "-top", "-unit=B", f"-sample_index={sample}", source],
                           capture_output=True, text=True, timeout=PATIENCE_S, env={**os.environ, "HOME": home})
    if shown.returncode != 0:
        sys.exit(f"go tool pprof {source}: {shown.stderr}")
    total = TOTAL.search(shown.stdout)
    return int(total.group(1)) if total else 0


def compare(name, total, ledger):
    """Says both. Returns: whether they are the same within the tolerance."""
    apart = abs(total - ledger) / max(ledger, 1)
    print(f"{name:45} pprof {total:>12}  ledger {ledger:>12}  {100 * apart:6.3f} % apart")
    return apart <= TOLERANCE


def check_planted(quarry, program, home):
    """The planted heap's profiles beside its ledger."""
    with subprocess.Popen([program, "all"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as planted:
        assert planted.stdout.readline() == "ready\n"
        heap = [quarry, "heap", str(planted.pid)]
        ledger = json.loads(subprocess.run([*heap, "--json", "--top", "0"], capture_output=True, check=True,
                                           timeout=PATIENCE_S).stdout)
        totals = ledger["totals"]
        alive = totals["alloc_count"] - totals["free_count"]
        wanted = (("heap", "alloc_objects", totals["alloc_count"]),
                  ("heap", "inuse_objects", alive),
                  ("heap", "inuse_space", ledger["object_bytes"]),
                  ("allocs", "alloc_objects", totals["alloc_count"]),
                  ("lifetimes", "allocated_objects", totals["alloc_count"]),
                  ("lifetimes", "deallocated_objects", totals["free_count"]),
                  ("lifetimes", "censored_space", ledger["object_bytes"]),
                  ("fragmentation", "pinned_spans", totals["pinned_span_bytes"]))
        good = True
        for kind, sample, expected in wanted:
            path = os.path.join(home, f"{kind}.pb.gz")
            subprocess.run([*heap, "--profile", kind, "--pprof", path], check=True, timeout=PATIENCE_S)
            good = compare(f"planted {kind}: {sample}", pprof_total(sample, path, home), expected) and good
        planted.stdin.close()
    return good


def work(server, stop):
    """Keeps a server at work."""
    load = "".join(f"set key{i} 0 0 100 noreply\r\n{'w' * 100}\r\n" for i in range(5000))
    with server.connect() as link:
        while not stop.is_set():
            link.send(load)
            link.ask("version")


def check_server(quarry, home):
    """A server's profiles over HTTP; that of CPU time beside what the kernel says that it used meanwhile."""
    set_program(quarry)
    with Server(http="127.0.0.1:0") as server:
        server.ready()
        address = f"http://{server.doors()[-1]['address']}/debug/pprof"
        stop = threading.Event()
        worker = threading.Thread(target=work, args=(server, stop))
        worker.start()
        try:
            for kind, sample in (("heap", "inuse_space"), ("allocs", "alloc_space"),
                                 ("lifetimes", "allocated_space"), ("fragmentation", "live_space")):
                print(f"server {kind}: {sample} {pprof_total(sample, f'{address}/{kind}', home)}")
            before, began = cpu_seconds(server), time.monotonic()
            samples = pprof_total("samples", f"{address}/profile?seconds=5", home)
            used = cpu_seconds(server) - before
            print(f"server profile: {samples / 100:.2f} s of CPU sampled in 5 s, "
                  f"{used:.2f} s used in {time.monotonic() - began:.2f} s")
        finally:
            stop.set()
            worker.join()
        server.end()
    return 0 < samples / 100 <= used + 0.02


def main():
    """Exit status 0: all of it is so."""
    quarry, program = sys.argv[1:]
    with tempfile.TemporaryDirectory() as home:
        good = check_planted(quarry, program, home)
        good = check_server(quarry, home) and good
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
