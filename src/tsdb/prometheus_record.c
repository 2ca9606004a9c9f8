/*
 * Records of Prometheus' log.
 *
 *     1   series       [ref u64, labels] ...
 *     2   samples      ref u64, time u64, [zigzag ref, zigzag time: from those; value u64] ...
 *     3   tombstones   [ref u64, zigzag first, zigzag last] ...
 *     4   exemplars    as samples, with labels behind the value
 *     6   metadata     [varint ref, u8 type, varint n, n * (name, text)] ...
 *     7,9   histograms  as samples, with a histogram for the value; 9 may have boundaries
 *     8,10  the same of floats
 *     11  samples      zigzag ref, zigzag time, zigzag start; value u64; then [zigzag ref: from the
 *                      one before, zigzag time: from the first, start; value u64] ...
 *     12,13 histograms of integers, of floats, in the way of 11
 *
 *     labels      varint n, n * (name, value)         text: varint length, bytes
 *     start       u8 0: none, 1: as before, 2: zigzag, from the first
 *     histogram   u8 hint, zigzag schema, threshold u64, zeros, count, sum u64, spans +, spans -,
 *                 buckets +, buckets -, and boundaries if the schema has them
 *
 * Counts and buckets of integers are varints, a bucket the difference to the one before; of floats
 * u64. Type 5 says which chunks are elsewhere and 14 how far a checkpoint goes; both are of no use
 * here. Start times are passed over: what is stored has none.
 *
 * Invariant: whatever the bytes are, nothing outside them is read, and a histogram that is told of
 * is sound.
 */
#include <tsdb/prometheus_record.h>

#include <tsdb/block_file.h>

enum {
    SERIES = 1,
    SAMPLES = 2,
    TOMBSTONES = 3,
    EXEMPLARS = 4,
    MARKERS = 5,
    METADATA = 6,
    HISTOGRAMS = 7,
    FLOAT_HISTOGRAMS = 8,
    CUSTOM_HISTOGRAMS = 9,
    CUSTOM_FLOAT_HISTOGRAMS = 10,
    SAMPLES_2 = 11,
    HISTOGRAMS_2 = 12,
    FLOAT_HISTOGRAMS_2 = 13,
    MIN_VALID_TIME = 14,
};

/* A record that is being read. */
struct job {
    struct prometheus_record_reader *reader;
    const struct prometheus_visitor *visitor;
    struct block_bytes bytes;
    struct quarry_error *error;
    /* what refs and times are told from */
    uint64_t ref;
    int64_t first_t_ms;
    bool is_begun;
};

void prometheus_record_init(struct prometheus_record_reader *reader, struct tsdb_memory *memory)
{
    *reader = (struct prometheus_record_reader){.memory = memory};
}

void prometheus_record_fini(struct prometheus_record_reader *reader)
{
    block_array_fini(reader->memory, &reader->labels);
    tsdb_memory_give(reader->memory, reader->words);
}

static struct tsdb_slice take_text(struct block_bytes *bytes)
{
    uint64_t count = block_bytes_varint(bytes);
    const uint8_t *text = block_bytes_take(bytes, count);

    return (struct tsdb_slice){text == NULL ? "" : (const char *)text,
                               text == NULL ? 0 : (size_t)count};
}

/* Labels of a series: sorted and whole, or QUARRY_CORRUPT. Those of exemplars come as they are. */
static enum quarry_status take_labels(struct job *job, bool must_be_sorted,
                                      struct tsdb_labels *ret_labels)
{
    struct block_array *labels = &job->reader->labels;
    uint64_t count = block_bytes_varint(&job->bytes);

