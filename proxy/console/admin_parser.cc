#include "proxy/console/admin_parser.h"

#include <algorithm>
#include <array>
#include <vector>

#include <fmt/format.h>

#include "proxy/console/admin_cursor.h"

namespace proxy {
namespace {

using migration::migration_verb;
using migration::request;

// The verb under the cursor and the word that must follow it.
void begin(admin_cursor& in, std::string command, std::string_view second_word) {
  in.command(std::move(command));
  in.take();
  in.expect_word(second_word);
}

// ---- pieces

template <typename Table>
void read_table(admin_cursor& in, Table& out) {
  out.table = in.expect_name("a table name");
  if (!in.take_symbol('.')) return;
  out.schema = std::move(out.table);
  out.table = in.expect_name("a table name after the schema");
}

std::pair<std::string, std::string> read_option(admin_cursor& in) {
  using token = admin_token::kind;
  std::string name = in.expect_name("an option name");
  in.expect_symbol('=');
  const auto type = in.now().type;
  if (type != token::string && type != token::number && type != token::word) in.fail(fmt::format("a value for {}", name));
  return {std::move(name), in.take()};
}

migration::option_list read_options(admin_cursor& in) {
  migration::option_list list;
  if (!in.take_word("with")) return list;
  in.expect_symbol('(');
  do {
    const auto position = in.now().position;
    auto option = read_option(in);
    const bool twice = std::ranges::any_of(list, [&](const auto& other) { return other.first == option.first; });
    if (twice) in.fail_at(position, fmt::format("option {} is given twice", option.first));
    list.push_back(std::move(option));
  } while (in.take_symbol(','));
  in.expect_symbol(')');
  return list;
}

routing::placement_range read_interval(admin_cursor& in) {
  routing::hash_bounds bounds;
  in.expect_symbol('[');
  if (!in.take_word("minvalue")) bounds.lower = in.expect_integer<std::int64_t>("a signed 64-bit number or MINVALUE");
  in.expect_symbol(',');
  const auto position = in.now().position;
  if (!in.take_word("maxvalue") && !in.now().is_symbol(')')) {
    bounds.upper = in.expect_integer<std::int64_t>("a signed 64-bit number, MAXVALUE or nothing");
  }
  const auto range = routing::range_of_hashes(bounds);
  if (range.empty()) in.fail_at(position, "the range is empty: its upper bound is not above its lower bound");
  if (!in.take_symbol(')')) in.fail("\")\" (the upper bound is not part of the range)");
  return range;
}

// ---- commands; the cursor stands on the verb

admin_command parse_show(admin_cursor& in) {
  struct shown {
    std::string_view word;
    std::variant<migration::shown, proxy_shown> what;
  };
  static constexpr auto all = std::to_array<shown>({{"SHARDS", migration::shown::shards},
                                                    {"RANGES", migration::shown::ranges},
                                                    {"TABLES", migration::shown::tables},
                                                    {"MIGRATIONS", migration::shown::migrations},
                                                    {"MIGRATION", migration::shown::migration},
                                                    {"ORPHANS", migration::shown::orphans},
                                                    {"SEQUENCES", migration::shown::sequences},
                                                    {"CATALOG", migration::shown::catalog},
                                                    {"PREPARED", migration::shown::prepared},
                                                    {"POOLS", proxy_shown::pools},
                                                    {"CLIENTS", proxy_shown::clients},
                                                    {"SERVERS", proxy_shown::servers},
                                                    {"STATS", proxy_shown::stats},
                                                    {"CONFIG", proxy_shown::config},
                                                    {"VERSION", proxy_shown::version},
                                                    {"HELP", proxy_shown::help}});
  in.take();
  const std::string word = in.now().type == admin_token::kind::word ? upper(in.now().text) : "";
  const auto found = std::ranges::find(all, word, &shown::word);
  if (found == all.end()) {
    std::vector<std::string_view> words;
    for (const auto& candidate : all) words.push_back(candidate.word);
    in.fail_unknown("SHOW ", words);
  }
  in.take();
  in.command(fmt::format("SHOW {}", word));
  if (const auto* own = std::get_if<proxy_shown>(&found->what)) return show_proxy{*own};
  migration::show asked{std::get<migration::shown>(found->what), 0};
  if (asked.what == migration::shown::migration) asked.id = in.expect_integer<std::uint64_t>("the number of a migration");
  return request{asked, false};
}

admin_command parse_add(admin_cursor& in) {
  begin(in, "ADD SHARD", "shard");
  migration::add_shard asked;
  asked.name = in.expect_name("a shard name");
  asked.dsn = in.expect_string("a connection string in single quotes");
  return request{asked, false};
}

admin_command parse_remove(admin_cursor& in) {
  begin(in, "REMOVE SHARD", "shard");
  return request{migration::remove_shard{in.expect_name("a shard name")}, false};
}

admin_command parse_distribute(admin_cursor& in) {
  begin(in, "DISTRIBUTE TABLE", "table");
  migration::distribute_table asked;
  read_table(in, asked);
  in.expect_word("by");
  asked.column = in.expect_name("a column name");
  if (in.take_word("in")) {
    in.expect_word("distribution");
    asked.distribution = in.expect_name("the name of a distribution");
  }
  asked.options = read_options(in);
  return request{asked, false};
}

admin_command parse_reference(admin_cursor& in) {
  begin(in, "REFERENCE TABLE", "table");
  migration::reference_table asked;
  read_table(in, asked);
  return request{asked, false};
}

template <bool On>
admin_command parse_guard(admin_cursor& in) {
  begin(in, fmt::format("{} TABLE", upper(in.now().text)), "table");
  migration::guard_table asked;
  asked.on = On;
  read_table(in, asked);
  return request{asked, false};
}

admin_command parse_align(admin_cursor& in) {
  begin(in, "ALIGN SEQUENCES", "sequences");
  in.expect_word("of");
  migration::align_table_sequences asked;
  read_table(in, asked);
  if (in.take_word("above")) asked.above = in.expect_integer<std::int64_t>("a signed 64-bit number");
  return request{asked, false};
}

admin_command parse_drain(admin_cursor& in) {
  begin(in, "DRAIN SHARD", "shard");
  migration::drain_shard asked;
  asked.shard = in.expect_name("a shard name");
  if (in.take_word("to")) {
    do {
      asked.targets.push_back(in.expect_name("a shard name"));
    } while (in.take_symbol(','));
  }
  asked.options = read_options(in);
  return request{asked, false};
}

admin_command parse_move(admin_cursor& in) {
  begin(in, "MOVE RANGE", "range");
  migration::move_range asked;
  asked.range = read_interval(in);
  in.expect_word("of");
  asked.distribution = in.expect_name("the name of a distribution");
  in.expect_word("to");
  asked.target = in.expect_name("a shard name");
  asked.options = read_options(in);
  return request{asked, false};
}

template <migration_verb Verb>
admin_command parse_alter(admin_cursor& in) {
  begin(in, fmt::format("{} MIGRATION", upper(in.now().text)), "migration");
  return request{migration::alter_migration{Verb, in.expect_integer<std::uint64_t>("the number of a migration"), {}}, false};
}

template <>
admin_command parse_alter<migration_verb::resume>(admin_cursor& in) {
  begin(in, "RESUME MIGRATION", "migration");
  migration::alter_migration asked{migration_verb::resume, in.expect_integer<std::uint64_t>("the number of a migration"), {}};
  if (in.take_word("accept")) {
    in.expect_word("target");
    asked.decided = migration::decision::accept_target;
  } else if (in.take_word("keep")) {
    in.expect_word("source");
    asked.decided = migration::decision::keep_source;
  }
  return request{asked, false};
}

// PgBouncer's: PAUSE shop is about a database, PAUSE MIGRATION 7 about a migration.
template <pool_command What>
admin_command parse_pool_verb(admin_cursor& in) {
  pool_verb asked{What, "", upper(in.now().text)};
  in.command(asked.tag);
  in.take();
  const bool end = in.at_end() || in.now().is_symbol(';');
  if (!end || What == pool_command::kill) asked.database = in.expect_name("the name of a database");
  return asked;
}

template <pool_command What, migration_verb Verb>
admin_command parse_either(admin_cursor& in) {
  auto ahead = in;
  ahead.take();
  return ahead.now().is_word("migration") ? parse_alter<Verb>(in) : parse_pool_verb<What>(in);
}

template <process_verb What>
admin_command parse_process_verb(admin_cursor& in) {
  in.command(upper(in.now().text));
  in.take();
  return What;
}

void take_rest(admin_cursor& in) {
  while (!in.at_end() && !in.now().is_symbol(';')) in.take();
}

struct quiet_word {
  std::string_view word, tag;
};
constexpr auto quiet_words = std::to_array<quiet_word>({{"BEGIN", "BEGIN"}, {"START", "START TRANSACTION"}, {"COMMIT", "COMMIT"}, {"END", "COMMIT"},
                                                        {"ROLLBACK", "ROLLBACK"}, {"ABORT", "ROLLBACK"}, {"RESET", "RESET"}, {"DISCARD", "DISCARD"},
                                                        {"DEALLOCATE", "DEALLOCATE"}});

admin_command parse_quiet(admin_cursor& in) {
  const auto found = std::ranges::find(quiet_words, upper(in.now().text), &quiet_word::word);
  take_rest(in);
  return accept_quietly{std::string(found->tag)};
}

admin_command parse_help(admin_cursor& in) {
  in.command("HELP");
  in.take();
  return show_proxy{proxy_shown::help};
}

// Drivers say on connect what they can read, and in which transactions; the console needs none of it.
admin_command parse_set(admin_cursor& in) {
  static constexpr auto harmless = std::to_array<std::string_view>(
      {"application_name", "bytea_output", "characteristics", "client_encoding", "client_min_messages", "datestyle", "extra_float_digits", "intervalstyle", "lock_timeout",
       "names", "search_path", "standard_conforming_strings", "statement_timeout", "time", "timezone", "transaction"});
  in.take();
  if (!in.take_word("session")) in.take_word("local");
  if (std::ranges::find(harmless, in.now().is_name() ? in.now().text : "") == harmless.end()) {
    refuse_syntax(in.now().position, fmt::format("the console has no setting {}", in.now().shown()),
                  "Settings are changed in the configuration file; SHOW CONFIG shows them.");
  }
  accept_setting accepted{in.take()};
  take_rest(in);
  return accepted;
}

#ifdef PGROTOR_TEST_HOOKS
admin_command parse_test(admin_cursor& in) {
  in.take();
  test_command asked;
  asked.verb = in.expect_name("STOP, RELEASE, WAIT, KILL, BREAK or MEND");
  asked.name = in.expect_string("the name of a stop point or rule in single quotes");
  return asked;
}
#endif

admin_command parse_explain(admin_cursor&);

struct verb {
  std::string_view word;
  admin_command (*parse)(admin_cursor&);
};
constexpr auto verbs = std::to_array<verb>({{"SHOW", parse_show},
                                            {"HELP", parse_help},
                                            {"ADD", parse_add},
                                            {"REMOVE", parse_remove},
                                            {"DISTRIBUTE", parse_distribute},
                                            {"REFERENCE", parse_reference},
                                            {"GUARD", parse_guard<true>},
                                            {"UNGUARD", parse_guard<false>},
                                            {"ALIGN", parse_align},
                                            {"DRAIN", parse_drain},
                                            {"MOVE", parse_move},
                                            {"PAUSE", parse_either<pool_command::pause, migration_verb::pause>},
                                            {"RESUME", parse_either<pool_command::resume, migration_verb::resume>},
                                            {"RECONNECT", parse_pool_verb<pool_command::reconnect>},
                                            {"KILL", parse_pool_verb<pool_command::kill>},
                                            {"RELOAD", parse_process_verb<process_verb::reload>},
                                            {"SHUTDOWN", parse_process_verb<process_verb::shutdown>},
                                            {"CANCEL", parse_alter<migration_verb::cancel>},
                                            {"CUTOVER", parse_alter<migration_verb::cutover>},
                                            {"RETRY", parse_alter<migration_verb::retry>},
                                            {"EXPLAIN", parse_explain},
#ifdef PGROTOR_TEST_HOOKS
                                            {"TEST", parse_test},
#endif
                                            {"SET", parse_set}});

admin_command parse_command(admin_cursor& in) {
  const std::string word = in.now().type == admin_token::kind::word ? upper(in.now().text) : "";
  const auto found = std::ranges::find(verbs, word, &verb::word);
  if (found != verbs.end()) return found->parse(in);
  if (std::ranges::find(quiet_words, word, &quiet_word::word) != quiet_words.end()) return parse_quiet(in);
  std::vector<std::string_view> words;
  for (const auto& candidate : verbs) words.push_back(candidate.word);
  in.fail_unknown("", words);
}

admin_command parse_explain(admin_cursor& in) {
  in.command("EXPLAIN");
  in.take();
  if (in.at_end()) in.fail("ROUTE or a command");
  if (in.now().is_word("route")) {
    explain_route asked{std::string(in.take_rest())};
    if (asked.sql.find_first_not_of(" \t\r\n;") == std::string::npos) in.command("EXPLAIN ROUTE"), in.fail("a statement");
    return asked;
  }
  const std::size_t position = in.now().position;
  std::optional<admin_command> command;
  if (!in.now().is_word("explain")) command = parse_command(in);
  auto* asked = command ? std::get_if<request>(&*command) : nullptr;
  if (asked == nullptr || std::holds_alternative<migration::show>(asked->command)) {
    in.command("EXPLAIN");
    in.fail_at(position, "EXPLAIN takes ROUTE or a command that changes something");
  }
  asked->explain = true;
  return std::move(*command);
}

}  // namespace

admin_command parse_admin(std::string_view sql) {
  admin_cursor in(sql);
  while (in.take_symbol(';')) continue;
  if (in.at_end()) return no_command{};
  admin_command command = parse_command(in);
  in.expect_end();
  return command;
}

}  // namespace proxy
