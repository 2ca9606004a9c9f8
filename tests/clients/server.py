#!/usr/bin/python3
"""Starts a server on a free port of loopback, runs a command beside it, ends it.

    server.py quarry PROGRAM COMMAND...       Quarry's program, memcached's protocol
    server.py memcached PROGRAM COMMAND...    Debian's, the reference
    server.py quarry-resp PROGRAM COMMAND...  Quarry's program, Redis' protocol
    server.py redis PROGRAM COMMAND...        Debian's redis-server, the reference

The command finds the server at $HOST:$PORT and $SERVER says which it is. It may take $LIMIT seconds (600).
Exit code: the command's; 77 (skipped) when the program of the server is missing; 1 when it does not come up or has
ended before the command has.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from peers import free_port  # noqa: E402

SKIPPED = 77
KINDS = ("quarry", "memcached", "quarry-resp", "redis")


def command_line(kind, program, port, directory):
    if kind.startswith("quarry"):
        door, other = ("resp", "memcached") if kind == "quarry-resp" else ("memcached", "resp")
        return [program, "serve", "--memory=256m", f"--data={directory}/data", "--threads=2", f"--{other}=off",
                "--http=off", "--set=cache.file=off", f"--{door}=127.0.0.1:{port}"]
    if kind == "redis":
        return ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no",
                "--dir", directory]
    # One thread: memcached reads the cas that it tells of an item after it has let go of it, so that
    # with two a history of meta commands need not be linearizable.
    line = [program, "-l127.0.0.1", f"-p{port}", "-U0", "-t1", "-m128"]
    return line + (["-uroot"] if os.geteuid() == 0 else [])


def answers(kind, port):
    """Whether somebody at the port speaks the protocol."""
    asked, answer = (b"PING\r\n", b"+PONG") if kind in ("quarry-resp", "redis") else (b"version\r\n", b"VERSION ")
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(asked)
            return connection.recv(64).startswith(answer)
    except OSError:
        return False


def wait_until_up(server, kind, port):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        if answers(kind, port):
            return True
        time.sleep(0.02)
    return False


def end(server):
    """Asks it to end, and sees to it. Returns: whether it ended by being asked."""
    if server.poll() is None:
        server.send_signal(signal.SIGTERM)
    try:
        server.wait(60)
        return True
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
        return False


def run_beside(server, kind, port, command):
    environment = dict(os.environ, HOST="127.0.0.1", PORT=str(port), SERVER=kind)
    limit = int(os.environ.get("LIMIT", "600"))
    try:
        code = subprocess.run(command, env=environment, timeout=limit, check=False).returncode
    except subprocess.TimeoutExpired:
        print(f"{command[0]} took more than {limit} s")
        return 1
    if server.poll() is not None:
        print(f"the server has ended with {server.returncode}")
        return 1
    return code


def die_with_parent():
    """In the server's process: ends it when this script is killed."""
    import ctypes
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def main():
    if len(sys.argv) < 4 or sys.argv[1] not in KINDS:
        print(__doc__)
        return 2
    kind, program, command = sys.argv[1], sys.argv[2], sys.argv[3:]
    if shutil.which(program) is None:
        print(f"{program} is missing")
        return SKIPPED
    with tempfile.TemporaryDirectory(prefix="quarry-clients-") as directory:
        port = free_port()
        with open(f"{directory}/log", "wb") as log:
            # The name matters to redis-server, which redis-tools has as redis-check-rdb.
            server = subprocess.Popen(command_line(kind, program, port, directory),
                                      executable=shutil.which(program), stdout=log, stderr=log,
                                      stdin=subprocess.DEVNULL, preexec_fn=die_with_parent)
        code = 1
        try:
            if wait_until_up(server, kind, port):
                code = run_beside(server, kind, port, command)
            else:
                print("the server did not come up")
        finally:
            if not end(server):
                print("the server did not end when it was asked to")
                code = 1
        if code not in (0, SKIPPED):
            with open(f"{directory}/log", errors="replace") as log:
                sys.stdout.write(log.read()[-4000:])
        return code


if __name__ == "__main__":
    sys.exit(main())