    if (job->bytes.is_short || count > block_bytes_left(&job->bytes) / 2) {
        return QUARRY_CORRUPT;
    }
    if (block_array_reserve(job->reader->memory, labels, (size_t)count,
                            sizeof(struct tsdb_label)) != QUARRY_OK) {
        return QUARRY_NO_MEMORY;
    }
    struct tsdb_label *label = labels->members;
    for (size_t i = 0; i < count; i++) {
        label[i].name = take_text(&job->bytes);
        label[i].value = take_text(&job->bytes);
        if (must_be_sorted &&
            (label[i].name.count == 0 || label[i].value.count == 0 ||
             (i > 0 && tsdb_slice_compare(label[i - 1].name, label[i].name) >= 0))) {
            return QUARRY_CORRUPT;
        }
    }
    *ret_labels = (struct tsdb_labels){label, (size_t)count};
    return job->bytes.is_short ? QUARRY_CORRUPT : QUARRY_OK;
}

static enum quarry_status read_series(struct job *job)
{
    struct tsdb_labels labels;

    while (block_bytes_left(&job->bytes) != 0) {
        uint64_t ref = block_bytes_u64(&job->bytes);
        enum quarry_status status = take_labels(job, true, &labels);

        if (status == QUARRY_OK && job->visitor->series != NULL) {
            status = job->visitor->series(job->visitor->argument, ref, &labels, job->error);
        }
        if (status != QUARRY_OK) {
            return status;
        }
    }
    return job->bytes.is_short ? QUARRY_CORRUPT : QUARRY_OK;
}

static enum quarry_status read_tombstones(struct job *job)
{
    while (block_bytes_left(&job->bytes) != 0) {
        uint64_t ref = block_bytes_u64(&job->bytes);
        int64_t min = block_bytes_zigzag(&job->bytes), max = block_bytes_zigzag(&job->bytes);

        if (job->bytes.is_short) {
            return QUARRY_CORRUPT;
        }
        if (job->visitor->deleted != NULL) {
            enum quarry_status status =
                job->visitor->deleted(job->visitor->argument, ref, min, max, job->error);
            if (status != QUARRY_OK) {
                return status;
            }
        }
    }
    return QUARRY_OK;
}

static enum quarry_status read_metadata(struct job *job)
{
    while (block_bytes_left(&job->bytes) != 0) {
        uint64_t ref = block_bytes_varint(&job->bytes);
        uint8_t type = block_bytes_u8(&job->bytes);
        uint64_t count = block_bytes_varint(&job->bytes);
        struct tsdb_slice unit = tsdb_slice_of(""), help = unit;

        for (uint64_t i = 0; i < count && !job->bytes.is_short; i++) {
            struct tsdb_slice name = take_text(&job->bytes), text = take_text(&job->bytes);

            unit = tsdb_slice_equal(name, tsdb_slice_of("UNIT")) ? text : unit;
            help = tsdb_slice_equal(name, tsdb_slice_of("HELP")) ? text : help;
        }
        if (job->bytes.is_short) {
            return QUARRY_CORRUPT;
        }
        if (job->visitor->metadata != NULL) {
            enum quarry_status status =
                job->visitor->metadata(job->visitor->argument, ref, type, unit, help, job->error);
            if (status != QUARRY_OK) {
                return status;
            }
        }
    }
    return QUARRY_OK;
}

/* ---- refs and times ------------------------------------------------------------------------- */

/* Of the types up to 10: both are told from the first, which stands before all. */
static int64_t take_place(struct job *job, uint64_t *ret_ref)
{
    if (!job->is_begun) {
        job->ref = block_bytes_u64(&job->bytes);
        job->first_t_ms = (int64_t)block_bytes_u64(&job->bytes);
        job->is_begun = true;
    }
    *ret_ref = job->ref + (uint64_t)block_bytes_zigzag(&job->bytes);
    return (int64_t)((uint64_t)job->first_t_ms + (uint64_t)block_bytes_zigzag(&job->bytes));
}

/* Of the types from 11 on: a ref from the one before, and a start time. */
static int64_t take_place_2(struct job *job, uint64_t *ret_ref)
{
    uint64_t ref = (uint64_t)block_bytes_zigzag(&job->bytes);
    int64_t t_ms = block_bytes_zigzag(&job->bytes);

    if (!job->is_begun) {
        job->ref = ref;
        job->first_t_ms = t_ms;
        job->is_begun = true;
        (void)block_bytes_zigzag(&job->bytes);
    } else {
        job->ref += ref;
        t_ms = (int64_t)((uint64_t)job->first_t_ms + (uint64_t)t_ms);
        if (block_bytes_u8(&job->bytes) > 1) {
            (void)block_bytes_zigzag(&job->bytes);
        }
    }
    *ret_ref = job->ref;
    return t_ms;
}

