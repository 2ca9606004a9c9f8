/*
 * Compaction: files of a level and of the next one become files of the next one.
 *
 *     level 0   one over each file ─────┐
 *     level n   one over its files ─────┼─> merged ─> survivors ─> tables ─> installed
 *     level n+1 one over its files ─────┘
 *
 * What is moved or dropped whole is only a change of the manifest. The rest is read with a
 * readahead of its own and leaves no trace in the block cache; what is written is synced as it
 * grows.
 *
 * Outputs are cut between user keys: where one is as large as files are to be, and where it would
 * overlap more than ten files' worth of the level after (grandparents), which merging it later
 * would cost. Within level 0 nothing is cut, for the reason that a flush is not (flush.c).
 *
 * A deletion may go where nothing below has its key. Of a whole compaction that is known from its
 * range (pick->is_last); else it is asked for each key, with a finger in each level below that
 * moves with the keys. What is below is read from the version that the compaction was picked in: it
 * stays true while it runs, as whoever would write into this range further down would need files of
 * the output level in this range, and those are taken (invariant 2 of pick.c).
 *
 * Cancelling: looked for at each entry, so that closing waits for a block to be read at most.
 *
 * Locking: none while it works; the store's mutex at the beginning, for snapshots.
 * Memory: as much as its thrift says.
 *
 *     wide     for each input an open table, a block and a readahead; a writer
 *     narrow   no readahead, small buffers, outputs of a few MiB. For each input a table with its
 *              index and a block, 20 to 150 KiB; where it was picked so, few inputs. Inside the
 *              reserve (store.c), which is made for that: others cannot have it
 *     frugal   the same, but of the inputs only the one that comes next holds more than a key
 *              (merge_iterator.h): 1.5 KiB each. Slow, where inputs are interleaved: a table is
 *              opened and a key sought whenever another input is next
 *
 * For the writer it is what it writes: a block, and of the table that it has begun, eight bytes a
 * key for the filter and about one part in forty for the index. No part of it grows with what is
 * read. What is refused is done again with more thrift, from the beginning; but before it is frugal
 * it is picked again, with half as many files of level 0. Frugal, one with a file of 140 MB among
 * its inputs decoded that file's index for each of its keys, and did not end.
 */
#include <kv/background_parts.h>

#include <kv/compact_entries.h>
#include <kv/compact_output.h>
#include <kv/merge_iterator.h>

/* Read at a time, of each input. Doubling it halves the seeks of a disk that has them. */
#define READAHEAD_BYTES Q_KIB(128)
/* Of the level after the output, in output files, that one output may overlap: LevelDB's ten. */
#define GRANDPARENT_FILES_MAX 10u

/* Of an output, where memory is short: its writer takes up to 1 MiB for keys of 16 bytes. */
#define NARROW_FILE_BYTES Q_MIB(4)

enum thrift { WIDE, NARROW, FRUGAL };

/* An input: a run of the files of a level, or of one file of level 0. */
struct source {
    struct kv_run run;
    struct kv_run_iterator *over;
};

struct compaction {
    struct quarry_kv *kv;
    struct kv_pick *pick;
    struct quarry_error *error;
    struct kv_memory *memory;
    enum thrift thrift;
    struct kv_stripes stripes;
    struct source *sources;
    uint32_t source_count;
    struct kv_merge_iterator *merged;
    struct kv_ranges ranges;
    struct kv_fragments *fragments;
    struct kv_output output;
    uint32_t finger[QUARRY_KV_LEVELS]; /* the first file that does not end before the key */
    uint32_t grandparent;              /* the first that does not end before the key */
    uint64_t overlapped_bytes;         /* of those that the output has passed */
};

static enum quarry_status no_memory(const struct compaction *compaction)
{
    return error_set(compaction->error, QUARRY_NO_MEMORY, "%s: no memory for a compaction",
                     compaction->kv->path);
}

/* ---- stripes -------------------------------------------------------------------------------- */

enum quarry_status kv_stripes_init(struct kv_stripes *stripes, struct quarry_kv *kv,
                                   struct kv_memory *memory)
{
    uint64_t visible = kv_visible_sequence(kv);
    uint32_t count = 1;

