/*
 * All keys of a tenant, a stretch at a time.
 *
 *     lru_crawler metadump    key=a%20b exp=-1 la=1795292642 cas=1 fetch=no cls=1 size=61\n …
 * END\r\n lru_crawler mgdump      mg a\r\n … EN\r\n stats cachedump         ITEM a [1 b; 0 s]\r\n …
 * END\r\n
 *
 * Invariants:
 *  1. The line's end is left unconsumed until the last key has been told, so that the worker comes
 *     back after each stretch.
 *  2. No more than SERVE_OUT_WAITING_MAX bytes wait, and a stretch takes tens of microseconds: a
 *     client that reads slowly, or not at all, costs no more than one that does not dump.
 *
 * Source: the lines of memcached 1.6.18, and of 1.6.45 for mgdump; a key that mgdump cannot tell as
 * it is comes in base64, with a b behind it.
 */
#include <serve/memcached_dump.h>

#include <serve/memcached_request.h>

/* Items looked at before others have their turn: some tens of microseconds. */
#define STRETCH_ITEMS 64u
/* A key of %XX, and words of numbers. */
#define LINE_BYTES_MAX 1100u

/* ---- classes -------------------------------------------------------------------------------- */

void memcached_dump_add_class(struct memcached_dumping *dumping, uint32_t class_id)
{
    Q_ASSERT(class_id < MEMCACHED_DUMP_CLASSES_MAX);
    dumping->has_classes = true;
    dumping->classes[class_id / 64] |= (uint64_t)1 << (class_id & 63);
}

bool memcached_dump_read_classes(struct memcached_word word, struct memcached_dumping *dumping)
{
    dumping->has_classes = false;
    dumping->left = UINT32_MAX;
    if (MEMCACHED_WORD_IS(word, "all") || MEMCACHED_WORD_IS(word, "hash")) {
        return true;
    }
    for (const char *end = word.text + word.length; word.text < end; word.text++) {
        const char *comma = memchr(word.text, ',', (size_t)(end - word.text));
        const char *stop = comma == NULL ? end : comma;
        uint32_t class_id;

        if (!memcached_read_u32((struct memcached_word){word.text, (size_t)(stop - word.text)},
                                &class_id) ||
            class_id == 0 || class_id >= MEMCACHED_DUMP_CLASSES_MAX) {
            return false;
        }
        memcached_dump_add_class(dumping, class_id);
        word.text = stop;
    }
    return dumping->has_classes;
}

static bool is_wanted(const struct memcached_dumping *dumping, const struct quarry_cache_hit *hit)
{
    /* As in memcached: cachedump has no form for such keys. */
    if (dumping->form == MEMCACHED_DUMPS_CLASS && !memcached_is_plain(hit->key, hit->key_bytes)) {
        return false;
    }
    return !dumping->has_classes ||
           (hit->class_id < MEMCACHED_DUMP_CLASSES_MAX &&
            (dumping->classes[hit->class_id / 64] >> (hit->class_id & 63) & 1) != 0);
}

/* ---- lines ---------------------------------------------------------------------------------- */

static char *put(char *out, const char *text)
{
    size_t length = strlen(text);

    memcpy(out, text, length);
    return out + length;
}

static char *put_figure(char *out, const char *name, uint64_t number)
{
    return memcached_write_u64(put(out, name), number);
}

static char *put_item(char *out, const struct quarry_cache_hit *hit)
{
    uint32_t now = quarry_cache_now(memcached.settings.cache);

    out = memcached_write_uri(put(out, "key="), hit->key, hit->key_bytes);
    out = hit->expiry == 0 ? put(out, " exp=-1") : put_figure(out, " exp=", hit->expiry);
    out = put_figure(out, " la=", now - hit->idle_seconds);
    out = put_figure(out, " cas=", hit->cas);
    out = put(out, hit->was_hit ? " fetch=yes" : " fetch=no");
    out = put_figure(out, " cls=", hit->class_id);
    return put(put_figure(out, " size=", hit->item_bytes), "\n");
}

static char *put_key(char *out, const struct quarry_cache_hit *hit)
{
    out = put(out, "mg ");
    if (memcached_is_plain(hit->key, hit->key_bytes)) {
        memcpy(out, hit->key, hit->key_bytes);
        return put(out + hit->key_bytes, "\r\n");
    }
    out += memcached_base64_encode(out, hit->key, hit->key_bytes);
    return put(out, " b\r\n");
}

static char *put_class_item(char *out, const struct quarry_cache_hit *hit)
{
    out = put(out, "ITEM ");
    memcpy(out, hit->key, hit->key_bytes);
    out = put_figure(out + hit->key_bytes, " [", hit->value_bytes);
    return put(put_figure(out, " b; ", hit->expiry), " s]\r\n");
}

/* ---- stretches ------------------------------------------------------------------------------ */

static bool tell(struct memcached_turn *turn, const struct memcached_dumping *dumping,
                 const struct quarry_cache_hit *hit)
{
    char *room = serve_out_room(turn->connection, LINE_BYTES_MAX);

    if (room == NULL) {
        return false;
    }
    char *end = dumping->form == MEMCACHED_DUMPS_ITEMS  ? put_item(room, hit)
                : dumping->form == MEMCACHED_DUMPS_KEYS ? put_key(room, hit)
                                                        : put_class_item(room, hit);

    Q_ASSERT((size_t)(end - room) <= LINE_BYTES_MAX);
    serve_out_advance(turn->connection, (size_t)(end - room));
    return true;
}

static enum memcached_step end_dump(struct memcached_turn *turn)
{
    enum memcached_dump_form form = (enum memcached_dump_form)turn->state->dumping.form;

    turn->at += 1;
    turn->state->phase = MEMCACHED_REQUEST;
    return memcached_say(turn, form == MEMCACHED_DUMPS_KEYS ? "EN" : "END");
}

enum memcached_step memcached_dump_begin(struct memcached_turn *turn,
                                         const struct memcached_dumping *dumping)
{
    turn->state->dumping = *dumping;
    turn->state->phase = MEMCACHED_DUMP;
    turn->at -= 1;
    return MEMCACHED_ON;
}

enum memcached_step memcached_dump_phase(struct memcached_turn *turn)
{
    struct memcached_dumping *dumping = &turn->state->dumping;
    struct quarry_cache_hit hits[STRETCH_ITEMS];
    size_t count = quarry_cache_next(turn->tenant, &dumping->cursor, hits, STRETCH_ITEMS);

    for (size_t i = 0; i < count && dumping->left > 0; i++) {
        if (is_wanted(dumping, &hits[i])) {
            dumping->left--;
            if (!tell(turn, dumping, &hits[i])) {
                return MEMCACHED_CLOSE;
            }
        }
    }
    turn->state->turn_requests += STRETCH_ITEMS;
    return count == 0 || dumping->left == 0 ? end_dump(turn) : MEMCACHED_ON;
}
