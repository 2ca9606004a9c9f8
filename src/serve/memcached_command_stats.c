/*
 * `stats` by text: its groups, and what is no group of figures: detail, cachedump, hotkeys, reset.
 *
 * Figures come from memcached_stats.c, which the binary protocol asks too.
 *
 * Source: behaviour of memcached 1.6.18, observed.
 */
#include <serve/memcached_dump.h>
#include <serve/memcached_line.h>
#include <serve/memcached_stats.h>
#include <serve/memcached_watch.h>

/* ---- stats ---------------------------------------------------------------------------------- */

enum memcached_step memcached_tell_line(struct memcached_turn *turn, const char *name,
                                        const char *value)
{
    size_t name_bytes = strlen(name);
    size_t value_bytes = strlen(value);
    char *room = serve_out_room(turn->connection, 5 + name_bytes + 1 + value_bytes + 2);

    if (room == NULL) {
        return MEMCACHED_CLOSE;
    }
    memcpy(room, "STAT ", 5);
    memcpy(room + 5, name, name_bytes);
    room[5 + name_bytes] = ' ';
    memcpy(room + 6 + name_bytes, value, value_bytes);
    memcpy(room + 6 + name_bytes + value_bytes, "\r\n", 2);
    serve_out_advance(turn->connection, 5 + name_bytes + 1 + value_bytes + 2);
    return MEMCACHED_ON;
}

/* A prefix that nothing was done with since the counts began is not told of. */
static enum memcached_step tell_prefix(struct memcached_turn *turn,
                                       const struct quarry_cache_prefix *prefix,
                                       memcached_stat_function *tell)
{
    static const char *const names[] = {" get ", " hit ", " set ", " del "};
    const uint64_t *counts = prefix->counts;
    const uint64_t figures[] = {counts[QUARRY_CACHE_USE_HIT] + counts[QUARRY_CACHE_USE_MISS],
                                counts[QUARRY_CACHE_USE_HIT], counts[QUARRY_CACHE_USE_SET],
                                counts[QUARRY_CACHE_USE_DELETE]};
    char line[3 * QUARRY_CACHE_PREFIX_BYTES_MAX + 128] = "PREFIX ";
    size_t prefix_bytes = strlen(prefix->text);

    if ((figures[0] | figures[2] | figures[3]) == 0) {
        return MEMCACHED_ON;
    }
    /* One that cannot stand in a line as it is could pretend to be lines of others. */
    char *out = memcached_is_plain(prefix->text, prefix_bytes)
                    ? stpcpy(line + 7, prefix->text)
                    : memcached_write_uri(line + 7, prefix->text, prefix_bytes);

    for (size_t i = 0; i < 4; i++) {
        out = memcached_write_u64(stpcpy(out, names[i]), figures[i]);
    }
    *out = '\0';
    return tell == NULL ? memcached_say(turn, line) : tell(turn, "detailed", line);
}

enum memcached_step memcached_tell_prefixes(struct memcached_turn *turn,
                                            memcached_stat_function *tell)
{
    struct quarry_cache_prefix prefixes[16];
    size_t first = 0;
    size_t count;

    while ((count = quarry_cache_read_prefixes(turn->tenant, first, prefixes, 16)) > 0) {
        for (size_t i = 0; i < count; i++) {
            if (tell_prefix(turn, &prefixes[i], tell) != MEMCACHED_ON) {
                return MEMCACHED_CLOSE;
            }
        }
        first += count;
    }
    return MEMCACHED_ON;
}

static enum memcached_step stats_detail(const struct memcached_line *line)
{
    bool is_on = memcached_line_is(line, 2, "on");

    if (memcached_line_is(line, 2, "dump")) {
        return memcached_tell_prefixes(line->turn, NULL) == MEMCACHED_ON
                   ? memcached_say(line->turn, "END")
                   : MEMCACHED_CLOSE;
    }
    if (!is_on && !memcached_line_is(line, 2, "off")) {
        return memcached_say(line->turn, "CLIENT_ERROR usage: stats detail on|off|dump");
    }
    if (!memcached_may(line->turn, SERVE_ADMIN)) {
        return memcached_say(line->turn, "CLIENT_ERROR not permitted to this user");
    }
    memcached_count_prefixes(is_on);
    return memcached_say(line->turn, "OK");
}

