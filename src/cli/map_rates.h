/*
 * How fast the counters of a demonstration move, over the last second.
 */
#ifndef QUARRY_CLI_MAP_RATES_H
#define QUARRY_CLI_MAP_RATES_H

#include <cli/demo.h>
#include <cli/map_picture.h>

/* Readings kept: a second of them at ten a second, and some more. */
#define MAP_RATES_READINGS 16u

struct map_rates {
    uint32_t count; /* readings ever */
    struct demo_reading reading[MAP_RATES_READINGS];
};

/* Adds a reading and says what is to be drawn. A `rates` of all zero is empty. */
struct map_live map_rates_add(struct map_rates *rates, const struct demo_reading *reading);

uint64_t map_returned_bytes(const struct demo_reading *reading);

#endif
