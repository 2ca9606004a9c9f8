/*
 * A file that is to be ingested: brought into the store's directory, and looked through.
 */
#ifndef QUARRY_KV_INGEST_FILE_H
#define QUARRY_KV_INGEST_FILE_H

#include <kv/background.h>

struct kv_ingest_file {
    struct quarry_kv *kv;
    const char *source;  /* path it came by; borrowed */
    struct kv_path path; /* in the store */
    uint64_t number;
    uint64_t byte_count;
    struct quarry_kv_buffer smallest, largest; /* user keys */
    uint8_t smallest_type, largest_type;
    bool is_end_open; /* the largest is the end of a range deletion */
    bool is_there;    /* in the store's directory */
    uint64_t entry_count, delete_count, range_count;
    uint32_t level;      /* where it goes: ingest.c */
    struct kv_pick pick; /* keeps compactions from writing there; likewise */
    bool is_picked;
};

/* `file`: the caller's storage. Nothing is done yet. */
void kv_ingest_file_init(struct kv_ingest_file *file, struct quarry_kv *kv, const char *source);
/* Gives its memory back; with `removes` what was brought into the directory is removed. */
void kv_ingest_file_fini(struct kv_ingest_file *file, bool removes);

/*
 * Links or copies (`keeps`) it into the store's directory, synced but for its name; reads it whole.
 *
 * Errors: QUARRY_BAD_INPUT (not made to be ingested; it has sequences; another comparator),
 * QUARRY_CORRUPT, QUARRY_UNSUPPORTED, QUARRY_NOT_FOUND, QUARRY_IO, …, with the source's name.
 */
enum quarry_status kv_ingest_file_bring(struct kv_ingest_file *file, bool keeps,
                                        struct quarry_error *error);

struct kv_key_range kv_ingest_file_range(const struct kv_ingest_file *file);
/* As an edit has it, with a sequence and its level. Keys are borrowed. */
struct kv_edit_file kv_ingest_file_describe(const struct kv_ingest_file *file, uint64_t sequence);

#endif
