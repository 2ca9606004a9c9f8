/*
 * Statistics and administration: what is not about one item.
 *
 * Each command says which right it needs: administration the right SERVE_ADMIN, flush_all the right
 * SERVE_FLUSH; a connection that needs no login has all of them.
 *
 * Commands that steer parts of memcached which are not here — segments of its LRU, its crawler, its
 * mover of pages — are answered as memcached answers them, and remembered for `stats settings`, so
 * that scripts written for memcached go through; docs/memcached.md lists them.
 *
 * Source: behaviour of memcached 1.6.18, observed.
 */
#include <serve/memcached_dump.h>
#include <serve/memcached_request.h>
#include <serve/memcached_stats.h>
#include <serve/memcached_watch.h>

/* A line's words, and how they are answered. */
struct line {
    struct memcached_turn *turn;
    struct memcached_words words;
};

static bool word_is(const struct line *line, uint32_t index, const char *text)
{
    return index < line->words.count &&
           memcached_word_is(line->words.at[index], text, strlen(text));
}

/* Answers; not at all where the line ends in noreply. */
static enum memcached_step answer(const struct line *line, const char *text)
{
    return word_is(line, line->words.count - 1, "noreply") ? MEMCACHED_ON
                                                           : memcached_say(line->turn, text);
}

#define BAD_FORMAT "CLIENT_ERROR bad command line format"

enum memcached_step memcached_say_version(struct memcached_turn *turn)
{
    char text[128] = "VERSION ";

    strncat(text, memcached.settings.version, sizeof text - sizeof "VERSION ");
    return memcached_say(turn, text);
}

static enum memcached_step say_version(const struct line *line)
{
    return memcached_say_version(line->turn);
}

/* ---- flush_all ------------------------------------------------------------------------------ */

static enum memcached_step flush_all(const struct line *line)
{
    bool is_quiet = word_is(line, line->words.count - 1, "noreply");
    int32_t exptime = 0;

    memcached_count(&line->turn->counters->flush_requests);
    if (atomic_load_relaxed_bool(&memcached.refuses_flush) || /* relaxed: a setting */
        !memcached_may(line->turn, SERVE_FLUSH)) {
        return answer(line, "CLIENT_ERROR flush_all not allowed");
    }
    if (line->words.count != (is_quiet ? 2 : 1) &&
        !memcached_read_i32(line->words.at[1], &exptime)) {
        return answer(line, "CLIENT_ERROR invalid exptime argument");
    }
    quarry_cache_flush(line->turn->tenant, exptime > 0 ? memcached_expiry(exptime) : 0);
    return answer(line, "OK");
}

/* ---- settings ------------------------------------------------------------------------------- */

static enum memcached_step set_verbosity(const struct line *line)
{
    const struct memcached_hooks *hooks = &memcached.settings.hooks;
    uint32_t level;

    if (!memcached_read_u32(line->words.at[1], &level)) {
        return answer(line, BAD_FORMAT);
    }
    level = level > 2 ? 2 : level;
    atomic_store_relaxed_u32(&memcached.verbosity, level); /* relaxed: a setting, as all below */
    if (hooks->set_verbosity != NULL) {
        hooks->set_verbosity(hooks->argument, level);
    }
    return answer(line, "OK");
}

static enum memcached_step set_memory_limit(const struct line *line)
{
    uint32_t mib;

    if (!memcached_read_u32(line->words.at[1], &mib)) {
        return answer(line, "ERROR");
    }
    if (mib < 8) {
        return answer(line, "MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m");
    }
    if (mib > 1000000000) {
        return answer(line, "MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes");
    }
    enum quarry_status status =
        quarry_cache_set_size(memcached.settings.cache, Q_MIB((uint64_t)mib));

    return answer(line, status == QUARRY_OK
                            ? "OK"
                            : "MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust");
}

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
static enum memcached_step reassign(const struct line *line)
{
    int32_t source;
    int32_t destination;

    if (!memcached_read_i32(line->words.at[2], &source) ||
        !memcached_read_i32(line->words.at[3], &destination)) {
        return memcached_say(line->turn, BAD_FORMAT);
    }
    if (source == destination) {
        return memcached_say(line->turn, "SAME src and dst class are identical");
    }
    if (!is_class(source) || !is_class(destination)) {
        return memcached_say(line->turn, "BADCLASS invalid src or dst class id");
    }
    return memcached_say(line->turn, "NOSPARE source class has no spare pages");
}

