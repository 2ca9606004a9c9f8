/* Histories: see history.h. */
#include "kv/history.h"

#include <stdio.h>
#include <string.h>

/* How often each is drawn, in some 1500. */
static const struct {
    const char *name;
    uint32_t weight;
} kinds[OP_KINDS] = {
    [OP_PUT] = {"put", 220},
    [OP_DELETE] = {"delete", 60},
    [OP_SINGLE_DELETE] = {"single_delete", 30},
    [OP_DELETE_RANGE] = {"delete_range", 20},
    [OP_MERGE] = {"merge", 60},
    [OP_BATCH] = {"batch", 60},
    [OP_LARGE_BATCH] = {"large_batch", 4},
    [OP_INDEXED_BATCH] = {"indexed_batch", 30},
    [OP_GET] = {"get", 120},
    [OP_READ] = {"read", 40},
    [OP_EXISTS] = {"exists", 40},
    [OP_MULTI_GET] = {"multi_get", 40},
    [OP_HOLD_VALUE] = {"hold_value", 20},
    [OP_LET_GO_VALUE] = {"let_go_value", 20},
    [OP_SNAPSHOT_TAKE] = {"snapshot_take", 25},
    [OP_SNAPSHOT_GET] = {"snapshot_get", 60},
    [OP_SNAPSHOT_SCAN] = {"snapshot_scan", 10},
    [OP_SNAPSHOT_RELEASE] = {"snapshot_release", 25},
    [OP_SCAN] = {"scan", 10},
    [OP_ITERATE] = {"iterate", 30},
    [OP_ITERATE_PREFIX] = {"iterate_prefix", 10},
    [OP_ITERATOR_END] = {"iterator_end", 25},
    [OP_FIRST] = {"first", 15},
    [OP_LAST] = {"last", 15},
    [OP_SEEK] = {"seek", 60},
    [OP_SEEK_FOR_PREV] = {"seek_for_prev", 50},
    [OP_NEXT] = {"next", 80},
    [OP_PREVIOUS] = {"previous", 80},
    [OP_ZIGZAG] = {"zigzag", 40},
    [OP_SET_BOUNDS] = {"set_bounds", 20},
    [OP_REFRESH] = {"refresh", 15},
    [OP_FLUSH] = {"flush", 8},
    [OP_SYNC] = {"sync", 5},
    [OP_COMPACT_RANGE] = {"compact_range", 5},
    [OP_COMPACT_ALL] = {"compact_all", 2},
    [OP_STEP] = {"step", 20},
    [OP_WAIT_IDLE] = {"wait_idle", 4},
    [OP_REOPEN] = {"reopen", 3},
    [OP_REOPEN_OTHER] = {"reopen_other", 3},
    [OP_REOPEN_READ_ONLY] = {"reopen_read_only", 1},
    [OP_CRASH] = {"crash", 3},
    [OP_CHECKPOINT] = {"checkpoint", 2},
    [OP_INGEST] = {"ingest", 5},
    [OP_EXPORT_INGEST] = {"export_ingest", 3},
    [OP_BACKUP] = {"backup", 1},
    [OP_VERIFY] = {"verify", 1},
    [OP_VALIDATE] = {"validate", 3},
    [OP_PROPERTY] = {"property", 4},
    [OP_STATS] = {"stats", 4},
    [OP_APPROXIMATE] = {"approximate", 4},
};

const char *op_name(enum op_kind kind)
{
    return kinds[kind].name;
}

static uint32_t weights_sum(void)
{
    uint32_t sum = 0;

    for (int kind = 0; kind < OP_KINDS; kind++) {
        sum += kinds[kind].weight;
    }
    return sum;
}

struct op op_make(uint64_t history_seed, uint32_t index)
{
    uint64_t random = history_seed * UINT64_C(0x9e3779b97f4a7c15) + index;
    uint32_t at = rig_below(&random, weights_sum());
    int kind = 0;

    while (at >= kinds[kind].weight) {
        at -= kinds[kind++].weight;
    }
    return (struct op){.kind = (enum op_kind)kind, .seed = random_u64(&random)};
}

/* ---- keys and values ---- */

static size_t key_fill(char *bytes, uint32_t index, uint64_t *random)
{
    static const char odd[][4] = {"", "", "\xff\xff", "k0"};
    static const size_t odd_bytes[] = {0, 1, 2, 2};

    if (index < 4) {
        memcpy(bytes, odd[index], sizeof odd[index]);
        return odd_bytes[index];
    }
    size_t count = (size_t)snprintf(bytes, 40, "k%03u%04u", index % 9, index);
    size_t tail = rig_once_in(random, 3) ? rig_below(random, 24) : 0;
    for (size_t i = 0; i < tail; i++) {
        bytes[count++] = (char)random_u64(random);
    }
    return count;
}

void keys_make(struct keys *keys, uint64_t history_seed)
{
    uint64_t random = history_seed ^ UINT64_C(0x6b657973);

    keys->count = 16u << rig_below(&random, 6);
    for (uint32_t i = 0; i < keys->count; i++) {
        keys->key[i] = slice_of(keys->bytes[i], key_fill(keys->bytes[i], i, &random));
    }
}

struct quarry_kv_slice value_draw(uint64_t *random, char *room)
{
    static const uint32_t limits[] = {1, 20, 20, 20, 60, 60, 200, 200, 1200, 5000};
    uint32_t limit = rig_once_in(random, 200) ? VALUE_BYTES_MAX : limits[rig_below(random, 10)];
    uint32_t byte_count = rig_below(random, limit);
    uint64_t word = random_u64(random);
    bool is_plain = rig_once_in(random, 2);

    for (uint32_t i = 0; i < byte_count; i++) {
        if (i % 8 == 0 && (!is_plain || i % 64 == 0)) {
            word = random_u64(random);
        }
        room[i] = (char)(is_plain ? 'a' + (word >> (i % 8)) % 16 : word >> (8 * (i % 8)));
    }
    return slice_of(room, byte_count);
}
