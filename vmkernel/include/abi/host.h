// SPDX-License-Identifier: Apache-2.0
/*
 * Operations on the host: identity, CPUs, memory, log, counters, power (vmkernel/ctl/ops_host.c).
 */
#ifndef ABI_HOST_H
#define ABI_HOST_H
#include "abi/ctl.h"

enum ctl_host_op {
	CTL_HOST_INFO = CTL_BASE_HOST,
	CTL_HOST_OPTIONS,  /* the boot command line, text */
	CTL_HOST_LOG_READ, /* log text from a sequence number on */
	CTL_HOST_LOG_MARK, /* writes one line into the log */
	CTL_HOST_STATS,    /* counters, from an index on */
	CTL_HOST_POWER,
	CTL_HOST_PEEK, /* reads mapped kernel memory; refused where nothing is mapped */
	CTL_HOST_SET_TIME,
	CTL_HOST_CPUID,
	CTL_HOST_CPUS,
	CTL_HOST_MEMORY,
};

struct ctl_host_info {
	char version[32];
	char build_id[48];
	uint64_t uptime_ns;
	uint64_t realtime_ns; /* since 1970-01-01 UTC */
	uint64_t tsc_hz;
	uint64_t memory_bytes;
	uint32_t cpus;
	uint32_t nodes;
	uint32_t efi; /* 1: booted by UEFI firmware */
	uint32_t tsc_reliable;
	char hvm[16]; /* virtualization back end in use, or "" */
};
ABI_SIZE(struct ctl_host_info, 144);

struct ctl_host_log_read {
	uint64_t sequence; /* request: first record wanted; reply: where to go on */
};

struct ctl_host_log_reply {
	uint64_t sequence;
	uint32_t length; /* bytes of text */
	uint32_t reserved;
	char text[32768];
};
ABI_SIZE(struct ctl_host_log_reply, 32784);

/* Paged lists: ask from `first` on; `total` is the number there is, `count` what is here. */
struct ctl_page_req {
	uint32_t first;
	uint32_t reserved;
};
struct ctl_page {
	uint32_t total;
	uint32_t count;
};

struct ctl_stat {
	char name[48];
	char help[72];
	uint64_t value;
};
ABI_SIZE(struct ctl_stat, 128);
struct ctl_host_stats {
	struct ctl_page page;
	struct ctl_stat stat[256];
};

enum ctl_power { CTL_POWER_OFF = 1, CTL_POWER_REBOOT = 2 };
struct ctl_host_power {
	uint32_t action; /* enum ctl_power */
	uint32_t reserved;
};

struct ctl_host_peek {
	uint64_t address; /* kernel virtual */
	uint32_t length;  /* at most 4096 */
	uint32_t reserved;
};

struct ctl_host_time {
	uint64_t realtime_ns;
};

struct ctl_host_cpuid {
	uint32_t cpu;
	uint32_t leaf;
	uint32_t subleaf;
	uint32_t reserved;
};
struct ctl_host_cpuid_reply {
	uint32_t eax;
	uint32_t ebx;
	uint32_t ecx;
	uint32_t edx;
};

struct ctl_cpu {
	uint32_t id;
	uint32_t apic_id;
	uint32_t node;
	uint32_t world; /* that runs there now */
	uint64_t idle_ns;
	uint64_t reserved;
};
ABI_SIZE(struct ctl_cpu, 32);
struct ctl_host_cpus {
	struct ctl_page page;
	struct ctl_cpu cpu[256];
};

/* Pages of 4 KiB by owner, in the order of enum frame_owner (vmk/mm.h). */
enum ctl_memory_limits { CTL_MEMORY_OWNERS = 16, CTL_MEMORY_NODES = 16 };
struct ctl_node_memory {
	uint64_t total_pages;
	uint64_t pages[16];
};
struct ctl_host_memory {
	uint32_t nodes;
	uint32_t owners;
	char owner_name[16][16];
	struct ctl_node_memory all;
	struct ctl_node_memory node[16];
};
#endif
