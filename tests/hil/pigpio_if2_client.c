/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The Millrace contributors
 *
 * A client on libpigpiod-if2: does what it is told on its standard input, a command a line, and says what came of it.
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* As pigpiod_if2.h has them, which Debian has not everywhere: it includes a header of the daemon's. */
enum { EITHER_EDGE = 2 };
typedef void (*EdgeFunction)(int pi, unsigned gpio, unsigned level, uint32_t tick);
typedef void (*EventFunction)(int pi, unsigned event, uint32_t tick);
int pigpio_start(const char *address, const char *port);
void pigpio_stop(int pi);
char *pigpio_error(int number);
int set_mode(int pi, unsigned gpio, unsigned mode);
int set_pull_up_down(int pi, unsigned gpio, unsigned pull);
int gpio_read(int pi, unsigned gpio);
int gpio_write(int pi, unsigned gpio, unsigned level);
int callback(int pi, unsigned gpio, unsigned edge, EdgeFunction function);
int set_watchdog(int pi, unsigned gpio, unsigned timeout);
int event_callback(int pi, unsigned event, EventFunction function);
int set_PWM_dutycycle(int pi, unsigned gpio, unsigned duty);
int get_PWM_dutycycle(int pi, unsigned gpio);
int gpio_trigger(int pi, unsigned gpio, unsigned length, unsigned level);
int set_glitch_filter(int pi, unsigned gpio, unsigned steady);
int set_noise_filter(int pi, unsigned gpio, unsigned steady, unsigned active);
uint32_t read_bank_1(int pi);
int wave_clear(int pi);
int serial_open(int pi, char *port, unsigned baud, unsigned flags);
int serial_write(int pi, unsigned handle, char *bytes, unsigned count);
int serial_close(int pi, unsigned handle);

static void on_edge(int pi, unsigned gpio, unsigned level, uint32_t tick) {
  (void)pi;
  (void)tick;
  printf("edge %u %u\n", gpio, level);
  fflush(stdout);
}

static void on_event(int pi, unsigned event, uint32_t tick) {
  (void)pi;
  (void)tick;
  printf("event %u\n", event);
  fflush(stdout);
}

int main(int argc, char **argv) {
  char line[128];
  char word[16];
  const int pi = argc == 3 ? pigpio_start(argv[1], argv[2]) : -1;
  if (pi < 0) {
    fprintf(stderr, "pigpio_start: %s\n", pigpio_error(pi));
    return EXIT_FAILURE;
  }
  while (fgets(line, sizeof(line), stdin) != NULL) {
    unsigned a = 0;
    unsigned b = 0;
    unsigned c = 0;
    int result = -1;
    if (sscanf(line, "%15s %u %u %u", word, &a, &b, &c) < 1) {
      continue;
    }
    if (strcmp(word, "mode") == 0) {
      result = set_mode(pi, a, b);
    } else if (strcmp(word, "pull") == 0) {
      result = set_pull_up_down(pi, a, b);
    } else if (strcmp(word, "read") == 0) {
      result = gpio_read(pi, a);
    } else if (strcmp(word, "write") == 0) {
      result = gpio_write(pi, a, b);
    } else if (strcmp(word, "watch") == 0) {
      result = callback(pi, a, EITHER_EDGE, on_edge);
    } else if (strcmp(word, "watchdog") == 0) {
      result = set_watchdog(pi, a, b);
    } else if (strcmp(word, "await") == 0) {
      result = event_callback(pi, a, on_event);
    } else if (strcmp(word, "pwm") == 0) {
      result = set_PWM_dutycycle(pi, a, b);
    } else if (strcmp(word, "duty") == 0) {
      result = get_PWM_dutycycle(pi, a);
    } else if (strcmp(word, "trigger") == 0) {
      result = gpio_trigger(pi, a, b, c);
    } else if (strcmp(word, "glitch") == 0) {
      result = set_glitch_filter(pi, a, b);
    } else if (strcmp(word, "noise") == 0) {
      result = set_noise_filter(pi, a, b, c);
    } else if (strcmp(word, "bank") == 0) {
      result = (int)read_bank_1(pi);
    } else if (strcmp(word, "wave") == 0) {
      result = wave_clear(pi);
    } else if (strcmp(word, "serial") == 0) {
      char byte[] = "x";
      char port[] = "/dev/serial0";
      const int handle = serial_open(pi, port, 9600, 0);
      result = serial_write(pi, (unsigned)handle, byte, 1);
      serial_close(pi, (unsigned)handle);
    }
    printf("%s %d\n", word, result);
    fflush(stdout);
  }
  pigpio_stop(pi);
  return EXIT_SUCCESS;
}
