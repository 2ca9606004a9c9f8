#include "unit/kv/sst_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT_BYTES (UINT64_C(256) << 20)

struct rig rig;

static const struct quarry_kv_comparator bytewise = {.name = "leveldb.BytewiseComparator"};

static void must(enum quarry_status status, const struct quarry_error *error, const char *what)
{
    if (status != QUARRY_OK) {
        fail_msg("%s: %s: %s", what, quarry_status_name(status), error == NULL ? "" : error->text);
    }
}

void rig_begin(const struct quarry_kv_comparator *comparator, uint32_t prefix_bytes)
{
    struct quarry_error error = {0};
    struct quarry_memory_options memory = {.limit_bytes = LIMIT_BYTES, .has_no_thread = true};
    struct quarry_account_options account = {.name = "kv"};
    struct quarry_block_cache_options cache = {.name = "block", .capacity_bytes = 32u << 20};

    rig = (struct rig){.next_number = 1};
    must(quarry_memory_create(&memory, &rig.memory, &error), &error, "memory");
    must(quarry_account_create(rig.memory, &account, &rig.account, &error), &error, "account");
    must(quarry_lifetime_begin(rig.memory, "kv tables", &rig.lifetime, &error), &error, "lifetime");
    must(quarry_pool_create(rig.lifetime, quarry_account_owner(rig.account), &rig.pool), NULL,
         "pool");
    must(quarry_block_cache_create(rig.memory, &cache, &rig.cache, &error), &error, "cache");
    must(quarry_vfs_memory_create(1, &rig.vfs), NULL, "vfs");
    const struct kv_tables_options tables = {
        .pool = rig.pool,
        .account = rig.account,
        .cache = rig.cache,
        .comparator = comparator == NULL ? &bytewise : comparator,
        .prefix_bytes = prefix_bytes,
    };
    must(kv_tables_init(&rig.tables, &tables, &error), &error, "tables");
}

void rig_end(void)
{
    struct quarry_account_state state;

    kv_tables_fini(&rig.tables);
    quarry_account_read(rig.account, &state);
    assert_int_equal(state.charged_bytes, 0);
    assert_int_equal(quarry_block_cache_close(rig.cache), QUARRY_OK);
    quarry_lifetime_end(rig.lifetime);
    quarry_account_destroy(rig.account);
    quarry_memory_destroy(rig.memory);
    quarry_vfs_memory_destroy(rig.vfs);
}

int rig_set_up(void **state)
{
    (void)state;
    rig_begin(NULL, 0);
    return 0;
}

int rig_tear_down(void **state)
{
    (void)state;
    rig_end();
    return 0;
}

