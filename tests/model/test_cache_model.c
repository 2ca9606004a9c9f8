/*
 * A cache against a table: random histories of all calls, with items of every size, expiries,
 * flushes, pins, moves and turns in between.
 *
 * In a cache that has room for all, every outcome and every field must be the table's. In one that
 * has not, an item may be gone; what is there must be right.
 *
 * Runs half a million operations for each of its seeds; or as many as the first argument says.
 */
#include <cache/types.h>

#include "unit/cache/cache_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/cache_model.h"
#include "unit/base/random.h"

#define CHECK_EACH 50000u
#define PINS       16u

static uint64_t op_count = 500000;

static struct model model;
static uint64_t random_state;
static bool may_evict;

struct pinned {
    bool is_pinned;
    struct quarry_cache_hit hit;
    struct model_item item;
};
static struct pinned pins[PINS];

static uint64_t roll(uint64_t sides)
{
    return random_u64(&random_state) % sides;
}

static uint32_t roll_expiry(void)
{
    switch (roll(8)) {
    case 0:
        return QUARRY_CACHE_EXPIRED;
    case 1:
    case 2:
        return model.now + (uint32_t)roll(20);
    default:
        return 0;
    }
}

/* None near the length from which values are in extents: the model knows it by LARGE_BYTES alone.
 */
#define LARGE_BYTES 65000u
static uint64_t roll_bytes(void)
{
    uint64_t kind = roll(300);
    uint64_t bytes = kind == 0   ? roll(may_evict ? 70000 : 250000)
                     : kind < 10 ? roll(9000)
                                 : roll(200);

    return bytes > LARGE_BYTES - 200 && bytes < LARGE_BYTES + 700 ? LARGE_BYTES - 200 : bytes;
}

static struct quarry_cache_key key_at(uint32_t n, char name[32])
{
    int length = snprintf(name, 32, "%u%.*s", n, (int)(n % 20), "-a-longer-key-for-some");

    return quarry_cache_key_make(tenant, name, (size_t)length);
}

/* Whether a hit shows the item's value. */
static bool shows(const struct quarry_cache_hit *hit, const struct model_item *item)
{
    if (hit->value_bytes != item->value_bytes) {
        return false;
    }
    return item->is_text ? memcmp(hit->piece.bytes, item->text, item->value_bytes) == 0
                         : hit_is_filled(hit, item->fill);
}

/* The model's item for a key of which the cache says whether it has it. */
static struct model_item *item_at(uint32_t n, bool is_there)
{
    struct model_item *item = model_find(&model, n);

    if (item != NULL && !is_there) {
        assert_true(may_evict);
        item->is_there = false;
        return NULL;
    }
    assert_true(item != NULL || !is_there);
    return item;
}

static bool cache_has(const struct quarry_cache_key *key)
{
    struct quarry_cache_get_options options = {.leaves_no_trace = true, .has_cas = true};
    struct quarry_cache_hit hit;

    quarry_cache_enter(cache);
    /* A cas that no item has: it is looked at, and nothing of it changes. */
    options.cas = UINT64_MAX - 1;
    bool has = quarry_cache_get(tenant, key, &options, &hit) == QUARRY_CACHE_EXISTS;
    quarry_cache_leave(cache);
    return has;
}

/* What the model has of the key, after the cache has said what is left. */
static struct model_item *begin(uint32_t n, char name[32], struct quarry_cache_key *ret_key)
{
    *ret_key = key_at(n, name);
    return item_at(n, cache_has(ret_key));
}

/*
 * The outcome of a call, which is as the model's item says; or, where others may be evicted for it,
 * as if that were not there: then it is gone. Returns: the item.
 */
static struct model_item *judge(struct model_item *item, enum quarry_cache_outcome outcome,
                                enum quarry_cache_outcome present, enum quarry_cache_outcome absent)
{
    if (item != NULL && outcome == present) {
        return item;
    }
    assert_true(item == NULL || may_evict);
    assert_int_equal(outcome, absent);
    if (item != NULL) {
        item->is_there = false;
    }
    return NULL;
}

/* ---- reading -------------------------------------------------------------------------------- */

