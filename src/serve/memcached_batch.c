/*
 * Requests of the text protocol: the way of most of them, from the buffer to the answer.
 *
 *     buffer  get a\r\nget b\r\nset c 0 0 3\r\nxyz\r\nget d\r\nstats\r\nget e…
 *              └ read ahead, up to 16, to the first that is not simple ┘
 *     1. find each line's end, read the line, hash the key, prefetch the key's bucket
 *     2. prefetch the item that the bucket leads to
 *     3. execute in order; each writes its answer
 *
 * So the misses of the processor's caches for 16 requests are under way together, where one at a
 * time each would wait for three. A request that is alone pays for it with some instructions.
 *
 * Invariants:
 *  1. A batch is consumed request by request: when the answers become too many, those not yet
 *     executed are read again in the next turn.
 *  2. Only the last request of a batch may leave another phase behind, or need what is not simple.
 *  3. Replies do not depend on where the bytes were split: a line is looked at when its end has
 *     come, or MEMCACHED_LINE_BYTES_MAX bytes of it.
 *
 * Locking: none. Cost: no allocation, no lock, no system call.
 *
 * Rejected: executing while reading, with the next request's key prefetched; a request is executed
 * in less time than its three misses take, so that one ahead hides a third of them.
 *
 * Source: MICA and CPHash batch likewise.
 */
#include <serve/memcached_request.h>

/* Goes on behind a request that is answered: behind its value, or the end of a line that is long.
 */
static enum memcached_step pass_over(struct memcached_turn *turn,
                                     const struct memcached_request *request, uint64_t byte_count)
{
    if (request->line_bytes == 0) {
        turn->state->phase = MEMCACHED_SWALLOW_LINE;
        return MEMCACHED_ON;
    }
    return memcached_swallow(turn, byte_count);
}

/* One request of a batch, executed. The cursor stands behind its line. */
static enum memcached_step execute(struct memcached_turn *turn,
                                   const struct memcached_request *request)
{
    switch ((enum memcached_kind)request->kind) {
    case MEMCACHED_GET:
        return memcached_get_one(turn, request);
    case MEMCACHED_GETS_KEYS:
        return memcached_get_keys(turn, request);
    case MEMCACHED_STORE:
    case MEMCACHED_META_STORE:
        return memcached_store(turn, request);
    case MEMCACHED_DELETE:
        return memcached_delete(turn, request);
    case MEMCACHED_TOUCH:
        return memcached_touch(turn, request);
    case MEMCACHED_COUNT:
        return memcached_arithmetic(turn, request);
    case MEMCACHED_META_GET:
        return memcached_meta_get(turn, request);
    case MEMCACHED_META_DELETE:
        return memcached_meta_delete(turn, request);
    case MEMCACHED_META_COUNT:
        return memcached_meta_count(turn, request);
    case MEMCACHED_META_DEBUG:
        return memcached_meta_debug(turn, request);
    case MEMCACHED_OTHER:
        memcached_tell_hits(turn);
        return memcached_command(turn, request);
    case MEMCACHED_CLOSES:
        return MEMCACHED_CLOSE;
    case MEMCACHED_SAYS:
        break;
    }
    if (memcached_say_bytes(turn, request->say.text, request->say.length) != MEMCACHED_ON) {
        return MEMCACHED_CLOSE;
    }
    return pass_over(turn, request, request->swallow_bytes);
}

/* What a request needs to be let through. */
static enum serve_right right_of(const struct memcached_request *request)
{
    switch ((enum memcached_kind)request->kind) {
    case MEMCACHED_GET:
        return request->touches ? SERVE_WRITE : SERVE_READ;
    case MEMCACHED_GETS_KEYS:
        return request->touches ? SERVE_WRITE : SERVE_READ;
    case MEMCACHED_META_GET:
        return memcached_meta_has(&request->meta, 'N') || memcached_meta_has(&request->meta, 'T')
                   ? SERVE_WRITE
                   : SERVE_READ;
    case MEMCACHED_META_DEBUG:
        return SERVE_READ;
    case MEMCACHED_STORE:
    case MEMCACHED_META_STORE:
    case MEMCACHED_DELETE:
    case MEMCACHED_TOUCH:
    case MEMCACHED_COUNT:
    case MEMCACHED_META_DELETE:
    case MEMCACHED_META_COUNT:
        return SERVE_WRITE;
    case MEMCACHED_OTHER: /* each command looks itself */
    case MEMCACHED_CLOSES:
    case MEMCACHED_SAYS:
        break;
    }
    return SERVE_ALL;
}

