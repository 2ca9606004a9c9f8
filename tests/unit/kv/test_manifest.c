/* The manifest: written, read, cut off, damaged, on disks that fail and lose power. */
#include "unit/kv/ver_rig.h"

#include <stdio.h>
#include <string.h>

#include <kv/file_name.h>
#include <kv/manifest.h>

static struct quarry_vfs *disk;
static struct kv_manifest_state state_now;
static struct kv_manifest *manifest;

static int set_up(void **state)
{
    (void)rig_set_up(state);
    state_now = (struct kv_manifest_state){
        .next_file = 5, .last_sequence = 40, .log_number = 4, .form = KV_EDIT_ROCKSDB};
    manifest = NULL;
    assert_int_equal(quarry_vfs_memory_create(1, &disk), QUARRY_OK);
    assert_int_equal(quarry_vfs_make_directory(disk, "/db", NULL), QUARRY_OK);
    return quarry_vfs_sync_directory(disk, "/", NULL) == QUARRY_OK ? 0 : 1;
}

static int tear_down(void **state)
{
    kv_manifest_close(manifest);
    quarry_vfs_memory_destroy(disk);
    return rig_tear_down(state);
}

static struct kv_manifest_options options_of(struct quarry_vfs *vfs)
{
    return (struct kv_manifest_options){.vfs = vfs,
                                        .directory = "/db",
                                        .memory = &heap,
                                        .comparator = &kv_bytewise,
                                        .form = state_now.form};
}

static void begin_manifest(const struct kv_version *version)
{
    struct kv_manifest_options options = options_of(disk);
    struct quarry_error error = {0};

    if (kv_manifest_create(&options, &state_now, version, &manifest, &error) != QUARRY_OK) {
        fail_msg("%s", error.text);
    }
}

/* Applies the edit that the rig is building, and appends it. `version`: given, and the new one. */
static void append(struct kv_version **version)
{
    struct kv_version *next = build(*version);
    struct quarry_error error = {0};

    if (kv_manifest_append(manifest, &state_now, current_edit(), next, &error) != QUARRY_OK) {
        fail_msg("%s", error.text);
    }
    kv_version_release(*version);
    *version = next;
}

static enum quarry_status read_back(struct quarry_vfs *vfs, struct kv_manifest_state *ret_state,
                                    struct kv_version **ret_version, struct quarry_error *error)
{
    return kv_manifest_read(vfs, "/db", &heap, &kv_bytewise, ret_state, ret_version, error);
}

static bool same_files(const struct kv_version *a, const struct kv_version *b)
{
    for (uint32_t level = 0; level < QUARRY_KV_LEVELS; level++) {
        const struct kv_run *one = &a->levels[level], *other = &b->levels[level];
        if (one->file_count != other->file_count) {
            return false;
        }
        for (uint32_t i = 0; i < one->file_count; i++) {
            const struct kv_file *x = one->files[i], *y = other->files[i];
            if (x->number != y->number || x->byte_count != y->byte_count ||
                kv_compare_keys(&kv_bytewise, x->smallest, y->smallest) != 0 ||
                kv_compare_keys(&kv_bytewise, x->largest, y->largest) != 0) {
                return false;
            }
        }
    }
    return true;
}

/* A manifest of some edits. Returns: own. */
static struct kv_version *write_some(void)
{
    begin_edit();
    add_file(1, 1, "a", "c", 1, 9);
    add_file(1, 2, "d", "f", 1, 9);
    struct kv_version *version = build(NULL);
    begin_manifest(version);
    for (uint64_t i = 0; i < 6; i++) {
        begin_edit();
        add_file(0, state_now.next_file++, "b", "e", 41 + 10 * i, 50 + 10 * i);
        if (i == 3) {
            remove_file(1, 2);
            add_file(2, 2, "d", "f", 1, 9);
        }
        state_now.last_sequence = 50 + 10 * i;
        append(&version);
    }
    return version;
}

/* ---- writing and reading -------------------------------------------------------------------- */

