/* Version edits: what is written reads the same; what is not known is kept out by name. */
#include "unit/kv/ver_rig.h"

#include <string.h>

static struct kv_edit read_edit;

static enum quarry_status decode(const void *bytes, size_t byte_count, struct quarry_error *error)
{
    kv_edit_clear(&read_edit);
    return kv_edit_decode(&read_edit, kv_slice(bytes, byte_count), error);
}

static int set_up(void **state)
{
    (void)rig_set_up(state);
    kv_edit_init(&read_edit, &heap);
    return 0;
}
static int tear_down(void **state)
{
    kv_edit_fini(&read_edit);
    return rig_tear_down(state);
}

static void assert_same_file(const struct kv_edit_file *a, const struct kv_edit_file *b)
{
    assert_int_equal(a->level, b->level);
    assert_int_equal(a->number, b->number);
    assert_int_equal(a->byte_count, b->byte_count);
    assert_int_equal(kv_compare_keys(&kv_bytewise, a->smallest, b->smallest), 0);
    assert_int_equal(kv_compare_keys(&kv_bytewise, a->largest, b->largest), 0);
    assert_int_equal(a->smallest_sequence, b->smallest_sequence);
    assert_int_equal(a->largest_sequence, b->largest_sequence);
    assert_int_equal(a->oldest_ancestor_s, b->oldest_ancestor_s);
    assert_int_equal(a->created_s, b->created_s);
    assert_int_equal(a->entry_count, b->entry_count);
    assert_int_equal(a->deletion_count, b->deletion_count);
    assert_int_equal(a->range_deletion_count, b->range_deletion_count);
    assert_int_equal(a->temperature, b->temperature);
    assert_int_equal(a->wants_compaction, b->wants_compaction);
    assert_int_equal(a->has_counts, b->has_counts);
}

static struct kv_edit_file random_file(uint64_t *seed)
{
    static const char bytes[] = "the keys of random files are parts of this line, of any length";
    uint64_t first = random_below(seed, 20), last = 20 + random_below(seed, 20);
    struct kv_edit_file file = edit_file((uint32_t)random_below(seed, 7), random_next(seed), "", "",
                                         random_next(seed) >> 9, KV_SEQUENCE_MAX);

    file.byte_count = random_next(seed) >> random_below(seed, 64);
    file.smallest.user = kv_slice(bytes + first, random_below(seed, 20));
    file.largest.user = kv_slice(bytes + last, random_below(seed, 20));
    file.oldest_ancestor_s = random_next(seed) >> random_below(seed, 64);
    file.created_s = random_next(seed) >> 30;
    file.wants_compaction = random_below(seed, 2) == 0;
    file.has_counts = random_below(seed, 2) == 0;
    if (file.has_counts) {
        file.entry_count = random_next(seed);
        file.deletion_count = random_next(seed) >> 40;
        file.range_deletion_count = random_below(seed, 3);
    }
    file.temperature = (uint8_t)random_below(seed, 3);
    return file;
}

