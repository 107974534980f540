/*
 * Two tasks of the host's own kernel on one CPU, which wake each other through pipes: what a switch costs, the write and
 * the read of one byte around it included.
 *
 * context-switch process|thread SECONDS prints: nanoseconds of a switch.
 */

#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int there[2], back[2];

static double now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1e9 + now.tv_nsec;
}

/* Answers each byte; ends at one that is not 0. */
static void *answer(void *unused) {
  char byte = 0;
  while (byte == 0 && read(there[0], &byte, 1) == 1)
    if (write(back[1], &byte, 1) != 1) break;
  return unused;
}

static void pass(char byte) {
  if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1) {
    perror("pipe");
    exit(1);
  }
}

int main(int argc, char **argv) {
  double seconds = argc > 2 ? atof(argv[2]) : 0;
  int threads = argc > 2 && strcmp(argv[1], "thread") == 0;
  if (!(seconds > 0) || (!threads && strcmp(argv[1], "process") != 0)) {
    fprintf(stderr, "usage: context-switch process|thread SECONDS\n");
    return 2;
  }
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(sched_getcpu(), &one);
  if (sched_setaffinity(0, sizeof one, &one) != 0 || pipe(there) != 0 || pipe(back) != 0) {
    perror("context-switch");
    return 1;
  }
  pthread_t thread;
  pid_t child = 0;
  if (threads)
    pthread_create(&thread, NULL, answer, NULL);
  else if ((child = fork()) == 0) {
    answer(NULL);
    return 0;
  }
  double done = 0, start = now_ns(), now;
  do {
    for (int i = 0; i < 100; i++) pass(0);
    done += 200;
    now = now_ns();
  } while (now - start < seconds * 1e9);
  pass(1);
  if (threads)
    pthread_join(thread, NULL);
  else
    waitpid(child, NULL, 0);
  printf("%.6g\n", (now - start) / done);
  return 0;
}
