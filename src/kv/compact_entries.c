/*
 * Which entries survive.
 *
 * Living snapshots, and what is visible at the moment, cut sequences into *stripes*. Readers that
 * see one entry of a stripe see all of it: of one user key only the newest of a stripe can be seen.
 *
 *     sequences    1 … 20 │ 21 … 33 │ 34 … 60 │ 61 …
 *     snapshots          20        33        60: visible
 *     stripe          0   │    1    │    2    │  3
 *     entries of k   4 9  │  25 30  │         │        9 and 30 survive
 *
 * What is above all of them is not visible yet, and may become so one sequence at a time: every
 * such entry survives as it is.
 *
 * Of each user key, from the newest entry down:
 *
 *     hidden     a newer put or deletion of the stripe stands before it: dropped
 *     covered    a range deletion of the stripe does: dropped
 *     put        survives. In the oldest stripe at the bottom its sequence becomes 0: nobody can
 *                tell it from another, and zeros compress
 *     deletion   survives, unless it is in the oldest stripe and nothing below has the key
 *     merge      operands of a stripe are merged into a put where what they stand on is known: a
 *                put, a deletion, or nothing at all below. Else neighbours are joined, if the
 * operator can
 *
 * A filter may drop a put that only those see who come from now on: one of the last stripe. It
 * becomes a deletion, of the same sequence, which then survives or not as any other: what is older
 * must not be seen again. In older stripes a snapshot keeps it.
 *
 * A single deletion is treated as a deletion. That a put and its single deletion may both go at
 * once holds only where nothing lies below: after "put 1, delete, put 2, single delete" the
 * deletion may have been dropped as hidden by put 2, and put 1, further down, would be seen again.
 * Where nothing lies below, the rule for deletions drops both as well. One that has hidden
 * something becomes a deletion, so that nobody else takes it for the partner of a put further down.
 *
 * Where operands cannot be merged (the operator says that they make no sense, or what it makes is
 * too large) they stay as they are, and readers get the error that they would have got before.
 *
 * Invariants:
 *   1. What a reader at a snapshot, or at a sequence not below what was visible, sees of a key is
 * the same before and after, with what is below and above.
 *   2. Entries come out in the order of internal keys, and each is one that came in, but that
 *      merging puts the newest operand's key on what it makes, that sequences become 0, and that
 *      puts become deletions where a filter drops them, for which 1 does not hold.
 *
 * Locking: none. Memory: a user key; operands of a key and stripe, bounded by value_bytes_max.
 * Source: RocksDB's CompactionIterator, LevelDB's DoCompactionWork; what differs is said above.
 */
#include <kv/compact_entries.h>

/* Operands that are merged at a time; more are merged in several steps, by joining. */
#define OPERANDS_MAX 4096u

void kv_survivors_init(struct kv_survivors *survivors, const struct kv_survivors_options *options,
                       struct kv_iterator *input, struct quarry_error *error)
{
    *survivors = (struct kv_survivors){
        .options = *options, .input = input, .error = error, .hidden_stripe = UINT32_MAX};
    kv_buffer_init(&survivors->user, options->memory, SIZE_MAX);
    kv_buffer_init(&survivors->operand_bytes, options->memory, SIZE_MAX);
    kv_buffer_init(&survivors->result, options->memory, options->value_bytes_max);
    kv_buffer_init(&survivors->other_result, options->memory, options->value_bytes_max);
}

void kv_survivors_fini(struct kv_survivors *survivors)
{
    kv_buffer_fini(&survivors->user);
    kv_buffer_fini(&survivors->operand_bytes);
    kv_buffer_fini(&survivors->result);
    kv_buffer_fini(&survivors->other_result);
    kv_memory_give(survivors->options.memory, survivors->operands);
    kv_memory_give(survivors->options.memory, survivors->slices);
}

/* ---- questions about an entry --------------------------------------------------------------- */

