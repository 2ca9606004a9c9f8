/*
 * The measuring side of `quarry bench stories`: which child does what.
 */
#include <bench/stories/stories.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <bench/blocks/driver_quarry.h>
#include <bench/stories/churn.h>
#include <bench/stories/story.h>

/* Longer than the longest story: a day of bursts. */
#define ALARM_SECONDS 100000u

int bench_stories_child_main(int argc, char **argv)
{
    int code = 2;

    (void)alarm(ALARM_SECONDS);
    if (argc > 1 && strcmp(argv[1], "bursts") == 0) {
        code = stories_child_bursts(argc - 2, argv + 2);
    } else if (argc > 1 && strcmp(argv[1], "carve") == 0) {
        code = stories_child_carve(argc - 2, argv + 2);
    } else if (argc > 1 && strcmp(argv[1], "churn") == 0) {
        code = stories_churn_child(&bench_cache_driver_quarry, argc - 2, argv + 2);
    } else if (argc > 1 && strcmp(argv[1], "pauses") == 0) {
        code = stories_child_pauses(argc - 2, argv + 2);
    }
    if (code == 2) {
        (void)fputs("quarry-bench-child: stories is run by `quarry bench stories`; see its help\n",
                    stderr);
    }
    return code;
}
