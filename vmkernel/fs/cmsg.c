// SPDX-License-Identifier: Apache-2.0
/* Control messages on their way out of a socket, as Linux lays them out. Spec: cmsg(3), recv(2). */
#include "vmk/socket.h"
#include "vmk/string.h"

void socket_put_cmsg(struct sock_msg *m, int level, int type, const void *data, uint32_t n)
{
	struct cmsghdr h = { .len = sizeof(h) + n, .level = level, .type = type };
	uint32_t room = m->control_max - m->control_len;

	if (room < h.len)
		m->flags_out |= MSG_CTRUNC;
	if (room < sizeof(h))
		return;
	h.len = MIN(h.len, (uint64_t)room);
	memcpy(m->control + m->control_len, &h, sizeof(h));
	memcpy(m->control + m->control_len + sizeof(h), data, h.len - sizeof(h));
	m->control_len += MIN((uint32_t)CMSG_ALIGN(h.len), room);
}
