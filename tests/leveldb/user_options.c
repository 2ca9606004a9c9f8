/*
 * Options, and what they hold: comparators, filter policies, caches, the environment.
 */
#include "user.h"

#include <unistd.h>

/* A comparator or a cache cannot be taken back from options. */
static void begin_options(void)
{
    leveldb_options_destroy(user.options);
    user.options = leveldb_options_create();
    leveldb_options_set_create_if_missing(user.options, 1);
}

/* ---- comparators ---------------------------------------------------------------------------- */

/* States are texts: who is called says which. */
static void tell_end(void *state)
{
    say("the end of %s", (const char *)state);
}

static int compare_backwards(void *state, const char *a, size_t a_bytes, const char *b,
                             size_t b_bytes)
{
    size_t least = a_bytes < b_bytes ? a_bytes : b_bytes;
    int order = memcmp(b, a, least);

    (void)state;
    return order != 0 ? order : (b_bytes > a_bytes) - (b_bytes < a_bytes);
}

static const char *name_backwards(void *state)
{
    (void)state;
    return "user.Backwards";
}

/* Numbers, however they are written: 7, 007 and 0x7 are one key. */
static long number_of(const char *bytes, size_t byte_count)
{
    char text[64];

    snprintf(text, sizeof(text), "%.*s", (int)byte_count, bytes);
    return strtol(text, NULL, text[0] == '0' && text[1] == 'x' ? 16 : 10);
}

static int compare_numbers(void *state, const char *a, size_t a_bytes, const char *b,
                           size_t b_bytes)
{
    long x = number_of(a, a_bytes), y = number_of(b, b_bytes);

    (void)state;
    return (x > y) - (x < y);
}

static const char *name_numbers(void *state)
{
    (void)state;
    return "user.Numbers";
}

static void an_order_of_its_own(void)
{
    leveldb_comparator_t *backwards =
        leveldb_comparator_create("backwards", tell_end, compare_backwards, name_backwards);

    leveldb_options_set_comparator(user.options, backwards);
    leveldb_t *db = must_open("backwards");
    put(db, "a", "1");
    put(db, "b", "2");
    put(db, "ab", "3");
    leveldb_compact_range(db, NULL, 0, NULL, 0);
    put(db, "aa", "4");
    list(db);
    leveldb_close(db);
    db = must_open("backwards");
    list(db);
    leveldb_close(db);
    begin_options();
    say("with the order of bytes");
    (void)open_db("backwards");
    db = must_open("bytewise");
    put(db, "a", "1");
    leveldb_close(db);
    leveldb_options_set_comparator(user.options, backwards);
    (void)open_db("bytewise");
    begin_options();
    leveldb_comparator_destroy(backwards);
}

static void keys_that_are_equal_and_not_the_same(void)
{
    leveldb_comparator_t *numbers =
        leveldb_comparator_create("numbers", tell_end, compare_numbers, name_numbers);

    leveldb_options_set_comparator(user.options, numbers);
    leveldb_t *db = must_open("numbers");
    for (int round = 0; round < 2; round++) {
        put(db, "10", "ten");
        put(db, "0x14", "twenty");
        put(db, "9", "nine");
        get(db, "0xa");
        get(db, "20");
        get(db, "00009");
        get(db, "15");
        put(db, "0x0a", "ten again");
        get(db, "10");
        leveldb_delete(db, user.write, "0020", 4, &user.error);
        get(db, "0x14");
        list(db);
        leveldb_compact_range(db, "0", 1, "9999", 4);
    }
    get(db, "0010");
    list(db);
    leveldb_close(db);
    begin_options();
    leveldb_comparator_destroy(numbers);
}

/* ---- filter policies ------------------------------------------------------------------------ */

struct policy {
    const char *name;
    bool lies; /* says of every key that it is not there */
    unsigned made, asked;
};

/* A bit for each length that a key has. */
static char *create_lengths(void *state, const char *const *keys, const size_t *lengths,
                            int key_count, size_t *filter_bytes)
{
    char *filter = calloc(1, 8);

    ((struct policy *)state)->made++;
    *filter_bytes = 8;
    for (int i = 0; i < key_count; i++) {
        filter[lengths[i] / 8 % 8] |= (char)(1 << lengths[i] % 8);
        if (lengths[i] > 0 && keys[i] == NULL) {
            say("a key without bytes");
        }
    }
    return filter;
}

static uint8_t may_match_length(void *state, const char *key, size_t length, const char *filter,
                                size_t filter_bytes)
{
    struct policy *policy = state;

    (void)key;
    policy->asked++;
    if (filter_bytes != 8) {
        say("a filter of %zu bytes", filter_bytes);
    }
    return !policy->lies && (filter[length / 8 % 8] >> length % 8 & 1) != 0;
}

static const char *name_policy(void *state)
{
    return ((struct policy *)state)->name;
}

static void tell_end_of_policy(void *state)
{
    say("the end of %s", ((struct policy *)state)->name);
}

static leveldb_filterpolicy_t *create_policy(struct policy *policy)
{
    return leveldb_filterpolicy_create(policy, tell_end_of_policy, create_lengths, may_match_length,
                                       name_policy);
}

