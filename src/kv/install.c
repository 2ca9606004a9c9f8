/*
 * Changing the files of a store: the one place at which a version becomes the current one.
 *
 *     edit ──> version, in memory ──> manifest, synced ──> versions ──> layers dropped, view
 *              can fail               can fail             cannot fail from here on
 *
 * What can fail for want of memory comes before what cannot be taken back: the version and the room
 * of the view are there when the manifest is written to. After it nothing is allocated.
 *
 * Where the manifest could not be written nobody knows what is on the disk: the edit, or not. Both
 * must stay openable until a later change settles it: the files that the edit adds are kept
 * (kv_files_discard puts them on a list), those that it removes are in the current version still,
 * and the logs are needed by what the current version lacks: the log number goes back to what it
 * was.
 *
 * While logs are replayed there is no manifest yet: changes are those of memory alone, and the one
 * that is made at the end begins with all of them (recover.c).
 *
 * Invariants:
 *   1. The current version is what the manifest leads to, if that is not broken.
 *   2. A layer leaves the list in the moment at which the view has the version with its files.
 *   3. log_number in the manifest is not above that of any layer in the list.
 *   4. last_sequence in the manifest is not below that of any file in it.
 *
 * Locking: install_mutex over all of it, the manifest's writing included, as order is what it is
 * for; the store's mutex for the lists.
 */
#include <kv/background_parts.h>

#include <kv/commit.h>

/* ---- numbers -------------------------------------------------------------------------------- */

/* The log that is needed once so many layers are in files. */
static uint64_t log_after(struct quarry_kv *kv, size_t flushed_count)
{
    uint64_t log_number = kv->manifest_state.log_number;

    if (flushed_count == 0) {
        return log_number;
    }
    os_mutex_lock(&kv->mutex);
    Q_ASSERT(flushed_count <= kv->immutable_count);
    const struct kv_layer *next =
        flushed_count < kv->immutable_count ? kv->immutable[flushed_count] : kv->mutable_layer;
    if (next != NULL && next->log_number > log_number) {
        log_number = next->log_number;
    }
    os_mutex_unlock(&kv->mutex);
    return log_number;
}

static uint64_t sequence_after(struct quarry_kv *kv, const struct kv_edit *edit)
{
    uint64_t sequence = kv_visible_sequence(kv);

    if (sequence < kv->manifest_state.last_sequence) {
        sequence = kv->manifest_state.last_sequence;
    }
    for (size_t i = 0; i < edit->added_count; i++) {
        if (edit->added[i].largest_sequence > sequence) {
            sequence = edit->added[i].largest_sequence;
        }
    }
    return sequence;
}

/* Appends with a number in hand that a new manifest can take; given back where none was begun. */
static enum quarry_status append(struct quarry_kv *kv, struct kv_edit *edit,
                                 const struct kv_version *version, size_t flushed_count,
                                 struct quarry_error *error)
{
    struct kv_manifest_state *state = &kv->manifest_state;
    uint64_t log_before = state->log_number, number = kv_new_file_number(kv);

    state->next_file = number;
    state->last_sequence = sequence_after(kv, edit);
    state->log_number = log_after(kv, flushed_count);
    enum quarry_status status = kv_manifest_append(kv->manifest, state, edit, version, error);
    if (status != QUARRY_OK) {
        state->log_number = log_before;
    }
    if (state->next_file == number) {
        uint64_t expected = number + 1;
        (void)atomic_cas_relaxed_u64(&kv->next_file, &expected, number);
    }
    return status;
}

/* ---- the version and the view --------------------------------------------------------------- */

static enum quarry_status build(struct quarry_kv *kv, const struct kv_edit *edit,
                                struct kv_version **ret_version, struct quarry_error *error)
{
    struct kv_builder *builder;
    enum quarry_status status = kv_builder_create(&kv->small[KV_PART_META], kv->comparator,
                                                  kv_versions_current(&kv->versions), &builder);

    if (status != QUARRY_OK) {
        return error_set(error, status, "%s: no memory for a change of files", kv->path);
    }
    status = kv_builder_apply(builder, edit, error);
    if (status == QUARRY_OK) {
        status = kv_builder_finish(builder, ret_version, error);
    }
    kv_builder_destroy(builder);
    return status;
}

