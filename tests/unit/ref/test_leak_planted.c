/*
 * A thousand leaks of four kinds from twenty functions, planted by two threads among a hundred
 * thousand acquisitions that are released: each is found, with its function in its stack, and
 * nothing else is.
 */
#include "unit/base/cmocka_all.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <os/os.h>
#include <ref/ref.h>

#include "unit/base/random.h"

#define THREADS      2u
#define LEAKS        1000u /* of all threads */
#define PAIRS        100000u
#define LEDGERS      2u
#define KEPT         37u /* that a thread holds at a time before it releases one of them */
#define FUNCTION_MAX 512u

/* As long as any of the functions below may be. */
typedef uint32_t acquire_function(struct ref_leaks *leaks, const char *kind, uint64_t object);

/* Twenty places that acquire, all different to the linker. */
#define PLACE(n)                                                                                   \
    Q_NOINLINE static uint32_t acquire_##n(struct ref_leaks *leaks, const char *kind,              \
                                           uint64_t object)                                        \
    {                                                                                              \
        uint32_t token = ref_leak_note(leaks, kind, object + (n) - (n));                           \
        __asm__ volatile("" ::"i"(n)); /* no two are folded into one */                            \
        return token;                                                                              \
    }
PLACE(0)
PLACE(1)
PLACE(2)
PLACE(3)
PLACE(4)
PLACE(5)
PLACE(6)
PLACE(7)
PLACE(8)
PLACE(9)
PLACE(10)
PLACE(11)
PLACE(12)
PLACE(13)
PLACE(14)
PLACE(15)
PLACE(16)
PLACE(17)
PLACE(18)
PLACE(19)

static acquire_function *const place[] = {
    acquire_0,  acquire_1,  acquire_2,  acquire_3,  acquire_4,  acquire_5,  acquire_6,
    acquire_7,  acquire_8,  acquire_9,  acquire_10, acquire_11, acquire_12, acquire_13,
    acquire_14, acquire_15, acquire_16, acquire_17, acquire_18, acquire_19,
};
#define PLACES (sizeof(place) / sizeof(place[0]))

static const char *const kind[] = {"block", "arena", "handle", "snapshot"};
#define KINDS (sizeof(kind) / sizeof(kind[0]))

static struct quarry_memory *memory;
static struct ref_leaks *ledger[LEDGERS];

/* ---- planting ------------------------------------------------------------------------------- */

/* A leak's object is its number + 1; what is released has others. */
#define OBJECT_RELEASED UINT64_C(0x100000)

static struct {
    uint32_t place, kind, ledger;
    uint32_t found_count;
} planted[LEAKS];

struct held {
    uint32_t token, ledger;
};

/* Acquires something that is released later, and releases what was in its place. */
static void take_turn(struct held *held, uint64_t random)
{
    ref_leak_forget(ledger[held->ledger], held->token);
    held->ledger = (uint32_t)(random >> 8) % LEDGERS;
    held->token = place[(random >> 16) % PLACES](ledger[held->ledger], kind[(random >> 24) % KINDS],
                                                 OBJECT_RELEASED + random % 1000);
}

static void plant(uint32_t number, uint64_t random)
{
    planted[number].place = (uint32_t)(number % PLACES);
    planted[number].kind = (uint32_t)(random >> 8) % KINDS;
    planted[number].ledger = (uint32_t)(random >> 16) % LEDGERS;
    uint32_t token = place[planted[number].place](ledger[planted[number].ledger],
                                                  kind[planted[number].kind], number + 1);
    Q_ASSERT(token != 0);
}

static void *acquire_and_leak(void *argument)
{
    uint32_t thread = (uint32_t)(uintptr_t)argument;
    struct held held[KEPT] = {{0, 0}};
    uint64_t random = thread + 1;
    uint32_t leak = thread;

    for (uint32_t i = 0; i < PAIRS / THREADS; i++) {
        take_turn(&held[random_u64(&random) % KEPT], random_u64(&random));
        if (i % (PAIRS / LEAKS) == 3) {
            plant(leak, random_u64(&random));
            leak += THREADS;
        }
    }
    for (uint32_t i = 0; i < KEPT; i++) {
        ref_leak_forget(ledger[held[i].ledger], held[i].token);
    }
    Q_ASSERT(leak == LEAKS + thread);
    return NULL;
}

/* ---- finding -------------------------------------------------------------------------------- */

/* The place whose code a return address lies in: the one that begins last before it. */
static uint32_t place_of(uint64_t pc)
{
    uint64_t nearest = 0;
    uint32_t found = PLACES;

    for (uint32_t i = 0; i < PLACES; i++) {
        uint64_t start = (uint64_t)(uintptr_t)place[i];
        if (pc > start && pc - start < FUNCTION_MAX && start > nearest) {
            nearest = start;
            found = i;
        }
    }
    return found;
}

static void check_leak(void *argument, const struct ref_leak *leak)
{
    (void)argument;
    assert_in_range(leak->object, 1, LEAKS); /* none that was released */
    uint32_t number = (uint32_t)leak->object - 1;
    planted[number].found_count++;
    assert_string_equal(leak->kind, kind[planted[number].kind]);
    assert_string_equal(leak->owner, planted[number].ledger == 0 ? "first" : "second");
    assert_true(leak->pc_count >= 2);
    assert_int_equal(place_of(leak->pcs[0]), planted[number].place);
    assert_in_range(leak->age_ns, 0, 600 * Q_SECOND_NS);
}

static void every_planted_leak_is_found_and_nothing_else(void **state)
{
    (void)state;
    pthread_t thread[THREADS];

    for (uintptr_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, acquire_and_leak, (void *)i), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    }
    assert_int_equal(ref_leaks_outstanding(ledger[0]) + ref_leaks_outstanding(ledger[1]), LEAKS);
    ref_leak_set_handler(check_leak, NULL);
    assert_int_equal(ref_leaks_report(ledger[0]) + ref_leaks_report(ledger[1]), LEAKS);
    ref_leak_set_handler(NULL, NULL);
    for (uint32_t i = 0; i < LEAKS; i++) {
        assert_int_equal(planted[i].found_count, 1);
    }
    assert_int_equal(ref_leaks_unrecorded(ledger[0]) + ref_leaks_unrecorded(ledger[1]), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_planted_leak_is_found_and_nothing_else),
    };
    struct quarry_memory_options options = {.limit_bytes = Q_MIB(64), .has_no_thread = true};

    Q_ASSERT(quarry_memory_create(&options, &memory, NULL) == QUARRY_OK);
    for (uint32_t i = 0; i < LEDGERS; i++) {
        Q_ASSERT(ref_leaks_create((struct page_heap *)(void *)memory, i == 0 ? "first" : "second",
                                  &ledger[i]) == QUARRY_OK);
    }
    ref_leak_set_every(1);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    for (uint32_t i = 0; i < LEDGERS; i++) {
        ref_leaks_destroy(ledger[i]);
    }
    quarry_memory_destroy(memory);
    return failed;
}
