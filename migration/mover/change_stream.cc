#include "migration/mover/change_stream.h"

#include <algorithm>
#include <chrono>
#include <stdexcept>

#include <fmt/format.h>

namespace migration {
namespace {

constexpr std::size_t queue_cap = 8u << 20;
constexpr milliseconds status_interval{500};
constexpr std::size_t at_once = 256;  // messages taken before the applier gets a turn

std::int64_t postgres_now() {
  using namespace std::chrono;
  constexpr std::int64_t epoch_2000 = 946'684'800'000'000;
  return duration_cast<microseconds>(system_clock::now().time_since_epoch()).count() - epoch_2000;
}

}  // namespace

change_stream::change_stream(mover_context& context, protocol::lsn start) : context_(context), start_(start), confirmed_(start) {}

task<void> change_stream::start(pg::connection& source) {
  const auto& names = context_.settings.names;
  const auto sql = fmt::format(
      "START_REPLICATION SLOT {} LOGICAL {} (proto_version '1', publication_names {}, binary 'true', messages 'true')",
      pg::quote_ident(names.slot), protocol::to_string(start_), pg::quote_literal(pg::quote_ident(names.publication)));
  const auto until = clock::now() + predecessor_budget;
  while (!context_.stopping) {
    try {
      co_await source.start_replication(sql);
      co_return;
    } catch (const pg::sql_error& error) {
      if (error.sqlstate != "55006" || clock::now() > until) throw;  // object_in_use
    }
    co_await room_.wait(clock::now() + retry_pause);
  }
}

task<void> change_stream::run() {
  auto options = context_.settings.source;
  options.replication = true;
  options.application_name = session_name("stream", context_.settings.migration, options.application_name);
  const auto executor = co_await boost::asio::this_coro::executor;
  const auto source = co_await pg::connection::open(executor, std::move(options));
  co_await start(*source);
  auto next_status = clock::now() + status_interval;
  while (!context_.stopping) {
    if (queued_bytes_ < queue_cap) {
      auto first = co_await source->receive(next_status);
      if (first) take(std::move(*first));
      for (std::size_t i = 0; i < at_once && queued_bytes_ < queue_cap; ++i) {
        auto data = source->try_receive();
        if (!data) break;
        take(std::move(*data));
      }
      if (ready()) context_.work.notify();
    } else {
      co_await room_.wait(next_status);
    }
    if (reply_now_ || clock::now() >= next_status) {
      co_await send_status(*source);
      next_status = clock::now() + status_interval;
    }
  }
}

void change_stream::take(std::string copy_data) {
  const auto message = protocol::decode_replication(copy_data);
  if (!message) throw std::runtime_error("the source sent a replication message that cannot be read");
  stream_item item;
  if (const auto* alive = std::get_if<protocol::keepalive>(&*message)) {
    reply_now_ = reply_now_ || alive->reply_requested;
    item.position = alive->server_end;
  } else {
    const auto& data = std::get<protocol::xlog_data>(*message);
    item.position = data.start;
    const auto header = copy_data.size() - data.payload.size();
    item.payload = std::move(copy_data.erase(0, header));
  }
  context_.figures.received = std::max(context_.figures.received, item.position);
  queued_bytes_ += item.payload.size() + sizeof item;
  items_.push_back(std::move(item));
}

stream_item change_stream::pop() {
  auto item = std::move(items_.front());
  items_.pop_front();
  const bool was_full = queued_bytes_ >= queue_cap;
  queued_bytes_ -= item.payload.size() + sizeof item;
  if (was_full && queued_bytes_ < queue_cap) room_.notify();
  return item;
}

void change_stream::confirm(protocol::lsn position) { confirmed_ = std::max(confirmed_, position); }

task<void> change_stream::send_status(pg::connection& source) {
  reply_now_ = false;
  const auto received = std::max(context_.figures.received, confirmed_);
  co_await source.send(protocol::standby_status(received, confirmed_, confirmed_, postgres_now(), false));
}

}  // namespace migration
