/*
 * Reading logs: the records up to the end, or up to the first thing that is not a record.
 *
 * What comes behind a hole or damage is never returned: a log is read to a point in time. Where and
 * why it ended is told. A reader that is paranoid is for files whose records are synced one by one:
 * it returns damage as an error where a record lies behind it. The last record may be torn: its
 * writer had not finished. A last record that was damaged later looks the same.
 */
#ifndef QUARRY_KV_LOG_READ_H
#define QUARRY_KV_LOG_READ_H

#include <quarry/vfs.h>

#include <kv/buffer.h>
#include <kv/log_write.h>

/* Why a log ended. */
enum kv_log_ending {
    KV_LOG_ENDS_CLEAN,    /* with a record; zeros may follow */
    KV_LOG_ENDS_CUT_OFF,  /* within a record that the file ends in, or zeros to its end */
    KV_LOG_ENDS_RECYCLED, /* before records of an earlier log in the same file */
    KV_LOG_ENDS_AT_HOLE,  /* with zeros that something follows */
    KV_LOG_ENDS_CHECKSUM, /* before a fragment whose checksum is wrong */
    KV_LOG_ENDS_LENGTH,   /* before one that does not fit its block */
    KV_LOG_ENDS_TYPE,     /* before one of an unknown type */
    KV_LOG_ENDS_ORDER,    /* before one that does not belong after the last */
};
/* "checksum does not match", …: static. */
const char *kv_log_ending_text(enum kv_log_ending ending);

struct kv_log_reader_options {
    struct quarry_vfs_file *file; /* borrowed until the reader is destroyed */
    const char *name;             /* of the file, for errors; likewise */
    struct kv_memory *memory;     /* likewise */
    uint64_t number;              /* of the log, whose low half recycled fragments must have */
    uint64_t record_bytes_max;    /* a longer one is QUARRY_TOO_LARGE */
    bool is_paranoid;
};

struct kv_log_reader;

/* `ret_reader`: own; end it with kv_log_reader_destroy. Errors: QUARRY_NO_MEMORY, QUARRY_IO. */
enum quarry_status kv_log_reader_create(const struct kv_log_reader_options *options,
                                        struct kv_log_reader **ret_reader,
                                        struct quarry_error *error);
/* `reader`: given; NULL does nothing. */
void kv_log_reader_destroy(struct kv_log_reader *reader);

/*
 * Reads the next record.
 *
 * `ret_record`: borrowed until the next call.
 * Errors: QUARRY_NOT_FOUND: the end, see kv_log_reader_end; QUARRY_CORRUPT: damage, to the
 * paranoid; QUARRY_UNSUPPORTED: compressed; QUARRY_IO, QUARRY_NO_MEMORY, QUARRY_TOO_LARGE. After an
 * error, each further call returns it again.
 */
enum quarry_status kv_log_read(struct kv_log_reader *reader, struct kv_slice *ret_record,
                               struct quarry_error *error);

/* Where and why it ended. */
struct kv_log_end {
    enum kv_log_ending ending;
    uint64_t offset;        /* where the last record ended */
    uint64_t dropped_bytes; /* from there to the last byte that is not zero */
    uint64_t record_count;  /* returned */
};
/* After kv_log_read has returned QUARRY_NOT_FOUND or QUARRY_CORRUPT. */
void kv_log_reader_end(const struct kv_log_reader *reader, struct kv_log_end *ret_end);

#endif
