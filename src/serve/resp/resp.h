/*
 * The RESP door from within: how a command is called, and how it answers.
 *
 *   bytes ─ parser ─ words ─ dispatch: known? words? may he? MULTI? ─ command ─ reply ─ bytes
 *                                │
 *                                ├─ on the worker, never waiting
 *                                └─ RESP_BUSY, or a slow command: by the executor, which may wait
 *
 * A command is a function of a call. It first does all that can fail or can be busy, and speaks
 * then: a command that has returned RESP_BUSY has said nothing and changed nothing, and is called
 * again, with the same words, by a thread of the executor, where may_wait is set.
 *
 * Texts of errors are Redis' own, for clients look at them.
 */
#ifndef QUARRY_SERVE_RESP_H
#define QUARRY_SERVE_RESP_H

#include <keyspace/keyspace.h>
#include <serve/door.h>
#include <serve/resp/words.h>

struct resp_session;
struct resp_snapshots;
struct resp_command;
struct resp_reply;
struct serve_memory; /* serve/buffers.h */

enum resp_outcome {
    RESP_ANSWERED = 0, /* the reply says what came of it, an error as well */
    RESP_BUSY,         /* call it again where it may wait */
    RESP_CLOSES,       /* answered, and the connection is to be closed (QUIT) */
};

/* What the commands of a door share. Const while there are calls. */
struct resp_common {
    const struct serve_memory *memory; /* scratch memory of a call: serve_buffer_take */
    struct resp_snapshots *snapshots;  /* snapshots.h; NULL: KV.SNAPSHOT is refused */
    uint32_t database_count;           /* of a tenant; up to KEYSPACE_DATABASES_MAX */
    uint64_t bulk_bytes_max;           /* of a value: resp.bulk_max */
    uint64_t answer_bytes_max;         /* of one that is made in memory */
};

/* One command as it is executed. Borrowed, all of it, for the call. */
struct resp_call {
    const struct resp_common *common;
    struct resp_session *session;
    const struct resp_command *command;
    const struct quarry_kv_slice *words; /* the command's name first; bytes are never NULL */
    size_t word_count;
    struct resp_reply *reply;
    struct keyspace *keyspace;
    struct keyspace_change *transaction; /* in EXEC, which has the keys locked; else NULL */
    uint64_t now_ms;                     /* in EXEC: the same for all of its commands */
    bool may_wait;
    const _Atomic(bool) *is_cancelled; /* who asked has gone: stop. NULL: he is there */
};

typedef enum resp_outcome resp_function(struct resp_call *call);

/* ---- the table of commands ------------------------------------------------------------------ */

enum resp_command_flag {
    RESP_WRITES = 1 << 0,        /* "write" */
    RESP_READS = 1 << 1,         /* "readonly" */
    RESP_DENYOOM = 1 << 2,       /* "denyoom" */
    RESP_ADMINISTERS = 1 << 3,   /* "admin": needs SERVE_ADMIN */
    RESP_FAST = 1 << 4,          /* "fast" */
    RESP_NOSCRIPT = 1 << 5,      /* "noscript" */
    RESP_LOADING = 1 << 6,       /* "loading" */
    RESP_STALE = 1 << 7,         /* "stale" */
    RESP_NO_AUTH = 1 << 8,       /* "no_auth": before a login */
    RESP_NO_MULTI = 1 << 9,      /* "no_multi": refused between MULTI and EXEC */
    RESP_SKIP_SLOWLOG = 1 << 10, /* "skip_slowlog" */
    RESP_ALL_KEYS = 1 << 11,     /* in EXEC it wants every key locked: FLUSHDB */
    RESP_SLOW = 1 << 12,         /* goes to the executor at once: KEYS, DBSIZE, FLUSHALL */
    RESP_ON_WORKER = 1 << 13, /* never goes there: touches connections; not between MULTI, EXEC */
    RESP_FLUSHES = 1 << 14,   /* needs SERVE_FLUSH */
    RESP_IMMEDIATE = 1 << 15, /* executed, not queued, in MULTI: EXEC, DISCARD, MULTI, WATCH… */
    RESP_MOVABLE_KEYS = 1 << 16, /* "movablekeys": none here has them today */
    RESP_ALLOW_BUSY = 1 << 17,   /* "allow_busy" */
};

/* A row of resp_table.h, by which the commands' own files and COMMAND DOCS go. */
struct resp_command {
    const char *name; /* lower case; "config|get" of a subcommand */
    resp_function *function;
    int32_t arity; /* with the name; below 0: at least so many */
    uint32_t flags;
    int32_t first_key, last_key, key_step; /* as COMMAND INFO has them; 0: no keys */
    const char *categories;                /* "@read @string @fast" */
    const char *since, *group, *complexity, *summary;
};

/*
 * By name, in any case. `subcommand`: NULL, or the second word, which counts where the first one
 * has subcommands. NULL: unknown.
 */
const struct resp_command *resp_command_find(struct quarry_kv_slice name,
                                             const struct quarry_kv_slice *subcommand);
/* All of them, in the table's order. */
const struct resp_command *resp_command_at(size_t index); /* NULL: beyond the last */

/* ---- sessions ------------------------------------------------------------------------------- */

#define RESP_NAME_BYTES 64u