static void check_hit(const struct quarry_cache_hit *hit, const struct model_item *item)
{
    assert_true(shows(hit, item));
    assert_int_equal(hit->cas, item->cas);
    assert_int_equal(hit->client_flags, item->client_flags);
    assert_int_equal(hit->expiry, item->expiry);
    assert_int_equal(hit->is_stale, item->is_stale);
    assert_int_equal(hit->was_hit, item->was_hit);
}

static void model_get(struct model_item *item, const struct quarry_cache_get_options *options,
                      const struct quarry_cache_hit *hit)
{
    bool is_due = item->is_stale || (options->recaches && item->expiry != 0 &&
                                     item->expiry - model.now < options->recache_seconds);
    bool has_won = is_due && !item->has_token;

    assert_int_equal(hit->is_token_given, item->has_token);
    assert_int_equal(hit->has_won, has_won);
    item->has_token |= has_won;
    item->was_hit |= !options->leaves_no_trace;
}

static void step_get(uint32_t n)
{
    char name[32];
    struct quarry_cache_key key;
    struct model_item *item = begin(n, name, &key);
    struct quarry_cache_get_options options = {.leaves_no_trace = roll(4) == 0,
                                               .touches = roll(8) == 0,
                                               .expiry = roll_expiry(),
                                               .recaches = roll(4) == 0,
                                               .recache_seconds = (uint32_t)roll(10)};
    struct quarry_cache_hit hit;

    quarry_cache_enter(cache);
    enum quarry_cache_outcome outcome = quarry_cache_get(tenant, &key, &options, &hit);
    if (outcome == QUARRY_CACHE_NO_MEMORY) { /* as for vivify: of a touch */
        assert_true(may_evict && options.touches);
        quarry_cache_leave(cache);
        return;
    }
    item = judge(item, outcome, QUARRY_CACHE_HIT, QUARRY_CACHE_MISS);
    if (item != NULL) {
        item->expiry = options.touches ? options.expiry : item->expiry;
        check_hit(&hit, item);
        model_get(item, &options, &hit);
        struct pinned *pin = &pins[roll(PINS)];
        if (roll(4) == 0 && !pin->is_pinned && quarry_cache_pin(tenant, &hit)) {
            *pin = (struct pinned){true, hit, *item};
        }
    }
    quarry_cache_leave(cache);
}

static void step_vivify(uint32_t n)
{
    char name[32];
    struct quarry_cache_key key;
    struct model_item *item = begin(n, name, &key);
    struct quarry_cache_get_options options = {.vivifies = true, .vivify_expiry = roll_expiry()};
    struct quarry_cache_hit hit;

    quarry_cache_enter(cache);
    enum quarry_cache_outcome outcome = quarry_cache_get(tenant, &key, &options, &hit);
    if (outcome == QUARRY_CACHE_NO_MEMORY) { /* no page can be emptied while we are inside */
        assert_true(may_evict);
        model.item[n].is_there = false;
        quarry_cache_leave(cache);
        return;
    }
    assert_int_equal(outcome, QUARRY_CACHE_HIT);
    assert_true(hit.is_new || item != NULL);
    assert_true(!hit.is_new || item == NULL || may_evict);
    if (hit.is_new) {
        assert_true(hit.has_won && hit.value_bytes == 0);
        model.item[n] = (struct model_item){
            .is_there = true, .has_token = true, .cas = hit.cas, .expiry = options.vivify_expiry};
    } else {
        check_hit(&hit, item);
        model_get(item, &options, &hit);
    }
    quarry_cache_leave(cache);
}

static void step_unpin(void)
{
    struct pinned *pin = &pins[roll(PINS)];

    if (pin->is_pinned) {
        assert_true(shows(&pin->hit, &pin->item));
        quarry_cache_unpin(tenant, pin->hit.ref);
        pin->is_pinned = false;
    }
}

/* ---- writing -------------------------------------------------------------------------------- */

static enum quarry_cache_outcome store_filled(const struct quarry_cache_key *key, uint64_t fill_of,
                                              uint64_t value_bytes,
                                              const struct quarry_cache_store_options *options,
                                              struct quarry_cache_stored *ret_stored)
{
    static char bytes[250000];

    fill(bytes, value_bytes, fill_of, 0);
    return quarry_cache_store(tenant, key, bytes, value_bytes, options, ret_stored);
}

