/*
 * The workload page_fault1 on the host's own kernel: one thread maps a region of private anonymous memory, writes to each
 * page, and unmaps it.  Huge pages are switched off for the process, as ours has none.
 *
 * fault PAGES SECONDS prints: nanoseconds of a page of such a region.
 */

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>

enum { PAGE = 4096 };

static double now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1e9 + now.tv_nsec;
}

int main(int argc, char **argv) {
  long pages = argc > 2 ? atol(argv[1]) : 0;
  double seconds = argc > 2 ? atof(argv[2]) : 0;
  if (pages < 1 || pages > 1 << 20 || !(seconds > 0)) {
    fprintf(stderr, "usage: fault PAGES SECONDS\n");
    return 2;
  }
  prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
  size_t bytes = (size_t)pages * PAGE;
  double done = 0, start = now_ns(), now;
  do {
    char *region = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (region == MAP_FAILED) {
      perror("mmap");
      return 1;
    }
    for (size_t at = 0; at < bytes; at += PAGE) *(volatile int *)(region + at) = 1;
    munmap(region, bytes);
    done += pages;
    now = now_ns();
  } while (now - start < seconds * 1e9);
  printf("%.6g\n", (now - start) / done);
  return 0;
}
