/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pipes, files and names where a shell does not look. Runs on any Linux, in the working directory. */
#include "check.h"
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

static char block[1 << 17];

/* Writes of up to PIPE_BUF bytes are never mixed with others'. */
static void atomic_pipes(void)
{
    enum { WRITERS = 4, ROUNDS = 40, SIZE = 4096 };
    int fds[2];
    CHECK(pipe(fds) == 0);
    for (int w = 0; w < WRITERS; w++)
        if (!fork()) {
            memset(block, 'a' + w, SIZE);
            for (int i = 0; i < ROUNDS; i++)
                if (write(fds[1], block, SIZE) != SIZE)
                    _exit(1);
            _exit(0);
        }
    close(fds[1]);
    static char all[WRITERS * ROUNDS * SIZE];
    size_t n = 0;
    for (ssize_t r; (r = read(fds[0], all + n, sizeof all - n)) > 0; n += (size_t)r)
        ;
    CHECK(n == sizeof all);
    for (size_t i = 0; i < n; i += SIZE)
        CHECK(!memcmp(all + i, all + i + 1, SIZE - 1));
    close(fds[0]);
    for (int w = 0, status; w < WRITERS; w++)
        CHECK(wait(&status) > 0 && status == 0);
}

static void nonblocking_pipes(void)
{
    int fds[2];
    CHECK(pipe2(fds, O_NONBLOCK | O_CLOEXEC) == 0 && fcntl(fds[0], F_GETFD) == FD_CLOEXEC);
    CHECK(pipe2(fds, 0x12345) == -1 && errno == EINVAL);
    CHECK(read(fds[0], block, 1) == -1 && errno == EAGAIN);
    ssize_t room = write(fds[1], block, sizeof block);
    CHECK(room == 65536);
    CHECK(write(fds[1], block, 1) == -1 && errno == EAGAIN);
    struct pollfd p[2] = { { fds[0], POLLIN, 0 }, { fds[1], POLLOUT, 0 } };
    CHECK(poll(p, 2, 0) == 1 && p[0].revents == POLLIN && p[1].revents == 0);
    CHECK(read(fds[0], block, 100) == 100);
    CHECK(write(fds[1], block, 4096) == -1 && errno == EAGAIN); /* all of it or nothing */
    CHECK(read(fds[0], block, 4096) == 4096 && write(fds[1], block, 4096) == 4096);
    CHECK(write(fds[0], "x", 1) == -1 && errno == EBADF && read(fds[1], block, 1) == -1 && errno == EBADF);
    CHECK(lseek(fds[0], 0, SEEK_SET) == -1 && errno == ESPIPE && pread(fds[0], block, 1, 0) == -1 && errno == ESPIPE);
    close(fds[0]);
    CHECK(poll(&p[1], 1, 0) == 1 && p[1].revents & POLLERR);
    signal(SIGPIPE, SIG_IGN);
    CHECK(write(fds[1], "x", 1) == -1 && errno == EPIPE);
    struct stat st;
    CHECK(fstat(fds[1], &st) == 0 && S_ISFIFO(st.st_mode));
    close(fds[1]);
}

