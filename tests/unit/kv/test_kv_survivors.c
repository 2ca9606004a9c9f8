/*
 * Which entries survive: against a model that reads a key at every sequence that anybody can have,
 * before and after.
 */
#include "unit/kv/ver_rig.h"

#include <stdio.h>
#include <string.h>

#include <kv/compact_entries.h>

#define ENTRIES_MAX 64u
#define RANGES_MAX  6u
#define KEYS        4u
#define VALUE_BYTES 400u

struct entry {
    char user[2];
    uint64_t sequence;
    enum kv_type type;
    char value[VALUE_BYTES];
};

static const char *const key_names[KEYS] = {"b", "d", "f", "h"};
static const char *const range_names[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i"};

/* A history: changes with rising sequences, of which the older part lies below. */
struct history {
    struct entry entries[ENTRIES_MAX];
    size_t entry_count;
    struct kv_range ranges[RANGES_MAX];
    size_t range_count;
    uint64_t below; /* sequences up to it lie below */
    uint64_t snapshots[8];
    uint32_t snapshot_count; /* the last one: what was visible */
    bool zeroes;
};

/* ---- an iterator over an array -------------------------------------------------------------- */

struct array_iterator {
    struct kv_iterator base;
    const struct entry *entries;
    size_t count, at;
    size_t failing_at; /* fails there; SIZE_MAX: nowhere */
};

static void array_show(struct array_iterator *array)
{
    array->base.is_valid = array->at < array->count && array->at != array->failing_at;
    array->base.status = array->at == array->failing_at ? QUARRY_IO : QUARRY_OK;
    if (array->base.is_valid) {
        const struct entry *entry = &array->entries[array->at];
        array->base.key =
            (struct kv_key){kv_slice(entry->user, 1), kv_trailer(entry->sequence, entry->type)};
        array->base.value = kv_slice(entry->value, strlen(entry->value));
    }
}

static void array_first(struct kv_iterator *base)
{
    struct array_iterator *array = (struct array_iterator *)(void *)base;

    array->at = 0;
    array_show(array);
}

static void array_next(struct kv_iterator *base)
{
    struct array_iterator *array = (struct array_iterator *)(void *)base;

    array->at++;
    array_show(array);
}

static const struct kv_iterator_ops array_ops = {.first = array_first, .next = array_next};

/* ---- the model ------------------------------------------------------------------------------ */

/* Whether `a` comes before `b` in the order of internal keys. */
static bool is_before(const struct entry *a, const struct entry *b)
{
    int order = strcmp(a->user, b->user);

    return order < 0 || (order == 0 && a->sequence > b->sequence);
}

static void sort_entries(struct entry *entries, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        for (size_t j = i; j > 0 && is_before(&entries[j], &entries[j - 1]); j--) {
            struct entry moved = entries[j];
            entries[j] = entries[j - 1];
            entries[j - 1] = moved;
        }
    }
}

static uint64_t covering(const struct kv_range *ranges, size_t count, const char *user,
                         uint64_t sequence)
{
    uint64_t newest = 0;

    for (size_t i = 0; i < count; i++) {
        bool covers = kv_compare_bytes(ranges[i].begin, text(user)) <= 0 &&
                      kv_compare_bytes(text(user), ranges[i].end) < 0;
        if (covers && ranges[i].sequence <= sequence && ranges[i].sequence > newest) {
            newest = ranges[i].sequence;
        }
    }
    return newest;
}

/* What a reader sees of a key at a sequence: its value, operands joined by commas; or nothing. */
static bool read_key(const struct entry *entries, size_t count, const struct kv_range *ranges,
                     size_t range_count, const char *user, uint64_t sequence, char *ret_value)
{
    uint64_t cover = covering(ranges, range_count, user, sequence);
    const char *parts[ENTRIES_MAX];
    size_t part_count = 0;

    for (size_t i = 0; i < count; i++) { /* sorted: the newest first */
        const struct entry *entry = &entries[i];
        if (strcmp(entry->user, user) != 0 || entry->sequence > sequence) {
            continue;
        }
        if (entry->sequence < cover || entry->type == KV_TYPE_DELETE ||
            entry->type == KV_TYPE_SINGLE_DELETE) {
            break;
        }
        parts[part_count++] = entry->value;
        if (entry->type == KV_TYPE_PUT) {
            break;
        }
    }
    ret_value[0] = '\0';
    for (size_t i = part_count; i-- > 0;) {
        strcat(ret_value, parts[i]);
        if (i != 0) {
            strcat(ret_value, ",");
        }
    }
    return part_count != 0;
}

