/*
 * The list of memcached's -o: "NAME", "NAME=VALUE", with commas between.
 *
 * Each name is a row: how its value is checked, and what it means here. Most steer parts of
 * memcached that are not here: segments of its LRU, its hash table, its mover of pages, its storage
 * on disks. They are checked as memcached does, so that a line with a mistake fails on both, and
 * noted. An unknown name is refused.
 *
 * Source: behaviour of memcached 1.6.18, observed option by option.
 */
#include <cli/memcached_line.h>

#include <stdlib.h>
#include <string.h>

enum form {
    FORM_SWITCH,   /* a value is not looked at */
    FORM_OPTIONAL, /* a number, if there is one */
    FORM_NUMBER,
    FORM_FRACTION, /* above 0, and below `most` where that is not 0 */
    FORM_TEXT,
    FORM_HASH,
    FORM_REFUSED,
};

/* What a name means here. */
enum effect {
    EFFECT_NONE,    /* noted with -v */
    EFFECT_SAME,    /* what it asks for is so anyway */
    EFFECT_MISSING, /* somebody could rely on it: said always */
    EFFECT_IDLE,
    EFFECT_TLS_CHAIN,
    EFFECT_TLS_KEY,
    EFFECT_TLS_FORM,
    EFFECT_TLS_CA,
    EFFECT_TLS_CIPHERS,
    EFFECT_TLS_VERIFY,
    EFFECT_TLS_VERSION,
    EFFECT_TLS_SESSIONS,
    EFFECT_TLS_KERNEL,
};

struct suboption {
    const char *name;
    enum form form;
    enum effect effect;
    uint64_t least, most;
};

#define ANY_NUMBER 0, UINT32_MAX
#define NO_NUMBER  0, 0

