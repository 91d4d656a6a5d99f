#include "proxy/gate/gate.h"

#include <doctest/doctest.h>

using proxy::gate_book;
using verdict = proxy::gate_book::verdict;

namespace {

constexpr routing::distribution_id shop{1}, other{2};
constexpr routing::shard_id source{1}, target{2}, elsewhere{3};

// Placements [0, 100) of `shop` move from source to target.
migration::moving_set set_of(std::uint64_t id, std::int64_t lower = 0, std::int64_t upper = 100) {
  migration::moving_set set;
  set.id = id;
  set.distribution = shop;
  set.ranges.push_back({routing::placement{lower}, routing::placement{upper}});
  set.source = source;
  set.target = target;
  return set;
}

proxy::touch_bits touching(const gate_book& book, std::int64_t value, routing::distribution_id distribution = shop) {
  const routing::touch touch{distribution, routing::placement{value}};
  return book.bits_of(std::span(&touch, 1));
}

std::vector<routing::shard_id> shards_of(std::optional<routing::shard_id> one) {
  return one ? std::vector{*one} : std::vector<routing::shard_id>();
}

enum class state { unknown, open, closing, closed, reopened, forgotten };

gate_book book_in(state wanted) {
  gate_book book;
  if (wanted == state::unknown) return book;
  book.add(set_of(7));
  if (wanted == state::open) return book;
  book.close(7, 1);
  if (wanted == state::closing) return book;
  book.seal(7);
  if (wanted == state::reopened) book.open(7);
  if (wanted == state::forgotten) book.remove(7);
  return book;
}

}  // namespace

TEST_CASE("gate: who passes in which state") {
  struct row {
    const char* name;
    state now;
    bool row_locks;
    std::optional<routing::shard_id> attached;
    verdict expected;
  };
  const row rows[] = {
      {"nothing known", state::unknown, false, std::nullopt, verdict::pass},
      {"open", state::open, false, std::nullopt, verdict::pass},
      {"open, row locks", state::open, true, std::nullopt, verdict::refuse_row_locks},
      {"open, row locks on the source", state::open, true, source, verdict::refuse_row_locks},
      {"closing, new transaction", state::closing, false, std::nullopt, verdict::wait},
      {"closing, transaction open on the source", state::closing, false, source, verdict::pass},
      {"closing, transaction open elsewhere", state::closing, false, elsewhere, verdict::wait},
      {"closed, new transaction", state::closed, false, std::nullopt, verdict::wait},
      {"closed, transaction open on the source", state::closed, false, source, verdict::wait},
      {"closed, row locks", state::closed, true, std::nullopt, verdict::refuse_row_locks},
      {"reopened", state::reopened, false, std::nullopt, verdict::pass},
      {"forgotten", state::forgotten, false, std::nullopt, verdict::pass},
  };
  for (const auto& row : rows) {
    CAPTURE(row.name);
    const auto book = book_in(row.now);
    CHECK(book.judge(touching(book, 5), row.row_locks, shards_of(row.attached)) == row.expected);
    CHECK(book.judge(touching(book, 100), row.row_locks, shards_of(row.attached)) == verdict::pass);
    CHECK(book.judge(touching(book, 5, other), row.row_locks, shards_of(row.attached)) == verdict::pass);
  }
}

TEST_CASE("gate: seal only ends a closing") {
  auto book = book_in(state::open);
  book.seal(7);
  CHECK(book.judge(touching(book, 5), false, shards_of(source)) == verdict::pass);
}

TEST_CASE("gate: a closed gate that is closed again stays closed") {
  auto book = book_in(state::closed);
  CHECK(book.close(7, 2));
  CHECK(book.judge(touching(book, 5), false, shards_of(source)) == verdict::wait);
}

TEST_CASE("gate: closing what is not known promises nothing") {
  gate_book book;
  CHECK_FALSE(book.close(7, 1));
  CHECK(book.nothing_known());
}

TEST_CASE("gate: a set announced twice keeps its bit, phase and count") {
  auto book = book_in(state::closed);
  const auto bits = touching(book, 5);
  book.transaction_touched(bits);
  book.add(set_of(7, 0, 200));
  CHECK(touching(book, 150) == bits);
  CHECK(book.open_transactions(7) == 1);
  CHECK(book.judge(bits, false, {}) == verdict::wait);
}

TEST_CASE("gate: transactions are counted by set") {
  gate_book book;
  book.add(set_of(7, 0, 100));
  book.add(set_of(8, 50, 150));
  const auto both = touching(book, 60), first = touching(book, 10), second = touching(book, 120);
  CHECK(both == (first | second));
  book.transaction_touched(both);
  book.transaction_touched(first);
  CHECK(book.open_transactions(7) == 2);
  CHECK(book.open_transactions(8) == 1);
  book.transaction_ended(both);
  CHECK(book.open_transactions(7) == 1);
  CHECK(book.open_transactions(8) == 0);
  book.transaction_ended(second);
  CHECK(book.open_transactions(8) == 0);
}

TEST_CASE("gate: the worst of several sets decides") {
  gate_book book;
  book.add(set_of(7, 0, 100));
  book.add(set_of(8, 50, 150));
  book.close(8, 1);
  CHECK(book.judge(touching(book, 10), false, {}) == verdict::pass);
  CHECK(book.judge(touching(book, 60), false, {}) == verdict::wait);
  CHECK(book.judge(touching(book, 60), false, shards_of(source)) == verdict::pass);
}

TEST_CASE("gate: the highest range has no upper bound") {
  auto set = set_of(7);
  set.ranges.front().upper = routing::end_of_placements;
  gate_book book;
  book.add(set);
  CHECK(touching(book, std::numeric_limits<std::int64_t>::max()) != 0);
  CHECK(touching(book, -1) == 0);
}

TEST_CASE("gate: 64 sets are known at most, and a forgotten one makes room") {
  gate_book book;
  for (std::uint64_t id = 1; id <= 64; ++id) REQUIRE(book.add(set_of(id)));
  CHECK_FALSE(book.add(set_of(65)));
  const auto freed = book.remove(10);
  const auto bit = book.add(set_of(65));
  REQUIRE(bit);
  CHECK(freed == proxy::touch_bits{1} << *bit);
  CHECK(book.remove(999) == 0);
}
