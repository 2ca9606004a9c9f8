/*
 * Files of a block.
 *
 * Writing: one buffer, handed to the vfs when it is full. The checksum runs over what is put, from
 * where it was begun; a length that is known only at the end is put as zeros and patched, in the
 * buffer or in the file, and its bytes join the checksum by crc32c_combine where they belong to it.
 *
 * Reading: one window, moved to where a view begins when it does not hold all of it. Views that
 * are asked for front to back cost one read for each window. The window grows for a view that is
 * larger, and that is charged: what a file says of lengths is held against the file's end first.
 *
 * Locking: none; both are one thread's.
 */
#include <tsdb/block_file.h>

#include <string.h>

char *block_path_join(struct tsdb_memory *memory, const char *directory, const char *name)
{
    size_t directory_count = strlen(directory), name_count = strlen(name);
    char *path = tsdb_memory_take_zero(memory, directory_count + 1 + name_count + 1);

    if (path != NULL) {
        memcpy(path, directory, directory_count);
        path[directory_count] = '/';
        memcpy(path + directory_count + 1, name, name_count + 1);
    }
    return path;
}

/* ---- writing -------------------------------------------------------------------------------- */

enum quarry_status block_out_create(struct block_out *ret_out, struct tsdb_memory *memory,
                                    struct quarry_vfs *vfs, char *path, size_t capacity,
                                    struct quarry_error *error)
{
    struct block_out out = {.memory = memory, .path = path, .capacity = capacity};
    enum quarry_status status;

    Q_ASSERT(capacity >= 64);
    if (path != NULL) {
        out.buffer = tsdb_memory_take_zero(memory, capacity);
    }
    if (out.buffer == NULL) {
        tsdb_memory_give(memory, path);
        return error_set(error, QUARRY_NO_MEMORY, "no memory to write a file of a block");
    }
    status = quarry_vfs_open(vfs, path, QUARRY_VFS_WRITE | QUARRY_VFS_CREATE | QUARRY_VFS_EXCLUSIVE,
                             &out.file, error);
    if (status != QUARRY_OK) {
        block_out_fini(&out);
        return status;
    }
    *ret_out = out;
    return QUARRY_OK;
}

void block_out_fini(struct block_out *out)
{
    if (out->memory == NULL) {
        return;
    }
    quarry_vfs_close(out->file);
    tsdb_memory_give(out->memory, out->buffer);
    tsdb_memory_give(out->memory, out->path);
    *out = (struct block_out){0};
}

static void fail(struct block_out *out, enum quarry_status status)
{
    Q_ASSERT(out->status == QUARRY_OK && status != QUARRY_OK);
    out->status = status;
}

static void flush(struct block_out *out)
{
    if (out->status == QUARRY_OK && out->count != 0) {
        enum quarry_status status =
            quarry_vfs_write(out->file, out->flushed, out->buffer, out->count, &out->error);
        if (status != QUARRY_OK) {
            fail(out, status);
        }
    }
    out->flushed += out->count;
    out->count = 0;
}

void block_out_put(struct block_out *out, const void *bytes, size_t byte_count)
{
    const uint8_t *at = bytes;

    out->crc = crc32c_extend(out->crc, bytes, byte_count);
    while (byte_count != 0) {
        size_t room = out->capacity - out->count;
        size_t take = byte_count < room ? byte_count : room;

        memcpy(out->buffer + out->count, at, take);
        out->count += take;
        at += take;
        byte_count -= take;
        if (out->count == out->capacity) {
            flush(out);
        }
    }
}

void block_out_put_u8(struct block_out *out, uint8_t value)
{
    block_out_put(out, &value, 1);
}

void block_out_put_u32(struct block_out *out, uint32_t value)
{
    uint8_t bytes[4];
    endian_store_be_u32(bytes, value);
    block_out_put(out, bytes, sizeof bytes);
}

void block_out_put_u64(struct block_out *out, uint64_t value)
{
    uint8_t bytes[8];
    endian_store_be_u64(bytes, value);
    block_out_put(out, bytes, sizeof bytes);
}

void block_out_put_varint(struct block_out *out, uint64_t value)
{
    uint8_t bytes[VARINT_U64_BYTES_MAX];
    block_out_put(out, bytes, varint_put_u64(bytes, value));
}

void block_out_put_zigzag(struct block_out *out, int64_t value)
{
    block_out_put_varint(out, varint_zigzag(value));
}

void block_out_align(struct block_out *out, uint32_t align_bytes)
{
    static const uint8_t zeros[16];
    uint64_t over = block_out_offset(out) % align_bytes;

    Q_ASSERT(align_bytes <= sizeof zeros);
    if (over != 0) {
        block_out_put(out, zeros, align_bytes - (size_t)over);
    }
}

void block_out_patch_u32(struct block_out *out, uint64_t offset, uint32_t value)
{
    uint8_t bytes[4];

    Q_ASSERT(offset + sizeof bytes <= block_out_offset(out));
    endian_store_be_u32(bytes, value);
    for (size_t i = 0; i < sizeof bytes;
         i++) { /* a part may be in the file, a part in the buffer */
        if (offset + i >= out->flushed) {
            out->buffer[offset + i - out->flushed] = bytes[i];
        } else if (out->status == QUARRY_OK) {
            enum quarry_status status =
                quarry_vfs_write(out->file, offset + i, &bytes[i], 1, &out->error);
            if (status != QUARRY_OK) {
                fail(out, status);
            }
        }
    }
}

enum quarry_status block_out_check(const struct block_out *out, struct quarry_error *error)
{
    if (out->status != QUARRY_OK && error != NULL) {
        *error = out->error;
    }
    return out->status;
}

