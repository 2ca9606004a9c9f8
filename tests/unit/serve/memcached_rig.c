#include "unit/serve/memcached_rig.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>

#include <string.h>

static struct serve_identity everybody(struct quarry_cache *cache)
{
    return (struct serve_identity){
        .name = "", .tenant = quarry_cache_default_tenant(cache), .rights = SERVE_ALL};
}

void rig_open_with(struct rig *rig, struct memcached_settings *settings,
                   const struct fake_options *options)
{
    struct fake_options defaults = {.door = &memcached_door};

    rig->cache = rig_cache_create();
    settings->cache = rig->cache;
    settings->worker_count = 1;
    assert_int_equal(memcached_open(settings, NULL), QUARRY_OK);
    if (options == NULL) {
        defaults.identity = everybody(rig->cache);
        options = &defaults;
    }
    rig->connection = fake_open(options);
}

void rig_open_slow(struct rig *rig, size_t taken_a_turn)
{
    struct memcached_settings settings = {.version = "1.6.18"};

    rig_open_with(rig, &settings, NULL);
    fake_close(rig->connection);
    rig->connection = fake_open(&(struct fake_options){
        .door = &memcached_door, .identity = everybody(rig->cache), .taken_a_turn = taken_a_turn});
}

void rig_open(struct rig *rig)
{
    rig_open_slow(rig, 0);
}

struct serve_connection *rig_connect(struct rig *rig)
{
    return fake_open(
        &(struct fake_options){.door = &memcached_door, .identity = everybody(rig->cache)});
}

void rig_close(struct rig *rig)
{
    if (rig->connection != NULL) {
        fake_close(rig->connection);
    }
    memcached_close();
    rig_cache_close(rig->cache);
}

void rig_says(struct serve_connection *connection, const char *sent, const char *answered)
{
    size_t byte_count;

    fake_clear(connection);
    fake_send(connection, sent, strlen(sent));
    fake_settle(connection);
    const char *answer = fake_answer(connection, &byte_count);
    char text[4096];

    assert_true(byte_count < sizeof text);
    memcpy(text, answer, byte_count);
    text[byte_count] = '\0';
    assert_string_equal(text, answered);
}
