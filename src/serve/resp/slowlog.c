/*
 * The slow log, and SLOWLOG.
 *
 *   newest ─ entry ─ entry ─ entry ─ oldest      each one allocation: its words' bytes behind it
 *
 * Of a command at most 32 words are kept, and 128 bytes of each; what is left out is counted in
 * the last word, or behind the word, in Redis' own form. Words behind AUTH in a HELLO are secret.
 *
 * Locking: one mutex, a leaf, for the list; entries are made before it is taken. SLOWLOG GET
 * answers under it, into memory: at most the entries that were asked for. Memory: malloc, 5 KiB an
 * entry at most; without memory an entry is not kept.
 */
#include <serve/resp/slowlog.h>

#include <os/os.h>

#include <serve/resp/server_commands.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Behind a word that is cut. */
#define MORE_BYTES 48u
#define WORD_ROOM  (RESP_SLOW_WORD_BYTES + MORE_BYTES)

struct entry {
    struct entry *next; /* older */
    uint64_t id, time_seconds, duration_us;
    uint32_t word_count;
    uint32_t ends[RESP_SLOW_WORDS]; /* of words in bytes */
    char peer[128], name[RESP_NAME_BYTES];
    char bytes[];
};

static struct {
    _Atomic(int64_t) threshold_us; /* relaxed: a setting */
    _Atomic(uint32_t) length_max;  /* likewise */
    struct os_mutex mutex;
    struct entry *newest; /* own; guarded by mutex, as all below */
    uint32_t length;
    uint64_t id_next;
} slowlog;

static void keep(uint32_t length_max);

void resp_slowlog_open(int64_t threshold_us, uint32_t length)
{
    os_mutex_init(&slowlog.mutex, OS_RANK_LEAF, 0);
    slowlog.id_next = 0;
    resp_slowlog_set_threshold(threshold_us);
    resp_slowlog_set_length(length);
}

void resp_slowlog_close(void)
{
    keep(0);
}

int64_t resp_slowlog_threshold_us(void)
{
    return atomic_load_relaxed_i64(&slowlog.threshold_us);
}

uint32_t resp_slowlog_length_max(void)
{
    return atomic_load_relaxed_u32(&slowlog.length_max);
}

void resp_slowlog_set_threshold(int64_t threshold_us)
{
    atomic_store_relaxed_i64(&slowlog.threshold_us, threshold_us);
}

void resp_slowlog_set_length(uint32_t length)
{
    Q_ASSERT(length <= RESP_SLOWLOG_LENGTH_MAX);
    atomic_store_relaxed_u32(&slowlog.length_max, length);
    keep(length);
}

/* ---- noting --------------------------------------------------------------------------------- */

static void free_list(struct entry *entry)
{
    for (struct entry *next; entry != NULL; entry = next) {
        next = entry->next;
        free(entry);
    }
}

/* Forgets all but the newest. */
static void keep(uint32_t length_max)
{
    os_mutex_lock(&slowlog.mutex);
    struct entry **link = &slowlog.newest;

    for (uint32_t i = 0; i < length_max && *link != NULL; i++) {
        link = &(*link)->next;
    }
    struct entry *forgotten = *link;
    *link = NULL;
    slowlog.length = (uint32_t)size_min(slowlog.length, length_max);
    os_mutex_unlock(&slowlog.mutex);
    free_list(forgotten);
}

/* The first word that nobody may see; the number of words: none. */
static size_t find_secret(const struct resp_call *call)
{
    if (strcmp(call->command->name, "hello") != 0) {
        return call->word_count;
    }
    for (size_t i = 1; i < call->word_count; i++) {
        if (resp_is(call->words[i], "auth")) {
            return i + 1;
        }
    }
    return call->word_count;
}

/* Writes what is kept of a word. Returns: how many bytes that is. */
static size_t write_word(struct quarry_kv_slice word, char room[WORD_ROOM])
{
    if (word.byte_count <= RESP_SLOW_WORD_BYTES) {
        memcpy(room, word.bytes, word.byte_count);
        return word.byte_count;
    }
    memcpy(room, word.bytes, RESP_SLOW_WORD_BYTES);
    return RESP_SLOW_WORD_BYTES + (size_t)snprintf(room + RESP_SLOW_WORD_BYTES, MORE_BYTES,
                                                   "... (%zu more bytes)",
                                                   word.byte_count - RESP_SLOW_WORD_BYTES);
}

/* The entry's i-th word. */
static size_t write_nth(const struct resp_call *call, size_t i, size_t secret, char room[WORD_ROOM])
{
    if (call->word_count > RESP_SLOW_WORDS && i == RESP_SLOW_WORDS - 1) {
        return (size_t)snprintf(room, WORD_ROOM, "... (%zu more arguments)",
                                call->word_count - RESP_SLOW_WORDS + 1);
    }
    if (i >= secret) {
        return (size_t)snprintf(room, WORD_ROOM, "(redacted)");
    }
    return write_word(call->words[i], room);
}

