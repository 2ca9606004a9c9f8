/* An index over a batch against a sorted array, and fragments against every key. */
#include "unit/kv/mem_rig.h"

#include <stdio.h>
#include <stdlib.h>

#include <kv/batch_index.h>

#include "unit/base/random.h"

#define BASE 1000u

struct change {
    char key[24];
    uint32_t ordinal;
};

static struct change changes[20000];
static size_t change_count;

static int compare_changes(const void *a, const void *b)
{
    const struct change *x = a, *y = b;
    int order = strcmp(x->key, y->key);

    return order != 0 ? order : (x->ordinal < y->ordinal) - (x->ordinal > y->ordinal);
}

static void add(struct quarry_kv_batch *batch, uint64_t *random, uint32_t ordinal, uint32_t keys)
{
    struct change *change = &changes[change_count++];

    snprintf(change->key, sizeof change->key, "%04u%s", (uint32_t)(random_u64(random) % keys),
             random_u64(random) % 2 == 0 ? "" : "-longer");
    change->ordinal = ordinal;
    assert_int_equal(
        quarry_kv_batch_put(batch, change->key, strlen(change->key), &ordinal, sizeof ordinal),
        QUARRY_OK);
}

static void assert_at(const struct kv_iterator *it, size_t at)
{
    assert_int_equal(it->is_valid, at < change_count);
    if (it->is_valid) {
        assert_slice(it->key.user, changes[at].key);
        assert_int_equal(it->key.trailer, kv_trailer(BASE + changes[at].ordinal, KV_TYPE_PUT));
        assert_memory_equal(it->value.bytes, &changes[at].ordinal, 4);
    }
}

/* The array is sorted. */
static void check_walks(const struct kv_batch_index *index, uint64_t *random)
{
    struct kv_batch_iterator iterator;
    struct kv_iterator *it = &iterator.base;
    size_t at = 0;

    kv_batch_iterator_init(&iterator, index, BASE);
    for (it->ops->first(it); at <= change_count; at++) {
        assert_at(it, at);
        if (it->is_valid) {
            it->ops->next(it);
        }
    }
    at = change_count - 1;
    for (it->ops->last(it); it->is_valid; at--) {
        assert_at(it, at);
        it->ops->previous(it);
    }
    assert_int_equal(at, SIZE_MAX);
    for (int i = 0; i < 2000; i++) {
        const struct change *change = &changes[random_u64(random) % change_count];
        uint64_t sequence =
            random_u64(random) % 4 == 0 ? KV_SEQUENCE_MAX : BASE - 50 + random_u64(random) % 20200;
        enum kv_type type = random_u64(random) % 2 == 0 ? KV_TYPE_SEEK : KV_TYPE_DELETE;
        const struct kv_key key = {text_slice(change->key), kv_trailer(sequence, type)};
        for (at = 0; at < change_count; at++) {
            const struct kv_key own = {text_slice(changes[at].key),
                                       kv_trailer(BASE + changes[at].ordinal, KV_TYPE_PUT)};
            if (kv_compare_keys(&kv_bytewise, own, key) >= 0) {
                break;
            }
        }
        it->ops->seek(it, key);
        assert_at(it, at);
        it->ops->seek_before(it, key);
        assert_at(it, at == 0 ? change_count : at - 1);
        assert_int_equal(it->is_valid, at != 0);
    }
    it->ops->fini(it);
}

static void check_gets(const struct kv_batch_index *index)
{
    struct kv_batch_found found;

    for (size_t i = 0; i < change_count; i++) {
        if (i != 0 && strcmp(changes[i].key, changes[i - 1].key) == 0) {
            assert_true(kv_batch_index_older(index, BASE, &found));
        } else {
            assert_false(i != 0 && kv_batch_index_older(index, BASE, &found));
            assert_true(kv_batch_index_get(index, text_slice(changes[i].key), BASE, &found));
        }
        assert_int_equal(found.trailer, kv_trailer(BASE + changes[i].ordinal, KV_TYPE_PUT));
    }
    assert_false(kv_batch_index_get(index, text_slice("0000-"), BASE, &found));
    assert_false(kv_batch_index_get(index, text_slice("~"), BASE, &found));
}

static void check_all(const struct kv_batch_index *index, uint64_t *random)
{
    struct change *copy = malloc(sizeof changes);

    memcpy(copy, changes, sizeof changes);
    qsort(changes, change_count, sizeof changes[0], compare_changes);
    kv_batch_index_validate(index);
    assert_int_equal(kv_batch_index_count(index), change_count);
    check_walks(index, random);
    check_gets(index);
    memcpy(changes, copy, sizeof changes);
    free(copy);
}

