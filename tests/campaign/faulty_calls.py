#!/usr/bin/python3
"""System calls that fail under the server, at random places: what was acknowledged stays, nothing wrong is answered.

    faulty_calls.py PROGRAM SECONDS [SEED]

strace puts the failures in: once at some call, at each n-th, or from some call on for good. The server may refuse
writes, lose connections and refuse to start; then it is killed, and without failures everything that it
acknowledged is there. Skipped where there is no strace, or it may not trace.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile

from stores import Everything, Server, Stores, Wrong, campaign, ends_well

SKIPPED = 77
# What the kernel may say of a call. Not write and read: the server has them for event counters, which do not fail.
MAPPING = "mmap,mprotect,madvise"
# Of those, before main: the dynamic loader does not survive a mapping that fails.
LOADER_CALLS = 250
FAULTS = (
    ("pwrite64,pwritev,pwritev2,writev", ("EIO", "ENOSPC", "EINTR", "EAGAIN")),
    ("fsync,fdatasync,msync,sync_file_range", ("EIO", "ENOSPC", "EINTR")),
    ("openat", ("EIO", "ENOSPC", "EMFILE", "ENFILE", "EACCES", "EINTR", "ENOMEM")),
    ("ftruncate,fallocate", ("EIO", "ENOSPC", "EINTR", "EOPNOTSUPP")),
    ("rename,renameat,renameat2,unlink,unlinkat", ("EIO", "ENOSPC", "EROFS")),
    ("pread64,preadv", ("EIO", "EINTR")),
    ("accept4", ("EMFILE", "ENFILE", "ENOMEM", "ECONNABORTED", "EINTR", "EPROTO")),
    ("recvfrom,recvmsg", ("ECONNRESET", "EINTR", "EAGAIN", "ENOMEM")),
    ("sendmsg,sendto", ("EPIPE", "EINTR", "EAGAIN", "ENOMEM")),
    (MAPPING, ("ENOMEM", "EAGAIN")),
    ("epoll_wait,epoll_pwait,epoll_ctl", ("EINTR",)),
    ("fstat,newfstatat,statfs,fstatfs,getdents64", ("EIO", "ENOMEM")),
    ("clone3,clone", ("EAGAIN",)),
)
# Nobody is served without these: for ever they would be a long wait.
OF_CLIENTS = ("accept4", "recvfrom,recvmsg", "sendmsg,sendto")
# What no kernel says for ever.
PASSING = ("EINTR", "EAGAIN", "ECONNABORTED")
ROUND_FAULTS = 2
LAPS = 3


def draw_fault(chance):
    """Returns: calls, what strace injects."""
    calls, errors = chance.choice(FAULTS)
    first = int(2 ** chance.uniform(0, 8)) + (LOADER_CALLS if calls == MAPPING else 0)
    error = chance.choice(errors)
    whens = [f"{first}", f"{first}+{chance.randrange(2, 40)}"]
    if error not in PASSING and calls not in OF_CLIENTS:
        whens.append(f"{first}+")
    return calls, f"error={error}:when={chance.choice(whens)}"


def known_calls(calls):
    """Those of this machine's: others have no names for some."""
    return ",".join("?" + call for call in calls.split(","))


def pid_of(strace):
    """The server that it traces."""
    with open(f"/proc/{strace}/task/{strace}/children", encoding="ascii") as children:
        return int(children.read().split()[0])


def kill_traced(server):
    """Kills what is traced, then waits for strace, which says how that ended."""
    try:
        os.kill(pid_of(server.process.pid), signal.SIGKILL)
    except (OSError, IndexError):
        server.process.kill()
    return server.wait()


def live(server, fault, stores):
    """Writes to it, whatever it answers. Returns: whether it became ready. Wrong: it ends otherwise than it should."""
    is_ready = True
    try:
        server.ready()
        for store in stores.all * LAPS:
            try:
                store.write(server, 20)
            except TimeoutError:  # it is not served, nor will others be
                break
            except OSError:  # its connection was lost, or not made
                pass
    except AssertionError as wrong:
        if server.process.poll() is None:
            raise Wrong(f"{fault}: it neither serves nor ends:\n{server.log()[-2000:]}") from wrong
        is_ready = False
    status = server.process.poll()
    if status == 127 and "error while loading shared libraries" in server.log():
        return False  # it did not come to its first line
    # strace ends as what it traces: by a signal of the same number, or with its status.
    if status not in (None, 1):
        raise Wrong(f"{fault}: it ended with {status}:\n{server.log()[-2000:]}")
    if status == 1 and not server.log():
        raise Wrong(f"{fault}: it ended and does not say why")
    return is_ready


def live_with(fault, folder, stores, trace):
    """A life of the server in which calls fail. Returns: whether it became ready."""
    calls, inject = known_calls(fault[0]), fault[1]
    program = Server.program
    Server.program = ["strace", "-f", "-qq", "--signal=none", "-o", trace, "-e", f"trace={calls}",
                      "-e", f"inject={calls}:{inject}"] + program
    try:
        # A call that strace takes away has the number -1 when the filter sees it, which is deadly there.
        with Everything("--set", "security.seccomp=off", folder=folder) as server:
            try:
                return live(server, fault, stores)
            finally:
                if server.process.poll() is None:  # strace would leave it behind
                    kill_traced(server)
    finally:
        Server.program = program


def injected_count(trace):
    with open(trace, encoding="utf-8", errors="replace") as lines:
        return sum("(INJECTED)" in line for line in lines)


def run_round(folder, seed):
    chance, stores = random.Random(seed), Stores(seed)
    told = {"faulty lives": 0, "of them ready": 0, "calls that failed": 0, "values looked at": 0}
    with tempfile.NamedTemporaryFile(prefix="quarry-trace-") as trace:
        with Everything(folder=folder) as server:
            server.wait_until_read()
            stores.write(server)
            server.process.kill()
            server.wait()
        for _ in range(ROUND_FAULTS):
            fault = draw_fault(chance)
            told["of them ready"] += live_with(fault, folder, stores, trace.name)
            told["faulty lives"] += 1
            told["calls that failed"] += injected_count(trace.name)
            try:
                with Everything(folder=folder) as server:
                    told["values looked at"] += stores.check(server)
                    stores.write(server)
                    ends_well(server)
            except (Wrong, AssertionError) as wrong:
                raise Wrong(f"after {fault}: {wrong}") from wrong
    told["acknowledged"] = stores.acknowledged()
    return told


def can_trace():
    return shutil.which("strace") and subprocess.run(["strace", "-qq", "-o", os.devnull, "true"], check=False,
                                                     capture_output=True).returncode == 0


if __name__ == "__main__":
    if not can_trace():
        print("there is no strace, or it may not trace: skipped")
        sys.exit(SKIPPED)
    sys.exit(campaign(run_round, __doc__))
