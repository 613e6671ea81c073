// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string>
#include <string_view>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "hal/error_text.hpp"
#include "hal/io.hpp"
#include "hal/socket.hpp"

namespace millrace::hal {
namespace {

using Family = SocketAddress::Family;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr int patience_ms = 10'000;

bool ready(int fd, short events, int timeout_ms = patience_ms) {
  pollfd watched{.fd = fd, .events = events, .revents = 0};
  return ::poll(&watched, 1, timeout_ms) == 1;
}

SocketAddress address(std::string_view text) {
  auto result = SocketAddress::parse(text);
  EXPECT_TRUE(result) << text;
  return result.value_or(SocketAddress());
}

template <class T>
int error_of(const Result<T>& result) {
  return result ? 0 : result.error().number;
}

int option(int fd, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  EXPECT_EQ(::getsockopt(fd, level, name, &value, &size), 0);
  return value;
}

bool has_ipv6() { return listen(address("[::1]:0"), 1).has_value(); }

/// All that comes until the end of file.
std::string receive_all(int fd) {
  std::string text;
  std::array<char, 256> part{};
  while (ready(fd, POLLIN)) {
    const Transfer got = read(fd, std::as_writable_bytes(std::span(part)));
    if (!got.done()) {
      EXPECT_EQ(got.status, Transfer::Status::closed);
      EXPECT_EQ(got.error, 0) << "reset";
      return text;
    }
    text.append(part.data(), got.count);
  }
  ADD_FAILURE() << "no end of file";
  return text;
}

// --- SocketAddress ---

TEST(SocketAddress, parses_what_it_shows) {
  struct Case {
    const char* text;
    const char* shown;
    Family family;
    std::uint16_t port;
    bool local;
  };
  for (const Case& c : {
           Case{"127.0.0.1:7000", "127.0.0.1:7000", Family::ipv4, 7000, true},
           Case{"7000", "127.0.0.1:7000", Family::ipv4, 7000, true},
           Case{":7000", "127.0.0.1:7000", Family::ipv4, 7000, true},
           Case{"0", "127.0.0.1:0", Family::ipv4, 0, true},
           Case{"65535", "127.0.0.1:65535", Family::ipv4, 65535, true},
           Case{"0.0.0.0:1", "0.0.0.0:1", Family::ipv4, 1, false},
           Case{"192.168.178.20:80", "192.168.178.20:80", Family::ipv4, 80, false},
           Case{"127.255.0.9:80", "127.255.0.9:80", Family::ipv4, 80, true},
           Case{"[::1]:7000", "[::1]:7000", Family::ipv6, 7000, true},
           Case{"[::]:7000", "[::]:7000", Family::ipv6, 7000, false},
           Case{"[2001:DB8:0::1]:7000", "[2001:db8::1]:7000", Family::ipv6, 7000, false},
           Case{"[fe80::1%2]:7000", "[fe80::1%2]:7000", Family::ipv6, 7000, false},
           Case{"[::ffff:127.0.0.1]:7000", "127.0.0.1:7000", Family::ipv4, 7000, true},
           Case{"*:7000", "*:7000", Family::ipv6, 7000, false},
           Case{"unix:/run/millrace.sock", "unix:/run/millrace.sock", Family::unix_path, 0, true},
           Case{"unix:a:b", "unix:a:b", Family::unix_path, 0, true},
       }) {
    const auto parsed = SocketAddress::parse(c.text);
    ASSERT_TRUE(parsed) << c.text;
    EXPECT_EQ(parsed->text().view(), c.shown);
    EXPECT_EQ(parsed->family(), c.family) << c.text;
    EXPECT_EQ(parsed->port(), c.port) << c.text;
    EXPECT_EQ(parsed->is_local(), c.local) << c.text;
    EXPECT_EQ(address(c.shown), *parsed) << c.text;
  }
}

TEST(SocketAddress, refuses_garbage) {
  for (const char* text :
       {"",
        " ",
        ":",
        "*",
        "*:",
        "**:1",
        "x",
        "-1",
        "+1",
        " 1",
        "1 ",
        "0x10",
        "1e3",
        "65536",
        "4294967297",
        "99999999999999999999",
        "00",
        "07000",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:x",
        "127.0.0.1:1x",
        "127.0.0.1:-1",
        "127.0.0.1:65536",
        "127.0.0.1 :1",
        "127.0.0:1",
        "127.0.0.256:1",
        "127.0.0.01:1",
        "1.2.3.4.5:1",
        "localhost:1",
        "::1:7000x",
        "::1:7000",
        "::1",
        "[::1]",
        "[::1]7000",
        "[::1]:",
        "[::1:1",
        "::1]:1",
        "[]:1",
        "[:::1]:1",
        "[127.0.0.1]:1",
        "[::1%]:1",
        "[fe80::1%eth0]:1",
        "[fe80::1%-1]:1",
        "[*]:1",
        "[[::1]]:1",
        "unix:",
        "unix",
        "UNIX:/x",
        "http://127.0.0.1:1",
        "127.0.0.1:1\n",
        "127.0.0.1:1:2",
        "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc:1",
        "[1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc:dddd]:1"}) {
    const auto parsed = SocketAddress::parse(text);
    EXPECT_EQ(error_of(parsed), EINVAL) << '"' << text << '"';
    EXPECT_TRUE(parsed || *parsed.error().remedy != '\0') << text;
  }
}

TEST(SocketAddress, a_nul_ends_nothing) {
  using namespace std::string_view_literals;
  for (const std::string_view text :
       {"127.0.0.1\0:1"sv, "127.0.0.1:1\0"sv, "[::1\0]:1"sv, "unix:/a\0b"sv, "unix:\0abstract"sv}) {
    EXPECT_EQ(error_of(SocketAddress::parse(text)), EINVAL);
  }
}

TEST(SocketAddress, a_unix_path_has_its_limit) {
  const std::string longest = "unix:/" + std::string(SocketAddress::max_path - 1, 'x');
  EXPECT_EQ(address(longest).text().view(), longest);
  EXPECT_EQ(error_of(SocketAddress::parse(longest + "x")), ENAMETOOLONG);
}

TEST(SocketAddress, survives_the_kernels_form) {
  for (const char* text : {"1.2.3.4:5", "[2001:db8::1]:5", "[fe80::1%7]:5", "unix:/a/b"}) {
    sockaddr_storage native{};
    const std::size_t size = address(text).to_native(native);
    EXPECT_EQ(SocketAddress::from_native(native, size).text().view(), text);
  }
  sockaddr_storage native{};
  EXPECT_EQ(SocketAddress().to_native(native), 0U);
  EXPECT_EQ(SocketAddress().text().view(), "");
  native.ss_family = AF_NETLINK;
  EXPECT_EQ(SocketAddress::from_native(native, sizeof native).family(), Family::none);
  native.ss_family = AF_INET;
  EXPECT_EQ(SocketAddress::from_native(native, 4).family(), Family::none);
  native.ss_family = AF_UNIX;  // the unnamed end of a client
  EXPECT_EQ(SocketAddress::from_native(native, sizeof native.ss_family).text().view(), "unix:");
}

// --- Servers and clients ---

class TemporaryDirectory {
 public:
  TemporaryDirectory() { EXPECT_NE(::mkdtemp(path_.data()), nullptr); }
  ~TemporaryDirectory() {
    ::unlink(file("socket").c_str());
    ::rmdir(path_.c_str());
  }
  [[nodiscard]] std::string file(const char* name) const { return path_ + "/" + name; }

