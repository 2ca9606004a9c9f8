/*
 * Reading the heap map: the reader believes nothing. The format is in docs/formats/heap-map.md, and
 * the example in it is here as well.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <page/page.h>

/* The example of docs/formats/heap-map.md: one lane of one chunk. */
static const uint8_t example[] = {
    'Q', 'H', 'E', 'A', 'P', 'M', 'A', 'P', 0x01, 0x00, 0x40, 0x00, 0x30, 0x00, 0x28, 0x00, 0x10,
    0x00, 0x01, 0x00, 0x03, 0x00, 0x00, 0x02, 0x00, 0x20, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00,
    0x00, 0xe8, 0x15, 0x63, 0x5b, 0x90, 0x18, 0x00, 0x00, 0x18, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, 0x80, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00,
    /* lane 0, "general" */
    0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    'g', 'e', 'n', 'e', 'r', 'a', 'l', 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    /* owners "none", "lost", "net" */
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 'n', 'o', 'n', 'e', 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    'l', 'o', 's', 't', 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 'n', 'e', 't', 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    /* chunk 0: 130 pages in use, 350 scavenged, 2 cached */
    0x00, 0x00, 0x00, 0x00, 0x82, 0x00, 0x5e, 0x01, 0x00, 0x02, 0x02, 0x00, 0x5e, 0x01, 0x02, 0x00};

static void the_documented_example_reads_as_described(void **state)
{
    struct page_heap_map_view view;

    (void)state;
    assert_int_equal(page_heap_map_parse(example, sizeof(example), &view, NULL), QUARRY_OK);
    assert_int_equal(view.committed_bytes, 0x180000);
    assert_int_equal(view.limit_bytes, Q_MIB(256));
    assert_int_equal(view.metadata_bytes, Q_KIB(160));
    assert_string_equal(page_heap_map_lane_at(&view, 0).name, "general");
    struct page_heap_map_entry e = page_heap_map_entry_at(&view, 0);
    assert_string_equal(page_heap_map_owner_at(&view, e.owner).name, "net");
    assert_int_equal(e.in_use, 130);
    assert_int_equal(e.scavenged, 350);
    assert_int_equal(e.largest_free, 350);
    assert_int_equal(e.other, 2);
    assert_int_equal(e.flags, PAGE_MAP_HAS_BACKED_FREE);
}

/* One byte of the example changed. */
struct damage {
    const char *what;
    uint32_t offset;
    uint8_t value;
    enum quarry_status status;
};

static void a_damaged_field_is_found(void **state)
{
    static const struct damage damages[] = {
        {"magic", 0, 'q', QUARRY_CORRUPT},
        {"last byte of the magic", 7, 'Q', QUARRY_CORRUPT},
        {"version", 8, 2, QUARRY_UNSUPPORTED},
        {"header bytes", 10, 0x41, QUARRY_CORRUPT},
        {"lane bytes", 12, 0, QUARRY_CORRUPT},
        {"owner bytes", 14, 0x20, QUARRY_CORRUPT},
        {"entry bytes", 16, 0x11, QUARRY_CORRUPT},
        {"lane count", 18, 0, QUARRY_CORRUPT},
        {"more lanes than there can be", 19, 0xff, QUARRY_CORRUPT},
        {"owner count", 20, 4, QUARRY_CORRUPT},
        {"pages of a chunk, not a power of two", 22, 1, QUARRY_CORRUPT},
        {"pages of a chunk, too many", 23, 0xff, QUARRY_CORRUPT},
        {"bytes of a page", 25, 0x01, QUARRY_CORRUPT},
        {"bytes of a page, too many", 27, 0x20, QUARRY_CORRUPT},
        {"chunk count", 28, 2, QUARRY_CORRUPT},
        {"chunk count, high byte", 31, 0xff, QUARRY_CORRUPT},
        {"lane number", 64, 64, QUARRY_CORRUPT},
        {"lane flags", 66, 2, QUARRY_CORRUPT},
        {"grown chunks", 68, 2, QUARRY_CORRUPT},
        {"chunk limit below what has grown", 73, 0, QUARRY_CORRUPT},
        {"zero of a lane", 76, 1, QUARRY_CORRUPT},
        {"lane without a name", 80, 0, QUARRY_CORRUPT},
        {"owner number", 112, 1, QUARRY_CORRUPT},
        {"zero of an owner", 114, 1, QUARRY_CORRUPT},
        {"owner without a name", 120, 0, QUARRY_CORRUPT},
        {"chunk beyond the lane", 233, 1, QUARRY_CORRUPT},
        {"more pages than a chunk has", 237, 2, QUARRY_CORRUPT},
        {"another lane's chunk", 240, 1, QUARRY_CORRUPT},
        {"unknown flag", 241, 6, QUARRY_CORRUPT},
        {"flag that the counts belie", 241, 0, QUARRY_CORRUPT},
        {"owner that is not there", 242, 3, QUARRY_CORRUPT},
        {"free run longer than what is free", 244, 0xff, QUARRY_CORRUPT},
        {"more cached than in use", 246, 0xff, QUARRY_CORRUPT},
    };
    uint8_t copy[sizeof(example)];

    (void)state;
    assert_int_equal(sizeof(example), 64 + 48 + 3 * 40 + 16);
    for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
        struct page_heap_map_view view;
        struct quarry_error error = {0};
        memcpy(copy, example, sizeof(example));
        copy[damages[i].offset] = damages[i].value;
        enum quarry_status status = page_heap_map_parse(copy, sizeof(copy), &view, &error);
        if (status != damages[i].status) {
            fail_msg("%s: %s", damages[i].what, quarry_status_name(status));
        }
        assert_true(strlen(error.text) > 10);
    }
}

