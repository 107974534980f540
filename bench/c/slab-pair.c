/*
 * The C twin of the workload slab-hot: an allocation and a free of one object on the fast path of the object allocator,
 * as in src/mm/slab/slub (alloc, freeRun, exchangePair) and slab-pages (slabOf, next, setNext), and of frees into a slab
 * that is not this CPU's (freeSlow).
 *
 * The same structures and checks.  The free list and the transaction id are exchanged as Linux does it on x86-64
 * (this_cpu_cmpxchg16b): both 8 bytes, by one compare-exchange of 16 bytes without a lock prefix; elsewhere by two
 * compares and two stores, as ours are.  A free elsewhere exchanges the slab's word with a lock.  Where a slow path would
 * begin the program ends.
 *
 * slab-pair THREADS SECONDS prints: pairs per second of all threads together, nanoseconds of a pair.
 * slab-pair remote ROUNDS prints: nanoseconds of a free into another slab, the least of all rounds.
 */

#include "threads.h"

/* struct page, as a slab */
enum { PAGE_WORDS = 16, P_FLAGS = 0, P_TYPE = 3, S_CACHE = 8, S_COUNTERS, S_OBJECTS, S_ON_NODE_LIST, T_HEAD = 4 };
enum { TYPE_TAIL = 4, TYPE_SLAB = 5, NODE_SHIFT = 23 };
/* page.slab.counters */
enum { INUSE = 0x7fff, FROZEN = 0x8000, HEAD_SHIFT = 16 };
/* struct kmem_cache, in words */
enum { K_CPU_SLAB = 0, K_SIZE, K_OFFSET, K_RANDOM, K_OBJECT_SIZE = 12, K_NODES = 32 };
enum { GFP_ZERO = 0x100, GFP_DIRECT_RECLAIM = 0x400, GFP_KERNEL = 0xcc0, NO_NODE = -1 };
/* where things lie */
enum { CACHE = 1 << 10, NODE = 1 << 11, MEM_MAP = 1 << 20, RAM_WORDS = 1 << 22, FIRST_FRAME = 3000 };
enum { SIZE = 256, SMALL = 8, SLAB_FRAMES = 4, FRAME_WORDS = 1024, TID_STEP = 32 };

struct pair {
  _Alignas(16) int64_t freelist;
  int64_t tid;
};
struct cache_cpu {
  _Alignas(64) struct pair pair;
  word slab, partial;
};

static word *ram;
static struct cache_cpu cache_cpus[32];

#define READ_ONCE(x) (*(volatile __typeof__(x) *)&(x))

static inline int exchange_pair(struct pair *at, struct pair from, struct pair to) {
#ifdef __x86_64__
  int same;
  __asm__ volatile("cmpxchg16b %1"
                   : "=@ccz"(same), "+m"(*at), "+a"(from.freelist), "+d"(from.tid)
                   : "b"(to.freelist), "c"(to.tid)
                   : "memory");
  return same;
#else
  if (READ_ONCE(at->freelist) != from.freelist || READ_ONCE(at->tid) != from.tid) return 0;
  *(volatile struct pair *)at = to;
  return 1;
#endif
}

static inline word swap_bytes(word w) { return (word)__builtin_bswap32((uint32_t)w); }
static inline word next_of(word cache, word object) {
  word slot = object + (ram[cache + K_OFFSET] >> 2), cookie = ram[cache + K_RANDOM], stored = READ_ONCE(ram[slot]);
  return cookie == 0 ? stored : stored ^ cookie ^ swap_bytes(slot);
}
static inline void set_next(word cache, word object, word next) {
  word slot = object + (ram[cache + K_OFFSET] >> 2), cookie = ram[cache + K_RANDOM];
  ram[slot] = cookie == 0 ? next : next ^ cookie ^ swap_bytes(slot);
}
static inline word slab_of(word object) {
  word page = MEM_MAP + (object >> 10) * PAGE_WORDS;
  word type = ram[page + P_TYPE] & 0xff;
  if (type == TYPE_TAIL) {
    page = ram[page + T_HEAD];
    type = ram[page + P_TYPE] & 0xff;
  }
  if (type != TYPE_SLAB) bad("not in a slab");
  return page;
}
static inline word base_of(word slab) { return (slab - MEM_MAP) / PAGE_WORDS * FRAME_WORDS; }
static inline word node_of(word slab) { return (ram[slab + P_FLAGS] >> NODE_SHIFT) & 7; }
static inline struct cache_cpu *here(struct cpu *cpu, word cache) { return &cache_cpus[ram[cache + K_CPU_SLAB] + cpu->id]; }

static word __attribute__((noinline)) kmem_cache_alloc(struct cpu *cpu, word cache, word gfp, word node) {
  word atomic = cpu->preempt_count | cpu->in_interrupt | !cpu->irqs_enabled;
  if ((gfp & GFP_DIRECT_RECLAIM) != 0 && atomic) bad("sleeping function called from invalid context");
  struct cache_cpu *own = here(cpu, cache);
  word object;
  for (;;) {
    struct pair from = {.tid = READ_ONCE(own->pair.tid)};
    from.freelist = READ_ONCE(own->pair.freelist);
    object = (word)from.freelist;
    word slab = READ_ONCE(own->slab);
    if (object == 0 || (node != NO_NODE && node_of(slab) != node)) bad("the CPU's list is empty");
    struct pair to = {next_of(cache, object), from.tid + TID_STEP};
    if (exchange_pair(&own->pair, from, to)) break;
  }
  if ((gfp & GFP_ZERO) != 0) memset(&ram[object], 0, ram[cache + K_OBJECT_SIZE]);
  return object;
}

