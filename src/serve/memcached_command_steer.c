/*
 * Commands that steer parts of memcached which are not here — segments of its LRU, its crawler, its
 * mover of pages.
 *
 * They are answered as memcached answers them, and remembered for `stats settings`, so that scripts
 * written for memcached go through; docs/memcached.md lists them. Of lru_crawler, dumps do what
 * they do in memcached.
 *
 * Source: behaviour of memcached 1.6.18, observed.
 */
#include <serve/memcached_dump.h>
#include <serve/memcached_line.h>

/* ---- slabs ---------------------------------------------------------------------------------- */

/* More than a slab has. */
#define CLASSES_MAX 512u

/* Whether there are cells of such a class. -1 is any. */
static bool is_class(int32_t class_id)
{
    struct quarry_cache_class_stats classes[CLASSES_MAX];
    size_t count = size_min(
        quarry_cache_read_classes(memcached.settings.cache, classes, CLASSES_MAX), CLASSES_MAX);

    for (size_t i = 0; i < count; i++) {
        if ((int64_t)classes[i].class_id == class_id) {
            return true;
        }
    }
    return class_id == -1;
}

/* Pages go where they are worth most, without being told: none is ever spare. */
static enum memcached_step reassign(const struct memcached_line *line)
{
    int32_t source;
    int32_t destination;

    if (!memcached_read_i32(line->words.at[2], &source) ||
        !memcached_read_i32(line->words.at[3], &destination)) {
        return memcached_say(line->turn, MEMCACHED_BAD_FORMAT);
    }
    if (source == destination) {
        return memcached_say(line->turn, "SAME src and dst class are identical");
    }
    if (!is_class(source) || !is_class(destination)) {
        return memcached_say(line->turn, "BADCLASS invalid src or dst class id");
    }
    return memcached_say(line->turn, "NOSPARE source class has no spare pages");
}

static enum memcached_step set_automove(const struct memcached_line *line)
{
    double ratio;
    uint32_t level;

    if (memcached_line_is(line, 2, "ratio")) {
        bool is_good = line->words.count >= 4 && memcached_read_fraction(line->words.at[3], &ratio);

        return memcached_line_answer(line, is_good ? "OK" : "ERROR");
    }
    if (!memcached_read_u32(line->words.at[2], &level)) {
        return memcached_line_answer(line, MEMCACHED_BAD_FORMAT);
    }
    if (level > 2) {
        return memcached_line_answer(line, "ERROR");
    }
    atomic_store_relaxed_u32(&memcached.automove, level);
    return memcached_line_answer(line, "OK");
}

enum memcached_step memcached_line_slabs(const struct memcached_line *line)
{
    if (line->words.count == 4 && memcached_line_is(line, 1, "reassign")) {
        return reassign(line);
    }
    if (line->words.count >= 3 && memcached_line_is(line, 1, "automove")) {
        return set_automove(line);
    }
    return memcached_say(line->turn, "ERROR");
}

/* ---- lru ------------------------------------------------------------------------------------ */

static enum memcached_step tune(const struct memcached_line *line)
{
    uint32_t hot;
    uint32_t warm;
    double hot_factor;
    double warm_factor;

    if (!memcached_read_u32(line->words.at[2], &hot) ||
        !memcached_read_u32(line->words.at[3], &warm) ||
        !memcached_read_fraction(line->words.at[4], &hot_factor) ||
        !memcached_read_fraction(line->words.at[5], &warm_factor)) {
        return memcached_line_answer(line, "ERROR");
    }
    if (hot + warm > 80) {
        return memcached_line_answer(line, "ERROR hot and warm pcts must not exceed 80");
    }
    if (hot_factor <= 0 || warm_factor <= 0) {
        return memcached_line_answer(line, "ERROR hot/warm age factors must be greater than 0");
    }
    atomic_store_relaxed_u32(&memcached.hot_percent, hot);
    atomic_store_relaxed_u32(&memcached.warm_percent, warm);
    return memcached_line_answer(line, "OK");
}

static enum memcached_step set_temporary_ttl(const struct memcached_line *line)
{
    int32_t ttl;

    if (!memcached_read_i32(line->words.at[2], &ttl)) {
        return memcached_line_answer(line, "ERROR");
    }
    atomic_store_relaxed_bool(&memcached.has_temporary_lru, ttl >= 0);
    if (ttl >= 0) {
        atomic_store_relaxed_u32(&memcached.temporary_ttl, (uint32_t)ttl);
    }
    return memcached_line_answer(line, "OK");
}