    os_mutex_assert_held(&kv->mutex);
    for (const struct quarry_kv_snapshot *at = kv->snapshots; at != NULL; at = at->next) {
        count += at->next == NULL || at->next->sequence != at->sequence;
    }
    *stripes = (struct kv_stripes){.sequences =
                                       kv_memory_take(memory, count * sizeof(*stripes->sequences))};
    if (stripes->sequences == NULL) {
        return QUARRY_NO_MEMORY;
    }
    for (const struct quarry_kv_snapshot *at = kv->snapshots; at != NULL; at = at->next) {
        if (stripes->count == 0 || stripes->sequences[stripes->count - 1] != at->sequence) {
            stripes->sequences[stripes->count++] = at->sequence;
        }
    }
    if (stripes->count == 0 || stripes->sequences[stripes->count - 1] < visible) {
        stripes->sequences[stripes->count++] = visible;
    }
    return QUARRY_OK;
}

void kv_stripes_fini(struct kv_stripes *stripes, struct kv_memory *memory)
{
    kv_memory_give(memory, stripes->sequences);
    *stripes = (struct kv_stripes){0};
}

/* ---- picking -------------------------------------------------------------------------------- */

static uint64_t least_of(const struct kv_layer *layer, uint64_t least)
{
    struct kv_memtable_stats stats;

    if (layer == NULL) {
        return least;
    }
    kv_layer_read_stats(layer, &stats);
    bool has_any = stats.entry_count + stats.range_count != 0;
    return has_any && (least == 0 || stats.smallest_sequence < least) ? stats.smallest_sequence
                                                                      : least;
}

/* The least sequence that is in a layer; 0: there is none. */
static uint64_t unflushed_sequence(const struct quarry_kv *kv)
{
    uint64_t least = least_of(kv->mutable_layer, 0);

    for (size_t i = 0; i < kv->immutable_count; i++) {
        least = least_of(kv->immutable[i], least);
    }
    return least;
}

enum quarry_status kv_pick_wishes_init(struct kv_pick_wishes *wishes, struct quarry_kv *kv)
{
    const struct kv_background *background = kv->background;
    enum quarry_status status =
        kv_stripes_init(&wishes->stripes, kv, &kv->small[KV_PART_COMPACTION]);

    if (status != QUARRY_OK) {
        return status;
    }
    uint32_t hint_count = background == NULL ? 0 : background->hint_count;
    for (uint32_t i = 0; i < hint_count; i++) {
        wishes->hints[i] = background->hints[i].hint;
    }
    /* What is visible is no snapshot, but who reads now sees it: a deletion above is not used yet.
     */
    wishes->options = (struct kv_pick_options){
        .level0_compact = kv->options.level0_compact,
        .level_ratio = kv->options.level_ratio,
        .level1_bytes = kv->options.level1_bytes,
        .file_bytes = kv->options.file_bytes,
        .snapshots = wishes->stripes.sequences,
        .snapshot_count = wishes->stripes.count,
        .hints = wishes->hints,
        .hint_count = hint_count,
        .unflushed_sequence = unflushed_sequence(kv),
        .level0_files_max = kv_background_is_short(kv) ? background->narrow_files : 0,
    };
    return QUARRY_OK;
}

void kv_pick_wishes_fini(struct kv_pick_wishes *wishes, struct quarry_kv *kv)
{
    kv_stripes_fini(&wishes->stripes, &kv->small[KV_PART_COMPACTION]);
}

/* ---- inputs --------------------------------------------------------------------------------- */

static struct kv_table_iterator_options reading(const struct compaction *compaction)
{
    return (struct kv_table_iterator_options){
        .is_background = true, .readahead_bytes = compaction->thrift == WIDE ? READAHEAD_BYTES : 0};
}

/* Takes the range deletions of a file's table. */
static enum quarry_status add_ranges(struct compaction *compaction, struct kv_file *file)
{
    struct kv_open_table *open;

    if (file->has_counts && file->range_deletion_count == 0) {
        return QUARRY_OK;
    }
    enum quarry_status status =
        kv_open_table_acquire(compaction->kv->table_cache, file, &open, compaction->error);
    if (status != QUARRY_OK) {
        return status;
    }
    status = kv_ranges_add_table(&compaction->ranges, file, open->table);
    kv_open_table_release(open);
    return status == QUARRY_OK ? status : no_memory(compaction);
}

