/*
 * The meta commands: from a request to its answer.
 *
 *     VA 3 f0 c17 Oabc W\r\n    status, and the words that flags asked for, in the flags' order;
 *     xyz\r\n                   what nobody asked for behind them: Z, X, W
 *
 * Invariants:
 *  1. q hides the answers that are as expected: of mg the miss, of the others the success.
 *  2. k and O are in every answer that is no error, c of a store that failed is 0.
 *  3. Of t and T, and of t and N, the one that stands first is done first: t tells of the expiry
 *     that was, or that is.
 *
 * Source: behaviour of memcached 1.6.18, observed.
 */
#include <serve/memcached_meta.h>

/* A status and its length, a word for each flag, a key in base64, an opaque, Z X W, line end. */
#define ANSWER_BYTES_MAX 1024u

static inline char *put(char *out, const char *bytes, size_t byte_count)
{
    memcpy(out, bytes, byte_count);
    return out + byte_count;
}

static inline char *put_number(char *out, char letter, uint64_t number)
{
    *out++ = ' ';
    *out++ = letter;
    return memcached_write_u64(out, number);
}

/* How long an item lives yet; -1: for ever. */
static char *put_remaining(char *out, uint32_t expiry)
{
    return expiry == 0 ? put(out, " t-1", 4) : put_number(out, 't', memcached_remaining(expiry));
}

/* The key, as it was given: in base64, with a b behind it, where it came so. */
static char *put_key(char *out, const struct memcached_request *request)
{
    out = put(out, " k", 2);
    if (!memcached_meta_has(&request->meta, 'b')) {
        return put(out, request->key.bytes, request->key.byte_count);
    }
    out += memcached_base64_encode(out, request->key.bytes, request->key.byte_count);
    return put(out, " b", 2);
}

static char *put_word(char *out, struct memcached_word word)
{
    *out++ = ' ';
    return put(out, word.text, word.length);
}

/* The next flag of a request. Returns: false: there is none. */
static bool next_flag(struct memcached_word *rest, struct memcached_word *ret_flag)
{
    while (rest->length > 0 && *rest->text == ' ') {
        rest->text++;
        rest->length--;
    }
    if (rest->length == 0) {
        return false;
    }
    const char *space = memchr(rest->text, ' ', rest->length);
    size_t length = space == NULL ? rest->length : (size_t)(space - rest->text);

    *ret_flag = (struct memcached_word){rest->text, length};
    rest->text += length;
    rest->length -= length;
    return true;
}

/* k and O, which every answer gives back. Returns: `out`, if the flag is neither. */
static char *put_echo(char *out, const struct memcached_request *request,
                      struct memcached_word flag)
{
    return flag.text[0] == 'k'   ? put_key(out, request)
           : flag.text[0] == 'O' ? put_word(out, flag)
                                 : out;
}

size_t memcached_meta_echo(char *out, const struct memcached_request *request, bool is_store)
{
    struct memcached_word rest = request->meta.words;
    struct memcached_word flag;
    char *at = out;

    while (next_flag(&rest, &flag)) {
        char letter = flag.text[0];

        if (letter == 'O' && flag.length > MEMCACHED_OPAQUE_BYTES_MAX) {
            return SIZE_MAX;
        }
        if (is_store && (letter == 'c' || letter == 's')) {
            at = put(at, " \1", 2); /* no word that is echoed begins so */
            *at++ = letter;
        } else {
            at = put_echo(at, request, flag);
        }
    }
    Q_ASSERT((size_t)(at - out) <= MEMCACHED_ECHO_BYTES);
    return (size_t)(at - out);
}

/* Answers with a status, what is echoed, and nothing else. */
static enum memcached_step say_status(struct memcached_turn *turn,
                                      const struct memcached_request *request, const char *status)
{
    char *room = serve_out_room(turn->connection, ANSWER_BYTES_MAX);

    if (room == NULL) {
        return MEMCACHED_CLOSE;
    }
    char *out = put(room, status, 2);

    out += memcached_meta_echo(out, request, false);
    out = put(out, "\r\n", 2);
    serve_out_advance(turn->connection, (size_t)(out - room));
    return MEMCACHED_ON;
}

