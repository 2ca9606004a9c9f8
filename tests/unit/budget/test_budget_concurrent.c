/*
 * Accounts under many threads: charges add up, ceilings hold at every instant, accounts come and go
 * while others are asked, a limit falls by half under load, and forks find the tree whole.
 */
#include "unit/base/cmocka_all.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <budget/budget.h>

#include "unit/base/random.h"
#include "unit/os/child.h"

#define THREADS     4u
#define LIMIT_BYTES Q_MIB(64)

static struct quarry_memory *memory;
static struct quarry_lane *lane;
static _Atomic uint32_t is_over;
static _Atomic uint64_t step_count, failure_count;

static struct page_heap *heap_now(void)
{
    return (struct page_heap *)(void *)memory;
}

static int set_up(void **state)
{
    struct quarry_memory_options options = {.limit_bytes = LIMIT_BYTES};
    struct quarry_lane_options lane_options = {.name = "lane", .reserved_bytes = Q_GIB(1)};

    (void)state;
    assert_int_equal(quarry_memory_create(&options, &memory, NULL), QUARRY_OK);
    assert_int_equal(quarry_lane_create(memory, &lane_options, &lane, NULL), QUARRY_OK);
    atomic_store_relaxed_u32(&is_over, 0);
    atomic_store_relaxed_u64(&step_count, 0);
    atomic_store_relaxed_u64(&failure_count, 0);
    return 0;
}

static int tear_down(void **state)
{
    struct quarry_error error = {0};

    (void)state;
    if (quarry_memory_validate(memory, &error) != QUARRY_OK) {
        fail_msg("%s", error.text);
    }
    quarry_memory_destroy(memory);
    return 0;
}

static void check_tree(void)
{
    struct quarry_error error = {0};

    if (quarry_accounts_validate(memory, &error) != QUARRY_OK) {
        fail_msg("%s", error.text);
    }
}

static struct quarry_account *account_make(struct quarry_account_options options)
{
    struct quarry_account *account;

    assert_int_equal(quarry_account_create(memory, &options, &account, NULL), QUARRY_OK);
    return account;
}

static bool goes_on(void)
{
    (void)atomic_add_relaxed_u64(&step_count, 1);
    return !atomic_load_acquire_u32(&is_over);
}

static void start(pthread_t *thread, void *(*body)(void *), void *argument)
{
    assert_int_equal(pthread_create(thread, NULL, body, argument), 0);
}

static void stop(pthread_t *thread, uint32_t count)
{
    atomic_store_release_u32(&is_over, 1);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    }
    assert_true(atomic_load_relaxed_u64(&step_count) > 0);
    assert_int_equal(atomic_load_relaxed_u64(&failure_count), 0);
}

/* A condition of a thread that is not the test's: counted, and told at the end. */
static void must(bool holds)
{
    if (!holds) {
        (void)atomic_add_relaxed_u64(&failure_count, 1);
    }
}

/* ---- charges -------------------------------------------------------------------------------- */

#define PART_CEILING 10000u

static struct quarry_account *part, *tenant[THREADS];

static void *charge_and_take_back(void *argument)
{
    struct quarry_account *own = argument;
    uint64_t seed = (uintptr_t)argument, held = 0;

    while (goes_on()) {
        uint64_t bytes = random_u64(&seed) % 4000;
        if (quarry_account_charge(own, bytes) == QUARRY_OK) {
            held += bytes;
        }
        must(held <= PART_CEILING);
        if (random_u64(&seed) % 2 == 0) {
            quarry_account_uncharge(own, held);
            held = 0;
        }
    }
    quarry_account_uncharge(own, held);
    return NULL;
}

static void charges_of_many_threads_add_up_below_their_ceiling(void **state)
{
    (void)state;
    pthread_t thread[THREADS];
    struct quarry_account_state now;

    part = account_make(
        (struct quarry_account_options){.name = "part", .ceiling_bytes = PART_CEILING});
    for (uint32_t i = 0; i < THREADS; i++) {
        char name[] = {(char)('a' + i), '\0'};
        tenant[i] = account_make((struct quarry_account_options){.name = name, .parent = part});
        start(&thread[i], charge_and_take_back, tenant[i]);
    }
    while (atomic_load_relaxed_u64(&step_count) < 20000) {
        quarry_account_read(part, &now);
        assert_true(now.charged_bytes <= PART_CEILING);
    }
    stop(thread, THREADS);
    check_tree();
    quarry_account_read(part, &now);
    assert_int_equal(now.charged_bytes, 0);
    assert_in_range(now.peak_bytes, 1, PART_CEILING);
    for (uint32_t i = 0; i < THREADS; i++) {
        quarry_account_destroy(tenant[i]);
    }
    quarry_account_destroy(part);
}