static enum memcached_step set_automove(const struct line *line)
{
    double ratio;
    uint32_t level;

    if (word_is(line, 2, "ratio")) {
        bool is_good = line->words.count >= 4 && memcached_read_fraction(line->words.at[3], &ratio);

        return answer(line, is_good ? "OK" : "ERROR");
    }
    if (!memcached_read_u32(line->words.at[2], &level)) {
        return answer(line, BAD_FORMAT);
    }
    if (level > 2) {
        return answer(line, "ERROR");
    }
    atomic_store_relaxed_u32(&memcached.automove, level);
    return answer(line, "OK");
}

static enum memcached_step slabs(const struct line *line)
{
    if (line->words.count == 4 && word_is(line, 1, "reassign")) {
        return reassign(line);
    }
    if (line->words.count >= 3 && word_is(line, 1, "automove")) {
        return set_automove(line);
    }
    return memcached_say(line->turn, "ERROR");
}

/* ---- lru ------------------------------------------------------------------------------------ */

static enum memcached_step tune(const struct line *line)
{
    uint32_t hot;
    uint32_t warm;
    double hot_factor;
    double warm_factor;

    if (!memcached_read_u32(line->words.at[2], &hot) ||
        !memcached_read_u32(line->words.at[3], &warm) ||
        !memcached_read_fraction(line->words.at[4], &hot_factor) ||
        !memcached_read_fraction(line->words.at[5], &warm_factor)) {
        return answer(line, "ERROR");
    }
    if (hot + warm > 80) {
        return answer(line, "ERROR hot and warm pcts must not exceed 80");
    }
    if (hot_factor <= 0 || warm_factor <= 0) {
        return answer(line, "ERROR hot/warm age factors must be greater than 0");
    }
    atomic_store_relaxed_u32(&memcached.hot_percent, hot);
    atomic_store_relaxed_u32(&memcached.warm_percent, warm);
    return answer(line, "OK");
}

static enum memcached_step set_temporary_ttl(const struct line *line)
{
    int32_t ttl;

    if (!memcached_read_i32(line->words.at[2], &ttl)) {
        return answer(line, "ERROR");
    }
    atomic_store_relaxed_bool(&memcached.has_temporary_lru, ttl >= 0);
    if (ttl >= 0) {
        atomic_store_relaxed_u32(&memcached.temporary_ttl, (uint32_t)ttl);
    }
    return answer(line, "OK");
}

static enum memcached_step lru(const struct line *line)
{
    if (word_is(line, 1, "tune") && line->words.count >= 6) {
        return tune(line);
    }
    if (word_is(line, 1, "mode") && line->words.count >= 3 &&
        (word_is(line, 2, "flat") || word_is(line, 2, "segmented"))) {
        atomic_store_relaxed_bool(&memcached.is_flat_lru, word_is(line, 2, "flat"));
        return answer(line, "OK");
    }
    if (word_is(line, 1, "temp_ttl") && line->words.count >= 3) {
        return set_temporary_ttl(line);
    }
    return answer(line, "ERROR");
}

/* ---- lru_crawler ---------------------------------------------------------------------------- */

static enum memcached_step crawler_sleep(const struct line *line)
{
    uint32_t us;

    if (!memcached_read_u32(line->words.at[2], &us)) {
        return memcached_say(line->turn, BAD_FORMAT);
    }
    if (us > 1000000) {
        return memcached_say(line->turn, "CLIENT_ERROR sleep must be one second or less");
    }
    atomic_store_relaxed_u32(&memcached.crawler_sleep_us, us);
    return memcached_say(line->turn, "OK");
}

static enum memcached_step crawler_to_crawl(const struct line *line)
{
    uint32_t count;

    if (!memcached_read_u32(line->words.at[2], &count)) {
        return memcached_say(line->turn, BAD_FORMAT);
    }
    atomic_store_relaxed_u32(&memcached.crawler_to_crawl, count);
    return memcached_say(line->turn, "OK");
}

static enum memcached_step crawler_switch(const struct line *line)
{
    bool is_enable = word_is(line, 1, "enable");

    if (!is_enable && !word_is(line, 1, "disable")) {
        return memcached_say(line->turn, "ERROR");
    }
    if (is_enable && atomic_load_relaxed_bool(&memcached.has_crawler)) {
        return memcached_say(line->turn, "ERROR failed to start lru crawler thread");
    }
    atomic_store_relaxed_bool(&memcached.has_crawler, is_enable);
    return memcached_say(line->turn, "OK");
}

