// SPDX-License-Identifier: Apache-2.0
/*
 * Interrupt sources and who handles them (vmk/irq.h). A source has one vector on one CPU; its
 * handlers are walked there with interrupts off, and changed there too (cpu_call), so dispatch
 * takes no lock. irq_mutex serialises allocation and release; line_lock guards mask counts.
 */
#include "vmk/irq.h"
#include "acpi/acpi.h"
#include "vmk/cpu.h"
#include "vmk/errno.h"
#include "vmk/list.h"
#include "vmk/lock.h"
#include "vmk/log.h"
#include "vmk/mm.h"
#include "vmk/stat.h"
#include "x86/ioapic.h"
#include "x86/lapic.h"
#include "x86/vector.h"

#define LOG_MODULE "irq"

enum { STORM_LIMIT = 10000 }; /* interrupts in a row that nobody claims */
#define MSI_ADDRESS 0xfee00000ull
#define MSI_DEST    BITS(19, 12)

STAT(irq_unclaimed, "irq.unclaimed", "interrupts of a known source that no handler claimed");
STAT(irq_storms, "irq.storms", "lines masked because nobody claimed their interrupts");

struct source {
	struct list link;     /* gsi_sources; unused for MSI */
	struct list handlers; /* struct irq */
	unsigned cpu, vector;
	bool is_gsi, level, active_low;
	uint32_t gsi;
	unsigned masks; /* irq_mask() calls outstanding */
	bool pending;   /* a message came while masked */
	bool storm;     /* masked for good */
	uint64_t count;
	unsigned unclaimed; /* in a row */
};

struct irq {
	struct list link;
	struct source *source;
	const char *name;
	irq_handler fn;
	void *arg;
};

static struct mutex irq_mutex;
static struct list gsi_sources = LIST_INIT(gsi_sources);
static struct spinlock line_lock = SPINLOCK_INIT("irq line", RANK_LEAF - 1);

void irq_init(void)
{
	mutex_init(&irq_mutex, "irq");
}

static void check_storm(struct source *s)
{
	struct irq *first = list_first(&s->handlers, struct irq, link);

	stat_inc(irq_unclaimed);
	if (++s->unclaimed < STORM_LIMIT || s->storm)
		return;
	s->storm = true;
	stat_inc(irq_storms);
	if (s->is_gsi)
		ioapic_mask(s->gsi, true);
	log_err("%s: %u interrupts in a row that nobody claimed%s",
	        first != NULL ? first->name : "?", s->unclaimed,
	        s->is_gsi ? "; the line is masked" : "");
}

static void dispatch(void *arg)
{
	struct source *s = arg;
	bool handled = false;
	struct irq *irq;

	/* A message cannot be masked at its source: one that comes is kept for irq_unmask(). */
	s->count++;
	if (!s->is_gsi && READ_ONCE(s->masks) > 0) {
		s->pending = true;
		return;
	}
	list_for_each(irq, &s->handlers, link)
		handled |= irq->fn(irq->arg) == IRQ_HANDLED;
	if (handled)
		s->unclaimed = 0;
	else
		check_storm(s);
}

/* The CPU with the fewest vectors in use that a message can reach. */
static unsigned choose_cpu(void)
{
	unsigned best = 0;

	for (unsigned cpu = 1; cpu < cpu_count(); cpu++)
		if (cpu_apic_id(cpu) <= LAPIC_MESSAGE_ID_MAX &&
		    vector_used(cpu) < vector_used(best))
			best = cpu;
	return best;
}

static struct source *source_create(int cpu)
{
	struct source *s = kzalloc(sizeof(*s));
	int vector;

	if (s == NULL)
		return NULL;
	list_init(&s->link);
	list_init(&s->handlers);
	s->cpu = cpu >= 0 ? (unsigned)cpu : choose_cpu();
	vector = vector_alloc(s->cpu, dispatch, s);
	if (vector < 0) {
		kfree(s);
		return NULL;
	}
	s->vector = (unsigned)vector;
	return s;
}

static void attach(void *arg)
{
	struct irq *irq = arg;

	list_push_back(&irq->source->handlers, &irq->link);
}

static void detach(void *arg)
{
	struct irq *irq = arg;

	list_remove(&irq->link);
}

static struct irq *handler_create(const char *name, irq_handler fn, void *arg, struct source *s)
{
	struct irq *irq = kzalloc(sizeof(*irq));

	if (irq == NULL)
		return NULL;
	*irq = (struct irq){ .source = s, .name = name, .fn = fn, .arg = arg };
	/* On the source's own CPU with interrupts off: dispatch() walks the list without a lock. */
	cpu_call(s->cpu, attach, irq);
	return irq;
}

static void source_destroy(struct source *s)
{
	vector_free(s->cpu, s->vector);
	list_remove(&s->link);
	kfree(s);
}

