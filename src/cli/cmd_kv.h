/*
 * What the verbs of `quarry kv` share: a command line, and the table of verbs.
 */
#ifndef QUARRY_CLI_CMD_KV_H
#define QUARRY_CLI_CMD_KV_H

#include <cli/cli.h>
#include <cli/kv_target.h>

/* Of --set. */
#define KV_SETTINGS_MAX 32u

/* A command line of `quarry kv`. */
struct kv_command {
    const struct kv_verb *verb;
    const char *name; /* for messages: "kv get" */
    const char *path; /* of the store's directory; NULL: none was given */
    char **words;     /* what stands behind it */
    uint32_t word_count;

    bool is_server;
    const char *address, *user, *password_path;
    bool has_database;
    uint32_t database;
    const char *tenant;

    const char *settings[KV_SETTINGS_MAX]; /* of --set */
    uint32_t setting_count;
    uint64_t memory_bytes;
    bool is_read_only, creates, is_fresh; /* is_fresh: there must be no store yet */

    const char *from, *to; /* NULL: no bound */
    uint64_t max;          /* UINT64_MAX: no limit */
    uint64_t ttl_ms;       /* 0: for ever */
    uint32_t id, keep, interval_s;
    bool is_key_hex, is_value_hex, is_json;
    bool is_reverse, is_count_only, is_no_value;
    bool is_once, is_ascii, is_yes, keeps_files, skips_others, is_move;
    const char *command; /* of sst: scan, verify, … */
};

/* Options that not every verb takes. */
enum kv_takes {
    KV_TAKES_RANGE = 1u << 0, /* --from, --to */
    KV_TAKES_MAX = 1u << 1,
    KV_TAKES_REVERSE = 1u << 2,
    KV_TAKES_COUNT_ONLY = 1u << 3,
    KV_TAKES_NO_VALUE = 1u << 4,
    KV_TAKES_KEY_HEX = 1u << 5,
    KV_TAKES_VALUE_HEX = 1u << 6,
    KV_TAKES_TTL = 1u << 7,
    KV_TAKES_CREATE = 1u << 8,
    KV_TAKES_YES = 1u << 9,
    KV_TAKES_MOVE = 1u << 10,
    KV_TAKES_ID = 1u << 11,
    KV_TAKES_KEEP = 1u << 12,
    KV_TAKES_LIVE = 1u << 13, /* --once, --ascii, --interval */
    KV_TAKES_SKIP = 1u << 14,
    KV_TAKES_SERVER = 1u << 15,
    KV_TAKES_DATABASE = 1u << 16,
    KV_TAKES_STORE = 1u << 17, /* --set */
    KV_TAKES_READ_ONLY = 1u << 18,
    KV_TAKES_COMMAND = 1u << 19,

    KV_TAKES_HEX = KV_TAKES_KEY_HEX | KV_TAKES_VALUE_HEX,
    /* Of verbs that look at keys, wherever they are. */
    KV_TAKES_ANYWHERE = KV_TAKES_SERVER | KV_TAKES_DATABASE | KV_TAKES_STORE,
};

/* What a verb wants of the store in DIR. */
enum kv_need {
    KV_NEEDS_NOTHING, /* it opens what it wants, if anything */
    KV_NEEDS_READING, /* takes no lock, and sees what was there */
    KV_NEEDS_WRITING,
};

/* `target`: open, unless the verb needs nothing. Returns: an exit code. */
typedef int kv_verb_function(const struct kv_command *command, struct kv_target *target);

#define KV_ALIASES_MAX 3u
#define KV_WORDS_MANY  UINT32_MAX

struct kv_verb {
    const char *name;
    const char *aliases[KV_ALIASES_MAX]; /* ldb's words */
    const char *group;                   /* heading in the overview, of the first of a group */
    const char *usage;                   /* what stands behind the name */
    const char *summary;                 /* one line */
    const char *help;                    /* the rest, or NULL */
    enum kv_need need;
    bool has_no_path; /* DIR is no argument of it */
    uint32_t words_min, words_max;
    uint32_t takes; /* of enum kv_takes */
    kv_verb_function *run;
};

extern const struct kv_verb kv_verbs[];
extern const size_t kv_verb_count;

/* What --help says it takes, in that order. Returns: how many. */
size_t kv_verb_options(const struct kv_verb *verb, struct cli_option ret_options[CLI_OPTIONS_MAX]);

kv_verb_function kv_run_get, kv_run_put, kv_run_delrange, kv_run_merge,
    kv_run_exists;                                           /* cmd_kv_keys.c */
kv_verb_function kv_run_del, kv_run_batch, kv_run_batchput;  /* cmd_kv_batch.c */
kv_verb_function kv_run_scan, kv_run_keys;                   /* cmd_kv_scan.c */
kv_verb_function kv_run_dump, kv_run_load;                   /* cmd_kv_dump.c */
kv_verb_function kv_run_property, kv_run_flush, kv_run_sync; /* cmd_kv_care.c */
kv_verb_function kv_run_compact, kv_run_checkpoint, kv_run_verify, kv_run_repair, kv_run_destroy;
kv_verb_function kv_run_backup, kv_run_restore, kv_run_ingest, kv_run_export;  /* cmd_kv_copy.c */
kv_verb_function kv_run_stats;                                                 /* cmd_kv_stats.c */
kv_verb_function kv_run_lsm;                                                   /* cmd_kv_lsm.c */
kv_verb_function kv_run_sst;                                                   /* cmd_kv_sst.c */
kv_verb_function kv_run_wal, kv_run_manifest, kv_run_families, kv_run_entries; /* cmd_kv_logs.c */
kv_verb_function kv_run_import_rocksdb;                                        /* cmd_kv_import.c */
kv_verb_function kv_run_import_rdb;                                            /* cmd_kv_rdb.c */

/* Takes a key or a value of a command line apart. `what`: "KEY". Returns: an exit code. */
int kv_command_key(const struct kv_command *command, const char *text, struct kv_bytes *ret_key);
int kv_command_value(const struct kv_command *command, const char *text,
                     struct kv_bytes *ret_value);
/* --from and --to; free them, whatever is returned. A bound that is none has bytes NULL. */
struct kv_command_range {
    struct kv_bytes from_bytes, to_bytes;
    struct quarry_kv_slice from, to;
};
int kv_command_range(const struct kv_command *command, struct kv_command_range *ret_range);
void kv_command_range_free(struct kv_command_range *range);

/* What a directory, which may be NULL, and --set say. Returns: an exit code. */
int kv_store_options(const struct kv_command *command, const char *directory,
                     struct quarry_kv_options *ret_options);

/* "quarry kv get: …", and where to read on. Returns: CLI_USAGE. */
int kv_usage_error(const struct kv_command *command, const char *format, ...) Q_PRINTF(2, 3);
/* Asks on a terminal for yes; without one --yes must be there. Returns: an exit code. */
int kv_confirm(const struct kv_command *command, const char *what);

#endif
