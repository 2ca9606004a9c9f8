/* What slabs do around fork(): fork.c. */
#ifndef QUARRY_SLAB_FORK_H
#define QUARRY_SLAB_FORK_H

#include <base/base.h>

/* Registers the hooks; once. Errors: NO_MEMORY. */
enum quarry_status slab_fork_hooks(void);

#endif
