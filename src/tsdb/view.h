/*
 * Views: which windows there are at one moment, and keeping them while somebody looks.
 */
#ifndef QUARRY_TSDB_VIEW_H
#define QUARRY_TSDB_VIEW_H

#include <os/os.h>

#include <tsdb/window.h>

/* Windows of a view: those that are kept, the newest, and one more while that one is made. */
#define TSDB_VIEW_WINDOWS_MAX (QUARRY_TSDB_WINDOWS_MAX + 2)

struct tsdb_view {
    /* guarded by the views' mutex */
    struct tsdb_view *next, *previous;
    uint32_t pin_count; /* those who look; the newest view is pinned once for being that */
    /* const */
    uint32_t window_count;
    struct tsdb_window *windows[TSDB_VIEW_WINDOWS_MAX]; /* by number, rising */
};

struct tsdb_views {
    const struct tsdb_memory *memory; /* const; borrowed */
    struct os_mutex mutex;
    /* guarded by mutex */
    struct tsdb_view *newest; /* the first of a list of all, newer ones first */
};

/* Begins with a view of no windows. Errors: QUARRY_NO_MEMORY. */
enum quarry_status tsdb_views_init(struct tsdb_views *views, const struct tsdb_memory *memory);
/* Ends it, and the windows of the newest view. Nobody else looks any more, or the program ends. */
void tsdb_views_fini(struct tsdb_views *views);

/*
 * The newest view, which stays as it is until it is released, and its windows with it.
 *
 * Returns: borrowed until tsdb_view_release. Threads: any. Cost: a lock.
 */
struct tsdb_view *tsdb_view_acquire(struct tsdb_views *views);
/* Ends the windows that nobody else keeps. Cost: a lock; and tsdb_window_destroy. */
void tsdb_view_release(struct tsdb_views *views, struct tsdb_view *view);

/* The window of a number; NULL: there is none. */
static inline struct tsdb_window *tsdb_view_find(const struct tsdb_view *view, int32_t number)
{
    for (uint32_t i = view->window_count; i > 0; i--) { /* mostly the newest */
        if (view->windows[i - 1]->number == number) {
            return view->windows[i - 1];
        }
    }
    return NULL;
}

/*
 * Makes a view with one window more, and without those below a number.
 *
 * `added`: given, unless it fails; NULL: none. Of another number than those that stay.
 * Errors: QUARRY_NO_MEMORY; QUARRY_TOO_MANY (TSDB_VIEW_WINDOWS_MAX): as it was.
 * `ret_purged_count`: windows that the new view has not.
 * Threads: the one that has the turn. Cost: O(windows); what nobody looks at ends here.
 */
enum quarry_status tsdb_views_change(struct tsdb_views *views, struct tsdb_window *added,
                                     int32_t number_min, uint32_t *ret_purged_count);

/*
 * Makes a view with a window in place of the one of its number, which becomes its base and lives as
 * long as that or a view wants it.
 *
 * `filling`: given, unless it fails; open, without samples. Errors: QUARRY_NO_MEMORY: as it was.
 * Threads: as above.
 */
enum quarry_status tsdb_views_fill(struct tsdb_views *views, struct tsdb_window *filling,
                                   struct tsdb_window *base);
/* Lets go of the base of an open half, if it has one. Threads: nobody reads it any more. */
void tsdb_views_end_base(struct tsdb_views *views, struct tsdb_open *open);
/* Whether a base is nobody's but the window's that is filled, so that its bytes may go. */
bool tsdb_views_is_base_alone(struct tsdb_views *views, const struct tsdb_window *base);

/* The lowest window number that anybody looks at; INT32_MAX: there is no window. Cost: a lock, and
 * O(views). */
int32_t tsdb_views_floor(struct tsdb_views *views);

#endif
