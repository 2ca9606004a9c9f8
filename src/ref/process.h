/*
 * What this process has of the folder's things: epoch domains and leak ledgers; and the hooks for
 * threads that end and for forks.
 */
#ifndef QUARRY_REF_PROCESS_H
#define QUARRY_REF_PROCESS_H

#include <base/base.h>

struct page_heap;
struct quarry_epoch;
struct ref_leaks;

/*
 * Registers the hooks, once; those of the layers below first. Errors: NO_MEMORY, TOO_MANY.
 * Threads: any, with no lock held.
 */
enum quarry_status ref_process_make_ready(void);

/* Ends the program when the heap ends before what it has of this folder. Errors: TOO_MANY. */
enum quarry_status ref_process_watch(struct page_heap *heap);

/* Puts a domain into the table, with its slot and serial number. Errors: TOO_MANY. */
enum quarry_status ref_process_enter_epoch(struct quarry_epoch *epoch);
void ref_process_leave_epoch(struct quarry_epoch *epoch);

/* Puts a ledger into the list, with its serial number: the order of its lock. */
void ref_process_enter_leaks(struct ref_leaks *leaks);
void ref_process_leave_leaks(struct ref_leaks *leaks);

#endif
