/* Preloaded into the Collector: fails or kills it at one of its file operations.
 *
 * Counts the calls of libc that change files below O2I_FILES_FOLDER. The call with the number O2I_FILES_AT, if that is set,
 * fails with EIO (O2I_FILES_HOW=fail), or the process dies before or after it (kill_before, kill_after), or, of a write, in
 * its middle (kill_half). Each call is noted in O2I_FILES_LOG. The Go side of the Collector makes its system calls itself,
 * so only the library's files are met: data, metadata and the database. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum how { PASS, FAIL, KILL_BEFORE, KILL_AFTER, KILL_HALF };

static atomic_int calls;

static void note(int number, const char *name, const char *path) {
    const char *log = getenv("O2I_FILES_LOG");
    if (!log) return;
    char line[PATH_MAX + 64];
    int length = snprintf(line, sizeof line, "%d %s %s\n", number, name, path);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_APPEND | O_CREAT, 0644);
    if (fd < 0) return;
    syscall(SYS_write, fd, line, (size_t)length);
    syscall(SYS_close, fd);
}

static void die(void) {
    syscall(SYS_kill, (int)syscall(SYS_getpid), SIGKILL);
    for (;;) syscall(SYS_pause);
}

/* What becomes of a call on this path. */
static enum how decide(const char *name, const char *path) {
    const char *folder = getenv("O2I_FILES_FOLDER");
    if (!folder || strncmp(path, folder, strlen(folder)) != 0) return PASS;
    int number = atomic_fetch_add(&calls, 1) + 1;
    note(number, name, path);
    const char *at = getenv("O2I_FILES_AT"), *how = getenv("O2I_FILES_HOW");
    if (!at || !how || atoi(at) != number) return PASS;
    if (!strcmp(how, "fail")) return FAIL;
    if (!strcmp(how, "kill_after")) return KILL_AFTER;
    if (!strcmp(how, "kill_half") && strstr(name, "write")) return KILL_HALF;
    die();
    return PASS;
}

static enum how decide_fd(const char *name, int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return PASS;
    path[length] = 0;
    return decide(name, path);
}

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define GUARD(decision, call) \
    enum how how = decision; \
    if (how == FAIL) { errno = EIO; return -1; } \
    __typeof__(call) result = call; \
    if (how == KILL_AFTER) die(); \
    return result

ssize_t write(int fd, const void *data, size_t size) {
    REAL(write);
    enum how half = decide_fd("write", fd);
    if (half == KILL_HALF) { real(fd, data, size / 2); die(); }
    GUARD(half, real(fd, data, size));
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    REAL(pwrite);
    enum how half = decide_fd("pwrite", fd);
    if (half == KILL_HALF) { real(fd, data, size / 2, at); die(); }
    GUARD(half, real(fd, data, size, at));
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    REAL(pwrite64);
    enum how half = decide_fd("pwrite64", fd);
    if (half == KILL_HALF) { real(fd, data, size / 2, at); die(); }
    GUARD(half, real(fd, data, size, at));
}

int fsync(int fd) { REAL(fsync); GUARD(decide_fd("fsync", fd), real(fd)); }
int fdatasync(int fd) { REAL(fdatasync); GUARD(decide_fd("fdatasync", fd), real(fd)); }
int ftruncate(int fd, off_t size) { REAL(ftruncate); GUARD(decide_fd("ftruncate", fd), real(fd, size)); }
int ftruncate64(int fd, off64_t size) { REAL(ftruncate64); GUARD(decide_fd("ftruncate64", fd), real(fd, size)); }
int rename(const char *from, const char *to) { REAL(rename); GUARD(decide("rename", to), real(from, to)); }
int unlink(const char *path) { REAL(unlink); GUARD(decide("unlink", path), real(path)); }
int mkdir(const char *path, mode_t mode) { REAL(mkdir); GUARD(decide("mkdir", path), real(path, mode)); }
