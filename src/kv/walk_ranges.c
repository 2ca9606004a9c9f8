/*
 * Range deletions, for walking: which one covers a key.
 *
 *     source     │─────────│ 9 │────│ 7 │───────────│      stretches, each with one answer
 *                      ↑ key: in the stretch that was looked at last, mostly
 *
 * Each source knows the stretch of keys that it was last asked about, and its answer. The next key
 * is in it nearly always, which is a compare; else the stretch is looked for. Of a run a stretch
 * ends with its file at the latest: what a file's range deletions say holds between its bounds
 * only, for older engines wrote them longer than that.
 *
 * A stretch of a file with range deletions lies in its table, which is held open with it. A frugal
 * walk holds none: it opens the table while the merge rests, closes it, and opens it again for the
 * next key.
 *
 * Where a key is the last of one file and the first of the next, both are asked, and nothing is
 * remembered. Files that are known to have no range deletions are not opened.
 *
 * Rejected: making range deletions part of the merge, as boundaries that are stopped at: every step
 * would pay for what few stores have.
 */
#include <kv/walk.h>

#include <inttypes.h>

void kv_source_close_table(struct kv_source *source)
{
    if (source->open != NULL) {
        kv_open_table_release(source->open);
        source->open = NULL;
        source->is_known = false;
    }
}

void kv_source_forget_ranges(struct kv_source *source)
{
    kv_source_close_table(source);
    kv_fragments_release(source->fragments);
    source->fragments = NULL;
    source->is_known = false;
}

/* ---- a layer's ------------------------------------------------------------------------------ */

static void look_in_fragments(struct kv_source *source, struct kv_slice key)
{
    const struct kv_fragments *all = source->fragments;
    uint32_t at = kv_fragments_find(all, key);
    const struct kv_fragment *fragment = at == all->fragment_count ? NULL : &all->fragments[at];
    bool is_in = fragment != NULL && kv_compare(all->comparator, fragment->begin, key) <= 0;

    source->is_known = true;
    source->begin_is_out = source->end_is_in = false;
    if (is_in) {
        source->begin = fragment->begin;
        source->end = fragment->end;
        source->cover = kv_fragment_sequence(all, at, source->sequence);
    } else {
        source->begin = at == 0 ? (struct kv_slice){0} : all->fragments[at - 1].end;
        source->end = fragment == NULL ? (struct kv_slice){0} : fragment->begin;
        source->cover = 0;
    }
}

/* ---- a run's -------------------------------------------------------------------------------- */

static bool is_file_open(const struct quarry_kv_iterator *walk, struct kv_file *file)
{
    quarry_epoch_enter(walk->kv->epoch);
    bool is_open = kv_open_table_peek(file) != NULL;
    quarry_epoch_leave(walk->kv->epoch);
    return is_open;
}

/* Has the table of a file open. Errors: in walk->status. */
static const struct kv_table *table_of(struct quarry_kv_iterator *walk, struct kv_source *source,
                                       uint32_t index)
{
    struct kv_file *file = source->files->files[index];

    if (source->open != NULL && source->file == index) {
        return source->open->table;
    }
    if (source->open != NULL) {
        kv_open_table_release(source->open);
        source->open = NULL;
    }
    if (walk->options.only_cached && !is_file_open(walk, file)) {
        walk->status =
            error_set(&walk->error, QUARRY_BUSY, "table %" PRIu64 " is not open", file->number);
        return NULL;
    }
    walk->status = kv_open_table_acquire(walk->kv->table_cache, file, &source->open, &walk->error);
    if (Q_UNLIKELY(walk->status == QUARRY_NO_MEMORY && walk->is_frugal)) {
        kv_reads_make_room(walk->kv);
        walk->status =
            kv_open_table_acquire(walk->kv->table_cache, file, &source->open, &walk->error);
    }
    if (walk->status != QUARRY_OK) {
        source->open = NULL;
        return NULL;
    }
    source->file = index;
    return source->open->table;
}

/* From the file before an index to the file itself: no key is there. */
static void know_gap(struct kv_source *source, uint32_t index)
{
    const struct kv_run *run = source->files;

    source->is_known = true;
    source->cover = 0;
    source->begin = (struct kv_slice){0};
    source->end = (struct kv_slice){0};
    source->end_is_in = false;
    if (index != 0) {
        source->begin = run->files[index - 1]->largest.user;
        source->begin_is_out = !kv_file_is_open_ended(run->files[index - 1]);
    }
    if (index != run->file_count) {
        source->end = run->files[index]->smallest.user;
    }
}

