/*
 * The parts of tables: hashes by vectors, checksums, compression, blocks, indexes, filters.
 */
#include "unit/kv/sst_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <kv/sst/block_build.h>
#include <kv/sst/checksum.h>
#include <kv/sst/filter.h>
#include <kv/sst/index.h>

static void xxph3_gives_the_numbers_of_the_format(void **state)
{
    static const struct {
        size_t count;
        uint64_t hash;
    } vectors[] = {
        {0, 0x5342c3010fe1dd04},   {1, 0xb71d295c7865c7e9},   {3, 0x8b93d65306b47960},
        {4, 0x640dfa78d9602caa},   {8, 0xe02bb0260ca2f426},   {9, 0x82e27d91ecbde0e3},
        {16, 0x808dc7f6a08e1828},  {17, 0x6216c07c87bfe5d1},  {128, 0xb885f0d2689835e1},
        {129, 0xfe146eb2e99b1a68}, {240, 0xddce7abbd046abf1}, {241, 0xb1e53475de84b071},
        {512, 0xe48d39a8e36d4c18},
    };
    unsigned char bytes[512];

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (unsigned char)(131 * i + 7);
    }
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        assert_true(sst_xxph3_64(bytes, vectors[i].count) == vectors[i].hash);
    }
}

static void hashes_of_32_bits_agree_on_ascii_alone(void **state)
{
    (void)state;
    for (size_t count = 0; count < 16; count++) {
        assert_true(sst_hash32("abcdefghijklmnop", count, 1) ==
                    sst_hash32_signed("abcdefghijklmnop", count, 1));
    }
    /* LevelDB's own vectors. */
    static const unsigned char one[] = {0x62}, two[] = {0xc3, 0x97}, three[] = {0xe2, 0x99, 0xa5};
    assert_true(sst_hash32("", 0, 0xbc9f1d34) == 0xbc9f1d34);
    assert_true(sst_hash32(one, 1, 0xbc9f1d34) == 0xef1345c4);
    assert_true(sst_hash32(two, 2, 0xbc9f1d34) == 0x5b663814);
    assert_true(sst_hash32(three, 3, 0xbc9f1d34) == 0x323c078f);
    assert_true(sst_hash32_signed(two, 2, 0xbc9f1d34) != 0x5b663814);
}

static void checksums_tell_the_compression_byte(void **state)
{
    char block[] = "some payload\0";

    (void)state;
    for (uint8_t type = SST_CHECKSUM_CRC32C; type <= SST_CHECKSUM_XXH3; type++) {
        block[12] = 0;
        uint32_t none = sst_checksum((enum sst_checksum_type)type, block, 12);
        block[12] = 1;
        assert_true(sst_checksum((enum sst_checksum_type)type, block, 12) != none);
    }
    assert_int_equal(sst_checksum(SST_CHECKSUM_NONE, block, 12), 0);
    assert_false(sst_checksum_is_known(5));
}

static void what_is_compressed_comes_back(void **state)
{
    static const uint8_t types[] = {QUARRY_KV_COMPRESSION_SNAPPY, QUARRY_KV_COMPRESSION_LZ4,
                                    QUARRY_KV_COMPRESSION_ZSTD};
    struct sst_codec *codec = NULL;
    uint64_t random = 4;

    (void)state;
    assert_int_equal(sst_codec_take(&rig.tables.codecs, &codec), QUARRY_OK);
    for (size_t n = 0; n < 60; n++) {
        size_t count = 100 + rig_random(&random) % 20000, got = 0, length = 0;
        char *bytes = malloc(count), *room = malloc(count), *kept;
        const char *packed = NULL;
        assert_true(bytes != NULL && room != NULL);
        for (size_t i = 0; i < count; i++) {
            bytes[i] = (char)('a' + rig_random(&random) % 3);
        }
        uint8_t type = types[n % 3];
        assert_int_equal(sst_compress(codec, type, 0, bytes, count, &packed, &got), QUARRY_OK);
        assert_true(got < count);
        kept = malloc(got);
        assert_non_null(kept);
        memcpy(kept, packed, got);
        assert_int_equal(sst_uncompressed_bytes(codec, type, true, kept, got, &length), QUARRY_OK);
        assert_int_equal(length, count);
        assert_int_equal(sst_uncompress(codec, type, true, NULL, kept, got, room, length),
                         QUARRY_OK);
        assert_memory_equal(room, bytes, count);
        /* Not shorter than it was, and cut short. */
        assert_int_equal(sst_uncompress(codec, type, true, NULL, kept, got - 1, room, length),
                         QUARRY_CORRUPT);
        free(bytes);
        free(room);
        free(kept);
    }
    sst_codec_give(&rig.tables.codecs, codec);
}

