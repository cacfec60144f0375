// SPDX-License-Identifier: Apache-2.0
/*
 * Guests that boot modules bring along (option vmimage=NAME,...): the same calls that the control
 * socket makes, for machines without a service console and for tests. Their consoles go into the
 * log, line by line.
 */
#include "boot/vmimage.h"
#include "vdev/vconsole.h"
#include "vmk/boot.h"
#include "vmk/errno.h"
#include "vmk/log.h"
#include "vmk/mm.h"
#include "vmk/string.h"
#include "vmk/vm.h"
#include "vmk/world.h"

#define LOG_MODULE "vmimage"

/* Segments, devices and the first vCPU's registers into a VM that was just created. */
static int image_load(struct vm *vm, const struct vm_image *i, const struct boot_module *m)
{
	struct gmem *g = vm_gmem(vm);
	int err = 0;

	for (unsigned n = 0; n < i->segments && !err; n++) {
		const struct vm_image_segment *s = &i->segment[n];

		if (s->offset > m->len || s->length > m->len - s->offset)
			return -EINVAL;
		err = gmem_write(g, s->gpa, (const char *)i + s->offset, s->length);
	}
	for (unsigned n = 0; n < i->devices && !err; n++) {
		uint32_t slot;

		err = vm_add_device(vm, &i->device[n], &slot);
	}
	return err ? err : vm_set_vcpu(vm, 0, &i->vcpu);
}

struct console_arg {
	struct vm *vm;
	struct vconsole *console;
};

/* A console of the guest, line by line, into the log. */
static void console_world(void *arg)
{
	struct vm *vm = ((struct console_arg *)arg)->vm;
	struct vconsole *c = ((struct console_arg *)arg)->console;
	char line[160];
	size_t used = 0;
	bool end = false;

	kfree(arg);
	vconsole_attach(c, true);
	while (!end) {
		char ch;

		if (!vconsole_read(c, &ch, 1, &end)) {
			if (!end)
				wait_event(&c->waitq, c->out.count || c->closed);
			continue;
		}
		if ((uint8_t)ch >= ' ' && ch != 0x7f && used < sizeof(line) - 1)
			line[used++] = ch;
		if ((ch == '\n' || used == sizeof(line) - 1) && used) {
			line[used] = 0;
			log_info("%s| %s", vm_config(vm)->name, line);
			used = 0;
		}
	}
	vm_put(vm);
}

static int console_start(struct vm *vm, struct vconsole *c)
{
	struct console_arg *arg = kmalloc(sizeof(*arg));
	struct world_attr attr = { .name = "vm-console",
		                   .kind = WORLD_KERNEL,
		                   .cpu = -1,
		                   .fn = console_world,
		                   .arg = arg };
	struct world *w;
	int err = arg ? world_create(&attr, &w) : -ENOMEM;

	if (err) {
		kfree(arg);
		return err;
	}
	*arg = (struct console_arg){ vm, c };
	vm_get(vm);
	world_start(w);
	world_put(w);
	return 0;
}

/* The first serial port, and the console devices. */
static int consoles_start(struct vm *vm)
{
	struct vconsole *c = vm_console(vm, 0);
	int err = 0;

	for (unsigned n = VM_SERIAL_PORTS; c && !err; n++) {
		err = console_start(vm, c);
		c = vm_console(vm, n);
	}
	return err;
}

static void image_start(const char *name)
{
	/* Boot modules stay mapped and unchanged for as long as the host runs. */
	const struct boot_module *m = boot_module_find(name);
	const struct vm_image *i = m ? pa_to_va(m->base) : NULL;
	struct vm *vm;
	int err;

	if (!i || m->len < sizeof(*i) || i->magic != VM_IMAGE_MAGIC ||
	    i->segments > VM_SEGMENTS_MAX || i->devices > VM_DEVICES_MAX) {
		log_err("%s: not a guest image", name);
		return;
	}
	err = vm_create(&i->config, &vm);
	if (err) {
		log_err("%s: cannot create the VM: error %d", name, err);
		return;
	}
	err = image_load(vm, i, m);
	if (!err)
		err = consoles_start(vm);
	if (!err)
		err = vm_start(vm);
	if (err) {
		log_err("%s: cannot start the VM: error %d", name, err);
		vm_destroy(vm);
	}
	vm_put(vm); /* the list of all VMs holds its own reference */
}

void vmimage_start(void)
{
	char names[128], *name = names, *comma;

	if (!boot_option("vmimage", names, sizeof(names)))
		return;
	for (; (comma = strchr(name, ',')); name = comma + 1) {
		*comma = 0;
		image_start(name);
	}
	image_start(name);
}
