/*
 * Reading records.
 *
 *     pages ──> entry: value before, handle, generation        one for each series of the segment
 *
 * A value needs the one before it of its series, which may be in a record that was lost. So each
 * entry says in which *generation* its value before was right; a loss begins another, and with it
 * all series are in doubt. Three things take the doubt away:
 *
 *     an absolute value                    of its series: every 32 samples there is one
 *     the check of a record that matches   of all series in it: its values before were right
 *     the end of a series                  itself is read; the value before stays in doubt
 *
 * So of what follows a damaged block, the records of other targets are read as if nothing had
 * happened, and series that lost a sample in it come back within 32 samples.
 *
 * Invariants
 *   1. A sample is given to the visitor only if its value before was right.
 *   2. Generations only rise; 0 is a series that has not been defined, 1 one without a value.
 *   3. Lengths and counts are compared with what is there before they are used; nothing is read
 *      beyond LOG_DECODE_SLACK_BYTES behind the record.
 *
 * Samples are decoded into an array, and given on when the check is known.
 *
 * Locking: none; one thread's. Memory: 16 bytes a series, 110 KiB for the samples of a record.
 *
 * Rejected: to stop at the first damage: hours of samples that need nothing of it would be lost. To
 * begin anew at intervals, all series at once: with a million of them an interval is 100 MB.
 */
#include <tsdb/log_decode.h>

#include <tsdb/log_value.h>

#define PAGE_IDS 512u
/* Generations of entries. */
#define UNDEFINED   0u
#define WITHOUT     1u
#define FIRST_KNOWN 2u

struct entry {
    uint64_t base;
    uint32_t handle;
    uint32_t generation; /* in which `base` is right */
};

struct page {
    struct entry entries[PAGE_IDS];
};

struct log_decoder {
    struct tsdb_memory *memory;             /* const */
    const struct tsdb_log_visitor *visitor; /* const */
    struct page **pages;
    size_t page_capacity;
    uint32_t generation;
    struct log_labels labels[2]; /* of a definition and the one before it */
    uint32_t label_turn;
    struct tsdb_log_sample samples[LOG_RECORD_SAMPLES_MAX];
    struct entry *entries[LOG_RECORD_SAMPLES_MAX]; /* theirs; NULL: not known, and not given on */
    bool is_certain[LOG_RECORD_SAMPLES_MAX];
};

/* A record that is being read. */
struct source {
    const uint8_t *at, *end;
};

enum quarry_status log_decoder_create(struct tsdb_memory *memory,
                                      const struct tsdb_log_visitor *visitor,
                                      struct log_decoder **ret_decoder)
{
    struct log_decoder *decoder = tsdb_memory_take_zero(memory, sizeof(*decoder));

    if (decoder == NULL) {
        return QUARRY_NO_MEMORY;
    }
    decoder->memory = memory;
    decoder->visitor = visitor;
    decoder->generation = FIRST_KNOWN;
    decoder->labels[0].bytes.memory = memory;
    decoder->labels[1].bytes.memory = memory;
    *ret_decoder = decoder;
    return QUARRY_OK;
}

void log_decoder_destroy(struct log_decoder *decoder)
{
    if (decoder == NULL) {
        return;
    }
    for (size_t i = 0; i < decoder->page_capacity; i++) {
        tsdb_memory_give(decoder->memory, decoder->pages[i]);
    }
    tsdb_memory_give(decoder->memory, decoder->pages);
    log_labels_fini(&decoder->labels[0]);
    log_labels_fini(&decoder->labels[1]);
    tsdb_memory_give(decoder->memory, decoder);
}

void log_decoder_skip(struct log_decoder *decoder)
{
    decoder->generation++;
    Q_ASSERT(decoder->generation != 0);
}

/* ---- series --------------------------------------------------------------------------------- */

