/*
 * The memcached door in conversation: every request of tests/memcached/conversations is answered as
 * it says there, in one piece, split anywhere, and whatever the reader's pace.
 *
 * The same files are said to memcached itself by tests/memcached/test_memcached_differential.c.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>

#include "memcached/conversation.h"
#include "unit/serve/memcached_rig.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Everything that was sent and answered, one behind the other. */
struct transcript {
    char *sent;
    size_t sent_bytes;
    char *answered;
    size_t answered_bytes;
    bool is_closed;
};

static void append(char **text, size_t *byte_count, const char *bytes, size_t count)
{
    *text = realloc(*text, *byte_count + count + 1);
    assert_non_null(*text);
    memcpy(*text + *byte_count, bytes, count);
    *byte_count += count;
}

static void free_transcript(struct transcript *transcript)
{
    free(transcript->sent);
    free(transcript->answered);
}

/* ---- as it is written ------------------------------------------------------------------------ */

static void fail_step(const struct conversation *conversation, const struct step *step,
                      const char *answer, size_t byte_count)
{
    fprintf(stderr, "%s:%d: \"%s\" is answered otherwise\n", conversation->file, step->line,
            conversation->title);
    print_escaped("wanted", step->text.bytes, step->text.byte_count);
    print_escaped("answer", answer, byte_count);
    fail();
}

/* Checks that the answer goes on as a step says. Returns: how many bytes that is. */
static size_t expect(const struct conversation *conversation, const struct step *step,
                     const char *answer, size_t byte_count, uint64_t *cas)
{
    size_t matched = pattern_match(&step->text, answer, byte_count, cas);

    if (matched >= SIZE_MAX - 1) {
        fail_step(conversation, step, answer, byte_count);
    }
    return matched;
}

static void expect_nothing_more(const struct conversation *conversation, int line,
                                const char *answer, size_t byte_count)
{
    if (byte_count > 0) {
        fprintf(stderr, "%s:%d: \"%s\" has more answers than expected before this line\n",
                conversation->file, line, conversation->title);
        print_escaped("answer", answer, byte_count);
        fail();
    }
}

/* Has a conversation step by step. */
static void converse(const struct conversation *conversation, struct transcript *transcript)
{
    struct rig rig;
    uint64_t cas = 0;
    size_t seen = 0;
    size_t byte_count;

    rig_open(&rig);
    for (size_t i = 0; i < conversation->step_count; i++) {
        const struct step *step = &conversation->steps[i];
        const char *answer = fake_answer(rig.connection, &byte_count);

        switch (step->kind) {
        case STEP_SEND: {
            size_t sent_bytes;
            char *sent = pattern_fill(&step->text, cas, &sent_bytes);
            bool follows_send = i > 0 && conversation->steps[i - 1].kind == STEP_SEND;

            if (!follows_send) {
                expect_nothing_more(conversation, step->line, answer + seen, byte_count - seen);
            }
            append(&transcript->sent, &transcript->sent_bytes, sent, sent_bytes);
            fake_send(rig.connection, sent, sent_bytes);
            fake_settle(rig.connection);
            free(sent);
            break;
        }
        case STEP_EXPECT:
            seen += expect(conversation, step, answer + seen, byte_count - seen, &cas);
            break;
        case STEP_CLOCK:
            quarry_cache_shift_clock(rig.cache, step->seconds);
            break;
        case STEP_CLOSED:
            assert_true(fake_is_closed(rig.connection));
            break;
        }
    }
    const char *answer = fake_answer(rig.connection, &byte_count);

    expect_nothing_more(conversation, conversation->line, answer + seen, byte_count - seen);
    append(&transcript->answered, &transcript->answered_bytes, answer, byte_count);
    transcript->is_closed = fake_is_closed(rig.connection);
    rig_close(&rig);
}

/* ---- split ---------------------------------------------------------------------------------- */

/* Whether all of it may be sent in one go. */
static bool is_timeless(const struct conversation *conversation)
{
    for (size_t i = 0; i < conversation->step_count; i++) {
        if (conversation->steps[i].kind == STEP_CLOCK) {
            return false;
        }
    }
    return true;
}

/* How a transcript is said again. */
struct retelling {
    size_t split;        /* the first piece's length; then the rest, or pieces of `step` */
    size_t step;         /* 0: the rest at once */
    size_t taken_a_turn; /* the reader's pace */
    size_t piece_bytes;  /* of values in the cache */
    bool refuses_pins;
};

static void retell(const struct conversation *conversation, const struct transcript *transcript,
                   const struct retelling *how)
{
    struct rig rig;
    size_t byte_count;

    rig_open_slow(&rig, how->taken_a_turn);
    rig_set_pieces(&rig, how->piece_bytes, how->refuses_pins);
    fake_send(rig.connection, transcript->sent, how->split);
    for (size_t at = how->split; at < transcript->sent_bytes;) {
        size_t left = transcript->sent_bytes - at;
        size_t count = how->step == 0 || how->step > left ? left : how->step;

        fake_send(rig.connection, transcript->sent + at, count);
        at += count;
    }
    fake_settle(rig.connection);
    const char *answer = fake_answer(rig.connection, &byte_count);

    if (byte_count != transcript->answered_bytes ||
        (byte_count > 0 && memcmp(answer, transcript->answered, byte_count) != 0) ||
        fake_is_closed(rig.connection) != transcript->is_closed) {
        fprintf(stderr, "%s:%d: \"%s\" is answered otherwise when split at %zu, steps of %zu\n",
                conversation->file, conversation->line, conversation->title, how->split, how->step);
        print_escaped("wanted", transcript->answered, transcript->answered_bytes);
        print_escaped("answer", answer, byte_count);
        fail();
    }
    rig_close(&rig);
}

