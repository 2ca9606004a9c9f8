/*
 * label_replace and label_join: labels made of labels.
 *
 * A label that is set to nothing goes. Rows that come to have the same labels become one, unless
 * both are there at some step.
 */
#include <promql/functions.h>

#include <promql/capture.h>

#include <string.h>

/* Groups of an expression that are looked at: what is beyond them is empty. */
#define GROUPS_MAX 64

static struct quarry_tsdb_slice text_argument(const struct promql_node *node, size_t index)
{
    return eval_unwrap(node->call.arguments[index])->text.value;
}

/* A text that grows. */
struct text {
    struct eval *eval;
    char *bytes;
    size_t count, capacity;
};

static bool append(struct text *text, struct quarry_tsdb_slice slice)
{
    while (text->capacity - text->count < slice.count) {
        char *bytes = eval_grow(text->eval, text->bytes, &text->capacity, 1);
        if (bytes == NULL) {
            return false;
        }
        text->bytes = bytes;
    }
    if (slice.count != 0) {
        memcpy(text->bytes + text->count, slice.bytes, slice.count);
        text->count += slice.count;
    }
    return true;
}

/* Sets a label of a row, whose labels get an array of their own. */
static bool set_label(struct eval *eval, struct eval_row *row, struct quarry_tsdb_slice name,
                      const struct text *value)
{
    struct eval_label_buffer buffer = {0};
    struct eval_labels labels = {.count = row->labels.count};
    struct quarry_tsdb_slice slice = {.bytes = value->count == 0 ? "" : value->bytes,
                                      .count = value->count};

    if (!eval_buffer_reserve(eval, &buffer, labels.count + 1)) {
        return false;
    }
    if (labels.count != 0) {
        memcpy(buffer.labels, row->labels.labels, labels.count * sizeof *buffer.labels);
    }
    labels.labels = buffer.labels;
    row->labels = eval_labels_set(labels, name, slice, &buffer);
    if (eval_slice_is(name, "__name__")) {
        row->drops_name = false;
    }
    return true;
}

static bool fail_label(struct eval *eval, const char *which, const char *function,
                       struct quarry_tsdb_slice name)
{
    return eval_fail(eval, PROMQL_ERROR_EXECUTION, "invalid %s label name in %s(): %.*s", which,
                     function, (int)(name.count < 512 ? name.count : 512), name.bytes);
}

static struct eval_stream *finish(struct eval *eval, const struct eval_frame *frame,
                                  struct eval_matrix *matrix)
{
    return eval_merge(eval, frame->count, matrix) ? eval_stream_of(eval, frame, matrix) : NULL;
}

/* ---- label_replace -------------------------------------------------------------------------- */

static bool is_word(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || byte == '_';
}

/* The group of a name: a number, or that of a group with that name. -1: none. */
static int group_of(const struct promql_capture *capture, struct quarry_tsdb_slice name)
{
    int number = 0;

    for (size_t i = 0; i < name.count; i++) {
        if (name.bytes[i] < '0' || name.bytes[i] > '9') {
            return promql_capture_find(capture, name.bytes, name.count);
        }
        number = number > 1000000 ? number : number * 10 + (name.bytes[i] - '0');
    }
    return number;
}

/* The name behind a `$`: `{name}` or as many letters, digits and _ as there are. Returns: the bytes
 * that it takes with the $; 1: it is no name. */
static size_t read_name(struct quarry_tsdb_slice rest, struct quarry_tsdb_slice *ret_name)
{
    bool is_braced = rest.count > 1 && rest.bytes[1] == '{';
    size_t begin = is_braced ? 2 : 1, end = begin;

    while (end < rest.count && is_word(rest.bytes[end])) {
        end++;
    }
    if (end == begin || (is_braced && (end == rest.count || rest.bytes[end] != '}'))) {
        return 1;
    }
    *ret_name = (struct quarry_tsdb_slice){.bytes = rest.bytes + begin, .count = end - begin};
    return is_braced ? end + 1 : end;
}

