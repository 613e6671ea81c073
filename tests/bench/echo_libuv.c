// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

// The smallest honest echo server on libuv, for tests/bench/footprint: TCP, 127.0.0.1, any number
// of clients, and a client that does not read is not read from either. Prints its port.

#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

struct client {
  uv_tcp_t tcp;
  uv_write_t write;
  char buffer[4096];
};

static void on_readable(uv_stream_t* stream, ssize_t count, const uv_buf_t* buffer);

static void on_closed(uv_handle_t* handle) { free(handle->data); }

static void finish(struct client* client) {
  if (!uv_is_closing((uv_handle_t*)&client->tcp)) {
    uv_close((uv_handle_t*)&client->tcp, on_closed);
  }
}

static void on_allocate(uv_handle_t* handle, size_t wanted, uv_buf_t* buffer) {
  struct client* client = handle->data;
  (void)wanted;
  *buffer = uv_buf_init(client->buffer, sizeof client->buffer);
}

static void on_written(uv_write_t* write, int status) {
  struct client* client = write->data;
  if (status < 0 || uv_read_start((uv_stream_t*)&client->tcp, on_allocate, on_readable) < 0) {
    finish(client);
  }
}

static void on_readable(uv_stream_t* stream, ssize_t count, const uv_buf_t* buffer) {
  struct client* client = stream->data;
  if (count < 0) {
    finish(client);
  } else if (count > 0) {
    uv_buf_t echo = uv_buf_init(buffer->base, (unsigned)count);
    uv_read_stop(stream);
    if (uv_write(&client->write, stream, &echo, 1, on_written) < 0) {
      finish(client);
    }
  }
}

static void on_connection(uv_stream_t* listener, int status) {
  struct client* client = status < 0 ? NULL : malloc(sizeof *client);
  if (!client) {
    return;
  }
  uv_tcp_init(listener->loop, &client->tcp);
  client->tcp.data = client;
  client->write.data = client;
  if (uv_accept(listener, (uv_stream_t*)&client->tcp) < 0 ||
      uv_read_start((uv_stream_t*)&client->tcp, on_allocate, on_readable) < 0) {
    finish(client);
  }
}

int main(void) {
  uv_loop_t* loop = uv_default_loop();
  uv_tcp_t listener;
  struct sockaddr_in address;
  int length = sizeof address;
  uv_ip4_addr("127.0.0.1", 0, &address);
  uv_tcp_init(loop, &listener);
  if (uv_tcp_bind(&listener, (const struct sockaddr*)&address, 0) < 0 ||
      uv_listen((uv_stream_t*)&listener, 16, on_connection) < 0 ||
      uv_tcp_getsockname(&listener, (struct sockaddr*)&address, &length) < 0) {
    return 1;
  }
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);
  return uv_run(loop, UV_RUN_DEFAULT);
}
