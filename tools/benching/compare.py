"""What the lines of a sitting say: for each row and figure, Quarry's beside its peers'.

The lines are those of `quarry bench NAME --json`, with the number of the pass in which they were printed. A figure is
compared when Quarry's line names it in "ranked": of all those, less is better. Lines that do other work say
"is_reference". A ratio is Quarry's figure divided by the best peer's of the same pass, the median over the passes; a
loss is a ratio of 1.005 or more, which would not be printed as 1.00.
"""

from dataclasses import asdict, dataclass, field
from statistics import median

LOSS = 1.005
OWN = "quarry"
# Of so many values, what their range is to be divided by for an estimate of their standard deviation.
RANGE_TO_SIGMA = {2: 1.128, 3: 1.693, 4: 2.059, 5: 2.326, 6: 2.534, 7: 2.704, 8: 2.847, 9: 2.970}
MEDIAN_TO_MEAN = 1.25  # the median's standard error beside the mean's
# What is taken for the relative deviation where one pass cannot tell.
ONE_PASS_TIME, ONE_PASS_OTHER = 0.15, 0.03
TIME_PARTS = ("ns", "us", "ms", "seconds")


@dataclass
class Comparison:
    bench: str
    row: str
    key: str
    is_main: bool = False
    ratios: list = field(default_factory=list)  # of each pass
    subjects: dict = field(default_factory=dict)  # name: the median
    references: dict = field(default_factory=dict)  # likewise, of those that are in no ratio
    best_peer: str = ""

    @property
    def ratio(self):
        return median(self.ratios) if self.ratios else None

    @property
    def is_loss(self):
        return bool(self.ratios) and self.ratio >= LOSS

    @property
    def name(self):
        return f"{self.bench}/{self.row}:{self.key}"

    @property
    def spread(self):
        """Largest less smallest ratio, as a part of the median."""
        return (max(self.ratios) - min(self.ratios)) / self.ratio

    @property
    def error(self):
        """The standard error of the ratio, as a part of it."""
        count = len(self.ratios)
        if count == 1:
            return ONE_PASS_TIME if is_time(self.key) else ONE_PASS_OTHER
        return MEDIAN_TO_MEAN * self.spread / RANGE_TO_SIGMA[min(count, max(RANGE_TO_SIGMA))] / count**0.5


def is_time(key):
    return any(part in TIME_PARTS for part in key.split("_"))


def is_row(line):
    """Whether a line has figures of a row: neither about the sitting, nor of an hour, nor a mean of rows."""
    return line["row"] not in ("sitting", "failed", "machine", "geometric_mean", "directory") and "hour" not in line


def row_name(line):
    seconds = line.get("at_seconds")
    return line["row"] if seconds is None else f"{line['row']} at {seconds} s"


def by_row(lines):
    """{(bench, row): {pass: {subject: line}}}, in the order in which rows first came."""
    rows = {}
    for line in filter(is_row, lines):
        passes = rows.setdefault((line["bench"], row_name(line)), {})
        passes.setdefault(line.get("pass", 1), {})[line["subject"]] = line
    return rows


def figure(line, key):
    value = line.get(key)
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def ratio_of_pass(subjects, key, is_main):
    """Quarry's figure by the least of the peers'; None: one of them has none."""
    own = figure(subjects[OWN], key) if OWN in subjects else None
    theirs = [
        figure(line, key) for name, line in subjects.items() if name != OWN and not line.get("is_reference")
    ]
    theirs = [value for value in theirs if value is not None and value > 0]
    if own is not None and own > 0 and theirs:
        return own / min(theirs)
    # Of a row that only Quarry has, the benchmark itself knows beside which of the others' it stands.
    return figure(subjects[OWN], "ratio") if is_main and own is not None and "best_peer" in subjects[OWN] else None


def medians(passes, key, are_references):
    values = {}
    for subjects in passes.values():
        for name, line in subjects.items():
            value = figure(line, key)
            if value is not None and bool(line.get("is_reference")) == are_references:
                values.setdefault(name, []).append(value)
    return {name: median(those) for name, those in values.items()}


def compare(bench, row, passes, key, is_main):
    ratios = [ratio_of_pass(subjects, key, is_main) for subjects in passes.values()]
    its = Comparison(bench, row, key, is_main, [ratio for ratio in ratios if ratio is not None])
    its.subjects = medians(passes, key, False)
    its.references = medians(passes, key, True)
    peers = {name: value for name, value in its.subjects.items() if name != OWN and value > 0}
    its.best_peer = min(peers, key=peers.get) if peers else ""
    if its.ratios and not peers:
        its.best_peer = next(s[OWN]["best_peer"] for s in passes.values() if "best_peer" in s.get(OWN, {}))
    return its


def comparisons(lines):
    """Of all rows, all figures that are compared."""
    found = []
    for (bench, row), passes in by_row(lines).items():
        ranked = next((s[OWN]["ranked"] for s in passes.values() if s.get(OWN, {}).get("ranked")), "")
        for index, key in enumerate(ranked.split()):
            its = compare(bench, row, passes, key, index == 0)
            if its.subjects:
                found.append(its)
    return found


def alone(lines):
    """Rows that nobody is compared in: (bench, row, figures of Quarry), or why there are none."""
    found = []
    for (bench, row), passes in by_row(lines).items():
        own = [subjects[OWN] for subjects in passes.values() if OWN in subjects]
        if own and not any(line.get("ranked") for line in own):
            said = {"bench", "row", "subject", "pass", "rounds"}
            keys = [key for key in own[0] if key not in said and figure(own[0], key) is not None]
            told = {key: median(figure(line, key) for line in own if figure(line, key) is not None) for key in keys}
            found.append((bench, row, told, own[0].get("reason", "")))
    return found


def as_json(its):
    return asdict(its)


def from_json(entry):
    return Comparison(**entry)