/* ---- histories ------------------------------------------------------------------------------ */

static enum kv_type type_at_random(uint64_t *seed)
{
    static const enum kv_type types[] = {KV_TYPE_PUT,   KV_TYPE_PUT,   KV_TYPE_DELETE,
                                         KV_TYPE_MERGE, KV_TYPE_MERGE, KV_TYPE_SINGLE_DELETE};

    return types[random_below(seed, COUNT_OF(types))];
}

static void add_range(struct history *history, uint64_t *seed, uint64_t sequence)
{
    size_t from = random_below(seed, COUNT_OF(range_names) - 1);
    size_t to = from + 1 + random_below(seed, COUNT_OF(range_names) - 1 - from);

    history->ranges[history->range_count++] =
        (struct kv_range){text(range_names[from]), text(range_names[to]), sequence};
}

static void make_history(struct history *history, uint64_t *seed)
{
    uint64_t count = 3 + random_below(seed, 40);

    *history = (struct history){0};
    for (uint64_t sequence = 1; sequence <= count; sequence++) {
        if (history->range_count < RANGES_MAX && random_below(seed, 8) == 0) {
            add_range(history, seed, sequence);
            continue;
        }
        struct entry *entry = &history->entries[history->entry_count++];
        *entry = (struct entry){.sequence = sequence, .type = type_at_random(seed)};
        strcpy(entry->user, key_names[random_below(seed, KEYS)]);
        if (entry->type == KV_TYPE_PUT || entry->type == KV_TYPE_MERGE) {
            snprintf(entry->value, sizeof(entry->value), "v%u", (unsigned)sequence);
        }
    }
    sort_entries(history->entries, history->entry_count);
    history->below = random_below(seed, 2) == 0 ? 0 : random_below(seed, count);
    uint64_t at = 0, visible = count - random_below(seed, 3);
    while (history->snapshot_count < 6 && random_below(seed, 3) != 0 && at < visible) {
        at += 1 + random_below(seed, visible - at);
        history->snapshots[history->snapshot_count++] = at;
    }
    if (history->snapshot_count == 0 || history->snapshots[history->snapshot_count - 1] < visible) {
        history->snapshots[history->snapshot_count++] = visible;
    }
    history->zeroes = history->below == 0 && random_below(seed, 2) == 0;
}

/* Splits entries: those that are compacted, in `above`, and those below. */
static size_t split(const struct history *history, bool is_above, struct entry *into)
{
    size_t count = 0;

    for (size_t i = 0; i < history->entry_count; i++) {
        if ((history->entries[i].sequence > history->below) == is_above) {
            into[count++] = history->entries[i];
        }
    }
    return count;
}

static bool is_bare(void *argument, struct kv_slice key)
{
    const struct history *history = argument;

    for (size_t i = 0; i < history->entry_count; i++) {
        if (history->entries[i].sequence <= history->below &&
            kv_compare_bytes(text(history->entries[i].user), key) == 0) {
            return false;
        }
    }
    return true;
}

/* ---- comparing ------------------------------------------------------------------------------ */

static struct kv_survivors_options options_of(struct history *history,
                                              const struct quarry_kv_merge_operator *merge_operator,
                                              const struct kv_fragments *fragments)
{
    return (struct kv_survivors_options){
        .memory = &heap,
        .comparator = &kv_bytewise,
        .merge_operator = merge_operator,
        .snapshots = history->snapshots,
        .snapshot_count = history->snapshot_count,
        .fragments = fragments,
        .is_bare = is_bare,
        .argument = history,
        .zeroes = history->zeroes,
        .has_single_deletes = true,
        .value_bytes_max = VALUE_BYTES - 1,
    };
}

static size_t run_survivors(struct history *history, const struct kv_survivors_options *options,
                            struct entry *into)
{
    struct entry above[ENTRIES_MAX];
    struct array_iterator array = {.base = {.ops = &array_ops},
                                   .entries = above,
                                   .count = split(history, true, above),
                                   .failing_at = SIZE_MAX};
    struct kv_survivors survivors;
    enum quarry_status status;
    size_t count = 0;