/* One over some files of an input, in their order. */
static enum quarry_status open_source(struct compaction *compaction,
                                      const struct kv_pick_input *input, uint32_t from,
                                      uint32_t count, struct kv_iterator **child)
{
    struct quarry_kv *kv = compaction->kv;
    struct source *source = &compaction->sources[compaction->source_count];
    struct kv_run_iterator_options options = {.kv = kv,
                                              .memory = compaction->memory,
                                              .version = compaction->pick->version,
                                              .run = &source->run,
                                              .level = input->level,
                                              .table = reading(compaction)};

    if (kv_run_init(&source->run, compaction->memory, count, kv->comparator->compare == NULL) !=
        QUARRY_OK) {
        return no_memory(compaction);
    }
    compaction->source_count++;
    memcpy(source->run.files, input->files + from, count * sizeof(struct kv_file *));
    kv_run_index(&source->run);
    enum quarry_status status =
        kv_run_iterator_create(compaction->memory, &options, compaction->error, &source->over);
    if (status == QUARRY_OK) {
        kv_run_iterator_set_frugal(source->over, compaction->thrift == FRUGAL);
        *child = kv_run_iterator_base(source->over);
    }
    return status;
}

/* Opens an input's files. `*count`: of children. */
static enum quarry_status open_input(struct compaction *compaction, uint32_t which,
                                     struct kv_iterator **children, size_t *count)
{
    const struct kv_pick_input *input = &compaction->pick->inputs[which];
    enum quarry_status status = QUARRY_OK;

    for (uint32_t i = 0; i < input->file_count && status == QUARRY_OK; i++) {
        status = add_ranges(compaction, input->files[i]);
        if (status == QUARRY_OK && input->level == 0) {
            status = open_source(compaction, input, i, 1, &children[*count]);
            *count += status == QUARRY_OK;
        }
    }
    if (status == QUARRY_OK && input->level != 0 && input->file_count != 0) {
        status = open_source(compaction, input, 0, input->file_count, &children[*count]);
        *count += status == QUARRY_OK;
    }
    return status;
}

static enum quarry_status merge_inputs(struct compaction *compaction)
{
    const struct kv_pick *pick = compaction->pick;
    size_t count_max = (size_t)pick->inputs[0].file_count + 1, count = 0;
    struct kv_iterator **children =
        kv_memory_take(compaction->memory, count_max * sizeof(*children));

    compaction->sources = kv_memory_take(compaction->memory, count_max * sizeof(struct source));
    if (children == NULL || compaction->sources == NULL) {
        kv_memory_give(compaction->memory, children);
        return no_memory(compaction);
    }
    enum quarry_status status = open_input(compaction, 0, children, &count);
    if (status == QUARRY_OK) {
        status = open_input(compaction, 1, children, &count);
    }
    if (status == QUARRY_OK &&
        kv_merge_iterator_create(compaction->memory, compaction->kv->comparator, children, count,
                                 &compaction->merged) != QUARRY_OK) {
        status = no_memory(compaction);
    }
    if (status == QUARRY_OK) {
        kv_merge_iterator_set_frugal(compaction->merged, compaction->thrift == FRUGAL);
    }
    kv_memory_give(compaction->memory, children);
    return status;
}

/* ---- what is below -------------------------------------------------------------------------- */

/* Whether no level below the output has a user key; asked for rising ones. */
static bool is_key_bare(void *argument, struct kv_slice key)
{
    struct compaction *compaction = argument;
    const struct kv_pick *pick = compaction->pick;
    const struct quarry_kv_comparator *comparator = compaction->kv->comparator;

    if (pick->is_last) {
        return true;
    }
    for (uint32_t level = pick->output_level + 1;
         pick->output_level != 0 && level < QUARRY_KV_LEVELS; level++) {
        const struct kv_run *run = &pick->version->levels[level];
        uint32_t *finger = &compaction->finger[level];
        while (*finger < run->file_count &&
               kv_compare(comparator, run->files[*finger]->largest.user, key) < 0) {
            (*finger)++;
        }
        for (uint32_t i = *finger;
             i < run->file_count && kv_compare(comparator, run->files[i]->smallest.user, key) <= 0;
             i++) {
            if (kv_file_may_have(run->files[i], comparator, key)) {
                return false;
            }
        }
    }
    return pick->output_level != 0;
}