static enum memcached_step dump(const struct line *line, bool is_short)
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
static enum memcached_step crawl(const struct line *line)
{
    struct memcached_dumping dumping = {0};

    if (!atomic_load_relaxed_bool(&memcached.has_crawler)) {
        return memcached_say(line->turn, "CLIENT_ERROR lru crawler disabled");
    }
    return memcached_say(line->turn, memcached_dump_read_classes(line->words.at[2], &dumping)
                                         ? "OK"
                                         : "BADCLASS invalid class id");
}

static enum memcached_step lru_crawler(const struct line *line)
{
    bool may = memcached_may(line->turn, SERVE_ADMIN);

    if (line->words.count == 3 && memcached_may(line->turn, SERVE_READ)) {
        if (word_is(line, 1, "metadump") || word_is(line, 1, "mgdump")) {
            return dump(line, word_is(line, 1, "mgdump"));
        }
    }
    if (!may) {
        return memcached_say(line->turn, "CLIENT_ERROR not permitted to this user");
    }
    if (line->words.count == 3) {
        return word_is(line, 1, "crawl")     ? crawl(line)
               : word_is(line, 1, "sleep")   ? crawler_sleep(line)
               : word_is(line, 1, "tocrawl") ? crawler_to_crawl(line)
                                             : memcached_say(line->turn, "ERROR");
    }
    return line->words.count == 2 ? crawler_switch(line) : memcached_say(line->turn, "ERROR");
}

/* ---- watch ---------------------------------------------------------------------------------- */

static enum memcached_step watch(const struct line *line)
{
    static const struct {
        const char *name;
        uint32_t watched;
    } kinds[] = {
        {"fetchers", MEMCACHED_WATCHES_FETCHERS},
        {"mutations", MEMCACHED_WATCHES_MUTATIONS},
        {"evictions", MEMCACHED_WATCHES_EVICTIONS},
        {"deletions", MEMCACHED_WATCHES_DELETIONS},
        {"connevents", MEMCACHED_WATCHES_CONNECTIONS},
        {"sysevents", 0},
        {"rawcmds", 0},
    };
    uint32_t watched = line->words.count == 1 ? MEMCACHED_WATCHES_FETCHERS : 0;

    if (atomic_load_relaxed_bool(&memcached.refuses_watch)) {
        return answer(line, "CLIENT_ERROR watch commands not allowed");
    }
    for (uint32_t i = 1; i < line->words.count; i++) {
        size_t kind = 0;

        while (kind < sizeof kinds / sizeof kinds[0] && !word_is(line, i, kinds[kind].name)) {
            kind++;
        }
        if (kind == sizeof kinds / sizeof kinds[0]) {
            return answer(line, "ERROR");
        }
        watched |= kinds[kind].watched;
    }
    return memcached_watch_begin(line->turn, watched)
               ? memcached_say(line->turn, "OK")
               : memcached_say(line->turn, "WATCHER_TOO_MANY log watcher limit reached");
}

/* ---- stats ---------------------------------------------------------------------------------- */

static enum memcached_step tell_line(struct memcached_turn *turn, const char *name,
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

static enum memcached_step tell_prefix(struct memcached_turn *turn,
                                       const struct quarry_cache_prefix *prefix)
{
    static const char *const names[] = {" get ", " hit ", " set ", " del "};
    const uint64_t *counts = prefix->counts;
    const uint64_t figures[] = {counts[QUARRY_CACHE_USE_HIT] + counts[QUARRY_CACHE_USE_MISS],
                                counts[QUARRY_CACHE_USE_HIT], counts[QUARRY_CACHE_USE_SET],
                                counts[QUARRY_CACHE_USE_DELETE]};
    char line[QUARRY_CACHE_PREFIX_BYTES_MAX + 128] = "PREFIX ";
    char *out = stpcpy(line + 7, prefix->text);

    for (size_t i = 0; i < 4; i++) {
        out = memcached_write_u64(stpcpy(out, names[i]), figures[i]);
    }
    *out = '\0';
    return memcached_say(turn, line);
}

static enum memcached_step tell_prefixes(struct memcached_turn *turn)
{
    struct quarry_cache_prefix prefixes[16];
    size_t first = 0;
    size_t count;

    while ((count = quarry_cache_read_prefixes(turn->tenant, first, prefixes, 16)) > 0) {
        for (size_t i = 0; i < count; i++) {
            if (tell_prefix(turn, &prefixes[i]) != MEMCACHED_ON) {
                return MEMCACHED_CLOSE;
            }
        }
        first += count;
    }
    return memcached_say(turn, "END");
}

static enum memcached_step stats_detail(const struct line *line)
{
    bool is_on = word_is(line, 2, "on");

    if (word_is(line, 2, "dump")) {
        return tell_prefixes(line->turn);
    }
    if (!is_on && !word_is(line, 2, "off")) {
        return memcached_say(line->turn, "CLIENT_ERROR usage: stats detail on|off|dump");
    }
    if (!memcached_may(line->turn, SERVE_ADMIN)) {
        return memcached_say(line->turn, "CLIENT_ERROR not permitted to this user");
    }
    memcached_count_prefixes(is_on);
    return memcached_say(line->turn, "OK");
}

static enum memcached_step stats_cachedump(const struct line *line)
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
        return memcached_say(line->turn, BAD_FORMAT);
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

static enum memcached_step stats_hot_keys(const struct line *line)
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

static enum memcached_step stats_reset(const struct line *line)
{
    memcached_reset_stats(line->turn);
    return memcached_say(line->turn, "RESET");
}

static enum memcached_step stats(const struct line *line)
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
    if (!memcached_tell_stats(line->turn, group, tell_line, &step)) {
        return memcached_say(line->turn, "ERROR");
    }
    return step == MEMCACHED_ON ? memcached_say(line->turn, "END") : step;
}

