/*
 * The tenants of the configuration: their quotas in the cache, and their limits at the doors.
 *
 * Threads: enter, leave and admit from any; the rest one at a time. Cost: a look into a table of
 * pointers, and an atomic word for limits that are set.
 */
#ifndef QUARRY_SERVE_TENANTS_H
#define QUARRY_SERVE_TENANTS_H

#include <quarry/cache.h>

#include <serve/config.h>

struct serve_tenants;

/*
 * Creates the tenants of a configuration in a cache.
 *
 * `cache`: borrowed until they are destroyed. Errors: as quarry_cache_add_tenant.
 */
enum quarry_status serve_tenants_create(struct quarry_cache *cache,
                                        const struct serve_config *config,
                                        struct serve_tenants **ret_tenants,
                                        struct quarry_error *error);
/*
 * Adds those that are new; nothing else changes yet. Errors: as quarry_cache_add_tenant: those
 * before it are there, and do no harm.
 */
enum quarry_status serve_tenants_add(struct serve_tenants *tenants,
                                     const struct serve_config *config, struct quarry_error *error);
/*
 * Gives all of them the quotas and limits that the configuration says. One that it has no more
 * keeps its items, without limits, until the server ends: connections may still speak for it.
 */
void serve_tenants_apply(struct serve_tenants *tenants, const struct serve_config *config);
/* The cache's own tenants stay. */
void serve_tenants_destroy(struct serve_tenants *tenants);

/* By name; "" is the default one. NULL: there is none. In the form that users want. */
struct quarry_cache_tenant *serve_tenants_find(void *tenants, const char *name);

/*
 * The number of a tenant, by which other stores know it: 0 is the default one's, and nobody's
 * (NULL). Threads: any.
 */
uint16_t serve_tenants_number(const struct serve_tenants *tenants,
                              const struct quarry_cache_tenant *tenant);
/* Gives one its number, before anybody speaks for it. `name`: of a tenant that there is. */
void serve_tenants_set_number(struct serve_tenants *tenants, const char *name, uint16_t number);

/* A connection begins to speak for a tenant. False: it has as many as it may. NULL is nobody. */
bool serve_tenants_enter(struct serve_tenants *tenants, const struct quarry_cache_tenant *tenant);
void serve_tenants_leave(struct serve_tenants *tenants, const struct quarry_cache_tenant *tenant);
/* Whether a tenant may make so many requests more now. */
bool serve_tenants_admit(struct serve_tenants *tenants, const struct quarry_cache_tenant *tenant,
                         uint32_t request_count);

#endif
