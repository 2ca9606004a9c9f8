/*
 * Commands of the RESP door without the door: over a reply in memory, and a keyspace in files in
 * memory whose clock the test sets.
 */
#ifndef QUARRY_TESTS_RESP_RIG_H
#define QUARRY_TESTS_RESP_RIG_H

#include <serve/buffers.h>
#include <serve/resp/resp.h>
#include <serve/resp/snapshots.h>

#include <quarry/vfs.h>

/* Of a request in tests. */
#define RIG_WORDS_MAX 64u
/* The longest value; Redis' is 16 times as long. */
#define RIG_BULK_BYTES_MAX Q_MIB(32)
/* The longest answer that is gathered. */
#define RIG_ANSWER_BYTES_MAX Q_MIB(1)

struct resp_rig {
    struct quarry_memory *memory;
    struct quarry_vfs *disk;
    struct keyspace *keyspace;
    struct serve_memory pages;
    struct resp_snapshots *snapshots;
    struct resp_common common;
    struct resp_session session;
    struct keyspace_change room, *transaction; /* NULL: not in EXEC */
    _Atomic uint64_t now_ms;
    const _Atomic(bool) *is_cancelled; /* of calls; NULL: never are */
};

void resp_rig_open(struct resp_rig *rig);
/* Checks that nothing is left behind. */
void resp_rig_close(struct resp_rig *rig);
void resp_rig_empty(struct resp_rig *rig);

/* Begins what EXEC begins, with everything locked; commits it. */
void resp_rig_begin(struct resp_rig *rig);
void resp_rig_exec(struct resp_rig *rig);

/*
 * Calls a command by its words, first as a worker, then, if it was busy, as a thread of the
 * executor. Returns: the reply; own.
 */
struct resp_reply *resp_rig_call(struct resp_rig *rig, const struct quarry_kv_slice *words,
                                 size_t word_count);
/* Calls one by a line of words, as a worker does whatever its flags say. `ret_reply`: own. */
enum resp_outcome resp_rig_try(struct resp_rig *rig, const char *line,
                               struct resp_reply **ret_reply);
/* As resp_rig_call by a line of words, and compares the reply, both written as in conversations. */
void resp_rig_says(struct resp_rig *rig, const char *line, const char *answered);

/* ---- texts of conversations ----------------------------------------------------------------- */

/*
 * Takes a line apart: words between blanks, "…" around those with blanks, \n \r \t \\ \" \x00, and
 * {x*100} for a hundred x. `room`: own; free it. Returns: how many.
 */
size_t resp_rig_words(const char *line, struct quarry_kv_slice words[RIG_WORDS_MAX], char **room);
/* Bytes as conversations write them; own. */
char *resp_rig_escape(struct quarry_kv_slice bytes);

#endif