    array_first(&array.base);
    kv_survivors_init(&survivors, options, &array.base, NULL);
    while ((status = kv_survivors_next(&survivors)) == QUARRY_OK) {
        struct entry *entry = &into[count++];
        *entry = (struct entry){.user = {survivors.key.user.bytes[0]},
                                .sequence = kv_trailer_sequence(survivors.key.trailer),
                                .type = kv_trailer_type(survivors.key.trailer)};
        assert_int_equal(survivors.key.user.count, 1);
        assert_true(survivors.value.count < VALUE_BYTES);
        if (survivors.value.count != 0) {
            memcpy(entry->value, survivors.value.bytes, survivors.value.count);
        }
        assert_true(count == 1 || is_before(&into[count - 2], entry));
    }
    assert_int_equal(status, QUARRY_NOT_FOUND);
    kv_survivors_fini(&survivors);
    return count;
}

/* Range deletions that are left when those of the oldest stripe may go. */
static size_t surviving_ranges(const struct history *history, struct kv_range *into)
{
    size_t count = 0;

    for (size_t i = 0; i < history->range_count; i++) {
        bool goes = history->zeroes && history->ranges[i].sequence <= history->snapshots[0];
        if (!goes) {
            into[count++] = history->ranges[i];
        }
    }
    return count;
}

static void compare(const struct history *history, const struct entry *after, size_t after_count,
                    uint64_t sequence)
{
    struct kv_range ranges[RANGES_MAX];
    size_t range_count = surviving_ranges(history, ranges);

    for (size_t i = 0; i < KEYS; i++) {
        char before_value[VALUE_BYTES * 2], after_value[VALUE_BYTES * 2];
        bool was = read_key(history->entries, history->entry_count, history->ranges,
                            history->range_count, key_names[i], sequence, before_value);
        bool is =
            read_key(after, after_count, ranges, range_count, key_names[i], sequence, after_value);
        assert_int_equal(was, is);
        assert_string_equal(before_value, after_value);
    }
}

/* Reads at snapshots, and at all that is not below what was visible. */
static void check_history(struct history *history,
                          const struct quarry_kv_merge_operator *merge_operator, size_t *dropped)
{
    struct kv_fragments *fragments = NULL;
    struct entry after[2 * ENTRIES_MAX];
    struct kv_range above[RANGES_MAX];
    size_t range_count = 0;

    for (size_t i = 0; i < history->range_count; i++) {
        if (history->ranges[i].sequence > history->below) {
            above[range_count++] = history->ranges[i];
        }
    }
    if (range_count != 0) {
        assert_int_equal(kv_fragments_create(&heap, &kv_bytewise, above, range_count, &fragments),
                         QUARRY_OK);
    }
    struct kv_survivors_options options = options_of(history, merge_operator, fragments);
    size_t count = run_survivors(history, &options, after);
    *dropped += split(history, true, after + count) - count;
    count += split(history, false, after + count);
    sort_entries(after, count);
    uint64_t visible = history->snapshots[history->snapshot_count - 1];
    for (uint32_t i = 0; i < history->snapshot_count; i++) {
        compare(history, after, count, history->snapshots[i]);
    }
    for (uint64_t sequence = visible; sequence < visible + 5; sequence++) {
        compare(history, after, count, sequence);
    }
    kv_fragments_release(fragments);
}

/* Joins no two operands. */
static enum quarry_status merge_like_append(void *argument, struct quarry_kv_slice key,
                                            const struct quarry_kv_slice *base,
                                            const struct quarry_kv_slice *operands, size_t count,
                                            struct quarry_kv_buffer *result)
{
    const struct quarry_kv_merge_operator *append = quarry_kv_merge_append(',');

    (void)argument;
    return append->merge(append->argument, key, base, operands, count, result);
}
/* Refuses every second key. */
static enum quarry_status merge_or_refuse(void *argument, struct quarry_kv_slice key,
                                          const struct quarry_kv_slice *base,
                                          const struct quarry_kv_slice *operands, size_t count,
                                          struct quarry_kv_buffer *result)
{
    if (((const char *)key.bytes)[0] == 'd') {
        return QUARRY_CORRUPT;
    }
    return merge_like_append(argument, key, base, operands, count, result);
}
static bool join_or_refuse(void *argument, struct quarry_kv_slice key, struct quarry_kv_slice older,
                           struct quarry_kv_slice newer, struct quarry_kv_buffer *result)
{
    const struct quarry_kv_merge_operator *append = quarry_kv_merge_append(',');

