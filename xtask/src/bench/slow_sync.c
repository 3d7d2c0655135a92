/* A disk whose syncs take SLOW_SYNC_MS longer. Loaded before libc by LD_PRELOAD; everything else is the real disk's. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static int late(int fd, long call) {
    const char *slow = getenv("SLOW_SYNC_MS");
    if (slow) usleep((useconds_t)atoi(slow) * 1000);
    return (int)syscall(call, fd);
}

int fsync(int fd) { return late(fd, SYS_fsync); }
int fdatasync(int fd) { return late(fd, SYS_fdatasync); }
