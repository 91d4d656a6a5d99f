// What sessions of clients ask of the recoverer. Declared in migration/engine/recoverer.h.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "migration/base/log.h"
#include "migration/engine/recoverer.h"
#include "protocol/sqlstate.h"

namespace migration {
namespace asio = boost::asio;
namespace {

constexpr milliseconds between_questions{100};

}  // namespace

task<recoverer::verdict> recoverer::ask(std::string uuid, std::string owner, routing::shard_id decider, clock::time_point deadline) {
  auto work = ask_here(std::move(uuid), std::move(owner), decider, deadline);
  co_return co_await asio::co_spawn(engine_.executor, std::move(work), asio::use_awaitable);
}

task<recoverer::verdict> recoverer::ask_here(std::string uuid, std::string owner, routing::shard_id decider, clock::time_point deadline) {
  const auto self = shared_from_this();
  while (!stopping_) {
    auto found = verdict::unknown;
    std::string why = "it is being decided";
    try {
      found = co_await decisions_.settle(uuid, owner, decider, deadline);
    } catch (const std::exception& error) {
      why = error.what();
    }
    if (found != verdict::unknown) co_return found;
    if (clock::now() + between_questions >= deadline) {
      log_warning("transaction {} of {}: its verdict is not known: {}", uuid, owner, why);
      break;
    }
    co_await sleep_for(between_questions);
  }
  co_return verdict::unknown;
}

// Seen by in_doubt() as soon as this has returned.
void recoverer::left_over(routing::shard_id shard, std::string gid) {
  ++slot_of(shard);
  asio::post(engine_.executor, [self = shared_from_this(), shard, gid = std::move(gid)]() mutable { self->take_over(shard, std::move(gid)); });
}

void recoverer::take_over(routing::shard_id shard, std::string gid) {
  const bool known = !engine_.map()->find_shard(shard) || stopping_ || !shards_[shard].left_over.emplace(std::move(gid), clock::now()).second;
  if (known) --slot_of(shard);
  kick();
}

// What was not there when the shard was asked after it had been left over, has ended.
void recoverer::forget_left_overs(routing::shard_id shard, shard_part& part) {
  const auto gone = std::erase_if(part.left_over, [&](const auto& each) { return each.second < part.asked && !part.prepared.contains(each.first); });
  if (gone == 0) return;
  slot_of(shard) -= static_cast<std::uint32_t>(gone);
  changed_.notify();
}

task<bool> recoverer::settle(routing::shard_id shard, clock::time_point deadline) {
  auto work = settle_here(shard, deadline);
  co_return co_await asio::co_spawn(engine_.executor, std::move(work), asio::use_awaitable);
}

task<bool> recoverer::settle_here(routing::shard_id shard, clock::time_point deadline) {
  const auto self = shared_from_this();
  kick();
  while (true) {
    const auto part = shards_.find(shard);
    if (part == shards_.end() || part->second.left_over.empty()) co_return true;
    if (stopping_ || clock::now() >= deadline) co_return false;
    co_await changed_.wait(deadline);
  }
}

task<std::optional<protocol::notice>> recoverer::wrong_version(routing::shard_id shard) {
  auto work = wrong_version_here(shard);
  co_return co_await asio::co_spawn(engine_.executor, std::move(work), asio::use_awaitable);
}

task<std::optional<protocol::notice>> recoverer::wrong_version_here(routing::shard_id shard) {
  const auto self = shared_from_this();
  if (const auto part = shards_.find(shard); part != shards_.end() && part->second.connection) co_return std::nullopt;  // made only where it is right
  try {
    const auto made = co_await engine_.connect(shard, engine_.settings.question_timeout);
  } catch (const pg::sql_error& error) {
    if (error.sqlstate != protocol::sqlstate::wrong_version) co_return std::nullopt;
    co_return protocol::make_error(error.sqlstate, error.where + ": " + error.message, error.detail, error.hint);
  } catch (const std::exception&) {  // the shard's own error will do
  }
  co_return std::nullopt;
}

}  // namespace migration
