/*
 * Statistics and administration: what is not about one item.
 *
 * Each command says which right it needs: administration the right SERVE_ADMIN, flush_all the right
 * SERVE_FLUSH; a connection that needs no login has all of them.
 *
 *     memcached_command.c         which command it is; flush_all, watch, what is set and ended
 *     memcached_command_steer.c   slabs, lru, lru_crawler
 *     memcached_command_stats.c   stats
 *
 * Source: behaviour of memcached 1.6.18, observed.
 */
#include <serve/memcached_line.h>
#include <serve/memcached_request.h>
#include <serve/memcached_watch.h>

enum memcached_step memcached_say_version(struct memcached_turn *turn)
{
    char text[128] = "VERSION ";

    strncat(text, memcached.settings.version, sizeof text - sizeof "VERSION ");
    return memcached_say(turn, text);
}

static enum memcached_step say_version(const struct memcached_line *line)
{
    return memcached_say_version(line->turn);
}

/* ---- flush_all ------------------------------------------------------------------------------ */

static enum memcached_step flush_all(const struct memcached_line *line)
{
    bool is_quiet = memcached_line_is(line, line->words.count - 1, "noreply");
    int32_t exptime = 0;

    memcached_count(&line->turn->counters->flush_requests);
    if (atomic_load_relaxed_bool(&memcached.refuses_flush) || /* relaxed: a setting */
        !memcached_may(line->turn, SERVE_FLUSH)) {
        return memcached_line_answer(line, "CLIENT_ERROR flush_all not allowed");
    }
    if (line->words.count != (is_quiet ? 2 : 1) &&
        !memcached_read_i32(line->words.at[1], &exptime)) {
        return memcached_line_answer(line, "CLIENT_ERROR invalid exptime argument");
    }
    quarry_cache_flush(line->turn->tenant, exptime > 0 ? memcached_expiry(exptime) : 0);
    return memcached_line_answer(line, "OK");
}

/* ---- settings ------------------------------------------------------------------------------- */

static enum memcached_step set_verbosity(const struct memcached_line *line)
{
    const struct memcached_hooks *hooks = &memcached.settings.hooks;
    uint32_t level;

    if (!memcached_read_u32(line->words.at[1], &level)) {
        return memcached_line_answer(line, MEMCACHED_BAD_FORMAT);
    }
    level = level > 2 ? 2 : level;
    atomic_store_relaxed_u32(&memcached.verbosity, level); /* relaxed: a setting, as all below */
    if (hooks->set_verbosity != NULL) {
        hooks->set_verbosity(hooks->argument, level);
    }
    return memcached_line_answer(line, "OK");
}

static enum memcached_step set_memory_limit(const struct memcached_line *line)
{
    uint64_t mib;

    if (!memcached_read_u64(line->words.at[1], &mib)) {
        return memcached_line_answer(line, "ERROR");
    }
    if (mib < 8) {
        return memcached_line_answer(line,
                                     "MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m");
    }
    if (mib > 1000000000) {
        return memcached_line_answer(line,
                                     "MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes");
    }
    enum quarry_status status = quarry_cache_set_size(memcached.settings.cache, Q_MIB(mib));

    return memcached_line_answer(
        line,
        status == QUARRY_OK ? "OK" : "MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust");
}

/* ---- watch ---------------------------------------------------------------------------------- */

static enum memcached_step watch(const struct memcached_line *line)
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
        return memcached_line_answer(line, "CLIENT_ERROR watch commands not allowed");
    }
    for (uint32_t i = 1; i < line->words.count; i++) {
        size_t kind = 0;

        while (kind < sizeof kinds / sizeof kinds[0] &&
               !memcached_line_is(line, i, kinds[kind].name)) {
            kind++;
        }
        if (kind == sizeof kinds / sizeof kinds[0]) {
            return memcached_line_answer(line, "ERROR");
        }
        watched |= kinds[kind].watched;
    }
    return memcached_watch_begin(line->turn, watched)
               ? memcached_say(line->turn, "OK")
               : memcached_say(line->turn, "WATCHER_TOO_MANY log watcher limit reached");
}

/* ---- the server ----------------------------------------------------------------------------- */

static enum memcached_step shut_down(const struct memcached_line *line)
{
    const struct memcached_hooks *hooks = &memcached.settings.hooks;
    bool is_graceful = line->words.count == 2 && memcached_line_is(line, 1, "graceful");

    if (!atomic_load_relaxed_bool(&memcached.allows_shutdown) || hooks->shutdown == NULL) {
        return memcached_say(line->turn, "ERROR: shutdown not enabled");
    }
    if (line->words.count != 1 && !is_graceful) {
        return memcached_say(line->turn, "CLIENT_ERROR invalid shutdown mode");
    }
    hooks->shutdown(hooks->argument, is_graceful);
    return MEMCACHED_CLOSE;
}

static enum memcached_step refresh_certificates(const struct memcached_line *line)
{
    const struct memcached_hooks *hooks = &memcached.settings.hooks;
    struct memcached_state *state = line->turn->state;

    if (hooks->ask_certificates == NULL ||
        !hooks->ask_certificates(hooks->argument, line->turn->connection)) {
        return memcached_say(line->turn, "Error TLS not enabled");
    }
    state->is_asking_quietly = memcached_line_is(line, line->words.count - 1, "noreply");
    state->phase = MEMCACHED_ASKING;
    return MEMCACHED_ON;
}

/* Moves the cache's clock, for tests that do not want to wait. */
static enum memcached_step debug_time(const struct memcached_line *line)
{
    int32_t seconds;

    if (!memcached.settings.has_debug_commands) {
        return memcached_say(line->turn, "ERROR");
    }
    if (memcached_line_is(line, 1, "p") || memcached_line_is(line, 1, "r")) {
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
        enum memcached_step (*execute)(const struct memcached_line *line);
    } commands[] = {
        {"version", SERVE_ALL, say_version},
        {"stats", SERVE_ALL, memcached_line_stats},
        {"flush_all", SERVE_ALL, flush_all},
        {"verbosity", SERVE_ADMIN, set_verbosity},
        {"cache_memlimit", SERVE_ADMIN, set_memory_limit},
        {"slabs", SERVE_ADMIN, memcached_line_slabs},
        {"lru", SERVE_ADMIN, memcached_line_lru},
        {"lru_crawler", SERVE_ALL, memcached_line_lru_crawler},
        {"watch", SERVE_ADMIN, watch},
        {"shutdown", SERVE_ADMIN, shut_down},
        {"refresh_certs", SERVE_ADMIN, refresh_certificates},
        {"debugtime", SERVE_ADMIN, debug_time},
    };
    struct memcached_line line = {.turn = turn};

    memcached_split(request->line, &line.words);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (memcached_line_is(&line, 0, commands[i].name)) {
            return (turn->identity->rights & commands[i].right) != 0
                       ? commands[i].execute(&line)
                       : memcached_say(turn, "CLIENT_ERROR not permitted to this user");
        }
    }
    Q_UNREACHABLE();
}