static void what_was_appended_is_read(void **state)
{
    struct kv_version *version = write_some(), *read = NULL;
    struct kv_manifest_state read_state;

    (void)state;
    assert_int_equal(read_back(disk, &read_state, &read, NULL), QUARRY_OK);
    assert_true(same_files(version, read));
    assert_int_equal(read_state.manifest_number, 5);
    assert_int_equal(read_state.next_file, state_now.next_file);
    assert_int_equal(read_state.last_sequence, 100);
    assert_int_equal(read_state.log_number, 4);
    assert_int_equal(read_state.form, KV_EDIT_ROCKSDB);
    assert_int_equal(read_state.byte_count, state_now.byte_count);
    kv_version_release(version);
    kv_version_release(read);
}

static void leveldbs_form_is_read_as_leveldbs(void **state)
{
    struct kv_version *read = NULL;
    struct kv_manifest_state read_state;

    (void)state;
    state_now.form = KV_EDIT_LEVELDB;
    struct kv_version *version = write_some();
    assert_int_equal(read_back(disk, &read_state, &read, NULL), QUARRY_OK);
    assert_true(same_files(version, read));
    assert_int_equal(read_state.form, KV_EDIT_LEVELDB);
    assert_false(read->levels[0].files[0]->has_sequences);
    assert_int_equal(read->levels[0].files[0]->largest_sequence, 100);
    kv_version_release(version);
    kv_version_release(read);
}

static void a_manifest_rolls_over_at_its_bound(void **state)
{
    struct kv_manifest_options options = options_of(disk);
    struct kv_version *read = NULL;
    struct kv_manifest_state read_state;
    struct kv_path path;
    uint32_t manifest_count = 0;
    uint64_t number = 0;

    (void)state;
    options.byte_max = 1000;
    begin_edit();
    struct kv_version *version = build(NULL);
    assert_int_equal(kv_manifest_create(&options, &state_now, version, &manifest, NULL), QUARRY_OK);
    for (uint64_t i = 0; i < 200; i++) {
        begin_edit();
        if (i >= 5) {
            remove_file(0, version->levels[0].files[4]->number);
        }
        add_file(0, state_now.next_file++, "b", "e", 10 * i + 1, 10 * i + 9);
        append(&version);
        manifest_count += state_now.manifest_number != number;
        number = state_now.manifest_number;
        assert_in_range(state_now.byte_count, 1, 1200);
    }
    assert_in_range(manifest_count, 10, 50);
    assert_int_equal(read_back(disk, &read_state, &read, NULL), QUARRY_OK);
    assert_true(same_files(version, read));
    assert_int_equal(read_state.manifest_number, number);
    /* The one before is gone. */
    for (uint64_t other = 1; other < number; other++) {
        uint64_t byte_count;
        bool is_directory;
        assert_int_equal(kv_file_path("/db", KV_FILE_MANIFEST, other, &path, NULL), QUARRY_OK);
        assert_int_equal(quarry_vfs_stat(disk, path.text, &byte_count, &is_directory, NULL),
                         QUARRY_NOT_FOUND);
    }
    kv_version_release(version);
    kv_version_release(read);
}

static void a_large_tree_is_written_in_pieces(void **state)
{
    static char names[3000][8];
    struct kv_version *read = NULL;
    struct kv_manifest_state read_state;

    (void)state;
    begin_edit();
    for (uint32_t i = 0; i < COUNT_OF(names); i++) {
        (void)snprintf(names[i], sizeof(names[i]), "k%05u", i);
        add_file(3, 100000 + i, names[i], names[i], 1, 1);
    }
    struct kv_version *version = build(NULL);
    begin_manifest(version);
    assert_int_equal(read_back(disk, &read_state, &read, NULL), QUARRY_OK);
    assert_int_equal(read_state.record_count, 2 + (COUNT_OF(names) + 255) / 256);
    assert_true(same_files(version, read));
    /* A number that a file has is not given again. */
    assert_int_equal(read_state.next_file, 103000);
    kv_version_release(version);
    kv_version_release(read);
}

static void another_order_of_keys_is_refused_by_both_names(void **state)
{
    struct kv_version *version = write_some(), *read = NULL;
    struct quarry_error error = {0};
    struct kv_manifest_state read_state;

    (void)state;
    assert_int_equal(kv_manifest_read(disk, "/db", &heap, &reversed, &read_state, &read, &error),
                     QUARRY_BAD_INPUT);
    assert_non_null(strstr(error.text, "leveldb.BytewiseComparator"));
    assert_non_null(strstr(error.text, "test.Reversed"));
    kv_version_release(version);
}

