/*
 * A load generator for SMTP and POP3 servers: many sessions at once, one thread, one report. epoll, OpenSSL.
 *
 *     cc -O2 -o load load.c -lssl -lcrypto
 *     load --port 2525 --sessions 2000 --concurrency 50 --mode starttls --messages 1 --size 4096 --resume --json
 *     load --port 2525 --hold 1000                   holds connections inside TLS until its input ends
 *     load --port 2110 --protocol pop3 --password wonderland --users 50
 *
 * A session is a script, made once: each step says something and waits for the whole reply, or makes the handshake.
 * Nothing is pipelined, so that every server is asked the same. Certificates are not verified: this is a measuring tool
 * for loopback, which must cost little beside the server.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 256, READ = 65536, WORDS = 256, TICKETS = 4096, KINDS = 16, PATIENCE = 30 };

static struct {
    const char *host, *mode, *protocol, *to, *password;
    long port, sessions, concurrency, messages, size, hold, sources, users, retrieve;
    int resume, json;
} asked = {
    .host = "127.0.0.1", .mode = "starttls", .protocol = "smtp", .to = "user0@mx.test", .password = "",
    .sessions = 1000, .concurrency = 50, .messages = 1, .size = 4096, .sources = 1, .users = 1, .retrieve = 1,
};

static const char MESSAGE_ID[] = "Message-ID: <000000000000@client.test>";
#define MESSAGE_ID_FORMAT "Message-ID: <%012ld@client.test>"

/* What a step does; the words of USER hold a %ld, the number of the user. */
enum act { GREETING, SECURE, COMMAND, USER, CONTENT, RETRIEVE, QUIT, HOLD };
struct step {
    enum act act;
    char wanted;            /* how the reply begins */
    char words[WORDS];
};
static struct step *script;
static long steps;

enum state { CONNECTING, HANDSHAKING, TALKING, HELD, LEAVING };
struct session {
    int fd;
    enum state state;
    long at, number;        /* its step, and its place among the sessions at once */
    SSL *tls;
    double began, heard;
    size_t line;            /* how long the line that is being read is already */
    char head[4];           /* and how it begins */
    int multiline;          /* RETR was granted: lines up to a dot */
    size_t words_size, words_sent, body_left;
    char words[WORDS];
    struct session *next, *before;
};

static SSL_CTX *context;
static SSL_SESSION *tickets[TICKETS];
static struct session *all;             /* those that are open */
static struct sockaddr_in server;
static char *body;                      /* the message with its final dot */
static size_t body_size;
static int waiting, open_now;
static long kept, serial, started, held, lost, opening;
static long *places, free_places;       /* numbers that no open session has: two are never the same user */
static struct {
    long sessions, messages, octets, handshakes, resumed, failed;
    double *seconds;
    struct { char name[32]; long count; } failures[KINDS];
} tally;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void *must(void *memory)
{
    if (!memory)
        perror("load"), exit(71);
    return memory;
}

/* The end of a session: a failure when it has a name. */
static void end(struct session *s, const char *failure)
{
    if (s->state == HELD) {
        held--;
        lost++;
    } else if (asked.hold)
        opening--;
    if (failure) {
        int kind = 0;
        while (kind < KINDS - 1 && tally.failures[kind].count && strcmp(tally.failures[kind].name, failure))
            kind++;
        snprintf(tally.failures[kind].name, sizeof tally.failures[kind].name, "%s", failure);
        tally.failures[kind].count++;
        tally.failed++;
    }
    if (s->tls) {
        if (SSL_is_init_finished(s->tls))
            SSL_shutdown(s->tls);
        SSL_free(s->tls);
        ERR_clear_error();
    }
    close(s->fd);
    *(s->before ? &s->before->next : &all) = s->next;
    if (s->next)
        s->next->before = s->before;
    places[free_places++] = s->number;
    free(s);
    open_now--;
}

