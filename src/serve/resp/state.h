/*
 * What the core's files share: the door itself, a connection's state, a turn.
 *
 * A *turn* here is one call of door.input: a cursor over the bytes that have come, and all that is
 * at hand for it.
 */
#ifndef QUARRY_SERVE_RESP_STATE_H
#define QUARRY_SERVE_RESP_STATE_H

#include <os/os.h>

#include <serve/door_resp.h>
#include <serve/list.h>
#include <serve/resp/parse.h>
#include <serve/resp/reply.h>
#include <serve/resp/request.h>

/* ---- limits --------------------------------------------------------------------------------- */

/* Words of a request that is executed from where it came; one with more is gathered first. */
#define RESP_WORDS_HERE 1024u
/* Of a request that is not whole, what is left with the net to be read again with the rest; more is
 * gathered. Doubled, a client that sends byte after byte costs four times as much. */
#define RESP_LEFT_BYTES_MAX Q_KIB(4)
/* Bytes of a word from here on come straight to where they are gathered. */
#define RESP_WANTED_BYTES_MIN Q_KIB(16)
/* Requests in a turn before others have theirs, as the memcached door's. */
#define RESP_TURN_REQUESTS 256u

/* ---- a connection --------------------------------------------------------------------------- */

/* Where a word is, while the buffer may move; and when all words are there. */
union resp_place {
    struct {
        size_t offset, byte_count;
    } at;
    struct quarry_kv_slice word;
};

/* A request that comes in pieces: gather.c. All zero: none. */
struct resp_gather {
    char *bytes;
    size_t used, capacity;
    union resp_place *places;
    uint32_t place_count, place_capacity;
    struct resp_cursor cursor;
    size_t word_used;   /* of the word under way, CR and LF included */
    size_t total_bytes; /* of all words, kept or not */
    bool is_active;
    bool is_refused; /* a stranger's, or there is no memory: it is read, and answered so */
};

/* A HELLO whose login is being verified. */
struct resp_hello {
    bool is_hello;
    uint8_t protocol; /* 0: as it is */
    bool has_name;
    char name[RESP_NAME_BYTES];
};

enum resp_sync_place { RESP_SYNC_NONE = 0, RESP_SYNC_WAITING, RESP_SYNC_UNDER_WAY, RESP_SYNC_DONE };

struct resp_job;

struct resp_state {
    struct resp_session session; /* first: others find it by the connection's state */
    struct resp_gather gather;
    struct resp_bytes sending; /* an answer that was made in memory; none: base NULL */
    size_t sent_bytes;         /* of it */
    bool is_logging_in;
    bool closes; /* once what waits has been answered */
    struct resp_hello hello;
    struct resp_job *job;        /* under way, the executor's; NULL: none */
    struct serve_link sync_link; /* guarded by sync's mutex, as the next */
    enum resp_sync_place sync_place;
    bool is_syncing; /* the worker's */
};

/* ---- the door ------------------------------------------------------------------------------- */

/* A worker's. Owner thread's, but for what is another's. */
struct resp_worker {
    struct serve_worker *worker; /* const after its first connection */
    struct resp_lent lent;
    uint64_t now_ms;  /* when the turn began */
    uint64_t mark_ns; /* when it did, or the last command was done: monotonic */
    uint32_t turn_requests;
    struct quarry_kv_slice words[RESP_WORDS_HERE];
    char line[RESP_LINE_BYTES_MAX];
};

struct resp_door_state {
    bool is_open, is_stopped;
    _Atomic uint64_t last_id; /* of sessions */
    struct resp_door_settings settings;
    struct resp_common common; /* const, but for what its snapshots are */
    struct serve_memory pages;
    struct resp_worker *workers[RESP_WORKERS_MAX];
};
extern struct resp_door_state resp_the_door;

struct resp_turn {
    struct serve_connection *connection;
    struct resp_state *state;
    struct resp_worker *worker;
    const char *at, *end;
    const char *ahead; /* requests before it have been looked at; NULL: none */
};

enum resp_next {
    RESP_ON = 0, /* the next request */
    RESP_MORE,   /* bytes are needed */
    RESP_YIELDS,
    RESP_WAITS, /* for a posted function */
    RESP_ENDS,  /* the connection */
};

