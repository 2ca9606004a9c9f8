#!/usr/bin/env python3
"""suites.py QUARRY LIBRARIES FOLDER [memcached|redis|leveldb...]

Runs the peers' own test suites on Quarry: memcached's t/*.t on `quarry memcached`, Redis' unit tests on the RESP door,
LevelDB's c_test on libquarry-leveldb.so. The suites come with Debian's source packages, into FOLDER; nothing of them is
changed. What may fail is listed beside this file, each with its reason, and what is listed and passes is said: a list that
has become wrong is to be shortened.

QUARRY is a build with debug commands: memcached's suite moves the clock.
"""

import argparse
import glob
import os
import re
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SECONDS_MAX = 120
REDIS_UNITS = ("type/string", "type/incr", "expire", "keyspace", "scan", "multi", "protocol", "quit", "slowlog",
               "info-command", "latency-monitor")
REDIS_TAGS = "-needs:repl -needs:debug -needs:config-maxmemory -cli -needs:save -needs:reset"


def expectations(name):
    """{test: reason} of a list beside this file: `TEST = reason`, and lines of remarks."""
    found = {}
    with open(os.path.join(HERE, name), encoding="utf-8") as file:
        for line in file:
            if line.strip() and not line.startswith("#"):
                test, reason = line.split(" = ", 1)
                found[test] = reason.strip()
    return found


def fetch(package, folder):
    """The unpacked sources of a Debian package, downloaded if they are not here."""
    os.makedirs(os.path.join(folder, "lists", "partial"), exist_ok=True)
    found = glob.glob(os.path.join(folder, f"{package}_*.orig.tar.*"))
    if not found:
        with open("/etc/apt/sources.list.d/debian.sources", encoding="utf-8") as file:
            sources = re.sub("^Types:.*$", "Types: deb-src", file.read(), flags=re.MULTILINE)
        listed = os.path.join(folder, "source.sources")
        with open(listed, "w", encoding="utf-8") as file:
            file.write(sources)
        options = ["-q", "-o", f"Dir::Etc::sourcelist={listed}", "-o", "Dir::Etc::sourceparts=/nonexistent",
                   "-o", f"Dir::State::lists={folder}/lists"]
        subprocess.run(["apt-get", *options, "update"], check=True, stdout=subprocess.DEVNULL, cwd=folder)
        subprocess.run(["apt-get", *options, "source", "--download-only", package], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder)
        found = glob.glob(os.path.join(folder, f"{package}_*.orig.tar.*"))
    version = re.search(r"_([^_]+)\.orig", found[0]).group(1)
    where = os.path.join(folder, f"{package}-{version}")
    if not os.path.isdir(where):
        subprocess.run(["tar", "xf", found[0]], check=True, cwd=folder)
    return where


def judge(failed, passed, listed):
    """Says what failed for no listed reason. Returns: how many did."""
    for test in sorted(set(listed) & set(passed) - set(failed)):
        print(f"    passes, though it is listed: {test}")
    wrong = {test: why for test, why in failed.items() if test not in listed}
    for test, why in sorted(wrong.items()):
        print(f"    FAILED: {test}\n        {why}")
    return len(wrong)


def run_memcached(quarry, _libraries, folder):
    where = fetch("memcached", folder)
    subprocess.run(["cc", "-O1", "-w", "-o", "timedrun", "timedrun.c"], check=True, cwd=where)
    program = os.path.join(where, "memcached-debug")
    with open(program, "w", encoding="utf-8") as file:
        file.write(f'#!/bin/sh\nexec "{quarry}" memcached "$@"\n')
    os.chmod(program, 0o755)
    failed, passed, checks = {}, [], 0
    for path in sorted(glob.glob(os.path.join(where, "t", "*.t"))):
        name = os.path.basename(path)
        try:
            done = subprocess.run(["perl", "-I.", f"t/{name}"], cwd=where, capture_output=True, timeout=SECONDS_MAX, check=False)
            out = done.stdout.decode("utf-8", "replace")
            bad = re.findall(r"^not ok \d+(.*)$", out, re.MULTILINE)
            checks += len(re.findall(r"^ok ", out, re.MULTILINE))
            if done.returncode != 0 or bad:
                failed[name] = f"{len(bad)} checks" + (bad[0] if bad else f", status {done.returncode}")
            else:
                passed.append(name)
        except subprocess.TimeoutExpired:
            failed[name] = f"did not end in {SECONDS_MAX} s"
    print(f"memcached: {len(passed)} of {len(passed) + len(failed)} files pass, {checks} checks")
    return judge(failed, passed, expectations("memcached.txt"))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port, server):
    for _ in range(600):
        if server.poll() is not None:
            raise RuntimeError(f"the server ended with {server.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError("the server does not serve")


def run_redis(quarry, _libraries, folder):
    where = fetch("redis", folder)
    port = free_port()
    data = os.path.join(folder, f"redis-data-{port}")
    server = subprocess.Popen([quarry, "serve", "--memory", "1g", "--data", data, "--memcached", "off", "--http", "off",
                               "--resp", f"127.0.0.1:{port}"], stderr=subprocess.DEVNULL)
    failed, passed = {}, []
    try:
        wait_for(port, server)
        for unit in REDIS_UNITS:
            done = subprocess.run(["./runtest", "--host", "127.0.0.1", "--port", str(port), "--durable", "--single",
                                   f"unit/{unit}", "--tags", REDIS_TAGS], cwd=where, capture_output=True, timeout=SECONDS_MAX,
                                  check=False)
            lines = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout.decode("utf-8", "replace")).splitlines()
            for i, line in enumerate(lines):
                said = re.match(r"\[(ok|err)\]: (.*?)(?: in tests/.*| \(\d+ ms\))$", line)
                if said and said[1] == "ok":
                    passed.append(said[2])
                elif said:
                    failed.setdefault(said[2], lines[i + 1] if i + 1 < len(lines) else "")
    finally:
        server.terminate()
        server.wait(60)
    missing = {test for test, why in failed.items() if re.search(r"\(no [a-z/ -]+ here: see docs/resp.md\)", why)}
    print(f"redis: {len(passed)} tests pass, {len(missing)} need what docs/resp.md says is not here, "
          f"{len(failed) - len(missing)} others fail")
    return judge({test: why for test, why in failed.items() if test not in missing}, passed, expectations("redis.txt")) + \
        (len(passed) < 150)


def run_leveldb(_quarry, libraries, folder):
    where = fetch("leveldb", folder)
    program = os.path.join(folder, "c_test")
    subprocess.run(["cc", "-w", "-I", os.path.join(where, "include"), "-o", program, os.path.join(where, "db", "c_test.c"),
                    "-L", libraries, "-lquarry-leveldb"], check=True)
    done = subprocess.run([program], env={**os.environ, "LD_LIBRARY_PATH": libraries, "TEST_TMPDIR": folder},
                          capture_output=True, timeout=SECONDS_MAX, check=False)
    print(f"leveldb: c_test says {done.stdout.decode().strip() or done.stderr.decode()[-300:]}")
    return done.returncode != 0


def main():
    suites = {"memcached": run_memcached, "redis": run_redis, "leveldb": run_leveldb}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("quarry")
    parser.add_argument("libraries")
    parser.add_argument("folder")
    parser.add_argument("suites", nargs="*", default=list(suites))
    arguments = parser.parse_args()
    folder = os.path.abspath(arguments.folder)
    os.makedirs(folder, exist_ok=True)
    wrong = sum(suites[name](os.path.abspath(arguments.quarry), os.path.abspath(arguments.libraries), folder)
                for name in arguments.suites or suites)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
