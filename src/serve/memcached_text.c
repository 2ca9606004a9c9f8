/*
 * The classic commands of the text protocol: from a line to a request.
 *
 * The two forms that make up most of the world's traffic, `get KEY` and `set KEY FLAGS EXPTIME
 * BYTES`, are read first and without a table of words; what is not just so takes the general way,
 * which reads them too, with the same result.
 *
 * Invariants:
 *  1. Reading has no effect, and gives the same request for the same line.
 *  2. An answer of a word count that is wrong is ERROR, one of a word that makes no sense a
 *     CLIENT_ERROR, as memcached has them; only what follows an accepted line is a value.
 *
 * Source: behaviour of memcached 1.6.18, observed.
 */
#include <serve/memcached_request.h>

/* A command that a line may begin with. */
struct command {
    const char *name;
    uint8_t length;
    uint8_t words_min, words_max; /* of the line, the command's own included */
    uint8_t argument;             /* of `read` */
    void (*read)(const struct memcached_turn *turn, const struct memcached_words *words,
                 uint8_t argument, struct memcached_request *request);
};

/* Whether the last word is noreply: there is no answer then, not even of some errors. */
static bool is_noreply(const struct memcached_words *words)
{
    return MEMCACHED_WORD_IS(words->at[words->count - 1], "noreply");
}

/* Says that a line is not well formed; nothing where it was asked to be quiet. */
static void say_bad_format(struct memcached_request *request)
{
    if (request->is_quiet) {
        memcached_request_says(request, "", 0);
    } else {
        MEMCACHED_REQUEST_SAYS(request, "CLIENT_ERROR bad command line format");
    }
}

bool memcached_request_take_key(const struct memcached_turn *turn, struct memcached_word word,
                                struct memcached_request *request)
{
    if (Q_UNLIKELY(word.length == 0 || word.length > QUARRY_CACHE_KEY_BYTES_MAX)) {
        say_bad_format(request);
        return false;
    }
    request->key = quarry_cache_key_make(turn->tenant, word.text, word.length);
    return true;
}

/* ---- get ------------------------------------------------------------------------------------ */

/*
 * The first word of a line's first MEMCACHED_LINE_BYTES_MAX bytes, from `at` on, that is longer
 * than a key can be. A word that the line's end cuts, where that has not come, is not known yet.
 */
static bool has_long_key(struct memcached_word keys, bool is_whole)
{
    const char *at = keys.text;
    const char *end = keys.text + keys.length;

    while (at < end) {
        const char *space = memchr(at, ' ', (size_t)(end - at));
        const char *stop = space == NULL ? end : space;

        if ((size_t)(stop - at) > QUARRY_CACHE_KEY_BYTES_MAX && (space != NULL || is_whole)) {
            return true;
        }
        at = space == NULL ? end : space + 1;
    }
    return false;
}

enum {
    GET_CAS = 1,
    GET_TOUCH = 2,
};

/* gat, gats: the word before the keys. Returns: whether it is good. */
static bool read_touch(const struct memcached_words *words, struct memcached_request *request)
{
    int32_t exptime;

    request->touches = true;
    if (!memcached_read_i32(words->at[1], &exptime)) {
        MEMCACHED_REQUEST_SAYS(request, "CLIENT_ERROR invalid exptime argument");
        return false;
    }
    request->expiry = memcached_expiry(exptime);
    return true;
}

