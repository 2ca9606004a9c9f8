/*
 * Everything that goes wrong, and what is said of it.
 */
#include "user.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void make(const char *name)
{
    leveldb_t *db = must_open(name);
    fill(db, 0, 1000);
    leveldb_compact_range(db, NULL, 0, NULL, 0);
    leveldb_close(db);
}

/* ---- opening -------------------------------------------------------------------------------- */

static void opening_what_is_not_there(void)
{
    leveldb_options_set_create_if_missing(user.options, 0);
    (void)open_db("missing");
    (void)open_db("missing");
    leveldb_options_set_create_if_missing(user.options, 1);
    (void)open_db("no/such/directory");
    shell("echo text > '@'", "a file");
    (void)open_db("a file");
    leveldb_t *db = leveldb_open(user.options, "", &user.error);
    say("open without a name: %s", db == NULL ? "no" : "yes");
}

static void opening_what_is_there(void)
{
    make("there");
    leveldb_options_set_error_if_exists(user.options, 1);
    (void)open_db("there");
    leveldb_close(must_open("new"));
    leveldb_options_set_error_if_exists(user.options, 0);
    leveldb_close(must_open("new"));
}

static void opening_what_is_open(void)
{
    int told[2], asked[2];
    char byte = 0;

    leveldb_t *db = must_open("open");
    (void)open_db("open");
    put(db, "still", "works");
    leveldb_close(db);
    if (pipe(told) != 0 || pipe(asked) != 0) {
        exit(1);
    }
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) { /* another process: begun anew, for libraries may have threads */
        char told_text[16], asked_text[16];
        snprintf(told_text, sizeof(told_text), "%d", told[1]);
        snprintf(asked_text, sizeof(asked_text), "%d", asked[0]);
        setenv("USER_HOLDS", path_of("open"), 1);
        setenv("USER_TOLD", told_text, 1);
        setenv("USER_ASKED", asked_text, 1);
        execl("/proc/self/exe", "user", user.paths, (char *)NULL);
        _exit(1);
    }
    if (read(told[0], &byte, 1) != 1) {
        say("the other process does not answer");
    }
    (void)open_db("open");
    leveldb_destroy_db(user.options, path_of("open"), &user.error);
    say("destroy it");
    (void)!write(asked[1], &byte, 1);
    waitpid(child, NULL, 0);
    leveldb_close(must_open("open"));
}

/* ---- damage --------------------------------------------------------------------------------- */

static void damage(const char *name, const char *command)
{
    make(name);
    shell(command, name);
    (void)open_db(name);
}

static void damaged_manifests(void)
{
    damage("current-cut", "printf MANIFEST-000002 > '@/CURRENT'");
    damage("current-empty", ": > '@/CURRENT'");
    damage("current-wrong", "printf 'MANIFEST-000099\\n' > '@/CURRENT'");
    damage("current-other", "printf 'elsewhere\\n' > '@/CURRENT'");
    damage("manifest-empty", "for f in '@'/MANIFEST-*; do : > \"$f\"; done");
    damage("manifest-nonsense",
           "for f in '@'/MANIFEST-*; do echo nonsense nonsense > \"$f\"; done");
}

/* Which number the table has is the library's affair. */
static void missing_tables(void)
{
    make("table-missing");
    shell("rm '@'/*.ldb", "table-missing");
    (void)leveldb_open(user.options, path_of("table-missing"), &user.error);
    char *number = user.error == NULL ? NULL : strstr(user.error, ".ldb");
    for (; number != NULL && number[-1] >= '0' && number[-1] <= '9'; number--) {
        number[-1] = 'N';
    }
    say("open without the table");
}

static void say_whether_found(const char *what)
{
    bool is_found = user.error != NULL;

    leveldb_free(user.error);
    user.error = NULL;
    say("%s: %s", what, is_found ? "found" : "not found");
}

