"""Why rows are lost: docs/bench/causes.ini, a section for each benchmark.

A line is `ROW:FIGURE = cause`, both patterns as the shell matches file names; without a colon it is of all
figures. The first line that matches counts, so that what is about one row stands before what is about many.
"""

from configparser import ConfigParser
from fnmatch import fnmatchcase


def read(path):
    parser = ConfigParser(delimiters=("=",), comment_prefixes=("#",), interpolation=None, strict=True)
    parser.optionxform = str
    with open(path, encoding="utf-8") as file:
        parser.read_file(file)
    causes = {name: [(key, " ".join(text.split())) for key, text in parser[name].items()] for name in parser.sections()}
    for bench, entries in causes.items():
        for key, text in entries:
            if not text:
                raise ValueError(f"{path}: [{bench}] {key} has no cause")
    return causes


LEVEL = "No difference that this sitting can tell: the ratio is within two standard errors of 1."


def cause_of(causes, its):
    """The text; None: nobody has written one, and the passes, of which there must be three, tell a difference."""
    for key, text in causes.get(its.bench, []):
        row, _, figure = key.partition(":")
        if fnmatchcase(its.row, row) and fnmatchcase(its.key, figure or "*"):
            return text
    is_level = len(its.ratios) >= 3 and its.ratio <= 1 + 2 * its.error
    return LEVEL if is_level else None


def without_cause(causes, found):
    return [its for its in found if its.is_loss and cause_of(causes, its) is None]
