/*
 * A process that is killed while it uses a cache with a file: what the next one finds.
 *
 *     test_cache_kill [TIMES]
 *
 * A child opens the cache, checks it, and changes it by several threads until it is killed, at a
 * random moment, its own recovery included. What it was told is noted in memory that it shares with
 * the parent: before a call, what the call is to bring about; after it, that it has. The parent
 * then opens the file and compares: each key is as it was acknowledged, or as the one call under
 * way would have made it.
 *
 *   own keys      of one thread: set, delete, append, touch, small and large values
 *   counters      of one thread: incr, from 0 on
 *   shared keys   set by one thread, deleted by another: what a delete was told to have removed
 *                 never comes back
 *   churn         cells of changing sizes, so that pages move between classes; only whole or not
 *
 * In some rounds the cache is too small for all of it and evicts: keys may be gone then, but what
 * is there is right.
 */
#include "unit/base/cmocka_all.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <quarry/cache.h>

#include "unit/base/random.h"

#define OWNERS        2u
#define KEYS          400u
#define LARGE_KEYS    3u /* of them */
#define COUNTERS      50u
#define SHARED_KEYS   64u
#define VALUE_MAX     (Q_LARGE_BYTES + 64)
#define Q_LARGE_BYTES 300000u
#define CHUNK_BYTES   7u

/* What is known of a key: whether there is one, of which version, with how many chunks behind. */
struct known {
    _Atomic uint64_t acknowledged, intended;
};
#define STATE(version, chunks) (1ull << 63 | (uint64_t)(version) << 16 | (chunks))
#define STATE_VERSION(state)   ((uint32_t)((state) >> 16))
#define STATE_CHUNKS(state)    ((uint32_t)(state)&0xffff)

struct shared_key {
    _Atomic uint64_t acknowledged; /* the last version that was set */
    _Atomic uint64_t intended;
    _Atomic uint64_t dead; /* deleted up to this version */
};

static struct journal {
    struct known key[OWNERS][KEYS];
    struct known counter[OWNERS][COUNTERS];
    struct shared_key shared[SHARED_KEYS];
    _Atomic uint64_t call_count;
    _Atomic uint32_t is_ready, is_broken;
    char broken[512];
} * journal;

static char folder[64], path[96];
static uint32_t times = 20;
static uint64_t seed = 1;

/* ---- values --------------------------------------------------------------------------------- */

static size_t base_bytes(uint32_t key, uint32_t version)
{
    uint64_t state = (uint64_t)key << 32 | version;

    if (key < LARGE_KEYS) {
        return 60000 + random_u64(&state) % (Q_LARGE_BYTES - 60000 - 1000);
    }
    return 16 + random_u64(&state) % (random_u64(&state) % 16 == 0 ? 6000 : 400);
}

static void pattern(char *bytes, size_t count, uint64_t state)
{
    for (size_t i = 0; i < count; i++) {
        bytes[i] = (char)(i % 8 == 0 ? random_u64(&state) : (state >> i % 8 * 8));
    }
}

/* The value of a key in a state. Returns: its bytes. */
static size_t value_make(char *value, uint32_t owner, uint32_t key, uint64_t state)
{
    size_t bytes = base_bytes(key, STATE_VERSION(state));
    uint64_t header[2] = {(uint64_t)owner << 32 | key, STATE_VERSION(state)};

    memcpy(value, header, sizeof(header));
    pattern(value + sizeof(header), bytes - sizeof(header), header[0] * 31 + header[1] + 1);
    for (uint32_t i = 0; i < STATE_CHUNKS(state); i++, bytes += CHUNK_BYTES) {
        memset(value + bytes, (int)('a' + (header[1] + i) % 26), CHUNK_BYTES);
    }
    return bytes;
}

/* ---- a cache -------------------------------------------------------------------------------- */

static struct quarry_memory *memory;
static struct quarry_cache *cache;
static struct quarry_cache_tenant *tenants[2];

static void broken(const char *what, const char *key)
{
    uint32_t expected = 0;

    if (atomic_compare_exchange_strong(&journal->is_broken, &expected, 1)) {
        (void)snprintf(journal->broken, sizeof(journal->broken), "%s: %s", what, key);
    }
}