uint64_t rig_random(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* ---- entries -------------------------------------------------------------------------------- */

static size_t random_key(char *room, uint64_t *random, const struct shape *shape)
{
    if (shape->has_digits) {
        return (size_t)snprintf(room, 64, "a rather long common beginning/%010llu",
                                (unsigned long long)(rig_random(random) % (shape->count * 8)));
    }
    size_t count = 1 + rig_random(random) % shape->key_bytes_max;
    /* Few letters: long shared prefixes, keys that are prefixes of others. */
    for (size_t i = 0; i < count; i++) {
        static const unsigned char letters[] = {0, 1, 'a', 'b', 0x7f, 0x80, 0xfe, 0xff};
        room[i] = (char)letters[rig_random(random) % sizeof(letters)];
    }
    return count;
}

static int compare_entries(const void *a, const void *b)
{
    const struct entry *one = a, *other = b;

    return kv_compare_keys(rig.tables.comparator, one->key, other->key);
}

static char *add_bytes(struct entries *entries, const char *bytes, size_t count)
{
    assert_true(entries->byte_count + count <= entries->capacity);
    char *at = entries->bytes + entries->byte_count;
    memcpy(at, bytes, count);
    entries->byte_count += count;
    return at;
}

static enum kv_type random_type(uint64_t *random, const struct shape *shape)
{
    uint64_t dice = rig_random(random) % 16;

    if (shape->is_plain || dice > 4) {
        return KV_TYPE_PUT;
    }
    if (shape->has_merges && dice > 2) {
        return dice == 3 ? KV_TYPE_MERGE : KV_TYPE_SINGLE_DELETE;
    }
    return KV_TYPE_DELETE;
}

static void drop_repeats(struct entries *entries)
{
    size_t kept = 0;

    for (size_t i = 0; i < entries->count; i++) {
        if (kept == 0 || compare_entries(&entries->entry[kept - 1], &entries->entry[i]) != 0) {
            entries->entry[kept++] = entries->entry[i];
        }
    }
    entries->count = kept;
}

/* Two entries of one user key and sequence would be one. */
static void drop_same_sequences(struct entries *entries)
{
    size_t kept = 0;

    for (size_t i = 0; i < entries->count; i++) {
        const struct entry *last = kept == 0 ? NULL : &entries->entry[kept - 1];
        if (last == NULL || last->key.trailer >> 8 != entries->entry[i].key.trailer >> 8 ||
            kv_compare(rig.tables.comparator, last->key.user, entries->entry[i].key.user) != 0) {
            entries->entry[kept++] = entries->entry[i];
        }
    }
    entries->count = kept;
}

struct entries entries_make(uint64_t seed, const struct shape *shape)
{
    uint64_t random = seed;
    size_t each = 64 + (size_t)shape->key_bytes_max + shape->value_bytes_max;
    struct entries entries = {.capacity = shape->count * each};
    char key[4096], *value = malloc(shape->value_bytes_max + 1u);

    assert_true(shape->key_bytes_max <= sizeof(key));
    entries.entry = calloc(shape->count + 1, sizeof(struct entry));
    entries.bytes = malloc(entries.capacity + 1);
    assert_true(entries.entry != NULL && entries.bytes != NULL && value != NULL);
    while (entries.count < shape->count) {
        size_t key_bytes = random_key(key, &random, shape);
        char *user = add_bytes(&entries, key, key_bytes);
        uint32_t versions = 1 + (uint32_t)(rig_random(&random) % shape->versions_max);
        for (uint32_t i = 0; i < versions && entries.count < shape->count; i++) {
            size_t value_bytes = rig_random(&random) % (shape->value_bytes_max + 1u);
            memset(value, (int)('A' + rig_random(&random) % 26), value_bytes);
            uint64_t sequence = shape->is_plain ? 0 : 1 + rig_random(&random) % 100000;
            entries.entry[entries.count++] = (struct entry){
                {kv_slice(user, key_bytes), kv_trailer(sequence, random_type(&random, shape))},
                kv_slice(add_bytes(&entries, value, value_bytes), value_bytes)};
        }
    }
    free(value);
    qsort(entries.entry, entries.count, sizeof(struct entry), compare_entries);
    drop_repeats(&entries);
    drop_same_sequences(&entries);
    return entries;
}

void entries_free(struct entries *entries)
{
    free(entries->entry);
    free(entries->bytes);
    *entries = (struct entries){0};
}

/* ---- files ---------------------------------------------------------------------------------- */

const char *table_path(uint64_t number, char *room)
{
    (void)snprintf(room, 64, "/%06llu.sst", (unsigned long long)number);
    return room;
}

static struct quarry_vfs_file *open_file(uint64_t number, uint32_t mode)
{
    char path[64];
    struct quarry_error error = {0};
    struct quarry_vfs_file *file = NULL;

    must(quarry_vfs_open(rig.vfs, table_path(number, path), mode, &file, &error), &error, "open");
    return file;
}

char *file_read(uint64_t number, size_t *ret_byte_count)
{
    struct quarry_vfs_file *file = open_file(number, QUARRY_VFS_READ);
    uint64_t size = 0;

    must(quarry_vfs_size(file, &size, NULL), NULL, "size");
    char *bytes = malloc(size + 1);
    assert_non_null(bytes);
    must(quarry_vfs_read(file, 0, bytes, size, ret_byte_count, NULL), NULL, "read");
    quarry_vfs_close(file);
    return bytes;
}

uint64_t file_write(const void *bytes, size_t byte_count)
{
    uint64_t number = rig.next_number++;
    struct quarry_vfs_file *file =
        open_file(number, (uint32_t)QUARRY_VFS_WRITE | QUARRY_VFS_CREATE | QUARRY_VFS_TRUNCATE);

    must(quarry_vfs_write(file, 0, bytes, byte_count, NULL), NULL, "write");
    quarry_vfs_close(file);
    return number;
}

void file_export(uint64_t number, const char *path)
{
    size_t byte_count;
    char *bytes = file_read(number, &byte_count);
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, byte_count, file), byte_count);
    assert_int_equal(fclose(file), 0);
    free(bytes);
}