enum quarry_status block_out_flush(struct block_out *out, struct quarry_error *error)
{
    flush(out);
    return block_out_check(out, error);
}

enum quarry_status block_out_sync(struct block_out *out, struct quarry_error *error)
{
    enum quarry_status status = block_out_flush(out, error);

    return status == QUARRY_OK ? quarry_vfs_sync(out->file, error) : status;
}

/* ---- reading -------------------------------------------------------------------------------- */

enum quarry_status block_in_open(struct block_in *ret_in, struct tsdb_memory *memory,
                                 struct quarry_vfs *vfs, char *path, size_t window_bytes,
                                 struct quarry_error *error)
{
    struct block_in in = {.memory = memory, .path = path, .window_bytes = window_bytes};
    enum quarry_status status;

    if (path == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory to read a file of a block");
    }
    status = quarry_vfs_open(vfs, path, QUARRY_VFS_READ, &in.file, error);
    if (status == QUARRY_OK) {
        status = quarry_vfs_size(in.file, &in.byte_count, error);
    }
    if (status != QUARRY_OK) {
        block_in_fini(&in);
        return status;
    }
    *ret_in = in;
    return QUARRY_OK;
}

void block_in_fini(struct block_in *in)
{
    if (in->memory == NULL) {
        return;
    }
    quarry_vfs_close(in->file);
    block_array_fini(in->memory, &in->window);
    tsdb_memory_give(in->memory, in->path);
    *in = (struct block_in){0};
}

static enum quarry_status move_window(struct block_in *in, uint64_t offset, size_t byte_count,
                                      struct quarry_error *error)
{
    size_t wanted = byte_count > in->window_bytes ? byte_count : in->window_bytes, got = 0;
    enum quarry_status status = block_array_reserve(in->memory, &in->window, wanted, 1);

    if (status != QUARRY_OK) {
        return error_set(error, status, "%.120s: offset %llu: no memory for %zu bytes of it",
                         in->path, (unsigned long long)offset, wanted);
    }
    in->count = 0;
    status = quarry_vfs_read(in->file, offset, in->window.members, wanted, &got, error);
    if (status != QUARRY_OK) {
        return status;
    }
    in->start = offset;
    in->count = got;
    return got >= byte_count ? QUARRY_OK
                             : block_in_corrupt(in, offset + got, "the file ends", error);
}

enum quarry_status block_in_view(struct block_in *in, uint64_t offset, size_t byte_count,
                                 const uint8_t **ret_bytes, struct quarry_error *error)
{
    if (offset > in->byte_count || byte_count > in->byte_count - offset) {
        return block_in_corrupt(in, offset, "the file ends before what should be there", error);
    }
    if (offset < in->start || offset - in->start > in->count ||
        byte_count > in->count - (offset - in->start)) {
        enum quarry_status status = move_window(in, offset, byte_count, error);
        if (status != QUARRY_OK) {
            return status;
        }
    }
    *ret_bytes = (const uint8_t *)in->window.members + (offset - in->start);
    return QUARRY_OK;
}

enum quarry_status block_in_verify(struct block_in *in, uint64_t offset, uint64_t byte_count,
                                   const char *what, struct quarry_error *error)
{
    const uint8_t *bytes;
    uint32_t crc = 0;
    enum quarry_status status;

    for (uint64_t done = 0; done < byte_count;) {
        uint64_t left = byte_count - done;
        size_t take = left < in->window_bytes ? (size_t)left : in->window_bytes;

        status = block_in_view(in, offset + done, take, &bytes, error);
        if (status != QUARRY_OK) {
            return status;
        }
        crc = crc32c_extend(crc, bytes, take);
        done += take;
    }
    status = block_in_view(in, offset + byte_count, 4, &bytes, error);
    if (status == QUARRY_OK && endian_load_be_u32(bytes) != crc) {
        return error_set(error, QUARRY_CORRUPT,
                         "%.120s: offset %llu: checksum of %s does not match", in->path,
                         (unsigned long long)offset, what);
    }
    return status;
}

enum quarry_status block_in_corrupt(const struct block_in *in, uint64_t offset, const char *what,
                                    struct quarry_error *error)
{
    return error_set(error, QUARRY_CORRUPT, "%.120s: offset %llu: %s", in->path,
                     (unsigned long long)offset, what);
}

/* ---- numbers in bytes ----------------------------------------------------------------------- */

const uint8_t *block_bytes_take(struct block_bytes *bytes, uint64_t count)
{
    const uint8_t *at = bytes->at;

    if (count > block_bytes_left(bytes)) {
        bytes->is_short = true;
        bytes->at = bytes->end;
        return NULL;
    }
    bytes->at += count;
    return at;
}

uint64_t block_bytes_varint(struct block_bytes *bytes)
{
    uint64_t value = 0;
    size_t taken = varint_get_u64(bytes->at, bytes->end, &value);

    bytes->is_short |= taken == 0;
    bytes->at = taken == 0 ? bytes->end : bytes->at + taken;
    return taken == 0 ? 0 : value;
}

int64_t block_bytes_zigzag(struct block_bytes *bytes)
{
    return varint_unzigzag(block_bytes_varint(bytes));
}

uint64_t block_bytes_u64(struct block_bytes *bytes)
{
    const uint8_t *at = block_bytes_take(bytes, 8);
    return at == NULL ? 0 : endian_load_be_u64(at);
}

uint32_t block_bytes_u32(struct block_bytes *bytes)
{
    const uint8_t *at = block_bytes_take(bytes, 4);
    return at == NULL ? 0 : endian_load_be_u32(at);
}

uint8_t block_bytes_u8(struct block_bytes *bytes)
{
    const uint8_t *at = block_bytes_take(bytes, 1);
    return at == NULL ? 0 : *at;
}