static bool cache_open(uint64_t size_bytes, uint32_t recovery_threads)
{
    struct quarry_memory_options memory_options = {.limit_bytes = size_bytes + (32u << 20)};
    struct quarry_cache_options options = {.size_bytes = size_bytes,
                                           .file_path = path,
                                           .value_bytes_max = VALUE_MAX + (1u << 20),
                                           .recovery_threads = recovery_threads};
    struct quarry_cache_tenant_options other = {.name = "other"};
    struct quarry_error error = {0};

    if (quarry_memory_create(&memory_options, &memory, &error) != QUARRY_OK ||
        quarry_cache_create(memory, &options, &cache, &error) != QUARRY_OK) {
        broken("open", error.text);
        return false;
    }
    tenants[0] = quarry_cache_default_tenant(cache);
    if (quarry_cache_add_tenant(cache, &other, &tenants[1], &error) != QUARRY_OK) {
        broken("tenant", error.text);
        return false;
    }
    return true;
}

static void cache_shut(void)
{
    quarry_cache_close(cache);
    quarry_memory_destroy(memory);
}

static struct quarry_cache_key key_make(char text[32], const char *kind, uint32_t owner,
                                        uint32_t key)
{
    int length = snprintf(text, 32, "%s-%u-%u", kind, owner, key);

    return quarry_cache_key_make(tenants[owner % 2], text, (size_t)length);
}

/* Reads a whole value. Returns: its bytes; SIZE_MAX: a miss. */
static size_t value_read(uint32_t owner, const struct quarry_cache_key *key, char *value)
{
    struct quarry_cache_hit hit;
    struct quarry_cache_piece pieces[16];
    size_t bytes = 0, count;

    quarry_cache_enter(cache);
    if (quarry_cache_get(tenants[owner % 2], key, NULL, &hit) != QUARRY_CACHE_HIT) {
        quarry_cache_leave(cache);
        return SIZE_MAX;
    }
    if (hit.value_bytes > VALUE_MAX) {
        broken("a value too long", key->bytes);
    }
    while (bytes < hit.value_bytes && hit.value_bytes <= VALUE_MAX &&
           (count = quarry_cache_pieces(cache, &hit, bytes, pieces, 16)) != 0) {
        for (size_t i = 0; i < count; i++) {
            memcpy(value + bytes, pieces[i].bytes, pieces[i].byte_count);
            bytes += pieces[i].byte_count;
        }
    }
    quarry_cache_leave(cache);
    return bytes;
}

/* ---- checking ------------------------------------------------------------------------------- */

struct tally {
    uint64_t expected_count, missing_count;
};

static bool is_value(const char *value, size_t bytes, uint32_t owner, uint32_t key, uint64_t state)
{
    static char wanted[VALUE_MAX]; /* of the parent alone */

    return state >> 63 != 0 && bytes == value_make(wanted, owner, key, state) &&
           memcmp(value, wanted, bytes) == 0;
}

/* Compares a key with what was acknowledged; notes what it is from here on. */
static void key_check(uint32_t owner, uint32_t key, struct tally *tally)
{
    static char value[VALUE_MAX];
    struct known *known = &journal->key[owner][key];
    uint64_t acknowledged = known->acknowledged, intended = known->intended;
    char text[32];
    const struct quarry_cache_key cache_key = key_make(text, "own", owner, key);
    size_t bytes = value_read(owner, &cache_key, value);
    uint64_t found = 0;

    tally->expected_count += acknowledged != 0 && intended != 0;
    if (bytes == SIZE_MAX) {
        tally->missing_count += acknowledged != 0 && intended != 0;
    } else if (is_value(value, bytes, owner, key, acknowledged)) {
        found = acknowledged;
    } else if (is_value(value, bytes, owner, key, intended)) {
        found = intended;
    } else {
        broken("a value that was never acknowledged", text);
    }
    known->acknowledged = known->intended = found;
}

static void counter_check(uint32_t owner, uint32_t key, struct tally *tally)
{
    static char value[VALUE_MAX];
    struct known *known = &journal->counter[owner][key];
    char text[32];
    const struct quarry_cache_key cache_key = key_make(text, "count", owner, key);
    size_t bytes = value_read(owner, &cache_key, value);

    tally->expected_count += known->acknowledged != 0;
    if (bytes == SIZE_MAX) {
        tally->missing_count += known->acknowledged != 0;
        known->acknowledged = known->intended = 0;
        return;
    }
    value[bytes] = '\0';
    uint64_t number = strtoull(value, NULL, 10) + 1; /* 0 is none */
    if (number != known->acknowledged && number != known->intended) {
        broken("a counter says what it never was", text);
    }
    known->acknowledged = known->intended = number;
}

