#!/usr/bin/python3
"""Backups of a key-value store on an S3 server: put there, killed half way, verified and restored from there.

    test_backup.py PROGRAM MODULES [unittest's arguments]

MODULES: where npm's s3rver is, or is installed to. Exit status 77: it, s3cmd or node cannot be had.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from nodes import Engine, until  # noqa: E402
from client import Door  # noqa: E402
from peers import free_port  # noqa: E402

PATIENCE_S = 120
SKIPPED = 77
PROGRAM = MODULES = None
KEYS = 3000


def install(modules):
    """s3rver's program. None: it cannot be had."""
    found = os.path.join(modules, "node_modules", "s3rver", "bin", "s3rver.js")
    if not os.path.exists(found):
        own = f"{modules}.{os.getpid()}"  # others may want it at the same time
        os.makedirs(own)
        try:
            subprocess.run(["npm", "install", "--prefix", own, "--no-package-lock", "--no-audit", "--no-fund",
                            "--ignore-scripts", "s3rver@3.7.1"], check=True, capture_output=True, timeout=PATIENCE_S)
        except (OSError, subprocess.SubprocessError):
            shutil.rmtree(own, ignore_errors=True)
            return None
        try:
            os.rename(own, modules)
        except OSError:
            shutil.rmtree(own)  # somebody was faster
    return found


def quarry(*words, status=0, text=None):
    done = subprocess.run([*PROGRAM, "kv", *words], input=text, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == status, (words, done.stdout, done.stderr)
    return done.stdout


class Bucket:
    """An S3 server with one bucket, and s3cmd for it."""

    def __init__(self, folder):
        self.folder, self.port, self.engine = folder, free_port(), None
        with open(os.path.join(folder, "s3cfg"), "w", encoding="utf-8") as file:
            file.write("[default]\naccess_key = S3RVER\nsecret_key = S3RVER\nuse_https = False\n"
                       f"host_base = 127.0.0.1:{self.port}\nhost_bucket = 127.0.0.1:{self.port}\nmax_retries = 1\n")
        self.start()

    def start(self):
        self.engine = Engine(shutil.which("node"), [MODULES, "-d", os.path.join(self.folder, "s3"), "-a", "127.0.0.1", "-p",
                                                    str(self.port), "-s", "--no-vhost-buckets", "--configure-bucket", "quarry"],
                             "unused", "")
        until("the S3 server", lambda: Door(f"127.0.0.1:{self.port}").ask("GET", "/")[0])

    def kill(self):
        self.engine.__exit__()

    def s3cmd(self, *words):
        """Returns: its exit status."""
        return subprocess.run(["s3cmd", "-c", os.path.join(self.folder, "s3cfg"), "--no-progress", *words],
                              capture_output=True, timeout=PATIENCE_S).returncode

    def put(self, backups):
        """As docs/scaling-out.md has it: the files that a backup is made of, and then what names them."""
        return self.s3cmd("sync", "--exclude", "meta/*", backups + "/", "s3://quarry/kv/") or \
            self.s3cmd("sync", "--delete-removed", backups + "/", "s3://quarry/kv/")

    def get(self, backups):
        os.makedirs(backups)
        return self.s3cmd("sync", "s3://quarry/kv/", backups + "/")


class Backups(unittest.TestCase):
    def fill(self, store, begin, end):
        lines = "".join(f"put key{number:06} {'v' * 200}{number}\n" for number in range(begin, end))
        quarry("batch", store, "--create", text=lines)

    def count(self, store):
        return len(quarry("scan", store).splitlines())

    def test_a_store_comes_back_from_an_s3_server(self):
        with tempfile.TemporaryDirectory(prefix="quarry-s3-") as folder:
            store, backups = os.path.join(folder, "store"), os.path.join(folder, "backups")
            bucket = Bucket(folder)
            try:
                self.fill(store, 0, KEYS)
                quarry("backup", "create", store, backups)
                self.assertEqual(bucket.put(backups), 0)
                self.fill(store, KEYS, 2 * KEYS)
                quarry("backup", "create", store, backups)
                # The server is gone: s3cmd says so, and what lies there is the backup before, whole.
                bucket.kill()
                self.assertNotEqual(bucket.put(backups), 0)
                bucket.start()
                self.check(bucket, folder, "first", KEYS, 1)
                # The same command again finishes what was begun.
                self.assertEqual(bucket.put(backups), 0)
                self.check(bucket, folder, "second", 2 * KEYS, 2)
            finally:
                bucket.kill()

    def check(self, bucket, folder, name, keys, backups):
        """Fetches, verifies and restores the latest."""
        fetched, restored = os.path.join(folder, name), os.path.join(folder, name + "-store")
        self.assertEqual(bucket.get(fetched), 0)
        quarry("backup", "verify", fetched)
        self.assertEqual(len(os.listdir(os.path.join(fetched, "meta"))), backups)
        quarry("restore", fetched, restored)
        quarry("verify", restored)
        self.assertEqual(self.count(restored), keys)


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1).split()
    if shutil.which("node") is None or shutil.which("npm") is None or shutil.which("s3cmd") is None:
        print("no node, npm or s3cmd")
        sys.exit(SKIPPED)
    MODULES = install(sys.argv.pop(1))
    if MODULES is None:
        print("s3rver cannot be had")
        sys.exit(SKIPPED)
    unittest.main(verbosity=1)
