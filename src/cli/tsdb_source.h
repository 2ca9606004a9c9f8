/*
 * What `quarry tsdb import` brings: blocks, the head of a data directory, text; each walked over as
 * often as there are windows that it has samples for.
 */
#ifndef QUARRY_CLI_TSDB_SOURCE_H
#define QUARRY_CLI_TSDB_SOURCE_H

#include <tsdb/blocks.h>

enum tsdb_source_kind { TSDB_SOURCE_BLOCK, TSDB_SOURCE_HEAD, TSDB_SOURCE_TEXT };

struct tsdb_source {
    enum tsdb_source_kind kind;
    char *path;             /* own, malloc's */
    uint64_t byte_count;    /* about */
    uint64_t sample_count;  /* where it is known; 0: not */
    int64_t min_ms, max_ms; /* both included; min > max: nothing is in it */
    bool is_counted;        /* what of it is too old was */
    bool was_walked;        /* once: what is damaged in it was told */
    const char *text;       /* own: mapped */
    size_t text_bytes;
    bool is_openmetrics;
};

/* What a walk tells. Samples are those of the series that was told of last. */
struct tsdb_source_visitor {
    void *argument;
    void (*series)(void *argument, const struct tsdb_labels *labels);
    enum quarry_status (*sample)(void *argument, const struct block_sample *sample);
    /* Something is damaged or is no sample. Returns: whether to go on. */
    bool (*damaged)(void *argument, const char *path, const char *what);
};

#define TSDB_SOURCES_MAX 4096u

struct tsdb_sources {
    struct tsdb_memory *memory; /* borrowed */
    struct tsdb_source *all;    /* own; malloc's */
    size_t count;
};

/*
 * Finds what a path leads to: a file of text, "-", a block, a data directory. `visitor`: is told
 * what is damaged; of the others nothing is called.
 * Errors: QUARRY_CANCELLED: `damaged` said so; QUARRY_NOT_FOUND, QUARRY_NO_MEMORY, QUARRY_IO.
 */
enum quarry_status tsdb_sources_find(struct tsdb_sources *sources, const char *path,
                                     const struct tsdb_source_visitor *visitor,
                                     struct quarry_error *error);
void tsdb_sources_fini(struct tsdb_sources *sources);

/*
 * Tells all that a source has. Errors: QUARRY_CANCELLED: `damaged` said so; QUARRY_NO_MEMORY, of
 * the vfs, of `sample`.
 */
enum quarry_status tsdb_source_walk(struct tsdb_sources *sources, struct tsdb_source *source,
                                    const struct tsdb_source_visitor *visitor,
                                    struct quarry_error *error);

/* source_head.c, source_text.c: of one kind. */
enum quarry_status tsdb_source_walk_head(struct tsdb_memory *memory, struct tsdb_source *source,
                                         const struct tsdb_source_visitor *visitor,
                                         struct quarry_error *error);
enum quarry_status tsdb_source_walk_text(struct tsdb_source *source,
                                         const struct tsdb_source_visitor *visitor,
                                         struct quarry_error *error);
/* Maps a file, or a copy of stdin for "-". */
enum quarry_status tsdb_source_map_text(struct tsdb_source *source, struct quarry_error *error);
void tsdb_source_unmap_text(struct tsdb_source *source);

#endif
