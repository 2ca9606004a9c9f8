/*
 * What the HTTP door is made of. The folder's own; others see http.h and ../door_http.h.
 */
#ifndef QUARRY_SERVE_HTTP_STATE_H
#define QUARRY_SERVE_HTTP_STATE_H

#include <os/os.h>

#include <serve/door_http.h>
#include <serve/http/access.h>
#include <serve/http/chunked.h>
#include <serve/http/fields.h>
#include <serve/http/framing.h>
#include <serve/http/gzip.h>
#include <serve/http/route.h>
#include <serve/list.h>

/* A request from its head to the end of its answer, in a run of pages of its own. */
struct http_request {
    struct http_call call;
    struct http_head head;
    struct http_framing framing;
    char *bytes; /* of the head; behind the request */
    size_t head_bytes;
    struct http_param *params; /* own: a page; NULL: none */
    size_t param_count;
    struct http_slice segments[HTTP_SEGMENTS_MAX];
    struct http_text body; /* as it came, or decoded */
    bool is_head;          /* the body of the answer is left out */
    bool closes;           /* the connection, behind the answer */
    bool accepts_gzip;
    bool is_compressed; /* the answer, or its pieces */
    bool was_run;
    struct http_gzip *gzip; /* of an answer in pieces */
    size_t sent_bytes;      /* of the body, or of the piece */
    uint64_t answer_bytes;  /* of the body so far */
    bool is_head_sent;
    bool wants_piece; /* the reader has to take all before the next piece is made */
    uint64_t begin_ns;

    /* on the executor */
    struct serve_link link;
    struct serve_worker *worker;
    uint64_t connection_id;
    uint64_t due_ns; /* monotonic; of one that pauses */
    enum http_outcome outcome;
    _Atomic bool is_cancelled; /* relaxed: looked at now and then */
};

enum http_phase {
    HTTP_HEAD_PHASE = 0,
    HTTP_LOGIN,     /* waits for http_login_done */
    HTTP_LOGGED_IN, /* that was called; call.identity is who it is */
    HTTP_BODY,      /* with a length */
    HTTP_CHUNKS,
    HTTP_EXECUTING, /* waits for the executor */
    HTTP_ANSWERING,
};

/* Of a connection. */
struct http_state {
    struct http_request *request; /* own, but of the executor's while HTTP_EXECUTING */
    enum http_phase phase;
    uint32_t line_at;      /* of an unfinished head: where its last line begins */
    uint32_t turn_answers; /* in this turn */
    uint8_t failed_logins;
    bool has_empty_line; /* one came before the head, and was thrown away */
    bool is_logged_in;   /* by a password, so only requests with one speak for him */
    struct http_chunked chunked;
};
Q_STATIC_ASSERT(sizeof(struct http_state) <= 64, "of an idle connection");

/* A worker's counters. Relaxed: figures, of one writer. */
struct http_counters {
    struct http_counter_row {
        _Atomic uint64_t answers[HTTP_CLASSES];
        _Atomic uint64_t duration_ns;
    } rows[HTTP_ROUTES_MAX + 1]; /* the last one: no route's */
};

struct http_door_state {
    /* const while open */
    struct http_door_settings settings;
    struct serve_memory pages;
    struct http_counters *counters[HTTP_WORKERS_MAX];
    bool is_open, is_stopped;
    _Atomic bool logs_access; /* relaxed */
};
extern struct http_door_state http_the_door;

/* A turn of a connection: what the door works on. */
struct http_turn {
    struct serve_connection *connection;
    struct http_state *state;
    const char *at, *end; /* what has come and was not consumed */
    enum serve_step step; /* what to return, once a step says that the turn is over */
};

/* ---- request.c ------------------------------------------------------------------------------ */

/* Takes memory for a request, and copies its head. NULL: no memory. */
struct http_request *http_request_begin(const char *head, size_t head_bytes);
/* NULL does nothing. Threads: any. */
void http_request_end(struct http_request *request);
/*
 * Calls the handler, or has the next piece made; what comes of it is in the call. `outcome` is
 * written: HTTP_FAILED: the connection is to be ended. Threads: a worker, or the executor's.
 */
void http_request_run(struct http_request *request);
/* Decodes path and parameters. `place`: of the framing. Returns: HTTP_WHOLE, 400, 503. */
int http_request_read_target(struct http_request *request, struct http_slice place);

/* ---- answer.c ------------------------------------------------------------------------------- */

const char *http_reason(uint32_t status);
/* Refuses what is no request yet, and closes. */
void http_refuse_stranger(struct http_turn *turn, uint32_t status);
/* Has a request answered with a status. `text`: copied; NULL: what the status is called. */
void http_refuse(struct http_request *request, uint32_t status, const char *text);
/* Sends the head of an answer. False: no memory. */
bool http_answer_head(struct http_turn *turn, struct http_request *request);
enum http_sending {
    HTTP_SENT = 0, /* the body, or the piece */
    HTTP_WAITS,    /* for the reader */
    HTTP_BROKEN,   /* no memory */
};
/* Sends what is left of the body, or of the piece. */
enum http_sending http_answer_body(struct http_turn *turn, struct http_request *request);

/* ---- executor.c ----------------------------------------------------------------------------- */

enum quarry_status http_executor_open(uint32_t thread_count, struct quarry_error *error);
void http_executor_stop(void);
/* Has http_request_run called by a thread; then the connection goes on. */
void http_executor_take(struct serve_connection *connection, struct http_request *request);
/* The connection is gone: the request ends when the thread is done with it. */
void http_executor_forget(struct http_request *request);

/* door.c: a request of the executor's is done. */
void http_executed(struct serve_connection *connection, struct http_request *request);

#endif