 private:
  std::string path_ = "/tmp/millrace-test-XXXXXX";
};

/// Connects to `listener` at `to` and sends bytes both ways.
void expect_conversation(int listener, const SocketAddress& to, Accepted* accepted_out = nullptr) {
  auto client = connect(to);
  ASSERT_TRUE(client) << describe(client.error()).c_str();
  ASSERT_TRUE(ready(client->get(), POLLOUT));
  EXPECT_TRUE(connect_result(client->get()));
  ASSERT_TRUE(ready(listener, POLLIN));
  auto accepted = accept(listener);
  ASSERT_TRUE(accepted && *accepted);
  const int server = (*accepted)->fd.get();
  for (const int fd : {client->get(), server}) {
    EXPECT_NE(::fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    EXPECT_NE(::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
    EXPECT_TRUE(no_delay(fd));
  }
  const std::string_view question = "question";
  const std::string_view answer = "answer";
  EXPECT_TRUE(send(client->get(), std::as_bytes(std::span(question))).done());
  EXPECT_TRUE(shutdown_write(client->get()));
  EXPECT_EQ(receive_all(server), question);
  EXPECT_TRUE(send(server, std::as_bytes(std::span(answer))).done());
  EXPECT_TRUE(shutdown_write(server));
  EXPECT_EQ(receive_all(client->get()), answer);
  if (accepted_out != nullptr) {
    *accepted_out = std::move(**accepted);
  }
}

TEST(Socket, talks_over_ipv4) {
  const auto listener = listen(address("0"), 4);
  ASSERT_TRUE(listener) << describe(listener.error()).c_str();
  EXPECT_NE(::fcntl(listener->get(), F_GETFL) & O_NONBLOCK, 0);
  EXPECT_NE(::fcntl(listener->get(), F_GETFD) & FD_CLOEXEC, 0);
  const auto local = local_address(listener->get());
  ASSERT_TRUE(local);
  EXPECT_NE(local->port(), 0);
  Accepted accepted;
  expect_conversation(listener->get(), *local, &accepted);
  EXPECT_TRUE(accepted.peer.text().view().starts_with("127.0.0.1:"));
  EXPECT_NE(accepted.peer.port(), local->port());
}

TEST(Socket, talks_over_ipv6) {
  if (!has_ipv6()) {
    GTEST_SKIP() << "no IPv6 here";
  }
  const auto listener = listen(address("[::1]:0"), 4);
  ASSERT_TRUE(listener);
  Accepted accepted;
  expect_conversation(listener->get(), *local_address(listener->get()), &accepted);
  EXPECT_TRUE(accepted.peer.text().view().starts_with("[::1]:"));
}

TEST(Socket, a_star_serves_both_families) {
  const auto listener = listen(address("*:0"), 4);
  ASSERT_TRUE(listener);
  const auto local = local_address(listener->get());
  ASSERT_TRUE(local);
  Accepted accepted;
  expect_conversation(listener->get(), address(std::to_string(local->port())), &accepted);
  EXPECT_TRUE(accepted.peer.text().view().starts_with("127.0.0.1:"))
      << accepted.peer.text().c_str();
  if (has_ipv6()) {
    EXPECT_TRUE(local->text().view().starts_with("*:")) << local->text().c_str();
    expect_conversation(listener->get(), address("[::1]:" + std::to_string(local->port())));
  }
}

TEST(Socket, all_of_ipv6_is_not_ipv4) {
  if (!has_ipv6()) {
    GTEST_SKIP() << "no IPv6 here";
  }
  const auto listener = listen(address("[::]:0"), 4);
  ASSERT_TRUE(listener);
  const auto local = local_address(listener->get());
  EXPECT_TRUE(local->text().view().starts_with("[::]:"));
  EXPECT_EQ(option(listener->get(), IPPROTO_IPV6, IPV6_V6ONLY), 1);
}

TEST(Socket, nobody_waiting_is_no_error) {
  const auto listener = listen(address("0"), 4);
  ASSERT_TRUE(listener);
  const auto accepted = accept(listener->get());
  ASSERT_TRUE(accepted);
  EXPECT_FALSE(*accepted);
}

TEST(Socket, accepting_from_what_does_not_listen_is_an_error) {
  EXPECT_EQ(error_of(accept(-1)), EBADF);
  const Fd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(error_of(accept(file.get())), ENOTSOCK);
  const auto listener = listen(address("0"), 1);
  const auto client = connect(*local_address(listener->get()));
  ASSERT_TRUE(client);
  EXPECT_EQ(error_of(accept(client->get())), EINVAL);
}

TEST(Socket, a_shared_port_is_served_by_each_of_those_who_share_it) {
  const auto first = listen(address("0"), 64, PortUse::shared);
  ASSERT_TRUE(first);
  const SocketAddress shared = *local_address(first->get());
  const auto second = listen(shared, 64, PortUse::shared);
  ASSERT_TRUE(second);
  EXPECT_EQ(error_of(listen(shared, 1)), EADDRINUSE);
  std::vector<Fd> clients;
  for (int i = 0; i < 60; ++i) {  // that one of them gets none of these has a chance of 2 in 2^60
    auto client = connect(shared);
    ASSERT_TRUE(client);
    clients.push_back(std::move(*client));
  }
  std::array<int, 2> counts{};
  for (const auto& [listener, count] :
       {std::tie(*first, counts[0]), std::tie(*second, counts[1])}) {
    for (auto accepted = accept(listener.get()); accepted && *accepted;
         accepted = accept(listener.get())) {
      ++count;
    }
  }
  EXPECT_EQ(counts[0] + counts[1], 60);
  EXPECT_GT(counts[0], 0);
  EXPECT_GT(counts[1], 0);
}

TEST(Socket, a_port_in_use_is_refused_until_it_is_free) {
  auto first = listen(address("0"), 4);
  ASSERT_TRUE(first);
  const SocketAddress taken = *local_address(first->get());
  const auto second = listen(taken, 4);
  ASSERT_EQ(error_of(second), EADDRINUSE);
  EXPECT_STRNE(second.error().remedy, "");

  {
    const auto client = connect(taken);
    ASSERT_TRUE(client && ready(first->get(), POLLIN));
    accept(first->get()).value()->fd.reset();  // the end that closes first stays in TIME_WAIT
    EXPECT_EQ(receive_all(client->get()), "");
  }
  first->reset();
  EXPECT_TRUE(listen(taken, 4));
}

TEST(Socket, only_own_addresses_can_be_listened_on) {
  EXPECT_EQ(error_of(listen(address("192.0.2.1:0"), 4)), EADDRNOTAVAIL);
  EXPECT_EQ(error_of(listen(SocketAddress(), 4)), EINVAL);
}

TEST(Socket, connecting_to_nobody_is_refused) {
  auto listener = listen(address("0"), 1);
  ASSERT_TRUE(listener);
  const SocketAddress nobody = *local_address(listener->get());
  listener->reset();
  const auto client = connect(nobody);
  if (client) {  // in progress
    ASSERT_TRUE(ready(client->get(), POLLOUT));
    EXPECT_EQ(error_of(connect_result(client->get())), ECONNREFUSED);
  } else {
    EXPECT_EQ(client.error().number, ECONNREFUSED);
  }
  EXPECT_EQ(error_of(connect(SocketAddress())), EINVAL);
  EXPECT_EQ(error_of(connect(address("*:7000"))), EINVAL);
}

TEST(Socket, a_connection_that_is_not_decided_is_in_progress) {
  const auto listener = listen(address("0"), 1);  // more clients than it holds have to wait
  ASSERT_TRUE(listener);
  std::vector<Fd> clients;
  bool in_progress = false;
  for (int i = 0; i < 16 && !in_progress; ++i) {
    auto client = connect(*local_address(listener->get()));
    ASSERT_TRUE(client);
    if (!ready(client->get(), POLLOUT, 50)) {
      EXPECT_EQ(error_of(connect_result(client->get())), EINPROGRESS);
      in_progress = true;
    }
    clients.push_back(std::move(*client));
  }
  EXPECT_TRUE(in_progress);
}

TEST(Socket, a_client_that_gives_up_before_it_is_accepted_harms_nobody) {
  const auto listener = listen(address("0"), 4);
  ASSERT_TRUE(listener);
  const SocketAddress local = *local_address(listener->get());
  {
    const auto client = connect(local);
    ASSERT_TRUE(client);
    ASSERT_TRUE(ready(listener->get(), POLLIN));
    const linger reset{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(client->get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  }
  EXPECT_TRUE(accept(listener->get()));
  expect_conversation(listener->get(), local);
}

// --- Unix sockets ---

TEST(UnixSocket, talks_and_removes_its_file) {
  const TemporaryDirectory directory;
  const SocketAddress path = address("unix:" + directory.file("socket"));
  const mode_t before = ::umask(0177);
  const auto listener = listen(path, 4);
  ::umask(before);
  ASSERT_TRUE(listener) << describe(listener.error()).c_str();
  struct stat status{};
  ASSERT_EQ(::stat(directory.file("socket").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0660U);
  EXPECT_EQ(*local_address(listener->get()), path);

  Accepted accepted;
  expect_conversation(listener->get(), path, &accepted);
  EXPECT_EQ(accepted.peer.family(), Family::unix_path);
  EXPECT_TRUE(keep_alive(accepted.fd.get(), seconds(1), seconds(1), 1, seconds(1)));

  const SocketFile file(path);
  file.remove();
  EXPECT_NE(::access(directory.file("socket").c_str(), F_OK), 0);
  file.remove();
  SocketFile(address("7000")).remove();
}

TEST(UnixSocket, the_file_of_a_server_that_has_taken_its_place_is_left_alone) {
  const TemporaryDirectory directory;
  const SocketAddress path = address("unix:" + directory.file("socket"));
  const auto first = listen(path, 4);
  ASSERT_TRUE(first);
  const SocketFile file(path);
  ASSERT_EQ(::unlink(directory.file("socket").c_str()), 0);
  const auto second = listen(path, 4);
  ASSERT_TRUE(second);
  file.remove();
  expect_conversation(second->get(), path);
}

TEST(UnixSocket, the_file_of_a_dead_server_is_replaced) {
  const TemporaryDirectory directory;
  const SocketAddress path = address("unix:" + directory.file("socket"));
  {
    ASSERT_TRUE(listen(path, 4));
  }
  EXPECT_EQ(::access(directory.file("socket").c_str(), F_OK), 0);
  EXPECT_EQ(error_of(connect(path)), ECONNREFUSED);
  const auto listener = listen(path, 4);
  ASSERT_TRUE(listener) << describe(listener.error()).c_str();
  expect_conversation(listener->get(), path);
}

TEST(UnixSocket, a_live_server_is_left_alone) {
  const TemporaryDirectory directory;
  const SocketAddress path = address("unix:" + directory.file("socket"));
  const auto listener = listen(path, 1);
  ASSERT_TRUE(listener);
  for (int i = 0; i < 4; ++i) {  // soon its backlog is full
    const auto second = listen(path, 4);
    ASSERT_EQ(error_of(second), EADDRINUSE);
    EXPECT_STRNE(second.error().remedy, "");
  }
  while (*accept(listener->get())) {
  }
  expect_conversation(listener->get(), path);
}

TEST(UnixSocket, a_full_server_is_to_be_tried_again) {
  const TemporaryDirectory directory;
  const SocketAddress path = address("unix:" + directory.file("socket"));
  const auto listener = listen(path, 1);
  ASSERT_TRUE(listener);
  std::vector<Fd> clients;
  int error = 0;
  for (int i = 0; i < 8 && error == 0; ++i) {
    auto client = connect(path);
    error = error_of(client);
    if (client) {
      clients.push_back(std::move(*client));
    }
  }
  EXPECT_EQ(error, EAGAIN);
}

TEST(UnixSocket, another_kind_of_file_is_left_alone) {
  const TemporaryDirectory directory;
  const SocketAddress path = address("unix:" + directory.file("socket"));
  {
    const Fd file(::open(directory.file("socket").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  }
  EXPECT_EQ(error_of(listen(path, 4)), EADDRINUSE);
  SocketFile(path).remove();
  EXPECT_EQ(::access(directory.file("socket").c_str(), F_OK), 0);
  EXPECT_EQ(error_of(listen(address("unix:" + directory.file("no/socket")), 4)), ENOENT);
  EXPECT_EQ(error_of(connect(address("unix:" + directory.file("nobody")))), ENOENT);
}

// --- Connections ---

TEST(Socket, keep_alive_is_what_the_kernel_was_told) {
  const auto listener = listen(address("0"), 4);
  const auto client = connect(*local_address(listener->get()));
  ASSERT_TRUE(client);
  const int fd = client->get();
  ASSERT_TRUE(keep_alive(fd, milliseconds(9001), seconds(3), 4, milliseconds(20'500)));
  EXPECT_EQ(option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
  EXPECT_EQ(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 10);
  EXPECT_EQ(option(fd, IPPROTO_TCP, TCP_KEEPINTVL), 3);
  EXPECT_EQ(option(fd, IPPROTO_TCP, TCP_KEEPCNT), 4);
  EXPECT_EQ(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 20'500);
  ASSERT_TRUE(keep_alive(fd, seconds(32767), seconds(32767), 127, seconds(0)));

  EXPECT_EQ(option(fd, IPPROTO_TCP, TCP_NODELAY), 0);
  ASSERT_TRUE(no_delay(fd));
  EXPECT_NE(option(fd, IPPROTO_TCP, TCP_NODELAY), 0);
}

TEST(Socket, keep_alive_out_of_range_is_refused) {
  const auto listener = listen(address("0"), 4);
  const auto client = connect(*local_address(listener->get()));
  ASSERT_TRUE(client);
  const int fd = client->get();
  EXPECT_EQ(error_of(keep_alive(fd, seconds(0), seconds(1), 1, seconds(0))), EINVAL);
  EXPECT_EQ(error_of(keep_alive(fd, seconds(32768), seconds(1), 1, seconds(0))), EINVAL);
  EXPECT_EQ(error_of(keep_alive(fd, forever, seconds(1), 1, seconds(0))), EINVAL);
  EXPECT_EQ(error_of(keep_alive(fd, seconds(1), seconds(-1), 1, seconds(0))), EINVAL);
  EXPECT_EQ(error_of(keep_alive(fd, seconds(1), seconds(1), 0, seconds(0))), EINVAL);
  EXPECT_EQ(error_of(keep_alive(fd, seconds(1), seconds(1), 128, seconds(0))), EINVAL);
  EXPECT_EQ(error_of(keep_alive(fd, seconds(1), seconds(1), 1, seconds(-1))), EINVAL);
  EXPECT_EQ(error_of(keep_alive(fd, seconds(1), seconds(1), 1, forever)), EINVAL);
  EXPECT_EQ(option(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
}

TEST(Socket, a_refusal_arrives_even_if_the_client_has_talked) {
  const auto listener = listen(address("0"), 4);
  const auto client = connect(*local_address(listener->get()));
  ASSERT_TRUE(client);
  ASSERT_TRUE(ready(client->get(), POLLOUT));
  const std::string_view early = "hello?";
  ASSERT_TRUE(send(client->get(), std::as_bytes(std::span(early))).done());
  ASSERT_TRUE(ready(listener->get(), POLLIN));
  auto accepted = accept(listener->get());
  ASSERT_TRUE(accepted && *accepted);
  ASSERT_TRUE(ready((*accepted)->fd.get(), POLLIN));
  refuse(std::move((*accepted)->fd), "full, try later\n");
  EXPECT_EQ(receive_all(client->get()), "full, try later\n");
  EXPECT_EQ(option(client->get(), SOL_SOCKET, SO_ERROR), 0) << "reset afterwards";
}

TEST(SpareFd, refuses_nobody_when_nobody_waits) {
  const auto listener = listen(address("0"), 4);
  auto spare = SpareFd::open();
  ASSERT_TRUE(spare);
  EXPECT_FALSE(spare->refuse_one(listener->get(), "x"));
  EXPECT_TRUE(spare->is_open());
}

/// Runs out of descriptors, for which it needs a process of its own.
void run_out_of_descriptors() {
  const auto listener = listen(address("0"), 8);
  auto spare = SpareFd::open();
  ASSERT_TRUE(listener && spare);
  std::array<Fd, 3> clients;
  for (Fd& client : clients) {
    auto connected = connect(*local_address(listener->get()));
    ASSERT_TRUE(connected && ready(connected->get(), POLLOUT));
    client = std::move(*connected);
  }
  const rlimit few{.rlim_cur = 64, .rlim_max = 64};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  while (::dup(listener->get()) >= 0) {
  }
  ASSERT_EQ(errno, EMFILE);
  for (const Fd& client : clients) {
    ASSERT_EQ(error_of(accept(listener->get())), EMFILE);
    ASSERT_TRUE(ready(listener->get(), POLLIN));  // here a loop would spin
    ASSERT_TRUE(spare->refuse_one(listener->get(), "out of descriptors\n"));
    ASSERT_TRUE(spare->is_open());
    ASSERT_EQ(receive_all(client.get()), "out of descriptors\n");
  }
  EXPECT_FALSE(ready(listener->get(), POLLIN, 20));
  EXPECT_FALSE(spare->refuse_one(listener->get()));
  EXPECT_LT(::dup(listener->get()), 0);  // the spare is taken again
}

TEST(SpareFd, serves_a_listener_that_is_out_of_descriptors) {
  const pid_t child = ::fork();
  if (child == 0) {
    run_out_of_descriptors();
    (void)std::fflush(stdout);
    ::_exit(HasFailure() ? 1 : 0);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace millrace::hal
