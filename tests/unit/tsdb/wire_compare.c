/* Our readers beside protobuf-c's: every part of a request is compared, or only read. */
#include "unit/tsdb/wire_rig.h"

#include <stdlib.h>

#define SYMBOLS_MAX 4096u

static struct tsdb_slice symbols[SYMBOLS_MAX];

static struct tsdb_label_set new_set(void)
{
    struct tsdb_label_set set;

    tsdb_label_set_init(&set, &rig_limits, rig_labels);
    return set;
}

static void assert_same(struct tsdb_slice ours, ProtobufCBinaryData theirs)
{
    assert_true(tsdb_slice_equal(ours, slice_of_data(theirs)));
}

/* ---- labels --------------------------------------------------------------------------------- */

/* A set by hand, of what the oracle read. */
struct expected {
    struct tsdb_label_set set;
    struct tsdb_label labels[RIG_LABELS_MAX];
};

static void begin_expected(struct expected *expected)
{
    tsdb_label_set_init(&expected->set, &rig_limits, expected->labels);
}

static void assert_labels(struct expected *expected, struct tsdb_label_set *ours)
{
    struct tsdb_labels labels, wanted;
    const enum tsdb_label_fault fault = tsdb_label_set_finish(&expected->set, &wanted);

    assert_int_equal(tsdb_label_set_finish(ours, &labels), fault);
    if (fault == TSDB_LABELS_GOOD) {
        assert_int_equal(labels.count, wanted.count);
        for (size_t i = 0; i < labels.count; i++) {
            assert_true(tsdb_slice_equal(labels.labels[i].name, wanted.labels[i].name));
            assert_true(tsdb_slice_equal(labels.labels[i].value, wanted.labels[i].value));
        }
    }
}

static void expect_labels(struct expected *expected, Quarry__Write__Label **labels, size_t count)
{
    begin_expected(expected);
    for (size_t i = 0; i < count; i++) {
        tsdb_label_set_add(&expected->set, slice_of_data(labels[i]->name),
                           slice_of_data(labels[i]->value));
    }
}

static void expect_refs(struct expected *expected, const Quarry__Write2__Request *request,
                        const uint32_t *refs, size_t count)
{
    begin_expected(expected);
    for (size_t i = 0; i + 1 < count; i += 2) {
        if (refs[i] >= request->n_symbols || refs[i + 1] >= request->n_symbols) {
            tsdb_label_set_fail(&expected->set, TSDB_LABELS_BAD_REF, (struct tsdb_slice){"", 0});
            continue;
        }
        tsdb_label_set_add(&expected->set, slice_of_data(request->symbols[refs[i]]),
                           slice_of_data(request->symbols[refs[i + 1]]));
    }
    if (count % 2 == 1) {
        tsdb_label_set_fail(&expected->set, TSDB_LABELS_ODD_REFS, (struct tsdb_slice){"", 0});
    }
}

/* ---- histograms ----------------------------------------------------------------------------- */

static void assert_spans(const struct tsdb_wire_buckets *ours, Quarry__Write__Span **theirs,
                         size_t count)
{
    assert_int_equal(ours->span_count, count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(ours->spans[i].offset, theirs[i]->offset);
        assert_int_equal(ours->spans[i].length, theirs[i]->length);
    }
}

static void assert_numbers(const uint64_t *ours, size_t our_count, const void *theirs, size_t count)
{
    assert_int_equal(our_count, count);
    if (count > 0) {
        assert_memory_equal(ours, theirs, count * sizeof *ours);
    }
}

