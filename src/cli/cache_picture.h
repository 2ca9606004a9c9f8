/*
 * Draws a cache's figures on a canvas: `quarry cache top`.
 */
#ifndef QUARRY_CLI_CACHE_PICTURE_H
#define QUARRY_CLI_CACHE_PICTURE_H

#include <cli/cache_figures.h>
#include <cli/canvas.h>

/* What a server told at one moment. */
struct cache_sample {
    uint64_t monotonic_ns;
    struct cache_figures general;
    struct cache_tenants tenants;
};

struct cache_picture {
    const char *address;
    const char *note;                  /* at the top right */
    const struct cache_sample *before; /* NULL: rates are not known */
    const struct cache_sample *now;
    bool is_ascii;
};

/* How much a counter grew in a second; below 0: not known. */
double cache_rate(const struct cache_picture *picture, const char *name);
double cache_tenant_rate(const struct cache_picture *picture, uint64_t before, uint64_t now);
/* Hits of a hundred gets since the look before, or ever; below 0: there were none. */
double cache_hit_rate(const struct cache_picture *picture);
/* The same tenant at the look before; NULL: it was not there. */
const struct cache_tenant *cache_tenant_before(const struct cache_picture *picture,
                                               const struct cache_tenant *tenant);

/* Draws on a blank canvas; tenants that do not fit are left out, those with most gets first. */
void cache_picture_draw(struct canvas *canvas, const struct cache_picture *picture);

#endif