/* Write what the socket takes; -1 when the connection is lost. */
static int flush(struct session *s)
{
    while (s->words_sent < s->words_size || s->body_left) {
        int words = s->words_sent < s->words_size;
        const char *from = words ? s->words + s->words_sent : body + body_size - s->body_left;
        size_t size = words ? s->words_size - s->words_sent : s->body_left;
        ssize_t done = s->tls ? SSL_write(s->tls, from, (int)size) : send(s->fd, from, size, MSG_NOSIGNAL);
        if (done <= 0) {
            int error = s->tls ? SSL_get_error(s->tls, (int)done) : SSL_ERROR_NONE;
            if (s->tls ? error == SSL_ERROR_WANT_WRITE || error == SSL_ERROR_WANT_READ : errno == EAGAIN)
                return 0;
            return -1;
        }
        *(words ? &s->words_sent : &s->body_left) += words ? (size_t)done : -(size_t)done;
    }
    return 0;
}

static const char *handshake(struct session *s);

/* Begin the next step; a failure's name, or nothing. */
static const char *next(struct session *s)
{
    s->at++;
    s->words_sent = s->words_size = 0;
    s->multiline = 0;
    const struct step *step = &script[s->at];
    switch (step->act) {
    case GREETING:
        return 0;
    case SECURE:
        s->state = HANDSHAKING;
        s->tls = must(SSL_new(context));
        SSL_set_fd(s->tls, s->fd);
        SSL_set_connect_state(s->tls);
        SSL_set_tlsext_host_name(s->tls, "mx.test");
        if (asked.resume && kept) {
            SSL_set_session(s->tls, tickets[--kept]);
            SSL_SESSION_free(tickets[kept]);
        }
        return handshake(s);
    case HOLD:
        s->state = HELD;
        held++;
        opening--;
        return 0;
    case CONTENT:           /* the first write takes the number along, so all can share the message */
        snprintf(body, sizeof MESSAGE_ID, MESSAGE_ID_FORMAT, serial++);
        body[sizeof MESSAGE_ID - 1] = '\r';     /* where the string ended */
        s->body_left = body_size;
        return flush(s) ? "lost" : 0;
    case USER:
        s->words_size = (size_t)snprintf(s->words, WORDS, step->words, s->number % asked.users);
        return flush(s) ? "lost" : 0;
    default:
        s->words_size = strlen(step->words);
        memcpy(s->words, step->words, s->words_size);
        return flush(s) ? "lost" : 0;
    }
}

static const char *handshake(struct session *s)
{
    int done = SSL_do_handshake(s->tls);
    if (done != 1) {
        int error = SSL_get_error(s->tls, done);
        ERR_clear_error();
        return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? 0 : "handshake";
    }
    tally.handshakes++;
    tally.resumed += SSL_session_reused(s->tls);
    s->state = TALKING;
    return next(s);
}

/* A whole reply was read. */
static const char *replied(struct session *s)
{
    static char failure[16];
    const struct step *step = &script[s->at];
    if (step->act == RETRIEVE && !s->multiline && s->head[0] == step->wanted) {
        s->multiline = 1;
        return 0;
    }
    if (!s->multiline && s->head[0] != step->wanted) {
        snprintf(failure, sizeof failure, "reply %.3s", s->head);
        for (char *c = failure; *c; c++)
            if (*c < ' ' || *c > '~' || *c == '"' || *c == '\\')
                *c = '?';
        return failure;
    }
    if (step->act == CONTENT) {
        tally.messages++;
        tally.octets += asked.size;
    } else if (step->act == RETRIEVE)
        tally.messages++;
    else if (step->act == QUIT) {
        tally.seconds[tally.sessions++] = now() - s->began;
        s->state = LEAVING;     /* the server closes first, as servers do */
        return 0;
    }
    return next(s);
}

/* Look for the ends of lines; only how each begins is kept. */
static const char *take(struct session *s, const char *data, size_t size)
{
    const char *stop = data + size, *failure;
    while (data < stop && s->state == TALKING) {
        const char *feed = memchr(data, '\n', (size_t)(stop - data));
        size_t piece = (size_t)((feed ? feed + 1 : stop) - data);
        for (size_t i = 0; i < piece && s->line + i < sizeof s->head; i++)
            s->head[s->line + i] = data[i];
        s->line += piece;
        data += piece;
        if (!feed)
            return 0;
        size_t line = s->line;
        s->line = 0;
        if (s->multiline) {
            if (line != 3 || s->head[0] != '.') {
                tally.octets += (long)line;
                continue;
            }
        } else if (*asked.protocol == 's' && line > 4 && s->head[3] == '-')
            continue;
        int plain = !s->tls;
        if ((failure = replied(s)))
            return failure;
        if (plain && s->tls && data < stop)
            return "early plaintext";
    }
    return 0;
}