enum memcached_step memcached_line_lru(const struct memcached_line *line)
{
    if (memcached_line_is(line, 1, "tune") && line->words.count >= 6) {
        return tune(line);
    }
    if (memcached_line_is(line, 1, "mode") && line->words.count >= 3 &&
        (memcached_line_is(line, 2, "flat") || memcached_line_is(line, 2, "segmented"))) {
        atomic_store_relaxed_bool(&memcached.is_flat_lru, memcached_line_is(line, 2, "flat"));
        return memcached_line_answer(line, "OK");
    }
    if (memcached_line_is(line, 1, "temp_ttl") && line->words.count >= 3) {
        return set_temporary_ttl(line);
    }
    return memcached_line_answer(line, "ERROR");
}

/* ---- lru_crawler ---------------------------------------------------------------------------- */

static enum memcached_step crawler_sleep(const struct memcached_line *line)
{
    uint32_t us;

    if (!memcached_read_u32(line->words.at[2], &us)) {
        return memcached_say(line->turn, MEMCACHED_BAD_FORMAT);
    }
    if (us > 1000000) {
        return memcached_say(line->turn, "CLIENT_ERROR sleep must be one second or less");
    }
    atomic_store_relaxed_u32(&memcached.crawler_sleep_us, us);
    return memcached_say(line->turn, "OK");
}

static enum memcached_step crawler_to_crawl(const struct memcached_line *line)
{
    uint32_t count;

    if (!memcached_read_u32(line->words.at[2], &count)) {
        return memcached_say(line->turn, MEMCACHED_BAD_FORMAT);
    }
    atomic_store_relaxed_u32(&memcached.crawler_to_crawl, count);
    return memcached_say(line->turn, "OK");
}

static enum memcached_step crawler_switch(const struct memcached_line *line)
{
    bool is_enable = memcached_line_is(line, 1, "enable");

    if (!is_enable && !memcached_line_is(line, 1, "disable")) {
        return memcached_say(line->turn, "ERROR");
    }
    if (is_enable && atomic_load_relaxed_bool(&memcached.has_crawler)) {
        return memcached_say(line->turn, "ERROR failed to start lru crawler thread");
    }
    atomic_store_relaxed_bool(&memcached.has_crawler, is_enable);
    return memcached_say(line->turn, "OK");
}

static enum memcached_step dump(const struct memcached_line *line, bool is_short)
{
    struct memcached_dumping dumping = {.form = is_short ? MEMCACHED_DUMPS_KEYS
                                                         : MEMCACHED_DUMPS_ITEMS};

    if (!atomic_load_relaxed_bool(&memcached.has_crawler)) {
        return memcached_say(line->turn, "CLIENT_ERROR lru crawler disabled");
    }
    if (atomic_load_relaxed_bool(&memcached.refuses_dump)) {
        return memcached_say(line->turn,
                             is_short ? "ERROR mgdump not allowed" : "ERROR metadump not allowed");
    }
    if (!memcached_dump_read_classes(line->words.at[2], &dumping)) {
        return memcached_say(line->turn, "BADCLASS invalid class id");
    }
    return memcached_dump_begin(line->turn, &dumping);
}

/* What has expired is found without being told to look for it. */
static enum memcached_step crawl(const struct memcached_line *line)
{
    struct memcached_dumping dumping = {0};

    if (!atomic_load_relaxed_bool(&memcached.has_crawler)) {
        return memcached_say(line->turn, "CLIENT_ERROR lru crawler disabled");
    }
    return memcached_say(line->turn, memcached_dump_read_classes(line->words.at[2], &dumping)
                                         ? "OK"
                                         : "BADCLASS invalid class id");
}

enum memcached_step memcached_line_lru_crawler(const struct memcached_line *line)
{
    bool may = memcached_may(line->turn, SERVE_ADMIN);

    if (line->words.count == 3 && memcached_may(line->turn, SERVE_READ)) {
        if (memcached_line_is(line, 1, "metadump") || memcached_line_is(line, 1, "mgdump")) {
            return dump(line, memcached_line_is(line, 1, "mgdump"));
        }
    }
    if (!may) {
        return memcached_say(line->turn, "CLIENT_ERROR not permitted to this user");
    }
    if (line->words.count == 3) {
        return memcached_line_is(line, 1, "crawl")     ? crawl(line)
               : memcached_line_is(line, 1, "sleep")   ? crawler_sleep(line)
               : memcached_line_is(line, 1, "tocrawl") ? crawler_to_crawl(line)
                                                       : memcached_say(line->turn, "ERROR");
    }
    return line->words.count == 2 ? crawler_switch(line) : memcached_say(line->turn, "ERROR");
}
