"""Programs of Debian's packages that would start a service if they were installed: unpacked, and not installed."""

import fcntl
import glob
import os
import shutil
import subprocess

DIRECTORY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "build", "peers")


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
