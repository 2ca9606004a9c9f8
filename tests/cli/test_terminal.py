#!/usr/bin/python3
"""`quarry top` and `quarry map` on a terminal: what stands on the screen, keys, sizes, and the terminal afterwards.

    test_terminal.py PROGRAM [unittest's arguments]

The terminal is a pseudo-terminal, and the screen what a small emulator of an xterm makes of the bytes.
"""

import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "serve"))
from server import Server, set_program  # noqa: E402

PATIENCE_S = 60
# Sanitizers bring a malloc of their own: the server is no process under Quarry's then.
IS_SANITIZED = os.environ.get("QUARRY_TEST_SANITIZED") == "1"
SIZES = ((80, 24), (200, 50))
SMALL = (80, 24)


class Screen:
    """What an xterm would show."""

    SEQUENCE = re.compile(r"\x1b(?:\[([?>]?)([0-9;]*)([@-~])|[()][A-Z0-9]|[=>78M])")

    def __init__(self, width, height):
        self.cells = []
        self.resize(width, height)
        self.is_alternate = False
        self.row = self.column = 0
        self.last = " "

    def resize(self, width, height):
        """What is there stays at the top and left."""
        self.width, self.height = width, height
        self.cells = [(row + [" "] * width)[:width] for row in self.cells[:height]]
        self.cells += [[" "] * width for _ in range(height - len(self.cells))]
        self.first, self.end = 0, height  # of what scrolls
        self.row, self.column = min(getattr(self, "row", 0), height - 1), min(getattr(self, "column", 0), width - 1)

    def put(self, character):
        if self.column >= self.width:
            self.column, self.row = 0, min(self.row + 1, self.height - 1)
        self.cells[self.row][self.column] = self.last = character
        self.column += 1

    def erase(self, row, first, end):
        self.cells[row][first:end] = [" "] * (min(end, self.width) - first)

    def act(self, private, parameters, final):
        numbers = [int(number or 0) for number in parameters.split(";")]
        count = max(numbers[0], 1)
        if private == "?":
            if 1049 in numbers:
                self.is_alternate = final == "h"
        elif final == "H":
            self.row = min(max(numbers[0], 1), self.height) - 1
            self.column = min(max(numbers[1] if len(numbers) > 1 else 1, 1), self.width) - 1
        elif final == "d":
            self.row = min(count, self.height) - 1
        elif final == "G":
            self.column = min(count, self.width) - 1
        elif final in "ABCD":
            self.row += {"A": -count, "B": count}.get(final, 0)
            self.column += {"C": count, "D": -count}.get(final, 0)
            self.row = min(max(self.row, 0), self.height - 1)
            self.column = min(max(self.column, 0), self.width - 1)
        elif final == "J":
            first = 0 if numbers[0] == 2 else self.row + 1
            for row in range(first, self.height):
                self.erase(row, 0, self.width)
            if numbers[0] == 0:
                self.erase(self.row, self.column, self.width)
        elif final == "K":
            self.erase(self.row, 0 if numbers[0] in (1, 2) else self.column,
                       self.column + 1 if numbers[0] == 1 else self.width)
        elif final == "X":
            self.erase(self.row, self.column, self.column + count)
        elif final == "P":
            row = self.cells[self.row]
            row[self.column:] = (row[self.column + count:] + [" "] * count)[:self.width - self.column]
        elif final == "@":
            row = self.cells[self.row]
            row[self.column:] = ([" "] * count + row[self.column:])[:self.width - self.column]
        elif final == "b":
            for _ in range(count):
                self.put(self.last)
        elif final == "r":
            self.first = max(numbers[0], 1) - 1
            self.end = numbers[1] if len(numbers) > 1 and numbers[1] else self.height
            self.row = self.column = 0
        elif final in "LMST":
            first = self.row if final in "LM" else self.first
            for _ in range(count):
                taken, given = (self.end - 1, first) if final in "LT" else (first, self.end - 1)
                self.cells.pop(taken)
                self.cells.insert(given, [" "] * self.width)
        elif final not in "mlhtn":
            raise AssertionError(f"the emulator does not know {private}{parameters}{final}")

    def feed(self, text):
        """Returns: what is of a sequence that has not come to its end."""
        at = 0
        while at < len(text):
            character = text[at]
            if character == "\x1b":
                match = self.SEQUENCE.match(text, at)
                if match is None:
                    return text[at:]
                if match[3]:
                    self.act(match[1], match[2], match[3])
                at = match.end()
                continue
            if character == "\r":
                self.column = 0
            elif character == "\n":
                self.row = min(self.row + 1, self.height - 1)
            elif character == "\b":
                self.column = max(self.column - 1, 0)
            elif character >= " ":
                self.put(character)
            at += 1
        return ""

    def lines(self):
        return ["".join(row).rstrip() for row in self.cells]


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, words, size, name="xterm-256color"):
        self.master, self.slave = pty.openpty()
        self.resize(*size, signals=False)
        self.before = termios.tcgetattr(self.slave)
        self.screen = Screen(*size)
        self.rest, self.bytes = "", b""
        environment = {**os.environ, "TERM": name, "LC_ALL": "C.UTF-8"}
        self.process = subprocess.Popen(words, stdin=self.slave, stdout=self.slave, stderr=self.slave,
                                        env=environment, start_new_session=True)

    def resize(self, width, height, signals=True):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        if signals:
            self.screen.resize(width, height)
            self.process.send_signal(signal.SIGWINCH)  # it is not the terminal's foreground group

    def read(self, patience_s):
        if not select.select([self.master], [], [], patience_s)[0]:
            return
        piece = os.read(self.master, 65536)
        self.bytes += piece
        whole = self.bytes.decode("utf-8", "ignore")
        self.rest = self.screen.feed(self.rest + whole)
        self.bytes = b"" if not self.bytes or self.bytes[-1] < 128 else self.cut(self.bytes)

    @staticmethod
    def cut(data):
        """The beginning of a character whose other bytes are yet to come."""
        for back in range(1, 4):
            if back <= len(data) and data[-back] >= 0xC0:
                wanted = 2 + (data[-back] >= 0xE0) + (data[-back] >= 0xF0)
                return data[-back:] if back < wanted else b""
        return b""

    def wait_for(self, is_there, what):
        end = time.monotonic() + PATIENCE_S
        while not is_there(self.screen.lines()):
            if time.monotonic() > end:
                raise AssertionError(f"{what} is not on the screen:\n" + "\n".join(self.screen.lines()))
            self.read(0.2)
        return self.screen.lines()

    def wait_for_words(self, *words):
        return self.wait_for(lambda lines: all(word in "\n".join(lines) for word in words), words)

    def press(self, keys):
        os.write(self.master, keys)

    def end(self):
        """Waits for its end. Returns: its exit status, and the terminal's settings before and now."""
        end = time.monotonic() + PATIENCE_S
        while self.process.poll() is None and time.monotonic() < end:
            self.read(0.1)
        while select.select([self.master], [], [], 0)[0]:
            self.read(0)
        return self.process.wait(1), self.before, termios.tcgetattr(self.slave)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)


