/*
 * What the files of administration share. Others see admin.h.
 */
#ifndef QUARRY_SERVE_RESP_ADMIN_STATE_H
#define QUARRY_SERVE_RESP_ADMIN_STATE_H

#include <quarry/memory.h>

#include <serve/resp/admin.h>
#include <serve/resp/counts.h>
#include <serve/resp/text.h>

/* Const while open. */
const struct resp_admin_settings *resp_admin_settings(void);

/* 40 digits that stay as long as the door is open: clients tell by them of restarts. */
const char *resp_run_id(void);

/* The server's figures, since CONFIG RESETSTAT where they are counts; and its settings. */
void resp_admin_read_figures(struct resp_figures *ret_figures);
void resp_admin_read_settings(struct resp_settings *ret_settings);
/* The store's, likewise: counts of reads, of writes and of what was thrown away. */
struct resp_store_figures {
    uint64_t hits, misses, writes, expired;
};
void resp_admin_read_store(struct resp_store_figures *ret_figures);
/* Begins all counts anew. */
void resp_admin_reset(void);

/* When SAVE and its like last succeeded, in seconds since 1970; at first when the door opened. */
uint64_t resp_saved_seconds(void);
/* Keys written since then. */
uint64_t resp_changes_since_saved(void);
void resp_note_saved(struct keyspace *keyspace, bool is_done);
bool resp_last_save_failed(void);

/* Connections refused something, the newest first: for ACL LOG. acl_log.c. */
void resp_acl_log_open(void);
void resp_acl_log_close(void);

/* For as long as a command lasts: CLIENT PAUSE. */
enum resp_pause { RESP_PAUSE_NONE, RESP_PAUSE_WRITES, RESP_PAUSE_ALL };
void resp_pause_begin(enum resp_pause what, uint64_t until_ms);
void resp_pause_end(void);

#endif