static void read_get(const struct memcached_turn *turn, const struct memcached_words *words,
                     uint8_t argument, struct memcached_request *request)
{
    uint32_t first = (argument & GET_TOUCH) != 0 ? 2 : 1;

    request->has_cas = (argument & GET_CAS) != 0;
    request->touches = false;
    if (first == 2 && !read_touch(words, request)) {
        return;
    }
    if (words->count == first) {
        MEMCACHED_REQUEST_SAYS(request, "END");
        return;
    }
    const char *keys = words->at[first].text;

    request->keys =
        (struct memcached_word){keys, (size_t)(request->line.text + request->line.length - keys)};
    if (has_long_key(request->keys, request->line_bytes != 0)) {
        MEMCACHED_REQUEST_SAYS(request, "CLIENT_ERROR bad command line format");
        return;
    }
    if (words->count > first + 1 || request->line_bytes == 0) {
        request->kind = MEMCACHED_GETS_KEYS;
        return;
    }
    request->kind = MEMCACHED_GET;
    (void)memcached_request_take_key(turn, words->at[first], request);
}

/* ---- set and its like ----------------------------------------------------------------------- */

enum {
    STORE_MODE = 7, /* enum quarry_cache_mode */
    STORE_CAS = 8,
};

static void read_store(const struct memcached_turn *turn, const struct memcached_words *words,
                       uint8_t argument, struct memcached_request *request)
{
    int32_t exptime;
    int32_t value_bytes;

    request->kind = MEMCACHED_STORE;
    request->mode = argument & STORE_MODE;
    request->has_cas = (argument & STORE_CAS) != 0;
    request->is_quiet = is_noreply(words);
    if (!memcached_request_take_key(turn, words->at[1], request)) {
        return;
    }
    if (!memcached_read_u32(words->at[2], &request->client_flags) ||
        !memcached_read_i32(words->at[3], &exptime) ||
        !memcached_read_i32(words->at[4], &value_bytes) ||
        (request->has_cas && !memcached_read_u64(words->at[5], &request->number)) ||
        value_bytes < 0 || value_bytes > INT32_MAX - 2) {
        say_bad_format(request);
        return;
    }
    request->expiry = memcached_expiry(exptime);
    request->value_bytes = (uint32_t)value_bytes;
}

/* ---- what takes a key and a number ---------------------------------------------------------- */

static void read_delete(const struct memcached_turn *turn, const struct memcached_words *words,
                        uint8_t argument, struct memcached_request *request)
{
    (void)argument;
    bool is_quiet = words->count > 2 && is_noreply(words);
    uint32_t rest = words->count - 2 - is_quiet;
    /* The time that an item was once kept from being added again: 0 is still taken. */
    bool is_plain = rest == 0 || (rest == 1 && MEMCACHED_WORD_IS(words->at[2], "0"));

    request->kind = MEMCACHED_DELETE;
    request->is_quiet = is_quiet;
    if (is_plain) {
        (void)memcached_request_take_key(turn, words->at[1], request);
    } else if (is_quiet) {
        memcached_request_says(request, "", 0);
    } else {
        MEMCACHED_REQUEST_SAYS(request, "CLIENT_ERROR bad command line format.  "
                                        "Usage: delete <key> [noreply]");
    }
}

static void read_touch_command(const struct memcached_turn *turn,
                               const struct memcached_words *words, uint8_t argument,
                               struct memcached_request *request)
{
    int32_t exptime;

    (void)argument;
    request->kind = MEMCACHED_TOUCH;
    request->is_quiet = is_noreply(words);
    if (!memcached_request_take_key(turn, words->at[1], request)) {
        return;
    }
    if (memcached_read_i32(words->at[2], &exptime)) {
        request->expiry = memcached_expiry(exptime);
    } else if (request->is_quiet) {
        memcached_request_says(request, "", 0);
    } else {
        MEMCACHED_REQUEST_SAYS(request, "CLIENT_ERROR invalid exptime argument");
    }
}

static void read_count(const struct memcached_turn *turn, const struct memcached_words *words,
                       uint8_t argument, struct memcached_request *request)
{
    request->kind = MEMCACHED_COUNT;
    request->decrements = argument != 0;
    request->is_quiet = is_noreply(words);
    if (!memcached_request_take_key(turn, words->at[1], request) ||
        memcached_read_u64(words->at[2], &request->number)) {
        return;
    }
    if (request->is_quiet) {
        memcached_request_says(request, "", 0);
    } else {
        MEMCACHED_REQUEST_SAYS(request, "CLIENT_ERROR invalid numeric delta argument");
    }
}

