/*
 * What of the machine is in the way of a process: the rules that servers have for it, too.
 */
#ifndef QUARRY_CLI_DOCTOR_MACHINE_H
#define QUARRY_CLI_DOCTOR_MACHINE_H

#include <cli/json_write.h>
#include <serve/checkup/checkup.h>

/* Examines what the kernel gives a process. `ret_report`: written always. */
void doctor_machine_examine(uint32_t pid, struct checkup_report *ret_report);
/* Findings as text, numbered on from `count`. */
void doctor_machine_print(const struct checkup_report *report, uint32_t count);
/* Into an array that is open. */
void doctor_machine_put(struct json *json, const struct checkup_report *report);
bool doctor_machine_has_warning(const struct checkup_report *report);

#endif
