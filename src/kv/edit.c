/*
 * Version edits in memory: plain values, and three arrays that grow. edit_decode.c reads the bytes,
 * edit_encode.c writes them.
 *
 * Keys and names are borrowed: of a record that was read they lie in the record, of an edit that is
 * made they lie in the files it is made of.
 *
 * Locking: none; an edit is one thread's.
 */
#include <kv/edit.h>

void kv_edit_init(struct kv_edit *edit, struct kv_memory *memory)
{
    *edit = (struct kv_edit){.memory = memory};
}

void kv_edit_fini(struct kv_edit *edit)
{
    kv_memory_give(edit->memory, edit->added);
    kv_memory_give(edit->memory, edit->removed);
    kv_memory_give(edit->memory, edit->cursors);
    *edit = (struct kv_edit){.memory = edit->memory};
}

void kv_edit_clear(struct kv_edit *edit)
{
    *edit = (struct kv_edit){
        .memory = edit->memory,
        .added = edit->added,
        .added_capacity = edit->added_capacity,
        .removed = edit->removed,
        .removed_capacity = edit->removed_capacity,
        .cursors = edit->cursors,
        .cursor_capacity = edit->cursor_capacity,
    };
}

enum quarry_status kv_edit_add(struct kv_edit *edit, const struct kv_edit_file *file)
{
    void *array = edit->added;
    enum quarry_status status = kv_memory_grow(edit->memory, &array, &edit->added_capacity,
                                               edit->added_count + 1, sizeof(*edit->added));

    edit->added = array;
    if (status == QUARRY_OK) {
        edit->added[edit->added_count++] = *file;
    }
    return status;
}

enum quarry_status kv_edit_remove(struct kv_edit *edit, uint32_t level, uint64_t number)
{
    void *array = edit->removed;
    enum quarry_status status = kv_memory_grow(edit->memory, &array, &edit->removed_capacity,
                                               edit->removed_count + 1, sizeof(*edit->removed));

    edit->removed = array;
    if (status == QUARRY_OK) {
        edit->removed[edit->removed_count++] = (struct kv_edit_removal){level, number};
    }
    return status;
}