static const struct suboption suboptions[] = {
    {"maxconns_fast", FORM_SWITCH, EFFECT_SAME, NO_NUMBER},
    {"no_maxconns_fast", FORM_SWITCH, EFFECT_MISSING, NO_NUMBER},
    {"hashpower", FORM_NUMBER, EFFECT_NONE, 12, 32},
    {"no_hashexpand", FORM_SWITCH, EFFECT_NONE, NO_NUMBER},
    {"hash_algorithm", FORM_HASH, EFFECT_NONE, NO_NUMBER},
    {"tail_repair_time", FORM_NUMBER, EFFECT_NONE, 10, UINT32_MAX},
    {"idle_timeout", FORM_NUMBER, EFFECT_IDLE, 0, 30 * 86400},
    {"modern", FORM_SWITCH, EFFECT_NONE, NO_NUMBER},
    {"no_modern", FORM_SWITCH, EFFECT_NONE, NO_NUMBER},
    {"track_sizes", FORM_SWITCH, EFFECT_NONE, NO_NUMBER},
    {"slab_sizes", FORM_TEXT, EFFECT_NONE, NO_NUMBER},
    {"slab_chunk_max", FORM_NUMBER, EFFECT_NONE, 1, UINT32_MAX},
    {"slab_reassign", FORM_SWITCH, EFFECT_SAME, NO_NUMBER},
    {"no_slab_reassign", FORM_SWITCH, EFFECT_NONE, NO_NUMBER},
    {"slab_automove", FORM_OPTIONAL, EFFECT_NONE, 0, 2},
    {"no_slab_automove", FORM_SWITCH, EFFECT_NONE, NO_NUMBER},
    {"slab_automove_ratio", FORM_FRACTION, EFFECT_NONE, 0, 1},
    {"slab_automove_window", FORM_NUMBER, EFFECT_NONE, 3, UINT32_MAX},
    {"slab_automove_freeratio", FORM_FRACTION, EFFECT_NONE, NO_NUMBER},
    {"lru_crawler", FORM_SWITCH, EFFECT_SAME, NO_NUMBER},
    {"no_lru_crawler", FORM_SWITCH, EFFECT_NONE, NO_NUMBER},
    {"lru_crawler_sleep", FORM_NUMBER, EFFECT_NONE, 0, 1000000},
    {"lru_crawler_tocrawl", FORM_NUMBER, EFFECT_NONE, ANY_NUMBER},
    {"lru_maintainer", FORM_SWITCH, EFFECT_SAME, NO_NUMBER},
    {"no_lru_maintainer", FORM_SWITCH, EFFECT_NONE, NO_NUMBER},
    {"hot_lru_pct", FORM_NUMBER, EFFECT_NONE, 1, 79},
    {"warm_lru_pct", FORM_NUMBER, EFFECT_NONE, 1, 79},
    {"hot_max_factor", FORM_FRACTION, EFFECT_NONE, NO_NUMBER},
    {"warm_max_factor", FORM_FRACTION, EFFECT_NONE, NO_NUMBER},
    {"temporary_ttl", FORM_NUMBER, EFFECT_NONE, ANY_NUMBER},
    {"watcher_logbuf_size", FORM_NUMBER, EFFECT_NONE, ANY_NUMBER},
    {"worker_logbuf_size", FORM_NUMBER, EFFECT_NONE, ANY_NUMBER},
    {"read_buf_mem_limit", FORM_NUMBER, EFFECT_NONE, ANY_NUMBER},
    {"resp_obj_mem_limit", FORM_SWITCH, EFFECT_NONE, NO_NUMBER},
    {"inline_ascii_resp", FORM_SWITCH, EFFECT_NONE, NO_NUMBER},
    {"no_inline_ascii_resp", FORM_SWITCH, EFFECT_NONE, NO_NUMBER},
    {"no_chunked_items", FORM_SWITCH, EFFECT_NONE, NO_NUMBER},
    {"drop_privileges", FORM_SWITCH, EFFECT_NONE, NO_NUMBER},
    {"no_drop_privileges", FORM_SWITCH, EFFECT_NONE, NO_NUMBER},
    {"relaxed_privileges", FORM_SWITCH, EFFECT_NONE, NO_NUMBER},
    {"meta_response_old", FORM_SWITCH, EFFECT_MISSING, NO_NUMBER},
    {"sock_cookie_id", FORM_NUMBER, EFFECT_MISSING, ANY_NUMBER},
    {"ext_path", FORM_TEXT, EFFECT_MISSING, NO_NUMBER},
    {"ext_page_size", FORM_NUMBER, EFFECT_NONE, ANY_NUMBER},
    {"ext_wbuf_size", FORM_NUMBER, EFFECT_NONE, ANY_NUMBER},
    {"ext_threads", FORM_NUMBER, EFFECT_NONE, ANY_NUMBER},
    {"ext_io_depth", FORM_NUMBER, EFFECT_NONE, ANY_NUMBER},
    {"ext_item_size", FORM_NUMBER, EFFECT_NONE, ANY_NUMBER},
    {"ext_item_age", FORM_NUMBER, EFFECT_NONE, ANY_NUMBER},
    {"ext_low_ttl", FORM_NUMBER, EFFECT_NONE, ANY_NUMBER},
    {"ext_recache_rate", FORM_NUMBER, EFFECT_NONE, ANY_NUMBER},
    {"ext_compact_under", FORM_NUMBER, EFFECT_NONE, ANY_NUMBER},
    {"ext_drop_under", FORM_NUMBER, EFFECT_NONE, ANY_NUMBER},
    {"ext_max_sleep", FORM_NUMBER, EFFECT_NONE, ANY_NUMBER},
    {"ext_max_frag", FORM_FRACTION, EFFECT_NONE, NO_NUMBER},
    {"ext_drop_unread", FORM_SWITCH, EFFECT_NONE, NO_NUMBER},
    {"ssl_chain_cert", FORM_TEXT, EFFECT_TLS_CHAIN, NO_NUMBER},
    {"ssl_key", FORM_TEXT, EFFECT_TLS_KEY, NO_NUMBER},
    {"ssl_keyformat", FORM_TEXT, EFFECT_TLS_FORM, NO_NUMBER},
    {"ssl_verify_mode", FORM_NUMBER, EFFECT_TLS_VERIFY, 0, 3},
    {"ssl_ciphers", FORM_TEXT, EFFECT_TLS_CIPHERS, NO_NUMBER},
    {"ssl_ca_cert", FORM_TEXT, EFFECT_TLS_CA, NO_NUMBER},
    {"ssl_wbuf_size", FORM_NUMBER, EFFECT_NONE, ANY_NUMBER},
    {"ssl_session_cache", FORM_SWITCH, EFFECT_TLS_SESSIONS, NO_NUMBER},
    {"ssl_kernel_tls", FORM_SWITCH, EFFECT_TLS_KERNEL, NO_NUMBER},
    {"ssl_min_version", FORM_NUMBER, EFFECT_TLS_VERSION, 0, 3},
    {"proxy_config", FORM_REFUSED, EFFECT_NONE, NO_NUMBER},
    {"proxy_arg", FORM_REFUSED, EFFECT_NONE, NO_NUMBER},
    {"proxy_uring", FORM_REFUSED, EFFECT_NONE, NO_NUMBER},
};
#define SUBOPTION_COUNT (sizeof suboptions / sizeof suboptions[0])

/* ---- values --------------------------------------------------------------------------------- */

static int out_of_range(struct memcached_line *line, const struct suboption *suboption,
                        const char *value)
{
    return suboption->most < UINT32_MAX
               ? memcached_line_refuse(line, 1, "-o %s takes a number from %ju to %ju, not '%s'",
                                       suboption->name, (uintmax_t)suboption->least,
                                       (uintmax_t)suboption->most, value)
               : memcached_line_refuse(line, 1, "-o %s takes a number from %ju, not '%s'",
                                       suboption->name, (uintmax_t)suboption->least, value);
}

static bool is_fraction(const char *value, uint64_t most)
{
    char *end = NULL;
    double number = strtod(value, &end);

    return end != value && *end == '\0' && number > 0 && (most == 0 || number < (double)most);
}

static bool is_hash(const char *value)
{
    return strcmp(value, "jenkins") == 0 || strcmp(value, "murmur3") == 0 ||
           strcmp(value, "xxh3") == 0;
}

