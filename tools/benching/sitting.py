"""Running a plan: each line that a benchmark prints is kept, so that a sitting that is interrupted is not lost."""

import datetime
import json
import os
import re
import subprocess
import sys
import time

from . import plan
from .machine import machine

STEP_SECONDS_MAX = {"quick": 900, "usual": 5400, "full": 6 * 3600}


class Sitting:
    """program: quarry's. peers: the directory in which peers are unpacked. record: the file of lines."""

    def __init__(self, root, program, peers, size, record):
        self.root, self.program, self.size = root, program, size
        self.peers = peers
        self.lines = []
        self.seconds = {}  # how long a step took last
        self.passes = {}  # how often it was run
        os.makedirs(os.path.dirname(os.path.abspath(record)), exist_ok=True)
        self.record = open(record, "w", encoding="utf-8")

    def begin(self, rows):
        """rows: the patterns that are asked for; none: all."""
        about = dict(machine(self.root), size=self.size, date=datetime.date.today().isoformat(), rows=rows)
        self.write({"row": "sitting", "bench": "all", "subject": "machine", **about})

    def write(self, line):
        self.lines.append(line)
        self.record.write(json.dumps(line, ensure_ascii=False) + "\n")
        self.record.flush()

    def known_rows(self, bench):
        """The names under ROWS of a benchmark's manual."""
        manual = subprocess.run(
            [self.program, "bench", bench, "--help"], capture_output=True, text=True, check=True, timeout=60
        ).stdout
        sections = re.findall(r"^ROWS[^\n]*\n((?: {4}.*\n|\n)*)", manual, re.MULTILINE)
        return [name for text in sections for name in re.findall(r"^ {4}([a-z]\w*)", text, re.MULTILINE)]

    def run(self, steps, seconds, least_passes=1):
        """Pass after pass while there is time, at least `least_passes`; a step is not begun again that would end late.

        The time of the first pass is what it takes.
        """
        end = time.monotonic() + seconds
        for number in range(1, plan.PASSES_MAX + 1):
            due = [step for step in steps if number == 1 or not step.is_once]
            ran = False
            for step in due:
                if number <= least_passes or time.monotonic() + self.seconds[step] <= end:
                    self.run_step(step)
                    ran = True
            if not ran:
                break

    def run_step(self, step):
        began = time.monotonic()
        self.passes[step] = self.passes.get(step, 0) + 1
        words = [self.program, "bench", *step.words(), "--json"]
        told = f"quarry bench {' '.join(step.words())}"
        try:
            ended = subprocess.run(
                words,
                env=dict(os.environ, QUARRY_BENCH_PEERS=self.peers, PATH=path_with(self.peers)),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=STEP_SECONDS_MAX[self.size],
                check=False,
            )
            output, complaint, code = ended.stdout, ended.stderr, ended.returncode
        except subprocess.TimeoutExpired as late:
            output, complaint, code = text_of(late.stdout), "it did not end", -1
        self.keep(output, self.passes[step])
        self.seconds[step] = time.monotonic() - began
        if code != 0:
            why = (complaint.strip().splitlines() or ["it said nothing"])[-1]
            self.write({"bench": step.bench, "row": "failed", "subject": "quarry", "step": told, "reason": why})
        state = "" if code == 0 else f", FAILED ({code})"
        print(f"pass {self.passes[step]}  {told}: {self.seconds[step]:.0f} s{state}", file=sys.stderr, flush=True)

    def keep(self, output, number):
        for text in output.splitlines():
            try:
                line = json.loads(text)
            except ValueError:
                continue  # half a line, of a step that was ended
            self.write({**line, "pass": number})


def text_of(output):
    return output.decode("utf-8", "replace") if isinstance(output, bytes) else output or ""


def path_with(peers):
    """PATH, with the programs of packages that lie unpacked after it."""
    folders = sorted(os.listdir(peers)) if os.path.isdir(peers) else []
    more = [os.path.join(peers, folder, "usr", "bin") for folder in folders]
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", *filter(os.path.isdir, more)])


def read_record(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]
