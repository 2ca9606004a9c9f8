/*
 * What the files of statistics and administration share: a line's words, and how it is answered.
 */
#ifndef QUARRY_SERVE_MEMCACHED_LINE_H
#define QUARRY_SERVE_MEMCACHED_LINE_H

#include <serve/memcached.h>

/* A line that is being executed. */
struct memcached_line {
    struct memcached_turn *turn;
    struct memcached_words words;
};

static inline bool memcached_line_is(const struct memcached_line *line, uint32_t index,
                                     const char *text)
{
    return index < line->words.count &&
           memcached_word_is(line->words.at[index], text, strlen(text));
}

/* Answers; not at all where the line ends in noreply. */
static inline enum memcached_step memcached_line_answer(const struct memcached_line *line,
                                                        const char *text)
{
    return memcached_line_is(line, line->words.count - 1, "noreply")
               ? MEMCACHED_ON
               : memcached_say(line->turn, text);
}

#define MEMCACHED_BAD_FORMAT "CLIENT_ERROR bad command line format"

/* memcached_command_steer.c: what steers parts of memcached. Who may, has been asked of the first
 * two; dumps are everybody's. */
enum memcached_step memcached_line_slabs(const struct memcached_line *line);
enum memcached_step memcached_line_lru(const struct memcached_line *line);
enum memcached_step memcached_line_lru_crawler(const struct memcached_line *line);
/* memcached_command_stats.c: `stats` with what stands behind it. */
enum memcached_step memcached_line_stats(const struct memcached_line *line);

#endif
