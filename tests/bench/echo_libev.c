// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

// The smallest honest echo server on libev, for tests/bench/footprint: TCP, 127.0.0.1, any number
// of clients, and a client that does not read is not read from either. Prints its port.

#define _GNU_SOURCE  // accept4()
#include <arpa/inet.h>
#include <errno.h>
#include <ev.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct client {
  ev_io io;
  size_t start;
  size_t end;  // of what waits to be written
  char buffer[4096];
};

static void finish(struct ev_loop* loop, struct client* client) {
  ev_io_stop(loop, &client->io);
  close(client->io.fd);
  free(client);
}

static void wait_for(struct ev_loop* loop, struct client* client, int events) {
  ev_io_stop(loop, &client->io);
  ev_io_set(&client->io, client->io.fd, events);
  ev_io_start(loop, &client->io);
}

static int would_block(ssize_t result) {
  return result < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
}

static void on_ready(struct ev_loop* loop, ev_io* io, int events) {
  struct client* client = (struct client*)io;
  if (events & EV_READ) {
    ssize_t count = recv(io->fd, client->buffer, sizeof client->buffer, 0);
    if (would_block(count)) {
      return;
    }
    if (count <= 0) {
      finish(loop, client);
      return;
    }
    client->start = 0;
    client->end = (size_t)count;
  }
  ssize_t count =
      send(io->fd, client->buffer + client->start, client->end - client->start, MSG_NOSIGNAL);
  if (count < 0 && !would_block(count)) {
    finish(loop, client);
    return;
  }
  client->start += count < 0 ? 0 : (size_t)count;
  int wanted = client->start < client->end ? EV_WRITE : EV_READ;
  if (!(events & wanted)) {
    wait_for(loop, client, wanted);
  }
}

static void on_connection(struct ev_loop* loop, ev_io* listener, int events) {
  (void)events;
  int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) {
    return;
  }
  struct client* client = malloc(sizeof *client);
  if (!client) {
    close(fd);
    return;
  }
  ev_io_init(&client->io, on_ready, fd, EV_READ);
  ev_io_start(loop, &client->io);
}

int main(void) {
  struct ev_loop* loop = ev_default_loop(0);
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
  socklen_t length = sizeof address;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (!loop || fd < 0 || bind(fd, (const struct sockaddr*)&address, sizeof address) < 0 ||
      listen(fd, 16) < 0 || getsockname(fd, (struct sockaddr*)&address, &length) < 0) {
    return 1;
  }
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);
  ev_io listener;
  ev_io_init(&listener, on_connection, fd, EV_READ);
  ev_io_start(loop, &listener);
  ev_run(loop, 0);
  return 0;
}