/* ---- the rest ------------------------------------------------------------------------------- */

static void read_quit(const struct memcached_turn *turn, const struct memcached_words *words,
                      uint8_t argument, struct memcached_request *request)
{
    (void)turn;
    (void)words;
    (void)argument;
    request->kind = MEMCACHED_CLOSES;
}

static void read_other(const struct memcached_turn *turn, const struct memcached_words *words,
                       uint8_t argument, struct memcached_request *request)
{
    (void)turn;
    (void)words;
    (void)argument;
    request->kind = MEMCACHED_OTHER;
}

#define ANY MEMCACHED_WORDS_MAX
#define COMMAND(name, min, max, argument, read)                                                    \
    {                                                                                              \
        name, sizeof(name) - 1, min, max, argument, read                                           \
    }
static const struct command commands[] = {
    COMMAND("get", 2, ANY, 0, read_get),
    COMMAND("gets", 2, ANY, GET_CAS, read_get),
    COMMAND("set", 5, 6, QUARRY_CACHE_SET, read_store),
    COMMAND("delete", 2, 4, 0, read_delete),
    COMMAND("incr", 3, 4, 0, read_count),
    COMMAND("decr", 3, 4, 1, read_count),
    COMMAND("add", 5, 6, QUARRY_CACHE_ADD, read_store),
    COMMAND("cas", 6, 7, QUARRY_CACHE_SET | STORE_CAS, read_store),
    COMMAND("touch", 3, 4, 0, read_touch_command),
    COMMAND("gat", 2, ANY, GET_TOUCH, read_get),
    COMMAND("gats", 2, ANY, GET_TOUCH | GET_CAS, read_get),
    COMMAND("replace", 5, 6, QUARRY_CACHE_REPLACE, read_store),
    COMMAND("append", 5, 6, QUARRY_CACHE_APPEND, read_store),
    COMMAND("prepend", 5, 6, QUARRY_CACHE_PREPEND, read_store),
    COMMAND("bget", 2, ANY, 0, read_get),
    COMMAND("quit", 1, ANY, 0, read_quit),
    COMMAND("version", 1, ANY, 0, read_other),
    COMMAND("stats", 1, ANY, 0, read_other),
    COMMAND("flush_all", 1, 3, 0, read_other),
    COMMAND("verbosity", 2, 3, 0, read_other),
    COMMAND("cache_memlimit", 2, 3, 0, read_other),
    COMMAND("slabs", 1, ANY, 0, read_other),
    COMMAND("lru", 2, ANY, 0, read_other),
    COMMAND("lru_crawler", 1, ANY, 0, read_other),
    COMMAND("watch", 1, ANY, 0, read_other),
    COMMAND("shutdown", 1, ANY, 0, read_other),
    COMMAND("refresh_certs", 1, ANY, 0, read_other),
    COMMAND("debugtime", 2, ANY, 0, read_other),
};

static const struct command *find_command(struct memcached_word name)
{
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (memcached_word_is(name, commands[i].name, commands[i].length)) {
            return &commands[i];
        }
    }
    return NULL;
}

/* A line that begins with nothing known: somebody's browser is not answered, and closed. */
static void read_unknown(const struct memcached_turn *turn, const struct memcached_words *words,
                         struct memcached_request *request)
{
    struct memcached_word last = words->at[words->count - 1];
    char first = words->at[0].text[0];

    if (last.length >= 5 && memcmp(last.text, "HTTP/", 5) == 0 && words->count > 1 &&
        memchr("gsacidt", first, 7) == NULL) {
        request->kind = MEMCACHED_CLOSES;
        turn->state->has_erred = true;
    } else {
        MEMCACHED_REQUEST_SAYS(request, "ERROR");
    }
}

