#!/usr/bin/python3
"""twemproxy (nutcracker) in front of the server: what it passes on, through it, from many clients at once.

    nutcracker_test.py DIRECTORY

Debian's package would start a service, so that it is unpacked into DIRECTORY and not installed. Skipped when it cannot
be had.
"""

import glob
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

SKIPPED = 77

try:
    from pymemcache.client.base import Client
except ImportError:
    print("python3-pymemcache is missing")
    sys.exit(SKIPPED)


def find_program(directory):
    """The proxy's program: installed, unpacked already, or unpacked now."""
    unpacked = f"{directory}/usr/sbin/nutcracker"
    installed = shutil.which("nutcracker", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if installed or os.path.exists(unpacked):
        return installed or unpacked
    os.makedirs(directory, exist_ok=True)
    try:
        subprocess.run(["apt-get", "-q", "download", "nutcracker"], cwd=directory, check=True, capture_output=True,
                       timeout=60)
        (package,) = glob.glob(f"{directory}/nutcracker_*.deb")
        subprocess.run(["dpkg", "-x", package, directory], check=True, timeout=60)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return unpacked


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(program, directory, port):
    with open(f"{directory}/nutcracker.yml", "w") as config:
        config.write(f"quarry:\n  listen: 127.0.0.1:{port}\n  hash: fnv1a_64\n  distribution: ketama\n"
                     f"  server_connections: 2\n  servers:\n   - {os.environ['HOST']}:{os.environ['PORT']}:1\n")
    proxy = subprocess.Popen([program, "-c", config.name, "-s", str(free_port()), "-o", f"{directory}/log",
                              "-p", f"{directory}/pid"])
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except OSError:
            time.sleep(0.05)
    return proxy


def exercise(client, name, errors):
    """Everything the proxy passes on, on keys of this client's own."""
    def check(what, found, wanted):
        if found != wanted:
            errors.append(f"{name} {what}: found {found!r}, wanted {wanted!r}")

    for turn in range(50):
        key = f"{name}.{turn}"
        check("set", client.set(key, b"b"), True)
        check("add", client.add(key, b"x"), False)
        check("replace", client.replace(key, b"b"), True)
        check("append", client.append(key, b"c"), True)
        check("prepend", client.prepend(key, b"a"), True)
        check("get", client.get(key), b"abc")
        value, cas = client.gets(key)
        check("gets", value, b"abc")
        check("cas", client.cas(key, b"1", cas), True)
        check("cas again", client.cas(key, b"2", cas), False)
        check("incr", client.incr(key, 41), 42)
        check("decr", client.decr(key, 2), 40)
        check("touch", client.touch(key, 1000), True)
        values = {f"{key}.{i}": bytes([65 + i]) * 1000 for i in range(20)}
        client.set_many(values)
        check("get many", client.get_many(list(values) + ["absent"]), values)
        check("delete", client.delete(key), True)
        check("get what is gone", client.get(key), None)


def main():
    program = find_program(sys.argv[1])
    if program is None:
        print("nutcracker cannot be had")
        return SKIPPED
    port = free_port()
    errors = []
    with tempfile.TemporaryDirectory(prefix="quarry-nutcracker-") as directory:
        proxy = start(program, directory, port)
        try:
            clients = [Client(("127.0.0.1", port), timeout=10, default_noreply=False) for _ in range(8)]
            threads = [threading.Thread(target=exercise, args=(client, f"client{i}", errors))
                       for i, client in enumerate(clients)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            proxy.terminate()
            proxy.wait(10)
    print("\n".join(errors[:20]) or "all right")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
