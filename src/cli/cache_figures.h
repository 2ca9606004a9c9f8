/*
 * What a memcached door tells in `stats`: names and values, kept together.
 */
#ifndef QUARRY_CLI_CACHE_FIGURES_H
#define QUARRY_CLI_CACHE_FIGURES_H

#include <cli/cache_client.h>

struct cache_figure {
    char *name; /* own; the value lies behind its end */
    const char *value;
};

/* A group of figures, in the order of the server. Zero is an empty one. */
struct cache_figures {
    struct cache_figure *all; /* own */
    size_t count, capacity;
    bool is_refused; /* the server does not know the group */
};

/* Asks for a group: "" is the general one. `ret_figures`: own. Returns: an exit code. */
int cache_figures_read(struct cache_client *client, const char *group,
                       struct cache_figures *ret_figures);
void cache_figures_free(struct cache_figures *figures);

/* By name. NULL and 0 when there is none. */
const char *cache_figures_text(const struct cache_figures *figures, const char *name);
uint64_t cache_figures_number(const struct cache_figures *figures, const char *name);

/* What is shown of a tenant. */
#define CACHE_TENANT_NAME_BYTES 64
struct cache_tenant {
    char name[CACHE_TENANT_NAME_BYTES];
    uint64_t item_count, item_bytes, quota_bytes; /* 0: no quota */
    uint64_t get_count, hit_count, set_count;
    uint64_t eviction_count, expired_count;
};

#define CACHE_TENANTS_MAX 1024u
struct cache_tenants {
    struct cache_tenant *all; /* own */
    uint32_t count;
    bool is_whole; /* false: the server tells of the connection's own tenant alone */
};

/*
 * Asks for all tenants that the connection may see. `general`: figures that have been read.
 * Returns: an exit code.
 */
int cache_tenants_read(struct cache_client *client, const struct cache_figures *general,
                       struct cache_tenants *ret_tenants);
void cache_tenants_free(struct cache_tenants *tenants);

/* Hits of a hundred gets; below 0: there were none. */
double cache_hit_percent(uint64_t hit_count, uint64_t get_count);

#endif
