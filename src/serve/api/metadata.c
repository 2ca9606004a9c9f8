/*
 * What is known of metric families: /api/v1/metadata. The table gives them in no order; an answer
 * has them by name.
 */
#include <stdlib.h>

#include <serve/api/handlers.h>
#include <serve/api/params.h>

/* Bytes of one family's texts: not below the table's limit (tsdb_store.c). */
#define FAMILY_BYTES_MAX Q_KIB(64)

struct families {
    struct promql_memory *memory;
    struct tsdb_family *families;
    size_t count, capacity;
};

static struct tsdb_slice copy_slice(struct promql_memory *memory, struct tsdb_slice slice)
{
    return (struct tsdb_slice){promql_memory_copy(memory, slice.bytes, slice.count), slice.count};
}

static bool add_family(struct families *all, const struct tsdb_family *family)
{
    if (all->count == all->capacity) {
        const size_t capacity = all->capacity == 0 ? 64 : all->capacity * 2;
        struct tsdb_family *families =
            promql_memory_take_zero(all->memory, capacity, sizeof *families);
        if (families == NULL) {
            return false;
        }
        if (all->count > 0) {
            memcpy(families, all->families, all->count * sizeof *families);
        }
        all->families = families;
        all->capacity = capacity;
    }
    struct tsdb_family copy = *family;
    copy.name = copy_slice(all->memory, family->name);
    copy.help = copy_slice(all->memory, family->help);
    copy.unit = copy_slice(all->memory, family->unit);
    all->families[all->count++] = copy;
    return !all->memory->is_refused;
}

static int compare_families(const void *left, const void *right)
{
    const struct tsdb_family *a = left, *b = right;

    return tsdb_slice_compare(a->name, b->name);
}

/* Those of the tenant, or the one that is asked for. */
static bool gather(const struct http_call *call, struct api_request *request,
                   struct families *families)
{
    struct tsdb_metadata *metadata = request->context.store->metadata;
    const uint16_t tenant = request->context.tenant;
    struct tsdb_metadata_cursor cursor = {0};
    struct tsdb_family family;
    struct http_slice metric;
    char *room = promql_memory_take(&request->memory, FAMILY_BYTES_MAX);

    if (room == NULL) {
        return false;
    }
    if (api_param(call, "metric", &metric)) {
        return tsdb_metadata_get(metadata, tenant, (struct tsdb_slice){metric.bytes, metric.count},
                                 room, &family) != QUARRY_OK ||
               add_family(families, &family);
    }
    while (tsdb_metadata_next(metadata, tenant, &cursor, room, &family) == QUARRY_OK) {
        if (!add_family(families, &family)) {
            return false;
        }
    }
    return true;
}

static void put_family(struct http_text *text, const struct tsdb_family *family)
{
    api_put_string(text, family->name);
    http_text_say(text, ":[{\"type\":");
    api_put_words(text, tsdb_metric_type_name(family->type));
    http_text_say(text, ",\"help\":");
    api_put_string(text, family->help);
    http_text_say(text, ",\"unit\":");
    api_put_string(text, family->unit);
    http_text_say(text, "}]");
}

enum http_outcome api_metadata(struct http_call *call, struct api_request *request)
{
    struct families families = {.memory = &request->memory};
    struct http_slice value;
    uint64_t limit = UINT64_MAX, each = UINT64_MAX;

    if (api_param(call, "limit", &value) && !http_slice_equals(value, "-1") &&
        !api_read_count(value, &limit)) {
        return api_fail(call, API_BAD_DATA, "limit must be a number");
    }
    if (api_param(call, "limit_per_metric", &value) && !http_slice_equals(value, "-1") &&
        !api_read_count(value, &each)) {
        return api_fail(call, API_BAD_DATA, "limit_per_metric must be a number");
    }
    if (!gather(call, request, &families)) {
        return api_fail_status(call, QUARRY_NO_MEMORY, NULL);
    }
    if (families.count > 0) {
        qsort(families.families, families.count, sizeof *families.families, compare_families);
    }
    api_begin_data(call);
    http_text_say(&call->body_out, "{");
    for (size_t i = 0; i < families.count && i < limit; i++) {
        http_text_add(&call->body_out, ",", i > 0);
        put_family(&call->body_out, &families.families[i]);
    }
    http_text_say(&call->body_out, "}");
    api_end_data(call);
    return HTTP_DONE;
}