static void shared_check(uint32_t key)
{
    static char value[VALUE_MAX];
    struct shared_key *shared = &journal->shared[key];
    char text[32];
    const struct quarry_cache_key cache_key = key_make(text, "shared", 0, key);
    size_t bytes = value_read(0, &cache_key, value);
    uint64_t version = 0;

    if (bytes == SIZE_MAX) {
        return;
    }
    if (bytes != 200) {
        broken("a shared value of another length", text);
    }
    memcpy(&version, value, sizeof(version));
    if (version <= shared->dead) {
        broken("what was deleted has come back", text);
    }
    if (version > shared->intended || version < shared->acknowledged) {
        broken("a version that was replaced has come back, or was never set", text);
    }
    for (size_t i = 8; i < bytes; i++) {
        if (value[i] != (char)version) {
            broken("a torn shared value", text);
            break;
        }
    }
}

/* Each item of the churn is whole: its bytes are its length. */
static void churn_check(void)
{
    uint64_t cursor = 0;
    struct quarry_cache_hit hits[64];
    size_t count;

    quarry_cache_enter(cache);
    while ((count = quarry_cache_next(tenants[1], &cursor, hits, 64)) != 0) {
        for (size_t i = 0; i < count; i++) {
            const char *value = hits[i].piece.bytes;
            if (memcmp(hits[i].key, "churn", 5) != 0) {
                continue;
            }
            for (size_t at = 0; at < hits[i].piece.byte_count; at++) {
                if (value[at] != (char)hits[i].value_bytes) {
                    broken("a torn value of the churn", "churn");
                    break;
                }
            }
        }
    }
    quarry_cache_leave(cache);
}

static void all_check(struct tally *tally)
{
    struct quarry_error error = {0};

    if (quarry_cache_validate(cache, &error) != QUARRY_OK) {
        broken("validate", error.text);
    }
    for (uint32_t owner = 0; owner < OWNERS; owner++) {
        for (uint32_t key = 0; key < KEYS; key++) {
            key_check(owner, key, tally);
        }
        for (uint32_t key = 0; key < COUNTERS; key++) {
            counter_check(owner, key, tally);
        }
    }
    for (uint32_t key = 0; key < SHARED_KEYS; key++) {
        shared_check(key);
    }
    churn_check();
}

/* ---- the child ------------------------------------------------------------------------------ */

struct hand {
    uint32_t owner;
    uint64_t random;
};

/* Has a key be in a state, by one call of its kind. Returns: what came of it. */
static enum quarry_cache_outcome key_change(uint32_t owner, uint32_t key, uint64_t from,
                                            uint64_t to, char *value)
{
    char text[32];
    const struct quarry_cache_key cache_key = key_make(text, "own", owner, key);
    struct quarry_cache_tenant *tenant = tenants[owner % 2];
    struct quarry_cache_store_options options = {.mode = QUARRY_CACHE_SET};

    if (to == 0) {
        return quarry_cache_delete(tenant, &cache_key, NULL);
    }
    if (to == from) {
        return quarry_cache_touch(tenant, &cache_key, quarry_cache_now(cache) + 100000);
    }
    size_t bytes = value_make(value, owner, key, to);
    if (STATE_CHUNKS(to) == 0) {
        options.expiry = key % 3 == 0 ? quarry_cache_now(cache) + 100000 : 0;
        return quarry_cache_store(tenant, &cache_key, value, bytes, &options, NULL);
    }
    options.mode = QUARRY_CACHE_APPEND;
    return quarry_cache_store(tenant, &cache_key, value + bytes - CHUNK_BYTES, CHUNK_BYTES,
                              &options, NULL);
}

static uint64_t state_choose(uint64_t from, uint64_t *random)
{
    uint64_t dice = random_u64(random) % 16;

    if (from != 0 && dice < 3) {
        return 0;
    }
    if (from != 0 && dice < 6 && STATE_CHUNKS(from) < 60) {
        return from + 1;
    }
    if (from != 0 && dice < 7) {
        return from;
    }
    return STATE(random_u64(random) >> 32 | 1, 0);
}

