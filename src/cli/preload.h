/*
 * The environment in which a program runs under Quarry's malloc.
 */
#ifndef QUARRY_CLI_PRELOAD_H
#define QUARRY_CLI_PRELOAD_H

#include <base/base.h>

/* What QUARRY_MALLOC is to say besides what the user has it say. */
struct preload_options {
    uint64_t limit_bytes;       /* 0: as the library chooses */
    uint64_t sample_mean_bytes; /* with has_sample */
    bool has_sample;
    bool is_hardened;
    bool is_reporting; /* the last statistics are to be written at exit */
};

/*
 * Sets LD_PRELOAD and QUARRY_MALLOC in our own environment, for a child to inherit. What the user
 * set in them stays; options given here come after the user's, and so win.
 *
 * Errors: NOT_FOUND (libquarry-malloc.so is in none of the places; the text names them), BAD_INPUT
 * (its path cannot stand in LD_PRELOAD), NO_MEMORY.
 */
enum quarry_status preload_set(const struct preload_options *options, struct quarry_error *error);

#endif
