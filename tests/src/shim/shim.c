/*
 * Stands between a program and the C library, to be loaded with LD_PRELOAD by the tests. Does what the environment says:
 *
 *   FARWATCH_TRACE    append what happens to files below FARWATCH_TRACED to this file: who wrote what where, what was
 *                     cut, renamed, removed, and what was synced, in the order in which it happened
 *   FARWATCH_TRACED   the directory that is traced
 *   FARWATCH_DIES     die (SIGKILL) right after so many of the steps that are traced
 *   FARWATCH_CLOCK    a file of two 64-bit numbers: milliseconds that are added to the wall clock and to the boot-time
 *                     clock. Whoever changes the file moves the clocks of the running program.
 *   FARWATCH_BOOT_ID  a file that is read in place of /proc/sys/kernel/random/boot_id
 *   FARWATCH_NOFILE   so many descriptors and no more (RLIMIT_NOFILE)
 *   FARWATCH_AS       so many bytes of address space and no more (RLIMIT_AS)
 *   FARWATCH_DNS      "blackhole": a name is looked up for a minute and not found
 *
 * One record: operation, length of payload, inode, two numbers (little-endian as on every machine that runs this), payload.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { CREATE = 1, WRITE, CUT, SYNC, RENAME, REMOVE, MKDIR };

struct record {
    uint32_t op;
    uint32_t length;
    uint64_t inode, a, b;
};

static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;
static int trace = -1;
static const char *traced;
static size_t traced_length;
static uint64_t dies;
static const char *boot_id;
static int64_t *clocks;
/* The path of each open descriptor below `traced`. */
enum { DESCRIPTORS = 65536 };
static char *paths[DESCRIPTORS];

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static void limit(const char *name, int resource) {
    const char *text = getenv(name);
    if (text) {
        struct rlimit most = {strtoull(text, NULL, 10), strtoull(text, NULL, 10)};
        setrlimit(resource, &most);
    }
}

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("FARWATCH_TRACE");
    traced = getenv("FARWATCH_TRACED");
    if (path && traced) {
        traced_length = strlen(traced);
        int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        /* Out of the way of the program's own numbers. */
        trace = fd < 0 ? -1 : (int)syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 700);
        if (fd >= 0) syscall(SYS_close, fd);
    }
    const char *after = getenv("FARWATCH_DIES");
    dies = after ? strtoull(after, NULL, 10) : 0;
    const char *clock = getenv("FARWATCH_CLOCK");
    if (clock) {
        int fd = (int)syscall(SYS_openat, AT_FDCWD, clock, O_RDONLY | O_CLOEXEC, 0);
        if (fd >= 0) {
            void *at = mmap(NULL, 16, PROT_READ, MAP_SHARED, fd, 0);
            if (at != MAP_FAILED) clocks = at;
            syscall(SYS_close, fd);
        }
    }
    boot_id = getenv("FARWATCH_BOOT_ID");
    limit("FARWATCH_NOFILE", RLIMIT_NOFILE);
    limit("FARWATCH_AS", RLIMIT_AS);
}

/* ---- files ---- */

static int is_traced(const char *path) {
    return trace >= 0 && path && strncmp(path, traced, traced_length) == 0;
}

static const char *path_of(int fd) {
    return trace >= 0 && fd >= 0 && fd < DESCRIPTORS ? paths[fd] : NULL;
}

