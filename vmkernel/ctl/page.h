// SPDX-License-Identifier: Apache-2.0
/*
 * Lists that are read in pages (struct ctl_page_req, struct ctl_page). CTL_LIST declares the
 * operation and opens the body that walks the list under whatever lock that takes; the body calls
 * page_next() once for every item and fills the entry that it gets:
 *
 *	CTL_LIST(CTL_NET_NICS, net_nics, struct ctl_net_nics, nic)
 *	{
 *		uplink_for_each(add_nic, page);
 *	}
 *
 * The reply ends behind the last entry that was filled. A list that changes between two pages may
 * show an item twice or leave one out; each page by itself is consistent.
 */
#ifndef CTL_PAGE_H
#define CTL_PAGE_H
#include "abi/host.h"
#include "vmk/ctl.h"

struct pager {
	struct ctl_call *call;
	uint32_t first; /* item that the page begins with */
	uint32_t room;  /* entries of a page */
	char *entries;  /* the reply's array, of `size` bytes each */
	size_t size;
};

/* The entry (zeroed) for the next item of the list, or NULL when the item is on another page. */
static inline void *page_next(struct pager *p)
{
	struct ctl_page *page = p->call->reply;
	uint32_t at = page->total++;

	if (at < p->first || page->count == p->room)
		return NULL;
	p->call->reply_len += (uint32_t)p->size;
	return p->entries + p->size * page->count++;
}

#define CTL_LIST(op, id, type, member)                                                       \
	static void list_##id(struct pager *page);                                           \
	CTL_OP(op, id, sizeof(struct ctl_page_req), offsetof(type, member), CTL_READ)        \
	{                                                                                    \
		type *reply = c->reply;                                                      \
		const struct ctl_page_req *req = c->req;                                     \
		struct pager page = { c, req->first, ARRAY_SIZE(reply->member),              \
			              (char *)reply->member, sizeof(reply->member[0]) };     \
		STATIC_ASSERT(offsetof(type, page) == 0 && sizeof(type) <= CTL_PAYLOAD_MAX); \
		list_##id(&page);                                                            \
		return 0;                                                                    \
	}                                                                                    \
	static void list_##id(struct pager *page)
#endif
