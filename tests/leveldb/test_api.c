/*
 * What LevelDB's header leaves to the library: what is closed too early, how many databases there
 * can be, what is kept through the end of a process, and limits.
 */
#include "unit/base/cmocka_all.h"

#include <ftw.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <leveldb/c.h>

static char folder[64];
static leveldb_options_t *options;
static leveldb_readoptions_t *read_options;
static leveldb_writeoptions_t *write_options;

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status;
    (void)kind;
    (void)walk;
    return remove(path);
}

static int set_up(void **state)
{
    (void)state;
    options = leveldb_options_create();
    leveldb_options_set_create_if_missing(options, 1);
    read_options = leveldb_readoptions_create();
    write_options = leveldb_writeoptions_create();
    /* No power is cut here: where the machine has a disk in memory, syncs cost nothing. */
    snprintf(folder, sizeof(folder), "%s/quarry-leveldb-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    leveldb_options_destroy(options);
    leveldb_readoptions_destroy(read_options);
    leveldb_writeoptions_destroy(write_options);
    nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    return 0;
}

static leveldb_t *try_open(unsigned number, char **error)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/%u", folder, number);
    return leveldb_open(options, path, error);
}

static leveldb_t *open_one(unsigned number)
{
    char *error = NULL;
    leveldb_t *db = try_open(number, &error);

    if (db == NULL) {
        fail_msg("%s", error);
    }
    return db;
}

static void put(leveldb_t *db, const char *key, const char *value)
{
    char *error = NULL;

    leveldb_put(db, write_options, key, strlen(key), value, strlen(value), &error);
    assert_null(error);
}

static void expect(leveldb_t *db, const char *key, const char *value)
{
    char *error = NULL;
    size_t count = 1;
    char *found = leveldb_get(db, read_options, key, strlen(key), &count, &error);

    assert_null(error);
    if (value == NULL) {
        assert_null(found);
        assert_int_equal(count, 0);
    } else {
        assert_non_null(found);
        assert_int_equal(count, strlen(value));
        assert_memory_equal(found, value, count);
    }
    leveldb_free(found);
}

static void closing_ends_what_is_still_out(void **state)
{
    leveldb_t *db = open_one(0);
    leveldb_iterator_t *iterators[3];
    char *error = NULL;
    size_t count = 1;

    (void)state;
    put(db, "a", "1");
    for (int i = 0; i < 3; i++) {
        (void)leveldb_create_snapshot(db);
        iterators[i] = leveldb_create_iterator(db, read_options);
        leveldb_iter_seek_to_first(iterators[i]);
        assert_int_equal(leveldb_iter_valid(iterators[i]), 1);
    }
    leveldb_iter_destroy(iterators[1]);
    leveldb_close(db);
    for (int i = 0; i < 3; i += 2) {
        assert_int_equal(leveldb_iter_valid(iterators[i]), 0);
        leveldb_iter_seek_to_first(iterators[i]);
        leveldb_iter_next(iterators[i]);
        assert_int_equal(leveldb_iter_valid(iterators[i]), 0);
        assert_non_null(leveldb_iter_key(iterators[i], &count));
        assert_int_equal(count, 0);
        leveldb_iter_get_error(iterators[i], &error);
        assert_null(error);
        leveldb_iter_destroy(iterators[i]);
    }
    db = open_one(0); /* the lock was let go */
    expect(db, "a", "1");
    leveldb_close(db);
}

static void snapshots_end_in_any_order(void **state)
{
    leveldb_t *db = open_one(0);
    const leveldb_snapshot_t *snapshots[5];
    static const int order[] = {2, 0, 4, 3, 1};

    (void)state;
    for (int i = 0; i < 5; i++) {
        char value[2] = {(char)('0' + i), '\0'};
        put(db, "a", value);
        snapshots[i] = leveldb_create_snapshot(db);
    }
    put(db, "a", "now");
    for (int i = 0; i < 5; i++) {
        char value[2] = {(char)('0' + order[i]), '\0'};
        leveldb_readoptions_set_snapshot(read_options, snapshots[order[i]]);
        expect(db, "a", value);
        leveldb_release_snapshot(db, snapshots[order[i]]);
    }
    leveldb_readoptions_set_snapshot(read_options, NULL);
    expect(db, "a", "now");
    leveldb_close(db);
}

