/*
 * The table of options: names, where the values lie, and how they are written. For options_names.c
 * and options_file.c.
 */
#ifndef QUARRY_KV_OPTIONS_TABLE_H
#define QUARRY_KV_OPTIONS_TABLE_H

#include <kv/options_names.h>

/* How a value is read and written. */
enum kv_option_kind {
    KV_OPTION_BOOL,
    KV_OPTION_U32,
    KV_OPTION_U64,
    KV_OPTION_BYTES32, /* "4k" */
    KV_OPTION_BYTES,   /* "64m" */
    KV_OPTION_LEVEL,   /* of compression: any number, 32767 is RocksDB's for the default */
    KV_OPTION_BLOOM,   /* thousandths of a bit */
    KV_OPTION_WORD,    /* one of a table of words */
    KV_OPTION_MERGE,   /* an operator by its name */
};

/* Where RocksDB's file has it. */
enum kv_option_section {
    KV_OPTION_OURS, /* nowhere */
    KV_OPTION_DB,
    KV_OPTION_CF,
    KV_OPTION_TABLE,
};

/* A word for a value, ours and RocksDB's; RocksDB's NULL: it has none. */
struct kv_option_word {
    const char *name, *rocksdb;
    int value;
    bool is_read_only; /* RocksDB's value is known, and is not written here: the default is set */
};

struct kv_option {
    const char *name, *rocksdb; /* RocksDB's name of the same thing; NULL: none */
    enum kv_option_kind kind;
    enum kv_option_section section;
    size_t offset;                      /* of the member */
    uint64_t max;                       /* of a number */
    uint64_t fallback;                  /* what 0 means, for RocksDB's file; 0: not written there */
    const struct kv_option_word *words; /* until a name of NULL */
};

extern const struct kv_option kv_option_table[];
extern const uint32_t kv_option_table_count;

/*
 * The value as RocksDB writes it. Returns: false: RocksDB's file has no line for it, as it is the
 * default of both, or none of RocksDB's.
 */
bool kv_option_format_rocksdb(const struct quarry_kv_options *options,
                              const struct kv_option *option, char value[KV_OPTION_VALUE_BYTES]);
/* Whether it is set to anything but zero. */
bool kv_option_is_set(const struct quarry_kv_options *options, const struct kv_option *option);

#endif
