/*
 * Snapshots, by their generations.
 *
 *     snapshot-000006.qts     removed when
 *     snapshot-000007.qts     this one and its name are durable
 *
 * Invariants
 *   1. At every moment after the first there is a snapshot that is durable.
 *   2. A generation is written once: the next is above all that have names.
 *
 * A snapshot before the last that could not be removed is removed after the next. It is of no
 * consequence: the newest is opened.
 *
 * Locking: none; one thread's at a time. Cost: a listing, and one for each that is removed.
 *
 * Rejected: keeping the one before, for when the newest is damaged: the log that would lead from it
 * to now is gone by then.
 */
#include <tsdb/snapshot.h>

struct finding {
    uint64_t below, generation; /* 0: none */
};

static bool find(void *argument, const char *name)
{
    struct finding *finding = argument;
    struct tsdb_file_name parsed;

    if (tsdb_file_parse(name, &parsed) && parsed.kind == TSDB_FILE_SNAPSHOT &&
        parsed.number < finding->below && parsed.number > finding->generation) {
        finding->generation = parsed.number;
    }
    return true;
}

/* The newest generation below one; 0: there is none. */
static enum quarry_status find_newest(const struct tsdb_snapshot_options *options, uint64_t below,
                                      uint64_t *ret_generation, struct quarry_error *error)
{
    struct finding finding = {.below = below};
    enum quarry_status status =
        quarry_vfs_list(options->vfs, options->directory, find, &finding, error);

    *ret_generation = finding.generation;
    return status;
}

static struct tsdb_section_place place_of(const struct tsdb_snapshot_options *options,
                                          uint64_t generation)
{
    return (struct tsdb_section_place){.vfs = options->vfs,
                                       .directory = options->directory,
                                       .memory = options->memory,
                                       .name = {.kind = TSDB_FILE_SNAPSHOT, .number = generation}};
}

/* One that cannot be removed ends it. */
static void remove_below(const struct tsdb_snapshot_options *options, uint64_t below)
{
    uint64_t generation = 0;

    while (find_newest(options, below, &generation, NULL) == QUARRY_OK && generation != 0) {
        const struct tsdb_section_place place = place_of(options, generation);
        if (tsdb_section_file_remove(&place, NULL) != QUARRY_OK) {
            return;
        }
    }
}

enum quarry_status tsdb_snapshot_write(const struct tsdb_snapshot_options *options,
                                       const struct tsdb_section *sections, size_t section_count,
                                       uint64_t *ret_generation, struct quarry_error *error)
{
    uint64_t newest = 0;
    enum quarry_status status = find_newest(options, UINT64_MAX, &newest, error);

    if (status != QUARRY_OK) {
        return status;
    }
    const struct tsdb_section_place place = place_of(options, newest + 1);
    status = tsdb_section_file_write(&place, sections, section_count, error);
    if (status != QUARRY_OK) {
        return status;
    }
    remove_below(options, newest + 1);
    *ret_generation = newest + 1;
    return QUARRY_OK;
}

enum quarry_status tsdb_snapshot_open(const struct tsdb_snapshot_options *options, uint64_t below,
                                      struct tsdb_section_file **ret_snapshot,
                                      uint64_t *ret_generation, struct quarry_error *error)
{
    uint64_t generation = 0;
    enum quarry_status status = find_newest(options, below, &generation, error);

    if (status != QUARRY_OK) {
        return status;
    }
    if (generation == 0) {
        return error_set(error, QUARRY_NOT_FOUND, "'%.150s': there is no snapshot",
                         options->directory);
    }
    const struct tsdb_section_place place = place_of(options, generation);
    *ret_generation = generation;
    return tsdb_section_file_open(&place, ret_snapshot, error);
}
