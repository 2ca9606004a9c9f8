/*
 * Putting records together.
 *
 *     kind │ definition bytes │ entries │ check, of samples │ definitions … │ entries …
 *      u8        varint          varint        u32
 *
 * Entries and definitions come in any order and lie in two buffers until the record is closed:
 * definitions first, so that a reader knows a series before its sample.
 *
 * A sample is a byte, and what differs from the sample before it:
 *
 *     code of the value │ same time │ same step      6, 1, 1 bits
 *     [ step, zigzag ] [ time - time before, zigzag ] [ bytes of the value ]
 *
 * Scrapes come with one timestamp and with ids that were given out one after the other, or that are
 * 64 apart where a store has dealt them out: then a sample is one byte and its value.
 *
 * Invariants
 *   1. Everything but the value before is in the record: id, time and labels need no other.
 *   2. `check` is over the values in their order, so that a reader that may lack a value before
 *      knows whether it had the right ones.
 *   3. Samples never fail: their bytes were reserved with the record.
 *
 * Locking: that of the log. Cost: some 100 instructions a sample on node_exporter-like data, half
 * of which are for its value; 170 with all that appending does.
 *
 * Rejected: columns of ids, times and values, which are shorter only by what a compressor makes of
 * them, and are read in three passes. Prometheus' records: 8 bytes for each value.
 */
#include <tsdb/log_record.h>

#include <tsdb/log_value.h>

/* A sample at its longest; its value may be followed by bytes that do not count. */
#define SAMPLE_BYTES_MAX (1 + VARINT_U64_BYTES_MAX + VARINT_U64_BYTES_MAX + LOG_VALUE_BYTES_MAX + 8)
/* Of other entries: id, time, length or value. */
#define ENTRY_BYTES_MAX (4 * VARINT_U64_BYTES_MAX)

Q_STATIC_ASSERT(LOG_RECORD_BYTES + 2 * TSDB_LOG_LABEL_BYTES_MAX + Q_KIB(32) <= LOG_RECORD_BYTES_MAX,
                "a record takes an exemplar and a definition of the largest labels");
Q_STATIC_ASSERT(LOG_RECORD_BYTES + TSDB_LOG_LABEL_BYTES_MAX + TSDB_LOG_HISTOGRAM_BYTES_MAX +
                        Q_KIB(32) <=
                    LOG_RECORD_BYTES_MAX,
                "or a histogram");

enum quarry_status log_record_init(struct log_record *record, struct tsdb_memory *memory)
{
    *record = (struct log_record){.definitions = {.memory = memory},
                                  .entries = {.memory = memory},
                                  .labels = {.bytes = {.memory = memory}}};
    enum quarry_status status =
        tsdb_buffer_reserve(&record->entries, LOG_RECORD_BYTES + SAMPLE_BYTES_MAX);
    if (status == QUARRY_OK) {
        status = tsdb_buffer_reserve(&record->definitions, LOG_RECORD_BYTES);
    }
    if (status != QUARRY_OK) {
        log_record_fini(record);
    }
    return status;
}

void log_record_fini(struct log_record *record)
{
    tsdb_buffer_fini(&record->definitions);
    tsdb_buffer_fini(&record->entries);
    log_labels_fini(&record->labels);
}

void log_record_begin(struct log_record *record, enum log_record_kind kind)
{
    record->definitions.byte_count = 0;
    record->entries.byte_count = 0;
    record->labels.count = 0;
    record->labels.bytes.byte_count = 0;
    record->kind = kind;
    record->entry_count = 0;
    record->definition_id = 0;
    record->id = 0;
    record->step = 1;
    record->t_ms = 0;
    record->check = LOG_VALUE_CHECK;
}

enum quarry_status log_record_define(struct log_record *record,
                                     const struct tsdb_log_series *series, bool is_repeated)
{
    struct tsdb_buffer *to = &record->definitions;
    size_t before = to->byte_count;
    enum quarry_status status = tsdb_buffer_reserve(to, ENTRY_BYTES_MAX);

    if (status != QUARRY_OK) {
        return status;
    }
    uint8_t *at = to->bytes + to->byte_count;
    *at++ = is_repeated ? LOG_DEFINITION_REPEATED : 0;
    at += varint_put_u64(at, varint_zigzag((int64_t)series->id - (int64_t)record->definition_id));
    at += varint_put_u64(at, series->tenant);
    to->byte_count = (size_t)(at - to->bytes);
    status = log_labels_put(to, &record->labels, series->labels);
    if (status != QUARRY_OK) {
        to->byte_count = before;
        return status;
    }
    record->definition_id = series->id;
    return QUARRY_OK;
}