void assert_histogram(const struct tsdb_wire_histogram *ours,
                      const Quarry__Write__Histogram *theirs, bool has_start)
{
    const bool is_float = theirs->count_case == QUARRY__WRITE__HISTOGRAM__COUNT_COUNT_FLOAT;

    assert_int_equal(ours->is_float, is_float);
    assert_true(ours->count == (is_float                  ? bits_of_double(theirs->count_float)
                                : theirs->count_case == 0 ? 0
                                                          : theirs->count_int));
    assert_true(ours->sum_bits == bits_of_double(theirs->sum));
    assert_int_equal(ours->schema, theirs->schema);
    assert_true(ours->zero_threshold_bits == bits_of_double(theirs->zero_threshold));
    assert_true(ours->zero_count ==
                (theirs->zero_count_case == QUARRY__WRITE__HISTOGRAM__ZERO_COUNT_ZERO_COUNT_FLOAT
                     ? bits_of_double(theirs->zero_count_float)
                 : theirs->zero_count_case == 0 ? 0
                                                : theirs->zero_count_int));
    assert_spans(&ours->positive, theirs->positive_spans, theirs->n_positive_spans);
    assert_spans(&ours->negative, theirs->negative_spans, theirs->n_negative_spans);
    if (is_float) {
        assert_numbers(ours->positive.values, ours->positive.value_count, theirs->positive_counts,
                       theirs->n_positive_counts);
        assert_numbers(ours->negative.values, ours->negative.value_count, theirs->negative_counts,
                       theirs->n_negative_counts);
    } else {
        assert_numbers(ours->positive.values, ours->positive.value_count, theirs->positive_deltas,
                       theirs->n_positive_deltas);
        assert_numbers(ours->negative.values, ours->negative.value_count, theirs->negative_deltas,
                       theirs->n_negative_deltas);
    }
    assert_numbers(ours->custom_bits, ours->custom_count, theirs->custom_values,
                   theirs->n_custom_values);
    assert_int_equal(ours->reset_hint,
                     (uint64_t)(int64_t)theirs->reset_hint <= 3 ? (uint32_t)theirs->reset_hint : 0);
    assert_true(ours->t_ms == theirs->t_ms);
    assert_true(!has_start || ours->start_ms == theirs->start_ms);
}

/* ---- 1.0 ------------------------------------------------------------------------------------ */

static bool read_items(const struct tsdb_write_reader *reader,
                       const struct tsdb_write_series *series,
                       const Quarry__Write__TimeSeries *theirs)
{
    struct tsdb_write_items items = tsdb_write_items_of(series);
    struct tsdb_wire_histogram histogram;
    struct tsdb_exemplar exemplar;
    struct tsdb_sample sample;
    struct expected expected;
    enum quarry_status status;
    size_t count = 0;

    while ((status = tsdb_write_next_sample(reader, &items, &sample, NULL)) == QUARRY_OK) {
        assert_true(count > 0 || memcmp(&sample, &series->sample, sizeof sample) == 0);
        if (theirs != NULL) {
            assert_true(count < theirs->n_samples);
            assert_true(sample.t_ms == theirs->samples[count]->t_ms);
            assert_true(sample.bits == bits_of_double(theirs->samples[count]->value));
        }
        count++;
    }
    if (status != QUARRY_NOT_FOUND) {
        return false;
    }
    assert_int_equal(count, series->counts.samples);
    items = tsdb_write_items_of(series);
    for (count = 0; (status = tsdb_write_next_histogram(reader, &items, &rig_histogram_room,
                                                        &histogram, NULL)) == QUARRY_OK;
         count++) {
        if (theirs != NULL) {
            assert_histogram(&histogram, theirs->histograms[count], true);
        }
    }
    if (status != QUARRY_NOT_FOUND) {
        return false;
    }
    assert_int_equal(count, series->counts.histograms);
    items = tsdb_write_items_of(series);
    for (count = 0;; count++) {
        struct tsdb_label_set set = new_set();
        status = tsdb_write_next_exemplar(reader, &items, &set, &exemplar, NULL);
        if (status != QUARRY_OK) {
            break;
        }
        if (theirs != NULL) {
            const Quarry__Write__Exemplar *wanted = theirs->exemplars[count];
            assert_true(exemplar.t_ms == wanted->t_ms);
            assert_true(exemplar.bits == bits_of_double(wanted->value));
            expect_labels(&expected, wanted->labels, wanted->n_labels);
            assert_labels(&expected, &set);
        }
    }
    assert_true(status != QUARRY_NOT_FOUND || count == series->counts.exemplars);
    return status == QUARRY_NOT_FOUND;
}