class OnTerminal(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(http="127.0.0.1:0", resp="127.0.0.1:0")
        cls.addClassCleanup(cls.server.__exit__)
        cls.server.ready()
        cls.address = next(door["address"] for door in cls.server.doors() if door["protocol"] == "http")
        cls.url = f"http://{cls.address}"
        with cls.server.connect() as link:
            for i in range(5000):
                link.send(f"set key{i} 0 0 1000 noreply\r\n{'v' * 1000}\r\n")
            link.ask("version\r\n")

    def start(self, *words, size=SMALL, name="xterm-256color"):
        terminal = Terminal([*self.server.program, *words], size, name)
        self.addCleanup(terminal.close)
        return terminal

    def check_end(self, terminal, code=0):
        status, before, after = terminal.end()
        self.assertEqual(status, code)
        self.assertEqual(before, after)
        self.assertFalse(terminal.screen.is_alternate)


class Views(OnTerminal):
    def check_server_top(self, terminal, size):
        lines = terminal.wait_for_words(f"server {self.url}", "budget", "in use", "doors  requests", "cache  memory",
                                        "kv ", "tsdb ", "owner ", "findings", "q quits", ", CPU" if size != SMALL else "")
        self.assertTrue(terminal.screen.is_alternate)
        self.assertTrue(lines[0].endswith(lines[0].split()[-1]) and len(lines[0]) == size[0], lines[0])
        self.assertRegex("\n".join(lines), r"items 5000\b")
        self.assertRegex("\n".join(lines), r"cache\S* +\d[\d.]* \w+ +\d+ %")
        terminal.wait_for(lambda seen: re.search(r"requests \d", "\n".join(seen)), "a rate")
        terminal.press(b"r")
        terminal.wait_for_words("findings")
        terminal.press(b"q")
        self.check_end(terminal)

    def test_top_of_a_server(self):
        terminals = [self.start("top", "--server", self.url, size=size) for size in SIZES]
        for terminal, size in zip(terminals, SIZES):
            with self.subTest(size):
                self.check_server_top(terminal, size)

    def test_map_of_a_server(self):
        for size in SIZES:
            with self.subTest(size):
                terminal = self.start("map", "--server", self.url, "--by", "owner", size=size)
                lines = terminal.wait_for_words(f"server {self.url}", "budget", "cache", "others", "given back")
                self.assertEqual(len(lines[0]), size[0])
                terminal.press(b"\x1b")  # Escape, too
                self.check_end(terminal)

    def test_of_a_process(self):
        if IS_SANITIZED:
            self.skipTest("the server is not on Quarry's malloc")
        pid = str(self.server.process.pid)
        wanted = {"top": (f"process {pid}", "findings", "owner ", "lifetime"), "map": (f"process {pid}", "given back")}
        terminals = [(command, size, self.start(command, pid, size=size)) for command in wanted for size in SIZES]
        for command, size, terminal in terminals:  # all at once: names are looked up for a second
            with self.subTest((command, size)):
                lines = terminal.wait_for_words(*wanted[command])
                self.assertLessEqual(max(len(line) for line in lines), size[0])
                terminal.press(b"q")
                self.check_end(terminal)


class Life(OnTerminal):
    def test_sizes_change(self):
        for command in ("top", "map"):
            with self.subTest(command):
                terminal = self.start(command, "--server", self.url)
                terminal.wait_for_words("budget")
                for size in ((200, 50), (40, 10), (80, 24)):
                    terminal.resize(*size)
                    terminal.wait_for(lambda lines, width=size[0]: "server" in lines[0] and len(lines[0]) <= width
                                      and lines[1].startswith("budget"), size)
                    if size[0] >= 80:
                        terminal.wait_for(lambda lines, width=size[0]: len(lines[0]) == width, size)
                terminal.process.send_signal(signal.SIGTERM)
                self.check_end(terminal)

    def test_a_terminal_of_the_poorest_kind(self):
        terminal = self.start("top", "--server", self.url, name="vt100")
        terminal.wait_for_words("budget", "findings")
        terminal.press(b"q")
        self.check_end(terminal)

    def test_a_server_that_goes_and_comes_back(self):
        with Server(http="127.0.0.1:0") as first:
            door = next(line["address"] for line in first.doors() if line["protocol"] == "http")
            terminals = [self.start(command, "--server", f"http://{door}") for command in ("top", "map")]
            for terminal in terminals:
                terminal.wait_for_words("budget", "server http://")
            first.end()
            terminals[0].wait_for_words("no answer")
            terminals[1].wait_for_words("NO ANSWER")
            with Server(http=door) as second:
                second.ready()
                for terminal in terminals:
                    terminal.wait_for(lambda lines: "no answer" not in "\n".join(lines).lower(), "an answer")
                    terminal.press(b"q")
                    self.check_end(terminal)

    def run_plain(self, *words, code=0):
        shown = subprocess.run([*self.server.program, *words], capture_output=True, text=True, timeout=PATIENCE_S)
        self.assertEqual(shown.returncode, code, shown.stdout + shown.stderr)
        return shown

    def test_without_a_terminal(self):
        picture = subprocess.Popen([*self.server.program, "top", "--server", self.url], text=True,
                                   stdout=subprocess.PIPE)
        told = json.loads(self.run_plain("top", "--server", self.url, "--json").stdout)
        self.assertEqual((told["view"], told["cache_item_count"]), ("top-server", 5000))
        self.assertEqual(told["limit_bytes"], 256 << 20)
        self.assertGreater(told["http_answers_per_second"], 0)
        self.assertTrue(told["are_findings_told"])
        self.assertIn("malloc" if not IS_SANITIZED else "net", [row["owner"] for row in told["owners"]])
        text = picture.communicate(timeout=PATIENCE_S)[0]
        self.assertEqual(picture.returncode, 0)
        self.assertIn("findings", text)
        self.assertNotIn("\x1b", text)
        text = self.run_plain("map", "--server", self.url, "--ascii", "--by", "lifetime").stdout
        self.assertIn("a colour is a lane", text)
        told = json.loads(self.run_plain("map", "--server", self.url, "--json").stdout)
        self.assertEqual((told["view"], told["limit_bytes"]), ("map", 256 << 20))

    def test_a_map_is_saved(self):
        path = os.path.join(self.server.folder, "saved.map")
        self.run_plain("map", "--server", self.url, "--once", "--save", path)
        self.assertEqual(json.loads(self.run_plain("map", path, "--json").stdout)["limit_bytes"], 256 << 20)

    def test_what_makes_no_sense(self):
        for words in (["top", "--server", "nonsense"], ["top", "--server", "http://x", "1"], ["top", "--user", "x", "1"],
                      ["top", "--server", "http://x", "--password-file", "x"], ["top", "--server"],
                      ["map", "--server", "nonsense"], ["map", "--server", "http://x", "1"],
                      ["map", "--server", "http://x", "--demo"], ["map", "--by", "colour", "1"],
                      ["map", "--user", "x", "1"]):
            self.run_plain(*words, code=2)
        nobody = socket.socket()
        self.addCleanup(nobody.close)
        nobody.bind(("127.0.0.1", 0))  # bound, and listened to by nobody
        for command in ("top", "map"):  # a door, and none of HTTP; nobody at all
            door = self.server.doors()[0]["address"]
            self.assertNotEqual(subprocess.run([*self.server.program, command, "--server", f"http://{door}"],
                                               capture_output=True, timeout=PATIENCE_S).returncode, 0)
            self.run_plain(command, "--server", f"http://127.0.0.1:{nobody.getsockname()[1]}", code=4)


if __name__ == "__main__":
    set_program(sys.argv.pop(1))
    unittest.main()
