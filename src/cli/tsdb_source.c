/*
 * What `quarry tsdb import` brings: finding it, and walking over it.
 *
 * A block says itself from when to when it is. Of the head and of text that is found out by a first
 * walk, which also tells what is damaged.
 *
 * Locking: none.
 */
#include <cli/tsdb_source.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PATH_BYTES 4096u

static bool is_there(const char *directory, const char *name, struct stat *ret_about)
{
    char path[PATH_BYTES];
    const int length = snprintf(path, sizeof path, "%s/%s", directory, name);

    return length > 0 && (size_t)length < sizeof path && stat(path, ret_about) == 0;
}

static struct tsdb_source *add(struct tsdb_sources *sources, enum tsdb_source_kind kind,
                               const char *directory, const char *name)
{
    char path[PATH_BYTES];
    const int length = snprintf(path, sizeof path, name == NULL ? "%s" : "%s/%s", directory, name);
    struct tsdb_source *all = realloc(sources->all, (sources->count + 1) * sizeof *sources->all);

    if (all == NULL) {
        return NULL;
    }
    sources->all = all;
    struct tsdb_source *source = &all[sources->count];
    *source = (struct tsdb_source){.kind = kind, .min_ms = INT64_MAX, .max_ms = INT64_MIN};
    source->path = length > 0 && (size_t)length < sizeof path ? strdup(path) : NULL;
    sources->count += source->path != NULL;
    return source->path == NULL ? NULL : source;
}

void tsdb_sources_fini(struct tsdb_sources *sources)
{
    for (size_t i = 0; i < sources->count; i++) {
        tsdb_source_unmap_text(&sources->all[i]);
        free(sources->all[i].path);
    }
    free(sources->all);
    sources->all = NULL;
    sources->count = 0;
}

/* ---- how far they reach --------------------------------------------------------------------- */

static void pass_series(void *argument, const struct tsdb_labels *labels)
{
    (void)argument;
    (void)labels;
}

static enum quarry_status widen(void *argument, const struct block_sample *sample)
{
    struct tsdb_source *source = argument;

    source->min_ms = sample->t_ms < source->min_ms ? sample->t_ms : source->min_ms;
    source->max_ms = sample->t_ms > source->max_ms ? sample->t_ms : source->max_ms;
    source->sample_count++;
    return QUARRY_OK;
}

/* A walk of which what is damaged goes to who asked, and all else here. */
struct measuring {
    struct tsdb_source *source;
    const struct tsdb_source_visitor *visitor;
};

static enum quarry_status measure_sample(void *argument, const struct block_sample *sample)
{
    const struct measuring *measuring = argument;

    return widen(measuring->source, sample);
}

static bool measure_damaged(void *argument, const char *path, const char *what)
{
    const struct measuring *measuring = argument;

    return measuring->visitor->damaged(measuring->visitor->argument, path, what);
}

static enum quarry_status measure(struct tsdb_sources *sources, struct tsdb_source *source,
                                  const struct tsdb_source_visitor *visitor,
                                  struct quarry_error *error)
{
    struct measuring measuring = {source, visitor};
    const struct tsdb_source_visitor own = {.argument = &measuring,
                                            .series = pass_series,
                                            .sample = measure_sample,
                                            .damaged = measure_damaged};

    return tsdb_source_walk(sources, source, &own, error);
}

/* ---- finding -------------------------------------------------------------------------------- */

static enum quarry_status add_block(struct tsdb_sources *sources, const char *directory,
                                    const char *name, const struct block_meta *meta)
{
    struct tsdb_source *source = add(sources, TSDB_SOURCE_BLOCK, directory, name);
    struct stat about;

    if (source == NULL) {
        return QUARRY_NO_MEMORY;
    }
    source->min_ms = meta->min_t_ms;
    source->max_ms = meta->max_t_ms == INT64_MIN ? INT64_MIN : meta->max_t_ms - 1;
    source->sample_count = meta->sample_count;
    source->byte_count = 1;
    if (is_there(source->path, "chunks/000001", &about)) {
        source->byte_count += (uint64_t)about.st_size;
    }
    return QUARRY_OK;
}

static enum quarry_status find_blocks(struct tsdb_sources *sources, const char *directory,
                                      const struct tsdb_source_visitor *visitor,
                                      struct quarry_error *error)
{
    struct prometheus_losses losses = {0};
    struct block_array blocks = {0};
    enum quarry_status status = prometheus_blocks_list(sources->memory, quarry_vfs_posix(),
                                                       directory, &blocks, &losses, error);

    for (size_t i = 0; i < blocks.count && status == QUARRY_OK; i++) {
        const struct block_meta *meta = (const struct block_meta *)blocks.members + i;
        status = add_block(sources, directory, meta->ulid, meta);
    }
    block_array_fini(sources->memory, &blocks);
    if (status == QUARRY_OK && losses.damage_count > 0 &&
        !visitor->damaged(visitor->argument, directory, losses.first.text)) {
        status = QUARRY_CANCELLED;
    }
    return status;
}

static enum quarry_status find_head(struct tsdb_sources *sources, const char *directory,
                                    const struct tsdb_source_visitor *visitor,
                                    struct quarry_error *error)
{
    struct stat about;