static uint64_t inode_of(int fd) {
    struct stat st;
    return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

static void say(uint32_t op, uint64_t inode, uint64_t a, uint64_t b, const void *payload, size_t length) {
    struct record record = {op, (uint32_t)length, inode, a, b};
    struct iovec parts[2] = {{&record, sizeof record}, {(void *)payload, length}};
    int before = errno;
    if (syscall(SYS_writev, trace, parts, length ? 2 : 1) < 0) abort(); /* a trace with a hole proves nothing */
    if (dies && --dies == 0) syscall(SYS_kill, getpid(), SIGKILL);
    errno = before;
}

static int opened(int fd, const char *path, int was_there, int flags) {
    if (fd >= 0 && fd < DESCRIPTORS) {
        free(paths[fd]);
        paths[fd] = strdup(path);
        if (!was_there) say(CREATE, inode_of(fd), 0, 0, path, strlen(path));
        else if (flags & O_TRUNC) say(CUT, inode_of(fd), 0, 0, NULL, 0);
    }
    return fd;
}

static int open_any(int directory, const char *path, int flags, mode_t mode) {
    if (boot_id && path && strcmp(path, "/proc/sys/kernel/random/boot_id") == 0)
        return (int)syscall(SYS_openat, AT_FDCWD, boot_id, flags, mode);
    if (!is_traced(path)) return (int)syscall(SYS_openat, directory, path, flags, mode);
    pthread_mutex_lock(&one);
    struct stat st;
    int was_there = stat(path, &st) == 0;
    int fd = opened((int)syscall(SYS_openat, directory, path, flags, mode), path, was_there, flags);
    pthread_mutex_unlock(&one);
    return fd;
}

#define MODE_OF(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { va_list more; va_start(more, flags); mode = va_arg(more, mode_t); va_end(more); }

int open(const char *path, int flags, ...) { MODE_OF(flags) return open_any(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE_OF(flags) return open_any(AT_FDCWD, path, flags, mode); }
int openat(int directory, const char *path, int flags, ...) { MODE_OF(flags) return open_any(directory, path, flags, mode); }
int openat64(int directory, const char *path, int flags, ...) { MODE_OF(flags) return open_any(directory, path, flags, mode); }

int close(int fd) {
    if (path_of(fd)) {
        pthread_mutex_lock(&one);
        free(paths[fd]);
        paths[fd] = NULL;
        pthread_mutex_unlock(&one);
    }
    return (int)syscall(SYS_close, fd);
}

ssize_t write(int fd, const void *bytes, size_t length) {
    if (!path_of(fd)) return syscall(SYS_write, fd, bytes, length);
    pthread_mutex_lock(&one);
    int flags = fcntl(fd, F_GETFL);
    off_t at = lseek(fd, 0, flags & O_APPEND ? SEEK_END : SEEK_CUR);
    ssize_t done = syscall(SYS_write, fd, bytes, length);
    if (done > 0) say(WRITE, inode_of(fd), (uint64_t)at, 0, bytes, (size_t)done);
    pthread_mutex_unlock(&one);
    return done;
}

static ssize_t pwrite_any(int fd, const void *bytes, size_t length, off_t at) {
    if (!path_of(fd)) return syscall(SYS_pwrite64, fd, bytes, length, at);
    pthread_mutex_lock(&one);
    ssize_t done = syscall(SYS_pwrite64, fd, bytes, length, at);
    if (done > 0) say(WRITE, inode_of(fd), (uint64_t)at, 0, bytes, (size_t)done);
    pthread_mutex_unlock(&one);
    return done;
}
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) { return pwrite_any(fd, bytes, length, at); }
ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t at) { return pwrite_any(fd, bytes, length, at); }

ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (!path_of(fd)) return syscall(SYS_writev, fd, parts, count);
    ssize_t all = 0;
    for (int i = 0; i < count; i++) {
        if (!parts[i].iov_len) continue;
        ssize_t done = write(fd, parts[i].iov_base, parts[i].iov_len);
        if (done < 0) return all ? all : done;
        all += done;
        if ((size_t)done < parts[i].iov_len) break;
    }
    return all;
}

static int cut_any(int fd, off_t length) {
    if (!path_of(fd)) return (int)syscall(SYS_ftruncate, fd, length);
    pthread_mutex_lock(&one);
    int done = (int)syscall(SYS_ftruncate, fd, length);
    if (done == 0) say(CUT, inode_of(fd), (uint64_t)length, 0, NULL, 0);
    pthread_mutex_unlock(&one);
    return done;
}
int ftruncate(int fd, off_t length) { return cut_any(fd, length); }
int ftruncate64(int fd, off_t length) { return cut_any(fd, length); }

