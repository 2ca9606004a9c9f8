/*
 * Version edits: the records of a manifest. docs/formats/manifest.md has the bytes.
 */
#ifndef QUARRY_KV_EDIT_H
#define QUARRY_KV_EDIT_H

#include <kv/key.h>
#include <kv/memory.h>

/* What an edit has; a bit each in `has`. */
enum kv_edit_field {
    KV_EDIT_COMPARATOR = 1u << 0,
    KV_EDIT_LOG_NUMBER = 1u << 1,
    KV_EDIT_PREVIOUS_LOG = 1u << 2,
    KV_EDIT_NEXT_FILE = 1u << 3,
    KV_EDIT_LAST_SEQUENCE = 1u << 4,
    KV_EDIT_MINIMUM_LOG = 1u << 5,
    KV_EDIT_DB_ID = 1u << 6,
    KV_EDIT_COLUMN_ADD = 1u << 7,
    KV_EDIT_COLUMN_DROP = 1u << 8,
    KV_EDIT_COLUMN_MAX = 1u << 9,
    KV_EDIT_GROUP = 1u << 10,
    KV_EDIT_ROCKSDB_TAGS = 1u << 11, /* it has tags that LevelDB does not know; not written */
};

/* A file as an edit has it. Slices are borrowed from whom the edit was made of. */
struct kv_edit_file {
    uint32_t level;
    uint64_t number;
    uint64_t byte_count;
    struct kv_key smallest, largest;
    uint64_t smallest_sequence, largest_sequence;
    uint64_t oldest_ancestor_s; /* seconds since 1970; 0: not known */
    uint64_t created_s;         /* likewise */
    /* Counts of what is in it: Quarry's own, ignored by others. */
    uint64_t entry_count, deletion_count, range_deletion_count;
    uint8_t temperature;   /* RocksDB's; kept */
    bool wants_compaction; /* whoever wrote it marked it */
    bool has_counts;
    bool has_sequences; /* false: LevelDB's, where any could be in it */
};

struct kv_edit_removal {
    uint32_t level;
    uint64_t number;
};

struct kv_edit_cursor {
    uint32_t level;
    struct kv_key key;
};

/*
 * One edit. All-zero but for `memory` is an empty one. Arrays are its own, and grow as it is added
 * to; bytes of keys and names are not.
 */
struct kv_edit {
    struct kv_memory *memory; /* borrowed; of its arrays */
    uint32_t has;             /* of enum kv_edit_field */
    uint32_t column_family;   /* the edit is about: 0: the default one, the only one we have */
    uint32_t column_family_max;
    uint32_t group_rest; /* how many edits follow that take effect together with this one */
    struct kv_slice comparator, db_id, column_name;
    uint64_t log_number;    /* logs below have nothing that is not in files */
    uint64_t previous_log;  /* LevelDB's second log; 0: none */
    uint64_t minimum_log;   /* RocksDB's: logs below are not needed */
    uint64_t next_file;     /* no file has this number or a higher one */
    uint64_t last_sequence; /* the highest in files */
    struct kv_edit_file *added;
    size_t added_count, added_capacity;
    struct kv_edit_removal *removed;
    size_t removed_count, removed_capacity;
    struct kv_edit_cursor *cursors; /* where compaction of a level goes on: read, and not written */
    size_t cursor_count, cursor_capacity;
};

void kv_edit_init(struct kv_edit *edit, struct kv_memory *memory);
/* Gives back its arrays. */
void kv_edit_fini(struct kv_edit *edit);
/* Makes it empty; the arrays stay. */
void kv_edit_clear(struct kv_edit *edit);

/* Errors: QUARRY_NO_MEMORY: as it was. `file`: what it points to is borrowed until the edit ends.
 */
enum quarry_status kv_edit_add(struct kv_edit *edit, const struct kv_edit_file *file);
enum quarry_status kv_edit_remove(struct kv_edit *edit, uint32_t level, uint64_t number);

/*
 * Reads a record.
 *
 * `record`: borrowed as long as the edit is used. `edit`: an empty one; after an error it is to be
 * cleared. Tags that others may ignore are, by their length.
 * Errors: QUARRY_CORRUPT (with the offset in the record), QUARRY_UNSUPPORTED (a feature by its
 * name: blobs, timestamps, other paths, tags that must not be ignored), QUARRY_NO_MEMORY.
 */
enum quarry_status kv_edit_decode(struct kv_edit *edit, struct kv_slice record,
                                  struct quarry_error *error);

/* How an edit is written. */
enum kv_edit_form {
    KV_EDIT_ROCKSDB, /* files by tag 103 */
    KV_EDIT_LEVELDB, /* tags 1 to 9 */
};

/* How many bytes the record has. */
size_t kv_edit_encoded_bytes(const struct kv_edit *edit, enum kv_edit_form form);
/*
 * Writes the record. `room`: of as many bytes. `edit`: of the default column family, in no group,
 * its keys of types that files may have. Returns: the bytes written: kv_edit_encoded_bytes.
 */
size_t kv_edit_encode(const struct kv_edit *edit, enum kv_edit_form form, char *room);

#endif
