/*
 * A naive Clock-Pro: nodes from malloc in one array that is the ring, hands that are places in it.
 */
#ifndef QUARRY_TESTS_MODEL_CLOCK_PRO_MODEL_H
#define QUARRY_TESTS_MODEL_CLOCK_PRO_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum model_type { MODEL_TEST, MODEL_COLD, MODEL_HOT };

struct model_node {
    uint64_t key;
    int64_t bytes;
    enum model_type type;
    bool is_referenced;
};

#define MODEL_NODES_MAX 65536
#define MODEL_TOLD_MAX  65536

/* What went in the last operation, in order: evicted, or forgotten (a ghost). */
struct model_told {
    uint64_t key;
    bool is_forgotten;
};

struct clock_pro_model {
    struct model_node *ring[MODEL_NODES_MAX];
    int64_t count; /* of nodes */
    /* Places in the ring; -1 when it is empty. */
    int64_t hot, cold, test;
    int64_t max_bytes, reserved_bytes, shrink_bytes, cold_target;
    struct model_told told[MODEL_TOLD_MAX];
    size_t told_count;
};

void model_begin(struct clock_pro_model *model, int64_t max_bytes);
void model_end(struct clock_pro_model *model);

/* Linear; NULL: there is none. */
struct model_node *model_find(struct clock_pro_model *model, uint64_t key);
/* Each begins a new list of what it tells. Returns: whether the key is resident afterwards. */
bool model_set(struct clock_pro_model *model, uint64_t key, int64_t bytes, bool is_referenced);
void model_touch(struct clock_pro_model *model, uint64_t key);
void model_remove(struct clock_pro_model *model, uint64_t key);
void model_set_max(struct clock_pro_model *model, int64_t max_bytes);
void model_set_reserved(struct clock_pro_model *model, int64_t reserved_bytes);
void model_shrink(struct clock_pro_model *model, int64_t bytes);

/* Bytes of a type, added up. */
int64_t model_bytes(const struct clock_pro_model *model, enum model_type type);
int64_t model_count(const struct clock_pro_model *model, enum model_type type);

#endif