/* What becomes of answers: CLIENT REPLY. */
enum resp_reply_mode {
    RESP_REPLIES = 0,
    RESP_REPLIES_OFF, /* all are dropped, that of the command that says so too */
    /* That of CLIENT REPLY SKIP is dropped, and the next one's; dispatch then sets RESP_REPLIES. */
    RESP_REPLIES_SKIP,
};

/* A connection of this door, in its state; fields of the door's own are in session.h. */
struct resp_session {
    struct serve_connection *connection; /* on a worker; NULL in tests of commands */
    uint64_t id;
    struct keyspace_scope scope;
    uint8_t protocol;  /* 2 or 3 */
    bool is_logged_in; /* or needs no login */
    bool is_in_multi;
    bool is_multi_broken; /* a command was refused while queueing: EXEC aborts */
    bool wants_to_close;
    uint8_t reply_mode;         /* of enum resp_reply_mode, written by CLIENT REPLY */
    char name[RESP_NAME_BYTES]; /* CLIENT SETNAME */
    char user[64];
    uint64_t created_ms, command_count;
    const struct resp_command *last_command;
    struct keyspace_watch *watch; /* own, NULL: none: EXEC takes it along to the executor */
    struct resp_queue *queue;     /* of MULTI; likewise */
    bool has_written;             /* since its answers were last on the disk */
};

/* How many commands a MULTI has queued; NULL: none. */
uint32_t resp_queue_count(const struct resp_queue *queue);

/* ---- replies -------------------------------------------------------------------------------- */

/*
 * Where an answer goes: a connection, or memory (the executor, EXEC, tests). Each call appends one
 * thing; where memory fails the reply remembers, and the connection is closed in the end. Forms
 * that RESP2 lacks are said as Redis says them to RESP2 clients.
 */
void resp_say_ok(struct resp_reply *reply);
void resp_say_simple(struct resp_reply *reply, const char *text); /* +text */
/* -text, made one line; `format` begins with the error's code: "ERR …", "WRONGTYPE …". */
void resp_say_error(struct resp_reply *reply, const char *format, ...) Q_PRINTF(2, 3);
void resp_say_integer(struct resp_reply *reply, int64_t number);
void resp_say_bulk(struct resp_reply *reply, const void *bytes, size_t byte_count);
void resp_say_text(struct resp_reply *reply, const char *text); /* a bulk */
void resp_say_null(struct resp_reply *reply);                   /* $-1, or _ */
void resp_say_null_array(struct resp_reply *reply);             /* *-1, or _ */
void resp_say_array(struct resp_reply *reply, size_t count);    /* then so many things */
void resp_say_map(struct resp_reply *reply, size_t pair_count); /* then twice as many */
void resp_say_set(struct resp_reply *reply, size_t count);
void resp_say_double(struct resp_reply *reply, double number); /* as Redis prints it */
void resp_say_bool(struct resp_reply *reply, bool is_true);    /* :1, or #t */
void resp_say_verbatim(struct resp_reply *reply, const char *bytes, size_t byte_count); /* txt */
/*
 * A stretch of a value as a bulk. Large ones are not copied where they can be pointed to.
 * `value`: given, and made none.
 */
void resp_say_value(struct resp_reply *reply, struct keyspace_value *value, size_t offset,
                    size_t byte_count);
/* What a failed call of the stores is to a client: -OOM, -MISCONF, -ERR … */
void resp_say_status(struct resp_reply *reply, enum quarry_status status,
                     const struct quarry_error *error);
/* The errors that many commands have. */
void resp_say_syntax_error(struct resp_reply *reply);
void resp_say_not_an_integer(struct resp_reply *reply);
void resp_say_wrong_arity(struct resp_reply *reply, const struct resp_command *command);

/*
 * A reply in memory, of the account `resp` where `memory` is the door's, else of malloc. NULL: no
 * memory. `bytes`: for tests, and to be sent. */
struct resp_reply *resp_reply_create(struct quarry_memory *memory, uint8_t protocol);
struct quarry_kv_slice resp_reply_bytes(const struct resp_reply *reply);
void resp_reply_destroy(struct resp_reply *reply);

/* ---- changing ------------------------------------------------------------------------------- */

/*
 * Begins a change of the call's session's database: EXEC's own where there is one. `keys`: are
 * locked. Returns: the change; NULL: *ret_outcome is what the command returns (it was busy, or an
 * error was said).
 */
struct keyspace_change *resp_begin(struct resp_call *call, const struct quarry_kv_slice *keys,
                                   size_t key_count, struct keyspace_change *room,
                                   enum resp_outcome *ret_outcome);
/*
 * Makes it happen. True: say what came of it. False: return *ret_outcome. In EXEC nothing happens
 * before its end, and true is returned.
 */
bool resp_commit(struct resp_call *call, struct keyspace_change *change,
                 enum resp_outcome *ret_outcome);
/* Ends a change that failed or had nothing to change; in EXEC nothing is done. */
void resp_abort(struct resp_call *call, struct keyspace_change *change);
/* Says what a status is, or that it was busy, and aborts; `change` may be NULL: there is none. */
enum resp_outcome resp_fail(struct resp_call *call, struct keyspace_change *change,
                            enum quarry_status status, const struct quarry_error *error);

#endif
