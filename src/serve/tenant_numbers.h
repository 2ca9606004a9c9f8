/*
 * The numbers by which stores that are kept know tenants: each name has one for ever.
 *
 * Threads: one at a time.
 */
#ifndef QUARRY_SERVE_TENANT_NUMBERS_H
#define QUARRY_SERVE_TENANT_NUMBERS_H

#include <serve/config.h>
#include <serve/data_dir.h>

struct serve_tenant_numbers;

/*
 * Reads the file of the folder, where there is one.
 *
 * `path`: of the folder, borrowed until it is closed; "": nothing is kept. `ret_numbers`: own.
 * Errors: QUARRY_CORRUPT (a line of the file: it is named), QUARRY_IO, QUARRY_TOO_LARGE (the path),
 * QUARRY_NO_MEMORY.
 */
enum quarry_status serve_tenant_numbers_open(const char *path,
                                             struct serve_tenant_numbers **ret_numbers,
                                             struct quarry_error *error);
/* NULL does nothing. */
void serve_tenant_numbers_close(struct serve_tenant_numbers *numbers);

/*
 * Gives numbers to the tenants of a configuration that have none, and keeps them before it returns.
 * Errors: QUARRY_TOO_MANY (65,535 names that there ever were), QUARRY_IO, QUARRY_NO_SPACE,
 * QUARRY_NO_MEMORY: as it was.
 */
enum quarry_status serve_tenant_numbers_add(struct serve_tenant_numbers *numbers,
                                            const struct serve_config *config,
                                            struct quarry_error *error);
/* The number of a name, from 1; 0: it has none. */
uint16_t serve_tenant_numbers_find(const struct serve_tenant_numbers *numbers, const char *name);

#endif
