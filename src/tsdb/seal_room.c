/*
 * What sealing needs beside what it reads and writes: arrays for one entry's samples, readers, and
 * tables of a shard's entries and times.
 *
 * It is made for the first shard, kept from shard to shard, and given back with the window's last
 * one or when sealing fails. Arrays of samples grow twofold, up to TSDB_SEALED_SAMPLES_MAX.
 */
#include <tsdb/seal.h>

#include <string.h>

/* Slots of an empty table of times, a power of two. */
#define TIMES_SLOTS_FIRST 64u
/* What samples that are sealed together begin with. */
#define SAMPLES_FIRST 1024u

void tsdb_sealing_init(struct tsdb_sealing *sealing, const struct tsdb_memory *memory)
{
    *sealing = (struct tsdb_sealing){.memory = memory};
}

static void samples_fini(struct tsdb_sealing *sealing)
{
    tsdb_memory_give(sealing->memory, sealing->t_ms);
    tsdb_memory_give(sealing->memory, sealing->last_t_ms);
    tsdb_memory_give(sealing->memory, sealing->bits);
    tsdb_memory_give(sealing->memory, sealing->scratch);
    tsdb_memory_give(sealing->memory, sealing->bytes);
    sealing->t_ms = sealing->last_t_ms = sealing->scratch = NULL;
    sealing->bits = NULL;
    sealing->bytes = NULL;
    sealing->capacity = 0;
    sealing->last_count = 0;
}

static enum quarry_status samples_make(struct tsdb_sealing *sealing, uint32_t capacity)
{
    const struct tsdb_memory *memory = sealing->memory;

    sealing->t_ms = tsdb_memory_take(memory, capacity * sizeof(int64_t));
    sealing->last_t_ms = tsdb_memory_take(memory, capacity * sizeof(int64_t));
    sealing->bits = tsdb_memory_take(memory, capacity * sizeof(uint64_t));
    sealing->scratch = tsdb_memory_take(memory, capacity * sizeof(int64_t));
    sealing->bytes = tsdb_memory_take(
        memory, size_max_u64(tsdb_column_bytes_max(capacity), tsdb_times_bytes_max(capacity)));
    if (sealing->t_ms == NULL || sealing->last_t_ms == NULL || sealing->bits == NULL ||
        sealing->scratch == NULL || sealing->bytes == NULL) {
        samples_fini(sealing);
        return QUARRY_NO_MEMORY;
    }
    sealing->capacity = capacity;
    return QUARRY_OK;
}

/* Makes room for twice the samples, and keeps the `count` that there are. */
enum quarry_status tsdb_sealing_samples_grow(struct tsdb_sealing *sealing, uint32_t count)
{
    struct tsdb_sealing larger = {.memory = sealing->memory};
    enum quarry_status status = samples_make(&larger, 2 * sealing->capacity);

    if (status != QUARRY_OK) {
        return status;
    }
    memcpy(larger.t_ms, sealing->t_ms, count * sizeof(*larger.t_ms));
    memcpy(larger.bits, sealing->bits, count * sizeof(*larger.bits));
    samples_fini(sealing); /* the entry before is forgotten, which costs a look by bytes */
    sealing->t_ms = larger.t_ms;
    sealing->last_t_ms = larger.last_t_ms;
    sealing->bits = larger.bits;
    sealing->scratch = larger.scratch;
    sealing->bytes = larger.bytes;
    sealing->capacity = larger.capacity;
    return QUARRY_OK;
}

void tsdb_sealing_room_fini(struct tsdb_sealing *sealing)
{
    samples_fini(sealing);
    if (sealing->read != NULL) {
        tsdb_open_read_fini(sealing->read, sealing->memory);
    }
    if (sealing->histograms != NULL) {
        tsdb_sealing_histograms_fini(sealing->histograms);
    }
    tsdb_memory_give(sealing->memory, sealing->histograms);
    tsdb_memory_give(sealing->memory, sealing->read);
    tsdb_memory_give(sealing->memory, sealing->entries);
    tsdb_memory_give(sealing->memory, sealing->times.table);
    tsdb_memory_give(sealing->memory, sealing->times.slots);
    sealing->read = NULL;
    sealing->histograms = NULL;
    sealing->entries = NULL;
    sealing->entry_capacity = 0;
    sealing->times = (struct tsdb_sealing_times){0};
}

static enum quarry_status readers_make(struct tsdb_sealing *sealing)
{
    if (sealing->read == NULL) {
        sealing->read = tsdb_memory_take_zero(sealing->memory, sizeof(*sealing->read));
    }
    if (sealing->histograms == NULL) {
        sealing->histograms = tsdb_memory_take_zero(sealing->memory, sizeof(*sealing->histograms));
        if (sealing->histograms != NULL) {
            sealing->histograms->batch.memory = sealing->memory;
            sealing->histograms->before.memory = sealing->memory;
        }
    }
    return sealing->read == NULL || sealing->histograms == NULL ? QUARRY_NO_MEMORY : QUARRY_OK;
}

enum quarry_status tsdb_sealing_room_make(struct tsdb_sealing *sealing)
{
    if (sealing->times.slots == NULL) {
        sealing->times.slots =
            tsdb_memory_take_zero(sealing->memory, TIMES_SLOTS_FIRST * sizeof(uint32_t));
        sealing->times.slot_capacity = sealing->times.slots == NULL ? 0 : TIMES_SLOTS_FIRST;
    }
    if (readers_make(sealing) != QUARRY_OK || sealing->times.slots == NULL) {
        return QUARRY_NO_MEMORY;
    }
    sealing->entry_count = 0;
    sealing->last_count = 0;
    sealing->times.count = 0;
    memset(sealing->times.slots, 0, sealing->times.slot_capacity * sizeof(uint32_t));
    return sealing->capacity != 0 ? QUARRY_OK : samples_make(sealing, SAMPLES_FIRST);
}
