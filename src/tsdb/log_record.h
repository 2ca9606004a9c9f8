/*
 * Records of the log: what they hold, and putting them together. docs/formats/tsdb-log.md has the
 * bytes.
 */
#ifndef QUARRY_TSDB_LOG_RECORD_H
#define QUARRY_TSDB_LOG_RECORD_H

#include <tsdb/log_labels.h>

enum log_record_kind {
    LOG_RECORD_NONE = 0,
    LOG_RECORD_SAMPLES = 1,
    LOG_RECORD_HISTOGRAMS = 2,
    LOG_RECORD_EXEMPLARS = 3,
};

/* In a record's definitions: the series has been defined in the segment before. */
#define LOG_DEFINITION_REPEATED 1u

/* In a sample's first byte; the code of its value is above them. */
#define LOG_SAMPLE_SAME_STEP  1u /* the id rises by as much as the one before did */
#define LOG_SAMPLE_SAME_TIME  2u /* the timestamp of the one before */
#define LOG_SAMPLE_CODE_SHIFT 2

/* A record is closed when it has so many samples, or bytes. Doubling it doubles what is lost with a
 * record, and a reader's memory. */
#define LOG_RECORD_SAMPLES_MAX 4096u
#define LOG_RECORD_BYTES       Q_KIB(64)
/* No record is longer: one that is nearly full, the largest definition, the largest histogram. */
#define LOG_RECORD_BYTES_MAX Q_MIB(2)

/* Every so many samples of a series, its value is written without the one before. Doubling it
 * doubles what may be lost behind damage, and saves 0.1 bytes a sample. */
#define LOG_REBASE_SAMPLES 32u

/* A record that is being put together. */
struct log_record {
    struct tsdb_buffer definitions, entries;
    struct log_labels labels; /* of the last definition */
    enum log_record_kind kind;
    uint32_t entry_count;
    uint32_t definition_id; /* the last one */
    uint32_t id, step;      /* of the last entry */
    int64_t t_ms;
    uint64_t check;
};

#define LOG_RECORD_PARTS 3u

/* Errors: QUARRY_NO_MEMORY. */
enum quarry_status log_record_init(struct log_record *record, struct tsdb_memory *memory);
void log_record_fini(struct log_record *record);

/* Empties it, for a record of a kind. */
void log_record_begin(struct log_record *record, enum log_record_kind kind);
/* Whether it should be closed before anything more is put into it. */
static inline bool log_record_is_full(const struct log_record *record)
{
    return record->entry_count >= LOG_RECORD_SAMPLES_MAX ||
           record->entries.byte_count >= LOG_RECORD_BYTES ||
           record->definitions.byte_count >= LOG_RECORD_BYTES;
}
/* Errors: QUARRY_TOO_LARGE, QUARRY_NO_MEMORY: it is as it was. */
enum quarry_status log_record_define(struct log_record *record,
                                     const struct tsdb_log_series *series, bool is_repeated);
/* The record is one of samples, and not full. `base`: the value before; not looked at if absolute.
 */
void log_record_sample(struct log_record *record, const struct tsdb_log_sample *sample,
                       uint64_t base, bool is_absolute);
/* Errors: QUARRY_TOO_LARGE, QUARRY_NO_MEMORY: it is as it was. */
enum quarry_status log_record_histogram(struct log_record *record,
                                        const struct tsdb_log_histogram *histogram);
enum quarry_status log_record_exemplar(struct log_record *record,
                                       const struct tsdb_log_exemplar *exemplar);
/*
 * The record's bytes, in order. `head`: room for LOG_RECORD_HEAD_BYTES_MAX bytes.
 * `parts`: borrowed until the record is begun again, the first one from `head`.
 */
#define LOG_RECORD_HEAD_BYTES_MAX 15u
void log_record_finish(struct log_record *record, uint8_t *head,
                       struct tsdb_slice parts[LOG_RECORD_PARTS]);

#endif
