/*
 * The parsers of blocks on any bytes: data blocks, indexes, filters, properties, footers. What a
 * parser accepts can be walked and searched; what it refuses it says why.
 *
 * The first byte chooses the parser, the second its form.
 */
#include "fuzz/kv_rig.h"

#include <stdlib.h>
#include <string.h>

#include <kv/sst/block_read.h>
#include <kv/sst/filter.h>
#include <kv/sst/index.h>
#include <kv/sst/properties.h>
#include <kv/sst/xxph3.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct quarry_kv_comparator bytewise = {.name = "leveldb.BytewiseComparator"};

/* A copy at an address of its own, so that a read beyond it is found. */
static char *copy_of(const uint8_t *data, size_t size)
{
    char *copy = malloc(size + 1);

    Q_ASSERT(copy != NULL);
    memcpy(copy, data, size);
    return copy;
}

static void walk_block(const struct sst_block *block)
{
    const struct sst_heap *heap = &fuzz_tables()->heap;
    struct sst_cursor cursor;
    uint32_t count = 0, back = 0;

    sst_cursor_init(&cursor);
    sst_cursor_set(&cursor, block);
    Q_ASSERT(sst_cursor_first(&cursor, heap) == QUARRY_OK);
    for (; cursor.is_valid; count++) {
        struct sst_point point;
        enum sst_place place;
        struct kv_key key = cursor.key;
        Q_ASSERT(sst_block_find(block, &bytewise, heap, key, count % 2 == 0, &place, &point) ==
                 QUARRY_OK);
        Q_ASSERT(sst_cursor_next(&cursor, heap) == QUARRY_OK);
    }
    Q_ASSERT(count == block->head->entry_count);
    Q_ASSERT(sst_cursor_last(&cursor, heap) == QUARRY_OK);
    for (; cursor.is_valid; back++) {
        Q_ASSERT(sst_cursor_previous(&cursor, heap) == QUARRY_OK);
    }
    Q_ASSERT(back == count);
    const struct kv_key key = {kv_slice("key", 3), 1 << 8};
    Q_ASSERT(sst_cursor_seek_before(&cursor, heap, &bytewise, key) == QUARRY_OK);
    sst_cursor_fini(&cursor, heap);
}

static void fuzz_data(const char *bytes, size_t size)
{
    size_t extra;

    if (!sst_block_extra_bytes(bytes, size, &extra)) {
        return;
    }
    struct sst_block_head *head = malloc(extra);
    Q_ASSERT(head != NULL);
    if (sst_block_parse(bytes, size, head) == NULL) {
        const struct sst_block block = {bytes, head};
        walk_block(&block);
    }
    free(head);
}

static void search_index(const struct sst_index *index, uint64_t limit)
{
    for (uint32_t i = 0; i < index->count; i++) {
        Q_ASSERT(sst_handle_is_within(sst_index_handle(index, i), limit));
        const struct kv_key key = {sst_index_rest(index, i), i};
        Q_ASSERT(sst_index_find(index, &bytewise, key) <= index->count);
        (void)sst_index_compare(index, &bytewise, i, key);
    }
}

static void fuzz_index(const char *bytes, size_t size, uint8_t form_bits)
{
    const struct sst_index_form form = {.has_user_keys = (form_bits & 1) != 0,
                                        .is_delta_encoded = (form_bits & 2) != 0,
                                        .has_first_keys = (form_bits & 4) != 0,
                                        .is_bytewise = (form_bits & 8) != 0,
                                        .limit = 1 << 20};
    const struct sst_heap *heap = &fuzz_tables()->heap;
    struct sst_index_measure measure;
    const char *fault = NULL;
    enum quarry_status status = sst_index_measure(heap, bytes, size, &form, &measure, &fault);

    if (status != QUARRY_OK) {
        Q_ASSERT(fault != NULL && fault[0] != '\0');
        return;
    }
    struct sst_index *index = malloc(measure.decoded_bytes);
    Q_ASSERT(index != NULL);
    Q_ASSERT(sst_index_parse(heap, bytes, size, &form, &measure, index, &fault) == QUARRY_OK);
    Q_ASSERT(index->count == measure.count);
    search_index(index, form.limit);
    free(index);
}

static void fuzz_filter(const char *bytes, size_t size, bool is_leveldb)
{
    const struct sst_filter filter = sst_filter_parse(bytes, size, is_leveldb);

    for (uint64_t i = 0; i < 16; i++) {
        (void)sst_filter_passes(&filter, bytes, sst_xxph3_64(&i, 8), kv_slice(&i, 8));
        (void)sst_filter_passes_in(&filter, bytes, kv_slice(&i, 8), i * 5000);
    }
}

static void fuzz_frame(const char *bytes, size_t size)
{
    struct kv_table_properties properties;
    struct sst_footer footer;
    const char *fault = NULL;

    if (sst_properties_get(&fuzz_tables()->heap, bytes, size, &properties) == QUARRY_OK) {
        Q_ASSERT(strlen(properties.comparator) < SST_NAME_BYTES_MAX);
    }
    if (size <= SST_FOOTER_BYTES && sst_footer_get(bytes, size, &footer, &fault) != QUARRY_OK) {
        Q_ASSERT(fault != NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    char *bytes = copy_of(data + 2, size - 2);
    switch (data[0] % 4) {
    case 0:
        fuzz_data(bytes, size - 2);
        break;
    case 1:
        fuzz_index(bytes, size - 2, data[1]);
        break;
    case 2:
        fuzz_filter(bytes, size - 2, data[1] % 2 != 0);
        break;
    default:
        fuzz_frame(bytes, size - 2);
        break;
    }
    free(bytes);
    return 0;
}