/* ---- mg ------------------------------------------------------------------------------------- */

/* How to read. Returns: whether it is other than plainly. */
static bool get_options(const struct memcached_meta *meta,
                        struct quarry_cache_get_options *ret_options)
{
    const uint64_t special = (uint64_t)1 << ('u' & 63) | (uint64_t)1 << ('T' & 63) |
                             (uint64_t)1 << ('N' & 63) | (uint64_t)1 << ('R' & 63);

    if (Q_LIKELY((meta->seen & special) == 0)) {
        return false;
    }
    *ret_options = (struct quarry_cache_get_options){
        .leaves_no_trace = memcached_meta_has(meta, 'u'),
        .touches = memcached_meta_has(meta, 'T'),
        .expiry = meta->expiry,
        .vivifies = memcached_meta_has(meta, 'N'),
        .vivify_expiry = meta->vivify_expiry,
        .vivify_cas = meta->new_cas,
        .recaches = memcached_meta_has(meta, 'R') && meta->recache_seconds > 0,
        .recache_seconds = meta->recache_seconds,
    };
    return true;
}

/* The expiry that a t before a T asks for. Returns: whether there is such a t, and an item. */
static bool expiry_before(const struct memcached_turn *turn,
                          const struct memcached_request *request, uint32_t *ret_expiry)
{
    const struct quarry_cache_get_options options = {.leaves_no_trace = true};
    struct quarry_cache_hit hit;

    if (Q_LIKELY(!request->meta.touches_behind_t) ||
        quarry_cache_get(turn->tenant, &request->key, &options, &hit) != QUARRY_CACHE_HIT) {
        return false;
    }
    *ret_expiry = hit.expiry;
    return true;
}

static char *put_hit_flag(char *out, const struct memcached_request *request,
                          struct memcached_word flag, const struct quarry_cache_hit *hit)
{
    switch (flag.text[0]) {
    case 's':
        return put_number(out, 's', hit->value_bytes);
    case 't':
        return put_remaining(out, hit->expiry);
    case 'c':
        return put_number(out, 'c', hit->cas);
    case 'f':
        return put_number(out, 'f', hit->client_flags);
    case 'l':
        return put_number(out, 'l', hit->idle_seconds);
    case 'h':
        return put_number(out, 'h', hit->was_hit ? 1 : 0);
    default:
        return put_echo(out, request, flag);
    }
}

/* All of an answer's line. */
static char *put_hit(char *out, const struct memcached_request *request,
                     const struct quarry_cache_hit *hit, bool has_value)
{
    struct memcached_word rest = request->meta.words;
    struct memcached_word flag;

    if (has_value) {
        out = put(out, "VA ", 3);
        out = memcached_write_u64(out, hit->value_bytes);
    } else {
        out = put(out, "HD", 2);
    }
    while (next_flag(&rest, &flag)) {
        out = put_hit_flag(out, request, flag, hit);
    }
    if (Q_UNLIKELY(hit->is_token_given)) {
        out = put(out, " Z", 2);
    }
    if (Q_UNLIKELY(hit->is_stale)) {
        out = put(out, " X", 2);
    }
    if (Q_UNLIKELY(hit->has_won)) {
        out = put(out, " W", 2);
    }
    return put(out, "\r\n", 2);
}

