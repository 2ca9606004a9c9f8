/*
 * Builds the message of a profile: texts, functions and locations once each.
 */
#ifndef QUARRY_CLI_PROFILE_BUILD_H
#define QUARRY_CLI_PROFILE_BUILD_H

#include <base/base.h>
#include <cli/process.h>
#include <cli/symbols.h>

#include "pprof.pb-c.h"

/* From 64 bits to a number; several entries may have the same key. */
struct profile_table {
    uint64_t *key;   /* own */
    uint32_t *value; /* own; 0: free slot */
    uint32_t slot_count;
    uint32_t used_count;
};

/* Pointers, to messages or texts. */
struct profile_list {
    void **item; /* own */
    uint32_t count;
    uint32_t capacity;
};

struct profile_block;

struct profile_build {
    const struct process *process;
    struct symbols *symbols;
    struct profile_block *blocks; /* own: all messages and texts */
    bool has_failed;              /* no memory: what was built is not whole */
    struct profile_list sample_types, samples, mappings, locations, functions, strings;
    struct profile_table string_table, location_table, function_table;
};

#define PROFILE_VALUES_MAX 6u

/* The mappings are added at once. `process` and `symbols`: borrowed until fini. */
void profile_build_init(struct profile_build *build, const struct process *process,
                        struct symbols *symbols);
void profile_build_fini(struct profile_build *build);

/* The index of a text, which is copied; 0 for NULL. */
int64_t profile_string(struct profile_build *build, const char *text);
/* Sample types are in the order of the values. */
void profile_add_type(struct profile_build *build, const char *type, const char *unit);

/* A sample of return addresses, innermost first, with as many values as there are types. */
Quarry__Pprof__Sample *profile_add_pcs(struct profile_build *build, const uint64_t *pcs,
                                       uint32_t depth, const uint64_t *values);
/* A sample of a stack with as many values as there are types, labelled with owner and lifetime. */
Quarry__Pprof__Sample *profile_add_sample(struct profile_build *build,
                                          const struct mem_stats_stack *stack,
                                          const uint64_t *values);
/* Labels of a sample: at most PROFILE_LABELS_MAX with the two that it has. */
#define PROFILE_LABELS_MAX 6u
void profile_label_text(struct profile_build *build, Quarry__Pprof__Sample *sample, const char *key,
                        const char *text);
void profile_label_number(struct profile_build *build, Quarry__Pprof__Sample *sample,
                          const char *key, uint64_t number, const char *unit);

/* The message, complete but for period and default type. Borrowed from the build. */
void profile_finish(struct profile_build *build, Quarry__Pprof__Profile *ret_profile);

/*
 * Writes the message as gzipped protobuf. `path`: created or replaced; "-" is stdout.
 * Errors: NO_MEMORY, IO; the text names the file.
 */
enum quarry_status profile_save(const char *path, const Quarry__Pprof__Profile *profile,
                                struct quarry_error *error);

#endif