static void filters_of_its_own(void)
{
    struct policy lengths = {.name = "user.Lengths"}, other = {.name = "user.Others"};
    leveldb_filterpolicy_t *policy = create_policy(&lengths), *another = create_policy(&other);

    leveldb_options_set_filter_policy(user.options, policy);
    leveldb_t *db = must_open("lengths");
    fill(db, 0, 5000);
    leveldb_compact_range(db, NULL, 0, NULL, 0);
    say("filters were made: %d", lengths.made > 0);
    get(db, "key004999");
    get(db, "key004999 and more");
    say("filters were asked: %d", lengths.asked > 0);
    lengths.lies = true;
    get(db, "key004999");
    lengths.lies = false;
    leveldb_close(db);
    leveldb_options_set_filter_policy(user.options, another);
    db = must_open("lengths");
    other.lies = true;
    get(db, "key004999");
    say("filters of another name were asked: %d", other.asked > 0);
    leveldb_close(db);
    leveldb_options_set_filter_policy(user.options, NULL);
    db = must_open("lengths");
    get(db, "key000001");
    leveldb_close(db);
    leveldb_filterpolicy_destroy(policy);
    leveldb_filterpolicy_destroy(another);
}

static void bloom_filters(void)
{
    static const int bits[] = {10, 1, 0, 100};

    for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
        leveldb_filterpolicy_t *policy = leveldb_filterpolicy_create_bloom(bits[i]);
        leveldb_options_set_filter_policy(user.options, policy);
        leveldb_t *db = must_open("bloom");
        fill(db, 0, 2000);
        leveldb_compact_range(db, NULL, 0, NULL, 0);
        get(db, "key000000");
        get(db, "key001999");
        get(db, "key001999x");
        leveldb_close(db);
        leveldb_options_set_filter_policy(user.options, NULL);
        leveldb_filterpolicy_destroy(policy);
    }
}

/* ---- the rest ------------------------------------------------------------------------------- */

static void caches(void)
{
    static const size_t capacities[] = {0, 1000, 1 << 20, 64 << 20};

    for (size_t i = 0; i < sizeof(capacities) / sizeof(capacities[0]); i++) {
        leveldb_cache_t *cache = leveldb_cache_create_lru(capacities[i]);
        leveldb_options_set_cache(user.options, cache);
        leveldb_t *db = must_open("cached"), *other = must_open("cached too");
        fill(db, 0, 3000);
        put(other, "key000007", "of the other database");
        leveldb_compact_range(db, NULL, 0, NULL, 0);
        leveldb_readoptions_set_fill_cache(user.read, 0);
        get(db, "key000007");
        leveldb_readoptions_set_fill_cache(user.read, 1);
        leveldb_readoptions_set_verify_checksums(user.read, 1);
        get(db, "key000007");
        leveldb_readoptions_set_verify_checksums(user.read, 0);
        get(other, "key000007");
        leveldb_close(db);
        leveldb_close(other);
        begin_options();
        leveldb_cache_destroy(cache);
    }
}

/* Sizes that are out of LevelDB's ranges are brought into them. */
static void sizes(void)
{
    static const size_t bytes[] = {0, 1, 5000, (size_t)1 << 40};

    for (size_t i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++) {
        leveldb_options_t *options = leveldb_options_create();
        leveldb_options_set_create_if_missing(options, 1);
        leveldb_options_set_paranoid_checks(options, i % 2 == 0);
        leveldb_options_set_block_size(options, bytes[i]);
        leveldb_options_set_max_file_size(options, bytes[i]);
        leveldb_options_set_max_open_files(options, (int)bytes[i % 3]);
        leveldb_options_set_block_restart_interval(options, (int)(i * 7 + 1));
        leveldb_options_set_compression(options, i % 2 == 0 ? leveldb_no_compression
                                                            : leveldb_snappy_compression);
        leveldb_options_set_write_buffer_size(options, i == 3 ? 100000 : bytes[i]);
        leveldb_options_set_info_log(options, NULL);
        leveldb_t *db = leveldb_open(options, path_of("sizes"), &user.error);
        say("open with sizes %zu", i);
        fill(db, (int)i * 3000, (int)i * 3000 + 3000);
        leveldb_close(db);
        db = leveldb_open(options, path_of("sizes"), &user.error);
        say("again");
        get(db, "key000100");
        get(db, "key002999");
        list(db);
        leveldb_close(db);
        leveldb_options_destroy(options);
    }
}

static void environments(void)
{
    leveldb_env_t *env = leveldb_create_default_env();
    char *directory;

    leveldb_options_set_env(user.options, env);
    leveldb_t *db = must_open("env");
    put(db, "a", "1");
    leveldb_close(db);
    directory = leveldb_env_get_test_directory(env);
    say("test directory %s, there: %d", directory, access(directory, W_OK) == 0);
    leveldb_free(directory);
    setenv("TEST_TMPDIR", path_of("made for tests"), 1);
    directory = leveldb_env_get_test_directory(env);
    say("test directory %s, there: %d", directory, access(directory, W_OK) == 0);
    leveldb_free(directory);
    unsetenv("TEST_TMPDIR");
    leveldb_env_destroy(env);
    env = leveldb_create_default_env();
    leveldb_options_set_env(user.options, env);
    db = must_open("env");
    get(db, "a");
    leveldb_close(db);
    leveldb_env_destroy(env);
    begin_options();
}

void user_options(void)
{
    an_order_of_its_own();
    keys_that_are_equal_and_not_the_same();
    filters_of_its_own();
    bloom_filters();
    caches();
    sizes();
    environments();
}
