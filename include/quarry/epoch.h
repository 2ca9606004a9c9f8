/*
 * Epochs: readers that take no lock, and knowing when none of them can be looking any more.
 *
 * A *domain* (`struct quarry_epoch`) has readers and those who reuse what readers may read. A
 * reader enters the domain, follows pointers or refs to what it finds, and leaves; it never waits
 * and writes nothing that other threads read but a word of its own. What it found stays what it is
 * until it leaves: whoever takes an object out of reach keeps it aside until every reader that was
 * inside then has left. The structures of Quarry that can be read without a lock take a domain when
 * they are made, and do the keeping aside themselves.
 *
 *     struct quarry_epoch *epoch;
 *
 *     if (quarry_epoch_create(memory, &epoch) == QUARRY_OK) {
 *         quarry_epoch_enter(epoch);
 *         const struct item *item = quarry_slab_data(items, ref);  // NULL, or safe to read
 *         quarry_epoch_leave(epoch);                               // until here
 *     }
 *
 * A reader that stays inside keeps memory from being used again, as long as it stays. Enter for one
 * request, not for a session; never wait for another thread's work while inside.
 *
 * Threads: any, without being registered first: a thread is known from its first entry until it
 * ends, at no cost to it. A thread that ends inside has left. Not from signal handlers.
 *
 * Forks: the child has the forking thread alone, inside what that was inside of.
 */
#ifndef QUARRY_EPOCH_H
#define QUARRY_EPOCH_H

#include <quarry/export.h>
#include <quarry/status.h>

#ifdef __cplusplus
extern "C" {
#endif

struct quarry_memory;
struct quarry_epoch;

/* Domains that a process can have at a time. Each costs every thread 56 bytes of thread storage. */
#define QUARRY_EPOCHS_MAX 16

/*
 * Creates a domain.
 *
 * `memory`: borrowed until the domain is destroyed; it is charged for the domain.
 * `ret_epoch`: own; end it with quarry_epoch_destroy.
 * Errors: QUARRY_TOO_MANY (QUARRY_EPOCHS_MAX domains), QUARRY_NO_MEMORY, QUARRY_NO_ADDRESS.
 * Threads: any. Cost: 128 bytes of the budget.
 */
QUARRY_EXPORT enum quarry_status quarry_epoch_create(struct quarry_memory *memory,
                                                     struct quarry_epoch **ret_epoch);

/*
 * Ends a domain. Nobody is inside, nor will be; a reader that still is ends the program, with a
 * line for each that says where it entered.
 *
 * `epoch`: given; NULL does nothing. Threads: no other thread uses the domain any more.
 */
QUARRY_EXPORT void quarry_epoch_destroy(struct quarry_epoch *epoch);

/*
 * Enters: what is reachable from here on is not reused before the matching quarry_epoch_leave.
 * Nests, up to 4,095 deep; the outermost entry counts.
 *
 * Errors: none. Threads: any; leaves in the same thread. Cost: a dozen plain instructions, no
 * atomic one; a thread's first entry registers it.
 */
QUARRY_EXPORT void quarry_epoch_enter(struct quarry_epoch *epoch);

/* Leaves what was entered last. Cost: as quarry_epoch_enter. */
QUARRY_EXPORT void quarry_epoch_leave(struct quarry_epoch *epoch);

#ifdef __cplusplus
}
#endif

#endif
