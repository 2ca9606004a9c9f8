#include "model/cache_model.h"

#include <stddef.h>
#include <string.h>

struct model_item *model_find(struct model *model, uint32_t key)
{
    struct model_item *item = &model->item[key];

    if (item->is_there && item->expiry != 0 && item->expiry <= model->now) {
        item->is_there = false;
    }
    return item->is_there ? item : NULL;
}

static void clear(struct model *model)
{
    for (uint32_t key = 0; key < MODEL_KEYS; key++) {
        model->item[key].is_there = false;
    }
}

void model_advance(struct model *model, uint32_t now)
{
    if (model->flush_at != 0 && model->flush_at <= now) {
        model->flush_at = 0;
        clear(model);
    }
    model->now = now;
}

void model_flush(struct model *model, uint32_t when)
{
    if (when <= model->now) {
        model->flush_at = 0;
        clear(model);
    } else {
        model->flush_at = when;
    }
}

uint64_t model_count(struct model *model)
{
    uint64_t count = 0;

    for (uint32_t key = 0; key < MODEL_KEYS; key++) {
        count += model_find(model, key) != NULL ? 1 : 0;
    }
    return count;
}
