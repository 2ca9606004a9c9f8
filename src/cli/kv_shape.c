/*
 * "quarry.stats", which is JSON that a store or a server has made: fields that are not there count
 * as 0, so that a newer tool reads an older server.
 */
#include <cli/kv_shape.h>

#include <os/os.h>

#include <cli/cmd_kv.h>

int kv_shape_read(struct kv_target *target, struct kv_shape *ret_shape)
{
    char fault[160];

    *ret_shape = (struct kv_shape){.monotonic_ns = os_monotonic_ns(os_real())};
    int code = target->ops->property(target, "quarry.stats", &ret_shape->text);
    if (code == CLI_OK) {
        ret_shape->root =
            json_read(ret_shape->text.bytes, ret_shape->text.byte_count, fault, sizeof fault);
        if (ret_shape->root == NULL) {
            code = cli_failure(target->command->name, "%s: its figures are no JSON: %s",
                               target->name, fault);
        }
    }
    if (code != CLI_OK) {
        kv_shape_free(ret_shape);
    }
    return code;
}

void kv_shape_free(struct kv_shape *shape)
{
    json_read_free(shape->root);
    kv_bytes_free(&shape->text);
    *shape = (struct kv_shape){0};
}

uint64_t kv_shape_number(const struct kv_shape *shape, const char *group, const char *name)
{
    const struct json_value *object =
        group == NULL ? shape->root : json_read_member(shape->root, group);

    return json_read_u64(json_read_member(object, name));
}

struct kv_shape_level kv_shape_level(const struct kv_shape *shape, uint32_t level)
{
    const struct json_value *found = json_read_item(json_read_member(shape->root, "levels"), level);

    return (struct kv_shape_level){
        .file_count = json_read_u64(json_read_member(found, "file_count")),
        .file_bytes = json_read_u64(json_read_member(found, "file_bytes")),
        .read_bytes = json_read_u64(json_read_member(found, "compaction_read_bytes")),
        .written_bytes = json_read_u64(json_read_member(found, "compaction_written_bytes")),
        .score = json_read_double(json_read_member(found, "score")),
    };
}

uint64_t kv_shape_file_bytes(const struct kv_shape *shape, uint32_t level, uint64_t index)
{
    const struct json_value *found = json_read_item(json_read_member(shape->root, "levels"), level);
    const struct json_value *file = json_read_item(json_read_member(found, "files"), (size_t)index);

    return json_read_u64(json_read_item(file, 1));
}

uint64_t kv_shape_sublevels(const struct kv_shape *shape)
{
    return json_read_count(json_read_member(shape->root, "sublevels"));
}

double kv_shape_amplification(const struct kv_shape *shape)
{
    uint64_t user = kv_shape_number(shape, "counters", "written_bytes");
    uint64_t disk = kv_shape_number(shape, "counters", "log_bytes") +
                    kv_shape_number(shape, "counters", "flush_bytes");

    for (uint32_t level = 0; level < QUARRY_KV_LEVELS; level++) {
        disk += kv_shape_level(shape, level).written_bytes;
    }
    return user == 0 ? -1.0 : (double)disk / (double)user;
}