static enum quarry_cache_outcome expected_of(const struct model_item *item,
                                             const struct quarry_cache_store_options *options)
{
    if (options->mode == QUARRY_CACHE_ADD) {
        return item == NULL ? QUARRY_CACHE_HIT : QUARRY_CACHE_NOT_STORED;
    }
    if (item == NULL) {
        return options->has_cas                        ? QUARRY_CACHE_MISS
               : options->mode == QUARRY_CACHE_REPLACE ? QUARRY_CACHE_NOT_STORED
                                                       : QUARRY_CACHE_HIT;
    }
    bool is_met = !options->has_cas || options->cas == item->cas ||
                  (options->invalidates && options->cas < item->cas);
    return is_met ? QUARRY_CACHE_HIT : QUARRY_CACHE_EXISTS;
}

static void step_store(uint32_t n)
{
    char name[32];
    struct quarry_cache_key key;
    struct model_item *item = begin(n, name, &key);
    uint64_t fill_of = roll(1000), value_bytes = roll_bytes();
    struct quarry_cache_store_options options = {
        .mode = (enum quarry_cache_mode)roll(3),
        .client_flags = roll(3) == 0 ? (uint32_t)roll(1000) : 0,
        .expiry = roll_expiry(),
        .has_cas = roll(4) == 0,
        .invalidates = roll(2) == 0,
        .new_cas = roll(8) == 0 ? 1 + roll(UINT64_MAX - 10) : 0};
    struct quarry_cache_stored stored;

    if (options.has_cas) {
        options.cas = item != NULL && roll(2) == 0 ? item->cas : roll(1000000);
    }
    enum quarry_cache_outcome outcome = store_filled(&key, fill_of, value_bytes, &options, &stored);
    item = judge(item, outcome, expected_of(item, &options), expected_of(NULL, &options));
    if (outcome == QUARRY_CACHE_HIT) {
        bool is_over_newer = item != NULL && options.has_cas && options.mode != QUARRY_CACHE_ADD &&
                             options.cas != item->cas;
        assert_true(options.new_cas == 0 || stored.cas == options.new_cas);
        model.item[n] = (struct model_item){
            .is_there = true,
            .fill = fill_of,
            .value_bytes = value_bytes,
            .cas = stored.cas,
            .client_flags = options.client_flags,
            .expiry = is_over_newer ? item->expiry : options.expiry,
            .is_stale = is_over_newer,
            .has_token = is_over_newer && item->has_token,
        };
    } else if (item != NULL && options.mode == QUARRY_CACHE_ADD) {
        item->was_hit = true;
    }
}

/* Digits, so that the joined text can be told. */
static void step_join(uint32_t n)
{
    char name[32], piece[8], joined[64];
    struct quarry_cache_key key;
    struct model_item *item = begin(n, name, &key);
    struct quarry_cache_store_options options = {.mode = roll(2) == 0 ? QUARRY_CACHE_APPEND
                                                                      : QUARRY_CACHE_PREPEND,
                                                 .vivifies = roll(2) == 0,
                                                 .vivify_expiry = roll_expiry()};
    struct quarry_cache_stored stored;
    int length = snprintf(piece, sizeof(piece), "%llu", (unsigned long long)roll(1000));

    if (item != NULL && (!item->is_text || item->value_bytes > 20)) {
        return;
    }
    enum quarry_cache_outcome outcome =
        quarry_cache_store(tenant, &key, piece, (uint64_t)length, &options, &stored);
    /* Stored alone, where the other part was evicted for it. */
    if (item != NULL && may_evict && outcome == QUARRY_CACHE_HIT &&
        stored.value_bytes != item->value_bytes + (uint64_t)length) {
        assert_true(options.vivifies);
        item = NULL;
    }
    item = judge(item, outcome, QUARRY_CACHE_HIT,
                 options.vivifies ? QUARRY_CACHE_HIT : QUARRY_CACHE_NOT_STORED);
    if (item == NULL) {
        if (!options.vivifies) {
            return;
        }
        item = &model.item[n];
        *item =
            (struct model_item){.is_there = true, .is_text = true, .expiry = options.vivify_expiry};
    }
    assert_int_equal(outcome, QUARRY_CACHE_HIT);
    bool is_behind = options.mode == QUARRY_CACHE_APPEND;
    (void)snprintf(joined, sizeof(joined), "%s%s", is_behind ? item->text : piece,
                   is_behind ? piece : item->text);
    memcpy(item->text, joined, strlen(joined) + 1);
    item->value_bytes = strlen(joined);
    item->cas = stored.cas;
    item->is_stale = item->has_token = item->was_hit = false;
    assert_int_equal(stored.value_bytes, item->value_bytes);
}

