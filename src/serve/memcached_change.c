/*
 * Commands that change an item without bringing a value: delete, touch, incr, decr.
 */
#include <serve/memcached_request.h>

static enum memcached_step answer(struct memcached_turn *turn,
                                  const struct memcached_request *request, const char *text)
{
    return request->is_quiet ? MEMCACHED_ON : memcached_say(turn, text);
}

enum memcached_step memcached_delete(struct memcached_turn *turn,
                                     const struct memcached_request *request)
{
    bool was_there = quarry_cache_delete(turn->tenant, &request->key, NULL) == QUARRY_CACHE_HIT;

    memcached_note(turn, MEMCACHED_EVENT_DELETE, &request->key, was_there ? "deleted" : "not_found",
                   0, NULL);
    return answer(turn, request, was_there ? "DELETED" : "NOT_FOUND");
}

enum memcached_step memcached_touch(struct memcached_turn *turn,
                                    const struct memcached_request *request)
{
    memcached_count(&turn->counters->touch_requests);
    memcached_step_out(turn);
    enum quarry_cache_outcome outcome =
        quarry_cache_touch(turn->tenant, &request->key, request->expiry);
    memcached_step_in(turn);
    switch (outcome) {
    case QUARRY_CACHE_HIT:
        return answer(turn, request, "TOUCHED");
    case QUARRY_CACHE_NO_MEMORY:
        return answer(turn, request, "SERVER_ERROR out of memory");
    case QUARRY_CACHE_MISS:
    case QUARRY_CACHE_NOT_STORED:
    case QUARRY_CACHE_EXISTS:
    case QUARRY_CACHE_NOT_NUMBER:
    case QUARRY_CACHE_TOO_LARGE:
        break;
    }
    return answer(turn, request, "NOT_FOUND");
}

static enum memcached_step say_number(struct memcached_turn *turn, uint64_t number)
{
    char text[MEMCACHED_NUMBER_BYTES + 2];
    char *end = memcached_write_u64(text, number);

    memcpy(end, "\r\n", 2);
    return memcached_say_bytes(turn, text, (size_t)(end + 2 - text));
}

enum memcached_step memcached_arithmetic(struct memcached_turn *turn,
                                         const struct memcached_request *request)
{
    const struct quarry_cache_count_options options = {.delta = request->number,
                                                       .decrements = request->decrements};
    struct quarry_cache_counted counted;

    memcached_step_out(turn);
    enum quarry_cache_outcome outcome =
        quarry_cache_count(turn->tenant, &request->key, &options, &counted);
    memcached_step_in(turn);
    switch (outcome) {
    case QUARRY_CACHE_HIT:
        return request->is_quiet ? MEMCACHED_ON : say_number(turn, counted.number);
    case QUARRY_CACHE_NOT_NUMBER:
        return answer(turn, request,
                      "CLIENT_ERROR cannot increment or decrement non-numeric value");
    case QUARRY_CACHE_NO_MEMORY:
        return answer(turn, request, "SERVER_ERROR out of memory");
    case QUARRY_CACHE_MISS:
    case QUARRY_CACHE_NOT_STORED:
    case QUARRY_CACHE_EXISTS:
    case QUARRY_CACHE_TOO_LARGE:
        break;
    }
    return answer(turn, request, "NOT_FOUND");
}