static enum quarry_status tell_sample(struct job *job, uint64_t ref,
                                      const struct block_sample *sample)
{
    if (job->visitor->sample == NULL) {
        return QUARRY_OK;
    }
    return job->visitor->sample(job->visitor->argument, ref, sample, job->error);
}

static enum quarry_status read_samples(struct job *job, bool is_2)
{
    while (block_bytes_left(&job->bytes) != 0) {
        uint64_t ref = 0;
        struct block_sample sample = {.t_ms =
                                          is_2 ? take_place_2(job, &ref) : take_place(job, &ref)};

        sample.bits = block_bytes_u64(&job->bytes);
        enum quarry_status status =
            job->bytes.is_short ? QUARRY_CORRUPT : tell_sample(job, ref, &sample);
        if (status != QUARRY_OK) {
            return status;
        }
    }
    return QUARRY_OK;
}

static enum quarry_status read_exemplars(struct job *job)
{
    struct tsdb_labels labels;

    while (block_bytes_left(&job->bytes) != 0) {
        uint64_t ref = 0;
        struct tsdb_sample sample = {.t_ms = take_place(job, &ref)};

        sample.bits = block_bytes_u64(&job->bytes);
        enum quarry_status status = take_labels(job, false, &labels);
        if (status == QUARRY_OK && job->visitor->exemplar != NULL) {
            status =
                job->visitor->exemplar(job->visitor->argument, ref, sample, &labels, job->error);
        }
        if (status != QUARRY_OK) {
            return status;
        }
    }
    return job->bytes.is_short ? QUARRY_CORRUPT : QUARRY_OK;
}

/* ---- histograms ----------------------------------------------------------------------------- */

/* `*fits`: false where there are more than can be held, which are read over. */
static void take_spans(struct block_bytes *bytes, uint64_t **words, struct tsdb_buckets *buckets,
                       bool *fits)
{
    uint64_t count = block_bytes_varint(bytes);
    struct tsdb_span *spans = (struct tsdb_span *)*words;

    *fits &= count <= TSDB_HISTOGRAM_PARTS_MAX;
    for (uint64_t i = 0; i < count && !bytes->is_short; i++) {
        struct tsdb_span span = {.offset = (int32_t)block_bytes_zigzag(bytes),
                                 .length = (uint32_t)block_bytes_varint(bytes)};
        if (*fits) {
            spans[i] = span;
        }
    }
    if (*fits) {
        buckets->spans = spans;
        buckets->span_count = (uint32_t)count;
        *words += count;
    }
}

/* Numbers of 64 bits, or differences that are summed. Returns: how many. */
static uint32_t take_numbers(struct block_bytes *bytes, uint64_t **words, bool are_plain,
                             const uint64_t **ret_numbers, bool *fits)
{
    uint64_t count = block_bytes_varint(bytes), sum = 0;
    uint64_t *numbers = *words;

    *fits &= count <= TSDB_HISTOGRAM_PARTS_MAX;
    for (uint64_t i = 0; i < count && !bytes->is_short; i++) {
        sum = are_plain ? block_bytes_u64(bytes) : sum + (uint64_t)block_bytes_zigzag(bytes);
        if (*fits) {
            numbers[i] = sum;
        }
    }
    if (!*fits) {
        return 0;
    }
    *ret_numbers = numbers;
    *words += count;
    return (uint32_t)count;
}

static uint64_t take_count(struct block_bytes *bytes, bool is_float)
{
    return is_float ? block_bytes_u64(bytes) : block_bytes_varint(bytes);
}