    if (!is_there(directory, "wal", &about)) {
        return QUARRY_OK;
    }
    struct tsdb_source *source = add(sources, TSDB_SOURCE_HEAD, directory, NULL);
    if (source == NULL) {
        return QUARRY_NO_MEMORY;
    }
    const enum quarry_status status = measure(sources, source, visitor, error);
    source->byte_count = 2 * source->sample_count; /* about what they take in its chunks */
    return status;
}

static enum quarry_status find_directory(struct tsdb_sources *sources, const char *path,
                                         const struct tsdb_source_visitor *visitor,
                                         struct quarry_error *error)
{
    struct block_meta meta;
    struct stat about;

    if (is_there(path, "meta.json", &about)) {
        const enum quarry_status status =
            block_meta_read(sources->memory, quarry_vfs_posix(), path, &meta, error);
        return status == QUARRY_OK ? add_block(sources, path, NULL, &meta) : status;
    }
    enum quarry_status status = find_blocks(sources, path, visitor, error);
    if (status == QUARRY_OK) {
        status = find_head(sources, path, visitor, error);
    }
    return status == QUARRY_OK && sources->count == 0
               ? error_set(error, QUARRY_NOT_FOUND,
                           "%.200s has neither blocks nor a log of Prometheus", path)
               : status;
}

enum quarry_status tsdb_sources_find(struct tsdb_sources *sources, const char *path,
                                     const struct tsdb_source_visitor *visitor,
                                     struct quarry_error *error)
{
    struct stat about;

    if (strcmp(path, "-") != 0 && stat(path, &about) == 0 && S_ISDIR(about.st_mode)) {
        return find_directory(sources, path, visitor, error);
    }
    struct tsdb_source *source = add(sources, TSDB_SOURCE_TEXT, path, NULL);
    if (source == NULL) {
        return QUARRY_NO_MEMORY;
    }
    const enum quarry_status status = tsdb_source_map_text(source, error);
    return status == QUARRY_OK ? measure(sources, source, visitor, error) : status;
}

/* ---- walking -------------------------------------------------------------------------------- */

/* Samples of the series under way. `ret_status`: QUARRY_CORRUPT: of the rest of them. */
static enum quarry_status walk_samples(const struct block_source *block,
                                       const struct tsdb_source_visitor *visitor,
                                       struct quarry_error *error, bool *ret_is_damaged)
{
    struct block_sample sample;
    enum quarry_status status = QUARRY_OK;

    *ret_is_damaged = false;
    while ((status = block->next_sample(block->argument, &sample, error)) == QUARRY_OK) {
        status = visitor->sample(visitor->argument, &sample);
        if (status != QUARRY_OK) {
            return status;
        }
    }
    *ret_is_damaged = status == QUARRY_CORRUPT || status == QUARRY_UNSUPPORTED;
    return status == QUARRY_NOT_FOUND || *ret_is_damaged ? QUARRY_OK : status;
}

static bool goes_on(const struct tsdb_source *source, const struct tsdb_source_visitor *visitor,
                    const struct quarry_error *error)
{
    return source->was_walked || visitor->damaged(visitor->argument, source->path, error->text);
}

static enum quarry_status walk_series(const struct tsdb_source *source,
                                      const struct block_source *block,
                                      const struct tsdb_source_visitor *visitor,
                                      struct quarry_error *error)
{
    struct tsdb_labels labels;
    enum quarry_status status;
    bool is_damaged = false;

    while ((status = block->next_series(block->argument, &labels, error)) == QUARRY_OK) {
        visitor->series(visitor->argument, &labels);
        status = walk_samples(block, visitor, error, &is_damaged);
        if (status != QUARRY_OK) {
            return status;
        }
        if (is_damaged && !goes_on(source, visitor, error)) {
            return QUARRY_CANCELLED;
        }
    }
    if (status == QUARRY_CORRUPT || status == QUARRY_UNSUPPORTED) { /* the rest of the block */
        return goes_on(source, visitor, error) ? QUARRY_OK : QUARRY_CANCELLED;
    }
    return status == QUARRY_NOT_FOUND ? QUARRY_OK : status;
}

static enum quarry_status walk_block(struct tsdb_memory *memory, const struct tsdb_source *source,
                                     const struct tsdb_source_visitor *visitor,
                                     struct quarry_error *error)
{
    struct block_reader *reader = NULL;
    enum quarry_status status =
        block_open(memory, quarry_vfs_posix(), source->path, &reader, error);

    if (status == QUARRY_OK) {
        const struct block_source block = block_reader_source(reader);
        status = walk_series(source, &block, visitor, error);
    } else if (status == QUARRY_CORRUPT || status == QUARRY_UNSUPPORTED ||
               status == QUARRY_NOT_FOUND) {
        status = goes_on(source, visitor, error) ? QUARRY_OK : QUARRY_CANCELLED;
    }
    block_close(reader);
    return status;
}

enum quarry_status tsdb_source_walk(struct tsdb_sources *sources, struct tsdb_source *source,
                                    const struct tsdb_source_visitor *visitor,
                                    struct quarry_error *error)
{
    enum quarry_status status = QUARRY_OK;

    switch (source->kind) {
    case TSDB_SOURCE_BLOCK:
        status = walk_block(sources->memory, source, visitor, error);
        break;
    case TSDB_SOURCE_HEAD:
        status = tsdb_source_walk_head(sources->memory, source, visitor, error);
        break;
    case TSDB_SOURCE_TEXT:
        status = tsdb_source_walk_text(source, visitor, error);
        break;
    }
    source->was_walked = true;
    return status;
}
