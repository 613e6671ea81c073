// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

// Does what the input says with a ring of each kind and a queue beside it, which must agree.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "hal/ring_buffer.hpp"
#include "hal/spsc_ring.hpp"
#include "tests/support/fuzz.hpp"

namespace {

using millrace::test::Input;
using millrace::test::require;
using Queue = std::deque<std::byte>;

template <class Ring>
void step(Ring& ring, Queue& queue, Input& input) {
  const std::uint8_t what = input.next();
  std::vector<std::byte> bytes(input.next());
  const auto at = [&](std::size_t index) {
    return queue.begin() + static_cast<std::ptrdiff_t>(index);
  };
  const auto fill = [&] {
    std::byte seed{input.next()};
    for (std::byte& byte : bytes) {
      byte = seed;
      seed = static_cast<std::byte>((std::to_integer<unsigned>(seed) * 5U + 1U) % 7U);
    }
  };
  const std::size_t there = std::min(bytes.size(), queue.size());
  const std::size_t fits = std::min(bytes.size(), ring.capacity() - queue.size());
  switch (what % 10) {
    case 0:
      fill();
      require(ring.write(bytes) == fits);
      queue.insert(queue.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(fits));
      break;
    case 1:
      require(ring.read(bytes) == there);
      require(std::equal(at(0), at(there), bytes.begin()));
      queue.erase(at(0), at(there));
      break;
    case 2:
      require(ring.skip(bytes.size()) == there);
      queue.erase(at(0), at(there));
      break;
    case 3: {
      const std::size_t skipped = input.next();
      const std::size_t left = queue.size() - std::min(skipped, queue.size());
      require(ring.peek(bytes, skipped) == std::min(bytes.size(), left));
      require(left == 0 ||
              std::equal(at(skipped), at(skipped + std::min(bytes.size(), left)), bytes.begin()));
      break;
    }
    case 4: {
      bytes.resize(bytes.size() % 5);
      fill();
      const std::size_t from = input.next();
      const auto found = ring.find(bytes, from);
      if (from + bytes.size() > queue.size()) {
        require(!found);
      } else {
        const auto expected = std::search(at(from), queue.end(), bytes.begin(), bytes.end());
        require(found.has_value() == (expected != queue.end() || bytes.empty()));
        require(!found || *found == static_cast<std::size_t>(expected - queue.begin()));
      }
      break;
    }
    case 5: {
      fill();
      const std::size_t total = queue.size() + bytes.size();
      const std::size_t lost = total - std::min(total, ring.capacity());
      require(ring.overwrite(bytes) == lost);
      queue.insert(queue.end(), bytes.begin(), bytes.end());
      queue.erase(at(0), at(lost));
      break;
    }
    case 6: {
      fill();
      const auto free = ring.claim_write(bytes.size());
      require(free.size() >= fits);
      millrace::ring_copy(free, std::span(bytes).first(fits));
      ring.commit_write(fits);
      queue.insert(queue.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(fits));
      break;
    }
    case 7: {
      const std::byte byte{input.next()};
      require(ring.push(byte) == (queue.size() < ring.capacity()));
      if (queue.size() < ring.capacity()) {
        queue.push_back(byte);
      }
      break;
    }
    case 8: {
      std::byte oldest{};
      require(ring.pop(oldest) == !queue.empty());
      if (!queue.empty()) {
        require(oldest == queue.front());
        queue.pop_front();
      }
      break;
    }
    default: {
      const auto filled = ring.claim_read(bytes.size());
      require(filled.size() >= there && filled.size() <= queue.size());
      ring.commit_read(there);
      queue.erase(at(0), at(there));
      break;
    }
  }
  require(ring.size() == queue.size());
  const auto content = ring.claim_read();
  require(std::equal(content.first.begin(), content.first.end(), queue.begin()));
  require(std::equal(content.second.begin(), content.second.end(), at(content.first.size()),
                     queue.end()));
}

template <class Ring>
void run(Ring& ring, Input input) {
  Queue queue;
  while (!input.empty()) {
    step(ring, queue, input);
  }
}

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(std::span(data, size));
  std::vector<std::byte> memory(1U + input.next());
  millrace::RingView view{std::span(memory)};
  run(view, input);
  millrace::SpscRingView spsc_view{std::span(memory)};
  run(spsc_view, input);
  millrace::RingBuffer<64> ring;
  run(ring, input);
  millrace::SpscRing<13> spsc;
  run(spsc, input);
  millrace::SpscRing<16> masked;
  run(masked, input);
  return 0;
}
