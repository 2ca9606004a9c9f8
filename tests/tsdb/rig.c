#include "tsdb/rig.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit/base/random.h"

void rig_fail(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    (void)fputc('\n', stderr);
    exit(1);
}

struct tsdb_memory *rig_memory(uint64_t limit_bytes)
{
    static struct tsdb_memory block_memory;
    const struct quarry_memory_options options = {.limit_bytes = limit_bytes,
                                                  .has_no_thread = true};
    const struct quarry_account_options account_options = {.name = "blocks"};
    struct quarry_lifetime *lifetime = NULL;
    struct quarry_memory *memory = NULL;
    struct quarry_error error = {0};

    if (quarry_memory_create(&options, &memory, &error) != QUARRY_OK ||
        quarry_account_create(memory, &account_options, &block_memory.account, &error) !=
            QUARRY_OK ||
        quarry_lifetime_begin(memory, "blocks", &lifetime, &error) != QUARRY_OK ||
        quarry_pool_create(lifetime, quarry_account_owner(block_memory.account),
                           &block_memory.pool) != QUARRY_OK) {
        rig_fail("memory: %s", error.text);
    }
    return &block_memory;
}

/* ---- series from a seed --------------------------------------------------------------------- */

#define LABELS_MAX  6u
#define BUCKETS_MAX 12u

struct walker {
    struct rig_shape shape;
    uint64_t random;
    uint32_t series;
    uint32_t sample, sample_count;
    uint32_t kind;
    int64_t t_ms;
    double value;
    struct tsdb_label labels[LABELS_MAX];
    char text[LABELS_MAX][2][48];
    struct tsdb_histogram histogram;
    struct tsdb_span spans[2][3];
    uint64_t buckets[2][BUCKETS_MAX];
    uint64_t bounds[BUCKETS_MAX];
};

static uint32_t below(struct walker *walker, uint32_t limit)
{
    return (uint32_t)(random_u64(&walker->random) % limit);
}

static void put_label(struct walker *walker, uint32_t index, const char *name, const char *value)
{
    (void)snprintf(walker->text[index][0], sizeof walker->text[index][0], "%s", name);
    (void)snprintf(walker->text[index][1], sizeof walker->text[index][1], "%s", value);
    walker->labels[index].name = tsdb_slice_of(walker->text[index][0]);
    walker->labels[index].value = tsdb_slice_of(walker->text[index][1]);
}

/* Labels whose order is that of the series' number, and some that come and go behind. */
static uint32_t make_labels(struct walker *walker)
{
    char value[48];
    uint32_t count = 2;

    (void)snprintf(value, sizeof value, "metric_%06u", walker->series / 40);
    put_label(walker, 0, "__name__", value);
    (void)snprintf(value, sizeof value, "host-%07u%s", walker->series,
                   walker->series % 7 == 0 ? " \"\\ \xc3\xa9" : "");
    put_label(walker, 1, "host", value);
    for (uint32_t i = 0; i < 4; i++) {
        char name[16];
        if (below(walker, 2) != 0) {
            (void)snprintf(name, sizeof name, "label_%c", 'p' + (char)i);
            (void)snprintf(value, sizeof value, "%u", below(walker, 1u << (4 * i + 1)));
            put_label(walker, count++, name, value);
        }
    }
    return count;
}

