/*
 * Merging iterators against an array of all entries, sorted: any number of children, equal keys
 * among them, and walks that turn round anywhere.
 */
#include "unit/kv/mem_rig.h"

#include <stdlib.h>
#include <string.h>

#include <kv/batch_index.h>
#include <kv/merge_iterator.h>

#define CHILDREN_MAX 9u
#define ENTRIES_MAX  400u

/* What the merge shall show. */
struct entry {
    struct kv_key key;
    uint32_t child;
};
static struct entry entries[ENTRIES_MAX];
static int entry_count;

static struct quarry_kv_batch *batches[CHILDREN_MAX];
static struct kv_batch_iterator over[CHILDREN_MAX];
static struct kv_iterator *children[CHILDREN_MAX];
static const struct quarry_kv_comparator *comparator;
static uint64_t random_state;

static uint64_t below(uint64_t bound)
{
    uint64_t z = (random_state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    return (z ^ (z >> 27)) % bound;
}

static int compare_reversed(void *argument, const void *a, size_t a_bytes, const void *b,
                            size_t b_bytes)
{
    (void)argument;
    return kv_compare_bytes(kv_slice(b, b_bytes), kv_slice(a, a_bytes));
}
static const struct quarry_kv_comparator reversed = {.name = "test.Reversed",
                                                     .compare = compare_reversed};

static int compare_entries(const void *a, const void *b)
{
    const struct entry *one = a, *other = b;
    int order = kv_compare_keys(comparator, one->key, other->key);

    return order != 0 ? order : (one->child > other->child) - (one->child < other->child);
}

/* Keys that differ in the first word, in the second, behind both, or in length alone. */
static size_t make_key(char *room)
{
    static const char *const beginnings[] = {"", "b", "common..", "common..common..", "\xff\xff"};
    const char *beginning = beginnings[below(COUNT_OF(beginnings))];
    size_t count = strlen(beginning);

    memcpy(room, beginning, count);
    for (uint64_t more = below(3); more > 0; more--) {
        static const char letters[] = {'\0', 'a', '\xff'};
        room[count++] = letters[below(3)];
    }
    return count;
}

/* All children have sequences from 1 on, so that whole keys are equal now and then. */
static void make_child(uint32_t child)
{
    const struct kv_batch_options options = {.memory = &rig_kv_memory,
                                             .comparator = comparator,
                                             .key_bytes_max = 1000,
                                             .value_bytes_max = 1000};
    char key[64];

    assert_int_equal(kv_batch_create(&options, true, &batches[child]), QUARRY_OK);
    for (uint64_t i = below(30); i > 0; i--) {
        size_t count = make_key(key);
        assert_int_equal(quarry_kv_batch_put(batches[child], key, count, &child, sizeof(child)),
                         QUARRY_OK);
    }
    kv_batch_iterator_init(&over[child], batches[child]->index, 1);
    children[child] = &over[child].base;
    for (children[child]->ops->first(children[child]); children[child]->is_valid;
         children[child]->ops->next(children[child])) {
        entries[entry_count++] = (struct entry){children[child]->key, child};
    }
}

static void check(struct kv_merge_iterator *merge, int at, uint32_t child_count)
{
    const struct kv_iterator *base = kv_merge_iterator_base(merge);

    assert_int_equal(base->status, QUARRY_OK);
    assert_int_equal(base->is_valid, at >= 0 && at < entry_count);
    if (base->is_valid) {
        uint32_t child;
        assert_int_equal(kv_compare_keys(comparator, base->key, entries[at].key), 0);
        memcpy(&child, base->value.bytes, sizeof(child));
        assert_int_equal(child, entries[at].child);
        assert_int_equal(kv_merge_iterator_source(merge), child);
        assert_true(child < child_count);
    }
}

/* Index of the first entry at or after a key. */
static int lower_bound(struct kv_key key)
{
    int at = 0;

    while (at < entry_count && kv_compare_keys(comparator, entries[at].key, key) < 0) {
        at++;
    }
    return at;
}

static int place(struct kv_iterator *base)
{
    char room[64];
    struct kv_key key = {kv_slice(room, make_key(room)), kv_trailer(below(32), KV_TYPE_PUT)};

    switch (below(4)) {
    case 0:
        base->ops->first(base);
        return 0;
    case 1:
        base->ops->last(base);
        return entry_count - 1;
    case 2:
        base->ops->seek(base, key);
        return lower_bound(key);
    default:
        base->ops->seek_before(base, key);
        return lower_bound(key) - 1;
    }
}

static void walk(struct kv_merge_iterator *merge, uint32_t child_count)
{
    struct kv_iterator *base = kv_merge_iterator_base(merge);
    int at = -1;

    for (uint32_t i = 0; i < 200; i++) {
        if (at < 0 || at >= entry_count || below(12) == 0) {
            at = place(base);
        } else if (below(2) == 0) {
            base->ops->next(base);
            at++;
        } else {
            base->ops->previous(base);
            at--;
        }
        check(merge, at, child_count);
    }
}

static void walk_over(uint64_t seed, const struct quarry_kv_comparator *own)
{
    uint32_t child_count = 1 + (uint32_t)(seed % CHILDREN_MAX);
    struct kv_merge_iterator *merge = NULL;

    comparator = own;
    random_state = seed;
    entry_count = 0;
    for (uint32_t child = 0; child < child_count; child++) {
        make_child(child);
    }
    qsort(entries, (size_t)entry_count, sizeof(entries[0]), compare_entries);
    assert_int_equal(
        kv_merge_iterator_create(&rig_kv_memory, comparator, children, child_count, &merge),
        QUARRY_OK);
    walk(merge, child_count);
    kv_merge_iterator_destroy(merge);
    for (uint32_t child = 0; child < child_count; child++) {
        assert_false(children[child]->is_valid);
        quarry_kv_batch_destroy(batches[child]);
    }
}

/* ---- frugal merges -------------------------------------------------------------------------- */

/* A child that can rest: it has its own copy of the key then, and moves what it is over nowhere. */
struct sleeper {
    struct kv_iterator base;
    struct kv_iterator *below;
    bool is_resting;
    bool has_no_memory; /* and then it cannot */
    char kept[64];
    uint64_t trailer;
};
static struct sleeper sleepers[CHILDREN_MAX];

static struct sleeper *sleeper_of(struct kv_iterator *base)
{
    return (struct sleeper *)(void *)base;
}

static void sleeper_show(struct sleeper *sleeper)
{
    sleeper->is_resting = false;
    sleeper->base.is_valid = sleeper->below->is_valid;
    sleeper->base.key = sleeper->below->key;
    sleeper->base.value = sleeper->below->value;
}

static void sleeper_first(struct kv_iterator *base)
{
    sleeper_of(base)->below->ops->first(sleeper_of(base)->below);
    sleeper_show(sleeper_of(base));
}

static void sleeper_last(struct kv_iterator *base)
{
    sleeper_of(base)->below->ops->last(sleeper_of(base)->below);
    sleeper_show(sleeper_of(base));
}

static void sleeper_seek(struct kv_iterator *base, struct kv_key key)
{
    sleeper_of(base)->below->ops->seek(sleeper_of(base)->below, key);
    sleeper_show(sleeper_of(base));
}

static void sleeper_seek_before(struct kv_iterator *base, struct kv_key key)
{
    sleeper_of(base)->below->ops->seek_before(sleeper_of(base)->below, key);
    sleeper_show(sleeper_of(base));
}

static void sleeper_next(struct kv_iterator *base)
{
    sleeper_of(base)->below->ops->next(sleeper_of(base)->below);
    sleeper_show(sleeper_of(base));
}

static void sleeper_previous(struct kv_iterator *base)
{
    sleeper_of(base)->below->ops->previous(sleeper_of(base)->below);
    sleeper_show(sleeper_of(base));
}

static void sleeper_fini(struct kv_iterator *base)
{
    sleeper_of(base)->below->ops->fini(sleeper_of(base)->below);
    base->is_valid = false;
}

static enum quarry_status sleeper_rest(struct kv_iterator *base)
{
    struct sleeper *sleeper = sleeper_of(base);

    if (sleeper->has_no_memory) {
        return QUARRY_NO_MEMORY;
    }
    if (base->is_valid && !sleeper->is_resting) {
        assert_true(base->key.user.count <= sizeof(sleeper->kept));
        memcpy(sleeper->kept, base->key.user.bytes, base->key.user.count);
        base->key.user.bytes = sleeper->kept;
        base->value = (struct kv_slice){0};
        sleeper->is_resting = true;
    }
    return QUARRY_OK;
}

static void sleeper_wake(struct kv_iterator *base)
{
    if (sleeper_of(base)->is_resting) {
        sleeper_show(sleeper_of(base));
    }
}

static void make_sleepers(uint32_t child_count)
{
    static const struct kv_iterator_ops ops = {
        .first = sleeper_first,
        .last = sleeper_last,
        .seek = sleeper_seek,
        .seek_before = sleeper_seek_before,
        .next = sleeper_next,
        .previous = sleeper_previous,
        .fini = sleeper_fini,
        .rest = sleeper_rest,
        .wake = sleeper_wake,
    };

    for (uint32_t i = 0; i < child_count; i++) {
        sleepers[i] = (struct sleeper){
            .base = {.ops = &ops}, .below = children[i], .has_no_memory = below(20) == 0};
        children[i] = &sleepers[i].base;
    }
}

/* Of those that are at an entry and can rest, the one that the merge is at alone does not. */
static void check_sleepers(const struct kv_merge_iterator *merge, uint32_t child_count)
{
    for (uint32_t i = 0; i < child_count; i++) {
        if (sleepers[i].base.is_valid && !sleepers[i].has_no_memory) {
            assert_int_equal(sleepers[i].is_resting, i != kv_merge_iterator_source(merge));
        }
    }
}

static void walk_frugally(uint64_t seed)
{
    uint32_t child_count = 1 + (uint32_t)(seed % CHILDREN_MAX);
    struct kv_merge_iterator *merge = NULL;
    int at = -1;

    comparator = &kv_bytewise;
    random_state = seed;
    entry_count = 0;
    for (uint32_t child = 0; child < child_count; child++) {
        make_child(child);
    }
    qsort(entries, (size_t)entry_count, sizeof(entries[0]), compare_entries);
    make_sleepers(child_count);
    assert_int_equal(
        kv_merge_iterator_create(&rig_kv_memory, comparator, children, child_count, &merge),
        QUARRY_OK);
    struct kv_iterator *base = kv_merge_iterator_base(merge);
    kv_merge_iterator_set_frugal(merge, true);
    for (uint32_t i = 0; i < 200; i++) {
        if (at < 0 || at >= entry_count || below(12) == 0) {
            at = place(base);
        } else {
            bool is_forward = below(2) == 0;
            if (below(4) == 0 && kv_merge_iterator_rest(merge) == QUARRY_OK) {
                assert_int_equal(base->value.count, 0);
                assert_int_equal(kv_compare_keys(comparator, base->key, entries[at].key), 0);
            }
            if (is_forward) {
                base->ops->next(base);
            } else {
                base->ops->previous(base);
            }
            at += is_forward ? 1 : -1;
        }
        check(merge, at, child_count);
        if (base->is_valid) {
            check_sleepers(merge, child_count);
            (void)kv_merge_iterator_rest(merge);
            kv_merge_iterator_wake(merge);
            check(merge, at, child_count);
        }
    }
    kv_merge_iterator_destroy(merge);
    for (uint32_t child = 0; child < child_count; child++) {
        quarry_kv_batch_destroy(batches[child]);
    }
}

static void a_frugal_merge_does_with_one_child_awake(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 600; seed++) {
        walk_frugally(seed);
    }
}

