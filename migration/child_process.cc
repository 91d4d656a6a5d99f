#include "migration/child_process.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <system_error>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "migration/lock_retry.h"

namespace migration {
namespace {

namespace asio = boost::asio;

[[noreturn]] void fail(int error, const std::string& doing) { throw std::system_error(error, std::generic_category(), doing); }

struct pipe_ends {
  asio::posix::stream_descriptor read;
  int write = -1;
  explicit pipe_ends(const asio::any_io_executor& executor) : read(executor) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) fail(errno, "pipe");
    read.assign(ends[0]);
    write = ends[1];
  }
  ~pipe_ends() { close_write(); }
  pipe_ends(const pipe_ends&) = delete;
  pipe_ends& operator=(const pipe_ends&) = delete;
  void close_write() {
    if (write >= 0) ::close(write);
    write = -1;
  }
};

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (auto& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

std::vector<std::string> with_own_environment(std::vector<std::string> added) {
  for (char** at = environ; *at; ++at) {
    const std::string_view entry = *at;
    const auto name = entry.substr(0, entry.find('=') + 1);
    bool replaced = false;
    for (const auto& text : added) replaced = replaced || text.starts_with(name);
    if (!replaced) added.emplace_back(entry);
  }
  return added;
}

pid_t spawn(std::vector<std::string> arguments, std::vector<std::string> environment, int out, int err) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, out, 1);
  posix_spawn_file_actions_adddup2(&actions, err, 2);
  const auto all = with_own_environment(std::move(environment));
  auto owned = all;
  auto argv = pointers(arguments);
  auto envp = pointers(owned);
  pid_t pid = -1;
  const int error = ::posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), envp.data());
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) fail(error, "start " + arguments.front());
  return pid;
}

task<void> read_all(asio::posix::stream_descriptor& from, std::string& into) {
  std::vector<char> buffer(16'384);
  for (;;) {
    const auto [error, size] = co_await from.async_read_some(asio::buffer(buffer), asio::as_tuple(asio::use_awaitable));
    into.append(buffer.data(), size);
    if (error) co_return;
  }
}

task<int> wait_for(pid_t pid) {
  for (;;) {
    int status = 0;
    const pid_t got = ::waitpid(pid, &status, WNOHANG);
    if (got == pid) co_return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    if (got < 0) fail(errno, "wait for the child");
    co_await pause_for(milliseconds(5));
  }
}

}  // namespace

task<child_result> run_child(std::vector<std::string> arguments, std::vector<std::string> environment, milliseconds budget) {
  const auto executor = co_await asio::this_coro::executor;
  pipe_ends out(executor), err(executor);
  const pid_t pid = spawn(std::move(arguments), std::move(environment), out.write, err.write);
  out.close_write();
  err.close_write();
  // Both pipes end when the child does, so killing it ends the reads too.
  asio::steady_timer deadline(executor, budget);
  deadline.async_wait([pid](const boost::system::error_code& error) {
    if (!error) ::kill(pid, SIGKILL);
  });
  child_result result;
  co_await read_all(out.read, result.output);
  co_await read_all(err.read, result.errors);
  result.exit_code = co_await wait_for(pid);
  deadline.cancel();
  co_return result;
}

}  // namespace migration
