/*
 * Samples on their way into the store: a page's together, so that it is there whole or not at all
 * while its lines are looked at.
 *
 *     entries   key ── samples ─┐      as the store wants them
 *     samples   time, value  ◀──┘      one for each
 *     series, marks                    what is to be noted when they were taken
 *     refusals                         what the store said
 *
 * One object of memory for all five, since they grow together.
 *
 * Exemplars are kept as the lines that have them, few as they are, and put together when all is
 * appended: they fail nothing, and are left out where there is no memory.
 *
 * The store asks for the labels of keys that it does not know: they are decoded from the key.
 *
 * Locking: none. Memory: 81 bytes a sample, kept for the next page up to KEPT_COUNT.
 */
#include <serve/scrape/state.h>

#include <string.h>

/* What stays for the next page: that of a large exporter. */
#define KEPT_COUNT 4096u
#define MORE_COUNT 1024u

#define MEMBER_BYTES                                                                               \
    (sizeof(struct quarry_tsdb_entry) + sizeof(struct tsdb_sample) + sizeof(struct series *) + 2)

static void place(struct batch *batch, char *base, size_t capacity)
{
    batch->entries = (struct quarry_tsdb_entry *)base;
    batch->samples = (struct tsdb_sample *)(batch->entries + capacity);
    batch->series = (struct series **)(batch->samples + capacity);
    batch->marks = (uint8_t *)(batch->series + capacity);
    batch->refusals = batch->marks + capacity;
    batch->capacity = capacity;
}

static void move(const struct batch *from, struct batch *to)
{
    memcpy(to->entries, from->entries, from->count * sizeof *from->entries);
    memcpy(to->samples, from->samples, from->count * sizeof *from->samples);
    memcpy(to->series, from->series, from->count * sizeof(struct series *));
    memcpy(to->marks, from->marks, from->count);
}

static enum quarry_status grow(const struct tsdb_memory *memory, struct batch *batch)
{
    struct batch old = {.entries = batch->entries,
                        .samples = batch->samples,
                        .series = batch->series,
                        .marks = batch->marks,
                        .count = batch->count};
    size_t capacity = batch->capacity + size_max(batch->capacity / 2, MORE_COUNT), bytes;

    if (!checked_mul_size(capacity, MEMBER_BYTES, &bytes)) {
        return QUARRY_TOO_LARGE;
    }
    char *base = tsdb_memory_take(memory, bytes);
    if (base == NULL) {
        return QUARRY_NO_MEMORY;
    }
    place(batch, base, capacity);
    if (old.count > 0) {
        move(&old, batch);
    }
    tsdb_memory_give(memory, old.entries);
    return QUARRY_OK;
}

enum quarry_status batch_add(const struct tsdb_memory *memory, struct batch *batch,
                             struct tsdb_slice key, struct tsdb_sample sample,
                             struct series *series, enum batch_mark mark)
{
    if (batch->count == batch->capacity) {
        enum quarry_status status = grow(memory, batch);
        if (status != QUARRY_OK) {
            return status;
        }
    }
    size_t at = batch->count++;
    batch->entries[at] = (struct quarry_tsdb_entry){.key = key, .sample_count = 1};
    batch->samples[at] = sample;
    batch->series[at] = series;
    batch->marks[at] = (uint8_t)mark;
    return QUARRY_OK;
}

static bool resolve(void *argument, size_t index, struct quarry_tsdb_labels *ret_labels)
{
    struct batch *batch = argument;
    size_t count = series_key_labels(batch->entries[index].key, batch->labels,
                                     sizeof batch->labels / sizeof batch->labels[0]);

    *ret_labels = (struct quarry_tsdb_labels){batch->labels, count};
    return count > 0;
}

void batch_add_exemplar(const struct tsdb_memory *memory, struct batch *batch,
                        const struct tsdb_exposition_line *line)
{
    void *array = batch->exemplars;
    enum quarry_status status =
        tsdb_memory_grow(memory, &array, &batch->exemplar_capacity, batch->exemplar_count + 1,
                         sizeof *batch->exemplars);

    batch->exemplars = array;
    if (status == QUARRY_OK) {
        batch->exemplars[batch->exemplar_count++] =
            (struct batch_exemplar){.line = *line, .entry = batch->count - 1};
    }
}

/* Puts exemplars into their entries. Returns: own: what they lie in; NULL: there are none. */
static void *attach_exemplars(const struct tsdb_memory *memory, const struct batch *batch)
{
    struct quarry_tsdb_exemplar *next;
    size_t bytes = batch->exemplar_count * sizeof *next;

    for (size_t i = 0; i < batch->exemplar_count; i++) {
        bytes += tsdb_exposition_exemplar_bytes(&batch->exemplars[i].line);
    }
    void *taken = bytes == 0 ? NULL : tsdb_memory_take(memory, bytes);
    if (taken == NULL) {
        return NULL;
    }
    next = taken;
    char *room = (char *)(next + batch->exemplar_count);
    for (size_t i = 0; i < batch->exemplar_count; i++) {
        const struct batch_exemplar *exemplar = &batch->exemplars[i];
        struct quarry_tsdb_entry *entry = &batch->entries[exemplar->entry];
        if (tsdb_exposition_exemplar(&exemplar->line, entry->samples->t_ms, room, next)) {
            room += tsdb_exposition_exemplar_bytes(&exemplar->line);
            entry->exemplars = next++;
            entry->exemplar_count = 1;
        }
    }
    return taken;
}

enum quarry_status batch_append(const struct tsdb_memory *memory, struct batch *batch,
                                struct quarry_tsdb *tsdb, struct quarry_tsdb_result *ret_result)
{
    const struct quarry_tsdb_request request = {
        .is_partial = true,
        .entries = batch->entries,
        .entry_count = batch->count,
        .resolve = resolve,
        .resolve_argument = batch,
        .ret_refusals = batch->refusals,
    };

    memset(ret_result, 0, sizeof *ret_result);
    if (batch->count == 0) {
        return QUARRY_OK;
    }
    for (size_t i = 0; i < batch->count; i++) { /* not before: samples move while they grow */
        batch->entries[i].samples = &batch->samples[i];
        batch->refusals[i] = QUARRY_TSDB_TAKEN;
    }
    void *taken = attach_exemplars(memory, batch);
    enum quarry_status status = quarry_tsdb_append(tsdb, &request, ret_result);
    tsdb_memory_give(memory, taken);
    return status;
}

void batch_empty(const struct tsdb_memory *memory, struct batch *batch)
{
    batch->count = batch->exemplar_count = 0;
    if (batch->capacity > KEPT_COUNT) {
        batch_clear(memory, batch);
    }
}

void batch_clear(const struct tsdb_memory *memory, struct batch *batch)
{
    tsdb_memory_give(memory, batch->entries);
    tsdb_memory_give(memory, batch->exemplars);
    batch->entries = NULL;
    batch->exemplars = NULL;
    batch->exemplar_count = batch->exemplar_capacity = 0;
    batch->count = batch->capacity = 0;
}
