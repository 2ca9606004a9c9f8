/*
 * Doubly linked lists whose links lie in what is listed. A link is in one list at most.
 */
#ifndef QUARRY_SERVE_LIST_H
#define QUARRY_SERVE_LIST_H

#include <base/base.h>

struct serve_link {
    struct serve_link *previous; /* NULL: in no list */
    struct serve_link *next;
};

/* A ring with the list itself in it, so that no end is a special case. */
struct serve_list {
    struct serve_link ends;
    size_t count;
};

#define serve_list_entry(link, type, member)                                                       \
    ((type *)(void *)((char *)(link)-offsetof(type, member)))

static inline void serve_list_init(struct serve_list *list)
{
    list->ends = (struct serve_link){&list->ends, &list->ends};
    list->count = 0;
}

static inline bool serve_link_is_listed(const struct serve_link *link)
{
    return link->previous != NULL;
}

static inline void serve_list_append(struct serve_list *list, struct serve_link *link)
{
    Q_DCHECK(!serve_link_is_listed(link));
    *link = (struct serve_link){list->ends.previous, &list->ends};
    link->previous->next = link;
    list->ends.previous = link;
    list->count++;
}

static inline void serve_list_prepend(struct serve_list *list, struct serve_link *link)
{
    Q_DCHECK(!serve_link_is_listed(link));
    *link = (struct serve_link){&list->ends, list->ends.next};
    link->next->previous = link;
    list->ends.next = link;
    list->count++;
}

static inline void serve_list_remove(struct serve_list *list, struct serve_link *link)
{
    Q_DCHECK(serve_link_is_listed(link) && list->count > 0);
    link->previous->next = link->next;
    link->next->previous = link->previous;
    *link = (struct serve_link){NULL, NULL};
    list->count--;
}

/* NULL: empty. */
static inline struct serve_link *serve_list_first(const struct serve_list *list)
{
    return list->count == 0 ? NULL : list->ends.next;
}

/* The one after `link`; NULL: it was the last. */
static inline struct serve_link *serve_list_next(const struct serve_list *list,
                                                 const struct serve_link *link)
{
    return link->next == &list->ends ? NULL : link->next;
}

#endif
