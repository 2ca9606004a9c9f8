#!/usr/bin/python3
"""A disk that is full, room again, a kill: what was acknowledged is there, and everything goes on by itself.

    full_disk.py PROGRAM SECONDS [SEED]

The disk is a tmpfs of its own, in a namespace of mounts that ends with this process; where none can be made the
campaign is skipped. It is filled by somebody else until the key-value store's reserve alone is free, then to its
last page.
"""

import os
import subprocess
import sys
import time

from stores import PATIENCE_S, Everything, Stores, Wrong, campaign, ends_well

DISK_BYTES = 112 << 20
RESERVE_BYTES = 64 << 20  # of the key-value store
VALUE_BYTES = 20000
FULL = "the disk is full: the store refuses writes"
ROOM = "the disk has room again: the store takes writes"
IN_NAMESPACE = "QUARRY_CAMPAIGN_MOUNTS"
SKIPPED = 77


def free_bytes(disk):
    facts = os.statvfs(disk)
    return facts.f_bavail * facts.f_frsize


class Filler:
    """Somebody else's file."""

    def __init__(self, disk):
        self.disk = disk
        self.path = os.path.join(disk, "filler")
        self.byte_count = 0

    def leave(self, count):
        """Leaves so many bytes of the disk free, or fewer."""
        with open(self.path, "ab") as file:
            while (more := free_bytes(self.disk) - count) > 0:
                try:
                    os.posix_fallocate(file.fileno(), self.byte_count, more)
                    self.byte_count += more
                except OSError:  # the server was faster
                    continue

    def go(self):
        os.remove(self.path)


def write_until(server, stores, store, is_refused):
    """Writes until it is refused, or is not any more."""
    end = time.monotonic() + PATIENCE_S
    while True:
        before = store.acknowledged_count, store.refused_count
        if is_refused and store is stores.sampled:
            store.weigh_down(server)  # what is preallocated is used up
        store.write(server)
        after = store.acknowledged_count, store.refused_count
        if (after[1] > before[1]) if is_refused else (after[1] == before[1] and after[0] > before[0]):
            return
        if time.monotonic() > end:
            raise Wrong(f"{type(store).__name__} is still {'taken' if is_refused else 'refused'}, with "
                        f"{store.refusal}; of the disk {free_bytes(server.folder)} bytes are free")


def fill(server, stores, filler):
    """The disk becomes full under the stores: those that write to it refuse, with the reason."""
    filler.leave(RESERVE_BYTES + (4 << 20))
    stores.write(server)
    filler.leave(RESERVE_BYTES - (1 << 20))
    write_until(server, stores, stores.kept, True)
    if "full" not in stores.kept.refusal:
        raise Wrong(f"a full disk is told as {stores.kept.refusal}")
    told = server.wait_for(FULL)
    if not 0 < int(told["free_bytes"]) < RESERVE_BYTES or "make room" not in told["do"]:
        raise Wrong(f"the log tells of a full disk with {told}")
    stores.sampled.write(server)  # whose log has no reserve
    filler.leave(0)
    write_until(server, stores, stores.sampled, True)
    stores.cached.write(server)


def opens_or_says_why(disk):
    """On a disk without a byte: what the log had has to be written before anything is served."""
    with Everything(folder=disk) as server:
        try:
            server.ready()
            ends_well(server)
        except AssertionError as wrong:
            if server.wait() != 1 or "No space left on device" not in server.log():
                raise Wrong(f"it does not open, nor say why:\n{server.log()[-2000:]}") from wrong


def run_round(disk, seed):
    stores, filler = Stores(seed, VALUE_BYTES), Filler(disk)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", disk], check=True)
    try:
        # Every other time the cache's file is on that disk too.
        kept = {"QUARRY_CACHE_FILE": "data" if seed % 2 == 0 else "off"}
        with Everything(folder=disk, environment=kept) as server:
            server.wait_until_read()
            stores.write(server)
            for count in range(1, 3):
                fill(server, stores, filler)
                stores.check(server)
                filler.go()
                filler.byte_count = 0
                write_until(server, stores, stores.kept, False)
                write_until(server, stores, stores.sampled, False)
                server.wait_for(ROOM, count)
                stores.check(server)
            fill(server, stores, filler)
            server.process.kill()
            server.wait()
        opens_or_says_why(disk)
        filler.go()
        filler.byte_count = 0
        filler.leave(RESERVE_BYTES // 4)
        with Everything(folder=disk) as server:  # a part of the reserve is enough
            found = stores.check(server)
            filler.go()
            write_until(server, stores, stores.kept, False)
            write_until(server, stores, stores.sampled, False)
            stores.check(server)
            ends_well(server)
        with Everything(folder=disk) as server:
            stores.check(server)
            ends_well(server)
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)
    return {"times full": 3, "writes acknowledged": stores.acknowledged(), "values found after a kill": found,
            "refused": sum(store.refused_count for store in stores.all)}


def enter_namespace():
    """Begins anew in a namespace of mounts, as root of it. Returns: where there can be none."""
    os.environ[IN_NAMESPACE] = "1"
    for options in (["--mount"], ["--mount", "--user", "--map-root-user"]):
        command = ["unshare", *options, "--propagation", "private"]
        probe = command + ["mount", "-t", "tmpfs", "none", "/mnt"]
        if subprocess.run(probe, check=False, capture_output=True).returncode == 0:
            os.execvp(command[0], command + [sys.executable] + sys.argv)


if __name__ == "__main__":
    if IN_NAMESPACE not in os.environ:
        enter_namespace()
        print("no namespace of mounts can be made: skipped")
        sys.exit(SKIPPED)
    sys.exit(campaign(run_round, __doc__))
