#include "unit/kv/back_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <quarry/memory.h>

#include <kv/background.h>

struct back_rig back;

/* ---- opening -------------------------------------------------------------------------------- */

static void note_event(void *argument, const struct quarry_kv_event_data *data)
{
    (void)argument;
    /* Relaxed: a test looks when nothing is under way. */
    (void)__atomic_fetch_add(&back.events[data->event], 1, __ATOMIC_RELAXED);
}

void back_begin(uint64_t seed)
{
    struct quarry_memory_options memory_options = {.limit_bytes = (size_t)256 << 20};

    back = (struct back_rig){.seed = seed, .path = "/kv"};
    assert_int_equal(quarry_memory_create(&memory_options, &back.memory, NULL), QUARRY_OK);
    assert_int_equal(quarry_vfs_memory_create(seed, &back.disk), QUARRY_OK);
    assert_int_equal(quarry_vfs_fault_create(back.disk, seed, &back.vfs), QUARRY_OK);
    assert_int_equal(quarry_vfs_make_directory(back.vfs, "/kv", NULL), QUARRY_OK);
    assert_int_equal(quarry_vfs_sync_directory(back.vfs, "/", NULL), QUARRY_OK);
    back.then = calloc(BACK_SNAPSHOTS, sizeof(*back.then));
    assert_non_null(back.then);
    back.options = (struct quarry_kv_options){
        .vfs = back.vfs,
        .merge_operator = quarry_kv_merge_append(','),
        .listener = {note_event, NULL},
        .create_if_missing = true,
        .write_buffer_bytes = Q_KIB(64),
        .file_bytes = Q_KIB(8),
        .level1_bytes = Q_KIB(16),
        .level_ratio = 4,
        .level0_compact = 2,
        .block_bytes = 512,
        .log_segment_bytes = Q_MIB(1),
        .block_cache_bytes = Q_MIB(8),
        .reserved_disk_bytes = 1,
        .is_stepped = true,
        .step_seed = seed,
    };
}

void back_open(void)
{
    struct quarry_error error = {0};
    enum quarry_status status =
        quarry_kv_open(back.memory, back.path, &back.options, &back.kv, &error);

    if (status != QUARRY_OK) {
        fprintf(stderr, "open: %s\n", error.text);
    }
    assert_int_equal(status, QUARRY_OK);
}

void back_close(void)
{
    for (uint32_t i = 0; i < BACK_SNAPSHOTS; i++) {
        back_release(i);
    }
    assert_int_equal(quarry_kv_close(back.kv, NULL), QUARRY_OK);
    back.kv = NULL;
}

void back_end(void)
{
    if (back.kv != NULL) {
        back_close();
    }
    quarry_vfs_fault_destroy(back.vfs);
    quarry_vfs_memory_destroy(back.disk);
    quarry_memory_destroy(back.memory);
    free(back.then);
}

/* ---- changes -------------------------------------------------------------------------------- */

uint64_t back_below(uint64_t bound)
{
    back.seed ^= back.seed << 13;
    back.seed ^= back.seed >> 7;
    back.seed ^= back.seed << 17;
    return back.seed * UINT64_C(0x2545f4914f6cdd1d) % bound;
}

static const char *name_of(uint32_t key)
{
    static char names[2][16];
    static uint32_t next;
    char *name = names[next++ % 2];

    snprintf(name, sizeof(names[0]), "key%03u", key);
    return name;
}

static void assert_ok(enum quarry_status status, const struct quarry_error *error)
{
    if (status != QUARRY_OK) {
        fprintf(stderr, "%s: %s\n", quarry_status_name(status), error->text);
    }
    assert_int_equal(status, QUARRY_OK);
}

void back_put_large(uint32_t key, size_t byte_count)
{
    struct quarry_error error = {0};
    char *value = back.now.value[key];

    assert_true(byte_count > 12 && byte_count < BACK_VALUE_BYTES);
    back.counter++;
    for (size_t i = 0; i < byte_count; i++) {
        value[i] = (char)('a' + back_below(26));
    }
    value[byte_count] = '\0';
    snprintf(value, 12, "%08u", back.counter);
    value[8] = '-';
    value[9] = value[10] = value[11] = '.';
    assert_ok(quarry_kv_put(back.kv, NULL, name_of(key), 6, value, strlen(value), &error), &error);
    back.now.is_put_once[key] = !back.now.has[key];
    back.now.has[key] = true;
}

void back_put(uint32_t key)
{
    back_put_large(key, 20 + back_below(200));
}

static void forget(uint32_t key)
{
    back.now.has[key] = false;
    back.now.is_put_once[key] = false;
    back.now.value[key][0] = '\0';
}

