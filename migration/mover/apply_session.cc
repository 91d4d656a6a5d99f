#include "migration/mover/apply_session.h"

#include <algorithm>
#include <stdexcept>

#include <fmt/format.h>

#include "migration/shard/sql_text.h"

namespace migration {

namespace pgoutput = protocol::pgoutput;

namespace {

constexpr milliseconds apply_budget{120'000};

[[noreturn]] void fail_unchanged_toast(const table_plan& table, const pgoutput::tuple& row, std::size_t column) {
  throw std::runtime_error(fmt::format(
      "{}: the row changed its key or entered the moving placements, but the source did not log the unchanged value of column {}, which "
      "is stored out of line; run ALTER TABLE {} REPLICA IDENTITY FULL on the source and start the migration again",
      describe_row(table, row), pg::quote_ident(table.table().columns[column].name), table.name()));
}

}  // namespace

task<void> apply_session::open() {
  auto options = context_.settings.target;
  options.application_name = session_name("apply", context_.settings.migration, options.application_name);
  const auto executor = co_await boost::asio::this_coro::executor;
  target_ = co_await pg::connection::open(executor, std::move(options));
  co_await target_->query(set_replication_role(*target_, "replica") +
                          "; SET jit = off; SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET enable_bitmapscan = off");
  const auto sql = fmt::format("SELECT pg_catalog.pg_replication_origin_session_setup({})", pg::quote_literal(context_.settings.names.origin));
  const auto until = clock::now() + predecessor_budget;
  for (bool taken = false; !taken;) {
    try {
      co_await target_->query(sql);
      taken = true;
    } catch (const pg::sql_error& error) {
      if (error.sqlstate != "55006" || clock::now() > until) throw;  // "already active for PID"
    }
    if (!taken) co_await context_.work.wait(clock::now() + retry_pause);
  }
}

task<protocol::lsn> apply_session::read_progress() {
  const auto found = co_await target_->query("SELECT coalesce(pg_catalog.pg_replication_origin_session_progress(true), '0/0')");
  co_return protocol::parse_lsn(found.get(0, 0)).value();
}

task<protocol::lsn> apply_session::read_hold_floor() {
  const auto found = co_await target_->query(
      fmt::format("SELECT coalesce((SELECT hold_floor FROM pgrotor.progress WHERE migration = {}), '0/0')", context_.settings.migration));
  co_return protocol::parse_lsn(found.get(0, 0)).value();
}

task<void> apply_session::commit(protocol::lsn position, std::int64_t commit_time) {
  const bool to_check = std::any_of(queued_.begin(), queued_.end(), [](const auto& statement) { return statement.one_row; });
  if (to_check) co_await verify();
  queue_plain(origin_setup(position, commit_time));
  queue_plain("COMMIT");
  co_await verify();
  in_transaction_ = false;
  if (PQpipelineStatus(target_->native()) != PQ_PIPELINE_OFF) target_->pipeline_end();
}

std::string apply_session::origin_setup(protocol::lsn position, std::int64_t commit_time) const {
  return fmt::format(
      "SELECT pg_catalog.pg_replication_origin_xact_setup('{}', timestamptz '2000-01-01 00:00:00+00' + interval '1 microsecond' * {})",
      protocol::to_string(position), commit_time);
}

void apply_session::queue_plain(const std::string& sql) {
  if (PQpipelineStatus(target_->native()) == PQ_PIPELINE_OFF) target_->pipeline_begin();
  target_->queue_query(sql);
  queued_statement made;
  made.verb = "transaction control";
  queued_.push_back(std::move(made));
}

void apply_session::add_value(std::vector<pg::binary_param>& out, const pgoutput::value& value) {
  pg::binary_param param;
  if (value.kind == pgoutput::value_kind::binary) {
    param.value = value.data;
  } else if (value.kind == pgoutput::value_kind::text) {
    param.value = texts_.emplace_back(value.data);
    param.binary = false;
  }
  out.push_back(param);
}

void apply_session::add_key(std::vector<pg::binary_param>& out, const table_plan& table, const pgoutput::tuple& row) {
  for (const auto index : table.table().primary_key) add_value(out, row[index]);
}

void apply_session::execute(const std::string& name, const std::function<std::string()>& sql, std::span<const pg::binary_param> params,
                            queued_statement statement) {
  if (!in_transaction_) {
    queue_plain("BEGIN");
    in_transaction_ = true;
  }
  if (PQpipelineStatus(target_->native()) == PQ_PIPELINE_OFF) target_->pipeline_begin();
  if (!prepared_.contains(name)) {
    target_->queue_prepare(name, sql());
    prepared_.insert(name);
    queued_statement prepare;
    prepare.table = statement.table;
    prepare.verb = "prepare";
    queued_.push_back(std::move(prepare));
  }
  target_->queue_execute(name, params);
  texts_.clear();
  queued_bytes_ += statement.message.size();
  queued_.push_back(std::move(statement));
}

void apply_session::queue(const row_change& change, change_part part, std::string message) {
  switch (part) {
    case change_part::whole: return queue_update(change, std::move(message));
    case change_part::delete_old: return queue_delete(change, std::move(message));
    case change_part::insert_new: return queue_insert(change, std::move(message));
  }
}

void apply_session::queue_insert(const row_change& change, std::string message) {
  const auto& table = context_.tables[change.table];
  std::vector<pg::binary_param> params;
  for (std::size_t i = 0; i < change.new_row.size(); ++i) {
    if (change.new_row[i].kind == pgoutput::value_kind::unchanged_toast) fail_unchanged_toast(table, change.new_row, i);
    add_value(params, change.new_row[i]);
  }
  queued_statement made{change.table, false, "INSERT", change_part::insert_new, std::move(message)};
  execute(fmt::format("i{}", change.table), [&] { return table.insert_sql(); }, params, std::move(made));
}

void apply_session::queue_delete(const row_change& change, std::string message) {
  const auto& table = context_.tables[change.table];
  std::vector<pg::binary_param> params;
  add_key(params, table, change.old_row);
  queued_statement made{change.table, true, "DELETE", change_part::delete_old, std::move(message)};
  execute(fmt::format("d{}", change.table), [&] { return table.delete_sql(); }, params, std::move(made));
}

// Sets what was sent. An identity column GENERATED ALWAYS cannot be set: as part of a changed key the row is replaced instead, else it
// must be as it was.
void apply_session::queue_update(const row_change& change, std::string message) {
  const auto& table = context_.tables[change.table];
  std::vector<std::size_t> set, unchanged;
  for (std::size_t i = 0; i < change.new_row.size(); ++i) {
    const bool key = table.in_primary_key(i), fixed = table.always_identity[i];
    if (key && fixed && change.moved) {
      queue_delete(change, message);
      return queue_insert(change, std::move(message));
    }
    if (change.new_row[i].kind == pgoutput::value_kind::unchanged_toast || (key && !change.moved)) continue;
    (fixed ? unchanged : set).push_back(i);
  }
  if (set.empty()) return;
  std::vector<pg::binary_param> params;
  std::string name = fmt::format("u{}", change.table);
  for (const auto i : set) {
    add_value(params, change.new_row[i]);
    name += fmt::format("_{}", i);
  }
  add_key(params, table, change.old_row);
  for (const auto i : unchanged) add_value(params, change.new_row[i]);
  queued_statement made{change.table, true, "UPDATE", change_part::whole, std::move(message)};
  execute(name, [&] { return table.update_sql(set, unchanged); }, params, std::move(made));
}

task<void> apply_session::verify() {
  if (queued_.empty()) co_return;
  target_->queue_sync();
  std::size_t done = 0;
  const queued_statement* missed = nullptr;
  std::uint64_t affected = 0;
  const auto look = [&](std::size_t index, const pg::result& result) {
    done = index + 1;
    if (missed || !queued_[index].one_row || result.affected() == 1) return;
    missed = &queued_[index];
    affected = result.affected();
  };
  std::function<void(std::size_t, const pg::result&)> each = look;
  try {
    co_await target_->collect(std::move(each), apply_budget);
  } catch (const pg::sql_error& error) {
    if (done >= queued_.size()) throw;
    throw pg::sql_error(error.where, error.sqlstate, describe(queued_[done]) + ": " + error.message, error.detail, error.hint,
                        error.connection_lost);
  }
  if (missed)
    throw std::runtime_error(fmt::format("{}: {} met {} rows instead of one: source and target disagree", target_->where(), describe(*missed),
                                         affected));
  queued_.clear();
  queued_bytes_ = 0;
}

std::string apply_session::describe(const queued_statement& statement) const {
  const auto change = protocol::pgoutput::decode(statement.message);
  if (!change) return statement.verb;
  const pgoutput::tuple* row = nullptr;
  if (const auto* insert = std::get_if<pgoutput::insert>(&*change)) row = &insert->new_row;
  if (const auto* gone = std::get_if<pgoutput::delete_>(&*change)) row = &gone->old_row;
  if (const auto* update = std::get_if<pgoutput::update>(&*change)) {
    const bool old_key = update->old_kind != 0 && statement.part != change_part::insert_new;
    row = old_key ? &update->old_row : &update->new_row;
  }
  const auto& table = context_.tables[statement.table];
  return fmt::format("{} of {}", statement.verb, row ? describe_row(table, *row) : table.name());
}

}  // namespace migration
