/*
 * Keys, batches, iterators, snapshots.
 */
#include "user.h"

/* ---- keys ----------------------------------------------------------------------------------- */

static void put_bytes(leveldb_t *db, const char *key, size_t key_bytes, const char *value,
                      size_t value_bytes)
{
    leveldb_put(db, user.write, key, key_bytes, value, value_bytes, &user.error);
    say_bytes("put", key, key_bytes);
}

static void keys_of_all_bytes(leveldb_t *db)
{
    size_t count = 1;
    char *value;

    put_bytes(db, "", 0, "of no bytes", 11);
    put_bytes(db, "a\0b", 3, "\0\xff\0", 3);
    put_bytes(db, "\xff\xfe", 2, "high", 4);
    put_bytes(db, "empty value", 11, "", 0);
    get(db, "");
    get(db, "empty value");
    value = leveldb_get(db, user.read, "a\0b", 3, &count, &user.error);
    say_bytes("get a0b", value, count);
    leveldb_free(value);
    value = leveldb_get(db, user.read, "empty value", 11, &count, &user.error);
    say("a value of no bytes is %s", value == NULL ? "none" : "something");
    leveldb_free(value);
    leveldb_delete(db, user.write, "", 0, &user.error);
    say("delete");
    leveldb_delete(db, user.write, "never there", 11, &user.error);
    say("delete what is not there");
    get(db, "");
    list(db);
}

static void long_keys_and_values(leveldb_t *db)
{
    size_t key_bytes = 70000, value_bytes = 3000000, count = 0;
    char *key = malloc(key_bytes), *value = malloc(value_bytes);

    memset(key, 'k', key_bytes);
    for (size_t i = 0; i < value_bytes; i++) {
        value[i] = (char)(i * 31 % 251);
    }
    leveldb_put(db, user.write, key, key_bytes, value, value_bytes, &user.error);
    say("put a long one");
    char *read = leveldb_get(db, user.read, key, key_bytes, &count, &user.error);
    say("get it: %zu bytes, %s", count,
        read != NULL && count == value_bytes && memcmp(read, value, count) == 0 ? "the same"
                                                                                : "another");
    leveldb_free(read);
    leveldb_delete(db, user.write, key, key_bytes, &user.error);
    free(key);
    free(value);
}

static void writes_that_are_synced(leveldb_t *db)
{
    leveldb_writeoptions_set_sync(user.write, 1);
    put(db, "synced", "yes");
    leveldb_writeoptions_set_sync(user.write, 0);
    get(db, "synced");
}

/* ---- batches -------------------------------------------------------------------------------- */

static void tell_put(void *state, const char *key, size_t key_bytes, const char *value,
                     size_t value_bytes)
{
    ++*(int *)state;
    say_bytes("  batch puts", key, key_bytes);
    say_bytes("    value", value, value_bytes);
}

static void tell_deleted(void *state, const char *key, size_t key_bytes)
{
    ++*(int *)state;
    say_bytes("  batch deletes", key, key_bytes);
}

static void tell_batch(const leveldb_writebatch_t *batch)
{
    int count = 0;

    leveldb_writebatch_iterate(batch, &count, tell_put, tell_deleted);
    say("batch of %d", count);
}

static void batches(leveldb_t *db)
{
    leveldb_writebatch_t *batch = leveldb_writebatch_create();
    leveldb_writebatch_t *more = leveldb_writebatch_create();

    tell_batch(batch);
    leveldb_write(db, user.write, batch, &user.error);
    say("write an empty batch");
    leveldb_writebatch_put(batch, "one", 3, "1", 1);
    leveldb_writebatch_put(batch, "two", 3, "2", 1);
    leveldb_writebatch_delete(batch, "one", 3);
    leveldb_writebatch_put(batch, "", 0, "", 0);
    leveldb_writebatch_delete(batch, "", 0);
    leveldb_writebatch_put(more, "three", 5, "3", 1);
    leveldb_writebatch_append(batch, more);
    leveldb_writebatch_append(batch, more);
    tell_batch(batch);
    leveldb_write(db, user.write, batch, &user.error);
    say("write the batch");
    get(db, "one");
    get(db, "two");
    get(db, "three");
    leveldb_write(db, user.write, batch, &user.error);
    say("write it again");
    leveldb_writebatch_clear(batch);
    tell_batch(batch);
    leveldb_writebatch_append(batch, more);
    leveldb_writebatch_clear(more);
    tell_batch(batch);
    for (int i = 0; i < 2000; i++) {
        char key[32];
        int key_bytes = snprintf(key, sizeof(key), "batched%05d", i);
        leveldb_writebatch_put(more, key, (size_t)key_bytes, key, (size_t)key_bytes);
    }
    leveldb_write(db, user.write, more, &user.error);
    say("write many");
    get(db, "batched01999");
    leveldb_writebatch_destroy(batch);
    leveldb_writebatch_destroy(more);
}

