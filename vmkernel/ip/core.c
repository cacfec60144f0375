// SPDX-License-Identifier: Apache-2.0
/*
 * lwIP in the kernel: the core lock, the net world, memory, time, randomness, and what becomes of
 * its assertions. Initial sequence numbers follow RFC 6528.
 */
#include "ip.h"
#include "lwip/init.h"
#include "lwip/sys.h"
#include "lwip/tcp.h"
#include "lwip/timeouts.h"
#include "vmk/errno.h"
#include "vmk/log.h"
#include "vmk/mm.h"
#include "vmk/random.h"
#include "vmk/siphash.h"
#include "vmk/stat.h"
#include "vmk/time.h"
#include "vmk/wait.h"
#include "vmk/world.h"

#define LOG_MODULE "ip"

STAT(asserts, "ip.asserts",
     "assertions of lwIP that failed; each dropped what was being worked on");
STAT(no_memory, "ip.no_memory", "allocations refused to lwIP");

enum { MEMORY_MAX = 256 << 20, POLL_BUDGET = 64 };

struct mutex ip_lock;
static struct waitq net_wait;
static bool net_pending;
static uint64_t isn_key[2];
static size_t memory_used; /* ip_lock */

/*
 * Where a failed assertion returns to; ip_lock. A packet that is being fed may, by a callback of a
 * socket's, enter lwIP again through guard.c: the innermost one is abandoned.
 */
enum { GUARDS = 4 };
static void *guard[GUARDS][5];
static unsigned guards;

void *ip_malloc(size_t size)
{
	if (memory_used + size > MEMORY_MAX)
		goto none;
	/*
	 * The size stands before the block, 16 bytes so that it stays aligned: free has to take it
	 * off the sum.
	 */
	size_t *p = kmalloc(size + 16);

	if (p) {
		*p = size + 16;
		memory_used += *p;
		return p + 2;
	}
none:
	stat_inc(no_memory);
	return NULL;
}

void *ip_calloc(size_t n, size_t size)
{
	size_t bytes;
	void *p = mul_overflow(n, size, &bytes) ? NULL : ip_malloc(bytes);

	if (p)
		memset(p, 0, bytes);
	return p;
}

void ip_free(void *p)
{
	if (!p)
		return;
	size_t *real = (size_t *)p - 2;

	memory_used -= *real;
	kfree(real);
}

uint32_t ip_random(void)
{
	return (uint32_t)random_u64();
}

u32_t sys_now(void)
{
	return (u32_t)(time_now() / NS_PER_MS);
}

int ip_atoi(const char *s)
{
	uint64_t v;

	return str_to_u64(s, &v) ? 0 : (int)v;
}

void ip_assert_failed(const char *what, int line)
{
	if (stat_asserts < 16)
		log_err("lwIP: %s (line %d)%s", what, line, guards ? ": dropped" : "");
	stat_inc(asserts);
	if (guards)
		/*
		 * lwIP's state may be half changed and what it worked on leaks: better than a panic
		 * that a packet could cause.
		 */
		__builtin_longjmp(guard[guards - 1], 1);
}

/* Apart, since setjmp and its use of registers must not be inlined into a caller. */
bool __noinline ip_guarded(void (*fn)(void *arg), void *arg)
{
	ASSERT(guards < GUARDS);
	if (__builtin_setjmp(guard[guards])) {
		guards--;
		return false;
	}
	guards++;
	fn(arg);
	guards--;
	return true;
}

uint32_t ip_hook_isn(const ip_addr_t *local, u16_t lport, const ip_addr_t *remote, u16_t rport)
{
	struct {
		uint8_t local[16], remote[16];
		uint16_t lport, rport;
	} tuple = { .lport = lport, .rport = rport };

	if (IP_IS_V6(local)) {
		memcpy(tuple.local, ip_2_ip6(local)->addr, 16);
		memcpy(tuple.remote, ip_2_ip6(remote)->addr, 16);
	} else {
		memcpy(tuple.local, &ip_2_ip4(local)->addr, 4);
		memcpy(tuple.remote, &ip_2_ip4(remote)->addr, 4);
	}
	/* RFC 6528: a keyed hash of the connection plus a clock that ticks every 4 us. */
	return (uint32_t)(siphash(isn_key, &tuple, sizeof(tuple)) + time_now() / 4000);
}

int ip_errno(err_t e)
{
	/* lwIP's errors are 0 to -16; Linux's of the same meaning. */
	static const int map[] = {
		[0] = 0,
		[-ERR_MEM] = ENOBUFS,
		[-ERR_BUF] = ENOBUFS,
		[-ERR_TIMEOUT] = ETIMEDOUT,
		[-ERR_RTE] = ENETUNREACH,
		[-ERR_INPROGRESS] = EINPROGRESS,
		[-ERR_VAL] = EINVAL,
		[-ERR_WOULDBLOCK] = EAGAIN,
		[-ERR_USE] = EADDRINUSE,
		[-ERR_ALREADY] = EALREADY,
		[-ERR_ISCONN] = EISCONN,
		[-ERR_CONN] = ENOTCONN,
		[-ERR_IF] = ENETDOWN,
		[-ERR_ABRT] = ECONNABORTED,
		[-ERR_RST] = ECONNRESET,
		[-ERR_CLSD] = ENOTCONN,
		[-ERR_ARG] = EINVAL,
	};

	return e <= 0 && -e < (int)ARRAY_SIZE(map) ? -map[-e] : -EIO;
}

void ip_wake(void)
{
	store_release(&net_pending, true);
	waitq_wake_all(&net_wait);
}

static void run_timers(void *arg)
{
	(void)arg;
	sys_check_timeouts();
}

/* One round; the time at which the next is due at the latest. */
static ns_t net_round(void)
{
	/* Before the work: a wake during it makes another round. */
	store_release(&net_pending, false);
	mutex_lock(&ip_lock);
	/* The lock is given up between rounds, so that socket calls have their turn under load. */
	if (vmknic_poll(POLL_BUDGET) + loop_poll(POLL_BUDGET) >= POLL_BUDGET)
		store_release(&net_pending, true);
	(void)ip_guarded(run_timers, NULL);
	uint32_t ms = sys_timeouts_sleeptime();

	mutex_unlock(&ip_lock);
	return ms == SYS_TIMEOUTS_SLEEPTIME_INFINITE ? NS_NEVER : time_now() + ms * NS_PER_MS;
}

#ifdef VMK_HOST
ns_t ip_test_round(void);
ns_t ip_test_round(void)
{
	return net_round();
}
#endif

static void net_world(void *arg)
{
	(void)arg;
	for (;;) {
		ns_t due = net_round();

		if (load_acquire(&net_pending))
			world_yield();
		else
			(void)wait_event_until(&net_wait, load_acquire(&net_pending), due);
	}
}

void ip_core_init(void)
{
	mutex_init(&ip_lock, "ip");
	waitq_init(&net_wait, "net");
	random_bytes(isn_key, sizeof(isn_key));
	mutex_lock(&ip_lock);
	lwip_init();
	loop_init();
	mutex_unlock(&ip_lock);
}

void ip_core_start(void)
{
	struct world *w;
	const struct world_attr attr = {
		.name = "net", .kind = WORLD_KERNEL, .cpu = -1, .fn = net_world
	};
	int err = world_create(&attr, &w);

	if (err)
		panic("net world: error %d", -err);
	world_start(w);
	world_put(w);
}
