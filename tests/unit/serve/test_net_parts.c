/*
 * The parts of a net alone: slots and ids, mailboxes, deadlines, what a connection is left with.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <string.h>

#include <quarry/memory.h>

#include <serve/buffers.h>
#include <serve/deadline.h>
#include <serve/mailbox.h>
#include <serve/slots.h>

#include "unit/base/random.h"

static struct serve_memory memory;

static int set_up(void **state)
{
    struct quarry_memory_options options = {.limit_bytes = Q_MIB(64)};
    struct quarry_account_options account = {.name = "net", .is_all_pages = true};
    struct quarry_lane_options lane = {.name = "net"};

    (void)state;
    assert_int_equal(quarry_memory_create(&options, &memory.memory, NULL), QUARRY_OK);
    assert_int_equal(quarry_account_create(memory.memory, &account, &memory.account, NULL),
                     QUARRY_OK);
    assert_int_equal(quarry_lane_create(memory.memory, &lane, &memory.lane, NULL), QUARRY_OK);
    return 0;
}

static int tear_down(void **state)
{
    struct quarry_account_state account;

    (void)state;
    quarry_account_read(memory.account, &account);
    assert_int_equal(account.charged_bytes, 0); /* everything was given back */
    quarry_lane_destroy(memory.lane);
    quarry_memory_destroy(memory.memory);
    return 0;
}

/* ---- slots ---------------------------------------------------------------------------------- */

struct thing { /* stands for a connection */
    uint64_t id;
    char filling[480];
};

static void ids_find_what_they_name_and_nothing_else(void **state)
{
    enum { COUNT = 3000 };
    static uint64_t ids[COUNT];
    struct serve_slots slots;
    uint64_t random = 99;

    (void)state;
    assert_true(serve_slots_init(&slots, &memory, 7, sizeof(struct thing)));
    memset(ids, 0, sizeof(ids));
    for (unsigned i = 0; i < 40000; i++) {
        unsigned n = (unsigned)(random_u64(&random) % COUNT);
        if (ids[n] == 0) {
            struct thing *thing = (void *)serve_slots_take(&slots, &ids[n]);
            assert_non_null(thing);
            for (size_t j = 0; j < sizeof(*thing); j++) {
                assert_int_equal(((char *)thing)[j], 0); /* a slot comes all zero */
            }
            memset(thing, 0x5a, sizeof(*thing));
            thing->id = ids[n];
        } else {
            struct thing *thing = (void *)serve_slots_at(&slots, ids[n]);
            assert_int_equal(thing->id, ids[n]);
            serve_slots_give(&slots, ids[n]);
            thing = (void *)serve_slots_at(&slots, ids[n]);
            assert_true(thing == NULL || thing->id != ids[n]);
            ids[n] = 0;
        }
    }
    for (unsigned n = 0; n < COUNT; n++) {
        if (ids[n] != 0) {
            assert_int_equal(((struct thing *)(void *)serve_slots_at(&slots, ids[n]))->id, ids[n]);
            serve_slots_give(&slots, ids[n]);
        }
    }
    serve_slots_fini(&slots);
}

static void an_id_is_never_given_out_twice(void **state)
{
    struct serve_slots slots;
    uint64_t last = 0;

    (void)state;
    assert_true(serve_slots_init(&slots, &memory, 255, 64));
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t id = 0;
        assert_non_null(serve_slots_take(&slots, &id));
        assert_true(id > last);
        assert_int_equal(id >> SERVE_ID_SLOT_BITS & 255, 255);
        last = id;
        serve_slots_give(&slots, id);
    }
    serve_slots_fini(&slots);
}