static bool is_range_bare(void *argument, const struct kv_key_range *range)
{
    struct compaction *compaction = argument;
    const struct kv_pick *pick = compaction->pick;

    return pick->is_last || (pick->output_level != 0 &&
                             !kv_version_has_below(pick->version, pick->output_level + 1, range));
}

/* ---- cutting -------------------------------------------------------------------------------- */

/*
 * Passes grandparents that end before a key. Returns: whether an output that has been begun would
 * overlap too many with it.
 */
static bool overlaps_much(struct compaction *compaction, struct kv_slice key)
{
    const struct kv_pick *pick = compaction->pick;

    while (compaction->grandparent < pick->grandparent_count &&
           kv_compare(compaction->kv->comparator,
                      pick->grandparents[compaction->grandparent]->largest.user, key) < 0) {
        compaction->overlapped_bytes += pick->grandparents[compaction->grandparent++]->byte_count;
    }
    return compaction->overlapped_bytes >
           sat_mul_u64(pick->output_file_bytes, GRANDPARENT_FILES_MAX);
}

static uint64_t output_bytes_max(const struct compaction *compaction)
{
    uint64_t byte_count = compaction->pick->output_file_bytes;

    return compaction->thrift == WIDE ? byte_count : size_min_u64(byte_count, NARROW_FILE_BYTES);
}

/* A new user key: whether the output ends before it. */
static enum quarry_status cut_before(struct compaction *compaction, struct kv_slice key)
{
    const struct kv_pick *pick = compaction->pick;
    uint64_t byte_count = kv_output_bytes(&compaction->output);
    bool is_far = overlaps_much(compaction, key);

    if (byte_count == 0) {
        compaction->overlapped_bytes = 0;
        return QUARRY_OK;
    }
    if (pick->output_level == 0 || (byte_count < output_bytes_max(compaction) && !is_far)) {
        return QUARRY_OK;
    }
    compaction->overlapped_bytes = 0;
    return kv_output_cut(&compaction->output, key, compaction->error);
}

/* ---- merging -------------------------------------------------------------------------------- */

static uint64_t oldest_ancestor(const struct kv_pick *pick)
{
    uint64_t oldest_s = 0;

    for (uint32_t which = 0; which < 2; which++) {
        for (uint32_t i = 0; i < pick->inputs[which].file_count; i++) {
            uint64_t own_s = pick->inputs[which].files[i]->oldest_ancestor_s;
            if (own_s != 0 && (oldest_s == 0 || own_s < oldest_s)) {
                oldest_s = own_s;
            }
        }
    }
    return oldest_s;
}

static enum quarry_status begin(struct compaction *compaction)
{
    struct quarry_kv *kv = compaction->kv;

    os_mutex_lock(&kv->mutex);
    enum quarry_status status = kv_stripes_init(&compaction->stripes, kv, compaction->memory);
    os_mutex_unlock(&kv->mutex);
    if (status != QUARRY_OK) {
        return no_memory(compaction);
    }
    status = merge_inputs(compaction);
    if (status != QUARRY_OK) {
        return status;
    }
    if (kv_ranges_finish(&compaction->ranges, &compaction->fragments) != QUARRY_OK) {
        return no_memory(compaction);
    }
    struct kv_output_options options = {
        .kv = kv,
        .level = compaction->pick->output_level,
        .is_small = compaction->thrift != WIDE,
        .stripes = &compaction->stripes,
        .fragments = compaction->fragments,
        .is_bare = is_range_bare,
        .argument = compaction,
        .oldest_ancestor_s = oldest_ancestor(compaction->pick),
    };
    kv_output_init(&compaction->output, &options);
    return QUARRY_OK;
}

