/*
 * A request of the text protocol: read from its line, then executed.
 *
 * Reading is pure but for the hash of the key, so that a batch of requests can be read ahead and
 * what their keys touch be fetched together; executing is in order.
 */
#ifndef QUARRY_SERVE_MEMCACHED_REQUEST_H
#define QUARRY_SERVE_MEMCACHED_REQUEST_H

#include <serve/memcached.h>

enum memcached_kind {
    MEMCACHED_SAYS = 0,  /* a text, which is all of the answer */
    MEMCACHED_CLOSES,    /* the connection */
    MEMCACHED_GET,       /* of one key */
    MEMCACHED_GETS_KEYS, /* of the keys in its line */
    MEMCACHED_STORE,
    MEMCACHED_DELETE,
    MEMCACHED_TOUCH,
    MEMCACHED_COUNT,
    MEMCACHED_META_GET,
    MEMCACHED_META_STORE,
    MEMCACHED_META_DELETE,
    MEMCACHED_META_COUNT,
    MEMCACHED_META_DEBUG,
    MEMCACHED_OTHER, /* statistics and administration: read again when executed */
};

/* The flags of a meta request, read. Those that only ask for words in the answer are `words`. */
struct memcached_meta {
    struct memcached_word words; /* the flags as they came */
    uint64_t seen;               /* of letters: memcached_meta_has */
    uint64_t cas;                /* C */
    uint64_t new_cas;            /* E */
    uint64_t delta, initial;     /* D, J */
    uint32_t expiry;             /* T */
    uint32_t vivify_expiry;      /* N */
    uint32_t recache_seconds;    /* R */
    uint32_t client_flags;       /* F */
    char mode;                   /* M; 0: none */
    bool touches_behind_t;       /* a t stands before T, and asks for the expiry before it */
};

/* Whether a flag was given. */
static inline bool memcached_meta_has(const struct memcached_meta *meta, char letter)
{
    return (meta->seen >> ((uint32_t)letter & 63) & 1) != 0;
}

struct memcached_request {
    uint8_t kind; /* enum memcached_kind */
    bool is_quiet;
    bool has_cas; /* answers with it; of a store: compares it */
    bool touches; /* gat, gats */
    bool decrements;
    uint8_t mode;               /* enum quarry_cache_mode */
    uint32_t line_bytes;        /* with its end */
    struct memcached_word line; /* without */
    struct memcached_word keys; /* MEMCACHED_GETS_KEYS: from the first key to the line's end */
    struct memcached_word say;  /* MEMCACHED_SAYS, with its line end */
    uint64_t swallow_bytes;     /* that follow a line which was refused */
    struct quarry_cache_key key;
    uint64_t value_bytes;
    uint64_t number; /* a cas, or a delta */
    uint32_t client_flags;
    uint32_t expiry;
    struct memcached_meta meta;
    char decoded_key[MEMCACHED_BASE64_BYTES(QUARRY_CACHE_KEY_BYTES_MAX) * 3 / 4];
};

/* Makes it one that is answered with a text. */
static inline void memcached_request_says(struct memcached_request *request, const char *text,
                                          size_t length)
{
    request->kind = MEMCACHED_SAYS;
    request->say = (struct memcached_word){text, length};
}
#define MEMCACHED_REQUEST_SAYS(request, literal)                                                   \
    memcached_request_says(request, literal "\r\n", sizeof(literal) + 1)

static inline bool memcached_request_has_key(const struct memcached_request *request)
{
    return request->kind == MEMCACHED_GET ||
           (request->kind >= MEMCACHED_STORE && request->kind <= MEMCACHED_META_DEBUG);
}

/* ---- reading -------------------------------------------------------------------------------- */

/*
 * Reads the request of a line, which is request->line.
 *
 * `turn`: for the tenant's hash; nothing is consumed. Every field that executing it needs is
 * written. Errors: none; what makes no sense becomes MEMCACHED_SAYS.
 */
void memcached_text_read(const struct memcached_turn *turn, struct memcached_request *request);
/* The same for a line whose first word is m and a letter; `words` are the line's. */
void memcached_meta_read(const struct memcached_turn *turn, const struct memcached_words *words,
                         struct memcached_request *request);

/* Has the key of a request: its hash. False: it is too long, and the request says so. */
bool memcached_request_take_key(const struct memcached_turn *turn, struct memcached_word word,
                                struct memcached_request *request);

/* ---- executing ------------------------------------------------------------------------------ */

/* Each answers a request. The cursor is behind its line; a store moves it behind the value. */
enum memcached_step memcached_get_one(struct memcached_turn *turn,
                                      const struct memcached_request *request);
enum memcached_step memcached_get_keys(struct memcached_turn *turn,
                                       const struct memcached_request *request);
enum memcached_step memcached_store(struct memcached_turn *turn,
                                    const struct memcached_request *request);
enum memcached_step memcached_delete(struct memcached_turn *turn,
                                     const struct memcached_request *request);
enum memcached_step memcached_touch(struct memcached_turn *turn,
                                    const struct memcached_request *request);
enum memcached_step memcached_arithmetic(struct memcached_turn *turn,
                                         const struct memcached_request *request);
enum memcached_step memcached_meta_get(struct memcached_turn *turn,
                                       const struct memcached_request *request);
enum memcached_step memcached_meta_delete(struct memcached_turn *turn,
                                          const struct memcached_request *request);
enum memcached_step memcached_meta_count(struct memcached_turn *turn,
                                         const struct memcached_request *request);
enum memcached_step memcached_meta_debug(struct memcached_turn *turn,
                                         const struct memcached_request *request);
/* Statistics and administration. */
enum memcached_step memcached_command(struct memcached_turn *turn,
                                      const struct memcached_request *request);

enum memcached_step memcached_say_version(struct memcached_turn *turn);

/* ---- phases --------------------------------------------------------------------------------- */

/* Requests of the text protocol: reads a batch ahead, executes it. */
enum memcached_step memcached_text_phase(struct memcached_turn *turn);
/* A line of a connection that has yet to log in. */
enum memcached_step memcached_login_text_phase(struct memcached_turn *turn);
enum memcached_step memcached_packet_phase(struct memcached_turn *turn);
enum memcached_step memcached_keys_phase(struct memcached_turn *turn);
enum memcached_step memcached_queued_phase(struct memcached_turn *turn);
enum memcached_step memcached_value_phase(struct memcached_turn *turn);
enum memcached_step memcached_value_end_phase(struct memcached_turn *turn);
enum memcached_step memcached_sending_phase(struct memcached_turn *turn);
enum memcached_step memcached_dump_phase(struct memcached_turn *turn);
enum memcached_step memcached_watching_phase(struct memcached_turn *turn);
enum memcached_step memcached_connections_phase(struct memcached_turn *turn);

#endif
