// SPDX-License-Identifier: Apache-2.0
/*
 * The control socket's frames (DESIGN.md, Control). A frame is this header and length bytes of the
 * operation's structure. Requests carry status 0; replies repeat operation and sequence; events
 * have sequence 0.
 */
#ifndef ABI_CTL_H
#define ABI_CTL_H
#include "abi/abi.h"

enum ctl_limits { CTL_PAYLOAD_MAX = 65536, CTL_NAME_MAX = 64, CTL_PATH_MAX = 256, CTL_FDS_MAX = 4 };

struct ctl_header {
	uint32_t length;    /* bytes that follow, at most CTL_PAYLOAD_MAX */
	uint32_t operation; /* enum ctl_op; replies: the same */
	uint32_t sequence;  /* the client's; events: 0 */
	int32_t status;     /* replies: 0 or -errno, then the payload is a ctl_error text */
};
ABI_SIZE(struct ctl_header, 16);

struct ctl_error {
	char text[256];
};

/* One range of 256 operations a subsystem. */
enum ctl_op_base {
	CTL_BASE_CORE = 0x000,  /* hello, events */
	CTL_BASE_HOST = 0x100,  /* version, power, log, counters, peek */
	CTL_BASE_SCHED = 0x200, /* cpus, worlds, groups */
	CTL_BASE_MM = 0x300,
	CTL_BASE_DEVICE = 0x400, /* pci, drivers */
	CTL_BASE_STORAGE = 0x500,
	CTL_BASE_NET = 0x600,
	CTL_BASE_VM = 0x700,
};

/* CTL_EVENT without a payload: events were lost to this client, which should look again. */
enum ctl_core_op { CTL_HELLO = CTL_BASE_CORE + 1, CTL_SUBSCRIBE, CTL_EVENT };

/* The first request of a connection; a digest that differs is -EPROTO and the end. */
struct ctl_hello {
	uint8_t abi_digest[32];
};
ABI_SIZE(struct ctl_hello, 32);

struct ctl_hello_reply {
	uint8_t abi_digest[32];
	char version[32];
	char build_id[48];
};
ABI_SIZE(struct ctl_hello_reply, 112);

#endif
