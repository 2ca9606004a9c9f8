"""Which benchmarks a sitting runs, with which options, and how often.

A step is one command line. Steps are run in turn, pass after pass, one round each, so that what disturbs the machine
for a while disturbs all rows alike and a row's rounds lie far apart. A step that says much by itself, or takes long,
is run in the first pass alone. Of size full every row is measured; the others leave out what takes long.
"""

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

SIZES = ("quick", "usual", "full")
BENCHES = ("pages", "malloc", "slab", "blocks", "cache", "kv", "resp", "tsdb", "promql")
PASSES_MAX = 9


@dataclass(frozen=True)
class Step:
    bench: str
    rows: str = "*"  # the benchmark's --rows; "" where its options choose
    options: tuple = ()
    is_once: bool = False
    tells: str = ""  # the rows of a step that has no --rows
    sizes: tuple = ("usual", "full")

    def words(self, rows=None):
        """The words after `quarry bench`."""
        chosen = ("--rows", rows or self.rows) if self.rows else ()
        return (self.bench, *chosen, *self.options)


def once(bench, rows, *options, **more):
    return Step(bench, rows, options, is_once=True, **more)


ROUND = ("--rounds", "1")
FULL = ("full",)
USUAL = ("usual",)
QUICK = ("quick",)
KV_ROWS = ("[!bor]*", "overwrite", "read*")

STEPS = (
    Step("pages", "[!s]*", ROUND),
    once("pages", "spike_*", *ROUND, "--spike-bytes", "256m", sizes=USUAL),
    once("pages", "spike_*", *ROUND, sizes=FULL),
    Step("malloc", "[!s]*", ROUND),
    Step("malloc", "sh8", ROUND),
    once("malloc", "spike_*", *ROUND, sizes=FULL),
    Step("malloc", "", ("--programs", *ROUND), tells="program_*"),
    once("malloc", "", "--story", "restart", tells="restart_*", sizes=FULL),
    Step("slab", "[!w]*", ROUND),
    once("slab", "w*", *ROUND),
    once("blocks", "miss_*", *ROUND),
    Step("blocks", "[!m]*", ROUND),
    Step("cache", "[gs]et_*_tcp", ROUND),
    Step("cache", "[gs]et_*_unix", ROUND, sizes=FULL),
    Step("cache", "mix_*", ROUND),
    Step("cache", "open_*", ROUND),
    once("cache", "[cb]*", *ROUND),
    once("cache", "[kti]*", *ROUND, sizes=FULL),
    once("cache", "miss_*", *ROUND, sizes=FULL),
    once("cache", "s[hl]*", *ROUND, sizes=FULL),
    once("cache", "long", *ROUND, sizes=FULL),
    *(Step("kv", rows, ("--keys", "300000", *ROUND), sizes=USUAL) for rows in KV_ROWS),
    *(Step("kv", rows, ROUND, sizes=FULL) for rows in KV_ROWS),
    once("kv", "recover_wal", *ROUND),
    once("kv", "open_files", *ROUND, sizes=FULL),
    once("kv", "budget_*", *ROUND, sizes=FULL),
    Step("resp", "[gsm]*_p*_tcp", ROUND),
    Step("resp", "i*_p*_tcp", ROUND, sizes=FULL),
    Step("resp", "*_p*_unix", ROUND, sizes=FULL),
    Step("resp", "*power*", ROUND),
    Step("resp", "open_*", ROUND),
    Step("resp", "tool_[gs]*", ROUND),
    Step("resp", "tool_[im]*", ROUND, sizes=FULL),
    once("resp", "calls_*", *ROUND),
    once("resp", "memory_*", *ROUND),
    Step("tsdb", "target_*", ROUND),
    once("tsdb", "*_10k_*", *ROUND),
    once("tsdb", "*_100k_*", *ROUND, sizes=FULL),
    once("tsdb", "*_1m_*", *ROUND, sizes=FULL),
    once("tsdb", "memory_*", *ROUND),
    once("tsdb", "restart_*", *ROUND),
    once("tsdb", "cardinality_*", *ROUND, sizes=FULL),
    once("tsdb", "hours_*", *ROUND, sizes=FULL),
    Step("promql", "*", ("--series", "100000", *ROUND), sizes=USUAL),
    Step("promql", "*", ROUND, sizes=FULL),
    *(Step(bench, "*", ("--quick", *ROUND), sizes=QUICK) for bench in BENCHES if bench not in ("cache", "resp", "tsdb")),
    *(Step("cache", rows, ("--quick", *ROUND), sizes=QUICK) for rows in ("[gs]et_*_tcp", "mix_*", "bytes_*")),
    *(Step("tsdb", rows, ("--quick", *ROUND), sizes=QUICK) for rows in ("target_*", "memory_*", "restart_*")),
    *(Step("resp", rows, ("--quick", *ROUND), sizes=QUICK) for rows in ("[gs]et_p*_tcp", "*power*", "memory_*")),
)


def steps_of(size):
    return [step for step in STEPS if size in step.sizes]


def asked(rows, known):
    """A pattern as a benchmark's --rows has it: some rows are printed in parts, at several times or of several sizes."""
    rows = rows.split(" at ")[0]
    if any(fnmatchcase(name, rows) for name in known):
        return rows
    return max((name for name in known if rows.startswith(name + "_")), key=len, default=rows)


def narrow_step(step, rows, known):
    """The steps that measure what of a step is like `rows`."""
    if not step.rows:
        return [step] if fnmatchcase(step.tells, rows) or fnmatchcase(rows, step.tells) else []
    theirs = [name for name in known if fnmatchcase(name, step.rows)]
    wanted = [name for name in theirs if fnmatchcase(name, asked(rows, known))]
    return [step] if theirs and wanted == theirs else [replace(step, rows=name) for name in wanted]


def narrow(steps, wanted, known_rows):
    """The steps that measure what is wanted and no more.

    wanted: patterns "BENCH/ROW"; none: all. known_rows: of a benchmark, the names of its rows.
    """
    if not wanted:
        return steps
    narrowed = []
    for step in steps:
        known = known_rows(step.bench) if step.rows else []
        for pattern in wanted:
            bench, _, rows = pattern.partition("/")
            if bench == step.bench:
                narrowed += narrow_step(step, rows, known)
    return list(dict.fromkeys(narrowed))
