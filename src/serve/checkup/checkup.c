/*
 * The round of a checkup: the rules of each part that is there look at the figures; what they find
 * is put in order.
 *
 *   look ──▸ rules_system rules_server rules_cache rules_kv rules_tsdb ──▸ findings, worst first
 *
 * Rules have neither state nor sources of their own: a finding follows from the two looks alone.
 *
 * Rejected: rules as expressions over /metrics, which the alerts are; they cannot name the label,
 * the tenant or the target that it is about, and need a Prometheus.
 *
 * Invariants:
 *   1. There is room for a finding of each rule: CHECKUP_FINDINGS_MAX, which a test holds against
 *      the tables.
 *
 * Locking: none. Cost: some microseconds.
 */
#include <serve/checkup/checkup.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <serve/checkup/rules.h>

const char *const checkup_severity_names[] = {
    [CHECKUP_FINE] = "fine",
    [CHECKUP_NOTE] = "note",
    [CHECKUP_WARNING] = "warning",
    [CHECKUP_CRITICAL] = "critical",
};

const char *const checkup_part_names[CHECKUP_PARTS] = {
    [CHECKUP_SYSTEM] = "system", [CHECKUP_SERVER] = "server", [CHECKUP_CACHE] = "cache",
    [CHECKUP_KV] = "kv",         [CHECKUP_TSDB] = "tsdb",
};

const struct checkup_rule *const checkup_rules[CHECKUP_PARTS] = {
    [CHECKUP_SYSTEM] = checkup_rules_system, [CHECKUP_SERVER] = checkup_rules_server,
    [CHECKUP_CACHE] = checkup_rules_cache,   [CHECKUP_KV] = checkup_rules_kv,
    [CHECKUP_TSDB] = checkup_rules_tsdb,
};

/* ---- the round ------------------------------------------------------------------------------ */

static bool has_part(const struct checkup_look *look, enum checkup_part part)
{
    const bool has[CHECKUP_PARTS] = {
        [CHECKUP_SYSTEM] = look->has_host, [CHECKUP_SERVER] = look->has_server,
        [CHECKUP_CACHE] = look->has_cache, [CHECKUP_KV] = look->has_kv,
        [CHECKUP_TSDB] = look->has_tsdb,
    };

    return has[part];
}

static void ask(const struct checkup_facts *facts, enum checkup_part part,
                const struct checkup_rule *rule, struct checkup_report *report)
{
    Q_ASSERT(report->count < CHECKUP_FINDINGS_MAX); /* invariant 1 */
    struct checkup_finding *finding = &report->finding[report->count];

    *finding = (struct checkup_finding){.rule = rule, .part = part};
    finding->severity = rule->condition(facts, finding);
    if (finding->severity == CHECKUP_FINE) {
        return;
    }
    size_t length = strlen(finding->text);
    (void)snprintf(finding->text + length, sizeof finding->text - length, " %s", rule->why);
    report->count++;
}

/* Worse first, then more bytes; what is the same stays in the order of the tables. */
static int compare(const void *one, const void *other)
{
    const struct checkup_finding *a = one, *b = other;

    if (a->severity != b->severity) {
        return a->severity > b->severity ? -1 : 1;
    }
    if (a->bytes != b->bytes) {
        return a->bytes > b->bytes ? -1 : 1;
    }
    return a->part != b->part ? (int)a->part - (int)b->part : strcmp(a->rule->id, b->rule->id);
}

void checkup_examine(const struct checkup_facts *facts, uint32_t parts,
                     struct checkup_report *ret_report)
{
    ret_report->count = 0;
    for (uint32_t part = 0; part < CHECKUP_PARTS; part++) {
        bool is_asked = (parts & 1u << part) != 0 && has_part(facts->now, part);
        for (const struct checkup_rule *rule = checkup_rules[part]; is_asked && rule->id != NULL;
             rule++) {
            ask(facts, part, rule, ret_report);
        }
    }
    qsort(ret_report->finding, ret_report->count, sizeof ret_report->finding[0], compare);
}

const char *checkup_cause(const struct checkup_finding *finding)
{
    return finding->rule->id;
}

const char *checkup_advice(const struct checkup_finding *finding)
{
    return finding->rule->mends;
}

/* ---- for the rules -------------------------------------------------------------------------- */

void checkup_say(struct checkup_finding *finding, uint64_t bytes, const char *format, ...)
{
    va_list arguments;

    finding->bytes = bytes;
    va_start(arguments, format);
    (void)vsnprintf(finding->text, sizeof finding->text, format, arguments);
    va_end(arguments);
}

const char *checkup_span(const struct checkup_facts *facts, char ret_text[CHECKUP_SPAN_BYTES])
{
    uint64_t seconds = facts->over_ns / Q_SECOND_NS;
    bool is_long = seconds >= 120;

    (void)snprintf(ret_text, CHECKUP_SPAN_BYTES, "over the last %" PRIu64 " %s",
                   is_long ? (seconds + 30) / 60 : size_max_u64(seconds, 1), is_long ? "min" : "s");
    return ret_text;
}
