/* The reference workload: see workload.h. */
#include "kv/workload.h"

#include <stdio.h>
#include <string.h>

#include <base/assert.h>
#include <base/size.h>

#define KEY_COUNT 40u

/* ---- steps ---- */

static struct quarry_kv_slice draw_key(uint64_t *random, char *room)
{
    int count = snprintf(room, 16, "key%05u", rig_below(random, KEY_COUNT) * 7919u % 100000u);

    return slice_of(room, (size_t)count);
}

static struct quarry_kv_slice draw_value(uint64_t *random, char *room)
{
    uint32_t byte_count = rig_once_in(random, 3) ? rig_below(random, 2200) : rig_below(random, 40);
    uint64_t word = random_u64(random);

    for (uint32_t i = 0; i < byte_count; i++) {
        word = i % 8 == 0 ? random_u64(random) : word;
        room[i] = (char)(word >> (8 * (i % 8)));
    }
    return slice_of(room, byte_count);
}

static void draw_change(uint64_t *random, struct step *step, uint32_t index)
{
    static const enum change_kind kinds[] = {CHANGE_PUT, CHANGE_PUT,    CHANGE_PUT,
                                             CHANGE_PUT, CHANGE_DELETE, CHANGE_MERGE};
    struct change *change = &step->changes[index];

    *change = (struct change){.kind = rig_once_in(random, 25) ? CHANGE_RANGE
                                                              : kinds[rig_below(random, 6)],
                              .key = draw_key(random, step->keys[index][0])};
    if (change->kind == CHANGE_RANGE) {
        change->value = draw_key(random, step->keys[index][1]);
        if (slice_compare(change->key, change->value, false) > 0) {
            struct quarry_kv_slice key = change->key;
            change->key = change->value;
            change->value = key;
        }
    } else if (change->kind == CHANGE_DELETE) {
        change->value = slice_of(NULL, 0);
    } else {
        change->value = draw_value(random, step->values[index]);
    }
}

static enum step_kind draw_kind(uint64_t *random)
{
    uint32_t at = rig_below(random, 100);

    return at < 80   ? STEP_WRITE
           : at < 83 ? STEP_FLUSH
           : at < 86 ? STEP_SYNC
           : at < 88 ? STEP_COMPACT
           : at < 97 ? STEP_BACKGROUND
                     : STEP_REOPEN;
}

void workload_step(uint64_t seed, uint32_t index, struct step *ret_step)
{
    uint64_t random = seed * UINT64_C(0x9e3779b97f4a7c15) + index;

    ret_step->kind = draw_kind(&random);
    ret_step->durability = (enum quarry_kv_durability)rig_below(&random, 4);
    ret_step->is_batch = rig_once_in(&random, 3);
    ret_step->change_count = 0;
    if (ret_step->kind == STEP_WRITE) {
        ret_step->change_count = ret_step->is_batch ? 1 + rig_below(&random, STEP_CHANGES_MAX) : 1;
        for (uint32_t i = 0; i < ret_step->change_count; i++) {
            draw_change(&random, ret_step, i);
        }
    }
}

void workload_options(uint64_t seed, struct quarry_kv_options *ret_options)
{
    uint64_t random = seed ^ UINT64_C(0x776f726b);

    *ret_options = (struct quarry_kv_options){
        .create_if_missing = true,
        .merge_operator = quarry_kv_merge_append(','),
        .write_buffer_bytes = Q_KIB(64),
        .log_segment_bytes = Q_KIB(64),
        .block_cache_bytes = Q_KIB(256),
        .block_bytes = 1024,
        .file_bytes = Q_KIB(32),
        .level1_bytes = Q_KIB(64),
        .level_ratio = 3,
        .level0_compact = 2,
        .is_stepped = true,
        .reserved_disk_bytes = Q_KIB(64),
        .step_seed = random_u64(&random),
        .compression_top = (enum quarry_kv_compression)rig_below(&random, 2),
        .durability = seed % 4 == 3 ? QUARRY_KV_POWER : QUARRY_KV_DEFAULT};
    if (seed % 8 == 5) {
        ret_options->durability = QUARRY_KV_NONE;
    }
}

static enum quarry_status add(struct quarry_kv_batch *batch, const struct change *change)
{
    struct quarry_kv_slice key = change->key, value = change->value;

