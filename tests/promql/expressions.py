"""Random expressions over random samples, each from its seed.

What an expression's values are is known while it is made:

    DYADIC   sums of them lose nothing, so that no order of adding them can be seen
    EXACT    made of such by operations that IEEE 754 defines to the last bit
    NEAR     by sums, means, logarithms and the like, which 2.42 and we round at other places

What jumps (comparisons, rounding, changes, ranks) is made of the first two alone: a value that is off by its last bit would
make another answer.
"""

import random

DYADIC, EXACT, NEAR = 0, 1, 2

START_MS = 1_700_000_000_000
SPAN_S = 3600
JOBS, INSTANCES, ZONES = ("api", "db", "web"), ("0", "1", "2", "3"), ("eu", "us")
BOUNDS = ("0.1", "0.5", "1", "2.5", "10", "+Inf")

# ---- samples -------------------------------------------------------------------------------------


def moments(dice, jitter_ms):
    """When a series has samples: every 15 s, some left out, a long gap now and then."""
    t_ms, offset = START_MS, dice.choice((0, 137, 7_500))
    found = []
    while t_ms < START_MS + SPAN_S * 1000:
        if dice.random() > 0.02:
            found.append(t_ms + offset + dice.randint(0, jitter_ms))
        t_ms += 15_000 if dice.random() > 0.005 else dice.choice((60_000, 400_000))
    return found


def counter(dice):
    value, risen = dice.choice((0, 0, 1000)), []
    for t_ms in moments(dice, dice.choice((0, 0, 900))):
        value = 0 if dice.random() < 0.01 else value + dice.choice((0, 1, 2, 5, 0.25, 64))
        risen.append((t_ms, float(value)))
    return risen


def gauge(dice):
    return [(t_ms, dice.randint(-800, 800) / 8) for t_ms in moments(dice, dice.choice((0, 900)))]


def odd(dice):
    """Numbers that are none, and the like."""
    values = (float("nan"), float("inf"), float("-inf"), 0.0, -0.0, 1.0, -1.0, 2.5)
    return [(t_ms, dice.choice(values)) for t_ms in moments(dice, 0)]


def broken(dice, samples, stale):
    """The same with ends of the series here and there."""
    return [(t_ms, stale if dice.random() < 0.01 else value) for t_ms, value in samples]


def series(seed, stale):
    """[(labels as pairs, [(t_ms, value)])]."""
    dice, found = random.Random(seed), []
    for job in JOBS:
        for instance in INSTANCES:
            named = [("job", job), ("instance", instance)]
            found.append(([("__name__", "c_total"), *named], broken(dice, counter(dice), stale)))
            found.append(([("__name__", "d_total"), *named], counter(dice)))
            if instance != "3":
                zoned = named + [("zone", dice.choice(ZONES))]
                found.append(([("__name__", "g"), *zoned], broken(dice, gauge(dice), stale)))
            times = moments(dice, 0)
            counts = [0] * len(BOUNDS)
            rows = [[] for _ in BOUNDS]
            for t_ms in times:
                for index in range(dice.randint(0, len(BOUNDS) - 1), len(BOUNDS)):
                    counts[index] += 1
                for row, count in zip(rows, counts):
                    row.append((t_ms, float(count)))
            for bound, row in zip(BOUNDS, rows):
                found.append(([("__name__", "h_bucket"), *named, ("le", bound)], row))
        found.append(([("__name__", "odd"), ("job", job)], odd(dice)))
        found.append(([("__name__", "u"), ("job", job)], gauge(dice)))
    return found


# ---- expressions ---------------------------------------------------------------------------------

# Of a window; how exact its result is, of samples that are dyadic; whether samples must be exact.
RANGES = [("rate", NEAR, False), ("increase", NEAR, False), ("delta", NEAR, False), ("irate", EXACT, True),
          ("idelta", DYADIC, True), ("deriv", NEAR, False), ("changes", DYADIC, True), ("resets", DYADIC, True),
          ("sum_over_time", DYADIC, False), ("avg_over_time", NEAR, False), ("count_over_time", DYADIC, False),
          ("min_over_time", DYADIC, False), ("max_over_time", DYADIC, False), ("last_over_time", DYADIC, False),
          ("present_over_time", DYADIC, False), ("stddev_over_time", NEAR, True), ("stdvar_over_time", NEAR, True)]
