/*
 * Windows: lifetimes that fill, one after the other, and end whole.
 */
#include "mix.h"

#include <stdio.h>

#include <quarry/lifetime.h>

#define WINDOWS_MAX 4u
#define PARTS       16u

struct window {
    struct quarry_lifetime *lifetime; /* NULL: none */
    struct quarry_pool *pool;
    uint64_t bytes;
    void *last; /* the newest object, and its size and mark */
    uint64_t last_bytes, last_mark;
};

static bool window_begin(struct mix_actor *actor, uint64_t number, uint32_t owner,
                         struct window *ret_window)
{
    struct window window = {0};
    char name[QUARRY_NAME_BYTES];

    (void)snprintf(name, sizeof(name), "window %lu", number);
    if (!mix_is_ok(actor,
                   quarry_lifetime_begin(actor->mix->memory, name, &window.lifetime, NULL))) {
        return false;
    }
    if (!mix_is_ok(actor, quarry_pool_create(window.lifetime, owner, &window.pool))) {
        quarry_lifetime_end(window.lifetime);
        return false;
    }
    *ret_window = window;
    return true;
}

static void window_end(struct mix_actor *actor, struct window *window)
{
    if (window->lifetime != NULL) {
        if (window->last != NULL) {
            mix_check(actor, window->last, window->last_bytes, window->last_mark);
        }
        quarry_lifetime_end(window->lifetime);
        *window = (struct window){0};
    }
}

/* Adds an object. False: the window has had its part, or there is no memory. */
static bool window_add(struct mix_actor *actor, struct window *window)
{
    uint64_t bytes = mix_random_size(actor, 16, 4096);
    void *object;

    if (window->bytes >= mix_appetite(actor->mix, PARTS * WINDOWS_MAX) ||
        !mix_is_ok(actor, quarry_pool_alloc(window->pool, bytes, &object))) {
        return false;
    }
    window->bytes += bytes;
    window->last = object;
    window->last_bytes = bytes;
    window->last_mark = mix_random(actor);
    mix_fill(object, bytes, window->last_mark);
    return true;
}

void mix_windows_run(struct mix_actor *actor)
{
    struct window window[WINDOWS_MAX] = {0};
    uint32_t owner;

    if (!mix_is_ok(actor, quarry_memory_owner(actor->mix->memory, "mix.window", &owner))) {
        return;
    }
    for (uint64_t number = 0; !mix_is_over(actor->mix); number++) {
        struct window *oldest = &window[number % WINDOWS_MAX];
        window_end(actor, oldest);
        if (window_begin(actor, number, owner, oldest)) {
            while (!mix_is_over(actor->mix) && window_add(actor, oldest)) {
            }
        }
    }
    for (uint32_t i = 0; i < WINDOWS_MAX; i++) {
        window_end(actor, &window[i]);
    }
}
