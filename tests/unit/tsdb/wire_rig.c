#include "unit/tsdb/wire_rig.h"

#include <stdio.h>
#include <stdlib.h>

#include "unit/base/random.h"

#define BLOCKS_MAX (1u << 16)
#define SPANS_MAX  64u
#define VALUES_MAX 256u

static void *blocks[BLOCKS_MAX];
static size_t block_count;

const struct tsdb_label_limits rig_limits = {
    .label_count_max = RIG_LABELS_MAX, .name_bytes_max = 1024, .value_bytes_max = 4096};
struct tsdb_label rig_labels[RIG_LABELS_MAX];

static struct tsdb_wire_span spans[SPANS_MAX];
static uint64_t values[VALUES_MAX];
const struct tsdb_wire_histogram_room rig_histogram_room = {
    .spans = spans, .values = values, .span_count_max = SPANS_MAX, .value_count_max = VALUES_MAX};

/* ---- memory and bytes ----------------------------------------------------------------------- */

void *wire_rig_take(size_t byte_count)
{
    assert_true(block_count < BLOCKS_MAX);
    blocks[block_count] = calloc(byte_count > 0 ? byte_count : 1, 1);
    assert_non_null(blocks[block_count]);
    return blocks[block_count++];
}

void wire_rig_empty(void)
{
    while (block_count > 0) {
        free(blocks[--block_count]);
    }
}

int wire_rig_tear_down(void **state)
{
    (void)state;
    wire_rig_empty();
    return 0;
}

struct tsdb_slice wire_rig_exact(const void *bytes, size_t count)
{
    char *exact = wire_rig_take(count);

    memcpy(exact, bytes, count);
    return (struct tsdb_slice){.bytes = exact, .count = count};
}

struct tsdb_slice slice_of_data(ProtobufCBinaryData data)
{
    return (struct tsdb_slice){data.len > 0 ? (const char *)data.data : "", data.len};
}

ProtobufCBinaryData data_of_text(const char *text)
{
    const size_t count = strlen(text);
    uint8_t *bytes = wire_rig_take(count);

    memcpy(bytes, text, count);
    return (ProtobufCBinaryData){.len = count, .data = bytes};
}

