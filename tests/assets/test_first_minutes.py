#!/usr/bin/python3
"""docs/first-five-minutes.md, run as it is written.

    test_first_minutes.py PROGRAM LIBRARY_FOLDER [unittest's arguments]

A block's second word says how it is run: `run` and `serve` beside the page's server, `compile` with the C of the page,
`malloc` alone. LIBRARY_FOLDER, where libquarry.so lies, is "none" where it and the malloc cannot be used alone.
"""

import os
import re
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.abspath(os.path.join(HERE, "..", ".."))
sys.path.insert(0, os.path.join(HERE, "..", "serve"))
from server import PATIENCE_S, Server, set_program  # noqa: E402

FREE = "127.0.0.1:0"
PORTS = {"memcached": ":11211", "resp": ":6379", "http": ":9090"}
HOW = ("serve", "run", "compile", "malloc")
library_folder = None  # set by main


def blocks(how):
    """The texts of the page's blocks of that kind, in its order."""
    with open(os.path.join(ROOT, "docs", "first-five-minutes.md"), encoding="utf-8") as page:
        return [text for word, text in re.findall(r"^```\w+ (\S+)\n(.*?)^```$", page.read(), re.MULTILINE | re.DOTALL) if word == how]


def shell(test, text, folder):
    """Runs a block; each of its commands has to end well. Returns: what it printed."""
    link = os.path.join(folder, "bin")
    os.makedirs(link, exist_ok=True)
    program = os.path.join(link, "quarry")
    with open(program, "w", encoding="utf-8") as script:
        script.write("#!/bin/sh\nexec " + " ".join(os.path.abspath(word) if os.path.exists(word) else word
                                                   for word in Server.program) + ' "$@"\n')
    os.chmod(program, 0o755)
    environment = {**os.environ, "PATH": f"{link}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", text], cwd=folder, env=environment, capture_output=True, text=True,
                          timeout=PATIENCE_S, stdin=subprocess.DEVNULL, check=False)
    test.assertEqual(done.returncode, 0, f"{text}\n{done.stdout}\n{done.stderr}")
    return done.stdout + done.stderr


class FirstMinutes(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="quarry-minutes-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def test_every_block_is_run_by_some_test(self):
        with open(os.path.join(ROOT, "docs", "first-five-minutes.md"), encoding="utf-8") as page:
            words = re.findall(r"^```(\w.*)$", page.read(), re.MULTILINE)
        self.assertEqual([word for word in words if word.split(" ")[1:] not in [[how] for how in (*HOW, "demo.c")]], [])
        self.assertGreater(len(words), 6)

    def test_the_operators(self):
        (command,) = blocks("serve")
        words = command.split()
        self.assertEqual(words[:2], ["quarry", "serve"])
        for door, port in PORTS.items():
            self.assertEqual(words[words.index(f"--{door}") + 1], "127.0.0.1" + port)
        with Server(memory=words[words.index("--memory") + 1], resp=FREE, http=FREE) as server:
            addresses = {door["protocol"]: door["address"] for door in server.doors()}
            said = ""
            for text in blocks("run"):
                for door, port in PORTS.items():
                    text = text.replace("127.0.0.1" + port, addresses[door])
                said += shell(self, text, self.folder)
        self.assertEqual(said.count("hello"), 2, said)
        for word in ("quarry_memory_committed_bytes", "22.5", "--memory"):
            self.assertIn(word, said)

    def test_the_programmers(self):
        if not library_folder:
            self.skipTest("a library with a sanitizer in it")
        (source,), (text,) = blocks("demo.c"), blocks("compile")
        with open(os.path.join(self.folder, "demo.c"), "w", encoding="utf-8") as file:
            file.write(source)
        installed = "$(pkg-config --cflags --libs quarry)"
        self.assertIn(installed, text)
        here = f"-I{ROOT}/include -L{library_folder} -Wl,-rpath,{library_folder} -lquarry"
        self.assertIn("128 KiB", shell(self, text.replace(installed, here), self.folder))

    def test_anyones(self):
        if not library_folder:
            self.skipTest("a malloc with a sanitizer in it")
        (text,) = blocks("malloc")
        said = shell(self, text, self.folder)
        self.assertIn("100000", said)
        self.assertIn("peak", said)


if __name__ == "__main__":
    set_program(sys.argv.pop(1))
    library_folder = None if sys.argv[1] == "none" else os.path.abspath(sys.argv[1])
    del sys.argv[1]
    unittest.main()
