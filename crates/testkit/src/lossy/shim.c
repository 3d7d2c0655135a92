/* A disk that forgets: remembers what every unsynced write to a database replaced, so that a power cut can be played.
 *
 * Loaded before libc by LD_PRELOAD. For the files named by LOSSY_DATABASE (its -wal and -journal too) each write,
 * before it happens, appends what it replaces to <LOSSY_JOURNAL>/<name>.undo; a sync that succeeded empties that file.
 * When the process is killed, the undo files hold exactly what no sync has covered. With LOSSY_DEAF set, syncs empty
 * nothing: a disk that lies, which a test must catch. Each sync takes LOSSY_SYNC_MS longer, as one of a slow disk does,
 * so that a kill mostly comes while something is not synced. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FDS 4096
#define FILES 3

/* What precedes the replaced bytes in an undo file. All numbers are those of the machine. */
struct entry {
    uint64_t offset; /* where the write starts */
    uint64_t length; /* how many replaced bytes follow */
    uint64_t size;   /* of the file before the write */
};

static const char *const suffixes[FILES] = {"", "-wal", "-journal"};
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int undo[FILES] = {-1, -1, -1};
static unsigned char tracked[FDS]; /* index into suffixes plus one; 0 for files that are none of ours */

static int which(const char *path) {
    const char *database = getenv("LOSSY_DATABASE");
    const char *name = strrchr(path, '/');
    name = name ? name + 1 : path;
    if (!database || strncmp(name, database, strlen(database)) != 0) return 0;
    for (int i = 0; i < FILES; i++)
        if (strcmp(name + strlen(database), suffixes[i]) == 0) return i + 1;
    return 0;
}

static void opened(int fd, const char *path) {
    int file = which(path);
    if (fd < 0 || fd >= FDS) return;
    pthread_mutex_lock(&lock);
    tracked[fd] = (unsigned char)file;
    if (file && undo[file - 1] < 0) {
        char name[PATH_MAX];
        snprintf(name, sizeof name, "%s/%s%s.undo", getenv("LOSSY_JOURNAL"), getenv("LOSSY_DATABASE"), suffixes[file - 1]);
        undo[file - 1] = (int)syscall(SYS_openat, AT_FDCWD, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (undo[file - 1] < 0) abort();
    }
    pthread_mutex_unlock(&lock);
}

/* Appends what a change of [offset, offset + length) replaces. One write, so that a kill leaves it whole or cut short;
 * cut short, the change itself has not begun. */
static void remember(int fd, uint64_t offset, uint64_t length) {
    struct stat now;
    if (fstat(fd, &now) != 0) abort();
    uint64_t size = (uint64_t)now.st_size;
    uint64_t old = offset >= size ? 0 : (size - offset < length ? size - offset : length);
    char *record = malloc(sizeof(struct entry) + old);
    if (!record) abort();
    struct entry head = {offset, 0, size};
    if (old) {
        ssize_t got = syscall(SYS_pread64, fd, record + sizeof head, old, (off_t)offset);
        if (got < 0) abort();
        head.length = (uint64_t)got;
    }
    memcpy(record, &head, sizeof head);
    size_t whole = sizeof head + head.length;
    if (syscall(SYS_write, undo[tracked[fd] - 1], record, whole) != (ssize_t)whole) abort();
    free(record);
}

static int ours(int fd) { return fd >= 0 && fd < FDS && tracked[fd]; }

static int opens(int at, const char *path, int flags, va_list rest) {
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    int fd = (int)syscall(SYS_openat, at, path, flags, mode);
    opened(fd, path);
    return fd;
}

#define OPENS(name)                                      \
    int name(const char *path, int flags, ...) {         \
        va_list rest;                                    \
        va_start(rest, flags);                           \
        int fd = opens(AT_FDCWD, path, flags, rest);     \
        va_end(rest);                                    \
        return fd;                                       \
    }
OPENS(open)
OPENS(open64)

#define OPENS_AT(name)                                   \
    int name(int at, const char *path, int flags, ...) { \
        va_list rest;                                    \
        va_start(rest, flags);                           \
        int fd = opens(at, path, flags, rest);           \
        va_end(rest);                                    \
        return fd;                                       \
    }
OPENS_AT(openat)
OPENS_AT(openat64)

int close(int fd) {
    if (ours(fd)) tracked[fd] = 0;
    return (int)syscall(SYS_close, fd);
}

static ssize_t writes(int fd, const void *bytes, size_t length, off_t offset) {
    pthread_mutex_lock(&lock);
    remember(fd, (uint64_t)offset, length);
    ssize_t done = syscall(SYS_pwrite64, fd, bytes, length, offset);
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) {
    return ours(fd) ? writes(fd, bytes, length, offset) : syscall(SYS_pwrite64, fd, bytes, length, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t offset) { return pwrite(fd, bytes, length, offset); }

ssize_t write(int fd, const void *bytes, size_t length) {
    if (!ours(fd)) return syscall(SYS_write, fd, bytes, length);
    off_t offset = lseek(fd, 0, SEEK_CUR);
    ssize_t done = writes(fd, bytes, length, offset);
    if (done > 0) lseek(fd, offset + done, SEEK_SET);
    return done;
}

int ftruncate(int fd, off_t length) {
    if (!ours(fd)) return (int)syscall(SYS_ftruncate, fd, length);
    struct stat now;
    pthread_mutex_lock(&lock);
    if (fstat(fd, &now) != 0) abort();
    remember(fd, (uint64_t)length, now.st_size > length ? (uint64_t)(now.st_size - length) : 0);
    int done = (int)syscall(SYS_ftruncate, fd, length);
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}

int ftruncate64(int fd, off_t length) { return ftruncate(fd, length); }

/* The lock is held over the sync: a write that comes while it runs must not count as covered. */
static int syncs(int fd, long call) {
    if (!ours(fd)) return (int)syscall(call, fd);
    const char *slow = getenv("LOSSY_SYNC_MS");
    pthread_mutex_lock(&lock);
    if (slow) usleep((useconds_t)atoi(slow) * 1000);
    int done = (int)syscall(call, fd);
    int error = errno;
    if (done == 0 && !getenv("LOSSY_DEAF") && syscall(SYS_ftruncate, undo[tracked[fd] - 1], 0) != 0) abort();
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}

int fsync(int fd) { return syncs(fd, SYS_fsync); }
int fdatasync(int fd) { return syncs(fd, SYS_fdatasync); }
