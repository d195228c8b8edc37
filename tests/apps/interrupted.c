/* Sends an array of requests with sendmmsg over a unix socket that is soon full, empties it, and sends the
   begin of the same array again: the second call starts at the first message. Prints how many went out. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MESSAGES 12
static char text[MESSAGES][1600], sink[65536];

int main(void) {
    int ends[2], room = 4608;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends)) return 1;
    setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    struct mmsghdr messages[MESSAGES] = {0};
    struct iovec parts[MESSAGES];
    char padding[1300];
    memset(padding, 'p', sizeof padding - 1);
    padding[sizeof padding - 1] = 0;
    for (int i = 0; i < MESSAGES; i++) {
        parts[i].iov_base = text[i];
        parts[i].iov_len = sprintf(text[i], "GET /m%d HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n", i, padding);
        messages[i].msg_hdr.msg_iov = &parts[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    /* One whole exchange first: then it is known which end asks. */
    const char *ask = "GET /first HTTP/1.1\r\nHost: x\r\n\r\n", *answer = "HTTP/1.1 204 No Content\r\n\r\n";
    if (write(ends[0], ask, strlen(ask)) < 0 || read(ends[1], sink, sizeof sink) < 0) return 1;
    if (write(ends[1], answer, strlen(answer)) < 0 || read(ends[0], sink, sizeof sink) < 0) return 1;
    printf("%d\n", sendmmsg(ends[0], messages, MESSAGES, 0));
    while (read(ends[1], sink, sizeof sink) > 0) {}
    memcpy(text[0], "GET /z0", 7);
    printf("%d\n", sendmmsg(ends[0], messages, 2, 0));
    while (read(ends[1], sink, sizeof sink) > 0) {}
    return 0;
}
