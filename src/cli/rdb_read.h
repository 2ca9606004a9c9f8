/*
 * Redis' RDB files, versions 1 to 10: their strings read, everything else passed over and named.
 */
#ifndef QUARRY_CLI_RDB_READ_H
#define QUARRY_CLI_RDB_READ_H

#include <stdio.h>

#include <base/base.h>

#include <quarry/kv.h>

#include <cli/kv_text.h>

/* A key of a file. Borrowed for the call. */
struct rdb_entry {
    uint64_t database;
    uint64_t expires_ms; /* since 1970; 0: never */
    struct quarry_kv_slice key;
    struct quarry_kv_slice value; /* of a string; bytes NULL: it is of another type */
    const char *type;             /* "string", "list", … */
    uint64_t offset;              /* in the file, behind it */
};
/* Returns: 0: on with the next; anything else ends reading, and is returned. */
typedef int rdb_visit_function(void *argument, const struct rdb_entry *entry);

/* What was wrong with a file. */
struct rdb_fault {
    uint64_t offset;
    char text[120];
};

/*
 * Reads all of a file, up to its checksum, which is compared.
 *
 * `ret_fault`: written where -1 is returned: the file is damaged, cut off, of a later version, or
 * has a module's data that cannot be passed over.
 * Returns: 0; -1; what `visit` has returned.
 * Cost: memory for the longest key and value.
 */
int rdb_read(FILE *file, rdb_visit_function *visit, void *argument, struct rdb_fault *ret_fault);

#endif