static void what_is_written_reads_the_same(void **state)
{
    static char room[65536];
    uint64_t seed = 1;

    (void)state;
    for (uint32_t round = 0; round < 300; round++) {
        struct kv_edit *edit = current_edit();
        begin_edit();
        edit->has = KV_EDIT_COMPARATOR | KV_EDIT_LOG_NUMBER | KV_EDIT_PREVIOUS_LOG |
                    KV_EDIT_NEXT_FILE | KV_EDIT_LAST_SEQUENCE | KV_EDIT_MINIMUM_LOG | KV_EDIT_DB_ID;
        edit->comparator = text("leveldb.BytewiseComparator");
        edit->db_id = text("0f60bfbb-8b5c-4d4e-8f4c-0f60bfbb8b5c");
        edit->log_number = random_next(&seed);
        edit->previous_log = random_below(&seed, 2);
        edit->next_file = random_next(&seed) >> 8;
        edit->last_sequence = random_next(&seed) >> 16;
        edit->minimum_log = random_next(&seed) >> 32;
        for (uint64_t i = random_below(&seed, 20); i > 0; i--) {
            struct kv_edit_file file = random_file(&seed);
            assert_int_equal(kv_edit_add(edit, &file), QUARRY_OK);
        }
        for (uint64_t i = random_below(&seed, 20); i > 0; i--) {
            remove_file((uint32_t)random_below(&seed, 7), random_next(&seed));
        }
        size_t count = kv_edit_encoded_bytes(edit, KV_EDIT_ROCKSDB);
        assert_in_range(count, 1, sizeof(room));
        assert_int_equal(kv_edit_encode(edit, KV_EDIT_ROCKSDB, room), count);
        assert_int_equal(decode(room, count, NULL), QUARRY_OK);
        assert_int_equal(read_edit.has, edit->has | KV_EDIT_ROCKSDB_TAGS);
        assert_int_equal(read_edit.log_number, edit->log_number);
        assert_int_equal(read_edit.previous_log, edit->previous_log);
        assert_int_equal(read_edit.next_file, edit->next_file);
        assert_int_equal(read_edit.last_sequence, edit->last_sequence);
        assert_int_equal(read_edit.minimum_log, edit->minimum_log);
        assert_int_equal(kv_compare_bytes(read_edit.comparator, edit->comparator), 0);
        assert_int_equal(kv_compare_bytes(read_edit.db_id, edit->db_id), 0);
        assert_int_equal(read_edit.added_count, edit->added_count);
        for (size_t i = 0; i < edit->added_count; i++) {
            assert_same_file(&read_edit.added[i], &edit->added[i]);
            assert_true(read_edit.added[i].has_sequences);
        }
        assert_int_equal(read_edit.removed_count, edit->removed_count);
        for (size_t i = 0; i < edit->removed_count; i++) {
            assert_int_equal(read_edit.removed[i].level, edit->removed[i].level);
            assert_int_equal(read_edit.removed[i].number, edit->removed[i].number);
        }
    }
}

static void leveldbs_form_has_its_tags_alone(void **state)
{
    char room[256];

    (void)state;
    begin_edit();
    current_edit()->has = KV_EDIT_LOG_NUMBER | KV_EDIT_MINIMUM_LOG | KV_EDIT_DB_ID;
    current_edit()->log_number = 9;
    add_file(2, 12, "a", "b", 5, 6);
    size_t count = kv_edit_encode(current_edit(), KV_EDIT_LEVELDB, room);
    assert_int_equal(count, kv_edit_encoded_bytes(current_edit(), KV_EDIT_LEVELDB));
    static const uint8_t expected[] = {2, 9, 7, 2, 12,  0xe8, 0x07, 9, 'a', 1, 6, 0, 0, 0,
                                       0, 0, 0, 9, 'b', 1,    5,    0, 0,   0, 0, 0, 0};
    assert_int_equal(count, sizeof(expected));
    assert_memory_equal(room, expected, count);
    assert_int_equal(decode(room, count, NULL), QUARRY_OK);
    assert_int_equal(read_edit.has, KV_EDIT_LOG_NUMBER);
    assert_false(read_edit.added[0].has_sequences);
    assert_int_equal(read_edit.added[0].smallest_sequence, 0);
    assert_int_equal(read_edit.added[0].largest_sequence, KV_SEQUENCE_MAX);
}

static void the_example_of_the_format_page_is_read(void **state)
{
    static const uint8_t example[] = {0x02, 0x04, 0x09, 0x00, 0x03, 0x0a, 0x04, 0x2a, 0x06, 0x00,
                                      0x05, 0x67, 0x01, 0x08, 0xe8, 0x07, 0x09, 0x61, 0x01, 0x0b,
                                      0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x09, 0x63, 0x01, 0x0a,
                                      0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x0a, 0x0b, 0x05, 0x01,
                                      0x00, 0x06, 0x01, 0x00, 0x31, 0x03, 0x02, 0x00, 0x00, 0x01};
    char room[sizeof(example)];

    (void)state;
    assert_int_equal(decode(example, sizeof(example), NULL), QUARRY_OK);
    assert_int_equal(read_edit.log_number, 4);
    assert_int_equal(read_edit.next_file, 10);
    assert_int_equal(read_edit.last_sequence, 42);
    assert_int_equal(read_edit.removed[0].number, 5);
    assert_int_equal(read_edit.added[0].level, 1);
    assert_int_equal(read_edit.added[0].number, 8);
    assert_int_equal(read_edit.added[0].entry_count, 2);
    assert_int_equal(read_edit.added[0].largest_sequence, 11);
    assert_int_equal(kv_edit_encode(&read_edit, KV_EDIT_ROCKSDB, room), sizeof(room));
    assert_memory_equal(room, example, sizeof(room));
}