/* Writes a template, its groups filled in. */
static bool expand(const struct promql_capture *capture, struct quarry_tsdb_slice template,
                   struct quarry_tsdb_slice source, const struct promql_capture_group *groups,
                   struct text *text)
{
    for (size_t i = 0; i < template.count;) {
        struct quarry_tsdb_slice rest = {.bytes = template.bytes + i, .count = template.count - i};
        struct quarry_tsdb_slice name;
        size_t length = 1;
        if (rest.bytes[0] != '$') {
            rest.count = 1;
            if (!append(text, rest)) {
                return false;
            }
        } else if (rest.count > 1 && rest.bytes[1] == '$') {
            length = 2;
            if (!append(text, eval_slice("$"))) {
                return false;
            }
        } else if ((length = read_name(rest, &name)) > 1) {
            int group = group_of(capture, name);
            bool has_group = group >= 0 && group < GROUPS_MAX && groups[group].is_there;
            if (has_group && !append(text, (struct quarry_tsdb_slice){
                                               .bytes = source.bytes + groups[group].begin,
                                               .count = groups[group].count})) {
                return false;
            }
        } else if (!append(text, eval_slice("$"))) {
            return false;
        }
        i += length;
    }
    return true;
}

static bool replace_row(struct eval *eval, const struct promql_node *node,
                        const struct promql_capture *capture, struct eval_row *row)
{
    struct promql_capture_group groups[GROUPS_MAX];
    struct quarry_tsdb_slice source = eval_labels_find(row->labels, text_argument(node, 3));
    struct text text = {.eval = eval};

    if (!promql_capture_match(capture, source.bytes, source.count, groups, GROUPS_MAX)) {
        return true;
    }
    return expand(capture, text_argument(node, 2), source, groups, &text) &&
           set_label(eval, row, text_argument(node, 1), &text);
}

static bool replace_rows(struct eval *eval, const struct promql_node *node,
                         struct eval_matrix *matrix)
{
    struct quarry_tsdb_slice expression = text_argument(node, 4);
    struct promql_capture *capture;
    char text[256];
    bool is_done = true;

    if (promql_capture_compile(expression.bytes, expression.count, &capture, text, sizeof text) !=
        QUARRY_OK) {
        return eval_fail(eval, PROMQL_ERROR_EXECUTION,
                         "invalid regular expression in label_replace(): %.*s",
                         (int)(expression.count < 512 ? expression.count : 512), expression.bytes);
    }
    for (size_t i = 0; is_done && i < matrix->count; i++) {
        is_done = eval_poll(eval) && replace_row(eval, node, capture, &matrix->rows[i]);
    }
    promql_capture_free(capture);
    return is_done;
}

struct eval_stream *eval_label_replace(struct eval *eval, const struct eval_frame *frame,
                                       const struct promql_node *node)
{
    struct eval_matrix matrix;

    if (!eval_is_label_name(eval, text_argument(node, 1))) {
        (void)fail_label(eval, "destination", "label_replace", text_argument(node, 1));
        return NULL;
    }
    if (!eval_matrix_of(eval, frame, node->call.arguments[0], &matrix) ||
        !replace_rows(eval, node, &matrix)) {
        return NULL;
    }
    return finish(eval, frame, &matrix);
}

/* ---- label_join ----------------------------------------------------------------------------- */

static bool join_row(struct eval *eval, const struct promql_node *node, struct eval_row *row)
{
    struct text text = {.eval = eval};

    for (size_t i = 3; i < node->call.argument_count; i++) {
        if ((i > 3 && !append(&text, text_argument(node, 2))) ||
            !append(&text, eval_labels_find(row->labels, text_argument(node, i)))) {
            return false;
        }
    }
    return set_label(eval, row, text_argument(node, 1), &text);
}

struct eval_stream *eval_label_join(struct eval *eval, const struct eval_frame *frame,
                                    const struct promql_node *node)
{
    struct eval_matrix matrix;

    for (size_t i = 1; i < node->call.argument_count; i++) {
        if (i != 2 && !eval_is_label_name(eval, text_argument(node, i))) {
            (void)fail_label(eval, i == 1 ? "destination" : "source", "label_join",
                             text_argument(node, i));
            return NULL;
        }
    }
    if (!eval_matrix_of(eval, frame, node->call.arguments[0], &matrix)) {
        return NULL;
    }
    for (size_t i = 0; i < matrix.count; i++) {
        if (!join_row(eval, node, &matrix.rows[i])) {
            return NULL;
        }
    }
    return finish(eval, frame, &matrix);
}
