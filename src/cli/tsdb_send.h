/*
 * Samples on their way to a server: pages of text, each of some hundred KiB.
 */
#ifndef QUARRY_CLI_TSDB_SEND_H
#define QUARRY_CLI_TSDB_SEND_H

#include <cli/tsdb_http.h>

#include <tsdb/tsdb.h>

struct tsdb_sender {
    struct tsdb_http *http; /* borrowed */
    char *page;             /* own, malloc's */
    size_t count, capacity;
    uint64_t page_samples;               /* in it */
    uint64_t taken_count, refused_count; /* by the server */
    bool was_told;                       /* why the first was refused */
};

/*
 * Sends floats; each page is answered before the next one is sent. What the server refuses is
 * counted, and why is said on stderr the first time.
 *
 * Errors: QUARRY_IO: the server cannot be reached, or takes no pages, which is said on stderr;
 * QUARRY_NO_MEMORY.
 */
enum quarry_status tsdb_send(struct tsdb_sender *sender, const struct quarry_tsdb_entry *entries,
                             size_t entry_count);
void tsdb_sender_fini(struct tsdb_sender *sender);

#endif
