/*
 * Registries for tests: a memory with an account that can be bounded, an epoch, and the calls that
 * must succeed. Labels are written as texts: "up{job=a,zone=b}".
 */
#ifndef QUARRY_TESTS_UNIT_TSDB_REGISTRY_RIG_H
#define QUARRY_TESTS_UNIT_TSDB_REGISTRY_RIG_H

#include "unit/base/cmocka_all.h"

#include <tsdb/registry.h>

struct registry_rig {
    struct quarry_memory *memory;
    struct quarry_account *account;
    struct quarry_lifetime *lifetime;
    struct quarry_epoch *epoch;
    struct tsdb_memory objects;
    struct tsdb_registry *registry;
};
extern struct registry_rig rig;

int rig_set_up(void **state); /* with an empty registry */
int rig_tear_down(void **state);

/* Labels of a text, sorted: a name, then name=value pairs in braces. Borrows the text. */
struct rig_labels {
    struct tsdb_label labels[TSDB_LABELS_MAX];
    struct tsdb_labels set;
};
const struct tsdb_labels *rig_labels(struct rig_labels *room, const char *text);

/* The series of a text: made if need be; and how it was found. */
uint32_t rig_get(uint16_t tenant, const char *text);
uint32_t rig_find(uint16_t tenant, const char *text); /* TSDB_SERIES_NONE: there is none */
void rig_remove(uint32_t id);
/* Gives back all that was removed. */
void rig_collect(void);
void rig_validate(void);

uint64_t rig_charged_bytes(void);
/* Allows so many bytes more than are charged now; UINT64_MAX: any. */
void rig_allow(uint64_t byte_count);

/* A row of numbers by chance. */
uint32_t rig_random(uint64_t *seed, uint32_t bound);

#endif