static void key_step(struct hand *hand, char *value)
{
    uint32_t key = (uint32_t)(random_u64(&hand->random) % KEYS);
    struct known *known = &journal->key[hand->owner][key];
    uint64_t from = known->acknowledged, to = state_choose(from, &hand->random);

    known->intended = to;
    enum quarry_cache_outcome outcome = key_change(hand->owner, key, from, to, value);
    /* What evicted it, or had no room, is the cache's business. */
    if (outcome != QUARRY_CACHE_HIT && to != 0) {
        known->intended = 0;
        char text[32];
        const struct quarry_cache_key cache_key = key_make(text, "own", hand->owner, key);
        (void)quarry_cache_delete(tenants[hand->owner % 2], &cache_key, NULL);
        to = 0;
    }
    known->acknowledged = to;
}

static void counter_step(struct hand *hand)
{
    uint32_t key = (uint32_t)(random_u64(&hand->random) % COUNTERS);
    struct known *known = &journal->counter[hand->owner][key];
    struct quarry_cache_count_options options = {.delta = 1, .vivifies = true, .initial = 0};
    struct quarry_cache_counted counted;
    char text[32];
    const struct quarry_cache_key cache_key = key_make(text, "count", hand->owner, key);

    /* One that is new begins at 0: 1 here, as 0 is none. It may have been evicted. */
    known->intended = known->acknowledged + 1;
    if (quarry_cache_count(tenants[hand->owner % 2], &cache_key, &options, &counted) !=
        QUARRY_CACHE_HIT) {
        return;
    }
    if (counted.number + 1 != known->intended && !counted.is_new) {
        broken("a counter jumped", text);
    }
    known->intended = counted.number + 1;
    known->acknowledged = counted.number + 1;
}

static void shared_step(struct hand *hand)
{
    uint32_t key = (uint32_t)(random_u64(&hand->random) % SHARED_KEYS);
    struct shared_key *shared = &journal->shared[key];
    char text[32], value[200];
    const struct quarry_cache_key cache_key = key_make(text, "shared", 0, key);

    if (hand->owner != 0) { /* deletes what was set before it began */
        uint64_t before = shared->acknowledged;
        (void)quarry_cache_delete(tenants[0], &cache_key, NULL);
        shared->dead = before;
        return;
    }
    uint64_t version = shared->intended + 1;
    memset(value, (char)version, sizeof(value));
    memcpy(value, &version, sizeof(version));
    shared->intended = version;
    if (quarry_cache_store(tenants[0], &cache_key, value, sizeof(value),
                           &(struct quarry_cache_store_options){.mode = QUARRY_CACHE_SET},
                           NULL) == QUARRY_CACHE_HIT) {
        shared->acknowledged = version;
    }
}

static void *owner_run(void *argument)
{
    struct hand *hand = argument;
    char *value = malloc(VALUE_MAX);

    for (;;) {
        uint64_t dice = random_u64(&hand->random) % 16;
        if (dice < 8) {
            key_step(hand, value);
        } else if (dice < 11) {
            counter_step(hand);
        } else {
            shared_step(hand);
        }
        (void)atomic_fetch_add(&journal->call_count, 1);
    }
    return NULL;
}

/* Sets many of one size, then deletes most of them, then those of the next size. */
static void *churn_run(void *argument)
{
    struct hand *hand = argument;
    static char value[20000];

    for (uint64_t round = 0;; round++) {
        size_t bytes = 50 + random_u64(&hand->random) % (round % 4 == 0 ? 19000 : 900);
        uint32_t count = (uint32_t)(2000000 / bytes);
        memset(value, (char)bytes, bytes);
        for (uint32_t key = 0; key < count; key++) {
            char text[32];
            const struct quarry_cache_key cache_key = key_make(text, "churn", 1, key);
            (void)quarry_cache_store(tenants[1], &cache_key, value, bytes,
                                     &(struct quarry_cache_store_options){.mode = QUARRY_CACHE_SET},
                                     NULL);
        }
        for (uint32_t key = 0; key < 40000; key++) {
            char text[32];
            const struct quarry_cache_key cache_key = key_make(text, "churn", 1, key);
            if (key % 16 != round % 16) {
                (void)quarry_cache_delete(tenants[1], &cache_key, NULL);
            }
        }
    }
    return NULL;
}

