/*
 * What is done about a write when it can be seen, with its keys still locked: its scope's counter
 * is raised, and who watches its key is told.
 *
 * Watchers are told after the write can be read, and one that begins to watch reads after it has
 * registered: it either reads what was written, or is found. On this machine that holds because the
 * store publishes a write, and a watcher registers, by a locked instruction each.
 *
 * A batch is read in the form of the log (docs/formats/wal.md); it is one of ours, and has puts,
 * deletes and range deletes.
 *
 * Cost: a relaxed addition, a load; for a watched key a mutex.
 */
#include <keyspace/types.h>

/* Tags of records, and where they begin. */
#define TAG_DELETE       0x00u
#define TAG_PUT          0x01u
#define TAG_RANGE_DELETE 0x0fu
#define HEADER_BYTES     12u

static inline void count(struct keyspace *keyspace, const struct keyspace_scope *scope)
{
    /* Relaxed: who counts keys reads it before its walk; the store orders the rest. */
    (void)atomic_add_relaxed_u64(keyspace_counter(keyspace, scope), 1);
}

void keyspace_written(struct keyspace *keyspace, const struct keyspace_scope *scope,
                      struct quarry_kv_slice key, uint32_t stripe)
{
    count(keyspace, scope);
    /* Relaxed: see the essay. */
    if (Q_UNLIKELY(atomic_load_relaxed_u32(&keyspace->stripes[stripe].watch_count) != 0)) {
        keyspace_touch(keyspace, scope, key, stripe);
    }
}

/* ---- batches -------------------------------------------------------------------------------- */

struct reader {
    const uint8_t *at, *end;
};

static struct quarry_kv_slice read_slice(struct reader *reader)
{
    uint32_t byte_count = 0;
    size_t used = varint_get_u32(reader->at, reader->end, &byte_count);

    Q_ASSERT(used != 0 && byte_count <= (size_t)(reader->end - reader->at) - used);
    struct quarry_kv_slice slice = {reader->at + used, byte_count};
    reader->at += used + byte_count;
    return slice;
}

/* Takes the scope off a key. */
static struct keyspace_scope split(struct quarry_kv_slice *key)
{
    const uint8_t *bytes = key->bytes;

    Q_ASSERT(key->byte_count >= KEYSPACE_PREFIX_BYTES);
    struct keyspace_scope scope = {endian_load_be_u16(bytes), bytes[2]};
    *key = (struct quarry_kv_slice){bytes + KEYSPACE_PREFIX_BYTES,
                                    key->byte_count - KEYSPACE_PREFIX_BYTES};
    return scope;
}

static void note_record(struct keyspace *keyspace, struct reader *reader, bool has_watchers)
{
    uint8_t tag = *reader->at++;
    struct quarry_kv_slice key = read_slice(reader), whole = key;
    struct keyspace_scope scope = split(&key);

    Q_ASSERT(tag == TAG_DELETE || tag == TAG_PUT || tag == TAG_RANGE_DELETE);
    struct quarry_kv_slice value = tag == TAG_DELETE ? key : read_slice(reader);
    if (tag == TAG_RANGE_DELETE) {
        count(keyspace, &scope);
        keyspace_touch_range(keyspace, whole, value);
    } else if (has_watchers) {
        keyspace_written(keyspace, &scope, key, keyspace_stripe_of(keyspace, &scope, key));
    } else {
        count(keyspace, &scope);
    }
}

void keyspace_written_batch(struct keyspace *keyspace, struct quarry_kv_batch *batch)
{
    struct quarry_kv_slice data = quarry_kv_batch_data(batch);
    const uint8_t *bytes = data.bytes;
    struct reader reader = {bytes + HEADER_BYTES, bytes + data.byte_count};
    /* Relaxed: as in keyspace_written. */
    bool has_watchers = atomic_load_relaxed_u32(&keyspace->watch_count) != 0;

    Q_ASSERT(data.byte_count >= HEADER_BYTES);
    while (reader.at < reader.end) {
        note_record(keyspace, &reader, has_watchers);
    }
}
