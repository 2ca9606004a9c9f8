/*
 * Selectors of series, as match[] has them: up{job="node",instance!~"test.*"}.
 */
#ifndef QUARRY_SERVE_PROMETHEUS_SELECTOR_H
#define QUARRY_SERVE_PROMETHEUS_SELECTOR_H

#include <tsdb/tsdb.h>

/* More in one selector are refused: a series has no more labels by default. */
#define SELECTOR_MATCHERS_MAX 64u

struct selector {
    struct quarry_tsdb_matcher matchers[SELECTOR_MATCHERS_MAX];
    size_t matcher_count;
};

/*
 * Reads a selector.
 *
 * `text`: borrowed while the selector is used. `room`: text.count bytes for what was escaped;
 * borrowed likewise. Errors: QUARRY_BAD_INPUT: it is none, and `error` tells at which byte, from 1;
 * QUARRY_TOO_MANY: matchers. Cost: some 5 instructions a byte; nothing is allocated.
 */
enum quarry_status selector_read(struct tsdb_slice text, char *room, struct selector *ret_selector,
                                 struct quarry_error *error);

#endif