static void child_run(uint64_t size_bytes, uint64_t child_seed)
{
    pthread_t threads[OWNERS + 1];
    struct hand hands[OWNERS + 1];
    uint64_t random = child_seed;

    if (!cache_open(size_bytes, 1 + (uint32_t)(random_u64(&random) % 3))) {
        _exit(1);
    }
    journal->is_ready = 1;
    for (uint32_t i = 0; i <= OWNERS; i++) {
        hands[i] = (struct hand){i, random_u64(&random)};
        if (pthread_create(&threads[i], NULL, i < OWNERS ? owner_run : churn_run, &hands[i]) != 0) {
            broken("thread", "");
            _exit(1);
        }
    }
    for (;;) {
        (void)pause();
    }
}

/* ---- the parent ----------------------------------------------------------------------------- */

static void sleep_us(uint64_t us)
{
    struct timespec time = {.tv_sec = (time_t)(us / 1000000),
                            .tv_nsec = (long)(us % 1000000 * 1000)};

    while (nanosleep(&time, &time) != 0 && errno == EINTR) {
    }
}

/* Runs a child and kills it: while it recovers, or a while after. */
static void child_kill(uint64_t size_bytes, bool is_early, uint64_t *random)
{
    journal->is_ready = 0;
    (void)fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        child_run(size_bytes, random_u64(random) | 1);
    }
    for (uint32_t i = 0; !is_early && i < 60000 && !journal->is_ready && !journal->is_broken; i++) {
        sleep_us(1000);
    }
    sleep_us(random_u64(random) % (is_early ? 30000 : 150000));
    assert_int_equal(kill(child, SIGKILL), 0);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
        fail_msg("the child ended by itself, status %d: %s", status, journal->broken);
    }
}

static void round_run(uint32_t round, uint64_t *random, struct tally *tally)
{
    bool is_small = round % 4 == 3;
    uint64_t size_bytes = is_small ? 5u << 20 : 64u << 20;
    struct tally small = {0, 0};
    struct quarry_cache_recovery recovery;

    child_kill(size_bytes, round % 5 == 4, random);
    assert_true(cache_open(size_bytes, 1 + round % 3));
    quarry_cache_read_recovery(cache, &recovery);
    if (round > 0 && recovery.was_cold) {
        fail_msg("round %u began cold: %s", round, recovery.why);
    }
    all_check(is_small ? &small : tally);
    if (journal->is_broken) {
        fail_msg("round %u, seed %llu: %s", round, (unsigned long long)seed, journal->broken);
    }
    cache_shut();
}

static void what_was_acknowledged_is_there_after_a_kill(void **state)
{
    struct tally tally = {0, 0};
    uint64_t random = seed;
    struct stat facts;

    (void)state;
    journal =
        mmap(NULL, sizeof(*journal), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(journal != MAP_FAILED);
    for (uint32_t round = 0; round < times; round++) {
        round_run(round, &random, &tally);
    }
    assert_int_equal(stat(path, &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0600);
    print_message("%u kills, %llu calls; %llu of %llu keys that were acknowledged were missing\n",
                  times, (unsigned long long)journal->call_count,
                  (unsigned long long)tally.missing_count,
                  (unsigned long long)tally.expected_count);
    assert_true(tally.missing_count * 50 <= tally.expected_count);
    assert_true(times < 10 || tally.expected_count > 100);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_acknowledged_is_there_after_a_kill),
    };

    if (argc > 1) {
        times = (uint32_t)strtoul(argv[1], NULL, 10);
    }
    if (argc > 2) {
        seed = strtoull(argv[2], NULL, 10);
    }
    (void)snprintf(folder, sizeof(folder), "/tmp/quarry-kill-XXXXXX");
    if (mkdtemp(folder) == NULL) {
        return 1;
    }
    (void)snprintf(path, sizeof(path), "%s/cache", folder);
    int result = cmocka_run_group_tests(tests, NULL, NULL);
    (void)unlink(path);
    (void)rmdir(folder);
    return result;
}
