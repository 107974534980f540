/*
 * The C twin of the workload page-repeat: an allocation and a free of one page through the per-CPU page list, as in
 * src/mm/pages (page-allocator, zonelist-walk, page-lists, page-free, page-checks) and src/sync (spinlock, pv-lock).
 *
 * The same layout (32-bit words, 64-byte struct page, four-word spinlock, lists as word indices), the same checks, the
 * same atomics: one compare-and-swap to take the list's lock and one to give it back, on the way out and on the way
 * back, and a decrement of the reference count.  What a pair never does is left out: the slow paths, and the refill and
 * trimming of a list; where they would begin the program ends.
 *
 * page-repeat THREADS SECONDS prints: pairs per second of all threads together, nanoseconds of a pair.
 */

#include "threads.h"

/* struct page */
enum { PAGE_WORDS = 16, P_FLAGS = 0, P_REFCOUNT, P_MAPCOUNT, P_TYPE, P_BUDDY, P_LINKS, P_PRIVATE = 7 };
enum { TYPE_NONE = 0, TYPE_PCP = 2, TYPE_ALLOCATED = 3 };
enum { CHECK_AT_FREE = 0x3ff, CHECK_AT_PREP = 0xfff, FLAGS_MASK = 0xfff, ZONE_SHIFT = 20, PAGEBLOCK_ORDER = 9 };
/* struct spinlock */
enum { L_VALUE = 0, L_EXTRA, L_OWNER, L_CLASS, LOCKED = 1 };
/* struct per_cpu_pages */
enum { C_LOCK = 0, C_COUNT = 4, C_HIGH, C_HIGH_MIN, C_HIGH_MAX, C_BATCH, C_FLAGS, C_ALLOC_FACTOR, C_FREE_COUNT, C_LISTS = 14 };
enum { PREV_FREE_HIGH_ORDER = 1, BATCH_SCALE_MAX = 5, LISTS = 14, BLOCKS = 63 };
/* struct zone */
enum { Z_INDEX = 0, Z_NODE, Z_TAG, Z_WATERMARK, Z_BOOST = 7, Z_FLAGS, Z_RESERVED, Z_HIGHATOMIC, Z_LOWMEM, Z_PAGESET = 17, Z_ZONESTATS, Z_STAT = 300, ZONE_WORDS = 336 };
enum { FREE_PAGES = 0, FREE_CMA = 1, BOOSTED = 1, RECLAIM_ACTIVE = 2, BELOW_HIGH = 4 };
/* counters of one CPU */
enum { EVENT_PGALLOC = 2, EVENT_PGFREE = 10, NUMA_HIT = 0, NUMA_LOCAL = 4, DIFF_WORDS = 16, CARRY = 1 << 30 };
enum { UNIT_WORDS = 4096, PCP_AT = 64, STATS_AT = 256, EVENTS_AT = 512, LOCK_STATS_AT = 1024 };
/* flags of a request */
enum { GFP_ZERO = 0x100, GFP_DIRECT_RECLAIM = 0x400, GFP_SKIP_ZERO = 0x1000000, GFP_KERNEL = 0xcc0 };
enum { WMARK_LOW = 1, WMARK_HIGH = 2, RESERVES = 0x38, CMA = 0x80, NOFRAGMENT = 0x100, HIGHATOMIC = 0x200, KSWAPD = 0x800 };
/* where things lie */
enum { PAGEBLOCKS = 1 << 12, ZONELIST = 1 << 13, ZONES = 1 << 14, UNITS = 1 << 16, MEM_MAP = 1 << 20, RAM_WORDS = 1 << 22, FRAMES = 65536 };

static word *ram;

static inline word cas(word at, word expected, word replacement) {
  atomic_compare_exchange_strong((_Atomic word *)&ram[at], &expected, replacement);
  return expected;
}
static inline uint8_t cas_byte(word at, uint8_t expected, uint8_t replacement) {
  atomic_compare_exchange_strong((_Atomic uint8_t *)&ram[at], &expected, replacement);
  return expected;
}
static inline void count(word at, word amount) {
  if ((ram[at] += amount) >= CARRY) bad("the count carries");
}
static inline word unit(struct cpu *cpu) { return cpu->id * UNIT_WORDS; }

/* ---- spinlock ---- */

static inline void preempt_enable(struct cpu *cpu) {
  if (--cpu->preempt_count < 0) bad("preempt_enable without preempt_disable");
}
static inline int try_lock(struct cpu *cpu, word lock) {
  cpu->preempt_count++;
  if (cas(lock + L_VALUE, 0, LOCKED) != 0) {
    preempt_enable(cpu);
    return 0;
  }
  ram[lock + L_OWNER] = cpu->id + 1;
  count(UNITS + unit(cpu) + LOCK_STATS_AT + (ram[lock + L_CLASS] << 4), 1);
  return 1;
}
static inline void unlock(struct cpu *cpu, word lock) {
  if (ram[lock + L_OWNER] != cpu->id + 1) bad("unlock of a lock that is not held");
  ram[lock + L_OWNER] = 0;
  if (cas_byte(lock + L_VALUE, LOCKED, 0) != LOCKED) bad("somebody waits for the lock");
  preempt_enable(cpu);
}

