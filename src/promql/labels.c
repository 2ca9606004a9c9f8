/*
 * Sets of labels.
 *
 * They are arrays of slices, sorted by name. The strings are a store's, or the query's, and stay
 * where they are; what is made here are new arrays over them. The table is open addressing over
 * numbers; keys and hashes lie in the order that they came.
 */
#include <promql/eval.h>

#include <string.h>

bool eval_slice_equal(struct quarry_tsdb_slice a, struct quarry_tsdb_slice b)
{
    return a.count == b.count && (a.bytes == b.bytes || memcmp(a.bytes, b.bytes, a.count) == 0);
}

int eval_slice_compare(struct quarry_tsdb_slice a, struct quarry_tsdb_slice b)
{
    size_t shorter = a.count < b.count ? a.count : b.count;
    int order = shorter == 0 ? 0 : memcmp(a.bytes, b.bytes, shorter);

    return order != 0 ? order : (a.count > b.count) - (a.count < b.count);
}

struct quarry_tsdb_slice eval_slice(const char *text)
{
    return (struct quarry_tsdb_slice){.bytes = text, .count = strlen(text)};
}

bool eval_slice_is(struct quarry_tsdb_slice slice, const char *text)
{
    return eval_slice_equal(slice, eval_slice(text));
}

bool eval_labels_equal(struct eval_labels a, struct eval_labels b)
{
    if (a.count != b.count) {
        return false;
    }
    for (size_t i = 0; i < a.count; i++) {
        if (!eval_slice_equal(a.labels[i].name, b.labels[i].name) ||
            !eval_slice_equal(a.labels[i].value, b.labels[i].value)) {
            return false;
        }
    }
    return true;
}

int eval_labels_compare(struct eval_labels a, struct eval_labels b)
{
    for (size_t i = 0; i < a.count && i < b.count; i++) {
        int order = eval_slice_compare(a.labels[i].name, b.labels[i].name);
        order = order != 0 ? order : eval_slice_compare(a.labels[i].value, b.labels[i].value);
        if (order != 0) {
            return order;
        }
    }
    return (a.count > b.count) - (a.count < b.count);
}

uint64_t eval_labels_hash(struct eval_labels labels)
{
    uint64_t hash = 0;

    for (size_t i = 0; i < labels.count; i++) {
        hash = hash_xxh3_u64(labels.labels[i].name.bytes, labels.labels[i].name.count, hash);
        hash = hash_xxh3_u64(labels.labels[i].value.bytes, labels.labels[i].value.count, hash);
    }
    return hash;
}

struct quarry_tsdb_slice eval_labels_find(struct eval_labels labels, struct quarry_tsdb_slice name)
{
    for (size_t i = 0; i < labels.count; i++) {
        if (eval_slice_equal(labels.labels[i].name, name)) {
            return labels.labels[i].value;
        }
    }
    return eval_slice("");
}

struct quarry_tsdb_slice eval_labels_get(struct eval_labels labels, const char *name)
{
    return eval_labels_find(labels, eval_slice(name));
}

bool eval_names_have(struct eval_names names, struct quarry_tsdb_slice name)
{
    for (size_t i = 0; i < names.count; i++) {
        if (eval_slice_equal(names.names[i], name)) {
            return true;
        }
    }
    return false;
}

bool eval_buffer_reserve(struct eval *eval, struct eval_label_buffer *buffer, size_t count)
{
    if (Q_LIKELY(count <= buffer->capacity)) {
        return true;
    }
    size_t capacity = count < 16 ? 16 : count * 2;
    struct quarry_tsdb_label *labels = eval_take(eval, capacity, sizeof *labels);
    if (labels == NULL) {
        return false;
    }
    if (buffer->capacity != 0) {
        memcpy(labels, buffer->labels, buffer->capacity * sizeof *labels);
    }
    *buffer = (struct eval_label_buffer){.labels = labels, .capacity = capacity};
    return true;
}

bool eval_is_reserved(struct quarry_tsdb_slice name, bool has_type_and_unit)
{
    return eval_slice_is(name, "__name__") ||
           (has_type_and_unit &&
            (eval_slice_is(name, "__type__") || eval_slice_is(name, "__unit__")));
}

struct eval_labels eval_labels_keep(struct eval_labels labels, struct eval_names names,
                                    struct eval_label_buffer *buffer)
{
    size_t count = 0;

    Q_DCHECK(labels.count <= buffer->capacity);
    for (size_t i = 0; i < labels.count; i++) {
        if (eval_names_have(names, labels.labels[i].name)) {
            buffer->labels[count++] = labels.labels[i];
        }
    }
    return (struct eval_labels){.labels = buffer->labels, .count = count};
}

struct eval_labels eval_labels_without(struct eval_labels labels, struct eval_names names,
                                       bool drops_reserved, bool has_type_and_unit,
                                       struct eval_label_buffer *buffer)
{
    size_t count = 0;

