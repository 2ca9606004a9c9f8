/*
 * The naive model of an object heap.
 *
 *   live[]   objects in use, by address: a new one must fit between its neighbours
 *   pool[]   POOLS_EACH for each of the lifetimes, the general one first, which does not end
 *
 * An object is filled with bytes that its number and their place determine: all of a small one, a
 * byte in 512 and both ends of a large one.
 */
#include "model/mem_model.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mem/mem.h>
#include <mem/remote.h>

#include "unit/base/random.h"

#define LIFETIMES  4u
#define POOLS_EACH 2u
#define POOLS      (LIFETIMES * POOLS_EACH)
#define LIVE_MAX   1500u
#define DENSE_MAX  2048u
#define STRIDE     512u
#define ALIGN_MAX  32768u

struct object {
    uint8_t *base;
    size_t bytes;
    uint64_t number; /* what its contents are made of */
    uint32_t pool;
};

struct mem_model {
    struct mem_model_options options;
    uint64_t random;
    struct page_heap *pages;
    struct mem_heap heap;
    struct mem_lifetime *lifetime[LIFETIMES];
    struct mem_pool *pool[POOLS];
    uint32_t owner[POOLS_EACH];
    uint64_t last_number;
    uint64_t served_count;
    uint64_t live_bytes;
    uint32_t live_count;
    bool is_shrinking;
    struct object live[LIVE_MAX];
};

#define MUST(condition, ...)                                                                       \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, __VA_ARGS__);                                                    \
            (void)fputc('\n', stderr);                                                             \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static uint64_t draw(struct mem_model *model, uint64_t count)
{
    return random_u64(&model->random) % count;
}

/* ---- contents ------------------------------------------------------------------------------- */

static uint8_t byte_at(uint64_t number, size_t place)
{
    return (uint8_t)(number * 31 + place * 7 + (place >> 8));
}

static size_t next_place(size_t place, size_t bytes)
{
    if (bytes <= DENSE_MAX) {
        return place + 1;
    }
    return place + STRIDE < bytes || place == bytes - 1 ? place + STRIDE : bytes - 1;
}

static void object_fill(const struct object *object)
{
    for (size_t i = 0; i < object->bytes; i = next_place(i, object->bytes)) {
        object->base[i] = byte_at(object->number, i);
    }
}

static void object_check(const struct object *object)
{
    for (size_t i = 0; i < object->bytes; i = next_place(i, object->bytes)) {
        MUST(object->base[i] == byte_at(object->number, i),
             "object %" PRIu64 " of %zu bytes at %p: byte %zu was overwritten", object->number,
             object->bytes, (void *)object->base, i);
    }
}

/* What two lengths have in common: both were filled at these places. */
static void check_prefix(const struct object *object, const uint8_t *base, size_t bytes)
{
    size_t common = size_min(bytes, object->bytes);

    for (size_t i = 0; i < common; i = next_place(i, object->bytes)) {
        MUST(base[i] == byte_at(object->number, i), "byte %zu of %zu was lost on the way to %zu", i,
             object->bytes, bytes);
    }
}

static void check_zero(const uint8_t *base, size_t bytes)
{
    MUST(bytes == 0 || (base[0] == 0 && memcmp(base, base + 1, bytes - 1) == 0),
         "a zeroed object of %zu bytes at %p is not zero", bytes, (const void *)base);
}

/* ---- what is in use ------------------------------------------------------------------------- */

