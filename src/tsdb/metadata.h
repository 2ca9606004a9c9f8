/*
 * What is known of metric families: type, help and unit, of the latest who said something.
 *
 * A table in bounded memory. What was not said again for longest goes first when it is full:
 * nothing depends on it, it is shown to people. Families of different tenants have nothing to do
 * with each other.
 *
 * Threads: any, at once; one mutex, of rank LEAF, for the time of one call.
 */
#ifndef QUARRY_TSDB_METADATA_H
#define QUARRY_TSDB_METADATA_H

#include <quarry/lifetime.h>

#include <tsdb/wire_parts.h>

struct tsdb_metadata;

struct tsdb_metadata_options {
    struct quarry_account *account; /* borrowed until it is destroyed; what entries occupy */
    struct quarry_pool *pool;       /* likewise; of the account's owner */
    uint32_t family_count_max;      /* of all tenants; 1 to 2^24 */
    uint64_t bytes_max;             /* of names and texts of all */
    uint32_t text_bytes_max;        /* of one family's name, help and unit together */
    uint64_t hash_seed;             /* that strangers do not know */
};

/* Which parts of a family somebody has told; of the others what was known stays. */
enum tsdb_metadata_part {
    TSDB_METADATA_TYPE = 1,
    TSDB_METADATA_HELP = 2,
    TSDB_METADATA_UNIT = 4,
    TSDB_METADATA_ALL = 7,
};

/*
 * Creates a table of nothing. `ret_metadata`: own; end it with tsdb_metadata_destroy.
 * Errors: QUARRY_NO_MEMORY. Cost: up to 16 bytes for each of `family_count_max`.
 */
enum quarry_status tsdb_metadata_create(const struct tsdb_metadata_options *options,
                                        struct tsdb_metadata **ret_metadata);
/* `metadata`: given, with all that it holds; NULL does nothing. */
void tsdb_metadata_destroy(struct tsdb_metadata *metadata);

/*
 * Keeps what somebody said of a family, in place of what was known.
 *
 * `family`: borrowed for the call. `parts`: of enum tsdb_metadata_part, joined.
 * Errors: QUARRY_BAD_INPUT: no name; QUARRY_TOO_LARGE: longer than `text_bytes_max` or `bytes_max`;
 * QUARRY_NO_MEMORY. What was known stays after each.
 * Cost: some 150 instructions when it is nothing new, which is nearly always.
 */
enum quarry_status tsdb_metadata_put(struct tsdb_metadata *metadata, uint16_t tenant,
                                     const struct tsdb_family *family, uint32_t parts);
/*
 * What is known of a family.
 *
 * `room`: `text_bytes_max` bytes, in which the family's texts are put; borrowed while it is used.
 * Errors: QUARRY_NOT_FOUND.
 */
enum quarry_status tsdb_metadata_get(struct tsdb_metadata *metadata, uint16_t tenant,
                                     struct tsdb_slice name, char *room,
                                     struct tsdb_family *ret_family);

/* Where a walk is; all zero begins it. */
struct tsdb_metadata_cursor {
    uint32_t bucket;
    uint64_t number;
};
/*
 * The next family of a tenant, in no order: each that is there throughout a walk comes once.
 * `room`, Errors: as tsdb_metadata_get; QUARRY_NOT_FOUND: that was the last one.
 */
enum quarry_status tsdb_metadata_next(struct tsdb_metadata *metadata, uint16_t tenant,
                                      struct tsdb_metadata_cursor *cursor, char *room,
                                      struct tsdb_family *ret_family);

/* What a table holds now, and how many families went because it was full. */
struct tsdb_metadata_counts {
    uint32_t family_count;
    uint64_t bytes;
    uint64_t evicted_count;
};
void tsdb_metadata_count(struct tsdb_metadata *metadata, struct tsdb_metadata_counts *ret_counts);

#endif
