/*
 * Patterns: the regular expressions that need no automaton.
 *
 * Nearly all that queries have are of a few shapes: "a|b|c", "a.*", ".*a.*", ".+". Such an
 * expression is a list of *alternatives*, each a text with anything, or something, or nothing
 * before and after it.
 */
#ifndef QUARRY_TSDB_PATTERN_H
#define QUARRY_TSDB_PATTERN_H

#include <quarry/status.h>

#include <tsdb/memory.h>
#include <tsdb/types.h>

/* What an alternative lets be beside its text. */
enum tsdb_pattern_rest {
    TSDB_PATTERN_NOTHING,
    TSDB_PATTERN_ANYTHING,  /* ".*" */
    TSDB_PATTERN_SOMETHING, /* ".+": a byte at least */
};

struct tsdb_alternative {
    struct tsdb_slice text; /* in the pattern's bytes */
    enum tsdb_pattern_rest before, after;
};

struct tsdb_pattern {
    const struct tsdb_memory *memory; /* const; borrowed */
    struct tsdb_alternative *alternatives;
    size_t count;
    char *bytes;
    bool is_exact; /* all are texts alone; they are sorted then, each once */
};

/*
 * Reads an expression as a pattern.
 *
 * `expression`: borrowed for the call. `memory`: borrowed until tsdb_pattern_fini.
 * Errors: QUARRY_UNSUPPORTED: it is none of these shapes, or has other bytes than ASCII's, whose
 * form RE2 is to check; QUARRY_NO_MEMORY. Cost: O(bytes), and sorting.
 */
enum quarry_status tsdb_pattern_init(struct tsdb_pattern *pattern, const struct tsdb_memory *memory,
                                     struct tsdb_slice expression);
/* Makes the pattern of one text. Errors: QUARRY_NO_MEMORY. */
enum quarry_status tsdb_pattern_init_text(struct tsdb_pattern *pattern,
                                          const struct tsdb_memory *memory, struct tsdb_slice text);
void tsdb_pattern_fini(struct tsdb_pattern *pattern);

/* Whether a text matches as a whole. Threads: any. Cost: O(log alternatives) when it is exact. */
bool tsdb_pattern_matches(const struct tsdb_pattern *pattern, struct tsdb_slice text);

#endif
