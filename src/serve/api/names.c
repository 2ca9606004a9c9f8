/*
 * Names of labels, and values of one: /api/v1/labels, /api/v1/label/NAME/values.
 *
 * The store tells them in order, for each selector; those of several are gathered, sorted, and said
 * once. Where a time is asked for, series are walked over instead: the store does not look at
 * samples for names.
 */
#include <stdlib.h>

#include <serve/api/handlers.h>
#include <serve/api/params.h>
#include <serve/api/selectors.h>

/* Slices that grow in a request's memory. */
struct names {
    struct promql_memory *memory;
    struct quarry_tsdb_slice *slices;
    size_t count, capacity;
};

static bool add_name(struct names *names, struct quarry_tsdb_slice name)
{
    if (names->count == names->capacity) {
        const size_t capacity = names->capacity == 0 ? 64 : names->capacity * 2;
        struct quarry_tsdb_slice *slices =
            promql_memory_take_zero(names->memory, capacity, sizeof *slices);
        if (slices == NULL) {
            return false;
        }
        if (names->count > 0) {
            memcpy(slices, names->slices, names->count * sizeof *slices);
        }
        names->slices = slices;
        names->capacity = capacity;
    }
    const char *copy = promql_memory_copy(names->memory, name.bytes, name.count);
    if (copy == NULL) {
        return false;
    }
    names->slices[names->count++] = (struct quarry_tsdb_slice){copy, name.count};
    return true;
}

/* In the form of quarry_tsdb_name_function. */
static bool take_name(void *argument, struct quarry_tsdb_slice name)
{
    return add_name(argument, name);
}

static int compare_names(const void *left, const void *right)
{
    const struct quarry_tsdb_slice *a = left, *b = right;
    const size_t common = size_min(a->count, b->count);
    const int order = common == 0 ? 0 : memcmp(a->bytes, b->bytes, common);

    return order != 0 ? order : (a->count > b->count) - (a->count < b->count);
}

/* Sorts, and leaves each once. */
static void order_names(struct names *names)
{
    size_t kept = 0;

    if (names->count == 0) {
        return;
    }
    qsort(names->slices, names->count, sizeof *names->slices, compare_names);
    for (size_t i = 1; i < names->count; i++) {
        if (compare_names(&names->slices[kept], &names->slices[i]) != 0) {
            names->slices[++kept] = names->slices[i];
        }
    }
    names->count = kept + 1;
}

static enum http_outcome say_names(struct http_call *call, const struct names *names,
                                   uint64_t limit)
{
    const size_t count = limit == 0 ? names->count : (size_t)size_min_u64(names->count, limit);

    api_begin_data(call);
    http_text_say(&call->body_out, "[");
    for (size_t i = 0; i < count; i++) {
        http_text_add(&call->body_out, ",", i > 0);
        api_put_string(&call->body_out, names->slices[i]);
    }
    http_text_say(&call->body_out, "]");
    if (count < names->count) {
        api_end_data_with(call, "results truncated due to limit");
    } else {
        api_end_data(call);
    }
    return HTTP_DONE;
}

/* ---- gathering ------------------------------------------------------------------------------ */

/* The names of a series' labels, or the value of the one that is asked for. */
static bool add_of_labels(struct names *names, const struct quarry_tsdb_labels *labels,
                          const struct quarry_tsdb_slice *name)
{
    for (size_t i = 0; i < labels->count; i++) {
        if (name == NULL) {
            if (!add_name(names, labels->labels[i].name)) {
                return false;
            }
        } else if (compare_names(&labels->labels[i].name, name) == 0) {
            return add_name(names, labels->labels[i].value);
        }
    }
    return true;
}

/* Of series with a sample in the time that is asked for. Each thousand series what was gathered is
 * put in order, so that memory is as large as the answer, about. */
static enum quarry_status gather_by_series(struct http_call *call, struct api_request *request,
                                           const struct api_selection *selection,
                                           const struct quarry_tsdb_slice *name,
                                           struct names *names)
{
    struct api_walk *walk = api_begin_walk(call, request, selection);
    struct quarry_tsdb_labels labels;
    enum quarry_status status = QUARRY_OK;

    if (walk == NULL) {
        return QUARRY_BUSY; /* answered */
    }
    for (size_t i = 0; status == QUARRY_OK; i++) {
        status = api_next_series(walk, &labels);
        if (status == QUARRY_OK && !add_of_labels(names, &labels, name)) {
            status = QUARRY_NO_MEMORY;
        }
        if (i % 1024 == 1023) {
            order_names(names);
        }
    }
    if (status == QUARRY_NOT_FOUND) {
        return QUARRY_OK;
    }
    (void)api_fail_status(call, status, NULL);
    return QUARRY_BUSY;
}

