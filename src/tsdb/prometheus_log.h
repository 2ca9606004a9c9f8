/*
 * Prometheus' write-ahead log, read: a directory of segments as one run of records.
 */
#ifndef QUARRY_TSDB_PROMETHEUS_LOG_H
#define QUARRY_TSDB_PROMETHEUS_LOG_H

#include <tsdb/block_file.h>

/* The longest record, uncompressed. A scrape of a million series is some 20 MiB. */
#define PROMETHEUS_RECORD_BYTES_MAX Q_MIB(64)

/* What was damaged, and is not there. */
struct prometheus_losses {
    uint64_t damage_count;     /* places */
    uint64_t lost_bytes;       /* of files, as far as it is known */
    struct quarry_error first; /* where the first of them is, and why */
};

/* Counts a loss. */
void prometheus_lose(struct prometheus_losses *losses, uint64_t byte_count,
                     const struct quarry_error *error);

struct prometheus_log;

/*
 * Opens the segments of a directory, wal, wbl or a checkpoint.
 *
 * `directory`: borrowed for the call. `first`: the number of the first segment that is wanted.
 * `losses`: borrowed while the log is open.
 * `ret_log`: own; end it with prometheus_log_close. Errors: QUARRY_NOT_FOUND, QUARRY_NO_MEMORY, of
 * the vfs.
 */
enum quarry_status prometheus_log_open(struct tsdb_memory *memory, struct quarry_vfs *vfs,
                                       const char *directory, uint64_t first,
                                       struct prometheus_losses *losses,
                                       struct prometheus_log **ret_log, struct quarry_error *error);
/* `log`: given; NULL does nothing. */
void prometheus_log_close(struct prometheus_log *log);

/*
 * The next record, uncompressed.
 *
 * What is damaged is counted in the losses, and reading goes on at the next page of 32 KiB; a last
 * segment that ends within a record is no damage: its writer was ended.
 *
 * `ret_bytes`: borrowed until the next call. Errors: QUARRY_NOT_FOUND: there are no more;
 * QUARRY_NO_MEMORY, of the vfs.
 */
enum quarry_status prometheus_log_next(struct prometheus_log *log, const uint8_t **ret_bytes,
                                       size_t *ret_byte_count, struct quarry_error *error);
/* Where the record that was read last ends, for errors about what is in it. */
void prometheus_log_place(const struct prometheus_log *log, struct quarry_error *error,
                          const char *what);

#endif
