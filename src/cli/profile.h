/*
 * Profiles for pprof: of a heap, and of CPU time.
 */
#ifndef QUARRY_CLI_PROFILE_H
#define QUARRY_CLI_PROFILE_H

#include <base/base.h>
#include <cli/process.h>
#include <cli/symbols.h>

enum profile_kind {
    PROFILE_HEAP,          /* allocated and in use, objects and bytes; shows what is in use */
    PROFILE_ALLOCS,        /* the same; shows what was allocated */
    PROFILE_LIFETIMES,     /* allocated, freed and still alive, by age */
    PROFILE_FRAGMENTATION, /* bytes of sparse spans by the stacks that pin them */
    PROFILE_KINDS,
};

extern const char *const profile_kind_names[PROFILE_KINDS];

/*
 * Writes a profile as gzipped protobuf. `path`: created or replaced; "-" is stdout.
 * Errors: NO_MEMORY, IO; the text names the file.
 */
enum quarry_status profile_write(const char *path, enum profile_kind kind,
                                 const struct process *process, struct symbols *symbols,
                                 struct quarry_error *error);

/*
 * The same of CPU time: of samples as a server tells them (serve/observe/cpu.h).
 *
 * `samples`: a file; "-" is stdin. Errors: also BAD_INPUT, with the line.
 */
enum quarry_status profile_write_cpu(const char *path, const char *samples,
                                     const struct process *process, struct symbols *symbols,
                                     struct quarry_error *error);

#endif
