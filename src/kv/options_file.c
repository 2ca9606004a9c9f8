/*
 * Options in a file, in RocksDB's form:
 *
 *     # a comment
 *     [Version]
 *       rocksdb_version=7.8.3
 *       options_file_version=1.1
 *     [DBOptions]
 *       max_background_jobs=2
 *     [CFOptions "default"]
 *       write_buffer_size=67108864
 *     [TableOptions/BlockBasedTable "default"]
 *       block_size=4096
 *     # quarry: durability=power
 *
 * What RocksDB has no name for stands in comments that begin "# quarry:", so that its tools read
 * the file too. What Quarry has no use for is passed over, and so are sections of other column
 * families.
 *
 * Read by hand: inih, which reads Quarry's own configuration, has room for 198 bytes of a line and
 * reads the rest as the next one; RocksDB writes lines of 230 and more
 * ("compaction_options_universal"), and a backslash before '#', ':' and others, which inih does not
 * know.
 *
 * A line is up to LINE_BYTES long, read through a window on the stack: no memory is taken. A value
 * that makes no sense is QUARRY_CORRUPT with the line's number, and so is a file without a version.
 * Nothing of the options is changed then (they are set in a copy).
 *
 * Written to a temporary file beside it, synced, and renamed.
 *
 * Locking: none. Cost: O(bytes × options).
 */
#include <kv/options_names.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <kv/options_table.h>

/* The longest line. RocksDB's longest are a few hundred; a per-level list of paths may be more. */
#define LINE_BYTES 8192u
/* Larger files are not read: no options file is. */
#define FILE_BYTES_MAX Q_MIB(4)
/* All that is written: some 40 lines of at most 100. */
#define TEXT_BYTES 8192u
#define OUR_PREFIX "# quarry:"

enum section {
    SECTION_NONE,
    SECTION_VERSION,
    SECTION_DB,
    SECTION_CF,
    SECTION_TABLE,
    SECTION_OTHER,
};

struct source {
    struct quarry_kv_options options; /* a copy, taken over in the end */
    struct quarry_vfs_file *file;
    const char *path;
    struct quarry_error *error;
    uint64_t offset;  /* in the file, of the window */
    size_t at, count; /* in the window */
    char window[LINE_BYTES];
    uint32_t line;
    enum section section;
    bool has_version;
};

/* ---- lines ---------------------------------------------------------------------------------- */

static enum quarry_status complain(struct source *source, const char *what)
{
    return error_set(source->error, QUARRY_CORRUPT, "%s: line %u: %s", source->path, source->line,
                     what);
}

/* Makes the window begin at `at`, and be as full as can be. */
static enum quarry_status refill(struct source *source)
{
    size_t rest = source->count - source->at, count = 0;

    memmove(source->window, source->window + source->at, rest);
    enum quarry_status status =
        quarry_vfs_read(source->file, source->offset, source->window + rest,
                        sizeof(source->window) - rest, &count, source->error);
    source->at = 0;
    source->count = rest + count;
    source->offset += count;
    return status;
}

/*
 * The next line, without its end, in the window and closed by a NUL. QUARRY_NOT_FOUND: none.
 */
static enum quarry_status read_line(struct source *source, char **ret_line)
{
    char *begin = source->window + source->at;
    char *end = memchr(begin, '\n', source->count - source->at);
    enum quarry_status status = QUARRY_OK;

    source->line++;
    if (end == NULL) {
        status = refill(source);
        begin = source->window;
        end = memchr(begin, '\n', source->count);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    if (end == NULL && source->count == sizeof(source->window)) {
        return complain(source, "a line of more than 8192 bytes");
    }
    if (end == NULL && source->count == 0) {
        return QUARRY_NOT_FOUND;
    }
    /* The last line may have no end; there is room behind it, or the window would be full. */
    end = end == NULL ? begin + source->count : end;
    source->at = (size_t)(end - source->window) + (end < source->window + source->count ? 1 : 0);
    *end = '\0';
    *ret_line = begin;
    return memchr(begin, '\0', (size_t)(end - begin)) == NULL ? QUARRY_OK
                                                              : complain(source, "a NUL byte");
}

static char *trim(char *text)
{
    size_t length;

    text += strspn(text, " \t\r");
    length = strlen(text);
    while (length > 0 && strchr(" \t\r", text[length - 1]) != NULL) {
        text[--length] = '\0';
    }
    return text;
}

/* Cuts a comment off, and takes backslashes away before what they protect. */
static void unescape(char *text)
{
    char *to = text;

    for (; *text != '\0' && *text != '#'; text++) {
        if (*text == '\\' && text[1] != '\0') {
            text++;
        }
        *to++ = *text;
    }
    *to = '\0';
}

/* ---- reading -------------------------------------------------------------------------------- */

static enum quarry_status begin_section(struct source *source, const char *line)
{
    static const struct {
        const char *text;
        enum section section;
    } sections[] = {
        {"[Version]", SECTION_VERSION},
        {"[DBOptions]", SECTION_DB},
        {"[CFOptions \"default\"]", SECTION_CF},
        {"[TableOptions/BlockBasedTable \"default\"]", SECTION_TABLE},
    };