    Q_DCHECK(labels.count <= buffer->capacity);
    for (size_t i = 0; i < labels.count; i++) {
        struct quarry_tsdb_slice name = labels.labels[i].name;
        if (!(drops_reserved && eval_is_reserved(name, has_type_and_unit)) &&
            !eval_names_have(names, name)) {
            buffer->labels[count++] = labels.labels[i];
        }
    }
    return (struct eval_labels){.labels = buffer->labels, .count = count};
}

struct eval_labels eval_labels_set(struct eval_labels labels, struct quarry_tsdb_slice name,
                                   struct quarry_tsdb_slice value, struct eval_label_buffer *buffer)
{
    struct quarry_tsdb_label *array = buffer->labels;
    size_t i = 0, count = labels.count;

    Q_DCHECK(labels.labels == array || count == 0);
    while (i < count && eval_slice_compare(array[i].name, name) < 0) {
        i++;
    }
    bool is_there = i < count && eval_slice_equal(array[i].name, name);
    if (value.count == 0) {
        if (is_there) {
            memmove(array + i, array + i + 1, (count - i - 1) * sizeof *array);
            count--;
        }
        return (struct eval_labels){.labels = array, .count = count};
    }
    if (!is_there) {
        Q_ASSERT(count < buffer->capacity);
        memmove(array + i + 1, array + i, (count - i) * sizeof *array);
        count++;
    }
    array[i] = (struct quarry_tsdb_label){.name = name, .value = value};
    return (struct eval_labels){.labels = array, .count = count};
}

bool eval_labels_copy(struct eval *eval, struct eval_labels labels, struct eval_labels *ret_labels)
{
    struct quarry_tsdb_label *copy = eval_take(eval, labels.count, sizeof *copy);

    if (copy == NULL) {
        return false;
    }
    if (labels.count != 0) {
        memcpy(copy, labels.labels, labels.count * sizeof *copy);
    }
    *ret_labels = (struct eval_labels){.labels = copy, .count = labels.count};
    return true;
}

/* ---- printing ------------------------------------------------------------------------------- */

struct printer {
    char *text;
    size_t count, capacity; /* the last byte is the NUL's */
};

static void print_byte(struct printer *printer, char byte)
{
    if (printer->count + 1 < printer->capacity) {
        printer->text[printer->count++] = byte;
    }
}

static void print_bytes(struct printer *printer, struct quarry_tsdb_slice slice)
{
    for (size_t i = 0; i < slice.count; i++) {
        print_byte(printer, slice.bytes[i]);
    }
}

