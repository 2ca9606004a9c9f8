/*
 * Turning read-only, and back.
 *
 * What fails for good (the manifest cannot be written, a table that compaction needs is damaged)
 * must not go on silently: the store refuses writes, and says why to each. Reads go on. Whoever
 * failed tries again, and has the store resume when what it was about has succeeded: the
 * background, for which writing is not refused.
 *
 * The first error stays until then: later ones mostly follow from it.
 */
#include <kv/commit.h>

#include <os/os.h>

#include <kv/background.h>

static bool note_failure(struct quarry_kv *kv, enum quarry_status status,
                         const struct quarry_error *error)
{
    os_mutex_lock(&kv->mutex);
    bool is_first = !kv->state.is_read_only;
    if (is_first) {
        kv->state.is_read_only = true;
        kv->state.reason = (struct quarry_error){.status = status};
        if (error != NULL) {
            kv->state.reason = *error;
        }
        /* Release: pairs with the acquire in kv_may_write. */
        atomic_store_release_bool(&kv->is_failed, true);
    }
    os_mutex_unlock(&kv->mutex);
    return is_first;
}

void kv_fail(struct quarry_kv *kv, enum quarry_status status, const struct quarry_error *error)
{
    Q_ASSERT(status != QUARRY_OK);
    if (note_failure(kv, status, error)) {
        kv_notify(
            kv, &(struct quarry_kv_event_data){.event = QUARRY_KV_EVENT_READ_ONLY, .error = error});
    }
}

void kv_resume(struct quarry_kv *kv)
{
    os_mutex_lock(&kv->mutex);
    /* Relaxed: changed under the mutex only. */
    bool was_failed = atomic_load_relaxed_bool(&kv->is_failed);
    if (was_failed) {
        kv->state = (struct quarry_kv_state){.is_read_only = false};
        atomic_store_release_bool(&kv->is_failed, false);
    }
    os_mutex_unlock(&kv->mutex);
    if (was_failed) {
        kv_notify(kv, &(struct quarry_kv_event_data){.event = QUARRY_KV_EVENT_RESUMED});
    }
}

static enum quarry_status refuse(struct quarry_kv *kv, struct quarry_error *error)
{
    if (kv->is_read_only) {
        return error_set(error, QUARRY_PERMISSION, "store '%s': it was opened read-only", kv->path);
    }
    os_mutex_lock(&kv->mutex);
    struct quarry_error reason = kv->state.reason;
    os_mutex_unlock(&kv->mutex);
    return error_set(error, QUARRY_PERMISSION, "store '%s' is read-only: %s", kv->path,
                     reason.text[0] != '\0' ? reason.text : quarry_status_text(reason.status));
}

enum quarry_status kv_may_write(struct quarry_kv *kv, struct quarry_error *error)
{
    /* Acquire: pairs with the release in note_failure. */
    if (Q_LIKELY(!kv->is_read_only && !atomic_load_acquire_bool(&kv->is_failed))) {
        return QUARRY_OK;
    }
    return refuse(kv, error);
}

void quarry_kv_read_state(struct quarry_kv *kv, struct quarry_kv_state *ret_state)
{
    os_mutex_lock(&kv->mutex);
    *ret_state = kv->state;
    os_mutex_unlock(&kv->mutex);
    if (kv->is_read_only && !ret_state->is_read_only) {
        ret_state->is_read_only = true;
        (void)error_set(&ret_state->reason, QUARRY_PERMISSION,
                        "store '%s': it was opened read-only", kv->path);
    }
}
