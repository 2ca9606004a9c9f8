/*
 * A heap map as one JSON object on one line.
 */
#ifndef QUARRY_CLI_MAP_JSON_H
#define QUARRY_CLI_MAP_JSON_H

#include <cli/demo.h>
#include <cli/map_picture.h>

#include <stdio.h>

/* `reading` and `live`: NULL for a map from a file, of which they are not known. */
void map_json_print(FILE *file, const struct page_heap_map_view *view,
                    const struct demo_reading *reading, const struct map_live *live);

#endif
