/*
 * Configuration files, in the form of INI, read by inih:
 *
 *     # a comment; so is what follows ' ;'
 *     [cache]
 *     size = 4g              is cache.size
 *     [tenant acme]          begins the tenant, also with nothing below it
 *     quota = 1g             is tenant.acme.quota
 *
 * inih takes lines apart; what it would let pass is found out here, in the function that hands it
 * the lines:
 *   1. It has room for 198 bytes of a line and reads the rest as the next one: longer ones are
 *      errors.
 *   2. It takes an indented line for more of the value above: blanks at the beginning are left off.
 *   3. It tells the number of the first line only that it does not understand: each line of a
 *      setting for which its handler has not been called when the next one is wanted is one.
 *   4. It says nothing of sections without settings: their lines are looked at here.
 *   5. It cuts names of sections at 49 bytes: longer ones are errors.
 *
 * A setting that is in the file twice is an error: of two values one is not meant, and nobody knows
 * which.
 *
 * Locking: none. Cost: O(size of the file × settings). Memory: stdio's buffer.
 */
#include <serve/config.h>

#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

#include <serve/config_told.h>

/* Room for "PATH:LINE". */
#define ORIGIN_BYTES 200
/* inih's own limit of a section's name. */
#define SECTION_BYTES_MAX 48u
#define KEY_BYTES         160

struct source {
    struct serve_config *config;
    const char *path;
    FILE *file;
    struct serve_told told;
    uint32_t line;
    bool is_open_line; /* a setting was handed out, and its handler not called yet */
    char origin[ORIGIN_BYTES];
};

/* A path too long for messages keeps its end, which says more. */
static void set_origin(struct source *source)
{
    size_t length = strlen(source->path), room = ORIGIN_BYTES - 16;
    const char *path = length > room ? source->path + (length - room) : source->path;

    snprintf(source->origin, sizeof source->origin, "%s:%u", path, source->line);
}

#define COMPLAIN(source, status, format, ...)                                                      \
    serve_told_say(&(source)->told, status, "%s: " format,                                         \
                   (source)->origin __VA_OPT__(, ) __VA_ARGS__)

/* ---- lines ---------------------------------------------------------------------------------- */

/* Begins the tenant or user of a section's line. `name`: closed by ']'. */
static void define(struct source *source, enum serve_group_kind kind, const char *name)
{
    struct quarry_error problem = {0};
    char copy[SERVE_USER_NAME_BYTES_MAX + 2] = {0};
    size_t length = strcspn(name, "]");

    while (length > 0 && name[length - 1] == ' ') {
        length--;
    }
    memcpy(copy, name, size_min(length, sizeof copy - 1));
    if (serve_config_define(source->config, kind, copy, source->origin, &problem) != QUARRY_OK) {
        serve_told_add(&source->told, &problem);
    }
}

static void look_at_section(struct source *source, const char *line)
{
    static const char *const prefixes[] = {
        [SERVE_TENANTS] = "tenant ",
        [SERVE_USERS] = "user ",
        [SERVE_SCRAPES] = "scrape ",
    };
    size_t length = strcspn(line, "]");

    if (line[length] == '\0') {
        COMPLAIN(source, QUARRY_BAD_INPUT, "a section's name ends with ]");
    } else if (length > SECTION_BYTES_MAX) {
        COMPLAIN(source, QUARRY_TOO_LARGE, "a section's name has up to %u bytes",
                 SECTION_BYTES_MAX - 1);
    } else {
        for (uint32_t kind = 0; kind < SERVE_GROUP_KIND_COUNT; kind++) {
            size_t bytes = strlen(prefixes[kind]);
            if (strncmp(line + 1, prefixes[kind], bytes) == 0) {
                define(source, (enum serve_group_kind)kind,
                       line + 1 + bytes + strspn(line + 1 + bytes, " "));
            }
        }
    }
}

/* Reads a line without its end. Returns: false at the end of the file. */
static bool read_line(struct source *source, char *text, size_t capacity)
{
    size_t length = 0;
    bool is_cut = false, has_nul = false;
    int byte = getc(source->file);

    if (byte == EOF) {
        return false;
    }
    source->line++;
    set_origin(source);
    for (; byte != EOF && byte != '\n'; byte = getc(source->file)) {
        has_nul = has_nul || byte == '\0';
        is_cut = is_cut || length == capacity - 1;
        if (!is_cut && (length > 0 || (byte != ' ' && byte != '\t'))) {
            text[length++] = (char)byte;
        }
    }
    if (is_cut) {
        COMPLAIN(source, QUARRY_TOO_LARGE, "a line has up to %zu bytes", capacity - 1);
    } else if (has_nul) {
        COMPLAIN(source, QUARRY_BAD_INPUT, "a line has no zero bytes");
    }
    text[is_cut || has_nul ? 0 : length] = '\0';
    return true;
}