struct refused {
    const char *bytes;
    size_t count;
    enum quarry_status status;
    const char *text;
};
#define BYTES(literal) literal, sizeof(literal) - 1

static void foreign_features_are_refused_by_name(void **state)
{
    static const struct refused cases[] = {
        {BYTES("\x90\x03\x00"), QUARRY_UNSUPPORTED, "blob"},          /* 400 */
        {BYTES("\x91\x03\x00"), QUARRY_UNSUPPORTED, "blob"},          /* 401 */
        {BYTES("\x82\x40\x00"), QUARRY_UNSUPPORTED, "blob"},          /* 8194 */
        {BYTES("\x83\x40\x00"), QUARRY_UNSUPPORTED, "blob"},          /* 8195 */
        {BYTES("\x86\x40\x01x"), QUARRY_UNSUPPORTED, "timestamp"},    /* 8198 */
        {BYTES("\x66\x00\x01\x01\x05"), QUARRY_UNSUPPORTED, "paths"}, /* 102 with a path */
        {BYTES("\x06\x07\x01"), QUARRY_UNSUPPORTED, "level"},
        {BYTES("\x08\x01"), QUARRY_CORRUPT, "tag"},
        {BYTES("\x0b\x01"), QUARRY_CORRUPT, "tag"},
        {BYTES("\xac\x03\x01"), QUARRY_CORRUPT, "tag"}, /* 428 */
        {BYTES("\x02"), QUARRY_CORRUPT, "number"},
        {BYTES("\x01\x05xy"), QUARRY_CORRUPT, "early"},
        {BYTES("\x84\x40\x05\x03\x07\x01"), QUARRY_CORRUPT, "log"}, /* 8196, field 3 */
        {BYTES("\x07\x00\x01\x01\x07zzzzzzz\x07zzzzzzz"), QUARRY_CORRUPT, "trailer"},
    };

    (void)state;
    for (uint32_t i = 0; i < COUNT_OF(cases); i++) {
        struct quarry_error error = {0};
        assert_int_equal(decode(cases[i].bytes, cases[i].count, &error), cases[i].status);
        assert_int_equal(error.status, cases[i].status);
        assert_non_null(strstr(error.text, cases[i].text));
    }
}

/* A file's beginning up to where its own fields begin. */
#define FILE4                                                                                      \
    "\x67\x00\x05\x0a\x09"                                                                         \
    "a\x01\x01\0\0\0\0\0\0"                                                                        \
    "\x09"                                                                                         \
    "b\x01\x01\0\0\0\0\0\0"                                                                        \
    "\x01\x01"

static void fields_of_files_are_taken_or_refused(void **state)
{
    static const struct refused cases[] = {
        {BYTES(FILE4 "\x01"), QUARRY_OK, NULL},
        {BYTES(FILE4 "\x07\x03xyz\x08\x07Unknown\x01"), QUARRY_OK, NULL},
        {BYTES(FILE4 "\x0c\x10"
                     "0123456789abcdef"
                     "\x01"),
         QUARRY_OK, NULL},
        {BYTES(FILE4 "\x0d\x01\x05\x0e\x00\x01"), QUARRY_OK, NULL},
        {BYTES(FILE4 "\x41\x01\x00\x01"), QUARRY_OK, NULL},
        {BYTES(FILE4 "\x04\x01\x00\x01"), QUARRY_OK, NULL},
        {BYTES(FILE4 "\x41\x01\x01\x01"), QUARRY_UNSUPPORTED, "paths"},
        {BYTES(FILE4 "\x04\x01\x07\x01"), QUARRY_UNSUPPORTED, "blob"},
        {BYTES(FILE4 "\x0a\x01z\x01"), QUARRY_UNSUPPORTED, "timestamp"},
        {BYTES(FILE4 "\x42\x01z\x01"), QUARRY_UNSUPPORTED, "understood"},
        {BYTES(FILE4 "\x05\x02\x01\x01\x01"), QUARRY_CORRUPT, "number"},
        {BYTES(FILE4 "\x02\x02\x01\x01\x01"), QUARRY_CORRUPT, "byte"},
        {BYTES(FILE4 "\x03\x01\x01\x01"), QUARRY_CORRUPT, "8 bytes"},
        {BYTES(FILE4 "\x31\x01\x01\x01"), QUARRY_CORRUPT, "counts"},
        {BYTES(FILE4), QUARRY_CORRUPT, "number"},
    };

    (void)state;
    for (uint32_t i = 0; i < COUNT_OF(cases); i++) {
        struct quarry_error error = {0};
        assert_int_equal(decode(cases[i].bytes, cases[i].count, &error), cases[i].status);
        if (cases[i].text != NULL) {
            assert_non_null(strstr(error.text, cases[i].text));
        } else {
            assert_int_equal(read_edit.added_count, 1);
        }
    }
    assert_int_equal(decode(BYTES(FILE4 "\x03\x08\x2a\0\0\0\0\0\0\0\x01"), NULL), QUARRY_OK);
    assert_int_equal(read_edit.minimum_log, 42);
}