    (void)argument;
    return (older.byte_count + newer.byte_count) % 2 == 0 &&
           append->merge_two(append->argument, key, older, newer, result);
}

static void test_what_every_reader_sees_stays_the_same(void **state)
{
    static const struct quarry_kv_merge_operator alone = {.name = "alone",
                                                          .merge = merge_like_append};
    static const struct quarry_kv_merge_operator refusing = {
        .name = "refusing", .merge = merge_or_refuse, .merge_two = join_or_refuse};
    const struct quarry_kv_merge_operator *operators[] = {quarry_kv_merge_append(','), &alone,
                                                          &refusing, NULL};
    uint64_t seed = 20261;
    size_t dropped = 0;

    (void)state;
    for (uint32_t round = 0; round < 40000; round++) {
        struct history history;
        make_history(&history, &seed);
        check_history(&history, operators[round % COUNT_OF(operators)], &dropped);
    }
    assert_true(dropped > 40000); /* it is not that all simply survive */
}

/* ---- one rule each -------------------------------------------------------------------------- */

struct wanted {
    uint64_t sequence;
    enum kv_type type;
    const char *value;
};

/* Entries of key "b", the newest first; what survives. */
static void expect(struct history *history, const struct quarry_kv_compaction_filter *filter,
                   const struct wanted *entries, size_t count, const struct wanted *wanted,
                   size_t wanted_count)
{
    struct entry after[ENTRIES_MAX];
    struct kv_survivors_options options = options_of(history, quarry_kv_merge_append(','), NULL);

    options.filter = filter;
    for (size_t i = 0; i < count; i++) {
        struct entry *entry = &history->entries[history->entry_count++];
        *entry =
            (struct entry){.user = "b", .sequence = entries[i].sequence, .type = entries[i].type};
        strcpy(entry->value, entries[i].value);
    }
    assert_int_equal(run_survivors(history, &options, after), wanted_count);
    for (size_t i = 0; i < wanted_count; i++) {
        assert_int_equal(after[i].sequence, wanted[i].sequence);
        assert_int_equal(after[i].type, wanted[i].type);
        assert_string_equal(after[i].value, wanted[i].value);
    }
}
#define EXPECT(history, entries, wanted)                                                           \
    expect(history, NULL, entries, COUNT_OF(entries), wanted, COUNT_OF(wanted))

static void test_only_the_newest_of_a_stripe_survives(void **state)
{
    struct history history = {.snapshots = {3, 9}, .snapshot_count = 2};
    const struct wanted entries[] = {
        {8, KV_TYPE_PUT, "h"}, {5, KV_TYPE_PUT, "e"}, {3, KV_TYPE_PUT, "c"}, {2, KV_TYPE_PUT, "b"}};
    const struct wanted wanted[] = {{8, KV_TYPE_PUT, "h"}, {3, KV_TYPE_PUT, "c"}};

    (void)state;
    EXPECT(&history, entries, wanted);
}

static void test_a_sequence_at_the_bottom_becomes_zero(void **state)
{
    struct history history = {.snapshots = {5, 9}, .snapshot_count = 2, .zeroes = true};
    const struct wanted entries[] = {{8, KV_TYPE_PUT, "h"}, {3, KV_TYPE_PUT, "c"}};
    const struct wanted wanted[] = {{8, KV_TYPE_PUT, "h"}, {0, KV_TYPE_PUT, "c"}};

    (void)state;
    EXPECT(&history, entries, wanted);
}

static void test_a_deletion_at_the_bottom_goes_with_what_it_deletes(void **state)
{
    struct history history = {.snapshots = {9}, .snapshot_count = 1};
    const struct wanted entries[] = {{8, KV_TYPE_DELETE, ""}, {3, KV_TYPE_PUT, "c"}};

    (void)state;
    expect(&history, NULL, entries, COUNT_OF(entries), NULL, 0);
}

static void test_a_deletion_that_a_snapshot_does_not_see_stays(void **state)
{
    struct history history = {.snapshots = {5, 9}, .snapshot_count = 2};
    const struct wanted entries[] = {{8, KV_TYPE_DELETE, ""}, {3, KV_TYPE_PUT, "c"}};
    const struct wanted wanted[] = {{8, KV_TYPE_DELETE, ""}, {3, KV_TYPE_PUT, "c"}};

    (void)state;
    EXPECT(&history, entries, wanted);
}