static enum memcached_step answer_hit(struct memcached_turn *turn,
                                      const struct memcached_request *request,
                                      const struct quarry_cache_hit *hit)
{
    const struct memcached_meta *meta = &request->meta;
    bool has_value =
        memcached_meta_has(meta, 'v') && !(memcached_meta_has(meta, 'C') && meta->cas == hit->cas);
    bool copies = has_value && hit->value_bytes <= MEMCACHED_COPIED_BYTES &&
                  hit->piece.byte_count == hit->value_bytes;
    char *room = serve_out_room(turn->connection, ANSWER_BYTES_MAX + MEMCACHED_COPIED_BYTES + 2);

    if (Q_UNLIKELY(room == NULL)) {
        return MEMCACHED_CLOSE;
    }
    char *out = put_hit(room, request, hit, has_value);

    Q_DCHECK((size_t)(out - room) <= ANSWER_BYTES_MAX);
    if (copies) {
        out = put(out, hit->piece.bytes, hit->piece.byte_count);
        out = put(out, "\r\n", 2);
    }
    serve_out_advance(turn->connection, (size_t)(out - room));
    if (has_value && !copies) {
        turn->at -= 1; /* of the line: until the value has gone */
        return memcached_send_value(turn, hit, 2, MEMCACHED_REQUEST, 1);
    }
    return MEMCACHED_ON;
}

enum memcached_step memcached_meta_get(struct memcached_turn *turn,
                                       const struct memcached_request *request)
{
    struct quarry_cache_get_options options;
    struct quarry_cache_hit hit;
    uint32_t expiry;
    bool shows_expiry_before = expiry_before(turn, request, &expiry);
    bool is_special = get_options(&request->meta, &options);
    enum quarry_cache_outcome outcome =
        quarry_cache_get(turn->tenant, &request->key, is_special ? &options : NULL, &hit);

    memcached_count(&turn->counters->meta_requests);
    memcached_note(turn, MEMCACHED_EVENT_GET, &request->key,
                   outcome == QUARRY_CACHE_HIT ? "found" : "not_found",
                   outcome == QUARRY_CACHE_HIT ? hit.value_bytes : 0, NULL);
    if (outcome != QUARRY_CACHE_HIT) {
        return request->is_quiet ? MEMCACHED_ON : say_status(turn, request, "EN");
    }
    if (Q_UNLIKELY(shows_expiry_before)) {
        hit.expiry = expiry;
    }
    return answer_hit(turn, request, &hit);
}

/* ---- ms ------------------------------------------------------------------------------------- */

void memcached_meta_store_options(const struct memcached_request *request,
                                  struct quarry_cache_store_options *ret_options)
{
    const struct memcached_meta *meta = &request->meta;

    *ret_options = (struct quarry_cache_store_options){
        .mode = (enum quarry_cache_mode)request->mode,
        .client_flags = meta->client_flags,
        .expiry = meta->expiry,
        .has_cas = memcached_meta_has(meta, 'C'),
        .cas = meta->cas,
        .invalidates = memcached_meta_has(meta, 'I'),
        .new_cas = meta->new_cas,
        .vivifies = memcached_meta_has(meta, 'N'),
        .vivify_expiry = meta->vivify_expiry,
    };
}

/* What comes of a store, in two letters; NULL: an error. */
static const char *store_status(enum quarry_cache_outcome outcome)
{
    switch (outcome) {
    case QUARRY_CACHE_HIT:
        return "HD";
    case QUARRY_CACHE_MISS:
        return "NF";
    case QUARRY_CACHE_NOT_STORED:
        return "NS";
    case QUARRY_CACHE_EXISTS:
        return "EX";
    case QUARRY_CACHE_NOT_NUMBER:
    case QUARRY_CACHE_NO_MEMORY:
    case QUARRY_CACHE_TOO_LARGE:
        break;
    }
    return NULL;
}

/* What is echoed, with numbers in the place of what stands for them. */
static char *put_stored_echo(char *out, const char *echo, size_t echo_bytes,
                             const struct quarry_cache_stored *stored)
{
    for (size_t i = 0; i < echo_bytes; i++) {
        if (echo[i] == ' ' && echo[i + 1] == '\1') {
            i += 2;
            out = put_number(out, echo[i], echo[i] == 'c' ? stored->cas : stored->value_bytes);
        } else {
            *out++ = echo[i];
        }
    }
    return out;
}

