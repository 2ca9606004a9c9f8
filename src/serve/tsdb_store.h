/*
 * The time-series store as the configuration wants it, with what its doors share.
 *
 *     if (server->tsdb != NULL) {
 *         request.tenant = serve_tenants_number(server->tenants, identity->tenant);
 *         quarry_tsdb_append(server->tsdb->tsdb, &request, &result);
 *     }
 */
#ifndef QUARRY_SERVE_TSDB_STORE_H
#define QUARRY_SERVE_TSDB_STORE_H

#include <tsdb/tsdb.h>

#include <serve/config.h>
#include <serve/data_dir.h>
#include <serve/tenants.h>
#include <serve/tsdb_export.h>

struct api_running;

/* What its doors keep to. */
struct serve_tsdb_limits {
    struct tsdb_label_limits labels;
    uint64_t write_bytes_max;  /* of a body, decoded */
    uint64_t read_samples_max; /* of an answer of remote read in samples */
    int64_t lookback_ms;       /* how old the newest sample may be that is federated */
    int64_t query_timeout_ms;
    uint64_t query_samples_max;
    uint64_t query_bytes_max; /* what one query may have */
};

/* Const after it was opened, but for what is atomic. */
struct serve_tsdb {
    struct quarry_tsdb *tsdb;
    struct tsdb_metadata *metadata; /* of metric families, by tenant */
    /* What requests of its doors are read into and answered from: of the account `prometheus`. */
    struct tsdb_memory memory;
    struct tsdb_memory queries;       /* what queries are evaluated in: of the account `queries` */
    struct quarry_lifetime *lifetime; /* of both memories */
    struct serve_tsdb_export *export; /* NULL: windows are purged without */
    struct promql_crew *crew;         /* threads that help queries; NULL: none */
    struct api_running *running;      /* queries under way; in `memory`; NULL: nobody watches */
    struct serve_tsdb_limits limits;
};

/*
 * Opens the store. Where the memory is too little for it, and nobody has asked for it, there is
 * none, which is logged.
 *
 * `memory`: borrowed until the store is closed. `budget_bytes`: its limit. `ret_tsdb`: own; NULL:
 * none is wanted, or can be. Errors: as quarry_tsdb_open.
 */
enum quarry_status serve_tsdb_open(struct quarry_memory *memory, const struct serve_config *config,
                                   const struct serve_data_dir *data_dir, uint64_t budget_bytes,
                                   struct serve_tsdb **ret_tsdb, struct quarry_error *error);
/*
 * Gives tenants the limits that the configuration says. `before`: the one that was in force; NULL:
 * none was. NULL for the store does nothing.
 */
void serve_tsdb_apply(struct serve_tsdb *tsdb, struct serve_tenants *tenants,
                      const struct serve_config *before, const struct serve_config *config);
/* Closes it, and logs what that came to. NULL does nothing. */
void serve_tsdb_close(struct serve_tsdb *tsdb);

#endif