/* ---- changing ------------------------------------------------------------------------------- */

static void step_count(uint32_t n)
{
    char name[32], text[32];
    struct quarry_cache_key key;
    struct model_item *item = begin(n, name, &key);
    struct quarry_cache_count_options options = {.delta = roll(100000),
                                                 .decrements = roll(2) == 0,
                                                 .sets_expiry = roll(8) == 0,
                                                 .expiry = roll_expiry(),
                                                 .vivifies = roll(2) == 0,
                                                 .initial = roll(1000),
                                                 .vivify_expiry = roll_expiry()};
    struct quarry_cache_counted counted;

    if (item != NULL && !item->is_text) {
        return;
    }
    enum quarry_cache_outcome outcome = quarry_cache_count(tenant, &key, &options, &counted);
    if (item != NULL && may_evict &&
        (outcome == QUARRY_CACHE_MISS || (outcome == QUARRY_CACHE_HIT && counted.is_new))) {
        item->is_there = false;
        item = NULL;
    }
    if (item == NULL) {
        assert_int_equal(outcome, options.vivifies ? QUARRY_CACHE_HIT : QUARRY_CACHE_MISS);
        if (options.vivifies) {
            item = &model.item[n];
            *item = (struct model_item){.is_there = true,
                                        .is_text = true,
                                        .cas = counted.cas,
                                        .expiry = options.vivify_expiry};
            item->value_bytes = (uint64_t)snprintf(item->text, sizeof(item->text), "%llu",
                                                   (unsigned long long)options.initial);
            assert_true(counted.is_new && counted.number == options.initial);
        }
        return;
    }
    size_t digits = strspn(item->text, "0123456789");
    bool is_number = digits != 0 && digits <= 19 && /* of 20 some are too large */
                     strspn(item->text + digits, " ") == strlen(item->text + digits);
    if (!is_number && digits != 20) {
        assert_int_equal(outcome, QUARRY_CACHE_NOT_NUMBER);
        return;
    }
    if (!is_number) { /* told by the unit tests: not counted on */
        item->is_text = false;
        item->is_there = false;
        assert_int_equal(quarry_cache_delete(tenant, &key, NULL), QUARRY_CACHE_HIT);
        return;
    }
    unsigned long long number = strtoull(item->text, NULL, 10);
    assert_int_equal(outcome, QUARRY_CACHE_HIT);
    number = !options.decrements      ? number + options.delta
             : options.delta > number ? 0
                                      : number - options.delta;
    assert_true(counted.number == number && !counted.is_new);
    (void)snprintf(text, sizeof(text), "%-*llu", (int)item->value_bytes, number);
    memcpy(item->text, text, sizeof(text));
    item->value_bytes = strlen(text);
    item->cas = counted.cas;
    item->expiry = options.sets_expiry ? options.expiry : item->expiry;
}

static void step_touch(uint32_t n)
{
    char name[32];
    struct quarry_cache_key key;
    struct model_item *item = begin(n, name, &key);
    uint32_t expiry = roll_expiry();

    item =
        judge(item, quarry_cache_touch(tenant, &key, expiry), QUARRY_CACHE_HIT, QUARRY_CACHE_MISS);
    if (item != NULL) {
        item->expiry = expiry;
        item->was_hit = true;
    }
}

static void step_delete(uint32_t n)
{
    char name[32];
    struct quarry_cache_key key;
    struct model_item *item = begin(n, name, &key);
    struct quarry_cache_delete_options options = {.has_cas = roll(4) == 0,
                                                  .invalidates = roll(3) == 0,
                                                  .drops_value = roll(6) == 0,
                                                  .sets_expiry = roll(3) == 0,
                                                  .expiry = roll_expiry(),
                                                  .new_cas = UINT64_C(1) << 50 | roll(1000000)};

    options.cas = item != NULL && roll(2) == 0 ? item->cas : 3;
    enum quarry_cache_outcome outcome = quarry_cache_delete(tenant, &key, &options);
    bool is_other = item != NULL && options.has_cas && options.cas != item->cas;
    item =
        judge(item, outcome, is_other ? QUARRY_CACHE_EXISTS : QUARRY_CACHE_HIT, QUARRY_CACHE_MISS);
    if (item == NULL || is_other) {
        return;
    }
    if (!options.invalidates && !options.drops_value) {
        item->is_there = false;
        return;
    }
    if (options.drops_value) {
        item->value_bytes = 0;
        item->is_text = false;
        item->client_flags = 0;
        memset(item->text, 0, sizeof(item->text));
        item->was_hit = false;
    } else {
        item->was_hit = item->value_bytes > LARGE_BYTES ? item->was_hit : false;
    }
    item->is_stale = options.invalidates;
    item->has_token = false;
    item->expiry = options.sets_expiry ? options.expiry : item->expiry;
    item->cas = options.new_cas;
}

