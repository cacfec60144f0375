// SPDX-License-Identifier: Apache-2.0
/*
 * Boot: which back end fits these CPUs. Back ends declare rows of section .hvm_ops (svm.c); the
 * first one that every CPU can enable serves all VMs of this machine.
 */
#include "vmk/cpu.h"
#include "vmk/log.h"
#include "vmm/vm_priv.h"

#define LOG_MODULE "vmm"

/* On every CPU. One that cannot be enabled rules the back end out: a vCPU may run anywhere. */
static void enable(void *arg)
{
	const struct hvm_ops *ops = arg;

	if (ops->enable_cpu())
		WRITE_ONCE(hvm, NULL);
}

void vmm_init(void)
{
	SECTION_FOR_EACH(struct hvm_ops, ops, hvm_ops) {
		hvm = ops;
		cpu_call_all(enable, (void *)ops);
		if (hvm)
			return;
	}
	log_warn("no hardware virtualization that is supported: VMs cannot be powered on");
}

const char *vmm_backend(void)
{
	return hvm ? hvm->hcl->name : "";
}