/* Takes the oldest layers off the list. `layers`: gets the list's references. */
static void drop_layers(struct quarry_kv *kv, struct kv_layer **layers, size_t count)
{
    memcpy(layers, kv->immutable, count * sizeof(*layers));
    kv->immutable_count -= count;
    memmove(kv->immutable, kv->immutable + count, kv->immutable_count * sizeof(*layers));
    if (kv->background != NULL) {
        kv->background->flushed_count += count;
    }
}

static void publish(struct quarry_kv *kv, struct kv_version *version, struct kv_view *ready,
                    size_t flushed_count)
{
    struct kv_layer *dropped[KV_FLUSH_LAYERS_MAX];

    Q_ASSERT(flushed_count <= KV_FLUSH_LAYERS_MAX);
    kv_versions_install(&kv->versions, version);
    os_mutex_lock(&kv->mutex);
    if (flushed_count != 0) {
        drop_layers(kv, dropped, flushed_count);
    }
    kv_view_publish(kv, ready, version);
    if (flushed_count != 0) {
        kv_view_note_flush(kv);
    }
    if (kv->throttle != NULL) {
        kv_throttle_look(kv);
    }
    os_mutex_unlock(&kv->mutex);
    for (size_t i = 0; i < flushed_count; i++) {
        kv_layer_release(dropped[i]);
    }
}

/* ---- the door ------------------------------------------------------------------------------- */

/* Files of changes that did not happen, now that it is known. Under install_mutex. */
static void settle(struct quarry_kv *kv)
{
    struct kv_background *background = kv->background;

    if (background == NULL) {
        return;
    }
    size_t left_count = 0;
    for (size_t i = 0; i < background->undecided_count; i++) {
        if (!kv_files_remove_table(kv, background->undecided[i])) {
            background->undecided[left_count++] = background->undecided[i];
        }
    }
    background->undecided_count = left_count;
}

/* Whether it is not known what is on the disk. Under install_mutex. */
static bool is_undecided(const struct quarry_kv *kv)
{
    return kv->manifest != NULL && kv_manifest_is_broken(kv->manifest);
}

/* The manifest is another, or is not decided, or is again. */
static void note_manifest(struct quarry_kv *kv, bool is_broken)
{
    os_mutex_lock(&kv->mutex);
    if (kv->background != NULL) {
        kv->background->is_broken = is_broken;
        kv->background->wants_sweep = true;
    }
    os_mutex_unlock(&kv->mutex);
}

static enum quarry_status install_locked(struct quarry_kv *kv, struct kv_edit *edit,
                                         size_t flushed_count, struct quarry_error *error)
{
    struct kv_version *version;
    struct kv_view *ready;
    enum quarry_status status = build(kv, edit, &version, error);

    if (status != QUARRY_OK) {
        return status;
    }
    /* The list never has more; and the mutable one. */
    status = kv_view_reserve(kv, kv->immutable_capacity + 1, &ready);
    if (status != QUARRY_OK) {
        kv_version_release(version);
        return error_set(error, status, "%s: no memory for a view", kv->path);
    }
    status = kv->manifest == NULL ? QUARRY_OK : append(kv, edit, version, flushed_count, error);
    if (status != QUARRY_OK) {
        kv_view_unreserve(kv, ready);
        kv_version_release(version);
        return status;
    }
    publish(kv, version, ready, flushed_count);
    settle(kv);
    return QUARRY_OK;
}

enum quarry_status kv_install(struct quarry_kv *kv, struct kv_edit *edit, size_t flushed_count,
                              struct quarry_error *error)
{
    struct quarry_error own = {0};
    struct quarry_error *text = error != NULL ? error : &own;

    os_mutex_lock(&kv->install_mutex);
    bool was_broken = is_undecided(kv);
    uint64_t number = kv->manifest_state.manifest_number;
    enum quarry_status status = install_locked(kv, edit, flushed_count, text);
    bool is_broken = is_undecided(kv);
    if (was_broken || is_broken || number != kv->manifest_state.manifest_number) {
        note_manifest(kv, is_broken);
    }
    os_mutex_unlock(&kv->install_mutex);
    if (is_broken) {
        kv_fail(kv, status, text);
    }
    return status;
}
