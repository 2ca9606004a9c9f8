/*
 * Exemplars: the newest ones of each tenant, by series.
 */
#ifndef QUARRY_TSDB_EXEMPLARS_H
#define QUARRY_TSDB_EXEMPLARS_H

#include <quarry/tsdb.h>

#include <base/base.h>

/* Characters that the labels of one may have together: Prometheus' bound. */
#define TSDB_EXEMPLAR_CHARACTERS_MAX 128u

/* What became of one. */
enum tsdb_exemplar_verdict {
    TSDB_EXEMPLAR_TAKEN,
    TSDB_EXEMPLAR_REPEATED, /* is the series' newest already */
    TSDB_EXEMPLAR_REFUSED,  /* older than the newest, labels too long, no memory, no such series */
};

struct tsdb_tenant;

/*
 * Whether one would be put in now.
 *
 * Threads: the mutex of the series' shard is held, and the series is not gone.
 */
enum tsdb_exemplar_verdict tsdb_exemplars_judge(const struct tsdb_tenant *tenant, uint32_t id,
                                                const struct quarry_tsdb_exemplar *exemplar);

/*
 * Puts one in.
 *
 * `id`: of a series of the tenant. `window`: whose log has it. `exemplar`: borrowed for the call.
 * Threads: inside the store's epoch in which the series was found. No lock is held.
 */
enum tsdb_exemplar_verdict tsdb_exemplars_add(struct quarry_tsdb *tsdb, struct tsdb_tenant *tenant,
                                              uint32_t id, int32_t window,
                                              const struct quarry_tsdb_exemplar *exemplar);

/* Forgets those of a series that has been removed. Threads: before its id can be another's. */
void tsdb_exemplars_forget(struct quarry_tsdb *tsdb, uint16_t tenant, uint32_t id);

/* Checks all of them against their counts. Errors: QUARRY_CORRUPT. */
enum quarry_status tsdb_exemplars_validate(struct quarry_tsdb *tsdb, struct quarry_error *error);

/* Ends all of them. Threads: nobody uses the store any more. */
void tsdb_exemplars_fini(struct quarry_tsdb *tsdb);

#endif