static void slots_in_use_can_be_walked(void **state)
{
    struct serve_slots slots;
    uint64_t ids[500];
    unsigned found = 0;

    (void)state;
    assert_true(serve_slots_init(&slots, &memory, 0, sizeof(struct thing)));
    for (unsigned i = 0; i < 500; i++) {
        ((struct thing *)(void *)serve_slots_take(&slots, &ids[i]))->id = 1;
    }
    for (unsigned i = 0; i < 500; i += 2) {
        serve_slots_give(&slots, ids[i]);
    }
    for (uint32_t i = 0; i < serve_slots_count(&slots); i++) {
        struct thing *thing = (void *)serve_slots_by_index(&slots, i);
        found += thing != NULL && thing->id == 1;
    }
    assert_int_equal(found, 250);
    for (unsigned i = 1; i < 500; i += 2) {
        serve_slots_give(&slots, ids[i]);
    }
    serve_slots_fini(&slots);
}

static void no_memory_for_a_slot_is_told(void **state)
{
    struct serve_slots slots;
    static uint64_t ids[200000];
    unsigned count = 0;

    (void)state;
    assert_true(serve_slots_init(&slots, &memory, 0, sizeof(struct thing)));
    while (serve_slots_take(&slots, &ids[count]) != NULL) {
        count++;
    }
    assert_in_range(count, 90000, 140000); /* 64 MiB of 512 bytes each */
    serve_slots_give(&slots, ids[0]);
    assert_non_null(serve_slots_take(&slots, &ids[0]));
    for (unsigned i = 0; i < count; i++) {
        serve_slots_give(&slots, ids[i]);
    }
    serve_slots_fini(&slots);
}

/* ---- mailboxes ------------------------------------------------------------------------------ */

static void post_nothing(struct serve_connection *connection, void *argument)
{
    (void)connection, (void)argument;
}

static void messages_come_in_order_however_many(void **state)
{
    struct serve_mailbox mailbox;
    struct serve_message message = {.function = post_nothing};
    uint64_t put = 0, taken = 0, random = 5;

    (void)state;
    assert_int_equal(serve_mailbox_init(&mailbox, &memory), QUARRY_OK);
    for (unsigned round = 0; round < 60; round++) {
        for (uint64_t i = random_u64(&random) % 3000; i > 0; i--) {
            message.connection_id = put++;
            assert_true(serve_mailbox_post(&mailbox, &message));
        }
        for (uint64_t i = random_u64(&random) % 3000; i > 0; i--) {
            if (serve_mailbox_take(&mailbox, &message)) {
                assert_int_equal(message.connection_id, taken++);
            } else {
                assert_int_equal(taken, put);
            }
        }
    }
    serve_mailbox_close(&mailbox);
    assert_false(serve_mailbox_post(&mailbox, &message));
    while (serve_mailbox_take(&mailbox, &message)) {
        assert_int_equal(message.connection_id, taken++);
    }
    assert_int_equal(taken, put);
    serve_mailbox_fini(&mailbox);
}

enum { POSTERS = 4, POSTS = 5000 };
static struct serve_mailbox shared;

static void *poster(void *argument)
{
    struct serve_message message = {.function = post_nothing, .argument = argument};

    for (uint64_t i = 0; i < POSTS; i++) {
        message.connection_id = i;
        if (!serve_mailbox_post(&shared, &message)) {
            return NULL;
        }
    }
    return argument;
}

static void each_thread_s_messages_come_in_its_order(void **state)
{
    pthread_t threads[POSTERS];
    uint64_t next[POSTERS] = {0}, total = 0;
    struct serve_message message;

    (void)state;
    assert_int_equal(serve_mailbox_init(&shared, &memory), QUARRY_OK);
    for (uintptr_t i = 0; i < POSTERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, poster, (void *)(i + 1)), 0);
    }
    while (total < (uint64_t)POSTERS * POSTS) {
        if (serve_mailbox_take(&shared, &message)) {
            uintptr_t from = (uintptr_t)message.argument - 1;
            assert_int_equal(message.connection_id, next[from]++);
            total++;
        }
    }
    for (uintptr_t i = 0; i < POSTERS; i++) {
        void *result = NULL;
        (void)pthread_join(threads[i], &result);
        assert_ptr_equal(result, (void *)(i + 1));
    }
    serve_mailbox_fini(&shared);
}

