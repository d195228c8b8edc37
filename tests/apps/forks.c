/*
 * A server, a thread for each connection, that launches a program in the way that the path names; see `WAYS`.
 *
 * usage: forks PORT
 *
 * What it launches says nothing of the request: the argument is a number of its own. The answer says which, so that a
 * test knows whose launch it was.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static atomic_int launched;

static void launch(char *number) {
    execl("/bin/echo", "echo", number, NULL);
    _exit(127);
}

static void by_fork(char *number) {
    pid_t child = fork();
    if (child == 0) launch(number);
    waitpid(child, NULL, 0);
}

/* The child borrows the memory and stops the thread until it executes. */
static void by_vfork(char *number) {
    pid_t child = vfork();
    if (child == 0) launch(number);
    waitpid(child, NULL, 0);
}

static void by_spawn(char *number) {
    extern char **environ;
    char *arguments[] = {"echo", number, NULL};
    pid_t child;
    if (posix_spawn(&child, "/bin/echo", NULL, NULL, arguments, environ) == 0) waitpid(child, NULL, 0);
}

/* The child's parent is the server's own parent, whose child it seems. */
static void by_sibling(char *number) {
    if (syscall(SYS_clone, CLONE_PARENT | SIGCHLD, NULL, NULL, NULL, NULL) == 0) launch(number);
}

/* Its parent is gone before it executes, and its session is its own. */
static void by_double_fork(char *number) {
    pid_t child = fork();
    if (child == 0) {
        setsid();
        if (fork() == 0) {
            usleep(20000);
            launch(number);
        }
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

static void *launch_in_thread(void *number) {
    launch(number);
    return NULL;
}

/* The thread that executes takes over the number of its process. */
static void by_other_thread(char *number) {
    pid_t child = fork();
    if (child == 0) {
        pthread_t thread;
        pthread_create(&thread, NULL, launch_in_thread, number);
        pause();
    }
    waitpid(child, NULL, 0);
}

/* A thread that was begun for the request, and reads none. */
static void *fork_in_thread(void *number) {
    by_fork(number);
    return NULL;
}

static void by_begun_thread(char *number) {
    pthread_t thread;
    pthread_create(&thread, NULL, fork_in_thread, number);
    pthread_join(thread, NULL);
}

static const struct {
    const char *name;
    void (*launch)(char *number);
} WAYS[] = {
    {"fork", by_fork},           {"vfork", by_vfork},   {"posix-spawn", by_spawn},
    {"clone-parent", by_sibling}, {"double-fork", by_double_fork}, {"other-thread", by_other_thread},
    {"begun-thread", by_begun_thread},
};

static void *serve(void *argument) {
    int connection = (int)(long)argument;
    char request[4096], number[16], answer[128];
    ssize_t length = recv(connection, request, sizeof request - 1, 0);
    if (length > 0) {
        request[length] = 0;
        snprintf(number, sizeof number, "%d", atomic_fetch_add(&launched, 1) + 1000);
        for (size_t way = 0; way < sizeof WAYS / sizeof *WAYS; way++) {
            char line[64];
            snprintf(line, sizeof line, "GET /%s?", WAYS[way].name);
            if (strncmp(request, line, strlen(line)) == 0) WAYS[way].launch(number);
        }
        usleep(50000);
        int size = snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(number), number);
        send(connection, answer, size, MSG_NOSIGNAL);
    }
    close(connection);
    return NULL;
}

int main(int count, char **arguments) {
    if (count != 2) return 2;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(arguments[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 64)) return 1;
    for (;;) {
        int connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        pthread_t thread;
        if (connection < 0 || pthread_create(&thread, NULL, serve, (void *)(long)connection)) return 1;
        pthread_detach(thread);
    }
}
