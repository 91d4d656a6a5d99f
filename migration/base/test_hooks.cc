#include "migration/base/test_hooks.h"

#ifdef PGROTOR_TEST_HOOKS

#include <csignal>
#include <cstdlib>
#include <map>
#include <mutex>
#include <set>
#include <stdexcept>

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace migration::test_hooks {
namespace {

// One process-wide book; coordinator and workers may look at it, so it has a lock. Test builds only.
struct book {
  std::mutex mutex;
  std::set<std::string, std::less<>> stops, kills, rules;
  std::map<std::string, int, std::less<>> waiting;
};
book& the_book() {
  static book one;
  return one;
}

task<void> poll_pause() {
  boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor, std::chrono::milliseconds(1));
  co_await timer.async_wait(boost::asio::use_awaitable);
}

bool stopped_at(const std::string& name) {
  const std::lock_guard lock(the_book().mutex);
  return the_book().stops.contains(name);
}

void count_waiting(const std::string& name, int change) {
  const std::lock_guard lock(the_book().mutex);
  the_book().waiting[name] += change;
}

bool somebody_waits(const std::string& name) {
  const std::lock_guard lock(the_book().mutex);
  const auto found = the_book().waiting.find(name);
  return found != the_book().waiting.end() && found->second > 0;
}

struct waiting_mark {  // a stopped coroutine may be destroyed while it waits
  explicit waiting_mark(std::string name_in) : name(std::move(name_in)) { count_waiting(name, 1); }
  ~waiting_mark() { count_waiting(name, -1); }
  waiting_mark(const waiting_mark&) = delete;
  waiting_mark& operator=(const waiting_mark&) = delete;
  std::string name;
};

void set_one(const std::string& verb, const std::string& name) {
  auto& all = the_book();
  const std::lock_guard lock(all.mutex);
  if (verb == "stop") all.stops.insert(name);
  else if (verb == "release") all.stops.erase(name);
  else if (verb == "kill") all.kills.insert(name);
  else if (verb == "break") all.rules.insert(name);
  else if (verb == "mend") all.rules.erase(name);
  else throw std::invalid_argument("unknown test verb " + verb);
}

}  // namespace

task<void> stop_point(std::string name) {
  {
    const std::lock_guard lock(the_book().mutex);
    if (the_book().kills.contains(name)) std::raise(SIGKILL);
    if (!the_book().stops.contains(name)) co_return;
  }
  const waiting_mark mark(name);
  while (stopped_at(name)) co_await poll_pause();
}

bool broken(std::string_view rule) {
  const std::lock_guard lock(the_book().mutex);
  return the_book().rules.contains(rule);
}

void load_environment() {
  const char* raw = std::getenv("PGROTOR_TEST");
  std::string text = raw ? raw : "";
  while (!text.empty()) {
    const auto comma = text.find(',');
    const auto item = text.substr(0, comma);
    text = comma == std::string::npos ? "" : text.substr(comma + 1);
    const auto colon = item.find(':');
    if (colon != std::string::npos) set_one(item.substr(0, colon), item.substr(colon + 1));
  }
}

task<std::string> command(std::string verb, std::string name) {
  if (verb != "wait") {
    set_one(verb, name);
    co_return "TEST";
  }
  const auto until = clock::now() + std::chrono::seconds(30);
  while (!somebody_waits(name)) {
    if (clock::now() > until) throw std::invalid_argument("nothing reached " + name + " within 30 s");
    co_await poll_pause();
  }
  co_return "TEST";
}

}  // namespace migration::test_hooks

#endif
