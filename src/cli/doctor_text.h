/*
 * Findings as text: the same from a process that was looked at here, and from a server's answer.
 */
#ifndef QUARRY_CLI_DOCTOR_TEXT_H
#define QUARRY_CLI_DOCTOR_TEXT_H

#include <base/base.h>

/* Prints the `number`-th finding, from 1 on, behind an empty line; texts are fit for a terminal. */
void doctor_text_finding(uint32_t number, const char *severity, const char *cause, uint64_t bytes,
                         const char *text, const char *advice);

#endif