/* ---- iterators ------------------------------------------------------------------------------ */

static void tell_place(leveldb_iterator_t *iterator, const char *what)
{
    size_t key_bytes = 0, value_bytes = 0;

    if (!leveldb_iter_valid(iterator)) {
        leveldb_iter_get_error(iterator, &user.error);
        say("%s: at no key", what);
        return;
    }
    const char *key = leveldb_iter_key(iterator, &key_bytes);
    const char *value = leveldb_iter_value(iterator, &value_bytes);
    say_bytes(what, key, key_bytes);
    say_bytes("    value", value, value_bytes);
    leveldb_iter_get_error(iterator, &user.error);
    say("    no error");
}

static void walk_both_ways(leveldb_iterator_t *iterator)
{
    tell_place(iterator, "new");
    leveldb_iter_seek_to_first(iterator);
    tell_place(iterator, "first");
    leveldb_iter_next(iterator);
    tell_place(iterator, "next");
    leveldb_iter_next(iterator);
    leveldb_iter_prev(iterator);
    tell_place(iterator, "next, prev");
    leveldb_iter_seek(iterator, "batched00777", 12);
    tell_place(iterator, "seek");
    leveldb_iter_prev(iterator);
    tell_place(iterator, "prev");
    leveldb_iter_next(iterator);
    leveldb_iter_next(iterator);
    tell_place(iterator, "next, next");
    leveldb_iter_seek(iterator, "batched00777x", 13);
    tell_place(iterator, "seek between");
    leveldb_iter_seek(iterator, "\xff\xff\xff", 3);
    tell_place(iterator, "seek behind all");
    leveldb_iter_seek(iterator, "", 0);
    tell_place(iterator, "seek before all");
    leveldb_iter_prev(iterator);
    tell_place(iterator, "prev of the first");
    leveldb_iter_seek_to_last(iterator);
    tell_place(iterator, "last");
    leveldb_iter_prev(iterator);
    tell_place(iterator, "prev");
    leveldb_iter_next(iterator);
    leveldb_iter_next(iterator);
    tell_place(iterator, "next of the last");
}

static void iterators(leveldb_t *db)
{
    leveldb_iterator_t *iterator = leveldb_create_iterator(db, user.read);
    leveldb_iterator_t *later;
    unsigned forward = 0, backward = 0;

    walk_both_ways(iterator);
    put(db, "batched00000+", "put while an iterator is there");
    leveldb_iter_seek(iterator, "batched00000+", 13);
    tell_place(iterator, "the older iterator");
    later = leveldb_create_iterator(db, user.read);
    leveldb_iter_seek(later, "batched00000+", 13);
    tell_place(later, "the newer one");
    for (leveldb_iter_seek_to_first(later); leveldb_iter_valid(later); leveldb_iter_next(later)) {
        forward++;
    }
    for (leveldb_iter_seek_to_last(later); leveldb_iter_valid(later); leveldb_iter_prev(later)) {
        backward++;
    }
    say("%u forwards, %u backwards", forward, backward);
    leveldb_iter_destroy(later);
    leveldb_iter_destroy(iterator);
}

/* ---- snapshots ------------------------------------------------------------------------------ */

static void snapshots(leveldb_t *db)
{
    put(db, "version", "1");
    const leveldb_snapshot_t *first = leveldb_create_snapshot(db);
    put(db, "version", "2");
    const leveldb_snapshot_t *second = leveldb_create_snapshot(db);
    leveldb_delete(db, user.write, "version", 7, &user.error);
    leveldb_readoptions_set_snapshot(user.read, first);
    get(db, "version");
    leveldb_compact_range(db, NULL, 0, NULL, 0);
    get(db, "version");
    leveldb_readoptions_set_snapshot(user.read, second);
    get(db, "version");
    leveldb_iterator_t *iterator = leveldb_create_iterator(db, user.read);
    leveldb_iter_seek(iterator, "version", 7);
    tell_place(iterator, "in the snapshot");
    leveldb_iter_destroy(iterator);
    leveldb_readoptions_set_snapshot(user.read, NULL);
    get(db, "version");
    leveldb_release_snapshot(db, first);
    leveldb_release_snapshot(db, second);
}

void user_keys(void)
{
    leveldb_options_set_create_if_missing(user.options, 1);
    leveldb_t *db = must_open("keys");
    keys_of_all_bytes(db);
    long_keys_and_values(db);
    writes_that_are_synced(db);
    batches(db);
    iterators(db);
    snapshots(db);
    leveldb_close(db);
    db = must_open("keys");
    list(db);
    leveldb_close(db);
}
