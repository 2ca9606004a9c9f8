/*
 * Redis' RDB files.
 *
 *     "REDIS" "0010"  │ opcode … │ opcode … │ 0xff │ CRC-64, 8 bytes little-endian; 0: none │
 *
 *     0xfa key value      about the file          0xfe n         the database from here on
 *     0xfb n n            sizes of tables         0xfc 8 bytes   expiry of the next key, ms
 *     0xf8 n, 0xf9 byte   age of the next key     0xfd 4 bytes   the same, s
 *     type key value      a key; type 0 is a string
 *
 * A length is 6, 14, 32 or 64 bits behind two bits that say which; the fourth kind is a string in
 * another form: a number of 8, 16 or 32 bits, or LZF.
 *
 * Values of other types are passed over by their form alone. Every length comes from the file: no
 * more is believed than LENGTH_MAX, and memory is taken as bytes arrive.
 *
 * The checksum is CRC-64 of Jones' polynomial, reflected, of all bytes before it.
 *
 * Source: the format as redis-server 7.0 writes it, and its description in the Redis documentation.
 */
#include <cli/rdb_read.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <liblzf/lzf.h>

#define VERSION_MAX       10
#define VERSION_CHECKSUM  5                   /* files have one from here on */
#define LENGTH_MAX        (UINT64_C(1) << 29) /* of a string: Redis' own limit */
#define STEP_BYTES        Q_MIB(1)
#define POLYNOMIAL        UINT64_C(0x95ac9329ac4bc9b5) /* 0xad93d23594c935a9, reflected */
#define STREAM_ID_BYTES   16u
#define SCORE_TEXT_NUMBER 253u /* lengths from here on are nan and the infinities */

enum opcode {
    OPCODE_FUNCTION = 0xf5,
    OPCODE_FUNCTION_OLD = 0xf6,
    OPCODE_MODULE = 0xf7,
    OPCODE_IDLE = 0xf8,
    OPCODE_FREQUENCY = 0xf9,
    OPCODE_ABOUT = 0xfa,
    OPCODE_SIZES = 0xfb,
    OPCODE_EXPIRES_MS = 0xfc,
    OPCODE_EXPIRES_S = 0xfd,
    OPCODE_DATABASE = 0xfe,
    OPCODE_END = 0xff,
};

struct rdb {
    FILE *file;
    struct rdb_fault *fault;
    uint64_t offset, crc;
    uint64_t table[256];
    struct kv_bytes key, value, packed;
};

/* ---- bytes ---------------------------------------------------------------------------------- */

Q_PRINTF(2, 3)
static bool fail(struct rdb *rdb, const char *format, ...)
{
    va_list arguments;

    rdb->fault->offset = rdb->offset;
    va_start(arguments, format);
    (void)vsnprintf(rdb->fault->text, sizeof rdb->fault->text, format, arguments);
    va_end(arguments);
    return false;
}

static void make_table(uint64_t table[256])
{
    for (uint32_t i = 0; i < 256; i++) {
        uint64_t crc = i;
        for (uint32_t bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ ((crc & 1) != 0 ? POLYNOMIAL : 0);
        }
        table[i] = crc;
    }
}

static bool read_bytes(struct rdb *rdb, void *to, size_t byte_count)
{
    const uint8_t *at = to;

    if (fread(to, 1, byte_count, rdb->file) != byte_count) {
        return fail(rdb, ferror(rdb->file) ? "it cannot be read" : "it is cut off");
    }
    for (size_t i = 0; i < byte_count; i++) {
        rdb->crc = rdb->crc >> 8 ^ rdb->table[(rdb->crc ^ at[i]) & 0xff];
    }
    rdb->offset += byte_count;
    return true;
}

/* Into memory that grows with what is there, whatever the length says. */
static bool read_long(struct rdb *rdb, uint64_t byte_count, struct kv_bytes *to)
{
    to->byte_count = 0;
    if (byte_count > LENGTH_MAX) {
        return fail(rdb, "a string of %" PRIu64 " bytes", byte_count);
    }
    while (to->byte_count < byte_count) {
        size_t step = (size_t)size_min_u64(byte_count - to->byte_count, STEP_BYTES);
        if (!kv_bytes_reserve(to, to->byte_count + step)) {
            return fail(rdb, "no memory for a string of %" PRIu64 " bytes", byte_count);
        }
        if (!read_bytes(rdb, to->bytes + to->byte_count, step)) {
            return false;
        }
        to->byte_count += step;
    }
    return kv_bytes_reserve(to, 1) || fail(rdb, "no memory");
}

