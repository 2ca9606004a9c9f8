/*
 * Requests: bursts of objects of all sizes, freed in another order than they came.
 */
#include "mix.h"

#include <quarry/lifetime.h>

#define OBJECTS_MAX 4096u
#define PARTS       32u

struct object {
    void *data;
    uint64_t bytes;
    uint64_t mark;
};

static void object_free(struct mix_actor *actor, struct quarry_pool *pool, struct object *object)
{
    mix_check(actor, object->data, object->bytes, object->mark);
    quarry_free(pool, object->data);
    actor->done_count++;
}

static uint32_t burst_take(struct mix_actor *actor, struct quarry_pool *pool, struct object *object)
{
    uint64_t taken_bytes = 0;
    uint32_t count = 0;

    while (count < OBJECTS_MAX && taken_bytes < mix_appetite(actor->mix, PARTS)) {
        uint64_t bytes = mix_random_size(actor, 16, Q_KIB(256));
        void *data;
        if (!mix_is_ok(actor, quarry_pool_alloc(pool, bytes, &data))) {
            break;
        }
        object[count] = (struct object){data, bytes, mix_random(actor)};
        mix_fill(data, bytes, object[count].mark);
        taken_bytes += bytes;
        count++;
    }
    return count;
}

static void burst_give(struct mix_actor *actor, struct quarry_pool *pool, struct object *object,
                       uint32_t count)
{
    while (count > 0) {
        uint64_t chosen = mix_random(actor) % count;
        object_free(actor, pool, &object[chosen]);
        object[chosen] = object[--count];
    }
}

void mix_requests_run(struct mix_actor *actor)
{
    static struct object object[OBJECTS_MAX];
    struct quarry_lifetime *lifetime = NULL;
    struct quarry_pool *pool = NULL;
    uint32_t owner;

    if (!mix_is_ok(actor, quarry_memory_owner(actor->mix->memory, "mix.request", &owner)) ||
        !mix_is_ok(actor, quarry_lifetime_begin(actor->mix->memory, "requests", &lifetime, NULL)) ||
        !mix_is_ok(actor, quarry_pool_create(lifetime, owner, &pool))) {
        quarry_lifetime_end(lifetime);
        return;
    }
    while (!mix_is_over(actor->mix)) {
        burst_give(actor, pool, object, burst_take(actor, pool, object));
    }
    quarry_lifetime_end(lifetime);
}