static void a_merge_walks_over_all_entries_in_order(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 900; seed++) {
        walk_over(seed, &kv_bytewise);
    }
}

static void it_does_in_another_order(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        walk_over(seed, &reversed);
    }
}

static void without_memory_children_stay_their_makers(void **state)
{
    struct kv_merge_iterator *merge = NULL;

    (void)state;
    comparator = &kv_bytewise;
    entry_count = 0;
    make_child(0);
    mem_rig_leave(0);
    assert_int_equal(kv_merge_iterator_create(&rig_kv_memory, comparator, children, 1, &merge),
                     QUARRY_NO_MEMORY);
    mem_rig_leave(UINT64_MAX);
    children[0]->ops->first(children[0]);
    children[0]->ops->fini(children[0]);
    quarry_kv_batch_destroy(batches[0]);
    kv_merge_iterator_destroy(NULL);
}

/* A child that fails after so many steps. */
static void failing_move(struct kv_iterator *iterator)
{
    iterator->is_valid = false;
    iterator->status = QUARRY_IO;
}

static void the_error_of_a_child_is_the_merges(void **state)
{
    static const struct kv_iterator_ops ops = {
        .first = failing_move, .last = failing_move, .next = failing_move, .fini = failing_move};
    struct kv_iterator failing = {.ops = &ops};
    struct kv_merge_iterator *merge = NULL;

    (void)state;
    comparator = &kv_bytewise;
    entry_count = 0;
    random_state = 3;
    make_child(0);
    children[1] = &failing;
    assert_int_equal(kv_merge_iterator_create(&rig_kv_memory, comparator, children, 2, &merge),
                     QUARRY_OK);
    struct kv_iterator *base = kv_merge_iterator_base(merge);
    base->ops->first(base);
    assert_false(base->is_valid);
    assert_int_equal(base->status, QUARRY_IO);
    base->ops->last(base);
    assert_int_equal(base->status, QUARRY_IO);
    kv_merge_iterator_destroy(merge);
    quarry_kv_batch_destroy(batches[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_merge_walks_over_all_entries_in_order, mem_rig_set_up,
                                        mem_rig_tear_down),
        cmocka_unit_test_setup_teardown(it_does_in_another_order, mem_rig_set_up,
                                        mem_rig_tear_down),
        cmocka_unit_test_setup_teardown(a_frugal_merge_does_with_one_child_awake, mem_rig_set_up,
                                        mem_rig_tear_down),
        cmocka_unit_test_setup_teardown(without_memory_children_stay_their_makers, mem_rig_set_up,
                                        mem_rig_tear_down),
        cmocka_unit_test_setup_teardown(the_error_of_a_child_is_the_merges, mem_rig_set_up,
                                        mem_rig_tear_down),
    };

    return cmocka_run_group_tests_name("kv_merge_iterator", tests, NULL, NULL);
}
