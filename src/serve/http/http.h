/*
 * HTTP as those who answer requests see it: routes, requests, answers.
 *
 *     static enum http_outcome answer_ready(struct http_call *call)
 *     {
 *         http_say_text(call, 200, "ready\n");
 *         return HTTP_DONE;
 *     }
 *
 *     static const struct http_route routes[] = {
 *         {.methods = HTTP_GET, .path = "/-/ready", .handler = answer_ready},
 *         {.methods = HTTP_GET, .path = "/metrics", .rights = SERVE_READ,
 *          .runs_on = HTTP_ON_EXECUTOR, .handler = answer_metrics},
 *     };
 *
 * What a request is was decided before its handler is called: it is whole, its body is decoded, who
 * asks may ask. HEAD is answered by the handler of GET, whose body is then left out.
 *
 * A long answer is made in pieces: the handler sets `call->more`, which is called for a piece at a
 * time, each when the reader has taken the one before.
 */
#ifndef QUARRY_SERVE_HTTP_H
#define QUARRY_SERVE_HTTP_H

#include <base/base.h>

#include <serve/buffers.h>
#include <serve/door.h>
#include <serve/http/text.h>
#include <serve/peer.h>

/* A stretch of bytes. Borrowed; `bytes` is never NULL. Not closed by a NUL. */
struct http_slice {
    const char *bytes;
    size_t count;
};
#define HTTP_SLICE(literal) ((struct http_slice){(literal), sizeof(literal) - 1})

bool http_slice_equals(struct http_slice slice, const char *text);
/* Without regard to the case of ASCII letters. */
bool http_slice_is(struct http_slice slice, const char *text);

enum http_method {
    HTTP_GET = 1,
    HTTP_HEAD = 2,
    HTTP_POST = 4,
    HTTP_PUT = 8,
    HTTP_DELETE = 16,
    HTTP_OPTIONS = 32,
};

/* Where a handler is called. One that may wait for a disk, for a lock that is held long, or that
 * takes more than some 100 us is the executor's. */
enum http_where { HTTP_ON_WORKER = 0, HTTP_ON_EXECUTOR };

/* What of a body the door undoes. */
enum http_coding {
    HTTP_CODING_NONE = 0, /* a body that is encoded is refused */
    HTTP_CODING_GZIP,     /* it may be: the handler sees it decoded */
    HTTP_CODING_OWN,      /* the handler's matter: it sees what came, and its Content-Encoding */
};

enum http_outcome {
    HTTP_DONE = 0,
    HTTP_FAILED, /* of `more`: the answer cannot be finished: the connection is ended */
};

struct http_call;
typedef enum http_outcome http_handler_function(struct http_call *call);

/* Of a table: counters have a row for each. */
#define HTTP_ROUTES_MAX 64u

struct http_route {
    uint32_t methods;        /* of enum http_method; GET brings HEAD with it */
    const char *path;        /* a "*" between slashes stands for one segment, not empty */
    uint32_t rights;         /* of enum serve_right, all of them; 0: anybody's, without a login */
    uint64_t body_bytes_max; /* of a body, decoded or not; 0: none is taken */
    enum http_coding coding;
    bool takes_form; /* an urlencoded body is parameters, before those of the target */
    bool is_shared;  /* pages of any origin may read its answers: what asks before is told so */
    bool is_change;  /* it changes something: whom browsers may send here is looked at */
    enum http_where runs_on;
    http_handler_function *handler;
};

/* A parameter of the target or of a form, decoded. */
struct http_param {
    struct http_slice name, value;
};
/* More in a request are refused. */
#define HTTP_PARAMS_MAX 256u

/* Of the header: name in the case it came. */
struct http_field {
    struct http_slice name, value;
};

/* Bytes of fields that a handler may add. */
#define HTTP_EXTRA_BYTES 1024u

struct http_request;

/*
 * A request with its answer, as its handler has them. Owned by the door; valid until the answer has
 * been sent, or the call given up.
 */
struct http_call {
    /* the request: const */
    const struct http_route *route;
    const struct http_request *request;
    enum http_method method; /* GET for HEAD */
    struct http_slice path;  /* decoded */
    struct http_slice body;
    struct serve_identity identity;
    char peer[SERVE_PEER_TEXT_BYTES]; /* whose connection it is; of a long name the beginning */
    void *argument;                   /* of the door's settings */
    /* Relaxed: who asked has gone; a long handler looks at it now and then, and returns. */
    const _Atomic bool *is_cancelled;

    /* the answer */
    uint32_t status;          /* 0: 200 */
    const char *content_type; /* static storage; NULL: without a body there is none */
    char extra[HTTP_EXTRA_BYTES];
    size_t extra_bytes;
    struct http_text body_out; /* of the answer, or of the piece that `more` made */
    bool never_compress;
    bool is_page;    /* HTML that runs scripts, and shows styles, of this server */
    bool is_lasting; /* the bytes behind this path never change: they may be kept */
    /* NULL: the answer is whole. Adds the next piece; sets `is_last` with the last one. */
    http_handler_function *more;
    bool is_last;
    /* Of the executor's: how long the next piece is not asked for, once this one was taken. No
     * thread waits meanwhile. It is asked for earlier when the door stops. 0: at once. */
    uint64_t pause_ns;
    void *state;                               /* the handler's own, for `more` */
    void (*end_state)(struct http_call *call); /* lets it go, whatever happens; by any thread */
};

/* ---- of a request --------------------------------------------------------------------------- */

/* The value of the first parameter of a name; false: there is none. */
bool http_param(const struct http_call *call, const char *name, struct http_slice *ret_value);
/* All of them; those of the form first. */
size_t http_params(const struct http_call *call, const struct http_param **ret_params);
/* The value of the first field of a name; false: there is none. */
bool http_header(const struct http_call *call, const char *name, struct http_slice *ret_value);
/* The segment that the n-th "*" of the route's path stood for, from 0. */
struct http_slice http_segment(const struct http_call *call, uint32_t index);

/* ---- of an answer --------------------------------------------------------------------------- */

/* Adds a field; its name and value are checked by assertions: what comes from outside is not
 * put into them. Asserts that there is room. */
void http_say_field(struct http_call *call, const char *name, const char *value);
/* Says that pages of any origin may read the answer; without their users' logins. */
void http_say_shared(struct http_call *call);
/* Answers with plain text. `text`: copied. */
void http_say_text(struct http_call *call, uint32_t status, const char *text);
/* Answers with a status' own text. */
void http_say_status(struct http_call *call, enum quarry_status status);

#endif
