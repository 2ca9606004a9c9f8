/*
 * Watchers: connections that are told what happens, as it happens.
 *
 *     a worker, an event ─▶ each watcher's text (16 KiB) ─ posted ─▶ the watcher's worker sends it
 *
 *     ts=1764.123456 gid=17 type=item_get key=a%20b status=found clsid=0 cfd=3 size=12
 *
 * Events are written into the text of every watcher that asked for their kind; the first one into
 * an empty text posts a function to the watcher's worker, which sends what there is. When a text is
 * full, events are skipped and counted: watching must not hold up what is watched. The next line
 * that is told says first how many are missing before it: `skipped=12`.
 *
 * Invariants:
 *  1. While nobody watches and no prefixes are counted, a turn reads one word and no more; of 64
 *     requests one takes the slow way, for the sketch of hot keys.
 *  2. A place is a watcher's as long as its connection's phase is MEMCACHED_WATCHING; its number
 *     rises with each use, so that what is posted for one watcher never sends another's text.
 *  3. A watcher that does not read is sent nothing more while SERVE_OUT_WAITING_MAX bytes wait.
 *
 * Locking: one mutex for all places, a leaf: nothing is called and nothing allocated inside but the
 * writing of one line. Requests take it only while somebody watches.
 *
 * Rejected: a ring a worker with a thread that merges them, as memcached has it: another thread,
 * and 20 times the memory, for lines in order of time; here they are in the order of the mutex.
 *
 * Source: the lines are those of memcached's doc/protocol.txt.
 */
#include <serve/memcached_watch.h>

#include <serve/memcached_request.h>

#include <os/os.h>

/* Of lines that wait for their watcher. Double it, and bursts twice as long are told whole. */
#define TEXT_BYTES 16384u
/* The longest line: a key of %XX, and words of numbers. */
#define LINE_BYTES_MAX 1100u

/* Where the lines for a watcher wait. */
struct place {
    /* guarded by mutex */
    bool is_used;
    bool is_posted;
    uint32_t watched; /* of enum memcached_watched */
    uint32_t text_bytes;
    uint64_t number;  /* of its uses */
    uint64_t skipped; /* lines since the last one that was written */
    uint64_t connection_id;
    struct serve_worker *worker;
    char text[TEXT_BYTES];
};

static struct os_mutex mutex;
static struct place places[MEMCACHED_WATCHERS_MAX];
static uint64_t line_number;               /* guarded by mutex */
static uint64_t sent_count, skipped_count; /* guarded by mutex: lines */
static _Atomic uint32_t watched_by_anyone; /* what any place asks for; written under mutex */

static void refresh_noting(void)
{
    uint32_t watched = 0;

    for (size_t i = 0; i < MEMCACHED_WATCHERS_MAX; i++) {
        watched |= places[i].is_used ? places[i].watched : 0;
    }
    /* Relaxed: requests that miss the change are a little older than it. */
    atomic_store_relaxed_u32(&watched_by_anyone, watched);
    atomic_store_relaxed_bool(&memcached.is_noting,
                              watched != 0 || atomic_load_relaxed_bool(&memcached.counts_prefixes));
}

void memcached_watch_open(void)
{
    os_mutex_init(&mutex, OS_RANK_LEAF, 0);
    for (size_t i = 0; i < MEMCACHED_WATCHERS_MAX; i++) {
        places[i].is_used = false;
    }
    sent_count = skipped_count = 0;
    atomic_store_relaxed_u32(&watched_by_anyone, 0); /* relaxed: nobody else is there */
}

struct memcached_watch_figures memcached_watch_figures(void)
{
    struct memcached_watch_figures figures = {0};

    os_mutex_lock(&mutex);
    figures.sent = sent_count;
    figures.skipped = skipped_count;
    for (size_t i = 0; i < MEMCACHED_WATCHERS_MAX; i++) {
        figures.watchers += places[i].is_used ? 1 : 0;
    }
    os_mutex_unlock(&mutex);
    return figures;
}

void memcached_count_prefixes(bool counts)
{
    os_mutex_lock(&mutex);
    atomic_store_relaxed_bool(&memcached.counts_prefixes, counts); /* relaxed: as above */
    refresh_noting();
    os_mutex_unlock(&mutex);
}

/* ---- sending -------------------------------------------------------------------------------- */

/* What is posted: a place and its number in one word. */
#define PLACE_BITS 8u

