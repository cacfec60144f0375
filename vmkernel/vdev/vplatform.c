// SPDX-License-Identifier: Apache-2.0
/*
 * The board: its devices at their usual places, and the ports that are too small for a file: debug
 * exit (F4h, as QEMU's isa-debug-exit), debug console (E9h), fast reset (92h), POST codes (80h),
 * keyboard controller's reset (64h).
 */
#include "vdev/vplatform.h"
#include "vmk/errno.h"
#include "vmk/mm.h"

enum {
	PORT_DEBUG_EXIT = 0xf4,
	PORT_DEBUG_CONSOLE = 0xe9,
	PORT_92 = 0x92,
	PORT_POST = 0x80,
	PORT_KEYBOARD = 0x64
};
enum { KEYBOARD_RESET = 0xfe, FAST_RESET = 1, A20 = 2 };

static uint64_t exit_read(struct io_range *r, uint64_t off, unsigned size)
{
	return 0;
}

static void exit_write(struct io_range *r, uint64_t off, unsigned size, uint64_t v)
{
	struct vplatform *p = r->dev;

	vm_request_end(p->vm, VM_OFF, (uint32_t)v, "the guest wrote the debug exit port");
}

static uint64_t console_read(struct io_range *r, uint64_t off, unsigned size)
{
	return PORT_DEBUG_CONSOLE; /* how a guest finds it */
}

static void console_write(struct io_range *r, uint64_t off, unsigned size, uint64_t v)
{
	struct vplatform *p = r->dev;

	vconsole_put(&p->uart[0].console, (uint8_t)v);
}

static uint64_t port92_read(struct io_range *r, uint64_t off, unsigned size)
{
	return A20;
}

static void port92_write(struct io_range *r, uint64_t off, unsigned size, uint64_t v)
{
	struct vplatform *p = r->dev;

	if (v & FAST_RESET)
		vm_request_end(p->vm, VM_RESETTING, 0, "the guest wrote port 92h");
}

static uint64_t post_read(struct io_range *r, uint64_t off, unsigned size)
{
	struct vplatform *p = r->dev;

	return p->post_code;
}

static void post_write(struct io_range *r, uint64_t off, unsigned size, uint64_t v)
{
	struct vplatform *p = r->dev;

	p->post_code = (uint8_t)v;
}

static uint64_t keyboard_read(struct io_range *r, uint64_t off, unsigned size)
{
	return 0xff; /* no controller */
}

static void keyboard_write(struct io_range *r, uint64_t off, unsigned size, uint64_t v)
{
	struct vplatform *p = r->dev;

	if ((uint8_t)v == KEYBOARD_RESET)
		vm_request_end(p->vm, VM_RESETTING, 0,
		               "the guest reset through the keyboard controller");
}

static const struct {
	uint16_t port;
	bool debug; /* only with VM_DEBUG_EXIT */
	struct io_ops ops;
} misc[] = {
	{ PORT_DEBUG_EXIT, true, { exit_read, exit_write } },
	{ PORT_DEBUG_CONSOLE, true, { console_read, console_write } },
	{ PORT_92, false, { port92_read, port92_write } },
	{ PORT_POST, false, { post_read, post_write } },
	{ PORT_KEYBOARD, false, { keyboard_read, keyboard_write } },
};
STATIC_ASSERT(ARRAY_SIZE(misc) <= VPLATFORM_MISC);

static int misc_init(struct vplatform *p, struct iobus *b)
{
	bool debug = vm_config(p->vm)->flags & VM_DEBUG_EXIT;

	for (unsigned i = 0; i < ARRAY_SIZE(misc); i++) {
		int err;

		/*
		 * A guest must not end its VM, or fill its console, through ports that nobody
		 * gave it.
		 */
		if (misc[i].debug && !debug)
			continue;
		p->misc[i] = (struct io_range){
			.ops = &misc[i].ops, .dev = p, .base = misc[i].port, .len = 1
		};
		if (misc[i].port == PORT_DEBUG_EXIT)
			p->misc[i].len = 4;
		err = iobus_add_ports(b, &p->misc[i]);
		if (err)
			return err;
	}
	return 0;
}

static void stop(struct board *b)
{
	struct vplatform *p = container_of(b, struct vplatform, board);

	vpit_stop(&p->pit);
	vrtc_stop(&p->rtc);
	for (unsigned i = 0; i < p->uarts; i++)
		vconsole_close(&p->uart[i].console);
}

static void destroy(struct board *b)
{
	struct vplatform *p = container_of(b, struct vplatform, board);

	while (p->uarts)
		vuart_destroy(&p->uart[--p->uarts]);
	kfree(p);
}

static void power_button(struct board *b)
{
	vacpi_power_button(&container_of(b, struct vplatform, board)->acpi);
}

static struct vconsole *console(struct board *b, unsigned index)
{
	return &container_of(b, struct vplatform, board)->uart[index].console;
}

static int create(struct vm *vm, struct board **out)
{
	static const struct {
		uint16_t port, irq;
	} uart[VM_SERIAL_PORTS] = { { 0x3f8, 4 }, { 0x2f8, 3 } };
	struct vplatform *p = kzalloc(sizeof(*p));
	struct iobus *b = vm_iobus(vm);
	int err = 0;

	if (!p)
		return -ENOMEM;
	p->vm = vm;
	p->board.pci = &p->pci;
	while (!err && p->uarts < VM_SERIAL_PORTS) {
		unsigned i = p->uarts;

		/* uarts counts those whose consoles have buffers: destroy() frees so many. */
		err = vuart_init(&p->uart[i], b, vm_irq(vm, uart[i].irq), uart[i].port);
		p->uarts += !err;
	}
	if (!err)
		err = vpit_init(&p->pit, b, vm_irq(vm, 0));
	if (!err)
		err = vrtc_init(&p->rtc, b, vm_irq(vm, 8), vm_config(vm)->memory);
	if (!err)
		err = vacpi_init(&p->acpi, vm, b, vm_irq(vm, VM_SCI));
	if (!err)
		err = vpci_init(&p->pci, vm, b);
	if (!err)
		err = misc_init(p, b);
	if (err)
		destroy(&p->board);
	else
		*out = &p->board;
	return err;
}

BOARD(pc, .name = "pc", .create = create, .stop = stop, .destroy = destroy,
      .power_button = power_button, .console = console,
      .overhead = sizeof(struct vplatform) + VM_SERIAL_PORTS * (VCONSOLE_OUT + VCONSOLE_IN));