enum memcached_step memcached_meta_stored(struct memcached_turn *turn,
                                          enum quarry_cache_outcome outcome, bool is_quiet,
                                          const char *echo, size_t echo_bytes,
                                          const struct quarry_cache_stored *stored)
{
    const char *status = store_status(outcome);

    if (status == NULL) {
        return outcome == QUARRY_CACHE_TOO_LARGE
                   ? MEMCACHED_SAY(turn, "SERVER_ERROR object too large for cache")
                   : MEMCACHED_SAY(turn, "SERVER_ERROR out of memory storing object");
    }
    if (is_quiet && outcome == QUARRY_CACHE_HIT) {
        return MEMCACHED_ON;
    }
    char *room = serve_out_room(turn->connection, ANSWER_BYTES_MAX);

    if (room == NULL) {
        return MEMCACHED_CLOSE;
    }
    char *out = put(room, status, 2);

    out = put_stored_echo(out, echo, echo_bytes,
                          outcome == QUARRY_CACHE_HIT ? stored : &(struct quarry_cache_stored){0});
    out = put(out, "\r\n", 2);
    serve_out_advance(turn->connection, (size_t)(out - room));
    return MEMCACHED_ON;
}

/* ---- md ------------------------------------------------------------------------------------- */

enum memcached_step memcached_meta_delete(struct memcached_turn *turn,
                                          const struct memcached_request *request)
{
    const struct memcached_meta *meta = &request->meta;
    bool invalidates = memcached_meta_has(meta, 'I');
    const struct quarry_cache_delete_options options = {
        .has_cas = memcached_meta_has(meta, 'C'),
        .cas = meta->cas,
        .invalidates = invalidates,
        .drops_value = memcached_meta_has(meta, 'x'),
        .sets_expiry = invalidates && memcached_meta_has(meta, 'T'),
        .expiry = meta->expiry,
        .new_cas = meta->new_cas,
    };
    memcached_step_out(turn);
    enum quarry_cache_outcome outcome = quarry_cache_delete(turn->tenant, &request->key, &options);
    memcached_step_in(turn);

    memcached_count(&turn->counters->meta_requests);
    memcached_note(turn, MEMCACHED_EVENT_DELETE, &request->key,
                   outcome == QUARRY_CACHE_HIT ? "deleted" : "not_found", 0, NULL);
    if (outcome == QUARRY_CACHE_NO_MEMORY) {
        return MEMCACHED_SAY(turn, "SERVER_ERROR out of memory");
    }
    if (outcome == QUARRY_CACHE_HIT && request->is_quiet) {
        return MEMCACHED_ON;
    }
    return say_status(turn, request, store_status(outcome));
}

/* ---- ma ------------------------------------------------------------------------------------- */

static char *put_counted_flag(char *out, const struct memcached_request *request,
                              struct memcached_word flag,
                              const struct quarry_cache_counted *counted)
{
    switch (flag.text[0]) {
    case 't':
        return put_remaining(out, counted->expiry);
    case 'c':
        return put_number(out, 'c', counted->cas);
    default:
        return put_echo(out, request, flag);
    }
}

static enum memcached_step answer_counted(struct memcached_turn *turn,
                                          const struct memcached_request *request,
                                          const struct quarry_cache_counted *counted)
{
    char digits[MEMCACHED_NUMBER_BYTES];
    size_t digit_count = (size_t)(memcached_write_u64(digits, counted->number) - digits);
    struct memcached_word rest = request->meta.words;
    struct memcached_word flag;
    bool has_value = memcached_meta_has(&request->meta, 'v');
    char *room = serve_out_room(turn->connection, ANSWER_BYTES_MAX);

    if (room == NULL) {
        return MEMCACHED_CLOSE;
    }
    char *out = put(room, has_value ? "VA " : "HD", has_value ? 3 : 2);

    out = has_value ? memcached_write_u64(out, digit_count) : out;
    while (next_flag(&rest, &flag)) {
        out = put_counted_flag(out, request, flag, counted);
    }
    out = put(out, "\r\n", 2);
    if (has_value) {
        out = put(out, digits, digit_count);
        out = put(out, "\r\n", 2);
    }
    serve_out_advance(turn->connection, (size_t)(out - room));
    return MEMCACHED_ON;
}