static void end(struct compaction *compaction)
{
    if (compaction->output.options.kv != NULL) {
        kv_output_fini(&compaction->output);
    }
    kv_merge_iterator_destroy(compaction->merged);
    for (uint32_t i = 0; i < compaction->source_count; i++) {
        kv_run_iterator_destroy(compaction->sources[i].over);
        kv_run_fini(&compaction->sources[i].run, compaction->memory);
    }
    kv_memory_give(compaction->memory, compaction->sources);
    kv_fragments_release(compaction->fragments);
    kv_ranges_fini(&compaction->ranges);
    kv_stripes_fini(&compaction->stripes, compaction->memory);
}

static struct kv_survivors_options surviving(struct compaction *compaction)
{
    struct quarry_kv *kv = compaction->kv;

    return (struct kv_survivors_options){
        .memory = compaction->memory,
        .comparator = kv->comparator,
        .merge_operator = kv->merge_operator,
        .filter = kv->options.compaction_filter,
        .snapshots = compaction->stripes.sequences,
        .snapshot_count = compaction->stripes.count,
        .fragments = compaction->fragments,
        .is_bare = is_key_bare,
        .argument = compaction,
        .zeroes = compaction->pick->is_last && kv->form == KV_EDIT_ROCKSDB,
        .has_single_deletes = kv->form == KV_EDIT_ROCKSDB,
        .value_bytes_max = kv->options.value_bytes_max,
        .is_cancelled = &kv->is_closing,
    };
}

static enum quarry_status write_entries(struct compaction *compaction,
                                        struct kv_survivors *survivors)
{
    const struct quarry_kv_comparator *comparator = compaction->kv->comparator;
    struct quarry_kv_buffer last;
    bool has_last = false;
    enum quarry_status status;

    kv_buffer_init(&last, compaction->memory, SIZE_MAX);
    while ((status = kv_survivors_next(survivors)) == QUARRY_OK) {
        struct kv_slice user = survivors->key.user;
        if (!has_last || kv_compare(comparator, kv_buffer_slice(&last), user) != 0) {
            status = cut_before(compaction, user);
            kv_buffer_clear(&last);
            if (status == QUARRY_OK) {
                status = quarry_kv_buffer_append(&last, user.bytes, user.count);
            }
            has_last = true;
        }
        if (status == QUARRY_OK) {
            status = kv_output_add(&compaction->output, survivors->key, survivors->value,
                                   compaction->error);
        }
        if (status != QUARRY_OK) {
            break;
        }
    }
    kv_buffer_fini(&last);
    return status;
}

static enum quarry_status write_tables(struct compaction *compaction)
{
    struct kv_iterator *input = kv_merge_iterator_base(compaction->merged);
    struct kv_survivors_options options = surviving(compaction);
    struct kv_survivors survivors;

    input->ops->first(input);
    kv_survivors_init(&survivors, &options, input, compaction->error);
    enum quarry_status status = write_entries(compaction, &survivors);
    kv_survivors_fini(&survivors);
    if (status == QUARRY_NOT_FOUND) {
        status = kv_output_cut(&compaction->output, kv_slice(NULL, 0), compaction->error);
    }
    return status;
}

/* ---- the change of files -------------------------------------------------------------------- */

/* What it comes to: inputs go, and what was written or is moved comes. */
static enum quarry_status make_edit(struct compaction *compaction, struct kv_edit *edit)
{
    const struct kv_pick *pick = compaction->pick;
    enum quarry_status status = QUARRY_OK;

    for (uint32_t which = 0; which < 2; which++) {
        const struct kv_pick_input *input = &pick->inputs[which];
        for (uint32_t i = 0; i < input->file_count && status == QUARRY_OK; i++) {
            status = kv_edit_remove(edit, input->level, input->files[i]->number);
            if (status == QUARRY_OK && pick->kind == KV_PICK_MOVE) {
                struct kv_edit_file line = kv_file_describe(input->files[i], pick->output_level);
                status = kv_edit_add(edit, &line);
            }
        }
    }
    return status == QUARRY_OK ? status : no_memory(compaction);
}

static bool writes(const struct kv_pick *pick)
{
    return pick->kind != KV_PICK_MOVE && pick->kind != KV_PICK_DROP;
}

static enum quarry_status install(struct compaction *compaction)
{
    struct kv_edit edit;