    if (line[strlen(line) - 1] != ']') {
        return complain(source, "a section's name that does not end with ]");
    }
    source->section = SECTION_OTHER;
    for (uint32_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
        if (strcmp(line, sections[i].text) == 0) {
            source->section = sections[i].section;
        }
    }
    return QUARRY_OK;
}

/* The version of the form is 1.something; of RocksDB, any. */
static enum quarry_status take_version(struct source *source, const char *name, const char *value)
{
    if (strcmp(name, "options_file_version") == 0) {
        if (strncmp(value, "1.", 2) != 0 && strcmp(value, "1") != 0) {
            return error_set(source->error, QUARRY_UNSUPPORTED,
                             "%s: options file version '%.20s'; 1 is known", source->path, value);
        }
        source->has_version = true;
    }
    return QUARRY_OK;
}

static enum quarry_status take_comparator(struct source *source, const char *value)
{
    const struct quarry_kv_comparator *comparator = source->options.comparator;
    const char *name = comparator != NULL ? comparator->name : "leveldb.BytewiseComparator";

    if (strcmp(name, value) == 0) {
        return QUARRY_OK;
    }
    return error_set(source->error, QUARRY_BAD_INPUT,
                     "%s: keys are ordered by '%.80s', not by '%.80s'", source->path, value, name);
}

static enum quarry_status set_option(struct source *source, const char *name, const char *value,
                                     bool is_ours)
{
    struct quarry_error problem = {0};
    enum quarry_status status =
        is_ours ? quarry_kv_options_set(&source->options, name, value, &problem)
                : kv_options_set_rocksdb(&source->options, name, value, &problem);

    if (status == QUARRY_OK || status == QUARRY_NOT_FOUND) {
        return QUARRY_OK; /* another version's, perhaps */
    }
    return complain(source, problem.text);
}

static enum quarry_status take_pair(struct source *source, char *text, bool is_ours)
{
    char *equals = strchr(text, '=');

    if (equals == NULL) {
        return complain(source, "neither a section nor a name and a value");
    }
    *equals = '\0';
    const char *name = trim(text), *value = trim(equals + 1);
    if (is_ours) {
        return set_option(source, name, value, true);
    }
    if (source->section == SECTION_NONE) {
        return complain(source, "a value before the first section");
    }
    if (source->section == SECTION_VERSION) {
        return take_version(source, name, value);
    }
    if (source->section == SECTION_CF && strcmp(name, "comparator") == 0) {
        return take_comparator(source, value);
    }
    return source->section == SECTION_OTHER ? QUARRY_OK : set_option(source, name, value, false);
}

static enum quarry_status take_line(struct source *source, char *line)
{
    line = trim(line);
    if (strncmp(line, OUR_PREFIX, sizeof(OUR_PREFIX) - 1) == 0) {
        return take_pair(source, line + sizeof(OUR_PREFIX) - 1, true);
    }
    unescape(line);
    line = trim(line);
    if (*line == '\0') {
        return QUARRY_OK;
    }
    return *line == '[' ? begin_section(source, line) : take_pair(source, line, false);
}

static enum quarry_status read_all(struct source *source)
{
    enum quarry_status status;
    char *line = NULL;

    while ((status = read_line(source, &line)) == QUARRY_OK) {
        status = take_line(source, line);
        if (status != QUARRY_OK) {
            return status;
        }
        if (source->offset > FILE_BYTES_MAX) {
            return complain(source, "a file of more than 4 MiB");
        }
    }
    if (status != QUARRY_NOT_FOUND) {
        return status;
    }
    return source->has_version
               ? QUARRY_OK
               : error_set(source->error, QUARRY_CORRUPT, "%s: it has no [Version]", source->path);
}

enum quarry_status quarry_kv_options_load(struct quarry_kv_options *options, struct quarry_vfs *vfs,
                                          const char *path, struct quarry_error *error)
{
    struct source source = {.options = *options, .path = path, .error = error};
    enum quarry_status status = quarry_vfs_open(vfs, path, QUARRY_VFS_READ, &source.file, error);

    if (status != QUARRY_OK) {
        return status;
    }
    status = read_all(&source);
    quarry_vfs_close(source.file);
    if (status == QUARRY_OK) {
        *options = source.options;
    }
    return status;
}

/* ---- writing -------------------------------------------------------------------------------- */

struct text {
    size_t count;
    char bytes[TEXT_BYTES];
};

static void put(struct text *text, const char *format, ...) Q_PRINTF(2, 3);
static void put(struct text *text, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    int length =
        vsnprintf(text->bytes + text->count, sizeof(text->bytes) - text->count, format, arguments);
    va_end(arguments);
    Q_ASSERT(length >= 0 && (size_t)length < sizeof(text->bytes) - text->count);
    text->count += (size_t)length;
}

static void put_section(struct text *text, const struct quarry_kv_options *options,
                        enum kv_option_section section)
{
    char value[KV_OPTION_VALUE_BYTES];

