/*
 * The script of the demonstration: ten seconds, over and over.
 *
 *   MiB, of a budget of 256
 *            0 s      1        2        3        4        5        6        7        8        9
 *   general  ▁▃▅ 44 stays, and is replaced run by run ..........................................
 *   slab     ▁▃▅ 44 stays .................................... gives what the limit asks for
 *   window-1    ▁▃▅ 48 ....................................| ended
 *   window-2             ▁▂▃▄▅ 48 ......................................................| ended
 *   window-3                                                 ▁▃▅ 48 ......................| ended
 *   request                       █48| freed                             █96| freed
 *
 * Numbers are chosen so that the spike at 2.5 s fits below 95 % of the budget (what comes back
 * after it comes back in the background), and the one at 7 s does not fit at all: 44 + 44 + 48 + 48
 * + 96 is 24 MiB over the limit.
 *
 * Each step does something and leaves a function that says what is to be seen until the next one.
 */
#include <cli/demo_script.h>

#include <stdio.h>

/* The length of it all. */
#define CYCLE_MS 10000u

const struct demo_role demo_roles[DEMO_PARTS] = {
    [DEMO_GENERAL] = {"general", "demo.general", 1, 32, 2},
    [DEMO_REQUEST] = {"request", "demo.request", 1, 8, 5},
    [DEMO_WINDOW_1] = {"window-1", "demo.window", 32, 96, 0},
    [DEMO_WINDOW_2] = {"window-2", "demo.window", 32, 96, 0},
    [DEMO_WINDOW_3] = {"window-3", "demo.window", 32, 96, 0},
    [DEMO_SLAB] = {"slab", "demo.slab", 128, 128, 0},
};

struct step {
    uint32_t at_ms;
    void (*act)(struct demo_stage *stage);
    void (*say)(const struct demo_stage *stage, char sentence[DEMO_SENTENCE_BYTES]);
};

/* ---- helpers of the steps ------------------------------------------------------------------- */

static uint64_t returned_bytes(const struct demo_stage *stage)
{
    const struct page_scavenger_counters *counters = &stage->heap->scavenger.counters;
    uint64_t bytes = 0;

    for (uint32_t cause = 0; cause < PAGE_CAUSES; cause++) {
        bytes += atomic_load_relaxed_u64(&counters->released_bytes[cause]);
    }
    return bytes;
}

static void say_text(char sentence[DEMO_SENTENCE_BYTES], const char *text)
{
    (void)snprintf(sentence, DEMO_SENTENCE_BYTES, "%s", text);
}

static void free_all(struct demo_stage *stage, enum demo_part part)
{
    demo_actor_aim(&stage->actor[part], 0, 0);
    stage->mark_held_bytes = demo_actor_free(&stage->actor[part], UINT64_MAX);
}

static void end_lane(struct demo_stage *stage, enum demo_part part)
{
    uint64_t before_bytes = returned_bytes(stage);

    demo_actor_end(&stage->actor[part]);
    stage->mark_held_bytes = returned_bytes(stage) - before_bytes;
}

static void say_ended(const struct demo_stage *stage, enum demo_part part,
                      char sentence[DEMO_SENTENCE_BYTES])
{
    char size[SIZE_TEXT_BYTES];

    (void)snprintf(sentence, DEMO_SENTENCE_BYTES, "%s has ended: %s went back in one call",
                   demo_roles[part].lane, size_format(stage->mark_held_bytes, size));
}

/* ---- the steps, in order -------------------------------------------------------------------- */

static void act_begin(struct demo_stage *stage)
{
    demo_actor_aim(&stage->actor[DEMO_GENERAL], Q_MIB(44), Q_MIB(2));
    demo_actor_aim(&stage->actor[DEMO_SLAB], Q_MIB(44), Q_MIB(2));
    demo_actor_aim(&stage->actor[DEMO_REQUEST], Q_MIB(2), Q_MIB(1));
}

static void say_begin(const struct demo_stage *stage, char sentence[DEMO_SENTENCE_BYTES])
{
    say_text(sentence,
             stage->cycle == 0
                 ? "lanes fill from their lowest address: the first run that fits is taken"
                 : "from the beginning: the slab fills again what it gave away");
}

static void act_window_1(struct demo_stage *stage)
{
    demo_actor_aim(&stage->actor[DEMO_WINDOW_1], Q_MIB(48), Q_MIB(3));
}

static void say_window_1(const struct demo_stage *stage, char sentence[DEMO_SENTENCE_BYTES])
{
    (void)stage;
    say_text(sentence, "window-1 fills: a lane of its own for things that will die together");
}

static void act_window_2(struct demo_stage *stage)
{
    demo_actor_aim(&stage->actor[DEMO_WINDOW_2], Q_MIB(48), Q_MIB(1));
}

static void say_window_2(const struct demo_stage *stage, char sentence[DEMO_SENTENCE_BYTES])
{
    (void)stage;
    say_text(sentence, "window-2 begins; different lifetimes never share a chunk");
}

static void act_spike(struct demo_stage *stage)
{
    demo_actor_aim(&stage->actor[DEMO_REQUEST], Q_MIB(48), Q_MIB(6));
}

static void say_spike(const struct demo_stage *stage, char sentence[DEMO_SENTENCE_BYTES])
{
    (void)stage;
    say_text(sentence, "a spike: request takes 48 MiB within half a second");
}

static void act_spike_over(struct demo_stage *stage)
{
    free_all(stage, DEMO_REQUEST);
}

