/*
 * The versions that are alive, and when they and their files go.
 *
 *     current ──> version 7   <── iterators, compactions: counted
 *                 version 6   <── an iterator, still
 *     limbo  ───> version 5       nobody counted; a reader may be inside, who entered before
 *
 * A point read takes no count: it enters the epoch, loads `current`, and leaves. So a version whose
 * last count has gone waits in limbo until all have left who may have seen it. Then it is freed,
 * and with it the reference that it has to each of its files; a file that loses its last one is
 * obsolete, and its owner is told, once, with no lock held.
 *
 * Invariants:
 *   1. `current` has a reference of the set's, and is alive.
 *   2. A version is in `live` from its installation until it is freed; what is in limbo too is
 *      without references and stays so: ref_count_try_acquire fails.
 *   3. Stamps in limbo rise from first to last.
 *
 * Locking: `mutex` around the lists, for a few stores; nothing is freed or told under it.
 */
#include <kv/version.h>

#include <quarry/epoch.h>

void kv_versions_init(struct kv_versions *set, struct quarry_epoch *epoch)
{
    *set = (struct kv_versions){.epoch = epoch, .next_number = 1};
    os_mutex_init(&set->mutex, OS_RANK_KV_VERSIONS, 0);
}

void kv_versions_install(struct kv_versions *set, struct kv_version *version)
{
    Q_ASSERT(version->set == NULL && ref_count_read(&version->reference_count) >= 1);
    os_mutex_lock(&set->mutex);
    version->set = set;
    version->number = set->next_number++;
    version->next = set->live;
    if (set->live != NULL) {
        set->live->previous = version;
    }
    set->live = version;
    set->live_count++;
    /* Release, by way of exchange: pairs with the acquire in kv_versions_current. */
    struct kv_version *before = atomic_exchange_acq_rel_ptr(&set->current, version);
    os_mutex_unlock(&set->mutex);
    if (before != NULL) {
        kv_version_release(before);
    }
}

struct kv_version *kv_versions_acquire(struct kv_versions *set)
{
    struct kv_version *version;

    quarry_epoch_enter(set->epoch);
    do {
        version = kv_versions_current(set);
        Q_ASSERT(version != NULL);
        /* It fails where another has been installed in between, and this one released. */
    } while (!ref_count_try_acquire(&version->reference_count));
    quarry_epoch_leave(set->epoch);
    return version;
}

void kv_version_acquire(struct kv_version *version)
{
    ref_count_acquire(&version->reference_count);
}

void kv_file_acquire(struct kv_file *file)
{
    ref_count_acquire(&file->reference_count);
}

void kv_file_release(struct kv_file *file)
{
    bool is_last = ref_count_release(&file->reference_count);

    Q_ASSERT(!is_last);
}

/* ---- the end of versions -------------------------------------------------------------------- */

/* What becomes of files of a version that nobody ever saw: only memory. */
static void forget_file(void *argument, struct kv_file *file)
{
    kv_file_free(argument, file);
}

void kv_version_release(struct kv_version *version)
{
    struct kv_versions *set = version->set;

    if (!ref_count_release(&version->reference_count)) {
        return;
    }
    if (set == NULL) {
        kv_version_free(version, forget_file, version->memory);
        return;
    }
    os_mutex_lock(&set->mutex);
    version->stamp = ref_epoch_now(set->epoch);
    version->next_limbo = NULL;
    if (set->limbo == NULL) {
        set->limbo = version;
    } else {
        set->limbo_last->next_limbo = version;
    }
    set->limbo_last = version;
    os_mutex_unlock(&set->mutex);
}

static void unlink_live(struct kv_versions *set, struct kv_version *version)
{
    if (version->previous != NULL) {
        version->previous->next = version->next;
    } else {
        Q_ASSERT(set->live == version);
        set->live = version->next;
    }
    if (version->next != NULL) {
        version->next->previous = version->previous;
    }
    set->live_count--;
}

/* The oldest in limbo that nobody can be in any more. Returns: own; NULL: none. */
static struct kv_version *take_past(struct kv_versions *set)
{
    os_mutex_lock(&set->mutex);
    struct kv_version *version = set->limbo;
    if (version != NULL && ref_epoch_is_past(set->epoch, version->stamp)) {
        set->limbo = version->next_limbo;
        unlink_live(set, version);
    } else {
        version = NULL;
    }
    os_mutex_unlock(&set->mutex);
    return version;
}

static bool has_limbo(struct kv_versions *set)
{
    os_mutex_lock(&set->mutex);
    bool has = set->limbo != NULL;
    os_mutex_unlock(&set->mutex);
    return has;
}

void kv_versions_collect(struct kv_versions *set, kv_obsolete_function *obsolete, void *argument)
{
    struct kv_version *version;

    if (!has_limbo(set)) {
        return;
    }
    for (uint32_t i = 0; i < REF_EPOCH_ADVANCES; i++) {
        ref_epoch_advance(set->epoch);
    }
    while ((version = take_past(set)) != NULL) {
        kv_version_free(version, obsolete, argument);
    }
}

void kv_versions_fini(struct kv_versions *set)
{
    struct kv_version *current = kv_versions_current(set), *version;

    if (current != NULL) {
        kv_version_release(current);
    }
    while ((version = set->limbo) != NULL) {
        set->limbo = version->next_limbo;
        unlink_live(set, version);
        kv_version_free(version, forget_file, version->memory);
    }
    Q_ASSERT_MSG(set->live == NULL, "a version is still held");
}

void kv_versions_visit_live(struct kv_versions *set,
                            void (*visit)(void *argument, const struct kv_file *file),
                            void *argument)
{
    os_mutex_lock(&set->mutex);
    for (const struct kv_version *version = set->live; version != NULL; version = version->next) {
        for (uint32_t level = 0; level < QUARRY_KV_LEVELS; level++) {
            for (uint32_t i = 0; i < version->levels[level].file_count; i++) {
                visit(argument, version->levels[level].files[i]);
            }
        }
    }
    os_mutex_unlock(&set->mutex);
}
