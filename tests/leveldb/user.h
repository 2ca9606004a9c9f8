/*
 * A user's program of LevelDB's C API. It knows leveldb/c.h alone, calls every function of it,
 * comes into every error that a program can come into, and prints all that it is told. What it
 * prints is the same whichever library is behind: that is the test (`compare`).
 *
 * Not printed as it is, because it cannot be equal:
 *   - addresses, times, and the version of a file that happens to be the next (only that it is
 * one);
 *   - how many bytes files and memory have, which follows from how blocks are cut and how much is
 *     kept ready: whether they are in a range that both must be in;
 *   - at which level a compaction leaves its files: how many there are on all levels together is 1;
 *   - where damage to the size of a table is found: LevelDB finds it when it reads the table,
 * Quarry when it opens the database. That it is found is printed;
 *   - the reason within an error that the system gave while writing ("File too large"): its kind
 * is.
 */
#ifndef QUARRY_TESTS_LEVELDB_USER_H
#define QUARRY_TESTS_LEVELDB_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <leveldb/c.h>

/* Options that all parts use: set up by user_begin. */
struct user {
    leveldb_options_t *options;
    leveldb_readoptions_t *read;
    leveldb_writeoptions_t *write;
    char *error;       /* of the last call, until it is said */
    const char *paths; /* the directory of all databases, left out where texts have it */
};
extern struct user user;

/* Says what happened, and the error if there was one. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same with bytes in quotes, those that are not printable in hex. */
void say_bytes(const char *what, const char *bytes, size_t byte_count);

/* The path of a database. Returns: in a room that the next but three calls use again. */
const char *path_of(const char *name);
/* Runs a command of the shell with "@" replaced by the path of a database. It must succeed. */
void shell(const char *format, const char *name);

leveldb_t *open_db(const char *name);
/* Opens one that must open. */
leveldb_t *must_open(const char *name);
void put(leveldb_t *db, const char *key, const char *value);
void get(leveldb_t *db, const char *key);
/* Prints all keys and values. */
void list(leveldb_t *db);
/* Keys "key000000", … with values of 100 bytes. */
void fill(leveldb_t *db, int from, int to);

void user_keys(void);     /* user_keys.c: keys, batches, iterators, snapshots */
void user_options(void);  /* user_options.c: options and what they hold */
void user_files(void);    /* user_files.c: figures, compaction, repairing, destroying */
void user_failures(void); /* user_failures.c: everything that goes wrong */

#endif
