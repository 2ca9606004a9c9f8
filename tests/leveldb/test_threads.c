/*
 * A database in the hands of many threads. Writers move amounts between accounts in batches, so
 * that at each moment all of them together are the same; readers see that in iterators, snapshots
 * and gets, while others compact, look at properties, open and close databases of their own.
 */
#include "unit/base/cmocka_all.h"

#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <leveldb/c.h>

#define ACCOUNTS  200u
#define AMOUNT    1000
#define WRITERS   2u
#define READERS   2u
#define TRANSFERS 1500u

static char folder[64];
static leveldb_t *db;
static atomic_bool is_over;
static pthread_mutex_t transfers = PTHREAD_MUTEX_INITIALIZER;

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status;
    (void)kind;
    (void)walk;
    return remove(path);
}

static void fail_if(char *error)
{
    if (error != NULL) {
        fprintf(stderr, "%s\n", error);
        abort();
    }
}

static size_t key_of(uint32_t account, char room[32])
{
    return (size_t)snprintf(room, 32, "account%05u", account);
}

static long amount_of(const char *value, size_t count)
{
    char text[32];

    snprintf(text, sizeof(text), "%.*s", (int)count, value);
    return atol(text);
}

static long read_amount(const leveldb_readoptions_t *options, uint32_t account)
{
    char key[32], *error = NULL;
    size_t key_bytes = key_of(account, key), count = 0;
    char *value = leveldb_get(db, options, key, key_bytes, &count, &error);

    fail_if(error);
    long amount = value == NULL ? 0 : amount_of(value, count);
    leveldb_free(value);
    return amount;
}

static void put_amount(leveldb_writebatch_t *batch, uint32_t account, long amount)
{
    char key[32], value[32];
    size_t key_bytes = key_of(account, key);
    int count = snprintf(value, sizeof(value), "%ld", amount);

    leveldb_writebatch_put(batch, key, key_bytes, value, (size_t)count);
}

/* ---- threads -------------------------------------------------------------------------------- */

/* Takes turns with others in reading two amounts and writing them. Also writes what nobody sums. */
static void *write_amounts(void *argument)
{
    uint32_t seed = (uint32_t)(uintptr_t)argument;
    leveldb_readoptions_t *read = leveldb_readoptions_create();
    leveldb_writeoptions_t *write = leveldb_writeoptions_create();
    leveldb_writebatch_t *batch = leveldb_writebatch_create();
    char *error = NULL;

    for (uint32_t i = 0; i < TRANSFERS; i++) {
        uint32_t from = (seed = seed * 1664525u + 1013904223u) / 7 % ACCOUNTS;
        uint32_t to = (from + 1 + i % (ACCOUNTS - 1)) % ACCOUNTS;
        leveldb_writebatch_clear(batch);
        pthread_mutex_lock(&transfers);
        put_amount(batch, from, read_amount(read, from) - 1);
        put_amount(batch, to, read_amount(read, to) + 1);
        leveldb_write(db, write, batch, &error);
        pthread_mutex_unlock(&transfers);
        fail_if(error);
        char key[32], value[400];
        memset(value, 'v', sizeof(value));
        int key_bytes = snprintf(key, sizeof(key), "other%010u", seed);
        leveldb_put(db, write, key, (size_t)key_bytes, value, sizeof(value), &error);
        fail_if(error);
    }
    leveldb_writebatch_destroy(batch);
    leveldb_writeoptions_destroy(write);
    leveldb_readoptions_destroy(read);
    return NULL;
}

static long sum_by_iterator(const leveldb_readoptions_t *options)
{
    leveldb_iterator_t *iterator = leveldb_create_iterator(db, options);
    long sum = 0;
    char *error = NULL;

    for (leveldb_iter_seek(iterator, "account", 7); leveldb_iter_valid(iterator);
         leveldb_iter_next(iterator)) {
        size_t key_bytes, count;
        const char *key = leveldb_iter_key(iterator, &key_bytes);
        if (key_bytes != 12 || memcmp(key, "account", 7) != 0) {
            break;
        }
        const char *value = leveldb_iter_value(iterator, &count);
        sum += amount_of(value, count);
    }
    leveldb_iter_get_error(iterator, &error);
    fail_if(error);
    leveldb_iter_destroy(iterator);
    return sum;
}