static void many_databases_are_open_at_once(void **state)
{
    leveldb_t *dbs[12];
    char value[16];

    (void)state;
    for (unsigned i = 0; i < 12; i++) {
        dbs[i] = open_one(i);
        snprintf(value, sizeof(value), "%u", i);
        put(dbs[i], "who", value);
    }
    for (unsigned i = 0; i < 12; i++) {
        snprintf(value, sizeof(value), "%u", i);
        expect(dbs[i], "who", value);
        leveldb_close(dbs[i]);
    }
}

static void one_too_many_is_an_error_and_no_harm(void **state)
{
    leveldb_t *dbs[80];
    char *error = NULL;
    unsigned count = 0;

    (void)state;
    while (count < 80 && (dbs[count] = try_open(count, &error)) != NULL) {
        count++;
    }
    assert_in_range(count, 12, 79);
    assert_non_null(strstr(error, "IO error: "));
    leveldb_free(error);
    put(dbs[0], "a", "1");
    leveldb_close(dbs[--count]);
    dbs[count] = open_one(count);
    expect(dbs[0], "a", "1");
    for (unsigned i = 0; i <= count; i++) {
        leveldb_close(dbs[i]);
    }
}

static void databases_may_come_and_go_without_end(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 120; i++) {
        leveldb_t *db = open_one(i % 3);
        put(db, "a", "1");
        leveldb_close(db);
    }
}

/* An account keeps its name in the memory for ever, and there are 4,096. */
static void caches_may_come_and_go_without_end(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 40; i++) {
        leveldb_options_t *own = leveldb_options_create();
        leveldb_cache_t *caches[] = {leveldb_cache_create_lru(1 << 20),
                                     leveldb_cache_create_lru(0)};
        char *error = NULL;
        char path[128];
        snprintf(path, sizeof(path), "%s/cached", folder);
        leveldb_options_set_create_if_missing(own, 1);
        leveldb_options_set_cache(own, caches[i % 2]);
        leveldb_t *db = leveldb_open(own, path, &error);
        assert_non_null(db);
        put(db, "a", "1");
        leveldb_compact_range(db, NULL, 0, NULL, 0);
        expect(db, "a", "1");
        leveldb_close(db);
        leveldb_cache_destroy(caches[0]);
        leveldb_cache_destroy(caches[1]);
        leveldb_options_destroy(own);
    }
}

static void what_was_written_survives_a_killed_process(void **state)
{
    (void)state;
    for (int round = 0; round < 5; round++) {
        int told[2];
        unsigned last = 0, number;
        assert_int_equal(pipe(told), 0);
        pid_t child = fork();
        if (child == 0) {
            leveldb_t *db = open_one(0);
            for (unsigned i = 1;; i++) {
                char value[16];
                snprintf(value, sizeof(value), "%u", i);
                put(db, "last", value);
                if (write(told[1], &i, sizeof(i)) != (ssize_t)sizeof(i)) {
                    _exit(1);
                }
            }
        }
        close(told[1]);
        while (last < 200 && read(told[0], &number, sizeof(number)) == (ssize_t)sizeof(number)) {
            last = number;
        }
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        while (read(told[0], &number, sizeof(number)) == (ssize_t)sizeof(number)) {
            last = number;
        }
        close(told[0]);
        assert_true(last >= 200);
        /* In a child as well: the parent of a fork must have no threads for the next one. */
        child = fork();
        if (child == 0) {
            char *error = NULL;
            size_t count = 0;
            leveldb_t *db = open_one(0);
            char *value = leveldb_get(db, read_options, "last", 4, &count, &error);
            unsigned found = 0;
            if (value != NULL) {
                char text[16];
                snprintf(text, sizeof(text), "%.*s", (int)count, value);
                found = (unsigned)atoi(text);
            }
            leveldb_close(db);
            _exit(found >= last ? 0 : 1);
        }
        int status = 1;
        waitpid(child, &status, 0);
        assert_int_equal(status, 0);
    }
}