/* Where an address belongs among the live ones. */
static uint32_t live_find(const struct mem_model *model, const uint8_t *base)
{
    uint32_t low = 0, high = model->live_count;

    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (model->live[middle].base < base) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void live_enter(struct mem_model *model, struct object object)
{
    uint32_t at = live_find(model, object.base);
    size_t usable = mem_usable(&model->heap, object.base);

    MUST(usable >= object.bytes, "%zu bytes usable of %zu", usable, object.bytes);
    MUST(at == model->live_count || object.base + usable <= model->live[at].base,
         "an object at %p overlaps the next", (void *)object.base);
    MUST(at == 0 || model->live[at - 1].base + mem_usable(&model->heap, model->live[at - 1].base) <=
                        object.base,
         "an object at %p overlaps the one before", (void *)object.base);
    MUST(mem_span_pool(mem_map_find(&model->heap.map, object.base)) == model->pool[object.pool],
         "an object at %p is of another pool", (void *)object.base);
    memmove(&model->live[at + 1], &model->live[at],
            (model->live_count - at) * sizeof(model->live[0]));
    object_fill(&object);
    model->live[at] = object;
    model->live_count++;
    model->live_bytes += object.bytes;
    model->served_count++;
}

static struct object live_remove(struct mem_model *model, uint32_t at)
{
    struct object object = model->live[at];

    model->live_count--;
    model->live_bytes -= object.bytes;
    memmove(&model->live[at], &model->live[at + 1],
            (model->live_count - at) * sizeof(model->live[0]));
    model->served_count++;
    return object;
}

/* ---- operations ----------------------------------------------------------------------------- */

static size_t draw_bytes(struct mem_model *model)
{
    switch (draw(model, 16)) {
    case 0:
        return draw(model, 9);
    case 1:
    case 2:
        return draw(model, MEM_SMALL_MAX_BYTES + 100);
    case 3:
        return draw(model, 20) == 0 ? draw(model, 600000) : draw(model, 5000);
    case 4:
        return mem_size_class[draw(model, MEM_CLASSES)].size_bytes;
    default:
        return draw(model, 700);
    }
}

static bool is_refused(struct mem_model *model, const void *base, size_t bytes)
{
    MUST(base != NULL || model->options.may_refuse || bytes >= model->options.limit_bytes / 4,
         "refused %zu bytes with %" PRIu64 " in use of %" PRIu64, bytes, model->live_bytes,
         model->options.limit_bytes);
    return base == NULL;
}

static void step_alloc(struct mem_model *model)
{
    struct object object = {.bytes = draw_bytes(model),
                            .number = ++model->last_number,
                            .pool = (uint32_t)draw(model, POOLS)};
    struct mem_pool *pool = model->pool[object.pool];
    uint64_t how = draw(model, 8);
    size_t align_bytes = 8;

    if (how == 0) {
        object.base = mem_alloc_zero(pool, NULL, object.bytes);
    } else if (how == 1) {
        align_bytes = (size_t)1 << draw(model, bits_log2_ceil_u64(ALIGN_MAX) + 1);
        object.base = mem_alloc_aligned(pool, object.bytes, align_bytes);
    } else {
        object.base = mem_alloc(pool, object.bytes);
        align_bytes = object.bytes > 8 ? 16 : 8;
    }
    if (is_refused(model, object.base, object.bytes)) {
        return;
    }
    MUST((uintptr_t)object.base % align_bytes == 0, "%p is not aligned to %zu", (void *)object.base,
         align_bytes);
    if (how == 0) {
        check_zero(object.base, object.bytes);
    }
    live_enter(model, object);
}

static void free_at(struct mem_model *model, uint32_t at)
{
    struct object object = live_remove(model, at);

    object_check(&object);
    mem_free(&model->heap, object.base);
}

static void step_free(struct mem_model *model)
{
    if (model->live_count > 0) {
        free_at(model, (uint32_t)draw(model, model->live_count));
    }
}

/* Neighbours, so that whole spans become empty. */
static void step_free_many(struct mem_model *model)
{
    uint32_t count = (uint32_t)draw(model, 60);
    uint32_t at = (uint32_t)draw(model, model->live_count + 1);

    while (count-- > 0 && at < model->live_count) {
        free_at(model, at);
    }
}

static void step_realloc(struct mem_model *model)
{
    if (model->live_count == 0) {
        return;
    }
    struct object object = live_remove(model, (uint32_t)draw(model, model->live_count));
    size_t bytes = draw(model, 3) == 0 ? draw_bytes(model) : draw(model, object.bytes * 2 + 1);
    object_check(&object);
    uint8_t *moved = mem_realloc(&model->heap, object.base, bytes);
    if (is_refused(model, moved, bytes)) {
        object_check(&object);
    } else {
        check_prefix(&object, moved, bytes);
        object = (struct object){moved, bytes, ++model->last_number, object.pool};
    }
    live_enter(model, object);
}

static void lifetime_begin(struct mem_model *model, uint32_t index)
{
    struct quarry_error error = {0};
    char name[PAGE_LANE_NAME_BYTES];

    (void)snprintf(name, sizeof(name), "lifetime %u", index);
    if (index == 0) {
        model->lifetime[0] = model->heap.general;
    } else {
        MUST(mem_lifetime_begin(&model->heap, name, &model->lifetime[index], &error) == QUARRY_OK,
             "%s", error.text);
    }
    for (uint32_t i = 0; i < POOLS_EACH; i++) {
        enum quarry_status status = mem_pool_create(model->lifetime[index], model->owner[i],
                                                    &model->pool[index * POOLS_EACH + i]);
        MUST(status == QUARRY_OK, "pool: %s", quarry_status_text(status));
    }
}

static void step_end_lifetime(struct mem_model *model)
{
    uint32_t index = 1 + (uint32_t)draw(model, LIFETIMES - 1), kept_count = 0;

    for (uint32_t i = 0; i < model->live_count; i++) {
        struct object object = model->live[i];
        if (object.pool / POOLS_EACH == index) {
            object_check(&object);
            model->live_bytes -= object.bytes;
        } else {
            model->live[kept_count++] = object;
        }
    }
    model->live_count = kept_count;
    mem_lifetime_end(model->lifetime[index]);
    lifetime_begin(model, index);
}

/* What memory pressure and the background do, at any moment. */
static void step_upkeep(struct mem_model *model)
{
    switch (draw(model, 4)) {
    case 0:
        (void)page_heap_trim(model->pages);
        break;
    case 1:
        mem_remote_flush(mem_thread_find(&model->heap));
        break;
    default:
        (void)mem_heap_collect(&model->heap);
        break;
    }
}

/* An address in an object, or near one, that is no object's beginning. */
static void step_ask(struct mem_model *model)
{
    if (model->live_count == 0) {
        return;
    }
    const struct object *object = &model->live[draw(model, model->live_count)];
    const uint8_t *address = object->base + draw(model, object->bytes + 2);
    uint32_t at = live_find(model, address);
    bool is_live = at < model->live_count && model->live[at].base == address;
    /* A bin's objects look like live ones; nothing else may. */
    MUST(!is_live || mem_is_object(&model->heap, address), "%p is not found",
         (const void *)address);
    MUST(address == object->base || address >= object->base + object->bytes ||
             !mem_is_object(&model->heap, address),
         "%p is in the middle of an object", (const void *)address);
}

void mem_model_step(struct mem_model *model)
{
    uint64_t choice = draw(model, 1000);

    /* Tides, so that spans fill and empty. */
    if (model->live_count >= LIVE_MAX - 1) {
        model->is_shrinking = true;
    } else if (model->live_count < LIVE_MAX / 8) {
        model->is_shrinking = false;
    }
    if (choice < 2) {
        step_end_lifetime(model);
    } else if (choice < 6) {
        step_upkeep(model);
    } else if (choice < 20) {
        step_ask(model);
    } else if (choice < 25) {
        step_free_many(model);
    } else if (choice < 100) {
        step_realloc(model);
    } else if (choice < (model->is_shrinking ? 400u : 620u) && model->live_count < LIVE_MAX) {
        step_alloc(model);
    } else {
        step_free(model);
    }
}

/* ---- all of it ------------------------------------------------------------------------------ */

void mem_model_check(struct mem_model *model)
{
    struct quarry_error error = {0};
    struct quarry_ledger totals;

    for (uint32_t i = 0; i < model->live_count; i++) {
        object_check(&model->live[i]);
        MUST(mem_is_object(&model->heap, model->live[i].base), "%p is lost",
             (void *)model->live[i].base);
    }
    MUST(mem_heap_validate(&model->heap, &error) == QUARRY_OK, "%s", error.text);
    MUST(page_heap_validate(model->pages, &error) == QUARRY_OK, "%s", error.text);
    (void)page_heap_ledger(model->pages, &totals, NULL, 0);
    MUST(totals.in_use_bytes >= model->live_bytes && totals.in_flight_bytes == 0 &&
             totals.committed_bytes <= totals.limit_bytes,
         "the ledger has %" PRIu64 " bytes in use, the model %" PRIu64, totals.in_use_bytes,
         model->live_bytes);
}

struct mem_model *mem_model_create(const struct mem_model_options *options)
{
    struct mem_model *model = calloc(1, sizeof(*model));
    struct page_heap_options page_options = {.limit_bytes = options->limit_bytes,
                                             .has_no_thread = true};
    struct quarry_error error = {0};
    static const char *const owner[POOLS_EACH] = {"red", "blue"};

    MUST(model != NULL, "no memory for the model itself");
    model->options = *options;
    model->random = options->seed;
    model->heap = (struct mem_heap){.map = MEM_MAP_NONE};
    MUST(page_heap_create(&page_options, &model->pages, &error) == QUARRY_OK, "%s", error.text);
    struct mem_heap_options heap_options = {.pages = model->pages};
    MUST(mem_heap_init(&model->heap, &heap_options, &error) == QUARRY_OK, "%s", error.text);
    for (uint32_t i = 0; i < POOLS_EACH; i++) {
        MUST(page_ledger_register(&model->pages->ledger, owner[i], &model->owner[i]) == QUARRY_OK,
             "no owner");
    }
    for (uint32_t i = 0; i < LIFETIMES; i++) {
        lifetime_begin(model, i);
    }
    return model;
}

void mem_model_destroy(struct mem_model *model)
{
    struct quarry_ledger totals;

    mem_model_check(model);
    while (model->options.seed % 2 == 0 && model->live_count > 0) {
        free_at(model, model->live_count - 1);
    }
    mem_model_check(model);
    mem_heap_fini(&model->heap);
    (void)page_heap_ledger(model->pages, &totals, NULL, 0);
    MUST(totals.in_use_bytes == 0, "%" PRIu64 " bytes are left", totals.in_use_bytes);
    page_heap_destroy(model->pages);
    free(model);
}

uint64_t mem_model_served_count(const struct mem_model *model)
{
    return model->served_count;
}
