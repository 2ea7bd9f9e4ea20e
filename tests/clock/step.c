/* A wall clock that is off: by as many seconds as the file named by STEPPED_BY holds, read anew with each look. Loaded before
   the C library (LD_PRELOAD); the monotonic clock stays what it is, as when somebody sets the clock of a machine. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
  int failed = (int)syscall(SYS_clock_gettime, clock, now);
  if (failed == 0 && clock == CLOCK_REALTIME) {
    const char *file = getenv("STEPPED_BY");
    char text[32] = {0};
    int opened = file ? open(file, O_RDONLY | O_CLOEXEC) : -1;
    if (opened >= 0) {
      if (read(opened, text, sizeof text - 1) > 0) now->tv_sec += atol(text);
      close(opened);
    }
  }
  return failed;
}