static void read_words(const struct memcached_turn *turn, struct memcached_request *request)
{
    struct memcached_words words;

    memcached_split(request->line, &words);
    if (words.count == 0 || words.at[0].length < 2) {
        MEMCACHED_REQUEST_SAYS(request, "ERROR");
        return;
    }
    if (words.at[0].length == 2 && words.at[0].text[0] == 'm') {
        memcached_meta_read(turn, &words, request);
        return;
    }
    const struct command *command = find_command(words.at[0]);

    if (command == NULL) {
        read_unknown(turn, &words, request);
    } else if (words.count < command->words_min || words.count > command->words_max ||
               (words.rest.length > 0 && command->words_max != ANY)) {
        MEMCACHED_REQUEST_SAYS(request, "ERROR");
    } else {
        command->read(turn, &words, command->argument, request);
    }
}

/* ---- the two forms that come most ------------------------------------------------------------ */

/* `get KEY` */
static bool read_plain_get(const struct memcached_turn *turn, struct memcached_request *request)
{
    struct memcached_word key = {request->line.text + 4, request->line.length - 4};

    if (request->line_bytes == 0 || key.length == 0 || key.length > QUARRY_CACHE_KEY_BYTES_MAX ||
        memchr(key.text, ' ', key.length) != NULL) {
        return false;
    }
    request->kind = MEMCACHED_GET;
    request->has_cas = false;
    request->touches = false;
    request->key = quarry_cache_key_make(turn->tenant, key.text, key.length);
    return true;
}

/* Digits, up to nine, and what stands behind them. Returns: behind that; NULL: it is not so. */
static const char *read_plain_number(const char *at, const char *end, char behind,
                                     uint32_t *ret_number)
{
    const char *digits = at;
    uint32_t number = 0;

    for (; at < end && *at >= '0' && *at <= '9'; at++) {
        number = number * 10 + (uint32_t)(*at - '0');
    }
    if (at == digits || at - digits > 9) {
        return NULL;
    }
    *ret_number = number;
    if (behind == '\n') {
        return at == end ? at : NULL;
    }
    return at < end && *at == behind ? at + 1 : NULL;
}

/* `set KEY FLAGS EXPTIME BYTES` */
static bool read_plain_set(const struct memcached_turn *turn, struct memcached_request *request)
{
    const char *key = request->line.text + 4;
    const char *end = request->line.text + request->line.length;
    const char *at = memchr(key, ' ', (size_t)(end - key));
    uint32_t exptime;
    uint32_t value_bytes;

    if (at == NULL || at == key || (size_t)(at - key) > QUARRY_CACHE_KEY_BYTES_MAX) {
        return false;
    }
    size_t key_bytes = (size_t)(at - key);

    at = read_plain_number(at + 1, end, ' ', &request->client_flags);
    at = at == NULL ? NULL : read_plain_number(at, end, ' ', &exptime);
    at = at == NULL ? NULL : read_plain_number(at, end, '\n', &value_bytes);
    if (at == NULL) {
        return false;
    }
    request->kind = MEMCACHED_STORE;
    request->mode = QUARRY_CACHE_SET;
    request->has_cas = false;
    request->key = quarry_cache_key_make(turn->tenant, key, key_bytes);
    request->expiry = exptime == 0 ? 0 : memcached_expiry((int32_t)exptime);
    request->value_bytes = value_bytes;
    return true;
}

void memcached_text_read(const struct memcached_turn *turn, struct memcached_request *request)
{
    const char *text = request->line.text;

    request->is_quiet = false;
    request->swallow_bytes = 0;
    if (request->line.length > 4 && text[3] == ' ') {
        if (memcmp(text, "get", 3) == 0 && read_plain_get(turn, request)) {
            return;
        }
        if (memcmp(text, "set", 3) == 0 && request->line_bytes != 0 &&
            read_plain_set(turn, request)) {
            return;
        }
    }
    read_words(turn, request);
}
