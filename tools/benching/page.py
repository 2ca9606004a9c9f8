"""The page of a sitting: docs/bench/<date>.md."""

from math import exp, log

from .causes import cause_of
from .compare import OWN
from .plan import BENCHES

TITLES = {
    "pages": "Pages",
    "malloc": "Malloc",
    "slab": "Slabs and arenas",
    "blocks": "Caches of blocks",
    "cache": "The cache behind memcached's protocol",
    "kv": "The ordered store",
    "resp": "The ordered store behind RESP",
    "tsdb": "Time series",
    "promql": "Queries",
}


def amount(key, value):
    """A figure with three digits or more, bytes in their usual multiples."""
    if value is None:
        return ""
    if key.endswith("_bytes") and value >= 1024:
        for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
            if value >= size:
                return f"{value / size:,.4g} {unit}" if value / size < 1000 else f"{value / size:,.0f} {unit}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def geometric_mean(ratios):
    return exp(sum(map(log, ratios)) / len(ratios))


def head(about, versions):
    yield f"# Benchmarks of {about['date']}"
    yield ""
    yield (
        f"{about['cpus']} CPUs ({about['cpu_model']}), {about['memory_mib']:,} MiB, {about['kernel']}, governor: "
        f"{about['governor']}; load before the sitting {about['load_before']}. Quarry {about['build']}; sizes: "
        f"{about['size']}. Debian's "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
        + "."
    )
    yield ""
    yield (
        "Less is better in every figure here. A ratio is Quarry's figure divided by the best peer's of the same pass, "
        "the median over the passes; the spread is the largest ratio less the smallest, in percent of it. A **loss** "
        "is a ratio of 1.005 or more, with its cause below the table. Columns in brackets are in no ratio: they do "
        "other work. Figures are medians; their keys, which `--json` has too, say the unit."
    )
    yield ""


def summary(found):
    yield "| | compared | ahead or level | lost | geometric mean of the ratios |"
    yield "|---|---:|---:|---:|---:|"
    for bench in BENCHES:
        theirs = [its for its in found if its.bench == bench and its.ratios]
        if theirs:
            lost = sum(its.is_loss for its in theirs)
            mean = geometric_mean([its.ratio for its in theirs])
            yield f"| [{TITLES[bench]}](#{bench}) | {len(theirs)} | {len(theirs) - lost} | {lost} | {mean:.2f} |"
    yield ""


def columns_of(theirs):
    """Names of subjects, Quarry's first, then peers, then references."""
    peers, references = {}, {}
    for its in theirs:
        peers.update(dict.fromkeys(its.subjects))
        references.update(dict.fromkeys(its.references))
    peers.pop(OWN, None)
    return [OWN, *peers], [name for name in references if name not in peers and name != OWN]


def ratio_cells(its, letters, cause):
    if not its.ratios:
        return ["", "", ""]
    spread = f"{100 * its.spread:.0f} %" if len(its.ratios) > 1 else "one pass"
    if not its.is_loss:
        return [f"{its.ratio:.2f}", spread, ""]
    letter = letters.setdefault(cause, len(letters) + 1)
    return [f"**{its.ratio:.2f}**", spread, f"**loss** ({letter})"]


def table(theirs, causes):
    """The rows of a benchmark, ratios first, and the causes of what is lost."""
    peers, references = columns_of(theirs)
    names = [*peers, *(f"({name})" for name in references)]
    yield "| " + " | ".join(["row", "÷ best peer", "spread", "", "best peer", "figure", *names]) + " |"
    yield "|---|---:|---:|---|---|---|" + "---:|" * len(names)
    letters, before = {}, ""
    for its in theirs:
        cause = cause_of(causes, its) or "**no cause is written**"
        values = [its.subjects.get(name) for name in peers] + [its.references.get(name) for name in references]
        cells = [its.row if its.row != before else "…", *ratio_cells(its, letters, cause), its.best_peer]
        cells += [f"`{its.key}`", *(amount(its.key, value) for value in values)]
        yield "| " + " | ".join(cells) + " |"
        before = its.row
    yield ""
    if letters:
        yield "Why what is lost is lost:"
        yield ""
        yield from (f"{letter}. {cause}" for cause, letter in letters.items())
        yield ""


def alone_list(rows):
    """Rows in which nobody is beside Quarry, and those that could not be measured."""
    if not rows:
        return
    yield "Compared with nobody:"
    yield ""
    for _, row, told, reason in rows:
        figures = ", ".join(f"`{key}` {amount(key, value)}" for key, value in told.items())
        yield f"- {row}: {figures or reason or 'nothing was measured'}"
    yield ""


def absent(lines):
    """Subjects that were not measured, and why, once each; with how many rows that was."""
    counts = {}
    for line in lines:
        if line.get("absent") and line["subject"] != OWN:
            key = (line["bench"], line["subject"], line.get("reason", ""))
            counts.setdefault(key, set()).add(line["row"])
    for (bench, subject, reason), rows in counts.items():
        yield f"- {bench}: {subject} in {len(rows)} rows: {reason}"


def failed(lines):
    return list(dict.fromkeys(f"- `{line['step']}`: {line['reason']}" for line in lines if line["row"] == "failed"))


def page(sitting, causes):
    """All lines of the page. sitting: about, versions, lines, found, alone."""
    yield from head(sitting["about"], sitting["versions"])
    yield from summary(sitting["found"])
    for bench in BENCHES:
        theirs = [its for its in sitting["found"] if its.bench == bench]
        others = [row for row in sitting["alone"] if row[0] == bench]
        if theirs or others:
            yield f'<a id="{bench}"></a>'
            yield ""
            yield f"## {TITLES[bench]}"
            yield ""
            if theirs:
                yield from table(theirs, causes)
            yield from alone_list(others)
    missing = list(absent(sitting["lines"]))
    if missing:
        yield from ("## Not measured", "", *missing, "")
    failures = failed(sitting["lines"])
    if failures:
        yield from ("## Failed", "", *failures, "")
