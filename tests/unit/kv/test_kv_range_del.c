/* Fragments against a look at every range, for every key and sequence. */
#include "unit/kv/mem_rig.h"

#include "unit/base/random.h"

#define KEYS   24u
#define RANGES 12u

static const char letters[] = "abcdefghijklmnopqrstuvwxyz";

static struct kv_slice letter(uint64_t number)
{
    return kv_slice(letters + number, 1);
}

static uint64_t cover_of(const struct kv_range *ranges, size_t count, struct kv_slice key,
                         uint64_t sequence)
{
    uint64_t cover = 0;

    for (size_t i = 0; i < count; i++) {
        if (kv_compare_bytes(ranges[i].begin, key) <= 0 &&
            kv_compare_bytes(key, ranges[i].end) < 0 && ranges[i].sequence <= sequence &&
            ranges[i].sequence > cover) {
            cover = ranges[i].sequence;
        }
    }
    return cover;
}

static void check_shape(const struct kv_fragments *fragments)
{
    for (uint32_t i = 0; i < fragments->fragment_count; i++) {
        const struct kv_fragment *fragment = &fragments->fragments[i];
        assert_true(kv_compare_bytes(fragment->begin, fragment->end) < 0);
        assert_true(fragment->count >= 1);
        assert_true(i == 0 ||
                    kv_compare_bytes(fragments->fragments[i - 1].end, fragment->begin) <= 0);
        for (uint32_t j = 1; j < fragment->count; j++) {
            assert_true(fragments->sequences[fragment->first + j] <
                        fragments->sequences[fragment->first + j - 1]);
        }
    }
}

/* Entry by entry, as a list made by hand has them. */
static void check_walk(struct kv_fragments *fragments, uint64_t *random)
{
    struct kv_fragments_iterator iterator;
    struct kv_iterator *it = &iterator.base;
    uint32_t count = 0;
    struct kv_key all[KEYS * RANGES];

    kv_fragments_iterator_init(&iterator, fragments);
    for (it->ops->first(it); it->is_valid; it->ops->next(it)) {
        assert_true(count == 0 || kv_compare_keys(&kv_bytewise, all[count - 1], it->key) < 0);
        assert_int_equal(kv_trailer_type(it->key.trailer), KV_TYPE_RANGE_DELETE);
        all[count++] = it->key;
    }
    assert_int_equal(count, fragments->sequence_count);
    for (it->ops->last(it); it->is_valid; it->ops->previous(it)) {
        count--;
        assert_int_equal(kv_compare_keys(&kv_bytewise, all[count], it->key), 0);
    }
    assert_int_equal(count, 0);
    for (int i = 0; i < 30; i++) {
        static const enum kv_type types[] = {KV_TYPE_SEEK, KV_TYPE_PUT, KV_TYPE_RANGE_DELETE};
        const struct kv_key key = {
            letter(random_u64(random) % KEYS),
            kv_trailer(random_u64(random) % 30, types[random_u64(random) % 3])};
        uint32_t at = 0;
        while (at < fragments->sequence_count && kv_compare_keys(&kv_bytewise, all[at], key) < 0) {
            at++;
        }
        it->ops->seek(it, key);
        assert_int_equal(it->is_valid, at < fragments->sequence_count);
        assert_true(!it->is_valid || kv_compare_keys(&kv_bytewise, all[at], it->key) == 0);
        it->ops->seek_before(it, key);
        assert_int_equal(it->is_valid, at != 0);
        assert_true(!it->is_valid || kv_compare_keys(&kv_bytewise, all[at - 1], it->key) == 0);
    }
    it->ops->fini(it);
}

static void random_ranges_cover_what_they_should(void **state)
{
    uint64_t random = 5;

    (void)state;
    for (int turn = 0; turn < 3000; turn++) {
        struct kv_range ranges[RANGES];
        size_t count = random_u64(&random) % (RANGES + 1);
        struct kv_fragments *fragments = NULL;
        for (size_t i = 0; i < count; i++) {
            ranges[i] =
                (struct kv_range){letter(random_u64(&random) % KEYS),
                                  letter(random_u64(&random) % KEYS), random_u64(&random) % 30};
        }
        assert_int_equal(
            kv_fragments_create(&rig_kv_memory, &kv_bytewise, ranges, count, &fragments),
            QUARRY_OK);
        check_shape(fragments);
        for (uint64_t key = 0; key < KEYS; key++) {
            for (uint64_t sequence = 0; sequence < 31; sequence += 3) {
                assert_int_equal(kv_fragments_cover(fragments, letter(key), sequence),
                                 cover_of(ranges, count, letter(key), sequence));
            }
        }
        check_walk(fragments, &random);
        kv_fragments_release(fragments);
    }
    assert_int_equal(kv_fragments_cover(NULL, letter(1), 5), 0);
}

static void every_allocation_may_fail(void **state)
{
    struct kv_range ranges[RANGES];
    uint32_t refused_count = 0;

    (void)state;
    for (uint64_t i = 0; i < RANGES; i++) {
        ranges[i] = (struct kv_range){letter(i), letter(2 * i + 1), i};
    }
    for (uint64_t bytes = 0;; bytes += 64) {
        struct kv_fragments *fragments = NULL;
        mem_rig_leave(bytes);
        enum quarry_status status =
            kv_fragments_create(&rig_kv_memory, &kv_bytewise, ranges, RANGES, &fragments);
        mem_rig_leave(UINT64_MAX);
        if (status == QUARRY_OK) {
            kv_fragments_release(fragments);
            break;
        }
        assert_int_equal(status, QUARRY_NO_MEMORY);
        assert_int_equal(mem_rig_charged(), 0);
        refused_count++;
    }
    assert_true(refused_count >= 10);
}

#define WITH_RIG(name) cmocka_unit_test_setup_teardown(name, mem_rig_set_up, mem_rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_RIG(random_ranges_cover_what_they_should),
        WITH_RIG(every_allocation_may_fail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
