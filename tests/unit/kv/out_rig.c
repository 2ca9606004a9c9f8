#include "unit/kv/out_rig.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct quarry_memory *out_memory;
struct quarry_vfs *out_vfs;
char out_folder[64];
struct quarry_error out_error;

static bool is_disk;
static uint32_t
    open_count; /* stores: where a test has failed they stay, and the memory with them */

void out_must(enum quarry_status status, const char *file, int line)
{
    if (status != QUARRY_OK) {
        fail_msg("%s:%d: %s: %s", file, line, quarry_status_name(status), out_error.text);
    }
}

/* ---- setup ---------------------------------------------------------------------------------- */

static int begin(void)
{
    const struct quarry_memory_options options = {.limit_bytes = UINT64_C(512) << 20,
                                                  .has_no_thread = true};

    memset(&out_error, 0, sizeof(out_error));
    must(quarry_memory_create(&options, &out_memory, &out_error));
    return 0;
}

int out_set_up(void **state)
{
    (void)state;
    is_disk = false;
    (void)snprintf(out_folder, sizeof(out_folder), "%s", "");
    must(quarry_vfs_memory_create(7, &out_vfs));
    return begin();
}

int out_set_up_disk(void **state)
{
    (void)state;
    is_disk = true;
    (void)snprintf(out_folder, sizeof(out_folder), "/tmp/quarry-kv-out-XXXXXX");
    assert_non_null(mkdtemp(out_folder));
    out_vfs = quarry_vfs_posix();
    return begin();
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status;
    (void)kind;
    (void)walk;
    return remove(path);
}

int out_tear_down(void **state)
{
    (void)state;
    if (open_count != 0) {
        open_count = 0;
        return 0;
    }
    quarry_memory_destroy(out_memory);
    if (is_disk) {
        nftw(out_folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    } else {
        quarry_vfs_memory_destroy(out_vfs);
    }
    return 0;
}

const char *out_path(const char *name)
{
    static char rooms[8][160];
    static unsigned turn;
    char *room = rooms[turn++ % 8];

    (void)snprintf(room, sizeof(rooms[0]), "%s/%s", out_folder, name);
    return room;
}

/* ---- stores --------------------------------------------------------------------------------- */

struct quarry_kv_options out_options(void)
{
    return (struct quarry_kv_options){
        .vfs = out_vfs,
        .create_if_missing = true,
        .write_buffer_bytes = 1u << 20,
        .block_cache_bytes = 4u << 20,
        .file_bytes = 64u << 10,
        .is_stepped = true,
    };
}

struct quarry_kv *out_open_with(const char *path, const struct quarry_kv_options *options)
{
    struct quarry_kv_options named = *options;
    struct quarry_kv *kv = NULL;
    static uint32_t count;
    char name[16];

    /* Two that are open at once are told apart by their names. */
    (void)snprintf(name, sizeof(name), "kv%u", count++);
    named.name = name;
    must(quarry_kv_open(out_memory, path, &named, &kv, &out_error));
    open_count++;
    return kv;
}

struct quarry_kv *out_open(const char *path)
{
    const struct quarry_kv_options options = out_options();

    return out_open_with(path, &options);
}

void out_close(struct quarry_kv *kv)
{
    must(quarry_kv_validate(kv, &out_error));
    must(quarry_kv_close(kv, &out_error));
    open_count--;
}

void out_shut(struct quarry_kv *kv)
{
    (void)quarry_kv_close(kv, &out_error);
    open_count--;
}

/* ---- keys ----------------------------------------------------------------------------------- */

void out_put(struct quarry_kv *kv, const char *key, const char *value)
{
    must(quarry_kv_put(kv, NULL, key, strlen(key), value, strlen(value), &out_error));
}

static void make_pair(uint32_t number, const char *tag, char key[16], char value[160])
{
    (void)snprintf(key, 16, "key%06u", number % 1000000u);
    (void)snprintf(value, 160, "%.20s of %.15s, and so long that files fill: %060u", tag, key,
                   number);
}

void out_fill(struct quarry_kv *kv, uint32_t from, uint32_t to, const char *tag)
{
    char key[16], value[160];

    for (uint32_t i = from; i < to; i++) {
        make_pair(i, tag, key, value);
        out_put(kv, key, value);
    }
}

void out_expect(struct quarry_kv *kv, const char *key, const char *value)
{
    struct quarry_kv_value found = {0};
    enum quarry_status status = quarry_kv_get(kv, NULL, key, strlen(key), &found, &out_error);

    if (value == NULL) {
        if (status != QUARRY_NOT_FOUND) {
            fail_msg("'%s' is there, or %s", key, quarry_status_name(status));
        }
        return;
    }
    if (status != QUARRY_OK) {
        fail_msg("'%s': %s: %s", key, quarry_status_name(status), out_error.text);
    }
    assert_int_equal(found.byte_count, strlen(value));
    assert_memory_equal(found.bytes, value, found.byte_count);
    quarry_kv_value_release(&found);
}

void out_expect_fill(struct quarry_kv *kv, uint32_t from, uint32_t to, const char *tag)
{
    char key[16], value[160];

    for (uint32_t i = from; i < to; i++) {
        make_pair(i, tag == NULL ? "" : tag, key, value);
        out_expect(kv, key, tag == NULL ? NULL : value);
    }
}

uint64_t out_count(struct quarry_kv *kv)
{
    struct quarry_kv_iterator *iterator;
    uint64_t count = 0;

    must(quarry_kv_iterate(kv, NULL, &iterator, &out_error));
    for (bool is = quarry_kv_iterator_first(iterator); is; is = quarry_kv_iterator_next(iterator)) {
        count++;
    }
    must(quarry_kv_iterator_status(iterator, &out_error));
    quarry_kv_iterator_destroy(iterator);
    return count;
}

/* ---- files ---------------------------------------------------------------------------------- */

struct search {
    const char *end;
    char *last;
    uint32_t count;
};

static bool note_name(void *argument, const char *name)
{
    struct search *search = argument;
    size_t length = strlen(name), end = strlen(search->end);

    if (length >= end && strcmp(name + length - end, search->end) == 0) {
        search->count++;
        if (search->last != NULL) {
            (void)snprintf(search->last, 256, "%s", name);
        }
    }
    return true;
}

uint32_t out_files(const char *path, const char *end, char *ret_last)
{
    struct search search = {.end = end, .last = ret_last};

    must(quarry_vfs_list(out_vfs, path, note_name, &search, &out_error));
    return search.count;
}

bool out_exists(const char *path)
{
    uint64_t byte_count;
    bool is_directory;

    return quarry_vfs_stat(out_vfs, path, &byte_count, &is_directory, NULL) == QUARRY_OK;
}

void out_damage(const char *path, uint64_t offset)
{
    struct quarry_vfs_file *file;
    char byte;
    size_t count;

    must(quarry_vfs_open(out_vfs, path, QUARRY_VFS_WRITE, &file, &out_error));
    must(quarry_vfs_read(file, offset, &byte, 1, &count, &out_error));
    assert_int_equal(count, 1);
    byte = (char)(byte ^ 0x55);
    must(quarry_vfs_write(file, offset, &byte, 1, &out_error));
    quarry_vfs_close(file);
}

void out_write_file(const char *path, const char *text)
{
    struct quarry_vfs_file *file;

    must(quarry_vfs_open(out_vfs, path, QUARRY_VFS_WRITE | QUARRY_VFS_CREATE | QUARRY_VFS_TRUNCATE,
                         &file, &out_error));
    must(quarry_vfs_write(file, 0, text, strlen(text), &out_error));
    quarry_vfs_close(file);
}
