/*
 * Which name was probably meant by one that does not exist: for messages.
 *
 *     struct nearest nearest;
 *     nearest_init(&nearest, typed);
 *     nearest_offer(&nearest, "serve");
 *     nearest_offer(&nearest, "run");
 *     if (nearest.name != NULL) { printf("did you mean '%s'?", nearest.name); }
 */
#ifndef QUARRY_BASE_NEAREST_H
#define QUARRY_BASE_NEAREST_H

#include <stddef.h>

/* Longer names are neither asked about nor found. */
#define NEAREST_NAME_BYTES_MAX 64

struct nearest {
    const char *typed; /* borrowed */
    const char *name;  /* the best so far, borrowed; NULL: none is near */
    size_t wrong;      /* letters of it */
};

void nearest_init(struct nearest *nearest, const char *typed);
/*
 * Looks at one name that exists. It is near when up to two letters are wrong, or a quarter of them
 * where it is longer than eight, and not all of them.
 * Errors: none. Threads: any, each with its own. Cost: O(letters typed × letters of the name).
 */
void nearest_offer(struct nearest *nearest, const char *name);

#endif
