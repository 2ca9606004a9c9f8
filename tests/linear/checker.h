/*
 * Whether a history of one key can have happened one operation at a time.
 */
#ifndef QUARRY_TESTS_LINEAR_CHECKER_H
#define QUARRY_TESTS_LINEAR_CHECKER_H

#include <stddef.h>
#include <stdint.h>

#include "linear/model.h"

enum linear_verdict {
    LINEAR_POSSIBLE,
    LINEAR_IMPOSSIBLE,
    LINEAR_UNDECIDED, /* more states at once than are kept: too many threads at one key */
};

/* What one key may be by now. */
struct linear_checker {
    struct linear_config *config; /* owned */
    size_t config_count, config_capacity;
    size_t config_count_most; /* ever */
    uint64_t operation_count;
};

/* A key that is absent. */
void linear_checker_init(struct linear_checker *checker);
void linear_checker_fini(struct linear_checker *checker);

/*
 * Goes on with operations of the key. All of them have ended, and began after those of the call
 * before.
 *
 * `operation`: `count` of them in any order; borrowed. Errors: the verdict; what was impossible has
 * been printed on stderr. Cost: O(count · (log count + states at once · operations at once)).
 */
enum linear_verdict linear_check(struct linear_checker *checker,
                                 const struct linear_operation *operation, size_t count);

#endif
