#include "model/clock_pro_model.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void model_begin(struct clock_pro_model *model, int64_t max_bytes)
{
    memset(model, 0, sizeof(*model));
    model->hot = model->cold = model->test = -1;
    model->max_bytes = max_bytes;
    model->cold_target = max_bytes;
}

void model_end(struct clock_pro_model *model)
{
    for (int64_t i = 0; i < model->count; i++) {
        free(model->ring[i]);
    }
    model->count = 0;
}

struct model_node *model_find(struct clock_pro_model *model, uint64_t key)
{
    for (int64_t i = 0; i < model->count; i++) {
        if (model->ring[i]->key == key) {
            return model->ring[i];
        }
    }
    return NULL;
}

/* Sums are added up whenever they are wanted. */
int64_t model_bytes(const struct clock_pro_model *model, enum model_type type)
{
    int64_t bytes = 0;

    for (int64_t i = 0; i < model->count; i++) {
        bytes += model->ring[i]->type == type ? model->ring[i]->bytes : 0;
    }
    return bytes;
}

int64_t model_count(const struct clock_pro_model *model, enum model_type type)
{
    int64_t count = 0;

    for (int64_t i = 0; i < model->count; i++) {
        count += model->ring[i]->type == type ? 1 : 0;
    }
    return count;
}

static int64_t target(const struct clock_pro_model *model)
{
    int64_t left = model->max_bytes - model->reserved_bytes;

    return left < 1 ? 1 : left;
}

static int64_t room(const struct clock_pro_model *model)
{
    int64_t left = target(model) - model->shrink_bytes;

    return left < 1 ? 1 : left;
}

static int64_t after(const struct clock_pro_model *model, int64_t place)
{
    return model->count == 0 ? -1 : (place + 1) % model->count;
}

static void tell(struct clock_pro_model *model, uint64_t key, bool is_forgotten)
{
    assert(model->told_count < MODEL_TOLD_MAX);
    model->told[model->told_count++] = (struct model_told){key, is_forgotten};
}

/* Everything from the place on moves up; hands stay on their nodes. */
static void enter_before_hot(struct clock_pro_model *model, struct model_node *node)
{
    int64_t place = model->hot < 0 ? 0 : model->hot;

    assert(model->count < MODEL_NODES_MAX);
    for (int64_t i = model->count; i > place; i--) {
        model->ring[i] = model->ring[i - 1];
    }
    model->ring[place] = node;
    model->count++;
    if (model->hot < 0) {
        model->hot = model->cold = model->test = 0;
        return;
    }
    bool is_together = model->cold == model->hot;
    model->hot += model->hot >= place ? 1 : 0;
    model->cold += model->cold >= place ? 1 : 0;
    model->test += model->test >= place ? 1 : 0;
    if (is_together) {
        model->cold = place;
    }
}

/* A hand that was on the node goes to the one before it. */
static int64_t hand_without(const struct clock_pro_model *model, int64_t hand, int64_t place)
{
    if (model->count == 1) {
        return -1;
    }
    int64_t moved = hand == place ? (hand + model->count - 1) % model->count : hand;
    return moved > place ? moved - 1 : moved;
}

static struct model_node *take_out(struct clock_pro_model *model, int64_t place)
{
    struct model_node *node = model->ring[place];
    int64_t hot = hand_without(model, model->hot, place);
    int64_t cold = hand_without(model, model->cold, place);
    int64_t test = hand_without(model, model->test, place);

    for (int64_t i = place; i + 1 < model->count; i++) {
        model->ring[i] = model->ring[i + 1];
    }
    model->count--;
    model->hot = hot;
    model->cold = cold;
    model->test = test;
    return node;
}

static int64_t place_of(const struct clock_pro_model *model, const struct model_node *node)
{
    int64_t place = 0;

    while (model->ring[place] != node) {
        place++;
    }
    return place;
}

static void cold_step(struct clock_pro_model *model);

static void test_step(struct clock_pro_model *model)
{
    if (model->test == model->cold && model_count(model, MODEL_COLD) > 0) {
        cold_step(model);
    }
    if (model->test < 0) {
        return;
    }
    struct model_node *node = model->ring[model->test];
    if (node->type == MODEL_TEST) {
        model->cold_target -= node->bytes;
        model->cold_target = model->cold_target < 0 ? 0 : model->cold_target;
        tell(model, node->key, true);
        free(take_out(model, model->test));
    }
    model->test = after(model, model->test);
}

