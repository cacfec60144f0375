// SPDX-License-Identifier: Apache-2.0
/* Control operations on the host: identity, log, counters, CPUs, memory, power, peek. */
#include "abi/host.h"

#include "ctl/page.h"
#include "vmk/boot.h"
#include "vmk/cpu.h"
#include "vmk/log.h"
#include "vmk/mm.h"
#include "vmk/stat.h"
#include "vmk/string.h"
#include "vmk/time.h"
#include "vmk/user.h"
#include "vmk/vm.h"
#include "vmk/world.h"
#include "x86/insn.h"
#include "x86/paging.h"
#include "x86/percpu.h"

#define LOG_MODULE "ctl"

CTL_OP(CTL_HOST_INFO, host_info, 0, sizeof(struct ctl_host_info), CTL_READ)
{
	struct ctl_host_info *r = c->reply;
	struct mm_totals t;

	mm_totals(&t);
	str_copy(r->version, VMK_VERSION, sizeof(r->version));
	str_copy(r->build_id, log_build_id(), sizeof(r->build_id));
	r->uptime_ns = time_now();
	r->realtime_ns = time_realtime();
	r->tsc_hz = time_tsc_hz();
	r->tsc_reliable = time_tsc_reliable();
	r->memory_bytes = t.total_pages * PAGE_SIZE;
	r->cpus = cpu_count();
	r->nodes = mm_nodes();
	r->efi = boot_info.efi_system_table != 0;
	str_copy(r->hvm, vmm_backend(), sizeof(r->hvm));
	return 0;
}

CTL_OP(CTL_HOST_OPTIONS, host_options, 0, 0, CTL_READ)
{
	c->reply_len = (uint32_t)str_copy(c->reply, boot_info.cmdline, BOOT_CMDLINE_MAX);
	return 0;
}

CTL_OP(CTL_HOST_LOG_READ, host_log_read, sizeof(struct ctl_host_log_read),
       sizeof(struct ctl_host_log_reply), CTL_READ)
{
	const struct ctl_host_log_read *q = c->req;
	struct ctl_host_log_reply *r = c->reply;

	/* A number that the ring no longer holds goes on with the oldest text there is. */
	r->sequence = q->sequence;
	r->length = (uint32_t)log_read(&r->sequence, r->text, sizeof(r->text));
	return 0;
}

CTL_OP_VAR(CTL_HOST_LOG_MARK, host_log_mark, 1, 256, 0, CTL_OPERATE)
{
	char text[257];

	memcpy(text, c->req, c->req_len);
	text[c->req_len] = 0;
	/* One mark is one line of the log: no control characters. */
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	log_info("mark: %s", text);
	return 0;
}

CTL_LIST(CTL_HOST_STATS, host_stats, struct ctl_host_stats, stat)
{
	SECTION_FOR_EACH(struct stat_entry, e, stats) {
		struct ctl_stat *s = page_next(page);

		if (!s)
			continue;
		str_copy(s->name, e->name, sizeof(s->name));
		str_copy(s->help, e->help, sizeof(s->help));
		s->value = READ_ONCE(*e->value);
	}
}

CTL_OP(CTL_HOST_POWER, host_power, sizeof(struct ctl_host_power), 0, CTL_ADMIN)
{
	const struct ctl_host_power *q = c->req;

	if (q->action != CTL_POWER_OFF && q->action != CTL_POWER_REBOOT)
		return ctl_error(c, -EINVAL, "no power action %u", q->action);
	if (host_shutdown(q->action == CTL_POWER_REBOOT))
		return ctl_error(c, -EALREADY, "the host is going down already");
	return 0;
}

/* Memory only: reading a device's registers may change the device. */
static bool peek_mapped(va_t va, uint64_t length)
{
	for (va_t page = ALIGN_DOWN(va, (va_t)PAGE_SIZE); page < va + length; page += PAGE_SIZE) {
		struct paging_leaf leaf;

		/*
		 * frame_of knows RAM only, so a device's registers are refused though they are
		 * mapped.
		 */
		if (!paging_lookup(paging_kernel_root, page, &leaf) || !frame_of(leaf.pa))
			return false;
	}
	return true;
}

