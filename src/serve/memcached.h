/*
 * What the files of the memcached door share: the door itself, a connection's state, a turn.
 *
 * A *turn* here is one call of door.input: a cursor over the bytes that have come, and all that is
 * at hand for it. What a connection is in the middle of is its *phase*.
 */
#ifndef QUARRY_SERVE_MEMCACHED_H
#define QUARRY_SERVE_MEMCACHED_H

#include <serve/door_memcached.h>
#include <serve/list.h>
#include <serve/memcached_scan.h>

/* ---- limits --------------------------------------------------------------------------------- */

/*
 * A line without an end in so many bytes must be a get, or the connection is closed; of a get, keys
 * in so many bytes are looked at before the first is answered. memcached's number.
 */
#define MEMCACHED_LINE_BYTES_MAX 2048u
/* Requests that are read ahead, so that what they touch is fetched together. */
#define MEMCACHED_BATCH 16u
/*
 * Requests in a turn before others have theirs: 250 µs at 1 µs each. Double it, and one connection
 * that pipelines holds up its neighbours for twice as long, for a tenth fewer system calls.
 */
#define MEMCACHED_TURN_REQUESTS 256u
/* Values up to here are copied into the answer: cheaper than an iovec and a pin. */
#define MEMCACHED_COPIED_BYTES 1024u
/* From here a value goes out in stretches, pinned, and is not read faster than it is taken. */
#define MEMCACHED_STREAMED_BYTES SERVE_OUT_WAITING_MAX
/* From here the rest of a value that comes is read from the socket straight to its cell. */
#define MEMCACHED_WANTED_BYTES Q_KIB(8)
/*
 * Values that have begun to come and are not whole may have a part of the cache, one in so many;
 * who would begin another waits. They cannot be evicted, nor can their pages be moved: a half would
 * be enough to have the rest evicted for every store.
 */
#define MEMCACHED_UNFINISHED_PART 4u
/* Values above are large: they have the half of that part, and the others have the other half. Of
 * this size are the pieces of which the cache makes values. */
#define MEMCACHED_PIECE_BYTES Q_KIB(64)
/* An exptime above is a Unix time, not a distance. */
#define MEMCACHED_RELATIVE_SECONDS_MAX (60 * 60 * 24 * 30)
/* The longest opaque token, its letter included. */
#define MEMCACHED_OPAQUE_BYTES_MAX 32u
/* The most words of a meta request that are looked at: its command and key and so many flags. */
#define MEMCACHED_META_WORDS_MAX 19u
/* What a meta answer echoes at most: a key in base64, an opaque, and what stands for a cas. */
#define MEMCACHED_ECHO_BYTES 304u

/* ---- the door ------------------------------------------------------------------------------- */

/* What a worker has counted. Written by the worker alone, read by all. */
struct memcached_counters {
    _Atomic uint64_t touch_requests, flush_requests, meta_requests;
    _Atomic uint64_t logins, logins_refused;
    _Atomic uint64_t requests, yields, refused_by_limit;
    _Atomic uint64_t store_too_large, store_no_memory;
    _Atomic uint64_t values_cut;    /* large ones that changed while a client read them */
    _Atomic uint64_t values_waited; /* that came in pieces, and had to wait to begin */
    uint32_t until_sample; /* owner thread: requests until one is told to the sketch of hot keys */
    uint32_t random;       /* owner thread */
} Q_ALIGNED(Q_CACHE_LINE_BYTES);

static inline void memcached_count(_Atomic uint64_t *counter)
{
    /* Relaxed: a figure; a worker is its only writer. */
    atomic_bump_relaxed_u64(counter, 1);
}