/* Of a series that has been defined; NULL: it has not. */
static inline struct entry *find_entry(struct log_decoder *decoder, uint32_t id)
{
    size_t index = id / PAGE_IDS;

    if (Q_UNLIKELY(index >= decoder->page_capacity || decoder->pages[index] == NULL)) {
        return NULL;
    }
    struct entry *entry = &decoder->pages[index]->entries[id % PAGE_IDS];
    return entry->generation == UNDEFINED ? NULL : entry;
}

static enum quarry_status grow_pages(struct log_decoder *decoder, size_t index)
{
    size_t capacity = decoder->page_capacity == 0 ? 1 : decoder->page_capacity;

    while (capacity <= index) {
        capacity *= 2;
    }
    if (capacity == decoder->page_capacity) {
        return QUARRY_OK;
    }
    struct page **pages = tsdb_memory_take_zero(decoder->memory, capacity * sizeof(struct page *));
    if (pages == NULL) {
        return QUARRY_NO_MEMORY;
    }
    if (decoder->page_capacity != 0) {
        memcpy(pages, decoder->pages, decoder->page_capacity * sizeof(struct page *));
    }
    tsdb_memory_give(decoder->memory, decoder->pages);
    decoder->pages = pages;
    decoder->page_capacity = capacity;
    return QUARRY_OK;
}

/* Of any series. */
static enum quarry_status make_entry(struct log_decoder *decoder, uint32_t id,
                                     struct entry **ret_entry)
{
    size_t index = id / PAGE_IDS;
    enum quarry_status status = grow_pages(decoder, index);

    if (status != QUARRY_OK) {
        return status;
    }
    if (decoder->pages[index] == NULL) {
        decoder->pages[index] = tsdb_memory_take_zero(decoder->memory, sizeof(struct page));
        if (decoder->pages[index] == NULL) {
            return QUARRY_NO_MEMORY;
        }
    }
    *ret_entry = &decoder->pages[index]->entries[id % PAGE_IDS];
    return QUARRY_OK;
}

static bool get_u32(struct source *from, uint32_t *ret_value)
{
    size_t byte_count = varint_get_u32(from->at, from->end, ret_value);

    from->at += byte_count;
    return byte_count != 0;
}

static bool get_u64(struct source *from, uint64_t *ret_value)
{
    size_t byte_count = varint_get_u64(from->at, from->end, ret_value);

    from->at += byte_count;
    return byte_count != 0;
}

/* A definition but for its labels. `id`: of the one before; becomes this one's. */
static enum quarry_status get_definition(struct log_decoder *decoder, struct source *from,
                                         uint32_t *id, uint8_t *ret_flags,
                                         struct tsdb_log_series *ret_series)
{
    struct log_labels *before = &decoder->labels[decoder->label_turn];
    struct log_labels *labels = &decoder->labels[1 - decoder->label_turn];
    uint32_t tenant = 0;
    uint64_t step = 0;

    *ret_flags = *from->at++;
    if ((*ret_flags & ~LOG_DEFINITION_REPEATED) != 0 || !get_u64(from, &step) ||
        !get_u32(from, &tenant) || tenant > UINT16_MAX) {
        return QUARRY_CORRUPT;
    }
    enum quarry_status status = log_labels_get(&from->at, from->end, before, labels);
    if (status != QUARRY_OK) {
        return status;
    }
    decoder->label_turn = 1 - decoder->label_turn;
    *id += (uint32_t)varint_unzigzag(step);
    *ret_series = (struct tsdb_log_series){
        .id = *id, .tenant = (uint16_t)tenant, .labels = log_labels_of(labels)};
    return QUARRY_OK;
}

static enum quarry_status define(struct log_decoder *decoder, const struct tsdb_log_series *series,
                                 bool is_repeated)
{
    struct entry *entry = NULL;
    uint32_t handle = TSDB_SERIES_NONE;
    enum quarry_status status = make_entry(decoder, series->id, &entry);

    if (status != QUARRY_OK || (is_repeated && entry->generation != UNDEFINED)) {
        return status;
    }
    status = decoder->visitor->series(decoder->visitor->argument, series, &handle);
    if (status == QUARRY_OK) {
        entry->handle = handle;
        entry->generation = entry->generation == UNDEFINED ? WITHOUT : entry->generation;
    }
    return status;
}