void back_delete(uint32_t key)
{
    struct quarry_error error = {0};

    assert_ok(quarry_kv_delete(back.kv, NULL, name_of(key), 6, &error), &error);
    forget(key);
}

void back_single_delete(uint32_t key)
{
    struct quarry_error error = {0};

    assert_ok(quarry_kv_single_delete(back.kv, NULL, name_of(key), 6, &error), &error);
    forget(key);
}

void back_merge(uint32_t key)
{
    struct quarry_error error = {0};
    char operand[16];
    char *value = back.now.value[key];

    snprintf(operand, sizeof(operand), "%u", ++back.counter);
    if (strlen(value) + strlen(operand) + 2 > BACK_VALUE_BYTES) {
        back_delete(key);
        return;
    }
    assert_ok(quarry_kv_merge(back.kv, NULL, name_of(key), 6, operand, strlen(operand), &error),
              &error);
    if (back.now.has[key]) {
        strcat(value, ","); /* as ldb's operator has it */
    }
    strcat(value, operand);
    back.now.has[key] = true;
    back.now.is_put_once[key] = false;
}

void back_delete_range(uint32_t from, uint32_t to)
{
    struct quarry_error error = {0};

    assert_ok(quarry_kv_delete_range(back.kv, NULL, name_of(from), 6, name_of(to), 6, &error),
              &error);
    for (uint32_t key = from; key < to; key++) {
        forget(key);
    }
}

void back_flush(void)
{
    struct quarry_error error = {0};

    assert_ok(quarry_kv_flush(back.kv, &error), &error);
}

void back_compact(void)
{
    struct quarry_error error = {0};
    const struct quarry_kv_slice none = {NULL, 0};

    assert_ok(quarry_kv_compact_range(back.kv, none, none, &error), &error);
}

void back_take(uint32_t slot)
{
    back_release(slot);
    assert_int_equal(quarry_kv_snapshot_take(back.kv, &back.snapshots[slot]), QUARRY_OK);
    back.then[slot] = back.now;
}

void back_release(uint32_t slot)
{
    if (back.snapshots[slot] != NULL) {
        quarry_kv_snapshot_release(back.kv, back.snapshots[slot]);
        back.snapshots[slot] = NULL;
    }
}

static void compact_some(void)
{
    struct quarry_error error = {0};
    uint32_t from = (uint32_t)back_below(BACK_KEYS);
    uint32_t to = from + (uint32_t)back_below(BACK_KEYS - from);
    const struct quarry_kv_slice begin = {name_of(from), 6}, end = {name_of(to), 6};

    assert_ok(quarry_kv_compact_range(back.kv, begin, end, &error), &error);
}

void back_change(void)
{
    uint32_t key = (uint32_t)back_below(BACK_KEYS), kind = (uint32_t)back_below(100);

    if (kind < 45) {
        back_put(key);
    } else if (kind < 60) {
        back_delete(key);
    } else if (kind < 64) {
        if (back.now.is_put_once[key]) {
            back_single_delete(key);
        }
    } else if (kind < 80) {
        back_merge(key);
    } else if (kind < 83) {
        back_delete_range(key, key + (uint32_t)back_below(BACK_KEYS - key + 1));
    } else if (kind < 90) {
        back_flush();
    } else if (kind < 91) {
        compact_some();
    } else if (kind < 96) {
        (void)quarry_kv_step(back.kv);
    } else if (kind < 98) {
        back_take((uint32_t)back_below(BACK_SNAPSHOTS));
    } else {
        back_release((uint32_t)back_below(BACK_SNAPSHOTS));
    }
}

/* ---- checking ------------------------------------------------------------------------------- */

static void check_key(const struct quarry_kv_read_options *options, const struct back_model *model,
                      uint32_t key)
{
    struct quarry_kv_value value;
    struct quarry_error error = {0};
    enum quarry_status status = quarry_kv_get(back.kv, options, name_of(key), 6, &value, &error);

    if (!model->has[key]) {
        assert_int_equal(status, QUARRY_NOT_FOUND);
        return;
    }
    assert_ok(status, &error);
    assert_int_equal(value.byte_count, strlen(model->value[key]));
    assert_memory_equal(value.bytes, model->value[key], value.byte_count);
    quarry_kv_value_release(&value);
}