static void *argument_of(size_t index)
{
    return (void *)(uintptr_t)(places[index].number << PLACE_BITS | index);
}

/*
 * Takes a watcher's lines; where it `may_not` be sent any, they stay, and the next event posts
 * anew. Returns: how many bytes; 0: none, or it is another's by now.
 */
static size_t take_text(size_t index, uint64_t number, bool may_not, char *out)
{
    struct place *place = &places[index];
    size_t byte_count = 0;

    os_mutex_lock(&mutex);
    if (place->is_used && place->number == number) {
        place->is_posted = false;
        byte_count = may_not ? 0 : place->text_bytes;
        memcpy(out, place->text, byte_count);
        place->text_bytes -= (uint32_t)byte_count;
    }
    os_mutex_unlock(&mutex);
    return byte_count;
}

/* Counts lines that were sent to the place of an argument, or had to be dropped. */
static void count_lines(uint64_t word, const char *text, size_t byte_count, bool is_sent)
{
    struct place *place = &places[word & ((1u << PLACE_BITS) - 1)];
    uint64_t lines = 0;

    for (size_t i = 0; i < byte_count; i++) {
        lines += text[i] == '\n' ? 1 : 0;
    }
    os_mutex_lock(&mutex);
    sent_count += is_sent ? lines : 0;
    skipped_count += is_sent ? 0 : lines;
    if (!is_sent && place->is_used && place->number == word >> PLACE_BITS) {
        place->skipped += lines;
    }
    os_mutex_unlock(&mutex);
}

static void send_lines(struct serve_connection *connection, void *argument)
{
    uint64_t word = (uintptr_t)argument;
    char text[TEXT_BYTES];

    if (connection == NULL) {
        return;
    }
    bool is_slow = serve_out_waiting(connection) >= SERVE_OUT_WAITING_MAX;
    size_t byte_count =
        take_text(word & ((1u << PLACE_BITS) - 1), word >> PLACE_BITS, is_slow, text);

    if (byte_count == 0) {
        return;
    }
    count_lines(word, text, byte_count, serve_out_copy(connection, text, byte_count));
    serve_connection_flush(connection);
}

/* ---- writing -------------------------------------------------------------------------------- */

/* Nothing was posted after all: the next line tries again. */
static void forget_post(const void *argument)
{
    uint64_t word = (uintptr_t)argument;
    struct place *place = &places[word & ((1u << PLACE_BITS) - 1)];

    os_mutex_lock(&mutex);
    if (place->is_used && place->number == word >> PLACE_BITS) {
        place->is_posted = false;
    }
    os_mutex_unlock(&mutex);
}

static char *put(char *out, const char *text)
{
    size_t length = strlen(text);

    memcpy(out, text, length);
    return out + length;
}

static char *put_figure(char *out, const char *name, uint64_t number)
{
    return memcached_write_u64(put(out, name), number);
}

/* "skipped=", a number and a line end. */
#define SKIPPED_BYTES_MAX (9 + MEMCACHED_NUMBER_BYTES)

/* Writes a line behind what waits, and before it how many are missing. Locked. */
static void add_line_locked(struct place *place, const char *line, size_t byte_count)
{
    size_t note_bytes = place->skipped > 0 ? SKIPPED_BYTES_MAX : 0;

    if (place->text_bytes + note_bytes + byte_count > TEXT_BYTES) {
        place->skipped++;
        skipped_count++;
        return;
    }
    if (place->skipped > 0) {
        char *out = put_figure(place->text + place->text_bytes, "skipped=", place->skipped);

        *out++ = '\n';
        place->text_bytes = (uint32_t)(out - place->text);
        place->skipped = 0;
    }
    memcpy(place->text + place->text_bytes, line, byte_count);
    place->text_bytes += (uint32_t)byte_count;
}

/* Adds a line to all watchers of a kind. */
static void tell(uint32_t kind, const char *line, size_t byte_count)
{
    struct {
        struct serve_worker *worker;
        uint64_t connection_id;
        void *argument;
    } posts[MEMCACHED_WATCHERS_MAX];
    size_t post_count = 0;

    os_mutex_lock(&mutex);
    for (size_t i = 0; i < MEMCACHED_WATCHERS_MAX; i++) {
        struct place *place = &places[i];

        if (!place->is_used || (place->watched & kind) == 0) {
            continue;
        }
        add_line_locked(place, line, byte_count);
        if (!place->is_posted) {
            place->is_posted = true;
            posts[post_count].worker = place->worker;
            posts[post_count].connection_id = place->connection_id;
            posts[post_count++].argument = argument_of(i);
        }
    }
    os_mutex_unlock(&mutex);
    for (size_t i = 0; i < post_count; i++) {
        if (!serve_post(posts[i].worker, posts[i].connection_id, send_lines, posts[i].argument)) {
            forget_post(posts[i].argument);
        }
    }
}

