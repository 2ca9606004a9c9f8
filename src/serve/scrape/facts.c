/*
 * What a target is, from where it was found: its labels, its URL, its identity.
 *
 *     found        __address__ 10.0.0.7, env prod, __meta_rack 4, __param_module icmp
 *     completed    job, __scheme__, __metrics_path__, __param_… of the job where they are not there
 *     labels       env prod, instance 10.0.0.7:80, job node          those without "__" in front
 *     URL          http://10.0.0.7:80/probe?module=icmp
 *
 * Two targets of one identity are one; a target whose identity stays over a reload goes on with its
 * series. So everything that decides which series there are is in it, and nothing else: job, URL,
 * labels, and whether the page's labels are honoured. Who logs in and how long it may take is not.
 *
 * What has no place in a draft of fixed size is no target: 64 labels, a URL of 2 KiB.
 *
 * Locking: none. Cost: some microseconds; 20 KiB of stack.
 *
 * Source: the order and the names are those of Prometheus 2.42.
 */
#include <serve/scrape/state.h>

#include <stdio.h>
#include <string.h>

#define TARGET_TEXT_BYTES 8192u

static const struct tsdb_label_limits limits = {
    .label_count_max = SCRAPE_TARGET_LABELS_MAX,
    .name_bytes_max = 1024,
    .value_bytes_max = 4096,
};

/* A target that is being put together. */
struct draft {
    const struct finding *finding;
    struct tsdb_label found[SCRAPE_TARGET_LABELS_MAX], final[SCRAPE_TARGET_LABELS_MAX];
    size_t found_count;
    struct tsdb_labels discovered, labels;
    struct tsdb_slice address; /* with a port */
    char url[SCRAPE_URL_BYTES];
    size_t url_bytes;
    char text[TARGET_TEXT_BYTES]; /* what was made up */
    size_t text_bytes;
    bool is_too_long;
};

/* ---- text ----------------------------------------------------------------------------------- */

static struct tsdb_slice keep(struct draft *draft, const char *before, struct tsdb_slice text)
{
    size_t count = strlen(before) + text.count;

    if (count > sizeof draft->text - draft->text_bytes) {
        draft->is_too_long = true;
        return (struct tsdb_slice){"", 0};
    }
    char *to = draft->text + draft->text_bytes;
    memcpy(to, before, strlen(before));
    memcpy(to + strlen(before), text.bytes, text.count);
    draft->text_bytes += count;
    return (struct tsdb_slice){to, count};
}

static void say(struct draft *draft, struct tsdb_slice text)
{
    if (text.count >= sizeof draft->url - draft->url_bytes) {
        draft->is_too_long = true;
        return;
    }
    memcpy(draft->url + draft->url_bytes, text.bytes, text.count);
    draft->url_bytes += text.count;
}

/* The bytes that a query's names and values have as they are; others are percent-encoded. */
static void say_encoded(struct draft *draft, struct tsdb_slice text)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~";
    char code[4];

    for (size_t i = 0; i < text.count; i++) {
        if (text.bytes[i] != '\0' && strchr(plain, text.bytes[i]) != NULL) {
            say(draft, (struct tsdb_slice){text.bytes + i, 1});
        } else {
            (void)snprintf(code, sizeof code, "%%%02X", (unsigned char)text.bytes[i]);
            say(draft, (struct tsdb_slice){code, 3});
        }
    }
}

/* ---- labels --------------------------------------------------------------------------------- */

static const struct tsdb_label *find(const struct draft *draft, struct tsdb_slice name)
{
    for (size_t i = 0; i < draft->found_count; i++) {
        if (tsdb_slice_equal(draft->found[i].name, name)) {
            return &draft->found[i];
        }
    }
    return NULL;
}

/* Adds a label unless it is there. */
static void complete(struct draft *draft, struct tsdb_slice name, struct tsdb_slice value)
{
    if (find(draft, name) != NULL || value.count == 0) {
        return;
    }
    if (draft->found_count == SCRAPE_TARGET_LABELS_MAX) {
        draft->is_too_long = true;
        return;
    }
    draft->found[draft->found_count++] = (struct tsdb_label){name, value};
}

static bool begins_with(struct tsdb_slice text, const char *begin)
{
    return text.count >= strlen(begin) && memcmp(text.bytes, begin, strlen(begin)) == 0;
}

/* The next pair of "a=1&b=2"; its parts as they stand. */
static bool next_param(const char **params, struct tsdb_label *ret_param)
{
    while (**params == '&') {
        (*params)++;
    }
    size_t length = strcspn(*params, "&"), name_bytes = strcspn(*params, "=&");

    if (length == 0) {
        return false;
    }
    ret_param->name = (struct tsdb_slice){*params, name_bytes};
    size_t skipped = size_min(length, name_bytes + 1);
    ret_param->value = (struct tsdb_slice){*params + skipped, length - skipped};
    *params += length;
    return true;
}