static bool read_one(const struct tsdb_write_reader *reader, struct tsdb_write_series *series,
                     const Quarry__Write__TimeSeries *theirs)
{
    struct tsdb_label_set set = new_set();
    struct expected expected;

    if (tsdb_write_labels(reader, series, &set, NULL) != QUARRY_OK) {
        return false;
    }
    if (theirs != NULL) {
        expect_labels(&expected, theirs->labels, theirs->n_labels);
        assert_labels(&expected, &set);
        assert_int_equal(series->counts.samples, theirs->n_samples);
        assert_int_equal(series->counts.histograms, theirs->n_histograms);
        assert_int_equal(series->counts.exemplars, theirs->n_exemplars);
    }
    return read_items(reader, series, theirs);
}

static bool read_metadata(struct tsdb_slice body, const Quarry__Write__WriteRequest *theirs)
{
    struct tsdb_write_reader reader = tsdb_write_reader_of(body);
    struct tsdb_family family;
    enum quarry_status status;
    size_t count = 0;

    while ((status = tsdb_write_next_family(&reader, &family, NULL)) == QUARRY_OK) {
        if (theirs != NULL) {
            const Quarry__Write__Metadata *wanted = theirs->metadata[count];
            assert_same(family.name, wanted->name);
            assert_same(family.help, wanted->help);
            assert_same(family.unit, wanted->unit);
            assert_int_equal(family.type, (uint32_t)wanted->type < 8 ? (uint32_t)wanted->type : 0);
        }
        count++;
    }
    assert_true(theirs == NULL || status != QUARRY_NOT_FOUND || count == theirs->n_metadata);
    return status == QUARRY_NOT_FOUND;
}

bool read_request(struct tsdb_slice body, const Quarry__Write__WriteRequest *theirs)
{
    struct tsdb_write_reader reader = tsdb_write_reader_of(body);
    struct tsdb_write_series series;
    enum quarry_status status;
    size_t count = 0;

    while ((status = tsdb_write_next_series(&reader, &series, NULL)) == QUARRY_OK) {
        assert_true(theirs == NULL || count < theirs->n_series);
        if (!read_one(&reader, &series, theirs == NULL ? NULL : theirs->series[count])) {
            return false;
        }
        count++;
    }
    assert_true(theirs == NULL || status != QUARRY_NOT_FOUND || count == theirs->n_series);
    return status == QUARRY_NOT_FOUND && read_metadata(body, theirs);
}

/* ---- 2.0 ------------------------------------------------------------------------------------ */

