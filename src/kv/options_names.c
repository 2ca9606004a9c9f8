/*
 * Options by name, their values read strictly and written so that they read the same.
 *
 * Sizes take units ("64m"), booleans true, false, 1, 0, on, off, yes, no; words are a table's, ours
 * or RocksDB's. RocksDB's -1 for as many open files as there may be is our 0. A few are not the
 * same thing in another word, but something to be translated:
 *
 *     filter_policy       nullptr                        bloom_millibits 1: no filter
 *                         bloomfilter:9.9:false          9900
 *     prefix_extractor    rocksdb.FixedPrefix.4          prefix_bytes 4
 *     merge_operator      {id=StringAppendOperator;…}    one of ours, by its name
 *     compression_per_level                              the first for compression_top, the third
 *                                                        for compression
 *
 * What is not one of these is refused with the value in the text; an unknown name with the nearest
 * known one, of either engine's names.
 *
 * Locking: none. Cost: O(options).
 */
#include <kv/options_names.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <kv/options_table.h>

/* RocksDB's number for the default level of any compression. */
#define ROCKSDB_LEVEL_DEFAULT 32767
#define COMPRESSION_LEVEL_MIN (-131072) /* zstd's fastest */
#define COMPRESSION_LEVEL_MAX 22
/* Digits of a bloom filter's bits per key. */
#define MILLI 1000u

static void *member_of(struct quarry_kv_options *options, const struct kv_option *option)
{
    return (char *)options + option->offset;
}
static const void *value_of(const struct quarry_kv_options *options, const struct kv_option *option)
{
    return (const char *)options + option->offset;
}

static enum quarry_status refuse(const struct kv_option *option, const char *value,
                                 const char *what, struct quarry_error *error)
{
    return error_set(error, QUARRY_BAD_INPUT, "option %s: '%.60s' is not %s", option->name, value,
                     what);
}

/* ---- reading values ------------------------------------------------------------------------- */

static enum quarry_status set_bool(struct quarry_kv_options *options,
                                   const struct kv_option *option, const char *value,
                                   struct quarry_error *error)
{
    static const char *const words[] = {"false", "true", "0", "1", "off", "on", "no", "yes"};

    for (uint32_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(value, words[i]) == 0) {
            *(bool *)member_of(options, option) = i % 2 == 1;
            return QUARRY_OK;
        }
    }
    return refuse(option, value, "true or false", error);
}

/* Digits, and a point and zeros, which RocksDB writes behind ratios. */
static bool parse_count(const char *value, uint64_t *ret_count)
{
    uint64_t count = 0;
    size_t length = strspn(value, "0123456789");

    for (size_t i = 0; i < length; i++) {
        if (!checked_mul_u64(count, 10, &count) ||
            !checked_add_u64(count, (uint64_t)(value[i] - '0'), &count)) {
            return false;
        }
    }
    const char *rest = value + length;
    if (*rest == '.') {
        rest += 1 + strspn(rest + 1, "0");
    }
    *ret_count = count;
    return length != 0 && *rest == '\0';
}

static enum quarry_status set_number(struct quarry_kv_options *options,
                                     const struct kv_option *option, const char *value,
                                     struct quarry_error *error)
{
    bool is_bytes = option->kind == KV_OPTION_BYTES || option->kind == KV_OPTION_BYTES32;
    bool is_wide = option->kind == KV_OPTION_BYTES || option->kind == KV_OPTION_U64;
    uint64_t number = 0;
    bool is_number =
        is_bytes ? size_parse(value, &number) == QUARRY_OK : parse_count(value, &number);

    if (!is_number) {
        return refuse(option, value, is_bytes ? "a size such as 64m" : "a number", error);
    }
    if (number > option->max) {
        return error_set(error, QUARRY_BAD_INPUT, "option %s: %" PRIu64 " of at most %" PRIu64,
                         option->name, number, option->max);
    }
    if (is_wide) {
        *(uint64_t *)member_of(options, option) = number;
    } else {
        *(uint32_t *)member_of(options, option) = (uint32_t)number;
    }
    return QUARRY_OK;
}

static enum quarry_status set_level(struct quarry_kv_options *options,
                                    const struct kv_option *option, const char *value,
                                    struct quarry_error *error)
{
    char *end = NULL;