    kv_edit_init(&edit, compaction->memory);
    enum quarry_status status = make_edit(compaction, &edit);
    if (status == QUARRY_OK && writes(compaction->pick)) {
        status = kv_output_list(&compaction->output, &edit, compaction->error);
    }
    if (status == QUARRY_OK) {
        status = kv_install(compaction->kv, &edit, 0, compaction->error);
    }
    kv_edit_fini(&edit);
    return status;
}

static void tell(struct compaction *compaction, uint64_t written_bytes, size_t written_files,
                 uint64_t begin_ns)
{
    struct quarry_kv *kv = compaction->kv;
    const struct kv_pick *pick = compaction->pick;
    struct kv_background *background = kv->background;
    bool is_written = writes(pick);
    struct quarry_kv_event_data data = {
        .event = QUARRY_KV_EVENT_COMPACTED,
        .from_level = pick->inputs[0].level,
        .to_level = pick->output_level,
        .read_bytes = is_written ? pick->byte_count : 0,
        .written_bytes = written_bytes,
        .read_files = pick->inputs[0].file_count + pick->inputs[1].file_count,
        .written_files = (uint32_t)written_files,
        .duration_ns = sat_sub_u64(kv_now_ns(kv), begin_ns),
    };

    kv_count(kv, is_written ? KV_COUNT_COMPACTIONS : KV_COUNT_MOVES, 1);
    if (background != NULL && is_written) {
        (void)atomic_add_relaxed_u64(&background->level_read_bytes[pick->output_level],
                                     pick->byte_count);
        (void)atomic_add_relaxed_u64(&background->level_written_bytes[pick->output_level],
                                     written_bytes);
        (void)atomic_add_relaxed_u64(&background->level_ns[pick->output_level], data.duration_ns);
    }
    kv_notify(kv, &data);
}

static enum quarry_status compact(struct quarry_kv *kv, struct kv_pick *pick, enum thrift thrift,
                                  struct quarry_error *error)
{
    struct compaction compaction = {.kv = kv,
                                    .pick = pick,
                                    .error = error,
                                    .memory = &kv->small[KV_PART_COMPACTION],
                                    .thrift = thrift};
    uint64_t begin_ns = kv_now_ns(kv);
    enum quarry_status status = QUARRY_OK;

    kv_ranges_init(&compaction.ranges, compaction.memory, kv->comparator);
    if (writes(pick)) {
        status = begin(&compaction);
        if (status == QUARRY_OK) {
            status = write_tables(&compaction);
        }
    }
    uint64_t written_bytes = compaction.output.written_bytes;
    size_t written_files = compaction.output.file_count;
    if (status == QUARRY_OK) {
        status = install(&compaction);
    }
    if (status == QUARRY_OK) {
        kv_output_keep(&compaction.output);
    }
    end(&compaction);
    if (status == QUARRY_OK) {
        tell(&compaction, written_bytes, written_files, begin_ns);
    }
    return status;
}

/* Inside the reserve. */
static enum quarry_status compact_narrowly(struct quarry_kv *kv, struct kv_pick *pick,
                                           bool is_manual, struct quarry_error *error)
{
    if (!kv_background_try_narrow(kv, is_manual)) {
        return error_set(error, QUARRY_NO_MEMORY, "%s: no memory for a compaction beside another",
                         kv->path);
    }
    quarry_reserve_begin(kv->memory);
    enum quarry_status status = compact(kv, pick, NARROW, error);
    if (status == QUARRY_NO_MEMORY &&
        !kv_background_try_fewer(kv, pick->inputs[0].level == 0 ? pick->inputs[0].file_count : 0)) {
        status = compact(kv, pick, FRUGAL, error);
    }
    quarry_reserve_end(kv->memory);
    kv_background_end_narrow(kv, is_manual);
    return status;
}

enum quarry_status kv_compact(struct quarry_kv *kv, struct kv_pick *pick, bool is_narrow,
                              bool is_manual, struct quarry_error *error)
{
    if (is_narrow && writes(pick)) {
        return compact_narrowly(kv, pick, is_manual, error);
    }
    enum quarry_status status = compact(kv, pick, WIDE, error);
    if (status == QUARRY_NO_MEMORY) {
        kv_background_note_refusal(kv);
        status = compact_narrowly(kv, pick, is_manual, error);
    }
    return status;
}
