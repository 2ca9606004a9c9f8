/* RocksDB's library: see peer.h. */
#include "kv/peer.h"

#include <stdlib.h>
#include <string.h>

#include <base/assert.h>

#include "kv/options.h"

/* ---- merging: as quarry_kv_merge_append(',') does ---- */

static char *join(const char *base, size_t base_bytes, const char *const *operands,
                  const size_t *operand_bytes, int count, size_t *ret_bytes)
{
    size_t byte_count = base == NULL ? 0 : base_bytes;
    bool is_first = base == NULL;

    for (int i = 0; i < count; i++) {
        byte_count += operand_bytes[i] + 1;
    }
    char *joined = malloc(byte_count + 1), *at = joined;
    Q_ASSERT(joined != NULL);
    if (base != NULL) {
        memcpy(at, base, base_bytes);
        at += base_bytes;
    }
    for (int i = 0; i < count; i++) {
        if (!is_first) {
            *at++ = ',';
        }
        is_first = false;
        memcpy(at, operands[i], operand_bytes[i]);
        at += operand_bytes[i];
    }
    *ret_bytes = (size_t)(at - joined);
    return joined;
}

static char *full_merge(void *argument, const char *key, size_t key_bytes, const char *base,
                        size_t base_bytes, const char *const *operands, const size_t *operand_bytes,
                        int count, unsigned char *ret_is_done, size_t *ret_bytes)
{
    (void)argument;
    (void)key;
    (void)key_bytes;
    *ret_is_done = 1;
    return join(base, base_bytes, operands, operand_bytes, count, ret_bytes);
}

static char *partial_merge(void *argument, const char *key, size_t key_bytes,
                           const char *const *operands, const size_t *operand_bytes, int count,
                           unsigned char *ret_is_done, size_t *ret_bytes)
{
    (void)argument;
    (void)key;
    (void)key_bytes;
    *ret_is_done = 1;
    return join(NULL, 0, operands, operand_bytes, count, ret_bytes);
}

static void delete_value(void *argument, const char *value, size_t value_bytes)
{
    (void)argument;
    (void)value_bytes;
    free((void *)(uintptr_t)value);
}

static const char *merge_name(void *argument)
{
    (void)argument;
    return "StringAppendOperator";
}

static void end_nothing(void *argument)
{
    (void)argument;
}

static int compare_reverse(void *argument, const char *a, size_t a_bytes, const char *b,
                           size_t b_bytes)
{
    return meta_reverse.compare(argument, a, a_bytes, b, b_bytes);
}

static const char *reverse_name(void *argument)
{
    (void)argument;
    return meta_reverse.name;
}

rocksdb_options_t *peer_options(bool is_reverse)
{
    rocksdb_options_t *options = rocksdb_options_create();

    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_options_set_merge_operator(
        options, rocksdb_mergeoperator_create(NULL, end_nothing, full_merge, partial_merge,
                                              delete_value, merge_name));
    if (is_reverse) {
        rocksdb_options_set_comparator(
            options, rocksdb_comparator_create(NULL, end_nothing, compare_reverse, reverse_name));
    }
    return options;
}

void peer_add(rocksdb_writebatch_t *batch, const struct change *change)
{
    const char *key = change->key.bytes, *value = change->value.bytes;
    size_t key_bytes = change->key.byte_count, value_bytes = change->value.byte_count;

    switch (change->kind) {
    case CHANGE_PUT:
        rocksdb_writebatch_put(batch, key, key_bytes, value, value_bytes);
        break;
    case CHANGE_DELETE:
        rocksdb_writebatch_delete(batch, key, key_bytes);
        break;
    case CHANGE_SINGLE:
        rocksdb_writebatch_singledelete(batch, key, key_bytes);
        break;
    case CHANGE_RANGE:
        rocksdb_writebatch_delete_range(batch, key, key_bytes, value, value_bytes);
        break;
    case CHANGE_MERGE:
        rocksdb_writebatch_merge(batch, key, key_bytes, value, value_bytes);
        break;
    }
}
