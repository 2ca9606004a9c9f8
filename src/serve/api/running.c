/*
 * Queries under way, and the slowest of late.
 *
 *     list ─▸ query ─▸ query ─▸ …       each in its request's memory, the newest first
 *     slowest[20]                       copies of what has ended
 *
 * A query is listed while it is evaluated: not while it waits for a thread, nor while its result is
 * taken. Who looks at the list copies what is told under the mutex, and writes it down behind it.
 *
 * One that has ended takes the place of one that is too old to be told, or else of the fastest, if
 * that was faster: so many quick queries do not hide a slow one.
 *
 * Ids go up from the time when the list was made, so that one of a process before is no other
 * query's.
 *
 * Invariant: a query is in its storage's list from begin to end, and its storage lasts so long;
 * whoever writes to `progress` by the list holds the mutex.
 *
 * Locking: a mutex, a leaf. Cost: some hundred nanoseconds a query.
 */
#include <serve/api/running.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <os/os.h>
#include <serve/api/json.h>

#define ID_DIGITS 16u

struct api_running {
    struct os_mutex mutex;
    /* guarded by mutex */
    struct api_running_query *newest; /* NULL: none */
    uint64_t last_id;
    struct api_query_facts slowest[API_SLOWEST_MAX]; /* id 0: none */
};

struct api_running *api_running_create(const struct tsdb_memory *memory)
{
    struct api_running *running = tsdb_memory_take_zero(memory, sizeof *running);

    if (running != NULL) {
        os_mutex_init(&running->mutex, OS_RANK_LEAF, 0);
        running->last_id = os_wall_ns(os_real());
    }
    return running;
}

void api_running_destroy(const struct tsdb_memory *memory, struct api_running *running)
{
    if (running != NULL) {
        Q_ASSERT(running->newest == NULL);
        tsdb_memory_give(memory, running);
    }
}

/* ---- one query ------------------------------------------------------------------------------ */

void api_running_begin(struct api_running *running, struct api_running_query *query,
                       const struct http_call *call, struct quarry_tsdb_slice text,
                       struct promql_steps steps)
{
    struct api_query_facts *facts = &query->facts;

    if (running == NULL) {
        return;
    }
    facts->begin_ms = (int64_t)(os_wall_ns(os_real()) / Q_MS_NS);
    facts->begin_ns = os_monotonic_ns(os_real());
    facts->steps = steps;
    (void)snprintf(facts->peer, sizeof facts->peer, "%s", call->peer);
    (void)snprintf(facts->user, sizeof facts->user, "%s", call->identity.name);
    facts->text_bytes = (uint32_t)size_min(text.count, sizeof facts->text);
    memcpy(facts->text, text.bytes, facts->text_bytes);

    os_mutex_lock(&running->mutex);
    facts->id = ++running->last_id;
    query->next = running->newest;
    query->place = &running->newest;
    if (query->next != NULL) {
        query->next->place = &query->next;
    }
    running->newest = query;
    os_mutex_unlock(&running->mutex);
}

static bool is_old(const struct api_query_facts *facts, uint64_t now_ns)
{
    return sat_sub_u64(now_ns, facts->begin_ns + facts->duration_ns) >= API_SLOWEST_S * Q_SECOND_NS;
}

/* Which place a query may have; it counts as 0 what is too old, or nothing. */
static struct api_query_facts *fastest_locked(struct api_running *running, uint64_t now_ns)
{
    struct api_query_facts *fastest = &running->slowest[0];

    for (size_t i = 0; i < API_SLOWEST_MAX; i++) {
        struct api_query_facts *facts = &running->slowest[i];

        if (facts->id == 0 || is_old(facts, now_ns)) {
            facts->id = 0;
            return facts;
        }
        if (facts->duration_ns < fastest->duration_ns) {
            fastest = facts;
        }
    }
    return fastest;
}

void api_running_end(struct api_running *running, struct api_running_query *query,
                     const struct promql_result *result)
{
    struct api_query_facts *facts = &query->facts;
    const uint64_t now_ns = os_monotonic_ns(os_real());

    if (running == NULL) {
        return;
    }
    os_mutex_lock(&running->mutex);
    *query->place = query->next;
    if (query->next != NULL) {
        query->next->place = query->place;
    }
    facts->duration_ns = sat_sub_u64(now_ns, facts->begin_ns);
    facts->samples = result->stats.samples_total;
    facts->bytes = result->stats.bytes_peak;
    facts->outcome =
        result->error == PROMQL_ERROR_NONE ? "success" : promql_error_name(result->error);
    struct api_query_facts *place = fastest_locked(running, now_ns);
    if (place->id == 0 || place->duration_ns < facts->duration_ns) {
        *place = *facts;
    }
    os_mutex_unlock(&running->mutex);
}

/* Hexadecimals, as many as the list tells. */
static bool read_id(const char *text, uint64_t *ret_id)
{
    if (strlen(text) != ID_DIGITS || strspn(text, "0123456789abcdefABCDEF") != ID_DIGITS) {
        return false;
    }
    *ret_id = strtoull(text, NULL, 16);
    return true;
}