static void test_a_single_deletion_that_hides_a_put_becomes_a_deletion(void **state)
{
    struct history history = {.snapshots = {9}, .snapshot_count = 1, .below = 1};
    const struct wanted entries[] = {
        {8, KV_TYPE_SINGLE_DELETE, ""}, {3, KV_TYPE_PUT, "c"}, {1, KV_TYPE_PUT, "a"}};
    const struct wanted wanted[] = {{8, KV_TYPE_DELETE, ""}};

    (void)state;
    EXPECT(&history, entries, wanted);
}

static void test_a_single_deletion_that_hides_nothing_stays_one(void **state)
{
    struct history history = {.snapshots = {9}, .snapshot_count = 1, .below = 1};
    const struct wanted entries[] = {{8, KV_TYPE_SINGLE_DELETE, ""}, {1, KV_TYPE_PUT, "a"}};
    const struct wanted wanted[] = {{8, KV_TYPE_SINGLE_DELETE, ""}};

    (void)state;
    EXPECT(&history, entries, wanted);
}

static void test_operands_are_merged_with_a_put(void **state)
{
    struct history history = {.snapshots = {9}, .snapshot_count = 1, .below = 1};
    const struct wanted entries[] = {{8, KV_TYPE_MERGE, "z"},
                                     {7, KV_TYPE_MERGE, "y"},
                                     {3, KV_TYPE_PUT, "x"},
                                     {1, KV_TYPE_PUT, "a"}};
    const struct wanted wanted[] = {{8, KV_TYPE_PUT, "x,y,z"}};

    (void)state;
    EXPECT(&history, entries, wanted);
}

static void test_operands_on_something_below_are_joined(void **state)
{
    struct history history = {.snapshots = {5, 9}, .snapshot_count = 2, .below = 1};
    const struct wanted entries[] = {{8, KV_TYPE_MERGE, "z"},
                                     {7, KV_TYPE_MERGE, "y"},
                                     {4, KV_TYPE_MERGE, "x"},
                                     {1, KV_TYPE_PUT, "a"}};
    const struct wanted wanted[] = {{8, KV_TYPE_MERGE, "y,z"}, {4, KV_TYPE_MERGE, "x"}};

    (void)state;
    EXPECT(&history, entries, wanted);
}

static void test_operands_on_nothing_become_a_put(void **state)
{
    struct history history = {.snapshots = {5, 9}, .snapshot_count = 2};
    const struct wanted entries[] = {{4, KV_TYPE_MERGE, "x"}, {2, KV_TYPE_MERGE, "w"}};
    const struct wanted wanted[] = {{4, KV_TYPE_PUT, "w,x"}};

    (void)state;
    EXPECT(&history, entries, wanted);
}

/* ---- filters -------------------------------------------------------------------------------- */

/* Drops values that end in a digit which is even. */
static bool drops_even(void *argument, struct quarry_kv_slice key, struct quarry_kv_slice value)
{
    uint32_t *asked_count = argument;
    const char *bytes = value.bytes;

    assert_int_equal(key.byte_count, 1);
    (*asked_count)++;
    return (bytes[value.byte_count - 1] - '0') % 2 == 0;
}

static uint32_t asked_count;
static const struct quarry_kv_compaction_filter even_filter = {
    .name = "even", .argument = &asked_count, .drops = drops_even};

static void test_a_put_that_a_filter_drops_is_gone_where_nothing_is_below(void **state)
{
    struct history history = {.snapshots = {9}, .snapshot_count = 1, .zeroes = true};
    const struct wanted entries[] = {{8, KV_TYPE_PUT, "v8"}, {3, KV_TYPE_PUT, "v3"}};

    (void)state;
    expect(&history, &even_filter, entries, COUNT_OF(entries), NULL, 0);
}

static void test_a_put_that_a_filter_drops_hides_what_is_below(void **state)
{
    struct history history = {.snapshots = {9}, .snapshot_count = 1, .below = 1};
    const struct wanted entries[] = {
        {8, KV_TYPE_PUT, "v8"}, {3, KV_TYPE_PUT, "v3"}, {1, KV_TYPE_PUT, "v1"}};
    const struct wanted wanted[] = {{8, KV_TYPE_DELETE, ""}};

    (void)state;
    expect(&history, &even_filter, entries, COUNT_OF(entries), wanted, COUNT_OF(wanted));
}

