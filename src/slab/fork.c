/*
 * Slabs around fork().
 *
 * At the fork no thread is in its gate and none holds a lock of a slab but the one that forks, so
 * the child finds every structure whole. What it does not find are the other threads: what they had
 * kept is given back to the pages, as when a thread ends. A page that one of them was emptying is
 * as any other again, or goes when readers have left; cells that it had taken to move others to,
 * and had not yet, stay taken; a page that one of them was about to add or to give back is
 * nobody's.
 *
 * The locks are taken in order of rank, those of one rank in that of slabs and classes: the table
 * of slabs, each slab's threads, each class, each slab's metadata.
 */
#include <slab/fork.h>

#include <slab/move.h>
#include <slab/thread.h>

/* Calls `visit` for each slab, or for each class of each. */
#define SLABS_FOR_EACH(slabs, slab)                                                                \
    for (uint32_t slot_ = 0; slot_ < SLAB_SLABS_MAX; slot_++)                                      \
        for (struct quarry_slab *slab = (slabs)[slot_]; slab != NULL; slab = NULL)
#define CLASSES_FOR_EACH(slab, class)                                                              \
    for (uint32_t id_ = 1; id_ < atomic_load_acquire_u32(&(slab)->class_count); id_++)             \
        for (struct slab_class *class = slab_class_of((slab), id_); class != NULL; class = NULL)

/* Between the hooks: the table, and how many classes of each slab are locked, by slot. */
static struct quarry_slab *const *forking;
static uint32_t locked_count[SLAB_SLABS_MAX];

/* Locks the classes that have been made since the last time. */
static void new_classes_lock(struct quarry_slab *slab) Q_NO_THREAD_SAFETY_ANALYSIS
{
    uint32_t class_count = atomic_load_acquire_u32(&slab->class_count);

    for (uint32_t id = locked_count[slab->slot]; id < class_count; id++) {
        os_mutex_lock(&slab_class_of(slab, id)->mutex);
    }
    locked_count[slab->slot] = class_count;
}

static void metas_lock(void) Q_NO_THREAD_SAFETY_ANALYSIS
{
    SLABS_FOR_EACH(forking, slab)
    {
        os_mutex_lock(&slab->meta.mutex);
    }
}

static void metas_unlock(void) Q_NO_THREAD_SAFETY_ANALYSIS
{
    SLABS_FOR_EACH(forking, slab)
    {
        os_mutex_unlock(&slab->meta.mutex);
    }
}

/* Whether a class was made after its slab's had been locked. With the metas locked none is. */
static bool has_new_classes(void)
{
    bool has_new = false;

    SLABS_FOR_EACH(forking, slab)
    {
        has_new |= atomic_load_acquire_u32(&slab->class_count) != locked_count[slab->slot];
    }
    return has_new;
}

/*
 * All classes, and what keeps others from being made. Classes come before metadata in rank, and are
 * made under the latter: so those that were made between are locked in another turn.
 */
static void classes_and_metas_lock(void)
{
    for (;;) {
        SLABS_FOR_EACH(forking, slab)
        {
            new_classes_lock(slab);
        }
        metas_lock();
        if (!has_new_classes()) {
            return;
        }
        metas_unlock();
    }
}

/* The locks outlive the function, which the analysis cannot follow. */
static void fork_prepare(void) Q_NO_THREAD_SAFETY_ANALYSIS
{
    forking = slab_slabs_lock();
    SLABS_FOR_EACH(forking, slab)
    {
        slab_threads_stop(slab);
        locked_count[slab->slot] = 1; /* ids begin with 1 */
    }
    classes_and_metas_lock();
}

/* Classes first: once its metadata are unlocked a slab may have more of them. */
static void fork_parent(void) Q_NO_THREAD_SAFETY_ANALYSIS
{
    SLABS_FOR_EACH(forking, slab)
    {
        CLASSES_FOR_EACH(slab, class)
        {
            os_mutex_unlock(&class->mutex);
        }
    }
    metas_unlock();
    SLABS_FOR_EACH(forking, slab)
    {
        slab_threads_resume(slab);
    }
    slab_slabs_unlock();
}

static void slab_reset(struct quarry_slab *slab) Q_NO_THREAD_SAFETY_ANALYSIS
{
    for (struct slab_thread *thread = slab->threads; thread != NULL; thread = thread->next) {
        if (thread == *slab_thread_slot(slab)) {
            os_gate_resume(&thread->gate);
        } else {
            os_gate_reset_after_fork(&thread->gate);
        }
        slab_thread_open(thread);
    }
    os_mutex_reset_after_fork(&slab->meta.mutex);
    CLASSES_FOR_EACH(slab, class)
    {
        os_mutex_reset_after_fork(&class->mutex);
    }
    os_mutex_reset_after_fork(&slab->threads_mutex);
    slab->pin_count = 0;
    slab->is_forked = true;
}

static void fork_child(void)
{
    slab_slabs_after_fork();
    SLABS_FOR_EACH(forking, slab)
    {
        slab_reset(slab);
    }
    SLABS_FOR_EACH(forking, slab)
    {
        slab_threads_bury_others(slab);
        slab_move_after_fork(slab);
    }
}

enum quarry_status slab_fork_hooks(void)
{
    return os_fork_hooks(OS_RANK_SLAB_MOVE, fork_prepare, fork_parent, fork_child);
}