static inline struct resp_state *resp_state_of(struct serve_connection *connection)
{
    return serve_connection_state(connection);
}

static inline struct resp_worker *resp_worker_of(struct serve_connection *connection)
{
    return resp_the_door.workers[serve_worker_index(serve_connection_worker(connection))];
}

/* ---- ahead.c -------------------------------------------------------------------------------- */

/* Has the keys fetched that the next requests read. `turn->at` is where a request begins. */
void resp_look_ahead(struct resp_turn *turn);

/* ---- dispatch.c ----------------------------------------------------------------------------- */

/* Executes a request, or queues it, or sends it to the executor. */
enum resp_next resp_dispatch(struct resp_turn *turn, const struct quarry_kv_slice *words,
                             size_t word_count);
/* An answer to the connection in its turn; and when it has been said. */
void resp_reply_here(struct resp_turn *turn, struct resp_reply *ret_reply);
enum resp_next resp_reply_done(struct resp_turn *turn, struct resp_reply *reply);
/* Says of a session what durability `power` wants said: its answers wait for the disk. */
void resp_note_written(struct resp_session *session);
/* What a name is that this store does not have: its group, as docs/resp.md has it. NULL: no such
 * command. */
const char *resp_unsupported(struct quarry_kv_slice name);

/* What a command took, and how it ended, for INFO and its like. `row`: of the worker. */
void resp_note_done(const struct resp_call *call, uint32_t row, uint64_t duration_ns);

/* ---- gather.c ------------------------------------------------------------------------------- */

/*
 * Begins to gather a request, of which `count` words were read, and what the cursor says. Unless
 * `is_kept` it is only read.
 */
void resp_gather_begin(struct resp_gather *gather, const struct resp_cursor *cursor,
                       const struct quarry_kv_slice *words, uint32_t count, bool is_kept);
/*
 * Goes on with what has come. ALL: the request is whole: resp_gather_words; MORE; WRONG.
 * `at`: moved behind what was consumed.
 */
enum resp_parsed resp_gather_input(struct resp_gather *gather, const char **at, const char *end,
                                   const struct resp_parse_limits *limits,
                                   struct resp_parse_error *error);
/* Where the next bytes should go, and how many; 0: they are to come as input. */
size_t resp_gather_wants(struct resp_gather *gather, char **ret_room);
void resp_gather_filled(struct resp_gather *gather, size_t byte_count);
/* How many bytes are to come, at least. */
uint64_t resp_gather_expected(const struct resp_gather *gather);
/* Words of a whole request; NULL: it was not kept, or there was no memory for them. Borrowed until
 * the end. */
const struct quarry_kv_slice *resp_gather_words(struct resp_gather *gather, size_t *ret_count);
void resp_gather_end(struct resp_gather *gather);

/* ---- executor.c ----------------------------------------------------------------------------- */

enum quarry_status resp_executor_open(uint32_t thread_count, struct quarry_error *error);
void resp_executor_stop(void);
/*
 * Hands a request of a connection to the executor; its session's queue and watched keys go along.
 * False: no memory. The connection waits.
 */
bool resp_executor_take(struct resp_turn *turn, const struct resp_command *command,
                        const struct quarry_kv_slice *words, size_t word_count);
/* The connection closes: nobody waits for the answer. */
void resp_executor_forget(struct resp_job *job);
/* Requests that wait for a thread, or are executed by one. Threads: any. */
uint64_t resp_executor_count(void);

/* ---- sync.c --------------------------------------------------------------------------------- */

enum quarry_status resp_sync_open(struct quarry_error *error);
void resp_sync_stop(void);
/* Has the connection's answers wait until what it wrote is on the disk. */
void resp_sync_wait(struct resp_state *state);
/* The connection closes. */
void resp_sync_forget(struct resp_state *state);

/* ---- login.c, multi.c ----------------------------------------------------------------------- */

/* Who the connection speaks for has changed: its name, its keys. False: they cannot be found. */
bool resp_session_identify(struct resp_session *session, const struct serve_identity *identity,
                           struct quarry_error *error);
/* Nobody has logged in any more; the listener asks for that. */
void resp_logout(struct resp_session *session);
/* Forgets a MULTI, and the keys that were watched for it. */
void resp_session_forget(struct resp_session *session, struct keyspace *keyspace);

#endif
