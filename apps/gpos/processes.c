/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A proxy process for each node that has joined, so that `ps` lists library OSes and `kill` ends them. A proxy shares our memory and waits on a pipe: it ends
 * when it is killed, and when we do.
 */
#include "gpos.h"
#include "hosted.h"
#include "process.h"

#define EFD_NONBLOCK 0x800
#define STACK_BYTES 8192u
#define STATUS_NOT_STARTED 127
#define PATH_BYTES 128

struct proxy {
    int32_t pid;                        /* 0: free */
    uint8_t *stack;
    char name[NODE_NAME];
};

static struct proxy proxies[MESSENGER_NODES];
static int32_t program_pid;
static const char *program_name;
static int alive[2];                    /* a pipe that nobody writes to */
static int told;                        /* an eventfd: a child has ended */
static struct event ended_event;

static void on_child(int signal)
{
    uint64_t one = 1;

    (void)signal;
    rt_syscall(RT_NR_WRITE, told, (long)&one, sizeof(one), 0, 0, 0);
}

static void proxy_main(void *arg)
{
    struct proxy *proxy = arg;
    uint8_t nothing;

    rt_syscall(RT_NR_PRCTL, RT_PR_SET_NAME, (long)proxy->name, 0, 0, 0, 0);
    rt_syscall(RT_NR_CLOSE, alive[1], 0, 0, 0, 0, 0);
    while (rt_syscall(RT_NR_READ, alive[0], (long)&nothing, 1, 0, 0, 0) == -RT_EINTR)
        ;
    rt_exit(0);
}

int32_t processes_proxy(const char *name)
{
    struct proxy *proxy = proxies;

    while (proxy < proxies + MESSENGER_NODES && proxy->pid)
        proxy++;
    if (proxy == proxies + MESSENGER_NODES)
        return 0;
    if (proxy->stack == NULL)
        proxy->stack = mem_alloc(STACK_BYTES);
    if (proxy->stack == NULL)
        return 0;
    memcpy(proxy->name, name, NODE_NAME);

    long pid = rt_process_start(proxy_main, proxy, proxy->stack + STACK_BYTES, 0);

    proxy->pid = pid > 0 ? (int32_t)pid : 0;
    return proxy->pid;
}

void processes_end(int32_t pid)
{
    if (pid > 0)
        rt_syscall(RT_NR_KILL, pid, RT_SIGKILL, 0, 0, 0, 0);
}

/* A child of ours is gone: somebody's proxy, whose node then goes, too, or the other program. */
static void processes_gone(int32_t pid, uint32_t status)
{
    for (struct proxy *proxy = proxies; proxy < proxies + MESSENGER_NODES; proxy++)
        if (proxy->pid == pid)
            proxy->pid = 0;             /* its stack is used again */
    if (pid == program_pid) {
        program_pid = 0;
        if (status & 0x7F)
            console_printf("gpos: %s was ended by signal %u\n", program_name, status & 0x7F);
        else
            console_printf("gpos: %s ended with status %u\n", program_name, status >> 8 & 0xFF);
    }
    for (unsigned number = 1; number < MESSENGER_NODES; number++)
        if (nodes_at(number)->pid == pid)
            nodes_stop(nodes_at(number));
}

static void processes_ended(void *arg)
{
    uint64_t times;
    uint32_t status;
    long pid;

    (void)arg;
    rt_syscall(RT_NR_READ, told, (long)&times, sizeof(times), 0, 0, 0);
    while ((pid = rt_syscall(RT_NR_WAIT4, -1, (long)&status, RT_WNOHANG, 0, 0, 0)) > 0)
        processes_gone((int32_t)pid, status);
}

void processes_start(void)
{
    rt_syscall(RT_NR_PRCTL, RT_PR_SET_NAME, (long)"gpos", 0, 0, 0, 0);   /* a system's first program is called after its file */
    told = (int)rt_syscall(RT_NR_EVENTFD2, 0, EFD_NONBLOCK, 0, 0, 0, 0);
    if (told < 0 || rt_syscall(RT_NR_PIPE2, (long)alive, RT_O_CLOEXEC, 0, 0, 0, 0) < 0 || rt_on_signal(RT_SIGCHLD, on_child) < 0)
        panic("gpos: this system has no pipes, or tells nobody of the end of processes");
    ended_event.fn = processes_ended;
    hosted_watch(told, &ended_event);
}

/* ---- the other program ---- */

static void program_main(void *arg)
{
    static char path[PATH_BYTES];
    static uint64_t every_cpu[16];
    static char *no_environment[] = { NULL };
    char **argv = arg;
    const char *folder = memchr(argv[0], '/', strlen(argv[0])) ? "" : "/bin/";

    memset(every_cpu, 0xFF, sizeof(every_cpu));     /* we have but one of them */
    rt_syscall(RT_NR_SCHED_SETAFFINITY, 0, sizeof(every_cpu), (long)every_cpu, 0, 0, 0);
    for (int fd = 3; fd < 64; fd++)
        rt_syscall(RT_NR_CLOSE, fd, 0, 0, 0, 0, 0);
    format_string(path, sizeof(path), "%s%s", folder, argv[0]);
    rt_syscall(RT_NR_EXECVE, (long)path, (long)argv, (long)no_environment, 0, 0, 0);
    console_printf("gpos: %s cannot be started; give a program that is there\n", path);
    rt_exit(STATUS_NOT_STARTED);
}

void processes_run(char **argv)
{
    uint8_t *stack = mem_alloc(STACK_BYTES);
    long pid = stack ? rt_process_start(program_main, argv, stack + STACK_BYTES, 1) : -1;

    if (pid < 0)
        panic("gpos: no process for %s", argv[0]);
    mem_free(stack);
    program_name = argv[0];
    program_pid = (int32_t)pid;
}
