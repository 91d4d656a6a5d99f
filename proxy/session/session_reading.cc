// Settings that decide how the bytes of a statement are read. SET, a function, DO or CALL may change them, and PostgreSQL reports that with
// ReadyForQuery only: what follows in the same pipeline is parsed by it under values that nobody knows here. Where that could make another
// key of what the statement gives, it is refused. Declared in proxy/session/session.h.
#include <algorithm>

#include "proxy/session/session.h"
#include "routing/analysis/fixed_settings.h"
#include "routing/text/escapes.h"

namespace proxy {

// Texts are analysed as if standard_conforming_strings were on. Valid until the next call.
std::string_view session::as_read(std::string_view sql) {
  if (!state_.escapes) return sql;
  return state_.standard_text = routing::without_escapes(sql);
}

// As a server reads it that has the client's settings of now. Valid until the next call.
std::string_view session::text_of(const prepared_statement& statement) {
  if (statement.escapes == state_.escapes) return statement.sql;
  return state_.standard_text = statement.escapes ? statement.standard_sql() : routing::with_escapes(statement.sql);
}

// What of it is not as in a server that has just started, with the values that matter.
text_pairs session::reading() const {
  text_pairs all;
  if (state_.escapes) all.push_back(prepared_statement::escapes_on);
  if (state_.recodes) all.emplace_back("client_encoding", *state_.told->find("client_encoding"));
  return all;
}

protocol::notice session::misread() const {
  if (state_.recodes)
    return make_error(sqlstate::feature_not_supported, "names and shard keys beyond ASCII need the server's client_encoding",
                      "They are compared by their bytes in the server's encoding.", "SET client_encoding to that of the server.");
  return make_error(sqlstate::not_one_shard, "cannot tell how the shard key is read behind code that may change settings",
                    "The statement has a backslash in a string, or its key has a character beyond ASCII, and in front of it in the pipeline runs "
                    "what may set client_encoding or standard_conforming_strings.",
                    "Send Sync between the two.");
}

// By a search_path that code has set.
void session::end_if_misled() {
  const auto* path = state_.wanted ? state_.wanted->find("search_path") : nullptr;
  const auto why = path ? routing::misleading_value("search_path", *path) : std::nullopt;
  if (why) fatal(as_notice(*why));
}

bool session::changes_reading(const routing::statement_plan& plan) const {
  const auto of = [](const routing::session_effects& effects) { return effects.unknown_calls || (effects.makes & state::anything) != 0; };
  const auto prepared = plan.execute ? find_sql(plan.execute->name) : nullptr;
  const bool undoes = ends_transaction(plan.kind) || plan.kind == routing::statement_kind::rollback_to;
  if (plan.effects.sets_reading || (undoes && here_.reported_before) || (state_.escapes && plan.kind == routing::statement_kind::discard_all)) return true;
  return of(plan.effects) || (prepared && of(prepared->inner->effects));
}

bool session::may_be_misread(const choice& c, const routing::statement_plan& plan, std::string_view sql) {
  if (state_.recodes && !w_.map->distributions().empty() && !(routing::has_ascii_names(sql) && has_ascii_keys(plan, sql))) return true;
  if ((!c.misreads && !c.writes) || reads_alike(plan, sql)) return false;
  if (c.misreads) return true;
  const auto* where = pool_for(c.shard.value_or(w_.map->default_shard()));
  return where && where->triggers_make_state();
}

// Is it the same statement with the same key whatever these settings are? Without a backslash literals are, and in ASCII characters are.
bool session::reads_alike(const routing::statement_plan& plan, std::string_view sql) const {
  if (w_.map->distributions().empty()) return true;
  if (!routing::means_one_thing(sql)) return false;
  return has_ascii_keys(plan, sql);
}

bool session::has_ascii_keys(const routing::statement_plan& plan, std::string_view sql) const {
  if (plan.execute) return routing::is_ascii(sql);
  if (plan.prepare) return has_ascii_keys(*plan.prepare->inner, sql);
  return std::all_of(plan.keys.begin(), plan.keys.end(), [this](const routing::key_source& key) {
    if (const auto* literal = std::get_if<std::string>(&key.value)) return routing::is_ascii(*literal);
    const auto index = std::get<std::size_t>(key.value);
    const auto* distribution = w_.map->find_distribution(key.distribution);
    const bool text = distribution && (distribution->type == routing::key_type::text || distribution->type == routing::key_type::bpchar);
    return !text || index >= literals_.size() || !literals_[index].value || routing::is_ascii(*literals_[index].value);
  });
}

}  // namespace proxy