/* Refuses a request, and what follows its line. */
static enum memcached_step refuse(struct memcached_turn *turn,
                                  const struct memcached_request *request, const char *why)
{
    bool has_value = request->kind == MEMCACHED_STORE || request->kind == MEMCACHED_META_STORE;

    if (memcached_say(turn, why) != MEMCACHED_ON) {
        return MEMCACHED_CLOSE;
    }
    return pass_over(turn, request, has_value ? request->value_bytes + 2 : 0);
}

/* ---- reading ahead -------------------------------------------------------------------------- */

/* Whether a line so long, whose end has not come, may be one all the same: a get of many keys. */
static bool may_be_long(struct memcached_word start)
{
    static const char *const names[] = {"get ", "gets ", "gat ", "gats "};
    size_t spaces = 0;

    while (spaces < start.length && start.text[spaces] == ' ') {
        spaces++;
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        size_t length = strlen(names[i]);

        if (start.length - spaces >= length && memcmp(start.text + spaces, names[i], length) == 0) {
            return spaces <= 100;
        }
    }
    return false;
}

/* Takes the line at `at`. Returns: ON with request->line written; MORE; CLOSE: it is too long. */
static enum memcached_step take_line(struct memcached_turn *turn, const char *at,
                                     struct memcached_request *request)
{
    size_t left = (size_t)(turn->end - at);
    size_t scanned = at == turn->at ? turn->state->scanned_bytes : 0;
    size_t looked = size_min(left, MEMCACHED_LINE_BYTES_MAX);

    Q_DCHECK(scanned <= looked);
    const char *newline = memchr(at + scanned, '\n', looked - scanned);

    if (newline != NULL) {
        size_t length = (size_t)(newline - at);

        request->line_bytes = (uint32_t)length + 1;
        request->line =
            (struct memcached_word){at, length > 1 && newline[-1] == '\r' ? length - 1 : length};
        return MEMCACHED_ON;
    }
    if (looked < MEMCACHED_LINE_BYTES_MAX) {
        if (at == turn->at) {
            turn->state->scanned_bytes = (uint32_t)looked;
        }
        return MEMCACHED_MORE;
    }
    request->line = (struct memcached_word){at, looked};
    request->line_bytes = 0;
    return may_be_long(request->line) ? MEMCACHED_ON : MEMCACHED_CLOSE;
}

/* Whether the next request can be read before this one has been executed. */
static bool is_simple(const struct memcached_turn *turn, const struct memcached_request *request,
                      const char *behind)
{
    switch ((enum memcached_kind)request->kind) {
    case MEMCACHED_GET:
    case MEMCACHED_DELETE:
    case MEMCACHED_TOUCH:
    case MEMCACHED_COUNT:
    case MEMCACHED_META_GET:
    case MEMCACHED_META_DELETE:
    case MEMCACHED_META_COUNT:
    case MEMCACHED_META_DEBUG:
        return true;
    case MEMCACHED_SAYS:
        return request->swallow_bytes == 0 && request->line_bytes != 0;
    case MEMCACHED_STORE:
    case MEMCACHED_META_STORE:
        return (uint64_t)(turn->end - behind) >= request->value_bytes + 2;
    case MEMCACHED_GETS_KEYS:
    case MEMCACHED_OTHER:
    case MEMCACHED_CLOSES:
        break;
    }
    return false;
}

