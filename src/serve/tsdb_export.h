/*
 * Windows that are written as Prometheus' blocks before they are purged (tsdb.export_on_purge).
 */
#ifndef QUARRY_SERVE_TSDB_EXPORT_H
#define QUARRY_SERVE_TSDB_EXPORT_H

#include <tsdb/tsdb.h>

#include <serve/tenants.h>

struct serve_tsdb_export;

/*
 * Has a folder that can be written to: makes it where it is absent (the one above has to be there),
 * tries it with a file, and takes away the halves of blocks that a process left which was killed.
 * Errors: NOT_FOUND, PERMISSION, NO_SPACE, IO. Threads: before there is an export.
 */
enum quarry_status serve_tsdb_export_prepare(const char *path, struct quarry_error *error);

/*
 * Begins to export to a folder that was prepared.
 *
 * `memory`: blocks are made in it; borrowed, as `path` is for the call. `ret_export`: own.
 * Errors: QUARRY_NO_MEMORY.
 */
enum quarry_status serve_tsdb_export_create(struct tsdb_memory *memory, const char *path,
                                            struct serve_tsdb_export **ret_export,
                                            struct quarry_error *error);
/* In the form of quarry_tsdb_purge_function. `argument`: the export. Waits until its tenants were
 * told for the first time. */
enum quarry_status serve_tsdb_export_window(void *argument,
                                            const struct quarry_tsdb_leaving *leaving);
/* Tells which tenants there are; those that were told before stay. NULL does nothing. */
void serve_tsdb_export_tenants(struct serve_tsdb_export *export, struct serve_tenants *tenants,
                               const struct serve_config *config);
/* Nobody is told of any more: who waits goes on. NULL does nothing. */
void serve_tsdb_export_stop(struct serve_tsdb_export *export);
/* The store is closed. `export`: given; NULL does nothing. */
void serve_tsdb_export_destroy(struct serve_tsdb_export *export);

#endif
