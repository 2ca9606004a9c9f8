/*
 * memcached's text protocol: `get KEY`, `set KEY 0 TTL BYTES`. Both are the commands that clients
 * send by default; the meta commands are another way to say the same.
 *
 *   VALUE key 0 100\r\n…\r\nEND\r\n     a hit          END\r\n          a miss
 *   STORED\r\n                                         SERVER_ERROR …\r\n
 */
#include <bench/cache/wire.h>

#include <string.h>

#include <base/base.h>

static char *put_get(char *at, const struct bench_item *item)
{
    at = bench_wire_put_text(at, "get ");
    at = bench_wire_put_key(at, item);
    return bench_wire_put_text(at, "\r\n");
}

static char *put_set(char *at, const struct bench_item *item)
{
    at = bench_wire_put_text(at, "set ");
    at = bench_wire_put_key(at, item);
    at = bench_wire_put_text(at, " 0 ");
    at = bench_wire_put_number(at, item->ttl_seconds);
    at = bench_wire_put_text(at, " ");
    at = bench_wire_put_number(at, bench_item_bytes(item));
    at = bench_wire_put_text(at, "\r\n");
    at = bench_wire_put_value(at, item);
    return bench_wire_put_text(at, "\r\n");
}

static bool begins(const char *bytes, size_t count, const char *text)
{
    return count >= strlen(text) && memcmp(bytes, text, strlen(text)) == 0;
}

/* The number behind the last space before `end`. */
static size_t last_number(const char *end)
{
    size_t number = 0;
    size_t scale = 1;

    for (end--; *end >= '0' && *end <= '9'; end--, scale *= 10) {
        number += (size_t)(*end - '0') * scale;
    }
    return number;
}

/* A hit, whose first line ends at `line_end`. */
static size_t take_value(const char *bytes, size_t count, const char *line_end,
                         struct bench_answer *ret_answer)
{
    static const char tail[] = "\r\nEND\r\n";
    size_t tail_bytes = sizeof tail - 1;
    size_t value_bytes = last_number(line_end - 1);
    size_t head = (size_t)(line_end - bytes) + 1;

    if (count < head + value_bytes + tail_bytes) {
        ret_answer->reply = BENCH_REPLY_MORE;
        return 0;
    }
    bool is_right = memcmp(bytes + head + value_bytes, tail, tail_bytes) == 0;
    *ret_answer = (struct bench_answer){is_right ? BENCH_REPLY_HIT : BENCH_REPLY_WRONG,
                                        bytes + head, value_bytes};
    return head + value_bytes + tail_bytes;
}

static size_t take(const char *bytes, size_t count, struct bench_answer *ret_answer)
{
    const char *line_end = memchr(bytes, '\n', count);

    *ret_answer = (struct bench_answer){.reply = BENCH_REPLY_MORE};
    if (line_end == NULL) {
        return 0;
    }
    if (begins(bytes, count, "VALUE ")) {
        return take_value(bytes, count, line_end, ret_answer);
    }
    if (begins(bytes, count, "END\r\n")) {
        ret_answer->reply = BENCH_REPLY_MISS;
    } else if (begins(bytes, count, "STORED\r\n")) {
        ret_answer->reply = BENCH_REPLY_STORED;
    } else {
        ret_answer->reply =
            begins(bytes, count, "SERVER_ERROR") ? BENCH_REPLY_REFUSED : BENCH_REPLY_WRONG;
    }
    return (size_t)(line_end - bytes) + 1;
}

const struct bench_wire bench_wire_memcached = {
    .put_get = put_get,
    .put_set = put_set,
    .take = take,
    .hello = "version\r\n",
    .hello_answer = "VERSION ",
    .stats = "stats\r\n",
    .stats_end = "END\r\n",
    .item_count_name = "STAT curr_items ",
    .eviction_count_name = "STAT evictions ",
};