static int sync_any(int fd, long call) {
    const char *path = path_of(fd);
    if (!path) return (int)syscall(call, fd);
    pthread_mutex_lock(&one);
    int done = (int)syscall(call, fd);
    struct stat st;
    int directory = fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
    if (done == 0) say(SYNC, st.st_ino, (uint64_t)directory, 0, path, strlen(path));
    pthread_mutex_unlock(&one);
    return done;
}
int fsync(int fd) { return sync_any(fd, SYS_fsync); }
int fdatasync(int fd) { return sync_any(fd, SYS_fdatasync); }

static void moved(const char *from, const char *to) {
    char both[8192];
    size_t a = strlen(from), b = strlen(to);
    if (a + b + 1 > sizeof both) abort();
    memcpy(both, from, a + 1);
    memcpy(both + a + 1, to, b);
    say(RENAME, 0, 0, 0, both, a + 1 + b);
}
int rename(const char *from, const char *to) {
    int ours = is_traced(from) || is_traced(to);
    if (ours) pthread_mutex_lock(&one);
    int done = (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
    if (ours && done == 0) moved(from, to);
    if (ours) pthread_mutex_unlock(&one);
    return done;
}

static int remove_any(int directory, const char *path, int flags) {
    int ours = is_traced(path);
    if (ours) pthread_mutex_lock(&one);
    int done = (int)syscall(SYS_unlinkat, directory, path, flags);
    if (ours && done == 0) say(REMOVE, 0, 0, 0, path, strlen(path));
    if (ours) pthread_mutex_unlock(&one);
    return done;
}
int unlink(const char *path) { return remove_any(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return remove_any(AT_FDCWD, path, AT_REMOVEDIR); }
int unlinkat(int directory, const char *path, int flags) { return remove_any(directory, path, flags); }

int mkdir(const char *path, mode_t mode) {
    int ours = is_traced(path);
    if (ours) pthread_mutex_lock(&one);
    int done = (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
    if (ours && done == 0) say(MKDIR, 0, 0, 0, path, strlen(path));
    if (ours) pthread_mutex_unlock(&one);
    return done;
}

/* ---- clocks ---- */

static void add(struct timespec *at, int64_t ms) {
    int64_t ns = at->tv_nsec + ms % 1000 * 1000000;
    at->tv_sec += ms / 1000 + (ns < 0 ? -1 : ns >= 1000000000 ? 1 : 0);
    at->tv_nsec = ns < 0 ? ns + 1000000000 : ns % 1000000000;
}

int clock_gettime(clockid_t which, struct timespec *at) {
    REAL(clock_gettime);
    int done = real ? real(which, at) : (int)syscall(SYS_clock_gettime, which, at);
    if (done == 0 && clocks) {
        if (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE) add(at, __atomic_load_n(&clocks[0], __ATOMIC_RELAXED));
        if (which == CLOCK_BOOTTIME) add(at, __atomic_load_n(&clocks[1], __ATOMIC_RELAXED));
    }
    return done;
}

int gettimeofday(struct timeval *at, void *zone) {
    (void)zone;
    struct timespec now;
    int done = clock_gettime(CLOCK_REALTIME, &now);
    *at = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
    return done;
}

time_t time(time_t *at) {
    struct timespec now = {0, 0};
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}

/* ---- names ---- */

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    REAL(getaddrinfo);
    const char *how = getenv("FARWATCH_DNS");
    unsigned char address[16];
    if (how && node && !inet_pton(AF_INET, node, address) && !inet_pton(AF_INET6, node, address)) {
        struct timespec minute = {60, 0};
        nanosleep(&minute, NULL);
        return EAI_AGAIN;
    }
    return real(node, service, hints, found);
}
