/*
 * Keys and values as text: typed, shown, in lines of a dump, in JSON.
 */
#ifndef QUARRY_CLI_KV_TEXT_H
#define QUARRY_CLI_KV_TEXT_H

#include <stdio.h>

#include <base/base.h>

#include <quarry/kv.h>

#include <cli/json_write.h>

/* Bytes of one's own, that grow. All-zero is none. */
struct kv_bytes {
    char *bytes;
    size_t byte_count, capacity;
};
void kv_bytes_free(struct kv_bytes *bytes);
/* False: there is no memory, and it is as it was. */
bool kv_bytes_reserve(struct kv_bytes *bytes, size_t byte_count);
bool kv_bytes_set(struct kv_bytes *bytes, const void *from, size_t byte_count);
bool kv_bytes_add(struct kv_bytes *bytes, const void *from, size_t byte_count);
static inline struct quarry_kv_slice kv_bytes_slice(const struct kv_bytes *bytes)
{
    /* Never NULL, which stands for a bound that is none. */
    return (struct quarry_kv_slice){bytes->bytes != NULL ? bytes->bytes : "", bytes->byte_count};
}

/* Whether two are the same bytes; how they are ordered by memcmp. */
int kv_slice_compare(struct quarry_kv_slice one, struct quarry_kv_slice other);

/* Why text could not be read. */
enum kv_text_fault {
    KV_TEXT_FINE,
    KV_TEXT_NOT_HEX, /* an odd number of digits, or what is none */
    KV_TEXT_NO_MEMORY,
};
/* Takes text as it is, or as hex digits behind "0x" or nothing. */
enum kv_text_fault kv_text_read(const char *text, size_t length, bool is_hex,
                                struct kv_bytes *ret_bytes);

/* "0x6B6579", as ldb has it. */
void kv_text_hex(FILE *file, struct quarry_kv_slice bytes);
/* For people: what is not printable is \xNN, a backslash is two. */
void kv_text_shown(FILE *file, struct quarry_kv_slice bytes);
/* As it is, or as hex. */
void kv_text_write(FILE *file, struct quarry_kv_slice bytes, bool is_hex);

/* A field of the name where it is printable ASCII, else of "name_base64". */
void kv_text_json(struct json *json, const char *name, struct quarry_kv_slice bytes);

/* A line of a file without its newline. `*line`: grows; free it. False: the end, or an error. */
bool kv_text_line(FILE *file, char **line, size_t *capacity, size_t *ret_length);

#endif
