/*
 * Views: whoever appends or reads looks at windows through one, and windows end when the last view
 * that lists them is gone.
 *
 *     newest ──> view 3 { w7 w8 w9 }   pinned by being the newest, and by 2 requests
 *                view 2 { w6 w7 w8 }   pinned by a query that is still reading w6
 *
 *     w6->view_count = 1, w7: 2, …     a window ends when its count falls to 0
 *
 * So a purge is a new view: it takes the window from all that begins after it, at once and in
 * O(windows), and looks at nothing in it. Its memory goes when the last query that had begun before
 * lets go, by whoever that is.
 *
 * Invariants
 *   1. view_count of a window is the number of views in the list that have it, and one more while
 *      another window has it as its base.
 *   2. A view without pins is not in the list.
 *   3. No series whose last window is at or above the floor, the lowest number in any view, is
 *      removed: so what a query has found stays while it looks.
 *
 * Locking: one mutex for pins and list, held for some instructions; windows end without it. An
 * epoch instead would cost no lock, but whoever is in one must not wait, and queries do.
 */
#include <tsdb/view.h>

static struct tsdb_view *view_make(struct tsdb_views *views)
{
    return tsdb_memory_take_zero(views->memory, sizeof(struct tsdb_view));
}

static void list_add(struct tsdb_views *views, struct tsdb_view *view) Q_REQUIRES(&views->mutex)
{
    view->next = views->newest;
    if (views->newest != NULL) {
        views->newest->previous = view;
    }
    views->newest = view;
    view->pin_count = 1;
    for (uint32_t i = 0; i < view->window_count; i++) {
        view->windows[i]->view_count++;
    }
}

static void list_remove(struct tsdb_views *views, struct tsdb_view *view) Q_REQUIRES(&views->mutex)
{
    Q_ASSERT(view->pin_count == 0);
    if (view->next != NULL) {
        view->next->previous = view->previous;
    }
    if (view->previous != NULL) {
        view->previous->next = view->next;
    } else {
        views->newest = view->next;
    }
}

enum quarry_status tsdb_views_init(struct tsdb_views *views, const struct tsdb_memory *memory)
{
    *views = (struct tsdb_views){.memory = memory};
    os_mutex_init(&views->mutex, OS_RANK_TSDB_VIEWS, 0);
    struct tsdb_view *view = view_make(views);
    if (view == NULL) {
        return QUARRY_NO_MEMORY;
    }
    os_mutex_lock(&views->mutex);
    list_add(views, view);
    os_mutex_unlock(&views->mutex);
    return QUARRY_OK;
}

struct tsdb_view *tsdb_view_acquire(struct tsdb_views *views)
{
    os_mutex_lock(&views->mutex);
    struct tsdb_view *view = views->newest;
    view->pin_count++;
    os_mutex_unlock(&views->mutex);
    return view;
}

/* Takes one pin away. Returns: whether it was the last. `ret_ended`: windows nobody lists now. */
static bool unpin_locked(struct tsdb_views *views, struct tsdb_view *view,
                         struct tsdb_window *ret_ended[TSDB_VIEW_WINDOWS_MAX],
                         uint32_t *ret_ended_count) Q_REQUIRES(&views->mutex)
{
    uint32_t ended_count = 0;

    Q_ASSERT(view->pin_count > 0);
    if (--view->pin_count > 0) {
        return false;
    }
    list_remove(views, view);
    for (uint32_t i = 0; i < view->window_count; i++) {
        if (--view->windows[i]->view_count == 0) {
            ret_ended[ended_count++] = view->windows[i];
        }
    }
    *ret_ended_count = ended_count;
    return true;
}

/* Ends a window that nobody lists, and what it filled. */
static void window_end(struct tsdb_views *views, struct tsdb_window *window)
{
    struct tsdb_open *open = tsdb_window_open(window);

    if (open != NULL) {
        tsdb_views_end_base(views, open);
    }
    tsdb_window_destroy(window);
}

void tsdb_view_release(struct tsdb_views *views, struct tsdb_view *view)
{
    struct tsdb_window *ended[TSDB_VIEW_WINDOWS_MAX];
    uint32_t ended_count = 0;

    os_mutex_lock(&views->mutex);
    bool is_last = unpin_locked(views, view, ended, &ended_count);
    os_mutex_unlock(&views->mutex);
    for (uint32_t i = 0; i < ended_count; i++) {
        window_end(views, ended[i]);
    }
    if (is_last) {
        tsdb_memory_give(views->memory, view);
    }
}