static enum quarry_status get_definitions(struct log_decoder *decoder, struct source from)
{
    enum quarry_status status = QUARRY_OK;
    struct tsdb_log_series series;
    uint32_t id = 0;
    uint8_t flags = 0;

    decoder->labels[decoder->label_turn].count = 0;
    decoder->labels[decoder->label_turn].bytes.byte_count = 0;
    while (from.at < from.end && status == QUARRY_OK) {
        status = get_definition(decoder, &from, &id, &flags, &series);
        if (status == QUARRY_OK) {
            status = define(decoder, &series, (flags & LOG_DEFINITION_REPEATED) != 0);
        }
    }
    return status;
}

/* ---- samples -------------------------------------------------------------------------------- */

/* What the samples of a record are relative to. */
struct sample_state {
    uint32_t id, step;
    int64_t t_ms;
    struct log_times times;
    uint64_t check;
    size_t doubtful_count;
};

/* Id and time of a sample. */
static inline bool get_sample_place(struct source *from, uint32_t head, struct sample_state *state)
{
    uint64_t word = 0;

    if (Q_UNLIKELY((head & LOG_SAMPLE_SAME_STEP) == 0)) {
        if (!get_u64(from, &word)) {
            return false;
        }
        state->step = (uint32_t)varint_unzigzag(word);
    }
    if (Q_UNLIKELY((head & LOG_SAMPLE_SAME_TIME) == 0)) {
        if (!get_u64(from, &word)) {
            return false;
        }
        state->t_ms = (int64_t)((uint64_t)state->t_ms + (uint64_t)varint_unzigzag(word));
        log_times_add(&state->times, state->t_ms);
    }
    state->id += state->step;
    return true;
}

/* An absolute value. Returns: false: none. */
static Q_NOINLINE bool get_absolute(struct source *from, uint64_t *ret_bits)
{
    if (from->at >= from->end || *from->at >= LOG_VALUE_STALE) {
        return false;
    }
    uint32_t code = *from->at++;
    *ret_bits = log_value_get(code, from->at, 0);
    from->at += log_value_forms[code].byte_count;
    return true;
}

/*
 * The value of a sample, and what is known of its series from now on.
 * `ret_is_certain`: its value before was right, or not needed.
 */
static inline bool get_sample_value(const struct log_decoder *decoder, struct source *from,
                                    uint32_t code, struct entry *entry, uint64_t *ret_bits,
                                    bool *ret_is_certain)
{
    if (Q_LIKELY(code < LOG_VALUE_STALE)) {
        *ret_bits = log_value_get(code, from->at, entry->base);
        from->at += log_value_forms[code].byte_count;
        *ret_is_certain = entry->generation == decoder->generation;
        entry->base = *ret_bits;
        return true;
    }
    *ret_is_certain = true;
    if (code == LOG_VALUE_STALE) {
        *ret_bits = TSDB_STALE_BITS;
        return true;
    }
    if (code != LOG_VALUE_ABSOLUTE || !get_absolute(from, ret_bits)) {
        return false;
    }
    entry->base = *ret_bits;
    entry->generation = entry->generation == UNDEFINED ? UNDEFINED : decoder->generation;
    return true;
}

static inline bool get_sample(struct log_decoder *decoder, struct source *from,
                              struct sample_state *state, size_t i)
{
    struct entry none = {.generation = UNDEFINED};
    bool is_certain = false;
    uint64_t bits = 0;