/* Returns: whether it is one that can be told of. */
static bool take_histogram(struct job *job, bool is_float, struct tsdb_histogram *ret_histogram)
{
    struct block_bytes *bytes = &job->bytes;
    uint64_t *words = job->reader->words;
    struct tsdb_histogram now = {.is_float = is_float};
    uint8_t hint = block_bytes_u8(bytes);
    int64_t schema = block_bytes_zigzag(bytes);
    bool fits = hint <= TSDB_RESET_GAUGE && schema == (int32_t)schema;

    now.reset_hint = (enum tsdb_reset_hint)(hint & 3);
    now.schema = (int32_t)schema;
    now.zero_threshold_bits = block_bytes_u64(bytes);
    now.zero_count = take_count(bytes, is_float);
    now.count = take_count(bytes, is_float);
    now.sum_bits = block_bytes_u64(bytes);
    take_spans(bytes, &words, &now.positive, &fits);
    take_spans(bytes, &words, &now.negative, &fits);
    now.positive.bucket_count = take_numbers(bytes, &words, is_float, &now.positive.buckets, &fits);
    now.negative.bucket_count = take_numbers(bytes, &words, is_float, &now.negative.buckets, &fits);
    if (schema == TSDB_HISTOGRAM_SCHEMA_CUSTOM) {
        now.custom_count = take_numbers(bytes, &words, true, &now.custom_bits, &fits);
    }
    *ret_histogram = now;
    return fits && !bytes->is_short && tsdb_histogram_is_sound(&now);
}

static enum quarry_status read_histograms(struct job *job, bool is_float, bool is_2)
{
    struct prometheus_record_reader *reader = job->reader;
    struct tsdb_histogram histogram;

    if (reader->words == NULL) {
        reader->words =
            tsdb_memory_take_zero(reader->memory, TSDB_HISTOGRAM_WORDS_MAX * sizeof(uint64_t));
        if (reader->words == NULL) {
            return QUARRY_NO_MEMORY;
        }
    }
    while (block_bytes_left(&job->bytes) != 0) {
        uint64_t ref = 0;
        int64_t t_ms = is_2 ? take_place_2(job, &ref) : take_place(job, &ref);
        bool is_sound = take_histogram(job, is_float, &histogram);

        if (job->bytes.is_short) {
            return QUARRY_CORRUPT;
        }
        if (!is_sound) {
            reader->skipped_count++;
            continue;
        }
        histogram.t_ms = t_ms;
        const struct block_sample sample = {.t_ms = t_ms, .histogram = &histogram};
        enum quarry_status status = tell_sample(job, ref, &sample);
        if (status != QUARRY_OK) {
            return status;
        }
    }
    return QUARRY_OK;
}

enum quarry_status prometheus_record_read(struct prometheus_record_reader *reader,
                                          const uint8_t *bytes, size_t byte_count,
                                          const struct prometheus_visitor *visitor,
                                          struct quarry_error *error)
{
    struct job job = {.reader = reader,
                      .visitor = visitor,
                      .bytes = block_bytes_of(bytes, byte_count),
                      .error = error};
    uint8_t type = block_bytes_u8(&job.bytes);

    switch (type) {
    case SERIES:
        return read_series(&job);
    case SAMPLES:
    case SAMPLES_2:
        return read_samples(&job, type == SAMPLES_2);
    case TOMBSTONES:
        return read_tombstones(&job);
    case EXEMPLARS:
        return read_exemplars(&job);
    case METADATA:
        return read_metadata(&job);
    case HISTOGRAMS:
    case CUSTOM_HISTOGRAMS:
    case HISTOGRAMS_2:
        return read_histograms(&job, false, type == HISTOGRAMS_2);
    case FLOAT_HISTOGRAMS:
    case CUSTOM_FLOAT_HISTOGRAMS:
    case FLOAT_HISTOGRAMS_2:
        return read_histograms(&job, true, type == FLOAT_HISTOGRAMS_2);
    case MARKERS:
    case MIN_VALID_TIME:
        return QUARRY_OK;
    default:
        reader->unknown_count++;
        return QUARRY_OK;
    }
}
