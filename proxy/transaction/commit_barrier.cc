#include "proxy/transaction/commit_barrier.h"

namespace proxy {

commit_barrier::pass commit_barrier::enter_statement() noexcept {
  const auto overruns = overruns_.load();
  auto now = inside_.load();
  while (now < one_commit)
    if (inside_.compare_exchange_weak(now, now + 1)) return {*this, false, overruns};
  return {};
}

commit_barrier::pass commit_barrier::enter_commit(bool at_once) noexcept {
  auto now = inside_.load();
  while (true) {
    const bool statements = now % one_commit != 0;
    if ((statements || wishes_.load() > 0) && !at_once) return {};
    if (!inside_.compare_exchange_weak(now, now + one_commit)) continue;
    if (statements) ++overruns_;
    return {*this, true, 0};
  }
}

}  // namespace proxy
