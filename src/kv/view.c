/*
 * Views: the current one, and those that readers have not left yet.
 *
 *     kv->view ──> view        layers: mutable, immutable n … 1; version
 *     retired  ──> view ──> view        nobody counts them; a reader may be inside
 *
 * A point read takes no count: it enters the epoch, loads the view, and leaves. An iterator counts,
 * for it stays. When the last count of a view that is not the current one has gone, it is stamped
 * with the epoch and set aside; when everybody has left who was inside then, it is freed, and with
 * it its counts of layers and of the version.
 *
 * Publishing cannot fail: what it takes was reserved before. It happens under the store's mutex,
 * which the lists are under as well, so that a view is always of lists that were whole.
 *
 * Invariants
 *   1. The current view has a count of the store's.
 *   2. A retired view is without counts and stays so: trying to count it fails.
 *
 * Locking: the store's mutex around the list of retired ones; freeing happens without it.
 */
#include <kv/view.h>

#include <os/os.h>
#include <ref/ref.h>

/* What rotates between a look at the lists and the lock. */
#define SPARE_LAYERS 8u

enum quarry_status kv_view_reserve(struct quarry_kv *kv, size_t layer_count,
                                   struct kv_view **ret_ready)
{
    size_t room = layer_count + SPARE_LAYERS;
    struct kv_view *view =
        kv_memory_take(&kv->small[KV_PART_META], sizeof(*view) + room * sizeof(struct kv_layer *));

    if (view == NULL) {
        return QUARRY_NO_MEMORY;
    }
    view->layer_count = (uint32_t)room;
    *ret_ready = view;
    return QUARRY_OK;
}

void kv_view_unreserve(struct quarry_kv *kv, struct kv_view *ready)
{
    kv_memory_give(&kv->small[KV_PART_META], ready);
}

/* ---- publishing ----------------------------------------------------------------------------- */

static void retire(struct quarry_kv *kv, struct kv_view *view) Q_REQUIRES(&kv->mutex)
{
    view->stamp = ref_epoch_now(kv->epoch);
    view->next_retired = kv->retired_views;
    kv->retired_views = view;
}

static void add_layer(struct kv_view *view, struct kv_layer *layer)
{
    kv_layer_acquire(layer);
    view->layers[view->layer_count++] = layer;
}

static void fill(struct quarry_kv *kv, struct kv_view *view) Q_REQUIRES(&kv->mutex)
{
    Q_ASSERT(kv->immutable_count + 1 <= view->layer_count);
    view->layer_count = 0;
    if (kv->mutable_layer != NULL) {
        add_layer(view, kv->mutable_layer);
    }
    for (size_t i = kv->immutable_count; i-- > 0;) {
        add_layer(view, kv->immutable[i]);
    }
}

void kv_view_publish(struct quarry_kv *kv, struct kv_view *ready, struct kv_version *version)
{
    os_mutex_assert_held(&kv->mutex);
    /* Relaxed: changed under the mutex only. */
    struct kv_view *before = atomic_load_relaxed_ptr(&kv->view);

    fill(kv, ready);
    ready->version = version != NULL ? version : before->version;
    kv_version_acquire(ready->version);
    ref_count_init(&ready->reference_count);
    /* Release, by way of exchange: pairs with the acquire in kv_view_enter. */
    (void)atomic_exchange_acq_rel_ptr(&kv->view, ready);
    if (before != NULL && ref_count_release(&before->reference_count)) {
        retire(kv, before);
    }
}

/* ---- counting ------------------------------------------------------------------------------- */

struct kv_view *kv_view_acquire(struct quarry_kv *kv)
{
    struct kv_view *view;

    quarry_epoch_enter(kv->epoch);
    do {
        /* Acquire: pairs with the exchange in kv_view_publish. */
        view = atomic_load_acquire_ptr(&kv->view);
        /* It fails where another has been published in between, and this one left. */
    } while (!ref_count_try_acquire(&view->reference_count));
    quarry_epoch_leave(kv->epoch);
    return view;
}

void kv_view_release(struct quarry_kv *kv, struct kv_view *view)
{
    if (!ref_count_release(&view->reference_count)) {
        return;
    }
    os_mutex_lock(&kv->mutex);
    retire(kv, view);
    os_mutex_unlock(&kv->mutex);
    kv_view_collect(kv);
}

/* ---- the end of views ----------------------------------------------------------------------- */

static void free_view(struct quarry_kv *kv, struct kv_view *view)
{
    for (uint32_t i = 0; i < view->layer_count; i++) {
        kv_layer_release(view->layers[i]);
    }
    kv_version_release(view->version);
    kv_memory_give(&kv->small[KV_PART_META], view);
}

/* One that nobody can be in any more. Returns: own; NULL: none. */
static struct kv_view *take_past(struct quarry_kv *kv)
{
    struct kv_view *view, **link = &kv->retired_views;

    os_mutex_lock(&kv->mutex);
    while ((view = *link) != NULL && !ref_epoch_is_past(kv->epoch, view->stamp)) {
        link = &view->next_retired;
    }
    if (view != NULL) {
        *link = view->next_retired;
    }
    os_mutex_unlock(&kv->mutex);
    return view;
}

static bool has_retired(struct quarry_kv *kv)
{
    os_mutex_lock(&kv->mutex);
    bool has = kv->retired_views != NULL;
    os_mutex_unlock(&kv->mutex);
    return has;
}

void kv_view_collect(struct quarry_kv *kv)
{
    struct kv_view *view;

    if (!has_retired(kv)) {
        return;
    }
    for (uint32_t i = 0; i < REF_EPOCH_ADVANCES; i++) {
        ref_epoch_advance(kv->epoch);
    }
    while ((view = take_past(kv)) != NULL) {
        free_view(kv, view);
    }
}

void kv_view_end(struct quarry_kv *kv)
{
    struct kv_view *view = atomic_exchange_acq_rel_ptr(&kv->view, NULL);

    if (view != NULL) {
        bool is_last = ref_count_release(&view->reference_count);
        Q_ASSERT_MSG(is_last, "a view is still held");
        free_view(kv, view);
    }
    while ((view = kv->retired_views) != NULL) {
        kv->retired_views = view->next_retired;
        free_view(kv, view);
    }
}

/* ---- memory that only iterators hold -------------------------------------------------------- */

void kv_view_note_flush(struct quarry_kv *kv)
{
    os_mutex_assert_held(&kv->mutex);
    /* Release: pairs with the acquire in walk_sources.c: the view without the layers is there. */
    (void)atomic_add_release_u64(&kv->flush_count, 1);
}