static uint64_t bits_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static uint64_t next_float(struct walker *walker)
{
    switch (walker->kind % 6) {
    case 0: /* a counter with resets */
        walker->value = below(walker, 50) == 0 ? 0 : walker->value + below(walker, 100);
        break;
    case 1: /* a gauge of few decimals */
        walker->value += ((double)below(walker, 2001) - 1000) / 100;
        break;
    case 2: /* constant, rarely another */
        walker->value = below(walker, 30) == 0 ? below(walker, 5) : walker->value;
        break;
    case 3: /* small integers, stale markers, infinities */
        switch (below(walker, 12)) {
        case 0:
            return TSDB_STALE_BITS;
        case 1:
            return bits_of(-INFINITY);
        case 2:
            return bits_of(-0.0);
        case 3:
            return UINT64_C(0x7ff8000000000001);
        default:
            return bits_of(below(walker, 8));
        }
    case 4: /* a walk */
        walker->value += (double)random_u64(&walker->random) / 1e19 - 0.9;
        break;
    default: /* any bits that are a number */
        return random_u64(&walker->random) & ~(UINT64_C(1) << 62);
    }
    return bits_of(walker->value);
}

/* ---- histograms ----------------------------------------------------------------------------- */

static void make_spans(struct walker *walker, uint32_t side, struct tsdb_buckets *buckets)
{
    buckets->spans = walker->spans[side];
    buckets->buckets = walker->buckets[side];
    buckets->span_count = below(walker, 4);
    buckets->bucket_count = 0;
    for (uint32_t i = 0; i < buckets->span_count; i++) {
        uint32_t length = below(walker, 5);
        walker->spans[side][i].offset = (int32_t)below(walker, 20) - (i == 0 ? 10 : 0);
        walker->spans[side][i].length = length;
        buckets->bucket_count += length;
    }
    memset(walker->buckets[side], 0, sizeof walker->buckets[side]);
}

static void make_layout(struct walker *walker)
{
    struct tsdb_histogram *histogram = &walker->histogram;
    static const double thresholds[] = {0, 2.938735877055719e-39, 0.001, 1024};
    bool is_custom = walker->kind % 5 == 4 && !walker->shape.has_no_bounds;

    *histogram = (struct tsdb_histogram){
        .is_float = walker->kind % 2 == 1,
        .schema = is_custom ? TSDB_HISTOGRAM_SCHEMA_CUSTOM : (int32_t)below(walker, 13) - 4,
        .zero_threshold_bits = bits_of(thresholds[below(walker, 4)]),
    };
    make_spans(walker, 0, &histogram->positive);
    if (is_custom) {
        histogram->zero_threshold_bits = 0;
        histogram->custom_bits = walker->bounds;
        histogram->custom_count = below(walker, BUCKETS_MAX);
        for (uint32_t i = 0; i < histogram->custom_count; i++) {
            walker->bounds[i] = bits_of(i % 3 == 2 ? i + 1.0 / 3 : i * 0.25);
        }
    } else {
        make_spans(walker, 1, &histogram->negative);
    }
}

static uint64_t grow(struct walker *walker, uint64_t count, uint32_t by)
{
    uint64_t more = below(walker, by + 1);
    double value;

    if (!walker->histogram.is_float) {
        return count + more;
    }
    memcpy(&value, &count, sizeof value);
    return bits_of(value + (double)more * 1.25);
}

static void grow_side(struct walker *walker, uint32_t side, const struct tsdb_buckets *buckets)
{
    for (uint32_t i = 0; i < buckets->bucket_count; i++) {
        walker->buckets[side][i] = grow(walker, walker->buckets[side][i], 9);
    }
}

static const struct tsdb_histogram *next_histogram(struct walker *walker)
{
    struct tsdb_histogram *histogram = &walker->histogram;
    double sum;

    if (walker->sample == 0 || below(walker, 60) == 0 || histogram->sum_bits == TSDB_STALE_BITS) {
        make_layout(walker);
    }
    histogram->t_ms = walker->t_ms;
    histogram->reset_hint = walker->kind % 7 == 6 ? TSDB_RESET_GAUGE : TSDB_RESET_UNKNOWN;
    if (below(walker, 80) == 0) {
        *histogram = (struct tsdb_histogram){
            .t_ms = walker->t_ms, .is_float = histogram->is_float, .sum_bits = TSDB_STALE_BITS};
        return histogram;
    }
    memcpy(&sum, &histogram->sum_bits, sizeof sum);
    histogram->sum_bits = bits_of(sum + below(walker, 1000) / 8.0);
    histogram->count = grow(walker, histogram->count, 90);
    histogram->zero_count = grow(walker, histogram->zero_count, 3);
    grow_side(walker, 0, &histogram->positive);
    grow_side(walker, 1, &histogram->negative);
    return histogram;
}

