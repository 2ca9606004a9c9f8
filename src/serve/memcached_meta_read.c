/*
 * The meta commands: from a line to a request.
 *
 *     mg KEY FLAG*    ms KEY BYTES FLAG*    md KEY FLAG*    ma KEY FLAG*    me KEY [b]    mn
 *
 * A flag is a letter and what stands behind it. All commands know all letters, and ignore those
 * that mean nothing to them. Letters that ask for a word of the answer are looked at again when
 * it is written, in their order; all others are read here.
 *
 * Invariants:
 *  1. No letter comes twice, and none is unknown: such a line is refused where it is found, while
 *     of other errors the last one counts. memcached's order; clients that show errors depend on
 * it.
 *  2. A line of ms that is refused for its flags has a value behind it all the same.
 *
 * Source: behaviour of memcached 1.6.18, observed. Letters that came later are taken with their
 * later meaning: E (a cas for the new item), x (md: drops the value, keeps the item), N in ms, and
 * C in mg.
 */
#include <serve/memcached_request.h>

#define LETTERS "bcfhklqstuvxOPLNTRFCMJDIE"

/* What is wrong with a request's flags: NULL for nothing, or a line. */
struct fault {
    const char *last;
    const char *fatal; /* nothing behind it is looked at */
};

#define BAD_TOKEN  "CLIENT_ERROR bad token in command line format\r\n"
#define BAD_FORMAT "CLIENT_ERROR bad command line format\r\n"

/* ---- flags with a number -------------------------------------------------------------------- */

static const char *read_expiry(struct memcached_word value, uint32_t *ret_expiry)
{
    int32_t exptime;

    if (!memcached_read_i32(value, &exptime)) {
        return BAD_TOKEN;
    }
    *ret_expiry = memcached_expiry(exptime);
    return NULL;
}

/* How many seconds before its end an item is to be renewed. */
static const char *read_recache(struct memcached_word value, uint32_t *ret_seconds)
{
    uint32_t expiry = 0;
    const char *fault = read_expiry(value, &expiry);

    *ret_seconds = fault == NULL && expiry != 0 ? memcached_remaining(expiry) : 0;
    return fault;
}

static const char *read_number(struct memcached_word value, uint64_t *ret_number, const char *fault)
{
    return memcached_read_u64(value, ret_number) ? NULL : fault;
}

static const char *read_mode(struct memcached_word value, char *ret_mode)
{
    if (value.length != 1) {
        return "CLIENT_ERROR incorrect length for M token\r\n";
    }
    *ret_mode = value.text[0];
    return NULL;
}

/* Reads one flag. Returns: what is wrong with it, or NULL. */
static const char *read_value(struct memcached_meta *meta, char letter, struct memcached_word value)
{
    switch (letter) {
    case 'N':
        return read_expiry(value, &meta->vivify_expiry);
    case 'T':
        meta->touches_behind_t = memcached_meta_has(meta, 't');
        return read_expiry(value, &meta->expiry);
    case 'R':
        return read_recache(value, &meta->recache_seconds);
    case 'F':
        return memcached_read_u32(value, &meta->client_flags) ? NULL : BAD_FORMAT;
    case 'C':
        return read_number(value, &meta->cas, BAD_TOKEN);
    case 'E':
        return read_number(value, &meta->new_cas, BAD_TOKEN);
    case 'J':
        return read_number(value, &meta->initial, "CLIENT_ERROR invalid numeric initial value\r\n");
    case 'D':
        return read_number(value, &meta->delta, "CLIENT_ERROR invalid numeric delta value\r\n");
    case 'M':
        return read_mode(value, &meta->mode);
    default:
        return NULL;
    }
}

/* ---- all flags ------------------------------------------------------------------------------ */

/* Decodes the key where it was said to be in base64. */
static bool decode_key(struct memcached_request *request, struct memcached_word *key)
{
    size_t length =
        memcached_base64_decode(request->decoded_key, sizeof request->decoded_key, *key);

    *key = (struct memcached_word){request->decoded_key, length};
    return length > 0;
}