static const char *hear(struct session *s)
{
    static char buffer[READ];
    const char *failure;
    while (s->state != HANDSHAKING) {
        int private = s->tls != 0;
        ssize_t size = private ? SSL_read(s->tls, buffer, READ) : recv(s->fd, buffer, READ, 0);
        if (size <= 0) {
            int error = private ? SSL_get_error(s->tls, (int)size) : SSL_ERROR_NONE;
            if (private ? error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE : size < 0 && errno == EAGAIN)
                return 0;
            return "closed";
        }
        s->heard = now();
        if ((failure = take(s, buffer, (size_t)size)))
            return failure;
    }
    return 0;
}

/* Go on with a session whose socket is ready; end it when it is over. */
static void go_on(struct session *s, uint32_t events)
{
    const char *failure = 0;
    if (s->state == CONNECTING) {
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error) {
            end(s, "connect");
            return;
        }
        if (!(events & EPOLLOUT))
            return;
        s->state = TALKING;
        failure = next(s);
    }
    if (!failure && s->state == HANDSHAKING)
        failure = handshake(s);
    if (!failure && s->state == TALKING && flush(s))
        failure = "lost";
    if (!failure && s->state != HANDSHAKING)
        failure = hear(s);
    if (failure)
        end(s, s->state == LEAVING ? 0 : failure);
}

static void start(void)
{
    struct session *s = must(calloc(1, sizeof *s));
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = s};
    int on = 1;
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
    if (s->fd < 0)
        perror("load: socket"), exit(71);
    setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (asked.sources > 1) {            /* a source address has 28,000 ports at most */
        struct sockaddr_in from = {.sin_family = AF_INET};
        from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)(started % asked.sources));
        setsockopt(s->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
        bind(s->fd, (struct sockaddr *)&from, sizeof from);
    }
    s->number = places[--free_places];
    started++;
    s->at = -1;
    s->began = s->heard = now();
    s->next = all;
    if (all)
        all->before = s;
    all = s;
    open_now++;
    if (asked.hold)
        opening++;
    if (connect(s->fd, (struct sockaddr *)&server, sizeof server) && errno != EINPROGRESS)
        end(s, "connect");
    else
        epoll_ctl(waiting, EPOLL_CTL_ADD, s->fd, &event);
}

/* One turn of the loop; 0 when the input has ended. */
static int turn(void)
{
    static double swept;
    struct epoll_event events[EVENTS];
    int ready = epoll_wait(waiting, events, EVENTS, 500);
    for (int i = 0; i < ready; i++) {
        if (!events[i].data.ptr)
            return 0;
        go_on(events[i].data.ptr, events[i].events);
    }
    double limit = now() - PATIENCE;
    if (limit < swept + 1 - PATIENCE)
        return 1;
    swept = limit + PATIENCE;
    for (struct session *s = all, *after; s; s = after) {
        after = s->next;
        if (s->state != HELD && s->heard < limit)
            end(s, s->state == LEAVING ? 0 : "timeout");
    }
    return 1;
}

static void add(enum act act, char wanted, const char *words)
{
    script = must(realloc(script, (size_t)(steps + 1) * sizeof *script));
    script[steps] = (struct step){.act = act, .wanted = wanted};
    snprintf(script[steps++].words, WORDS, "%s", words);
}