/* The bytes of a character of UTF-8 at the front of a text; 0: there is none. */
static size_t character_bytes(const char *bytes, size_t count)
{
    unsigned char first = (unsigned char)bytes[0];
    size_t length = first < 0x80                    ? 1
                    : first >= 0xc2 && first < 0xe0 ? 2
                    : first >= 0xe0 && first < 0xf0 ? 3
                    : first >= 0xf0 && first < 0xf5 ? 4
                                                    : 0;

    if (length == 0 || length > count) {
        return 0;
    }
    for (size_t i = 1; i < length; i++) {
        if (((unsigned char)bytes[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    unsigned char second = length > 1 ? (unsigned char)bytes[1] : 0;
    bool is_long = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
    bool is_beyond = (first == 0xed && second > 0x9f) || (first == 0xf4 && second > 0x8f);
    return is_long || is_beyond ? 0 : length;
}

static void print_quoted(struct printer *printer, struct quarry_tsdb_slice slice)
{
    static const char digits[] = "0123456789abcdef";

    print_byte(printer, '"');
    for (size_t i = 0; i < slice.count;) {
        char byte = slice.bytes[i];
        size_t length = character_bytes(slice.bytes + i, slice.count - i);
        char escape = byte == '\n' ? 'n' : byte == '\t' ? 't' : byte == '\r' ? 'r' : byte;
        if (length == 0 || (length == 1 && escape == byte && (unsigned char)byte < 0x20)) {
            print_bytes(printer, eval_slice("\\x"));
            print_byte(printer, digits[(unsigned char)byte >> 4]);
            print_byte(printer, digits[(unsigned char)byte & 15]);
            i++;
            continue;
        }
        if (byte == '"' || byte == '\\' || escape != byte) {
            print_byte(printer, '\\');
        }
        print_byte(printer, escape);
        print_bytes(printer, (struct quarry_tsdb_slice){slice.bytes + i + 1, length - 1});
        i += length;
    }
    print_byte(printer, '"');
}

size_t eval_quote(struct quarry_tsdb_slice text, char *quoted, size_t capacity)
{
    struct printer printer = {.text = quoted, .capacity = capacity};

    print_quoted(&printer, text);
    quoted[printer.count] = '\0';
    return printer.count;
}

/* Whether a name is printed as it is: a letter or _, then letters, digits and _. */
static bool is_plain_name(struct quarry_tsdb_slice name)
{
    for (size_t i = 0; i < name.count; i++) {
        char byte = name.bytes[i];
        bool is_letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
        if (byte != '_' && !is_letter && !(i > 0 && byte >= '0' && byte <= '9')) {
            return false;
        }
    }
    return name.count != 0;
}

bool eval_is_label_name(const struct eval *eval, struct quarry_tsdb_slice name)
{
    if (eval->options->compat_2_42) {
        return is_plain_name(name);
    }
    for (size_t i = 0, length; i < name.count; i += length) {
        length = character_bytes(name.bytes + i, name.count - i);
        if (length == 0) {
            return false;
        }
    }
    return name.count != 0;
}

size_t eval_labels_print(struct eval_labels labels, char *text, size_t capacity)
{
    struct printer printer = {.text = text, .capacity = capacity};

    Q_ASSERT(capacity > 0);
    print_byte(&printer, '{');
    for (size_t i = 0; i < labels.count; i++) {
        if (i > 0) {
            print_bytes(&printer, eval_slice(", "));
        }
        if (is_plain_name(labels.labels[i].name)) {
            print_bytes(&printer, labels.labels[i].name);
        } else {
            print_quoted(&printer, labels.labels[i].name);
        }
        print_byte(&printer, '=');
        print_quoted(&printer, labels.labels[i].value);
    }
    print_byte(&printer, '}');
    text[printer.count] = '\0';
    return printer.count;
}

/* ---- packing -------------------------------------------------------------------------------- */

static void pack(struct printer *printer, struct quarry_tsdb_slice slice)
{
    const size_t count = slice.count;

    if (count < 255) {
        print_byte(printer, (char)count);
    } else {
        print_byte(printer, (char)255);
        print_byte(printer, (char)(count & 255));
        print_byte(printer, (char)(count >> 8 & 255));
        print_byte(printer, (char)(count >> 16 & 255));
    }
    print_bytes(printer, slice);
}

size_t eval_labels_pack(struct eval_labels labels, char *room, size_t capacity)
{
    struct printer printer = {.text = room, .capacity = capacity + 1}; /* no NUL */
    size_t count = 0;

    for (size_t i = 0; i < labels.count; i++) {
        const struct quarry_tsdb_label *label = &labels.labels[i];
        count += label->name.count + (label->name.count < 255 ? 1 : 4);
        count += label->value.count + (label->value.count < 255 ? 1 : 4);
        pack(&printer, label->name);
        pack(&printer, label->value);
    }
    return count;
}

/* ---- finding -------------------------------------------------------------------------------- */

/* The slot of labels, or the free one where they belong. */
static size_t find_slot(const struct eval_table *table, struct eval_labels labels, uint64_t hash)
{
    size_t mask = table->slot_count - 1;
    size_t slot = (size_t)hash & mask;

    for (; table->slots[slot] != 0; slot = (slot + 1) & mask) {
        uint32_t number = table->slots[slot] - 1;
        if (table->hashes[number] == hash && eval_labels_equal(table->keys[number], labels)) {
            break;
        }
    }
    return slot;
}

uint32_t eval_table_find(const struct eval_table *table, struct eval_labels labels)
{
    if (table->slot_count == 0) {
        return EVAL_ABSENT;
    }
    uint32_t filled = table->slots[find_slot(table, labels, eval_labels_hash(labels))];
    return filled == 0 ? EVAL_ABSENT : filled - 1;
}

/* Twice the slots, and room for as many keys as half of them. */
static bool grow_table(struct eval *eval, struct eval_table *table)
{
    size_t slot_count = table->slot_count == 0 ? 32 : table->slot_count * 2;
    size_t capacity = slot_count / 2;
    uint32_t *slots = eval_take_zero(eval, slot_count, sizeof *slots);
    struct eval_labels *keys = eval_take(eval, capacity, sizeof *keys);
    uint64_t *hashes = eval_take(eval, capacity, sizeof *hashes);

    if (slots == NULL || keys == NULL || hashes == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < table->count; i++) {
        keys[i] = table->keys[i];
        hashes[i] = table->hashes[i];
        size_t slot = (size_t)hashes[i] & (slot_count - 1);
        while (slots[slot] != 0) {
            slot = (slot + 1) & (slot_count - 1);
        }
        slots[slot] = i + 1;
    }
    *table = (struct eval_table){.keys = keys,
                                 .hashes = hashes,
                                 .slots = slots,
                                 .count = table->count,
                                 .capacity = capacity,
                                 .slot_count = slot_count};
    return true;
}

bool eval_table_put(struct eval *eval, struct eval_table *table, struct eval_labels labels,
                    uint32_t *ret_number, bool *ret_is_new)
{
    uint64_t hash = eval_labels_hash(labels);

    if (table->count == table->capacity && !grow_table(eval, table)) {
        return false;
    }
    size_t slot = find_slot(table, labels, hash);
    *ret_is_new = table->slots[slot] == 0;
    if (*ret_is_new) {
        if (!eval_labels_copy(eval, labels, &table->keys[table->count])) {
            return false;
        }
        table->hashes[table->count] = hash;
        table->slots[slot] = (uint32_t)++table->count;
    }
    *ret_number = table->slots[slot] - 1;
    return eval_tick(eval, 1 + labels.count);
}