static bool read_items2(const struct tsdb_write2_reader *reader,
                        const struct tsdb_write2_series *series,
                        const Quarry__Write2__Request *request,
                        const Quarry__Write2__TimeSeries *theirs)
{
    struct tsdb_write_items items = tsdb_write2_items_of(series);
    struct tsdb_wire_histogram histogram;
    struct tsdb_exemplar exemplar;
    struct tsdb_sample sample;
    struct expected expected;
    enum quarry_status status;
    int64_t start_ms;
    size_t count = 0;

    for (;
         (status = tsdb_write2_next_sample(reader, &items, &sample, &start_ms, NULL)) == QUARRY_OK;
         count++) {
        if (theirs != NULL) {
            assert_true(sample.t_ms == theirs->samples[count]->t_ms);
            assert_true(start_ms == theirs->samples[count]->start_ms);
            assert_true(sample.bits == bits_of_double(theirs->samples[count]->value));
        }
    }
    if (status != QUARRY_NOT_FOUND) {
        return false;
    }
    assert_int_equal(count, series->sample_count);
    items = tsdb_write2_items_of(series);
    for (count = 0; (status = tsdb_write2_next_histogram(reader, &items, &rig_histogram_room,
                                                         &histogram, NULL)) == QUARRY_OK;
         count++) {
        if (theirs != NULL) {
            assert_histogram(&histogram, theirs->histograms[count], true);
        }
    }
    if (status != QUARRY_NOT_FOUND) {
        return false;
    }
    assert_int_equal(count, series->histogram_count);
    items = tsdb_write2_items_of(series);
    for (count = 0;; count++) {
        struct tsdb_label_set set = new_set();
        status = tsdb_write2_next_exemplar(reader, &items, &set, &exemplar, NULL);
        if (status != QUARRY_OK) {
            break;
        }
        if (theirs != NULL) {
            const Quarry__Write2__Exemplar *wanted = theirs->exemplars[count];
            assert_true(exemplar.t_ms == wanted->t_ms);
            assert_true(exemplar.bits == bits_of_double(wanted->value));
            expect_refs(&expected, request, wanted->labels_refs, wanted->n_labels_refs);
            assert_labels(&expected, &set);
        }
    }
    assert_true(status != QUARRY_NOT_FOUND || count == series->exemplar_count);
    return status == QUARRY_NOT_FOUND;
}

static bool read_family2(const struct tsdb_write2_reader *reader,
                         const struct tsdb_write2_series *series,
                         const Quarry__Write2__Request *request,
                         const Quarry__Write2__Metadata *theirs)
{
    struct tsdb_family family;
    const enum quarry_status status = tsdb_write2_family(reader, series, &family, NULL);

    if (theirs != NULL && status == QUARRY_OK) {
        assert_int_equal(family.type, (uint32_t)theirs->type < 8 ? (uint32_t)theirs->type : 0);
        assert_same(family.help, request->symbols[theirs->help_ref]);
        assert_same(family.unit, request->symbols[theirs->unit_ref]);
    }
    return status == QUARRY_OK || status == QUARRY_NOT_FOUND;
}

static bool read_one2(const struct tsdb_write2_reader *reader,
                      const struct tsdb_write2_series *series,
                      const Quarry__Write2__Request *request,
                      const Quarry__Write2__TimeSeries *theirs)
{
    struct tsdb_label_set set = new_set();
    struct expected expected;

    if (tsdb_write2_labels(reader, series, &set, NULL) != QUARRY_OK) {
        return false;
    }
    if (theirs != NULL) {
        expect_refs(&expected, request, theirs->labels_refs, theirs->n_labels_refs);
        assert_labels(&expected, &set);
        assert_int_equal(series->sample_count, theirs->n_samples);
    }
    return read_items2(reader, series, request, theirs) &&
           read_family2(reader, series, request, theirs == NULL ? NULL : theirs->metadata);
}

bool read_request2(struct tsdb_slice body, const Quarry__Write2__Request *theirs)
{
    struct tsdb_write2_reader reader;
    struct tsdb_write2_series series;
    struct tsdb_write2_counts counts;
    enum quarry_status status;
    size_t count = 0;

    if (tsdb_write2_count(body, &counts, NULL) != QUARRY_OK || counts.symbol_count > SYMBOLS_MAX ||
        tsdb_write2_open(body, symbols, &counts, &reader, NULL) != QUARRY_OK) {
        return false;
    }
    while ((status = tsdb_write2_next_series(&reader, &series, NULL)) == QUARRY_OK) {
        if (!read_one2(&reader, &series, theirs, theirs == NULL ? NULL : theirs->series[count])) {
            return false;
        }
        count++;
    }
    assert_true(status != QUARRY_NOT_FOUND || count == counts.series_count);
    assert_true(theirs == NULL || status != QUARRY_NOT_FOUND || count == theirs->n_series);
    return status == QUARRY_NOT_FOUND;
}