    switch (change->kind) {
    case CHANGE_PUT:
        return quarry_kv_batch_put(batch, key.bytes, key.byte_count, value.bytes, value.byte_count);
    case CHANGE_DELETE:
    case CHANGE_SINGLE:
        return quarry_kv_batch_delete(batch, key.bytes, key.byte_count);
    case CHANGE_RANGE:
        return quarry_kv_batch_delete_range(batch, key.bytes, key.byte_count, value.bytes,
                                            value.byte_count);
    case CHANGE_MERGE:
        break;
    }
    return quarry_kv_batch_merge(batch, key.bytes, key.byte_count, value.bytes, value.byte_count);
}

enum quarry_status workload_write(struct quarry_kv *kv, const struct step *step,
                                  struct quarry_error *error)
{
    const struct quarry_kv_write_options options = {.durability = step->durability};
    const struct change *change = &step->changes[0];
    struct quarry_kv_batch *batch = NULL;

    if (!step->is_batch && change->kind == CHANGE_PUT) {
        return quarry_kv_put(kv, &options, change->key.bytes, change->key.byte_count,
                             change->value.bytes, change->value.byte_count, error);
    }
    enum quarry_status status = quarry_kv_batch_create(kv, false, &batch);
    for (uint32_t i = 0; i < step->change_count && status == QUARRY_OK; i++) {
        status = add(batch, &step->changes[i]);
    }
    if (status == QUARRY_OK) {
        status = quarry_kv_write(kv, &options, batch, error);
    }
    quarry_kv_batch_destroy(batch);
    return status;
}

/* ---- what may be there ---- */

static void remember(struct journal *journal, uint64_t hash)
{
    Q_ASSERT(journal->count < JOURNAL_MAX);
    journal->hashes[journal->count++] = hash;
}

void journal_init(struct journal *journal)
{
    *journal = (struct journal){.possible_count = 1};
    journal->possible[0] = model_create(false);
    remember(journal, model_hash(journal->possible[0]));
}

void journal_fini(struct journal *journal)
{
    while (journal->possible_count > 0) {
        model_drop(journal->possible[--journal->possible_count]);
    }
}

static struct model_state *changed(struct model_state *from, const struct step *step)
{
    struct model_state *state = model_share(from);

    for (uint32_t i = 0; i < step->change_count; i++) {
        model_apply(&state, &step->changes[i]);
    }
    return state;
}

void journal_begin(struct journal *journal, const struct step *step)
{
    for (uint32_t i = 0; i < journal->possible_count; i++) {
        struct model_state *state = changed(journal->possible[i], step);
        remember(journal, model_hash(state));
        model_drop(state);
    }
}

void journal_end(struct journal *journal, const struct step *step, enum outcome outcome,
                 enum quarry_kv_durability durability)
{
    uint32_t count = journal->possible_count;

    if (outcome == OUTCOME_NOT_DONE) {
        for (uint32_t i = 0; i < count; i++) {
            remember(journal, model_hash(journal->possible[i]));
        }
        return;
    }
    Q_ASSERT(outcome == OUTCOME_DONE || 2 * count <= JOURNAL_POSSIBLE);
    for (uint32_t i = 0; i < count; i++) {
        struct model_state *state = changed(journal->possible[i], step);
        if (outcome == OUTCOME_DONE) {
            model_drop(journal->possible[i]);
            journal->possible[i] = state;
        } else {
            journal->possible[journal->possible_count++] = state;
            remember(journal, model_hash(journal->possible[i]));
        }
    }
    if (outcome == OUTCOME_DONE && durability >= QUARRY_KV_PROCESS) {
        journal->process_floor = journal->count - count;
    }
    if (outcome == OUTCOME_DONE && durability == QUARRY_KV_POWER) {
        journal->power_floor = journal->count - count;
    }
}

void journal_sync(struct journal *journal)
{
    for (uint32_t i = 0; i < journal->possible_count; i++) {
        remember(journal, model_hash(journal->possible[i]));
    }
    journal->process_floor = journal->power_floor = journal->count - journal->possible_count;
}

bool journal_has(const struct journal *journal, uint32_t floor, uint64_t hash)
{
    for (uint32_t i = journal->count; i-- > floor;) {
        if (journal->hashes[i] == hash) {
            return true;
        }
    }
    return false;
}

bool journal_is_now(struct journal *journal, uint64_t hash)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < journal->possible_count; i++) {
        if (model_hash(journal->possible[i]) == hash) {
            journal->possible[count++] = journal->possible[i];
        } else {
            model_drop(journal->possible[i]);
        }
    }
    journal->possible_count = count;
    return count > 0;
}