/* `value`: NULL: none was given. `*ret_number`: of a number. */
static int check(struct memcached_line *line, const struct suboption *suboption, const char *value,
                 uint64_t *ret_number)
{
    bool is_number = suboption->form == FORM_NUMBER || suboption->form == FORM_OPTIONAL;

    *ret_number = 0;
    if (suboption->form == FORM_REFUSED) {
        return memcached_line_refuse(line, 1, "Server not built with proxy: \"%s\"",
                                     suboption->name);
    }
    if (suboption->form == FORM_SWITCH || (suboption->form == FORM_OPTIONAL && value == NULL)) {
        return 0;
    }
    if (value == NULL || value[0] == '\0') {
        return memcached_line_refuse(line, 1, "Missing %s argument", suboption->name);
    }
    if (is_number && !memcached_read_number(value, suboption->least, suboption->most, ret_number)) {
        return out_of_range(line, suboption, value);
    }
    if (suboption->form == FORM_FRACTION && !is_fraction(value, suboption->most)) {
        return memcached_line_refuse(line, 1, "-o %s takes a number above 0%s, not '%s'",
                                     suboption->name, suboption->most == 1 ? " and below 1" : "",
                                     value);
    }
    return suboption->form == FORM_HASH && !is_hash(value)
               ? memcached_line_refuse(line, 1,
                                       "Unknown hash_algorithm option (jenkins, murmur3, xxh3)")
               : 0;
}

/* ---- what it means -------------------------------------------------------------------------- */

static void note(struct memcached_line *line, const struct suboption *suboption)
{
    if (suboption->effect == EFFECT_NONE || suboption->effect == EFFECT_MISSING) {
        memcached_line_note(line, suboption->effect == EFFECT_MISSING,
                            "-o %s: has no meaning here, and is ignored", suboption->name);
    }
}

static int apply(struct memcached_line *line, const struct suboption *suboption, const char *value,
                 uint64_t number)
{
    switch (suboption->effect) {
    case EFFECT_NONE:
    case EFFECT_SAME:
    case EFFECT_MISSING:
        note(line, suboption);
        return 0;
    case EFFECT_IDLE:
        line->idle_seconds = number;
        return 0;
    case EFFECT_TLS_CHAIN:
        line->tls_chain = value;
        return 0;
    case EFFECT_TLS_KEY:
        line->tls_key = value;
        return 0;
    case EFFECT_TLS_FORM:
        return strcasecmp(value, "PEM") == 0
                   ? 0
                   : memcached_line_refuse(line, 1, "-o ssl_keyformat: keys are read as PEM alone");
    case EFFECT_TLS_CA:
        line->tls_ca = value;
        return 0;
    case EFFECT_TLS_CIPHERS:
        line->tls_ciphers = value;
        return 0;
    case EFFECT_TLS_VERIFY:
        line->tls_verify = (uint32_t)number;
        return 0;
    case EFFECT_TLS_VERSION:
        line->tls_version = (uint32_t)number;
        return 0;
    case EFFECT_TLS_SESSIONS:
        line->tls_session_cache = true;
        return 0;
    case EFFECT_TLS_KERNEL:
        line->tls_kernel = true;
        return 0;
    }
    Q_UNREACHABLE();
}

/* ---- the list ------------------------------------------------------------------------------- */

static const struct suboption *find(const char *name, size_t length)
{
    for (size_t i = 0; i < SUBOPTION_COUNT; i++) {
        if (strlen(suboptions[i].name) == length && memcmp(suboptions[i].name, name, length) == 0) {
            return &suboptions[i];
        }
    }
    return NULL;
}

/* Keeps a copy beside the other texts: parts of the list have no ends of their own. */
static const char *keep(struct memcached_line *line, const char *text, size_t length)
{
    struct memcached_options *options = line->options;

    if (length >= MEMCACHED_TEXTS_BYTES - options->text_bytes) {
        return NULL;
    }
    char *copy = options->texts + options->text_bytes;
    memcpy(copy, text, length);
    copy[length] = '\0';
    options->text_bytes += length + 1;
    return copy;
}

static int read_one(struct memcached_line *line, const char *text, size_t length)
{
    const char *equals = memchr(text, '=', length);
    size_t name_length = equals != NULL ? (size_t)(equals - text) : length;
    const struct suboption *suboption = find(text, name_length);
    const char *value = NULL;
    uint64_t number = 0;

    if (suboption == NULL) {
        return memcached_line_refuse(line, 1, "Illegal suboption \"%.*s\"", (int)length, text);
    }
    if (equals != NULL) {
        value = keep(line, equals + 1, length - name_length - 1);
        if (value == NULL) {
            return memcached_line_refuse(line, 1, "-o %s: the value is too long", suboption->name);
        }
    }
    int code = check(line, suboption, value, &number);
    return code == 0 ? apply(line, suboption, value, number) : code;
}

int memcached_line_read_extended(struct memcached_line *line, const char *list)
{
    int code = 0;

    while (code == 0 && *list != '\0') {
        size_t length = strcspn(list, ",");
        code = read_one(line, list, length);
        list += length + (list[length] != '\0');
    }
    return code;
}