static bool skip_bytes(struct rdb *rdb, uint64_t byte_count)
{
    char room[512];

    while (byte_count > 0) {
        size_t step = (size_t)size_min_u64(byte_count, sizeof room);
        if (!read_bytes(rdb, room, step)) {
            return false;
        }
        byte_count -= step;
    }
    return true;
}

/* ---- lengths and strings -------------------------------------------------------------------- */

/* `ret_form`: of a string in another form; UINT32_MAX: it is a length. */
static bool read_length_or_form(struct rdb *rdb, uint64_t *ret_length, uint32_t *ret_form)
{
    uint8_t first = 0, rest[8];

    if (!read_bytes(rdb, &first, 1)) {
        return false;
    }
    *ret_form = UINT32_MAX;
    *ret_length = first & 0x3f;
    switch (first >> 6) {
    case 0:
        return true;
    case 1:
        if (!read_bytes(rdb, rest, 1)) {
            return false;
        }
        *ret_length = *ret_length << 8 | rest[0];
        return true;
    case 2: {
        size_t count = first == 0x80 ? 4 : first == 0x81 ? 8 : 0;
        if (count == 0 || !read_bytes(rdb, rest, count)) {
            return count != 0 ? false : fail(rdb, "a length of no known form");
        }
        *ret_length = count == 4 ? endian_load_be_u32(rest) : endian_load_be_u64(rest);
        return true;
    }
    default:
        *ret_form = first & 0x3f;
        return true;
    }
}

static bool read_length(struct rdb *rdb, uint64_t *ret_length)
{
    uint32_t form = 0;

    return read_length_or_form(rdb, ret_length, &form) &&
           (form == UINT32_MAX || fail(rdb, "a number where a length belongs"));
}

static bool read_packed(struct rdb *rdb, struct kv_bytes *to)
{
    uint64_t packed_bytes = 0, byte_count = 0;

    if (!read_length(rdb, &packed_bytes) || !read_length(rdb, &byte_count) ||
        !read_long(rdb, packed_bytes, &rdb->packed)) {
        return false;
    }
    /* LZF never makes more than some 90 bytes of one: what says so is not believed. */
    if (byte_count > LENGTH_MAX || byte_count / 256 > packed_bytes) {
        return fail(rdb, "a string of %" PRIu64 " bytes in %" PRIu64, byte_count, packed_bytes);
    }
    if (!kv_bytes_reserve(to, (size_t)byte_count + 1)) {
        return fail(rdb, "no memory for a string of %" PRIu64 " bytes", byte_count);
    }
    to->byte_count = (size_t)byte_count;
    return byte_count == lzf_decompress(rdb->packed.bytes, (unsigned)packed_bytes, to->bytes,
                                        (unsigned)byte_count) ||
           fail(rdb, "a compressed string that is damaged");
}

/* A number as the text that it stands for. */
static bool read_number(struct rdb *rdb, uint32_t form, struct kv_bytes *to)
{
    uint8_t bytes[4] = {0};
    char text[16];
    int32_t number = 0;

    if (!read_bytes(rdb, bytes, (size_t)1 << form)) {
        return false;
    }
    number = form == 0   ? (int8_t)bytes[0]
             : form == 1 ? (int16_t)endian_load_le_u16(bytes)
                         : (int32_t)endian_load_le_u32(bytes);
    int length = snprintf(text, sizeof text, "%" PRId32, number);
    return kv_bytes_set(to, text, (size_t)length) || fail(rdb, "no memory");
}

static bool read_string(struct rdb *rdb, struct kv_bytes *to)
{
    uint64_t length = 0;
    uint32_t form = 0;

    if (!read_length_or_form(rdb, &length, &form)) {
        return false;
    }
    if (form == UINT32_MAX) {
        return read_long(rdb, length, to);
    }
    if (form == 3) {
        return read_packed(rdb, to);
    }
    return form < 3 ? read_number(rdb, form, to)
                    : fail(rdb, "a string of form %" PRIu32 ", which is not known", form);
}

/* ---- other types, passed over --------------------------------------------------------------- */

static bool skip_length(struct rdb *rdb)
{
    uint64_t ignored;

    return read_length(rdb, &ignored);
}

static bool skip_lengths(struct rdb *rdb, uint32_t count)
{
    bool is_skipped = true;

    for (uint32_t i = 0; i < count && is_skipped; i++) {
        is_skipped = skip_length(rdb);
    }
    return is_skipped;
}