struct memcached {
    struct memcached_settings settings; /* const after open, but for what is atomic below */
    bool is_open;
    uint32_t start_seconds;           /* const after open: the cache's clock */
    struct memcached_address address; /* const while there are connections */
    /* atomic */
    _Atomic bool refuses_flush, refuses_dump, refuses_watch, allows_shutdown;
    _Atomic bool is_noting; /* prefixes are counted, or somebody watches: the slow way is taken */
    _Atomic bool counts_prefixes;
    _Atomic uint32_t verbosity;
    _Atomic uint32_t crawler_sleep_us, crawler_to_crawl, automove, temporary_ttl;
    _Atomic uint32_t hot_percent, warm_percent;
    _Atomic bool has_crawler, has_temporary_lru, is_flat_lru;
    struct memcached_counters workers[MEMCACHED_WORKERS_MAX];
};
extern struct memcached memcached;

/* ---- a connection --------------------------------------------------------------------------- */

enum memcached_protocol {
    MEMCACHED_UNDECIDED = 0,
    MEMCACHED_TEXT,
    MEMCACHED_BINARY,
};

/* What a connection is in the middle of. Each has a function in door_memcached.c's table. */
enum memcached_phase {
    MEMCACHED_REQUEST = 0,  /* nothing: a request is next */
    MEMCACHED_KEYS,         /* a get: its next key, or the end of its line */
    MEMCACHED_QUEUED,       /* a value that has to wait until it may begin to come */
    MEMCACHED_VALUE,        /* a value that comes */
    MEMCACHED_VALUE_END,    /* the line end behind it */
    MEMCACHED_SWALLOW,      /* bytes of a request that has been answered already */
    MEMCACHED_SWALLOW_LINE, /* the same, to the end of the line */
    MEMCACHED_SENDING,      /* a large value that goes out */
    MEMCACHED_DUMP,         /* the items of a tenant that go out */
    MEMCACHED_WATCHING,     /* told of events; what it sends is ignored */
    MEMCACHED_LOGIN,        /* credentials are being verified */
    MEMCACHED_ASKING,       /* the server was asked for something that it says later */
    MEMCACHED_CONNECTIONS,  /* figures of connections that go out */
    MEMCACHED_PHASE_COUNT,
};

/* How the answer to a store is put. */
enum memcached_form {
    MEMCACHED_CLASSIC = 0,
    MEMCACHED_META,
    MEMCACHED_PACKET,
};

/* Who waits until his value may begin. memcached_unfinished.c. */
struct memcached_waiter {
    struct serve_link link; /* guarded by the pool's mutex, as is_called */
    bool is_called;
    bool has_asked, is_waiting; /* owner thread: for a place; until it is called */
    /* const while it waits */
    struct serve_worker *worker;
    uint64_t connection_id;
    uint64_t byte_count; /* of the value */
};

/* A value on its way in. */
struct memcached_storing {
    union {
        struct memcached_waiter waiter; /* in MEMCACHED_QUEUED */
        struct quarry_cache_write write;
    };
    struct quarry_cache_store_options options;
    uint8_t form; /* enum memcached_form */
    bool is_quiet;
    uint8_t opcode;       /* of a packet */
    uint32_t opaque;      /* likewise, as it came */
    uint64_t value_bytes; /* of one that has not come whole, as is what follows */
    uint64_t place_bytes; /* its place among the unfinished */
    uint8_t key_bytes;    /* of `key` */
    uint16_t echo_bytes;
    char echo[MEMCACHED_ECHO_BYTES]; /* of a meta request: see memcached_meta.h */
    char key[QUARRY_CACHE_KEY_BYTES_MAX];
};

/* A value on its way out. */
struct memcached_sending {
    struct quarry_cache_hit hit; /* pinned, or of this turn */
    uint64_t offset;             /* of its next byte */
    bool is_pinned;
    uint8_t then;           /* enum memcached_phase */
    uint8_t line_end_bytes; /* "\r\n" behind it, or nothing */
    uint8_t kept_bytes;     /* of the request, kept unconsumed so far */
    uint8_t key_bytes;      /* of `key`, by which it is found again while it is not pinned */
    char key[QUARRY_CACHE_KEY_BYTES_MAX];
};

