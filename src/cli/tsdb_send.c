/*
 * Samples on their way to a server.
 *
 * The door takes a page whole or, line by line, what its rules allow; the header of its answer says
 * how many samples were taken. What it has no room for (429, 503) ends the sending: the page may be
 * sent again later, since what is there already is taken as nothing.
 *
 * Locking: none; of one thread.
 */
#include <cli/tsdb_send.h>

#include <stdlib.h>
#include <string.h>

#include <cli/cli.h>

#define PATH       "/api/v1/import/prometheus"
#define TYPE       "text/plain; version=0.0.4"
#define PAGE_BYTES Q_KIB(512)

void tsdb_sender_fini(struct tsdb_sender *sender)
{
    free(sender->page);
    *sender = (struct tsdb_sender){0};
}

/* In the form of tsdb_sink. */
static enum quarry_status take(void *argument, const char *bytes, size_t byte_count)
{
    struct tsdb_sender *sender = argument;

    if (sender->capacity - sender->count < byte_count) {
        const size_t capacity = 2 * sender->capacity + byte_count;
        char *larger = realloc(sender->page, capacity);
        if (larger == NULL) {
            return QUARRY_NO_MEMORY;
        }
        sender->page = larger;
        sender->capacity = capacity;
    }
    memcpy(sender->page + sender->count, bytes, byte_count);
    sender->count += byte_count;
    return QUARRY_OK;
}

/* What the server says of a page that it has not taken whole: its first line. */
static void tell(const struct tsdb_sender *sender, struct tsdb_http_answer *answer)
{
    char *text = answer->bytes == NULL ? NULL : answer->bytes;

    if (text != NULL) {
        text[strcspn(text, "\n")] = '\0';
    }
    (void)cli_failure(sender->http->command, "the server answered with %u: %.300s", answer->code,
                      text == NULL ? "" : cli_make_printable(text));
}

static enum quarry_status count_answer(struct tsdb_sender *sender, struct tsdb_http_answer *answer)
{
    const bool is_told = answer->written_count != UINT64_MAX;
    const uint64_t taken_count =
        is_told ? size_min_u64(answer->written_count, sender->page_samples) : sender->page_samples;

    if (answer->code / 100 != 2 && (answer->code != 400 || !is_told)) {
        tell(sender, answer);
        return QUARRY_IO;
    }
    if (answer->code == 400 && !sender->was_told) {
        tell(sender, answer);
        sender->was_told = true;
    }
    sender->taken_count += taken_count;
    sender->refused_count += sender->page_samples - taken_count;
    return QUARRY_OK;
}

static enum quarry_status send_page(struct tsdb_sender *sender)
{
    struct tsdb_http_answer answer;

    if (sender->page_samples == 0) {
        return QUARRY_OK;
    }
    if (tsdb_http_ask(sender->http, PATH, TYPE, sender->page, sender->count, &answer) != CLI_OK) {
        return QUARRY_IO;
    }
    const enum quarry_status status = count_answer(sender, &answer);
    tsdb_http_answer_free(&answer);
    sender->count = 0;
    sender->page_samples = 0;
    return status;
}

static enum quarry_status put_entry(struct tsdb_sender *sender,
                                    const struct quarry_tsdb_entry *entry)
{
    const struct tsdb_sink sink = {.write = take, .argument = sender};
    struct tsdb_exposition_writer writer;

    tsdb_exposition_begin(&writer, TSDB_TEXT, &sink);
    for (size_t i = 0; i < entry->sample_count; i++) {
        const struct tsdb_exposition_sample line = {.labels = entry->labels,
                                                    .bits = entry->samples[i].bits,
                                                    .t_ms = entry->samples[i].t_ms,
                                                    .has_time = true};
        tsdb_exposition_put_sample(&writer, &line);
    }
    sender->page_samples += entry->sample_count;
    return tsdb_exposition_end(&writer);
}

enum quarry_status tsdb_send(struct tsdb_sender *sender, const struct quarry_tsdb_entry *entries,
                             size_t entry_count)
{
    enum quarry_status status = QUARRY_OK;

    for (size_t i = 0; i < entry_count && status == QUARRY_OK; i++) {
        status = put_entry(sender, &entries[i]);
        if (status == QUARRY_OK && sender->count >= PAGE_BYTES) {
            status = send_page(sender);
        }
    }
    return status == QUARRY_OK ? send_page(sender) : status;
}
