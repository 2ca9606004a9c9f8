/*
 * Images of open windows, as sections of a snapshot: docs/formats/tsdb-snapshot.md has the bytes.
 */
#ifndef QUARRY_TSDB_WINDOW_IMAGE_H
#define QUARRY_TSDB_WINDOW_IMAGE_H

#include <tsdb/durable.h>

/* Of an info: the window's number, the log's segment, and a number for each shard. */
#define TSDB_WINDOW_IMAGE_INFO_BYTES (16u + 4u * TSDB_SHARD_COUNT)
/* Chunks of the registry's table in a section of heads: 1 MiB. */
#define TSDB_WINDOW_IMAGE_CHUNKS 32u

/* The index of a section of a window, the n-th of the snapshot: by shard, and segment of a space.
 */
static inline uint32_t tsdb_window_image_index(uint32_t place, uint32_t shard, uint32_t segment)
{
    return place << 16 | shard << 8 | segment;
}

/* What is to be written. */
struct tsdb_window_images {
    struct tsdb_view *view; /* pinned */
    /* own; their bytes are the store's */
    struct tsdb_section *sections;
    struct tsdb_slice *pieces;
    uint8_t *infos;
    size_t section_count, piece_count;
};

/*
 * Puts images of the open windows together; of none where there is no memory, or none may be.
 *
 * `ret_images`: written always; end it with tsdb_window_images_fini. Threads: nobody else uses the
 * store until then. With the file work's mutex.
 */
void tsdb_window_images_make(struct tsdb_durable *durable, struct tsdb_window_images *ret_images);
void tsdb_window_images_fini(struct tsdb_durable *durable, struct tsdb_window_images *images);

/*
 * Reads the images of the snapshot that the registry came from, and shows their windows; all or
 * none. Those that have a file, or are too old, are left out. `durable->image_from` says then what
 * of the log is behind them. With the file work's mutex, before any of the log is replayed.
 */
void tsdb_window_images_load(struct tsdb_durable *durable);

#endif
