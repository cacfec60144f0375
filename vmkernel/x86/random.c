// SPDX-License-Identifier: Apache-2.0
/*
 * The random generator. A sponge over the ChaCha permutation gathers entropy (rate and capacity 256
 * bits); its output is folded into the generator's key. Each request takes a fresh key first and
 * forgets the old one, so that a later look at memory does not tell what was given out. `lock`
 * guards everything.
 * Spec: RFC 8439; D. J. Bernstein, "Fast-key-erasure random-number generators" (2017); Intel SDM 1
 * 7.3.17 RDRAND, RDSEED.
 */
#include "vmk/random.h"
#include "lib/chacha.h"
#include "vmk/lock.h"
#include "vmk/string.h"
#include "vmk/time.h"
#include "x86/entropy.h"

enum {
	RATE_WORDS = 8,
	CREDIT_NEEDED = 256, /* bits */
	EVENTS_PER_BIT = 4,  /* an event's time counts a quarter of a bit */
	EVENTS_BATCH = 64,
};

static struct spinlock lock = SPINLOCK_INIT("random", RANK_LEAF);
static uint32_t pool[16];
static uint32_t key[8];
static uint64_t batch[4]; /* events that wait for the pool */
static unsigned events, credit;

/* Absorbs 32 bytes. */
static void pool_absorb(const uint32_t in[RATE_WORDS])
{
	for (unsigned i = 0; i < RATE_WORDS; i++)
		pool[i] ^= in[i];
	chacha20_permute(pool);
}

/* The key becomes a function of itself and the pool; the pool goes on, one way. */
static void reseed(void)
{
	for (unsigned i = 0; i < RATE_WORDS; i++)
		key[i] ^= pool[i];
	chacha20_permute(pool);
	/*
	 * The capacity overwrites nothing that was given out: squeezing twice from one state must
	 * not be possible.
	 */
	for (unsigned i = 0; i < RATE_WORDS; i++)
		pool[i] = 0;
}

/* Boot: what the CPU gives, and the jitter of our own running. */
void random_init(void)
{
	uint64_t seed[4], flags;
	bool all = true;

	for (unsigned i = 0; i < ARRAY_SIZE(seed); i++) {
		bool got = hardware_word(&seed[i]);

		all &= got;
		seed[i] = (got ? seed[i] : 0) ^ fine_time();
	}
	flags = spin_lock_irq(&lock);
	pool_absorb((const uint32_t *)seed);
	seed[0] = time_realtime();
	pool_absorb((const uint32_t *)seed);
	reseed();
	if (all)
		credit = CREDIT_NEEDED;
	spin_unlock_irq(&lock, flags);
}

void random_add_event(uint64_t datum)
{
	uint64_t flags = spin_lock_irq(&lock);
	uint64_t *w = &batch[events % ARRAY_SIZE(batch)];

	*w = (*w << 13 | *w >> 51) ^ fine_time() ^ datum * 0x9e3779b97f4a7c15;
	if (++events % EVENTS_BATCH == 0) {
		bool was = random_ready();

		pool_absorb((const uint32_t *)batch);
		credit = MIN(credit + EVENTS_BATCH / EVENTS_PER_BIT, (unsigned)CREDIT_NEEDED);
		/* Before that small steps would let an observer try them one by one. */
		if (random_ready() && (!was || events % (16 * EVENTS_BATCH) == 0))
			reseed();
	}
	spin_unlock_irq(&lock, flags);
}

bool random_ready(void)
{
	return READ_ONCE(credit) >= CREDIT_NEEDED;
}

void random_mix(const void *buf, size_t n)
{
	const uint8_t *p = buf;

	while (n) {
		uint32_t in[RATE_WORDS] = { 0 };
		size_t piece = MIN(n, sizeof(in));
		uint64_t flags;

		memcpy(in, p, piece);
		flags = spin_lock_irq(&lock);
		pool_absorb(in);
		spin_unlock_irq(&lock, flags);
		p += piece;
		n -= piece;
	}
}

void random_bytes(void *buf, size_t n)
{
	const uint32_t nonce[3] = { 0 };
	uint8_t block[CHACHA_BLOCK], *p = buf;
	uint32_t once[8], counter = 0;
	uint64_t flags = spin_lock_irq(&lock), extra;

	if (hardware_word(&extra)) /* so that a key that leaked does not tell what comes */
		key[0] ^= (uint32_t)extra, key[1] ^= (uint32_t)(extra >> 32);
	chacha20_block(key, 0, nonce, block);
	memcpy(key, block, CHACHA_KEY);
	memcpy(once, block + CHACHA_KEY, CHACHA_KEY);
	spin_unlock_irq(&lock, flags);
	while (n) {
		size_t piece = MIN(n, sizeof(block));

		chacha20_block(once, ++counter, nonce, block);
		memcpy(p, block, piece);
		p += piece;
		n -= piece;
	}
	memset(once, 0, sizeof(once));
	memset(block, 0, sizeof(block));
	__asm__ volatile("" ::"r"(once), "r"(block) : "memory"); /* keeps the memsets */
}

uint64_t random_u64(void)
{
	uint64_t v;

	random_bytes(&v, sizeof(v));
	return v;
}