static bool skip_strings(struct rdb *rdb, uint64_t count)
{
    bool is_skipped = true;

    for (uint64_t i = 0; i < count && is_skipped; i++) {
        is_skipped = read_string(rdb, &rdb->value);
    }
    return is_skipped;
}

static bool skip_counted(struct rdb *rdb, uint64_t strings_each)
{
    uint64_t count = 0;

    return read_length(rdb, &count) &&
           (count <= UINT64_MAX / strings_each || fail(rdb, "too many of them")) &&
           skip_strings(rdb, count * strings_each);
}

/* A score as text: its length in a byte. */
static bool skip_score_text(struct rdb *rdb)
{
    uint8_t length = 0;

    return read_bytes(rdb, &length, 1) && (length >= SCORE_TEXT_NUMBER || skip_bytes(rdb, length));
}

static bool skip_scored(struct rdb *rdb, bool is_text)
{
    uint64_t count = 0;
    bool is_skipped = read_length(rdb, &count);

    for (uint64_t i = 0; i < count && is_skipped; i++) {
        is_skipped = read_string(rdb, &rdb->value) &&
                     (is_text ? skip_score_text(rdb) : skip_bytes(rdb, sizeof(double)));
    }
    return is_skipped;
}

static bool skip_quicklist(struct rdb *rdb)
{
    uint64_t count = 0;
    bool is_skipped = read_length(rdb, &count);

    for (uint64_t i = 0; i < count && is_skipped; i++) {
        is_skipped = skip_length(rdb) && read_string(rdb, &rdb->value);
    }
    return is_skipped;
}

/* What a consumer of a stream has not acknowledged: `extra_bytes` and a count behind each id. */
static bool skip_pending(struct rdb *rdb, bool is_group)
{
    uint64_t count = 0;
    bool is_skipped = read_length(rdb, &count);

    for (uint64_t i = 0; i < count && is_skipped; i++) {
        is_skipped = skip_bytes(rdb, STREAM_ID_BYTES) &&
                     (!is_group || (skip_bytes(rdb, 8) && skip_length(rdb)));
    }
    return is_skipped;
}

static bool skip_group(struct rdb *rdb, bool is_second)
{
    uint64_t consumers = 0;
    bool is_skipped = read_string(rdb, &rdb->value) && skip_lengths(rdb, is_second ? 3 : 2) &&
                      skip_pending(rdb, true) && read_length(rdb, &consumers);

    for (uint64_t i = 0; i < consumers && is_skipped; i++) {
        is_skipped =
            read_string(rdb, &rdb->value) && skip_bytes(rdb, 8) && skip_pending(rdb, false);
    }
    return is_skipped;
}

static bool skip_stream(struct rdb *rdb, bool is_second)
{
    uint64_t groups = 0;
    bool is_skipped =
        skip_counted(rdb, 2) && skip_lengths(rdb, is_second ? 8 : 3) && read_length(rdb, &groups);

    for (uint64_t i = 0; i < groups && is_skipped; i++) {
        is_skipped = skip_group(rdb, is_second);
    }
    return is_skipped;
}

/* A module's data: numbers and strings, each behind its kind, until an end. */
static bool skip_module(struct rdb *rdb)
{
    uint64_t kind = 0;

    while (read_length(rdb, &kind)) {
        bool is_skipped = kind == 0   ? true
                          : kind <= 2 ? skip_length(rdb)
                          : kind == 3 ? skip_bytes(rdb, sizeof(float))
                          : kind == 4 ? skip_bytes(rdb, sizeof(double))
                          : kind == 5 ? read_string(rdb, &rdb->value)
                                      : fail(rdb, "a module's data of no known form");
        if (kind == 0 || !is_skipped) {
            return is_skipped;
        }
    }
    return false;
}

static const char *const type_names[] = {
    "string", "list",   "set",  "sorted set", "hash", "sorted set", "module",
    "module", NULL,     "hash", "list",       "set",  "sorted set", "hash",
    "list",   "stream", "hash", "sorted set", "list", "stream",
};

static bool skip_value(struct rdb *rdb, uint8_t type)
{
    switch (type) {
    case 1:
    case 2:
    case 14:
        return skip_counted(rdb, 1);
    case 3:
    case 5:
        return skip_scored(rdb, type == 3);
    case 4:
        return skip_counted(rdb, 2);
    case 7:
        return skip_length(rdb) && skip_module(rdb);
    case 15:
    case 19:
        return skip_stream(rdb, type == 19);
    case 18:
        return skip_quicklist(rdb);
    case 6:
        return fail(rdb, "an old module's value, of which nobody but it knows the length");
    default:
        return read_string(rdb, &rdb->value);
    }
}

