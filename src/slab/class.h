/*
 * Classes: which sizes of cells there are, and which of them serves a request.
 */
#ifndef QUARRY_SLAB_CLASS_H
#define QUARRY_SLAB_CLASS_H

#include <slab/types.h>

/*
 * Marks the classes that a slab begins with. None is made before it is wanted.
 */
void slab_classes_init(struct quarry_slab *slab);
/* Gives the structures of all classes back; their pages have gone. */
void slab_classes_fini(struct quarry_slab *slab);

/*
 * Makes a class with these cells, of the next number, and sends requests to it, unless there is
 * one. No lock held, in no gate. Errors: TOO_MANY (SLAB_CLASSES_MAX), those of slab_meta_take.
 */
enum quarry_status slab_class_make(struct quarry_slab *slab, size_t cell_bytes);

/*
 * The class for a request of `bytes` (1 to QUARRY_SLAB_CELL_BYTES_MAX), made if need be. No lock
 * held, in no gate. Errors: TOO_MANY (SLAB_CLASSES_MAX), those of slab_meta_take.
 */
enum quarry_status slab_class_for(struct quarry_slab *slab, size_t bytes,
                                  struct slab_class **ret_class);

/* Counts `count` cells taken for requests of about `bytes`. */
void slab_class_asked_locked(struct slab_class *class, size_t bytes, uint32_t count)
    Q_REQUIRES(&class->mutex);

/*
 * Splits the class if the sizes that it was asked for would waste clearly less in two. No lock
 * held, in no gate. Returns: whether it did.
 */
bool slab_class_adapt(struct slab_class *class);

/*
 * Has a class without free cells served by one a little larger that has many, until that has none
 * either. No lock held, in no gate. Returns: whether there is one.
 */
bool slab_class_borrow(struct slab_class *class);
/* Ends that for all whom the class serves. Likewise. Returns: whether it served any. */
bool slab_class_recall(struct slab_class *class);

/* Cells taken after which a class is looked at, where it gets no page meanwhile. */
#define SLAB_ASKED_LOOK 8192u

/* Whether it is time for slab_class_adapt. */
static inline bool slab_class_is_due(const struct slab_class *class)
{
    return atomic_load_relaxed_u32(&class->asked_count) >= SLAB_ASKED_LOOK;
}

#endif
