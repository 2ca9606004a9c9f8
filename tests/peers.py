"""What tests need of other servers: a port, and programs of Debian's packages that would start a service if they were
installed, which are unpacked instead."""

import fcntl
import glob
import os
import random
import shutil
import socket
import subprocess

DIRECTORY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "build", "peers")


def free_port():
    """A port of loopback that nobody has, below those that the kernel gives to clients.

    One of theirs may be taken by a client before the server has it, or by who waits for the server: connected
    to itself.
    """
    while True:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", random.randrange(20000, 32000)))
                return probe.getsockname()[1]
            except OSError:
                pass


def find_program(package, program, directory=DIRECTORY):
    """Its path: installed, unpacked already, or unpacked now. None: it cannot be had."""
    installed = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin")
    if installed:
        return installed
    folder = os.path.join(os.path.abspath(directory), package)
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run side by side
        found = glob.glob(f"{folder}/usr/*bin/{program}")
        return found[0] if found else unpack(package, program, folder)


def unpack(package, program, folder):
    try:
        subprocess.run(["apt-get", "-q", "download", package], cwd=folder, check=True, capture_output=True, timeout=300)
        (archive,) = glob.glob(f"{folder}/{package}_*.deb")
        subprocess.run(["dpkg", "-x", archive, folder], check=True, timeout=120)
        os.remove(archive)
        (found,) = glob.glob(f"{folder}/usr/*bin/{program}")
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return found
