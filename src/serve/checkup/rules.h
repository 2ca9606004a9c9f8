/*
 * What the rules share: a row, the tables, and how a condition says what it found.
 *
 *   {"id", condition, "why it matters", "what mends it"}
 *
 * A condition returns CHECKUP_FINE, or how bad it is; then it has said what it saw with
 * checkup_say, and of how many bytes that is.
 */
#ifndef QUARRY_SERVE_CHECKUP_RULES_H
#define QUARRY_SERVE_CHECKUP_RULES_H

#include <stddef.h>

#include <serve/checkup/checkup.h>

typedef enum checkup_severity checkup_condition(const struct checkup_facts *facts,
                                                struct checkup_finding *finding);

struct checkup_rule {
    const char *id; /* NULL closes a table */
    checkup_condition *condition;
    const char *why;   /* a sentence, behind what was found */
    const char *mends; /* the setting or the command */
};

extern const struct checkup_rule checkup_rules_system[], checkup_rules_server[],
    checkup_rules_cache[], checkup_rules_kv[], checkup_rules_tsdb[];

/* By part. */
extern const struct checkup_rule *const checkup_rules[CHECKUP_PARTS];

/* Says what was found, of so many bytes. What does not fit is cut. */
Q_PRINTF(3, 4)
void checkup_say(struct checkup_finding *finding, uint64_t bytes, const char *format, ...);

/* "over the last 5 min", "over the last 40 s". Returns: `ret_text`. */
#define CHECKUP_SPAN_BYTES 40u
const char *checkup_span(const struct checkup_facts *facts, char ret_text[CHECKUP_SPAN_BYTES]);

/* What a counter of a look rose by since the one before; 0 where it was begun anew. */
#define CHECKUP_ROSE(facts, counter) sat_sub_u64((facts)->now->counter, (facts)->before->counter)

static inline double checkup_part_of(uint64_t part, uint64_t whole)
{
    return whole == 0 ? 0.0 : (double)part / (double)whole;
}

#endif