/* ---- caches that are asked ------------------------------------------------------------------ */

#define CACHE_RUNS 1024u
#define RUN_PAGES  4u

/* Runs in a stack, under a lock of its own that no caller of the budget holds. */
struct cache {
    struct quarry_account *account;
    pthread_mutex_t mutex;
    void *run[CACHE_RUNS];
    uint32_t run_count;
    _Atomic uint64_t target_bytes;
};

static struct cache cache[THREADS];

static bool cache_pop(struct cache *c)
{
    void *run = NULL;

    pthread_mutex_lock(&c->mutex);
    if (c->run_count > 0) {
        run = c->run[--c->run_count];
    }
    pthread_mutex_unlock(&c->mutex);
    quarry_account_pages_free(c->account, lane, run);
    return run != NULL;
}

static bool cache_push(struct cache *c)
{
    void *run;
    bool is_full;

    if (quarry_account_pages_alloc(c->account, lane, RUN_PAGES, &run) != QUARRY_OK) {
        return false;
    }
    memset(run, 1, 64);
    pthread_mutex_lock(&c->mutex);
    is_full = c->run_count == CACHE_RUNS;
    if (!is_full) {
        c->run[c->run_count++] = run;
    }
    pthread_mutex_unlock(&c->mutex);
    if (is_full) {
        quarry_account_pages_free(c->account, lane, run);
    }
    return true;
}

static uint64_t cache_reclaim(void *argument, uint64_t wanted_bytes)
{
    struct cache *c = argument;
    uint64_t freed_bytes = 0;

    while (freed_bytes < wanted_bytes && cache_pop(c)) {
        freed_bytes += RUN_PAGES << PAGE_SHIFT;
    }
    return freed_bytes;
}

static void cache_value(void *argument, struct quarry_account_value *ret_value)
{
    const struct cache *c = argument;
    uint64_t index = (uint64_t)(c - cache);

    *ret_value = (struct quarry_account_value){100 * (index + 1), Q_MIB(1), 10, Q_MIB(1)};
}

static void cache_target(void *argument, uint64_t target_bytes)
{
    struct cache *c = argument;

    atomic_store_relaxed_u64(&c->target_bytes, target_bytes);
}

static void cache_begin(struct cache *c, const char *name)
{
    memset(c, 0, sizeof(*c));
    pthread_mutex_init(&c->mutex, NULL);
    c->account = account_make((struct quarry_account_options){.name = name,
                                                              .is_all_pages = true,
                                                              .reclaim = cache_reclaim,
                                                              .value = cache_value,
                                                              .set_target = cache_target,
                                                              .argument = c});
}

static void cache_end(struct cache *c)
{
    while (cache_pop(c)) {
    }
    quarry_account_destroy(c->account);
    pthread_mutex_destroy(&c->mutex);
}

/* Never full, always at the limit: each allocation makes another cache smaller. */
static void *fill(void *argument)
{
    struct cache *c = argument;
    uint64_t seed = (uintptr_t)argument;

    while (goes_on()) {
        if (!cache_push(c) || random_u64(&seed) % 8 == 0) {
            (void)cache_pop(c);
        }
    }
    return NULL;
}

static void *come_and_go(void *argument)
{
    struct cache *c = argument;

    while (goes_on()) {
        cache_begin(c, "guest");
        for (uint32_t i = 0; i < 20; i++) {
            (void)cache_push(c);
        }
        cache_end(c);
    }
    return NULL;
}

static void *read_states(void *argument)
{
    struct quarry_account_state states[16];

    (void)argument;
    while (goes_on()) {
        size_t count = quarry_memory_accounts(memory, states, 16);
        must(count >= 3 && count <= 5);
        must(states[0].charged_bytes <= LIMIT_BYTES);
    }
    return NULL;
}

static void accounts_come_and_go_while_others_are_asked(void **state)
{
    (void)state;
    pthread_t thread[4];

    cache_begin(&cache[0], "first");
    cache_begin(&cache[1], "second");
    start(&thread[0], fill, &cache[0]);
    start(&thread[1], fill, &cache[1]);
    start(&thread[2], come_and_go, &cache[2]);
    start(&thread[3], read_states, NULL);
    os_sleep_ns(700 * Q_MS_NS);
    stop(thread, 4);
    check_tree();
    cache_end(&cache[0]);
    cache_end(&cache[1]);
}

/* ---- a limit that falls --------------------------------------------------------------------- */