/* ---- entries -------------------------------------------------------------------------------- */

static inline int64_t time_step(int64_t t_ms, int64_t before_ms)
{
    return (int64_t)((uint64_t)t_ms - (uint64_t)before_ms);
}

void log_record_sample(struct log_record *record, const struct tsdb_log_sample *sample,
                       uint64_t base, bool is_absolute)
{
    uint8_t *first = record->entries.bytes + record->entries.byte_count, *at = first + 1;
    uint32_t step = sample->series - record->id, code = 0, same = LOG_SAMPLE_SAME_STEP;

    Q_ASSERT(record->entries.capacity - record->entries.byte_count >= SAMPLE_BYTES_MAX);
    if (step != record->step) {
        at += varint_put_u64(at, varint_zigzag((int32_t)step));
        same = 0;
    }
    if (sample->t_ms == record->t_ms) {
        same |= LOG_SAMPLE_SAME_TIME;
    } else {
        at += varint_put_u64(at, varint_zigzag(time_step(sample->t_ms, record->t_ms)));
    }
    at += log_value_put(at, sample->bits, base, is_absolute, &code);
    *first = (uint8_t)(same | code << LOG_SAMPLE_CODE_SHIFT);
    record->entries.byte_count = (size_t)(at - record->entries.bytes);
    record->entry_count++;
    record->id = sample->series;
    record->step = step;
    record->t_ms = sample->t_ms;
    record->check = log_value_check(record->check, sample->bits);
}

/* Id and time of a histogram or an exemplar. There is room. */
static uint8_t *put_place(uint8_t *at, uint32_t id, int64_t t_ms)
{
    at += varint_put_u64(at, id);
    return at + varint_put_u64(at, varint_zigzag(t_ms));
}

static void take_entry(struct log_record *record, const uint8_t *end)
{
    record->entries.byte_count = (size_t)(end - record->entries.bytes);
    record->entry_count++;
}

enum quarry_status log_record_histogram(struct log_record *record,
                                        const struct tsdb_log_histogram *histogram)
{
    struct tsdb_buffer *to = &record->entries;
    size_t byte_count = histogram->bytes.count;

    if (byte_count > TSDB_LOG_HISTOGRAM_BYTES_MAX) {
        return QUARRY_TOO_LARGE;
    }
    enum quarry_status status = tsdb_buffer_reserve(to, ENTRY_BYTES_MAX + byte_count);
    if (status != QUARRY_OK) {
        return status;
    }
    uint8_t *at = put_place(to->bytes + to->byte_count, histogram->series, histogram->t_ms);
    at += varint_put_u64(at, byte_count);
    if (byte_count != 0) {
        memcpy(at, histogram->bytes.bytes, byte_count);
    }
    take_entry(record, at + byte_count);
    return QUARRY_OK;
}

enum quarry_status log_record_exemplar(struct log_record *record,
                                       const struct tsdb_log_exemplar *exemplar)
{
    struct tsdb_buffer *to = &record->entries;
    size_t before = to->byte_count;
    enum quarry_status status = tsdb_buffer_reserve(to, ENTRY_BYTES_MAX);

    if (status != QUARRY_OK) {
        return status;
    }
    uint8_t *at = put_place(to->bytes + to->byte_count, exemplar->series, exemplar->t_ms);
    endian_store_le_u64(at, exemplar->bits);
    to->byte_count = (size_t)(at + 8 - to->bytes);
    status = log_labels_put(to, NULL, exemplar->labels);
    if (status != QUARRY_OK) {
        to->byte_count = before;
        return status;
    }
    record->entry_count++;
    return QUARRY_OK;
}

/* ---- the end -------------------------------------------------------------------------------- */

static struct tsdb_slice slice_of(const struct tsdb_buffer *buffer)
{
    return (struct tsdb_slice){buffer->bytes == NULL ? "" : (const char *)buffer->bytes,
                               buffer->byte_count};
}

void log_record_finish(struct log_record *record, uint8_t *head,
                       struct tsdb_slice parts[LOG_RECORD_PARTS])
{
    uint8_t *at = head;

    *at++ = (uint8_t)record->kind;
    at += varint_put_u64(at, record->definitions.byte_count);
    at += varint_put_u64(at, record->entry_count);
    if (record->kind == LOG_RECORD_SAMPLES) {
        endian_store_le_u32(at, log_value_check_end(record->check));
        at += 4;
    }
    Q_ASSERT((size_t)(at - head) <= LOG_RECORD_HEAD_BYTES_MAX);
    parts[0] = (struct tsdb_slice){(const char *)head, (size_t)(at - head)};
    parts[1] = slice_of(&record->definitions);
    parts[2] = slice_of(&record->entries);
}
