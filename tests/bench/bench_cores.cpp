// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

// One reactor on one processor beside two on two, in turns; and what passes from one to the other.
// The limit is what a thread can do on its own with one pipe: two processors that share their units
// don't do twice as much of that, either.
//
//   bench_cores [ROUNDS] [EVENTS]      medians of the rounds

#include <barrier>
#include <functional>
#include <thread>

#include "firmware/reactor/spsc_channel.hpp"
#include "firmware/reactor/static_reactor.hpp"
#include "hal/or_exit.hpp"
#include "tests/bench/support.hpp"

namespace millrace::bench {
namespace {

constexpr std::size_t cores = 2;
constexpr std::size_t pipes = 100;
constexpr std::size_t under_way = 10;

std::array<StaticReactor<ReactorLimits{.fds = 1024}>, cores> reactors;

/// A byte is passed from pipe to pipe, as in the chain of tests/bench/workloads.
class Chain {
 public:
  explicit Chain(Reactor& reactor) : reactor_(reactor) {
    for (std::size_t i = 0; i < pipes; ++i) {
      links_[i] = {.chain = this, .next = &links_[(i + 1) % pipes], .pipe = make_pipe()};
      (void)or_exit(reactor.watch(links_[i].pipe.read_end, Events::readable,
                                  Handler::to<&Link::on_readable>(links_[i])),
                    "watch");
    }
  }

  void pass(std::size_t count) {
    left_ = count;
    for (std::size_t i = 0; i < under_way; ++i) {
      links_[i * pipes / under_way].write();
    }
    (void)or_exit(reactor_.run(), "loop");
  }

 private:
  struct Link {
    Chain* chain = nullptr;
    Link* next = nullptr;
    Pipe pipe{};

    void write() const { checked(::write(pipe.write_end, "e", 1), "write"); }
    void on_readable(const Message& /*message*/) {
      char byte = 0;
      checked(::read(pipe.read_end, &byte, 1), "read");
      if (chain->left_ > under_way) {
        next->write();
      }
      if (--chain->left_ == 0) {
        chain->reactor_.quit();
      }
    }
  };

  Reactor& reactor_;
  std::array<Link, pipes> links_{};
  std::size_t left_ = 0;
};

/// Runs `work(i)` on processors 0 … count − 1, all from the same moment on; how long all took.
Nanoseconds on_processors(std::size_t count, const std::function<void(std::size_t)>& work) {
  std::barrier begin(static_cast<std::ptrdiff_t>(count) + 1);
  std::vector<std::jthread> threads;
  for (std::size_t i = 0; i < count; ++i) {
    threads.emplace_back([&, i] {
      run_on(static_cast<std::int64_t>(i));
      begin.arrive_and_wait();
      work(i);
    });
  }
  begin.arrive_and_wait();
  const Nanoseconds start = now();
  threads.clear();
  return now() - start;
}

void pass_by_itself(std::size_t count) {
  const Pipe pipe = make_pipe();
  for (std::size_t i = 0; i < count; ++i) {
    char byte = 0;
    checked(::write(pipe.write_end, "e", 1), "write");
    checked(::read(pipe.read_end, &byte, 1), "read");
  }
  ::close(pipe.read_end);
  ::close(pipe.write_end);
}

/// Numbers from one reactor to another, and, if wanted, each of them back before the next.
class Exchange {
 public:
  Exchange() {
    or_exit(there_.open(reactors[1], Handler::to<&Exchange::on_there>(*this)), "channel");
    or_exit(back_.open(reactors[0], Handler::to<&Exchange::on_back>(*this)), "channel");
    again_ = or_exit(reactors[0].add_notifier(Handler::to<&Exchange::on_again>(*this)), "channel");
  }

