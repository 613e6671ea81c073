// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

// io_uring as it is meant to be used, for connections: the kernel receives into buffers that all
// connections share, again and again without being asked, and what is to be sent goes to it in the
// call that waits. No system call is made for a connection.

#include <sys/mman.h>

#include "tests/bench/loops/io_uring.hpp"

namespace {

using namespace millrace::bench;

class Waiter : public UringWaiter {
 public:
  Waiter() { checked(offer_buffers(), "buffers"); }

  /// A recv() that goes on by itself is of Linux 6.0, as is this flag.
  static bool offered_by(const io_uring& ring) {
    return (ring.flags & IORING_SETUP_SINGLE_ISSUER) != 0;
  }

  class Echo {
   public:
    template <auto Closed, class Object>
    void open(Waiter& loop, int fd, Object& owner) {
      loop_ = &loop;
      fd_ = fd;
      owner_ = &owner;
      closed_ = [](Echo& self) {
        const int closing = self.fd_;
        ::close(closing);
        (static_cast<Object*>(self.owner_)->*Closed)(closing);
      };
      receive();
    }
    void receive() {
      io_uring_sqe* const request = loop_->new_request(received_);
      ::io_uring_prep_recv_multishot(request, fd_, nullptr, 0, 0);
      request->flags |= IOSQE_BUFFER_SELECT;
      request->buf_group = group;
    }

   private:
    void on_received(const io_uring_cqe& done) {
      if (done.res == -ENOBUFS) {
        loop_->starved_.push_back(this);
        return;
      }
      if (done.res > 0) {
        const auto buffer = static_cast<std::uint16_t>(done.flags >> IORING_CQE_BUFFER_SHIFT);
        loop_->lengths_[buffer] = static_cast<std::size_t>(done.res);
        loop_->next_[buffer] = none;
        if (first_ == none) {
          first_ = last_ = buffer;
          send();
        } else {  // two sends at a time might overtake one another
          loop_->next_[std::exchange(last_, buffer)] = buffer;
        }
      } else {
        ended_ = true;
      }
      if (ended_) {
        close_if_idle();
      } else if ((done.flags & IORING_CQE_F_MORE) == 0) {
        receive();
      }
    }
    void send() {
      ::io_uring_prep_send(loop_->new_request(sent_), fd_, loop_->buffer(first_) + begin_,
                           loop_->lengths_[first_] - begin_, MSG_NOSIGNAL);
    }
    void on_sent(const io_uring_cqe& done) {
      if (done.res < 0) {
        ::shutdown(fd_, SHUT_RDWR);  // which ends receiving, too
      } else if (begin_ += static_cast<std::size_t>(done.res); begin_ < loop_->lengths_[first_]) {
        send();
        return;
      }
      begin_ = 0;
      const std::uint16_t free = std::exchange(first_, loop_->next_[first_]);
      loop_->give_back(free);
      if (first_ != none) {
        send();
      } else {
        close_if_idle();
      }
    }
    void close_if_idle() {
      if (ended_ && first_ == none) {
        closed_(*this);
      }
    }

    Waiter* loop_ = nullptr;
    int fd_ = -1;
    std::uint16_t first_ = none;  // of the buffers that are to be sent
    std::uint16_t last_ = none;
    std::size_t begin_ = 0;  // of what of the first one is not sent yet
    bool ended_ = false;
    Completion received_ = Completion::to<&Echo::on_received>(*this);
    Completion sent_ = Completion::to<&Echo::on_sent>(*this);
    void* owner_ = nullptr;
    void (*closed_)(Echo& self) = nullptr;
  };

 private:
  static constexpr std::uint16_t buffer_count = 2048;  // a power of two
  static constexpr std::size_t buffer_size = 4096;
  static constexpr std::uint16_t none = UINT16_MAX;
  static constexpr std::uint16_t group = 0;

  int offer_buffers() {
    void* const memory =
        ::mmap(nullptr, buffer_count * sizeof(io_uring_buf), PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);  // as it has to begin with a page
    if (memory == MAP_FAILED) {
      return -1;
    }
    offered_ = static_cast<io_uring_buf_ring*>(memory);
    io_uring_buf_reg registration{};
    registration.ring_addr = reinterpret_cast<std::uintptr_t>(memory);
    registration.ring_entries = buffer_count;
    registration.bgid = group;
    errno = -::io_uring_register_buf_ring(&ring(), &registration, 0);
    if (errno != 0) {
      return -1;
    }
    for (std::uint16_t i = 0; i < buffer_count; ++i) {
      give_back(i);
    }
    return 0;
  }
  [[nodiscard]] char* buffer(std::uint16_t number) { return &buffers_[number * buffer_size]; }
  void give_back(std::uint16_t number) {
    ::io_uring_buf_ring_add(offered_, buffer(number), buffer_size, number,
                            ::io_uring_buf_ring_mask(buffer_count), 0);
    ::io_uring_buf_ring_advance(offered_, 1);
    if (!starved_.empty()) {
      Echo& starved = *starved_.back();
      starved_.pop_back();
      starved.receive();
    }
  }

  io_uring_buf_ring* offered_ = nullptr;
  std::vector<char> buffers_ = std::vector<char>(buffer_count * buffer_size);
  std::array<std::size_t, buffer_count> lengths_{};
  std::array<std::uint16_t, buffer_count> next_{};
  std::vector<Echo*> starved_;
};

}  // namespace

int main(int count, char** arguments) {
  if (count > 1 && std::string_view(arguments[1]) != "echo") {
    Report report;
    report.skip("");  // as io_uring
    report.print();
    return 0;
  }
  return run_workload_if_possible<Waiter>(count, arguments);
}