/* Of series whenever they had samples. */
static enum quarry_status gather_all(struct http_call *call, struct api_request *request,
                                     const struct api_selection *selection,
                                     const struct quarry_tsdb_slice *name, struct names *names)
{
    const size_t count = selection->selector_count == 0 ? 1 : selection->selector_count;
    struct quarry_tsdb *tsdb = request->context.store->tsdb;
    struct quarry_error error = {0};
    enum quarry_status status = QUARRY_OK;

    for (size_t i = 0; i < count && status == QUARRY_OK; i++) {
        const struct quarry_tsdb_query query = api_query_of(request, selection, i);
        status = name == NULL
                     ? quarry_tsdb_label_names(tsdb, &query, take_name, names, &error)
                     : quarry_tsdb_label_values(tsdb, &query, *name, take_name, names, &error);
        if (status == QUARRY_OK && names->memory->is_refused) {
            status = QUARRY_NO_MEMORY;
        }
    }
    if (status == QUARRY_OK) {
        return status;
    }
    (void)api_fail_status(call, status, &error);
    return QUARRY_BUSY;
}

static enum http_outcome answer_names(struct http_call *call, struct api_request *request,
                                      const struct quarry_tsdb_slice *name)
{
    struct names names = {.memory = &request->memory};
    struct api_selection *selection;
    uint64_t limit;

    if (!api_limit_param(call, &limit) || !api_read_selection(call, request, "", &selection)) {
        return HTTP_DONE;
    }
    const bool has_time =
        selection->min_ms != API_TIME_MIN_MS || selection->max_ms != API_TIME_MAX_MS;
    const enum quarry_status status = has_time
                                          ? gather_by_series(call, request, selection, name, &names)
                                          : gather_all(call, request, selection, name, &names);
    if (status != QUARRY_OK) {
        return HTTP_DONE;
    }
    order_names(&names);
    return say_names(call, &names, limit);
}

/* ---- the handlers --------------------------------------------------------------------------- */

enum http_outcome api_label_names(struct http_call *call, struct api_request *request)
{
    return answer_names(call, request, NULL);
}

static int hex_of(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* A character of one to four bytes. */
static size_t put_rune(char *room, uint32_t rune)
{
    if (rune < 0x80) {
        room[0] = (char)rune;
        return 1;
    }
    const size_t count = rune < 0x800 ? 2 : rune < 0x10000 ? 3 : 4;
    static const unsigned char firsts[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = count - 1; i > 0; i--) {
        room[i] = (char)(0x80 | (rune & 0x3f));
        rune >>= 6;
    }
    room[0] = (char)(firsts[count] | rune);
    return count;
}

/* The rune of "_2e_", behind the first underscore. Returns: bytes that were read; 0: it is none. */
static size_t read_escape(const char *at, size_t left, uint32_t *ret_rune)
{
    size_t count = 0;

    *ret_rune = 0;
    while (count < left && count < 6 && hex_of(at[count]) >= 0) {
        *ret_rune = *ret_rune * 16 + (uint32_t)hex_of(at[count++]);
    }
    const bool is_rune = *ret_rune < 0x110000 && (*ret_rune < 0xd800 || *ret_rune > 0xdfff);
    return count > 0 && count < left && at[count] == '_' && is_rune ? count + 1 : 0;
}

/* "U__http_2e_status" is "http.status"; what is no such name stands for itself. */
static struct quarry_tsdb_slice unescape(struct promql_memory *memory, struct http_slice name)
{
    char *room = promql_memory_take(memory, name.count + 1);
    size_t count = 0;

    if (room == NULL || name.count < 3 || memcmp(name.bytes, "U__", 3) != 0) {
        return (struct quarry_tsdb_slice){name.bytes, name.count};
    }
    for (size_t i = 3; i < name.count; i++) {
        uint32_t rune;
        if (name.bytes[i] != '_') {
            room[count++] = name.bytes[i];
        } else if (i + 1 < name.count && name.bytes[i + 1] == '_') {
            room[count++] = '_';
            i++;
        } else {
            const size_t read = read_escape(name.bytes + i + 1, name.count - i - 1, &rune);
            if (read == 0) {
                return (struct quarry_tsdb_slice){name.bytes, name.count};
            }
            count += put_rune(room + count, rune);
            i += read;
        }
    }
    return (struct quarry_tsdb_slice){room, count};
}

enum http_outcome api_label_values(struct http_call *call, struct api_request *request)
{
    const struct quarry_tsdb_slice name = unescape(&request->memory, http_segment(call, 0));

    if (!tsdb_utf8_is_valid((struct tsdb_slice){name.bytes, name.count})) {
        return api_fail(call, API_BAD_DATA, "invalid label name: it is no UTF-8");
    }
    return answer_names(call, request, &name);
}
