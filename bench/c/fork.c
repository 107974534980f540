/*
 * Forks of a process with much touched memory on the host's own kernel: the parent has written to every page, forks, the child
 * writes to every page and ends, and the parent writes to every page again.  Huge pages are switched off, as ours has
 * none.
 *
 * fork PAGES SECONDS prints nanoseconds: of a fork, of a page that the child writes to (a copy), of a page that the parent
 * writes to afterwards (its own again), and of the child's end until its parent knows; the least of all rounds.
 */

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, FORK = 0, COPY = 1, REUSE = 2, END = 3, FIGURES = 4 };

static double now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1e9 + now.tv_nsec;
}

/* Nanoseconds of a page. */
static double touch(char *region, size_t bytes, int value) {
  double start = now_ns();
  for (size_t at = 0; at < bytes; at += PAGE) *(volatile int *)(region + at) = value;
  return (now_ns() - start) / (bytes / PAGE);
}

static void *map(size_t bytes, int kind) {
  void *region = mmap(NULL, bytes, PROT_READ | PROT_WRITE, kind | MAP_ANONYMOUS, -1, 0);
  if (region == MAP_FAILED) {
    perror("mmap");
    exit(1);
  }
  return region;
}

int main(int argc, char **argv) {
  long pages = argc > 2 ? atol(argv[1]) : 0;
  double seconds = argc > 2 ? atof(argv[2]) : 0;
  if (pages < 1 || pages > 1 << 20 || !(seconds > 0)) {
    fprintf(stderr, "usage: fork PAGES SECONDS\n");
    return 2;
  }
  prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
  size_t bytes = (size_t)pages * PAGE;
  char *region = map(bytes, MAP_PRIVATE);
  /* What the child has measured: its copies, and when it was through with them. */
  double *said = map(PAGE, MAP_SHARED);
  said[0] = said[1] = 0;
  double least[FIGURES] = {1e300, 1e300, 1e300, 1e300};
  touch(region, bytes, 1);
  double begun = now_ns();
  do {
    double start = now_ns();
    pid_t child = fork();
    if (child < 0) {
      perror("fork");
      return 1;
    }
    if (child == 0) {
      said[0] = touch(region, bytes, 2);
      said[1] = now_ns();
      _exit(0);
    }
    double found[FIGURES] = {now_ns() - start};
    waitpid(child, NULL, 0);
    found[END] = now_ns() - said[1];
    found[COPY] = said[0];
    found[REUSE] = touch(region, bytes, 3);
    for (int i = 0; i < FIGURES; i++)
      if (found[i] < least[i]) least[i] = found[i];
  } while (now_ns() - begun < seconds * 1e9);
  printf("%.6g %.6g %.6g %.6g\n", least[FORK], least[COPY], least[REUSE], least[END]);
  return 0;
}