static void read_flag(struct memcached_request *request, struct memcached_word word,
                      struct memcached_word *key, struct fault *fault)
{
    struct memcached_meta *meta = &request->meta;
    char letter = word.text[0];

    if ((uint8_t)letter >= 127) {
        fault->fatal = "CLIENT_ERROR duplicate flag\r\n";
        return;
    }
    if ((uint8_t)letter < 64 || memchr(LETTERS, letter, sizeof LETTERS - 1) == NULL) {
        fault->fatal = "CLIENT_ERROR invalid flag\r\n";
        return;
    }
    if (memcached_meta_has(meta, letter)) {
        fault->fatal = "CLIENT_ERROR duplicate flag\r\n";
        return;
    }
    const char *why =
        read_value(meta, letter, (struct memcached_word){word.text + 1, word.length - 1});

    meta->seen |= (uint64_t)1 << ((uint32_t)letter & 63);
    if (letter == 'b' && !decode_key(request, key)) {
        why = "CLIENT_ERROR error decoding key\r\n";
    }
    fault->last = why != NULL ? why : fault->last;
}

/* Reads the flags from word `first` on. Returns: NULL, or what is wrong with them. */
static const char *read_flags(const struct memcached_words *words, uint32_t first,
                              struct memcached_word *key, struct memcached_request *request)
{
    struct fault fault = {NULL, NULL};

    request->meta = (struct memcached_meta){.delta = 1};
    if (words->count > first) {
        const char *text = words->at[first].text;
        const char *end = request->line.text + request->line.length;

        request->meta.words = (struct memcached_word){text, (size_t)(end - text)};
    }
    for (uint32_t i = first; i < words->count && fault.fatal == NULL; i++) {
        read_flag(request, words->at[i], key, &fault);
    }
    request->is_quiet = memcached_meta_has(&request->meta, 'q');
    return fault.fatal != NULL ? fault.fatal : fault.last;
}

/* The opaque, if there is one, is not too long. */
static bool is_opaque_good(const struct memcached_words *words, uint32_t first)
{
    for (uint32_t i = first; i < words->count; i++) {
        if (words->at[i].text[0] == 'O' && words->at[i].length > MEMCACHED_OPAQUE_BYTES_MAX) {
            return false;
        }
    }
    return true;
}

static void says(struct memcached_request *request, const char *text)
{
    request->kind = MEMCACHED_SAYS;
    request->say = (struct memcached_word){text, strlen(text)};
}

#define SAYS_TOO_LONG(request) MEMCACHED_REQUEST_SAYS(request, "CLIENT_ERROR opaque token too long")

/* ---- the commands --------------------------------------------------------------------------- */

static void take_key(const struct memcached_turn *turn, struct memcached_word key,
                     struct memcached_request *request)
{
    Q_ASSERT(key.length > 0 && key.length <= QUARRY_CACHE_KEY_BYTES_MAX);
    request->key = quarry_cache_key_make(turn->tenant, key.text, key.length);
}

static void read_get(const struct memcached_turn *turn, const struct memcached_words *words,
                     struct memcached_request *request)
{
    struct memcached_word key = words->at[1];
    const char *fault = read_flags(words, 2, &key, request);

    if (fault != NULL) {
        says(request, fault);
    } else if (!is_opaque_good(words, 2)) {
        SAYS_TOO_LONG(request);
    } else {
        request->kind = MEMCACHED_META_GET;
        take_key(turn, key, request);
    }
}

/* md and ma, which tell of no fault what it is. */
static void read_change(const struct memcached_turn *turn, const struct memcached_words *words,
                        enum memcached_kind kind, struct memcached_request *request)
{
    struct memcached_word key = words->at[1];

