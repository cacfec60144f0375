# SPDX-License-Identifier: Apache-2.0
"""The whole life of a VM with all its devices: every failing allocation, and power cycles."""

import pytest

from tests.unit import cunit
from tests.unit.cunit import ROOT

VMM = (
    *("vm", "vm_info", "vm_intr", "vcpu", "vcpu_state", "gmem", "iobus", "vpic", "vioapic"),
    *("vlapic", "vlapic_timer", "cpuid", "msr", "inject", "exit", "pvclock"),
)
SOURCES = [
    *(f"vmkernel/vmm/{name}.c" for name in VMM),
    *(str(p.relative_to(ROOT)) for p in sorted((ROOT / "vmkernel/vdev").rglob("*.c"))),
    "vmkernel/lib/date.c",
]
CODE = """
#include <string.h>
#include "vmk/blk.h"
#include "vmk/errno.h"
#include "vmk/memobj.h"
#include "vmk/mm.h"
#include "vmk/port.h"
#include "vmm/vm_priv.h"
#include "x86/cpu.h"
struct cpu_features cpu_features = { .xsave_size = 1024, .xcr0 = 7 };

/* A back end that runs nothing. */
static const struct npt_format *format(void)
{
	static const struct npt_format f = { .table = 7, .leaf = 7, .large = 0x80 };
	return &f;
}
static int create(struct vcpu *v) { return (v->hvm = kzalloc(64)) ? 0 : -ENOMEM; }
static void destroy(struct vcpu *v) { kfree(v->hvm); }
static void set_state(struct vcpu *v, const struct vm_vcpu_state *s) {}
static const struct hvm_ops backend = {
	.format = format, .vcpu_create = create, .vcpu_destroy = destroy, .set_state = set_state
};

/* Worlds that end as soon as somebody waits. */
struct world { struct world_attr attr; struct world *next; bool started; unsigned refs; };
static struct world *worlds;
int world_create(const struct world_attr *a, struct world **out)
{
	struct world *w = kzalloc(sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->attr = *a;
	w->refs = 1;
	*out = w;
	return 0;
}
void world_start(struct world *w)
{
	w->refs++;
	w->next = worlds;
	worlds = w;
}
void world_put(struct world *w)
{
	if (--w->refs == 0)
		kfree(w);
}
void world_kick(struct world *w) {}
void *world_arg(const struct world *w) { return w->attr.arg; }
static bool worlds_end(ns_t deadline)
{
	bool any = worlds;
	while (worlds) {
		struct world *w = worlds;
		worlds = w->next;
		w->attr.hooks->released(w);
		world_put(w);
	}
	return any;
}
struct group { int dummy; };
struct group *group_root(void) { return NULL; }
int group_create(struct group *p, const char *n, const struct sched_params *s, struct group **out)
{
	return (*out = kzalloc(sizeof(**out))) ? 0 : -ENOMEM;
}
int group_destroy(struct group *g) { kfree(g); return 0; }

/* What devices stand on. */
struct port { int dummy; };
int port_open(const struct port_attr *a, struct port **out)
{
	return (*out = kzalloc(sizeof(**out))) ? 0 : -ENOMEM;
}
void port_close(struct port *p) { kfree(p); }
bool port_link_up(const struct port *p) { return true; }
void port_set_connected(struct port *p, bool on) {}
static struct blk_dev disk = { .limits = { .block_size = 512 } };
static int disk_users;
struct blk_dev *blk_find(const char *id) { disk_users++; return &disk; }
int blk_open(struct blk_dev *d, bool write) { disk_users++; return 0; }
void blk_close(struct blk_dev *d, bool write) { disk_users--; }
int users(void) { return disk_users; }
void memobj_init(struct memobj *o, const struct memobj_ops *ops, uint64_t pages)
{
	o->ops = ops;
	o->refs = 1;
}
void memobj_revoke(struct memobj *o) {}
void memobj_put(struct memobj *o) { if (--o->refs == 0) o->ops->release(o); }

static int devices(struct vm *vm)
{
	static const uint32_t kinds[] = { VM_DEV_VIRTIO_BLK, VM_DEV_VIRTIO_NET,
		VM_DEV_VIRTIO_CONSOLE, VM_DEV_VIRTIO_RNG };
	int err = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(kinds) && !err; i++) {
		struct vm_device d = { .kind = kinds[i], .backend = "disk" };
		uint32_t slot;
		err = vm_add_device(vm, &d, &slot);
	}
	return err;
}
/* From birth to grave; the first error on the way. */
int life(bool start)
{
	struct vm_config c = { .name = "vm", .cpus = 2, .memory = 8 << 20 };
	struct vm_vcpu_state s = { 0 };
	struct vm *vm;
	int err;

	hvm = &backend;
	seam_sleep = worlds_end;
	err = vm_create(&c, &vm);
	if (err)
		return err;
	err = devices(vm);
	if (!err)
		err = vm_set_vcpu(vm, 0, &s);
	if (!err && start)
		err = vm_start(vm);
	vm_destroy(vm);
	vm_put(vm);
	return err;
}
"""
CDEF = "int life(bool start); int users(void);"


@pytest.fixture(scope="module")
def unit() -> cunit.Unit:
    return cunit.build("vm_life", SOURCES, ["vmk/vm.h", "seam.h"], CDEF, code=CODE)


def state(unit: cunit.Unit) -> tuple[int, int, int]:
    unit.lib.seam_run_work()
    return unit.lib.seam_pages_live, unit.lib.seam_heap_live, unit.lib.users()


def test_every_failing_allocation_leaves_nothing(unit: cunit.Unit) -> None:
    assert unit.lib.life(True) == 0  # what is made once for all VMs
    before = state(unit)
    for successes in range(4000):
        unit.lib.seam_fail_after(successes)
        err = unit.lib.life(True)
        unit.lib.seam_fail_after(-1)
        assert state(unit) == before, f"after {successes} allocations"
        assert err in (0, -12)
        if err == 0:
            assert successes > 20
            return
    raise AssertionError("it never succeeded")


@pytest.mark.parametrize("start", [True, False])
def test_power_cycles_leave_nothing(unit: cunit.Unit, start: bool) -> None:
    assert unit.lib.life(start) == 0
    before = state(unit)
    for _ in range(50):
        assert unit.lib.life(start) == 0
    assert state(unit) == before