/* "ts=1764.000123 gid=17 type=item_get" */
static char *put_start(char *out, const char *type)
{
    uint64_t us = os_real()->ops->wall_ns(os_real()) / 1000;
    char micros[8];

    os_mutex_lock(&mutex);
    uint64_t number = ++line_number;
    os_mutex_unlock(&mutex);
    out = put_figure(out, "ts=", us / 1000000);
    memcached_write_u64(micros, 1000000 + us % 1000000);
    micros[0] = '.';
    memcpy(out, micros, 7);
    out = put_figure(out + 7, " gid=", number);
    return put(put(out, " type="), type);
}

static char *put_key(char *out, const struct quarry_cache_key *key)
{
    return memcached_write_uri(put(out, " key="), key->bytes, key->byte_count);
}

static void tell_line(uint32_t kind, char *line, char *end)
{
    *end++ = '\n';
    Q_ASSERT((size_t)(end - line) <= LINE_BYTES_MAX);
    tell(kind, line, (size_t)(end - line));
}

/* The command that a store's mode is. */
static const char *command_of(const struct quarry_cache_store_options *options)
{
    static const char *const names[] = {"set", "add", "replace", "append", "prepend"};

    return options->has_cas && options->mode == QUARRY_CACHE_SET ? "cas" : names[options->mode];
}

static void tell_get(const struct memcached_turn *turn, const struct memcached_noted *noted)
{
    char line[LINE_BYTES_MAX];
    char *out = put_key(put_start(line, "item_get"), noted->key);

    out = put(put(out, " status="), noted->status);
    out = put_figure(out, " clsid=0 cfd=", serve_connection_id(turn->connection));
    tell_line(MEMCACHED_WATCHES_FETCHERS, line, put_figure(out, " size=", noted->value_bytes));
}

static void tell_store(const struct memcached_turn *turn, const struct memcached_noted *noted)
{
    char line[LINE_BYTES_MAX];
    char *out = put_key(put_start(line, "item_store"), noted->key);

    out = put(put(out, " status="), noted->status);
    out = put(put(out, " cmd="), command_of(noted->options));
    out = put_figure(out, " ttl=",
                     noted->options->expiry == 0 ? 0 : memcached_remaining(noted->options->expiry));
    out = put_figure(out, " clsid=0 cfd=", serve_connection_id(turn->connection));
    tell_line(MEMCACHED_WATCHES_MUTATIONS, line, put_figure(out, " size=", noted->value_bytes));
}

static void tell_delete(const struct memcached_turn *turn, const struct memcached_noted *noted)
{
    char line[LINE_BYTES_MAX];
    char *out = put_key(put_start(line, "deleted"), noted->key);

    out = put(put(out, " cmd=delete status="), noted->status);
    out = put_figure(out, " clsid=0 cfd=", serve_connection_id(turn->connection));
    tell_line(MEMCACHED_WATCHES_DELETIONS, line, out);
}

static bool is_watched(uint32_t kind)
{
    return (atomic_load_relaxed_u32(&watched_by_anyone) & kind) != 0; /* relaxed: as written */
}

static enum quarry_cache_use use_of(const struct memcached_noted *noted)
{
    switch (noted->event) {
    case MEMCACHED_EVENT_SET:
        return QUARRY_CACHE_USE_SET;
    case MEMCACHED_EVENT_DELETE:
        return QUARRY_CACHE_USE_DELETE;
    case MEMCACHED_EVENT_GET:
        break;
    }
    return noted->status[0] == 'f' ? QUARRY_CACHE_USE_HIT : QUARRY_CACHE_USE_MISS;
}

uint32_t memcached_next_sample_slow(struct memcached_counters *counters)
{
    counters->random = counters->random * 1664525 + 1013904223; /* Numerical Recipes' */
    return (counters->random >> 16) % (2 * MEMCACHED_SAMPLED - 1);
}

