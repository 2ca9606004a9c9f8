/*
 * Asking for exemplars.
 *
 *     set of series, by labels ──> of each: copied under the tenant's mutex ──> told, with none
 * held
 *
 *     room    | exemplars | labels | names and values |      of one series; used again for the next
 *
 * The set keeps its series, so the ids that exemplars are found by stay theirs.
 */
#include <tsdb/exemplars_parts.h>

#include <string.h>

#include <tsdb/set.h>

/* Copies of one series' exemplars, with all that they point to. */
struct copies {
    const struct tsdb_memory *memory;
    void *room; /* own */
    size_t capacity;
    size_t count, label_count, text_bytes; /* that are to be copied */
    struct quarry_tsdb_exemplar *exemplars;
    struct tsdb_label *labels;
    char *text;
};

static void copies_measure(struct copies *copies, const struct tsdb_exemplar_series *series,
                           const struct quarry_tsdb_query *query)
{
    copies->count = copies->label_count = copies->text_bytes = 0;
    for (const struct tsdb_exemplar_record *record = series == NULL ? NULL : series->oldest;
         record != NULL; record = record->series_newer) {
        if (record->t_ms >= query->min_ms && record->t_ms <= query->max_ms) {
            copies->count++;
            copies->label_count += record->label_count;
            copies->text_bytes += record->text_bytes;
        }
    }
}

static size_t copies_bytes(const struct copies *copies)
{
    return copies->count * sizeof(*copies->exemplars) +
           copies->label_count * sizeof(*copies->labels) + copies->text_bytes;
}

static void copy_put(struct copies *copies, struct quarry_tsdb_exemplar *to,
                     const struct tsdb_exemplar_record *record)
{
    char *text = copies->text;
    const uint16_t *length = record->lengths;

    memcpy(text, tsdb_exemplar_text(record), record->text_bytes);
    *to = (struct quarry_tsdb_exemplar){.t_ms = record->t_ms,
                                        .bits = record->bits,
                                        .labels = {copies->labels, record->label_count}};
    for (uint32_t i = 0; i < record->label_count; i++, length += 2) {
        *copies->labels++ = (struct tsdb_label){{text, length[0]}, {text + length[0], length[1]}};
        text += length[0] + length[1];
    }
    copies->text = text;
}

static void copies_make(struct copies *copies, const struct tsdb_exemplar_series *series,
                        const struct quarry_tsdb_query *query)
{
    struct quarry_tsdb_exemplar *to = copies->room;

    copies->exemplars = to;
    copies->labels = (struct tsdb_label *)(void *)(to + copies->count);
    copies->text = (char *)(copies->labels + copies->label_count);
    for (const struct tsdb_exemplar_record *record = series->oldest; record != NULL;
         record = record->series_newer) {
        if (record->t_ms >= query->min_ms && record->t_ms <= query->max_ms) {
            copy_put(copies, to++, record);
        }
    }
}

/* Copies what a series has: looked at under the lock, until the room suffices. */
static enum quarry_status series_copy(struct tsdb_exemplar_ring *ring, uint32_t id,
                                      const struct quarry_tsdb_query *query, struct copies *copies)
{
    for (;;) {
        os_mutex_lock(&ring->mutex);
        const struct tsdb_exemplar_series *series = tsdb_exemplar_series_find(ring, id);
        copies_measure(copies, series, query);
        size_t bytes = copies_bytes(copies);
        if (copies->count != 0 && bytes <= copies->capacity) {
            copies_make(copies, series, query);
        }
        os_mutex_unlock(&ring->mutex);
        if (bytes <= copies->capacity) {
            return QUARRY_OK;
        }
        enum quarry_status status =
            tsdb_memory_grow(copies->memory, &copies->room, &copies->capacity, bytes, 1);
        if (status != QUARRY_OK) {
            return QUARRY_NO_MEMORY;
        }
    }
}

static enum quarry_status set_tell(struct tsdb_exemplar_ring *ring,
                                   const struct quarry_tsdb_set *set,
                                   const struct quarry_tsdb_query *query, struct copies *copies,
                                   quarry_tsdb_exemplar_function *each, void *argument)
{
    struct tsdb_label labels[TSDB_LABELS_MAX];

    for (size_t i = 0; i < quarry_tsdb_set_count(set); i++) {
        enum quarry_status status = series_copy(ring, set->ids.ids[i], query, copies);
        if (status != QUARRY_OK) {
            return status;
        }
        if (copies->count == 0) {
            continue;
        }
        const struct tsdb_labels own = {labels,
                                        quarry_tsdb_set_labels(set, i, labels, TSDB_LABELS_MAX)};
        if (!each(argument, &own, copies->exemplars, copies->count)) {
            break;
        }
    }
    return QUARRY_OK;
}

enum quarry_status quarry_tsdb_exemplars(struct quarry_tsdb *tsdb,
                                         const struct quarry_tsdb_query *query,
                                         quarry_tsdb_exemplar_function *each, void *argument,
                                         struct quarry_error *error)
{
    struct tsdb_tenant *tenant = tsdb_limits_tenant(&tsdb->limits, query->tenant);
    struct copies copies = {.memory = &tsdb->small[TSDB_PART_QUERY]};
    struct quarry_tsdb_set *set;
    enum quarry_status status = quarry_tsdb_select(tsdb, query, &set, error);

    if (status != QUARRY_OK) {
        return status;
    }
    struct tsdb_exemplar_ring *ring = tenant == NULL ? NULL : tsdb_exemplar_ring_of(tenant);
    if (ring != NULL) {
        status = set_tell(ring, set, query, &copies, each, argument);
    }
    tsdb_memory_give(copies.memory, copies.room);
    quarry_tsdb_set_close(set);
    return status == QUARRY_OK
               ? QUARRY_OK
               : error_set(error, status, "%s: no memory for a query's exemplars", tsdb->name);
}