static void *read_amounts(void *argument)
{
    leveldb_readoptions_t *read = leveldb_readoptions_create();
    bool *is_right = argument;

    while (!atomic_load(&is_over)) {
        const leveldb_snapshot_t *snapshot = leveldb_create_snapshot(db);
        long sum = 0;
        *is_right &= sum_by_iterator(read) == (long)ACCOUNTS * AMOUNT;
        leveldb_readoptions_set_snapshot(read, snapshot);
        for (uint32_t i = 0; i < ACCOUNTS; i++) {
            sum += read_amount(read, i);
        }
        *is_right &= sum == (long)ACCOUNTS * AMOUNT;
        *is_right &= sum_by_iterator(read) == sum;
        leveldb_readoptions_set_snapshot(read, NULL);
        leveldb_release_snapshot(db, snapshot);
    }
    leveldb_readoptions_destroy(read);
    return NULL;
}

static void *do_the_rest(void *argument)
{
    leveldb_options_t *options = leveldb_options_create();
    char path[128];

    (void)argument;
    snprintf(path, sizeof(path), "%s/other", folder);
    leveldb_options_set_create_if_missing(options, 1);
    while (!atomic_load(&is_over)) {
        char *error = NULL;
        leveldb_compact_range(db, "account", 7, "account00100", 12);
        leveldb_free(leveldb_property_value(db, "leveldb.stats"));
        leveldb_free(leveldb_property_value(db, "leveldb.sstables"));
        leveldb_t *other = leveldb_open(options, path, &error);
        fail_if(error);
        leveldb_close(other);
        leveldb_destroy_db(options, path, &error);
        fail_if(error);
    }
    leveldb_options_destroy(options);
    return NULL;
}

/* ---- the test ------------------------------------------------------------------------------- */

static void open_accounts(leveldb_options_t *options)
{
    char path[128], *error = NULL;
    leveldb_writeoptions_t *write = leveldb_writeoptions_create();
    leveldb_writebatch_t *batch = leveldb_writebatch_create();

    snprintf(folder, sizeof(folder), "/tmp/quarry-leveldb-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/accounts", folder);
    leveldb_options_set_create_if_missing(options, 1);
    leveldb_options_set_write_buffer_size(options, 100000);
    db = leveldb_open(options, path, &error);
    assert_null(error);
    for (uint32_t i = 0; i < ACCOUNTS; i++) {
        put_amount(batch, i, AMOUNT);
    }
    leveldb_write(db, write, batch, &error);
    assert_null(error);
    leveldb_writebatch_destroy(batch);
    leveldb_writeoptions_destroy(write);
}

static void threads_see_all_of_a_batch_or_nothing(void **state)
{
    pthread_t writers[WRITERS], readers[READERS], other;
    bool is_right[READERS];
    leveldb_options_t *options = leveldb_options_create();

    (void)state;
    open_accounts(options);
    for (uint32_t i = 0; i < READERS; i++) {
        is_right[i] = true;
        assert_int_equal(pthread_create(&readers[i], NULL, read_amounts, &is_right[i]), 0);
    }
    for (uintptr_t i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_create(&writers[i], NULL, write_amounts, (void *)(i + 1)), 0);
    }
    assert_int_equal(pthread_create(&other, NULL, do_the_rest, NULL), 0);
    for (uint32_t i = 0; i < WRITERS; i++) {
        pthread_join(writers[i], NULL);
    }
    atomic_store(&is_over, true);
    for (uint32_t i = 0; i < READERS; i++) {
        pthread_join(readers[i], NULL);
        assert_true(is_right[i]);
    }
    pthread_join(other, NULL);
    leveldb_close(db);
    leveldb_options_destroy(options);
    nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_see_all_of_a_batch_or_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