int irq_alloc_msi(const char *name, int cpu, irq_handler fn, void *arg, struct irq **out,
                  uint64_t *addr, uint32_t *data)
{
	struct source *s;

	if (cpu >= 0 &&
	    ((unsigned)cpu >= cpu_count() || cpu_apic_id((unsigned)cpu) > LAPIC_MESSAGE_ID_MAX))
		return -EINVAL;
	mutex_lock(&irq_mutex);
	s = source_create(cpu);
	*out = s != NULL ? handler_create(name, fn, arg, s) : NULL;
	if (*out != NULL) {
		*addr = MSI_ADDRESS | PUT(MSI_DEST, cpu_apic_id(s->cpu));
		*data = s->vector; /* fixed delivery, edge */
	} else if (s != NULL) {
		source_destroy(s);
	}
	mutex_unlock(&irq_mutex);
	return *out != NULL ? 0 : -ENOMEM;
}

static struct source *find_gsi(uint32_t gsi)
{
	struct source *s;

	list_for_each(s, &gsi_sources, link)
		if (s->gsi == gsi)
			return s;
	return NULL;
}

static struct source *gsi_create(uint32_t gsi, bool level, bool active_low)
{
	struct source *s = source_create(-1);

	if (s == NULL)
		return NULL;
	s->is_gsi = true;
	s->gsi = gsi;
	s->level = level;
	s->active_low = active_low;
	list_push_back(&gsi_sources, &s->link);
	ioapic_route(gsi, s->vector, cpu_apic_id(s->cpu), level, active_low);
	return s;
}

static int alloc_gsi(const char *name, uint32_t gsi, bool level, bool active_low, irq_handler fn,
                     void *arg, struct irq **out)
{
	struct source *s = find_gsi(gsi);

	if (!ioapic_has(gsi))
		return -ENODEV;
	/* Sharers must agree on how the line is driven. */
	if (s != NULL && (s->level != level || s->active_low != active_low))
		return -EBUSY;
	if (s == NULL)
		s = gsi_create(gsi, level, active_low);
	if (s == NULL)
		return -ENOMEM;
	*out = handler_create(name, fn, arg, s);
	/* The entry was routed masked, until there is a handler; after a storm it stays masked. */
	if (*out != NULL)
		ioapic_mask(gsi, s->storm);
	else if (list_empty(&s->handlers))
		source_destroy(s);
	return *out != NULL ? 0 : -ENOMEM;
}

int irq_alloc_gsi(const char *name, uint32_t gsi, bool level, bool active_low, irq_handler fn,
                  void *arg, struct irq **out)
{
	int err;

	mutex_lock(&irq_mutex);
	err = alloc_gsi(name, gsi, level, active_low, fn, arg, out);
	mutex_unlock(&irq_mutex);
	return err;
}

int irq_alloc_isa(const char *name, unsigned line, irq_handler fn, void *arg, struct irq **out)
{
	const struct acpi_override *o;

	if (line >= ARRAY_SIZE(acpi_info.isa))
		return -EINVAL;
	o = &acpi_info.isa[line];
	if (o->valid)
		return irq_alloc_gsi(name, o->gsi, o->level, o->active_low, fn, arg, out);
	return irq_alloc_gsi(name, line, false, false, fn, arg, out);
}

void irq_free(struct irq *irq)
{
	struct source *s = irq->source;

	mutex_lock(&irq_mutex);
	/* On the source's CPU no handler runs while it is taken out, and none starts afterwards. */
	cpu_call(s->cpu, detach, irq);
	if (list_empty(&s->handlers)) {
		if (s->is_gsi)
			ioapic_mask(s->gsi, true);
		source_destroy(s);
	}
	mutex_unlock(&irq_mutex);
	kfree(irq);
}

void irq_mask(struct irq *irq)
{
	struct source *s = irq->source;
	uint64_t flags = spin_lock_irq(&line_lock);

	if (s->masks++ == 0 && s->is_gsi)
		ioapic_mask(s->gsi, true);
	spin_unlock_irq(&line_lock, flags);
}

void irq_unmask(struct irq *irq)
{
	struct source *s = irq->source;
	uint64_t flags = spin_lock_irq(&line_lock);

	if (--s->masks == 0 && !s->storm) {
		if (s->is_gsi)
			ioapic_mask(s->gsi, false);
		else if (__atomic_exchange_n(&s->pending, false, __ATOMIC_ACQ_REL))
			lapic_send(cpu_apic_id(s->cpu), s->vector);
	}
	spin_unlock_irq(&line_lock, flags);
}

int irq_cpu(const struct irq *irq)
{
	return (int)irq->source->cpu;
}

uint64_t irq_count(const struct irq *irq)
{
	return READ_ONCE(irq->source->count);
}