/* A batch, and how its reading ended. */
struct batch {
    struct memcached_request requests[MEMCACHED_BATCH];
    uint32_t count;
    enum memcached_step step; /* ON: there may be more */
};

static void read_ahead(struct memcached_turn *turn, struct batch *batch)
{
    const char *at = turn->at;

    batch->count = 0;
    batch->step = MEMCACHED_ON;
    while (batch->count < MEMCACHED_BATCH) {
        struct memcached_request *request = &batch->requests[batch->count];

        batch->step = take_line(turn, at, request);
        if (batch->step != MEMCACHED_ON) {
            return;
        }
        memcached_text_read(turn, request);
        batch->count++;
        if (memcached_request_has_key(request)) {
            quarry_cache_prefetch(turn->tenant, &request->key);
        }
        at += request->line_bytes;
        if (!is_simple(turn, request, at)) {
            return;
        }
        if (request->kind == MEMCACHED_STORE || request->kind == MEMCACHED_META_STORE) {
            at += request->value_bytes + 2;
        }
    }
}

/* Fetches what the batch is about to touch; alone, a request would gain nothing by it. */
static void prefetch_items(const struct memcached_turn *turn, const struct batch *batch)
{
    for (uint32_t i = 0; batch->count > 1 && i < batch->count; i++) {
        if (memcached_request_has_key(&batch->requests[i])) {
            quarry_cache_prefetch_item(turn->tenant, &batch->requests[i].key);
        }
    }
}

static enum memcached_step execute_all(struct memcached_turn *turn, const struct batch *batch)
{
    uint32_t sample = memcached_next_sample(turn, batch->count);
    uint8_t notes = turn->notes;

    for (uint32_t i = 0; i < batch->count; i++) {
        const struct memcached_request *request = &batch->requests[i];

        if (memcached_is_full(turn)) {
            return MEMCACHED_YIELD;
        }
        turn->at += request->line_bytes;
        turn->notes = i == sample ? notes | MEMCACHED_NOTES_SAMPLE : notes;
        enum memcached_step step =
            Q_LIKELY(memcached_may(turn, right_of(request)))
                ? execute(turn, request)
                : refuse(turn, request, "CLIENT_ERROR not permitted to this user");

        turn->notes = notes;
        turn->state->scanned_bytes = 0;
        if (step != MEMCACHED_ON || turn->state->phase != MEMCACHED_REQUEST) {
            return step;
        }
    }
    return batch->step;
}

/* Whether the identity's limit lets a batch through; if not, each of it is answered so. */
static bool is_admitted(const struct memcached_turn *turn, uint32_t request_count)
{
    const struct memcached_hooks *hooks = &memcached.settings.hooks;

    return hooks->admit == NULL || hooks->admit(hooks->argument, turn->identity, request_count);
}

static enum memcached_step refuse_all(struct memcached_turn *turn, const struct batch *batch)
{
    for (uint32_t i = 0; i < batch->count; i++) {
        const struct memcached_request *request = &batch->requests[i];

        if (memcached_is_full(turn)) {
            return MEMCACHED_YIELD;
        }
        turn->at += request->line_bytes;
        turn->state->scanned_bytes = 0;
        memcached_count(&turn->counters->refused_by_limit);
        enum memcached_step step = refuse(turn, request, "SERVER_ERROR too many requests");

        if (step != MEMCACHED_ON || turn->state->phase != MEMCACHED_REQUEST) {
            return step;
        }
    }
    return batch->step;
}

enum memcached_step memcached_text_phase(struct memcached_turn *turn)
{
    struct batch batch;

    read_ahead(turn, &batch);
    if (batch.count == 0) {
        return batch.step;
    }
    turn->state->turn_requests += batch.count;
    atomic_bump_relaxed_u64(&turn->counters->requests, batch.count); /* relaxed: a figure */
    if (Q_UNLIKELY(!is_admitted(turn, batch.count))) {
        return refuse_all(turn, &batch);
    }
    prefetch_items(turn, &batch);
    return execute_all(turn, &batch);
}
