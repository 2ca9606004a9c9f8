/*
 * The names of CONFIG, a row each.
 */
#ifndef QUARRY_SERVE_RESP_CONFIG_ROWS_H
#define QUARRY_SERVE_RESP_CONFIG_ROWS_H

#include <serve/resp/admin_state.h>

#define RESP_CONFIG_ROWS_MAX   128u
#define RESP_CONFIG_TEXT_BYTES 1100u

enum resp_config_kind {
    RESP_CONFIG_NUMBER,
    RESP_CONFIG_MEMORY,    /* bytes, with units where it is set */
    RESP_CONFIG_IMMUTABLE, /* Redis does not change it either */
    RESP_CONFIG_FIXED,     /* Redis does; here it is what it is */
};

struct resp_config_row {
    const char *name;
    enum resp_config_kind kind;
    bool is_live; /* CONFIG SET changes it */
    int64_t least, most;
    /* Changed by the server: its key, what is behind the number, and how it says 0. */
    const char *key, *unit, *zero;
    void (*set)(int64_t number); /* NULL: by the server, if at all */
    /* How it is told: by a function, else a text that it always is. */
    const char *(*tell)(const struct resp_settings *settings, char text[RESP_CONFIG_TEXT_BYTES]);
    const char *always;
};

/* By place; NULL: there are no more. By name, in any case; NULL: there is none. */
const struct resp_config_row *resp_config_row(size_t index);
const struct resp_config_row *resp_config_find(struct quarry_kv_slice name);
/* Writes a row's value. Returns: `text`. */
const char *resp_config_text(const struct resp_config_row *row,
                             const struct resp_settings *settings,
                             char text[RESP_CONFIG_TEXT_BYTES]);

#endif