/* ---- deadlines ------------------------------------------------------------------------------ */

static void deadlines_pass_in_order_and_only_then(void **state)
{
    enum { COUNT = 200 };
    struct serve_deadlines deadlines;
    static struct serve_deadline entries[COUNT];
    struct serve_limits limits = {0};
    uint64_t random = 17, now_ns = 0, expired = 0;

    (void)state;
    serve_limits_complete(&limits, Q_GIB(1));
    limits.idle_timeout_ns = 5 * Q_SECOND_NS;
    serve_deadlines_init(&deadlines);
    memset(entries, 0, sizeof(entries));
    for (unsigned i = 0; i < 20000; i++) {
        struct serve_deadline *entry = &entries[random_u64(&random) % COUNT];
        now_ns += random_u64(&random) % (100 * Q_MS_NS);
        serve_deadline_begin(&deadlines, entry,
                             (enum serve_deadline_kind)(random_u64(&random) % SERVE_DEADLINE_KINDS),
                             now_ns, i);
        struct serve_deadline *due;
        while ((due = serve_deadlines_due(&deadlines, &limits, now_ns)) != NULL) {
            assert_true(now_ns - due->since_ns >= serve_deadline_duration_ns(&limits, due->kind));
            serve_deadline_begin(&deadlines, due, SERVE_DEADLINE_NONE, 0, 0);
            expired++;
        }
        for (unsigned j = 0; j < COUNT; j++) { /* none was left behind */
            assert_true(entries[j].kind == SERVE_DEADLINE_NONE ||
                        now_ns - entries[j].since_ns <
                            serve_deadline_duration_ns(&limits, entries[j].kind));
        }
    }
    assert_true(expired > 100);
}

static void a_limit_of_none_never_passes(void **state)
{
    struct serve_deadlines deadlines;
    struct serve_deadline entry = {0};
    struct serve_limits limits = {.line_deadline_ns = SERVE_NO_LIMIT};

    (void)state;
    serve_limits_complete(&limits, Q_GIB(1));
    serve_deadlines_init(&deadlines);
    serve_deadline_begin(&deadlines, &entry, SERVE_DEADLINE_LINE, 5, 0);
    assert_null(serve_deadlines_due(&deadlines, &limits, UINT64_MAX - 1));
    serve_deadline_begin(&deadlines, &entry, SERVE_DEADLINE_BODY, 5, 0);
    assert_ptr_equal(serve_deadlines_due(&deadlines, &limits, UINT64_MAX - 1), &entry);
}

/* ---- input ---------------------------------------------------------------------------------- */

static void input_keeps_its_bytes_while_it_grows(void **state)
{
    static char bytes[300000];
    struct serve_input input = {0};
    size_t count = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (char)(i * 31 % 251);
    }
    for (size_t more = 1; count + more < sizeof(bytes); more = more * 3 / 2 + 1) {
        assert_true(serve_input_set(&memory, &input, bytes, count + more, count));
        count += more;
        assert_memory_equal(input.base + input.start, bytes, count);
    }
    for (size_t gone = 999; gone + 1000 < count; gone += 999) { /* a door consumes at the front */
        input.start += 999;
        input.count -= 999;
        assert_true(serve_input_reserve(&memory, &input, 500));
        assert_int_equal(input.count, count - gone);
        assert_memory_equal(input.base + input.start, bytes + gone, input.count);
    }
    serve_input_clear(&memory, &input);
    assert_null(input.base);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(ids_find_what_they_name_and_nothing_else),
        TEST(an_id_is_never_given_out_twice),
        TEST(slots_in_use_can_be_walked),
        TEST(no_memory_for_a_slot_is_told),
        TEST(messages_come_in_order_however_many),
        TEST(each_thread_s_messages_come_in_its_order),
        TEST(deadlines_pass_in_order_and_only_then),
        TEST(a_limit_of_none_never_passes),
        TEST(input_keeps_its_bytes_while_it_grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
