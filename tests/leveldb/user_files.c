/*
 * What a database says of itself; compaction; repairing; destroying.
 */
#include "user.h"

#include <unistd.h>

/* ---- properties ----------------------------------------------------------------------------- */

static long number(leveldb_t *db, const char *name)
{
    char *value = leveldb_property_value(db, name);
    long result = value == NULL ? -1 : atol(value);

    leveldb_free(value);
    return result;
}

static void tell_names(leveldb_t *db)
{
    static const char *const names[] = {
        "leveldb.num-files-at-level0",
        "leveldb.num-files-at-level6",
        "leveldb.num-files-at-level7",
        "leveldb.num-files-at-level",
        "leveldb.num-files-at-level00",
        "leveldb.num-files-at-level06",
        "leveldb.num-files-at-level1x",
        "leveldb.num-files-at-level-1",
        "leveldb.num-files-at-level 1",
        "leveldb.num-files-at-level18446744073709551616",
        "leveldb.approximate-memory-use",
        "leveldb.statsx",
        "leveldb.",
        "leveldb",
        "",
        "rocksdb.stats",
        "quarry.lsm",
        "rocksdb.num-files-at-level0",
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char *value = leveldb_property_value(db, names[i]);
        say("property '%s': %s", names[i], value == NULL ? "none" : value);
        leveldb_free(value);
    }
}

static long files_at_all_levels(leveldb_t *db)
{
    long count = 0;

    for (int level = 0; level < 7; level++) {
        char name[64];
        snprintf(name, sizeof(name), "leveldb.num-files-at-level%d", level);
        count += number(db, name);
    }
    return count;
}

static void properties(leveldb_t *db)
{
    tell_names(db);
    char *stats = leveldb_property_value(db, "leveldb.stats");
    say("stats of an empty database:\n%s", stats);
    leveldb_free(stats);
    char *tables = leveldb_property_value(db, "leveldb.sstables");
    say("tables of an empty database:\n%s", tables);
    leveldb_free(tables);
    fill(db, 0, 2000);
    say("memory is used: %d", number(db, "leveldb.approximate-memory-usage") > 200000);
    leveldb_compact_range(db, NULL, 0, NULL, 0);
    say("files: %ld", files_at_all_levels(db));
    stats = leveldb_property_value(db, "leveldb.stats");
    say("the stats have a line more: %d", strlen(stats) > 140);
    leveldb_free(stats);
    tables = leveldb_property_value(db, "leveldb.sstables");
    char *keys = strstr(tables, "['key");
    say("the table: %.*s", keys == NULL ? 4 : (int)strcspn(keys, "]"),
        keys == NULL ? "none" : keys);
    leveldb_free(tables);
}

/* ---- sizes ---------------------------------------------------------------------------------- */

static void approximate_sizes(leveldb_t *db)
{
    static const char *const starts[] = {"a", "key000500", "key001000", "key001999",
                                         "z", "",          "key"};
    static const char *const limits[] = {"z", "key001000", "key000500", "z", "zz", "a", "kez"};
    size_t start_bytes[7], limit_bytes[7];
    uint64_t bytes[7];

    for (int i = 0; i < 7; i++) {
        start_bytes[i] = strlen(starts[i]);
        limit_bytes[i] = strlen(limits[i]);
    }
    leveldb_approximate_sizes(db, 7, starts, start_bytes, limits, limit_bytes, bytes);
    for (int i = 0; i < 7; i++) {
        const char *size = bytes[i] == 0      ? "nothing"
                           : bytes[i] < 10000 ? "a little"
                           : bytes[i] < 40000 ? "a quarter"
                                              : "all";
        say("from '%s' to '%s': %s", starts[i], limits[i], size);
    }
    leveldb_approximate_sizes(db, 0, NULL, NULL, NULL, NULL, NULL);
    say("of no ranges");
}

static void compaction(leveldb_t *db)
{
    for (int i = 0; i < 2000; i++) {
        char key[32];
        int key_bytes = snprintf(key, sizeof(key), "key%06d", i);
        if (i % 10 != 0) {
            leveldb_delete(db, user.write, key, (size_t)key_bytes, &user.error);
        }
    }
    leveldb_compact_range(db, "key", 3, "kez", 3);
    leveldb_compact_range(db, "z", 1, NULL, 0);
    leveldb_compact_range(db, NULL, 0, "a", 1);
    leveldb_compact_range(db, "z", 1, "a", 1);
    leveldb_compact_range(db, NULL, 0, NULL, 0);
    list(db);
}

/* ---- repairing ------------------------------------------------------------------------------ */

static void repair(const char *name)
{
    leveldb_repair_db(user.options, path_of(name), &user.error);
    say("repair %s", name);
}

static void tell_repaired(const char *name)
{
    repair(name);
    leveldb_t *db = must_open(name);
    get(db, "key000010");
    get(db, "in the log");
    list(db);
    leveldb_close(db);
}

static void make(const char *name)
{
    leveldb_t *db = must_open(name);
    fill(db, 0, 300);
    leveldb_compact_range(db, NULL, 0, NULL, 0);
    put(db, "in the log", "alone");
    leveldb_close(db);
}

static void repairs(void)
{
    make("whole");
    tell_repaired("whole");
    make("no current");
    shell("rm '@/CURRENT'", "no current");
    leveldb_options_set_create_if_missing(user.options, 0);
    (void)open_db("no current");
    leveldb_options_set_create_if_missing(user.options, 1);
    tell_repaired("no current");
    make("no manifest");
    shell("rm '@'/MANIFEST-*", "no manifest");
    (void)open_db("no manifest");
    tell_repaired("no manifest");
    make("nonsense");
    shell("for f in '@'/MANIFEST-*; do echo nonsense > \"$f\"; done", "nonsense");
    (void)open_db("nonsense");
    tell_repaired("nonsense");
    repair("not there");
    leveldb_t *db = must_open("not there");
    list(db);
    leveldb_close(db);
    repair("not there/at/all");
}

/* ---- destroying ----------------------------------------------------------------------------- */

static void destroy(const char *name)
{
    leveldb_destroy_db(user.options, path_of(name), &user.error);
    say("destroy %s, there is something left: %d", name, access(path_of(name), F_OK) == 0);
}

static void destroying(void)
{
    make("destroyed");
    leveldb_t *db = must_open("destroyed");
    destroy("destroyed");
    get(db, "key000010");
    leveldb_close(db);
    destroy("destroyed");
    destroy("destroyed");
    destroy("never there");
    make("with notes");
    shell("echo notes > '@/notes.txt'", "with notes");
    destroy("with notes");
    shell("test \"$(ls '@')\" = notes.txt", "with notes");
    shell("mkdir '@'", "a directory");
    destroy("a directory");
}

void user_files(void)
{
    leveldb_t *db = must_open("figures");
    properties(db);
    approximate_sizes(db);
    compaction(db);
    leveldb_close(db);
    repairs();
    destroying();
}
