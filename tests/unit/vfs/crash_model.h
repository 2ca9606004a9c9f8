/*
 * A model of what a loss of power may leave: for each sector of each file the versions that it may
 * have, for each name the files that may have it. It knows nothing of how the disk keeps them.
 *
 * A file's first sector holds its number for as long as it lives, every other sector the number of
 * the operation that wrote it, in all of its words.
 */
#ifndef QUARRY_TESTS_UNIT_VFS_CRASH_MODEL_H
#define QUARRY_TESTS_UNIT_VFS_CRASH_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include <quarry/vfs.h>

#define MODEL_SECTOR_BYTES  512u
#define MODEL_BLOCK_SECTORS 8u
#define MODEL_SECTORS       64u /* the longest file: 32 KiB */
#define MODEL_BLOCKS        (MODEL_SECTORS / MODEL_BLOCK_SECTORS)
#define MODEL_FILES         64u
#define MODEL_NAMES         8u /* four in each of two directories */
#define MODEL_VERSIONS      64u
#define MODEL_FIRST_SECTOR  0x80000000u

/* A set of versions; `synced` is one of them. */
struct model_sector {
    uint32_t versions[MODEL_VERSIONS];
    uint32_t version_count;
    uint32_t now;
    uint32_t synced;
};

struct model_file {
    struct model_sector sectors[MODEL_SECTORS];
    bool is_written[MODEL_BLOCKS]; /* since the last sync that succeeded or failed */
    uint64_t byte_count;
    uint64_t synced_byte_count;
    uint64_t least_byte_count; /* since the last sync */
    uint64_t most_byte_count;
    bool was_dropped; /* a sync of it has failed: its versions are never few again */
    bool is_numbered; /* its first sector was synced */
    bool is_safe;     /* it had a synced name, and since then none was taken from it for good */
};

struct model_name {
    uint32_t files[MODEL_VERSIONS]; /* that may have it; 0: none */
    uint32_t file_count;
    uint32_t now;
    uint32_t synced;
};

struct model {
    struct quarry_vfs *disk;                  /* own */
    struct quarry_vfs *fault;                 /* own: on it, to make syncs fail */
    struct model_file files[MODEL_FILES + 1]; /* from 1 */
    uint32_t file_count;
    struct model_name names[MODEL_NAMES];
    uint32_t operation;
    uint64_t seed;
    uint64_t random;
};

/* Begins a history on an empty disk. */
void model_begin(struct model *model, uint64_t seed);
/* One operation at random, on the disk and in the model. */
void model_step(struct model *model);
/* Fails the test unless a disk is one that a loss of power may leave. */
void model_check(struct model *model, struct quarry_vfs *left, uint32_t kept_percent);
void model_end(struct model *model);

#endif
