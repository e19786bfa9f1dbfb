/*
 * An SMTP server that offers STARTTLS and throws every message away: the bound that no server with the same library
 * passes, and the target when outgoing mail is measured. One thread, epoll, OpenSSL.
 *
 *     cc -O2 -o sink sink.c -lssl -lcrypto
 *     sink [-i] PORT SERVER.PEM [MESSAGES]     with MESSAGES it ends after so many, and says how they came
 *
 * With -i it speaks TLS from the first octet.
 *
 * It is a measuring tool for loopback: it understands the commands of a load generator and checks little else.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LINE = 1024, READ = 65536, OUT = 4096, EVENTS = 256 };

struct client {
    int fd, handshaking, in_data, closing;
    int tail;               /* how much of CRLF . CRLF has been seen */
    size_t line_size, out_size;
    SSL *tls;
    char line[LINE], out[OUT];
};

static SSL_CTX *context;
static int waiting, implicit;
static long expected, messages, connections, handshakes, resumed;

static void say(struct client *c, const char *words)
{
    size_t size = strlen(words);
    if (c->out_size + size <= OUT) {
        memcpy(c->out + c->out_size, words, size);
        c->out_size += size;
    }
}

static void drop(struct client *c)
{
    if (c->tls) {
        if (SSL_is_init_finished(c->tls))
            SSL_shutdown(c->tls);
        SSL_free(c->tls);
        ERR_clear_error();
    }
    close(c->fd);
    free(c);
}

/* Replies are short and peers read them: what the kernel does not take at once is a peer that is gone. */
static int flush(struct client *c)
{
    size_t size = c->out_size;
    c->out_size = 0;
    if (!size)
        return 0;
    ssize_t done = c->tls && !c->handshaking ? SSL_write(c->tls, c->out, (int)size) : write(c->fd, c->out, size);
    return done == (ssize_t)size ? 0 : -1;
}

static void command(struct client *c, const char *line)
{
    if (!strncasecmp(line, "EHLO", 4) || !strncasecmp(line, "LHLO", 4))
        say(c, c->tls ? "250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 0\r\n"
                      : "250-sink.test\r\n250-PIPELINING\r\n250-STARTTLS\r\n250-8BITMIME\r\n250 SIZE 0\r\n");
    else if (!strncasecmp(line, "STARTTLS", 8) && !c->tls) {
        say(c, "220 2.0.0 go ahead\r\n");
        c->handshaking = 1;
    } else if (!strncasecmp(line, "DATA", 4)) {
        say(c, "354 go ahead\r\n");
        c->in_data = 1;
        c->tail = 2;        /* the CRLF of this line counts */
    } else if (!strncasecmp(line, "QUIT", 4)) {
        say(c, "221 2.0.0 bye\r\n");
        c->closing = 1;
    } else
        say(c, "250 2.0.0 fine\r\n");
}

/* Content up to its end; how much of it was used. */
static size_t content(struct client *c, const char *data, size_t size)
{
    static const char end[] = "\r\n.\r\n";
    size_t at = 0;
    while (at < size) {
        if (c->tail == 0) {
            const char *next = memchr(data + at, '\r', size - at);
            if (!next)
                return size;
            at = (size_t)(next - data);
        }
        char octet = data[at++];
        if (octet == end[c->tail])
            c->tail++;
        else
            c->tail = octet == '\r';
        if (c->tail == 5) {
            c->in_data = 0;
            messages++;
            say(c, "250 2.0.0 thrown away\r\n");
            break;
        }
    }
    return at;
}

static void take(struct client *c, const char *data, size_t size)
{
    size_t at = 0;
    while (at < size && !c->closing) {
        if (c->in_data) {
            at += content(c, data + at, size - at);
            continue;
        }
        const char *feed = memchr(data + at, '\n', size - at);
        size_t piece = feed ? (size_t)(feed - data) + 1 - at : size - at;
        if (c->line_size + piece >= LINE) {
            c->closing = 1;
            return;
        }
        memcpy(c->line + c->line_size, data + at, piece);
        c->line_size += piece;
        at += piece;
        if (!feed)
            return;
        c->line[c->line_size] = 0;
        c->line_size = 0;
        command(c, c->line);
        if (c->handshaking)
            return;         /* what stands behind STARTTLS is not read */
    }
}

static int begin_tls(struct client *c)
{
    if (!implicit && flush(c))
        return -1;
    c->tls = SSL_new(context);
    SSL_set_fd(c->tls, c->fd);
    SSL_set_accept_state(c->tls);
    return 0;
}

static int serve(struct client *c)
{
    static char buffer[READ];
    for (;;) {
        if (c->handshaking && !c->tls && begin_tls(c))
            return -1;
        if (c->handshaking) {
            int done = SSL_do_handshake(c->tls);
            if (done != 1)
                return SSL_get_error(c->tls, done) == SSL_ERROR_WANT_READ ? 0 : -1;
            c->handshaking = 0;
            handshakes++;
            resumed += SSL_session_reused(c->tls);
            if (flush(c))
                return -1;
        }
        ssize_t size = c->tls ? SSL_read(c->tls, buffer, READ) : read(c->fd, buffer, READ);
        if (size <= 0) {
            if (c->tls ? SSL_get_error(c->tls, (int)size) == SSL_ERROR_WANT_READ : size < 0 && errno == EAGAIN)
                return 0;
            return -1;
        }
        take(c, buffer, (size_t)size);
        if (c->handshaking)
            continue;
        if (flush(c) || c->closing)
            return -1;
        if (!c->tls && size < READ)
            return 0;
    }
}

static void greet(int listening)
{
    int on = 1, fd;
    while ((fd = accept4(listening, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct client *c = calloc(1, sizeof *c);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        if (!c)
            exit(71);
        c->fd = fd;
        connections++;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        say(c, "220 sink.test ESMTP\r\n");
        epoll_ctl(waiting, EPOLL_CTL_ADD, fd, &event);
        c->handshaking = implicit;
        if (!implicit && flush(c))
            drop(c);
    }
}

int main(int count, char **words)
{
    if (count > 1 && !strcmp(words[1], "-i"))
        implicit = 1, count--, words++;
    if (count != 3 && count != 4) {
        fprintf(stderr, "usage: sink [-i] PORT SERVER.PEM [MESSAGES]\n");
        return 64;
    }
    if (count == 4)
        expected = atol(words[3]);
    signal(SIGPIPE, SIG_IGN);
    context = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_id_context(context, (const unsigned char *)"sink", 4);
    if (SSL_CTX_use_certificate_chain_file(context, words[2]) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, words[2], SSL_FILETYPE_PEM) != 1) {
        ERR_print_errors_fp(stderr);
        return 66;
    }
    int on = 1, listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(words[1]))};
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listening, (struct sockaddr *)&here, sizeof here) || listen(listening, 1024)) {
        perror("sink");
        return 71;
    }
    waiting = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = 0}, events[EVENTS];
    epoll_ctl(waiting, EPOLL_CTL_ADD, listening, &event);
    for (;;) {
        int found = epoll_wait(waiting, events, EVENTS, -1);
        for (int i = 0; i < found; i++) {
            struct client *c = events[i].data.ptr;
            if (!c)
                greet(listening);
            else if (serve(c))
                drop(c);
        }
        if (expected && messages >= expected) {
            printf("{\"messages\": %ld, \"connections\": %ld, \"handshakes\": %ld, \"resumed\": %ld}\n",
                   messages, connections, handshakes, resumed);
            return 0;
        }
    }
}