  /// Nanoseconds for each of `count` numbers.
  double run(std::size_t count, bool one_at_a_time) {
    count_ = count;
    one_at_a_time_ = one_at_a_time;
    sent_ = received_ = 0;
    const Nanoseconds time = on_processors(cores, [this](std::size_t i) {
      if (i == 0) {
        reactors[0].raise(again_);
      }
      (void)or_exit(reactors[i].run(), "loop");
    });
    return static_cast<double>(time) / static_cast<double>(count);
  }

 private:
  void on_again(const Message& /*message*/) { send(); }
  void on_back(const Message& /*message*/) {
    while (const auto number = back_.pop()) {
      if (*number + 1 == count_) {
        reactors[0].quit();
      } else if (one_at_a_time_) {
        send();
      }
    }
  }
  void send() {
    for (int n = 0; n < (one_at_a_time_ ? 1 : 256) && sent_ < count_; ++n) {
      if (!there_.push(sent_)) {
        break;
      }
      ++sent_;
    }
    if (!one_at_a_time_ && sent_ < count_) {
      reactors[0].raise(again_);
    }
  }
  void on_there(const Message& /*message*/) {
    while (const auto number = there_.pop()) {
      if (*number != received_++) {
        give_up("order");
      }
      if ((one_at_a_time_ || received_ == count_) && !back_.push(*number)) {
        give_up("channel");
      }
      if (received_ == count_) {
        reactors[1].quit();
      }
    }
  }

  SpscChannel<std::uint64_t, 1024> there_;
  SpscChannel<std::uint64_t, 1024> back_;
  NotifierId again_;
  std::uint64_t count_ = 0;
  std::uint64_t sent_ = 0;
  std::uint64_t received_ = 0;
  bool one_at_a_time_ = false;
};

double median(std::vector<double>& values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

void compare(std::size_t rounds, std::size_t events) {
  for (auto& reactor : reactors) {
    or_exit(reactor.open(), "loop");
  }
  std::array<Chain, cores> chains{Chain(reactors[0]), Chain(reactors[1])};
  Exchange exchange;
  std::array<std::vector<double>, 6> results;
  for (std::size_t round = 0; round <= rounds; ++round) {
    std::array<double, 6> numbers{};
    for (std::size_t count = 1; count <= cores; ++count) {
      const auto per_second = [&](Nanoseconds time) {
        return static_cast<double>(count * events) * 1e9 / static_cast<double>(time);
      };
      numbers[count - 1] =
          per_second(on_processors(count, [&](std::size_t i) { chains[i].pass(events); }));
      numbers[count + 1] =
          per_second(on_processors(count, [&](std::size_t) { pass_by_itself(events); }));
    }
    numbers[4] = exchange.run(events * 4, false);
    numbers[5] = exchange.run(events / 10, true) / 1000;
    for (std::size_t i = 0; i < numbers.size() && round > 0; ++i) {  // the first one warms up
      results[i].push_back(numbers[i]);
    }
  }
  const auto row = [&](const char* name, std::size_t index) {
    const double one = median(results[index]);
    const double two = median(results[index + 1]);
    std::printf("| %s | %.0f | %.0f | %.2f |\n", name, one, two, two / one);
  };
  std::printf("\n### cores: reactors on processors of their own\n\n");
  std::printf("| events/s | 1 processor | 2 | ratio |\n|---|--:|--:|--:|\n");
  row("a reactor on each, chain 100/10", 0);
  row("a thread on each, one pipe", 2);
  std::printf("\n| from reactor to reactor | |\n|---|--:|\n");
  std::printf("| SpscChannel, as many as it takes, ns each | %.1f |\n", median(results[4]));
  std::printf("| SpscChannel, to and fro one at a time, µs each | %.2f |\n", median(results[5]));
}

}  // namespace
}  // namespace millrace::bench

int main(int count, char** arguments) {
  const auto number = [&](int index, std::size_t otherwise) {
    return count > index ? std::strtoul(arguments[index], nullptr, 10) : otherwise;
  };
  millrace::bench::compare(std::max(number(1, 5), 1UL), std::max(number(2, 200'000), 1000UL));
  return 0;
}
