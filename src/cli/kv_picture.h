/*
 * The picture of a store's tree.
 */
#ifndef QUARRY_CLI_KV_PICTURE_H
#define QUARRY_CLI_KV_PICTURE_H

#include <cli/canvas.h>
#include <cli/kv_shape.h>

/* What is drawn. All of it is borrowed. */
struct kv_picture {
    const char *name; /* of the store */
    const char *note; /* at the right of the title */
    const struct kv_shape *now;
    const struct kv_shape *before; /* an earlier look, for rates; NULL: none */
    bool is_ascii;
};

/* Lines that the whole picture takes. */
#define KV_PICTURE_HEIGHT 14u

void kv_picture_draw(struct canvas *canvas, const struct kv_picture *picture);

#endif