# Of a number, exactly; near, where it is a number at all; near, of anything.
EXACTLY = ["abs", "sgn", "ceil", "floor"]
NEARLY = ["exp", "sin", "cos", "atan", "sinh", "cosh", "tanh", "asinh", "deg", "rad"]
CALENDAR = ["day_of_month", "day_of_week", "day_of_year", "days_in_month", "hour", "minute", "month", "year"]
COMPARISONS = ["==", "!=", ">", "<", ">=", "<="]


class Maker:
    """Makes one expression. Its parts are (text, level); `is_odd` parts have NaN and infinities in them."""

    def __init__(self, seed):
        self.dice = random.Random(seed)

    def matchers(self, has_zone=False):
        dice, texts = self.dice, []
        if dice.random() < 0.4:
            texts.append(dice.choice(('job="api"', 'job!="db"', 'job=~"a.*|web"', 'job!~"d.+"', 'job=~".+"')))
        if dice.random() < 0.2:
            texts.append(dice.choice(('instance="1"', 'instance=~"[0-1]"', 'instance!="2"')))
        if has_zone and dice.random() < 0.2:
            texts.append('zone="eu"')
        return "{" + ",".join(texts) + "}" if texts else ""

    def modifiers(self):
        dice, text = self.dice, ""
        if dice.random() < 0.15:
            text += dice.choice((" @ start()", " @ end()", f" @ {(START_MS + dice.randint(0, SPAN_S) * 1000) / 1000:.3f}"))
        if dice.random() < 0.2:
            text += " offset " + dice.choice(("15s", "1m", "5m", "-1m", "137ms"))
        return text

    def series(self):
        name = self.dice.choice(("c_total", "c_total", "d_total", "g", "g", "h_bucket", "u"))
        return name + self.matchers(name == "g")

    def window(self):
        return self.dice.choice(("30s", "1m", "2m", "5m", "10m", "37s"))

    def matrix(self, depth):
        """A range vector, and the level of its samples."""
        if depth > 0 and self.dice.random() < 0.25:
            text, level = self.vector(depth - 1)
            step = self.dice.choice(("", "15s", "1m", "20s"))
            return f"({text})[{self.window()}:{step}]{self.modifiers()}", level
        return f"{self.series()}[{self.window()}]{self.modifiers()}", DYADIC

    def scalar(self, depth):
        dice = self.dice
        pick = dice.random()
        if pick < 0.7 or depth == 0:
            return dice.choice(("0", "1", "2", "0.5", "-1", "10", "100", "3")), DYADIC
        if pick < 0.85:
            left, right = self.scalar(depth - 1), self.scalar(depth - 1)
            return f"({left[0]} {dice.choice('+-*')} {right[0]})", max(left[1], right[1], EXACT)
        text, level = self.vector(depth - 1)
        return f"scalar({text})", level

    def exact_vector(self, depth):
        """A vector that nothing is off in."""
        for _ in range(8):
            text, level = self.vector(depth)
            if level != NEAR:
                return text, level
        return self.series() + self.modifiers(), DYADIC

    def ranged(self, depth):
        name, level, needs_exact = self.dice.choice(RANGES)
        text, of = self.matrix(depth)
        if needs_exact and of == NEAR:
            text, of = f"{self.series()}[{self.window()}]", DYADIC
        if self.dice.random() < 0.1:
            phi = self.dice.choice(("0", "0.5", "0.9", "1", "-1", "2"))
            return f"quantile_over_time({phi}, {text})", NEAR
        if self.dice.random() < 0.05:
            return f"predict_linear({text}, {self.dice.choice(('0', '60', '-30'))})", NEAR
        if self.dice.random() < 0.05:
            return f"holt_winters({text}, 0.5, 0.3)", NEAR
        if self.dice.random() < 0.05:
            return f"absent_over_time({text})", DYADIC
        if of != DYADIC and name == "sum_over_time":
            return f"sum_over_time({text})", NEAR
        return f"{name}({text})", max(level, of)

    def called(self, depth):
        dice, pick = self.dice, self.dice.random()
        if pick < 0.3:
            text, level = self.exact_vector(depth - 1)
            return f"{dice.choice(EXACTLY)}({text})", level
        if pick < 0.5:
            text, _ = self.vector(depth - 1)
            if dice.random() < 0.3:
                return f"{dice.choice(('ln', 'log2', 'log10', 'sqrt', 'acosh'))}(clamp_min({text}, 1))", NEAR
            return f"{dice.choice(NEARLY)}(clamp({text}, -20, 20))", NEAR
        if pick < 0.6:
            text, level = self.vector(depth - 1)
            low = dice.choice(("-5", "0", "5"))
            return dice.choice((f"clamp({text}, {low}, 50)", f"clamp_min({text}, {low})", f"clamp_max({text}, {low})",
                                f"clamp({text}, 5, 0)")), level
        if pick < 0.68:
            text, level = self.exact_vector(depth - 1)
            return f"round({text}, {dice.choice(('1', '5', '0.5', '10'))})", EXACT
        if pick < 0.74:
            text, _ = self.exact_vector(0)
            # Small, so that what squares it does not lose more than what is NEAR.
            return f"(timestamp({text}) - {START_MS // 1000})", EXACT
        if pick < 0.8:
            text, _ = self.exact_vector(0)
            return f"{dice.choice(CALENDAR)}(timestamp({text}) * 100)", DYADIC
        if pick < 0.85:
            return f"vector({self.scalar(depth - 1)[0]})", EXACT
        if pick < 0.9:
            return f"absent({self.exact_vector(depth - 1)[0]})", DYADIC
        if pick < 0.95:
            text, level = self.vector(depth - 1)
            return (f'label_replace({text}, "{dice.choice(("made", "job", "zone"))}", "$1-x", '
                    f'"{dice.choice(("instance", "job", "none"))}", "{dice.choice(("(.*)", "([a0].*)", "(.)(.*)"))}")'), level
        text, level = self.vector(depth - 1)
        return f'label_join({text}, "made", "-", "job", "instance")', level

    def grouping(self):
        return self.dice.choice(("", "", " by (job)", " by (job, instance)", " by (zone)", " without (instance)",
                                 " by ()", " without (job, le)", " by (none)"))

    def aggregated(self, depth):
        dice, pick = self.dice, self.dice.random()
        if pick < 0.12:
            name = dice.choice(("topk", "bottomk"))
            # One rank alone: which of equal ones is taken is nobody's promise.
            return f"{name}{self.grouping()} (100, {self.exact_vector(depth - 1)[0]})", EXACT
        if pick < 0.2:
            phi = dice.choice(("0", "0.5", "0.95", "1", "-1", "1.5"))
            return f"quantile{self.grouping()} ({phi}, {self.vector(depth - 1)[0]})", NEAR
        if pick < 0.26:
            return f'count_values{self.grouping()} ("made", {self.exact_vector(depth - 1)[0]})', DYADIC
        name = dice.choice(("sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"))
        text, level = self.exact_vector(depth - 1) if name.startswith("std") else self.vector(depth - 1)
        if name in ("count", "group"):
            level = DYADIC
        elif name in ("avg", "stddev", "stdvar") or (name == "sum" and level != DYADIC):
            level = NEAR
        return f"{name}{self.grouping()} ({text})", level

    def with_scalar(self, depth):
        dice = self.dice
        if dice.random() < 0.4:
            (text, level), (number, of) = self.exact_vector(depth - 1), self.scalar(0)
            is_bool = dice.choice(("", " bool"))
            sides = (text, number) if dice.random() < 0.7 else (number, text)
            return f"({sides[0]} {dice.choice(COMPARISONS)}{is_bool} {sides[1]})", max(level, of)
        text, level = self.vector(depth - 1)
        if dice.random() < 0.15:
            return f"(clamp({text}, -20, 20) {dice.choice(('^ 2', '^ 0.5', '^ -1', 'atan2 3'))})", NEAR
        number, of = self.scalar(0)
        operator = dice.choice("+-*/")
        if operator in "+-":
            return f"({text} {operator} {number})", max(level, of)
        if operator == "*" or dice.random() < 0.5:
            return f"({text} * {number})", max(level, of)
        text, level = self.exact_vector(depth - 1)
        return f"({text} {dice.choice('/%')} {number})", EXACT

    def matched(self, depth):
        """Of two vectors of one shape mostly, so that something comes of it."""
        dice = self.dice
        left, right = self.exact_vector(depth - 1), self.exact_vector(depth - 1)
        pick = dice.random()
        if pick < 0.3:
            how = dice.choice(("", " on (job)", " ignoring (instance)", " on (job, instance)", " on ()"))
            return f"({left[0]} {dice.choice(('and', 'or', 'unless'))}{how} {right[0]})", max(left[1], right[1])
        if pick < 0.55:
            how = dice.choice(("", " on (job, instance)", " ignoring (zone)", " on (job)"))
        else:
            right = (f"max by (job) ({right[0]})", right[1])
            how = dice.choice((" on (job) group_left ()", " on (job) group_left (made)", " on (job) group_left"))
            if dice.random() < 0.3:
                left, right, how = right, left, how.replace("left", "right")
        if dice.random() < 0.35:
            is_bool = dice.choice(("", " bool"))
            return f"({left[0]} {dice.choice(COMPARISONS)}{is_bool}{how} {right[0]})", max(left[1], right[1])
        operator = dice.choice(("+", "-", "*", "/", "%"))
        return f"({left[0]} {operator}{how} {right[0]})", \
            max(left[1], right[1], DYADIC if operator in "+-" else EXACT)

    def quantiled(self):
        """At ranks that are no bucket's whole count, where a quantile jumps."""
        dice = self.dice
        window = self.window()
        of = dice.choice((f"h_bucket{self.matchers()}", f"sum by (le) (h_bucket{self.matchers()})",
                          f"rate(h_bucket[{window}])", f"sum by (le, job) (increase(h_bucket[{window}]))"))
        return f"histogram_quantile({dice.choice(('0', '0.4937', '0.8971', '0.9913', '1', '-1', '2'))}, {of})", NEAR

    def unary(self, depth):
        text, level = self.vector(depth - 1)
        return f"(-({text}))", level

    def vector(self, depth):
        dice = self.dice
        if depth <= 0:
            if dice.random() < 0.5:
                return self.series() + self.modifiers(), DYADIC
            return self.ranged(0)
        pick = dice.random()
        if pick < 0.1:
            return self.series() + self.modifiers(), DYADIC
        if pick < 0.35:
            return self.ranged(depth)
        if pick < 0.5:
            return self.called(depth)
        if pick < 0.68:
            return self.aggregated(depth)
        if pick < 0.8:
            return self.with_scalar(depth)
        if pick < 0.93:
            return self.matched(depth)
        if pick < 0.97:
            return self.quantiled()
        return self.unary(depth)

    def odd(self):
        """Of NaN and infinities, a level deep: sums and means of them are theirs too."""
        dice, name = self.dice, self.dice.choice(("min", "max", "count", "sum", "avg", "group", "quantile"))
        text = dice.choice(("odd", "odd > 0", "odd == odd", "abs(odd)", "sgn(odd)", "-odd", "odd * 2", "odd + odd", "odd % 2",
                            "clamp(odd, 0, 1)", "round(odd)", "floor(odd)", "changes(odd[1m])", "resets(odd[1m])",
                            "min_over_time(odd[1m])", "max_over_time(odd[1m])", "last_over_time(odd[1m])", "odd ^ 2",
                            "count_over_time(odd[2m])", "odd and u", "odd unless u > 0", "odd >= bool 1", "odd != 1",
                            "sqrt(odd)", "day_of_week(odd * 0)", "odd / odd", "odd == on (job) odd", "absent(odd == 7)"))
        if dice.random() < 0.3:
            return (f"quantile(0.5, {text})" if name == "quantile" else f"{name}({text})"), NEAR
        return text, EXACT


def make(seed):
    """The expression of a seed: text, whether it is exact, whether its order says something."""
    maker = Maker(seed)
    dice = maker.dice
    pick = dice.random()
    if pick < 0.06:
        text, level = maker.odd()
    elif pick < 0.1:
        text, level = maker.scalar(2)
    elif pick < 0.13:
        text, level = maker.exact_vector(2)
        return f"{dice.choice(('sort', 'sort_desc'))}({text})", level != NEAR, True
    else:
        text, level = maker.vector(dice.choice((1, 2, 2, 3)))
    return text, level != NEAR, False
