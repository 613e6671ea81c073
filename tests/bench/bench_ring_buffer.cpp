// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

// Passes messages of one length through rings of 64 KiB, within a thread and from one thread to
// another, and prints what a message takes. All contestants take turns in each round, so that
// what else the machine does hits them alike; what counts is the median of the rounds, and on a
// busy machine the best: it had both processors to itself. One thread's time is its CPU time.
//
//   bench_ring_buffer [ROUNDS [PATIENCE [LENGTH...]]]
//
// Lengths are told at run time, as with a stream; queues of elements know theirs when compiled.
// The limit, "memcpy", is the same bytes into and out of the same 64 KiB, by memcpy alone; between
// two threads they take turns with quarters of it, and so have little to say to each other. With
// LWRB=/path, `make bench` puts the original LwRB beside our face of that name.

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <pthread.h>
#include <sched.h>
#include <span>
#include <thread>
#include <vector>

#include "hal/ring_buffer.hpp"
#include "hal/spsc_queue.hpp"
#include "hal/spsc_ring.hpp"
#include "lwrb/lwrb.h"

#if __has_include(<boost/lockfree/spsc_queue.hpp>) && __has_include(<boost/circular_buffer.hpp>)
#include <boost/circular_buffer.hpp>
#include <boost/lockfree/spsc_queue.hpp>
#define MILLRACE_BENCH_BOOST 1

namespace boost {  // which is what it wants where there are no exceptions
void throw_exception(const std::exception& /*unused*/) { std::abort(); }
void throw_exception(const std::exception& /*unused*/, const source_location& /*unused*/) {
  std::abort();
}
}  // namespace boost
#else
#define MILLRACE_BENCH_BOOST 0
#endif

namespace {

using Bytes = std::span<std::byte>;
using ConstBytes = std::span<const std::byte>;

constexpr std::size_t ring_size = 65536;

/// Makes the compiler believe that the bytes are used.
void use(const void* bytes) { asm volatile("" : : "r"(bytes) : "memory"); }

/// How long to leave the ring alone when it is full or empty, in turns of a loop.
unsigned patience = 32;

/// What to do while there is nothing to do. Whoever asks again at once takes the cache lines away
/// from the one who is to change them; and on a busy machine that one may not be running at all.
class Pause {
 public:
  void operator()() {
    if (++times_ % 1024 == 0) {
      sched_yield();
    }
    for (unsigned i = 0; i < patience; ++i) {
#if defined(__x86_64__)
      __builtin_ia32_pause();
#else
      asm volatile("" : : : "memory");
#endif
    }
  }