/* Somebody without an account who needs memory all the time, and little of it. */
static void *allocate_and_free(void *argument)
{
    const uint32_t *owner = argument;

    while (goes_on()) {
        void *run[4] = {NULL};
        for (uint32_t i = 0; i < 4; i++) {
            (void)quarry_pages_alloc(lane, *owner, 1 + i, &run[i]);
        }
        for (uint32_t i = 0; i < 4; i++) {
            quarry_pages_free(lane, run[i]);
        }
    }
    return NULL;
}

/*
 * Within two seconds, if there are processors: one whose threads have none meanwhile is asked
 * again. What the caches give up between two calls is not theirs again before they are told.
 */
static void assert_limit_falls_to(uint64_t limit_bytes)
{
    enum quarry_status status = QUARRY_NO_MEMORY;
    struct quarry_ledger ledger;

    for (uint32_t i = 0; i < 10 && status == QUARRY_NO_MEMORY; i++) {
        status = quarry_memory_set_limit(memory, limit_bytes);
    }
    assert_int_equal(status, QUARRY_OK);
    (void)quarry_memory_ledger(memory, &ledger, NULL, 0);
    assert_int_equal(ledger.limit_bytes, limit_bytes);
    assert_true(ledger.committed_bytes <= limit_bytes);
}

static uint64_t sum_of_targets(void)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < 2; i++) {
        sum += atomic_load_relaxed_u64(&cache[i].target_bytes);
    }
    return sum;
}

static void a_limit_falls_by_half_under_load(void **state)
{
    (void)state;
    static uint32_t owner;
    pthread_t thread[3];

    assert_int_equal(quarry_memory_owner(memory, "writer", &owner), QUARRY_OK);
    cache_begin(&cache[0], "first");
    cache_begin(&cache[1], "second");
    for (uint32_t i = 0; i < CACHE_RUNS / 2; i++) {
        assert_true(cache_push(&cache[0]) && cache_push(&cache[1]));
    }
    start(&thread[0], fill, &cache[0]);
    start(&thread[1], fill, &cache[1]);
    start(&thread[2], allocate_and_free, &owner);
    assert_limit_falls_to(LIMIT_BYTES / 2);
    assert_limit_falls_to(LIMIT_BYTES / 4);
    /* Where nobody had to be asked, the next tick tells them. */
    for (uint32_t i = 0; sum_of_targets() > LIMIT_BYTES / 4; i++) {
        assert_true(i < 60000);
        os_sleep_ns(1 * Q_MS_NS);
    }
    os_sleep_ns(50 * Q_MS_NS);
    assert_int_equal(quarry_memory_set_limit(memory, LIMIT_BYTES), QUARRY_OK);
    stop(thread, 3);
    check_tree();
    cache_end(&cache[0]);
    cache_end(&cache[1]);
}

/* ---- telling targets ------------------------------------------------------------------------ */

static _Atomic uint32_t teller_count;
static _Atomic uint64_t last_told_bytes;

/* Takes its time, so that others want to tell meanwhile. */
static void hear_slowly(void *argument, uint64_t target_bytes)
{
    (void)argument;
    must(atomic_add_relaxed_u32(&teller_count, 1) == 0);
    os_sleep_ns(target_bytes % 3 * 100 * Q_US_NS);
    atomic_store_relaxed_u64(&last_told_bytes, target_bytes);
    (void)atomic_sub_relaxed_u32(&teller_count, 1);
}

static void *follow_the_limit(void *argument)
{
    while (goes_on()) {
        budget_arbiter_follow_limit(argument);
    }
    return NULL;
}

static void the_last_target_is_told_last_and_by_one_thread_at_a_time(void **state)
{
    (void)state;
    pthread_t thread[2];
    struct quarry_account_state now;
    struct quarry_account *account = account_make((struct quarry_account_options){
        .name = "a",
        .reclaim = cache_reclaim,
        .value = cache_value,
        .set_target = hear_slowly,
        .argument = &cache[0],
    });

    start(&thread[0], follow_the_limit, budget_of(heap_now()));
    start(&thread[1], follow_the_limit, budget_of(heap_now()));
    for (uint64_t i = 0; i < 200; i++) {
        assert_int_equal(quarry_memory_set_limit(memory, LIMIT_BYTES / 2 + (i << 12)), QUARRY_OK);
        os_sleep_ns(1 * Q_MS_NS);
    }
    stop(thread, 2);
    quarry_account_read(account, &now);
    for (uint32_t i = 0; atomic_load_relaxed_u64(&last_told_bytes) != now.target_bytes; i++) {
        assert_true(i < 60000); /* the tick's thread may have the last word still to say */
        os_sleep_ns(1 * Q_MS_NS);
        quarry_account_read(account, &now);
    }
    quarry_account_destroy(account);
}

