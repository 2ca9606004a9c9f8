"""twemproxy (nutcracker) in front of the server, and clients of it: what the tests of both protocols share."""

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from peers import find_program, free_port  # noqa: E402

SKIPPED = 77
CLIENTS = 8
TURNS = 50


def skip(why):
    print(why)
    sys.exit(SKIPPED)


def start(program, directory, port, protocol):
    """The proxy, listening. `protocol`: a line of the pool's configuration."""
    with open(f"{directory}/nutcracker.yml", "w") as config:
        config.write(f"quarry:\n  listen: 127.0.0.1:{port}\n  hash: fnv1a_64\n  distribution: ketama\n{protocol}"
                     f"  server_connections: 2\n  servers:\n   - {os.environ['HOST']}:{os.environ['PORT']}:1\n")
    proxy = subprocess.Popen([program, "-c", config.name, "-s", str(free_port()), "-o", f"{directory}/log",
                              "-p", f"{directory}/pid"])
    for _ in range(1200):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except OSError:
            time.sleep(0.05)
    return proxy


def exercise(client, name, turn, errors):
    """Everything that `turn` does, on keys of this client's own."""
    def check(what, found, wanted):
        if found != wanted:
            errors.append(f"{name} {what}: found {found!r}, wanted {wanted!r}")

    for number in range(TURNS):
        turn(client, f"{name}.{number}", check)


def run(connect, turn, protocol=""):
    """Runs `turn(client, key, check)` again and again with many clients of the proxy at once, each of which
    `connect(port)` makes. Returns: the exit code."""
    program = find_program("nutcracker", "nutcracker")
    if program is None:
        skip("nutcracker cannot be had")
    port = free_port()
    errors = []
    with tempfile.TemporaryDirectory(prefix="quarry-nutcracker-") as scratch:
        proxy = start(program, scratch, port, protocol)
        try:
            threads = [threading.Thread(target=exercise, args=(connect(port), f"client{i}", turn, errors))
                       for i in range(CLIENTS)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            proxy.terminate()
            proxy.wait(60)
    print("\n".join(errors[:20]) or "all right")
    return 1 if errors else 0