CTL_OP(CTL_HOST_PEEK, host_peek, sizeof(struct ctl_host_peek), 0, CTL_ADMIN)
{
	const struct ctl_host_peek *q = c->req;

	if (q->length == 0 || q->length > 4096)
		return ctl_error(c, -EINVAL, "peek reads 1 to 4096 bytes");
	/* Kernel half only, and without wrap-around. */
	if (q->address < 0xffff800000000000ull || q->address + q->length < q->address)
		return ctl_error(c, -EFAULT, "%#lx is no kernel address", q->address);
	if (!peek_mapped(q->address, q->length))
		return ctl_error(c, -EFAULT, "no memory is mapped at %#lx", q->address);
	memcpy(c->reply, (const void *)(uintptr_t)q->address, q->length);
	c->reply_len = q->length;
	return 0;
}

CTL_OP(CTL_HOST_SET_TIME, host_set_time, sizeof(struct ctl_host_time), 0, CTL_ADMIN)
{
	const struct ctl_host_time *q = c->req;

	/* Wall clock alone: timers and uptime go on undisturbed. */
	time_set_realtime(q->realtime_ns);
	return 0;
}

struct cpuid_call {
	const struct ctl_host_cpuid *q;
	struct ctl_host_cpuid_reply *r;
};

static void cpuid_on(void *arg)
{
	struct cpuid_call *k = arg;

	struct cpuid id = cpuid(k->q->leaf, k->q->subleaf);

	*k->r = (struct ctl_host_cpuid_reply){ id.a, id.b, id.c, id.d };
}

CTL_OP(CTL_HOST_CPUID, host_cpuid, sizeof(struct ctl_host_cpuid),
       sizeof(struct ctl_host_cpuid_reply), CTL_READ)
{
	struct cpuid_call k = { c->req, c->reply };

	if (k.q->cpu >= cpu_count())
		return ctl_error(c, -ENOENT, "no CPU %u", k.q->cpu);
	/* Some leaves differ from CPU to CPU (APIC id, topology): asked where they hold. */
	cpu_call(k.q->cpu, cpuid_on, &k);
	return 0;
}

CTL_LIST(CTL_HOST_CPUS, host_cpus, struct ctl_host_cpus, cpu)
{
	/* CPUs are never removed, so ids are dense. */
	for (uint32_t i = 0; i < cpu_count(); i++) {
		struct ctl_cpu *cpu = page_next(page);
		struct world_times t;

		if (!cpu)
			continue;
		cpu->id = i;
		cpu->apic_id = cpu_apic_id(i);
		cpu->node = cpu_node(i);
		world_times_get(percpu[i]->idle, &t);
		cpu->idle_ns = t.used;
	}
}

static void fill_node(struct ctl_node_memory *n, const struct mm_totals *t)
{
	n->total_pages = t->total_pages;
	for (unsigned i = 0; i < FRAME_OWNERS; i++)
		n->pages[i] = t->pages[i];
}

CTL_OP(CTL_HOST_MEMORY, host_memory, 0, sizeof(struct ctl_host_memory), CTL_READ)
{
	static const char *const names[FRAME_OWNERS] = {
		[FRAME_FREE] = "free",       [FRAME_RESERVED] = "reserved",
		[FRAME_IMAGE] = "image",     [FRAME_TABLE] = "frame table",
		[FRAME_KERNEL] = "kernel",   [FRAME_SLAB] = "slab",
		[FRAME_STACK] = "stacks",    [FRAME_PAGETABLE] = "page tables",
		[FRAME_DMA] = "dma",         [FRAME_USER] = "userworlds",
		[FRAME_MEMOBJ] = "objects",  [FRAME_GUEST] = "guests",
		[FRAME_RAMDISK] = "ramdisk", [FRAME_CACHE] = "cpu caches",
	};
	struct ctl_host_memory *r = c->reply;
	struct mm_totals t;

	/* Owners by name: their numbers may change from one build to the next. */
	STATIC_ASSERT((int)FRAME_OWNERS <= (int)CTL_MEMORY_OWNERS);
	r->nodes = MIN(mm_nodes(), (unsigned)CTL_MEMORY_NODES);
	r->owners = FRAME_OWNERS;
	for (unsigned i = 0; i < FRAME_OWNERS; i++)
		str_copy(r->owner_name[i], names[i], sizeof(r->owner_name[i]));
	mm_totals(&t);
	fill_node(&r->all, &t);
	for (unsigned n = 0; n < r->nodes; n++) {
		mm_node_totals(n, &t);
		fill_node(&r->node[n], &t);
	}
	return 0;
}
