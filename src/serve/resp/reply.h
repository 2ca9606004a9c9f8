/*
 * Replies, as the core uses them: where they go, and what became of them.
 */
#ifndef QUARRY_SERVE_RESP_REPLY_H
#define QUARRY_SERVE_RESP_REPLY_H

#include <serve/buffers.h>
#include <serve/resp/resp.h>

/* Values from here on are pointed to, not copied: a copy of 2 KiB costs what a piece of a write and
 * a list's entry do. */
#define RESP_LENT_BYTES_MIN Q_KIB(2)
/* Values that a turn can point to before it has to send. */
#define RESP_LENT_MAX 64u

/* What a turn's answers point to. A worker's, empty between turns. */
struct resp_lent {
    uint32_t count;
    struct quarry_kv_value values[RESP_LENT_MAX];
};

/* An answer that was made in memory. */
struct resp_bytes {
    char *base; /* NULL: none */
    size_t used;
    const struct serve_memory *pages; /* NULL: malloc */
};

struct resp_reply {
    struct serve_connection *connection; /* NULL: in memory */
    struct resp_lent *lent;              /* with a connection; borrowed */
    const struct serve_memory *pages;    /* of `base`; NULL: malloc. Borrowed */
    char *base;
    size_t used, capacity, bytes_max;
    uint8_t protocol;
    bool has_failed; /* there was no memory, or too much to say */
    bool has_error;  /* an error was said since this was cleared */
    bool is_refused; /* resp_say_status has said what the store refuses; the first is there: */
    bool is_silent;  /* of a session that wants no answers: in memory, to be dropped */
    size_t refused_at, refused_end;
    /* Behind all that was said to a connection: own; who made the reply sends it. */
    struct resp_bytes rest;
};

/* An answer to a connection, in its turn. */
void resp_reply_init(struct resp_reply *reply, struct serve_connection *connection,
                     struct resp_lent *lent, uint8_t protocol);
/* One in memory, in a caller's struct; `pages` NULL: malloc. It takes none before it needs some. */
void resp_reply_init_memory(struct resp_reply *reply, const struct serve_memory *pages,
                            size_t bytes_max, uint8_t protocol);
void resp_reply_fini(struct resp_reply *reply);
/* From here on in another protocol. */
void resp_reply_set_protocol(struct resp_reply *reply, uint8_t protocol);
/* Forgets what one in memory said behind `bytes`. */
void resp_reply_rewind(struct resp_reply *reply, size_t bytes);
/* If something was refused, that error becomes all that one in memory says. */
void resp_reply_keep_refusal(struct resp_reply *reply);
/* Says bytes that are an answer already. */
void resp_say_raw(struct resp_reply *reply, const void *bytes, size_t byte_count);

/*
 * Says what one in memory has; of one that failed, that there was no memory. `from`: what it has
 * may be taken from it.
 */
void resp_say_reply(struct resp_reply *reply, struct resp_reply *from);
void resp_bytes_give(struct resp_bytes *bytes);
#define RESP_REPLY_BYTES_DEFAULT Q_MIB(64)
/* Where replies in memory are made, and how large they may be. */
const struct serve_memory *resp_pages(void);
size_t resp_reply_bytes_max(void);

/* Releases what answers point to; they were sent, or are held. */
void resp_lent_release(struct resp_lent *lent);
/* Of a stretch that was lent: whether it can be kept; what the list had of it is the caller's. */
bool resp_lent_hold(struct resp_lent *lent, const struct serve_borrowed *borrowed);
/* Lets go of what was held. */
void resp_lent_drop(const struct serve_borrowed *borrowed);

#endif