static void complete_from_job(struct draft *draft)
{
    const struct scrape_job *job = &draft->finding->job->settings;
    const char *labels = job->labels, *params = job->params;
    struct tsdb_slice piece;
    struct tsdb_label label;

    while (scrape_list_next(&labels, &piece)) {
        if (scrape_split_label(piece, &label)) {
            complete(draft, label.name, label.value);
        }
    }
    complete(draft, tsdb_slice_of("job"), tsdb_slice_of(job->name));
    complete(draft, tsdb_slice_of("__scheme__"), tsdb_slice_of(job->is_https ? "https" : "http"));
    complete(draft, tsdb_slice_of("__metrics_path__"), tsdb_slice_of(job->path));
    while (next_param(&params, &label)) {
        complete(draft, keep(draft, "__param_", label.name), label.value);
    }
}

/* ---- address and URL ------------------------------------------------------------------------ */

/* Whether a port is there: behind the last colon, and not within brackets. */
static bool has_port(struct tsdb_slice address)
{
    const char *colon = memrchr(address.bytes, ':', address.count);
    const char *bracket = memrchr(address.bytes, ']', address.count);

    return colon != NULL && (bracket == NULL || colon > bracket);
}

static bool is_https(const struct draft *draft)
{
    const struct tsdb_label *scheme = find(draft, tsdb_slice_of("__scheme__"));

    return scheme != NULL && tsdb_slice_equal(scheme->value, tsdb_slice_of("https"));
}

static void complete_address(struct draft *draft)
{
    struct tsdb_slice address = draft->finding->address;
    char port[520];

    if (!has_port(address)) {
        int count = snprintf(port, sizeof port, "%.*s:%s", (int)address.count, address.bytes,
                             is_https(draft) ? "443" : "80");
        address = keep(draft, "", (struct tsdb_slice){port, (size_t)count});
    }
    draft->address = address;
    complete(draft, tsdb_slice_of("instance"), address);
}

/* Whether a label that was found there says what a parameter of the job is to be. */
static bool is_replaced(struct draft *draft, struct tsdb_slice param)
{
    for (size_t i = 0; i < draft->finding->label_count; i++) {
        struct tsdb_slice name = draft->finding->labels[i].name;
        if (begins_with(name, "__param_") && name.count - 8 == param.count &&
            memcmp(name.bytes + 8, param.bytes, param.count) == 0) {
            return true;
        }
    }
    return false;
}

static void say_params(struct draft *draft)
{
    const char *params = draft->finding->job->settings.params;
    struct tsdb_label param;
    char sign = '?';

    while (next_param(&params, &param)) {
        if (!is_replaced(draft, param.name)) {
            say(draft, (struct tsdb_slice){&sign, 1});
            say(draft, param.name);
            say(draft, tsdb_slice_of("="));
            say(draft, param.value);
            sign = '&';
        }
    }
    for (size_t i = 0; i < draft->finding->label_count; i++) {
        const struct tsdb_label *label = &draft->finding->labels[i];
        if (begins_with(label->name, "__param_")) {
            say(draft, (struct tsdb_slice){&sign, 1});
            say_encoded(draft, (struct tsdb_slice){label->name.bytes + 8, label->name.count - 8});
            say(draft, tsdb_slice_of("="));
            say_encoded(draft, label->value);
            sign = '&';
        }
    }
}

static void make_url(struct draft *draft)
{
    const struct tsdb_label *path = find(draft, tsdb_slice_of("__metrics_path__"));

    say(draft, tsdb_slice_of(is_https(draft) ? "https://" : "http://"));
    say(draft, draft->address);
    if (path != NULL) {
        say(draft, path->value);
    }
    say_params(draft);
    draft->url[draft->url_bytes] = '\0';
}

/* ---- the whole ------------------------------------------------------------------------------ */

static enum quarry_status finish(struct draft *draft, struct quarry_error *error)
{
    struct tsdb_label_set set;

    tsdb_label_set_init(&set, &limits, draft->final);
    for (size_t i = 0; i < draft->found_count; i++) {
        if (!begins_with(draft->found[i].name, "__")) {
            tsdb_label_set_add(&set, draft->found[i].name, draft->found[i].value);
        }
    }
    if (tsdb_label_set_finish(&set, &draft->labels) == TSDB_LABELS_GOOD) {
        struct tsdb_label_set all;
        tsdb_label_set_init(&all, &limits, draft->found);
        all.count = (uint32_t)draft->found_count;
        set.fault = tsdb_label_set_finish(&all, &draft->discovered);
        set.culprit = all.culprit;
    }
    if (set.fault != TSDB_LABELS_GOOD) {
        tsdb_label_set_tell(&set, error);
        return QUARRY_BAD_INPUT;
    }
    return QUARRY_OK;
}

