#include "migration/shard/equal_shards.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "migration/base/sql.h"
#include "migration/plan/answer_settings.h"
#include "migration/shard/sql_text.h"
#include "protocol/sqlstate.h"

namespace migration {
namespace {

namespace sqlstate = protocol::sqlstate;

enum class weight {
  refuse,   // statements answer differently, or rows change
  sorting,  // the same, where columns sort by it
  tell,     // the DBA should know
};

struct rule {
  std::string_view kind;
  weight how;
  std::string_view what;  // "shard s1: {} than on shard s2: …"
  std::string_view detail, hint;
  std::string_view named = {};  // in words for what is missing; none: that is told by another rule
};
constexpr rule rules[] = {
    {"encoding", weight::refuse, "another encoding", "Text is hashed in the server's encoding, so the two would place one key differently.",
     "Create the database with the same ENCODING."},
    {"locale", weight::sorting, "another locale of the database", "Text sorts and compares by it.", "Create the database with the same locale."},
    {"locale version", weight::tell, "another version of the locale of the database", "Text may sort differently by key.",
     "Bring the operating systems to one version of libc or ICU."},
    {"collation", weight::refuse, "other collations", "Columns of distributed tables sort by them.", "Create them alike.", "collations"},
    {"collation version", weight::tell, "other versions of collations", "Text may sort differently by key.",
     "Bring the operating systems to one version of libc or ICU."},
    {"type", weight::refuse, "other types", "Columns of distributed tables have them.", "Make the types alike.", "types"},
    {"type oid", weight::tell, "other OIDs of types",
     "They are not translated: a driver that looks an OID up once and sends it with parameters gets XX000 for keys of one of the shards, and takes values of"
     " these types in its results for text.",
     "Send such parameters without a type, or as text with a cast; or make the types in the same order in databases that are made alike."},
    {"extension", weight::tell, "other extensions", "Functions, operators and types of extensions may answer differently by key.",
     "Bring them to one version with ALTER EXTENSION ... UPDATE.", "extensions"},
    {"text search", weight::tell, "other text search configurations", "to_tsvector and to_tsquery may answer differently by key.", "Make them alike.",
     "text search configurations"},
    {"version", weight::tell, "another major version of PostgreSQL", "Statements may answer differently by key where versions do.",
     "Upgrade the older one when you can."},
    {"setting", weight::tell, "other settings", "Clients of pgrotor are given those of the default shard; those who connect to a shard get its own.",
     "Make the two alike with ALTER DATABASE, ALTER ROLE or ALTER SYSTEM."},
};

std::map<std::string, std::string> of_kind(const shard_facts& facts, std::string_view kind) {
  std::map<std::string, std::string> found;
  for (const auto& fact : facts)
    if (fact.kind == kind) found[fact.name] = fact.value;
  return found;
}

std::string difference(const std::string& name, const std::string& here, const std::string& there) {
  return fmt::format("{}{}{} instead of {}", name, name.empty() ? "" : " ", here, there);
}

// Its name in the facts may have the role and the database behind it.
bool is_of_superusers(const std::string& name) {
  const auto first = name.substr(0, name.find(' '));
  return std::ranges::find(settings_of_superusers, first) != std::end(settings_of_superusers);
}

struct shard_differences {
  std::vector<std::string> unlike, missing;
};

// Both ways for settings, which a shard may have in excess of the other.
shard_differences differing(const rule& r, const shard_facts& of_standard, const shard_facts& of_other, bool superusers_only) {
  shard_differences found;
  const auto standard = of_kind(of_standard, r.kind), other = of_kind(of_other, r.kind);
  const auto wanted = [&](const std::string& name) { return r.kind != "setting" || is_of_superusers(name) == superusers_only; };
  for (const auto& [name, value] : standard) {
    if (!wanted(name)) continue;
    const auto here = other.find(name);
    if (here == other.end() && r.kind != "setting") found.missing.push_back(name);
    else if (here == other.end()) found.unlike.push_back(difference(name, "none", value));
    else if (here->second != value) found.unlike.push_back(difference(name, here->second, value));
  }
  for (const auto& [name, value] : other)
    if (r.kind == "setting" && wanted(name) && !standard.contains(name)) found.unlike.push_back(difference(name, value, "none"));
  return found;
}

constexpr std::size_t most_named = 20;

std::string listed(std::vector<std::string> found) {
  const auto all = found.size();
  if (all > most_named) found.resize(most_named);
  const auto more = all > most_named ? fmt::format(" and {} more", all - most_named) : std::string();
  return fmt::format("{}{}", fmt::join(found, "; "), more);
}

void note(problems& where, const rule& r, const std::string& standard, const std::string& other, std::vector<std::string> unlike) {
  if (unlike.empty()) return;
  where.add(sqlstate::wrong_state, fmt::format("{} has {} than {}: {}", other, r.what, standard, listed(std::move(unlike))), std::string(r.detail),
            std::string(r.hint));
}

// What is not there cannot answer differently.
void note_missing(problems& told, const rule& r, const std::string& standard, const std::string& other, std::vector<std::string> missing) {
  if (missing.empty() || r.named.empty()) return;
  told.add(sqlstate::undefined_object, fmt::format("{} lacks {} of {}: {}", other, r.named, standard, listed(std::move(missing))), "",
           "Create them there before anything that needs them moves.");
}

// What the tables use: kind and name.
task<shard_facts> used_by(pg::connection& shard, std::vector<std::string> tables) {
  std::string list;
  for (const auto& table : tables) list += (list.empty() ? "" : ", ") + pg::quote_literal(table);
  const auto rows = co_await shard.query(replaced(std::string(sql::used_by_tables), "$tables", list));
  shard_facts used;
  for (int row = 0; row < rows.rows(); ++row) used.push_back({rows.str(row, 0), rows.str(row, 1), {}});
  co_return used;
}

std::string names_of(const shard_facts& used, std::string_view kind) {
  std::string list;
  for (const auto& one : used)
    if (one.kind == kind) list += (list.empty() ? "" : ", ") + pg::quote_literal(one.name);
  return list;
}

task<shard_facts> facts_of(pg::connection& shard, shard_facts used) {
  std::string settings;
  for (const auto name : settings_of_answers) settings += (settings.empty() ? "" : ", ") + pg::quote_literal(name);
  std::string sql(sql::facts_of_shard);
  const bool knows_version = shard.server_version() >= 150'000;
  for (const auto& [mark, list] : {std::pair<std::string_view, std::string>("$types", names_of(used, "type")), {"$collations", names_of(used, "collation")}, {"$settings", settings},
                                   {"$locale_version", knows_version ? "coalesce(pg_database_collation_actual_version(oid), 'none')" : "NULL::text"}})
    sql = replaced(std::move(sql), mark, list);
  const auto rows = co_await shard.query(std::move(sql));
  shard_facts facts;
  for (int row = 0; row < rows.rows(); ++row) facts.push_back({rows.str(row, 0), rows.str(row, 1), rows.str(row, 2)});
  co_return facts;
}

}  // namespace

void compare_facts(const std::string& standard, const shard_facts& of_standard, const std::string& other, const shard_facts& of_other, bool sorts,
                   problems& refused, problems& told) {
  for (const auto& r : rules) {
    const bool refuses = r.how == weight::refuse || (r.how == weight::sorting && sorts);
    auto found = differing(r, of_standard, of_other, false);
    note(refuses ? refused : told, r, standard, other, std::move(found.unlike));
    note_missing(told, r, standard, other, std::move(found.missing));
    if (r.kind != "setting") continue;
    auto kept = r;
    kept.detail = "Nobody but a superuser may be given the default shard's: statements of such users would be refused on this shard.";
    note(refused, kept, standard, other, differing(r, of_standard, of_other, true).unlike);
  }
}

task<void> compare_shards(std::vector<pg::connection*> shards, std::vector<std::string> tables, problems& refused, problems& told) {
  if (shards.size() < 2) co_return;
  const auto used = co_await used_by(*shards.front(), std::move(tables));
  const bool sorts = std::ranges::any_of(used, [](const shard_fact& one) { return one.kind == "default collation"; });
  const auto standard = co_await facts_of(*shards.front(), used);
  for (std::size_t i = 1; i < shards.size(); ++i) {
    const auto facts = co_await facts_of(*shards[i], used);
    compare_facts(shards.front()->where(), standard, shards[i]->where(), facts, sorts, refused, told);
  }
}

}  // namespace migration