    errno = 0;
    long level = strtol(value, &end, 10);
    if (end == value || *end != '\0' || errno != 0) {
        return refuse(option, value, "a number", error);
    }
    if (level == ROCKSDB_LEVEL_DEFAULT) {
        level = 0;
    }
    if (level < COMPRESSION_LEVEL_MIN || level > COMPRESSION_LEVEL_MAX) {
        return error_set(error, QUARRY_BAD_INPUT, "option %s: %ld is not between %d and %d",
                         option->name, level, COMPRESSION_LEVEL_MIN, COMPRESSION_LEVEL_MAX);
    }
    *(int32_t *)member_of(options, option) = (int32_t)level;
    return QUARRY_OK;
}

static const struct kv_option_word *find_word(const struct kv_option *option, const char *value,
                                              size_t length)
{
    for (const struct kv_option_word *word = option->words; word->name || word->rocksdb; word++) {
        if ((word->name != NULL && strlen(word->name) == length &&
             memcmp(word->name, value, length) == 0) ||
            (word->rocksdb != NULL && strlen(word->rocksdb) == length &&
             memcmp(word->rocksdb, value, length) == 0)) {
            return word;
        }
    }
    return NULL;
}

static enum quarry_status set_word(struct quarry_kv_options *options,
                                   const struct kv_option *option, const char *value,
                                   struct quarry_error *error)
{
    const struct kv_option_word *word = find_word(option, value, strlen(value));
    struct nearest nearest;

    if (word != NULL) {
        *(int *)member_of(options, option) = word->value;
        return QUARRY_OK;
    }
    nearest_init(&nearest, value);
    for (word = option->words; word->name || word->rocksdb; word++) {
        nearest_offer(&nearest, word->name != NULL ? word->name : word->rocksdb);
    }
    return error_set(error, QUARRY_BAD_INPUT, "option %s: no such value as '%.60s'%s%s%s",
                     option->name, value, nearest.name != NULL ? "; '" : "",
                     nearest.name != NULL ? nearest.name : "",
                     nearest.name != NULL ? "' is the nearest" : "");
}

/* "9.9": a number with up to three digits behind the point; anything may follow a colon. */
static bool parse_milli(const char *value, uint64_t *ret_milli)
{
    uint64_t whole = 0, part = 0, unit = MILLI;
    size_t length = strspn(value, "0123456789");

    if (length == 0 || length > 6) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        whole = whole * 10 + (uint64_t)(value[i] - '0');
    }
    const char *at = value + length;
    if (*at == '.') {
        for (at++; *at >= '0' && *at <= '9'; at++) {
            unit /= 10;
            part += (uint64_t)(*at - '0') * unit; /* nothing, from the fourth digit on */
        }
    }
    *ret_milli = whole * MILLI + part;
    return *at == '\0' || *at == ':';
}

static enum quarry_status set_bloom(struct quarry_kv_options *options,
                                    const struct kv_option *option, const char *value,
                                    struct quarry_error *error)
{
    static const char policy[] = "bloomfilter:";
    uint32_t *millibits = member_of(options, option);
    uint64_t milli = 0;

    if (strcmp(value, "bloomfilter") == 0 || strstr(value, "BuiltinBloomFilter") != NULL ||
        strstr(value, "ribbon") != NULL) {
        *millibits = 0; /* RocksDB does not always say how many bits: the default */
        return QUARRY_OK;
    }
    if (strcmp(value, "nullptr") == 0 || strcmp(value, "none") == 0) {
        *millibits = 1;
        return QUARRY_OK;
    }
    if (strncmp(value, policy, sizeof(policy) - 1) == 0) {
        value += sizeof(policy) - 1;
    }
    if (!parse_milli(value, &milli) || milli > option->max) {
        return refuse(option, value, "a number of bits up to 100", error);
    }
    /* No bits are no filter, which 1 stands for. */
    *millibits = milli == 0 ? 1 : (uint32_t)milli;
    return QUARRY_OK;
}

static bool has_id(const char *value, const char *name)
{
    size_t length = strlen(name);

    if (strncmp(value, "{id=", 4) == 0) {
        value += 4;
    }
    return strncmp(value, name, length) == 0 && (value[length] == '\0' || value[length] == ';');
}

static char delimiter_in(const char *value)
{
    const char *at = strstr(value, "delimiter=");

    return at != NULL && at[10] != '\0' && at[10] != ';' ? at[10] : ',';
}

