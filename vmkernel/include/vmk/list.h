// SPDX-License-Identifier: Apache-2.0
/* Intrusive doubly linked ring. The owner's lock guards it. */
#ifndef VMK_LIST_H
#define VMK_LIST_H
#include "vmk/types.h"

struct list {
	struct list *next, *prev;
};

#define LIST_INIT(name)          \
	{                        \
		&(name), &(name) \
	}
#define list_entry(ptr, type, member) container_of(ptr, type, member)
#define list_first(head, type, member) \
	(list_empty(head) ? NULL : list_entry((head)->next, type, member))
#define list_for_each(it, head, member)                                                     \
	for (it = list_entry((head)->next, __typeof__(*it), member); &it->member != (head); \
	     it = list_entry(it->member.next, __typeof__(*it), member))
/* Safe against removal of the current entry. */
#define list_for_each_safe(it, n, head, member)                       \
	for (it = list_entry((head)->next, __typeof__(*it), member),  \
	    n = list_entry(it->member.next, __typeof__(*it), member); \
	     &it->member != (head);                                   \
	     it = n, n = list_entry(n->member.next, __typeof__(*n), member))

static inline void list_init(struct list *l)
{
	l->next = l->prev = l;
}
static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}
static inline void list_insert_(struct list *n, struct list *prev, struct list *next)
{
	n->prev = prev;
	n->next = next;
	prev->next = n;
	next->prev = n;
}
static inline void list_push_front(struct list *head, struct list *n)
{
	list_insert_(n, head, head->next);
}
static inline void list_push_back(struct list *head, struct list *n)
{
	list_insert_(n, head->prev, head);
}
/* Leaves n initialised, so that removing twice and list_empty(n) are safe. */
static inline void list_remove(struct list *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	list_init(n);
}
/* Moves all of src behind the entries of dst. */
static inline void list_splice_back(struct list *dst, struct list *src)
{
	if (list_empty(src))
		return;
	src->next->prev = dst->prev;
	dst->prev->next = src->next;
	src->prev->next = dst;
	dst->prev = src->prev;
	list_init(src);
}
#endif
