/*
 * The figures of a heap as JSON.
 */
#ifndef QUARRY_CLI_HEAP_JSON_H
#define QUARRY_CLI_HEAP_JSON_H

#include <cli/json_write.h>
#include <cli/process.h>
#include <cli/symbols.h>

/*
 * Writes one object on one line: head, ledger, waste, rows, classes, stacks, pinners.
 *
 * `view`: its first field, the command's name. `stack_max`: of each list of stacks, most first.
 * Errors: NO_MEMORY, before anything is written.
 */
Q_NODISCARD enum quarry_status heap_json_print(FILE *file, const struct process *process,
                                               struct symbols *symbols, const char *view,
                                               uint32_t stack_max);

/* Writes the fields "frames" of a stack into the object that is open. */
void heap_json_frames(struct json *json, struct symbols *symbols,
                      const struct mem_stats_stack *stack);

#endif