static void noise_is_not_worth_compressing(void **state)
{
    struct sst_codec *codec = NULL;
    char bytes[4096];
    const char *packed;
    size_t count;
    uint64_t random = 4;

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (char)rig_random(&random);
    }
    assert_int_equal(sst_codec_take(&rig.tables.codecs, &codec), QUARRY_OK);
    assert_int_equal(
        sst_compress(codec, QUARRY_KV_COMPRESSION_LZ4, 0, bytes, sizeof(bytes), &packed, &count),
        QUARRY_TOO_LARGE);
    sst_codec_give(&rig.tables.codecs, codec);
}

static void codecs_are_kept_up_to_a_number(void **state)
{
    struct sst_codec *codecs[SST_CODECS_KEPT + 2];

    (void)state;
    for (size_t i = 0; i < SST_CODECS_KEPT + 2; i++) {
        assert_int_equal(sst_codec_take(&rig.tables.codecs, &codecs[i]), QUARRY_OK);
    }
    for (size_t i = 0; i < SST_CODECS_KEPT + 2; i++) {
        sst_codec_give(&rig.tables.codecs, codecs[i]);
    }
    struct sst_codec *again;
    assert_int_equal(sst_codec_take(&rig.tables.codecs, &again), QUARRY_OK);
    assert_ptr_equal(again, codecs[0]);
    sst_codec_give(&rig.tables.codecs, again);
}

static void a_block_of_known_bytes_is_built(void **state)
{
    static const unsigned char wanted[] = {
        0, 10, 1, 'a', 'b', 1, 5, 0, 0, 0, 0, 0, 0,   'x', /* ab, put at 5 = x */
        1, 9,  1, 'c', 1,   5, 0, 0, 0, 0, 0, 0, 'y',      /* ac */
        0, 10, 0, 'b', 'c', 1, 5, 0, 0, 0, 0, 0, 0,        /* bc: a restart */
        0, 0,  0, 0,   27,  0, 0, 0, 2, 0, 0, 0};
    const struct sst_heap *heap = &rig.tables.heap;
    struct sst_block_build build = {
        .restart_interval = 2, .has_trailers = true, .has_value_lengths = true};
    const char *keys[] = {"ab", "ac", "bc"};
    const char *values[] = {"x", "y", ""};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct kv_key key = {kv_slice(keys[i], 2), kv_trailer(5, KV_TYPE_PUT)};
        assert_int_equal(
            sst_block_build_add(heap, &build, key, kv_slice(values[i], strlen(values[i]))),
            QUARRY_OK);
    }
    assert_int_equal(sst_block_build_bytes(&build), sizeof(wanted));
    assert_int_equal(sst_block_build_finish(heap, &build), QUARRY_OK);
    assert_int_equal(build.bytes.count, sizeof(wanted));
    assert_memory_equal(build.bytes.bytes, wanted, sizeof(wanted));
    sst_block_build_fini(heap, &build);
}

