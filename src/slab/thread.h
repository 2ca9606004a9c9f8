/*
 * Threads: what each keeps of a slab, and keeping them out of it.
 */
#ifndef QUARRY_SLAB_THREAD_H
#define QUARRY_SLAB_THREAD_H

#include <slab/page.h>
#include <slab/types.h>

/*
 * Enters a slab in the table of the process' slabs, which gives it its slot; and takes it out.
 * Errors: TOO_MANY (SLAB_SLABS_MAX), NO_MEMORY (no hooks).
 */
enum quarry_status slab_enter(struct quarry_slab *slab);
void slab_leave(struct quarry_slab *slab);

/*
 * The calling thread's struct, made if need be; slab_thread_none when there is no memory for it, or
 * the slab tracks its cells. No lock held, in no gate.
 */
struct slab_thread *slab_thread_find(struct quarry_slab *slab);
/* The thread's magazine for a class; slab_magazine_none when there is no memory. As above. */
struct slab_magazine *slab_magazine_find(struct slab_thread *thread,
                                         const struct slab_class *class);

/* Enters the thread's gate, waiting for whoever stops it. False: it is slab_thread_none. */
static inline bool slab_thread_enter(struct slab_thread *thread)
{
    return thread != &slab_thread_none &&
           os_gate_enter(&thread->gate, &thread->slab->threads_mutex);
}

/* Keeps all threads out of their gates, for a moment; and lets them go on. The caller is in none.
 */
void slab_threads_stop(struct quarry_slab *slab) Q_ACQUIRE(&slab->threads_mutex);
void slab_threads_resume(struct quarry_slab *slab) Q_RELEASE(&slab->threads_mutex);

/*
 * Stops each thread for a moment, one after the other, and puts back what it has of a page that has
 * been withdrawn, retired cells too; or what is in its magazine of a class; or all that it has, and
 * leaves to their pages what it has retired. No lock held, in no gate.
 */
void slab_threads_strip_page(struct quarry_slab *slab, struct slab_page *page,
                             struct slab_gone *gone);
void slab_threads_strip_class(struct quarry_slab *slab, uint32_t class_id, struct slab_gone *gone);
void slab_threads_give_up(struct quarry_slab *slab, struct slab_gone *gone);
/* Puts back all that one thread has. It is inside, or stopped, or no more. */
void slab_thread_empty(struct slab_thread *thread, struct slab_gone *gone);

/* After its gate was stopped: the thread finds its magazines again. */
void slab_thread_open(struct slab_thread *thread);

/* Cells in a magazine. */
static inline uint32_t slab_magazine_count(const struct slab_magazine *magazine)
{
    return (uint32_t)(magazine->top - magazine->entry);
}
static inline uint32_t slab_magazine_capacity(const struct slab_magazine *magazine)
{
    return (uint32_t)(magazine->limit - magazine->entry);
}

/*
 * Makes the thread's magazine for a class larger, if cells went to and fro. No lock held, in no
 * gate. Without memory it stays as it is.
 */
void slab_magazine_grow(struct slab_thread *thread, const struct slab_class *class);

/* Puts the `count` oldest cells of a magazine back. Inside the gate, or with it stopped. */
void slab_magazine_flush(struct slab_class *class, struct slab_magazine *magazine, uint32_t count,
                         struct slab_gone *gone);

/* All threads' structs go; the slab is being destroyed, and has left the table. */
void slab_threads_fini(struct quarry_slab *slab);

/* In the child of a fork: likewise those of threads that only the parent has. */
void slab_threads_bury_others(struct quarry_slab *slab);

/* The table of slabs, by slot, locked around a fork; in the child, unlocked. */
struct quarry_slab *const *slab_slabs_lock(void);
void slab_slabs_unlock(void);
void slab_slabs_after_fork(void);

#endif
