/*
 * Text as a source: mapped, so that a page of any length costs no memory of its own; stdin by way
 * of a file without a name, since it is read more than once.
 *
 * A line that is wrong is told, and the next one is read.
 *
 * Locking: none.
 */
#include <cli/tsdb_source.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <os/os.h>
#include <tsdb/tsdb.h>

#define LABELS_MAX 1024u

/* A file with all that a pipe gives. NULL: errno says why not. */
static FILE *copy_pipe(FILE *from)
{
    char bytes[65536];
    FILE *file = tmpfile();
    size_t count;

    while (file != NULL && (count = fread(bytes, 1, sizeof bytes, from)) > 0) {
        if (fwrite(bytes, 1, count, file) != count) {
            (void)fclose(file);
            return NULL;
        }
    }
    if (file != NULL && (ferror(from) || fflush(file) != 0)) {
        (void)fclose(file);
        return NULL;
    }
    return file;
}

/* A file that can be mapped: stdin, pipes and their like are copied. NULL: errno says why not. */
static FILE *open_text(const char *path)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    struct stat about;

    if (file == NULL ||
        (fstat(fileno(file), &about) == 0 && S_ISREG(about.st_mode) && file != stdin)) {
        return file;
    }
    FILE *copy = copy_pipe(file);
    if (file != stdin) {
        const int number = errno;
        (void)fclose(file);
        errno = number;
    }
    return copy;
}

static bool ends_with_eof(const char *text, size_t count)
{
    while (count > 0 && text[count - 1] == '\n') {
        count--;
    }
    return count >= 5 && memcmp(text + count - 5, "# EOF", 5) == 0;
}

enum quarry_status tsdb_source_map_text(struct tsdb_source *source, struct quarry_error *error)
{
    FILE *file = open_text(source->path);
    struct stat about;

    if (file == NULL || fstat(fileno(file), &about) != 0) {
        const int number = errno;
        if (file != NULL) {
            (void)fclose(file);
        }
        return error_set(error, QUARRY_IO, "%.200s: %s", source->path, strerror(number));
    }
    source->text = "";
    source->text_bytes = (size_t)about.st_size;
    if (source->text_bytes > 0) {
        void *mapped = mmap(NULL, source->text_bytes, PROT_READ, MAP_PRIVATE, fileno(file), 0);
        source->text = mapped == MAP_FAILED ? NULL : mapped;
    }
    (void)fclose(file);
    if (source->text == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "%.200s: %s", source->path, strerror(errno));
    }
    source->byte_count = source->text_bytes;
    source->is_openmetrics = ends_with_eof(source->text, source->text_bytes);
    return QUARRY_OK;
}

void tsdb_source_unmap_text(struct tsdb_source *source)
{
    if (source->text_bytes > 0) {
        (void)munmap((void *)(uintptr_t)source->text, source->text_bytes);
    }
}

/* What a page is read with. */
struct reading {
    struct tsdb_exposition reader;
    struct tsdb_label labels[LABELS_MAX];
    char *room; /* own; of a line's names and values without escapes */
    size_t room_bytes;
    int64_t now_ms;
};

static bool make_room(struct reading *reading, size_t byte_count)
{
    if (reading->room_bytes >= byte_count) {
        return true;
    }
    char *larger = realloc(reading->room, byte_count);
    if (larger == NULL) {
        return false;
    }
    reading->room = larger;
    reading->room_bytes = byte_count;
    return true;
}

static enum quarry_status tell_line(struct reading *reading,
                                    const struct tsdb_exposition_line *line,
                                    const struct tsdb_source *source,
                                    const struct tsdb_source_visitor *visitor)
{
    const struct tsdb_label_limits limits = {LABELS_MAX, UINT32_MAX, UINT32_MAX};
    struct tsdb_label_set set;
    struct tsdb_labels labels;
    struct quarry_error why = {0};

    if (!make_room(reading, line->series.count + 1)) {
        return QUARRY_NO_MEMORY;
    }
    struct tsdb_text_room room = {reading->room, 0, reading->room_bytes};
    tsdb_label_set_init(&set, &limits, reading->labels);
    const bool has_room = tsdb_exposition_labels(line, &set, &room);
    Q_ASSERT(has_room);
    if (tsdb_label_set_finish_series(&set, &labels) != TSDB_LABELS_GOOD) {
        tsdb_label_set_tell(&set, &why);
        return source->was_walked || visitor->damaged(visitor->argument, source->path, why.text)
                   ? QUARRY_OK
                   : QUARRY_CANCELLED;
    }
    const struct block_sample sample = {
        .t_ms = line->has_time ? line->sample.t_ms : reading->now_ms, .bits = line->sample.bits};
    visitor->series(visitor->argument, &labels);
    return visitor->sample(visitor->argument, &sample);
}

/* Behind the line that is wrong. Returns: false: that was the last one. */
static bool skip_line(struct tsdb_exposition *reader)
{
    const char *end = memchr(reader->at, '\n', (size_t)(reader->end - reader->at));

    if (end == NULL) {
        return false;
    }
    reader->at = end + 1;
    return reader->at < reader->end;
}

static enum quarry_status walk_lines(struct reading *reading, const struct tsdb_source *source,
                                     const struct tsdb_source_visitor *visitor,
                                     struct quarry_error *error)
{
    struct tsdb_exposition_line line;
    enum quarry_status status = QUARRY_OK;

    while (status == QUARRY_OK) {
        status = tsdb_exposition_next(&reading->reader, &line, error);
        if (status == QUARRY_OK && line.kind == TSDB_LINE_SAMPLE) {
            status = tell_line(reading, &line, source, visitor);
        } else if (status == QUARRY_BAD_INPUT) {
            if (!source->was_walked &&
                !visitor->damaged(visitor->argument, source->path, error->text)) {
                return QUARRY_CANCELLED;
            }
            status = skip_line(&reading->reader) ? QUARRY_OK : QUARRY_NOT_FOUND;
        }
    }
    return status == QUARRY_NOT_FOUND ? QUARRY_OK : status;
}

enum quarry_status tsdb_source_walk_text(struct tsdb_source *source,
                                         const struct tsdb_source_visitor *visitor,
                                         struct quarry_error *error)
{
    struct reading *reading = calloc(1, sizeof *reading);

    if (reading == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory to read text");
    }
    reading->now_ms = (int64_t)(os_wall_ns(os_real()) / Q_MS_NS);
    reading->reader = tsdb_exposition_of(source->is_openmetrics ? TSDB_OPENMETRICS : TSDB_TEXT,
                                         (struct tsdb_slice){source->text, source->text_bytes});
    const enum quarry_status status = walk_lines(reading, source, visitor, error);
    free(reading->room);
    free(reading);
    return status;
}