static enum quarry_status set_merge(struct quarry_kv_options *options,
                                    const struct kv_option *option, const char *value,
                                    struct quarry_error *error)
{
    const struct quarry_kv_merge_operator **merge = member_of(options, option);

    if (strcmp(value, "nullptr") == 0 || strcmp(value, "none") == 0) {
        *merge = NULL;
    } else if (has_id(value, "StringAppendOperator") || has_id(value, "stringappend") ||
               has_id(value, "StringAppendTESTOperator") || has_id(value, "append")) {
        *merge = quarry_kv_merge_append(delimiter_in(value));
    } else if (has_id(value, "UInt64AddOperator") || has_id(value, "uint64add")) {
        *merge = quarry_kv_merge_uint64_add();
    } else if (has_id(value, "MaxOperator") || has_id(value, "max")) {
        *merge = quarry_kv_merge_max();
    } else {
        return refuse(option, value, "a merge operator that is built in", error);
    }
    return QUARRY_OK;
}

static enum quarry_status set_value(struct quarry_kv_options *options,
                                    const struct kv_option *option, const char *value,
                                    struct quarry_error *error)
{
    switch (option->kind) {
    case KV_OPTION_BOOL:
        return set_bool(options, option, value, error);
    case KV_OPTION_U32:
    case KV_OPTION_U64:
    case KV_OPTION_BYTES32:
    case KV_OPTION_BYTES:
        return set_number(options, option, value, error);
    case KV_OPTION_LEVEL:
        return set_level(options, option, value, error);
    case KV_OPTION_BLOOM:
        return set_bloom(options, option, value, error);
    case KV_OPTION_WORD:
        return set_word(options, option, value, error);
    case KV_OPTION_MERGE:
        return set_merge(options, option, value, error);
    }
    Q_UNREACHABLE();
}

/* ---- RocksDB's, translated ------------------------------------------------------------------ */

/* "kA:kB:kC:…": of levels 0 and 1, and of those from 2 on. */
static enum quarry_status set_per_level(struct quarry_kv_options *options, const char *value)
{
    struct kv_option option = {.name = "compression_per_level"};
    int values[3] = {0, 0, 0};
    uint32_t count = 0;

    for (uint32_t i = 0; i < kv_option_table_count; i++) {
        if (strcmp(kv_option_table[i].name, "compression") == 0) {
            option = kv_option_table[i];
        }
    }
    while (*value != '\0' && count < 3) {
        size_t length = strcspn(value, ":");
        const struct kv_option_word *word = find_word(&option, value, length);
        if (word == NULL) {
            return QUARRY_BAD_INPUT;
        }
        values[count++] = word->value;
        value += length + (value[length] == ':' ? 1 : 0);
    }
    if (count > 0) {
        options->compression_top = (enum quarry_kv_compression)values[0];
        options->compression = (enum quarry_kv_compression)values[count - 1];
    }
    return QUARRY_OK;
}

/* "rocksdb.FixedPrefix.4", "fixed:4", "nullptr"; of others nothing is taken. */
static enum quarry_status set_prefix(struct quarry_kv_options *options, const char *value)
{
    static const char *const before[] = {"rocksdb.FixedPrefix.", "fixed:", ""};
    uint64_t count = 0;

    if (strcmp(value, "nullptr") == 0) {
        options->prefix_bytes = 0;
        return QUARRY_OK;
    }
    for (uint32_t i = 0; i < sizeof(before) / sizeof(before[0]); i++) {
        size_t length = strlen(before[i]);
        if (strncmp(value, before[i], length) == 0 && parse_count(value + length, &count) &&
            count <= QUARRY_KV_KEY_BYTES_MAX) {
            options->prefix_bytes = (uint32_t)count;
            return QUARRY_OK;
        }
    }
    return QUARRY_BAD_INPUT;
}

/* "{…;level=3;…}" */
static enum quarry_status set_compression_options(struct quarry_kv_options *options,
                                                  const char *value)
{
    const char *at = strstr(value, ";level=");
    char *end = NULL;

    at = at == NULL && strncmp(value, "{level=", 7) == 0 ? value : at;
    if (at == NULL) {
        return QUARRY_OK;
    }
    errno = 0;
    long level = strtol(at + 7, &end, 10);
    if (end == at + 7 || errno != 0 ||
        (level != ROCKSDB_LEVEL_DEFAULT &&
         (level < COMPRESSION_LEVEL_MIN || level > COMPRESSION_LEVEL_MAX))) {
        return QUARRY_BAD_INPUT;
    }
    options->compression_level = level == ROCKSDB_LEVEL_DEFAULT ? 0 : (int32_t)level;
    return QUARRY_OK;
}