static void check_scan(const struct quarry_kv_read_options *options, const struct back_model *model)
{
    struct quarry_kv_iterator *iterator;
    struct quarry_error error = {0};
    uint32_t key = 0;

    assert_int_equal(quarry_kv_iterate(back.kv, options, &iterator, &error), QUARRY_OK);
    for (bool is = quarry_kv_iterator_first(iterator); is; is = quarry_kv_iterator_next(iterator)) {
        struct quarry_kv_slice found = quarry_kv_iterator_key(iterator);
        while (key < BACK_KEYS && !model->has[key]) {
            key++;
        }
        assert_true(key < BACK_KEYS);
        assert_int_equal(found.byte_count, 6);
        assert_memory_equal(found.bytes, name_of(key), 6);
        struct quarry_kv_slice value = quarry_kv_iterator_value(iterator);
        assert_int_equal(value.byte_count, strlen(model->value[key]));
        assert_memory_equal(value.bytes, model->value[key], value.byte_count);
        key++;
    }
    assert_ok(quarry_kv_iterator_status(iterator, &error), &error);
    while (key < BACK_KEYS && !model->has[key]) {
        key++;
    }
    assert_int_equal(key, BACK_KEYS);
    quarry_kv_iterator_destroy(iterator);
}

static void check_at(const struct quarry_kv_snapshot *snapshot, const struct back_model *model)
{
    const struct quarry_kv_read_options options = {.snapshot = snapshot};

    for (uint32_t key = 0; key < BACK_KEYS; key++) {
        check_key(&options, model, key);
    }
    check_scan(&options, model);
}

void back_check(void)
{
    struct quarry_error error = {0};
    struct kv_version *version = kv_versions_acquire(&back.kv->versions);

    assert_ok(kv_version_validate(version, &error), &error);
    kv_version_release(version);
    check_at(NULL, &back.now);
    for (uint32_t i = 0; i < BACK_SNAPSHOTS; i++) {
        if (back.snapshots[i] != NULL) {
            check_at(back.snapshots[i], &back.then[i]);
        }
    }
}

void back_work(void)
{
    struct quarry_error error = {0};

    assert_ok(quarry_kv_wait_idle(back.kv, &error), &error);
}

uint32_t back_file_count(uint32_t level)
{
    struct kv_version *version = kv_versions_acquire(&back.kv->versions);
    uint32_t count = version->levels[level].file_count;

    kv_version_release(version);
    return count;
}

struct counting {
    uint32_t kind, count;
};

static bool count_name(void *argument, const char *name)
{
    struct counting *counting = argument;
    struct kv_file_name parsed;

    counting->count += kv_file_name_parse(name, &parsed) && (uint32_t)parsed.kind == counting->kind;
    return true;
}

uint32_t back_count_names(uint32_t kind)
{
    struct counting counting = {.kind = kind};

    assert_int_equal(quarry_vfs_list(back.disk, "/kv", count_name, &counting, NULL), QUARRY_OK);
    return counting.count;
}

static bool copy_file(void *argument, const char *name)
{
    const char *to = argument;
    struct quarry_vfs_file *file;
    char path[512];
    uint64_t byte_count;
    size_t read_count;

    snprintf(path, sizeof(path), "/kv/%s", name);
    assert_int_equal(quarry_vfs_open(back.disk, path, QUARRY_VFS_READ, &file, NULL), QUARRY_OK);
    assert_int_equal(quarry_vfs_size(file, &byte_count, NULL), QUARRY_OK);
    char *bytes = malloc(byte_count + 1);
    assert_non_null(bytes);
    assert_int_equal(quarry_vfs_read(file, 0, bytes, byte_count, &read_count, NULL), QUARRY_OK);
    quarry_vfs_close(file);
    snprintf(path, sizeof(path), "%s/%s", to, name);
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(bytes, 1, read_count, out), read_count);
    assert_int_equal(fclose(out), 0);
    free(bytes);
    return true;
}

struct names {
    char name[200][40];
    uint32_t count;
};

static bool note_name(void *argument, const char *name)
{
    struct names *names = argument;

    assert_true(names->count < 200);
    snprintf(names->name[names->count++], sizeof(names->name[0]), "%s", name);
    return true;
}

void back_copy_out(const char *path)
{
    struct names names = {.count = 0};
    char to[256];

    snprintf(to, sizeof(to), "%s", path);
    assert_int_equal(quarry_vfs_list(back.disk, "/kv", note_name, &names, NULL), QUARRY_OK);
    for (uint32_t i = 0; i < names.count; i++) {
        (void)copy_file(to, names.name[i]);
    }
}

static uint64_t sum(bool is_deletions)
{
    struct kv_version *version = kv_versions_acquire(&back.kv->versions);
    uint64_t count = 0;

    for (uint32_t level = 0; level < QUARRY_KV_LEVELS; level++) {
        for (uint32_t i = 0; i < version->levels[level].file_count; i++) {
            const struct kv_file *file = version->levels[level].files[i];
            count += is_deletions ? file->deletion_count + file->range_deletion_count
                                  : file->entry_count;
        }
    }
    kv_version_release(version);
    return count;
}

uint64_t back_entry_count(void)
{
    return sum(false);
}

uint64_t back_deletion_count(void)
{
    return sum(true);
}
