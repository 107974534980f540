/*
 * The C twin of an uncontended spinlock: what src/sync/spinlock and src/sync/pv-lock do when nobody waits.
 *
 * The same layout (value, extra, owner, class), the same bookkeeping (preempt count, owner, acquisitions of the class),
 * the same atomics: a compare-and-swap of the word to take it, one of its low byte to give it back.
 *
 * spinlock PAIRS prints: nanoseconds of a lock and its unlock.
 */

#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef int32_t word;

enum { L_VALUE = 0, L_EXTRA, L_OWNER, L_CLASS, LOCKED = 1 };
enum { LOCK = 1 << 14, LOCK_STATS = 1 << 15, CLASS = 40, RAM_WORDS = 1 << 18 };

static word *ram;

struct cpu {
  word id, preempt_count;
};

static void bad(const char *what) {
  fprintf(stderr, "%s\n", what);
  exit(1);
}

static inline word cas(word at, word expected, word replacement) {
  atomic_compare_exchange_strong((_Atomic word *)&ram[at], &expected, replacement);
  return expected;
}
static inline uint8_t cas_byte(word at, uint8_t expected, uint8_t replacement) {
  atomic_compare_exchange_strong((_Atomic uint8_t *)&ram[at], &expected, replacement);
  return expected;
}

static void __attribute__((noinline)) spin_lock(struct cpu *cpu, word lock) {
  cpu->preempt_count++;
  if (cas(lock + L_VALUE, 0, LOCKED) != 0) bad("contended");
  ram[lock + L_OWNER] = cpu->id + 1;
  *(int64_t *)&ram[LOCK_STATS + (ram[lock + L_CLASS] << 4)] += 1;
}

static void __attribute__((noinline)) spin_unlock(struct cpu *cpu, word lock) {
  if (ram[lock + L_OWNER] != cpu->id + 1) bad("unlock of a lock that is not held");
  ram[lock + L_OWNER] = 0;
  if (cas_byte(lock + L_VALUE, LOCKED, 0) != LOCKED) bad("somebody waits for the lock");
  if (--cpu->preempt_count < 0) bad("preempt_enable without preempt_disable");
}

static double now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

int main(int argc, char **argv) {
  long pairs = argc > 1 ? atol(argv[1]) : 10000000;
  struct cpu *cpu = calloc(1, sizeof *cpu);
  ram = aligned_alloc(4096, (size_t)RAM_WORDS * 4);
  memset(ram, 0, (size_t)RAM_WORDS * 4);
  ram[LOCK + L_CLASS] = CLASS;
  double start = now_ns();
  for (long i = 0; i < pairs; i++) {
    spin_lock(cpu, LOCK);
    spin_unlock(cpu, LOCK);
  }
  printf("%.6g\n", (now_ns() - start) / pairs);
  return 0;
}