static void what_may_be_ignored_is(void **state)
{
    static const char record[] = "\x87\x40\x02zz"           /* 8199: a log added */
                                 "\x88\x40\x01z"            /* 8200: a log removed */
                                 "\x84\x40\x05\x02\x07\x01" /* 8196: a log added, the old way */
                                 "\x85\x40\x05"             /* 8197 */
                                 "\x90\x4e\x03zzz"          /* 10000 */
                                 "\x81\x40\x02id"           /* 8193: kept */
                                 "\xc8\x01\x03"             /* 200 */
                                 "\x05\x02\x08"
                                 "\x01\x01\0\0\0\0\0\0" /* a cursor */
                                 "\x02\x09";

    (void)state;
    assert_int_equal(decode(BYTES(record), NULL), QUARRY_OK);
    assert_int_equal(read_edit.log_number, 9);
    assert_int_equal(read_edit.column_family, 3);
    assert_int_equal(read_edit.cursor_count, 1);
    assert_int_equal(kv_compare_bytes(read_edit.db_id, text("id")), 0);
    assert_int_equal(decode("", 0, NULL), QUARRY_OK);
}

static void a_record_cut_off_anywhere_is_refused_or_shorter(void **state)
{
    char room[512];
    uint64_t seed = 7;

    (void)state;
    begin_edit();
    current_edit()->has = KV_EDIT_LOG_NUMBER;
    current_edit()->log_number = 300;
    for (uint32_t i = 0; i < 3; i++) {
        struct kv_edit_file file = random_file(&seed);
        assert_int_equal(kv_edit_add(current_edit(), &file), QUARRY_OK);
    }
    size_t count = kv_edit_encode(current_edit(), KV_EDIT_ROCKSDB, room);
    uint32_t whole = 0;
    for (size_t cut = 0; cut < count; cut++) {
        /* In memory of its own, so that the sanitizer sees one byte too far. */
        char *copy = test_malloc(cut + 1);
        memcpy(copy, room, cut);
        whole += decode(copy, cut, NULL) == QUARRY_OK;
        assert_true(read_edit.added_count < 3);
        kv_edit_clear(&read_edit);
        test_free(copy);
    }
    assert_int_equal(whole, 4); /* nothing; the log; one and two files */
}

static void without_memory_an_edit_is_as_it_was(void **state)
{
    char room[2048];

    (void)state;
    begin_edit();
    for (uint64_t number = 0; number < 20; number++) {
        add_file(1, number, "a", "b", 1, 2);
        remove_file(2, number);
    }
    size_t count = kv_edit_encode(current_edit(), KV_EDIT_ROCKSDB, room);
    assert_in_range(count, 1, sizeof(room));
    enum quarry_status status = QUARRY_NO_MEMORY;
    uint32_t failed = 0;
    for (uint64_t allowed = 0; status == QUARRY_NO_MEMORY; allowed += 64) {
        kv_edit_fini(&read_edit);
        allow_bytes(allowed);
        struct quarry_error error = {0};
        status = decode(room, count, &error);
        failed += status == QUARRY_NO_MEMORY;
        assert_int_equal(error.status, status);
    }
    assert_int_equal(status, QUARRY_OK);
    assert_in_range(failed, 4, 1000);
    allow_bytes(UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_written_reads_the_same, set_up, tear_down),
        cmocka_unit_test_setup_teardown(leveldbs_form_has_its_tags_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_example_of_the_format_page_is_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(foreign_features_are_refused_by_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(fields_of_files_are_taken_or_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_may_be_ignored_is, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_record_cut_off_anywhere_is_refused_or_shorter, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(without_memory_an_edit_is_as_it_was, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