/* ---- ending while asked --------------------------------------------------------------------- */

static _Atomic uint32_t is_inside, may_leave, has_left;

static uint64_t stay(void *argument, uint64_t wanted_bytes)
{
    (void)wanted_bytes;
    atomic_store_release_u32(&is_inside, 1);
    while (!atomic_load_acquire_u32(&may_leave)) {
        os_yield();
    }
    os_sleep_ns(5 * Q_MS_NS);
    quarry_account_uncharge(*(struct quarry_account **)argument, 100);
    atomic_store_release_u32(&has_left, 1);
    return 100;
}

static void *ask(void *argument)
{
    (void)argument;
    (void)budget_ask(budget_of(heap_now()), &budget_of(heap_now())->root, 100);
    return NULL;
}

static void an_account_ends_when_nobody_is_inside_its_functions(void **state)
{
    (void)state;
    static struct quarry_account *account;
    pthread_t thread;

    account = account_make(
        (struct quarry_account_options){.name = "a", .reclaim = stay, .argument = &account});
    assert_int_equal(quarry_account_charge(account, 100), QUARRY_OK);
    start(&thread, ask, NULL);
    while (!atomic_load_acquire_u32(&is_inside)) {
        os_yield();
    }
    atomic_store_release_u32(&may_leave, 1);
    quarry_account_destroy(account);
    assert_int_equal(atomic_load_acquire_u32(&has_left), 1);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static void *add_and_remove_listeners(void *argument)
{
    while (goes_on()) {
        must(quarry_memory_add_pressure_listener(memory, argument, NULL) == QUARRY_OK);
        quarry_memory_remove_pressure_listener(memory, argument, NULL);
    }
    return NULL;
}

static void hear(void *argument, enum quarry_pressure level)
{
    must(argument == NULL && level <= QUARRY_PRESSURE_CRITICAL);
}

static void listeners_come_and_go_while_the_level_changes(void **state)
{
    (void)state;
    pthread_t thread;
    struct quarry_account *account = account_make((struct quarry_account_options){.name = "a"});

    start(&thread, add_and_remove_listeners, (void *)hear);
    for (uint32_t i = 0; i < 60; i++) {
        /* Refused: the level rises at the next tick. */
        assert_int_equal(quarry_account_charge(account, LIMIT_BYTES * 2), QUARRY_NO_MEMORY);
        os_sleep_ns(5 * Q_MS_NS);
    }
    stop(&thread, 1);
    quarry_account_destroy(account);
}

/* ---- forks ---------------------------------------------------------------------------------- */

static void use_in_child(void *argument)
{
    struct quarry_account *account = argument, *another;
    struct quarry_account_options options = {.name = "born-in-child"};
    void *run;

    CHILD_CHECK(quarry_account_charge(account, 100) == QUARRY_OK);
    quarry_account_uncharge(account, 100);
    CHILD_CHECK(quarry_account_create(memory, &options, &another, NULL) == QUARRY_OK);
    CHILD_CHECK(quarry_account_pages_alloc(another, lane, 4, &run) == QUARRY_OK);
    CHILD_CHECK(quarry_memory_accounts(memory, NULL, 0) >= 4);
    quarry_account_pages_free(another, lane, run);
    quarry_account_destroy(another);
}

static void a_child_of_fork_finds_the_tree_whole(void **state)
{
    (void)state;
    pthread_t thread[3];
    struct quarry_account *own = account_make((struct quarry_account_options){.name = "own"});

    cache_begin(&cache[0], "first");
    start(&thread[0], fill, &cache[0]);
    start(&thread[1], come_and_go, &cache[2]);
    start(&thread[2], read_states, NULL);
    for (uint32_t i = 0; i < 30; i++) {
        child_assert_succeeds(use_in_child, own);
    }
    stop(thread, 3);
    check_tree();
    cache_end(&cache[0]);
    quarry_account_destroy(own);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(charges_of_many_threads_add_up_below_their_ceiling),
        TEST(accounts_come_and_go_while_others_are_asked),
        TEST(a_limit_falls_by_half_under_load),
        TEST(the_last_target_is_told_last_and_by_one_thread_at_a_time),
        TEST(an_account_ends_when_nobody_is_inside_its_functions),
        TEST(listeners_come_and_go_while_the_level_changes),
        TEST(a_child_of_fork_finds_the_tree_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