static void close_line(struct source *source)
{
    if (source->is_open_line) {
        source->is_open_line = false;
        COMPLAIN(source, QUARRY_BAD_INPUT, "neither 'name = value' nor '[section]'");
    }
}

/* The form of inih's reader: as fgets. */
static char *hand_out_line(char *text, int capacity, void *stream)
{
    struct source *source = stream;

    close_line(source);
    if (serve_told_is_enough(&source->told) || !read_line(source, text, (size_t)capacity - 1)) {
        return NULL;
    }
    const char *begin = text + (strncmp(text, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0);
    if (*begin == '[') {
        look_at_section(source, begin);
    } else {
        source->is_open_line = *begin != '\0' && strchr("#;\r", *begin) == NULL;
    }
    return text;
}

/* ---- settings ------------------------------------------------------------------------------- */

/* "tenant acme" and "quota" are "tenant.acme.quota". */
static void make_key(const char *section, const char *name, char key[KEY_BYTES])
{
    size_t length;

    section += strspn(section, " ");
    length = strlen(section);
    while (length > 0 && section[length - 1] == ' ') {
        length--;
    }
    snprintf(key, KEY_BYTES, "%.*s%s%s", (int)length, section, length > 0 ? "." : "", name);
    char *blank = strchr(key, ' ');
    if (blank != NULL && (strncmp(key, "tenant ", 7) == 0 || strncmp(key, "user ", 5) == 0 ||
                          strncmp(key, "scrape ", 7) == 0)) {
        size_t blanks = strspn(blank, " ");
        *blank = '.';
        memmove(blank + 1, blank + blanks, strlen(blank + blanks) + 1);
    }
}

/* The line of this file that has set a key already; 0: none. */
static uint32_t earlier_line(const struct source *source, const char *key)
{
    const char *origin = serve_config_find_origin(source->config, key);
    size_t length = (size_t)(strrchr(source->origin, ':') + 1 - source->origin);

    if (origin == NULL || strncmp(origin, source->origin, length) != 0) {
        return 0;
    }
    return (uint32_t)strtoul(origin + length, NULL, 10);
}

/* The form of inih's handler: 0 says that something is wrong, which is told otherwise here. */
static int handle(void *argument, const char *section, const char *name, const char *value)
{
    struct source *source = argument;
    struct quarry_error problem = {0};
    char key[KEY_BYTES];

    source->is_open_line = false;
    make_key(section, name, key);
    uint32_t earlier = earlier_line(source, key);
    if (earlier != 0) {
        COMPLAIN(source, QUARRY_EXISTS, "%s was set in line %u already", key, earlier);
    } else if (serve_config_set(source->config, key, value, source->origin, &problem) !=
               QUARRY_OK) {
        serve_told_add(&source->told, &problem);
    }
    return 1;
}

static enum quarry_status io_failed(const char *name, struct quarry_error *error)
{
    enum quarry_status status = errno == ENOENT   ? QUARRY_NOT_FOUND
                                : errno == EACCES ? QUARRY_PERMISSION
                                                  : QUARRY_IO;

    return error_set_os(error, status, errno, "%s", name);
}

enum quarry_status serve_config_read_stream(struct serve_config *config, FILE *file,
                                            const char *name, serve_config_tell_function *tell,
                                            void *argument, struct quarry_error *error)
{
    struct source source = {
        .config = config,
        .path = name,
        .file = file,
        .told = {.tell = tell, .argument = argument, .error = error},
    };
    struct quarry_error problem = {0};

    Q_ASSERT(config != NULL && file != NULL && name != NULL);
    set_origin(&source);
    (void)ini_parse_stream(hand_out_line, &source, handle, &source);
    if (ferror(file)) {
        (void)io_failed(name, &problem);
        serve_told_add(&source.told, &problem);
    }
    return source.told.first;
}

enum quarry_status serve_config_read_file(struct serve_config *config, const char *path,
                                          serve_config_tell_function *tell, void *argument,
                                          struct quarry_error *error)
{
    struct serve_told told = {.tell = tell, .argument = argument, .error = error};
    struct quarry_error problem = {0};
    FILE *file = fopen(path, "re");

    if (file == NULL) {
        (void)io_failed(path, &problem);
        serve_told_add(&told, &problem);
        return told.first;
    }
    enum quarry_status status = serve_config_read_stream(config, file, path, tell, argument, error);
    (void)fclose(file);
    return status;
}