/* The stretch, cut off at the file's bounds. */
static void know_stretch(struct kv_source *source, const struct quarry_kv_comparator *comparator,
                         const struct kv_file *file, const struct kv_table_stretch *stretch)
{
    source->is_known = true;
    source->cover = stretch->sequence;
    source->begin = stretch->begin;
    source->begin_is_out = false;
    source->end = stretch->end;
    source->end_is_in = false;
    if (stretch->begin.bytes == NULL ||
        kv_compare(comparator, stretch->begin, file->smallest.user) < 0) {
        source->begin = file->smallest.user;
    }
    if (stretch->end.bytes == NULL ||
        kv_compare(comparator, stretch->end, file->largest.user) > 0) {
        source->end = file->largest.user;
        source->end_is_in = !kv_file_is_open_ended(file);
    }
}

static bool file_may_have_ranges(const struct kv_file *file)
{
    return !file->has_counts || file->range_deletion_count != 0;
}

static void look_in_file(struct quarry_kv_iterator *walk, struct kv_source *source, uint32_t index,
                         struct kv_slice key)
{
    struct kv_file *file = source->files->files[index];
    struct kv_table_stretch stretch = {0};

    if (file_may_have_ranges(file)) {
        const struct kv_table *table = table_of(walk, source, index);
        if (table == NULL) {
            return;
        }
        kv_table_find_stretch(table, key, source->sequence, &stretch);
    }
    know_stretch(source, walk->comparator, file, &stretch);
}

static void look_in_run(struct quarry_kv_iterator *walk, struct kv_source *source,
                        struct kv_slice key)
{
    const struct kv_run *run = source->files;
    uint32_t index = kv_run_find(run, walk->comparator, key, kv_prefix8(key));

    if (index == run->file_count || !kv_file_may_have(run->files[index], walk->comparator, key)) {
        know_gap(source, index);
        return;
    }
    look_in_file(walk, source, index, key);
    while (++index < run->file_count && walk->status == QUARRY_OK &&
           kv_compare(walk->comparator, run->files[index]->smallest.user, key) == 0) {
        uint64_t cover = source->cover;
        look_in_file(walk, source, index, key);
        source->cover = source->cover < cover ? cover : source->cover;
        source->is_known = false;
    }
}

/* ---- all of them ---------------------------------------------------------------------------- */

static bool is_in_stretch(const struct kv_source *source,
                          const struct quarry_kv_comparator *comparator, struct kv_slice key)
{
    if (!source->is_known) {
        return false;
    }
    if (source->begin.bytes != NULL) {
        int order = kv_compare(comparator, key, source->begin);
        if (order < 0 || (order == 0 && source->begin_is_out)) {
            return false;
        }
    }
    if (source->end.bytes != NULL) {
        int order = kv_compare(comparator, key, source->end);
        return order < 0 || (order == 0 && source->end_is_in);
    }
    return true;
}

/* Looks for the stretch that the key of the top is in. Errors: in walk->status. */
static void look_for_stretch(struct quarry_kv_iterator *walk, struct kv_source *source)
{
    source->is_known = false;
    source->cover = 0;
    if (source->fragments != NULL) {
        look_in_fragments(source, walk->top->key.user);
        return;
    }
    if (Q_UNLIKELY(walk->is_frugal)) {
        kv_walk_rest(walk);
    }
    look_in_run(walk, source, walk->top->key.user);
    if (Q_UNLIKELY(walk->is_frugal)) {
        kv_source_close_table(source);
    }
}

static uint64_t find_newest(struct quarry_kv_iterator *walk, uint32_t *ret_source)
{
    uint64_t newest = 0;

    for (uint32_t i = 0; i < walk->source_count; i++) {
        struct kv_source *source = &walk->sources[i];
        if (!source->has_ranges) {
            continue;
        }
        if (!is_in_stretch(source, walk->comparator, walk->top->key.user)) {
            look_for_stretch(walk, source);
            if (walk->status != QUARRY_OK) {
                return 0;
            }
        }
        if (source->cover > newest) {
            newest = source->cover;
            *ret_source = i;
        }
    }
    return newest;
}

uint64_t kv_walk_cover(struct quarry_kv_iterator *walk, uint32_t *ret_source)
{
    uint64_t newest = find_newest(walk, ret_source);

    if (Q_UNLIKELY(walk->is_frugal) && walk->status == QUARRY_OK) {
        kv_walk_wake(walk);
        walk->status = walk->top->is_valid ? QUARRY_OK : walk->top->status;
    }
    return walk->status == QUARRY_OK ? newest : 0;
}
