#!/usr/bin/env python3
"""A block of many series, written and read by a tool that has 64 MiB of memory for everything.

    block_memory_test.py BLOCK_TOOL [--series N]
"""
import argparse
import shutil
import tempfile

from prometheus import START_MS, program, run


def main():
    options = argparse.ArgumentParser()
    options.add_argument("tool")
    options.add_argument("--series", type=int, default=1_000_000)
    arguments = options.parse_args()
    words = [5, arguments.series, 1, START_MS, 15000, 0]
    directory = tempfile.mkdtemp(prefix="quarry-blocks-")
    try:
        name = run(arguments.tool, "make", directory, *words).strip()
        run(arguments.tool, "verify", f"{directory}/{name}", *words)
        listed = run(program("promtool"), "tsdb", "list", directory).splitlines()[-1].split()
        assert listed[0] == name and listed[-2] == str(arguments.series), listed
    finally:
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