/* Names whose values are not those of one option. Returns: whether it is one. */
static bool set_special(struct quarry_kv_options *options, const char *name, const char *value,
                        enum quarry_status *ret_status, struct quarry_error *error)
{
    if (strcmp(name, "compression_per_level") == 0) {
        *ret_status = set_per_level(options, value);
    } else if (strcmp(name, "prefix_extractor") == 0) {
        *ret_status = set_prefix(options, value);
    } else if (strcmp(name, "compression_opts") == 0) {
        *ret_status = set_compression_options(options, value);
    } else if (strcmp(name, "max_open_files") == 0 && strcmp(value, "-1") == 0) {
        options->open_files_max = 0;
        *ret_status = QUARRY_OK;
    } else {
        return false;
    }
    if (*ret_status != QUARRY_OK) {
        (void)error_set(error, *ret_status, "option %s: '%.60s' makes no sense", name, value);
    }
    return true;
}

/* ---- names ---------------------------------------------------------------------------------- */

/* LevelDB's, where they are not RocksDB's too. */
static const char *same_name(const char *name)
{
    return strcmp(name, "max_file_size") == 0 ? "file_bytes" : name;
}

static const struct kv_option *find_option(const char *name, bool is_rocksdb)
{
    for (uint32_t i = 0; i < kv_option_table_count; i++) {
        const struct kv_option *option = &kv_option_table[i];
        if ((!is_rocksdb && strcmp(option->name, name) == 0) ||
            (option->rocksdb != NULL && strcmp(option->rocksdb, name) == 0)) {
            return option;
        }
    }
    return NULL;
}

static enum quarry_status unknown_name(const char *name, struct quarry_error *error)
{
    struct nearest nearest;

    nearest_init(&nearest, name);
    for (uint32_t i = 0; i < kv_option_table_count; i++) {
        nearest_offer(&nearest, kv_option_table[i].name);
        if (kv_option_table[i].rocksdb != NULL) {
            nearest_offer(&nearest, kv_option_table[i].rocksdb);
        }
    }
    if (nearest.name == NULL) {
        return error_set(error, QUARRY_NOT_FOUND, "no such option as '%.80s'", name);
    }
    return error_set(error, QUARRY_NOT_FOUND, "no such option as '%.80s'; did you mean '%s'?", name,
                     nearest.name);
}

enum quarry_status quarry_kv_options_set(struct quarry_kv_options *options, const char *name,
                                         const char *value, struct quarry_error *error)
{
    enum quarry_status status = QUARRY_OK;

    if (set_special(options, name, value, &status, error)) {
        return status;
    }
    const struct kv_option *option = find_option(same_name(name), false);
    return option == NULL ? unknown_name(name, error) : set_value(options, option, value, error);
}

enum quarry_status kv_options_set_rocksdb(struct quarry_kv_options *options, const char *name,
                                          const char *value, struct quarry_error *error)
{
    enum quarry_status status = QUARRY_OK;

    if (set_special(options, name, value, &status, error)) {
        return status;
    }
    const struct kv_option *option = find_option(name, true);
    if (option == NULL) {
        return error_set(error, QUARRY_NOT_FOUND, "no such option as '%.80s'", name);
    }
    /* An operator of somebody's own is the program's to give. */
    if (option->kind == KV_OPTION_MERGE && set_merge(options, option, value, NULL) != QUARRY_OK) {
        return QUARRY_OK;
    }
    return option->kind == KV_OPTION_MERGE ? QUARRY_OK : set_value(options, option, value, error);
}

uint32_t kv_option_count(void)
{
    return kv_option_table_count;
}

const char *kv_option_name(uint32_t index)
{
    Q_ASSERT(index < kv_option_table_count);
    return kv_option_table[index].name;
}

/* ---- writing values ------------------------------------------------------------------------- */