    if (read_flags(words, 2, &key, request) != NULL) {
        MEMCACHED_REQUEST_SAYS(request, "CLIENT_ERROR invalid or duplicate flag");
    } else if (kind == MEMCACHED_META_COUNT && request->meta.mode != 0 &&
               memchr("ID+-", request->meta.mode, 4) == NULL) {
        MEMCACHED_REQUEST_SAYS(request, "CLIENT_ERROR invalid mode for ma M token");
    } else if (!is_opaque_good(words, 2)) {
        SAYS_TOO_LONG(request);
    } else {
        request->kind = (uint8_t)kind;
        take_key(turn, key, request);
    }
}

static void read_debug(const struct memcached_turn *turn, const struct memcached_words *words,
                       struct memcached_request *request)
{
    struct memcached_word key = words->at[1];

    request->meta = (struct memcached_meta){0};
    if (words->count > 2 && MEMCACHED_WORD_IS(words->at[2], "b")) {
        request->meta.seen = (uint64_t)1 << ('b' & 63);
        if (!decode_key(request, &key)) {
            says(request, BAD_FORMAT);
            return;
        }
    }
    request->kind = MEMCACHED_META_DEBUG;
    take_key(turn, key, request);
}

static const char mode_letters[] = "SEAPR";
static const uint8_t modes[] = {QUARRY_CACHE_SET, QUARRY_CACHE_ADD, QUARRY_CACHE_APPEND,
                                QUARRY_CACHE_PREPEND, QUARRY_CACHE_REPLACE};

/* Which mode a store's letter means. Returns: false: none. */
static bool read_store_mode(char letter, uint8_t *ret_mode)
{
    if (letter == 0) {
        *ret_mode = QUARRY_CACHE_SET;
        return true;
    }
    const char *at = memchr(mode_letters, letter, sizeof mode_letters - 1);

    if (at == NULL) {
        return false;
    }
    *ret_mode = modes[at - mode_letters];
    return true;
}

static void read_store(const struct memcached_turn *turn, const struct memcached_words *words,
                       struct memcached_request *request)
{
    struct memcached_word key = words->at[1];
    int32_t value_bytes;

    if (words->count < 3 || !memcached_read_i32(words->at[2], &value_bytes) || value_bytes < 0 ||
        value_bytes > INT32_MAX - 2) {
        says(request, BAD_FORMAT);
        return;
    }
    request->value_bytes = (uint32_t)value_bytes;
    const char *fault = read_flags(words, 3, &key, request);

    if (fault == NULL && !read_store_mode(request->meta.mode, &request->mode)) {
        fault = "CLIENT_ERROR invalid mode for ms M token\r\n";
    }
    if (fault == NULL && !is_opaque_good(words, 3)) {
        fault = "CLIENT_ERROR opaque token too long\r\n";
    }
    if (fault != NULL) {
        says(request, fault);
        request->swallow_bytes = request->value_bytes + 2;
        return;
    }
    request->kind = MEMCACHED_META_STORE;
    take_key(turn, key, request);
}

void memcached_meta_read(const struct memcached_turn *turn, const struct memcached_words *words,
                         struct memcached_request *request)
{
    char command = words->at[0].text[1];
    bool has_key = words->count >= 2;

    if (command == 'n') {
        MEMCACHED_REQUEST_SAYS(request, "MN");
    } else if (memchr("gsdae", command, 5) == NULL || (!has_key && command != 'e')) {
        MEMCACHED_REQUEST_SAYS(request, "ERROR");
    } else if (!has_key || words->at[1].length > QUARRY_CACHE_KEY_BYTES_MAX) {
        says(request, BAD_FORMAT);
    } else if (command == 'e') {
        read_debug(turn, words, request);
    } else if (words->count > MEMCACHED_META_WORDS_MAX) {
        says(request, command == 'g' ? "CLIENT_ERROR options flags are too long\r\n"
                                     : "CLIENT_ERROR options flags too long\r\n");
    } else if (command == 'g') {
        read_get(turn, words, request);
    } else if (command == 's') {
        read_store(turn, words, request);
    } else {
        read_change(turn, words, command == 'd' ? MEMCACHED_META_DELETE : MEMCACHED_META_COUNT,
                    request);
    }
}