/* The address is as it was found there; its port is in the URL and in `instance`. */
static enum quarry_status make_draft(struct draft *draft, struct quarry_error *error)
{
    const struct finding *finding = draft->finding;

    for (size_t i = 0; i < finding->label_count; i++) {
        complete(draft, finding->labels[i].name, finding->labels[i].value);
    }
    complete(draft, tsdb_slice_of("__address__"), finding->address);
    if (finding->file != NULL) {
        complete(draft, tsdb_slice_of("__meta_filepath"), tsdb_slice_of(finding->file));
    }
    complete_from_job(draft);
    complete_address(draft);
    make_url(draft);
    if (draft->is_too_long) {
        return error_set(error, QUARRY_TOO_LARGE,
                         "it has more than %u labels, or a URL of more than %u bytes",
                         SCRAPE_TARGET_LABELS_MAX, SCRAPE_URL_BYTES);
    }
    return finish(draft, error);
}

static size_t labels_bytes(struct tsdb_labels labels)
{
    size_t bytes = labels.count * sizeof(struct tsdb_label);

    for (size_t i = 0; i < labels.count; i++) {
        bytes += labels.labels[i].name.count + labels.labels[i].value.count + 2;
    }
    return bytes;
}

static struct tsdb_slice copy_slice(struct tsdb_slice text, char **to)
{
    char *begin = *to;

    memcpy(begin, text.bytes, text.count);
    begin[text.count] = '\0';
    *to += text.count + 1;
    return (struct tsdb_slice){begin, text.count};
}

static struct tsdb_labels copy_labels(struct tsdb_labels labels, struct tsdb_label **at, char **to)
{
    struct tsdb_label *begin = *at;

    for (size_t i = 0; i < labels.count; i++) {
        begin[i].name = copy_slice(labels.labels[i].name, to);
        begin[i].value = copy_slice(labels.labels[i].value, to);
    }
    *at += labels.count;
    return (struct tsdb_labels){begin, labels.count};
}

/* Names and values with their ends, so that no two sets are the same bytes. */
static struct hash_u128 hash_labels(struct tsdb_labels labels, struct hash_u128 hash)
{
    for (size_t i = 0; i < labels.count; i++) {
        const struct tsdb_slice *parts[] = {&labels.labels[i].name, &labels.labels[i].value};
        for (size_t j = 0; j < 2; j++) {
            struct hash_u128 part = hash_xxh3_u128(parts[j]->bytes, parts[j]->count, j + 1);
            uint64_t both[4] = {hash.low, hash.high, part.low, part.high};
            hash = hash_xxh3_u128(both, sizeof both, 0);
        }
    }
    return hash;
}

static void identify(struct facts *facts)
{
    const struct scrape_job *job = &facts->job->settings;
    struct hash_u128 name = hash_xxh3_u128(job->name, strlen(job->name), job->honors_labels);

    facts->labels_hash = hash_labels(facts->labels, (struct hash_u128){0, 0});
    struct hash_u128 url = hash_xxh3_u128(facts->url, strlen(facts->url), 0);
    uint64_t parts[6] = {
        name.low, name.high, url.low, url.high, facts->labels_hash.low, facts->labels_hash.high};
    facts->identity = hash_xxh3_u128(parts, sizeof parts, job->ignores_times);
}

enum quarry_status scrape_facts_make(const struct tsdb_memory *memory,
                                     const struct finding *finding, struct facts **ret_facts,
                                     struct quarry_error *error)
{
    struct draft draft;

    draft.finding = finding;
    draft.found_count = draft.url_bytes = draft.text_bytes = 0;
    draft.is_too_long = false;
    enum quarry_status status = make_draft(&draft, error);
    if (status != QUARRY_OK) {
        return status;
    }
    size_t bytes = sizeof(struct facts) + labels_bytes(draft.discovered) +
                   labels_bytes(draft.labels) + draft.url_bytes + 1;
    struct facts *facts = tsdb_memory_take(memory, bytes);
    if (facts == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory for a target");
    }
    struct tsdb_label *at = (struct tsdb_label *)(facts + 1);
    char *to = (char *)(at + draft.discovered.count + draft.labels.count);
    *facts = (struct facts){.job = finding->job};
    facts->discovered = copy_labels(draft.discovered, &at, &to);
    facts->labels = copy_labels(draft.labels, &at, &to);
    facts->url = copy_slice((struct tsdb_slice){draft.url, draft.url_bytes}, &to).bytes;
    Q_ASSERT(to == (char *)facts + bytes);
    facts->job->holder_count++;
    identify(facts);
    *ret_facts = facts;
    return QUARRY_OK;
}

void scrape_facts_give(const struct tsdb_memory *memory, struct facts *facts)
{
    if (facts != NULL) {
        scrape_job_release(facts->job);
        tsdb_memory_give(memory, facts);
    }
}