static void test_a_filter_is_not_asked_for_what_a_snapshot_keeps(void **state)
{
    struct history history = {.snapshots = {5, 9}, .snapshot_count = 2};
    const struct wanted entries[] = {{8, KV_TYPE_PUT, "v8"}, {4, KV_TYPE_PUT, "v4"}};
    const struct wanted wanted[] = {{8, KV_TYPE_DELETE, ""}, {4, KV_TYPE_PUT, "v4"}};
    struct history kept = {.snapshots = {5, 9}, .snapshot_count = 2};

    (void)state;
    expect(&history, &even_filter, entries, COUNT_OF(entries), wanted, COUNT_OF(wanted));
    expect(&kept, &even_filter, &wanted[1], 1, &wanted[1], 1);
}

static void test_a_filter_is_not_asked_for_operands_and_what_is_hidden(void **state)
{
    struct history history = {.snapshots = {8}, .snapshot_count = 1, .below = 1};
    const struct wanted entries[] = {{9, KV_TYPE_PUT, "v6"},
                                     {8, KV_TYPE_MERGE, "m8"},
                                     {7, KV_TYPE_PUT, "v2"},
                                     {3, KV_TYPE_PUT, "v4"},
                                     {1, KV_TYPE_PUT, "v2"}};
    const struct wanted wanted[] = {{9, KV_TYPE_PUT, "v6"}, {8, KV_TYPE_PUT, "v2,m8"}};

    (void)state;
    asked_count = 0;
    expect(&history, &even_filter, entries, COUNT_OF(entries), wanted, COUNT_OF(wanted));
    assert_int_equal(asked_count, 0);
}

/* What readers saw who may still read is the same, but that dropped values are gone for new ones.
 */
static void check_filtered_history(struct history *history)
{
    struct kv_survivors_options options = options_of(history, NULL, NULL);
    struct entry after[2 * ENTRIES_MAX];

    options.filter = &even_filter;
    history->range_count = 0;
    size_t count = run_survivors(history, &options, after);
    count += split(history, false, after + count);
    sort_entries(after, count);
    uint32_t last = history->snapshot_count - 1;
    for (uint32_t i = 0; i < history->snapshot_count; i++) {
        for (size_t k = 0; k < KEYS; k++) {
            char before_value[VALUE_BYTES * 2], after_value[VALUE_BYTES * 2];
            bool was = read_key(history->entries, history->entry_count, NULL, 0, key_names[k],
                                history->snapshots[i], before_value);
            bool is =
                read_key(after, count, NULL, 0, key_names[k], history->snapshots[i], after_value);
            bool may_go = i == last && was && strchr(before_value, ',') == NULL &&
                          drops_even(&asked_count, (struct quarry_kv_slice){"k", 1},
                                     (struct quarry_kv_slice){before_value, strlen(before_value)});
            assert_true(was == is || (may_go && !is));
            assert_true(!is || strcmp(before_value, after_value) == 0);
        }
    }
}

static void test_snapshots_see_what_a_filter_drops(void **state)
{
    uint64_t seed = 7;

    (void)state;
    asked_count = 0;
    for (uint32_t round = 0; round < 20000; round++) {
        struct history history;
        make_history(&history, &seed);
        for (size_t i = 0; i < history.entry_count; i++) {
            if (history.entries[i].type == KV_TYPE_MERGE) {
                history.entries[i].type = KV_TYPE_PUT;
            }
        }
        check_filtered_history(&history);
    }
    assert_true(asked_count > 20000);
}

/* ---- errors --------------------------------------------------------------------------------- */

static void test_an_error_of_the_input_is_told(void **state)
{
    struct history history;
    uint64_t seed = 3;

    (void)state;
    for (uint32_t round = 0; round < 500; round++) {
        make_history(&history, &seed);
        struct kv_survivors_options options =
            options_of(&history, quarry_kv_merge_append(','), NULL);
        struct entry above[ENTRIES_MAX];
        size_t count = split(&history, true, above);
        struct array_iterator array = {.base = {.ops = &array_ops},
                                       .entries = above,
                                       .count = count,
                                       .failing_at = random_below(&seed, count + 1)};
        struct kv_survivors survivors;
        enum quarry_status status;
        array_first(&array.base);
        kv_survivors_init(&survivors, &options, &array.base, NULL);
        while ((status = kv_survivors_next(&survivors)) == QUARRY_OK) {
        }
        assert_int_equal(status, QUARRY_IO);
        kv_survivors_fini(&survivors);
    }
}