 private:
  unsigned times_ = 0;
};

// --- The contestants: what they are called, and how they write and read some of a message ---

struct SpscRingOfOurs {
  static constexpr const char* name = "SpscRing";
  static constexpr bool threads = true;
  millrace::SpscRing<ring_size> ring;
  std::size_t write(ConstBytes data) { return ring.write(data); }
  std::size_t read(Bytes out) { return ring.read(out); }
};

struct RingBufferOfOurs {
  static constexpr const char* name = "RingBuffer";
  static constexpr bool threads = false;
  millrace::RingBuffer<ring_size> ring;
  std::size_t write(ConstBytes data) { return ring.write(data); }
  std::size_t read(Bytes out) { return ring.read(out); }
};

struct LwrbOfOurs {
  static constexpr const char* name = "lwrb (our face)";
  static constexpr bool threads = true;
  lwrb_t ring;
  alignas(64) std::array<std::byte, ring_size + 1> memory;
  LwrbOfOurs() { lwrb_init(&ring, memory.data(), memory.size()); }
  std::size_t write(ConstBytes data) { return lwrb_write(&ring, data.data(), data.size()); }
  std::size_t read(Bytes out) { return lwrb_read(&ring, out.data(), out.size()); }
};

#ifdef MILLRACE_BENCH_LWRB
extern "C" {
std::uint8_t original_lwrb_init(void* ring, void* memory, std::size_t size);
std::size_t original_lwrb_write(void* ring, const void* data, std::size_t size);
std::size_t original_lwrb_read(void* ring, void* out, std::size_t size);
}
struct LwrbOriginal {
  static constexpr const char* name = "lwrb (original)";
  static constexpr bool threads = true;
  alignas(64) std::array<std::byte, 2 * sizeof(lwrb_t)> ring{};
  alignas(64) std::array<std::byte, ring_size + 1> memory;
  LwrbOriginal() { original_lwrb_init(&ring, memory.data(), memory.size()); }
  std::size_t write(ConstBytes data) {
    return original_lwrb_write(&ring, data.data(), data.size());
  }
  std::size_t read(Bytes out) { return original_lwrb_read(&ring, out.data(), out.size()); }
};
#endif

/// A whole message is an element.
template <std::size_t Length>
struct SpscQueueOfOurs {
  static constexpr const char* name = "SpscQueue of messages";
  static constexpr bool threads = true;
  using Message = std::array<std::byte, Length>;
  millrace::SpscQueue<Message, ring_size / Length> ring;
  std::size_t write(ConstBytes data) {
    return ring.push(*reinterpret_cast<const Message*>(data.data())) ? Length : 0;
  }
  std::size_t read(Bytes out) {
    return ring.pop(*reinterpret_cast<Message*>(out.data())) ? Length : 0;
  }
};

#if MILLRACE_BENCH_BOOST
struct BoostBytes {
  static constexpr const char* name = "boost spsc_queue of bytes";
  static constexpr bool threads = true;
  boost::lockfree::spsc_queue<std::byte, boost::lockfree::capacity<ring_size>> ring;
  std::size_t write(ConstBytes data) { return ring.push(data.data(), data.size()); }
  std::size_t read(Bytes out) { return ring.pop(out.data(), out.size()); }
};

template <std::size_t Length>
struct BoostMessages {
  static constexpr const char* name = "boost spsc_queue of messages";
  static constexpr bool threads = true;
  using Message = std::array<std::byte, Length>;
  boost::lockfree::spsc_queue<Message, boost::lockfree::capacity<ring_size / Length>> ring;
  std::size_t write(ConstBytes data) {
    return ring.push(*reinterpret_cast<const Message*>(data.data())) ? Length : 0;
  }
  std::size_t read(Bytes out) {
    return ring.pop(*reinterpret_cast<Message*>(out.data())) ? Length : 0;
  }
};

struct BoostCircular {
  static constexpr const char* name = "boost circular_buffer";
  static constexpr bool threads = false;
  boost::circular_buffer<std::byte> ring{ring_size};
  std::size_t write(ConstBytes data) {
    const std::size_t count = std::min(data.size(), ring.reserve());
    ring.insert(ring.end(), data.begin(), data.begin() + static_cast<std::ptrdiff_t>(count));
    return count;
  }
  std::size_t read(Bytes out) {
    const std::size_t count = std::min(out.size(), ring.size());
    const auto end = ring.begin() + static_cast<std::ptrdiff_t>(count);
    std::copy(ring.begin(), end, out.begin());
    ring.erase_begin(count);
    return count;
  }
};
#endif

/// No ring: both sides run through the memory, piece by piece.
struct Memcpy {
  static constexpr const char* name = "memcpy";
  static constexpr bool threads = true;
  static constexpr std::size_t piece = ring_size / 4;
  struct alignas(64) Side {
    std::atomic<std::size_t> pieces{0};
    std::size_t done = 0;
    std::size_t limit = 0;
  };
  alignas(64) std::array<std::byte, ring_size> memory;
  Side writer;
  Side reader;

  std::size_t write(ConstBytes data) {
    if (writer.done == writer.limit) {
      if (writer.done / piece >=
          reader.pieces.load(std::memory_order_acquire) + ring_size / piece) {
        return 0;
      }
      writer.limit += piece;
    }
    std::memcpy(memory.data() + writer.done % ring_size, data.data(), data.size());
    writer.done += data.size();
    if (writer.done == writer.limit) {
      writer.pieces.store(writer.done / piece, std::memory_order_release);
    }
    return data.size();
  }
  std::size_t read(Bytes out) {
    if (reader.done == reader.limit) {
      if (reader.done / piece >= writer.pieces.load(std::memory_order_acquire)) {
        return 0;
      }
      reader.limit += piece;
    }
    std::memcpy(out.data(), memory.data() + reader.done % ring_size, out.size());
    reader.done += out.size();
    if (reader.done == reader.limit) {
      reader.pieces.store(reader.done / piece, std::memory_order_release);
    }
    return out.size();
  }
};

// --- Measuring ---

void run_on(unsigned processor) {
  if (std::thread::hardware_concurrency() > processor) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    pthread_setaffinity_np(pthread_self(), sizeof set, &set);
  }
}

// In line for all of them, or else for those that are short enough.
template <class Contestant>
[[gnu::always_inline]] inline void write_all(Contestant& contestant, ConstBytes message,
                                             Pause& pause) {
  while (!message.empty()) {
    const std::size_t count = contestant.write(message);
    message = message.subspan(count);
    if (count == 0) {
      pause();
    }
  }
}
template <class Contestant>
[[gnu::always_inline]] inline void read_all(Contestant& contestant, Bytes message, Pause& pause) {
  while (!message.empty()) {
    const std::size_t count = contestant.read(message);
    message = message.subspan(count);
    if (count == 0) {
      pause();
    }
  }
}

alignas(64) std::array<std::byte, 65536> sent;
alignas(64) std::array<std::byte, 65536> received;

/// Of the thread, or of the world.
double now(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
}

