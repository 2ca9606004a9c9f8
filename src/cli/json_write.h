/*
 * Writes JSON as it comes: objects, arrays and values, with their commas.
 *
 * Names of fields are promises to scripts; units are in them.
 */
#ifndef QUARRY_CLI_JSON_WRITE_H
#define QUARRY_CLI_JSON_WRITE_H

#include <base/base.h>

#include <stdio.h>

/* Objects and arrays within each other; ours have five. */
#define JSON_DEPTH_MAX 16u

struct json {
    FILE *file;
    uint32_t depth;
    bool has_item[JSON_DEPTH_MAX]; /* by depth: the next item is preceded by a comma */
};

/* `file`: borrowed while the writer is used. */
struct json json_begin(FILE *file);
/* The end of the line, after the outermost value was ended. */
void json_finish(struct json *json);

/* `name`: the field in an object; NULL in an array and for the outermost value. */
void json_object(struct json *json, const char *name);
void json_object_end(struct json *json);
void json_array(struct json *json, const char *name);
void json_array_end(struct json *json);

void json_u64(struct json *json, const char *name, uint64_t value);
/* With six decimals; what is not finite is null. */
void json_double(struct json *json, const char *name, double value);
void json_bool(struct json *json, const char *name, bool value);
/* Texts come from other processes: what is not printable ASCII becomes '?'. NULL is null. */
void json_string(struct json *json, const char *name, const char *value);
/* As "0x7f…": addresses have more bits than a JSON number keeps everywhere. */
void json_address(struct json *json, const char *name, uint64_t value);

#endif