static void hot_step(struct clock_pro_model *model)
{
    if (model->hot == model->test) {
        test_step(model);
    }
    if (model->hot < 0) {
        return;
    }
    struct model_node *node = model->ring[model->hot];
    if (node->type == MODEL_HOT) {
        if (!node->is_referenced) {
            node->type = MODEL_COLD;
        }
        node->is_referenced = false;
    }
    model->hot = after(model, model->hot);
}

static void cold_step(struct clock_pro_model *model)
{
    struct model_node *node = model->ring[model->cold];

    if (node->type == MODEL_COLD && node->is_referenced) {
        node->is_referenced = false;
        node->type = MODEL_HOT;
    } else if (node->type == MODEL_COLD) {
        node->type = MODEL_TEST;
        tell(model, node->key, false);
        while (model->test >= 0 && model_bytes(model, MODEL_TEST) > target(model)) {
            test_step(model);
        }
    }
    model->cold = after(model, model->cold);
    /* Below zero is no part: then whatever is hot is too much. */
    while (model_count(model, MODEL_HOT) > 0 &&
           model_bytes(model, MODEL_HOT) >= room(model) - model->cold_target) {
        hot_step(model);
    }
}

static void make_room(struct clock_pro_model *model)
{
    while (model->count > 0 &&
           model_bytes(model, MODEL_HOT) + model_bytes(model, MODEL_COLD) >= room(model)) {
        cold_step(model);
    }
}

static struct model_node *node_make(uint64_t key, int64_t bytes)
{
    struct model_node *node = calloc(1, sizeof(*node));

    assert(node != NULL);
    node->key = key;
    node->bytes = bytes;
    return node;
}

static bool admit(struct clock_pro_model *model, struct model_node *node)
{
    make_room(model);
    if (node->bytes > target(model)) {
        free(node);
        return false;
    }
    enter_before_hot(model, node);
    return true;
}

static bool set_again(struct clock_pro_model *model, struct model_node *node, int64_t bytes)
{
    uint64_t key = node->key;

    node->bytes = bytes;
    node->is_referenced = true;
    make_room(model);
    node = model_find(model, key);
    return node != NULL && node->type != MODEL_TEST;
}

bool model_set(struct clock_pro_model *model, uint64_t key, int64_t bytes, bool is_referenced)
{
    struct model_node *node = model_find(model, key);

    model->told_count = 0;
    if (node != NULL && node->type != MODEL_TEST) {
        return set_again(model, node, bytes);
    }
    struct model_node *fresh = node_make(key, bytes);
    fresh->type = node == NULL ? MODEL_COLD : MODEL_HOT;
    fresh->is_referenced = node == NULL && is_referenced;
    if (node != NULL) {
        free(take_out(model, place_of(model, node)));
        model->cold_target += bytes;
        model->cold_target =
            model->cold_target > target(model) ? target(model) : model->cold_target;
    }
    return admit(model, fresh);
}

void model_touch(struct clock_pro_model *model, uint64_t key)
{
    struct model_node *node = model_find(model, key);

    model->told_count = 0;
    if (node != NULL && node->type != MODEL_TEST) {
        node->is_referenced = true;
    }
}

void model_remove(struct clock_pro_model *model, uint64_t key)
{
    struct model_node *node = model_find(model, key);

    model->told_count = 0;
    if (node != NULL) {
        free(take_out(model, place_of(model, node)));
    }
}

static void target_changed(struct clock_pro_model *model)
{
    model->told_count = 0;
    model->cold_target = model->cold_target > target(model) ? target(model) : model->cold_target;
    make_room(model);
}

void model_set_max(struct clock_pro_model *model, int64_t max_bytes)
{
    model->max_bytes = max_bytes;
    target_changed(model);
}

void model_set_reserved(struct clock_pro_model *model, int64_t reserved_bytes)
{
    model->reserved_bytes = reserved_bytes;
    target_changed(model);
}

void model_shrink(struct clock_pro_model *model, int64_t bytes)
{
    model->told_count = 0;
    model->shrink_bytes = bytes;
    make_room(model);
    model->shrink_bytes = 0;
}