static void test_it_ends_when_it_is_cancelled(void **state)
{
    struct history history = {.snapshots = {9}, .snapshot_count = 1, .entry_count = 1};
    struct kv_survivors_options options = options_of(&history, NULL, NULL);
    struct array_iterator array = {
        .base = {.ops = &array_ops}, .entries = history.entries, .count = 1, .failing_at = 5};
    struct kv_survivors survivors;
    _Atomic bool is_cancelled = true;

    (void)state;
    history.entries[0] = (struct entry){.user = "b", .sequence = 4, .type = KV_TYPE_PUT};
    options.is_cancelled = &is_cancelled;
    array_first(&array.base);
    kv_survivors_init(&survivors, &options, &array.base, NULL);
    assert_int_equal(kv_survivors_next(&survivors), QUARRY_CANCELLED);
    kv_survivors_fini(&survivors);
}

static void test_no_memory_at_any_place_is_an_error(void **state)
{
    const struct wanted entries[] = {{8, KV_TYPE_MERGE, "z"}, {3, KV_TYPE_PUT, "c"}};
    bool has_succeeded = false;
    uint32_t failures = 0;

    (void)state;
    for (uint64_t allowed = 0; !has_succeeded; allowed += 16) {
        struct history history = {.snapshots = {9}, .snapshot_count = 1, .entry_count = 2};
        struct array_iterator array = {.base = {.ops = &array_ops},
                                       .entries = history.entries,
                                       .count = 2,
                                       .failing_at = SIZE_MAX};
        for (size_t i = 0; i < 2; i++) {
            history.entries[i] = (struct entry){
                .user = "b", .sequence = entries[i].sequence, .type = entries[i].type};
            strcpy(history.entries[i].value, entries[i].value);
        }
        struct kv_survivors_options options =
            options_of(&history, quarry_kv_merge_append(','), NULL);
        struct kv_survivors survivors;
        allow_bytes(allowed);
        array_first(&array.base);
        kv_survivors_init(&survivors, &options, &array.base, NULL);
        enum quarry_status status = kv_survivors_next(&survivors);
        assert_true(status == QUARRY_OK || status == QUARRY_NO_MEMORY);
        has_succeeded = status == QUARRY_OK;
        failures += !has_succeeded;
        kv_survivors_fini(&survivors);
    }
    allow_bytes(UINT64_MAX);
    assert_true(failures >= 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_every_reader_sees_stays_the_same),
        cmocka_unit_test(test_only_the_newest_of_a_stripe_survives),
        cmocka_unit_test(test_a_sequence_at_the_bottom_becomes_zero),
        cmocka_unit_test(test_a_deletion_at_the_bottom_goes_with_what_it_deletes),
        cmocka_unit_test(test_a_deletion_that_a_snapshot_does_not_see_stays),
        cmocka_unit_test(test_a_single_deletion_that_hides_a_put_becomes_a_deletion),
        cmocka_unit_test(test_a_single_deletion_that_hides_nothing_stays_one),
        cmocka_unit_test(test_operands_are_merged_with_a_put),
        cmocka_unit_test(test_operands_on_something_below_are_joined),
        cmocka_unit_test(test_operands_on_nothing_become_a_put),
        cmocka_unit_test(test_a_put_that_a_filter_drops_is_gone_where_nothing_is_below),
        cmocka_unit_test(test_a_put_that_a_filter_drops_hides_what_is_below),
        cmocka_unit_test(test_a_filter_is_not_asked_for_what_a_snapshot_keeps),
        cmocka_unit_test(test_a_filter_is_not_asked_for_operands_and_what_is_hidden),
        cmocka_unit_test(test_snapshots_see_what_a_filter_drops),
        cmocka_unit_test(test_an_error_of_the_input_is_told),
        cmocka_unit_test(test_it_ends_when_it_is_cancelled),
        cmocka_unit_test(test_no_memory_at_any_place_is_an_error),
    };

    return cmocka_run_group_tests(tests, rig_set_up, rig_tear_down);
}
