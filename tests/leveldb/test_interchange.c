/*
 * Databases that LevelDB and Quarry open in turn: each writes, deletes and compacts at random, and
 * each time all of it is compared with a model, forwards, backwards and by key. Orders, filters,
 * sizes and compression differ between the databases; what a turn does not between the libraries.
 */
#include "unit/base/cmocka_all.h"

#include <ftw.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine.h"
#include "unit/base/rounds.h"

/* Keys are numbers up to here, written in one of several ways. */
#define NUMBERS 3000u
#define TURNS   ROUNDS(100u, 40u)

static struct engine engines[2];
static char folder[64];

/* ---- chance --------------------------------------------------------------------------------- */

static uint64_t dice;

static uint32_t up_to(uint32_t count)
{
    uint64_t z = (dice += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)((z ^ (z >> 31)) % count);
}

/* ---- orders and filters --------------------------------------------------------------------- */

static void nothing(void *state)
{
    (void)state;
}

/* By number: "7", "007" and "0000007" are one key. */
static int compare_numbers(void *state, const char *a, size_t a_bytes, const char *b,
                           size_t b_bytes)
{
    char x[32], y[32];

    (void)state;
    snprintf(x, sizeof(x), "%.*s", (int)a_bytes, a);
    snprintf(y, sizeof(y), "%.*s", (int)b_bytes, b);
    return (atol(x) > atol(y)) - (atol(x) < atol(y));
}

static const char *name_numbers(void *state)
{
    (void)state;
    return "test.Numbers";
}

/* A filter of 128 bits, by the number that a key is. */
static uint32_t bit_of(const char *key, size_t key_bytes)
{
    char text[32];

    snprintf(text, sizeof(text), "%.*s", (int)key_bytes, key);
    return (uint32_t)atol(text) * 2654435761u >> 25;
}

static char *create_bits(void *state, const char *const *keys, const size_t *lengths, int count,
                         size_t *filter_bytes)
{
    unsigned char *filter = calloc(1, 16);

    (void)state;
    for (int i = 0; i < count; i++) {
        uint32_t bit = bit_of(keys[i], lengths[i]);
        filter[bit / 8] = (unsigned char)(filter[bit / 8] | 1u << bit % 8);
    }
    *filter_bytes = 16;
    return (char *)filter;
}

static uint8_t may_match_bits(void *state, const char *key, size_t key_bytes, const char *filter,
                              size_t filter_bytes)
{
    uint32_t bit = bit_of(key, key_bytes);

    (void)state;
    assert_int_equal(filter_bytes, 16);
    return ((unsigned char)filter[bit / 8] >> bit % 8 & 1) != 0;
}

static const char *name_bits(void *state)
{
    (void)state;
    return "test.Bits";
}

/* ---- a database in one library's hands ------------------------------------------------------ */

struct plan {
    bool has_numbers; /* in the order of numbers */
    int filter;       /* 0: none, 1: Bloom, 2: our own */
    bool compresses;
    size_t write_buffer_bytes, block_bytes;
};

struct turn {
    const struct engine *engine;
    leveldb_options_t *options;
    leveldb_comparator_t *comparator;
    leveldb_filterpolicy_t *policy;
    leveldb_readoptions_t *read;
    leveldb_writeoptions_t *write;
    leveldb_t *db;
    char *error;
};

static void check(struct turn *turn, const char *what)
{
    if (turn->error != NULL) {
        fail_msg("%s: %s: %s", turn->engine->name, what, turn->error);
    }
}

static void set_policy(struct turn *turn, const struct plan *plan)
{
    const struct engine *engine = turn->engine;

    if (plan->filter == 1) {
        turn->policy = engine->filterpolicy_create_bloom(10);
    } else if (plan->filter == 2) {
        turn->policy =
            engine->filterpolicy_create(NULL, nothing, create_bits, may_match_bits, name_bits);
    }
    if (turn->policy != NULL) {
        engine->options_set_filter_policy(turn->options, turn->policy);
    }
}

static struct turn begin(const struct engine *engine, const struct plan *plan)
{
    struct turn turn = {.engine = engine, .options = engine->options_create()};

    engine->options_set_create_if_missing(turn.options, 1);
    engine->options_set_paranoid_checks(turn.options, 1);
    engine->options_set_write_buffer_size(turn.options, plan->write_buffer_bytes);
    engine->options_set_block_size(turn.options, plan->block_bytes);
    engine->options_set_max_file_size(turn.options, 1 << 20);
    engine->options_set_compression(turn.options, plan->compresses);
    if (plan->has_numbers) {
        turn.comparator = engine->comparator_create(NULL, nothing, compare_numbers, name_numbers);
        engine->options_set_comparator(turn.options, turn.comparator);
    }
    set_policy(&turn, plan);
    turn.read = engine->readoptions_create();
    engine->readoptions_set_verify_checksums(turn.read, 1);
    turn.write = engine->writeoptions_create();
    turn.db = engine->open(turn.options, folder, &turn.error);
    check(&turn, "open");
    return turn;
}