static void random_changes_are_found_in_order(void **state)
{
    static const uint32_t keys[] = {3, 200, 9000};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        struct quarry_kv_batch *batch = batch_make(true);
        struct kv_batch_index *built = NULL;
        uint64_t random = i;
        change_count = 0;
        for (uint32_t ordinal = 0; ordinal < 8000; ordinal++) {
            add(batch, &random, ordinal, keys[i]);
        }
        check_all(batch->index, &random);
        assert_int_equal(
            kv_batch_index_create(&rig_kv_memory, &kv_bytewise, &batch->bytes.bytes, &built),
            QUARRY_OK);
        assert_int_equal(kv_batch_index_build(built, kv_batch_slice(batch), NULL), QUARRY_OK);
        check_all(built, &random);
        kv_batch_index_destroy(built);
        quarry_kv_batch_destroy(batch);
    }
}

static void sorted_changes_fill_chunks(void **state)
{
    struct quarry_kv_batch *batch = batch_make(true);
    uint64_t random = 1;

    (void)state;
    change_count = 0;
    for (uint32_t ordinal = 0; ordinal < 5000; ordinal++) {
        snprintf(changes[change_count].key, sizeof changes[0].key, "%08u", ordinal);
        changes[change_count].ordinal = ordinal;
        quarry_kv_batch_put(batch, changes[change_count++].key, 8, &ordinal, 4);
    }
    check_all(batch->index, &random);
    quarry_kv_batch_destroy(batch);
}

static void going_back_forgets_what_came_after(void **state)
{
    struct quarry_kv_batch *batch = batch_make(true);
    uint64_t random = 7;

    (void)state;
    change_count = 0;
    for (int turn = 0; turn < 30; turn++) {
        uint32_t before = (uint32_t)change_count;
        assert_int_equal(quarry_kv_batch_mark(batch), QUARRY_OK);
        for (uint32_t i = 0; i < 700; i++) {
            add(batch, &random, (uint32_t)change_count, 2000);
        }
        if (turn % 3 != 0) {
            assert_int_equal(quarry_kv_batch_rewind(batch), QUARRY_OK);
            change_count = before;
        }
        kv_batch_index_validate(batch->index);
    }
    check_all(batch->index, &random);
    quarry_kv_batch_destroy(batch);
}

static void range_deletes_are_cut_and_cached(void **state)
{
    struct quarry_kv_batch *batch = batch_make(true);
    struct kv_fragments *fragments = NULL, *again = NULL;

    (void)state;
    assert_int_equal(kv_batch_index_fragments(batch->index, BASE, &fragments), QUARRY_OK);
    assert_null(fragments);
    quarry_kv_batch_delete_range(batch, "a", 1, "f", 1);
    quarry_kv_batch_put(batch, "b", 1, "", 0);
    quarry_kv_batch_delete_range(batch, "c", 1, "h", 1);
    assert_int_equal(kv_batch_index_fragments(batch->index, BASE, &fragments), QUARRY_OK);
    assert_int_equal(fragments->fragment_count, 3);
    assert_int_equal(kv_fragments_cover(fragments, text_slice("b"), KV_SEQUENCE_MAX), BASE);
    assert_int_equal(kv_fragments_cover(fragments, text_slice("d"), KV_SEQUENCE_MAX), BASE + 2);
    assert_int_equal(kv_batch_index_fragments(batch->index, BASE, &again), QUARRY_OK);
    assert_ptr_equal(again, fragments);
    kv_fragments_release(again);
    kv_fragments_release(fragments);
    quarry_kv_batch_delete_range(batch, "x", 1, "y", 1);
    assert_int_equal(kv_batch_index_fragments(batch->index, BASE, &fragments), QUARRY_OK);
    assert_int_equal(fragments->fragment_count, 4);
    kv_fragments_release(fragments);
    mem_rig_leave(0);
    assert_int_equal(kv_batch_index_fragments(batch->index, 0, &fragments), QUARRY_NO_MEMORY);
    mem_rig_leave(UINT64_MAX);
    quarry_kv_batch_destroy(batch);
}

#define WITH_RIG(name) cmocka_unit_test_setup_teardown(name, mem_rig_set_up, mem_rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_RIG(random_changes_are_found_in_order),
        WITH_RIG(sorted_changes_fill_chunks),
        WITH_RIG(going_back_forgets_what_came_after),
        WITH_RIG(range_deletes_are_cut_and_cached),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