/* ---- the server ----------------------------------------------------------------------------- */

static enum memcached_step shut_down(const struct line *line)
{
    const struct memcached_hooks *hooks = &memcached.settings.hooks;
    bool is_graceful = line->words.count == 2 && word_is(line, 1, "graceful");

    if (!atomic_load_relaxed_bool(&memcached.allows_shutdown) || hooks->shutdown == NULL) {
        return memcached_say(line->turn, "ERROR: shutdown not enabled");
    }
    if (line->words.count != 1 && !is_graceful) {
        return memcached_say(line->turn, "CLIENT_ERROR invalid shutdown mode");
    }
    hooks->shutdown(hooks->argument, is_graceful);
    return MEMCACHED_CLOSE;
}

static enum memcached_step refresh_certificates(const struct line *line)
{
    const struct memcached_hooks *hooks = &memcached.settings.hooks;
    const char *why = "Error TLS not enabled";

    if (hooks->refresh_certificates != NULL && hooks->refresh_certificates(hooks->argument, &why)) {
        return answer(line, "OK");
    }
    return memcached_say(line->turn, why);
}

/* Moves the cache's clock, for tests that do not want to wait. */
static enum memcached_step debug_time(const struct line *line)
{
    int32_t seconds;

    if (!memcached.settings.has_debug_commands) {
        return memcached_say(line->turn, "ERROR");
    }
    if (word_is(line, 1, "p") || word_is(line, 1, "r")) {
        return memcached_say(line->turn, "OK");
    }
    if (!memcached_read_i32(line->words.at[1], &seconds)) {
        return memcached_say(line->turn, "ERROR");
    }
    quarry_cache_shift_clock(memcached.settings.cache, seconds);
    return memcached_say(line->turn, "OK");
}

/* ---- which it is ---------------------------------------------------------------------------- */

enum memcached_step memcached_command(struct memcached_turn *turn,
                                      const struct memcached_request *request)
{
    static const struct {
        const char *name;
        uint32_t right;
        enum memcached_step (*execute)(const struct line *line);
    } commands[] = {
        {"version", SERVE_ALL, say_version},
        {"stats", SERVE_ALL, stats},
        {"flush_all", SERVE_ALL, flush_all},
        {"verbosity", SERVE_ADMIN, set_verbosity},
        {"cache_memlimit", SERVE_ADMIN, set_memory_limit},
        {"slabs", SERVE_ADMIN, slabs},
        {"lru", SERVE_ADMIN, lru},
        {"lru_crawler", SERVE_ALL, lru_crawler},
        {"watch", SERVE_ADMIN, watch},
        {"shutdown", SERVE_ADMIN, shut_down},
        {"refresh_certs", SERVE_ADMIN, refresh_certificates},
        {"debugtime", SERVE_ADMIN, debug_time},
    };
    struct line line = {.turn = turn};

    memcached_split(request->line, &line.words);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (word_is(&line, 0, commands[i].name)) {
            return (turn->identity->rights & commands[i].right) != 0
                       ? commands[i].execute(&line)
                       : memcached_say(turn, "CLIENT_ERROR not permitted to this user");
        }
    }
    Q_UNREACHABLE();
}