static void contents(void)
{
    int f = open("f", O_RDWR | O_CREAT | O_EXCL, 0640);
    struct stat st;
    CHECK(f >= 0 && open("f", O_RDWR | O_CREAT | O_EXCL, 0640) == -1 && errno == EEXIST);
    CHECK(pwrite(f, "end", 3, 123456789) == 3 && fstat(f, &st) == 0 && st.st_size == 123456792 && st.st_blocks < 100);
    CHECK(pread(f, block, 8, 123456786) == 6 && !memcmp(block, "\0\0\0end", 6) && pread(f, block, 8, 4096 * 700) == 8 && !block[7]);
    CHECK(ftruncate(f, 123456790) == 0 && ftruncate(f, 123456792) == 0 && pread(f, block, 3, 123456789) == 3 && !memcmp(block, "e\0\0", 3));
    CHECK(ftruncate(f, -1) == -1 && errno == EINVAL && ftruncate(f, 0) == 0 && fstat(f, &st) == 0 && st.st_blocks == 0);
    int a = open("f", O_WRONLY | O_APPEND), d = dup(f);
    CHECK(write(f, "12", 2) == 2 && write(a, "34", 2) == 2 && lseek(d, 0, SEEK_CUR) == 2 && lseek(f, -1, SEEK_END) == 3 && read(d, block, 9) == 1);
    CHECK(lseek(f, -5, SEEK_SET) == -1 && errno == EINVAL && lseek(f, 0, 9) == -1 && errno == EINVAL);
    CHECK(read(a, block, 1) == -1 && errno == EBADF);
    /* what a file is written from may be that file */
    char *m = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, f, 0);
    CHECK(m != MAP_FAILED && write(a, m, 4) == 4 && pread(f, block, 9, 0) == 8 && !memcmp(block, "12341234", 8));
    CHECK(unlink("f") == 0 && fstat(f, &st) == 0 && st.st_nlink == 0 && pread(f, block, 9, 0) == 8);
    CHECK(linkat(AT_FDCWD, "f", AT_FDCWD, "g", 0) == -1 && errno == ENOENT);
    close(f), close(a), close(d), munmap(m, 4096);
}

/* Entries come and go while a directory is read: the others are each seen once. */
static void directories(void)
{
    char name[32];
    CHECK(mkdir("d", 0700) == 0);
    for (int i = 0; i < 700; i++) {
        snprintf(name, sizeof name, "d/file%03d", i);
        CHECK(close(open(name, O_CREAT | O_WRONLY, 0600)) == 0);
    }
    DIR *dir = opendir("d");
    int seen = 0;
    for (struct dirent *e; (e = readdir(dir));)
        if (e->d_name[0] == 'f') {
            CHECK(e->d_type == DT_REG && unlinkat(dirfd(dir), e->d_name, 0) == 0);
            seen++;
        }
    CHECK(seen == 700);
    CHECK(mkdirat(dirfd(dir), "sub", 0700) == 0 && chdir("d/sub") == 0 && rmdir("../sub") == 0);
    CHECK(getcwd(name, sizeof name) == NULL && errno == ENOENT && open("x", O_CREAT | O_WRONLY, 0600) == -1 && errno == ENOENT);
    CHECK(fchdir(dirfd(dir)) == 0 && chdir("..") == 0 && closedir(dir) == 0 && rmdir("d") == 0);
}

static void statuses(void)
{
    struct statx x;
    struct timespec t[2] = { { 5, 6 }, { 7, 999999999 } };
    int f = open("s", O_CREAT | O_RDWR, 0600);
    CHECK(write(f, "abc", 3) == 3 && futimens(f, t) == 0 && fchmod(f, 04711) == 0);
    CHECK(statx(f, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &x) == 0 && x.stx_size == 3 && x.stx_mode == (S_IFREG | 04711) && x.stx_nlink == 1);
    CHECK(x.stx_atime.tv_sec == 5 && x.stx_mtime.tv_sec == 7 && x.stx_mtime.tv_nsec == 999999999);
    t[0].tv_nsec = UTIME_OMIT, t[1].tv_nsec = 1000000000;
    CHECK(utimensat(AT_FDCWD, "s", t, 0) == -1 && errno == EINVAL);
    CHECK(symlink("s", "l") == 0 && fstatat(AT_FDCWD, "l", &(struct stat){ 0 }, 0x40000000) == -1 && errno == EINVAL);
    CHECK(statx(AT_FDCWD, "l", AT_SYMLINK_NOFOLLOW, STATX_MODE, &x) == 0 && S_ISLNK(x.stx_mode) && x.stx_size == 1);
    CHECK(renameat2(AT_FDCWD, "l", AT_FDCWD, "s", RENAME_NOREPLACE) == -1 && errno == EEXIST && rename("l", "s") == 0);
    CHECK(open("s", O_RDONLY) == -1 && errno == ELOOP && unlink("s") == 0);
    close(f);
}

int main(void)
{
    umask(022);
    atomic_pipes();
    nonblocking_pipes();
    contents();
    directories();
    statuses();
    return success();
}
