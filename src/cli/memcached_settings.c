/*
 * memcached's options as settings: which go together, and what each is called here.
 *
 *   line ─ checked ─ addresses, sizes, files, certificates, rights, log ─▶ sources.assignments
 *
 * Each setting has the option that it comes from as its origin, so that whatever is said about it
 * later names what was typed. What --set gave comes last, and holds.
 *
 * Invariant: texts that do not fit leave `text_bytes` at its end, which is looked at once, when all
 * have been put.
 *
 * Source: behaviour of memcached 1.6.18, observed option by option.
 */
#include <cli/memcached_line.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- whether it goes together --------------------------------------------------------------- */

static int check_sizes(struct memcached_line *line)
{
    if (line->item_bytes < Q_KIB(1)) {
        return memcached_line_refuse(line, MEMCACHED_EXIT_USAGE,
                                     "Item max size cannot be less than 1024 bytes.");
    }
    if (line->item_bytes > Q_MIB(line->mib) / 2) {
        return memcached_line_refuse(line, MEMCACHED_EXIT_USAGE,
                                     "Cannot set item size limit higher than 1/2 of memory max.");
    }
    return line->item_bytes <= Q_GIB(1)
               ? 0
               : memcached_line_refuse(line, MEMCACHED_EXIT_USAGE,
                                       "Cannot set item size limit higher than a gigabyte.");
}

static int check_together(struct memcached_line *line)
{
    if (line->has_sasl && line->is_text_alone) {
        return memcached_line_refuse(
            line, MEMCACHED_EXIT_USAGE,
            "ERROR: You cannot allow the ASCII protocol while using SASL.");
    }
    if (line->auth_path != NULL && line->is_binary_alone) {
        return memcached_line_refuse(line, MEMCACHED_EXIT_USAGE,
                                     "ERROR: You cannot allow the BINARY protocol while using "
                                     "ascii authentication tokens.");
    }
    if (line->has_tls && line->tls_chain == NULL) {
        return memcached_line_refuse(line, MEMCACHED_EXIT_USAGE,
                                     "-Z needs a certificate: -o ssl_chain_cert=FILE");
    }
    return check_sizes(line);
}

/* ---- settings ------------------------------------------------------------------------------- */

/*
 * Adds a setting. Those that --set gave come after all of these: what it says holds. Texts that do
 * not fit are found by compose, which looks at the room that is left.
 */
static void put(struct memcached_line *line, const char *origin, const char *key,
                const char *format, ...) Q_PRINTF(4, 5);
static void put(struct memcached_line *line, const char *origin, const char *key,
                const char *format, ...)
{
    struct memcached_options *options = line->options;
    struct serve_sources *sources = &options->sources;
    size_t room = MEMCACHED_TEXTS_BYTES - options->text_bytes;
    char *value = options->texts + options->text_bytes;
    va_list arguments;

    Q_ASSERT(sources->assignment_count < SERVE_ASSIGNMENTS_MAX);
    va_start(arguments, format);
    int wrote = vsnprintf(value, room, format, arguments);
    va_end(arguments);
    options->text_bytes = wrote >= 0 && (size_t)wrote < room
                              ? options->text_bytes + (size_t)wrote + 1
                              : MEMCACHED_TEXTS_BYTES;
    sources->assignments[sources->assignment_count++] =
        (struct serve_assignment){.key = key, .value = value, .origin = origin};
}

/* A file as it is named from the root, where a daemon goes. Returns: `path`, or a copy. */
static const char *from_root(struct memcached_line *line, const char *path)
{
    struct memcached_options *options = line->options;
    size_t room = MEMCACHED_TEXTS_BYTES - options->text_bytes;
    char *copy = options->texts + options->text_bytes;
    char folder[SERVE_VALUE_TEXT_BYTES];

    if (path == NULL || path[0] == '/' || !options->is_daemon ||
        getcwd(folder, sizeof folder) == NULL) {
        return path;
    }
    int wrote = snprintf(copy, room, "%s/%s", folder, path);
    bool fits = wrote >= 0 && (size_t)wrote < room;
    options->text_bytes = fits ? options->text_bytes + (size_t)wrote + 1 : MEMCACHED_TEXTS_BYTES;
    return copy;
}

static void put_path(struct memcached_line *line, const char *origin, const char *key,
                     const char *path)
{
    put(line, origin, key, "%s", from_root(line, path));
}

static void put_sizes(struct memcached_line *line)
{
    put(line, "-m", "cache.size", "%" PRIu64 "m", line->mib);
    put(line, "-I", "cache.item_max", "%" PRIu64, line->item_bytes);
    put(line, "-M", "cache.evicts", line->never_evicts ? "off" : "on");
    put(line, "-t", "server.threads", "%u", line->threads);
    put(line, "-c", "net.connections_max", "%u", line->connections);
    put(line, "-b", "net.backlog", "%u", line->backlog);
    if (line->idle_seconds > 0) {
        put(line, "-o idle_timeout", "net.idle_timeout", "%" PRIu64 "s", line->idle_seconds);
    }
}

/* What outlives the process: nothing, or what -e says. */
static void put_files(struct memcached_line *line)
{
    put(line, "quarry memcached", "resp.listen", "off");
    put(line, "quarry memcached", "http.listen", "off");
    if (line->memory_path == NULL) {
        put(line, "quarry memcached", "server.durability", "none");
        put(line, "quarry memcached", "server.data", "off");
        return;
    }
    line->options->is_restartable = true;
    put(line, "-e", "server.durability", "process");
    put(line, "-e", "cache.file", "data");
    put(line, "-e", "server.data", "%s.quarry", from_root(line, line->memory_path));
}

