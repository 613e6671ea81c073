// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#pragma once

#include <memory>
#include <sys/eventfd.h>

#include "tests/bench/support.hpp"

namespace millrace::bench {

/// libevent's classic (its test/bench.c): a byte is passed from pipe to pipe.
///
///   fds=N       pipes that are watched
///   active=A    bytes that are under way at a time
///   writes=W    how often one is passed on before it ends
///   idle=I      descriptors watched besides on which nothing ever happens
template <class Loop>
class Chain {
 public:
  Chain(Loop& loop, std::size_t pipes, std::size_t idle)
      : loop_(loop), pipe_count_(pipes), links_(new Link[pipes]), idle_(new Idle[idle]) {
    for (std::size_t i = 0; i < pipes; ++i) {
      links_[i].chain = this;
      links_[i].pipe = make_pipe();
      links_[i].next = &links_[(i + 1) % pipes];
      links_[i].watch.template open<&Link::on_readable>(loop, links_[i].pipe.read_end, links_[i]);
    }
    for (std::size_t i = 0; i < idle; ++i) {
      const int fd = checked(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), "eventfd");
      idle_[i].watch.template open<&Idle::on_readable>(loop, fd, idle_[i]);
    }
  }

  void pass(std::size_t active, std::size_t writes) {
    writes_ = writes;
    expected_ = active + writes;
    for (std::size_t i = 0; i < active; ++i) {
      write_to(links_[i * pipe_count_ / active]);
    }
    loop_.run();
  }

 private:
  struct Link {
    Chain* chain = nullptr;
    Link* next = nullptr;
    Pipe pipe;
    typename Loop::Watch watch;

    void on_readable(typename Loop::Event /*event*/) {
      char byte = 0;
      if (::read(pipe.read_end, &byte, 1) != 1) {
        give_up("read");
      }
      if (chain->writes_ > 0) {
        --chain->writes_;
        chain->write_to(*next);
      }
      if (--chain->expected_ == 0) {
        chain->loop_.stop();
      }
    }
  };
  struct Idle {
    typename Loop::Watch watch;
    void on_readable(typename Loop::Event /*event*/) { give_up("an idle descriptor"); }
  };

  void write_to(Link& link) {
    if (::write(link.pipe.write_end, "e", 1) != 1) {
      give_up("write");
    }
  }

  Loop& loop_;
  std::size_t pipe_count_;
  std::unique_ptr<Link[]> links_;
  std::unique_ptr<Idle[]> idle_;
  std::size_t writes_ = 0;
  std::size_t expected_ = 0;
};

template <class Loop>
void chain(const Arguments& arguments, Report& report) {
  const std::size_t active = arguments.size("active", 1);
  const std::size_t writes = arguments.size("writes", 20'000);
  const std::size_t wanted_idle = arguments.size("idle", 0);
  const std::size_t pipes = as_many_as_fit(arguments.size("fds", 100), 2);
  const std::size_t idle = as_many_as_fit(wanted_idle, 1);
  if constexpr (requires { Loop::most_descriptors; }) {
    if (2 * pipes + idle + 16 > Loop::most_descriptors) {
      report.skip("descriptors past what it can watch");
      return;
    }
  }
  Loop loop;
  auto& chain = make_lasting<Chain<Loop>>(loop, pipes, idle);
  const std::size_t first = writes / 10;
  chain.pass(active, first);
  const Nanoseconds start = now();
  const Nanoseconds start_cpu = cpu_time();
  chain.pass(active, writes);
  const auto events = static_cast<double>(active + writes);
  report.add("cpu_ns", static_cast<double>(cpu_time() - start_cpu) / events);
  report.add("ns", static_cast<double>(now() - start) / events);
  report.add("fds", static_cast<double>(pipes));
  report.add("idle", static_cast<double>(idle));
  report.add("events", static_cast<double>(active + writes + active + first));
}

}  // namespace millrace::bench