enum quarry_status api_running_cancel(struct api_running *running, const char *id,
                                      struct quarry_error *error)
{
    uint64_t wanted = 0;

    if (!read_id(id, &wanted)) {
        return error_set(error, QUARRY_BAD_INPUT, "an id has %u hexadecimal digits", ID_DIGITS);
    }
    os_mutex_lock(&running->mutex);
    struct api_running_query *query = running->newest;
    while (query != NULL && query->facts.id != wanted) {
        query = query->next;
    }
    if (query != NULL) {
        atomic_store_relaxed_bool(&query->progress.is_unwanted, true); /* a wish, without data */
    }
    os_mutex_unlock(&running->mutex);
    return query != NULL ? QUARRY_OK
                         : error_set(error, QUARRY_NOT_FOUND, "no query %s is under way", id);
}

/* ---- lists ---------------------------------------------------------------------------------- */

static size_t copy_active(struct api_running *running, struct api_query_facts *ret_facts)
{
    const uint64_t now_ns = os_monotonic_ns(os_real());
    size_t count = 0;

    os_mutex_lock(&running->mutex);
    for (const struct api_running_query *query = running->newest;
         query != NULL && count < API_RUNNING_MAX; query = query->next) {
        struct api_query_facts *facts = &ret_facts[count++];

        *facts = query->facts;
        facts->duration_ns = sat_sub_u64(now_ns, facts->begin_ns);
        facts->samples = atomic_load_relaxed_u64(&query->progress.samples); /* figures */
        facts->bytes = atomic_load_relaxed_u64(&query->progress.bytes);
    }
    os_mutex_unlock(&running->mutex);
    return count;
}

static size_t copy_slowest(struct api_running *running, struct api_query_facts *ret_facts)
{
    const uint64_t now_ns = os_monotonic_ns(os_real());
    size_t count = 0;

    os_mutex_lock(&running->mutex);
    for (size_t i = 0; i < API_SLOWEST_MAX; i++) {
        if (running->slowest[i].id != 0 && !is_old(&running->slowest[i], now_ns)) {
            ret_facts[count++] = running->slowest[i];
        }
    }
    os_mutex_unlock(&running->mutex);
    return count;
}

/* The longest first. */
static int compare(const void *a, const void *b)
{
    const struct api_query_facts *left = a, *right = b;

    return (left->duration_ns < right->duration_ns) - (left->duration_ns > right->duration_ns);
}

static void put_facts(struct http_text *text, const struct api_query_facts *facts)
{
    http_text_format(text, "{\"id\":\"%016" PRIX64 "\",\"duration\":\"%.3fs\",\"remote_addr\":",
                     facts->id, (double)facts->duration_ns / 1e9);
    api_put_words(text, facts->peer);
    http_text_say(text, ",\"user\":");
    api_put_words(text, facts->user);
    http_text_say(text, ",\"query\":");
    api_put_string(text, (struct quarry_tsdb_slice){facts->text, facts->text_bytes});
    http_text_format(text,
                     ",\"begin\":%" PRId64 ",\"start\":%" PRId64 ",\"end\":%" PRId64
                     ",\"step\":%" PRId64 ",\"samples\":%" PRIu64 ",\"memory_bytes\":%" PRIu64,
                     facts->begin_ms, facts->steps.start_ms, facts->steps.end_ms,
                     facts->steps.step_ms, facts->samples, facts->bytes);
    if (facts->outcome != NULL) {
        http_text_format(text, ",\"outcome\":\"%s\"", facts->outcome);
    }
    http_text_say(text, "}");
}

typedef size_t copy_function(struct api_running *running, struct api_query_facts *ret_facts);

static void say_list(struct http_call *call, const struct tsdb_memory *memory,
                     struct api_running *running, copy_function *copy)
{
    struct api_query_facts *list =
        tsdb_memory_take_zero(memory, API_RUNNING_MAX * sizeof(struct api_query_facts));

    if (list == NULL) {
        http_say_status(call, QUARRY_NO_MEMORY);
        return;
    }
    const size_t count = copy(running, list);
    qsort(list, count, sizeof *list, compare);
    call->content_type = "application/json";
    http_text_say(&call->body_out, "{\"status\":\"success\",\"data\":[");
    for (size_t i = 0; i < count; i++) {
        http_text_add(&call->body_out, ",", i > 0);
        put_facts(&call->body_out, &list[i]);
    }
    http_text_say(&call->body_out, "]}\n");
    tsdb_memory_give(memory, list);
}

void api_say_active_queries(struct http_call *call, const struct tsdb_memory *memory,
                            struct api_running *running)
{
    say_list(call, memory, running, copy_active);
}

void api_say_top_queries(struct http_call *call, const struct tsdb_memory *memory,
                         struct api_running *running)
{
    say_list(call, memory, running, copy_slowest);
}