/* Of three modes, the one that lets the same people connect: to connect is to write. */
static const char *unix_mode(uint32_t mask)
{
    return (mask & 0002) != 0 ? "0666" : (mask & 0020) != 0 ? "0660" : "0600";
}

static int put_addresses(struct memcached_line *line)
{
    struct memcached_addresses addresses;
    int code = memcached_line_find_addresses(line, &addresses);
    const char *origin = line->unix_path != NULL ? "-s" : line->listen_count > 0 ? "-l" : "-p";

    if (code != 0) {
        return code;
    }
    put(line, origin, "memcached.listen", "%s", addresses.plain);
    put(line, origin, "memcached.listen_tls", "%s", addresses.encrypted);
    put(line, "-a", "memcached.unix_mode", "%s", unix_mode(line->unix_mask));
    if (addresses.needs_certificates) {
        line->tls_verify = 2;
    }
    if (addresses.is_open && line->auth_path == NULL && !line->has_sasl) {
        put(line, "-l", "server.insecure", "on");
        memcached_line_note(line, true, "-l: other machines can use this cache, without a login");
    }
    return 0;
}

static void put_tls(struct memcached_line *line)
{
    static const char *const clients[] = {"none", "optional", "required", "required"};

    if (!line->has_tls) {
        return;
    }
    Q_ASSERT(line->tls_verify < sizeof clients / sizeof clients[0]);
    put_path(line, "-o ssl_chain_cert", "tls.certificate", line->tls_chain);
    if (line->tls_key != NULL) {
        put_path(line, "-o ssl_key", "tls.key", line->tls_key);
    }
    if (line->tls_ca != NULL) {
        put_path(line, "-o ssl_ca_cert", "tls.client_ca", line->tls_ca);
    }
    if (line->tls_ciphers != NULL) {
        put(line, "-o ssl_ciphers", "tls.ciphers", "%s", line->tls_ciphers);
    }
    if (line->tls_version < 2) {
        memcached_line_note(line, true, "-o ssl_min_version: TLS 1.2 is the oldest here");
    }
    put(line, "-o ssl_min_version", "tls.version_min", line->tls_version == 3 ? "1.3" : "1.2");
    put(line, "-o ssl_verify_mode", "tls.clients", "%s", clients[line->tls_verify]);
    put(line, "-o ssl_session_cache", "tls.session_cache", line->tls_session_cache ? "on" : "off");
    put(line, "-o ssl_kernel_tls", "tls.kernel", line->tls_kernel ? "on" : "off");
}

#define WORDS_BYTES 40

/* What anybody is allowed, as the setting has it. Returns: `words`. */
static const char *allowed_words(const struct memcached_line *line, char words[WORDS_BYTES])
{
    int length = snprintf(words, WORDS_BYTES, "%s%s%s%s", line->refuses_flush ? "" : "flush,",
                          line->refuses_dump ? "" : "dump,", line->refuses_watch ? "" : "watch,",
                          line->allows_shutdown ? "shutdown," : "");

    Q_ASSERT(length >= 0 && length < WORDS_BYTES);
    if (length == 0) {
        return strcpy(words, "none");
    }
    words[length - 1] = '\0';
    return words;
}

static void put_rights(struct memcached_line *line)
{
    const char *passwords = getenv("MEMCACHED_SASL_PWDB");
    char words[WORDS_BYTES];

    if (line->auth_path != NULL) {
        put_path(line, "-Y", "users.plain_file", line->auth_path);
    } else if (line->has_sasl && passwords != NULL && passwords[0] != '\0') {
        put_path(line, "MEMCACHED_SASL_PWDB", "users.plain_file", passwords);
    } else {
        line->options->needs_users = line->has_sasl;
    }
    put(line, "-F, -X, -W, -A", "memcached.allow", "%s", allowed_words(line, words));
    put(line, "-B", "memcached.protocol",
        line->is_text_alone     ? "ascii"
        : line->is_binary_alone ? "binary"
                                : "auto");
    put(line, "-D", "memcached.prefixes", line->counts_prefixes ? "on" : "off");
}

static void put_log(struct memcached_line *line)
{
    static const char *const levels[] = {"warning", "info", "debug"};

    put(line, "-v", "log.level", "%s", levels[size_min(line->options->verbosity, 2)]);
}

/* Puts what --set gave behind what the other options did. */
static void move_first_behind(struct serve_sources *sources, uint32_t count)
{
    struct serve_assignment first[SERVE_ASSIGNMENTS_MAX];
    uint32_t rest = sources->assignment_count - count;

    memcpy(first, sources->assignments, count * sizeof first[0]);
    memmove(sources->assignments, sources->assignments + count, rest * sizeof first[0]);
    memcpy(sources->assignments + rest, first, count * sizeof first[0]);
}

int memcached_line_compose(struct memcached_line *line)
{
    struct memcached_options *options = line->options;
    uint32_t own_count = options->sources.assignment_count;
    int code = check_together(line);

    line->unix_path = from_root(line, line->unix_path);
    options->pid_path = from_root(line, options->pid_path);
    code = code == 0 ? put_addresses(line) : code;
    if (code != 0) {
        return code;
    }
    put_sizes(line);
    put_files(line);
    put_tls(line);
    put_rights(line);
    put_log(line);
    if (options->text_bytes == MEMCACHED_TEXTS_BYTES) {
        return memcached_line_refuse(line, MEMCACHED_EXIT_USAGE, "the command line is too long");
    }
    move_first_behind(&options->sources, own_count);
    return 0;
}