/* ---- other engines' records ----------------------------------------------------------------- */

#include <kv/log_write.h>

/* A manifest of records as they are. */
static void write_records(const char *const *records, const size_t *counts, uint32_t record_count)
{
    struct quarry_vfs_file *file = NULL;
    struct kv_log *log = NULL;
    struct kv_log_record record;
    uint64_t end = 0;

    assert_int_equal(quarry_vfs_open(disk, "/db/MANIFEST-000003",
                                     QUARRY_VFS_WRITE | QUARRY_VFS_CREATE | QUARRY_VFS_TRUNCATE,
                                     &file, NULL),
                     QUARRY_OK);
    struct kv_log_options options = {.file = file, .name = "manifest", .memory = &heap};
    assert_int_equal(kv_log_create(&options, &log, NULL), QUARRY_OK);
    for (uint32_t i = 0; i < record_count; i++) {
        kv_log_record_init(&record, kv_slice(records[i], counts[i]));
        assert_int_equal(kv_log_append(log, &record, &end, NULL), QUARRY_OK);
    }
    assert_int_equal(kv_log_close(log, NULL), QUARRY_OK);
    quarry_vfs_close(file);
    assert_int_equal(kv_manifest_set_current(disk, "/db", 3, NULL), QUARRY_OK);
}

#define NUMBERS "\x02\x04\x03\x09\x04\x05"
#define COLUMN  "\xc8\x01\x01"
#define ADDED   "\xc9\x01\x03two"
#define DROPPED "\xca\x01"
/* A file of level 1, by tag 100, from a to b. */
#define FILE2(number)                                                                              \
    "\x64\x01" number "\x0a\x09"                                                                   \
    "a\x01\x01\0\0\0\0\0\0\x09"                                                                    \
    "b\x01\x01\0\0\0\0\0\0\x01\x01"
#define GROUP(rest) "\xac\x02" rest

struct record_case {
    const char *records[6];
    size_t counts[6];
    uint32_t record_count;
    enum quarry_status status;
    uint32_t file_count;
    const char *said;
};
#define R(literal) literal
#define C(literal) sizeof(literal) - 1

