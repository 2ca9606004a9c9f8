/*
 * Where memory is, for those who look from outside: pprof's profiles, the heap as JSON and as a
 * map, and what the doctor says.
 *
 * All for the executor: a report may take a second. Who may ask is the routes' matter.
 */
#ifndef QUARRY_SERVE_OBSERVE_H
#define QUARRY_SERVE_OBSERVE_H

#include <quarry/memory.h>

#include <serve/http/http.h>
#include <serve/observe/child.h>

/*
 * /debug/pprof/ and /debug/pprof/NAME: heap, allocs, lifetimes and fragmentation as gzipped
 * profiles, as text with `debug=1`; cmdline; symbol.
 */
enum http_outcome observe_answer_pprof(struct http_call *call);

/*
 * /debug/pprof/profile: where the CPUs' time goes during `seconds`. 409: somebody else's is being
 * taken. No thread waits meanwhile.
 */
enum http_outcome observe_answer_cpu(struct http_call *call);

/*
 * /api/v1/heap/NAME: summary (the ledger, now, cheap), figures (owners, classes and stacks; `top`
 * of each list), map (docs/formats/heap-map.md).
 */
enum http_outcome observe_answer_heap(struct http_call *call, struct quarry_memory *memory);

/* The summary: one line of JSON. False: no memory; nothing was added. Cost: some 10 us. */
bool observe_write_summary(struct http_text *text, struct quarry_memory *memory);

/*
 * What a child's doctor finds in the heap, as JSON into the answer's text. `ret_said`: of
 * OBSERVE_SAID_BYTES: why it could not. Returns: as observe_run.
 */
enum observe_outcome observe_examine_heap(struct http_call *call, char *ret_said);

/* /api/v1/check/memory: whether the ledger explains what the kernel says is resident. */
enum http_outcome observe_answer_check_memory(struct http_call *call);

#endif