uint64_t bits_of_double(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* ---- random parts --------------------------------------------------------------------------- */

static size_t random_below(uint64_t *seed, size_t limit)
{
    return random_u64(seed) % limit;
}

static double random_double(uint64_t *seed)
{
    const uint64_t bits = random_below(seed, 4) == 0 ? 0 : random_u64(seed);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Mostly six bytes long, as times are. */
static int64_t random_time(uint64_t *seed)
{
    return random_below(seed, 8) == 0 ? (int64_t)random_width_u64(seed)
                                      : (int64_t)(1700000000000u + random_below(seed, 100000));
}

static ProtobufCBinaryData random_text(uint64_t *seed)
{
    static const char *const texts[] = {"",    "up",  "__name__", "job", "instance",
                                        "b\n", "a\"", "Zürich",   "zz",  "node-exporter:9100"};
    char text[40];

    snprintf(text, sizeof text, "%s%s", texts[random_below(seed, COUNT_OF(texts))],
             random_below(seed, 3) == 0 ? texts[random_below(seed, COUNT_OF(texts))] : "");
    return data_of_text(text);
}

/* An array of `count` pointers to zeroed messages. */
static void **take_messages(size_t count, size_t message_bytes)
{
    void **messages = wire_rig_take(count * sizeof(void *));
    for (size_t i = 0; i < count; i++) {
        messages[i] = wire_rig_take(message_bytes);
    }
    return messages;
}

static Quarry__Write__Label **random_labels(uint64_t *seed, size_t *ret_count)
{
    const size_t count = random_below(seed, 10);
    Quarry__Write__Label **labels = (Quarry__Write__Label **)take_messages(count, sizeof **labels);

    for (size_t i = 0; i < count; i++) {
        quarry__write__label__init(labels[i]);
        labels[i]->name = random_text(seed);
        labels[i]->value = random_text(seed);
    }
    *ret_count = count;
    return labels;
}

static Quarry__Write__Span **random_spans(uint64_t *seed, size_t *ret_count)
{
    const size_t count = random_below(seed, 4);
    Quarry__Write__Span **made = (Quarry__Write__Span **)take_messages(count, sizeof **made);

    for (size_t i = 0; i < count; i++) {
        quarry__write__span__init(made[i]);
        made[i]->offset = (int32_t)random_below(seed, 20) - 10;
        made[i]->length = (uint32_t)random_below(seed, 5);
    }
    *ret_count = count;
    return made;
}

static int64_t *random_deltas(uint64_t *seed, size_t *ret_count)
{
    const size_t count = random_below(seed, 12);
    int64_t *deltas = wire_rig_take(count * sizeof *deltas);

    for (size_t i = 0; i < count; i++) {
        deltas[i] = (int64_t)random_width_u64(seed);
    }
    *ret_count = count;
    return deltas;
}

static double *random_doubles(uint64_t *seed, size_t *ret_count)
{
    const size_t count = random_below(seed, 12);
    double *doubles = wire_rig_take(count * sizeof *doubles);

    for (size_t i = 0; i < count; i++) {
        doubles[i] = random_double(seed);
    }
    *ret_count = count;
    return doubles;
}

Quarry__Write__Histogram *random_histogram(uint64_t *seed)
{
    Quarry__Write__Histogram *made = wire_rig_take(sizeof *made);
    const bool is_float = random_below(seed, 2) == 0;

    quarry__write__histogram__init(made);
    made->count_case = is_float ? QUARRY__WRITE__HISTOGRAM__COUNT_COUNT_FLOAT
                                : QUARRY__WRITE__HISTOGRAM__COUNT_COUNT_INT;
    made->zero_count_case = is_float ? QUARRY__WRITE__HISTOGRAM__ZERO_COUNT_ZERO_COUNT_FLOAT
                                     : QUARRY__WRITE__HISTOGRAM__ZERO_COUNT_ZERO_COUNT_INT;
    if (is_float) {
        made->count_float = random_double(seed);
        made->zero_count_float = random_double(seed);
        made->positive_counts = random_doubles(seed, &made->n_positive_counts);
        made->negative_counts = random_doubles(seed, &made->n_negative_counts);
    } else {
        made->count_int = random_width_u64(seed);
        made->zero_count_int = random_width_u64(seed);
        made->positive_deltas = random_deltas(seed, &made->n_positive_deltas);
        made->negative_deltas = random_deltas(seed, &made->n_negative_deltas);
    }
    made->sum = random_double(seed);
    made->schema = (int32_t)random_below(seed, 20) - 10;
    made->zero_threshold = random_double(seed);
    made->positive_spans = random_spans(seed, &made->n_positive_spans);
    made->negative_spans = random_spans(seed, &made->n_negative_spans);
    made->custom_values = random_doubles(seed, &made->n_custom_values);
    made->reset_hint = (int32_t)random_below(seed, 5);
    made->t_ms = random_time(seed);
    made->start_ms = random_time(seed);
    return made;
}

/* ---- random requests ------------------------------------------------------------------------ */

/* Mostly one, as in most requests. */
static size_t random_count(uint64_t *seed)
{
    return random_below(seed, 3) == 0 ? random_below(seed, 4) : 1;
}

static void fill_series(uint64_t *seed, Quarry__Write__TimeSeries *series)
{
    quarry__write__time_series__init(series);
    series->labels = random_labels(seed, &series->n_labels);
    series->n_samples = random_count(seed);
    series->samples =
        (Quarry__Write__Sample **)take_messages(series->n_samples, sizeof(Quarry__Write__Sample));
    for (size_t i = 0; i < series->n_samples; i++) {
        quarry__write__sample__init(series->samples[i]);
        series->samples[i]->value = random_double(seed);
        series->samples[i]->t_ms = random_time(seed);
    }
    series->n_exemplars = random_below(seed, 4) == 0 ? random_below(seed, 3) : 0;
    series->exemplars = (Quarry__Write__Exemplar **)take_messages(series->n_exemplars,
                                                                  sizeof(Quarry__Write__Exemplar));
    for (size_t i = 0; i < series->n_exemplars; i++) {
        quarry__write__exemplar__init(series->exemplars[i]);
        series->exemplars[i]->labels = random_labels(seed, &series->exemplars[i]->n_labels);
        series->exemplars[i]->value = random_double(seed);
        series->exemplars[i]->t_ms = random_time(seed);
    }
    series->n_histograms = random_below(seed, 4) == 0 ? random_below(seed, 3) : 0;
    series->histograms = wire_rig_take(series->n_histograms * sizeof(void *));
    for (size_t i = 0; i < series->n_histograms; i++) {
        series->histograms[i] = random_histogram(seed);
    }
}

Quarry__Write__WriteRequest *random_request(uint64_t *seed)
{
    Quarry__Write__WriteRequest *request = wire_rig_take(sizeof *request);

    quarry__write__write_request__init(request);
    request->n_series = random_below(seed, 8);
    request->series = (Quarry__Write__TimeSeries **)take_messages(
        request->n_series, sizeof(Quarry__Write__TimeSeries));
    for (size_t i = 0; i < request->n_series; i++) {
        fill_series(seed, request->series[i]);
    }
    request->n_metadata = random_below(seed, 3);
    request->metadata = (Quarry__Write__Metadata **)take_messages(request->n_metadata,
                                                                  sizeof(Quarry__Write__Metadata));
    for (size_t i = 0; i < request->n_metadata; i++) {
        Quarry__Write__Metadata *metadata = request->metadata[i];
        quarry__write__metadata__init(metadata);
        metadata->type = (int32_t)random_below(seed, 10);
        metadata->name = random_text(seed);
        metadata->help = random_text(seed);
        metadata->unit = random_text(seed);
    }
    return request;
}

static uint32_t *random_refs(uint64_t *seed, size_t symbol_count, size_t *ret_count)
{
    const size_t count =
        random_below(seed, 8) == 0 ? random_below(seed, 12) : 2 * random_below(seed, 8);
    uint32_t *refs = wire_rig_take(count * sizeof *refs);

    for (size_t i = 0; i < count; i++) {
        refs[i] = (uint32_t)random_below(seed, symbol_count + (random_below(seed, 40) == 0));
    }
    *ret_count = count;
    return refs;
}

static void fill_series2(uint64_t *seed, size_t symbol_count, Quarry__Write2__TimeSeries *series)
{
    quarry__write2__time_series__init(series);
    series->labels_refs = random_refs(seed, symbol_count, &series->n_labels_refs);
    series->n_samples = random_count(seed);
    series->samples =
        (Quarry__Write2__Sample **)take_messages(series->n_samples, sizeof(Quarry__Write2__Sample));
    for (size_t i = 0; i < series->n_samples; i++) {
        quarry__write2__sample__init(series->samples[i]);
        series->samples[i]->value = random_double(seed);
        series->samples[i]->t_ms = random_time(seed);
        series->samples[i]->start_ms = random_below(seed, 2) == 0 ? 0 : random_time(seed);
    }
    series->n_exemplars = random_below(seed, 4) == 0 ? random_below(seed, 3) : 0;
    series->exemplars = (Quarry__Write2__Exemplar **)take_messages(
        series->n_exemplars, sizeof(Quarry__Write2__Exemplar));
    for (size_t i = 0; i < series->n_exemplars; i++) {
        Quarry__Write2__Exemplar *exemplar = series->exemplars[i];
        quarry__write2__exemplar__init(exemplar);
        exemplar->labels_refs = random_refs(seed, symbol_count, &exemplar->n_labels_refs);
        exemplar->value = random_double(seed);
        exemplar->t_ms = random_time(seed);
    }
    series->n_histograms = random_below(seed, 4) == 0 ? random_below(seed, 3) : 0;
    series->histograms = wire_rig_take(series->n_histograms * sizeof(void *));
    for (size_t i = 0; i < series->n_histograms; i++) {
        series->histograms[i] = random_histogram(seed);
    }
    if (random_below(seed, 3) == 0) {
        series->metadata = wire_rig_take(sizeof *series->metadata);
        quarry__write2__metadata__init(series->metadata);
        series->metadata->type = (int32_t)random_below(seed, 8);
        series->metadata->help_ref = (uint32_t)random_below(seed, symbol_count);
        series->metadata->unit_ref = (uint32_t)random_below(seed, symbol_count);
    }
}

Quarry__Write2__Request *random_request2(uint64_t *seed)
{
    Quarry__Write2__Request *request = wire_rig_take(sizeof *request);

    quarry__write2__request__init(request);
    request->n_symbols = 1 + random_below(seed, 12);
    request->symbols = wire_rig_take(request->n_symbols * sizeof *request->symbols);
    request->symbols[0] = data_of_text("");
    for (size_t i = 1; i < request->n_symbols; i++) {
        request->symbols[i] = random_text(seed);
    }
    request->n_series = random_below(seed, 8);
    request->series = (Quarry__Write2__TimeSeries **)take_messages(
        request->n_series, sizeof(Quarry__Write2__TimeSeries));
    for (size_t i = 0; i < request->n_series; i++) {
        fill_series2(seed, request->n_symbols, request->series[i]);
    }
    return request;
}