static uint64_t number_of(const struct quarry_kv_options *options, const struct kv_option *option)
{
    const void *value = value_of(options, option);

    switch (option->kind) {
    case KV_OPTION_BOOL:
        return *(const bool *)value;
    case KV_OPTION_U64:
    case KV_OPTION_BYTES:
        return *(const uint64_t *)value;
    case KV_OPTION_U32:
    case KV_OPTION_BYTES32:
    case KV_OPTION_BLOOM:
        return *(const uint32_t *)value;
    case KV_OPTION_LEVEL:
    case KV_OPTION_WORD:
        return (uint64_t) * (const int *)value;
    case KV_OPTION_MERGE:
        return *(const struct quarry_kv_merge_operator *const *)value != NULL;
    }
    Q_UNREACHABLE();
}

bool kv_option_is_set(const struct quarry_kv_options *options, const struct kv_option *option)
{
    return number_of(options, option) != 0;
}

static const struct kv_option_word *word_of(const struct kv_option *option, int value)
{
    const struct kv_option_word *word = option->words;

    while ((word->name || word->rocksdb) && word->value != value) {
        word++;
    }
    return word;
}

static void format_merge(const struct quarry_kv_options *options, const struct kv_option *option,
                         char value[KV_OPTION_VALUE_BYTES])
{
    const struct quarry_kv_merge_operator *merge =
        *(const struct quarry_kv_merge_operator *const *)value_of(options, option);

    (void)snprintf(value, KV_OPTION_VALUE_BYTES, "%s", merge == NULL ? "nullptr" : merge->name);
}

const char *kv_option_format(const struct quarry_kv_options *options, uint32_t index,
                             char value[KV_OPTION_VALUE_BYTES])
{
    const struct kv_option *option = &kv_option_table[index];
    uint64_t number = number_of(options, option);

    Q_ASSERT(index < kv_option_table_count);
    if (option->kind == KV_OPTION_MERGE) {
        format_merge(options, option, value);
    } else if (option->kind == KV_OPTION_WORD) {
        const struct kv_option_word *word = word_of(option, (int)number);
        (void)snprintf(value, KV_OPTION_VALUE_BYTES, "%s", word->name != NULL ? word->name : "");
    } else if (option->kind == KV_OPTION_BOOL) {
        (void)snprintf(value, KV_OPTION_VALUE_BYTES, "%s", number != 0 ? "true" : "false");
    } else if (option->kind == KV_OPTION_LEVEL) {
        (void)snprintf(value, KV_OPTION_VALUE_BYTES, "%d", (int)number);
    } else if (option->kind == KV_OPTION_BLOOM && number == 0) {
        (void)snprintf(value, KV_OPTION_VALUE_BYTES, "bloomfilter");
    } else if (option->kind == KV_OPTION_BLOOM) {
        (void)snprintf(value, KV_OPTION_VALUE_BYTES, number == 1 ? "none" : "%u.%03u",
                       (uint32_t)number / MILLI, (uint32_t)number % MILLI);
    } else {
        (void)snprintf(value, KV_OPTION_VALUE_BYTES, "%" PRIu64, number);
    }
    return value;
}

bool kv_option_format_rocksdb(const struct quarry_kv_options *options,
                              const struct kv_option *option, char value[KV_OPTION_VALUE_BYTES])
{
    uint64_t number = number_of(options, option);

    if (option->section == KV_OPTION_OURS) {
        return false;
    }
    number = number == 0 ? option->fallback : number;
    if (option->kind == KV_OPTION_WORD) {
        const char *word = word_of(option, (int)number)->rocksdb;
        (void)snprintf(value, KV_OPTION_VALUE_BYTES, "%s", word != NULL ? word : "");
        return word != NULL;
    }
    if (option->kind == KV_OPTION_BLOOM) {
        (void)snprintf(value, KV_OPTION_VALUE_BYTES,
                       number == 1 ? "nullptr" : "bloomfilter:%u.%03u:false",
                       (uint32_t)number / MILLI, (uint32_t)number % MILLI);
        return true;
    }
    if (strcmp(option->rocksdb, "prefix_extractor") == 0 && number != 0) {
        (void)snprintf(value, KV_OPTION_VALUE_BYTES, "rocksdb.FixedPrefix.%" PRIu64, number);
        return true;
    }
    (void)kv_option_format(options, (uint32_t)(option - kv_option_table), value);
    return number != 0 || option->kind == KV_OPTION_BOOL || option->kind == KV_OPTION_MERGE;
}
