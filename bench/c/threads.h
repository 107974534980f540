/*
 * What the C twins of workloads share: a CPU's own state, the end of an operation, and the loop that several threads run
 * from a common start until the time is up.
 *
 * Who includes it defines format(threads), prepare_cpu(cpu), operation(cpu), and calls run_threads from main.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef int32_t word;

struct cpu {
  word id, irqs_enabled, preempt_count, in_interrupt, operations;
  _Alignas(64) _Atomic word pending;
  word panic, ready;
};

static void bad(const char *what) {
  fprintf(stderr, "%s\n", what);
  exit(1);
}

static double now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

static inline void end_operation(struct cpu *cpu) {
  if (atomic_load_explicit(&cpu->pending, memory_order_relaxed) != 0 && cpu->irqs_enabled) bad("interrupt");
  if ((++cpu->operations & 63) == 0 && now_ns() == 0) bad("clock");
  if (cpu->preempt_count == 0 && (cpu->panic | cpu->ready) != 0) bad("the slice is over");
}

static void format(word threads);
static void prepare_cpu(struct cpu *cpu);
static inline void operation(struct cpu *cpu);

static pthread_barrier_t start;
static _Atomic int stop;
static struct { _Alignas(64) double operations, elapsed_ns; } results[32];

static void *run(void *argument) {
  word id = (word)(intptr_t)argument;
  struct cpu *cpu = aligned_alloc(64, sizeof *cpu);
  memset(cpu, 0, sizeof *cpu);
  cpu->id = id;
  cpu->irqs_enabled = 1;
  prepare_cpu(cpu);
  pthread_barrier_wait(&start);
  double from = now_ns(), done = 0;
  do {
    operation(cpu);
    end_operation(cpu);
    done++;
  } while (!atomic_load_explicit(&stop, memory_order_relaxed));
  results[id].operations = done;
  results[id].elapsed_ns = now_ns() - from;
  free(cpu);
  return NULL;
}

/* NAME THREADS SECONDS prints: operations per second of all threads together, nanoseconds of one. */
static int run_threads(const char *name, int argc, char **argv) {
  word threads = argc > 1 ? atoi(argv[1]) : 1;
  double seconds = argc > 2 ? atof(argv[2]) : 1;
  if (threads < 1 || threads > 32) {
    fprintf(stderr, "usage: %s THREADS (1 to 32) SECONDS\n", name);
    return 2;
  }
  format(threads);
  pthread_t thread[32];
  pthread_barrier_init(&start, NULL, threads + 1);
  for (word i = 0; i < threads; i++) pthread_create(&thread[i], NULL, run, (void *)(intptr_t)i);
  pthread_barrier_wait(&start);
  struct timespec length = {(time_t)seconds, (long)((seconds - (time_t)seconds) * 1e9)};
  nanosleep(&length, NULL);
  atomic_store(&stop, 1);
  double operations = 0, longest = 0, busy = 0;
  for (word i = 0; i < threads; i++) {
    pthread_join(thread[i], NULL);
    operations += results[i].operations;
    busy += results[i].elapsed_ns;
    if (results[i].elapsed_ns > longest) longest = results[i].elapsed_ns;
  }
  printf("%.6g %.6g\n", operations / longest * 1e9, busy / operations);
  return 0;
}