static enum memcached_step stats_cachedump(const struct memcached_line *line)
{
    struct memcached_dumping dumping = {.form = MEMCACHED_DUMPS_CLASS};
    uint32_t class_id;
    uint32_t limit;

    if (atomic_load_relaxed_bool(&memcached.refuses_dump)) {
        return memcached_say(line->turn, "CLIENT_ERROR stats cachedump not allowed");
    }
    if (line->words.count < 4) {
        return memcached_say(line->turn, "CLIENT_ERROR bad command line");
    }
    if (!memcached_read_u32(line->words.at[2], &class_id) ||
        !memcached_read_u32(line->words.at[3], &limit)) {
        return memcached_say(line->turn, MEMCACHED_BAD_FORMAT);
    }
    if (class_id >= MEMCACHED_DUMP_CLASSES_MAX) {
        return memcached_say(line->turn, "CLIENT_ERROR Illegal slab id");
    }
    memcached_dump_add_class(&dumping, class_id);
    dumping.left = limit == 0 ? UINT32_MAX : limit;
    return memcached_dump_begin(line->turn, &dumping);
}

/* A line for each key: "HOT get_hit 1234 user%3A7". Quarry's own. */
static enum memcached_step tell_hot_key(struct memcached_turn *turn, const char *use,
                                        const struct quarry_cache_hot_key *key)
{
    char line[3 * QUARRY_CACHE_KEY_BYTES_MAX + 64] = "HOT ";
    char *out = stpcpy(stpcpy(line + 4, use), " ");

    out = memcached_write_u64(out, key->count);
    *out++ = ' ';
    *memcached_write_uri(out, key->key, key->key_bytes) = '\0';
    return memcached_say(turn, line);
}

static enum memcached_step stats_hot_keys(const struct memcached_line *line)
{
    static const char *const names[] = {"get_hit", "get_miss", "change"};
    struct quarry_cache_hot_key keys[QUARRY_CACHE_HOT_KEYS_MAX];

    for (uint32_t use = 0; use < sizeof names / sizeof names[0]; use++) {
        size_t count =
            quarry_cache_read_hot_keys(line->turn->tenant, (enum quarry_cache_use)use, keys);

        for (size_t i = 0; i < count; i++) {
            if (tell_hot_key(line->turn, names[use], &keys[i]) != MEMCACHED_ON) {
                return MEMCACHED_CLOSE;
            }
        }
    }
    return memcached_say(line->turn, "END");
}

static enum memcached_step stats_reset(const struct memcached_line *line)
{
    memcached_reset_stats(line->turn);
    return memcached_say(line->turn, "RESET");
}

enum memcached_step memcached_line_stats(const struct memcached_line *line)
{
    struct memcached_word group =
        line->words.count > 1 ? line->words.at[1] : (struct memcached_word){"", 0};
    enum memcached_step step;

    if (!memcached_may(line->turn, SERVE_READ) && !memcached_may(line->turn, SERVE_ADMIN)) {
        return memcached_say(line->turn, "CLIENT_ERROR not permitted to this user");
    }
    if (MEMCACHED_WORD_IS(group, "detail")) {
        return stats_detail(line);
    }
    if (MEMCACHED_WORD_IS(group, "cachedump")) {
        return stats_cachedump(line);
    }
    if (MEMCACHED_WORD_IS(group, "hotkeys")) {
        return stats_hot_keys(line);
    }
    if (MEMCACHED_WORD_IS(group, "reset")) {
        return stats_reset(line);
    }
    if (MEMCACHED_WORD_IS(group, "sizes_enable") || MEMCACHED_WORD_IS(group, "sizes_disable")) {
        return memcached_say(line->turn, "STAT sizes_status disabled");
    }
    if (!memcached_tell_stats(line->turn, group, memcached_tell_line, &step)) {
        return memcached_say(line->turn, "ERROR");
    }
    return step == MEMCACHED_ON && line->turn->state->phase == MEMCACHED_REQUEST
               ? memcached_say(line->turn, "END")
               : step;
}