/* ---- lists ---- */

static inline void list_add(word link, word head) {
  word next = ram[head];
  ram[next + 1] = link;
  ram[link] = next;
  ram[link + 1] = head;
  ram[head] = link;
}
static inline void list_del(word link) {
  word next = ram[link], prev = ram[link + 1];
  ram[next + 1] = prev;
  ram[prev] = next;
}
static inline word list_index(word type, word order) { return order > 3 ? 12 + (type == 1) : 3 * order + type; }

/* ---- allocate ---- */

static inline int can_spare(word zone, word order, word highest, word flags) {
  if ((ram[zone + Z_FLAGS] & BELOW_HIGH) != 0) bad("the zone is below its high mark");
  word mark = ram[zone + Z_WATERMARK + WMARK_HIGH] + ram[zone + Z_BOOST];
  word free = ram[zone + Z_STAT + FREE_PAGES];
  word unusable = (1 << order) - 1;
  if ((flags & RESERVES) == 0) unusable += ram[zone + Z_HIGHATOMIC];
  if ((flags & CMA) == 0) unusable += ram[zone + Z_STAT + FREE_CMA];
  return order == 0 && free - unusable > mark + ram[zone + Z_LOWMEM + highest];
}

static inline word take(struct cpu *cpu, word zone, word order, word type) {
  word pcp = ram[zone + Z_PAGESET] + unit(cpu);
  if (!try_lock(cpu, pcp + C_LOCK)) return 0;
  ram[pcp + C_FREE_COUNT] >>= 1;
  word head = pcp + C_LISTS + 2 * list_index(type, order);
  word link = ram[head];
  if (link == head) bad("the list is empty");
  list_del(link);
  ram[pcp + C_COUNT] -= 1 << order;
  unlock(cpu, pcp + C_LOCK);
  return link - P_LINKS;
}

static inline void prepare(word page, word order, word gfp) {
  word state = (ram[page + P_FLAGS] & CHECK_AT_PREP) | ram[page + P_REFCOUNT] | (ram[page + P_MAPCOUNT] + 1);
  if ((state | ram[page + P_BUDDY]) != 0) bad("bad page state");
  ram[page + P_TYPE] = TYPE_ALLOCATED | (order << 8);
  ram[page + P_PRIVATE] = 0;
  ram[page + P_REFCOUNT] = 1;
  if ((gfp & (GFP_ZERO | GFP_SKIP_ZERO)) == GFP_ZERO) memset(&ram[((page - MEM_MAP) >> 4) << 10], 0, 4096u << order);
}

static inline void count_taken(struct cpu *cpu, word preferred, word zone, word order) {
  count(UNITS + unit(cpu) + EVENTS_AT + 2 * (EVENT_PGALLOC + ram[zone + Z_INDEX]), 1 << order);
  word stats = ram[zone + Z_ZONESTATS] + unit(cpu) + DIFF_WORDS;
  if (ram[zone + Z_NODE] == 0) count(stats + 2 * NUMA_LOCAL, 1);
  if (zone == preferred) count(stats + 2 * NUMA_HIT, 1);
}

static word __attribute__((noinline)) alloc_pages(struct cpu *cpu, word gfp, word order) {
  if (order > 10) bad("order");
  word atomic = cpu->preempt_count | cpu->in_interrupt | !cpu->irqs_enabled;
  if ((gfp & GFP_DIRECT_RECLAIM) != 0 && atomic) bad("sleeping function called from invalid context");
  word highest = 2, type = (gfp >> 3) & 3, first = ZONELIST;
  while (ram[first + 1] > highest) first += 2;
  word preferred = ram[first];
  word flags = WMARK_LOW | (type == 1 ? CMA : 0) | (gfp & KSWAPD) | (ram[preferred] == 2 ? NOFRAGMENT : 0);
  for (word entry = first;; entry += 2) {
    word zone = ram[entry];
    if (zone == 0) return 0;
    if (ram[entry + 1] > highest) continue;
    if ((flags & NOFRAGMENT) != 0 && zone != preferred) return 0;
    if (!can_spare(zone, order, highest, flags)) continue;
    word page = order <= 3 || order == 9 ? take(cpu, zone, order, type) : 0;
    if (page == 0) bad("the list's lock is taken");
    if ((flags & KSWAPD) != 0 && (ram[zone + Z_FLAGS] & BOOSTED) != 0) bad("the marks are boosted");
    prepare(page, order, gfp);
    count_taken(cpu, preferred, zone, order);
    if ((flags & HIGHATOMIC) != 0) bad("reserve");
    return (page - MEM_MAP) >> 4;
  }
}

/* ---- free ---- */

