#include "migration/plan/state.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <span>
#include <utility>

#include <fmt/format.h>

namespace migration {
namespace {

template <typename T, std::size_t N>
using names_of = std::array<std::pair<T, std::string_view>, N>;

constexpr names_of<state, 16> state_names{{
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

constexpr names_of<migration_kind, 2> kind_names{{{migration_kind::drain, "drain"}, {migration_kind::move_range, "move_range"}}};
constexpr names_of<strategy_kind, 1> strategy_names{{{strategy_kind::cdc, "cdc"}}};
constexpr names_of<transport_kind, 1> transport_names{{{transport_kind::direct, "direct"}}};

template <typename T, std::size_t N>
std::string_view name_in(const names_of<T, N>& names, T value) noexcept {
  const auto found = std::ranges::find(names, value, &std::pair<T, std::string_view>::first);
  return found == names.end() ? "?" : found->second;
}

template <typename T, std::size_t N>
std::optional<T> value_in(const names_of<T, N>& names, std::string_view text) noexcept {
  const auto found = std::ranges::find(names, text, &std::pair<T, std::string_view>::second);
  return found == names.end() ? std::nullopt : std::optional(found->first);
}

using transition = std::pair<state, state>;

// Failure and cancellation are further down: they are the same for every state in which the old map rules.
constexpr std::array<transition, 17> cdc_forward{{
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

std::span<const transition> forward_of(strategy_kind strategy) noexcept {
  switch (strategy) {
    case strategy_kind::cdc: return cdc_forward;
  }
  return {};
}

bool may_pause(state s) noexcept {
  return s == state::copying || s == state::catching_up || s == state::verifying || s == state::ready;
}

}  // namespace

std::string_view to_string(state s) noexcept { return name_in(state_names, s); }
std::optional<state> parse_state(std::string_view text) noexcept { return value_in(state_names, text); }
std::string_view to_string(migration_kind kind) noexcept { return name_in(kind_names, kind); }
std::optional<migration_kind> parse_kind(std::string_view text) noexcept { return value_in(kind_names, text); }
std::string_view to_string(strategy_kind strategy) noexcept { return name_in(strategy_names, strategy); }
std::optional<strategy_kind> parse_strategy(std::string_view text) noexcept { return value_in(strategy_names, text); }
std::string_view to_string(transport_kind transport) noexcept { return name_in(transport_names, transport); }
std::optional<transport_kind> parse_transport(std::string_view text) noexcept { return value_in(transport_names, text); }

bool may_go(strategy_kind strategy, state from, state to) noexcept {
  if (from == to) return !is_final(from);  // a change of attempt, error or figures
  if (is_undoing(to)) return before_switch(from);
  if (to == state::paused) return may_pause(from);
  if (from == state::paused) return may_pause(to);
  const auto forward = forward_of(strategy);
  return std::ranges::find(forward, transition(from, to)) != forward.end();
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
