/*
 * Commands of many keys: reading them at one moment, and room for their names.
 */
#ifndef QUARRY_SERVE_RESP_MANY_H
#define QUARRY_SERVE_RESP_MANY_H

#include <serve/resp/resp.h>

/* Up to here nothing is allocated: MGET is mostly asked for a page of things. */
#define RESP_FEW 16u

/* What many keys have. */
struct resp_many {
    size_t count;
    enum quarry_status *statuses;  /* QUARRY_OK or QUARRY_NOT_FOUND */
    struct keyspace_value *values; /* own */
    void *scratch;                 /* own, NULL: they are the few */
    enum quarry_status few_statuses[RESP_FEW];
    struct keyspace_value few_values[RESP_FEW];
};

/*
 * Reads keys, all at one moment. False: return *ret_outcome.
 * `ret_many`: own; end it with resp_many_release. Cost: as keyspace_read_many.
 */
bool resp_many_read(struct resp_call *call, const struct quarry_kv_slice *keys, size_t count,
                    struct resp_many *ret_many, enum resp_outcome *ret_outcome);
void resp_many_release(struct resp_call *call, struct resp_many *many);

#endif