static inline void trim(word zone, word pcp, word order, word count) {
  word batch = ram[pcp + C_BATCH], flags = ram[pcp + C_FLAGS];
  ram[pcp + C_ALLOC_FACTOR] >>= 1;
  word free_count = ram[pcp + C_FREE_COUNT];
  if (order == 0 && (flags & PREV_FREE_HIGH_ORDER) != 0) ram[pcp + C_FLAGS] = flags & ~PREV_FREE_HIGH_ORDER;
  if (free_count < batch << BATCH_SCALE_MAX) ram[pcp + C_FREE_COUNT] = free_count += 1 << order;
  if ((ram[zone + Z_FLAGS] & (RECLAIM_ACTIVE | BELOW_HIGH)) != 0) bad("the zone is short of memory");
  if (count >= ram[pcp + C_HIGH]) bad("the list is full");
}

static inline int put(struct cpu *cpu, word zone, word page, word order, word type) {
  word pcp = ram[zone + Z_PAGESET] + unit(cpu);
  if (!try_lock(cpu, pcp + C_LOCK)) return 0;
  ram[page + P_TYPE] = TYPE_PCP | (order << 8);
  list_add(page + P_LINKS, pcp + C_LISTS + 2 * list_index(type, order));
  word count = ram[pcp + C_COUNT] += 1 << order;
  trim(zone, pcp, order, count);
  unlock(cpu, pcp + C_LOCK);
  return 1;
}

static void __attribute__((noinline)) free_pages(struct cpu *cpu, word pfn, word order) {
  if (pfn <= 0 || pfn >= FRAMES || order > 10) bad("free of no frame");
  word page = MEM_MAP + pfn * PAGE_WORDS;
  if (atomic_fetch_sub((_Atomic word *)&ram[page + P_REFCOUNT], 1) != 1) bad("still referenced");
  if (ram[page + P_TYPE] != (TYPE_ALLOCATED | (order << 8))) bad("wrong type");
  word flags = ram[page + P_FLAGS];
  if (((flags & CHECK_AT_FREE) | ram[page + P_REFCOUNT] | (ram[page + P_MAPCOUNT] + 1)) != 0) bad("bad page state");
  if ((flags & FLAGS_MASK) != 0) ram[page + P_FLAGS] = flags & ~FLAGS_MASK;
  ram[page + P_TYPE] = TYPE_NONE;
  word zone = ZONES + (word)((uint32_t)ram[page + P_FLAGS] >> ZONE_SHIFT) * ZONE_WORDS;
  count(UNITS + unit(cpu) + EVENTS_AT + 2 * EVENT_PGFREE, 1 << order);
  word type = ram[PAGEBLOCKS + (pfn >> PAGEBLOCK_ORDER)] & 7;
  if (type >= 3 || !put(cpu, zone, page, order, type)) bad("past the lists");
}

/* ---- the loop ---- */

static void format_list(word id) {
  word pcp = UNITS + PCP_AT + id * UNIT_WORDS;
  ram[pcp + L_CLASS] = 2;
  ram[pcp + C_HIGH] = ram[pcp + C_HIGH_MIN] = 300;
  ram[pcp + C_HIGH_MAX] = 2000;
  ram[pcp + C_BATCH] = BLOCKS;
  for (word head = pcp + C_LISTS; head < pcp + C_LISTS + 2 * LISTS; head += 2) ram[head] = ram[head + 1] = head;
  for (word i = 0; i < BLOCKS; i++) {
    word page = MEM_MAP + (16384 + id * 1024 + i) * PAGE_WORDS;
    ram[page + P_TYPE] = TYPE_PCP;
    list_add(page + P_LINKS, pcp + C_LISTS);
  }
  ram[pcp + C_COUNT] = BLOCKS;
}

static void format(word threads) {
  ram = aligned_alloc(4096, (size_t)RAM_WORDS * 4);
  memset(ram, 0, (size_t)RAM_WORDS * 4);
  word zone = ZONES + ZONE_WORDS;
  ram[zone + Z_INDEX] = 1;
  for (word i = 0; i < 4; i++) ram[zone + Z_WATERMARK + i] = 700 + 175 * i;
  ram[zone + Z_STAT + FREE_PAGES] = FRAMES / 2;
  ram[zone + Z_PAGESET] = UNITS + PCP_AT;
  ram[zone + Z_ZONESTATS] = UNITS + STATS_AT;
  ram[ZONELIST] = zone;
  ram[ZONELIST + 1] = 1;
  for (word page = MEM_MAP; page < MEM_MAP + FRAMES * PAGE_WORDS; page += PAGE_WORDS) {
    ram[page + P_FLAGS] = 1 << ZONE_SHIFT;
    ram[page + P_MAPCOUNT] = -1;
  }
  for (word id = 0; id < threads; id++) format_list(id);
}

static void prepare_cpu(struct cpu *cpu) { (void)cpu; }
static inline void operation(struct cpu *cpu) { free_pages(cpu, alloc_pages(cpu, GFP_KERNEL, 0), 0); }

int main(int argc, char **argv) { return run_threads("page-repeat", argc, argv); }