/* ---- around it ------------------------------------------------------------------------------ */

static void step_move(void)
{
    struct quarry_slab_page page;
    uint64_t cursor = 0;
    uint64_t skipped = roll(6);

    while (quarry_slab_next_page(cache->slab, &cursor, &page)) {
        if (skipped-- == 0) {
            (void)quarry_slab_move_page(cache->slab, page.class_id, page.page, cache_item_move,
                                        cache);
            return;
        }
    }
}

static void step_around(void)
{
    uint64_t kind = roll(100);

    if (kind < 3 && roll(50) == 0) {
        uint32_t when = roll(2) == 0 ? 0 : model.now + (uint32_t)roll(5);
        quarry_cache_flush(tenant, when);
        model_flush(&model, when);
    } else if (kind < 20) {
        uint32_t seconds = (uint32_t)roll(3);
        wait_s(seconds);
        model_advance(&model, model.now + seconds);
    } else if (kind < 30) {
        step_move();
    } else if (kind < 60) {
        step_unpin();
    } else {
        (void)quarry_cache_turn(cache);
    }
}

static void step(void)
{
    uint32_t n = (uint32_t)(roll(2) == 0 ? roll(60) : roll(MODEL_KEYS));
    uint64_t kind = roll(100);

    if (kind < 30) {
        step_get(n);
    } else if (kind < 33) {
        step_vivify(n);
    } else if (kind < 65) {
        step_store(n);
    } else if (kind < 70) {
        step_join(n);
    } else if (kind < 78) {
        step_count(n);
    } else if (kind < 83) {
        step_touch(n);
    } else if (kind < 92) {
        step_delete(n);
    } else {
        step_around();
    }
}

/* Each of the model's items is told of by a walk, and no other. */
static void check_walk(void)
{
    struct quarry_cache_hit hits[64];
    uint64_t cursor = 0, told = 0;
    size_t count;

    quarry_cache_enter(cache);
    while ((count = quarry_cache_next(tenant, &cursor, hits, COUNT_OF(hits))) != 0) {
        for (size_t i = 0; i < count; i++) {
            char name[32] = {0};
            memcpy(name, hits[i].key, hits[i].key_bytes);
            struct model_item *item = model_find(&model, (uint32_t)strtoul(name, NULL, 10));
            assert_non_null(item);
            assert_true(shows(&hits[i], item));
        }
        told += count;
    }
    quarry_cache_leave(cache);
    assert_true(may_evict ? told <= model_count(&model) : told == model_count(&model));
}

static void run(uint64_t size_bytes, uint64_t seed)
{
    cache_begin(&(struct quarry_cache_options){.size_bytes = size_bytes, .has_no_thread = true});
    memset(&model, 0, sizeof(model));
    memset(pins, 0, sizeof(pins));
    random_state = seed;
    may_evict = size_bytes < Q_MIB(64);
    model.now = quarry_cache_now(cache);
    for (uint64_t op = 0; op < op_count; op++) {
        step();
        if (op % CHECK_EACH == 0) {
            cache_check();
            check_walk();
        }
    }
    for (uint32_t i = 0; i < 1000; i++) {
        step_unpin();
    }
    cache_end();
}

static void a_cache_with_room_is_a_table(void **state)
{
    (void)state;
    run(Q_MIB(256), 1);
}

static void a_cache_without_room_forgets_and_never_lies(void **state)
{
    (void)state;
    run(Q_MIB(4), 2);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cache_with_room_is_a_table),
        cmocka_unit_test(a_cache_without_room_forgets_and_never_lies),
    };
    if (argc > 1) {
        op_count = strtoull(argv[1], NULL, 10);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