static void what_is_too_large_is_refused(void **state)
{
    leveldb_t *db = open_one(0);
    leveldb_writebatch_t *batch = leveldb_writebatch_create();
    char *error = NULL;
    size_t key_bytes = ((size_t)64 << 20) + 1;
    char *key = calloc(1, key_bytes);

    (void)state;
    leveldb_put(db, write_options, key, key_bytes, "", 0, &error);
    assert_non_null(strstr(error, "Invalid argument: "));
    leveldb_writebatch_put(batch, "a", 1, "1", 1);
    leveldb_writebatch_put(batch, key, key_bytes, "", 0);
    leveldb_write(db, write_options, batch, &error);
    assert_non_null(strstr(error, "Invalid argument: "));
    expect(db, "a", NULL);
    leveldb_free(error);
    error = NULL;
    leveldb_writebatch_clear(batch);
    leveldb_writebatch_put(batch, "a", 1, "1", 1);
    leveldb_write(db, write_options, batch, &error);
    assert_null(error);
    expect(db, "a", "1");
    leveldb_writebatch_destroy(batch);
    leveldb_close(db);
    free(key);
}

static void the_log_for_people_tells_what_happened(void **state)
{
    leveldb_t *db = open_one(0);
    char path[128], text[4096] = "";

    (void)state;
    put(db, "a", "1");
    leveldb_compact_range(db, NULL, 0, NULL, 0);
    leveldb_close(db);
    snprintf(path, sizeof(path), "%s/0/LOG", folder);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_true(fread(text, 1, sizeof(text) - 1, file) > 0);
    fclose(file);
    assert_non_null(strstr(text, "opened\n"));
    assert_non_null(strstr(text, "flushed "));
    assert_non_null(strstr(text, "closed\n"));
    leveldb_close(open_one(0));
    snprintf(path, sizeof(path), "%s/0/LOG.old", folder);
    assert_int_equal(access(path, R_OK), 0);
}

/* Runs in a process of its own, for the limit is read once. */
static void write_within_limit(void)
{
    leveldb_t *db = open_one(0);
    char *value = calloc(1, 10000);

    for (unsigned i = 0; i < 10000; i++) { /* 100 MB */
        char *error = NULL;
        char key[32];
        int key_bytes = snprintf(key, sizeof(key), "key%08u", i * 7919 % 10000);
        leveldb_put(db, write_options, key, (size_t)key_bytes, value, 10000, &error);
        if (error != NULL) {
            fprintf(stderr, "%s\n", error);
            _exit(1);
        }
    }
    char *used = leveldb_property_value(db, "leveldb.approximate-memory-usage");
    bool is_within = used != NULL && atoll(used) <= 64 << 20;
    leveldb_free(used);
    leveldb_close(db);
    free(value);
    _exit(is_within ? 0 : 2);
}

static void the_limit_of_the_environment_holds(void **state)
{
    int status = 1;

    (void)state;
    pid_t child = fork();
    if (child == 0) {
        setenv("QUARRY_MEMORY_LIMIT", "64m", 1);
        write_within_limit();
    }
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    child = fork();
    if (child == 0) { /* less than a database needs */
        char *error = NULL;
        setenv("QUARRY_MEMORY_LIMIT", "4m", 1);
        leveldb_t *db = try_open(1, &error);
        _exit(db == NULL && strstr(error, "IO error: ") != NULL ? 0 : 1);
    }
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    child = fork();
    if (child == 0) { /* no size: told, and passed over */
        setenv("QUARRY_MEMORY_LIMIT", "much", 1);
        leveldb_close(open_one(1));
        _exit(0);
    }
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    /* Those that fork come first: this process has no memory and no threads yet. */
    const struct CMUnitTest tests[] = {
        TEST(what_was_written_survives_a_killed_process),
        TEST(the_limit_of_the_environment_holds),
        TEST(closing_ends_what_is_still_out),
        TEST(snapshots_end_in_any_order),
        TEST(many_databases_are_open_at_once),
        TEST(one_too_many_is_an_error_and_no_harm),
        TEST(databases_may_come_and_go_without_end),
        TEST(caches_may_come_and_go_without_end),
        TEST(what_is_too_large_is_refused),
        TEST(the_log_for_people_tells_what_happened),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
