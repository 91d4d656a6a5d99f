#include "migration/catalog/process_mark.h"

#include <cerrno>
#include <charconv>
#include <csignal>
#include <fstream>
#include <iterator>
#include <random>
#include <sstream>

#include <unistd.h>

#include <fmt/format.h>

namespace migration {
namespace {

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// Pids mean something only among the processes of one namespace.
std::string pid_namespace() {
  char name[64];
  const auto size = readlink("/proc/self/ns/pid", name, sizeof name);
  return size > 0 ? std::string(name, static_cast<std::size_t>(size)) : "";
}

std::string boot() { return first_line("/proc/sys/kernel/random/boot_id"); }

// In ticks since boot; "" when it cannot be read. Field 2 may hold blanks and brackets, the start is field 22.
std::string start_of(const std::string& pid) {
  const auto text = first_line(fmt::format("/proc/{}/stat", pid));
  const auto bracket = text.rfind(')');
  if (bracket == std::string::npos) return "";
  std::istringstream rest(text.substr(bracket + 1));
  std::string word;
  for (int field = 3; field <= 22; ++field) rest >> word;
  return word;
}

std::string_view field_of(std::string_view holder, std::string_view name) {
  const auto key = fmt::format(" {}=", name);
  const auto at = holder.find(key);
  if (at == std::string_view::npos) return {};
  const auto value = holder.substr(at + key.size());
  return value.substr(0, value.find(' '));
}

std::string host_name() {
  char name[256] = "";
  gethostname(name, sizeof name - 1);
  return name;
}

}  // namespace

term_owner make_term_owner(std::chrono::milliseconds lease) {
  std::random_device random;
  term_owner owner;
  for (int i = 0; i < 4; ++i) owner.process += fmt::format("{:08x}", random());
  const auto pid = std::to_string(getpid());
  owner.holder = fmt::format("host={} pid={} start={} boot={} pids={}", host_name(), pid, start_of(pid), boot(), pid_namespace());
  owner.lease = lease;
  return owner;
}

bool process_is_gone(std::string_view holder) {
  const auto boot_then = field_of(holder, "boot"), pids_then = field_of(holder, "pids"), pid_text = field_of(holder, "pid");
  if (boot_then.empty() || pids_then.empty() || boot_then != boot() || pids_then != pid_namespace()) return false;
  pid_t pid = 0;
  const auto read = std::from_chars(pid_text.data(), pid_text.data() + pid_text.size(), pid);
  if (read.ec != std::errc{} || pid <= 0) return false;
  if (kill(pid, 0) != 0 && errno == ESRCH) return true;
  const auto start = start_of(std::string(pid_text));  // another process may have the number now
  return !start.empty() && start != field_of(holder, "start");
}

}  // namespace migration
