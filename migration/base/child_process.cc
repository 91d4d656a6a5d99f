#include "migration/base/child_process.h"

#include <cerrno>
#include <csignal>
#include <string_view>
#include <system_error>

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "migration/base/task.h"

namespace migration {
namespace {

constexpr milliseconds exit_poll{5};

[[noreturn]] void fail(int error, const std::string& doing) { throw std::system_error(error, std::generic_category(), doing); }

// What the child writes goes into memory, so that it never waits for us to read.
class memory_file {
 public:
  memory_file() : fd_(::memfd_create("pgrotor", MFD_CLOEXEC)) {
    if (fd_ < 0) fail(errno, "memfd_create");
  }
  ~memory_file() { ::close(fd_); }
  memory_file(const memory_file&) = delete;
  memory_file& operator=(const memory_file&) = delete;
  int fd() const noexcept { return fd_; }
  std::string text() const {
    const auto size = ::lseek(fd_, 0, SEEK_END);
    std::string out(static_cast<std::size_t>(size), '\0');
    if (::pread(fd_, out.data(), out.size(), 0) != size) fail(errno, "read what the child wrote");
    return out;
  }

 private:
  int fd_;
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
  auto all = with_own_environment(std::move(environment));
  auto argv = pointers(arguments);
  auto envp = pointers(all);
  pid_t pid = -1;
  const int error = ::posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), envp.data());
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) fail(error, "start " + arguments.front());
  return pid;
}

// The exit code once the child has ended, by itself or killed after `budget`.
task<int> wait_for(pid_t pid, milliseconds budget) {
  for (const auto until = clock::now() + budget;;) {
    int status = 0;
    const pid_t got = ::waitpid(pid, &status, WNOHANG);
    if (got == pid) co_return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    if (got < 0) fail(errno, "wait for the child");
    if (clock::now() >= until) ::kill(pid, SIGKILL);
    co_await sleep_for(exit_poll);
  }
}

}  // namespace

task<child_result> run_child(std::vector<std::string> arguments, std::vector<std::string> environment, milliseconds budget) {
  const memory_file out, err;
  const pid_t pid = spawn(std::move(arguments), std::move(environment), out.fd(), err.fd());
  child_result result;
  result.exit_code = co_await wait_for(pid, budget);
  result.output = out.text();
  result.errors = err.text();
  co_return result;
}

}  // namespace migration
