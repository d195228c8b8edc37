/* A small HTTP server that moves its bytes by the system calls it is told to.
 *
 *   moves FAMILY PORT-OR-PATH RECEIVE SEND
 *
 * FAMILY is 4, 6 or unix. One connection at a time, kept open; requests have no content. The content of each
 * response is CONTENT bytes; the call named by SEND moves them, in two halves a little apart. With sendfile,
 * splice and uring the head goes by write before. Vectors have PIECES buffers, with "longv" MANY. For each response it prints a line
 * "BEGIN END", nanoseconds since the epoch: when its last byte began to move and when it had.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { CONTENT = 20000, PIECES = 24, MANY = 100 };

static const char *receive_by, *send_by;
static char content[CONTENT];
static int file;

static int is(const char *what, const char *name) { return strcmp(what, name) == 0; }

static long long now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* Cuts a buffer into `pieces` of nearly the same length. */
static int cut(struct iovec *iov, char *buffer, size_t length, int pieces)
{
    for (int i = 0; i < pieces; i++) {
        size_t from = length * i / pieces, to = length * (i + 1) / pieces;
        iov[i] = (struct iovec){buffer + from, to - from};
    }
    return pieces;
}

/* One operation by io_uring, with a ring made for it. */
static ssize_t uring(int opcode, int fd, const char *buffer, size_t length)
{
    struct io_uring_params p = {0};
    int ring = syscall(SYS_io_uring_setup, 1, &p);
    if (ring < 0)
        return -1;
    size_t sq_size = p.sq_off.array + p.sq_entries * sizeof(uint32_t);
    size_t cq_size = p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe);
    char *sq = mmap(0, sq_size, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
    char *cq = mmap(0, cq_size, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_CQ_RING);
    struct io_uring_sqe *sqe = mmap(0, sizeof *sqe, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
    if (sq == MAP_FAILED || cq == MAP_FAILED || sqe == MAP_FAILED)
        return -1;
    *sqe = (struct io_uring_sqe){.opcode = opcode, .fd = fd, .addr = (uintptr_t)buffer, .len = length};
    ((uint32_t *)(sq + p.sq_off.array))[0] = 0;
    __atomic_store_n((uint32_t *)(sq + p.sq_off.tail), 1, __ATOMIC_RELEASE);
    ssize_t moved = -1;
    if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) == 1)
        moved = ((struct io_uring_cqe *)(cq + p.cq_off.cqes))->res;
    munmap(sq, sq_size);
    munmap(cq, cq_size);
    munmap(sqe, sizeof *sqe);
    close(ring);
    return moved;
}

/* Receives without a buffer of ours: by splice through a pipe. */
static ssize_t splice_in(int fd, char *buffer, size_t room)
{
    int ends[2];
    if (pipe(ends) < 0)
        return -1;
    ssize_t got = splice(fd, NULL, ends[1], NULL, room, 0);
    if (got > 0)
        got = read(ends[0], buffer, got);
    close(ends[0]);
    close(ends[1]);
    return got;
}

static ssize_t receive(int fd, char *buffer, size_t room)
{
    struct iovec iov[MANY];
    struct mmsghdr many[2] = {0};
    struct msghdr message = {.msg_iov = iov};
    if (is(receive_by, "read"))
        return read(fd, buffer, room);
    if (is(receive_by, "splice"))
        return splice_in(fd, buffer, room);
    if (is(receive_by, "uring"))
        return uring(IORING_OP_RECV, fd, buffer, room);
    if (is(receive_by, "recv"))
        return recv(fd, buffer, room, 0);
    if (is(receive_by, "recvfrom")) {
        struct sockaddr_storage from;
        socklen_t length = sizeof from;
        return recvfrom(fd, buffer, room, 0, (struct sockaddr *)&from, &length);
    }
    if (is(receive_by, "peek")) {
        /* Twice, and only then for good. */
        recv(fd, buffer, room, MSG_PEEK);
        recv(fd, buffer, room, MSG_PEEK);
        return recv(fd, buffer, room, 0);
    }
    /* Small pieces, so that a request head needs many of them. */
    if (is(receive_by, "longv"))
        return readv(fd, iov, cut(iov, buffer, MANY * 2, MANY));
    message.msg_iovlen = cut(iov, buffer, PIECES * 10, PIECES);
    if (is(receive_by, "readv"))
        return readv(fd, iov, PIECES);
    if (is(receive_by, "recvmsg"))
        return recvmsg(fd, &message, 0);
    if (is(receive_by, "recvmmsg")) {
        many[0].msg_hdr = message;
        return recvmmsg(fd, many, 1, 0, NULL) == 1 ? (ssize_t)many[0].msg_len : -1;
    }
    errx(2, "unknown way to receive: %s", receive_by);
}