uint64_t file_import(const char *path)
{
    FILE *file = fopen(path, "rb");

    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    size_t byte_count = (size_t)ftell(file);
    rewind(file);
    char *bytes = malloc(byte_count + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, byte_count, file), byte_count);
    (void)fclose(file);
    uint64_t number = file_write(bytes, byte_count);
    free(bytes);
    return number;
}

/* ---- tables --------------------------------------------------------------------------------- */

uint64_t table_write(const struct entries *entries, const struct kv_table_write_options *options,
                     struct kv_table_result *ret_result)
{
    uint64_t number = rig.next_number++;
    struct kv_table_write_options wanted = *options;
    struct quarry_vfs_file *file =
        open_file(number, (uint32_t)QUARRY_VFS_WRITE | QUARRY_VFS_CREATE);
    struct quarry_error error = {0};
    struct kv_table_writer *writer = NULL;
    struct kv_table_result result = {0};

    wanted.file_number = number;
    must(kv_table_writer_create(&rig.tables, file, &wanted, &writer, &error), &error, "create");
    for (size_t i = 0; i < entries->count; i++) {
        must(kv_table_writer_add(writer, entries->entry[i].key, entries->entry[i].value, &error),
             &error, "add");
    }
    must(kv_table_writer_finish(writer, &result, &error), &error, "finish");
    assert_int_equal(kv_compare_keys(rig.tables.comparator, result.smallest, entries->entry[0].key),
                     0);
    assert_int_equal(kv_compare_keys(rig.tables.comparator, result.largest,
                                     entries->entry[entries->count - 1].key),
                     0);
    assert_int_equal(result.entry_count, entries->count);
    if (ret_result != NULL) {
        *ret_result = result;
    }
    kv_table_writer_destroy(writer);
    uint64_t size = 0;
    must(quarry_vfs_size(file, &size, NULL), NULL, "size");
    assert_int_equal(size, result.file_bytes);
    quarry_vfs_close(file);
    return number;
}

struct kv_table *table_open(uint64_t number, bool is_pinned)
{
    struct quarry_vfs_file *file = open_file(number, QUARRY_VFS_READ);
    const struct kv_table_options options = {
        .file_number = number, .largest_sequence = UINT64_MAX, .is_pinned = is_pinned};
    struct quarry_error error = {0};
    struct kv_table *table = NULL;

    must(kv_table_open(&rig.tables, &file, &options, &table, &error), &error, "open table");
    assert_null(file);
    return table;
}

/* ---- checking ------------------------------------------------------------------------------- */

static void check_at(const struct kv_iterator *it, const struct entries *entries, size_t i)
{
    if (i >= entries->count) {
        if (it->is_valid || it->status != QUARRY_OK) {
            fail_msg("entry %zu: not at the end (%s)", i, it->error == NULL ? "" : it->error->text);
        }
        return;
    }
    const struct entry *entry = &entries->entry[i];
    if (!it->is_valid) {
        fail_msg("entry %zu of %zu: not valid: %s: %s", i, entries->count,
                 quarry_status_name(it->status), it->error == NULL ? "" : it->error->text);
    }
    assert_int_equal(it->key.user.count, entry->key.user.count);
    assert_memory_equal(it->key.user.bytes, entry->key.user.bytes, entry->key.user.count);
    assert_true(it->key.trailer == entry->key.trailer);
    assert_int_equal(it->value.count, entry->value.count);
    if (entry->value.count != 0) {
        assert_memory_equal(it->value.bytes, entry->value.bytes, entry->value.count);
    }
}