static uint32_t stripe_of(const struct kv_survivors *survivors, uint64_t sequence)
{
    const uint64_t *snapshots = survivors->options.snapshots;
    uint32_t low = 0, high = survivors->options.snapshot_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (snapshots[middle] >= sequence) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

/* Whether it is above what was visible. */
static bool is_unseen(const struct kv_survivors *survivors, uint32_t stripe)
{
    return stripe == survivors->options.snapshot_count;
}

static bool is_covered(const struct kv_survivors *survivors, struct kv_key key, uint32_t stripe)
{
    const struct kv_fragments *fragments = survivors->options.fragments;

    return fragments != NULL && !is_unseen(survivors, stripe) &&
           kv_fragments_cover(fragments, key.user, survivors->options.snapshots[stripe]) >
               kv_trailer_sequence(key.trailer);
}

static struct kv_slice user_of(const struct kv_survivors *survivors)
{
    return kv_buffer_slice(&survivors->user);
}

/* Whether nothing below has the user key. */
static bool is_bare(struct kv_survivors *survivors)
{
    const struct kv_survivors_options *options = &survivors->options;

    if (!survivors->is_bare_known) {
        survivors->is_bare_known = true;
        survivors->is_bare =
            options->is_bare != NULL && options->is_bare(options->argument, user_of(survivors));
    }
    return survivors->is_bare;
}

/* Whether the input is at an entry of the user key. */
static bool is_same_user(const struct kv_survivors *survivors)
{
    return survivors->input->is_valid &&
           kv_compare(survivors->options.comparator, survivors->input->key.user,
                      user_of(survivors)) == 0;
}

static enum quarry_status begin_user(struct kv_survivors *survivors)
{
    struct kv_slice user = survivors->input->key.user;

    kv_buffer_clear(&survivors->user);
    if (kv_buffer_reserve(&survivors->user, user.count + 1) != QUARRY_OK) {
        return error_set(survivors->error, QUARRY_NO_MEMORY, "no memory for a key of %zu bytes",
                         user.count);
    }
    if (user.count != 0) {
        memcpy(survivors->user.bytes, user.bytes, user.count);
    }
    survivors->user.byte_count = user.count;
    survivors->has_user = true;
    survivors->is_bare_known = false;
    survivors->hidden_stripe = UINT32_MAX;
    return QUARRY_OK;
}

static void move_on(struct kv_survivors *survivors)
{
    survivors->input->ops->next(survivors->input);
}

/* ---- giving out ----------------------------------------------------------------------------- */

/* The trailer of a put, which nobody may tell from another. */
static uint64_t put_trailer(const struct kv_survivors *survivors, uint64_t trailer, uint32_t stripe)
{
    bool is_zero = survivors->options.zeroes && stripe == 0 && !is_unseen(survivors, stripe);

    return kv_trailer(is_zero ? 0 : kv_trailer_sequence(trailer), KV_TYPE_PUT);
}

/* The input's own entry: its value is borrowed until the input moves. */
static enum quarry_status give_input(struct kv_survivors *survivors, uint64_t trailer)
{
    survivors->key = (struct kv_key){user_of(survivors), trailer};
    survivors->value = survivors->input->value;
    survivors->is_at_input = true;
    return QUARRY_OK;
}

static enum quarry_status give(struct kv_survivors *survivors, uint64_t trailer,
                               struct kv_slice value)
{
    survivors->key = (struct kv_key){user_of(survivors), trailer};
    survivors->value = value;
    return QUARRY_OK;
}

/*
 * A single deletion, and the input behind it: a deletion if it hides something here, or if files
 * have no single ones.
 */
static enum quarry_status give_single(struct kv_survivors *survivors, uint32_t stripe)
{
    uint64_t sequence = kv_trailer_sequence(survivors->input->key.trailer);

    move_on(survivors);
    if (survivors->input->status != QUARRY_OK) {
        return survivors->input->status;
    }
    bool hides = is_same_user(survivors) &&
                 stripe_of(survivors, kv_trailer_sequence(survivors->input->key.trailer)) == stripe;
    bool is_single = survivors->options.has_single_deletes && !hides;
    return give(survivors, kv_trailer(sequence, is_single ? KV_TYPE_SINGLE_DELETE : KV_TYPE_DELETE),
                kv_slice(NULL, 0));
}

/* ---- merging -------------------------------------------------------------------------------- */

/* What operands stand on. */
enum ground {
    GROUND_VALUE,   /* the put at which the input is */
    GROUND_NOTHING, /* nothing: deleted, or never there */
    GROUND_UNKNOWN, /* what is further down, or in an older stripe, or further operands */
};

static enum quarry_status keep_operand(struct kv_survivors *survivors)
{
    struct kv_slice value = survivors->input->value;
    struct quarry_kv_buffer *bytes = &survivors->operand_bytes;

    if (kv_memory_grow(survivors->options.memory, (void **)&survivors->operands,
                       &survivors->operand_capacity, survivors->operand_count + 1,
                       sizeof(*survivors->operands)) != QUARRY_OK ||
        kv_buffer_reserve(bytes, value.count + 1) != QUARRY_OK) {
        return error_set(survivors->error, QUARRY_NO_MEMORY, "no memory for %zu operands",
                         survivors->operand_count + 1);
    }
    survivors->operands[survivors->operand_count++] = (struct kv_operand){
        .trailer = survivors->input->key.trailer,
        .offset = bytes->byte_count,
        .byte_count = value.count,
    };
    if (value.count != 0) {
        memcpy(bytes->bytes + bytes->byte_count, value.bytes, value.count);
    }
    bytes->byte_count += value.count;
    return QUARRY_OK;
}

static bool is_full(const struct kv_survivors *survivors)
{
    return survivors->operand_count >= OPERANDS_MAX ||
           survivors->operand_bytes.byte_count >= survivors->options.value_bytes_max;
}

/* Gathers the operands of the stripe. The input is then at what they stand on, or behind them. */
static enum quarry_status gather(struct kv_survivors *survivors, uint32_t stripe,
                                 enum ground *ret_ground)
{
    struct kv_iterator *input = survivors->input;

    survivors->operand_count = 0;
    survivors->operand_at = 0;
    kv_buffer_clear(&survivors->operand_bytes);
    for (;;) {
        enum quarry_status status = keep_operand(survivors);
        if (status != QUARRY_OK) {
            return status;
        }
        move_on(survivors);
        if (input->status != QUARRY_OK) {
            return input->status;
        }
        if (!is_same_user(survivors)) {
            *ret_ground = is_bare(survivors) ? GROUND_NOTHING : GROUND_UNKNOWN;
            return QUARRY_OK;
        }
        enum kv_type type = kv_trailer_type(input->key.trailer);
        if (stripe_of(survivors, kv_trailer_sequence(input->key.trailer)) != stripe) {
            *ret_ground = GROUND_UNKNOWN;
            return QUARRY_OK;
        }
        if (is_covered(survivors, input->key, stripe)) {
            *ret_ground = GROUND_NOTHING;
            return QUARRY_OK;
        }
        if (type != KV_TYPE_MERGE || is_full(survivors)) {
            *ret_ground = type == KV_TYPE_MERGE ? GROUND_UNKNOWN
                          : type == KV_TYPE_PUT ? GROUND_VALUE
                                                : GROUND_NOTHING;
            return QUARRY_OK;
        }
    }
}

static struct quarry_kv_slice operand_at(const struct kv_survivors *survivors, size_t i)
{
    const struct kv_operand *operand = &survivors->operands[i];

    return (struct quarry_kv_slice){survivors->operand_bytes.bytes + operand->offset,
                                    operand->byte_count};
}

/* Merges all operands into `result`. Errors: those of the operator. */
static enum quarry_status merge_all(struct kv_survivors *survivors, enum ground ground)
{
    const struct quarry_kv_merge_operator *by = survivors->options.merge_operator;
    const struct quarry_kv_slice base = {survivors->input->value.bytes,
                                         survivors->input->value.count};
    struct quarry_kv_slice key = {survivors->user.bytes, survivors->user.byte_count};
    size_t count = survivors->operand_count;

    if (kv_memory_grow(survivors->options.memory, (void **)&survivors->slices,
                       &survivors->slice_capacity, count,
                       sizeof(*survivors->slices)) != QUARRY_OK) {
        return error_set(survivors->error, QUARRY_NO_MEMORY, "no memory for %zu operands", count);
    }
    for (size_t i = 0; i < count; i++) {
        survivors->slices[i] = operand_at(survivors, count - 1 - i);
    }
    kv_buffer_clear(&survivors->result);
    return by->merge(by->argument, key, ground == GROUND_VALUE ? &base : NULL, survivors->slices,
                     count, &survivors->result);
}

/* The next operand, joined with those after it as far as the operator can. */
static enum quarry_status give_operand(struct kv_survivors *survivors)
{
    const struct quarry_kv_merge_operator *by = survivors->options.merge_operator;
    struct quarry_kv_slice key = {survivors->user.bytes, survivors->user.byte_count};
    uint64_t trailer = survivors->operands[survivors->operand_at].trailer;
    struct quarry_kv_slice newer = operand_at(survivors, survivors->operand_at++);

    while (survivors->joins && survivors->operand_at < survivors->operand_count) {
        struct quarry_kv_buffer before = survivors->result;
        survivors->result = survivors->other_result;
        survivors->other_result = before;
        kv_buffer_clear(&survivors->result);
        if (!by->merge_two(by->argument, key, operand_at(survivors, survivors->operand_at), newer,
                           &survivors->result)) {
            break;
        }
        newer = (struct quarry_kv_slice){survivors->result.bytes, survivors->result.byte_count};
        survivors->operand_at++;
    }
    return give(survivors, trailer, kv_slice(newer.bytes, newer.byte_count));
}

/* The input is at an operand that is neither hidden nor covered. */
static enum quarry_status merge(struct kv_survivors *survivors, uint32_t stripe)
{
    const struct quarry_kv_merge_operator *by = survivors->options.merge_operator;
    enum ground ground;

    if (by == NULL || is_unseen(survivors, stripe)) {
        return give_input(survivors, survivors->input->key.trailer);
    }
    enum quarry_status status = gather(survivors, stripe, &ground);
    if (status != QUARRY_OK) {
        return status;
    }
    uint64_t trailer = survivors->operands[0].trailer;
    status = ground == GROUND_UNKNOWN ? QUARRY_NOT_FOUND : merge_all(survivors, ground);
    if (status == QUARRY_OK) {
        survivors->hidden_stripe = stripe;
        survivors->operand_count = 0;
        return give(survivors, put_trailer(survivors, trailer, stripe),
                    kv_buffer_slice(&survivors->result));
    }
    if (status == QUARRY_NO_MEMORY) {
        return status;
    }
    survivors->joins = ground == GROUND_UNKNOWN && by->merge_two != NULL;
    return give_operand(survivors);
}

/* ---- the next one --------------------------------------------------------------------------- */

/* Whether a filter drops the input's own entry, a put. */
static bool is_filtered(const struct kv_survivors *survivors, enum kv_type type, uint32_t stripe)
{
    const struct quarry_kv_compaction_filter *filter = survivors->options.filter;
    struct kv_slice key = survivors->input->key.user, value = survivors->input->value;

    return filter != NULL && type == KV_TYPE_PUT &&
           stripe + 1 == survivors->options.snapshot_count &&
           filter->drops(filter->argument, (struct quarry_kv_slice){key.bytes, key.count},
                         (struct quarry_kv_slice){value.bytes, value.count});
}

/* A deletion where the input has a put. */
static enum quarry_status give_deletion(struct kv_survivors *survivors, uint64_t trailer)
{
    survivors->is_at_input = true;
    return give(survivors, kv_trailer(kv_trailer_sequence(trailer), KV_TYPE_DELETE),
                kv_slice(NULL, 0));
}

/* What becomes of the entry at which the input is. QUARRY_BUSY: it was dropped, and so on. */
static enum quarry_status judge(struct kv_survivors *survivors)
{
    struct kv_key key = survivors->input->key;
    uint32_t stripe = stripe_of(survivors, kv_trailer_sequence(key.trailer));
    enum kv_type type = kv_trailer_type(key.trailer);
    bool is_dropped = stripe == survivors->hidden_stripe || is_covered(survivors, key, stripe);

    if (!is_dropped && type == KV_TYPE_MERGE) {
        return merge(survivors, stripe);
    }
    bool is_filtered_out = !is_dropped && is_filtered(survivors, type, stripe);
    if (is_filtered_out) {
        type = KV_TYPE_DELETE;
    }
    if (!is_dropped && !is_unseen(survivors, stripe)) {
        survivors->hidden_stripe = stripe;
        is_dropped = type != KV_TYPE_PUT && stripe == 0 && is_bare(survivors);
    }
    if (is_dropped) {
        survivors->dropped_count++;
        move_on(survivors);
        return QUARRY_BUSY;
    }
    if (type == KV_TYPE_SINGLE_DELETE) {
        return give_single(survivors, stripe);
    }
    if (is_filtered_out) {
        return give_deletion(survivors, key.trailer);
    }
    return give_input(survivors, type == KV_TYPE_PUT ? put_trailer(survivors, key.trailer, stripe)
                                                     : key.trailer);
}

enum quarry_status kv_survivors_next(struct kv_survivors *survivors)
{
    struct kv_iterator *input = survivors->input;
    enum quarry_status status = QUARRY_BUSY;

    if (survivors->is_at_input) {
        survivors->is_at_input = false;
        move_on(survivors);
    }
    if (survivors->operand_at < survivors->operand_count) {
        return give_operand(survivors);
    }
    while (status == QUARRY_BUSY) {
        /* Relaxed: whoever cancels waits for the end. */
        if (survivors->options.is_cancelled != NULL &&
            atomic_load_relaxed_bool(survivors->options.is_cancelled)) {
            return error_set(survivors->error, QUARRY_CANCELLED, "the store is being closed");
        }
        if (!input->is_valid) {
            return input->status == QUARRY_OK ? QUARRY_NOT_FOUND : input->status;
        }
        if (!survivors->has_user || !is_same_user(survivors)) {
            status = begin_user(survivors);
            if (status != QUARRY_OK) {
                return status;
            }
        }
        status = judge(survivors);
    }
    return status;
}