static struct entry *make_entry(const struct resp_call *call, const char *peer)
{
    struct entry *entry = malloc(sizeof *entry + RESP_SLOW_WORDS * WORD_ROOM);
    size_t secret = find_secret(call), end = 0;

    if (entry == NULL) {
        return NULL;
    }
    entry->word_count = (uint32_t)size_min(call->word_count, RESP_SLOW_WORDS);
    for (uint32_t i = 0; i < entry->word_count; i++) {
        end += write_nth(call, i, secret, entry->bytes + end);
        entry->ends[i] = (uint32_t)end;
    }
    (void)snprintf(entry->peer, sizeof entry->peer, "%s", peer);
    (void)snprintf(entry->name, sizeof entry->name, "%s", call->session->name);
    struct entry *shrunk = realloc(entry, sizeof *entry + end);

    return shrunk == NULL ? entry : shrunk;
}

void resp_slowlog_note(const struct resp_call *call, const char *peer, uint64_t duration_ns)
{
    int64_t threshold_us = resp_slowlog_threshold_us();
    uint32_t length_max = resp_slowlog_length_max();

    if (threshold_us < 0 || duration_ns / 1000 < (uint64_t)threshold_us || length_max == 0 ||
        (call->command->flags & RESP_SKIP_SLOWLOG) != 0) {
        return;
    }
    struct entry *entry = make_entry(call, peer);
    if (entry == NULL) {
        return;
    }
    entry->time_seconds = call->now_ms / 1000;
    entry->duration_us = duration_ns / 1000;
    os_mutex_lock(&slowlog.mutex);
    entry->id = slowlog.id_next++;
    entry->next = slowlog.newest;
    slowlog.newest = entry;
    slowlog.length++;
    os_mutex_unlock(&slowlog.mutex);
    keep(length_max);
}

/* ---- SLOWLOG -------------------------------------------------------------------------------- */

static void say_entry(struct resp_reply *reply, const struct entry *entry)
{
    uint32_t begin = 0;

    resp_say_array(reply, 6);
    resp_say_integer(reply, (int64_t)entry->id);
    resp_say_integer(reply, (int64_t)entry->time_seconds);
    resp_say_integer(reply, (int64_t)entry->duration_us);
    resp_say_array(reply, entry->word_count);
    for (uint32_t i = 0; i < entry->word_count; i++) {
        resp_say_bulk(reply, entry->bytes + begin, entry->ends[i] - begin);
        begin = entry->ends[i];
    }
    resp_say_text(reply, entry->peer);
    resp_say_text(reply, entry->name);
}

#define GET_COUNT_DEFAULT 10

enum resp_outcome resp_slowlog_get(struct resp_call *call)
{
    int64_t count = GET_COUNT_DEFAULT;

    if (call->word_count > 3) {
        resp_say_wrong_arity(call->reply, call->command);
        return RESP_ANSWERED;
    }
    if (call->word_count == 3 && (!resp_read_integer(call->words[2], &count) || count < -1)) {
        resp_say_error(call->reply, "ERR count should be greater than or equal to -1");
        return RESP_ANSWERED;
    }
    os_mutex_lock(&slowlog.mutex);
    uint64_t told = count < 0 ? slowlog.length : size_min_u64((uint64_t)count, slowlog.length);
    const struct entry *entry = slowlog.newest;

    resp_say_array(call->reply, told);
    for (uint64_t i = 0; i < told; i++, entry = entry->next) {
        say_entry(call->reply, entry);
    }
    os_mutex_unlock(&slowlog.mutex);
    return RESP_ANSWERED;
}

enum resp_outcome resp_slowlog_len(struct resp_call *call)
{
    os_mutex_lock(&slowlog.mutex);
    int64_t length = slowlog.length;
    os_mutex_unlock(&slowlog.mutex);

    resp_say_integer(call->reply, length);
    return RESP_ANSWERED;
}

enum resp_outcome resp_slowlog_reset(struct resp_call *call)
{
    keep(0);
    resp_say_ok(call->reply);
    return RESP_ANSWERED;
}

enum resp_outcome resp_slowlog_help(struct resp_call *call)
{
    static const char *const lines[] = {
        "GET [<count>]",
        "    The newest commands that were slow, 10 unless told; -1: all. Of each: its number,",
        "    when, microseconds, words, the client's address and its name.",
        "LEN",
        "    How many there are.",
        "RESET",
        "    Forgets them.",
        NULL,
    };

    resp_say_help(call, lines);
    return RESP_ANSWERED;
}