static void records_of_others_are_taken_or_refused(void **state)
{
    static const struct record_case cases[] = {
        {{R(NUMBERS)}, {C(NUMBERS)}, 1, QUARRY_OK, 0, NULL},
        {{R("\x02\x04\x03\x09")}, {C("\x02\x04\x03\x09")}, 1, QUARRY_CORRUPT, 0, "last sequence"},
        {{R("\x02\x04\x04\x09")}, {C("\x02\x04\x04\x09")}, 1, QUARRY_CORRUPT, 0, "next file"},
        {{R("\x03\x04\x04\x09")}, {C("\x03\x04\x04\x09")}, 1, QUARRY_CORRUPT, 0, "log number"},
        /* A column family that is empty; has files; had them. */
        {{R(NUMBERS), R(COLUMN ADDED)}, {C(NUMBERS), C(COLUMN ADDED)}, 2, QUARRY_OK, 0, NULL},
        {{R(NUMBERS), R(COLUMN ADDED), R(COLUMN FILE2("\x07"))},
         {C(NUMBERS), C(COLUMN ADDED), C(COLUMN FILE2("\x07"))},
         3,
         QUARRY_UNSUPPORTED,
         0,
         "'two'"},
        {{R(NUMBERS), R(COLUMN ADDED), R(COLUMN FILE2("\x07")), R(COLUMN DROPPED)},
         {C(NUMBERS), C(COLUMN ADDED), C(COLUMN FILE2("\x07")), C(COLUMN DROPPED)},
         4,
         QUARRY_OK,
         0,
         NULL},
        {{R(NUMBERS), R(COLUMN ADDED), R(COLUMN FILE2("\x07")), R(COLUMN "\x06\x01\x07")},
         {C(NUMBERS), C(COLUMN ADDED), C(COLUMN FILE2("\x07")), C(COLUMN "\x06\x01\x07")},
         4,
         QUARRY_OK,
         0,
         NULL},
        {{R(NUMBERS), R(COLUMN DROPPED)},
         {C(NUMBERS), C(COLUMN DROPPED)},
         2,
         QUARRY_CORRUPT,
         0,
         "not there"},
        {{R(NUMBERS), R(COLUMN ADDED), R(COLUMN ADDED)},
         {C(NUMBERS), C(COLUMN ADDED), C(COLUMN ADDED)},
         3,
         QUARRY_CORRUPT,
         0,
         "twice"},
        {{R(NUMBERS DROPPED)}, {C(NUMBERS DROPPED)}, 1, QUARRY_UNSUPPORTED, 0, "default"},
        /* A group that is whole; cut off; broken. */
        {{R(NUMBERS), R(GROUP("\x01") FILE2("\x07")), R(GROUP("\x00") "\x06\x01\x07")},
         {C(NUMBERS), C(GROUP("\x01") FILE2("\x07")), C(GROUP("\x00") "\x06\x01\x07")},
         3,
         QUARRY_OK,
         0,
         NULL},
        {{R(NUMBERS), R(GROUP("\x00") FILE2("\x07"))},
         {C(NUMBERS), C(GROUP("\x00") FILE2("\x07"))},
         2,
         QUARRY_OK,
         1,
         NULL},
        {{R(NUMBERS), R(GROUP("\x01") FILE2("\x07"))},
         {C(NUMBERS), C(GROUP("\x01") FILE2("\x07"))},
         2,
         QUARRY_OK,
         0,
         NULL},
        {{R(NUMBERS), R(GROUP("\x02") FILE2("\x07")), R(GROUP("\x00") "\x06\x01\x07")},
         {C(NUMBERS), C(GROUP("\x02") FILE2("\x07")), C(GROUP("\x00") "\x06\x01\x07")},
         3,
         QUARRY_CORRUPT,
         0,
         "group"},
        {{R(NUMBERS), R(GROUP("\x01") FILE2("\x07")), R(NUMBERS)},
         {C(NUMBERS), C(GROUP("\x01") FILE2("\x07")), C(NUMBERS)},
         3,
         QUARRY_CORRUPT,
         0,
         "group"},
        /* Files that cannot be. */
        {{R(NUMBERS FILE2("\x07") FILE2("\x08"))},
         {C(NUMBERS FILE2("\x07") FILE2("\x08"))},
         1,
         QUARRY_CORRUPT,
         0,
         "overlap"},
        {{R(NUMBERS FILE2("\x07")), R(FILE2("\x07"))},
         {C(NUMBERS FILE2("\x07")), C(FILE2("\x07"))},
         2,
         QUARRY_CORRUPT,
         0,
         "is at level 1"},
        {{R(NUMBERS "\x06\x01\x07")},
         {C(NUMBERS "\x06\x01\x07")},
         1,
         QUARRY_CORRUPT,
         0,
         "where it is not"},
    };

    (void)state;
    for (uint32_t i = 0; i < COUNT_OF(cases); i++) {
        struct kv_manifest_state read_state;
        struct kv_version *version = NULL;
        struct quarry_error error = {0};
        write_records(cases[i].records, cases[i].counts, cases[i].record_count);
        enum quarry_status status = read_back(disk, &read_state, &version, &error);
        if (status != cases[i].status) {
            fail_msg("case %u: %d: %s", i, (int)status, error.text);
        }
        if (status == QUARRY_OK) {
            assert_int_equal(version->levels[1].file_count, cases[i].file_count);
            kv_version_release(version);
        } else {
            assert_non_null(strstr(error.text, cases[i].said));
        }
    }
}

