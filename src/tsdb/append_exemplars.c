/*
 * The exemplars of a request, once its samples are in.
 *
 * They fail nothing, as in Prometheus: what is refused is counted. A request that was refused as a
 * whole has none. An exemplar makes no series: one whose series is not there is refused, so that a
 * sender that has samples and exemplars in different requests sends the samples first.
 */
#include <tsdb/append.h>

#include <tsdb/exemplars.h>

/* The series of an entry; TSDB_SERIES_NONE: there is none. */
static uint32_t entry_series(struct tsdb_append *append, uint32_t index)
{
    const struct quarry_tsdb_request *request = append->request;
    const struct quarry_tsdb_entry *entry = &request->entries[index];
    struct tsdb_registry *registry = append->tsdb->registry;
    struct tsdb_labels labels = entry->labels;
    uint32_t id = TSDB_SERIES_NONE;

    if (entry->key.count != 0) {
        id = tsdb_registry_find(registry, tsdb_registry_key(registry, request->tenant, entry->key));
    }
    if (id != TSDB_SERIES_NONE) {
        return id;
    }
    if (labels.count == 0 && (request->resolve == NULL ||
                              !request->resolve(request->resolve_argument, index, &labels))) {
        return TSDB_SERIES_NONE;
    }
    return tsdb_registry_lookup(registry, request->tenant, &labels, NULL, &id) == QUARRY_OK
               ? id
               : TSDB_SERIES_NONE;
}

static void entry_exemplars(struct tsdb_append *append, uint32_t index)
{
    const struct quarry_tsdb_entry *entry = &append->request->entries[index];
    uint32_t id = entry_series(append, index);

    for (size_t i = 0; i < entry->exemplar_count; i++) {
        enum tsdb_exemplar_verdict verdict = TSDB_EXEMPLAR_REFUSED;
        if (id != TSDB_SERIES_NONE) {
            verdict = tsdb_exemplars_add(append->tsdb, append->tenant, id, &entry->exemplars[i]);
        }
        append->result->taken_exemplar_count += verdict != TSDB_EXEMPLAR_REFUSED;
        append->result->refused_exemplar_count += verdict == TSDB_EXEMPLAR_REFUSED;
    }
}

void tsdb_append_exemplars(struct tsdb_append *append)
{
    const struct quarry_tsdb_request *request = append->request;

    for (uint32_t i = 0; i < request->entry_count; i++) {
        if (request->entries[i].exemplar_count != 0) {
            quarry_epoch_enter(append->tsdb->epoch);
            entry_exemplars(append, i);
            quarry_epoch_leave(append->tsdb->epoch);
        }
    }
}