static void blocks_that_make_no_sense_are_refused(void **state)
{
    static const unsigned char wrong[][24] = {
        {0, 8, 0, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 2, 0, 0, 0}, /* two restarts, one there */
        {1, 8, 0, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, 0, 0, 0}, /* shares with nothing */
        {0, 7, 0, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, 0, 0, 0},    /* no trailer */
        {0, 8, 9, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, 0, 0, 0}, /* a value too long */
        {0, 0, 0, 0, 1, 0, 0, 0},                                  /* no entries */
        {0, 8, 0, 1, 1, 1, 1, 1, 1, 1, 1, 5, 0, 0, 0, 1, 0, 0, 0}, /* a restart within */
    };
    static const size_t counts[] = {19, 19, 18, 19, 8, 19};
    _Alignas(8) char head[256];
    size_t extra;

    (void)state;
    for (size_t i = 0; i < 6; i++) {
        const char *bytes = (const char *)wrong[i];
        if (sst_block_extra_bytes(bytes, counts[i], &extra)) {
            assert_true(extra <= sizeof(head));
            assert_non_null(sst_block_parse(bytes, counts[i], (struct sst_block_head *)head));
        }
    }
    assert_false(sst_block_extra_bytes("abc", 3, &extra));
}

/* ---- indexes -------------------------------------------------------------------------------- */

#define INDEX_KEYS_MAX  600u
#define INDEX_KEY_BYTES 32u

struct index_keys {
    char text[INDEX_KEYS_MAX][INDEX_KEY_BYTES];
    uint32_t count;
};

static void add_index_key(struct index_keys *keys, const char *text)
{
    (void)snprintf(keys->text[keys->count++], INDEX_KEY_BYTES, "%s", text);
}

/* Builds a block of the keys, and decodes it. Returns: own. */
static struct sst_index *index_of(const struct index_keys *keys)
{
    const struct sst_heap *heap = &rig.tables.heap;
    const struct sst_index_form form = {
        .has_user_keys = true, .is_bytewise = true, .limit = UINT64_C(1) << 40};
    struct sst_block_build build = {.restart_interval = 1, .has_value_lengths = true};
    struct sst_index_measure measure;
    const char *fault = NULL;

    for (uint32_t i = 0; i < keys->count; i++) {
        const char value[] = {(char)(i % 128), 100}; /* a handle: where, how much */
        struct kv_key key = {kv_slice(keys->text[i], strlen(keys->text[i])), 0};
        assert_int_equal(sst_block_build_add(heap, &build, key, kv_slice(value, 2)), QUARRY_OK);
    }
    assert_int_equal(sst_block_build_finish(heap, &build), QUARRY_OK);
    assert_int_equal(
        sst_index_measure(heap, build.bytes.bytes, build.bytes.count, &form, &measure, &fault),
        QUARRY_OK);
    struct sst_index *index = malloc(measure.decoded_bytes);
    assert_non_null(index);
    assert_int_equal(
        sst_index_parse(heap, build.bytes.bytes, build.bytes.count, &form, &measure, index, &fault),
        QUARRY_OK);
    sst_block_build_fini(heap, &build);
    return index;
}

static void check_found(const struct index_keys *keys, const struct sst_index *index,
                        const char *wanted, size_t byte_count)
{
    const struct kv_slice user = kv_slice(wanted, byte_count);
    uint32_t first = 0;

    while (first < keys->count &&
           kv_compare(&kv_bytewise, kv_slice(keys->text[first], strlen(keys->text[first])), user) <
               0) {
        first++;
    }
    assert_int_equal(sst_index_find(index, &kv_bytewise, (struct kv_key){user, 0}), first);
}

static void check_index(const struct index_keys *keys)
{
    struct sst_index *index = index_of(keys);
    char above[INDEX_KEY_BYTES + 1];

    assert_int_equal(index->count, keys->count);
    for (uint32_t i = 0; i < keys->count; i++) {
        size_t byte_count = strlen(keys->text[i]);
        memcpy(above, keys->text[i], byte_count + 1); /* with its NUL: just above */
        for (size_t some = 0; some <= byte_count + 1; some++) {
            check_found(keys, index, above, some);
        }
        above[byte_count - 1]++;
        check_found(keys, index, above, byte_count);
    }
    check_found(keys, index, "\xff\xff", 2);
    free(index);
}