static void tables_of_another_size(void)
{
    make("table-cut");
    shell("for f in '@'/*.ldb; do truncate -s 1000 \"$f\"; done", "table-cut");
    leveldb_t *db = leveldb_open(user.options, path_of("table-cut"), &user.error);
    if (db != NULL) {
        size_t count;
        leveldb_free(leveldb_get(db, user.read, "key000500", 9, &count, &user.error));
        leveldb_close(db);
    }
    say_whether_found("a table that is cut");
}

static void tables_that_were_changed(void)
{
    leveldb_readoptions_set_verify_checksums(user.read, 1);
    make("block");
    shell("for f in '@'/*.ldb; do printf 'xyz' | dd of=\"$f\" bs=1 seek=50 conv=notrunc "
          "2>/dev/null; done",
          "block");
    leveldb_t *db = must_open("block");
    get(db, "key000001");
    leveldb_iterator_t *iterator = leveldb_create_iterator(db, user.read);
    leveldb_iter_seek_to_first(iterator);
    leveldb_iter_get_error(iterator, &user.error);
    say("the first key");
    leveldb_iter_destroy(iterator);
    get(db, "key000999");
    put(db, "other", "keys can be written");
    get(db, "other");
    leveldb_close(db);
    make("footer");
    shell("for f in '@'/*.ldb; do printf 'xyzxyz' | dd of=\"$f\" bs=1 "
          "seek=$(($(stat -c %s \"$f\") - 6)) conv=notrunc 2>/dev/null; done",
          "footer");
    db = must_open("footer");
    get(db, "key000001");
    leveldb_close(db);
    leveldb_readoptions_set_verify_checksums(user.read, 0);
}

/* ---- writing -------------------------------------------------------------------------------- */

/* No file can grow: as with a full disk. */
static void writing_without_room(void)
{
    struct rlimit before, limit;

    leveldb_t *db = must_open("full");
    put(db, "before", "1");
    getrlimit(RLIMIT_FSIZE, &before);
    limit = before;
    limit.rlim_cur = 0;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    char *value = calloc(1, 1 << 20);
    for (int i = 0; i < 40 && user.error == NULL; i++) {
        leveldb_put(db, user.write, "large", 5, value, 1 << 20, &user.error);
    }
    free(value);
    setrlimit(RLIMIT_FSIZE, &before);
    if (user.error != NULL) {
        user.error[strcspn(user.error, ":")] = '\0';
    }
    say("writing without room");
    get(db, "before");
    leveldb_close(db);
}

/* ---- where errors are put ------------------------------------------------------------------- */

static void errors_replace_each_other(void)
{
    char *error = NULL;
    size_t count;

    leveldb_options_set_create_if_missing(user.options, 0);
    (void)leveldb_open(user.options, path_of("missing"), &error);
    char *first = strdup(error);
    (void)leveldb_open(user.options, path_of("missing too"), &error);
    say("the second error is another: %d", strcmp(first, error) != 0);
    free(first);
    leveldb_options_set_create_if_missing(user.options, 1);
    leveldb_t *db = leveldb_open(user.options, path_of("errors"), &error);
    leveldb_put(db, user.write, "a", 1, "1", 1, &error);
    leveldb_free(leveldb_get(db, user.read, "b", 1, &count, &error));
    user.error = error;
    say("success leaves an error alone");
    leveldb_close(db);
}

/* The other process of opening_what_is_open. */
static void hold(void) __attribute__((constructor));
static void hold(void)
{
    const char *path = getenv("USER_HOLDS");
    char byte = 0;

    if (path == NULL) {
        return;
    }
    leveldb_options_t *options = leveldb_options_create();
    char *error = NULL;
    leveldb_t *db = leveldb_open(options, path, &error);
    if (db != NULL && write(atoi(getenv("USER_TOLD")), &byte, 1) == 1) {
        (void)!read(atoi(getenv("USER_ASKED")), &byte, 1);
        leveldb_close(db);
    }
    _exit(0);
}

void user_failures(void)
{
    opening_what_is_not_there();
    opening_what_is_there();
    opening_what_is_open();
    damaged_manifests();
    missing_tables();
    tables_of_another_size();
    tables_that_were_changed();
    writing_without_room();
    errors_replace_each_other();
}