void memcached_note_slow(struct memcached_turn *turn, const struct memcached_noted *noted)
{
    if ((turn->notes & MEMCACHED_NOTES_SAMPLE) != 0) {
        quarry_cache_note_hot_key(turn->tenant, noted->key, use_of(noted), MEMCACHED_SAMPLED);
    }
    if ((turn->notes & MEMCACHED_NOTES_ALL) == 0) {
        return;
    }
    if (atomic_load_relaxed_bool(&memcached.counts_prefixes)) { /* relaxed: as written */
        quarry_cache_count_prefix(turn->tenant, noted->key, use_of(noted));
    }
    if (noted->event == MEMCACHED_EVENT_GET && is_watched(MEMCACHED_WATCHES_FETCHERS)) {
        tell_get(turn, noted);
    } else if (noted->event == MEMCACHED_EVENT_SET && is_watched(MEMCACHED_WATCHES_MUTATIONS)) {
        tell_store(turn, noted);
    } else if (noted->event == MEMCACHED_EVENT_DELETE && is_watched(MEMCACHED_WATCHES_DELETIONS)) {
        tell_delete(turn, noted);
    }
}

void memcached_observe(void *argument, enum quarry_cache_event event,
                       const struct quarry_cache_hit *item)
{
    char line[LINE_BYTES_MAX];

    (void)argument;
    if (event != QUARRY_CACHE_EVENT_EVICTED || !is_watched(MEMCACHED_WATCHES_EVICTIONS)) {
        return;
    }
    const struct quarry_cache_key key = {.bytes = item->key, .byte_count = item->key_bytes};
    char *out = put_key(put_start(line, "eviction"), &key);

    out = put(out, item->was_hit ? " fetch=yes" : " fetch=no");
    out = item->expiry == 0 ? put(out, " ttl=-1")
                            : put_figure(out, " ttl=", memcached_remaining(item->expiry));
    out = put_figure(out, " la=", item->idle_seconds);
    out = put_figure(out, " clsid=", item->class_id);
    tell_line(MEMCACHED_WATCHES_EVICTIONS, line, put_figure(out, " size=", item->value_bytes));
}

/* A peer's name, cut to what fits a line. */
#define PEER_BYTES_MAX 200u

void memcached_watch_connection(struct serve_connection *connection, bool has_come)
{
    char line[LINE_BYTES_MAX];

    if (Q_LIKELY(!is_watched(MEMCACHED_WATCHES_CONNECTIONS))) {
        return;
    }
    const struct memcached_state *state = serve_connection_state(connection);
    const char *peer = serve_connection_peer(connection);
    char *out = put(put_start(line, has_come ? "conn_new" : "conn_close"), " rip=");

    out = memcached_write_uri(out, peer, size_min(strlen(peer), PEER_BYTES_MAX));
    out = put(out, strncmp(peer, "unix:", 5) == 0 ? " transport=local" : " transport=tcp");
    out = put(out, has_come ? "" : state->has_erred ? " reason=error" : " reason=normal");
    tell_line(MEMCACHED_WATCHES_CONNECTIONS, line,
              put_figure(out, " cfd=", serve_connection_id(connection)));
}

/* ---- coming and going ------------------------------------------------------------------------ */

bool memcached_watch_begin(struct memcached_turn *turn, uint32_t watched)
{
    bool is_found = false;

    os_mutex_lock(&mutex);
    for (size_t i = 0; i < MEMCACHED_WATCHERS_MAX && !is_found; i++) {
        struct place *place = &places[i];

        if (place->is_used) {
            continue;
        }
        is_found = true;
        place->is_used = true;
        place->is_posted = false;
        place->watched = watched;
        place->text_bytes = 0;
        place->skipped = 0;
        place->number++;
        place->connection_id = serve_connection_id(turn->connection);
        place->worker = serve_connection_worker(turn->connection);
        turn->state->watcher = i;
        turn->state->phase = MEMCACHED_WATCHING;
    }
    refresh_noting();
    os_mutex_unlock(&mutex);
    return is_found;
}

void memcached_watch_end(struct memcached_state *state)
{
    Q_ASSERT(state->watcher < MEMCACHED_WATCHERS_MAX);
    os_mutex_lock(&mutex);
    Q_ASSERT(places[state->watcher].is_used);
    places[state->watcher].is_used = false;
    refresh_noting();
    os_mutex_unlock(&mutex);
}

enum memcached_step memcached_watching_phase(struct memcached_turn *turn)
{
    turn->at = turn->end;
    return MEMCACHED_MORE;
}
