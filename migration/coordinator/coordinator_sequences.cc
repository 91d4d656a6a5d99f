// SHOW SEQUENCES, ALIGN SEQUENCES, and the stride that DISTRIBUTE TABLE gives to sequences (sequences.cc, sql/sequences.sql).
#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "migration/base/refused.h"
#include "migration/coordinator/coordinator_impl.h"
#include "migration/pg/relations.h"
#include "migration/plan/columns.h"
#include "migration/shard/prepare.h"
#include "protocol/sqlstate.h"

namespace migration {
namespace {

std::string relation_of(const routing::table& table) {
  return "ARRAY[" + pg::quote_literal(pg::quote_ident(table.schema, table.name)) + "::pg_catalog.regclass]";
}

constexpr std::int64_t least_room = 10'000;  // values; as pgrotor.stride_sequence

struct found_sequence {
  std::string column, name;
  std::int64_t last = 0, left = 0, most = 0;
};

task<std::vector<found_sequence>> sequences_on(pg::connection& shard, const routing::table& table) {
  std::vector<found_sequence> out;
  const auto rows = co_await shard.query(
      "SELECT u.column_name, u.sequence::text, l.last, q.seqmax / q.seqincrement - l.last / q.seqincrement, q.seqmax FROM pgrotor.sequences_of(" + relation_of(table) +
      ") u JOIN pg_catalog.pg_sequence q ON q.seqrelid = u.sequence, coalesce(pg_catalog.pg_sequence_last_value(q.seqrelid),"
      " q.seqstart - q.seqincrement) l(last) ORDER BY 1, 2");
  for (int row = 0; row < rows.rows(); ++row) out.push_back({rows.str(row, 0), rows.str(row, 1), rows.integer(row, 2), rows.integer(row, 3), rows.integer(row, 4)});
  co_return out;
}

}  // namespace

task<std::vector<std::string>> coordinator::impl::stride_new_table(const routing::table& table) {
  std::map<std::string, std::int64_t> highest, room;  // by column: over all shards, given so far and left
  const auto map = engine.map();
  for (const auto& shard : map->shards()) {
    const auto connection = co_await engine.connect(shard.id);
    const auto found = co_await sequences_on(*connection, table);
    for (const auto& each : found) highest[each.column] = std::max(highest[each.column], each.last);
  }
  for (const auto& shard : map->shards()) {
    const auto connection = co_await engine.connect(shard.id);
    const auto found = co_await sequences_on(*connection, table);
    for (const auto& each : found) {
      const auto base = highest[each.column];
      co_await give_stride(*connection, each.name, shard.id, base);
    }
    const auto now = co_await sequences_on(*connection, table);
    for (const auto& each : now) {
      const auto at = room.try_emplace(each.column, each.left).first;
      at->second = std::min(at->second, each.left);
    }
  }
  std::vector<std::string> out;
  for (const auto& [column, left] : room) {
    out.push_back(fmt::format("column {}: each shard now gives out every {}th value of its sequence, so that no two give the same one; {} are left",
                              column, sequence_stride, left));
  }
  co_return out;
}

namespace {

// Before any of them is touched.
void demand_room(const std::vector<found_sequence>& found, const std::map<std::string, std::int64_t>& base) {
  for (const auto& each : found) {
    const auto left = each.most / sequence_stride - base.at(each.column) / sequence_stride;  // not of their difference: it may be out of range
    if (left >= least_room) continue;
    refuse(protocol::sqlstate::feature_not_supported, fmt::format("sequence {} has room for {} values only above {}", each.name, std::max<std::int64_t>(0, left), base.at(each.column)),
           fmt::format("Each shard gives out every {}th value, so that no two give the same one; it ends at {}.", sequence_stride, each.most),
           fmt::format("Make column and sequence bigint on every shard: ALTER SEQUENCE {} AS bigint;", each.name));
  }
}

}  // namespace

// One that was set to what is another shard's may have given out values that the other one has still to come to: all of them go on above the
// highest.
task<answer> coordinator::impl::do_align(align_table_sequences wanted, bool explain) {
  const auto map = engine.map();
  const auto& table = distributed_table(*map, wanted.schema, wanted.table, "Others have their sequences on the default shard only.");
  std::map<std::string, std::int64_t> base;  // by column
  std::vector<std::vector<found_sequence>> found;
  for (const auto& shard : map->shards()) {
    const auto connection = co_await engine.connect(shard.id);
    const auto there = co_await relation_exists(*connection, pg::quote_ident(table.schema, table.name));
    found.emplace_back();
    if (there) found.back() = co_await sequences_on(*connection, table);
    for (const auto& each : found.back()) {
      const auto at = base.try_emplace(each.column, wanted.above.value_or(each.last)).first;
      at->second = std::max(at->second, each.last);
    }
  }
  for (const auto& each : found) demand_room(each, base);
  answer out{explain ? columns::plan : columns::note, {}, explain ? "EXPLAIN" : "ALIGN SEQUENCES"};
  const auto* tense = explain ? "would go on" : "goes on";
  for (const auto& [column, value] : base)
    out.rows.push_back({fmt::format("column {}: each shard {} above {}, with every {}th value", column, tense, value, sequence_stride)});
  for (std::size_t i = 0; i < found.size() && !explain; ++i) {
    const auto id = map->shards()[i].id;
    const auto connection = co_await engine.connect(id);
    for (const auto& each : found[i]) co_await raise_sequence(*connection, each.name, id, base[each.column]);
  }
  co_return out;
}

task<answer> coordinator::impl::show_sequences() {
  answer out{columns::sequences, {}, "SHOW"};
  const auto map = engine.map();
  for (const auto& shard : map->shards()) {
    const auto connection = co_await engine.connect(shard.id);
    for (const auto& table : map->tables()) {
      if (!table.distribution) continue;
      const auto there = co_await relation_exists(*connection, pg::quote_ident(table.schema, table.name));
      if (!there) continue;
      const auto found = co_await connection->query(fmt::format(
          "SELECT u.column_name, u.sequence::text, pg_catalog.pg_sequence_last_value(q.seqrelid), q.seqincrement, pgrotor.is_strided(u.sequence, {}, {})"
          " FROM pgrotor.sequences_of({}) u JOIN pg_catalog.pg_sequence q ON q.seqrelid = u.sequence ORDER BY 1, 2",
          sequence_remainder(shard.id), sequence_stride, relation_of(table)));
      for (int row = 0; row < found.rows(); ++row) {
        std::vector<std::optional<std::string>> line{shard.name, table.schema, table.name, found.str(row, 0), found.str(row, 1), std::nullopt, found.str(row, 3),
                                                     std::nullopt};
        if (!found.is_null(row, 2)) line[5] = found.str(row, 2);
        if (!found.boolean(row, 4)) line[7] = "gives out values of other shards; put right by: ALIGN SEQUENCES OF " + pg::quote_ident(table.schema, table.name);
        out.rows.push_back(std::move(line));
      }
    }
  }
  co_return out;
}

}  // namespace migration