    for (uint32_t i = 0; i < kv_option_table_count; i++) {
        const struct kv_option *option = &kv_option_table[i];
        if (option->section == section && kv_option_format_rocksdb(options, option, value)) {
            put(text, "  %s=%s\n", option->rocksdb, value);
        }
    }
}

/* What RocksDB has no line for. */
static void put_ours(struct text *text, const struct quarry_kv_options *options)
{
    char value[KV_OPTION_VALUE_BYTES];

    for (uint32_t i = 0; i < kv_option_table_count; i++) {
        const struct kv_option *option = &kv_option_table[i];
        bool is_word = option->kind == KV_OPTION_WORD;
        /* Words are written whatever they are: zero is not every one's default. */
        if (option->section == KV_OPTION_OURS && (is_word || kv_option_is_set(options, option))) {
            put(text, "%s %s=%s\n", OUR_PREFIX, option->name, kv_option_format(options, i, value));
        }
    }
}

static void put_all(struct text *text, const struct quarry_kv_options *options)
{
    const char *comparator =
        options->comparator != NULL ? options->comparator->name : "leveldb.BytewiseComparator";

    put(text, "# Options of a store, in the form of RocksDB's.\n\n[Version]\n"
              "  rocksdb_version=7.8.3\n  options_file_version=1.1\n\n[DBOptions]\n");
    put_section(text, options, KV_OPTION_DB);
    put(text, "\n[CFOptions \"default\"]\n");
    put_section(text, options, KV_OPTION_CF);
    /* Names longer than any that is used are left out: the manifest has them all the same. */
    if (strlen(comparator) < 256) {
        put(text, "  comparator=%s\n", comparator);
    }
    put(text, "  table_factory=BlockBasedTable\n"
              "\n[TableOptions/BlockBasedTable \"default\"]\n  format_version=5\n");
    put_section(text, options, KV_OPTION_TABLE);
    if (options->has_partitioned_filters) {
        put(text, "  index_type=kTwoLevelIndexSearch\n"); /* without which RocksDB has none */
    }
    put(text, "\n");
    put_ours(text, options);
}

static enum quarry_status write_text(struct quarry_vfs *vfs, const char *path,
                                     const struct text *text, struct quarry_error *error)
{
    struct quarry_vfs_file *file = NULL;
    enum quarry_status status = quarry_vfs_open(
        vfs, path, QUARRY_VFS_WRITE | QUARRY_VFS_CREATE | QUARRY_VFS_TRUNCATE, &file, error);

    if (status != QUARRY_OK) {
        return status;
    }
    status = quarry_vfs_write(file, 0, text->bytes, text->count, error);
    if (status == QUARRY_OK) {
        status = quarry_vfs_sync(file, error);
    }
    quarry_vfs_close(file);
    return status;
}

/* The directory that a path is in: "." where it has none. */
static void directory_of(const char *path, char directory[QUARRY_VFS_PATH_BYTES_MAX])
{
    const char *slash = strrchr(path, '/');
    size_t length = slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);

    Q_ASSERT(length < QUARRY_VFS_PATH_BYTES_MAX);
    memcpy(directory, length == 0 ? "." : path, length == 0 ? 1 : length);
    directory[length == 0 ? 1 : length] = '\0';
}

enum quarry_status quarry_kv_options_save(const struct quarry_kv_options *options,
                                          struct quarry_vfs *vfs, const char *path,
                                          struct quarry_error *error)
{
    char temporary[QUARRY_VFS_PATH_BYTES_MAX], directory[QUARRY_VFS_PATH_BYTES_MAX];
    struct text text = {0};
    int length = snprintf(temporary, sizeof(temporary), "%s.dbtmp", path);

    if (length < 0 || (size_t)length >= sizeof(temporary)) {
        return error_set(error, QUARRY_TOO_LARGE, "%.80s…: a path of more than %zu bytes", path,
                         sizeof(temporary) - sizeof(".dbtmp"));
    }
    put_all(&text, options);
    enum quarry_status status = write_text(vfs, temporary, &text, error);
    if (status == QUARRY_OK) {
        status = quarry_vfs_rename(vfs, temporary, path, error);
    }
    if (status != QUARRY_OK) {
        (void)quarry_vfs_remove(vfs, temporary, NULL);
        return status;
    }
    directory_of(path, directory);
    return quarry_vfs_sync_directory(vfs, directory, error);
}
