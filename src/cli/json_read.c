/*
 * Reading JSON: jansson behind names that do not meet those of json_write.h; the only file that
 * includes it.
 */
#include <cli/json_read.h>

#include <stdio.h>

#include <jansson.h>

static const json_t *of(const struct json_value *value)
{
    return (const json_t *)(const void *)value;
}

static const struct json_value *as_value(const json_t *value)
{
    return (const struct json_value *)(const void *)value;
}

struct json_value *json_read(const char *text, size_t length, char *ret_fault, size_t fault_bytes)
{
    json_error_t error;
    json_t *document = json_loadb(text, length, JSON_ALLOW_NUL, &error);

    if (document == NULL) {
        (void)snprintf(ret_fault, fault_bytes, "%s", error.text);
    }
    return (struct json_value *)(void *)document;
}

void json_read_free(struct json_value *document)
{
    json_decref((json_t *)(void *)document);
}

const struct json_value *json_read_member(const struct json_value *object, const char *name)
{
    return as_value(json_object_get(of(object), name));
}

const struct json_value *json_read_item(const struct json_value *array, size_t index)
{
    return as_value(json_array_get(of(array), index));
}

size_t json_read_count(const struct json_value *array)
{
    return json_array_size(of(array));
}

uint64_t json_read_u64(const struct json_value *value)
{
    json_int_t number = json_integer_value(of(value));

    return number > 0 ? (uint64_t)number : 0;
}

bool json_read_bool(const struct json_value *value)
{
    return json_is_true(of(value));
}

double json_read_double(const struct json_value *value)
{
    return json_number_value(of(value));
}

const char *json_read_text(const struct json_value *value, size_t *ret_length)
{
    *ret_length = json_string_length(of(value));
    return json_string_value(of(value));
}

const struct json_value *json_read_next(const struct json_value *object, void **iterator,
                                        const char **ret_name)
{
    json_t *of_object = (json_t *)(uintptr_t)object; /* it is not changed by being walked over */

    *iterator = *iterator == NULL ? json_object_iter(of_object)
                                  : json_object_iter_next(of_object, *iterator);
    if (*iterator == NULL) {
        return NULL;
    }
    *ret_name = json_object_iter_key(*iterator);
    return as_value(json_object_iter_value(*iterator));
}