enum memcached_dump_form {
    MEMCACHED_DUMPS_ITEMS = 0, /* metadump */
    MEMCACHED_DUMPS_KEYS,      /* mgdump */
    MEMCACHED_DUMPS_CLASS,     /* cachedump */
};
/* Classes of cells that a dump can be asked for. */
#define MEMCACHED_DUMP_CLASSES_MAX 256u

/* Items on their way out. */
struct memcached_dumping {
    uint64_t cursor;
    uint32_t left;    /* items that may yet be told of */
    uint8_t form;     /* enum memcached_dump_form */
    bool has_classes; /* only of those in `classes`, a bit each */
    uint64_t classes[MEMCACHED_DUMP_CLASSES_MAX / 64];
};

/* Figures of connections on their way out. */
struct memcached_listing {
    struct memcached_connection_figures *figures; /* own */
    size_t count, told;
};

struct memcached_state {
    uint8_t protocol; /* enum memcached_protocol */
    uint8_t phase;    /* enum memcached_phase */
    uint8_t failed_logins;
    /* In MEMCACHED_KEYS, of the get. */
    bool get_has_cas, get_touches;
    bool is_asking_quietly; /* in MEMCACHED_ASKING: a success is not answered */
    bool is_borrowing;      /* this turn has answered with bytes that lie in the cache */
    bool has_erred;         /* it is closed for what it said */
    /* A login is being verified, or figures are told, for a packet of this opcode and opaque. */
    uint8_t login_opcode;
    uint32_t login_opaque;
    uint32_t get_expiry;
    uint32_t turn_requests; /* answered in this turn of the worker */
    uint32_t scanned_bytes; /* of the next line: there is no end in them */
    uint64_t swallow_bytes;
    uint64_t watcher; /* in MEMCACHED_WATCHING: see memcached_watch.c */
    union {
        struct memcached_storing storing;
        struct memcached_sending sending;
        struct memcached_dumping dumping;
        struct memcached_listing listing;
    };
};

/* ---- a turn --------------------------------------------------------------------------------- */

/* What a phase's function says. */
enum memcached_step {
    MEMCACHED_ON = 0, /* the next phase, at once */
    MEMCACHED_MORE,   /* bytes are missing */
    MEMCACHED_YIELD,
    MEMCACHED_CLOSE,
    MEMCACHED_PAUSE,
    MEMCACHED_WAIT,
};

/* Why requests are noted, if they are. */
enum memcached_notes {
    MEMCACHED_NOTES_ALL = 1,    /* prefixes are counted, or somebody watches */
    MEMCACHED_NOTES_SAMPLE = 2, /* this one is told to the sketch of hot keys */
};

struct memcached_turn {
    struct serve_connection *connection;
    struct memcached_state *state;
    struct memcached_counters *counters;
    struct serve_identity *identity;
    struct quarry_cache_tenant *tenant; /* of the identity; NULL before a login */
    uint8_t notes;                      /* of enum memcached_notes */
    uint32_t hit_count;                 /* of gets: to be told to the cache */
    const char *at;                     /* the first byte that is not consumed */
    const char *end;                    /* behind the last that has come */
};

static inline size_t memcached_left(const struct memcached_turn *turn)
{
    return (size_t)(turn->end - turn->at);
}

static inline bool memcached_may(const struct memcached_turn *turn, enum serve_right right)
{
    return (turn->identity->rights & (uint32_t)right) != 0;
}

/* Whether so much waits to be sent that nothing more shall be answered now. */
static inline bool memcached_is_full(const struct memcached_turn *turn)
{
    return serve_out_waiting(turn->connection) >= SERVE_OUT_WAITING_MAX;
}

/* Tells the cache of the hits so far, before somebody asks for its figures. */
static inline void memcached_tell_hits(struct memcached_turn *turn)
{
    if (turn->hit_count != 0) {
        quarry_cache_count_hits(turn->tenant, turn->hit_count);
        turn->hit_count = 0;
    }
}