/* ---- the source ----------------------------------------------------------------------------- */

static enum quarry_status next_series(void *argument, struct tsdb_labels *ret_labels,
                                      struct quarry_error *error)
{
    struct walker *walker = argument;

    (void)error;
    if (walker->series == walker->shape.series_count) {
        return QUARRY_NOT_FOUND;
    }
    *ret_labels = (struct tsdb_labels){walker->labels, make_labels(walker)};
    walker->kind = below(walker, 1000);
    walker->value = 0;
    walker->sample = 0;
    walker->sample_count = 1 + below(walker, walker->shape.sample_count);
    walker->t_ms = walker->shape.start_ms + below(walker, (uint32_t)walker->shape.step_ms);
    walker->series++;
    return QUARRY_OK;
}

static enum quarry_status next_sample(void *argument, struct block_sample *ret_sample,
                                      struct quarry_error *error)
{
    struct walker *walker = argument;

    (void)error;
    if (walker->sample == walker->sample_count) {
        return QUARRY_NOT_FOUND;
    }
    if (walker->sample != 0) {
        walker->t_ms += walker->shape.step_ms;
        if (walker->kind % 4 == 3) { /* jitter, and gaps */
            walker->t_ms -= below(walker, (uint32_t)walker->shape.step_ms / 4 + 1);
        }
    }
    if (walker->shape.has_histograms && walker->series % 3 == 0) {
        *ret_sample =
            (struct block_sample){.t_ms = walker->t_ms, .histogram = next_histogram(walker)};
    } else {
        *ret_sample = (struct block_sample){.t_ms = walker->t_ms, .bits = next_float(walker)};
    }
    walker->sample++;
    return QUARRY_OK;
}

struct block_source rig_source(const struct rig_shape *shape)
{
    struct walker *walker = calloc(1, sizeof(*walker));

    if (walker == NULL) {
        rig_fail("no memory for a source");
    }
    walker->shape = *shape;
    walker->random = shape->seed;
    return (struct block_source){
        .argument = walker, .next_series = next_series, .next_sample = next_sample};
}

void rig_source_destroy(struct block_source source)
{
    free(source.argument);
}

/* ---- as text -------------------------------------------------------------------------------- */

static size_t put_quoted(struct tsdb_slice slice, char *text, size_t room)
{
    size_t count = 0;

    for (size_t i = 0; i < slice.count && count + 2 < room; i++) {
        if (slice.bytes[i] == '"' || slice.bytes[i] == '\\') {
            text[count++] = '\\';
        }
        text[count++] = slice.bytes[i];
    }
    return count;
}

bool rig_labels_text(const struct tsdb_labels *labels, char *text, size_t capacity)
{
    size_t at = 0;

    text[at++] = '{';
    for (size_t i = 0; i < labels->count; i++) {
        const struct tsdb_label *label = &labels->labels[i];

        if (capacity - at < label->name.count + 2 * label->value.count + 8) {
            return false;
        }
        if (i != 0) {
            memcpy(text + at, ", ", 2);
            at += 2;
        }
        memcpy(text + at, label->name.bytes, label->name.count);
        at += label->name.count;
        memcpy(text + at, "=\"", 2);
        at += 2;
        at += put_quoted(label->value, text + at, capacity - at);
        text[at++] = '"';
    }
    memcpy(text + at, "}", 2);
    return true;
}

typedef void sink_function(void *argument, const char *line, size_t length);