void tsdb_views_fini(struct tsdb_views *views)
{
    if (views->newest != NULL) {
        Q_ASSERT_MSG(views->newest->pin_count == 1 && views->newest->next == NULL,
                     "a set is not closed");
        tsdb_view_release(views, views->newest);
    }
}

/* Puts a window in its place by number. */
static void view_insert(struct tsdb_view *view, struct tsdb_window *added)
{
    uint32_t at = view->window_count++;

    for (; at > 0 && view->windows[at - 1]->number > added->number; at--) {
        view->windows[at] = view->windows[at - 1];
    }
    Q_ASSERT(at == 0 || view->windows[at - 1]->number != added->number);
    view->windows[at] = added;
}

/* Copies the windows that stay. Returns: how many do not. */
static uint32_t view_copy(struct tsdb_view *view, const struct tsdb_view *old, int32_t number_min)
{
    for (uint32_t i = 0; i < old->window_count; i++) {
        if (old->windows[i]->number >= number_min) {
            view->windows[view->window_count++] = old->windows[i];
        }
    }
    return old->window_count - view->window_count;
}

enum quarry_status tsdb_views_change(struct tsdb_views *views, struct tsdb_window *added,
                                     int32_t number_min, uint32_t *ret_purged_count)
{
    struct tsdb_view *view = view_make(views), *old = tsdb_view_acquire(views);

    uint32_t purged_count = view == NULL ? 0 : view_copy(view, old, number_min);
    if (view == NULL || (added != NULL && view->window_count == TSDB_VIEW_WINDOWS_MAX)) {
        tsdb_view_release(views, old);
        tsdb_memory_give(views->memory, view);
        return view == NULL ? QUARRY_NO_MEMORY : QUARRY_TOO_MANY;
    }
    if (added != NULL) {
        view_insert(view, added);
    }
    os_mutex_lock(&views->mutex);
    list_add(views, view);
    os_mutex_unlock(&views->mutex);
    tsdb_view_release(views, old); /* the one just taken, and the one for being the newest */
    tsdb_view_release(views, old);
    *ret_purged_count = purged_count;
    return QUARRY_OK;
}

/* ---- fillings ------------------------------------------------------------------------------- */

enum quarry_status tsdb_views_fill(struct tsdb_views *views, struct tsdb_window *filling,
                                   struct tsdb_window *base)
{
    struct tsdb_view *view = view_make(views), *old = tsdb_view_acquire(views);

    Q_ASSERT(filling->number == base->number && tsdb_window_open(base) == NULL);
    if (view == NULL) {
        tsdb_view_release(views, old);
        return QUARRY_NO_MEMORY;
    }
    (void)view_copy(view, old, INT32_MIN);
    for (uint32_t i = 0; i < view->window_count; i++) {
        if (view->windows[i] == base) {
            view->windows[i] = filling;
        }
    }
    os_mutex_lock(&views->mutex);
    tsdb_window_open(filling)->base.window = base; /* seen with the view, by its mutex */
    base->view_count++;
    list_add(views, view);
    os_mutex_unlock(&views->mutex);
    tsdb_view_release(views, old);
    tsdb_view_release(views, old);
    return QUARRY_OK;
}

void tsdb_views_end_base(struct tsdb_views *views, struct tsdb_open *open)
{
    struct tsdb_window *base = open->base.window;

    if (base == NULL) {
        return;
    }
    open->base.window = NULL;
    os_mutex_lock(&views->mutex);
    bool is_last = --base->view_count == 0;
    os_mutex_unlock(&views->mutex);
    if (is_last) {
        tsdb_window_destroy(base);
    }
}

bool tsdb_views_is_base_alone(struct tsdb_views *views, const struct tsdb_window *base)
{
    os_mutex_lock(&views->mutex);
    bool is_alone = base->view_count == 1;
    os_mutex_unlock(&views->mutex);
    return is_alone;
}

int32_t tsdb_views_floor(struct tsdb_views *views)
{
    int32_t floor = INT32_MAX;

    os_mutex_lock(&views->mutex);
    for (const struct tsdb_view *view = views->newest; view != NULL; view = view->next) {
        if (view->window_count != 0 && view->windows[0]->number < floor) {
            floor = view->windows[0]->number;
        }
    }
    os_mutex_unlock(&views->mutex);
    return floor;
}
