// What a statement asks of clients (routing::process_call), with its values: about whom, what the shard is asked for it, and what its answer
// means. PostgreSQL's rules of who may signal whom, in its words. Pure; any thread.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/config/errors.h"
#include "routing/analysis/plan.h"
#include "routing/map/parameter.h"

namespace proxy {

struct process_question {
  using what = routing::process_call::what;
  what is = what::cancel;
  std::int32_t number = 0;
  std::vector<std::int32_t> among;      // is_blocked: by one of these
  std::chrono::milliseconds patience{};  // terminate: until it has ended
};

// True of what only pgrotor can answer, where it is about clients.
inline bool asks_of_clients(const routing::statement_plan& plan) noexcept {
  return std::any_of(plan.processes.begin(), plan.processes.end(), [](const auto& call) { return call.is != process_question::what::own_number; });
}
// Nothing: the number cannot be a client's, or the shard is to say what is wrong with the values.
std::optional<process_question> question_of(const routing::process_call&, std::span<const routing::parameter>);

// Whether the current user may signal that client's processes: for refusal().
std::string permission_sql(std::string_view user);
std::optional<protocol::notice> refusal(process_question::what, std::string_view answer);

// 't' or 'f', by the shard's own process ids.
std::string blocked_sql(std::span<const std::int32_t> processes, std::span<const std::int32_t> among);

}  // namespace proxy