    if (from->at >= from->end) {
        return false;
    }
    uint32_t head = *from->at++;
    if (!get_sample_place(from, head, state)) {
        return false;
    }
    struct entry *entry = find_entry(decoder, state->id);
    if (!get_sample_value(decoder, from, head >> LOG_SAMPLE_CODE_SHIFT,
                          entry == NULL ? &none : entry, &bits, &is_certain) ||
        from->at > from->end) {
        return false;
    }
    decoder->samples[i] = (struct tsdb_log_sample){
        .series = entry == NULL ? TSDB_SERIES_NONE : entry->handle, .t_ms = state->t_ms, bits};
    decoder->entries[i] = entry;
    decoder->is_certain[i] = is_certain;
    state->doubtful_count += !is_certain || entry == NULL;
    state->check = log_value_check(state->check, bits);
    return true;
}

/* The check matches: what was in doubt was right. */
static void take_doubt_away(struct log_decoder *decoder, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        decoder->is_certain[i] = true;
        if (decoder->entries[i] != NULL && decoder->samples[i].bits != TSDB_STALE_BITS) {
            decoder->entries[i]->generation = decoder->generation;
        }
    }
}

/* Gives on what is certain and wanted. */
static enum quarry_status give_samples(struct log_decoder *decoder, size_t count,
                                       struct log_decoded *decoded)
{
    size_t given = 0;

    for (size_t i = 0; i < count; i++) {
        if (decoder->entries[i] == NULL || !decoder->is_certain[i]) {
            decoded->undecoded_count++;
            log_times_add(&decoded->undecoded_times, decoder->samples[i].t_ms);
        } else if (decoder->samples[i].series != TSDB_SERIES_NONE) {
            decoder->samples[given++] = decoder->samples[i];
        }
    }
    decoded->sample_count = given;
    return given == 0
               ? QUARRY_OK
               : decoder->visitor->samples(decoder->visitor->argument, decoder->samples, given);
}

static enum quarry_status get_samples(struct log_decoder *decoder, struct source *from,
                                      const uint8_t *check, uint32_t count,
                                      struct log_decoded *decoded)
{
    struct sample_state state = {.step = 1, .times = LOG_TIMES_NONE, .check = LOG_VALUE_CHECK};

    if (count > LOG_RECORD_SAMPLES_MAX) {
        return QUARRY_CORRUPT;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!get_sample(decoder, from, &state, i)) {
            return QUARRY_CORRUPT;
        }
    }
    if (count != 0) {
        log_times_add(&state.times, decoder->samples[0].t_ms); /* also one that is at 0 */
    }
    decoded->times = state.times;
    bool is_right = endian_load_le_u32(check) == log_value_check_end(state.check);
    if (from->at != from->end || (!is_right && state.doubtful_count == 0)) {
        return QUARRY_CORRUPT;
    }
    if (is_right && state.doubtful_count != 0) {
        take_doubt_away(decoder, count);
    }
    return give_samples(decoder, count, decoded);
}

/* ---- histograms and exemplars --------------------------------------------------------------- */

/* Returns: false: none. `ret_entry`: NULL: the series is not known. */
static bool get_place(struct log_decoder *decoder, struct source *from, struct entry **ret_entry,
                      int64_t *ret_t_ms, struct log_decoded *decoded)
{
    uint64_t time;
    uint32_t id;

    if (!get_u32(from, &id) || !get_u64(from, &time)) {
        return false;
    }
    *ret_entry = find_entry(decoder, id);
    *ret_t_ms = varint_unzigzag(time);
    log_times_add(&decoded->times, *ret_t_ms);
    if (*ret_entry == NULL) {
        decoded->undecoded_count++;
        log_times_add(&decoded->undecoded_times, *ret_t_ms);
    }
    return true;
}

static bool is_wanted(const struct entry *entry)
{
    return entry != NULL && entry->handle != TSDB_SERIES_NONE;
}

static enum quarry_status get_histogram(struct log_decoder *decoder, struct source *from,
                                        struct log_decoded *decoded)
{
    struct tsdb_log_histogram histogram = {.series = TSDB_SERIES_NONE};
    struct entry *entry = NULL;
    uint32_t byte_count;

