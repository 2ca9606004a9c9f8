/*
 * The validator: it finds what is planted, names it, and is content again when it is taken back.
 */
#include "unit/mem/mem_rig.h"

#include <string.h>

/* Objects of spans that are current, partial and full, and a large one. */
static void *object[600];
static void *large;
static struct mem_span *current, *full;

static int set_up(void **state)
{
    mem_set_up(state);
    for (size_t i = 0; i < COUNT_OF(object); i++) {
        object[i] = take(objects.general_pool, 48);
    }
    large = take(objects.general_pool, 100000);
    current = span_of(object[COUNT_OF(object) - 1]);
    full = span_of(object[0]);
    assert_int_equal(mem_span_state(current), MEM_SPAN_CURRENT);
    assert_int_equal(mem_span_state(full), MEM_SPAN_FULL);
    return 0;
}

static int tear_down(void **state)
{
    for (size_t i = 0; i < COUNT_OF(object); i++) {
        mem_free(&objects, object[i]);
    }
    mem_free(&objects, large);
    return mem_tear_down(state);
}

static void assert_found(const char *words)
{
    struct quarry_error error = {0};

    assert_int_equal(mem_heap_validate(&objects, &error), QUARRY_CORRUPT);
    if (strstr(error.text, words) == NULL) {
        fail_msg("'%s' is not in: %s", words, error.text);
    }
    assert_int_equal(mem_heap_validate(&objects, NULL), QUARRY_CORRUPT);
}

static void a_sound_heap_is_sound(void **state)
{
    struct quarry_error error = {0};

    (void)state;
    assert_int_equal(mem_heap_validate(&objects, &error), QUARRY_OK);
    assert_int_equal(mem_heap_validate_child(&objects, &error), QUARRY_OK);
}

static void bits_that_cannot_be_are_found(void **state)
{
    uint64_t last = mem_span_words(full) - 1;
    _Atomic uint64_t *free = mem_span_free(full, last), *remote = mem_span_remote(full, last);
    uint64_t before = atomic_load_relaxed_u64(free);

    (void)state;
    atomic_store_relaxed_u64(free, before | (uint64_t)1 << 63);
    assert_found("beyond its last object");
    atomic_store_relaxed_u64(free, before | 1);
    atomic_store_relaxed_u64(remote, 1);
    assert_found("free twice");
    atomic_store_relaxed_u64(free, before);
    assert_found("in no mailbox");
    atomic_store_relaxed_u64(remote, 0);
    mem_span_cold(full)->fresh = 1;
    assert_found("fresh");
    mem_span_cold(full)->fresh = 0;
}

static void a_count_that_is_off_is_found(void **state)
{
    int32_t before = atomic_load_relaxed_i32(&full->left);

    (void)state;
    atomic_store_relaxed_i32(&full->left, before + 1);
    assert_found("another number of frees");
    atomic_store_relaxed_i32(&full->left, before);
}

static void a_span_in_the_wrong_list_is_found(void **state)
{
    struct mem_bins *bins = atomic_load_acquire_ptr(&mem_span_cold(full)->bins);

    (void)state;
    mem_bins_unlink(bins, &bins->full[mem_span_class(full)], full);
    assert_found("in no list and no bin");
    mem_bins_link(bins, &bins->partial[mem_span_class(full)], full);
    assert_found("does not belong in its list");
    mem_bins_unlink(bins, &bins->partial[mem_span_class(full)], full);
    mem_bins_link(bins, &bins->full[mem_span_class(full)], full);
    mem_span_set_state(full, MEM_SPAN_CURRENT);
    assert_found("does not belong in its list");
    mem_span_set_state(full, MEM_SPAN_FULL);
}

static void a_span_with_another_owner_is_found(void **state)
{
    uintptr_t before = atomic_load_relaxed_uptr(&full->owner);

    (void)state;
    atomic_store_relaxed_uptr(&full->owner, 0);
    assert_found("its owner");
    atomic_store_relaxed_uptr(&full->owner, before);
}

static void an_object_that_its_bin_has_and_is_free_is_found(void **state)
{
    struct mem_bins *bins = atomic_load_acquire_ptr(&mem_span_cold(current)->bins);
    struct mem_bin *bin = &bins->bin[mem_span_class(current)];
    _Atomic uint64_t *free = mem_span_free(current, bin->word);
    uint64_t before = atomic_load_relaxed_u64(free);

    (void)state;
    assert_true(bin->mask != 0);
    atomic_store_relaxed_u64(free, before | (bin->mask & (0 - bin->mask)));
    assert_found("its bin holds what is free");
    atomic_store_relaxed_u64(free, before);
    bin->base += 16;
    assert_found("its bin holds what it does not have");
    bin->base -= 16;
}

static void entries_of_the_wrong_span_are_found(void **state)
{
    const char *start = mem_span_cold(full)->start;

    (void)state;
    mem_map_set(&objects.map, start, 1, mem_map_ref(&objects.map, current));
    assert_found("the map has it where it is not");
    mem_map_set(&objects.map, start, 1, 0);
    assert_found("not on the map");
    mem_map_set(&objects.map, start, 1, mem_map_ref(&objects.map, full));
    mem_map_set(&objects.map, (char *)large + PAGE_BYTES, 1, mem_map_ref(&objects.map, full));
    assert_found("inside a large object");
    mem_map_set(&objects.map, (char *)large + PAGE_BYTES, 1, 0);
}

static void pages_that_no_object_has_are_found(void **state)
{
    void *lost = take_pages(objects.general->lane, objects.general_pool->owner, 3);
    struct quarry_error error = {0};

    (void)state;
    assert_found("in the ledger");
    assert_int_equal(mem_heap_validate_child(&objects, &error), QUARRY_OK);
    page_free(objects.general->lane, lost);
}

static void a_large_object_that_was_not_counted_is_found(void **state)
{
    (void)state;
    (void)atomic_add_relaxed_i64(&objects.general_pool->central->large_count, 1);
    assert_found("other large objects");
    (void)atomic_add_relaxed_i64(&objects.general_pool->central->large_count, -1);
}

static void records_and_mail_that_lead_nowhere_are_found(void **state)
{
    struct mem_span *span = mem_map_take_record(&objects.map, 30);

    (void)state;
    assert_non_null(span);
    assert_found("in no list of unused ones");
    mem_map_give_record(&objects.map, span);
    atomic_store_relaxed_u32(&mem_span_cold(full)->mail, MEM_MAIL_END);
    assert_found("in no mailbox");
    atomic_store_relaxed_u32(&mem_span_cold(full)->mail, 0);
}

int main(void)
{
#define on_a_heap(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        on_a_heap(a_sound_heap_is_sound),
        on_a_heap(bits_that_cannot_be_are_found),
        on_a_heap(a_count_that_is_off_is_found),
        on_a_heap(a_span_in_the_wrong_list_is_found),
        on_a_heap(a_span_with_another_owner_is_found),
        on_a_heap(an_object_that_its_bin_has_and_is_free_is_found),
        on_a_heap(entries_of_the_wrong_span_are_found),
        on_a_heap(pages_that_no_object_has_are_found),
        on_a_heap(a_large_object_that_was_not_counted_is_found),
        on_a_heap(records_and_mail_that_lead_nowhere_are_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