/* What a session says, from the greeting to QUIT. */
static void write_script(void)
{
    int pop3 = *asked.protocol == 'p', starttls = *asked.mode == 's';
    char ok = pop3 ? '+' : '2', line[WORDS];
    if (*asked.mode == 'i')
        add(SECURE, 0, "");
    add(GREETING, ok, "");
    if (!pop3)
        add(COMMAND, ok, "EHLO client.test\r\n");
    if (starttls) {
        add(COMMAND, ok, pop3 ? "STLS\r\n" : "STARTTLS\r\n");
        add(SECURE, 0, "");
        if (!pop3)
            add(COMMAND, ok, "EHLO client.test\r\n");
    }
    if (pop3 && *asked.password) {
        add(USER, ok, "USER user%ld@mx.test\r\n");
        snprintf(line, WORDS, "PASS %s\r\n", asked.password);
        add(COMMAND, ok, line);
    }
    if (asked.hold) {
        add(HOLD, 0, "");
        return;
    }
    if (pop3) {
        add(COMMAND, ok, "STAT\r\n");
        snprintf(line, WORDS, "RETR %ld\r\n", asked.retrieve);
        for (long i = 0; i < asked.messages; i++)
            add(RETRIEVE, ok, line);
    } else
        for (long i = 0; i < asked.messages; i++) {
            snprintf(line, WORDS, "MAIL FROM:<load@client.test> SIZE=%ld\r\n", asked.size);
            add(COMMAND, ok, line);
            snprintf(line, WORDS, "RCPT TO:<%s>\r\n", asked.to);
            add(COMMAND, ok, line);
            add(COMMAND, '3', "DATA\r\n");
            add(CONTENT, ok, "");
        }
    add(QUIT, ok, "QUIT\r\n");
}

/* The message: lines of 78 octets, some of which begin with a dot and are stuffed. */
static void write_body(void)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char head[WORDS];
    int head_size = snprintf(head, WORDS, "%s\r\nFrom: <load@client.test>\r\nTo: <%.80s>\r\nSubject: load\r\n"
                             "Date: Thu, 01 Jan 2026 00:00:00 +0000\r\n\r\n", MESSAGE_ID, asked.to);
    long left = asked.size - head_size;
    unsigned random = 1;
    body = must(malloc((size_t)asked.size * 2 + WORDS));
    memcpy(body, head, (size_t)head_size);
    body_size = (size_t)head_size;
    for (long line = 0; left > 2; line++) {
        long size = left < 78 ? left : 78;
        left -= size;
        if (line % 8 == 0 && size > 2)
            memcpy(body + body_size, "..", 2), body_size += 2, size--;
        while (size-- > 2) {
            random = random * 1103515245u + 12345u;
            body[body_size++] = letters[random >> 16 & 63];
        }
        memcpy(body + body_size, "\r\n", 2), body_size += 2;
    }
    memcpy(body + body_size, ".\r\n", 3), body_size += 3;
}

static int keep(SSL *tls, SSL_SESSION *ticket)
{
    (void)tls;
    if (kept == TICKETS)
        return 0;
    tickets[kept++] = ticket;
    return 1;
}

/* Without this OpenSSL checks the chain, and then does not care. */
static int trust(X509_STORE_CTX *chain, void *nothing)
{
    (void)chain, (void)nothing;
    return 1;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double milliseconds(double share)
{
    long at = (long)((double)tally.sessions * share);
    return tally.sessions ? 1000 * tally.seconds[at < tally.sessions ? at : tally.sessions - 1] : 0;
}

static void print_failures(void)
{
    printf("\"failures\": {");
    for (int i = 0; i < KINDS && tally.failures[i].count; i++)
        printf("%s\"%s\": %ld", i ? ", " : "", tally.failures[i].name, tally.failures[i].count);
    printf("}");
}

static void report(double wall)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    double cpu = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                 (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1e-6;
    qsort(tally.seconds, (size_t)tally.sessions, sizeof *tally.seconds, by_size);
    if (!asked.json) {
        printf("%ld sessions, %ld failed: %.0f sessions/s, %.0f messages/s, %.1f MB/s; p50 %.1f, p99 %.1f ms\n",
               tally.sessions, tally.failed, (double)tally.sessions / wall, (double)tally.messages / wall,
               (double)tally.octets / 1e6 / wall, milliseconds(.5), milliseconds(.99));
        return;
    }
    printf("{\"sessions\": %ld, \"messages\": %ld, \"octets\": %ld, \"handshakes\": %ld, \"resumed\": %ld, "
           "\"failed\": %ld, ", tally.sessions, tally.messages, tally.octets, tally.handshakes, tally.resumed,
           tally.failed);
    print_failures();
    printf(", \"wall_s\": %.6f, \"cpu_s\": %.6f, \"sessions_per_s\": %.2f, \"messages_per_s\": %.2f, "
           "\"mb_per_s\": %.3f, \"session_ms\": {\"p50\": %.3f, \"p95\": %.3f, \"p99\": %.3f}}\n",
           wall, cpu, (double)tally.sessions / wall, (double)tally.messages / wall,
           (double)tally.octets / 1e6 / wall, milliseconds(.5), milliseconds(.95), milliseconds(.99));
}

/* Open that many, say how many there are, wait until the input ends, and say how many were left. */
static void hold(void)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = 0};
    while (started < asked.hold || opening) {
        while (started < asked.hold && opening < asked.concurrency)
            start();
        turn();
    }
    printf("{\"held\": %ld, ", held);
    print_failures();
    printf("}\n");
    fflush(stdout);
    lost = 0;
    if (!epoll_ctl(waiting, EPOLL_CTL_ADD, 0, &event))
        while (turn())
            ;
    printf("{\"lost\": %ld}\n", lost);
}

