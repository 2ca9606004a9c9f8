/*
 * RESP, of Redis: arrays of counted strings.
 *
 *   *2\r\n$3\r\nGET\r\n$16\r\nkey\r\n      $100\r\n…\r\n  a hit      $-1\r\n  a miss
 *   *3\r\n$3\r\nSET\r\n…                   +OK\r\n                   -OOM …\r\n
 *   *2\r\n$4\r\nINCR\r\n…                  :7\r\n
 *
 * The answer to INFO is one such string.
 */
#include <bench/cache/wire.h>

#include <string.h>

#include <base/base.h>

static char *put_length(char *at, size_t bytes)
{
    at = bench_wire_put_text(at, "$");
    at = bench_wire_put_number(at, bytes);
    return bench_wire_put_text(at, "\r\n");
}

static char *put_key(char *at, const struct bench_item *item)
{
    at = put_length(at, item->key_bytes);
    at = bench_wire_put_key(at, item);
    return bench_wire_put_text(at, "\r\n");
}

static char *put_get(char *at, const struct bench_item *item)
{
    at = bench_wire_put_text(at, "*2\r\n$3\r\nGET\r\n");
    return put_key(at, item);
}

static char *put_value(char *at, const struct bench_item *item)
{
    at = put_length(at, bench_item_bytes(item));
    at = bench_wire_put_value(at, item);
    return bench_wire_put_text(at, "\r\n");
}

static char *put_ttl(char *at, const struct bench_item *item)
{
    char digits[20];

    at = bench_wire_put_text(at, "$2\r\nEX\r\n");
    at = put_length(at, (size_t)(bench_wire_put_number(digits, item->ttl_seconds) - digits));
    at = bench_wire_put_number(at, item->ttl_seconds);
    return bench_wire_put_text(at, "\r\n");
}

static char *put_set(char *at, const struct bench_item *item)
{
    at = bench_wire_put_text(at, item->ttl_seconds == 0 ? "*3" : "*5");
    at = bench_wire_put_text(at, "\r\n$3\r\nSET\r\n");
    at = put_key(at, item);
    at = put_value(at, item);
    return item->ttl_seconds == 0 ? at : put_ttl(at, item);
}

static char *put_incr(char *at, const struct bench_item *item)
{
    at = bench_wire_put_text(at, "*2\r\n$4\r\nINCR\r\n");
    return put_key(at, item);
}

static char *put_mset(char *at, const struct bench_item *item, uint32_t count)
{
    at = bench_wire_put_text(at, "*");
    at = bench_wire_put_number(at, 1 + 2 * (uint64_t)count);
    at = bench_wire_put_text(at, "\r\n$4\r\nMSET\r\n");
    for (uint32_t i = 0; i < count; i++) {
        at = put_key(at, &item[i]);
        at = put_value(at, &item[i]);
    }
    return at;
}

static size_t number_at(const char *at)
{
    size_t number = 0;

    for (; *at >= '0' && *at <= '9'; at++) {
        number = number * 10 + (size_t)(*at - '0');
    }
    return number;
}

/* A counted string, whose length ends at `line_end`. */
static size_t take_string(const char *bytes, size_t count, const char *line_end,
                          struct bench_answer *ret_answer)
{
    size_t head = (size_t)(line_end - bytes) + 1;
    size_t value_bytes = number_at(bytes + 1);

    if (bytes[1] == '-') {
        ret_answer->reply = BENCH_REPLY_MISS;
        return head;
    }
    if (count < head + value_bytes + 2) {
        return 0;
    }
    *ret_answer = (struct bench_answer){BENCH_REPLY_HIT, bytes + head, value_bytes};
    return head + value_bytes + 2;
}

static size_t take(const char *bytes, size_t count, struct bench_answer *ret_answer)
{
    const char *line_end = memchr(bytes, '\n', count);

    *ret_answer = (struct bench_answer){.reply = BENCH_REPLY_MORE};
    if (line_end == NULL) {
        return 0;
    }
    switch (bytes[0]) {
    case '$':
        return take_string(bytes, count, line_end, ret_answer);
    case '+':
        ret_answer->reply = BENCH_REPLY_STORED;
        break;
    case ':':
        ret_answer->reply = BENCH_REPLY_NUMBER;
        break;
    case '-':
        ret_answer->reply = BENCH_REPLY_REFUSED;
        break;
    default:
        ret_answer->reply = BENCH_REPLY_WRONG;
        break;
    }
    return (size_t)(line_end - bytes) + 1;
}

const struct bench_wire bench_wire_redis = {
    .put_get = put_get,
    .put_set = put_set,
    .put_incr = put_incr,
    .put_mset = put_mset,
    .take = take,
    .hello = "PING\r\n",
    .hello_answer = "+PONG",
    .stats = "INFO\r\n",
    .stats_end = NULL,
    .item_count_name = "db0:keys=",
    .eviction_count_name = "evicted_keys:",
};