static void current_must_name_a_manifest_that_is_there(void **state)
{
    static const char *const texts[] = {"",
                                        "MANIFEST-000005",
                                        "MANIFEST-x\n",
                                        "000004.log\n",
                                        "MANIFEST-000005\n\n",
                                        "MANIFEST-000099\n",
                                        "MANIFEST-00000000000000000000000000000000000000005\n"};
    struct kv_version *version = write_some(), *read = NULL;
    struct kv_manifest_state read_state;
    struct quarry_vfs_file *file = NULL;

    (void)state;
    for (uint32_t i = 0; i < COUNT_OF(texts); i++) {
        assert_int_equal(quarry_vfs_open(disk, "/db/CURRENT",
                                         QUARRY_VFS_WRITE | QUARRY_VFS_TRUNCATE, &file, NULL),
                         QUARRY_OK);
        assert_int_equal(quarry_vfs_write(file, 0, texts[i], strlen(texts[i]), NULL), QUARRY_OK);
        quarry_vfs_close(file);
        assert_int_equal(read_back(disk, &read_state, &read, NULL), QUARRY_CORRUPT);
    }
    assert_int_equal(quarry_vfs_remove(disk, "/db/CURRENT", NULL), QUARRY_OK);
    assert_int_equal(read_back(disk, &read_state, &read, NULL), QUARRY_NOT_FOUND);
    kv_version_release(version);
}

/* ---- damage --------------------------------------------------------------------------------- */

static size_t read_whole(const char *path, char *room, size_t capacity)
{
    struct quarry_vfs_file *file = NULL;
    size_t count = 0;

    assert_int_equal(quarry_vfs_open(disk, path, QUARRY_VFS_READ, &file, NULL), QUARRY_OK);
    assert_int_equal(quarry_vfs_read(file, 0, room, capacity, &count, NULL), QUARRY_OK);
    quarry_vfs_close(file);
    return count;
}

static void write_whole(const char *path, const char *bytes, size_t count)
{
    struct quarry_vfs_file *file = NULL;

    assert_int_equal(
        quarry_vfs_open(disk, path, QUARRY_VFS_WRITE | QUARRY_VFS_TRUNCATE, &file, NULL),
        QUARRY_OK);
    assert_int_equal(quarry_vfs_write(file, 0, bytes, count, NULL), QUARRY_OK);
    quarry_vfs_close(file);
}

static void a_manifest_cut_off_anywhere_is_one_of_those_before(void **state)
{
    static char bytes[4096];
    struct kv_version *version = write_some(), *read = NULL;
    struct kv_manifest_state read_state;
    struct quarry_error error = {0};
    uint64_t records = 0;

    (void)state;
    size_t count = read_whole("/db/MANIFEST-000005", bytes, sizeof(bytes));
    assert_in_range(count, 300, sizeof(bytes) - 1);
    for (size_t cut = 0; cut <= count; cut++) {
        write_whole("/db/MANIFEST-000005", bytes, cut);
        enum quarry_status status = read_back(disk, &read_state, &read, &error);
        if (status == QUARRY_OK) {
            assert_true(read_state.record_count >= records);
            assert_true(read_state.byte_count <= cut);
            records = read_state.record_count;
            assert_true(cut < count || same_files(version, read));
            kv_version_release(read);
        } else {
            assert_int_equal(status, QUARRY_CORRUPT); /* before the numbers are there */
            assert_int_equal(records, 0);
            assert_non_null(strstr(error.text, "/db/MANIFEST-000005")); /* names the file */
        }
    }
    assert_int_equal(records, 9);
    kv_version_release(version);
}

static void a_flipped_bit_is_an_error_or_does_nothing(void **state)
{
    static char bytes[4096];
    struct kv_version *version = write_some(), *read = NULL;
    struct kv_manifest_state read_state;
    uint32_t refused = 0;

    (void)state;
    size_t count = read_whole("/db/MANIFEST-000005", bytes, sizeof(bytes));
    for (size_t bit = 0; bit < count * 8; bit++) {
        struct quarry_error error = {0};
        bytes[bit / 8] = (char)(bytes[bit / 8] ^ 1 << bit % 8);
        write_whole("/db/MANIFEST-000005", bytes, count);
        enum quarry_status status = read_back(disk, &read_state, &read, &error);
        if (status == QUARRY_OK) {
            /* Only the last record looks like one that was torn while it was written. */
            assert_int_equal(read_state.record_count, 8);
            assert_true(read_state.has_torn_end);
            kv_version_release(read);
        } else {
            assert_int_equal(error.status, status);
            refused++;
        }
        bytes[bit / 8] = (char)(bytes[bit / 8] ^ 1 << bit % 8);
    }
    assert_in_range(refused, count * 8 * 3 / 4, count * 8 - 1);
    kv_version_release(version);
}