static const char usage[] =
    "usage: load --port PORT [--host 127.0.0.1] [--sessions 1000] [--concurrency 50] [--json]\n"
    "  [--mode starttls|implicit|plain] [--messages 1] [--size 4096] [--resume] [--to user0@mx.test]\n"
    "  [--hold N [--sources 1]]   hold N connections, from that many loopback addresses, until the input ends\n"
    "  [--protocol pop3 --password WORDS [--users 1] [--retrieve 1]]   user0@mx.test and so on log in\n";

static void read_options(int count, char **words)
{
    static const struct option names[] = {
        {"host", 1, 0, 0}, {"mode", 1, 0, 0}, {"protocol", 1, 0, 0}, {"to", 1, 0, 0}, {"password", 1, 0, 0},
        {"port", 1, 0, 0}, {"sessions", 1, 0, 0}, {"concurrency", 1, 0, 0}, {"messages", 1, 0, 0}, {"size", 1, 0, 0},
        {"hold", 1, 0, 0}, {"sources", 1, 0, 0}, {"users", 1, 0, 0}, {"retrieve", 1, 0, 0},
        {"resume", 0, &asked.resume, 1}, {"json", 0, &asked.json, 1}, {0, 0, 0, 0},
    };
    const char **const text[] = {&asked.host, &asked.mode, &asked.protocol, &asked.to, &asked.password};
    long *const numbers[] = {&asked.port, &asked.sessions, &asked.concurrency, &asked.messages, &asked.size,
                             &asked.hold, &asked.sources, &asked.users, &asked.retrieve};
    int place, found;
    while ((found = getopt_long(count, words, "", names, &place)) == 0) {
        if (names[place].flag)
            continue;
        if (place < 5)
            *text[place] = optarg;
        else
            *numbers[place - 5] = atol(optarg);
    }
    if (found != -1 || optind != count || !asked.port || asked.concurrency < 1 || asked.users < 1 ||
        asked.sources < 1 || asked.size < WORDS || !strchr("sip", *asked.mode) || !strchr("sp", *asked.protocol) ||
        inet_pton(AF_INET, asked.host, &server.sin_addr) != 1) {
        fputs(usage, stderr);
        exit(64);
    }
    server.sin_family = AF_INET;
    server.sin_port = htons((unsigned short)asked.port);
}

int main(int count, char **words)
{
    read_options(count, words);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    signal(SIGPIPE, SIG_IGN);
    write_script();
    write_body();
    context = must(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_cert_verify_callback(context, trust, 0);
    if (asked.resume) {
        SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(context, keep);
    }
    waiting = epoll_create1(EPOLL_CLOEXEC);
    long most = asked.hold > asked.concurrency ? asked.hold : asked.concurrency;
    places = must(calloc((size_t)most, sizeof *places));
    while (free_places < most)
        places[free_places] = most - 1 - free_places, free_places++;
    if (asked.hold) {
        hold();
        return tally.failed || lost;
    }
    tally.seconds = must(calloc((size_t)asked.sessions + 1, sizeof *tally.seconds));
    double began = now();
    while (started < asked.sessions || open_now) {
        while (started < asked.sessions && open_now < asked.concurrency)
            start();
        turn();
    }
    report(now() - began);
    return tally.failed ? 1 : 0;
}