/* ---- the file ------------------------------------------------------------------------------- */

static bool read_start(struct rdb *rdb, int *ret_version)
{
    char start[10] = "";

    if (!read_bytes(rdb, start, 9)) {
        return false;
    }
    *ret_version = atoi(start + 5);
    if (memcmp(start, "REDIS", 5) != 0 || *ret_version < 1) {
        return fail(rdb, "it is no RDB file");
    }
    return *ret_version <= VERSION_MAX ||
           fail(rdb, "it is of version %d, and up to %d are known", *ret_version, VERSION_MAX);
}

static bool read_key(struct rdb *rdb, uint8_t type, struct rdb_entry *entry)
{
    if (type >= sizeof type_names / sizeof type_names[0] || type_names[type] == NULL) {
        return fail(rdb, "a value of type %u, which is not known", type);
    }
    if (!read_string(rdb, &rdb->key) ||
        !(type == 0 ? read_string(rdb, &rdb->value) : skip_value(rdb, type))) {
        return false;
    }
    entry->key = kv_bytes_slice(&rdb->key);
    entry->value = type == 0 ? kv_bytes_slice(&rdb->value) : (struct quarry_kv_slice){0};
    entry->type = type_names[type];
    entry->offset = rdb->offset;
    return true;
}

static bool read_expiry(struct rdb *rdb, uint8_t opcode, struct rdb_entry *entry)
{
    uint8_t bytes[8] = {0};

    if (!read_bytes(rdb, bytes, opcode == OPCODE_EXPIRES_MS ? 8 : 4)) {
        return false;
    }
    entry->expires_ms = opcode == OPCODE_EXPIRES_MS ? endian_load_le_u64(bytes)
                                                    : (uint64_t)endian_load_le_u32(bytes) * 1000;
    return true;
}

/* What is neither a key nor the end. */
static bool read_opcode(struct rdb *rdb, uint8_t opcode, struct rdb_entry *entry)
{
    switch (opcode) {
    case OPCODE_FUNCTION:
        return read_string(rdb, &rdb->value);
    case OPCODE_MODULE:
        return skip_lengths(rdb, 3) && skip_module(rdb);
    case OPCODE_IDLE:
        return skip_length(rdb);
    case OPCODE_FREQUENCY:
        return skip_bytes(rdb, 1);
    case OPCODE_ABOUT:
        return skip_strings(rdb, 2);
    case OPCODE_SIZES:
        return skip_lengths(rdb, 2);
    case OPCODE_EXPIRES_MS:
    case OPCODE_EXPIRES_S:
        return read_expiry(rdb, opcode, entry);
    case OPCODE_DATABASE:
        return read_length(rdb, &entry->database);
    default:
        return fail(rdb, "opcode %u, which is not known", opcode);
    }
}

static bool check_end(struct rdb *rdb, int version)
{
    uint64_t crc = rdb->crc;
    uint8_t bytes[8];

    if (version < VERSION_CHECKSUM) {
        return true;
    }
    if (!read_bytes(rdb, bytes, sizeof bytes)) {
        return false;
    }
    uint64_t stored = endian_load_le_u64(bytes);
    return stored == 0 || stored == crc ||
           fail(rdb, "its checksum is %016" PRIx64 ", not %016" PRIx64, crc, stored);
}

static int read_all(struct rdb *rdb, rdb_visit_function *visit, void *argument)
{
    struct rdb_entry entry = {0};
    uint8_t opcode = 0;
    int version = 0, code = 0;

    if (!read_start(rdb, &version)) {
        return -1;
    }
    while (code == 0) {
        if (!read_bytes(rdb, &opcode, 1)) {
            return -1;
        }
        if (opcode == OPCODE_END) {
            return check_end(rdb, version) ? 0 : -1;
        }
        if (opcode >= OPCODE_FUNCTION) {
            if (!read_opcode(rdb, opcode, &entry)) {
                return -1;
            }
            continue;
        }
        if (!read_key(rdb, opcode, &entry)) {
            return -1;
        }
        code = visit(argument, &entry);
        entry.expires_ms = 0;
    }
    return code;
}

int rdb_read(FILE *file, rdb_visit_function *visit, void *argument, struct rdb_fault *ret_fault)
{
    struct rdb rdb = {.file = file, .fault = ret_fault};

    make_table(rdb.table);
    int code = read_all(&rdb, visit, argument);
    kv_bytes_free(&rdb.key);
    kv_bytes_free(&rdb.value);
    kv_bytes_free(&rdb.packed);
    return code;
}
