/*
 * Series that match[] selects.
 *
 *     match[]=up        set  a c d       ──┐
 *     match[]={job=…}   set    c   e f   ──┴─> a c d e f
 *
 * Each set is in the order of labels, so that the least of what each has next is next of all; where
 * several have it, all go on. A set may have series without a sample in the time that is asked for:
 * the first sample of each is looked for.
 *
 * Locking: none; sets keep what they are of.
 */
#include <serve/api/selectors.h>

#include <string.h>

#include <serve/api/params.h>

/* Labels of a series that a set shows at a time; a store's own limit is not above it. */
#define LABELS_MAX 1024u

struct head {
    struct quarry_tsdb_set *set;
    struct quarry_tsdb_cursor *cursor;
    size_t next, count;
    struct quarry_tsdb_label *room;
    struct quarry_tsdb_labels labels; /* of the series that it shows */
    bool is_shown;
};

struct api_walk {
    struct http_call *call;
    struct head heads[API_SELECTORS_MAX];
    size_t head_count;
    size_t shown; /* the head whose labels were given last */
    bool has_shown;
};

/* ---- what is asked for ---------------------------------------------------------------------- */

static bool is_selective(const struct promql_node *node)
{
    return node->selector.is_selective;
}

/* That one of them makes no sense. */
static bool fail_selector(struct http_call *call, const char *prefix, const char *text)
{
    static const char own[] = "must contain at least one non-empty matcher";

    (void)api_fail(call, API_BAD_DATA, "%s%s%s", prefix,
                   strstr(text, own) != NULL ? "match[] " : "",
                   strstr(text, own) != NULL ? own : text);
    return false;
}

static bool read_selector(struct http_call *call, struct api_request *request, const char *prefix,
                          struct http_slice text, struct api_selector *ret_selector)
{
    const struct promql_parse_options options = {.allows_fill = false};
    const struct quarry_tsdb_slice slice = {text.bytes, text.count};
    struct promql_parse_error *error = promql_memory_take(&request->memory, sizeof *error);
    struct promql_node *node;

    if (error == NULL) {
        (void)api_fail(call, API_INTERNAL, "no memory for a selector");
        return false;
    }
    if (promql_parse_selector(&request->memory, slice, &options, &node, error) != QUARRY_OK) {
        return fail_selector(call, prefix, error->text);
    }
    if (!is_selective(node)) {
        return fail_selector(call, prefix, "must contain at least one non-empty matcher");
    }
    *ret_selector = (struct api_selector){node->selector.matchers, node->selector.matcher_count};
    return true;
}

static bool read_selectors(struct http_call *call, struct api_request *request, const char *prefix,
                           struct api_selection *selection)
{
    const struct http_param *params;
    const size_t count = http_params(call, &params);

    for (size_t i = 0; i < count; i++) {
        if (!http_slice_equals(params[i].name, "match[]")) {
            continue;
        }
        if (selection->selector_count == API_SELECTORS_MAX) {
            (void)api_fail(call, API_BAD_DATA, "invalid parameter \"match[]\": more than %u",
                           API_SELECTORS_MAX);
            return false;
        }
        if (!read_selector(call, request, prefix, params[i].value,
                           &selection->selectors[selection->selector_count++])) {
            return false;
        }
    }
    return true;
}

bool api_read_selection(struct http_call *call, struct api_request *request, const char *prefix,
                        struct api_selection **ret_selection)
{
    struct api_selection *selection =
        promql_memory_take_zero(&request->memory, 1, sizeof *selection);

    if (selection == NULL) {
        (void)api_fail(call, API_INTERNAL, "no memory for a request");
        return false;
    }
    *ret_selection = selection;
    return api_time_param(call, "start", API_TIME_MIN_MS, &selection->min_ms) &&
           api_time_param(call, "end", API_TIME_MAX_MS, &selection->max_ms) &&
           read_selectors(call, request, prefix, selection);
}

struct quarry_tsdb_query api_query_of(const struct api_request *request,
                                      const struct api_selection *selection, size_t index)
{
    struct quarry_tsdb_query query = {.tenant = request->context.tenant,
                                      .min_ms = selection->min_ms,
                                      .max_ms = selection->max_ms};

    if (index < selection->selector_count) {
        query.matchers = selection->selectors[index].matchers;
        query.matcher_count = selection->selectors[index].matcher_count;
    }
    return query;
}

/* ---- walking -------------------------------------------------------------------------------- */

static void end_walk(struct api_request *request)
{
    struct api_walk *walk = request->own;

    for (size_t i = 0; i < walk->head_count; i++) {
        quarry_tsdb_cursor_destroy(walk->heads[i].cursor);
        quarry_tsdb_set_close(walk->heads[i].set);
    }
}

