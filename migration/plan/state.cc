#include "migration/plan/state.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include <fmt/format.h>

namespace migration {
namespace {

constexpr std::array<std::pair<state, std::string_view>, 16> state_names{{
    {state::planned, "PLANNED"},
    {state::preparing, "PREPARING"},
    {state::copying, "COPYING"},
    {state::catching_up, "CATCHING_UP"},
    {state::verifying, "VERIFYING"},
    {state::ready, "READY"},
    {state::cutting_over, "CUTTING_OVER"},
    {state::switched, "SWITCHED"},
    {state::cleaning, "CLEANING"},
    {state::done, "DONE"},
    {state::paused, "PAUSED"},
    {state::failing, "FAILING"},
    {state::cancelling, "CANCELLING"},
    {state::failed, "FAILED"},
    {state::cancelled, "CANCELLED"},
    {state::rolled_back, "ROLLED_BACK"},
}};

// Failure and cancellation are further down: they are the same for every state in which the old map rules.
constexpr std::array<std::pair<state, state>, 17> forward{{
    {state::planned, state::preparing},
    {state::preparing, state::copying},
    {state::copying, state::catching_up},
    {state::catching_up, state::verifying},
    {state::verifying, state::ready},
    {state::verifying, state::catching_up},  // the stream has fallen behind meanwhile
    {state::ready, state::verifying},        // looked at again before an attempt
    {state::ready, state::catching_up},      // the mover was restarted
    {state::ready, state::cutting_over},
    {state::cutting_over, state::ready},  // the attempt was missed, gates are open
    {state::cutting_over, state::switched},
    {state::switched, state::cleaning},
    {state::cleaning, state::done},
    {state::switched, state::rolled_back},
    {state::failing, state::failed},
    {state::cancelling, state::cancelled},
    {state::planned, state::cancelled},  // nothing has been made
}};

bool may_pause(state s) noexcept {
  return s == state::copying || s == state::catching_up || s == state::verifying || s == state::ready;
}

}  // namespace

std::string_view to_string(state s) noexcept {
  const auto found = std::ranges::find(state_names, s, &std::pair<state, std::string_view>::first);
  return found == state_names.end() ? "?" : found->second;
}

std::optional<state> parse_state(std::string_view text) noexcept {
  const auto found = std::ranges::find(state_names, text, &std::pair<state, std::string_view>::second);
  return found == state_names.end() ? std::nullopt : std::optional(found->first);
}

bool may_go(state from, state to) noexcept {
  if (from == to) return !is_final(from);  // a change of attempt, error or figures
  if (is_undoing(to)) return before_switch(from);
  if (to == state::paused) return may_pause(from);
  if (from == state::paused) return may_pause(to);
  return std::ranges::find(forward, std::pair(from, to)) != forward.end();
}

bool is_final(state s) noexcept {
  return s == state::done || s == state::failed || s == state::cancelled || s == state::rolled_back;
}

bool before_switch(state s) noexcept {
  switch (s) {
    case state::planned:
    case state::preparing:
    case state::copying:
    case state::catching_up:
    case state::verifying:
    case state::ready:
    case state::cutting_over:
    case state::paused: return true;
    case state::switched:
    case state::cleaning:
    case state::done:
    case state::failing:
    case state::cancelling:
    case state::failed:
    case state::cancelled:
    case state::rolled_back: return false;
  }
  return false;
}

bool is_undoing(state s) noexcept { return s == state::failing || s == state::cancelling; }

bool gate_starts_closed(state s) noexcept { return s == state::cutting_over || s == state::switched; }

std::string marker_token::text() const { return fmt::format("{}:{}:{}:{}", migration, set, epoch, attempt); }

std::optional<marker_token> parse_marker(std::string_view content) {
  std::array<std::uint64_t, 4> parts{};
  const char* at = content.data();
  const char* const end = at + content.size();
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (i > 0 && (at == end || *at++ != ':')) return std::nullopt;
    const auto [next, error] = std::from_chars(at, end, parts[i]);
    if (error != std::errc{}) return std::nullopt;
    at = next;
  }
  if (at != end || parts[3] > 0x7fffffffu) return std::nullopt;
  return marker_token{parts[0], parts[1], parts[2], static_cast<std::uint32_t>(parts[3])};
}

object_names::object_names(std::uint64_t migration)
    : slot(fmt::format("pgrotor_{}", migration)),
      publication(slot),
      origin(slot),
      cleaner_origin(fmt::format("pgrotor_clean_{}", migration)),
      register_sequence(fmt::format("pgrotor.register_{}", migration)),
      guard_function(fmt::format("pgrotor.guard_{}", migration)),
      trigger_prefix(fmt::format("~~pgrotor_{}_", migration)) {}

}  // namespace migration
