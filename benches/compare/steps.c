// Follows one thread of a running program from instruction to instruction, as the processor itself executes them, until
// SIGTERM, which the program does not outlive for long. Prints a line for each stretch up to a call of epoll_wait(2): the
// numbers of its other system calls, and then how many instructions it took.
//
// A step takes 25 us or more, so that the program would do in each request what it has to do every tenth of a second.
// Therefore its monotonic clock stands still, a tenth of a second before now, where nothing becomes due, and so do the
// other threads that are named: those that would tell it the time.
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>

enum { PLACES = 1 << 16 };

struct Range { unsigned long start, end; };

static volatile sig_atomic_t ended;

static void end(int signal) {
    (void)signal;
    ended = 1;
}

static void check(long result, const char *what) {
    if (result == -1) {
        perror(what);
        exit(1);
    }
}

static int holds(struct Range range, unsigned long address) {
    return range.start <= address && address < range.end;
}

// Where the code stands that reads the clock without a system call (vdso(7)).
static struct Range find_vdso(pid_t thread) {
    struct Range range = {0, 0};
    char path[64], line[512];
    int name = 0;
    snprintf(path, sizeof path, "/proc/%d/maps", thread);
    FILE *maps = fopen(path, "r");
    while (maps && fgets(line, sizeof line, maps)) {
        if (sscanf(line, "%lx-%lx %*s %*s %*s %*s [vdso]%n", &range.start, &range.end, &name) == 2 && name) {
            fclose(maps);
            return range;
        }
    }
    fprintf(stderr, "there is no vdso\n");
    exit(1);
}

// Whether there is a `syscall` at this address; each is read once, because to ask takes time.
static int is_call(pid_t thread, unsigned long address) {
    static struct { unsigned long address; int is_call; } known[PLACES];
    unsigned long place = address % PLACES;
    if (known[place].address != address) {
        known[place].address = address;
        known[place].is_call = (ptrace(PTRACE_PEEKTEXT, thread, address, 0) & 0xffff) == 0x050f;
    }
    return known[place].is_call;
}

static struct user_regs_struct registers_of(pid_t thread) {
    struct user_regs_struct registers;
    check(ptrace(PTRACE_GETREGS, thread, 0, &registers), "cannot read the registers");
    return registers;
}

// The time at which the clock stands.
static struct timespec standing_time(void) {
    enum { SECOND = 1000000000 };
    struct timespec time;
    check(clock_gettime(CLOCK_MONOTONIC, &time), "cannot read the clock");
    long nanoseconds = time.tv_nsec + SECOND - SECOND / 10;
    return (struct timespec){time.tv_sec - 1 + nanoseconds / SECOND, nanoseconds % SECOND};
}

// Puts a time in the place of the one that the thread has read.
static void set_time(pid_t thread, unsigned long address, struct timespec time) {
    unsigned long behind = address + offsetof(struct timespec, tv_nsec);
    check(ptrace(PTRACE_POKEDATA, thread, address, time.tv_sec), "cannot hold the clock");
    check(ptrace(PTRACE_POKEDATA, thread, behind, time.tv_nsec), "cannot hold the clock");
}

// Where the thread stands, once it has stopped; 0 if it has ended, or nobody wants to know.
static unsigned long stopped_at(pid_t thread) {
    int status;
    if (ended || waitpid(thread, &status, __WALL) == -1 || !WIFSTOPPED(status)) {
        return 0;
    }
    return ptrace(PTRACE_PEEKUSER, thread, offsetof(struct user_regs_struct, rip), 0);
}

static void follow(pid_t thread, struct Range vdso) {
    unsigned long instructions = 0, last = 0, read_to = 0, at;
    struct timespec now = standing_time();
    while ((at = stopped_at(thread))) {
        // A string instruction with a prefix stops after each of its rounds, and is one.
        instructions += at != last;
        if (holds(vdso, at) && !holds(vdso, last)) {
            struct user_regs_struct registers = registers_of(thread);
            read_to = registers.rdi == CLOCK_MONOTONIC ? registers.rsi : 0;
        } else if (!holds(vdso, at) && holds(vdso, last) && read_to) {
            set_time(thread, read_to, now);
        }
        last = at;
        if (is_call(thread, at)) {
            unsigned long call = registers_of(thread).rax;
            if (call == SYS_epoll_wait || call == SYS_epoll_pwait) {
                printf("%lu\n", instructions);
                instructions = 0;
            } else {
                printf("%lu ", call);
            }
        }
        check(ptrace(PTRACE_SINGLESTEP, thread, 0, 0), "cannot step");
    }
}

static void halt(pid_t thread) {
    check(ptrace(PTRACE_SEIZE, thread, 0, 0), "cannot trace the thread");
    check(ptrace(PTRACE_INTERRUPT, thread, 0, 0), "cannot stop the thread");
}

int main(int argc, char **argv) {
    pid_t thread = argc > 1 ? atoi(argv[1]) : 0;
    struct sigaction action = {.sa_handler = end};
    struct Range vdso = find_vdso(thread);
    setvbuf(stdout, NULL, _IOLBF, 0);
    sigaction(SIGTERM, &action, NULL);
    for (int held = 2; held < argc; held++) {
        halt(atoi(argv[held]));
    }
    halt(thread);
    fprintf(stderr, "following\n");
    follow(thread, vdso);
    return 0;
}
