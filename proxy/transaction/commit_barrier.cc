#include "proxy/transaction/commit_barrier.h"

namespace proxy {

bool commit_barrier::enter_statement() noexcept {
  auto now = inside_.load();
  while (now < one_commit)
    if (inside_.compare_exchange_weak(now, now + 1)) return true;
  return false;
}

bool commit_barrier::leave_statement(std::uint64_t since) noexcept {
  const bool overrun = overruns_.load() != since;
  --inside_;
  return overrun;
}

bool commit_barrier::enter_commit(bool at_once) noexcept {
  auto now = inside_.load();
  while (true) {
    const bool statements = now % one_commit != 0;
    if (statements && !at_once) return false;
    if (!inside_.compare_exchange_weak(now, now + one_commit)) continue;
    if (statements) ++overruns_;
    return true;
  }
}

void commit_barrier::leave_commit() noexcept { inside_ -= one_commit; }

}  // namespace proxy
