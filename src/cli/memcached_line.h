/*
 * What the readers of memcached's command line share: all options as they were given, before they
 * are put together. Some mean nothing alone: where -p is looked for depends on -l, -s and -Z.
 */
#ifndef QUARRY_CLI_MEMCACHED_LINE_H
#define QUARRY_CLI_MEMCACHED_LINE_H

#include <cli/memcached_options.h>

/* memcached's defaults. */
#define MEMCACHED_DEFAULT_PORT        11211
#define MEMCACHED_DEFAULT_MIB         64u
#define MEMCACHED_DEFAULT_ITEM_BYTES  Q_MIB(1)
#define MEMCACHED_DEFAULT_CONNECTIONS 1024u
#define MEMCACHED_DEFAULT_THREADS     4u
#define MEMCACHED_DEFAULT_BACKLOG     1024u

#define MEMCACHED_ANY_PORT (-1)

struct memcached_line {
    struct memcached_options *options; /* what it becomes; notes and the error go there */

    int32_t port; /* 0: no TCP; MEMCACHED_ANY_PORT: one that is free */
    const char *listens[MEMCACHED_LISTENS_MAX];
    uint32_t listen_count;
    const char *unix_path; /* NULL: none */
    uint32_t unix_mask;    /* of -a, as a mode */
    uint64_t mib;
    uint64_t item_bytes;
    uint32_t connections, threads, backlog;
    uint64_t idle_seconds; /* 0: never */
    bool never_evicts, has_sasl, has_tls, is_text_alone, is_binary_alone;
    bool refuses_flush, refuses_dump, refuses_watch, allows_shutdown, counts_prefixes;
    const char *auth_path, *memory_path; /* NULL: none */

    const char *tls_chain, *tls_key, *tls_ciphers, *tls_ca; /* NULL: none */
    uint32_t tls_verify, tls_version;                       /* memcached's numbers */
    bool tls_session_cache, tls_kernel;
};

/* Says why a line is refused. Returns: `code`. */
int memcached_line_refuse(struct memcached_line *line, int code, const char *format, ...)
    Q_PRINTF(3, 4);
/* Notes what will not be as memcached's manual has it; one too many is left out. */
void memcached_line_note(struct memcached_line *line, bool is_warning, const char *format, ...)
    Q_PRINTF(3, 4);

/* Digits alone, from `least` to `most`. Returns: whether it is that. */
bool memcached_read_number(const char *text, uint64_t least, uint64_t most, uint64_t *ret_number);

/* memcached_suboptions.c: the list of -o. Returns: as memcached_options_parse. */
int memcached_line_read_extended(struct memcached_line *line, const char *list);

/* Addresses as settings have them, with commas between; "off" for none. */
struct memcached_addresses {
    char plain[SERVE_VALUE_TEXT_BYTES];
    char encrypted[SERVE_VALUE_TEXT_BYTES];
    bool is_open;            /* other machines reach some of them */
    bool needs_certificates; /* mtls: */
};

/* memcached_listen.c: where to listen. Returns: as memcached_options_parse. */
int memcached_line_find_addresses(struct memcached_line *line,
                                  struct memcached_addresses *ret_addresses);

/* memcached_settings.c: checks what goes together, and makes settings of all of it. Returns: as
 * memcached_options_parse. */
int memcached_line_compose(struct memcached_line *line);

#endif
