/*
 * Iterators. What they are at, the store's iterator says; here is what LevelDB's has beside: one
 * that could not be made is an iterator too, at no key and with an error.
 *
 * To move one that is at no key, or to ask for its key, is an error of the program's, which ends it
 * in LevelDB; here nothing is moved, and the key is of no bytes.
 *
 * Locking: the database's mutex while it enters or leaves the list. Cost: the store's.
 */
#include <leveldb_api/shim.h>

#include <stdlib.h>
#include <string.h>

struct leveldb_iterator_t *leveldb_create_iterator(struct leveldb_t *db,
                                                   const struct leveldb_readoptions_t *options)
{
    struct leveldb_iterator_t *iterator = shim_alloc(sizeof(*iterator));

    if (options->snapshot != NULL && options->read.snapshot == NULL) {
        (void)error_set(&iterator->error, QUARRY_NO_MEMORY, "there was no memory for the snapshot");
    } else if (quarry_kv_iterate(db->kv, &options->read, &iterator->iterator, &iterator->error) !=
               QUARRY_OK) {
        iterator->iterator = NULL;
    }
    iterator->db = db;
    os_mutex_lock(&db->mutex);
    iterator->next = db->iterators;
    iterator->link = &db->iterators;
    if (iterator->next != NULL) {
        iterator->next->link = &iterator->next;
    }
    db->iterators = iterator;
    os_mutex_unlock(&db->mutex);
    return iterator;
}

void leveldb_iter_destroy(struct leveldb_iterator_t *iterator)
{
    struct leveldb_t *db = iterator->db;

    if (db != NULL) { /* it is open */
        os_mutex_lock(&db->mutex);
        *iterator->link = iterator->next;
        if (iterator->next != NULL) {
            iterator->next->link = iterator->link;
        }
        os_mutex_unlock(&db->mutex);
        quarry_kv_iterator_destroy(iterator->iterator);
    }
    free(iterator);
}

/* ---- moving --------------------------------------------------------------------------------- */

uint8_t leveldb_iter_valid(const struct leveldb_iterator_t *iterator)
{
    return iterator->iterator != NULL && quarry_kv_iterator_is_valid(iterator->iterator);
}

void leveldb_iter_seek_to_first(struct leveldb_iterator_t *iterator)
{
    if (Q_LIKELY(iterator->iterator != NULL)) {
        (void)quarry_kv_iterator_first(iterator->iterator);
    }
}

void leveldb_iter_seek_to_last(struct leveldb_iterator_t *iterator)
{
    if (Q_LIKELY(iterator->iterator != NULL)) {
        (void)quarry_kv_iterator_last(iterator->iterator);
    }
}

void leveldb_iter_seek(struct leveldb_iterator_t *iterator, const char *k, size_t klen)
{
    if (Q_LIKELY(iterator->iterator != NULL)) {
        (void)quarry_kv_iterator_seek(iterator->iterator, k == NULL ? "" : k, klen);
    }
}

void leveldb_iter_next(struct leveldb_iterator_t *iterator)
{
    if (Q_LIKELY(leveldb_iter_valid(iterator))) {
        (void)quarry_kv_iterator_next(iterator->iterator);
    }
}

void leveldb_iter_prev(struct leveldb_iterator_t *iterator)
{
    if (Q_LIKELY(leveldb_iter_valid(iterator))) {
        (void)quarry_kv_iterator_previous(iterator->iterator);
    }
}

/* ---- where it is ---------------------------------------------------------------------------- */

const char *leveldb_iter_key(const struct leveldb_iterator_t *iterator, size_t *klen)
{
    struct quarry_kv_slice key = {"", 0};

    if (Q_LIKELY(leveldb_iter_valid(iterator))) {
        key = quarry_kv_iterator_key(iterator->iterator);
    }
    *klen = key.byte_count;
    return key.bytes;
}

const char *leveldb_iter_value(const struct leveldb_iterator_t *iterator, size_t *vlen)
{
    struct quarry_kv_slice value = {"", 0};

    if (Q_LIKELY(leveldb_iter_valid(iterator))) {
        value = quarry_kv_iterator_value(iterator->iterator);
    }
    *vlen = value.byte_count;
    return value.bytes;
}

void leveldb_iter_get_error(const struct leveldb_iterator_t *iterator, char **errptr)
{
    struct quarry_error error = iterator->error;

    if (iterator->iterator != NULL &&
        quarry_kv_iterator_status(iterator->iterator, &error) == QUARRY_OK) {
        return;
    }
    if (error.status != QUARRY_OK) {
        shim_fail_store(errptr, iterator->db == NULL ? "" : iterator->db->path, &error);
    }
}