/* Where long transcripts are split: all of their first bytes, and a prime's multiples. */
#define DENSE_BYTES 600u
#define SPARSE_STEP 9973u

static void retell_split(const struct conversation *conversation,
                         const struct transcript *transcript)
{
    for (size_t split = 0; split <= transcript->sent_bytes;) {
        retell(conversation, transcript, &(struct retelling){.split = split});
        split += split < DENSE_BYTES || transcript->sent_bytes - split <= 100 ? rig_split_step
                                                                              : SPARSE_STEP;
    }
}

static void retell_in_steps(const struct conversation *conversation,
                            const struct transcript *transcript)
{
    static const size_t steps[] = {1, 2, 3, 7, 64, 1000, 4096, 16384};

    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        if (transcript->sent_bytes / steps[i] < 100000) {
            retell(conversation, transcript, &(struct retelling){.step = steps[i]});
        }
    }
}

static void retell_slowly(const struct conversation *conversation,
                          const struct transcript *transcript)
{
    static const size_t paces[] = {1, 100, 5000, 700000};

    for (size_t i = 0; i < sizeof paces / sizeof paces[0]; i++) {
        if (transcript->answered_bytes / paces[i] > 20000) {
            continue;
        }
        struct retelling how = {.taken_a_turn = paces[i], .piece_bytes = i == 0 ? 0 : 3000};

        retell(conversation, transcript, &how);
        how.refuses_pins = true;
        retell(conversation, transcript, &how);
    }
}

/* ---- all files ------------------------------------------------------------------------------ */

typedef void each_function(const struct conversation *conversation);

static void each_of_file(const char *path, each_function *function, size_t *count)
{
    struct conversations all = conversations_read(path);

    for (size_t i = 0; i < all.count; i++) {
        function(&all.at[i]);
    }
    *count += all.count;
    conversations_free(&all);
}

static void each(each_function *function)
{
    DIR *folder = opendir(CONVERSATIONS);
    size_t count = 0;

    assert_non_null(folder);
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        char path[4096];

        if (strstr(entry->d_name, ".txt") != NULL) {
            snprintf(path, sizeof path, "%s/%s", CONVERSATIONS, entry->d_name);
            each_of_file(path, function, &count);
        }
    }
    closedir(folder);
    assert_true(count > 50);
}

static void say_as_written(const struct conversation *conversation)
{
    struct transcript transcript = {0};

    converse(conversation, &transcript);
    free_transcript(&transcript);
}

static void say_all_ways(const struct conversation *conversation,
                         void (*say)(const struct conversation *, const struct transcript *))
{
    struct transcript transcript = {0};

    converse(conversation, &transcript);
    if (is_timeless(conversation)) {
        say(conversation, &transcript);
    }
    free_transcript(&transcript);
}

static void say_split(const struct conversation *conversation)
{
    say_all_ways(conversation, retell_split);
}

static void say_in_steps(const struct conversation *conversation)
{
    say_all_ways(conversation, retell_in_steps);
}

static void say_slowly(const struct conversation *conversation)
{
    say_all_ways(conversation, retell_slowly);
}

static void every_request_is_answered_as_it_is_written(void **state)
{
    (void)state;
    each(say_as_written);
}

static void no_answer_depends_on_where_the_bytes_are_split(void **state)
{
    (void)state;
    each(say_split);
}

static void no_answer_depends_on_the_size_of_pieces(void **state)
{
    (void)state;
    each(say_in_steps);
}

static void no_answer_depends_on_the_pace_of_the_reader(void **state)
{
    (void)state;
    each(say_slowly);
}

/* The reasons why memcached answers otherwise are those that docs/memcached.md lists. */
static char documented[65536];

static void look_up_reason(const struct conversation *conversation)
{
    char line[256];

    snprintf(line, sizeof line, "\n- %s\n", conversation->reason);
    if (conversation->reason[0] != '\0' && strstr(documented, line) == NULL) {
        fail_msg("docs/memcached.md does not say: %s", conversation->reason);
    }
}

static void every_difference_is_documented(void **state)
{
    FILE *file = fopen(DOCUMENT, "re");

    (void)state;
    assert_non_null(file);
    size_t byte_count = fread(documented, 1, sizeof documented - 1, file);

    fclose(file);
    assert_true(byte_count > 0 && byte_count < sizeof documented - 1);
    each(look_up_reason);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_request_is_answered_as_it_is_written),
        cmocka_unit_test(no_answer_depends_on_where_the_bytes_are_split),
        cmocka_unit_test(no_answer_depends_on_the_size_of_pieces),
        cmocka_unit_test(no_answer_depends_on_the_pace_of_the_reader),
        cmocka_unit_test(every_difference_is_documented),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
