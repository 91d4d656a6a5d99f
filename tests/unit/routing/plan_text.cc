#include "plan_text.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "routing/analysis/analyzer.h"
#include "sample_map.h"

namespace sample {
namespace {

using namespace routing;

std::string_view name(statement_kind kind) {
  switch (kind) {
    case statement_kind::query: return "";
    case statement_kind::begin: return "begin ";
    case statement_kind::commit: return "commit ";
    case statement_kind::rollback: return "rollback ";
    case statement_kind::savepoint: return "savepoint ";
    case statement_kind::release: return "release ";
    case statement_kind::rollback_to: return "rollback_to ";
    case statement_kind::prepare_transaction: return "prepare_transaction ";
    case statement_kind::finish_prepared: return "finish_prepared ";
    case statement_kind::set_local: return "set_local ";
    case statement_kind::discard_all: return "discard_all ";
    case statement_kind::deallocate_all: return "deallocate_all ";
    case statement_kind::copy_in: return "copy_in ";
    case statement_kind::copy_out: return "copy_out ";
    case statement_kind::empty: return "empty ";
  }
  return "?";
}

std::string describe(const key_source& k) {
  const auto dist = map()->find_distribution(k.distribution)->name;
  const auto* literal = std::get_if<std::string>(&k.value);
  const auto value = literal ? *literal : fmt::format("${}", std::get<std::size_t>(k.value) + 1);
  return fmt::format(" {}:{}{}{}{}{}{}", dist, k.negated ? "-" : "", value, k.array ? "[]" : "", k.inferred_elsewhere ? " inferred" : "",
                     k.stored_varchar ? " stored" : "", k.assigned ? " assigned" : "");
}

std::string bits(state_bits set) {
  constexpr std::string_view names[] = {"settings", "temp", "locks", "cursors", "listen", "statements", "sequences", "seed", "load", "dblink", "anything",
                                        "session", "origin", "slots", "backup"};
  std::string text;
  for (std::size_t i = 0; i < std::size(names); ++i)
    if ((set >> i & 1) != 0) text += (text.empty() ? "" : ",") + std::string(names[i]);
  return text;
}

// What may be left on the server, then what may be gone: " +temp", " +settings(work_mem) reset", " -listen".
std::string describe(const session_effects& e) {
  std::string text;
  if (e.makes != 0) text += " +" + bits(e.makes);
  if (!e.settings.empty()) {
    text += "(";
    for (const auto& s : e.settings) {
      const auto* name = std::get_if<std::string>(&s);
      text += (text.back() == '(' ? "" : ",") + (name ? *name : fmt::format("${}", std::get<std::size_t>(s) + 1));
    }
    text += ")";
  }
  if (e.resets) text += " reset";
  if (e.ends != 0) text += " -" + bits(e.ends);
  if (e.sets_reading) text += " reading";
  return text;
}

std::string describe(const statement_plan& p) {
  if (p.destination == destination_kind::refused) return p.refused->sqlstate;
  std::string text(name(p.kind));
  text += p.destination == destination_kind::any ? "any" : p.destination == destination_kind::default_shard ? "default" : "key";
  if (!p.home_effect.empty()) text += fmt::format(" home({})", p.home_effect);
  for (const auto& k : p.keys) text += describe(k);
  if (p.plain_read) text += " plain";
  if (p.row_locks) text += " locks";
  if (p.chain) text += " chain";
  if (p.imports_snapshot) text += " snapshot";
  if (!p.gid.empty()) text += fmt::format(" gid({})", p.gid);
  text += describe(p.effects);
  if (p.prepare) text += fmt::format(" prepare({}: {})", p.prepare->name, describe(*p.prepare->inner));
  if (p.execute) text += fmt::format(" execute({})", p.execute->name);
  if (!p.deallocate.empty()) text += fmt::format(" deallocate({})", p.deallocate);
  return text;
}

}  // namespace

std::string describe(const text_plan& plan) {
  std::string text;
  for (const auto& s : plan.statements) text += (text.empty() ? "" : "; ") + describe(s);
  return text;
}

std::string analysed(std::string_view sql) { return describe(analyze(sql, *map())); }

void check(std::span<const row> rows) {
  const auto shared = map();
  for (const auto& row : rows) {
    CAPTURE(row.sql);
    const auto plan = analyze(row.sql, *shared);
    CHECK(describe(plan) == row.expected);
    if (row.mentions.empty()) continue;
    const auto& why = plan.statements.front().refused;
    REQUIRE(why.has_value());
    const std::string all = why->message + "\n" + why->detail + "\n" + why->hint;
    CAPTURE(all);
    CHECK(all.find(row.mentions) != std::string::npos);
  }
}

}  // namespace sample
