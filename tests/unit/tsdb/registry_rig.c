#include "unit/tsdb/registry_rig.h"

#include <string.h>

struct registry_rig rig;

static const struct quarry_memory_options memory_options = {.limit_bytes = Q_GIB(1),
                                                            .has_no_thread = true};

int rig_set_up(void **state)
{
    const struct quarry_account_options account_options = {.name = "tsdb"};

    (void)state;
    rig = (struct registry_rig){.memory = NULL};
    assert_int_equal(quarry_memory_create(&memory_options, &rig.memory, NULL), QUARRY_OK);
    assert_int_equal(quarry_account_create(rig.memory, &account_options, &rig.account, NULL),
                     QUARRY_OK);
    assert_int_equal(quarry_lifetime_begin(rig.memory, "tsdb", &rig.lifetime, NULL), QUARRY_OK);
    rig.objects.account = rig.account;
    assert_int_equal(
        quarry_pool_create(rig.lifetime, quarry_account_owner(rig.account), &rig.objects.pool),
        QUARRY_OK);
    assert_int_equal(quarry_epoch_create(rig.memory, &rig.epoch), QUARRY_OK);
    const struct tsdb_registry_options options = {.memory = rig.objects, .epoch = rig.epoch};
    assert_int_equal(tsdb_registry_create(&options, &rig.registry), QUARRY_OK);
    return 0;
}

int rig_tear_down(void **state)
{
    (void)state;
    tsdb_registry_destroy(rig.registry);
    assert_int_equal(rig_charged_bytes(), 0);
    quarry_epoch_destroy(rig.epoch);
    quarry_lifetime_end(rig.lifetime);
    quarry_account_destroy(rig.account);
    quarry_memory_destroy(rig.memory);
    return 0;
}

/* ---- labels --------------------------------------------------------------------------------- */

static struct tsdb_slice until(const char *from, const char *stops)
{
    return (struct tsdb_slice){.bytes = from, .count = strcspn(from, stops)};
}

const struct tsdb_labels *rig_labels(struct rig_labels *room, const char *text)
{
    size_t count = 0;
    struct tsdb_slice name = until(text, "{");

    if (name.count != 0) {
        room->labels[count++] =
            (struct tsdb_label){.name = tsdb_slice_of(TSDB_METRIC_NAME), .value = name};
    }
    const char *at = text + name.count;
    while (*at == '{' || *at == ',') {
        name = until(at + 1, "=}");
        at = name.bytes + name.count;
        if (*at == '=') {
            room->labels[count].name = name;
            room->labels[count].value = until(at + 1, ",}");
            at = room->labels[count].value.bytes + room->labels[count].value.count;
            count++;
        }
    }
    assert_int_equal(tsdb_labels_make(room->labels, &count, NULL), QUARRY_OK);
    room->set = (struct tsdb_labels){.labels = room->labels, .count = count};
    return &room->set;
}

uint32_t rig_get(uint16_t tenant, const char *text)
{
    struct rig_labels room;
    uint32_t id = 0;
    bool is_new;

    quarry_epoch_enter(rig.epoch);
    assert_int_equal(
        tsdb_registry_get(rig.registry, tenant, rig_labels(&room, text), NULL, &id, &is_new),
        QUARRY_OK);
    quarry_epoch_leave(rig.epoch);
    assert_int_not_equal(id, TSDB_SERIES_NONE);
    return id;
}

uint32_t rig_find(uint16_t tenant, const char *text)
{
    struct rig_labels room;
    uint32_t id = TSDB_SERIES_NONE;

    quarry_epoch_enter(rig.epoch);
    enum quarry_status status =
        tsdb_registry_lookup(rig.registry, tenant, rig_labels(&room, text), NULL, &id);
    quarry_epoch_leave(rig.epoch);
    assert_int_equal(status, id == TSDB_SERIES_NONE ? QUARRY_NOT_FOUND : QUARRY_OK);
    return id;
}

void rig_remove(uint32_t id)
{
    assert_int_equal(tsdb_registry_remove(rig.registry, id, NULL, NULL), QUARRY_OK);
}

void rig_collect(void)
{
    for (uint32_t i = 0; i < 3; i++) {
        tsdb_registry_collect(rig.registry);
    }
}

void rig_validate(void)
{
    struct quarry_error error = {0};

    if (tsdb_registry_validate(rig.registry, &error) != QUARRY_OK) {
        fail_msg("%s", error.text);
    }
}

/* ---- memory --------------------------------------------------------------------------------- */

uint64_t rig_charged_bytes(void)
{
    struct quarry_account_state state;

    quarry_account_read(rig.account, &state);
    return state.charged_bytes;
}

void rig_allow(uint64_t byte_count)
{
    uint64_t ceiling = byte_count == UINT64_MAX ? 0 : rig_charged_bytes() + byte_count + 1;

    assert_int_equal(quarry_account_set_bounds(rig.account, 0, ceiling), QUARRY_OK);
}

uint32_t rig_random(uint64_t *seed, uint32_t bound)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((*seed >> 33) % bound);
}