    if (!get_place(decoder, from, &entry, &histogram.t_ms, decoded) ||
        !get_u32(from, &byte_count) || byte_count > (size_t)(from->end - from->at)) {
        return QUARRY_CORRUPT;
    }
    histogram.bytes = (struct tsdb_slice){(const char *)from->at, byte_count};
    from->at += byte_count;
    if (!is_wanted(entry)) {
        return QUARRY_OK;
    }
    histogram.series = entry->handle;
    decoded->histogram_count++;
    return decoder->visitor->histogram(decoder->visitor->argument, &histogram);
}

static enum quarry_status get_exemplar(struct log_decoder *decoder, struct source *from,
                                       struct log_decoded *decoded)
{
    struct log_labels *labels = &decoder->labels[0];
    struct tsdb_log_exemplar exemplar = {.series = TSDB_SERIES_NONE};
    struct entry *entry = NULL;

    if (!get_place(decoder, from, &entry, &exemplar.t_ms, decoded) || from->end - from->at < 8) {
        return QUARRY_CORRUPT;
    }
    exemplar.bits = endian_load_le_u64(from->at);
    from->at += 8;
    enum quarry_status status = log_labels_get(&from->at, from->end, NULL, labels);
    if (status != QUARRY_OK || !is_wanted(entry)) {
        return status;
    }
    exemplar.series = entry->handle;
    exemplar.labels = log_labels_of(labels);
    decoded->exemplar_count++;
    return decoder->visitor->exemplar(decoder->visitor->argument, &exemplar);
}

static enum quarry_status get_others(struct log_decoder *decoder, struct source *from,
                                     enum log_record_kind kind, uint32_t count,
                                     struct log_decoded *decoded)
{
    enum quarry_status status = QUARRY_OK;

    for (uint32_t i = 0; i < count && status == QUARRY_OK; i++) {
        status = kind == LOG_RECORD_HISTOGRAMS ? get_histogram(decoder, from, decoded)
                                               : get_exemplar(decoder, from, decoded);
    }
    if (status == QUARRY_OK && from->at != from->end) {
        return QUARRY_CORRUPT;
    }
    return status;
}

/* ---- records -------------------------------------------------------------------------------- */

enum quarry_status log_decode(struct log_decoder *decoder, struct tsdb_slice record,
                              struct log_decoded *ret_decoded)
{
    const uint8_t *bytes = (const uint8_t *)record.bytes;
    struct source from = {bytes, bytes + record.count}, definitions;
    uint32_t definition_bytes, count;

    *ret_decoded = (struct log_decoded){.times = LOG_TIMES_NONE, .undecoded_times = LOG_TIMES_NONE};
    if (record.count == 0 || *from.at < LOG_RECORD_SAMPLES || *from.at > LOG_RECORD_EXEMPLARS) {
        return QUARRY_CORRUPT;
    }
    enum log_record_kind kind = (enum log_record_kind) * from.at++;
    if (!get_u32(&from, &definition_bytes) || !get_u32(&from, &count)) {
        return QUARRY_CORRUPT;
    }
    /* The check stands before the definitions. */
    size_t check_bytes = kind == LOG_RECORD_SAMPLES ? 4 : 0;
    if ((size_t)(from.end - from.at) < check_bytes ||
        definition_bytes > (size_t)(from.end - from.at) - check_bytes) {
        return QUARRY_CORRUPT;
    }
    const uint8_t *check = from.at;
    definitions = (struct source){check + check_bytes, check + check_bytes + definition_bytes};
    from.at = definitions.end;
    enum quarry_status status = get_definitions(decoder, definitions);
    if (status != QUARRY_OK) {
        return status;
    }
    return kind == LOG_RECORD_SAMPLES ? get_samples(decoder, &from, check, count, ret_decoded)
                                      : get_others(decoder, &from, kind, count, ret_decoded);
}
