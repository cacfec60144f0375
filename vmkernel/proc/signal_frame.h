// SPDX-License-Identifier: Apache-2.0
/*
 * What the handler of a signal finds on its stack. Spec: Linux uapi asm/sigcontext.h,
 * asm/ucontext.h, arch/x86/include/asm/sigframe.h.
 */
#ifndef PROC_SIGNAL_FRAME_H
#define PROC_SIGNAL_FRAME_H
#include "proc/signal.h"

struct sigcontext {
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip,
		rflags;
	uint16_t cs, gs, fs, ss;
	uint64_t err, trapno, oldmask, cr2, fpstate, reserved[8];
};
ASSERT_SIZE(struct sigcontext, 256);

struct stack_info { /* stack_t */
	uint64_t sp;
	int32_t flags, pad;
	uint64_t size;
};

struct ucontext {
	uint64_t flags, link;
	struct stack_info stack;
	struct sigcontext mc;
	uint64_t sigmask;
};
ASSERT_OFFSET(struct ucontext, mc, 40);
ASSERT_OFFSET(struct ucontext, sigmask, 296);

struct rt_sigframe {
	uint64_t pretcode; /* where the handler returns to: the C library's call of rt_sigreturn */
	struct ucontext uc;
	struct siginfo info;
};
ASSERT_SIZE(struct rt_sigframe, 440);

enum { UC_FP_XSTATE = 1, UC_SIGCONTEXT_SS = 2, UC_STRICT_RESTORE_SS = 4 };
enum { FP_XSTATE_MAGIC1 = 0x46505853, FP_XSTATE_MAGIC2 = 0x46505845, FP_MAGIC2_SIZE = 4 };

/* In the bytes of the FXSAVE area that the CPU leaves to software. */
struct fpx_sw_bytes {
	uint32_t magic1, extended_size; /* with magic2 behind the state */
	uint64_t xfeatures;
	uint32_t xstate_size, padding[7];
};
ASSERT_SIZE(struct fpx_sw_bytes, 48);

enum { RED_ZONE = 128 };

/*
 * Where frame and FPU state go below sp: 64-byte aligned state, RSP % 16 == 8 at the handler's
 * entry.
 */
struct frame_place {
	uint64_t frame, fpstate;
};
static inline struct frame_place signal_frame_place(uint64_t sp, size_t fpu_bytes)
{
	struct frame_place p;

	p.fpstate = (sp - fpu_bytes) & ~63ull;
	p.frame = ((p.fpstate - sizeof(struct rt_sigframe)) & ~15ull) - 8;
	return p;
}
#endif