static size_t side_text(const struct tsdb_buckets *buckets, char *text, size_t room)
{
    size_t at = 0;

    for (uint32_t i = 0; i < buckets->span_count; i++) {
        at += (size_t)snprintf(text + at, room - at, " %" PRId32 "+%" PRIu32,
                               buckets->spans[i].offset, buckets->spans[i].length);
    }
    for (uint32_t i = 0; i < buckets->bucket_count; i++) {
        at += (size_t)snprintf(text + at, room - at, " %" PRIx64, buckets->buckets[i]);
    }
    return at;
}

/* All but the hint, which a chunk does not keep for each. */
static size_t histogram_text(const struct tsdb_histogram *histogram, char *text, size_t room)
{
    size_t at = (size_t)snprintf(
        text, room, "%s %" PRId32 " %" PRIx64 " %" PRIx64 " %" PRIx64 " %" PRIx64 " gauge %d |",
        histogram->is_float ? "float-histogram" : "histogram", histogram->schema,
        histogram->zero_threshold_bits, histogram->zero_count, histogram->count,
        histogram->sum_bits,
        histogram->reset_hint == TSDB_RESET_GAUGE && histogram->sum_bits != TSDB_STALE_BITS);

    at += side_text(&histogram->positive, text + at, room - at);
    at += (size_t)snprintf(text + at, room - at, " |");
    at += side_text(&histogram->negative, text + at, room - at);
    at += (size_t)snprintf(text + at, room - at, " |");
    for (uint32_t i = 0; i < histogram->custom_count; i++) {
        at += (size_t)snprintf(text + at, room - at, " %" PRIx64, histogram->custom_bits[i]);
    }
    return at;
}

size_t rig_sample_text(const struct block_sample *sample, char *text, size_t room)
{
    size_t at = (size_t)snprintf(text, room, "%" PRId64 " ", sample->t_ms);

    return at + (sample->histogram != NULL
                     ? histogram_text(sample->histogram, text + at, room - at)
                     : (size_t)snprintf(text + at, room - at, "%016" PRIx64, sample->bits));
}

static enum quarry_status walk(const struct block_source *source, sink_function *sink,
                               void *argument, uint64_t *ret_sample_count,
                               struct quarry_error *error)
{
    static char line[65536];
    struct tsdb_labels labels;
    struct block_sample sample;
    enum quarry_status status;

    *ret_sample_count = 0;
    while ((status = source->next_series(source->argument, &labels, error)) == QUARRY_OK) {
        if (!rig_labels_text(&labels, line, sizeof line / 2)) {
            rig_fail("labels of more than 32 KiB");
        }
        size_t head = strlen(line);
        while ((status = source->next_sample(source->argument, &sample, error)) == QUARRY_OK) {
            size_t at = head + 1;

            line[head] = ' ';
            at += rig_sample_text(&sample, line + at, sizeof line - at);
            sink(argument, line, at);
            ++*ret_sample_count;
        }
        if (status != QUARRY_NOT_FOUND) {
            return status;
        }
    }
    return status == QUARRY_NOT_FOUND ? QUARRY_OK : status;
}

static void print_line(void *argument, const char *line, size_t length)
{
    (void)argument;
    (void)fwrite(line, 1, length, stdout);
    (void)fputc('\n', stdout);
}

void rig_source_print(const struct block_source *source)
{
    struct quarry_error error = {0};
    uint64_t count = 0;

    if (walk(source, print_line, NULL, &count, &error) != QUARRY_OK) {
        rig_fail("%s", error.text);
    }
}

static void hash_line(void *argument, const char *line, size_t length)
{
    uint64_t *hash = argument;
    *hash = hash_xxh3_u64(line, length, *hash);
}

bool rig_source_hash(const struct block_source *source, uint64_t *ret_hash,
                     uint64_t *ret_sample_count, struct quarry_error *error)
{
    *ret_hash = 0;
    return walk(source, hash_line, ret_hash, ret_sample_count, error) == QUARRY_OK;
}