static void an_index_finds_the_first_separator_that_is_not_before_a_key(void **state)
{
    static const char *const ends[] = {"", "kez", "key:1", "l", "\xff"};
    static const char *const begins[] = {"", "a", "key:0", "key:000000000000000000"};
    static struct index_keys keys;
    char text[INDEX_KEY_BYTES];

    (void)state;
    for (uint32_t shape = 0; shape < 40; shape++) {
        uint32_t step = shape % 2 == 0 ? 1 : 997;
        keys.count = 0;
        if (begins[shape / 2 % 4][0] != '\0') {
            add_index_key(&keys, begins[shape / 2 % 4]);
        }
        for (uint32_t i = 1; i <= (shape < 8 ? shape : 300); i++) {
            (void)snprintf(text, sizeof(text), "key:000000%012u", i * step);
            add_index_key(&keys, text);
        }
        if (ends[shape / 8][0] != '\0') {
            add_index_key(&keys, ends[shape / 8]);
        }
        if (keys.count != 0) {
            check_index(&keys);
        }
    }
}

static void filters_have_the_size_and_probes_of_the_format(void **state)
{
    const struct sst_heap *heap = &rig.tables.heap;
    struct sst_filter_build build = {0};
    struct sst_buffer bytes = {0};

    (void)state;
    for (uint64_t i = 0; i < 10000; i++) {
        assert_int_equal(sst_filter_build_add(heap, &build, sst_xxph3_64(&i, 8)), QUARRY_OK);
        assert_int_equal(sst_filter_build_add(heap, &build, sst_xxph3_64(&i, 8)), QUARRY_OK);
    }
    assert_int_equal(build.count, 10000);
    struct sst_hash_place place = {.piece = build.first};
    assert_int_equal(sst_filter_append(heap, &bytes, &place, build.count, 10000), QUARRY_OK);
    assert_int_equal(bytes.count, (12500 + 63) / 64 * 64 + 5);
    const struct sst_filter filter = sst_filter_parse(bytes.bytes, bytes.count, false);
    assert_int_equal(filter.kind, SST_FILTER_FAST);
    assert_int_equal(filter.probes, 6);
    uint32_t passed = 0;
    for (uint64_t i = 0; i < 20000; i++) {
        bool passes = sst_filter_passes(&filter, bytes.bytes, sst_xxph3_64(&i, 8), kv_slice(&i, 8));
        assert_true(passes || i >= 10000);
        passed += passes && i >= 10000;
    }
    assert_in_range(passed, 1, 200);
    sst_buffer_fini(heap, &bytes);
    sst_filter_build_fini(heap, &build);
}

static void filters_that_make_no_sense_let_everything_pass(void **state)
{
    uint64_t random = 1;
    char bytes[69];

    (void)state;
    memset(bytes, 0, sizeof(bytes));
    for (uint32_t i = 0; i < 20000; i++) {
        for (size_t n = sizeof(bytes) - 5; n < sizeof(bytes); n++) {
            bytes[n] = (char)rig_random(&random);
        }
        for (int is_leveldb = 0; is_leveldb < 2; is_leveldb++) {
            const struct sst_filter filter =
                sst_filter_parse(bytes, 5 + i % (sizeof(bytes) - 4), is_leveldb != 0);
            (void)sst_filter_passes(&filter, bytes, random, kv_slice("key", 3));
            (void)sst_filter_passes_in(&filter, bytes, kv_slice("key", 3), random >> 40);
        }
    }
    bytes[64] = (char)0xff;
    bytes[65] = (char)0xfe; /* Ribbon */
    assert_int_equal(sst_filter_parse(bytes, 69, false).kind, SST_FILTER_ALWAYS);
    assert_int_equal(sst_filter_parse(bytes, 0, false).kind, SST_FILTER_ALWAYS);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(xxph3_gives_the_numbers_of_the_format),
        TEST(hashes_of_32_bits_agree_on_ascii_alone),
        TEST(checksums_tell_the_compression_byte),
        TEST(what_is_compressed_comes_back),
        TEST(noise_is_not_worth_compressing),
        TEST(codecs_are_kept_up_to_a_number),
        TEST(a_block_of_known_bytes_is_built),
        TEST(blocks_that_make_no_sense_are_refused),
        TEST(an_index_finds_the_first_separator_that_is_not_before_a_key),
        TEST(filters_have_the_size_and_probes_of_the_format),
        TEST(filters_that_make_no_sense_let_everything_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
