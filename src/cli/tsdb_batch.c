/*
 * Samples on their way into a store.
 *
 * Labels are copied once for the samples of a series that come one after another. A histogram is
 * appended by itself: what it consists of is its source's until the next one.
 *
 * Invariants
 *   1. Samples are appended in the order in which they were added.
 *   2. What an entry points to lies in the batch, and does not move.
 *
 * Locking: none; of one thread.
 */
#include <cli/tsdb_batch.h>

#include <stdlib.h>
#include <string.h>

#include <cli/tsdb_send.h>

#define SAMPLES_MAX 4096u
#define LABELS_MAX  16384u
#define TEXT_BYTES  Q_MIB(1)

struct tsdb_batch {
    struct quarry_tsdb *tsdb; /* NULL: they are sent */
    struct tsdb_sender sender;
    const struct tsdb_labels *series; /* borrowed: of the samples to come */
    bool is_copied;                   /* it is that of the last entry */
    struct quarry_tsdb_entry entries[SAMPLES_MAX];
    struct quarry_tsdb_sample samples[SAMPLES_MAX];
    struct quarry_tsdb_label labels[LABELS_MAX];
    size_t entry_count, sample_count, label_count, text_used;
    struct tsdb_batch_counts counts;
    char text[TEXT_BYTES];
};

struct tsdb_batch *tsdb_batch_create(struct quarry_tsdb *tsdb, struct tsdb_http *http)
{
    struct tsdb_batch *batch = malloc(sizeof *batch);

    if (batch != NULL) {
        memset(batch, 0, offsetof(struct tsdb_batch, text));
        batch->tsdb = tsdb;
        batch->sender.http = http;
    }
    return batch;
}

void tsdb_batch_destroy(struct tsdb_batch *batch)
{
    if (batch != NULL) {
        tsdb_sender_fini(&batch->sender);
    }
    free(batch);
}

const struct tsdb_batch_counts *tsdb_batch_counts(const struct tsdb_batch *batch)
{
    return &batch->counts;
}

static uint64_t count_result(struct tsdb_batch *batch, const struct quarry_tsdb_result *result)
{
    uint64_t refused_count = 0;

    batch->counts.taken_count += result->taken_count;
    batch->counts.new_series_count += result->new_series_count;
    for (size_t i = 0; i < QUARRY_TSDB_REFUSALS; i++) {
        batch->counts.refused_counts[i] += result->refused_counts[i];
        refused_count += result->refused_counts[i];
    }
    return refused_count;
}

static enum quarry_status append(struct tsdb_batch *batch, const struct quarry_tsdb_entry *entries,
                                 size_t count)
{
    const struct quarry_tsdb_request request = {
        .is_partial = true, .fills_past = true, .entries = entries, .entry_count = count};
    struct quarry_tsdb_result result = {0};
    const enum quarry_status status = quarry_tsdb_append(batch->tsdb, &request, &result);
    const uint64_t refused_count = count_result(batch, &result);

    switch ((int)status) {
    case QUARRY_BAD_INPUT:
    case QUARRY_TOO_MANY:
    case QUARRY_NO_MEMORY:
        return refused_count > 0 ? QUARRY_OK : status;
    default:
        return status;
    }
}

static enum quarry_status send(struct tsdb_batch *batch)
{
    const enum quarry_status status = tsdb_send(&batch->sender, batch->entries, batch->entry_count);

    batch->counts.taken_count = batch->sender.taken_count;
    batch->counts.server_refused_count = batch->sender.refused_count;
    return status;
}

enum quarry_status tsdb_batch_flush(struct tsdb_batch *batch)
{
    enum quarry_status status = QUARRY_OK;

    if (batch->entry_count > 0) {
        status =
            batch->tsdb == NULL ? send(batch) : append(batch, batch->entries, batch->entry_count);
    }

    batch->entry_count = batch->sample_count = batch->label_count = batch->text_used = 0;
    batch->is_copied = false;
    return status;
}

void tsdb_batch_series(struct tsdb_batch *batch, const struct tsdb_labels *labels)
{
    batch->series = labels;
    batch->is_copied = false;
}

static struct tsdb_slice copy_text(struct tsdb_batch *batch, struct tsdb_slice text)
{
    char *copy = batch->text + batch->text_used;

    memcpy(copy, text.bytes, text.count);
    batch->text_used += text.count;
    return (struct tsdb_slice){copy, text.count};
}

/* Whether the series' labels fit behind those that are there. */
static bool fits(const struct tsdb_batch *batch)
{
    size_t byte_count = 0;

    for (size_t i = 0; i < batch->series->count; i++) {
        byte_count += batch->series->labels[i].name.count + batch->series->labels[i].value.count;
    }
    return batch->series->count <= LABELS_MAX - batch->label_count &&
           byte_count <= TEXT_BYTES - batch->text_used;
}

/* Begins an entry for the series. Returns: false: its labels are too long for any batch. */
static bool begin_entry(struct tsdb_batch *batch, enum quarry_status *ret_status)
{
    if (!fits(batch)) {
        *ret_status = tsdb_batch_flush(batch);
        if (!fits(batch)) {
            return false;
        }
    }
    struct quarry_tsdb_label *labels = batch->labels + batch->label_count;
    for (size_t i = 0; i < batch->series->count; i++) {
        labels[i].name = copy_text(batch, batch->series->labels[i].name);
        labels[i].value = copy_text(batch, batch->series->labels[i].value);
    }
    batch->label_count += batch->series->count;
    batch->entries[batch->entry_count++] = (struct quarry_tsdb_entry){
        .labels = {labels, batch->series->count}, .samples = batch->samples + batch->sample_count};
    batch->is_copied = true;
    return true;
}

static enum quarry_status add_histogram(struct tsdb_batch *batch,
                                        const struct tsdb_histogram *histogram)
{
    const struct quarry_tsdb_entry entry = {
        .labels = *batch->series, .histograms = histogram, .histogram_count = 1};
    enum quarry_status status = tsdb_batch_flush(batch);

    if (status == QUARRY_OK) {
        status = append(batch, &entry, 1);
    }
    if (status == QUARRY_UNSUPPORTED) {
        batch->counts.unsupported_count++;
        return QUARRY_OK;
    }
    return status;
}

enum quarry_status tsdb_batch_add(struct tsdb_batch *batch, const struct block_sample *sample)
{
    enum quarry_status status = QUARRY_OK;

    if (batch->tsdb == NULL && (sample->histogram != NULL || sample->bits == TSDB_STALE_BITS)) {
        batch->counts.unsaid_count++;
        return QUARRY_OK;
    }
    if (sample->histogram != NULL) {
        return add_histogram(batch, sample->histogram);
    }
    if (batch->sample_count == SAMPLES_MAX) {
        status = tsdb_batch_flush(batch);
    }
    if (!batch->is_copied && !begin_entry(batch, &status)) {
        batch->counts.refused_counts[QUARRY_TSDB_BAD_LABELS]++;
        return status;
    }
    batch->samples[batch->sample_count++] =
        (struct quarry_tsdb_sample){.t_ms = sample->t_ms, .bits = sample->bits};
    batch->entries[batch->entry_count - 1].sample_count++;
    return status;
}
