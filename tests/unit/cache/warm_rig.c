#include "unit/cache/warm_rig.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit/base/random.h"

struct quarry_memory *memory;
struct quarry_cache *cache;
struct quarry_cache_tenant *tenant;
char warm_path[128], warm_copy_path[128];
static char own_folder[64];

void warm_use_folder(const char *folder)
{
    const char *used = folder[0] == '\0' ? own_folder : folder;

    (void)snprintf(warm_path, sizeof(warm_path), "%s/cache", used);
    (void)snprintf(warm_copy_path, sizeof(warm_copy_path), "%s/copy", used);
}

int warm_set_up(void **state)
{
    struct stat facts;

    (void)state;
    (void)snprintf(own_folder, sizeof(own_folder), "%s/quarry-warm-XXXXXX",
                   stat("/dev/shm", &facts) == 0 ? "/dev/shm" : "/tmp");
    if (mkdtemp(own_folder) == NULL) {
        return -1;
    }
    warm_use_folder("");
    return 0;
}

int warm_tear_down(void **state)
{
    (void)state;
    if (cache != NULL) {
        warm_close();
    }
    warm_use_folder("");
    (void)unlink(warm_path);
    (void)unlink(warm_copy_path);
    return rmdir(own_folder);
}

enum quarry_status warm_try_open(const struct quarry_cache_options *options,
                                 struct quarry_error *error)
{
    struct quarry_cache_options used = {.size_bytes = 64u << 20, .has_no_thread = true};
    struct quarry_memory_options memory_options = {.limit_bytes = 512u << 20};

    if (options != NULL) {
        used = *options;
    }
    used.file_path = warm_path;
    assert_int_equal(quarry_memory_create(&memory_options, &memory, error), QUARRY_OK);
    enum quarry_status status = quarry_cache_create(memory, &used, &cache, error);
    if (status != QUARRY_OK) {
        cache = NULL;
        quarry_memory_destroy(memory);
        memory = NULL;
        return status;
    }
    tenant = quarry_cache_default_tenant(cache);
    return QUARRY_OK;
}

void warm_open(void)
{
    struct quarry_error error = {0};

    if (warm_try_open(NULL, &error) != QUARRY_OK) {
        fail_msg("open: %s", error.text);
    }
}

void warm_close(void)
{
    quarry_cache_close(cache);
    quarry_memory_destroy(memory);
    cache = NULL;
    memory = NULL;
}

struct quarry_cache_recovery warm_recovery(void)
{
    struct quarry_cache_recovery recovery;

    quarry_cache_read_recovery(cache, &recovery);
    return recovery;
}

/* ---- files ---------------------------------------------------------------------------------- */

char *warm_read_file(size_t *ret_bytes)
{
    struct stat facts;
    int fd = open(warm_path, O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &facts), 0);
    char *bytes = malloc((size_t)facts.st_size);
    assert_non_null(bytes);
    for (size_t at = 0; at < (size_t)facts.st_size;) {
        ssize_t got = read(fd, bytes + at, (size_t)facts.st_size - at);
        assert_true(got > 0);
        at += (size_t)got;
    }
    (void)close(fd);
    *ret_bytes = (size_t)facts.st_size;
    return bytes;
}

void warm_write_file(const char *bytes, size_t byte_count)
{
    int fd = open(warm_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    for (size_t at = 0; at < byte_count;) {
        ssize_t put = write(fd, bytes + at, byte_count - at);
        assert_true(put > 0);
        at += (size_t)put;
    }
    (void)close(fd);
}

void warm_kill(void)
{
    size_t bytes;
    char *file = warm_read_file(&bytes);

    warm_close();
    warm_write_file(file, bytes);
    free(file);
}

/* ---- items ---------------------------------------------------------------------------------- */

static void value_fill(char *value, size_t bytes, uint64_t seed)
{
    uint64_t state = seed * 2 + 1;

    for (size_t i = 0; i < bytes; i += 8) {
        uint64_t word = random_u64(&state);
        memcpy(value + i, &word, bytes - i < 8 ? bytes - i : 8);
    }
}

void warm_put(struct quarry_cache_tenant *of, const char *key, size_t bytes, uint64_t seed)
{
    struct quarry_cache_key cache_key = quarry_cache_key_make(of, key, strlen(key));
    char *value = malloc(bytes + 1);

    assert_non_null(value);
    value_fill(value, bytes, seed);
    assert_int_equal(
        quarry_cache_store(of, &cache_key, value, bytes,
                           &(struct quarry_cache_store_options){.mode = QUARRY_CACHE_SET}, NULL),
        QUARRY_CACHE_HIT);
    free(value);
}

enum quarry_cache_outcome warm_get(struct quarry_cache_tenant *of, const char *key,
                                   struct quarry_cache_hit *ret_hit)
{
    struct quarry_cache_key cache_key = quarry_cache_key_make(of, key, strlen(key));
    static const struct quarry_cache_get_options options = {.leaves_no_trace = true};

    quarry_cache_enter(cache);
    enum quarry_cache_outcome outcome = quarry_cache_get(of, &cache_key, &options, ret_hit);
    quarry_cache_leave(cache);
    return outcome;
}

bool warm_has(struct quarry_cache_tenant *of, const char *key, size_t bytes, uint64_t seed)
{
    struct quarry_cache_key cache_key = quarry_cache_key_make(of, key, strlen(key));
    struct quarry_cache_hit hit;
    struct quarry_cache_piece piece;

    quarry_cache_enter(cache);
    if (quarry_cache_get(of, &cache_key, NULL, &hit) != QUARRY_CACHE_HIT) {
        quarry_cache_leave(cache);
        return false;
    }
    assert_int_equal(hit.value_bytes, bytes);
    char *value = malloc(bytes + 1);
    assert_non_null(value);
    value_fill(value, bytes, seed);
    for (size_t at = 0; at < bytes; at += piece.byte_count) {
        assert_int_equal(quarry_cache_pieces(cache, &hit, at, &piece, 1), 1);
        assert_memory_equal(piece.bytes, value + at, piece.byte_count);
    }
    quarry_cache_leave(cache);
    free(value);
    return true;
}

void warm_delete(struct quarry_cache_tenant *of, const char *key)
{
    struct quarry_cache_key cache_key = quarry_cache_key_make(of, key, strlen(key));

    assert_int_equal(quarry_cache_delete(of, &cache_key, NULL), QUARRY_CACHE_HIT);
}

void warm_validate(void)
{
    struct quarry_error error = {0};

    if (quarry_cache_validate(cache, &error) != QUARRY_OK) {
        fail_msg("validate: %s", error.text);
    }
}