/* The first entry that is not before a key. */
static size_t model_seek(const struct entries *entries, struct kv_key key)
{
    size_t low = 0, high = entries->count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        if (kv_compare_keys(rig.tables.comparator, entries->entry[middle].key, key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void check_walks(struct kv_table *table, const struct entries *entries,
                        const struct kv_table_iterator_options *options)
{
    struct quarry_error error = {0};
    struct kv_table_iterator iterator;
    struct kv_iterator *it = &iterator.base;

    kv_table_iterator_init(&iterator, table, options, &error);
    assert_false(it->is_valid);
    size_t i = 0;
    for (it->ops->first(it); it->is_valid; it->ops->next(it)) {
        check_at(it, entries, i++);
    }
    check_at(it, entries, i);
    assert_int_equal(i, entries->count);
    for (it->ops->last(it); it->is_valid; it->ops->previous(it)) {
        check_at(it, entries, --i);
    }
    assert_int_equal(it->status, QUARRY_OK);
    assert_int_equal(i, 0);
    it->ops->fini(it);
}

static void check_point(struct kv_table *table, const struct entries *entries, struct kv_key key)
{
    size_t i = model_seek(entries, key);
    struct kv_table_lookup lookup = {.key = key, .hash = kv_table_hash(key.user)};
    struct kv_table_entry entry;
    struct quarry_error error = {0};
    enum quarry_status status = kv_table_get(table, &lookup, &entry, &error);
    bool is_there = i < entries->count &&
                    kv_compare(rig.tables.comparator, entries->entry[i].key.user, key.user) == 0;

    if (status != (is_there ? QUARRY_OK : QUARRY_NOT_FOUND)) {
        fail_msg("get: %s, expected %s: %s", quarry_status_name(status),
                 is_there ? "a value" : "none", error.text);
    }
    if (is_there) {
        assert_true(entry.trailer == entries->entry[i].key.trailer);
        assert_int_equal(entry.value.count, entries->entry[i].value.count);
        if (entry.value.count != 0) {
            assert_memory_equal(entry.value.bytes, entries->entry[i].value.bytes,
                                entry.value.count);
        }
        kv_table_entry_release(&rig.tables, &entry);
    }
}

/* A key that is there, or nearly. */
static struct kv_key random_target(const struct entries *entries, uint64_t *random, char *room,
                                   size_t room_bytes)
{
    const struct kv_key key = entries->entry[rig_random(random) % entries->count].key;
    size_t count = key.user.count;
    uint64_t sequence = kv_trailer_sequence(key.trailer);

    memcpy(room, key.user.bytes, count);
    switch (rig_random(random) % 6) {
    case 0:
        room[count - 1] = (char)(room[count - 1] + 1);
        break;
    case 1:
        count -= count > 1;
        break;
    case 2:
        if (count < room_bytes) {
            room[count++] = (char)rig_random(random);
        }
        break;
    default:
        break;
    }
    switch (rig_random(random) % 4) {
    case 0:
        return (struct kv_key){kv_slice(room, count), kv_trailer_seek(KV_SEQUENCE_MAX)};
    case 1:
        return (struct kv_key){kv_slice(room, count), kv_trailer_seek(sequence)};
    case 2:
        return (struct kv_key){kv_slice(room, count), key.trailer};
    default:
        return (struct kv_key){kv_slice(room, count),
                               kv_trailer_seek(sequence == 0 ? 0 : sequence - 1)};
    }
}

static void check_seeks(struct kv_table *table, const struct entries *entries, uint64_t seed,
                        const struct kv_table_iterator_options *options)
{
    struct quarry_error error = {0};
    struct kv_table_iterator iterator;
    struct kv_iterator *it = &iterator.base;
    uint64_t random = seed;
    char room[4200];

    kv_table_iterator_init(&iterator, table, options, &error);
    for (size_t n = 0; n < 400; n++) {
        struct kv_key key = random_target(entries, &random, room, sizeof(room));
        size_t i = model_seek(entries, key);
        bool is_before = rig_random(&random) % 2 == 0;
        check_point(table, entries, key);
        if (is_before) {
            it->ops->seek_before(it, key);
            i = i == 0 ? entries->count : i - 1;
        } else {
            it->ops->seek(it, key);
        }
        check_at(it, entries, i);
        for (uint64_t steps = rig_random(&random) % 40; steps > 0 && it->is_valid; steps--) {
            if (rig_random(&random) % 3 == 0) {
                it->ops->previous(it);
                i = i == 0 ? entries->count : i - 1;
            } else {
                it->ops->next(it);
                i++;
            }
            check_at(it, entries, i);
        }
    }
    it->ops->fini(it);
}

void table_check(struct kv_table *table, const struct entries *entries, uint64_t seed)
{
    struct kv_pins none = {.quota_bytes = 0};
    const struct kv_table_iterator_options background = {.is_background = true,
                                                         .readahead_bytes = 32u << 10};
    const struct kv_table_iterator_options copying = {.pins = &none};
    struct quarry_error error = {0};

    check_walks(table, entries, NULL);
    check_walks(table, entries, &background);
    check_seeks(table, entries, seed, NULL);
    check_seeks(table, entries, seed + 1, &copying);
    assert_int_equal(none.held_bytes, 0);
    assert_true(none.copied_count > 0);
    for (size_t i = 0; i < entries->count; i += 1 + entries->count / 500) {
        check_point(table, entries, entries->entry[i].key);
    }
    must(kv_table_verify(table, &error), &error, "verify");
}
