/*
 * About how many bytes of files the keys of a range occupy.
 *
 *     level 2   │ f0 │ f1 │ f2 │ f3 │
 *     range          ├── ─ ── ──┤
 *                    cut  whole  cut
 *
 * Files that lie within the range count whole, with their filters and indexes; of those that a
 * bound goes through, the index says how far into the file it is. What is in memtables does not
 * count, and compression does.
 *
 * A file whose index cannot be read counts half: the answer has no error to give, and a guess is
 * nearer than nothing.
 *
 * Locking: none; a version is held. Cost: two searches a level, and of two files their indexes.
 */
#include <kv/store.h>

/* How far into a file a key is. `key`: bytes NULL: the end. */
static uint64_t offset_in(struct quarry_kv *kv, struct kv_file *file, struct kv_slice key)
{
    const struct quarry_kv_comparator *comparator = kv->comparator;
    struct kv_open_table *open;

    if (key.bytes == NULL || kv_compare(comparator, key, file->largest.user) > 0) {
        return file->byte_count;
    }
    if (kv_compare(comparator, key, file->smallest.user) <= 0) {
        return 0;
    }
    if (kv_open_table_acquire(kv->table_cache, file, &open, NULL) != QUARRY_OK) {
        return file->byte_count / 2;
    }
    const struct kv_key internal = {key, kv_trailer_seek(KV_SEQUENCE_MAX)};
    uint64_t offset = kv_table_approximate_offset(open->table, internal);
    kv_open_table_release(open);
    return size_min_u64(offset, file->byte_count);
}

static uint64_t bytes_of_file(struct quarry_kv *kv, struct kv_file *file,
                              const struct kv_key_range *range)
{
    uint64_t begin = range->begin.bytes == NULL ? 0 : offset_in(kv, file, range->begin);
    uint64_t end = offset_in(kv, file, range->end);

    return end > begin ? end - begin : 0;
}

static uint64_t bytes_of_range(struct quarry_kv *kv, const struct kv_version *version,
                               const struct kv_key_range *range)
{
    const struct kv_run *level0 = &version->levels[0];
    uint64_t bytes = 0;
    uint32_t from, to;

    if (range->begin.bytes != NULL && range->end.bytes != NULL &&
        kv_compare(kv->comparator, range->begin, range->end) >= 0) {
        return 0;
    }
    for (uint32_t i = 0; i < level0->file_count; i++) {
        bytes += bytes_of_file(kv, level0->files[i], range);
    }
    for (uint32_t level = 1; level < QUARRY_KV_LEVELS; level++) {
        const struct kv_run *run = &version->levels[level];
        if (!kv_run_overlap(run, kv->comparator, range, &from, &to)) {
            continue;
        }
        for (uint32_t i = from; i < to; i++) {
            bool is_inside = i > from && i + 1 < to;
            bytes +=
                is_inside ? run->files[i]->byte_count : bytes_of_file(kv, run->files[i], range);
        }
    }
    return bytes;
}

void quarry_kv_approximate_bytes(struct quarry_kv *kv, const struct quarry_kv_slice *begins,
                                 const struct quarry_kv_slice *ends, size_t range_count,
                                 uint64_t *ret_bytes)
{
    struct kv_version *version = kv_versions_acquire(&kv->versions);

    for (size_t i = 0; i < range_count; i++) {
        const struct kv_key_range range = {
            .begin = kv_slice(begins[i].bytes, begins[i].byte_count),
            .end = kv_slice(ends[i].bytes, ends[i].byte_count),
            .is_end_open = true,
        };
        ret_bytes[i] = bytes_of_range(kv, version, &range);
    }
    kv_version_release(version);
}