static enum quarry_status open_head(struct api_request *request, struct head *head,
                                    const struct quarry_tsdb_query *query,
                                    struct quarry_error *error)
{
    enum quarry_status status =
        quarry_tsdb_select(request->context.store->tsdb, query, &head->set, error);

    if (status != QUARRY_OK) {
        return status;
    }
    head->count = quarry_tsdb_set_count(head->set);
    head->room = promql_memory_take(&request->memory, LABELS_MAX * sizeof *head->room);
    return head->room == NULL ? QUARRY_NO_MEMORY
                              : quarry_tsdb_cursor_create(head->set, &head->cursor);
}

struct api_walk *api_begin_walk(struct http_call *call, struct api_request *request,
                                const struct api_selection *selection)
{
    struct api_walk *walk = promql_memory_take_zero(&request->memory, 1, sizeof *walk);
    const size_t count = selection->selector_count == 0 ? 1 : selection->selector_count;
    struct quarry_error error = {0};

    if (walk == NULL) {
        (void)api_fail(call, API_INTERNAL, "no memory for a request");
        return NULL;
    }
    walk->call = call;
    request->own = walk;
    request->end = end_walk;
    for (size_t i = 0; i < count; i++) {
        const struct quarry_tsdb_query query = api_query_of(request, selection, i);
        const enum quarry_status status =
            open_head(request, &walk->heads[walk->head_count++], &query, &error);
        if (status != QUARRY_OK) {
            (void)api_fail_status(call, status, &error);
            return NULL;
        }
    }
    return walk;
}

/* Goes on to the head's next series that has a sample; is_shown is false when there is none. */
static enum quarry_status advance(struct api_walk *walk, struct head *head)
{
    struct quarry_tsdb_block block;

    head->is_shown = false;
    while (head->next < head->count) {
        const size_t index = head->next++;
        quarry_tsdb_cursor_series(head->cursor, index);
        const enum quarry_status status = quarry_tsdb_cursor_next(head->cursor, &block);
        if (status == QUARRY_OK) {
            const size_t count = quarry_tsdb_set_labels(head->set, index, head->room, LABELS_MAX);
            head->labels = (struct quarry_tsdb_labels){head->room, size_min(count, LABELS_MAX)};
            head->is_shown = true;
            return QUARRY_OK;
        }
        if (status != QUARRY_NOT_FOUND) {
            return status;
        }
        if (atomic_load_relaxed_bool(walk->call->is_cancelled)) { /* a hint */
            return QUARRY_CANCELLED;
        }
    }
    return QUARRY_OK;
}

static int compare_slices(struct quarry_tsdb_slice a, struct quarry_tsdb_slice b)
{
    const size_t common = size_min(a.count, b.count);
    const int order = common == 0 ? 0 : memcmp(a.bytes, b.bytes, common);

    return order != 0 ? order : (a.count > b.count) - (a.count < b.count);
}

static int compare_labels(struct quarry_tsdb_labels a, struct quarry_tsdb_labels b)
{
    const size_t common = size_min(a.count, b.count);

    for (size_t i = 0; i < common; i++) {
        int order = compare_slices(a.labels[i].name, b.labels[i].name);
        order = order != 0 ? order : compare_slices(a.labels[i].value, b.labels[i].value);
        if (order != 0) {
            return order;
        }
    }
    return (a.count > b.count) - (a.count < b.count);
}

/* Moves on all heads that show the series that was given last; at first, all of them. */
static enum quarry_status advance_shown(struct api_walk *walk)
{
    enum quarry_status status = QUARRY_OK;

    for (size_t i = 0; i < walk->head_count && status == QUARRY_OK; i++) {
        struct head *head = &walk->heads[i];
        const struct head *shown = &walk->heads[walk->shown];
        if (!walk->has_shown || (i != walk->shown && head->is_shown &&
                                 compare_labels(head->labels, shown->labels) == 0)) {
            status = advance(walk, head);
        }
    }
    if (status == QUARRY_OK && walk->has_shown) {
        status = advance(walk, &walk->heads[walk->shown]);
    }
    walk->has_shown = true;
    return status;
}

enum quarry_status api_next_series(struct api_walk *walk, struct quarry_tsdb_labels *ret_labels)
{
    const enum quarry_status status = advance_shown(walk);
    bool is_found = false;

    if (status != QUARRY_OK) {
        return status;
    }
    for (size_t i = 0; i < walk->head_count; i++) {
        const struct head *head = &walk->heads[i];
        if (head->is_shown &&
            (!is_found || compare_labels(head->labels, walk->heads[walk->shown].labels) < 0)) {
            walk->shown = i;
            is_found = true;
        }
    }
    if (!is_found) {
        return QUARRY_NOT_FOUND;
    }
    *ret_labels = walk->heads[walk->shown].labels;
    return QUARRY_OK;
}