/* Sends without a buffer of ours: by splice through a pipe. */
static ssize_t splice_out(int fd, off_t offset, size_t length)
{
    int ends[2];
    if (pipe(ends) < 0)
        return -1;
    loff_t from = offset;
    ssize_t got = splice(file, &from, ends[1], NULL, length, 0);
    ssize_t sent = got < 0 ? got : splice(ends[0], NULL, fd, NULL, got, 0);
    close(ends[0]);
    close(ends[1]);
    return sent;
}

/* `offset` is where the buffer stands in the file; the head stands nowhere. */
static ssize_t send_by_name(int fd, char *buffer, size_t length, off_t offset)
{
    struct iovec iov[MANY];
    struct mmsghdr many[2] = {0};
    struct msghdr message = {.msg_iov = iov};
    if (offset >= 0 && is(send_by, "sendfile"))
        return sendfile(fd, file, &offset, length);
    if (offset >= 0 && is(send_by, "splice"))
        return splice_out(fd, offset, length);
    if (offset >= 0 && is(send_by, "uring"))
        return uring(IORING_OP_SEND, fd, buffer, length);
    if (is(send_by, "write") || is(send_by, "sendfile") || is(send_by, "splice") || is(send_by, "uring"))
        return write(fd, buffer, length);
    if (is(send_by, "send"))
        return send(fd, buffer, length, 0);
    if (is(send_by, "sendto"))
        return sendto(fd, buffer, length, MSG_NOSIGNAL, NULL, 0);
    if (is(send_by, "longv"))
        return writev(fd, iov, cut(iov, buffer, length, MANY));
    message.msg_iovlen = cut(iov, buffer, length, PIECES);
    if (is(send_by, "writev"))
        return writev(fd, iov, PIECES);
    if (is(send_by, "sendmsg"))
        return sendmsg(fd, &message, 0);
    if (is(send_by, "sendmmsg")) {
        /* Two messages in one call. */
        many[0].msg_hdr = message;
        many[0].msg_hdr.msg_iovlen = PIECES / 2;
        many[1].msg_hdr = message;
        many[1].msg_hdr.msg_iov = iov + PIECES / 2;
        many[1].msg_hdr.msg_iovlen = PIECES - PIECES / 2;
        return sendmmsg(fd, many, 2, 0) == 2 ? (ssize_t)(many[0].msg_len + many[1].msg_len) : -1;
    }
    errx(2, "unknown way to send: %s", send_by);
}

static void send_all(int fd, char *buffer, size_t length, off_t offset)
{
    if (send_by_name(fd, buffer, length, offset) != (ssize_t)length)
        err(1, "%s", send_by);
}

static void answer(int fd)
{
    char head[200];
    int length = snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nServer: moves\r\nContent-Length: %d\r\n\r\n", CONTENT);
    send_all(fd, head, length, -1);
    send_all(fd, content, CONTENT / 2, 0);
    usleep(20000);
    long long begin = now();
    send_all(fd, content + CONTENT / 2, CONTENT / 2, CONTENT / 2);
    printf("%lld %lld\n", begin, now());
    fflush(stdout);
}

static void serve(int fd)
{
    char buffer[65536];
    size_t filled = 0;
    for (;;) {
        ssize_t got = receive(fd, buffer + filled, sizeof buffer - 1 - filled);
        if (got <= 0)
            break;
        filled += got;
        buffer[filled] = 0;
        if (strstr(buffer, "\r\n\r\n")) {
            filled = 0;
            answer(fd);
        }
    }
    close(fd);
}

static int listener(const char *family, const char *where)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    struct sockaddr_un path = {.sun_family = AF_UNIX};
    struct sockaddr *address = (struct sockaddr *)&v4;
    socklen_t length = sizeof v4;
    v4.sin_port = v6.sin6_port = htons(atoi(where));
    if (is(family, "6")) {
        address = (struct sockaddr *)&v6;
        length = sizeof v6;
    } else if (is(family, "unix")) {
        strncpy(path.sun_path, where, sizeof path.sun_path - 1);
        address = (struct sockaddr *)&path;
        length = sizeof path;
    }
    int fd = socket(address->sa_family, SOCK_STREAM, 0), on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fd < 0 || bind(fd, address, length) < 0 || listen(fd, 16) < 0)
        err(1, "listen on %s", where);
    return fd;
}

int main(int argc, char **argv)
{
    if (argc != 5)
        errx(2, "usage: moves FAMILY PORT-OR-PATH RECEIVE SEND");
    receive_by = argv[3];
    send_by = argv[4];
    memset(content, 'x', CONTENT);
    file = memfd_create("content", 0);
    if (file < 0 || write(file, content, CONTENT) != CONTENT)
        err(1, "memfd");
    int fd = listener(argv[1], argv[2]);
    for (;;) {
        int connection = accept(fd, NULL, NULL), on = 1;
        /* Without this the second half would wait for the first one's acknowledgement. No option of unix sockets. */
        setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        serve(connection);
    }
}
