#!/usr/bin/env python3
"""differential.py QUARRY [--expressions N] [--first SEED] [--data SEED]

Random expressions over random samples, asked of Quarry with compat=2.42 and of Debian's Prometheus 2.42: at a time, or over
times. Answers must be the same text, but for those of expressions that both round at other places: oracle.py says how near
these are. Each expression is its seed's; one that differs is printed with the line that repeats it. What is known to
differ stays out of expressions.py, or is in `DOCUMENTED`, with the reason.

Exit status 77: there is no Prometheus to compare with.
"""

import argparse
import random
import re
import sys

import expressions
import oracle
from server import set_program

# (what an expression has in it, what the difference says, why): regular expressions.
DOCUMENTED = [
    (r"sum", r"(^|: )0 instead of -0$",
     "a sum begins with 0, to which 3 adds what rounding lost; that of 2.42 with its first value"),
    (r"day_of_week\(odd", r"",
     "of NaN and infinities Prometheus has the day that its processor makes of them; here it is NaN"),
    (r"timestamp\(\w+(\{[^}]*\})? @ .* offset", r"",
     "2.42 and 3 look at the pinned moment itself, among samples that were read for the offset from it"),
    (r"predict_linear\(.*@", r"",
     "2.42 moves a range on from step to step though @ pins it, where the function looks at the time; 3 does not"),
    (r"avg_over_time.*\^ -1", r"Inf instead of|instead of [+-]Inf",
     "values that cancel out: 3 divides a compensated sum, which is 0; 2.42 keeps a mean, off by its last bit, and 1 by that is large"),
]
DIFFERENCES_MAX = 20


def query_of(seed):
    """A seed's expression, at a time or over times that are its own too."""
    text, is_exact, is_ordered = expressions.make(seed)
    dice = random.Random(-seed - 1)
    start_ms = expressions.START_MS + dice.randint(60, expressions.SPAN_S) * 1000 + dice.choice((0, 0, 137, 500))
    if is_ordered or dice.random() < 0.6:
        return oracle.Query(text, start_ms, is_exact=is_exact, is_ordered=is_ordered)
    step_s = dice.choice((15, 60, 7, 301))
    return oracle.Query(text, start_ms, start_ms + step_s * 1000 * dice.randint(0, 40), step_s, is_exact=is_exact)


def is_documented(query, said):
    return any(re.search(words, query.expression) and re.search(difference, said)
               for words, difference, _ in DOCUMENTED)


def run(pair, arguments):
    """Asks all. Returns: how many differ."""
    counts = {"same": 0, "refused by both": 0, "empty": 0, "documented": 0, "different": 0}
    for seed in range(arguments.first, arguments.first + arguments.expressions):
        query = query_of(seed)
        ours, theirs = pair.ask(query)
        said = oracle.differ(query, ours, theirs)
        if said is None:
            counts["refused by both" if theirs[0] != 200 else
                   "same" if theirs[1]["data"]["result"] else "empty"] += 1
        elif is_documented(query, said):
            counts["documented"] += 1
        else:
            counts["different"] += 1
            print(f"{query}\n    {said}\n    again: --data {arguments.data} --first {seed} --expressions 1")
            if counts["different"] == DIFFERENCES_MAX:
                break
    print(", ".join(f"{count} {name}" for name, count in counts.items()))
    # A generator that makes nothing tests nothing.
    return counts["different"] + (arguments.expressions >= 100 and counts["same"] < arguments.expressions / 2)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("quarry")
    parser.add_argument("--expressions", type=int, default=10000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--data", type=int, default=1)
    arguments = parser.parse_args()
    set_program(arguments.quarry)
    with oracle.Pair(expressions.series(arguments.data, oracle.STALE)) as pair:
        sys.exit(1 if run(pair, arguments) else 0)


if __name__ == "__main__":
    main()
