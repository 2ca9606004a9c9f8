/*
 * What is wrong with a slab is found: each invariant is broken, and mended again.
 */
/* First: parameters of their inline functions have the name of the slab under test. */
#include <slab/limbo.h>
#include <slab/page.h>
#include <slab/table.h>
#include <slab/thread.h>

#include "unit/slab/slab_rig.h"

static struct slab_class *class;
static struct slab_page *page;
static struct slab_magazine *magazine;

static int planted_set_up(void **state)
{
    (void)state;
    slab_begin(&(struct slab_setup){0});
    for (uint64_t key = 0; key < 1000; key++) {
        index_put(key, 128);
    }
    for (uint64_t key = 0; key < 1000; key += 2) {
        if (key % 4 == 0) {
            index_remove(key);
        } else {
            quarry_slab_retire(slab, index_slots[key].ref);
            index_slots[key].ref = QUARRY_REF_NIL;
        }
    }
    class = slab_class_of(slab, QUARRY_REF_CLASS(index_slots[1].ref));
    page = slab_page_of(slab, index_slots[1].ref);
    magazine = (*slab_thread_slot(slab))->magazine[class->id];
    return 0;
}

static int planted_tear_down(void **state)
{
    index_clear();
    return slab_tear_down(state);
}

static void assert_found(void)
{
    struct quarry_error error = {0};

    assert_int_equal(quarry_slab_validate(slab, &error), QUARRY_CORRUPT);
    assert_true(error.text[0] != '\0');
    assert_int_equal(quarry_slab_validate(slab, NULL), QUARRY_CORRUPT);
}

/* Adds one to a figure, has that found, and takes it away again. */
#define PLANT(figure)                                                                              \
    do {                                                                                           \
        slab_check();                                                                              \
        (figure)++;                                                                                \
        assert_found();                                                                            \
        (figure)--;                                                                                \
        slab_check();                                                                              \
    } while (0)

static void a_wrong_figure_of_a_class_is_found(void **state)
{
    (void)state;
    PLANT(class->page_count);
    PLANT(class->page_bytes);
    PLANT(class->cell_count);
    PLANT(class->free_count);
    PLANT(class->idle_count);
    PLANT(class->limbo_count);
    PLANT(class->worn_count);
    PLANT(class->leaving_count);
    PLANT(class->page_given_count);
}

static void a_wrong_figure_of_a_page_is_found(void **state)
{
    (void)state;
    PLANT(page->index);
    PLANT(page->class_id);
    PLANT(page->cell_bytes);
    PLANT(page->page_count);
    PLANT(page->free_count);
    PLANT(page->limbo_count);
    PLANT(page->worn_count);
    PLANT(page->fill);
}

static void a_bit_that_is_wrong_is_found(void **state)
{
    uint32_t cell = QUARRY_REF_CELL(index_slots[1].ref);

    (void)state;
    page->free_bits[cell / 64] ^= UINT64_C(1) << cell % 64;
    assert_found();
    page->free_bits[cell / 64] ^= UINT64_C(1) << cell % 64;
    page->limbo_bits[cell / 64] ^= UINT64_C(1) << cell % 64;
    assert_found();
    page->limbo_bits[cell / 64] ^= UINT64_C(1) << cell % 64;
    slab_check();
}

static void a_generation_that_is_wrong_is_found(void **state)
{
    uint32_t cell = QUARRY_REF_CELL(index_slots[1].ref);
    uint32_t generation = slab_generation(page, cell);

    (void)state;
    slab_generation_set(page, cell, generation + 1);
    assert_found();
    slab_generation_set(page, cell, generation);
    slab_check();
}

static void a_cell_with_two_places_is_found(void **state)
{
    (void)state;
    assert_true(slab_magazine_count(magazine) >= 2);
    struct slab_entry entry = magazine->top[0];
    magazine->top[0] = magazine->top[-1];
    assert_found();
    magazine->top[0] = entry;
    slab_check();
}

static void a_wrong_entry_of_a_thread_is_found(void **state)
{
    (void)state;
    PLANT(magazine->top->data);
    PLANT(magazine->top->ref);
    struct slab_limbo *limbo = &(*slab_thread_slot(slab))->limbo;
    assert_true(limbo->count > 0);
    PLANT(limbo->bytes);
    quarry_ref *retired = &slab_limbo_oldest(limbo)->ref;
    *retired += 2 * SLAB_REF_GENERATION_ONE;
    assert_found();
    *retired -= 2 * SLAB_REF_GENERATION_ONE;
    slab_check();
}

static void a_page_in_the_wrong_list_is_found(void **state)
{
    struct slab_page *first = NULL;
    uint32_t fill = 0;

    (void)state;
    for (; first == NULL && fill < SLAB_FILLS; fill++) {
        first = class->fill[fill];
    }
    fill--;
    assert_non_null(first);
    class->fill[fill] = first->next;
    assert_found();
    class->fill[fill] = first;
    uint32_t other = (fill + 1) % SLAB_FILLS;
    struct slab_page *others = class->fill[other];
    class->fill[fill] = first->next;
    class->fill[other] = first;
    assert_found();
    class->fill[other] = others;
    class->fill[fill] = first;
    slab_check();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, planted_set_up, planted_tear_down)
        TEST(a_wrong_figure_of_a_class_is_found), TEST(a_wrong_figure_of_a_page_is_found),
        TEST(a_bit_that_is_wrong_is_found),       TEST(a_generation_that_is_wrong_is_found),
        TEST(a_cell_with_two_places_is_found),    TEST(a_wrong_entry_of_a_thread_is_found),
        TEST(a_page_in_the_wrong_list_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