static struct quarry_cache_count_options count_options(const struct memcached_meta *meta)
{
    return (struct quarry_cache_count_options){
        .delta = meta->delta,
        .decrements = meta->mode == 'D' || meta->mode == '-',
        .has_cas = memcached_meta_has(meta, 'C'),
        .cas = meta->cas,
        .sets_expiry = memcached_meta_has(meta, 'T'),
        .expiry = meta->expiry,
        .vivifies = memcached_meta_has(meta, 'N'),
        .initial = meta->initial,
        .vivify_expiry = meta->vivify_expiry,
        .new_cas = meta->new_cas,
    };
}

enum memcached_step memcached_meta_count(struct memcached_turn *turn,
                                         const struct memcached_request *request)
{
    const struct quarry_cache_count_options options = count_options(&request->meta);
    struct quarry_cache_counted counted;
    uint32_t expiry;
    bool shows_expiry_before = expiry_before(turn, request, &expiry);
    memcached_step_out(turn);
    enum quarry_cache_outcome outcome =
        quarry_cache_count(turn->tenant, &request->key, &options, &counted);
    memcached_step_in(turn);

    memcached_count(&turn->counters->meta_requests);
    switch (outcome) {
    case QUARRY_CACHE_HIT:
        counted.expiry = shows_expiry_before ? expiry : counted.expiry;
        return request->is_quiet ? MEMCACHED_ON : answer_counted(turn, request, &counted);
    case QUARRY_CACHE_NOT_NUMBER:
        return MEMCACHED_SAY(turn, "CLIENT_ERROR cannot increment or decrement non-numeric value");
    case QUARRY_CACHE_NO_MEMORY:
        return MEMCACHED_SAY(turn, "SERVER_ERROR out of memory");
    case QUARRY_CACHE_MISS:
    case QUARRY_CACHE_NOT_STORED:
    case QUARRY_CACHE_EXISTS:
        return say_status(turn, request, store_status(outcome));
    case QUARRY_CACHE_TOO_LARGE:
        break;
    }
    Q_UNREACHABLE();
}

/* ---- me ------------------------------------------------------------------------------------- */

static char *put_figure(char *out, const char *name, uint64_t number)
{
    out = put(out, name, strlen(name));
    return memcached_write_u64(out, number);
}

static char *put_debug(char *out, const struct memcached_request *request,
                       const struct quarry_cache_hit *hit)
{
    out = put(out, "ME", 2);
    if (memcached_meta_has(&request->meta, 'b')) {
        *out++ = ' ';
        out += memcached_base64_encode(out, request->key.bytes, request->key.byte_count);
    } else {
        out = put_word(out, (struct memcached_word){request->key.bytes, request->key.byte_count});
    }
    out = hit->expiry == 0 ? put(out, " exp=-1", 7)
                           : put_figure(out, " exp=", memcached_remaining(hit->expiry));
    out = put_figure(out, " la=", hit->idle_seconds);
    out = put_figure(out, " cas=", hit->cas);
    out = hit->was_hit ? put(out, " fetch=yes", 10) : put(out, " fetch=no", 9);
    out = put_figure(out, " cls=", hit->class_id);
    out = put_figure(out, " size=", hit->item_bytes);
    return put(out, "\r\n", 2);
}

enum memcached_step memcached_meta_debug(struct memcached_turn *turn,
                                         const struct memcached_request *request)
{
    const struct quarry_cache_get_options options = {.leaves_no_trace = true};
    struct quarry_cache_hit hit;

    memcached_count(&turn->counters->meta_requests);
    if (quarry_cache_get(turn->tenant, &request->key, &options, &hit) != QUARRY_CACHE_HIT) {
        return MEMCACHED_SAY(turn, "EN");
    }
    char *room = serve_out_room(turn->connection, ANSWER_BYTES_MAX);

    if (room == NULL) {
        return MEMCACHED_CLOSE;
    }
    serve_out_advance(turn->connection, (size_t)(put_debug(room, request, &hit) - room));
    return MEMCACHED_ON;
}