/*
 * The expiry that a client's exptime means: 0 never, below 0 at once, up to 30 days from now, above
 * at that Unix time.
 */
uint32_t memcached_expiry(int32_t exptime);
/* How long it is until an expiry; 0 when it has passed. */
static inline uint32_t memcached_remaining(uint32_t expiry)
{
    uint32_t now = quarry_cache_now(memcached.settings.cache);

    return expiry > now ? expiry - now : 0;
}

/* Goes through the bytes of a request that is answered already. Returns: the turn's next step. */
enum memcached_step memcached_swallow(struct memcached_turn *turn, uint64_t byte_count);

/*
 * Leaves the cache's epoch in the middle of a turn, and enters it again: for what may have to wait
 * for memory, which comes of what others and we have evicted when all have left. What has been
 * answered with bytes of the cache is sent or kept before; hits are not valid any more.
 */
void memcached_step_out(struct memcached_turn *turn);
void memcached_step_in(struct memcached_turn *turn);

/* ---- answers -------------------------------------------------------------------------------- */

/* Answers a line. Returns: ON, or CLOSE when there is no memory for it. */
enum memcached_step memcached_say_bytes(struct memcached_turn *turn, const char *text,
                                        size_t length);
#define MEMCACHED_SAY(turn, literal) memcached_say_bytes(turn, literal "\r\n", sizeof(literal) + 1)
/* The same by a variable, without its line end. */
enum memcached_step memcached_say(struct memcached_turn *turn, const char *text);

/* Answers with bytes of a value: all of it, by pointing to where it lies. */
enum memcached_step memcached_send_pieces(struct memcached_turn *turn,
                                          const struct quarry_cache_hit *hit);
/*
 * Sends a value and its line end, whatever its size; the turn goes on with the phase `then`.
 * `kept_bytes`: of the request, at the cursor: they are consumed with the value's last byte.
 */
enum memcached_step memcached_send_value(struct memcached_turn *turn,
                                         const struct quarry_cache_hit *hit, uint8_t line_end_bytes,
                                         enum memcached_phase then, uint8_t kept_bytes);

/* ---- events --------------------------------------------------------------------------------- */

enum memcached_event {
    MEMCACHED_EVENT_GET = 0,
    MEMCACHED_EVENT_SET,
    MEMCACHED_EVENT_DELETE,
};

/* What has happened to a key. */
struct memcached_noted {
    enum memcached_event event;
    const struct quarry_cache_key *key;
    const char *status; /* static, as `watch` puts it */
    uint64_t value_bytes;
    const struct quarry_cache_store_options *options; /* of a store; NULL */
};

void memcached_note_slow(struct memcached_turn *turn, const struct memcached_noted *noted);

/* Of how many requests one is told to the sketch of hot keys. */
#define MEMCACHED_SAMPLED 64u

/*
 * Which of the `count` requests that come next is told to the sketch of hot keys; `count`: none.
 * The distances vary, so that no pattern of requests hides from it.
 */
uint32_t memcached_next_sample_slow(struct memcached_counters *counters);
static inline uint32_t memcached_next_sample(struct memcached_turn *turn, uint32_t count)
{
    uint32_t until = turn->counters->until_sample;

    if (Q_LIKELY(until >= count)) {
        turn->counters->until_sample = until - count;
        return count;
    }
    turn->counters->until_sample = memcached_next_sample_slow(turn->counters);
    return until;
}

/* Tells watchers, prefixes and the sketch of hot keys, if they want to know of this request. */
static Q_ALWAYS_INLINE void memcached_note(struct memcached_turn *turn, enum memcached_event event,
                                           const struct quarry_cache_key *key, const char *status,
                                           uint64_t value_bytes,
                                           const struct quarry_cache_store_options *options)
{
    if (Q_UNLIKELY(turn->notes != 0)) {
        memcached_note_slow(turn,
                            &(struct memcached_noted){event, key, status, value_bytes, options});
    }
}

#endif