/* ---- disks and memory that fail ------------------------------------------------------------- */

/* Appends one more file. `versions[at]`: what is there; the one behind it is made. */
static enum quarry_status append_next(struct kv_manifest *own, struct kv_version **versions,
                                      uint64_t at)
{
    begin_edit();
    add_file(0, state_now.next_file++, "b", "e", 10 * at + 1, 10 * at + 9);
    versions[at + 1] = build(versions[at]);
    return kv_manifest_append(own, &state_now, current_edit(), versions[at + 1], NULL);
}

/* What is on the disk is one of the versions from the last that was acknowledged on. */
static void check_disk(struct kv_version *const *versions, uint64_t acknowledged, uint64_t last)
{
    struct kv_version *read = NULL;
    struct kv_manifest_state read_state;
    bool is_one = false;

    assert_int_equal(read_back(disk, &read_state, &read, NULL), QUARRY_OK);
    for (uint64_t i = acknowledged; i <= last; i++) {
        is_one = is_one || same_files(read, versions[i]);
    }
    assert_true(is_one);
    kv_version_release(read);
}

#define FAULTY_APPENDS 4u

/* Fails operations from the `first` on. Returns: whether there were as many. */
static bool append_with_fault(uint64_t first, uint64_t count)
{
    struct quarry_vfs *faulty = NULL;
    struct quarry_vfs_fault fault = {.first = first, .count = count, .status = QUARRY_IO};
    struct kv_version *versions[FAULTY_APPENDS + 1] = {NULL};
    struct kv_manifest *own = NULL;
    uint64_t acknowledged = 0;

    assert_int_equal(quarry_vfs_fault_create(disk, first, &faulty), QUARRY_OK);
    struct kv_manifest_options options = options_of(faulty);
    begin_edit();
    versions[0] = build(NULL);
    assert_int_equal(kv_manifest_create(&options, &state_now, versions[0], &own, NULL), QUARRY_OK);
    quarry_vfs_fault_set(faulty, 0, &fault);
    for (uint64_t at = 0; at < FAULTY_APPENDS - 1; at++) {
        enum quarry_status status = append_next(own, versions, at);
        acknowledged = status == QUARRY_OK ? at + 1 : acknowledged;
        assert_true(status == QUARRY_OK || kv_manifest_is_broken(own));
        check_disk(versions, acknowledged, at + 1);
    }
    bool is_reached = quarry_vfs_fault_hits(faulty, 0) != 0;
    quarry_vfs_fault_set(faulty, 0, NULL);
    /* The disk is well again: so is the manifest. */
    assert_int_equal(append_next(own, versions, FAULTY_APPENDS - 1), QUARRY_OK);
    check_disk(versions, FAULTY_APPENDS, FAULTY_APPENDS);
    for (uint32_t i = 0; i <= FAULTY_APPENDS; i++) {
        kv_version_release(versions[i]);
    }
    kv_manifest_close(own);
    quarry_vfs_fault_destroy(faulty);
    return is_reached;
}

static void an_append_that_fails_makes_a_new_manifest(void **state)
{
    static const uint64_t counts[] = {1, 2, 3, 0};

    (void)state;
    for (uint32_t i = 0; i < COUNT_OF(counts); i++) {
        uint64_t first = 1;
        while (append_with_fault(first, counts[i])) {
            assert_in_range(++first, 1, 100);
        }
        assert_in_range(first, 6, 100);
    }
}

static void a_manifest_that_cannot_be_made_leaves_the_old_one(void **state)
{
    struct kv_version *version = write_some(), *read = NULL;
    struct quarry_vfs *faulty = NULL;
    struct kv_manifest_state read_state;
    bool is_failing = true;
    uint64_t first = 1;

    (void)state;
    assert_int_equal(quarry_vfs_fault_create(disk, 1, &faulty), QUARRY_OK);
    struct kv_manifest_options options = options_of(faulty);
    begin_edit();
    struct kv_version *empty = build(NULL);
    for (; is_failing; first++) {
        struct kv_manifest *other = NULL;
        struct quarry_vfs_fault fault = {.first = first, .count = 1, .status = QUARRY_NO_SPACE};
        struct kv_manifest_state other_state = state_now;
        other_state.next_file += 10;
        quarry_vfs_fault_set(faulty, 0, &fault);
        is_failing = kv_manifest_create(&options, &other_state, empty, &other, NULL) != QUARRY_OK;
        kv_manifest_close(other);
        assert_int_equal(read_back(disk, &read_state, &read, NULL), QUARRY_OK);
        assert_true(same_files(read, version) || same_files(read, empty));
        kv_version_release(read);
    }
    assert_in_range(first, 8, 40);
    quarry_vfs_fault_destroy(faulty);
    kv_version_release(version);
    kv_version_release(empty);
}

