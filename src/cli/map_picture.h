/*
 * Draws a heap map on a canvas.
 */
#ifndef QUARRY_CLI_MAP_PICTURE_H
#define QUARRY_CLI_MAP_PICTURE_H

#include <cli/canvas.h>
#include <page/page.h>

/* What only a heap that is running can say. */
struct map_live {
    uint64_t resident_bytes;
    double allocated_bytes_per_s;
    double returned_bytes_per_s;
    double scavenger_cpu_percent; /* of one CPU */
    uint64_t reclaimed_bytes;     /* by reclaimers, so far */
    uint64_t refused_count;       /* allocations, so far */
};

/* What the colour of a cell says. Its height is always how much is in use. */
enum map_by {
    MAP_BY_FILL,     /* what the rest of it is: in use, free, given back */
    MAP_BY_OWNER,    /* who has most of it */
    MAP_BY_LIFETIME, /* the lane: what dies together lies in one */
};

struct map_picture {
    const struct page_heap_map_view *view;
    const char *title;           /* of the picture, at the top left */
    const char *note;            /* at the top right */
    const struct map_live *live; /* NULL: none of it is known */
    const char *sentence;        /* what is happening, at the bottom; may be empty */
    enum map_by by;
    bool is_ascii;
};

/* Draws on a blank canvas, all of it: what does not fit is drawn smaller or counted. */
void map_picture_draw(struct canvas *canvas, const struct map_picture *picture);

#endif
