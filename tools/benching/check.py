"""Whether Quarry fell behind: a sitting beside an earlier one.

A ratio has fallen when it is above the earlier one by more than noise. Noise is three standard errors of both together,
of at least 3 %: from the spread of a sitting's passes the deviation of one is estimated (range ÷ d2), from that the
error of the median (× 1.25 ÷ √passes). One pass cannot tell its spread: 15 % are taken for a time, 3 % for
anything else. With so many rows some fall by chance, so that what has fallen is measured again and fails only when it
is behind with all passes together.
"""

NOISE_MIN = 0.03
ERRORS = 3


def noise(before, now):
    """Of the quotient of two ratios, as a part of it."""
    return max(NOISE_MIN, ERRORS * (before.error**2 + now.error**2) ** 0.5)


def has_fallen(before, now):
    return now.ratio / before.ratio - 1 > noise(before, now)


def pairs(before, now):
    """Comparisons that both have, by name."""
    theirs = {its.name: its for its in now if its.ratios}
    return [(its, theirs[its.name]) for its in before if its.ratios and its.name in theirs]


def fallen(before, now):
    return [(old, new) for old, new in pairs(before, now) if has_fallen(old, new)]


def missing(before, now, is_wanted):
    """Comparisons that there were and are no more."""
    theirs = {its.name for its in now if its.ratios}
    return [its for its in before if its.ratios and its.name not in theirs and is_wanted(its)]


def told(old, new):
    return (
        f"{new.name}: {old.ratio:.3f} → {new.ratio:.3f} ({100 * (new.ratio / old.ratio - 1):+.1f} %, "
        f"noise {100 * noise(old, new):.1f} %, {len(old.ratios)} and {len(new.ratios)} passes)"
    )
