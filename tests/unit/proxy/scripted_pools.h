// A shard's permits and pools in a world (scripted_world.h): real ones, with a keeper that logs in without a network.
#pragma once

#include "proxy/shard/permit_desk.h"
#include "proxy/shard/permit_ledger.h"
#include "proxy/shard/pool.h"
#include "scripted_world.h"

namespace scripted {

class shard_side final : public proxy::permit_home, public proxy::shard_watch {
 public:
  explicit shard_side(std::size_t size) : ledger(proxy::permit_rules{size, 0, 0, 0, std::chrono::milliseconds(0)}) {}
  void send_want(const proxy::permit_owner& owner, proxy::permit_want want) override { ledger.want(0, owner, want); }
  void send_give_back(const proxy::permit_owner& owner) override { ledger.give_back(0, owner); }
  void failed(const protocol::notice&, const proxy::server_target&) override {}
  bool settle() {
    const auto orders = ledger.settle(proxy::clock::now());
    for (const auto& order : orders) desk.obey(order);
    return !orders.empty();
  }
  proxy::permit_ledger ledger;
  proxy::permit_desk desk{*this};
};

struct scripted_pool final : public proxy::server_keeper {
  scripted_pool(world&, const proxy::pool_key&, shard_side&, shard&);

  const std::string& shard_name() const noexcept override { return where.name; }
  void open(proxy::clock::time_point) override { ++opening; }
  void unreachable(const protocol::notice&) override {}
  void start_anew() noexcept override {}
  proxy::task<std::optional<protocol::notice>> refuses_login(proxy::wakeup&, proxy::clock::time_point) override { co_return std::nullopt; }
  proxy::task<bool> answers(proxy::server_connection&, const std::string&, proxy::wakeup&, proxy::clock::time_point) override { co_return true; }
  bool due_for_look(proxy::clock::time_point) const noexcept override { return false; }
  proxy::task<bool> starts_as_now(proxy::server_connection&, proxy::wakeup&, proxy::clock::time_point) override { co_return true; }
  bool watch(proxy::server_connection&) override;
  bool quiet(proxy::server_connection&, bool just_used) override;
  bool hold(proxy::server_connection&) override;

  world& all;
  shard& where;
  int opening = 0;  // logins that were asked for
  proxy::pool servers;
};

}  // namespace scripted