static void __attribute__((noinline)) free_slow(word cache, word slab, word object) {
  _Atomic word *at = (_Atomic word *)&ram[slab + S_COUNTERS];
  word words = ram[cache + K_SIZE] >> 2, base = base_of(slab), offset = object - base, head = offset / words + 1;
  if (offset % words != 0 || head > ram[slab + S_OBJECTS]) bad("not the start of an object");
  if (ram[cache + K_NODES + node_of(slab)] == 0) bad("no such node");
  for (;;) {
    word found = atomic_load(at), prior = (uint32_t)found >> HEAD_SHIFT, inuse = (found & INUSE) - 1;
    if (inuse < 0) bad("more frees than objects");
    set_next(cache, object, prior == 0 ? 0 : base + (prior - 1) * words);
    word after = (word)((uint32_t)head << HEAD_SHIFT) | inuse | (found & FROZEN);
    if (inuse == 0 && prior != 0 && (found & FROZEN) == 0) bad("the slab becomes empty");
    if (!atomic_compare_exchange_strong(at, &found, after)) continue;
    return;
  }
}

static void __attribute__((noinline)) kmem_cache_free(struct cpu *cpu, word cache, word object) {
  word slab = slab_of(object);
  if (ram[slab + S_CACHE] != cache) bad("of another cache");
  struct cache_cpu *own = here(cpu, cache);
  for (;;) {
    struct pair from = {.tid = READ_ONCE(own->pair.tid)};
    if (READ_ONCE(own->slab) != slab) {
      free_slow(cache, slab, object);
      return;
    }
    from.freelist = READ_ONCE(own->pair.freelist);
    set_next(cache, object, (word)from.freelist);
    struct pair to = {object, from.tid + TID_STEP};
    if (exchange_pair(&own->pair, from, to)) return;
  }
}

/* ---- the loop ---- */

static void format_cache(word bytes) {
  ram = aligned_alloc(4096, (size_t)RAM_WORDS * 4);
  memset(ram, 0, (size_t)RAM_WORDS * 4);
  ram[CACHE + K_SIZE] = ram[CACHE + K_OBJECT_SIZE] = bytes;
  ram[CACHE + K_OFFSET] = bytes / 2 & ~7;
  ram[CACHE + K_NODES] = NODE;
}

/* A slab of linked free objects. */
static word make_slab(word pfn, word frames) {
  word slab = MEM_MAP + pfn * PAGE_WORDS, words = ram[CACHE + K_SIZE] >> 2;
  ram[slab + P_TYPE] = TYPE_SLAB;
  ram[slab + S_CACHE] = CACHE;
  ram[slab + S_OBJECTS] = frames * FRAME_WORDS / words;
  for (word i = 1; i < frames; i++) {
    ram[slab + i * PAGE_WORDS + P_TYPE] = TYPE_TAIL;
    ram[slab + i * PAGE_WORDS + T_HEAD] = slab;
  }
  word object = pfn * FRAME_WORDS;
  for (word left = ram[slab + S_OBJECTS]; left > 0; left--, object += words)
    set_next(CACHE, object, left > 1 ? object + words : 0);
  return slab;
}

static void format(word threads) {
  format_cache(SIZE);
  for (word id = 0; id < threads; id++) {
    word pfn = FIRST_FRAME + id * SLAB_FRAMES;
    cache_cpus[id].slab = make_slab(pfn, SLAB_FRAMES);
    cache_cpus[id].pair.freelist = pfn * FRAME_WORDS;
    cache_cpus[id].pair.tid = id;
  }
}

static void prepare_cpu(struct cpu *cpu) { (void)cpu; }
static inline void operation(struct cpu *cpu) {
  kmem_cache_free(cpu, CACHE, kmem_cache_alloc(cpu, CACHE, GFP_KERNEL, NO_NODE));
}

/* All but the first and the last object of a full slab, which is not this CPU's. */
static int remote(word rounds) {
  format_cache(SMALL);
  static struct cpu cpu = {.irqs_enabled = 1};
  word slab = make_slab(FIRST_FRAME, 1), objects = ram[slab + S_OBJECTS], words = SMALL >> 2;
  double best = 1e300;
  for (word round = 0; round < rounds; round++) {
    ram[slab + S_COUNTERS] = objects;
    word object = FIRST_FRAME * FRAME_WORDS;
    kmem_cache_free(&cpu, CACHE, object);
    double from = now_ns();
    for (word i = 2; i < objects; i++) kmem_cache_free(&cpu, CACHE, object += words);
    double each = (now_ns() - from) / (objects - 2);
    if (each < best) best = each;
  }
  printf("%.6g\n", best);
  return 0;
}

int main(int argc, char **argv) {
  if (argc > 2 && strcmp(argv[1], "remote") == 0) return remote(atoi(argv[2]));
  return run_threads("slab-pair", argc, argv);
}