static void end(struct turn *turn)
{
    const struct engine *engine = turn->engine;

    engine->close(turn->db);
    engine->readoptions_destroy(turn->read);
    engine->writeoptions_destroy(turn->write);
    engine->options_destroy(turn->options);
    if (turn->comparator != NULL) {
        engine->comparator_destroy(turn->comparator);
    }
    if (turn->policy != NULL) {
        engine->filterpolicy_destroy(turn->policy);
    }
}

/* ---- the model ------------------------------------------------------------------------------ */

struct model {
    bool has_numbers;
    uint32_t version[NUMBERS]; /* of the value; 0: there is none */
    uint32_t last_version;
};

/* Of equal length, so that the order of bytes is that of numbers too; or of any, where they are
 * equal all the same. */
static size_t key_of(const struct model *model, uint32_t number, char room[32])
{
    int width = model->has_numbers ? 1 + (int)up_to(12) : 8;

    return (size_t)snprintf(room, 32, "%0*u", width, number);
}

static size_t value_of(uint32_t number, uint32_t version, char room[1200])
{
    size_t count = (size_t)snprintf(room, 64, "value %u of %u ", version, number);
    size_t more = version * 2654435761u % 1000;

    for (size_t i = 0; i < more; i++) {
        room[count + i] = (char)('a' + (version + i * i) % 26);
    }
    return count + more;
}

/* ---- what a turn does ----------------------------------------------------------------------- */

static void change_one(struct turn *turn, struct model *model, leveldb_writebatch_t *batch)
{
    const struct engine *engine = turn->engine;
    uint32_t number = up_to(NUMBERS);
    char key[32], value[1200];
    size_t key_bytes = key_of(model, number, key);

    if (up_to(4) == 0) {
        model->version[number] = 0;
        if (batch == NULL) {
            engine->delete (turn->db, turn->write, key, key_bytes, &turn->error);
        } else {
            engine->writebatch_delete(batch, key, key_bytes);
        }
        return;
    }
    model->version[number] = ++model->last_version;
    size_t value_bytes = value_of(number, model->last_version, value);
    if (batch == NULL) {
        engine->put(turn->db, turn->write, key, key_bytes, value, value_bytes, &turn->error);
    } else {
        engine->writebatch_put(batch, key, key_bytes, value, value_bytes);
    }
}

static void change_many(struct turn *turn, struct model *model)
{
    leveldb_writebatch_t *batch = turn->engine->writebatch_create();

    for (uint32_t i = up_to(100); i > 0; i--) {
        change_one(turn, model, batch);
    }
    turn->engine->writeoptions_set_sync(turn->write, up_to(4) == 0);
    turn->engine->write(turn->db, turn->write, batch, &turn->error);
    turn->engine->writeoptions_set_sync(turn->write, 0);
    turn->engine->writebatch_destroy(batch);
}

static void compact(struct turn *turn, const struct model *model)
{
    char from[32], to[32];
    size_t from_bytes = key_of(model, up_to(NUMBERS), from);
    size_t to_bytes = key_of(model, up_to(NUMBERS), to);

    turn->engine->compact_range(turn->db, up_to(2) == 0 ? NULL : from, from_bytes,
                                up_to(2) == 0 ? NULL : to, to_bytes);
}

static void change(struct turn *turn, struct model *model)
{
    for (uint32_t i = up_to(300); i > 0; i--) {
        uint32_t what = up_to(200);
        if (what == 0) {
            compact(turn, model);
        } else if (what < 10) {
            change_many(turn, model);
        } else {
            change_one(turn, model, NULL);
        }
        check(turn, "change");
    }
}

/* ---- comparing ------------------------------------------------------------------------------ */

static void compare_key(struct turn *turn, const struct model *model, uint32_t number)
{
    char key[32], expected[1200];
    size_t key_bytes = key_of(model, number, key), count = 0;
    char *value = turn->engine->get(turn->db, turn->read, key, key_bytes, &count, &turn->error);

    check(turn, "get");
    if ((value != NULL) != (model->version[number] != 0)) {
        fail_msg("%s: key %u is %s", turn->engine->name, number,
                 value == NULL ? "lost" : "there again");
    }
    if (value != NULL) {
        assert_int_equal(count, value_of(number, model->version[number], expected));
        assert_memory_equal(value, expected, count);
    }
    turn->engine->free(value);
}

static void compare_place(struct turn *turn, const struct model *model,
                          const leveldb_iterator_t *iterator, uint32_t number)
{
    char expected[1200], text[32];
    size_t key_bytes, value_bytes;

    if (!turn->engine->iter_valid(iterator)) {
        fail_msg("%s: the walk ends before %u", turn->engine->name, number);
    }
    const char *key = turn->engine->iter_key(iterator, &key_bytes);
    const char *value = turn->engine->iter_value(iterator, &value_bytes);
    snprintf(text, sizeof(text), "%.*s", (int)key_bytes, key);
    if ((uint32_t)atol(text) != number) {
        fail_msg("%s: the walk is at %s, not at %u", turn->engine->name, text, number);
    }
    assert_int_equal(value_bytes, value_of(number, model->version[number], expected));
    assert_memory_equal(value, expected, value_bytes);
}

