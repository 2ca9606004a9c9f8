/*
 * What the doctor's rules share: a new finding, and filling in its sentences.
 */
#ifndef QUARRY_CLI_DOCTOR_SAY_H
#define QUARRY_CLI_DOCTOR_SAY_H

#include <cli/doctor.h>

/* A new finding; NULL when there are too many, which only tables can be. */
struct doctor_finding *doctor_find(struct doctor_case *c, const char *cause,
                                   enum doctor_severity severity, uint64_t bytes);

/* Appends to a text of the finding; what does not fit is cut. */
Q_PRINTF(3, 4)
void doctor_say(char *text, size_t bytes, const char *format, ...);

#define DOCTOR_SAY(finding, ...) doctor_say((finding)->text, sizeof((finding)->text), __VA_ARGS__)
#define DOCTOR_ADVISE(finding, ...)                                                                \
    doctor_say((finding)->advice, sizeof((finding)->advice), __VA_ARGS__)

/* doctor_budget.c */
doctor_rule doctor_rule_pressure, doctor_rule_ceiling;

#endif