static void a_name_without_an_end_is_refused(void **state)
{
    static const uint32_t names[] = {80, 120};
    uint8_t copy[sizeof(example)];
    struct page_heap_map_view view;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        memcpy(copy, example, sizeof(example));
        memset(copy + names[i], 'x', 31);
        assert_int_equal(page_heap_map_parse(copy, sizeof(copy), &view, NULL), QUARRY_OK);
        copy[names[i] + 31] = 'x';
        assert_int_equal(page_heap_map_parse(copy, sizeof(copy), &view, NULL), QUARRY_CORRUPT);
    }
}

static void no_shorter_or_longer_snapshot_is_accepted(void **state)
{
    struct page_heap_map_view view = {.lane_count = 99};

    (void)state;
    for (size_t bytes = 0; bytes < sizeof(example); bytes++) {
        uint8_t *exact = malloc(bytes > 0 ? bytes : 1); /* so that ASan sees a read past its end */
        assert_non_null(exact);
        memcpy(exact, example, bytes);
        assert_int_equal(page_heap_map_parse(exact, bytes, &view, NULL), QUARRY_CORRUPT);
        free(exact);
    }
    uint8_t longer[sizeof(example) + 1] = {0};
    memcpy(longer, example, sizeof(example));
    assert_int_equal(page_heap_map_parse(longer, sizeof(longer), &view, NULL), QUARRY_CORRUPT);
    assert_int_equal(view.lane_count, 99);
}

static void any_changed_byte_is_refused_or_read_within_bounds(void **state)
{
    uint8_t copy[sizeof(example)];
    uint32_t accepted = 0;

    (void)state;
    memcpy(copy, example, sizeof(example));
    for (size_t i = 0; i < sizeof(example) * 256; i++) {
        struct page_heap_map_view view;
        copy[i / 256] = (uint8_t)i;
        if (page_heap_map_parse(copy, sizeof(copy), &view, NULL) == QUARRY_OK) {
            accepted++;
            assert_int_equal(page_heap_map_lane_at(&view, 0).grown_chunks, view.chunk_count);
            assert_true(page_heap_map_entry_at(&view, 0).owner < view.owner_count);
        }
        copy[i / 256] = example[i / 256];
    }
    assert_true(accepted > 256 && accepted < sizeof(example) * 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_documented_example_reads_as_described),
        cmocka_unit_test(a_damaged_field_is_found),
        cmocka_unit_test(a_name_without_an_end_is_refused),
        cmocka_unit_test(no_shorter_or_longer_snapshot_is_accepted),
        cmocka_unit_test(any_changed_byte_is_refused_or_read_within_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