static void after_a_loss_of_power_every_acknowledged_edit_is_there(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct quarry_vfs *after = NULL;
        struct kv_version *read = NULL;
        struct kv_manifest_state read_state;
        begin_edit();
        struct kv_version *version = build(NULL);
        struct kv_manifest_options options = options_of(disk);
        options.byte_max = 300;
        state_now.next_file = 1000 * (seed + 1);
        assert_int_equal(kv_manifest_create(&options, &state_now, version, &manifest, NULL),
                         QUARRY_OK);
        for (uint64_t i = 0; i < seed % 13; i++) {
            begin_edit();
            add_file(0, state_now.next_file++, "b", "e", 10 * i + 1, 10 * i + 9);
            append(&version);
        }
        assert_int_equal(quarry_vfs_memory_crash(disk, (uint32_t)(seed % 3) * 50, seed, &after),
                         QUARRY_OK);
        assert_int_equal(read_back(after, &read_state, &read, NULL), QUARRY_OK);
        assert_true(same_files(read, version));
        kv_version_release(read);
        kv_version_release(version);
        quarry_vfs_memory_destroy(after);
        kv_manifest_close(manifest);
        manifest = NULL;
    }
}

static void without_memory_nothing_is_read_or_written(void **state)
{
    struct kv_version *version = write_some();
    enum quarry_status status = QUARRY_NO_MEMORY;
    struct kv_manifest_state read_state;
    uint32_t failed = 0;

    (void)state;
    for (uint64_t allowed = 0; status == QUARRY_NO_MEMORY; allowed += 256) {
        struct kv_version *read = NULL;
        struct quarry_error error = {0};
        uint64_t before = charged();
        allow_bytes(allowed);
        status = read_back(disk, &read_state, &read, &error);
        assert_int_equal(error.status, status);
        failed += status == QUARRY_NO_MEMORY;
        if (status == QUARRY_OK) {
            kv_version_release(read);
        }
        assert_int_equal(charged(), before);
    }
    assert_int_equal(status, QUARRY_OK);
    assert_in_range(failed, 5, 1000);
    status = QUARRY_NO_MEMORY;
    for (uint64_t allowed = 0; status == QUARRY_NO_MEMORY; allowed += 256) {
        struct kv_manifest *other = NULL;
        struct kv_manifest_options options = options_of(disk);
        allow_bytes(allowed);
        status = kv_manifest_create(&options, &state_now, version, &other, NULL);
        kv_manifest_close(other);
    }
    assert_int_equal(status, QUARRY_OK);
    allow_bytes(UINT64_MAX);
    kv_version_release(version);
}

#define RIGGED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIGGED(what_was_appended_is_read),
        RIGGED(leveldbs_form_is_read_as_leveldbs),
        RIGGED(a_manifest_rolls_over_at_its_bound),
        RIGGED(a_large_tree_is_written_in_pieces),
        RIGGED(another_order_of_keys_is_refused_by_both_names),
        RIGGED(records_of_others_are_taken_or_refused),
        RIGGED(current_must_name_a_manifest_that_is_there),
        RIGGED(a_manifest_cut_off_anywhere_is_one_of_those_before),
        RIGGED(a_flipped_bit_is_an_error_or_does_nothing),
        RIGGED(an_append_that_fails_makes_a_new_manifest),
        RIGGED(a_manifest_that_cannot_be_made_leaves_the_old_one),
        RIGGED(after_a_loss_of_power_every_acknowledged_edit_is_there),
        RIGGED(without_memory_nothing_is_read_or_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