static void say_spike_over(const struct demo_stage *stage, char sentence[DEMO_SENTENCE_BYTES])
{
    char freed[SIZE_TEXT_BYTES], back[SIZE_TEXT_BYTES];
    uint64_t back_bytes = returned_bytes(stage) - stage->mark_returned_bytes;

    (void)snprintf(sentence, DEMO_SENTENCE_BYTES,
                   "spike over: %s are free; the scavenger gave %s back, highest first",
                   size_format(stage->mark_held_bytes, freed), size_format(back_bytes, back));
}

static void act_end_1(struct demo_stage *stage)
{
    end_lane(stage, DEMO_WINDOW_1);
}

static void say_end_1(const struct demo_stage *stage, char sentence[DEMO_SENTENCE_BYTES])
{
    say_ended(stage, DEMO_WINDOW_1, sentence);
}

static void act_window_3(struct demo_stage *stage)
{
    demo_actor_aim(&stage->actor[DEMO_WINDOW_3], Q_MIB(48), Q_MIB(3));
}

static void say_window_3(const struct demo_stage *stage, char sentence[DEMO_SENTENCE_BYTES])
{
    (void)stage;
    say_text(sentence, "window-3 fills; a new lifetime, with the budget that window-1 gave back");
}

static void act_pressure(struct demo_stage *stage)
{
    demo_actor_aim(&stage->actor[DEMO_REQUEST], Q_MIB(96), Q_MIB(6));
}

static void say_pressure(const struct demo_stage *stage, char sentence[DEMO_SENTENCE_BYTES])
{
    char size[SIZE_TEXT_BYTES];
    uint64_t bytes = atomic_load_relaxed_u64(stage->reclaimed_bytes) - stage->mark_reclaimed_bytes;

    if (bytes == 0) {
        say_text(sentence, "request wants 96 MiB, and the budget has less: the limit comes near");
        return;
    }
    (void)snprintf(sentence, DEMO_SENTENCE_BYTES,
                   "at the limit, never above it: the reclaimer of slab freed %s",
                   size_format(bytes, size));
}

static void act_pressure_over(struct demo_stage *stage)
{
    free_all(stage, DEMO_REQUEST);
}

static void say_pressure_over(const struct demo_stage *stage, char sentence[DEMO_SENTENCE_BYTES])
{
    char freed[SIZE_TEXT_BYTES], back[SIZE_TEXT_BYTES];
    uint64_t back_bytes = returned_bytes(stage) - stage->mark_returned_bytes;

    (void)snprintf(sentence, DEMO_SENTENCE_BYTES,
                   "request has freed %s, of which %s went back in the background",
                   size_format(stage->mark_held_bytes, freed), size_format(back_bytes, back));
}

static void act_end_2(struct demo_stage *stage)
{
    end_lane(stage, DEMO_WINDOW_2);
}

static void say_end_2(const struct demo_stage *stage, char sentence[DEMO_SENTENCE_BYTES])
{
    say_ended(stage, DEMO_WINDOW_2, sentence);
}

static void act_end_3(struct demo_stage *stage)
{
    end_lane(stage, DEMO_WINDOW_3);
}

static void say_end_3(const struct demo_stage *stage, char sentence[DEMO_SENTENCE_BYTES])
{
    say_ended(stage, DEMO_WINDOW_3, sentence);
}

static const struct step steps[] = {
    {0, act_begin, say_begin},
    {800, act_window_1, say_window_1},
    {1700, act_window_2, say_window_2},
    {2500, act_spike, say_spike},
    {3200, act_spike_over, say_spike_over},
    {5000, act_end_1, say_end_1},
    {5900, act_window_3, say_window_3},
    {7000, act_pressure, say_pressure},
    {8200, act_pressure_over, say_pressure_over},
    {9000, act_end_2, say_end_2},
    {9500, act_end_3, say_end_3},
};

#define STEP_COUNT ((uint32_t)(sizeof(steps) / sizeof(steps[0])))

/* ---- playing
 * ---------------------------------------------------------------------------------------------------
 */

static void play_step(struct demo_stage *stage)
{
    stage->mark_returned_bytes = returned_bytes(stage);
    stage->mark_reclaimed_bytes = atomic_load_relaxed_u64(stage->reclaimed_bytes);
    steps[stage->step].act(stage);
    stage->step++;
    if (stage->step == STEP_COUNT) {
        stage->step = 0;
        stage->cycle++;
    }
}

void demo_script_tick(struct demo_stage *stage, uint64_t elapsed_ns,
                      char sentence[DEMO_SENTENCE_BYTES])
{
    uint64_t elapsed_ms = elapsed_ns / Q_MS_NS;

    /* One step a tick, so that none is passed over when the machine was busy. */
    if (stage->cycle * CYCLE_MS + steps[stage->step].at_ms <= elapsed_ms) {
        play_step(stage);
    }
    for (uint32_t part = 0; part < DEMO_PARTS; part++) {
        demo_actor_tick(&stage->actor[part]);
    }
    steps[(stage->step + STEP_COUNT - 1) % STEP_COUNT].say(stage, sentence);
}

uint64_t demo_script_reclaim(void *argument, uint64_t wanted_bytes)
{
    struct demo_stage *stage = argument;
    struct demo_actor *slab = &stage->actor[DEMO_SLAB];
    uint64_t freed_bytes = demo_actor_free(slab, wanted_bytes);

    /* It does not want back at once what it gave. */
    demo_actor_aim(slab, slab->held_pages << PAGE_SHIFT, 0);
    (void)atomic_add_relaxed_u64(stage->reclaimed_bytes, freed_bytes);
    return freed_bytes;
}
