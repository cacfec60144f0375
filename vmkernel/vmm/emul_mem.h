// SPDX-License-Identifier: Apache-2.0
/* The emulator on a vCPU: fetching, device memory, string instructions. On the vCPU's world. */
#ifndef VMM_EMUL_MEM_H
#define VMM_EMUL_MEM_H
#include "vmm/vcpu.h"

/* Bytes at RIP, as many as there are up to count; 0: not readable. */
unsigned emul_fetch(struct vcpu *v, uint8_t *bytes, unsigned count);
/*
 * The instruction at RIP has touched device memory at gpa. False: it cannot be emulated; the guest
 * cannot go on.
 */
bool emul_mmio(struct vcpu *v, const struct vm_exit *e);
/* INS, OUTS; one iteration, or some of a REP. */
bool emul_string_io(struct vcpu *v, const struct vm_exit *e);
/* MOV to CR8 at RIP. */
bool emul_mov_cr8(struct vcpu *v);

uint64_t mmio_read(struct vcpu *v, gpa_t gpa, unsigned size);
void mmio_write(struct vcpu *v, gpa_t gpa, unsigned size, uint64_t value);
#endif