static void compare_walks(struct turn *turn, const struct model *model)
{
    const struct engine *engine = turn->engine;
    leveldb_iterator_t *iterator = engine->create_iterator(turn->db, turn->read);

    engine->iter_seek_to_first(iterator);
    for (uint32_t number = 0; number < NUMBERS; number++) {
        if (model->version[number] != 0) {
            compare_place(turn, model, iterator, number);
            engine->iter_next(iterator);
        }
    }
    assert_false(engine->iter_valid(iterator));
    engine->iter_seek_to_last(iterator);
    for (uint32_t number = NUMBERS; number-- > 0;) {
        if (model->version[number] != 0) {
            compare_place(turn, model, iterator, number);
            engine->iter_prev(iterator);
        }
    }
    assert_false(engine->iter_valid(iterator));
    engine->iter_get_error(iterator, &turn->error);
    check(turn, "walk");
    engine->iter_destroy(iterator);
}

static void compare(struct turn *turn, const struct model *model)
{
    compare_walks(turn, model);
    for (uint32_t i = 0; i < 400; i++) {
        compare_key(turn, model, up_to(NUMBERS));
    }
}

/* ---- tests ---------------------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status;
    (void)kind;
    (void)walk;
    return remove(path);
}

static int set_up(void **state)
{
    (void)state;
    /* No power is cut here: where the machine has a disk in memory, syncs cost nothing. */
    snprintf(folder, sizeof(folder), "%s/quarry-leveldb-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    return 0;
}

static void take_turns(const struct plan *plan, uint32_t turns, uint64_t seed)
{
    struct model model = {.has_numbers = plan->has_numbers};

    dice = seed;
    for (uint32_t i = 0; i < turns; i++) {
        struct turn turn = begin(&engines[i % 2], plan);
        compare(&turn, &model);
        change(&turn, &model);
        if (up_to(3) == 0) {
            compare(&turn, &model);
        }
        end(&turn);
    }
    struct turn turn = begin(&engines[0], plan);
    compare(&turn, &model);
    end(&turn);
}

static void databases_go_back_and_forth(void **state)
{
    const struct plan plan = {
        .compresses = true, .write_buffer_bytes = 100000, .block_bytes = 4096};

    (void)state;
    take_turns(&plan, TURNS, 1);
}

static void databases_with_bloom_filters_go_back_and_forth(void **state)
{
    const struct plan plan = {.filter = 1, .write_buffer_bytes = 70000, .block_bytes = 1024};

    (void)state;
    take_turns(&plan, TURNS / 2, 2);
}

static void databases_in_an_order_and_with_filters_of_their_own_go_back_and_forth(void **state)
{
    const struct plan plan = {.has_numbers = true,
                              .filter = 2,
                              .compresses = true,
                              .write_buffer_bytes = 70000,
                              .block_bytes = 2000};

    (void)state;
    take_turns(&plan, TURNS, 3);
}

/* Filters that a database was written with are left alone by who has others, or none. */
static void filters_may_change_between_turns(void **state)
{
    struct model model = {.has_numbers = false};

    (void)state;
    dice = 4;
    for (uint32_t i = 0; i < TURNS / 2; i++) {
        const struct plan plan = {
            .filter = (int)up_to(3), .write_buffer_bytes = 70000, .block_bytes = 4096};
        struct turn turn = begin(&engines[up_to(2)], &plan);
        compare(&turn, &model);
        change(&turn, &model);
        end(&turn);
    }
}

static void what_one_repairs_the_other_opens(void **state)
{
    const struct plan plan = {.filter = 1, .write_buffer_bytes = 70000, .block_bytes = 4096};
    struct model model = {.has_numbers = false};

    (void)state;
    dice = 5;
    for (uint32_t i = 0; i < 20; i++) {
        struct turn turn = begin(&engines[i % 2], &plan);
        compare(&turn, &model);
        change(&turn, &model);
        end(&turn);
        turn = begin(&engines[(i + 1) % 2], &plan);
        end(&turn);
        const struct engine *engine = &engines[i / 2 % 2];
        leveldb_options_t *options = engine->options_create();
        char *error = NULL;
        engine->repair_db(options, folder, &error);
        assert_null(error);
        engine->options_destroy(options);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(databases_go_back_and_forth),
        TEST(databases_with_bloom_filters_go_back_and_forth),
        TEST(databases_in_an_order_and_with_filters_of_their_own_go_back_and_forth),
        TEST(filters_may_change_between_turns),
        TEST(what_one_repairs_the_other_opens),
    };

    engine_load(&engines[0], "leveldb", THEIRS);
    engine_load(&engines[1], "quarry", OURS);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
