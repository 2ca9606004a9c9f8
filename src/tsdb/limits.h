/*
 * Limits of tenants: how many series, how many samples a second, which labels.
 */
#ifndef QUARRY_TSDB_LIMITS_H
#define QUARRY_TSDB_LIMITS_H

#include <quarry/tsdb.h>

#include <base/base.h>
#include <os/os.h>

#include <tsdb/memory.h>

/* Tenants whose figures lie together. */
#define TSDB_TENANTS_OF_LEAF 64u
#define TSDB_TENANT_LEAVES   (65536u / TSDB_TENANTS_OF_LEAF)

struct tsdb_tenant {
    _Atomic uint64_t series_count;
    _Atomic uint64_t second;       /* of the wall's clock, which is being counted */
    _Atomic uint64_t sample_count; /* in that second */
    _Atomic(void *) exemplars;     /* exemplars.c's; NULL: none yet */
    _Atomic(void *) limits;        /* struct quarry_tsdb_limits of its own; NULL: the store's */
};

struct tsdb_limits {
    const struct tsdb_memory *memory;         /* const; borrowed */
    struct quarry_tsdb_limits standard;       /* const; defaults put in */
    _Atomic(void *) leaf[TSDB_TENANT_LEAVES]; /* tenants; NULL: none yet */
    _Atomic uint64_t tenant_count;            /* with series */
    struct os_mutex mutex;
    /* guarded by mutex: limits that were replaced, which readers may still look at */
    struct tsdb_replaced *replaced;
};

void tsdb_limits_init(struct tsdb_limits *limits, const struct tsdb_memory *memory,
                      const struct quarry_tsdb_limits *standard);
void tsdb_limits_fini(struct tsdb_limits *limits);

/*
 * A tenant's figures, made when there are none.
 *
 * Returns: borrowed until the end; NULL: no memory. Threads: any. Cost: a load.
 */
struct tsdb_tenant *tsdb_limits_tenant(struct tsdb_limits *limits, uint16_t tenant);

/* What a tenant may have. Returns: borrowed until the end. */
const struct quarry_tsdb_limits *tsdb_limits_of(const struct tsdb_limits *limits,
                                                const struct tsdb_tenant *tenant);

/* Gives a tenant limits of its own. Errors: QUARRY_NO_MEMORY. */
enum quarry_status tsdb_limits_set(struct tsdb_limits *limits, uint16_t tenant,
                                   const struct quarry_tsdb_limits *wanted);

/* Whether labels are sorted, unique, not empty and within limits. Cost: O(bytes). */
bool tsdb_limits_allow_labels(const struct quarry_tsdb_limits *limits,
                              struct quarry_tsdb_labels labels);

/* Counts samples that are about to be appended. Returns: false: they would be too many for this
 * second, and none is counted. `wall_ms`: the wall's clock. */
bool tsdb_limits_take_samples(const struct quarry_tsdb_limits *limits, struct tsdb_tenant *tenant,
                              int64_t wall_ms, uint64_t count);

/* Counts one series more, or one less. Returns: false: the tenant has as many as it may. */
bool tsdb_limits_add_series(struct tsdb_limits *limits, struct tsdb_tenant *tenant);
/* Counts one that was there before, whatever the limits are now. */
void tsdb_limits_restore_series(struct tsdb_limits *limits, struct tsdb_tenant *tenant);
void tsdb_limits_remove_series(struct tsdb_limits *limits, struct tsdb_tenant *tenant);

#endif