/// Half the ring's content in, then out, again and again: the thread's caches do all.
template <class Contestant>
double one_thread(std::size_t length, std::size_t messages) {
  const auto contestant = std::make_unique<Contestant>();
  Pause pause;
  const std::size_t burst = ring_size / 2 / length;
  messages = messages / burst * burst;
  const double start = now(CLOCK_THREAD_CPUTIME_ID);
  for (std::size_t done = 0; done < messages; done += burst) {
    for (std::size_t i = 0; i < burst; ++i) {
      write_all(*contestant, std::span(sent).first(length), pause);
      use(sent.data());
    }
    for (std::size_t i = 0; i < burst; ++i) {
      read_all(*contestant, std::span(received).first(length), pause);
      use(received.data());
    }
  }
  return (now(CLOCK_THREAD_CPUTIME_ID) - start) / static_cast<double>(messages);
}

template <class Contestant>
double two_threads(std::size_t length, std::size_t messages) {
  const auto contestant = std::make_unique<Contestant>();
  std::atomic<int> turn = 0;  // both have to be running when time starts
  std::thread reader([&] {
    run_on(1);
    Pause pause;
    turn = 1;
    while (turn != 2) {
      pause();
    }
    turn = 3;
    for (std::size_t i = 0; i < messages; ++i) {
      read_all(*contestant, std::span(received).first(length), pause);
      use(received.data());
    }
    turn = 4;
  });
  Pause pause;
  const auto wait_for = [&](int value) {
    while (turn != value) {
      pause();
    }
  };
  wait_for(1);
  turn = 2;
  wait_for(3);
  const double start = now(CLOCK_MONOTONIC);
  for (std::size_t i = 0; i < messages; ++i) {
    write_all(*contestant, std::span(sent).first(length), pause);
    use(sent.data());
  }
  wait_for(4);
  const double time = now(CLOCK_MONOTONIC) - start;
  reader.join();
  return time / static_cast<double>(messages);
}

struct Row {
  const char* name;
  double (*measure)(std::size_t length, std::size_t messages);
  std::vector<double> results;

  [[nodiscard]] double best() const { return *std::ranges::min_element(results); }
  [[nodiscard]] double median() const {
    auto sorted = results;
    std::ranges::sort(sorted);
    return sorted[sorted.size() / 2];
  }
};

template <std::size_t Length, class... Contestants>
std::vector<Row> rows(bool threads) {
  std::vector<Row> all;
  const auto add = [&]<class Contestant>() {
    if (!threads || Contestant::threads) {
      all.push_back(
          {Contestant::name, threads ? &two_threads<Contestant> : &one_thread<Contestant>, {}});
    }
  };
  (add.template operator()<Contestants>(), ...);
  return all;
}

template <std::size_t Length>
void compare(bool threads, int rounds) {
  auto all = rows<Length, SpscRingOfOurs, RingBufferOfOurs, SpscQueueOfOurs<Length>, LwrbOfOurs,
#ifdef MILLRACE_BENCH_LWRB
                  LwrbOriginal,
#endif
#if MILLRACE_BENCH_BOOST
                  BoostBytes, BoostMessages<Length>, BoostCircular,
#endif
                  Memcpy>(threads);
  std::size_t length = Length;
  asm volatile("" : "+r"(length));  // from here on the compiler knows it no longer
  const std::size_t messages = std::min<std::size_t>((4U << 20U) / Length, 1U << 20U);
  for (int round = 0; round <= rounds; ++round) {
    for (Row& row : all) {
      const double result = row.measure(length, messages);
      if (round > 0) {  // the first one warms up
        row.results.push_back(result);
      }
    }
  }
  std::printf("\n%s, messages of %zu bytes\n", threads ? "two threads" : "one thread", length);
  std::printf("%-30s %10s %10s %10s %12s %8s %8s\n", "", "ns/message", "best", "MB/s", "messages/s",
              "ratio", "of best");
  for (const Row& row : all) {
    const double time = row.median();
    std::printf("%-30s %10.2f %10.2f %10.0f %12.0f %8.2f %8.2f\n", row.name, time, row.best(),
                static_cast<double>(length) * 1e3 / time, 1e9 / time, time / all.front().median(),
                row.best() / all.front().best());
  }
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  run_on(0);
  const std::span<char*> arguments(argv, static_cast<std::size_t>(argc));
  const auto number = [&](std::size_t index, long otherwise) {
    return index < arguments.size() ? std::strtol(arguments[index], nullptr, 10) : otherwise;
  };
  const auto rounds = static_cast<int>(std::max(number(1, 51), 1L));
  patience = static_cast<unsigned>(number(2, patience));
  const auto wanted = [&](const char* length) {
    return argc <= 3 || std::ranges::any_of(arguments.subspan(3), [&](const char* argument) {
             return std::strcmp(argument, length) == 0;
           });
  };
  std::printf("median and best of %d rounds, patience %u; ratios to SpscRing, which is 1\n", rounds,
              patience);
  for (const bool threads : {false, true}) {
    if (wanted("1")) {
      compare<1>(threads, rounds);
    }
    if (wanted("16")) {
      compare<16>(threads, rounds);
    }
    if (wanted("64")) {
      compare<64>(threads, rounds);
    }
    if (wanted("256")) {
      compare<256>(threads, rounds);
    }
    if (wanted("4096")) {
      compare<4096>(threads, rounds);
    }
  }
  return 0;
}
